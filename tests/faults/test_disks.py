"""A disk that is full, and one that cannot be written."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.instances import BOB, alice_at, copied
from tests.proc import users_of
from tiny_gnupg import CommandFailed, GnuPG, GnuPGError, HomeUnusable


@contextmanager
def mounted(directory: Path, *options: str) -> Iterator[Path]:
    """Mount a file system of memory, for the block."""
    mount = ["mount", "-t", "tmpfs", "-o", ",".join(["mode=700", *options]), "tmpfs"]
    if subprocess.run([*mount, str(directory)], capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: mounting a small file system needs root")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(directory: Path) -> Path:
    """Use up a disk."""
    filler = directory / "filler"
    with open(filler, "wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert os.statvfs(directory).f_bavail == 0
    return filler


async def test_a_full_disk(keys: Path, home: Path, strangers: dict[str, str]) -> None:
    """Each operation says what is wrong, or works; with room again, all is there."""
    with mounted(home, "size=512k"):
        copied(keys / "alice", home)
        async with alice_at(home, timeout=20) as gpg:
            await gpg.set_fingerprint(gpg.email)
            held = await gpg.list_keys(secret=True)
            message = await gpg.encrypt("text")
            filler = fill(home)
            for block in strangers.values():
                with pytest.raises(GnuPGError):
                    await gpg.text_import(block)
            with pytest.raises(GnuPGError):
                await gpg.gen_key()
            with pytest.raises((GnuPGError, OSError)):
                await gpg.change_passphrase("", "another")
            # gpg makes a lock file even to read, and stops where it cannot.
            for reading in (gpg.list_keys(secret=True), gpg.decrypt(message)):
                with suppress(GnuPGError):
                    assert await reading in (held, "text")
            filler.unlink()
            for fingerprint, block in strangers.items():
                assert (await gpg.text_import(block)).fingerprints == (fingerprint,)
            assert await gpg.list_keys(secret=True) == held
            assert await gpg.decrypt(message) == "text"
            assert not list(home.rglob("*.tmp"))


@pytest.mark.parametrize("form", ["sealed", "signed"])
async def test_a_disk_that_is_too_small_for_a_plaintext(
    alice: GnuPG, tmp_path: Path, form: str
) -> None:
    """It is the disk that is named, not a message that was changed; and nothing is left there."""
    text, small = os.urandom(2**21), tmp_path / "small"
    stream = alice.encrypt_stream([text], "") if form == "sealed" else alice.sign_stream([text])
    message = b"".join([piece async for piece in stream])
    (tmp_path / "message").write_bytes(message)
    small.mkdir()

    async def flow() -> None:
        async with alice.decrypt_stream([message], spool=small):
            pass

    with mounted(small, "size=1m"):
        for use in (flow(), alice.decrypt_file(tmp_path / "message", small / "plain")):
            with pytest.raises(CommandFailed, match="cannot be written: No space left on device"):
                await use
        assert not list(small.iterdir())


async def test_a_disk_that_is_full_from_the_start(home: Path) -> None:
    with mounted(home, "size=64k"):
        fill(home)
        gpg = alice_at(home)
        with pytest.raises(HomeUnusable):
            await gpg.gen_key()
        await gpg.aclose()
        (home / "filler").unlink()
        assert {path.name for path in home.rglob("*") if path.is_file()} <= {
            "common.conf",
            "gpg-agent.conf",
        }


@pytest.mark.parametrize("end", ["closed", "killed"])
async def test_a_home_that_cannot_be_written_can_be_read(
    keys: Path, home: Path, strangers: dict[str, str], tmp_path: Path, end: str
) -> None:
    (tmp_path / "block").write_text(next(iter(strangers.values())))
    with mounted(home, "size=4m"):
        copied(keys / "alice", home)
        async with alice_at(home) as alice:
            (tmp_path / "signed").write_text(await alice.sign("text"))
        before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
        remount(home, "ro")
        program = [
            sys.executable,
            "-m",
            "tests.programs.read_only_home",
            *map(str, (home, tmp_path, end)),
        ]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (-signal.SIGKILL if end == "killed" else 0, "")
        stand_in = Path(done.stdout.strip())
        remount(home, "rw")
        assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before
        await asyncio.to_thread(until_gone, stand_in)
        async with alice_at(home) as alice:
            assert len(await alice.list_keys()) == 2
            await alice.trust(BOB, 4)


async def test_a_home_that_cannot_be_written_and_holds_no_keys(home: Path) -> None:
    with mounted(home, "size=4m"):
        remount(home, "ro")
        gpg = alice_at(home)
        with pytest.raises(HomeUnusable, match="not writable"):
            await gpg.list_keys()
        remount(home, "rw")
        assert await gpg.list_keys() == {}
        await gpg.aclose()


async def test_a_home_of_somebody_else(tmp_path: Path) -> None:
    """A file where the directory should be, a directory that may not be made."""
    file = tmp_path / "file"
    file.write_text("no directory")
    for path in (file, file / "home", Path("/proc/home")):
        gpg = GnuPG(homedir=path)
        with pytest.raises(HomeUnusable):
            await gpg.list_keys()
    assert os.listdir(tmp_path) == ["file"]


def until_gone(path: Path) -> None:
    """Wait until a directory and its agent are gone; one of them never may be."""
    while path.exists() or users_of(path):
        time.sleep(0.05)


def remount(home: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(home)], check=True)
