"""A homedir: its path, its permissions, its configuration, and who uses it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.instances import ALICE, MakeGnuPG, PlainGpg, alice_at, bob_at, copied
from tests.leftovers import clean_home
from tiny_gnupg import BadPassphrase, GnuPG, HomeUnusable
from tiny_gnupg._home.home import Home
from tiny_gnupg._process.find_gpg import package_home

# -- where it is ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a b", 'it\'s "q"', "ünï 𝄞", "100%41", "-dash", "$HOME"])
async def test_any_name_of_a_homedir_works(keys: Path, name: str) -> None:
    with clean_home(Path(name)) as home:
        async with alice_at(copied(keys / "alice", home)) as gpg:
            assert await gpg.decrypt(await gpg.encrypt("x")) == "x"


async def test_a_homedir_through_a_symbolic_link_is_the_same_home(
    alice: GnuPG, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(alice.home)
    async with alice_at(tmp_path / "link") as other:
        assert await other.list_keys() == await alice.list_keys()
        assert other._engine.home is alice._engine.home


def test_a_tilde_in_a_homedir_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert GnuPG(homedir="~/keys").home == "/home/somebody/keys"


# -- what is in it -------------------------------------------------------------------------


async def test_a_new_home_is_its_owners_alone_and_configured(
    home: Path, make_gnupg: MakeGnuPG
) -> None:
    home.rmdir()
    gpg = make_gnupg()
    assert not home.exists(), "to construct an instance touches nothing"
    assert await gpg.list_keys() == {}
    assert home.stat().st_mode & 0o777 == 0o700
    shipped = package_home()
    for name in ("gpg-agent.conf", "common.conf"):
        assert (home / name).read_text() == (shipped / name).read_text()
    assert (home / "tiny_gnupg.d" / "protection.json").stat().st_mode & 0o777 == 0o600


async def test_open_permissions_are_closed(home: Path, make_gnupg: MakeGnuPG) -> None:
    home.chmod(0o755)
    await make_gnupg().list_keys()
    assert home.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("measured")
async def test_a_home_made_elsewhere_keeps_its_way_and_its_files(
    home: Path, make_gnupg: MakeGnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    theirs = plain_gpg("theirs", home)
    fingerprint = theirs.new_key(f"Alice <{ALICE}>", algorithm="ed25519", usage="sign")
    (home / "gpg-agent.conf").write_text("default-cache-ttl 600\n")
    theirs.end_agent()
    gpg = make_gnupg(passphrase="theirs")
    assert "MESSAGE" in await gpg.sign("x")
    assert gpg.fingerprint == fingerprint
    assert await gpg.agent_passphrase() == "theirs"
    assert (home / "gpg-agent.conf").read_text() == "default-cache-ttl 600\n"
    assert not (home / "common.conf").exists()
    aside = (home / "tiny_gnupg.d" / "gpg-agent.conf").read_text().splitlines()
    assert not any(line.startswith("s2k-count") for line in aside)
    # Their agent would have kept the right passphrase, and taken a wrong one for it.
    with pytest.raises(BadPassphrase):
        await make_gnupg(passphrase="wrong").sign("x", fingerprint)


async def test_a_home_is_not_used_in_another_way_than_its_own(
    alices_home: Path, make_gnupg: MakeGnuPG
) -> None:
    with pytest.raises(HomeUnusable, match="leave out protection="):
        await make_gnupg(protection="gnupg").list_keys()
    assert len(await make_gnupg(protection="scrypt").list_keys()) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "rot13"}', '{"kind": "scrypt", "x": 1}'])
async def test_a_damaged_marker_is_said_to_be_one(
    alices_home: Path, make_gnupg: MakeGnuPG, text: str
) -> None:
    marker = alices_home / "tiny_gnupg.d" / "protection.json"
    marker.write_text(text)
    with pytest.raises(HomeUnusable, match=r"protection\.json"):
        await make_gnupg().sign("x", ALICE)
    assert marker.read_text() == text


async def test_many_instances_open_a_new_home_at_once(home: Path, make_gnupg: MakeGnuPG) -> None:
    found = await asyncio.gather(*(make_gnupg().agent_passphrase() for _ in range(3)))
    assert len(set(found)) == 1, "one marker, one salt"


async def test_two_identities_in_one_home_are_apart(alices_home: Path) -> None:
    async with alice_at(alices_home) as alice, bob_at(alices_home) as bob:
        message = await alice.encrypt("for Alice", ALICE)
        assert await alice.decrypt(message) == "for Alice"
        with pytest.raises(BadPassphrase):
            await bob.decrypt(message)
        assert await alice.decrypt(message) == "for Alice"


def test_a_home_is_known_once_in_a_process(tmp_path: Path) -> None:
    first = Home.at(tmp_path / "h")
    assert Home.at(tmp_path / "." / "h") is first
    Home.drop(first)
    assert Home.at(tmp_path / "h") is not first
    Home.drop(Home.at(tmp_path / "h"))


async def test_a_keyring_that_changed_has_another_signature(alice: GnuPG, bob: GnuPG) -> None:
    home = alice._engine.home
    before = home.stamp()
    await alice.list_keys()
    assert home.stamp() == before
    time.sleep(0.01)
    await alice.delete(bob.fingerprint)
    assert home.stamp() != before
