"""``GnuPG`` itself through real Tor: what a person does, and what a lying keyserver cannot do."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.instances import BOBS_PASSPHRASE, MakeGnuPG, cheap
from tests.tor import openpgp
from tests.tor.material import MISMATCHES, MadeKey, forgeries, lies
from tests.tor.network import PrivateNetwork
from tests.tor.processes import KeyserverProcess
from tiny_gnupg import GnuPG
from tiny_gnupg._network.keyserver import Keyserver
from tiny_gnupg.errors import GnuPGError, KeyserverError, KeyserverMismatch, NotOnKeyserver
from tiny_gnupg.results import Validity

pytestmark = pytest.mark.tor


@pytest.fixture
def through_tor(tor: PrivateNetwork) -> dict[str, Any]:
    """What an instance needs to use the private network: nothing but Tor's port."""
    return {"tor_port": tor.socks_port}


@pytest.fixture
def stranger(make_gnupg: MakeGnuPG, other_home: Path, through_tor: dict[str, Any]) -> GnuPG:
    """Somebody with an empty keyring."""
    who = functools.partial(GnuPG, "Carol", "carol@example.org", BOBS_PASSPHRASE)
    return make_gnupg(
        lambda home, **more: who(homedir=home, **more), cheap(other_home), **through_tor
    )


async def keyring(gpg: GnuPG) -> tuple[str, str]:
    """Everything that a keyring holds, to be compared."""
    return await gpg.raw_list_keys(), await gpg.raw_list_keys(secret=True)


async def test_no_lie_changes_the_keyring(
    stranger: GnuPG, liar: Callable[[str], Keyserver], made_keys: tuple[MadeKey, MadeKey]
) -> None:
    key, other = made_keys
    before = await keyring(stranger)
    for name in lies(key, other):
        expected = KeyserverMismatch if name in MISMATCHES else KeyserverError
        stranger.set_network_variables(tor_port=stranger.tor_port, keyserver=liar(name).url)
        with pytest.raises(GnuPGError) as caught:
            await stranger.network_import(key.fingerprint)
        assert type(caught.value) is expected, name
    assert await keyring(stranger) == before


async def test_no_misbehaving_server_changes_the_keyring(
    stranger: GnuPG, liar: Callable[[str], Keyserver], made_keys: tuple[MadeKey, MadeKey]
) -> None:
    before = await keyring(stranger)
    for name in ("endless", "redirect", "slow"):
        patience = 2 if name == "slow" else 60
        stranger.set_network_variables(
            tor_port=stranger.tor_port, keyserver=liar(name).url, total_timeout=patience, tries=1
        )
        with pytest.raises(KeyserverError):
            await stranger.network_import(made_keys[0].fingerprint)
    assert await keyring(stranger) == before


async def test_a_forgery_that_only_gpg_can_see_is_not_imported_either(
    stranger: GnuPG, liar: Callable[[str], Keyserver], made_keys: tuple[MadeKey, MadeKey]
) -> None:
    key, other = made_keys
    before = await keyring(stranger)
    for name, (_, asked) in forgeries(key, other).items():
        stranger.set_network_variables(tor_port=stranger.tor_port, keyserver=liar(name).url)
        with pytest.raises(KeyserverMismatch):
            await stranger.network_import(asked)
        assert await keyring(stranger) == before, name


async def test_a_key_published_without_its_user_id_is_used_all_its_life(
    alice: GnuPG,
    stranger: GnuPG,
    keyserver: KeyserverProcess,
    through_tor: dict[str, Any],
) -> None:
    alice.set_network_variables(**through_tor)
    await stranger.gen_key()
    answer = await alice.network_export()
    assert answer["status"] == {alice.email: "pending"}
    with pytest.raises(NotOnKeyserver):
        await stranger.network_import(alice.email)

    await stranger.network_import(alice.fingerprint)
    assert (await stranger.list_keys(alice.fingerprint)) == {alice.fingerprint: ""}
    for recipients in (alice.fingerprint, [alice.fingerprint, stranger.fingerprint]):
        message = await stranger.encrypt("to nobody by name", recipients, sign=False)
        assert await alice.decrypt(message) == "to nobody by name"
    verified = await stranger.verify(await alice.sign("signed"))
    assert verified.signatures[0].primary_fingerprint == alice.fingerprint
    exported = openpgp.dearmor((await stranger.text_export(alice.fingerprint)).encode())
    served = openpgp.dearmor((await stranger.raw_search(alice.fingerprint)).encode())
    assert exported == served

    assert keyserver.confirm_all() == [alice.email]
    await stranger.refresh(alice.fingerprint)
    assert (await stranger.list_keys(alice.email)) == {alice.fingerprint: alice.email}

    await alice.revoke()
    assert (await alice.network_export())["status"] == {}
    await stranger.refresh(alice.fingerprint)
    assert await stranger.key_trust(alice.fingerprint) == Validity.REVOKED


async def test_a_missing_key_is_fetched_where_it_is_needed(
    alice: GnuPG,
    stranger: GnuPG,
    keyserver: KeyserverProcess,
    through_tor: dict[str, Any],
) -> None:
    alice.set_network_variables(**through_tor)
    await stranger.gen_key()
    await stranger.network_export()
    signed = await alice.sign("who am I?")
    with pytest.raises(NotOnKeyserver) as caught:
        await stranger.auto_verify(signed)
    assert caught.value.value
    await alice.network_export()
    assert sorted(keyserver.confirm_all()) == sorted([alice.email, stranger.email])
    assert (await stranger.auto_verify(signed)).data == b"who am I?"
    await stranger.delete(alice.fingerprint)
    sealed = await stranger.auto_encrypt("hello", alice.email, sign=True)
    assert await alice.auto_decrypt(sealed) == "hello"
