"""What only some gpgs can do: done by those that can, refused in words by those that cannot.

Each test is run with the gpg in use, and with Debian 13's where that is to be had.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.instances import BOB, MakeGnuPG, alice_at, bob_at
from tests.peers.gpg24 import gpg24
from tiny_gnupg import GnuPG, UnsupportedByGnuPG
from tiny_gnupg._process.find_gpg import find_executable

TEXT, WORDS = b"text", "open sesame"
OCB_PACKET = 20


@pytest.fixture(params=["in use", "2.4"])
def executable(request: pytest.FixtureRequest) -> Path:
    return gpg24() if request.param == "2.4" else find_executable()


@pytest.fixture
def alice(executable: Path, alices_home: Path, make_gnupg: MakeGnuPG) -> GnuPG:
    return make_gnupg(alice_at, alices_home, executable=executable)


@pytest.fixture
def bob(bobs_home: Path, make_gnupg: MakeGnuPG) -> GnuPG:
    """Bob, whose gpg is the one in use."""
    return make_gnupg(bob_at, bobs_home)


async def refused(gpg: GnuPG, awaitable: Awaitable[object]) -> None:
    version = ".".join(map(str, gpg.gpg_version))
    with pytest.raises(UnsupportedByGnuPG, match=f"gpg {version} has no .*GnuPG 2.4"):
        await awaitable


def _file(folder: Path) -> Path:
    (folder / "text").write_bytes(TEXT)
    return folder / "text"


async def _encrypt_file(gpg: GnuPG, folder: Path) -> bytes:
    return (await gpg.encrypt_file(_file(folder), BOB, ocb=True)).read_bytes()


async def _encrypt_symmetric_file(gpg: GnuPG, folder: Path) -> bytes:
    return (await gpg.encrypt_symmetric_file(_file(folder), WORDS, ocb=True)).read_bytes()


async def _encrypt_stream(gpg: GnuPG, _: Path) -> bytes:
    return b"".join([piece async for piece in gpg.encrypt_stream([TEXT], BOB, ocb=True)])


WAYS: dict[str, Callable[[GnuPG, Path], Awaitable[bytes]]] = {
    "encrypt": lambda gpg, _: gpg.encrypt(TEXT, BOB, ocb=True),
    "encrypt_symmetric": lambda gpg, _: gpg.encrypt_symmetric(TEXT, WORDS, ocb=True),
    "encrypt_file": _encrypt_file,
    "encrypt_symmetric_file": _encrypt_symmetric_file,
    "encrypt_stream": _encrypt_stream,
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_message_is_in_OCB_where_that_is_asked_for(
    alice: GnuPG, bob: GnuPG, tmp_path: Path, way: str
) -> None:
    if "ocb" not in alice.features:
        await refused(alice, WAYS[way](alice, tmp_path))
        assert [path.name for path in tmp_path.iterdir()] in ([], ["text"])
        return
    message = await WAYS[way](alice, tmp_path)
    assert OCB_PACKET in [packet.tag for packet in await bob.packets(message)]
    assert await bob.decrypt(message, passphrase=WORDS) == TEXT


async def test_no_message_is_in_OCB_unless_that_is_asked_for(alice: GnuPG) -> None:
    for message in (
        await alice.encrypt(TEXT, BOB, sign=False),
        await alice.encrypt_symmetric(TEXT, WORDS),
    ):
        assert OCB_PACKET not in [packet.tag for packet in await alice.packets(message)]
