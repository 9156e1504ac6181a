"""Instances for tests, and gpg as anybody else would run it.

Where a test is not about the cost of a passphrase, it is small, by the same code: that of scrypt
is in a home's marker, that of gpg's own way in the agent's configuration, and that of a message
among gpg's options. ``tests/_home/test_protection.py`` shows what they are outside of the tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.homes import end_agent, plain_command
from tests.proc import agent_of
from tiny_gnupg import GnuPG
from tiny_gnupg._gpg import commands
from tiny_gnupg._home import home as homes
from tiny_gnupg._home import protection
from tiny_gnupg._home.protection import Protection, Scheme
from tiny_gnupg._process.find_gpg import find_executable, package_home

#: Less than a home may cost outside of the tests, and what one costs that is made by a test.
SHIPPED_N, protection.LEAST_N = protection.LEAST_N, 2**10

#: How often gpg's own way hashes a passphrase: gpg-agent would measure that for half a second.
FEW = "s2k-count 131072\n"
homes.OWN_COUNT = FEW
#: How often gpg hashes the passphrase of a message.
commands.HIGHEST_COUNT = ("--s2k-count", "65536")

#: What makes instances that are closed after the test: see ``make_gnupg`` in ``conftest``.
MakeGnuPG = Callable[..., GnuPG]

ALICE, BOB = "alice@example.org", "bob@example.org"
PASSPHRASE, BOBS_PASSPHRASE = "correct horse é battery", "bob's own staple"

#: By default gpg 2.2 makes keys of RSA, which takes it a second or more.
MODERN = "future-default"

#: What is no part of a home's keys: its sockets, its locks, and gpg's.
TRANSIENT = ("S.*", "*.lock", ".#*", "*~")


def cheap(home: Path, kind: Scheme = "scrypt") -> Path:
    """Make a marker with small costs of scrypt in a directory that is to become a home."""
    state = home / "tiny_gnupg.d"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    salt = os.urandom(32).hex() if kind == "scrypt" else ""
    Protection(kind, salt, n=2**10).write(state / "protection.json")
    for name in ("gpg-agent.conf", "common.conf"):
        shutil.copy(package_home() / name, home / name)
    return home


def copied(source: Path, target: Path) -> Path:
    """Copy a home that nobody uses."""
    ignored = shutil.ignore_patterns(*TRANSIENT)
    shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)
    target.chmod(0o700)
    return target


def alice_at(home: Path, **more: Any) -> GnuPG:
    """Return Alice in a home."""
    return GnuPG("Alice Å", ALICE, more.pop("passphrase", PASSPHRASE), homedir=home, **more)


def bob_at(home: Path, **more: Any) -> GnuPG:
    """Return Bob in a home."""
    return GnuPG("Bob", BOB, more.pop("passphrase", BOBS_PASSPHRASE), homedir=home, **more)


def gpg_behind(program: Path, first: str = "") -> Path:
    """Write a program that does something of its own, in shell, and then is gpg; return it."""
    program.write_text(f'#!/bin/sh\n{first}\nexec {find_executable()} "$@"\n')
    program.chmod(0o755)
    return program


@dataclass(frozen=True)
class PlainGpg:
    """gpg in a home of its own, run as any other program would: nothing of this library's."""

    home: Path
    passphrase: str = ""

    def run(
        self, *args: str, stdin: bytes | str = b"", check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """Run gpg; the passphrase is given by loopback."""
        house = [*plain_command(self.home), "--batch", "--pinentry-mode", "loopback"]
        # A stretched one may begin with a dash, and be taken for an option.
        given = self.passphrase
        passphrase = [f"--passphrase={given}"] if given else ["--passphrase", ""]
        done = subprocess.run(
            [*house, *passphrase, *args],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        if check and done.returncode:
            raise AssertionError(done.stderr.decode(errors="replace"))
        return done

    def new_key(self, user_id: str, *, algorithm: str = MODERN, usage: str = "default") -> str:
        """Make a key; return its fingerprint."""
        making = ("--quick-generate-key", user_id, algorithm, usage, "never")
        said = self.run("--yes", "--status-fd", "1", *making).stdout.decode()
        return next(line.split()[3] for line in said.splitlines() if "KEY_CREATED" in line)

    def be_quick(self) -> None:
        """Have the agent hash passphrases a few times only, where it is not told anything yet."""
        if not (self.home / "gpg-agent.conf").exists():
            (self.home / "gpg-agent.conf").write_text(FEW)

    def end_agent(self) -> None:
        """End the agent, by gpg's own program for it, and wait until it has ended."""
        agent = agent_of(self.home)
        end_agent(self.home)
        while agent is not None and agent_of(self.home) == agent:
            time.sleep(0.01)  # it says that it ends before it does
