"""Signatures of several kinds on one message: all must be good, and each one is reported."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.instances import PlainGpg
from tests.leftovers import clean_home
from tiny_gnupg import (
    BadSignature,
    ExpiredKeySignature,
    ExpiredSignature,
    GnuPG,
    GnuPGError,
    KeyNotFound,
    RevokedKeySignature,
    SignatureStatus,
)

DATA = b"data"
THEN = "20200601T000000"
STATES = {
    "good": SignatureStatus.GOODSIG,
    "bad": SignatureStatus.BADSIG,
    "expired": SignatureStatus.EXPSIG,
    "expired key": SignatureStatus.EXPKEYSIG,
    "revoked key": SignatureStatus.REVKEYSIG,
    "missing key": SignatureStatus.NO_PUBKEY,
}
ERRORS: dict[str, type[GnuPGError]] = {
    "bad": BadSignature,
    "expired": ExpiredSignature,
    "expired key": ExpiredKeySignature,
    "revoked key": RevokedKeySignature,
    "missing key": KeyNotFound,
}


@dataclass(frozen=True)
class Signatures:
    """Signatures of all kinds by keys of all kinds, and the keys."""

    keys: bytes
    detached: dict[str, bytes]
    inline: dict[str, bytes]


@pytest.fixture(scope="module")
def made() -> Iterator[Signatures]:
    """Make them once."""
    with clean_home() as home:
        plain = PlainGpg(home)
        try:
            yield make_signatures(plain)
        finally:
            plain.end_agent()


def make_signatures(plain: PlainGpg) -> Signatures:
    signers = {
        name: make_key(plain, name, expires="1y" if name == "expired key" else "never")
        for name in ("good", "expired key", "revoked key", "missing key")
    }
    signers |= {"bad": signers["good"], "expired": signers["good"]}
    detached = {}
    for name, fingerprint in signers.items():
        data = b"other data" if name == "bad" else DATA
        detached[name] = sign(plain, [name], [fingerprint], "--detach-sign", data)
    inline = {
        f"{first}, {second}": sign(
            plain, [first, second], [signers[first], signers[second]], "--sign", DATA
        )
        for first, second in itertools.permutations(("good", "expired key", "revoked key"), 2)
    }
    known = [fingerprint for name, fingerprint in signers.items() if name != "missing key"]
    revoke(plain, signers["revoked key"])
    return Signatures(plain.run("--export", *known).stdout, detached, inline)


def make_key(plain: PlainGpg, name: str, *, expires: str) -> str:
    making = ("--quick-generate-key", f"{name} <{name[:3]}@example.org>", "ed25519", "sign")
    then = ("--yes", "--status-fd", "1", "--faked-system-time", THEN)
    said = plain.run(*then, *making, expires).stdout.decode()
    return next(line.split()[3] for line in said.splitlines() if "KEY_CREATED" in line)


def sign(plain: PlainGpg, names: list[str], signers: list[str], how: str, data: bytes) -> bytes:
    users = [part for signer in signers for part in ("-u", signer)]
    expiry = ("--default-sig-expire", "1d") if "expired" in names else ()
    return plain.run("--faked-system-time", THEN, *expiry, *users, how, stdin=data).stdout


def revoke(plain: PlainGpg, fingerprint: str) -> None:
    certificate = plain.home / "openpgp-revocs.d" / f"{fingerprint}.rev"
    text = certificate.read_text()
    # A colon keeps the prepared certificate from being used by mistake.
    plain.run("--import", stdin=text.replace(":-----BEGIN", "-----BEGIN"))


@pytest.mark.parametrize("kind", ERRORS)
async def test_one_alone(alice: GnuPG, made: Signatures, kind: str) -> None:
    await alice.text_import(made.keys)
    assert (await alice.verify(DATA, made.detached["good"])).data == DATA
    with pytest.raises(ERRORS[kind]):
        await alice.verify(DATA, made.detached[kind])


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("first", ["good", "other"])
async def test_one_beside_a_good_one(alice: GnuPG, made: Signatures, kind: str, first: str) -> None:
    await alice.text_import(made.keys)
    order = ("good", kind) if first == "good" else (kind, "good")
    both = b"".join(made.detached[name] for name in order)
    with pytest.raises(ERRORS[kind]) as caught:
        await alice.verify(DATA, both)
    if kind != "missing key":
        found = [signature.status for signature in caught.value.signatures]
        assert found == [STATES[name] for name in order]


@pytest.mark.parametrize("order", list(itertools.permutations(("good", "expired key", "bad"))))
async def test_the_worst_of_several_is_named(
    alice: GnuPG, made: Signatures, order: tuple[str, ...]
) -> None:
    await alice.text_import(made.keys)
    with pytest.raises(BadSignature) as caught:
        await alice.verify(DATA, b"".join(made.detached[name] for name in order))
    assert [one.status for one in caught.value.signatures] == [STATES[name] for name in order]


@pytest.mark.parametrize("order", ["good, expired key", "expired key, good"])
async def test_an_expired_key_inside_a_message(alice: GnuPG, made: Signatures, order: str) -> None:
    await alice.text_import(made.keys)
    for read in (alice.decrypt, alice.verify):
        with pytest.raises(ExpiredKeySignature):
            await read(made.inline[order])
    found = await alice.decrypt_verify(made.inline[order])
    # gpg judges the last signature first: they are nested.
    assert sorted(one.status.value for one in found.signatures) == ["EXPKEYSIG", "GOODSIG"]


@pytest.mark.parametrize("order", ["good, revoked key", "revoked key, good"])
async def test_a_revoked_key_inside_an_encrypted_message(
    alice: GnuPG, made: Signatures, order: str, plain_gpg: Callable[..., PlainGpg]
) -> None:
    await alice.text_import(made.keys)
    plain = plain_gpg(home=Path(alice.home))
    raw = ("--no-literal", "--trust-model", "always", "-r", alice.fingerprint, "--encrypt")
    message = plain.run(*raw, stdin=made.inline[order]).stdout
    with pytest.raises(RevokedKeySignature):
        await alice.decrypt(message)
    found = await alice.decrypt_verify(message)
    assert found.data == DATA
    with pytest.raises(RevokedKeySignature):
        found.require_good()
