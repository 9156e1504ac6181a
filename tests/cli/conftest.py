"""The command line in a home, with a key that was made there."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.command_line import SECRET, Run, done
from tests.inprocess import Ended, run_here
from tests.instances import cheap
from tiny_gnupg.cli.main import main


@pytest.fixture
def cli(home: Path) -> Run:
    """Run a command in a home, with a passphrase from the environment where it takes one."""
    cheap(home)

    def run(
        name: str, *arguments: str, stdin: bytes = b"", at: Path = home, secret: str = SECRET
    ) -> Ended:
        takes = name not in ("keys", "verify", "doctor", "publish", "find", "completion")
        asked = ["--passphrase-env", "TEST_SECRET"] if takes else []
        command = [name, "--home", str(at), *asked, *arguments]
        return run_here(partial(main, command), stdin, {"TEST_SECRET": secret})

    return run


@pytest.fixture
def fingerprint(cli: Run) -> str:
    """Alice's key, made on the command line."""
    made = done(cli("gen-key", "--name", "Alice", "--email", "alice@example.org"))
    return made.decode().strip()
