"""A signed message passed as a detached signature would "verify" any data."""

from __future__ import annotations

import pytest

from tiny_gnupg import BadSignature, GnuPG, NotOpenPGP, NotSigned, SignatureError

#: No attack succeeds where a gpg waited for the message, or the message flows.
pytestmark = pytest.mark.usefixtures("every_way")

DATA = b"what bob never signed"


@pytest.mark.parametrize("clear", [False, True])
async def test_it_is_refused(alice: GnuPG, bob: GnuPG, clear: bool) -> None:
    inline = await bob.sign(b"something else", clear=clear)
    assert (await alice.verify(inline)).signatures
    with pytest.raises((NotSigned, NotOpenPGP)):
        await alice.verify(DATA, inline)


async def test_one_of_the_same_text_is_refused_too(alice: GnuPG, bob: GnuPG) -> None:
    with pytest.raises((NotSigned, NotOpenPGP)):
        await alice.verify(DATA, await bob.sign(DATA))


async def test_a_detached_one_with_an_inline_one_behind_it(alice: GnuPG, bob: GnuPG) -> None:
    """The first packet alone does not say what the rest is."""
    detached = await bob.sign(b"something else", detach=True)
    inline = await bob.sign(b"something else")
    for mixed in (detached + inline, inline + detached):
        with pytest.raises((SignatureError, NotOpenPGP)):
            await alice.verify(DATA, mixed)


async def test_a_detached_one_is_checked_against_the_data(alice: GnuPG, bob: GnuPG) -> None:
    detached = await bob.sign(DATA, detach=True)
    found = await alice.verify(DATA, detached)
    assert found.data == DATA
    with pytest.raises(BadSignature):
        await alice.verify(DATA + b"!", detached)
    with pytest.raises(BadSignature):
        await alice.verify(b"", detached)


async def test_a_detached_one_alone_verifies_nothing(alice: GnuPG, bob: GnuPG) -> None:
    with pytest.raises((SignatureError, NotOpenPGP)):
        await alice.verify(await bob.sign(DATA, detach=True))
