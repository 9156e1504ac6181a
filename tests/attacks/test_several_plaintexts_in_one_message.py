"""Signed text with unsigned text beside it: refused, or only what the signature covers."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.instances import PlainGpg
from tests.openpgp import compressed
from tiny_gnupg import Decryption, GnuPG, GnuPGError

#: No attack succeeds where a gpg waited for the message, or the message flows.
pytestmark = pytest.mark.usefixtures("every_way")

SIGNED, UNSIGNED = b"signed by bob", b"never signed"
ORDERS = ("signed first", "unsigned first", "signed between", "signed twice")
WRAPPINGS = ("plain", "compressed", "encrypted", "compressed and encrypted", "half compressed")


async def pieces(bob: GnuPG, plain: PlainGpg, order: str) -> tuple[bytes, ...]:
    """Return the packets of a signed message and of an unsigned one, one behind the other."""
    signed = plain.run("--dearmor", stdin=await bob.sign(SIGNED)).stdout
    unsigned = plain.run("-z0", "--store", stdin=UNSIGNED).stdout
    return {
        "signed first": (signed, unsigned),
        "unsigned first": (unsigned, signed),
        "signed between": (unsigned, signed, unsigned),
        "signed twice": (signed, signed),
    }[order]


def wrapped(parts: tuple[bytes, ...], how: str, plain: PlainGpg, recipient: str) -> bytes:
    """Put packets into one message."""
    message = b"".join(parts)
    if how == "half compressed":
        return compressed(parts[0]) + b"".join(parts[1:])
    if "compressed" in how:
        message = compressed(message)
    if "encrypted" in how:
        raw = ("--no-literal", "--trust-model", "always", "-r", recipient, "--encrypt")
        message = plain.run(*raw, stdin=message).stdout
    return message


@pytest.mark.parametrize(("order", "how"), list(itertools.product(ORDERS, WRAPPINGS)))
async def test_no_unsigned_text_is_given_out(
    alice: GnuPG, bob: GnuPG, plain_gpg: Callable[..., PlainGpg], order: str, how: str
) -> None:
    plain = plain_gpg(home=Path(alice.home))
    message = wrapped(await pieces(bob, plain, order), how, plain, alice.fingerprint)
    plain.end_agent()
    for read in (alice.decrypt, verified(alice), judged(alice)):
        try:
            found = await read(message)
        except GnuPGError:
            continue
        assert found == SIGNED


def verified(gpg: GnuPG) -> Callable[[bytes], Awaitable[bytes]]:
    async def read(message: bytes) -> bytes:
        return (await gpg.verify(message)).data

    return read


def judged(gpg: GnuPG) -> Callable[[bytes], Awaitable[bytes]]:
    async def read(message: bytes) -> bytes:
        found: Decryption = await gpg.decrypt_verify(message)
        # Whoever asks for the signatures gets no text that none of them covers, either.
        assert UNSIGNED not in found.data or not found.signatures
        return found.require_good().data if found.signatures else SIGNED

    return read


@pytest.mark.parametrize("place", ["before", "after", "both"])
async def test_text_around_a_clear_signed_one(alice: GnuPG, bob: GnuPG, place: str) -> None:
    signed = await bob.sign(SIGNED, clear=True)
    before = UNSIGNED + b"\n" if place != "after" else b""
    after = UNSIGNED + b"\n" if place != "before" else b""
    for read in (alice.decrypt, verified(alice)):
        assert (await read(before + signed + after)).rstrip(b"\n") == SIGNED


async def test_two_clear_signed_texts(alice: GnuPG, bob: GnuPG) -> None:
    signed = await bob.sign(SIGNED, clear=True)
    forged = (await alice.sign(UNSIGNED, clear=True)).replace(UNSIGNED, b"changed text")
    for message in (signed + forged, forged + signed):
        for read in (alice.decrypt, verified(alice)):
            with pytest.raises(GnuPGError):
                await read(message)
