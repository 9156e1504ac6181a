"""Which passphrase opens what: the keys', the message's, the one that is given."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, MakeGnuPG, PlainGpg, alice_at, cheap
from tiny_gnupg import BadPassphrase, GnuPG, NotSigned
from tiny_gnupg._home.protection import Scheme


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
