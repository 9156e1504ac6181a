"""A line end or a leading ``%`` in a user id is a command in gpg's parameter files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.instances import PASSPHRASE
from tiny_gnupg import GnuPG

INJECTED = (
    "Mallory\n%no-protection",
    "Mallory\r\nKey-Length: 512",
    "%no-protection",
    "%commit",
    "Mallory\x00",
    "Mallory\x1b[2J",
    "Mallory\u2028%commit",
    "Mallory\x85%commit",
    "Mallory <ceo@example.org>",
)


def key_files(home: Path) -> Iterator[Path]:
    return (home / "private-keys-v1.d").glob("*.key")


@pytest.mark.parametrize("text", INJECTED)
async def test_no_key_is_made(home: Path, text: str) -> None:
    with pytest.raises(ValueError, match="username"):
        GnuPG(text, "mallory@example.org", PASSPHRASE, homedir=home)
    with pytest.raises(ValueError, match="email"):
        GnuPG("Mallory", text, PASSPHRASE, homedir=home)
    assert not list(key_files(home))


@pytest.mark.parametrize("text", INJECTED)
async def test_it_does_not_come_in_by_an_attribute(home: Path, text: str) -> None:
    async with GnuPG("Mallory", "mallory@example.org", homedir=home) as gpg:
        with pytest.raises(ValueError, match="username"):
            gpg.username = text
        with pytest.raises(ValueError, match="email"):
            gpg.email = text
        assert (gpg.username, gpg.email) == ("Mallory", "mallory@example.org")


@pytest.mark.parametrize("text", INJECTED)
async def test_no_user_id_is_added(alice: GnuPG, text: str) -> None:
    for name, email in ((text, "a@example.org"), ("A", text)):
        with pytest.raises(ValueError, match=r"name|email"):
            await alice.add_uid("", name, email)
    (key,) = await alice.keys(alice.fingerprint)
    assert len(key.user_ids) == 1


@pytest.mark.parametrize("expires", ["1y\n%no-protection", "--yes", "1y ed25519", "-1d", ""])
async def test_an_expiry_is_one_word_that_gpg_knows(alice: GnuPG, expires: str) -> None:
    with pytest.raises(ValueError, match="expires"):
        await alice.gen_key(expires=expires)
    with pytest.raises(ValueError, match="expires"):
        await alice.set_expire("", expires)
    assert len(await alice.keys(secret=True)) == 1
