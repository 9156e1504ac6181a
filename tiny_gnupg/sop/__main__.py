"""``python -m tiny_gnupg.sop``."""

from tiny_gnupg.sop.program import main

main()
