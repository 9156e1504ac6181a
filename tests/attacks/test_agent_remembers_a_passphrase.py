"""An agent that keeps a right passphrase takes a wrong one for it afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.instances import ALICE, FEW, PASSPHRASE, PlainGpg, alice_at
from tiny_gnupg import BadPassphrase, GnuPG

#: No attack succeeds where a gpg waited for the message, or the message flows.
pytestmark = pytest.mark.usefixtures("every_way")


@pytest.mark.parametrize("wrong", ["wrong", "", PASSPHRASE + " "])
async def test_a_second_instance_with_a_wrong_one(alice: GnuPG, wrong: str) -> None:
    message = await alice.encrypt("text")
    assert await alice.decrypt(message) == "text"
    async with alice_at(Path(alice.home), passphrase=wrong) as other:
        await other.set_fingerprint(ALICE)
        with pytest.raises(BadPassphrase):
            await other.decrypt(message)
        with pytest.raises(BadPassphrase):
            await other.sign("text")
        with pytest.raises(BadPassphrase):
            await other.text_export(secret=True)
    assert await alice.decrypt(message) == "text"


async def test_in_a_home_that_was_somebodys_before(
    home: Path, plain_gpg: Callable[..., PlainGpg]
) -> None:
    """There the owner's configuration is left alone, and the agent gets options of ours."""
    plain = plain_gpg(PASSPHRASE, home)
    keeping = f"{FEW}default-cache-ttl 3600\nallow-preset-passphrase\n"
    (home / "gpg-agent.conf").write_text(keeping)
    plain.new_key(f"Alice <{ALICE}>")
    plain.end_agent()
    async with alice_at(home) as right, alice_at(home, passphrase="wrong") as other:
        message = await right.encrypt("text")
        assert await right.decrypt(message) == "text"
        with pytest.raises(BadPassphrase):
            await other.decrypt(message)
        with pytest.raises(BadPassphrase):
            await other.sign("text", ALICE)
    assert (home / "gpg-agent.conf").read_text() == keeping


async def test_a_passphrase_of_a_message_is_not_kept(alice: GnuPG) -> None:
    message = await alice.encrypt_symmetric("text", "right")
    assert await alice.decrypt(message, passphrase="right") == "text"
    with pytest.raises(BadPassphrase):
        await alice.decrypt(message, passphrase="wrong")
