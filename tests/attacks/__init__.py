"""Attacks on programs that wrap gpg: one file for each class, named by the defect.

Each of them was seen to fail against code that has the defect: ``python -m tests.attacks.weaken``.
"""
