"""What gpg leaves when it is killed between two steps, and a disk when the power fails."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.instances import BOB, MakeGnuPG, PlainGpg, alice_at
from tiny_gnupg import GnuPG, GnuPGError, HomeUnusable
from tiny_gnupg._gpg import commands
from tiny_gnupg._gpg.imports import imported
from tiny_gnupg._home.key_files import keygrips
from tiny_gnupg._home.layout import AGENT, SEEN, STATE
from tiny_gnupg._home.repair import heal
from tiny_gnupg._operations import engine
from tiny_gnupg._process.find_gpg import find_executable

Break = Callable[[Path], None]


def between_the_renames(home: Path) -> None:
    """The old keyring is renamed away, the new one not yet in."""
    shutil.copyfile(home / "pubring.kbx", home / "pubring.kbx.tmp")
    os.replace(home / "pubring.kbx", home / "pubring.kbx~")


def after_a_reader_came(home: Path) -> None:
    """And then a gpg found no keyring, and made an empty one."""
    between_the_renames(home)
    header = 32
    (home / "pubring.kbx").write_bytes((home / "pubring.kbx~").read_bytes()[:header])


def while_writing(home: Path) -> None:
    """The new keyring is written half."""
    whole = (home / "pubring.kbx").read_bytes()
    (home / "pubring.kbx.tmp").write_bytes(whole[: len(whole) // 2])


def backed_up(home: Path) -> None:
    shutil.copyfile(home / "pubring.kbx", home / "pubring.kbx~")


def cut_off(home: Path) -> None:
    """The power failed: the file has its name, and half of its data."""
    backed_up(home)
    os.truncate(home / "pubring.kbx", (home / "pubring.kbx").stat().st_size // 2)


def zeroed(home: Path) -> None:
    """The power failed: the file has its name and its size, and no data."""
    backed_up(home)
    (home / "pubring.kbx").write_bytes(bytes((home / "pubring.kbx").stat().st_size))


def emptied(home: Path) -> None:
    """The power failed: the file has its name alone."""
    backed_up(home)
    (home / "pubring.kbx").write_bytes(b"")


def trust_cut_off(home: Path) -> None:
    os.truncate(home / "trustdb.gpg", 100)


def trust_emptied(home: Path) -> None:
    (home / "trustdb.gpg").write_bytes(b"")


def stale_lock(home: Path, name: str, pid: int) -> None:
    (home / name).write_text(f"{pid:10d}\n{os.uname().nodename}\n")


def lock_of_the_dead(home: Path) -> None:
    """gpg removes such a lock itself."""
    with subprocess.Popen(["true"]) as gone:
        pass
    stale_lock(home, "pubring.kbx.lock", gone.pid)
    for name in ("c0ffee00", "c0ffee01"):
        draft = f".#lk0x00005581{name}.{os.uname().nodename}.{gone.pid}"
        stale_lock(home, draft, gone.pid)
    # It was not even written.
    os.truncate(home / draft, 0)


def lock_of_another_program(home: Path) -> None:
    """The number was given to another program since, and gpg would wait for it."""
    for name in ("pubring.kbx.lock", "trustdb.gpg.lock", "gnupg_spawn_agent_sentinel.lock"):
        stale_lock(home, name, os.getpid())


BREAKS = (
    between_the_renames,
    after_a_reader_came,
    while_writing,
    cut_off,
    zeroed,
    emptied,
    trust_cut_off,
    trust_emptied,
    lock_of_the_dead,
    lock_of_another_program,
)


async def everything(home: Path, strangers: dict[str, str]) -> dict[str, str]:
    """Use a home, read and write, without any help; return the keys in it."""
    async with alice_at(home, timeout=10) as gpg:
        found = await gpg.list_keys()
        assert await gpg.decrypt(await gpg.encrypt("text")) == "text"
        await gpg.text_import(next(iter(strangers.values())))
        await gpg.trust(gpg.fingerprint, 5)
        return found


@pytest.mark.parametrize("broken", BREAKS)
async def test_it_is_found_at_opening(
    alices_home: Path, strangers: dict[str, str], broken: Break
) -> None:
    async with alice_at(alices_home) as gpg:
        held = await gpg.list_keys()
    broken(alices_home)
    assert await everything(alices_home, strangers) == held
    left = {path.name for path in alices_home.iterdir()}
    assert "pubring.kbx.tmp" not in left
    assert not any(name.endswith(".lock") or name.startswith(".#lk") for name in left)


@pytest.mark.parametrize("broken", [between_the_renames, after_a_reader_came])
async def test_it_is_found_by_the_next_writer(
    alice: GnuPG, strangers: dict[str, str], broken: Break
) -> None:
    held = await alice.list_keys()
    broken(Path(alice.home))
    await alice.text_import(next(iter(strangers.values())))
    assert held.items() <= (await alice.list_keys()).items()


async def test_it_is_found_before_the_next_reader(
    alice: GnuPG, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gpg that loses the keyring and dies is looked after before its lock is given back."""
    held = await alice.list_keys()
    async with alice._engine.locked(writing=True):
        between_the_renames(Path(alice.home))
    assert (Path(alice.home) / "pubring.kbx").exists()
    assert await alice.list_keys() == held


async def test_what_was_damaged_is_kept(
    alices_home: Path, strangers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    cut_off(alices_home)
    damaged = (alices_home / "pubring.kbx").read_bytes()
    await everything(alices_home, strangers)
    (aside,) = alices_home.glob("pubring.kbx.damaged.*")
    assert aside.read_bytes() == damaged
    assert any("damaged" in message for message in caplog.messages)


def test_only_what_matters_is_warned_of(
    alices_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "tiny_gnupg")
    lock_of_the_dead(alices_home)
    heal(alices_home)
    assert {record.levelname for record in caplog.records} == {"DEBUG"}
    assert len(caplog.records) == 3
    between_the_renames(alices_home)
    heal(alices_home)
    assert [record.levelname for record in caplog.records[3:]] == ["WARNING"]


@pytest.mark.parametrize("name", ["pubring.kbx.lock", "trustdb.gpg.lock"])
async def test_a_lock_that_is_held_is_left_alone(
    alices_home: Path, plain_gpg: Callable[..., PlainGpg], name: str
) -> None:
    """Another program's gpg may be at work: one that waits for its data is one that runs."""
    plain = plain_gpg()
    command = [str(find_executable()), "--homedir", str(plain.home), "--batch", "--dearmor"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as running:
        time.sleep(0.1)
        stale_lock(alices_home, name, running.pid)
        between_the_renames(alices_home)
        heal(alices_home)
        assert (alices_home / name).exists()
        assert (alices_home / "pubring.kbx").exists() == (name != "pubring.kbx.lock")
        assert running.stdin is not None
        running.stdin.close()
    heal(alices_home)
    assert not (alices_home / name).exists()
    assert (alices_home / "pubring.kbx").exists()


ELSEWHERE = "web-7d4b9c-old"
LOCKS = ("pubring.kbx.lock", "trustdb.gpg.lock", "public-keys.d/pubring.db.lock")


def lock_of_another_machine(home: Path, name: str) -> Path:
    lock = home / name
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(f"         7\n{ELSEWHERE}\n")
    return lock


@pytest.mark.parametrize("name", LOCKS)
async def test_a_container_that_was_killed_leaves_a_lock_to_the_next_one(
    alices_home: Path, strangers: dict[str, str], name: str
) -> None:
    """In a home of ours whoever uses it holds our own lock too, which the kernel gives back."""
    lock = lock_of_another_machine(alices_home, name)
    await everything(alices_home, strangers)
    assert not lock.exists()
    async with alice_at(alices_home, timeout=60) as gpg:
        lock_of_another_machine(alices_home, name)  # it came while we were there
        await gpg.text_import(next(iter(strangers.values())))
        assert not lock.exists()


WRITERS: dict[str, Callable[[GnuPG], Awaitable[object]]] = {
    "gen_key": lambda gpg: gpg.gen_key(),
    "add_subkey": lambda gpg: gpg.add_subkey(),
    "set_expire": lambda gpg: gpg.set_expire("", "1y"),
    "trust": lambda gpg: gpg.trust("", 3),
    "revoke": lambda gpg: gpg.revoke(),
    "delete": lambda gpg: gpg.delete(),
    "certify": lambda gpg: gpg.certify(BOB),
}


@pytest.mark.parametrize("name", LOCKS)
async def test_a_lock_of_another_machine_in_somebodys_home_is_told(
    alices_home: Path,
    strangers: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """There nobody can know whether that process runs; gpg would wait for it without end."""
    monkeypatch.setattr(engine, "PATIENCE", 0.2)
    (alices_home / STATE / AGENT).touch()
    lock = lock_of_another_machine(alices_home, name)
    block = next(iter(strangers.values()))
    async with alice_at(alices_home) as gpg:
        before = await gpg.keys()
        for call in [*(call(gpg) for call in WRITERS.values()), gpg.text_import(block)]:
            with pytest.raises(HomeUnusable) as failure:
                await call
            assert all(said in str(failure.value) for said in (str(lock), ELSEWHERE, "process 7"))
        assert await gpg.decrypt(await gpg.encrypt("readers need no lock")) != ""
        assert lock.exists()
        assert await gpg.keys() == before
        lock.unlink()
        assert await gpg.text_import(block)


@pytest.mark.parametrize("somebodys", [False, True])
async def test_a_lock_that_comes_while_gpg_begins_is_not_waited_for_without_end(
    alices_home: Path,
    strangers: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    somebodys: bool,
) -> None:
    monkeypatch.setattr(engine, "LOOK", 0.1)
    monkeypatch.setattr(engine, "PATIENCE", 0.3)
    if somebodys:
        (alices_home / STATE / AGENT).touch()
    block = next(iter(strangers.values()))
    call = engine.Call(commands.import_keys(), stdin=block, writing=True)
    async with alice_at(alices_home) as gpg, gpg._engine.locked(writing=True):
        lock = lock_of_another_machine(alices_home, "pubring.kbx.lock")
        if somebodys:
            with pytest.raises(HomeUnusable, match=ELSEWHERE):
                await gpg._engine.run_locked(call)
            lock.unlink()
        assert imported(await gpg._engine.run_locked(call)).imported == 1
        assert not lock.exists()


async def test_a_gpg_that_was_stopped_with_a_lock_is_told(
    alices_home: Path, strangers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PATIENCE", 0.2)
    command = [str(find_executable()), "--homedir", str(alices_home), "--batch", "--dearmor"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as running:
        time.sleep(0.1)
        running.send_signal(signal.SIGSTOP)
        stale_lock(alices_home, "pubring.kbx.lock", running.pid)
        try:
            async with alice_at(alices_home) as gpg:
                with pytest.raises(HomeUnusable, match=f"process {running.pid} on this machine"):
                    await gpg.text_import(next(iter(strangers.values())))
        finally:
            running.kill()


def test_a_good_home_is_left_as_it_is(alices_home: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    (alices_home / STATE / SEEN).touch()  # so that there is one to be left out below
    paths = set(alices_home.rglob("*"))
    before = {path: path.stat().st_mtime_ns for path in paths if path.name != SEEN}
    heal(alices_home)
    assert set(alices_home.rglob("*")) == paths
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert caplog.messages == []


async def test_drafts_of_a_killed_process_go(alices_home: Path, strangers: dict[str, str]) -> None:
    keys = alices_home / "private-keys-v1.d"
    old, new = keys / ".tiny_gnupg.0123", keys / ".tiny_gnupg.4567"
    for draft in (old, new):
        draft.write_bytes(b"half a key")
    os.utime(old, (0, 0))
    await everything(alices_home, strangers)
    assert not old.exists()
    assert new.exists()


async def test_a_damaged_keyring_without_a_backup_is_called_so(
    alices_home: Path, make_gnupg: MakeGnuPG
) -> None:
    """It is neither a bad key that comes in, nor a missing one."""
    keyring, key = alices_home / "pubring.kbx", await make_gnupg().text_export(BOB)
    whole = keyring.read_bytes()
    for damaged in (b"garbage" * 20, whole[: len(whole) // 2], b""):
        gpg = make_gnupg()
        (alices_home / "pubring.kbx~").unlink(missing_ok=True)
        keyring.write_bytes(damaged)
        calls: list[Awaitable[object]] = [
            gpg.keys(),
            gpg.sign("x"),
            gpg.gen_key(),
            gpg.text_import(key),
            gpg.encrypt("x", BOB),
        ]
        for call in calls:
            with pytest.raises(HomeUnusable, match=r"pubring\.kbx is damaged"):
                await call
        keyring.write_bytes(whole)
        assert await gpg.decrypt(await gpg.encrypt("x", ""))
        await gpg.aclose()


async def test_a_keyring_that_is_damaged_while_it_is_used_keeps_no_home_from_closing(
    alices_home: Path, make_gnupg: MakeGnuPG
) -> None:
    keyring = alices_home / "pubring.kbx"
    async with make_gnupg() as gpg:
        before, whole = await gpg.keys(), keyring.read_bytes()
        (alices_home / "pubring.kbx~").unlink(missing_ok=True)
        keyring.write_bytes(b"garbage" * 20)
        with pytest.raises(GnuPGError):
            await gpg.gen_key()
    keyring.write_bytes(whole)
    (alices_home / "pubring.kbx~").unlink(missing_ok=True)
    async with make_gnupg() as gpg:
        assert await gpg.keys() == before
        assert {path.name for path in (alices_home / "private-keys-v1.d").glob("*.key")} == {
            f"{grip}.key" for key in before if key.secret for grip in keygrips(key)
        }
