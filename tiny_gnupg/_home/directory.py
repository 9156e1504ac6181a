"""The directory of a home: whose it is, what it holds, and who may look into it.

1. It belongs to who uses it. Root, too, leaves other users' homes alone: whoever owns a directory
   has the secret keys that are made in it.
2. One that holds things and is no home was named by mistake: it is refused, and stays as it is.
3. A home that others may look into is closed (0700), where its file system has permissions.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from pathlib import Path

from tiny_gnupg._home.layout import REVOCATIONS, STATE, TRACES, TRUST
from tiny_gnupg.errors import HomeUnusable

log = logging.getLogger("tiny_gnupg")


#: What else may lie in a directory that is to become a home: options, sockets and locks of
#: GnuPG's, and what a file system puts into its uppermost directory.
HARMLESS = re.compile(
    r"[a-z-]+\.conf|S\..+|\.#lk.+|.+\.lock|random_seed|sshcontrol|trustlist\.txt|lost\+found"
)


def admit(path: Path) -> None:
    """Make a directory ready to be a home, or refuse it.

    Args:
        path: the homedir; it is made where it is not there.

    Raises:
        HomeUnusable: it is another user's, or holds things and is no home.
        OSError: it cannot be made or read.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid():
            raise HomeUnusable(
                f"{path} belongs to user {found.st_uid}, and this is user {os.geteuid()}",
                hint="name a homedir of your own, or run as its owner",
            )
        _require_home(path, os.listdir(fd))
        if found.st_mode & 0o077:
            _close(path, fd)
    finally:
        os.close(fd)


def _require_home(path: Path, names: list[str]) -> None:
    if any(os.path.lexists(path / sign) for sign in (*TRACES, STATE, TRUST, REVOCATIONS)):
        return
    others = sorted(name for name in names if not HARMLESS.fullmatch(name))
    if others:
        raise HomeUnusable(
            f"{path} is no homedir, and holds other things: {others[0]!r}",
            hint="name a new or an empty directory",
        )


def _close(path: Path, fd: int) -> None:
    try:
        os.fchmod(fd, 0o700)
        open_still = stat.S_IMODE(os.fstat(fd).st_mode) & 0o077
    except PermissionError:  # how FAT says that it has no such permissions
        open_still = 0o077
    if open_still:
        log.warning("others may look into %s: its file system has no permissions", path)
