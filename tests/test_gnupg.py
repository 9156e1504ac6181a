"""The life of keys and messages."""

from __future__ import annotations

from tiny_gnupg import GnuPG


async def test_a_message_crosses(alice: GnuPG, bob: GnuPG) -> None:
    message = await alice.encrypt("hello", bob.email)
    assert await bob.decrypt(message) == "hello"
