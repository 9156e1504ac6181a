"""Faults: what is killed, full, read-only, stale, damaged, limited or shared at the wrong moment.

After each one the keyring opens and holds every key it held, the next operation works without help
from the caller, and nothing is left behind. ``TINY_GNUPG_ROUNDS`` sets how many random rounds the
random ones take, ``TINY_GNUPG_SEED`` repeats a run.
"""
