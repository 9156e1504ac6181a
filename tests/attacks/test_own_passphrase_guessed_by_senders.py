"""Anybody can write a message to a passphrase: an own one that is tried on it would be a guess.

What comes of the guess shows, by an answer, an error or the time that it takes; and it costs one
hash where the own passphrase is guarded by scrypt. So the own passphrase opens keys, and the
passphrase of a message is given with it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.instances import MakeGnuPG, PlainGpg, alice_at, cheap
from tiny_gnupg import BadPassphrase, GnuPG, NoSecretKey
from tiny_gnupg._home.protection import Scheme

#: No attack succeeds where a gpg waited for the message, or the message flows.
pytestmark = pytest.mark.usefixtures("every_way")

GUESS = "the own words"
Open = Callable[[GnuPG, bytes, Path, dict[str, Any]], Awaitable[bytes]]


async def _file(gpg: GnuPG, message: bytes, folder: Path, more: dict[str, Any]) -> bytes:
    source, target = folder / "message.gpg", folder / "out"
    source.write_bytes(message)
    found = await gpg.decrypt_file(source, target, overwrite=True, **more)
    return found.read_bytes()


async def _verified_file(gpg: GnuPG, message: bytes, folder: Path, more: dict[str, Any]) -> bytes:
    source, target = folder / "message.gpg", folder / "out"
    source.write_bytes(message)
    found = await gpg.decrypt_verify_file(source, target, overwrite=True, **more)
    assert found.path is not None
    return found.path.read_bytes()


async def _pipe(gpg: GnuPG, message: bytes, folder: Path, more: dict[str, Any]) -> bytes:
    source, target = folder / "pipe", folder / "out"
    if not source.exists():
        os.mkfifo(source)
    writing = asyncio.to_thread(source.write_bytes, message)
    reading = gpg.decrypt_file(source, target, overwrite=True, **more)
    _, found = await asyncio.gather(writing, reading)
    return found.read_bytes()


async def _many(gpg: GnuPG, message: bytes, _: Path, more: dict[str, Any]) -> bytes:
    if more:
        return await gpg.decrypt(message, **more)
    [found] = [one async for one in gpg.decrypt_many([message])]
    return found


async def _verified(gpg: GnuPG, message: bytes, _: Path, more: dict[str, Any]) -> bytes:
    return (await gpg.decrypt_verify(message, **more)).data


WAYS: dict[str, Open] = {
    "decrypt": lambda gpg, message, _, more: gpg.decrypt(message, **more),
    "auto_decrypt": lambda gpg, message, _, more: gpg.auto_decrypt(message, **more),
    "decrypt_verify": _verified,
    "decrypt_file": _file,
    "decrypt_verify_file": _verified_file,
    "decrypt_file(pipe)": _pipe,
    "decrypt_many": _many,
}


@pytest.mark.parametrize("protection", ["scrypt", "gnupg"])
async def test_a_right_guess_is_as_wrong_as_any(
    home: Path,
    make_gnupg: MakeGnuPG,
    plain_gpg: Callable[..., PlainGpg],
    tmp_path: Path,
    protection: Scheme,
) -> None:
    gpg = make_gnupg(alice_at, cheap(home, protection), passphrase=GUESS)
    await gpg.gen_key()
    stranger = plain_gpg(GUESS)
    unknown = stranger.new_key("Nobody <n@x.org>")
    both = ("--trust-model", "always", "--recipient", unknown, "--encrypt")
    for more in ((), both):
        message = stranger.run(*more, "--symmetric", stdin="guessed").stdout
        for name, way in WAYS.items():
            with pytest.raises((BadPassphrase, NoSecretKey)):
                await way(gpg, message, tmp_path, {})
            given = await way(gpg, message, tmp_path, {"passphrase": GUESS})
            assert given == b"guessed", name


async def test_no_message_is_written_to_it(alice: GnuPG) -> None:
    for none in (None, ""):
        with pytest.raises(ValueError, match="name the passphrase"):
            await alice.encrypt_symmetric("x", none)
