"""Keys and messages that other projects keep for their own tests, on each gpg that is here.

They are not part of this project: the folder is named by TINY_GNUPG_VECTORS. Each test is about
one file, and is named by what is wrong with it, or special.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.instances import PlainGpg
from tests.leftovers import clean_home
from tests.others import VECTORS, needs_vectors
from tests.peers.gpg24 import gpg24
from tiny_gnupg import (
    AmbiguousKey,
    BadPassphrase,
    DecryptionFailed,
    GnuPG,
    GnuPGError,
    ImportFailed,
    KeyNotFound,
    NotOpenPGP,
)
from tiny_gnupg._process.find_gpg import find_executable, probe

pytestmark = needs_vectors

PASSPHRASE = "a passphrase of ours"


@pytest.fixture(params=["the gpg that is used", "GnuPG 2.4"])
def executable(request: pytest.FixtureRequest) -> Path:
    return gpg24() if request.param == "GnuPG 2.4" else find_executable()


@pytest.fixture
async def gpg(executable: Path, home: Path) -> AsyncIterator[GnuPG]:
    async with GnuPG(passphrase=PASSPHRASE, homedir=home, executable=executable) as gpg:
        yield gpg


def vector(name: str) -> bytes:
    return (VECTORS / name).read_bytes()


@pytest.mark.parametrize("name", ["gnupg/enc-sym-ocb-1.asc", "gnupg/enc-sym-cfb-1.asc"])
async def test_a_passphrase_opens_it_and_no_other_gives_data(gpg: GnuPG, name: str) -> None:
    message = vector(name)
    assert await gpg.decrypt(message, passphrase="password") == b"Hello, world!\n"
    for wrong in ("Password", "password ", "", None):
        with pytest.raises((BadPassphrase, DecryptionFailed)) as caught:
            await gpg.decrypt(message, passphrase=wrong)
        assert isinstance(caught.value, GnuPGError)
        assert "Hello" not in caught.value.diagnostics()


async def test_two_keys_with_one_key_id_are_told_apart_by_fingerprint(gpg: GnuPG) -> None:
    found: list[str] = []
    for number in (1, 2):
        result = await gpg.text_import(vector(f"gnupg/dda252ebb8ebe1af-{number}.asc"))
        found += result.fingerprints
    assert len(set(found)) == 2
    assert {fingerprint[-16:] for fingerprint in found} == {"DDA252EBB8EBE1AF"}
    with pytest.raises(AmbiguousKey) as caught:
        await gpg.key_fingerprint("dda252ebb8ebe1af")
    assert set(caught.value.candidates) == set(found)
    for fingerprint in found:
        assert await gpg.key_fingerprint(fingerprint) == fingerprint
        assert [key.fingerprint for key in await gpg.keys(fingerprint.lower())] == [fingerprint]


@pytest.mark.parametrize("name", ["gnupg/no-creation-time.gpg", "gnupg/v5-sample-1-pub.asc"])
async def test_a_key_that_not_every_gpg_takes(gpg: GnuPG, name: str) -> None:
    block = vector(name)
    try:
        result = await gpg.text_import(block)
    except ImportFailed as error:
        refused = "this gpg (can|does not) read"
        assert re.search(refused, error.message)  # noqa: PT017 - it may be imported
        with pytest.raises(NotOpenPGP, match=refused):
            await gpg.scan(block)
        assert await gpg.keys() == ()
        return
    (scanned,) = await gpg.scan(block)
    (key,) = await gpg.keys(result.fingerprints[0])
    assert key.fingerprint == scanned.fingerprint == await gpg.packet_fingerprint(block)
    assert await gpg.list_keys(key.fingerprint) == {key.fingerprint: key.email}
    await gpg.delete(key.fingerprint)
    assert await gpg.keys() == ()


async def test_a_version_5_key_is_taken_where_gpg_knows_it(gpg: GnuPG, executable: Path) -> None:
    block = vector("gnupg/v5-sample-1-pub.asc")
    if (await probe(executable)).version < (2, 3, 0):
        with pytest.raises(ImportFailed):
            await gpg.text_import(block)
        return
    (fingerprint,) = (await gpg.text_import(block)).fingerprints
    assert len(fingerprint) == 64
    message = await gpg.encrypt(b"text", fingerprint, sign=False)
    found = await gpg.packet_fingerprint(message)
    (key,) = await gpg.keys(fingerprint)
    assert found in {part.key_id for part in key.subkeys}


async def test_six_keys_in_one_block(gpg: GnuPG) -> None:
    block = vector("gnupg/whats-new-in-2.1.asc")
    result = await gpg.text_import(block)
    assert (result.imported, len(result.fingerprints)) == (6, 6)
    assert {key.fingerprint for key in await gpg.keys()} == set(result.fingerprints)
    assert {key.fingerprint for key in await gpg.scan(block)} == set(result.fingerprints)


@pytest.mark.parametrize(
    ("name", "curve", "email"),
    [
        ("gnupg/ecc-sample-1-pub.asc", "nistp256", "openpgp@brainhub.org"),
        ("gnupg/ed25519-cv25519-sample-1.asc", "ed25519", "patrice.lumumba@example.net"),
    ],
)
async def test_elliptic_curves_of_other_hands(
    gpg: GnuPG, name: str, curve: str, email: str
) -> None:
    (fingerprint,) = (await gpg.text_import(vector(name))).fingerprints
    (key,) = await gpg.keys(email)
    assert (key.fingerprint, key.curve, key.email) == (fingerprint, curve, email)
    message = await gpg.encrypt("text", email, sign=False)
    assert await gpg.packet_fingerprint(message) in {part.key_id for part in key.subkeys}


async def test_a_message_to_a_passphrase_without_integrity_protection(gpg: GnuPG) -> None:
    message = vector("pgpy/message.nomdc.pass.asc")
    with clean_home() as home:
        plain = PlainGpg(home, "QwertyUiop")
        released = plain.run("--ignore-mdc-error", "--decrypt", stdin=message).stdout
        plain.end_agent()
    assert released
    for ask in (gpg.decrypt, gpg.decrypt_verify):
        with pytest.raises(DecryptionFailed) as caught:
            await ask(message, passphrase="QwertyUiop")
        # What gpg printed before it found out is nowhere.
        assert released.decode() not in repr(vars(caught.value)) + caught.value.diagnostics()


async def test_a_message_to_a_key_without_integrity_protection(gpg: GnuPG) -> None:
    with pytest.raises(DecryptionFailed):
        await gpg.decrypt(vector("rnp/message.txt.enc-no-mdc"))


async def test_a_key_whose_listing_has_no_user_id_is_listed(gpg: GnuPG) -> None:
    block = vector("rnp/key-empty-uid.pgp")
    (key,) = await gpg.scan(block)
    assert key.email == ""
    try:
        (fingerprint,) = (await gpg.text_import(block)).fingerprints
    except ImportFailed as error:
        assert "no user id that it signed itself" in error.message  # noqa: PT017 - likewise
        assert await gpg.list_keys() == {}
    else:
        assert await gpg.list_keys() == {fingerprint: ""}
        assert await gpg.key_fingerprint(fingerprint) == key.fingerprint


async def test_a_clear_signature_without_dash_escapes(gpg: GnuPG, executable: Path) -> None:
    message = vector("rpgp/gpg.fail-notdash")
    for ask in (gpg.decrypt, gpg.verify):
        with pytest.raises(KeyNotFound) as caught:
            await ask(message)
        assert caught.value.value == "656E4C5AC1CC3B86E539D97E343635A6859A9174"
    found = await gpg.decrypt_verify(message)
    with clean_home() as home:
        plain = PlainGpg(home)
        shown = plain.run("--decrypt", stdin=message, check=False).stdout
        plain.end_agent()
    assert found.data == shown
    with pytest.raises(KeyNotFound):
        found.require_good()


@pytest.mark.parametrize("name", ["two_messages.asc", "two_literals_first_compressed.asc"])
async def test_two_messages_in_one(gpg: GnuPG, name: str) -> None:
    message = vector(f"rpgp/{name}")
    for ask in (gpg.decrypt, gpg.decrypt_verify, gpg.verify):
        with pytest.raises(GnuPGError):
            await ask(message)


@pytest.mark.parametrize(("name", "number"), [("keys_to_import", 2), ("signed_keys", 2)])
async def test_public_keys_of_python_gnupg(gpg: GnuPG, name: str, number: int) -> None:
    block = vector(f"python-gnupg/{name}.asc").decode()
    result = await gpg.text_import(block)
    assert result.imported == len(result.fingerprints) == number
    listed = await gpg.list_keys()
    assert set(listed) == set(result.fingerprints)
    assert all("@" in email for email in listed.values())
    for fingerprint in result.fingerprints:
        exported = await gpg.text_export(fingerprint)
        assert [key.fingerprint for key in await gpg.scan(exported)] == [fingerprint]
        await gpg.delete(fingerprint)
        assert (await gpg.text_import(exported)).fingerprints == (fingerprint,)


async def test_the_secret_key_of_python_gnupg(
    home: Path, other_home: Path, executable: Path
) -> None:
    block = vector("python-gnupg/secret_key.asc")
    async with GnuPG(passphrase="pp1", homedir=home, executable=executable) as gpg:
        result = await gpg.text_import(block)
        (fingerprint,) = result.fingerprints
        assert result.secret_imported == 1
        (key,) = await gpg.keys(secret=True)
        assert (key.fingerprint, key.email, key.secret) == (fingerprint, "user1@test", True)
        await gpg.set_fingerprint(fingerprint)
        signature = await gpg.sign("text", detach=True)
        exported = await gpg.text_export(secret=True)
    async with GnuPG(passphrase="pp1", homedir=other_home, executable=executable) as other:
        assert (await other.text_import(exported)).secret_imported == 1
        await other.set_fingerprint(fingerprint)
        (good,) = (await other.verify("text", signature)).signatures
        assert good.primary_fingerprint == fingerprint
        assert await other.verify(await other.sign("text"))


async def test_a_secret_key_under_another_passphrase_than_ours(gpg: GnuPG) -> None:
    (fingerprint,) = (await gpg.text_import(vector("python-gnupg/secret_key.asc"))).fingerprints
    await gpg.set_fingerprint(fingerprint)
    for refused in (gpg.sign("text"), gpg.text_export(secret=True)):
        with pytest.raises(BadPassphrase):
            await refused
    gpg.passphrase = "pp1"
    assert await gpg.verify(await gpg.sign("text"))
