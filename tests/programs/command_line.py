"""The command line as a process of its own that uses homes of the tests: see ``instances``.

On a terminal it shows how far it is from the first moment on, be the machine slow or fast.
"""

from __future__ import annotations

import sys

import tests.instances  # noqa: F401
from tiny_gnupg.cli import terminal
from tiny_gnupg.cli.main import main

if __name__ == "__main__":
    terminal.FIRST_PROGRESS = 0.0
    sys.exit(main())
