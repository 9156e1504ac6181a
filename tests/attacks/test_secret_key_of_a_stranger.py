"""A stranger's secret key with a service's address, given to it to be imported."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.instances import ALICE, BOB, PASSPHRASE, MakeGnuPG, PlainGpg, cheap
from tiny_gnupg import GnuPG, GnuPGError, KeyNotFound

Import = Callable[[GnuPG, str, Path], Awaitable[Any]]


async def by_text(gpg: GnuPG, block: str, folder: Path) -> None:
    await gpg.text_import(block)


async def by_bytes(gpg: GnuPG, block: str, folder: Path) -> None:
    await gpg.text_import(block.encode())


async def by_file(gpg: GnuPG, block: str, folder: Path) -> None:
    (folder / "key.asc").write_text(block)
    await gpg.file_import(folder / "key.asc")


WAYS: dict[str, Import] = {"text": by_text, "bytes": by_bytes, "file": by_file}

#: The stranger's passphrase; the service's own is the worst case for one without a key.
PASSPHRASES = ["", "the stranger's"]


@pytest.fixture
def strangers(plain_gpg: Callable[..., PlainGpg]) -> Callable[..., str]:
    """A maker of secret keys with Alice's address; the newest is the last."""

    def make(passphrase: str, *, address: str = ALICE) -> str:
        plain = plain_gpg(passphrase)
        key = plain.new_key(f"Alice <{address}>")
        return plain.run("--armor", "--export-secret-keys", key).stdout.decode()

    return make


async def signer(gpg: GnuPG) -> str:
    """Return by whose key an instance signs."""
    (signature,) = (await gpg.verify(await gpg.sign("text"))).signatures
    return str(signature.primary_fingerprint)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("passphrase", PASSPHRASES)
async def test_it_neither_becomes_the_own_key_nor_makes_it_ambiguous(
    alice: GnuPG,
    make_gnupg: MakeGnuPG,
    strangers: Callable[..., str],
    tmp_path: Path,
    way: str,
    passphrase: str,
) -> None:
    own = alice.fingerprint
    await WAYS[way](alice, strangers(passphrase), tmp_path)
    assert len(await alice.list_keys(ALICE, secret=True)) == 2
    for gpg in (alice, make_gnupg()):
        assert await signer(gpg) == own
        sealed = await gpg.encrypt("text")
        assert (await gpg.decrypt_verify(sealed)).signatures[0].primary_fingerprint == own
        assert (await gpg.scan(await gpg.text_export()))[0].fingerprint == own


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("passphrase", PASSPHRASES)
@pytest.mark.parametrize("protection", ["scrypt", "gnupg"])
async def test_an_instance_without_a_key_does_not_take_it_for_its_own(
    home: Path,
    make_gnupg: MakeGnuPG,
    strangers: Callable[..., str],
    tmp_path: Path,
    way: str,
    passphrase: str,
    protection: Any,
) -> None:
    alice = make_gnupg(at=cheap(home, protection))
    await WAYS[way](alice, strangers(passphrase), tmp_path)
    for gpg in (alice, make_gnupg()):
        for call in (
            partial(gpg.sign, "text"),
            partial(gpg.encrypt, "text"),
            gpg.text_export,
            gpg.network_export,
        ):
            with pytest.raises(GnuPGError, match="passphrase"):
                await call()
        assert gpg.fingerprint == ""
    own = await alice.gen_key()
    assert await signer(make_gnupg()) == own


async def test_whoever_wants_it_for_an_own_key_says_so(
    home: Path, make_gnupg: MakeGnuPG, strangers: Callable[..., str]
) -> None:
    alice = make_gnupg(at=cheap(home))
    await alice.text_import(strangers(""))
    with pytest.raises(KeyNotFound, match="set_fingerprint"):
        await alice.sign("text")
    await alice.set_fingerprint(ALICE)
    assert await signer(alice) == alice.fingerprint


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE])
async def test_the_own_key_from_another_program_is_found_beside_a_strangers(
    home: Path,
    make_gnupg: MakeGnuPG,
    strangers: Callable[..., str],
    plain_gpg: Callable[..., PlainGpg],
    passphrase: str,
) -> None:
    """No note says which it is: the passphrase does."""
    plain = plain_gpg(passphrase, home)
    own = plain.new_key(f"Alice <{ALICE}>")
    plain.run("--import", stdin=strangers("the stranger's"))
    plain.end_agent()
    alice = make_gnupg(passphrase=passphrase)
    assert alice.fingerprint == ""
    assert await signer(alice) == own
    assert await alice.gen_key() != own


async def test_only_public_keys_are_taken_where_the_service_says_so(
    alice: GnuPG, strangers: Callable[..., str], tmp_path: Path
) -> None:
    before = await alice.list_keys(secret=True)
    files = sorted(path.name for path in (Path(alice.home) / "private-keys-v1.d").iterdir())
    for number, passphrase in enumerate(PASSPHRASES):
        block = strangers(passphrase, address="carol@example.org")
        path = tmp_path / f"{number}.asc"
        path.write_text(block)
        for given in (block, block.encode(), (await alice.text_export()) + block):
            result = await alice.text_import(given, secret=False)
            assert result.secret_imported == 0
        assert (await alice.file_import(path, secret=False)).secret_imported == 0
    assert len(await alice.list_keys("carol@example.org")) == len(PASSPHRASES)
    assert await alice.list_keys(secret=True) == before
    after = sorted(path.name for path in (Path(alice.home) / "private-keys-v1.d").iterdir())
    assert after == files


@pytest.mark.parametrize("wrong", [1, 0, None, "no"])
async def test_what_says_neither_yes_nor_no_is_refused(alice: GnuPG, wrong: Any) -> None:
    with pytest.raises(TypeError, match="secret"):
        await alice.text_import(await alice.text_export(), secret=wrong)
    with pytest.raises(TypeError, match="secret"):
        await alice.file_import("/dev/null", secret=wrong)


async def test_several_identities_of_one_home_keep_their_keys_apart(
    home: Path, make_gnupg: MakeGnuPG
) -> None:
    cheap(home)
    emails = [ALICE, BOB, "", "carol@example.org"]
    made = [GnuPG(f"No. {number}", email, homedir=home) for number, email in enumerate(emails)]
    own = await asyncio.gather(*(gpg.gen_key() for gpg in made))
    again = [GnuPG(f"No. {number}", email, homedir=home) for number, email in enumerate(emails)]
    assert [gpg.fingerprint for gpg in again] == own
    assert [await signer(gpg) for gpg in again] == own
    for gpg in (*made, *again):
        await gpg.aclose()
