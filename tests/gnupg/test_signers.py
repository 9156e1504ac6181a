"""Who must have signed: ``signer=`` of every method that judges signatures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB
from tests.leftovers import clean_home
from tiny_gnupg import BadSignature, GnuPG, KeyNotFound, NotSigned, WrongSigner
from tiny_gnupg._gpg.arguments import Signer
from tiny_gnupg._openpgp.armor import dearmor

TEXT = b"what was signed"


@dataclass
class Post:
    """A message in each form, and how each method reads it."""

    message: bytes
    signature: bytes
    signed: bytes
    folder: Path


Read = Callable[[GnuPG, Post, Signer], Awaitable[object]]


async def _decrypt_file(gpg: GnuPG, post: Post, signer: Signer) -> object:
    source, target = post.folder / "x.gpg", post.folder / "plain"
    source.write_bytes(post.message)
    try:
        await gpg.decrypt_file(source, target, signer=signer, overwrite=True)
    except Exception:
        assert not target.exists(), "nothing is given out"
        raise
    assert target.read_bytes() == TEXT
    target.unlink()
    return None


async def _decrypt_verify_file(gpg: GnuPG, post: Post, signer: Signer) -> object:
    source = post.folder / "x.gpg"
    source.write_bytes(post.message)
    found = await gpg.decrypt_verify_file(source, signer=signer, overwrite=True)
    return found.require_signed() if signer is not None else found.require_good()


async def _verify_file(gpg: GnuPG, post: Post, signer: Signer) -> object:
    source, signature = post.folder / "x", post.folder / "x.sig"
    source.write_bytes(TEXT)
    signature.write_bytes(post.signature)
    return await gpg.verify_file(source, signature, signer=signer)


async def _verify_signed_file(gpg: GnuPG, post: Post, signer: Signer) -> object:
    source = post.folder / "x.asc"
    source.write_bytes(post.signed)
    return await gpg.verify_file(source, signer=signer)


async def _many(found: AsyncIterator[object]) -> object:
    return [one async for one in found]


async def _decrypt_verify(gpg: GnuPG, post: Post, signer: Signer) -> object:
    return (await gpg.decrypt_verify(post.message, signer=signer)).require_good()


DECRYPTING: dict[str, Read] = {
    "decrypt": lambda gpg, post, signer: gpg.decrypt(post.message, signer=signer),
    "decrypt_verify": _decrypt_verify,
    "decrypt_file": _decrypt_file,
    "decrypt_verify_file": _decrypt_verify_file,
    "decrypt_many": lambda gpg, post, signer: _many(
        gpg.decrypt_many([post.message] * 2, signer=signer)
    ),
    "auto_decrypt": lambda gpg, post, signer: gpg.auto_decrypt(post.message, signer=signer),
}
VERIFYING: dict[str, Read] = {
    "verify": lambda gpg, post, signer: gpg.verify(post.signed, signer=signer),
    "verify detached": lambda gpg, post, signer: gpg.verify(TEXT, post.signature, signer=signer),
    "verify_file": _verify_signed_file,
    "verify_file detached": _verify_file,
    "verify_many": lambda gpg, post, signer: _many(
        gpg.verify_many([post.signed] * 2, signer=signer)
    ),
    "auto_verify": lambda gpg, post, signer: gpg.auto_verify(TEXT, post.signature, signer=signer),
}
READING = {**DECRYPTING, **VERIFYING}


async def post_of(gpg: GnuPG, folder: Path, *, sign: bool = True) -> Post:
    """Return a message to Alice that somebody wrote."""
    return Post(
        await gpg.encrypt(TEXT, ALICE, sign),
        await gpg.sign(TEXT, detach=True),
        await gpg.sign(TEXT),
        folder,
    )


@pytest.mark.parametrize("method", READING)
async def test_by_bob_and_by_nobody_else(
    alice: GnuPG, bob: GnuPG, tmp_path: Path, method: str
) -> None:
    post, read = await post_of(bob, tmp_path), READING[method]
    [key] = await alice.keys(BOB)
    subkey = next(one for one in key.subkeys if "s" in one.capabilities)
    good: list[Signer] = [BOB, f"<{BOB}>", key, key.fingerprint, key.fingerprint.lower()]
    good += [subkey.fingerprint, f"{subkey.fingerprint}!", [ALICE, BOB], iter([BOB]), None]
    for signer in good:
        await read(alice, post, signer)
    for other in (ALICE, "", [ALICE], "F" * 40, f"{key.fingerprint}!"):
        with pytest.raises(WrongSigner) as caught:
            await read(alice, post, other)
        assert caught.value.value == subkey.fingerprint
        assert [one.good for one in caught.value.signatures] == [True]


@pytest.mark.parametrize("method", READING)
async def test_who_cannot_be_pinned(alice: GnuPG, bob: GnuPG, tmp_path: Path, method: str) -> None:
    post, read = await post_of(bob, tmp_path), READING[method]
    [key] = await alice.keys(BOB)
    for vague in ("Bob", "bob", "@example.org", key.key_id, f"Bob <{BOB}>", [], ["", BOB], ()):
        with pytest.raises(ValueError, match="signer"):
            await read(alice, post, vague)
    with pytest.raises(TypeError):
        await read(alice, post, 7)  # type: ignore[arg-type]
    if not method.startswith("auto_"):  # that would look them up
        with pytest.raises(KeyNotFound) as caught:
            await read(alice, post, "nobody@example.org")
        assert caught.value.value == "nobody@example.org"


@pytest.mark.parametrize("method", DECRYPTING)
async def test_nobody_signed(alice: GnuPG, bob: GnuPG, tmp_path: Path, method: str) -> None:
    post, read = await post_of(bob, tmp_path, sign=False), DECRYPTING[method]
    await read(alice, post, None)
    with pytest.raises(NotSigned):
        await read(alice, post, BOB)


@pytest.fixture
async def stranger(alice: GnuPG) -> AsyncIterator[GnuPG]:
    """Returns somebody who has Alice's key, and whom she does not know."""
    with clean_home() as home:
        async with GnuPG("Eve", "eve@example.org", homedir=home) as gpg:
            await gpg.gen_key()
            await gpg.text_import(await alice.text_export())
            yield gpg


async def test_a_second_signature_by_a_key_that_is_not_here(
    alice: GnuPG, bob: GnuPG, stranger: GnuPG
) -> None:
    each = [dearmor(await gpg.sign(TEXT, detach=True)) for gpg in (stranger, bob)]
    for both in (b"".join(each), b"".join(reversed(each))):
        with pytest.raises(KeyNotFound) as caught:
            await alice.verify(TEXT, both)
        assert len(caught.value.signatures) == 2
        found = await alice.verify(TEXT, both, signer=BOB)
        assert len(found.signatures) == 2
        assert found.signed_by((await alice.keys(BOB))[0])
        # Of what is not here, only the part that signed is known.
        for other in (ALICE, stranger.fingerprint):
            with pytest.raises(WrongSigner):
                await alice.verify(TEXT, both, signer=other)
        [key] = await stranger.keys(stranger.fingerprint)
        signing = next(one for one in key.subkeys if "s" in one.capabilities)
        with pytest.raises(KeyNotFound):
            await alice.verify(TEXT, both, signer=signing.fingerprint)
        with pytest.raises(BadSignature):
            await alice.verify(TEXT + b"!", both, signer=BOB)


async def test_an_address_that_was_given_up_is_nobodys(alice: GnuPG, bob: GnuPG) -> None:
    await bob.add_uid("", "Bob", "bob@new.example")
    await bob.revoke_uid("", BOB)
    await alice.text_import(await bob.text_export())
    signed = await bob.sign("text")
    await alice.verify(signed, signer="bob@new.example")
    with pytest.raises(KeyNotFound):
        await alice.verify(signed, signer=BOB)
