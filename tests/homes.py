"""A gpg home for one test module: short path, no passphrases, gone with its agent afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tiny_gnupg._process.find_gpg import agent_program, find_executable

DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-keyring.gpg")

_OPTIONS = ("--batch", "--pinentry-mode", "loopback", "--passphrase", "", "--no-auto-check-trustdb")


def plain_command(home: Path) -> list[str]:
    """Return how a command begins of the gpg that is tested with, run as anybody would."""
    gpg = find_executable()
    agent = agent_program(gpg)
    started = ["--agent-program", str(agent)] if agent else []
    # A static gpg knows no locale.
    return [str(gpg), "--homedir", str(home), "--display-charset", "utf-8", *started]


def end_agent(home: Path) -> None:
    """Tell the agent of a home to end, by gpg's own program for it."""
    beside = find_executable().resolve().parent / "gpg-connect-agent"
    program = str(beside) if beside.exists() else "gpg-connect-agent"
    command = [program, "--homedir", str(home), "--no-autostart", "KILLAGENT", "/bye"]
    subprocess.run(command, capture_output=True, check=False)


@dataclass(frozen=True)
class Home:
    """A gpg home and the way to run gpg in it."""

    path: Path

    def run(self, *args: str, stdin: bytes = b"", check: bool = True) -> bytes:
        """Run gpg with ``args`` and ``stdin``; return its standard output."""
        done = subprocess.run(
            [*plain_command(self.path), *_OPTIONS, *args],
            input=stdin,
            capture_output=True,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        if check and done.returncode:
            raise AssertionError(done.stderr.decode(errors="replace"))
        return done.stdout

    def colons(self, *args: str) -> str:
        """List keys ``--with-colons``, decoded as the package decodes."""
        return self.run("--with-colons", *args).decode(errors="surrogateescape")

    def new_key(self, user_id: str, algorithm: str = "ed25519", usage: str = "cert") -> str:
        """Make a key without a passphrase; return its fingerprint."""
        out = self.run("--status-fd", "1", "--quick-gen-key", "--yes", user_id, algorithm, usage)
        return next(line.split()[3] for line in out.decode().splitlines() if "KEY_CREATED" in line)


@contextmanager
def temporary_home() -> Iterator[Home]:
    """Make a home, and take it away with its agent."""
    path = tempfile.mkdtemp(prefix="tg", dir="/tmp")
    try:
        yield Home(Path(path))
    finally:
        end_agent(Path(path))
        shutil.rmtree(path, ignore_errors=True)
