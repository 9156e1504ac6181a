"""What other programs make of our work, and we of theirs: each cell of the table is one test.

The last line of each group is there to show that the group can fail: a signature that was good is
held against other data, and both sides have to refuse it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.leftovers import clean_home
from tests.peers.programs import (
    CLEAR,
    DETACHED,
    INLINE,
    PEERS,
    TABLE,
    TEXT,
    KeyPair,
    Peer,
    Refused,
)
from tiny_gnupg import BadSignature, Capability, GnuPG, Key

PASSPHRASE = "correct horse bättery"


@dataclass(frozen=True)
class Ours:
    """This library with a key of its own, without a passphrase, as some programs know none.

    ``locked`` is another secret key of ours, under ``PASSPHRASE``; its public key is here.
    """

    gpg: GnuPG
    keys: KeyPair
    locked: bytes


@dataclass(frozen=True)
class Theirs:
    """Another program with a key of its own, which is in our keyring."""

    peer: Peer
    keys: KeyPair
    key: Key


@pytest.fixture(scope="session")
def ours() -> Iterator[Ours]:
    with clean_home() as home:
        gpg = GnuPG("Öur Side", "our@side.example", homedir=home)
        try:
            yield asyncio.run(_ready(gpg))
        finally:
            asyncio.run(gpg.aclose())


async def _ready(gpg: GnuPG) -> Ours:
    await gpg.gen_key()
    secret = await gpg.text_export(secret=True)
    keys = KeyPair(secret.encode(), (await gpg.text_export()).encode())
    with clean_home() as home:
        async with GnuPG("", "locked@side.example", PASSPHRASE, homedir=home) as other:
            await other.gen_key()
            await gpg.text_import(await other.text_export())
            return Ours(gpg, keys, (await other.text_export(secret=True)).encode())


@pytest.fixture(scope="session", params=PEERS, ids=lambda peer: peer.name)
def theirs(request: pytest.FixtureRequest, ours: Ours) -> Theirs:
    kind: type[Peer] = request.param
    if not kind.present():
        pytest.skip(f"{kind.name} is not here ({kind.install}): nothing is known of it")
    peer = kind()
    keys = peer.new_key(f"Their Side <{kind.name}@their.example>")
    imported = asyncio.run(ours.gpg.text_import(keys.public))
    (key,) = asyncio.run(ours.gpg.keys(imported.fingerprints[0]))
    return Theirs(peer, keys, key)


Operation = Callable[[Ours, Theirs], Awaitable[None]]
OPERATIONS: dict[str, Operation] = {}


def operation(name: str) -> Callable[[Operation], Operation]:
    def add(function: Operation) -> Operation:
        OPERATIONS[name] = function
        return function

    return add


@operation("they decrypt what we encrypt")
async def they_decrypt(ours: Ours, theirs: Theirs) -> None:
    message = await ours.gpg.encrypt(theirs.peer.octets, theirs.key.fingerprint, sign=False)
    assert theirs.peer.decrypt(message, theirs.keys.secret) == theirs.peer.octets


@operation("they decrypt it binary, uncompressed, to several")
async def they_decrypt_binary(ours: Ours, theirs: Theirs) -> None:
    uids = [ours.gpg.fingerprint, theirs.key.fingerprint]
    message = await ours.gpg.encrypt(theirs.peer.octets, uids, False, armor=False, compress=False)
    assert theirs.peer.decrypt(message, theirs.keys.secret) == theirs.peer.octets


@operation("they decrypt and verify what we encrypt and sign")
async def they_decrypt_verify(ours: Ours, theirs: Theirs) -> None:
    uid, compress = theirs.key.fingerprint, theirs.peer.compress
    message = await ours.gpg.encrypt(theirs.peer.octets, uid, compress=compress)
    assert theirs.peer.decrypt(message, theirs.keys.secret, ours.keys.public) == theirs.peer.octets


@operation("they open what we encrypt to a passphrase")
async def they_unlock(ours: Ours, theirs: Theirs) -> None:
    message = await ours.gpg.encrypt_symmetric(theirs.peer.octets, PASSPHRASE)
    assert theirs.peer.unlock(message, PASSPHRASE) == theirs.peer.octets


@operation("they verify our detached signature")
async def they_verify_detached(ours: Ours, theirs: Theirs) -> None:
    signature = await ours.gpg.sign(theirs.peer.octets, detach=True)
    theirs.peer.verify(signature, ours.keys.public, DETACHED, theirs.peer.octets)


@operation("they verify our inline signature")
async def they_verify_inline(ours: Ours, theirs: Theirs) -> None:
    message = await ours.gpg.sign(theirs.peer.octets)
    assert theirs.peer.verify(message, ours.keys.public, INLINE, b"") == theirs.peer.octets


@operation("they verify our clear signature")
async def they_verify_clear(ours: Ours, theirs: Theirs) -> None:
    text = theirs.peer.text
    message = await ours.gpg.sign(text, clear=True)
    assert lines(theirs.peer.verify(message, ours.keys.public, CLEAR, b"")) == lines(text)


@operation("they use our secret key")
async def they_use_our_key(ours: Ours, theirs: Theirs) -> None:
    message = await ours.gpg.encrypt(theirs.peer.octets, compress=theirs.peer.compress)
    assert theirs.peer.decrypt(message, ours.keys.secret, ours.keys.public) == theirs.peer.octets
    signature = theirs.peer.sign(theirs.peer.octets, ours.keys.secret, DETACHED)
    (good,) = (await ours.gpg.verify(theirs.peer.octets, signature)).signatures
    assert good.primary_fingerprint == ours.gpg.fingerprint


@operation("they open our secret key with its passphrase")
async def they_open_our_key(ours: Ours, theirs: Theirs) -> None:
    message = await ours.gpg.encrypt(theirs.peer.octets, "locked@side.example", sign=False)
    with pytest.raises(Refused):
        theirs.peer.decrypt(message, ours.locked, passphrase="another")
    found = theirs.peer.decrypt(message, ours.locked, passphrase=PASSPHRASE)
    assert found == theirs.peer.octets


@operation("they refuse our signature on other data")
async def they_refuse(ours: Ours, theirs: Theirs) -> None:
    signature = await ours.gpg.sign(theirs.peer.octets, detach=True)
    with pytest.raises(Refused):
        theirs.peer.verify(signature, ours.keys.public, DETACHED, theirs.peer.octets + b".")


@operation("we read their key")
async def we_read_their_key(ours: Ours, theirs: Theirs) -> None:
    (scanned,) = await ours.gpg.scan(theirs.keys.public)
    assert scanned.fingerprint == theirs.key.fingerprint
    for key in (scanned, theirs.key):
        (user_id,) = key.user_ids
        address = f"{theirs.peer.name}@their.example"
        assert (user_id.text, user_id.email) == (f"Their Side <{address}>", address)
        assert key.usable_for(Capability.ENCRYPT)
        assert key.usable_for(Capability.SIGN)
    assert await ours.gpg.packet_fingerprint(theirs.keys.public) == theirs.key.fingerprint


@operation("we decrypt what they encrypt")
async def we_decrypt(ours: Ours, theirs: Theirs) -> None:
    message = theirs.peer.encrypt(theirs.peer.octets, ours.keys.public)
    found = await ours.gpg.decrypt_verify(message)
    assert (found.data, found.signatures) == (theirs.peer.octets, ())
    assert await ours.gpg.decrypt(message) == theirs.peer.octets


@operation("we decrypt and verify what they encrypt and sign")
async def we_decrypt_verify(ours: Ours, theirs: Theirs) -> None:
    message = theirs.peer.encrypt(theirs.peer.octets, ours.keys.public, theirs.keys.secret)
    found = (await ours.gpg.decrypt_verify(message)).require_good()
    assert found.data == theirs.peer.octets
    assert [one.primary_fingerprint for one in found.signatures] == [theirs.key.fingerprint]


@operation("we open what they encrypt to a passphrase")
async def we_unlock(ours: Ours, theirs: Theirs) -> None:
    message = theirs.peer.lock(theirs.peer.octets, PASSPHRASE)
    assert await ours.gpg.decrypt(message, passphrase=PASSPHRASE) == theirs.peer.octets


@operation("we verify their detached signature")
async def we_verify_detached(ours: Ours, theirs: Theirs) -> None:
    signature = theirs.peer.sign(theirs.peer.octets, theirs.keys.secret, DETACHED)
    await covers(ours, theirs, theirs.peer.octets, theirs.peer.octets, signature)


@operation("we verify their inline signature")
async def we_verify_inline(ours: Ours, theirs: Theirs) -> None:
    message = theirs.peer.sign(theirs.peer.octets, theirs.keys.secret, INLINE)
    await covers(ours, theirs, theirs.peer.octets, message)
    assert await ours.gpg.decrypt(message) == theirs.peer.octets


@operation("we verify their clear signature")
async def we_verify_clear(ours: Ours, theirs: Theirs) -> None:
    message = theirs.peer.sign(TEXT, theirs.keys.secret, CLEAR)
    await covers(ours, theirs, TEXT, message)


@operation("we use their secret key")
async def we_use_their_key(ours: Ours, theirs: Theirs) -> None:
    with clean_home() as home:
        async with GnuPG(passphrase=PASSPHRASE, homedir=home) as gpg:
            imported = await gpg.text_import(theirs.keys.secret)
            assert imported.secret_imported == 1
            await gpg.set_fingerprint(theirs.key.fingerprint)
            message = await ours.gpg.encrypt(theirs.peer.octets, theirs.key.fingerprint, sign=False)
            assert await gpg.decrypt(message) == theirs.peer.octets
            signature = await gpg.sign(theirs.peer.octets, detach=True)
    theirs.peer.verify(signature, theirs.keys.public, DETACHED, theirs.peer.octets)


@operation("we refuse their signature on other data")
async def we_refuse(ours: Ours, theirs: Theirs) -> None:
    signature = theirs.peer.sign(theirs.peer.octets, theirs.keys.secret, DETACHED)
    with pytest.raises(BadSignature):
        await ours.gpg.verify(theirs.peer.octets + b".", signature)


async def covers(
    ours: Ours, theirs: Theirs, data: bytes, message: bytes, signature: bytes | None = None
) -> None:
    found = await ours.gpg.verify(message, signature)
    assert [one.primary_fingerprint for one in found.signatures] == [theirs.key.fingerprint]
    assert lines(found.data) == lines(data) if data is TEXT else found.data == data


def lines(text: bytes) -> list[bytes]:
    """A clear signature covers lines, and not how they end (RFC 9580, section 7.2)."""
    return text.rstrip().splitlines()


@pytest.mark.parametrize("name", OPERATIONS)
async def test_interoperation(ours: Ours, theirs: Theirs, name: str) -> None:
    cell = TABLE.setdefault(name, {})
    missing = [word for word in theirs.peer.lacks if word in name]
    if missing:
        cell[theirs.peer.name] = "-"
        pytest.skip(f"{theirs.peer.name} offers nothing of the kind: {missing[0]}")
    cell[theirs.peer.name] = "NO"
    await OPERATIONS[name](ours, theirs)
    cell[theirs.peer.name] = "yes"
