"""A whole home: written where any OpenPGP program reads it, and brought back from anywhere."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.instances import (
    ALICE,
    BOB,
    BOBS_PASSPHRASE,
    FEW,
    PASSPHRASE,
    PlainGpg,
    alice_at,
    bob_at,
    cheap,
    copied,
)
from tests.leftovers import clean_home
from tests.openpgp import parts, with_forged_subkey, without_user_ids
from tiny_gnupg import BadPassphrase, GnuPG, HomeUnusable, ImportFailed, Key, OwnerTrust
from tiny_gnupg._gpg import commands

#: What a test's plain homes hold besides keys: the agent works as fast as it may.


def snapshot(path: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return all that is in a directory: each file's mode, time of change and bytes."""
    found = {}
    for place in path.rglob("*"):
        if place.is_socket():
            continue  # an agent that ends takes it away in its own time
        status = place.lstat()
        octets = place.read_bytes() if place.is_file() else b""
        found[str(place.relative_to(path))] = (status.st_mode, status.st_mtime_ns, octets)
    return found


async def contents(gpg: GnuPG) -> tuple[set[Key], set[str], set[str]]:
    """Return all that a home's keyring knows: keys, ownertrust, local certifications."""
    trust = await gpg.read_output(gpg.command("--export-ownertrust"))
    listed = await gpg.read_output(gpg.command("--list-sigs", "--with-colons"))
    signatures = [line.split(":") for line in listed.splitlines() if line.startswith("sig:")]
    return (
        set(await gpg.keys()),
        {line for line in trust.splitlines() if line[0] != "#"},
        {":".join(fields) for fields in signatures if fields[10].endswith("l")},
    )


async def fill(gpg: GnuPG, more: bytes) -> None:
    """Do to a home what a backup must not lose."""
    await gpg.sign(BOB, key=True, local=True)
    await gpg.trust(BOB, 3)
    [bare] = (await gpg.text_import(more)).fingerprints
    await gpg.trust(bare, 4)


@pytest.fixture(scope="module")
def carol() -> bytes:
    """The public key of somebody without user ids."""
    with clean_home() as path:
        gpg = PlainGpg(path)
        own = gpg.new_key("Carol <carol@x.org>")
        found = without_user_ids(gpg.run("--export", own).stdout)
        gpg.end_agent()
    return found


@pytest.fixture(scope="module")
def filled(keys: Path, carol: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Alice's home with all that a home can hold; copies of it are what the tests use."""
    ready = tmp_path_factory.mktemp("filled")

    async def make(home: Path) -> None:
        async with alice_at(home) as gpg:
            await fill(gpg, carol)

    with clean_home() as home:
        asyncio.run(make(copied(keys / "alice", home)))
        return copied(home, ready)


@pytest.fixture(scope="module")
def saved(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The backup of that home, which takes gpg some seconds to protect."""
    target = tmp_path_factory.mktemp("backups") / "alice"

    async def make(home: Path) -> None:
        async with alice_at(home) as gpg:
            assert await gpg.backup(target) == target

    with clean_home() as home:
        asyncio.run(make(copied(filled, home)))
    return target


@pytest.fixture
async def rich(filled: Path, home: Path) -> AsyncIterator[GnuPG]:
    """Alice in such a home."""
    async with alice_at(copied(filled, home)) as gpg:
        await gpg.set_fingerprint(ALICE)
        yield gpg


@pytest.fixture
def dot_gnupg() -> Iterator[Path]:
    """The homedir of somebody who never heard of this library."""
    with clean_home(Path(".gnupg")) as path:
        path.mkdir(mode=0o700)
        (path / "gpg-agent.conf").write_text(FEW)
        (path / "gpg.conf").write_text("armor\ndefault-key nobody@example.org\n")
        yield path


# -- backup --------------------------------------------------------------------------------


def test_a_backup_is_its_owners_alone(saved: Path) -> None:
    assert {path.name for path in saved.iterdir()} == {
        *("public.gpg", "secret.asc", "ownertrust.txt", "openpgp-revocs.d")
    }
    assert saved.stat().st_mode & 0o777 == 0o700
    for path in saved.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert [path.name for path in saved.parent.iterdir()] == ["alice"]
    assert PASSPHRASE.encode() not in b"".join(octets for *_, octets in snapshot(saved).values())


async def test_plain_gpg_opens_it(
    saved: Path, rich: GnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    message = await rich.encrypt("for any program", sign=False)
    gpg = plain_gpg(PASSPHRASE)
    restored = ("--import-options", "restore", "--import")
    # It passes over the key without user ids; some builds call that an error.
    gpg.run(*restored, str(saved / "public.gpg"), check=False)
    gpg.run("--import", str(saved / "secret.asc"))
    gpg.run("--import-ownertrust", str(saved / "ownertrust.txt"))
    assert gpg.run("--decrypt", stdin=message).stdout == b"for any program"
    listed = gpg.run("--with-colons", "--list-keys").stdout.decode()
    assert [line.split(":")[8] for line in listed.splitlines() if line[:4] == "pub:"] == ["u", "m"]


async def test_a_wrong_passphrase_writes_nothing(rich: GnuPG, tmp_path: Path) -> None:
    async with alice_at(Path(rich.home), passphrase="wrong") as wrong:
        with pytest.raises(BadPassphrase):
            await wrong.backup(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


async def test_a_key_under_another_passphrase_is_not_left_out(
    home: Path, tmp_path: Path, plain_gpg: Callable[..., PlainGpg]
) -> None:
    async with alice_at(cheap(home)) as gpg:
        for passphrase in (PASSPHRASE, BOBS_PASSPHRASE):
            plain = plain_gpg(passphrase)
            own = plain.new_key("x@x.org", algorithm="ed25519", usage="sign")
            await gpg.text_import(plain.run("--export-secret-keys", own).stdout)
        assert len(await gpg.keys(secret=True)) == 2
        with pytest.raises(BadPassphrase):
            await gpg.backup(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


async def test_what_is_there_is_never_written_over(rich: GnuPG, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "public.gpg").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = snapshot(tmp_path)
    for name in ("file", "full", "empty", "link"):
        with pytest.raises(FileExistsError):
            await rich.backup(tmp_path / name)
    assert snapshot(tmp_path) == before


async def test_two_at_once_write_one(home: Path, tmp_path: Path) -> None:
    async with alice_at(cheap(home, "gnupg"), passphrase="") as gpg:
        await gpg.gen_key()
        calls = (gpg.backup(tmp_path / "new") for _ in range(2))
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert tmp_path / "new" in results
        assert [path.name for path in tmp_path.iterdir()] == ["new"]
        async with alice_at(cheap(home / "more"), passphrase="") as other:
            assert (await other.restore(tmp_path / "new")).secret_imported == 1


# -- restore: from a backup ----------------------------------------------------------------


async def test_everything_comes_back(saved: Path, rich: GnuPG, other_home: Path) -> None:
    before = snapshot(saved)
    message = await rich.encrypt("kept")
    expected = await contents(rich)
    async with alice_at(cheap(other_home)) as gpg:
        result = await gpg.restore(saved)
        assert (result.imported, result.secret_imported) == (3, 1)
        assert set(result.fingerprints) == set(await rich.list_keys())
        assert await contents(gpg) == expected
        assert expected[2], "there is a local certification"
        assert await gpg.key_trust(BOB) == "full"
        [nameless] = [key for key in await gpg.keys() if not key.email]
        assert (nameless.ownertrust, nameless.user_ids[0].placeholder) == (OwnerTrust.FULL, True)
        assert await gpg.packet_fingerprint(await gpg.encrypt("x", nameless.fingerprint))
        assert await gpg.decrypt(message) == "kept"
        assert (await rich.verify(await gpg.sign("again"))).data == b"again"
        assert await gpg.text_export(BOB) == await rich.text_export(BOB)
        revocations = "openpgp-revocs.d"
        assert os.listdir(other_home / revocations) == os.listdir(Path(rich.home) / revocations)
        again = await gpg.restore(saved)
        assert (again.imported, again.updated, again.unchanged) == (0, 0, 3)
        assert (again.secret_imported, await contents(gpg)) == (0, expected)
    assert snapshot(saved) == before


async def test_with_a_wrong_passphrase_nothing_comes_in(saved: Path, other_home: Path) -> None:
    before = snapshot(saved)
    for passphrase in ("wrong", ""):
        async with alice_at(cheap(other_home), passphrase=passphrase) as gpg:
            with pytest.raises(BadPassphrase, match="does not open"):
                await gpg.restore(saved)
            assert await gpg.keys() == ()
            assert list((other_home / "private-keys-v1.d").glob("*.key")) == []
            assert not list((other_home / "openpgp-revocs.d").glob("*"))
    assert snapshot(saved) == before


async def test_what_is_here_stays(rich: GnuPG, bobs_home: Path, tmp_path: Path) -> None:
    # Bob knows Alice, trusts her never, and has his own key: none of that is Alice's to change.
    saved = tmp_path / "public only"
    saved.mkdir()
    public = await rich.read_output(rich.command("--armor", *commands.export_backup()))
    (saved / "public.gpg").write_text(public)
    trust = await rich.read_output(rich.command("--export-ownertrust"))
    (saved / "ownertrust.txt").write_text(trust)
    async with bob_at(bobs_home) as bob:
        await bob.set_fingerprint(BOB)
        await bob.trust(ALICE, 2)
        own = (await bob.keys(secret=True), await bob.text_export(ALICE))
        result = await bob.restore(saved)
        assert result.imported == 1, "of three keys, Carol's is new"
        [alice] = await bob.keys(ALICE)
        assert alice.ownertrust is OwnerTrust.NEVER
        [carol] = [key for key in await bob.keys() if not key.email]
        assert carol.ownertrust is OwnerTrust.FULL
        assert (await bob.keys(secret=True), await bob.text_export(ALICE)) == own
        assert await bob.decrypt(await bob.encrypt("mine")) == "mine"


async def test_a_secret_key_that_is_here_keeps_its_passphrase(rich: GnuPG, filled: Path) -> None:
    await rich.change_passphrase("", "new one")
    async with alice_at(Path(rich.home)) as old:
        result = await old.restore(filled)
        assert (result.unchanged, result.secret_imported) == (3, 0)
        with pytest.raises(BadPassphrase):
            await old.sign("x")
    assert await rich.decrypt(await rich.encrypt("x")) == "x"


async def test_a_note_that_a_forgery_was_checked_is_not_believed(
    filled: Path, home: Path, plain_gpg: Callable[..., PlainGpg], tmp_path: Path
) -> None:
    gpg = plain_gpg()
    victim, mallory = (
        gpg.run("--export", gpg.new_key(f"{name} <{name}@x.org>")).stdout
        for name in ("victim", "mallory")
    )
    saved = tmp_path / "tampered"
    saved.mkdir()
    forged = with_forged_subkey(victim, mallory, parts(victim)[-1][1])
    (saved / "public.gpg").write_bytes(forged)
    async with alice_at(cheap(home)) as alice:
        await alice.restore(saved)
        [key] = await alice.keys("victim@x.org")
        assert len(key.subkeys) == 1


# -- restore: from homes -------------------------------------------------------------------


async def test_a_home_of_this_library_comes_over_with_its_scrypt(
    filled: Path, rich: GnuPG, other_home: Path
) -> None:
    before = snapshot(filled)
    async with alice_at(cheap(other_home)) as gpg:
        assert (await gpg.restore(filled)).secret_imported == 1
        assert await contents(gpg) == await contents(rich)
        assert await gpg.decrypt(await rich.encrypt("x")) == "x"
    assert snapshot(filled) == before


async def test_a_gpghome_of_0_5_2_comes_over(
    dot_gnupg: Path, home: Path, plain_gpg: Callable[..., PlainGpg]
) -> None:
    # 0.5.2 ran gpg2 in the package's gpghome, with a configuration of its own beside the keys.
    old = plain_gpg(PASSPHRASE, home=dot_gnupg)
    (dot_gnupg / "gpg2.conf").write_text("no-greeting\ns2k-digest-algo SHA512\n")
    own = old.new_key(f"Alice Å <{ALICE}>", algorithm="ed25519", usage="cert")
    for algorithm, usage in (("ed25519", "sign"), ("ed25519", "auth"), ("cv25519", "encr")):
        old.run("--quick-add-key", own, algorithm, usage, "3y")
    message = old.run("--encrypt", "--sign", "-u", own, "-r", own, stdin=b"from 0.5.2").stdout
    old.end_agent()
    before = snapshot(dot_gnupg)
    async with alice_at(cheap(home)) as gpg:
        result = await gpg.restore(dot_gnupg)
        assert (result.fingerprints, result.secret_imported) == ((own,), 1)
        assert await gpg.decrypt(message) == b"from 0.5.2"
        assert await gpg.decrypt(await gpg.encrypt("and on")) == "and on"
        [key] = await gpg.keys(ALICE)
        assert (key.secret, key.ownertrust, len(key.subkeys)) == (True, OwnerTrust.ULTIMATE, 3)
        async with alice_at(home, passphrase="wrong") as wrong:
            with pytest.raises(BadPassphrase):
                await wrong.sign("x")
    assert snapshot(dot_gnupg) == before


async def test_a_plain_home_comes_over_with_all_its_keys(
    dot_gnupg: Path, bob: GnuPG, home: Path, plain_gpg: Callable[..., PlainGpg]
) -> None:
    plain = plain_gpg(PASSPHRASE, home=dot_gnupg)
    own = plain.new_key(f"Alice <{ALICE}>")
    work = plain.new_key("Alice at work <alice@work.example>")
    plain.run("--import", stdin=await bob.text_export())
    plain.run("-u", own, "--quick-lsign-key", bob.fingerprint)
    plain.run("-u", work, "--quick-sign-key", bob.fingerprint)
    plain.run("--import-ownertrust", stdin=f"{bob.fingerprint}:4:\n")
    plain.run("--check-trustdb")
    before = snapshot(dot_gnupg)
    assert (dot_gnupg / "S.gpg-agent").is_socket(), "its agent runs"
    async with alice_at(cheap(home)) as gpg:
        result = await gpg.restore(dot_gnupg)
        assert (result.imported, result.secret_imported) == (3, 2)
        assert snapshot(dot_gnupg) == before
        assert set(await gpg.list_keys(secret=True)) == {own, work}
        for key in (own, work):
            assert await gpg.decrypt(await gpg.encrypt("x", key, local_user=key)) == "x"
        [known] = await gpg.keys(BOB)
        assert (known.validity.value, known.ownertrust) == ("full", OwnerTrust.MARGINAL)
        _, _, local = await contents(gpg)
        assert len(local) == 1
        exported = plain_gpg()
        exported.run("--import", stdin=await gpg.text_export(BOB))
        listed = exported.run("--list-sigs", "--with-colons").stdout.decode()
        assert work[-16:] in listed
        assert own[-16:] not in listed
        assert {path.stem for path in (home / "openpgp-revocs.d").iterdir()} == {own, work}


async def test_a_home_with_an_old_keyring_comes_over(
    dot_gnupg: Path, home: Path, plain_gpg: Callable[..., PlainGpg]
) -> None:
    (dot_gnupg / "pubring.gpg").touch()
    plain = plain_gpg("", home=dot_gnupg)
    own = plain.new_key(f"Alice <{ALICE}>")
    plain.end_agent()
    assert not (dot_gnupg / "pubring.kbx").exists()
    before = snapshot(dot_gnupg)
    async with alice_at(cheap(home)) as gpg:
        assert (await gpg.restore(dot_gnupg)).fingerprints == (own,)
        assert await gpg.decrypt(await gpg.encrypt("x")) == "x"
        # It had no passphrase there, and has this instance's here.
        async with alice_at(home, passphrase="") as nobody:
            with pytest.raises(BadPassphrase):
                await nobody.sign("x")
    assert snapshot(dot_gnupg) == before


async def test_of_a_home_with_two_passphrases_nothing_comes_in(
    dot_gnupg: Path, home: Path, plain_gpg: Callable[..., PlainGpg]
) -> None:
    plain_gpg(PASSPHRASE, home=dot_gnupg).new_key("a@x.org", algorithm="ed25519")
    other = plain_gpg(BOBS_PASSPHRASE, home=dot_gnupg)
    other.run(
        "--yes", "--passphrase", BOBS_PASSPHRASE, "--quick-generate-key", "b@x.org", "rsa1024"
    )
    other.end_agent()
    before = snapshot(dot_gnupg)
    for passphrase in (PASSPHRASE, BOBS_PASSPHRASE, "neither"):
        async with alice_at(cheap(home), passphrase=passphrase) as gpg:
            with pytest.raises(BadPassphrase, match="does not open"):
                await gpg.restore(dot_gnupg)
            assert await gpg.keys() == ()
    assert not list((home / "private-keys-v1.d").glob("*.key"))
    assert snapshot(dot_gnupg) == before


@pytest.mark.parametrize(
    ("common", "current"),
    [("use-keyboxd\n", False), ("# ours\n  use-keyboxd # now\n", False), ("#use-keyboxd\n", True)],
)
async def test_a_keyring_that_keyboxd_took_the_place_of_is_not_restored(
    filled: Path, other_home: Path, tmp_path: Path, common: str, current: bool
) -> None:
    """GnuPG 2.4 with keyboxd leaves the older pubring.kbx where it was; new keys are not in it."""
    changed = copied(filled, tmp_path / "changed")
    (changed / "public-keys.d").mkdir()
    (changed / "common.conf").write_text(common)
    async with alice_at(cheap(other_home)) as gpg:
        if current:
            assert (await gpg.restore(changed)).secret_imported == 1
        else:
            with pytest.raises(HomeUnusable, match="keyboxd"):
                await gpg.restore(changed)
            assert await gpg.keys() == ()


async def test_what_is_no_home_and_no_backup_is_said_to_be_none(
    home: Path, saved: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "daemon" / "public-keys.d").mkdir(parents=True)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "public.gpg").write_text("no key")
    (tmp_path / "file").write_text("x")
    async with alice_at(cheap(home)) as gpg:
        for name in ("empty", "bad"):
            with pytest.raises(ImportFailed):
                await gpg.restore(tmp_path / name)
        for name in ("nowhere", "file", "daemon"):
            with pytest.raises(HomeUnusable):
                await gpg.restore(tmp_path / name)
        assert await gpg.keys() == ()
