"""A keyserver that answers with another key than the one that was asked for, or with more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.attacks.conftest import LIAR, Hostile
from tests.homes import temporary_home
from tests.tor import openpgp
from tests.tor.material import MISMATCHES, MadeKey, make_key
from tiny_gnupg import GnuPG, GnuPGError, KeyserverError, KeyserverMismatch
from tiny_gnupg._network import keyserver


async def keyring(gpg: GnuPG) -> dict[str, tuple[str, ...]]:
    """Return each key with its user ids and subkeys."""
    return {
        key.fingerprint: (
            *(one.text for one in key.user_ids),
            *(one.fingerprint for one in key.subkeys),
        )
        for key in await gpg.keys()
    }


@pytest.mark.parametrize("lie", sorted(MISMATCHES))
async def test_a_lie_is_not_imported(
    hostile: Hostile, made_keys: tuple[MadeKey, MadeKey], lie: str
) -> None:
    alice = await hostile.alice(lie)
    before = await keyring(alice)
    with pytest.raises(KeyserverMismatch):
        await alice.network_import(made_keys[0].fingerprint)
    with pytest.raises(GnuPGError):
        await alice.network_import(made_keys[0].email)
    assert await keyring(alice) == before
    assert await alice.list_keys(secret=True) == {alice.fingerprint: alice.email}


async def test_a_key_without_the_address(
    hostile: Hostile, made_keys: tuple[MadeKey, MadeKey]
) -> None:
    """Looked up by address, the key must carry that address."""
    alice = await hostile.alice("another-key")
    before = await keyring(alice)
    with pytest.raises(KeyserverMismatch):
        await alice.network_import(made_keys[0].email)
    with pytest.raises(KeyserverMismatch):
        await alice.auto_encrypt("text", made_keys[0].email)
    assert await keyring(alice) == before


async def test_an_update_brings_no_other_key(
    hostile: Hostile, made_keys: tuple[MadeKey, MadeKey]
) -> None:
    """What is held already is no more open to lies than what is new."""
    alice = await hostile.alice("extra-key")
    await alice.text_import(made_keys[0].armored)
    before = await keyring(alice)
    with pytest.raises(KeyserverMismatch):
        await alice.refresh(made_keys[0].fingerprint)
    assert await keyring(alice) == before


async def test_a_lie_about_one_key_keeps_no_other_from_its_update(
    hostile: Hostile, made_keys: tuple[MadeKey, MadeKey]
) -> None:
    """The server answers with Carol's key, whichever is asked for."""
    (carol, mallory), alice = made_keys, await hostile.alice("the-truth")
    for key in (mallory.public, carol.bare):
        await alice.text_import(key)
    before = await keyring(alice)
    with pytest.raises(KeyserverMismatch):
        await alice.refresh()
    after = await keyring(alice)
    assert carol.email in str(after.pop(carol.fingerprint))
    assert carol.email not in str(before.pop(carol.fingerprint))
    assert after == before


async def test_what_ends_the_update_of_all_leaves_none_under_way(
    hostile: Hostile, made_keys: tuple[MadeKey, MadeKey]
) -> None:
    alice = await hostile.alice("not-http")
    for made in made_keys:
        await alice.text_import(made.armored)
    before, tasks = await keyring(alice), asyncio.all_tasks()
    assert len(before) == 4
    with pytest.raises(KeyserverError):
        await alice.refresh()
    updates = [one for one in asyncio.all_tasks() - tasks if "refresh" in repr(one.get_coro())]
    assert updates == []
    assert await keyring(alice) == before


@pytest.fixture
async def directory(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> tuple[GnuPG, Callable[[bytes], int]]:
    """Alice, and what writes a Web Key Directory's answer to her; over http, as TLS is tested."""
    urls = (f"http://{LIAR}/directory/x",) * 2
    monkeypatch.setattr(keyserver, "wkd_urls", lambda email: urls)
    return await hostile.alice("directory"), (hostile.folder / "directory").write_bytes


async def test_a_directory_with_a_forged_key_beside_a_true_one(
    directory: tuple[GnuPG, Callable[[bytes], int]], made_keys: tuple[MadeKey, MadeKey]
) -> None:
    """The other is Mallory's, with Carol's name under a signature that is over Mallory's own."""
    (alice, answer), (carol, mallory) = directory, made_keys
    stolen = next(each.raw for each in mallory.packets[1:] if each.tag == openpgp.SIGNATURE)
    name = openpgp.packet(openpgp.USER_ID, f"Carol <{carol.email}>".encode())
    before = await keyring(alice)
    for body in (carol.public + mallory.bare + name + stolen, mallory.bare + name + stolen):
        answer(body)
        with pytest.raises(KeyserverMismatch):
            await alice.wkd_import(carol.email)
        assert await keyring(alice) == before


async def test_all_true_keys_of_a_directory_are_imported(
    directory: tuple[GnuPG, Callable[[bytes], int]], made_keys: tuple[MadeKey, MadeKey]
) -> None:
    (alice, answer), (carol, _) = directory, made_keys
    with temporary_home() as home:
        newer = make_key(home, carol.email)
    answer(carol.public + newer.public)
    result = await alice.wkd_import(carol.email)
    assert result.fingerprints == (carol.fingerprint, newer.fingerprint)
    assert result.imported == 2
    assert {carol.fingerprint, newer.fingerprint} < set(await keyring(alice))


async def test_the_truth_is_imported(hostile: Hostile, made_keys: tuple[MadeKey, MadeKey]) -> None:
    """Else the tests above would prove nothing."""
    alice = await hostile.alice("the-truth")
    assert (await alice.network_import(made_keys[0].fingerprint)).imported == 1
    assert made_keys[0].fingerprint in await keyring(alice)
