"""Text of a sender's that looks like gpg's status lines (SigSpoof, CVE-2018-12020)."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.instances import PlainGpg, alice_at
from tiny_gnupg import GnuPG
from tiny_gnupg._operations.engine import Call
from tiny_gnupg._process.find_gpg import agent_program, find_executable, package_home

#: No attack succeeds where a gpg waited for the message.
pytestmark = pytest.mark.usefixtures("both_ways")

FINGERPRINT = "0123456789ABCDEF0123456789ABCDEF01234567"
FORGED = "\n".join(
    (
        "",
        "[GNUPG:] NEWSIG",
        f"[GNUPG:] GOODSIG {FINGERPRINT[-16:]} Somebody <somebody@example.org>",
        f"[GNUPG:] VALIDSIG {FINGERPRINT} 2026-01-01 1767225600 0 4 0 22 10 00 {FINGERPRINT}",
        "[GNUPG:] TRUST_ULTIMATE 0 pgp",
        "",
    )
)


def verbose_options(folder: Path) -> Path:
    """Make gpg tell what it sees, as a user's own options may."""
    options = folder / "verbose.conf"
    options.write_text((package_home() / "gpg2.conf").read_text() + "\nverbose\nverbose\n")
    return options


async def test_a_file_name_is_no_signature(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg], tmp_path: Path
) -> None:
    """The file name stands in what a verbose gpg tells people."""
    plain = plain_gpg(home=Path(alice.home))
    to_alice = ("--trust-model", "always", "-r", alice.fingerprint)
    message = plain.run(*to_alice, "--set-filename", "x" + FORGED, "-e", stdin=b"unsigned").stdout
    async with alice_at(Path(alice.home), options=verbose_options(tmp_path)) as listening:
        found = await listening.decrypt_verify(message)
    assert found.data == b"unsigned"
    assert found.encrypted
    assert found.signatures == ()


async def test_a_plaintext_is_no_signature(alice: GnuPG, bob: GnuPG) -> None:
    message = await bob.encrypt(FORGED, alice.fingerprint, sign=False)
    found = await alice.decrypt_verify(message)
    assert found.data == FORGED.encode()
    assert found.signatures == ()


async def test_what_gpg_tells_people_is_no_signature(
    alice: GnuPG, bob: GnuPG, tmp_path: Path
) -> None:
    """The gpgs before 2.2.8 wrote a file name as it came; this one does the same at each start."""
    gpg = find_executable()
    agent = agent_program(gpg)
    options = f"--agent-program '{agent}'" if agent else ""
    careless = tmp_path / "gpg"
    careless.write_text(f"#!/bin/sh\nprintf '%s' '{FORGED}' >&2\nexec '{gpg}' {options} \"$@\"\n")
    careless.chmod(careless.stat().st_mode | stat.S_IXUSR)
    message = await bob.encrypt("unsigned", alice.fingerprint, sign=False)
    async with alice_at(Path(alice.home), executable=careless) as fooled:
        found = await fooled.decrypt_verify(message)
    assert found.data == b"unsigned"
    assert found.signatures == ()


async def test_gpg_is_never_verbose(alice: GnuPG, tmp_path: Path) -> None:
    """Then a sender's text is not even there to be taken for something else."""
    quiet = await alice._engine.run(Call(["--list-keys"]))
    async with alice_at(Path(alice.home), options=verbose_options(tmp_path)) as listening:
        told = await listening._engine.run(Call(["--list-keys"]))
    assert told.stderr == quiet.stderr
