"""A changed or cut message gives its exact plaintext or an error, and never a file (EFAIL).

In an ordinary run one bit of every byte is flipped, and one message is tried as a file at every
eighth place. ``TINY_GNUPG_ALL_BITS=1`` flips every bit, and tries each as a file as well.
"""

from __future__ import annotations

import asyncio
import os
import pickle
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.instances import PlainGpg, alice_at
from tiny_gnupg import CommandFailed, DecryptionFailed, GnuPG, GnuPGError
from tiny_gnupg._process.find_gpg import agent_program, find_executable

#: No attack succeeds where a gpg waited for the message.
pytestmark = pytest.mark.usefixtures("both_ways")

ALL_BITS = os.environ.get("TINY_GNUPG_ALL_BITS") == "1"
PLAINTEXT = b"pay 10 to bob"
#: gpgs at once.
WIDTH = 4


def flips(message: bytes) -> Iterator[bytes]:
    """Return the message with one bit flipped, at each byte."""
    for place in range(len(message)):
        # Another bit at each byte, the same ones in every run.
        for bit in range(8) if ALL_BITS else [place * 5 % 8]:
            yield message[:place] + bytes([message[place] ^ 1 << bit]) + message[place + 1 :]


def truncations(message: bytes) -> Iterator[bytes]:
    """Return every beginning of a message."""
    return (message[:length] for length in range(len(message)))


async def outcomes(
    messages: Iterator[bytes], give: Callable[[bytes], Awaitable[bytes]]
) -> dict[str, int]:
    """Try each message, and count the errors and the exact plaintexts; nothing else may come."""
    counts = {"error": 0, "exact": 0}

    async def worker() -> None:
        for message in messages:
            try:
                found = await give(message)
            except GnuPGError:
                counts["error"] += 1
            else:
                assert found == PLAINTEXT, message.hex()
                counts["exact"] += 1

    await asyncio.gather(*(worker() for _ in range(WIDTH)))
    return counts


@pytest.mark.parametrize("damage", [flips, truncations])
@pytest.mark.parametrize("compress", [False, True])
async def test_an_encrypted_and_signed_message(
    alice: GnuPG,
    bob: GnuPG,
    damage: Callable[[bytes], Iterator[bytes]],
    compress: bool,
) -> None:
    message = await bob.encrypt(PLAINTEXT, alice.fingerprint, armor=False, compress=compress)

    async def plaintext(damaged: bytes) -> bytes:
        # Not ``decrypt``, where a bad signature would do as well: encryption alone must hold.
        return (await alice.decrypt_verify(damaged)).data

    counts = await outcomes(damage(message), plaintext)
    print(len(message), "bytes:", counts)
    assert counts["error"] > 0.9 * len(message)


@pytest.mark.parametrize("damage", [flips, truncations])
@pytest.mark.parametrize("clear", [False, True])
async def test_a_signed_message(
    alice: GnuPG, bob: GnuPG, damage: Callable[[bytes], Iterator[bytes]], clear: bool
) -> None:
    message = await bob.sign(PLAINTEXT, clear=clear)
    # A text ends with a line end where the signature is below it.
    if clear:
        message = message.replace(PLAINTEXT + b"\n\n", PLAINTEXT + b"\n")

    async def covered(damaged: bytes) -> bytes:
        return (await alice.verify(damaged)).data.removesuffix(b"\n" if clear else b"")

    counts = await outcomes(iter(list(damage(message))[:: 1 if ALL_BITS else 4]), covered)
    print(len(message), "bytes:", counts)
    assert counts["error"] > 0


@pytest.mark.parametrize("damage", [flips, truncations])
async def test_no_file_appears(
    alice: GnuPG, bob: GnuPG, damage: Callable[[bytes], Iterator[bytes]], tmp_path: Path
) -> None:
    message = await bob.encrypt(PLAINTEXT, alice.fingerprint, armor=False)
    names = iter(range(len(message) * 8))

    async def by_file(damaged: bytes) -> bytes:
        number = next(names)
        source, output = tmp_path / f"{number}.gpg", tmp_path / f"{number}.out"
        source.write_bytes(damaged)
        try:
            await alice.decrypt_file(source, output)
            return output.read_bytes()
        except GnuPGError:
            assert not output.exists()
            raise
        finally:
            source.unlink()
            output.unlink(missing_ok=True)
            assert not list(tmp_path.glob(f".{number}.*"))

    counts = await outcomes(iter(list(damage(message))[:: 1 if ALL_BITS else 8]), by_file)
    print(len(message), "bytes:", counts)
    assert list(tmp_path.iterdir()) == []


async def test_a_message_without_integrity_protection(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    """gpg prints its plaintext before it says that nothing protects it."""
    plain = plain_gpg(home=Path(alice.home))
    old = ("--rfc2440", "--trust-model", "always", "-r", alice.fingerprint, "--encrypt")
    message = plain.run(*old, stdin=PLAINTEXT).stdout
    assert [packet.tag for packet in await alice.packets(message)][:2] == [1, 9]
    with pytest.raises(DecryptionFailed):
        await alice.decrypt_verify(message)


async def test_a_gpg_that_is_killed_behind_the_plaintext(alice: GnuPG, tmp_path: Path) -> None:
    """Nobody knows then whether it was whole; the error must not hold it, either."""
    gpg = find_executable()
    agent = agent_program(gpg)
    options = f"--agent-program '{agent}'" if agent else ""
    dying = tmp_path / "gpg"
    dying.write_text(
        f"#!/bin/sh\n'{gpg}' {options} \"$@\" || exit\n"
        'case "$*" in *--decrypt*) kill -9 $$;; esac\n'
    )
    dying.chmod(0o700)
    message = await alice.encrypt(PLAINTEXT)
    async with alice_at(Path(alice.home), executable=dying) as reader:
        for read in (reader.decrypt, reader.decrypt_verify):
            with pytest.raises(CommandFailed, match="signal 9") as caught:
                await read(message)
            assert any(line.startswith("DECRYPTION_OKAY") for line in caught.value.status)
            assert PLAINTEXT not in pickle.dumps(caught.value)
