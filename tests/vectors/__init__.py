"""Odd data: what others published, looked for in a folder, and what is made here by its defect."""
