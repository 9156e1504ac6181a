"""Files: nothing is written through a link, secrets are their owner's alone, no half files."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiny_gnupg import GnuPG, GnuPGError


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that holds 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: mounting a small file system needs root")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("secret", [False, True])
async def test_a_link_in_place_of_the_target(alice: GnuPG, tmp_path: Path, secret: bool) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    link = tmp_path / f"{alice.fingerprint}.asc"
    for target in (victim, tmp_path / "not there"):
        link.symlink_to(target)
        with pytest.raises(FileExistsError):
            await alice.file_export(tmp_path, secret=secret)
        link.unlink()
    assert victim.read_text() == "untouched"
    assert [path.name for path in tmp_path.iterdir()] == ["victim"]


async def test_a_link_that_comes_in_between(
    alice: GnuPG, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the check and the writing, an attacker may put a link there."""
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    link = tmp_path / f"{alice.fingerprint}.asc"
    monkeypatch.setattr("tiny_gnupg._home.whole_files.refuse", lambda *_, **__: None)
    monkeypatch.setattr(
        "tiny_gnupg.gnupg.transfer.refuse", lambda *_, **__: link.symlink_to(victim)
    )
    await alice.file_export(tmp_path)
    assert victim.read_text() == "untouched"
    assert not link.is_symlink()


async def test_a_secret_key_is_its_owners_alone(alice: GnuPG, tmp_path: Path) -> None:
    """Also with a umask of nothing, and where a file that others can read was there before."""
    path = tmp_path / f"{alice.fingerprint}.asc"
    path.touch(0o666)
    before = os.umask(0)
    try:
        assert await alice.file_export(tmp_path, secret=True) == path
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_decrypted_file_is_its_owners_alone(alice: GnuPG, tmp_path: Path) -> None:
    source, output = tmp_path / "message", tmp_path / "plain"
    source.write_text(await alice.encrypt("text"))
    await alice.decrypt_file(source, output)
    assert stat.S_IMODE(output.stat().st_mode) == 0o600


async def test_a_file_goes_through_no_link(alice: GnuPG, tmp_path: Path) -> None:
    victim, link, source = (tmp_path / name for name in ("victim", "link", "source"))
    victim.write_text("untouched")
    source.write_text("data")
    link.symlink_to(victim)
    with pytest.raises(FileExistsError):
        await alice.encrypt_file(source, "", link)
    with pytest.raises(FileExistsError):
        await alice.encrypt_file(source, "", link, overwrite=True)
    assert victim.read_text() == "untouched"


async def test_a_full_disk_leaves_no_part_of_a_file(
    alice: GnuPG, tmp_path: Path, small_disk: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(300_000))
    with pytest.raises((OSError, GnuPGError)):
        await alice.encrypt_file(source, "", small_disk / "message")
    assert list(small_disk.iterdir()) == []
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="space"):
        filler.write_bytes(bytes(100_000))
    with pytest.raises((OSError, GnuPGError)):
        await alice.file_export(small_disk)
    assert list(small_disk.iterdir()) == [filler]


async def test_a_cancelled_export_leaves_no_part_of_a_file(alice: GnuPG, tmp_path: Path) -> None:
    source, output = tmp_path / "source", tmp_path / "output"
    source.write_bytes(bytes(20_000_000))
    task = asyncio.ensure_future(alice.encrypt_file(source, "", output))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(tmp_path.iterdir()) == [source]
