"""A passphrase with a line end: what stands behind it must not become data (CVE-2019-6690)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.instances import PASSPHRASE, alice_at
from tiny_gnupg import GnuPG

#: No attack succeeds where a gpg waited for the message, or the message flows.
pytestmark = pytest.mark.usefixtures("every_way")

SPLIT = ("x\nEXTRA", "x\r\nEXTRA", "x\0EXTRA", f"{PASSPHRASE}\nEXTRA", "\n")


@pytest.mark.parametrize("passphrase", SPLIT)
async def test_no_argument_takes_it(home: Path, alice: GnuPG, passphrase: str) -> None:
    with pytest.raises(ValueError, match="line end"):
        alice_at(home, passphrase=passphrase)
    with pytest.raises(ValueError, match="line end"):
        await alice.encrypt_symmetric("text", passphrase)
    message = await alice.encrypt_symmetric("text", "x")
    with pytest.raises(ValueError, match="line end"):
        await alice.decrypt(message, passphrase=passphrase)
    with pytest.raises(ValueError, match="line end"):
        await alice.change_passphrase("", passphrase)
    assert await alice.decrypt(await alice.encrypt("still the old one")) == "still the old one"


@pytest.mark.parametrize("passphrase", SPLIT)
async def test_it_does_not_come_in_by_the_attribute(alice: GnuPG, passphrase: str) -> None:
    with pytest.raises(ValueError, match="line end"):
        alice.passphrase = passphrase
    assert alice.passphrase == PASSPHRASE
    signed = await alice.sign("text")
    assert (await alice.verify(signed)).data == b"text"


async def test_a_passphrase_is_no_data(alice: GnuPG) -> None:
    """It has a pipe of its own: in the signed text, there is the text and nothing else."""
    assert (await alice.verify(await alice.sign(""))).data == b""
    assert (await alice.verify(await alice.sign(b"\n"))).data == b"\n"
