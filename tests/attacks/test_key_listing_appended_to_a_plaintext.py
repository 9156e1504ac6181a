"""A key behind an encrypted message: gpg lists it on the output, and that is no plaintext.

Whoever carries a message can append a public key to it, with a user id of their choice. gpg says
that all is well, signature and integrity, and prints the user id right behind the plaintext.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.instances import PlainGpg
from tests.openpgp import V4_KEY, new
from tiny_gnupg import GnuPG, GnuPGError

#: No attack succeeds where a gpg waited for the message.
pytestmark = pytest.mark.usefixtures("both_ways")

PLAINTEXT = b"pay 10 to bob\n"
INJECTED = "and 1000 to mallory"
FORGED = new(6, V4_KEY) + new(13, INJECTED.encode())


@pytest.fixture
async def message(alice: GnuPG, bob: GnuPG) -> bytes:
    return await bob.encrypt(PLAINTEXT, alice.fingerprint, armor=False) + FORGED


async def test_gpg_itself_prints_it(
    alice: GnuPG, message: bytes, plain_gpg: Callable[..., PlainGpg]
) -> None:
    plain = plain_gpg(await alice.agent_passphrase(), Path(alice.home))
    done = plain.run("--decrypt", stdin=message, check=False)
    assert done.stdout.startswith(PLAINTEXT)
    assert INJECTED.encode() in done.stdout


async def test_it_is_no_part_of_the_plaintext(alice: GnuPG, message: bytes) -> None:
    for read in (alice.decrypt, decrypted_and_judged(alice)):
        try:
            found = await read(message)
        except GnuPGError as error:
            assert INJECTED not in error.message  # noqa: PT017 - it need not be refused
        else:
            assert found == PLAINTEXT
    found_many = [one async for one in alice.decrypt_many([message], return_exceptions=True)]
    assert found_many == [PLAINTEXT] or isinstance(found_many[0], GnuPGError)


def decrypted_and_judged(gpg: GnuPG) -> Callable[[bytes], Awaitable[bytes]]:
    async def read(message: bytes) -> bytes:
        return (await gpg.decrypt_verify(message)).data

    return read


async def test_it_is_no_part_of_the_file(alice: GnuPG, message: bytes, tmp_path: Path) -> None:
    source = tmp_path / "message.gpg"
    source.write_bytes(message)
    target = await alice.decrypt_file(source)
    assert target.read_bytes() == PLAINTEXT


@pytest.mark.parametrize("compress", [True, False])
async def test_behind_a_signed_message(
    alice: GnuPG, bob: GnuPG, plain_gpg: Callable[..., PlainGpg], compress: bool
) -> None:
    form = [] if compress else ["--compress-algo", "none"]
    plain = plain_gpg(await bob.agent_passphrase(), Path(bob.home))
    signed = plain.run(*form, "--local-user", bob.fingerprint, "--sign", stdin=PLAINTEXT).stdout
    plain.end_agent()
    for read in (alice.decrypt, verified(alice)):
        try:
            assert await read(signed + FORGED) == PLAINTEXT
        except GnuPGError:
            continue


def verified(gpg: GnuPG) -> Callable[[bytes], Awaitable[bytes]]:
    async def read(message: bytes) -> bytes:
        return (await gpg.verify(message)).data

    return read
