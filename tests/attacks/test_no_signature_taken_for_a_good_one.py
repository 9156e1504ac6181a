"""Where there is no signature, none is bad either; that is no verification (CVE-2020-10759)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.instances import PlainGpg
from tests.openpgp import compressed, literal, new
from tiny_gnupg import GnuPG, NotOpenPGP, NotSigned

#: No attack succeeds where a gpg waited for the message, or the message flows.
pytestmark = pytest.mark.usefixtures("every_way")

MARKER = new(10, b"PGP")


async def test_an_encrypted_message_that_nobody_signed(alice: GnuPG, bob: GnuPG) -> None:
    message = await bob.encrypt("text", alice.fingerprint, sign=False)
    with pytest.raises(NotSigned):
        await alice.verify(message)
    found = await alice.decrypt_verify(message)
    assert found.signatures == ()
    with pytest.raises(NotSigned):
        await alice.verify(MARKER + await bob.encrypt(b"text", alice.fingerprint, armor=False))


@pytest.mark.parametrize(
    "message",
    [
        literal(b"text"),
        compressed(literal(b"text")),
        compressed(compressed(literal(b"text"), 2), 3),
        MARKER + literal(b"text"),
        literal(b"-----BEGIN PGP SIGNED MESSAGE-----"),
    ],
)
async def test_a_text_that_nobody_signed(alice: GnuPG, message: bytes) -> None:
    with pytest.raises(NotSigned):
        await alice.verify(message)
    with pytest.raises(NotSigned):
        await alice.decrypt(message)


@pytest.mark.parametrize("signature", [b"", b"\n", MARKER, b"text", literal(b"text")])
async def test_nothing_is_no_detached_signature(alice: GnuPG, signature: bytes) -> None:
    with pytest.raises((NotSigned, NotOpenPGP)):
        await alice.verify(b"text", signature)


async def test_keys_and_certificates_sign_no_data(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    """A key is full of good signatures, none of them of a text."""
    block = await alice.text_export()
    for data in ("text", ""):
        with pytest.raises((NotSigned, NotOpenPGP)):
            await alice.verify(data, block)
    with pytest.raises((NotSigned, NotOpenPGP)):
        await alice.verify(block)
