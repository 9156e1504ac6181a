"""Which passphrase opens what: the keys', the message's, the one that is given."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, MakeGnuPG, PlainGpg, alice_at, cheap
from tiny_gnupg import BadPassphrase, DecryptionFailed, GnuPG, NotSigned
from tiny_gnupg._home.protection import Scheme
from tiny_gnupg._openpgp.armor import dearmor


@pytest.mark.parametrize("protection", ["scrypt", "gnupg"])
async def test_what_is_given_opens_keys_that_the_own_one_does_not(
    home: Path, make_gnupg: MakeGnuPG, tmp_path: Path, protection: Scheme
) -> None:
    made = make_gnupg(alice_at, cheap(home, protection), passphrase="the keys'")
    await made.gen_key()
    message = await made.encrypt(b"text")
    path = tmp_path / "message.gpg"
    path.write_bytes(message)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for own in ("", "another"):
        gpg = make_gnupg(alice_at, home, passphrase=own)
        assert await gpg.decrypt(message, passphrase="the keys'") == b"text"
        assert (await gpg.decrypt_verify(message, passphrase="the keys'")).text == "text"
        target = tmp_path / "out"
        await gpg.decrypt_file(path, target, passphrase="the keys'", overwrite=True)
        assert target.read_bytes() == b"text"
        with pytest.raises(BadPassphrase):
            await gpg.decrypt(message)
        with pytest.raises(BadPassphrase):
            await gpg.decrypt(message, passphrase="neither")
    gpg = make_gnupg(alice_at, home, passphrase="")
    writing = asyncio.to_thread(pipe.write_bytes, message)
    reading = gpg.decrypt_file(pipe, tmp_path / "out", passphrase="the keys'", overwrite=True)
    await asyncio.gather(writing, reading)
    assert await made.decrypt(message, passphrase="no need of it") == b"text"


@pytest.mark.parametrize("given", ["words", "w" * 300])
async def test_a_message_to_a_key_and_to_a_passphrase_opens_by_either(
    alice: GnuPG, bob: GnuPG, plain_gpg: object, given: str
) -> None:
    plain = PlainGpg(Path(bob.home), given)
    how = ("--trust-model", "always", "--recipient", ALICE, "--encrypt", "--symmetric")
    message = plain.run(*how, stdin="text").stdout
    for gpg, words in ((alice, None), (alice, "x"), (bob, given)):
        found = await gpg.decrypt_verify(message, passphrase=words)
        assert (found.text, found.symmetric) == ("text", True)
    with pytest.raises(BadPassphrase):
        await bob.decrypt(message, passphrase="wrong")


async def test_files_come_by_pipes_and_are_found_good_or_not(
    alice: GnuPG, bob: GnuPG, tmp_path: Path
) -> None:
    pipe, target = tmp_path / "pipe", tmp_path / "out"
    os.mkfifo(pipe)
    data = os.urandom(3_000_000)

    async def by_pipe(content: bytes, reading: object) -> object:
        return (await asyncio.gather(asyncio.to_thread(pipe.write_bytes, content), reading))[1]  # type: ignore[call-overload]

    sealed = await alice.encrypt(data, BOB)
    await by_pipe(sealed, bob.decrypt_file(pipe, target))
    assert target.read_bytes() == data
    found = await by_pipe(sealed, bob.decrypt_verify_file(pipe, target, overwrite=True))
    assert len(found.signatures) == 1  # type: ignore[attr-defined]
    signed = await alice.sign(data)
    assert len((await by_pipe(signed, bob.verify_file(pipe))).signatures) == 1  # type: ignore[attr-defined]
    changed = bytearray(sealed)
    changed[-2000] ^= 1
    target.unlink()
    with pytest.raises(Exception, match=r"."):
        await by_pipe(bytes(changed), bob.decrypt_file(pipe, target))
    assert not target.exists()
    with pytest.raises(NotSigned):
        await by_pipe(sealed, bob.verify_file(pipe))


async def test_a_hidden_recipient_keeps_no_passphrase_from_opening(
    alice: GnuPG, bob: GnuPG, tmp_path: Path
) -> None:
    """Bob's own key is tried in vain first, which gpg counts for an error."""
    path = tmp_path / "message"
    for signed in (False, True):
        message = await alice.encrypt(b"text", "", signed, hidden=True, passphrase="words")
        path.write_bytes(message)
        assert await bob.decrypt(message, passphrase="words") == b"text"
        target = await bob.decrypt_file(path, tmp_path / "out", passphrase="words", overwrite=True)
        assert target.read_bytes() == b"text"
        async with bob.decrypt_stream([message], passphrase="words") as plain:
            assert await plain.read() == b"text"
        for wrong in ("wrong", None):
            with pytest.raises(BadPassphrase):
                await bob.decrypt(message, passphrase=wrong)
        assert await alice.decrypt(message) == b"text"
        for place in (-30, -1):
            changed = bytearray(dearmor(message))
            changed[place] ^= 1
            with pytest.raises(DecryptionFailed, match="changed or cut off"):
                await bob.decrypt(bytes(changed), passphrase="words")


async def test_a_passphrase_that_gpg_takes_for_wrong_is_refused_before(
    alice: GnuPG, tmp_path: Path
) -> None:
    """Where a message is signed, too, gpg is told of 255 bytes at most."""
    words, longer = "ä" * 127, "ä" * 128
    (tmp_path / "source").write_bytes(b"text")
    assert await alice.decrypt(await alice.encrypt("x", BOB, passphrase=words), passphrase=words)
    for call in (
        alice.encrypt("x", BOB, passphrase=longer),
        alice.encrypt_file(tmp_path / "source", BOB, passphrase=longer),
        alice.encrypt_symmetric("x", longer, sign=True),
        alice.encrypt_symmetric_file(tmp_path / "source", longer, sign=True),
    ):
        with pytest.raises(ValueError, match="255 bytes"):
            await call
    for made in (
        await alice.encrypt("x", BOB, sign=False, passphrase=longer),
        await alice.encrypt_symmetric("x", longer),
    ):
        assert await alice.decrypt(made, passphrase=longer) == "x"
