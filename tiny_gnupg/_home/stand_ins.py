"""What stands for a home that cannot be written, so that what only reads works in it.

gpg and its agent write beside the keys: locks, sockets. For a home on a read-only volume they are
given a directory of a moment, in which the files of the keys are links to where they are. It is
this process's alone, and goes with it. Nothing is changed in it: see ``Engine.locked``.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from tiny_gnupg._home.layout import KEYS, PROTECTION, REVOCATIONS, STATE, holds_keys
from tiny_gnupg._home.short_paths import private_directory
from tiny_gnupg.errors import HomeUnusable


def is_read_only(home: Path) -> bool:
    """Return whether a directory is a home with keys that this process cannot write."""
    return home.is_dir() and not os.access(home, os.W_OK) and holds_keys(home)


def make_stand_in(home: Path) -> Path:
    """Make the directory that stands for a home.

    Raises:
        HomeUnusable: it is another user's, other than root's.
        OSError: it cannot be read, or there is no place for the directory.
    """
    owner = home.stat().st_uid
    if owner not in (0, os.geteuid()):
        raise HomeUnusable(
            f"{home} belongs to user {owner}, and this is user {os.geteuid()}",
            hint="name a homedir of your own, or run as its owner",
        )
    made = private_directory()
    try:
        (made / STATE).mkdir(mode=0o700)
        (made / KEYS).mkdir(mode=0o700)
        for path in home.iterdir():
            if path.name == REVOCATIONS:
                shutil.copytree(path, made / REVOCATIONS)
            elif path.name == KEYS:
                for file in path.iterdir():
                    (made / KEYS / file.name).symlink_to(file)
            elif path.name != STATE and not _is_passing(path):
                (made / path.name).symlink_to(path)
        (made / KEYS / PROTECTION).unlink(missing_ok=True)
        for marker in (home / STATE / PROTECTION, home / KEYS / PROTECTION):
            if marker.exists():
                shutil.copyfile(marker, made / STATE / PROTECTION)
                break
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return made


def _is_passing(path: Path) -> bool:
    """Return whether something in a home is a socket or a lock of GnuPG's."""
    passing = path.name.endswith(".lock") or path.name.startswith(".#")
    return passing or stat.S_ISSOCK(path.lstat().st_mode)
