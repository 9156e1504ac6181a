"""The command line as a process of its own that uses homes of the tests: see ``instances``."""

from __future__ import annotations

import sys

import tests.instances  # noqa: F401
from tiny_gnupg.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
