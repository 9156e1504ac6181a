"""A home or a backup that somebody handed over, with links to what its reader keeps elsewhere.

``restore`` copied the file that a link among the key files leads to, and filled the disk where it
led to ``/dev/zero`` (CWE-59).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.instances import alice_at, cheap, copied
from tiny_gnupg import GnuPG, HomeUnusable

KEY, REVOCATION = f"private-keys-v1.d/{'A' * 40}.key", f"openpgp-revocs.d/{'A' * 40}.rev"


def large_file(path: Path) -> None:
    """Make a file that takes no room where it lies, and a terabyte where it is copied to."""
    path.touch()
    os.truncate(path, 2**40)


PLANTED: dict[str, Callable[[Path], object]] = {
    "a link": lambda path: path.symlink_to(path.parent.parent / "pubring.kbx"),
    "a link to an endless device": lambda path: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a pipe": os.mkfifo,
    "a large file": large_file,
}


async def refuses(home: Path, stick: Path, what: str) -> None:
    """See that what is on a stick is refused, by its name, and nothing of it comes in."""
    async with alice_at(cheap(home)) as gpg:
        with pytest.raises(HomeUnusable, match=what):
            await gpg.restore(stick)
        assert await gpg.keys() == ()
        assert not list((home / "private-keys-v1.d").glob("*.key"))


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize(
    "name", [KEY, REVOCATION, "trustdb.gpg", "secring.gpg", "tiny_gnupg.d/protection.json"]
)
async def test_a_home_is_copied_by_its_files_alone(
    keys: Path, home: Path, tmp_path: Path, name: str, planted: str
) -> None:
    stick = copied(keys / "alice", tmp_path / "stick")
    (stick / name).unlink(missing_ok=True)
    PLANTED[planted](stick / name)
    await refuses(home, stick, name.rpartition("/")[2])


@pytest.mark.parametrize("name", ["private-keys-v1.d", "openpgp-revocs.d"])
async def test_a_folder_that_is_a_link_is_not_followed(
    keys: Path, home: Path, tmp_path: Path, name: str
) -> None:
    stick = copied(keys / "alice", tmp_path / "stick")
    (stick / name).rename(tmp_path / "elsewhere")
    (stick / name).symlink_to(tmp_path / "elsewhere")
    await refuses(home, stick, "symbolic link")


@pytest.mark.parametrize("planted", ["a link to an endless device", "a pipe", "a large file"])
@pytest.mark.parametrize("name", ["public.gpg", "secret.asc", "ownertrust.txt"])
async def test_a_backup_is_read_by_its_files_alone(
    bob: GnuPG, home: Path, tmp_path: Path, name: str, planted: str
) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "public.gpg").write_text(await bob.text_export())
    (stick / name).unlink(missing_ok=True)
    PLANTED[planted](stick / name)
    await refuses(home, stick, name)
