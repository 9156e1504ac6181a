"""What only some gpgs can do: done by those that can, refused in words by those that cannot.

Each test is run with the gpg in use, and with Debian 13's where that is to be had.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, PASSPHRASE, MakeGnuPG, alice_at, bob_at
from tests.peers.gpg24 import gpg24
from tiny_gnupg import (
    BadPassphrase,
    Capability,
    GnuPG,
    KeyNotFound,
    UnsupportedByGnuPG,
    UnusableKey,
)
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


# -- OCB -----------------------------------------------------------------------------------


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


# -- Additional decryption subkeys ---------------------------------------------------------


async def test_an_additional_decryption_subkey_is_added_and_ended(alice: GnuPG, bob: GnuPG) -> None:
    [bobs] = [one for one in (await bob.own()).subkeys if Capability.ENCRYPT in one.capabilities]
    if "adsk" not in alice.features:
        before = await alice.text_export()
        await refused(alice, alice.add_adsk("", BOB))
        assert await alice.text_export() == before
        return
    assert await alice.add_adsk("", BOB) == bobs.fingerprint
    added = (await alice.own()).subkeys[-1]
    assert (added.fingerprint, added.secret) == (bobs.fingerprint, False)
    assert added.capabilities == {Capability.RESTRICTED_ENCRYPT}
    message = await alice.encrypt(TEXT, "", sign=False)
    assert await bob.decrypt(message) == await alice.decrypt(message) == TEXT
    # What is Bob's alone is not Alice's.
    for_bob = await alice.encrypt(TEXT, BOB, sign=False)
    assert (await bob.decrypt_verify(for_bob)).recipients == (bobs.key_id,)
    await alice.set_expire("", "2y")
    await alice.rotate(usages=["encrypt"])
    await alice.revoke_subkey("", bobs.fingerprint)
    message = await alice.encrypt(TEXT, "", sign=False)
    assert bobs.key_id not in (await alice.decrypt_verify(message)).recipients
    await alice.delete_subkey("", bobs.fingerprint)
    assert await alice.add_adsk(ALICE, f"{bobs.fingerprint}!") == bobs.fingerprint


async def test_what_is_no_additional_decryption_subkey_is_refused(alice: GnuPG) -> None:
    if "adsk" not in alice.features:
        pytest.skip("the gpg in use adds none")
    before = await alice.text_export()
    [bob] = await alice.keys(BOB)
    with pytest.raises(ValueError, match="another key's"):
        await alice.add_adsk("", ALICE)
    with pytest.raises(KeyNotFound):
        await alice.add_adsk("", "nobody@example.org")
    for part in (bob, bob.subkeys[0]):
        assert Capability.ENCRYPT not in part.capabilities
        with pytest.raises(UnusableKey):
            await alice.add_adsk("", f"{part.fingerprint}!")
    alice.passphrase = "wrong"
    with pytest.raises(BadPassphrase):
        await alice.add_adsk(ALICE, BOB)
    alice.passphrase = PASSPHRASE
    assert await alice.text_export() == before
