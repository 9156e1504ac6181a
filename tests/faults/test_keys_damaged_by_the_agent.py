"""Keys that gpg-agent wrote so that it cannot read them: real ones, and what becomes of them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.damaged_keys import CUT_OFF, DAMAGED, MENDABLE, PASSPHRASE, SEVERAL, spoiling_gpg
from tests.instances import ALICE, MakeGnuPG, PlainGpg, alice_at, cheap
from tiny_gnupg import CommandFailed, GnuPG, GnuPGError, ImportFailed
from tiny_gnupg._gpg.damaged_keys import readings
from tiny_gnupg._home.layout import KEYS
from tiny_gnupg._process.find_gpg import agent_program, find_executable

MakePlain = Callable[..., PlainGpg]
EMAIL = "damaged@example.org"


def agent_says(home: Path, grip: str, data: bytes, passphrase: str = PASSPHRASE) -> str:
    """Ask an agent whether a passphrase opens a key file."""
    keys = home / KEYS
    keys.mkdir(mode=0o700, exist_ok=True)
    (keys / f"{grip}.key").write_bytes(data)
    agent = agent_program(find_executable()) or "gpg-agent"
    said = subprocess.run(
        [agent, "--homedir", home, "--allow-loopback-pinentry", "--server"],
        input=f"OPTION pinentry-mode=loopback\nPASSWD --verify {grip}\nD {passphrase}\nEND\nBYE\n",
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    return next(line for line in said[2:] if line.startswith(("OK", "ERR")))


@pytest.mark.parametrize("name", MENDABLE + SEVERAL)
def test_the_agent_reads_what_was_mended_and_did_not_before(home: Path, name: str) -> None:
    home.mkdir(mode=0o700, exist_ok=True)
    grip, data = DAMAGED[name]
    assert "Corrupted protection" in agent_says(home, grip, data)
    said = [agent_says(home, grip, one) for one in readings(data)]
    assert said.count("OK") == 1
    assert all(one == "OK" or "Bad passphrase" in one for one in said)
    right = readings(data)[said.index("OK")]
    assert "Bad passphrase" in agent_says(home, grip, right, "abcd")


def right_reading(home: Path, name: str) -> bytes:
    """Return what a key file was meant to be."""
    grip, data = DAMAGED[name]
    return next(one for one in readings(data) if agent_says(home, grip, one) == "OK")


def home_with(plain: PlainGpg, name: str) -> Path:
    """Make a key of a damaged file, which is as it was when that is done; return the file."""
    grip, data = DAMAGED[name]
    path = plain.home / KEYS / f"{grip}.key"
    path.write_bytes(right_reading(plain.home, name))
    form = f"Key-Type: EDDSA\nKey-Grip: {grip}\nKey-Usage: cert sign\nName-Email: {EMAIL}\n"
    plain.run("--generate-key", stdin=f"{form}Expire-Date: 0\n")
    plain.end_agent()
    path.write_bytes(data)
    return path


def owner_at(home: Path, passphrase: str = PASSPHRASE) -> GnuPG:
    return GnuPG(email=EMAIL, passphrase=passphrase, homedir=home, protection="gnupg")


@pytest.mark.parametrize("name", MENDABLE)
async def test_a_key_is_given_back_when_its_home_is_opened(plain_gpg: MakePlain, name: str) -> None:
    plain = plain_gpg(PASSPHRASE)
    home_with(plain, name)
    assert plain.run("--sign", stdin="x", check=False).returncode == 2
    plain.end_agent()
    async with owner_at(plain.home) as gpg:
        assert (await gpg.verify(await gpg.sign("x"))).data == b"x"


@pytest.mark.parametrize("name", SEVERAL)
async def test_the_passphrase_tells_what_a_key_was(
    plain_gpg: MakePlain, make_gnupg: MakeGnuPG, home: Path, name: str
) -> None:
    plain = plain_gpg(PASSPHRASE)
    path = home_with(plain, name)
    damaged = path.read_bytes()
    async with owner_at(plain.home) as gpg:
        with pytest.raises(GnuPGError):
            await gpg.sign("x")
        assert path.read_bytes() == damaged
        for wrong in ("", "abcd"):
            async with owner_at(plain.home, wrong) as stranger:
                with pytest.raises(GnuPGError):
                    await stranger.change_passphrase("", "new")
        assert path.read_bytes() == damaged
    other = make_gnupg(lambda at, **more: GnuPG(email=EMAIL, homedir=at, **more), cheap(home))
    other.passphrase = PASSPHRASE
    await other.restore(plain.home)
    assert path.read_bytes() == damaged
    assert "MESSAGE" in await other.sign("x")
    async with owner_at(plain.home) as gpg:
        await gpg.change_passphrase("", "new")
        assert (await gpg.verify(await gpg.sign("x"))).data == b"x"


async def test_a_key_that_nobody_can_read_is_told_of_and_can_be_deleted(
    plain_gpg: MakePlain, caplog: pytest.LogCaptureFixture
) -> None:
    plain = plain_gpg(PASSPHRASE)
    _, data = DAMAGED[CUT_OFF[0]]
    fingerprint = plain.new_key(EMAIL, algorithm="ed25519")
    plain.end_agent()
    [path] = (plain.home / KEYS).glob("*.key")
    path.write_bytes(data)
    async with owner_at(plain.home) as gpg:
        assert [path.name in record.getMessage() for record in caplog.records] == [True]
        with pytest.raises(GnuPGError):
            await gpg.sign("x", fingerprint)
        await gpg.delete(fingerprint)
        assert await gpg.keys() == ()
    assert not path.exists()


# -- an agent that does it while we look ---------------------------------------------------


async def test_a_passphrase_is_changed_once_more(alices_home: Path, tmp_path: Path) -> None:
    gpg = spoiling_gpg(tmp_path, "--change-passphrase")
    async with alice_at(alices_home, executable=gpg) as alice:
        await alice.set_fingerprint(ALICE)
        message = await alice.encrypt("text")
        await alice.change_passphrase("", "new")
        assert (tmp_path / "left").read_text() == ""
        assert await alice.decrypt(message) == "text"
        await alice.change_passphrase("", "newer")
        assert await alice.decrypt(message) == "text"


async def test_a_passphrase_is_not_changed_to_one_that_nobody_reads(
    alices_home: Path, tmp_path: Path
) -> None:
    gpg = spoiling_gpg(tmp_path, "--change-passphrase", times=9)
    async with alice_at(alices_home, executable=gpg) as alice:
        await alice.set_fingerprint(ALICE)
        before = {path.name: path.read_bytes() for path in (alices_home / KEYS).iterdir()}
        with pytest.raises(CommandFailed):
            await alice.change_passphrase("", "new")
        assert {path.name: path.read_bytes() for path in (alices_home / KEYS).iterdir()} == before
        assert await alice.decrypt(await alice.encrypt("text")) == "text"


async def test_keys_leave_and_come_in_whole(
    alices_home: Path, tmp_path: Path, other_home: Path
) -> None:
    for calls in ("text_export", "backup"):
        folder = tmp_path / calls
        folder.mkdir()
        gpg = spoiling_gpg(folder, "--change-passphrase")
        async with alice_at(alices_home, executable=gpg) as alice:
            await alice.set_fingerprint(ALICE)
            message = await alice.encrypt("text")
            if calls == "backup":
                await alice.backup(folder / "backup")
            else:
                (folder / "block").write_text(await alice.text_export(secret=True))
        assert (folder / "left").read_text() == ""
        gpg = spoiling_gpg(folder, "--change-passphrase")
        at = cheap(other_home / calls)
        async with alice_at(at, executable=gpg) as again:
            if calls == "backup":
                await again.restore(folder / "backup")
            else:
                await again.file_import(folder / "block")
            assert (folder / "left").read_text() == ""
            assert await again.decrypt(message, passphrase=None) == "text"


async def test_an_import_that_the_agent_cuts_off_brings_nothing(
    alice: GnuPG, other_home: Path, tmp_path: Path
) -> None:
    block = await alice.text_export(secret=True)
    await alice.backup(tmp_path / "backup")
    calls: dict[str, Callable[[GnuPG], object]] = {
        "import": lambda gpg: gpg.text_import(block),
        "restore": lambda gpg: gpg.restore(tmp_path / "backup"),
    }
    for name, call in calls.items():
        (tmp_path / name).mkdir()
        gpg = spoiling_gpg(tmp_path / name, "--import", times=1 + (name == "restore"))
        async with alice_at(cheap(other_home), executable=gpg) as again:
            with pytest.raises(ImportFailed, match="gpg-agent cannot keep"):
                await call(again)  # type: ignore[misc]
            assert await again.keys() == ()
            await call(again)  # type: ignore[misc]
            assert await again.decrypt(await alice.encrypt("text")) == "text"
            await again.delete(ALICE)
