"""Signatures of several kinds on one message: all must be good, and each one is reported."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.instances import PlainGpg
from tests.signed import DATA, ERRORS, STATES, Signatures
from tiny_gnupg import BadSignature, ExpiredKeySignature, GnuPG, RevokedKeySignature, SignatureError

#: No attack succeeds where a gpg waited for the message, or the message flows.
pytestmark = pytest.mark.usefixtures("every_way")


@pytest.mark.parametrize("kind", ERRORS)
async def test_one_alone(alice: GnuPG, signed: Signatures, kind: str) -> None:
    await alice.text_import(signed.keys)
    assert (await alice.verify(DATA, signed.detached["good"])).data == DATA
    with pytest.raises(ERRORS[kind]):
        await alice.verify(DATA, signed.detached[kind])


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("first", ["good", "other"])
async def test_one_beside_a_good_one(
    alice: GnuPG, signed: Signatures, kind: str, first: str
) -> None:
    await alice.text_import(signed.keys)
    order = ("good", kind) if first == "good" else (kind, "good")
    both = b"".join(signed.detached[name] for name in order)
    with pytest.raises(ERRORS[kind]) as caught:
        await alice.verify(DATA, both)
    if kind != "missing key":
        assert isinstance(caught.value, SignatureError)
        found = [signature.status for signature in caught.value.signatures]
        assert found == [STATES[name] for name in order]


@pytest.mark.parametrize("order", list(itertools.permutations(("good", "expired key", "bad"))))
async def test_the_worst_of_several_is_named(
    alice: GnuPG, signed: Signatures, order: tuple[str, ...]
) -> None:
    await alice.text_import(signed.keys)
    with pytest.raises(BadSignature) as caught:
        await alice.verify(DATA, b"".join(signed.detached[name] for name in order))
    assert [one.status for one in caught.value.signatures] == [STATES[name] for name in order]


@pytest.mark.parametrize("order", ["good, expired key", "expired key, good"])
async def test_an_expired_key_inside_a_message(
    alice: GnuPG, signed: Signatures, order: str
) -> None:
    await alice.text_import(signed.keys)
    for read in (alice.decrypt, alice.verify):
        with pytest.raises(ExpiredKeySignature):
            await read(signed.inline[order])
    found = await alice.decrypt_verify(signed.inline[order])
    # gpg judges the last signature first: they are nested.
    assert sorted(one.status.value for one in found.signatures) == ["EXPKEYSIG", "GOODSIG"]


@pytest.mark.parametrize("order", ["good, revoked key", "revoked key, good"])
async def test_a_revoked_key_inside_an_encrypted_message(
    alice: GnuPG, signed: Signatures, order: str, plain_gpg: Callable[..., PlainGpg]
) -> None:
    await alice.text_import(signed.keys)
    plain = plain_gpg(home=Path(alice.home))
    raw = ("--no-literal", "--trust-model", "always", "-r", alice.fingerprint, "--encrypt")
    message = plain.run(*raw, stdin=signed.inline[order]).stdout
    with pytest.raises(RevokedKeySignature):
        await alice.decrypt(message)
    found = await alice.decrypt_verify(message)
    assert found.data == DATA
    with pytest.raises(RevokedKeySignature):
        found.require_good()
