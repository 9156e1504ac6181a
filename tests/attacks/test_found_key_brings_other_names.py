"""A key that was asked for by one address and claims others too, to get their messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.conftest import LIAR, Hostile
from tests.homes import Home, temporary_home
from tests.tor import openpgp
from tiny_gnupg import GnuPG, KeyNotFound, KeyserverMismatch
from tiny_gnupg._network import keyserver

MALLORY, DAVE = "mallory@example.org", "dave@example.com"
OWN = f"Mallory <{MALLORY}>"
CLAIMED = f"Dave <{DAVE}>"

Ask = Callable[[GnuPG, str], Awaitable[Any]]
BY_ADDRESS: dict[str, Ask] = {
    "network_import": lambda gpg, uid: gpg.network_import(uid),
    "wkd_import": lambda gpg, uid: gpg.wkd_import(uid),
    "auto_encrypt": lambda gpg, uid: gpg.auto_encrypt("text", uid, sign=False),
}


@pytest.fixture(scope="module")
def claiming() -> bytes:
    """Mallory's key, with addresses of others, one of them revoked, and a photo."""
    with temporary_home() as home:
        fingerprint = home.new_key(OWN, "ed25519", "sign,cert")
        home.run("--quick-add-key", fingerprint, "cv25519", "encr")
        for more in (CLAIMED, f"Mallory <{MALLORY}.example>", DAVE, MALLORY.upper(), "no address"):
            home.run("--quick-add-uid", fingerprint, more)
        home.run("--quick-revoke-uid", fingerprint, DAVE)
        _add_photo(home, fingerprint)
        return home.run("--export", fingerprint)


def _add_photo(home: Home, fingerprint: str) -> None:
    photo = home.path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(100) + b"\xff\xd9")
    said = f"addphoto\n{photo}\ny\nsave\n".encode()
    home.run("--no-batch", "--no-tty", "--command-fd", "0", "--edit-key", fingerprint, stdin=said)


def fingerprint(key: bytes) -> str:
    return openpgp.fingerprint(next(openpgp.packets(key)))


async def names(gpg: GnuPG) -> set[str]:
    """Return all user ids of keys that are not Alice's and Bob's."""
    keys = [
        key for key in await gpg.keys() if key.email not in ("alice@example.org", "bob@example.org")
    ]
    return {user_id.text for key in keys for user_id in key.user_ids}


@pytest.fixture
async def alice(hostile: Hostile, claiming: bytes, monkeypatch: pytest.MonkeyPatch) -> GnuPG:
    (hostile.folder / "claiming").write_bytes(claiming)
    monkeypatch.setattr(keyserver, "wkd_urls", lambda email: (f"http://{LIAR}/claiming/x",) * 2)
    return await hostile.alice("claiming")


@pytest.mark.parametrize("ask", BY_ADDRESS)
async def test_by_its_address_a_key_brings_that_and_no_other(alice: GnuPG, ask: str) -> None:
    await BY_ADDRESS[ask](alice, MALLORY)
    # Two forms of the one address; that of a longer name is another.
    assert await names(alice) == {OWN, MALLORY.upper()}
    with pytest.raises(KeyNotFound):
        await alice.encrypt("for Dave only", DAVE, sign=False)
    assert b"JFIF" not in (await alice.text_export(MALLORY)).encode()
    packets = await alice.packets(await alice.text_export(MALLORY))
    assert "user attribute" not in {packet.name for packet in packets}


@pytest.mark.parametrize("ask", BY_ADDRESS)
async def test_whoever_is_asked_for_gets_nothing_of_a_key_without_the_address(
    alice: GnuPG, ask: str
) -> None:
    with pytest.raises(KeyserverMismatch):
        await BY_ADDRESS[ask](alice, "erin@example.org")
    assert await names(alice) == set()


async def test_an_update_brings_no_name_that_was_not_here(alice: GnuPG, claiming: bytes) -> None:
    await alice.network_import(MALLORY)
    here = await names(alice)
    await alice.refresh(MALLORY)
    assert await names(alice) == here
    # Asked for Alice's and Bob's own keys, this server answers with Mallory's.
    with pytest.raises(KeyserverMismatch):
        await alice.refresh()
    assert await names(alice) == here


async def test_an_update_of_what_was_here_comes_in(
    hostile: Hostile, alice: GnuPG, tmp_path: Path
) -> None:
    """A revocation of the user id that is here, and one that is Latin-1."""
    with temporary_home() as home:
        key = home.new_key(OWN, "ed25519", "sign,cert")
        home.run("--charset", "latin1", "--quick-add-uid", key, "M\u00fcller <mueller@example.org>")
        before = home.run("--export", key)
        home.run("--quick-add-uid", key, CLAIMED)
        home.run("--quick-revoke-uid", key, OWN)
        (hostile.folder / "claiming").write_bytes(home.run("--export", key))
    await alice.text_import(before)
    assert not next(one for one in await alice.keys(key)).user_ids[0].revoked
    here = await names(alice)
    await alice.refresh(key)
    assert await names(alice) == here
    (held,) = await alice.keys(key)
    assert {one.text: one.revoked for one in held.user_ids}[OWN]


async def test_by_its_fingerprint_a_key_brings_what_it_signed(
    alice: GnuPG, claiming: bytes
) -> None:
    await alice.network_import(fingerprint(claiming))
    assert {OWN, CLAIMED, "no address"} < await names(alice)


async def test_a_key_without_names_gains_those_that_are_published(
    hostile: Hostile, alice: GnuPG, claiming: bytes
) -> None:
    packets = list(openpgp.packets(claiming))
    subkey = [each.tag for each in packets].index(openpgp.PUBLIC_SUBKEY)
    await alice.text_import(b"".join(each.raw for each in [packets[0], *packets[subkey:]]))
    assert await names(alice) == {f"[no user id published] {fingerprint(claiming)}"}
    await alice.refresh(fingerprint(claiming))
    assert {OWN, CLAIMED} < await names(alice)
