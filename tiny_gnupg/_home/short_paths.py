"""The path that gpg is given for a home: its own, or a short link where that is too long.

1. The agent's socket has a path of at most 106 bytes. Where gpg would put it into the home, and
   the home's path is too long for that, gpg is given a symbolic link to the home.
2. The link lies in a directory of a random name that is ours alone: whatever another user makes in
   ``/tmp`` first, it is not in the way (CWE-377).
3. Where it is, the home remembers: all processes give gpg the same one, as long as anybody uses the
   home. Who finds it gone makes it again. A copy of a home has a link of its own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from tiny_gnupg._home.layout import SHORT_PATH, STATE
from tiny_gnupg._home.whole_files import read_regular, write_whole
from tiny_gnupg._openpgp.zbase32 import z_base_32
from tiny_gnupg.errors import HomeUnusable

#: The longest path of a socket: Linux takes 107 bytes (unix(7): sun_path), gpg-agent one less.
LONGEST_SOCKET = 106


#: The agent's socket with the longest name.
LONGEST_NAME = "S.gpg-agent.browser"


#: The name of a link in its directory.
LINK = "h"


#: How often a link is made that is taken away at once.
TRIES = 100


def short_path(home: Path) -> Path:
    """Return the path of a home that gpg is given: its own, or that of a short link to it.

    Raises:
        HomeUnusable: there is no place for such a link.
        OSError: the home cannot be written.
    """
    if run_directory(home) is not None:
        return home  # the sockets are not in the home
    if _is_short(home):
        return home
    note = home / STATE / SHORT_PATH
    link = _remembered(note)
    if link is None or not _leads_to(link, home):
        if link is not None:
            _remove(link, home)
            note.unlink(missing_ok=True)
        note.parent.mkdir(mode=0o700, exist_ok=True)
        link = private_directory() / LINK
        link.symlink_to(home)
        try:
            write_whole(note, os.fsencode(link))
        except FileExistsError:  # another process was faster
            _remove(link, home)
            return short_path(home)
    return link


def remove_short_link(home: Path, short: Path) -> None:
    """Remove what ``short_path`` made for a home, if it made something."""
    if short != home:
        _remove(short, home)
        (home / STATE / SHORT_PATH).unlink(missing_ok=True)


def private_directory() -> Path:
    """Make a directory with a short path and a name that nobody can foresee; it is ours alone.

    Raises:
        HomeUnusable: there is no place for it.
    """
    reason = "paths there are too long for a socket"
    for base in _places():
        try:
            made = Path(tempfile.mkdtemp(prefix="tiny_gnupg-", dir=base))
        except OSError as error:
            reason = error.strerror or str(error)
            continue
        if _is_short(made / LINK):
            return made
        made.rmdir()
    raise HomeUnusable(
        f"no directory for the agent's sockets can be made: {reason}",
        hint="make /tmp writable, set XDG_RUNTIME_DIR, or use a homedir with a shorter path",
    )


def run_directory(home: Path) -> Path | None:
    """Return the directory of the sockets of ``home``, where gpg does not put them into the home.

    The rule is GnuPG's (common/homedir.c): below ``/run/user/<uid>``, where that is there, for the
    user's default homedir in ``gnupg`` itself, for another one in a directory of that named after
    the SHA-1 of the homedir's path as gpg was given it.
    """
    for base in ("/run", "/var/run"):
        user = Path(base, "user", str(os.getuid()))
        if user.is_dir():
            if is_default_homedir(home):
                return user / "gnupg"
            digest = hashlib.sha1(os.fsencode(home), usedforsecurity=False).digest()[:15]
            return user / "gnupg" / f"d.{z_base_32(digest)}"
    return None


def is_default_homedir(home: Path) -> bool:
    """Return whether a home is the one of the user's own gpg."""
    return str(home) == os.path.abspath(os.path.expanduser("~/.gnupg"))


def _is_short(home: Path) -> bool:
    return len(os.fsencode(home / LONGEST_NAME)) <= LONGEST_SOCKET


def _places() -> list[str]:
    """Return where such a directory may be, the best first."""
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    # The specification wants it to be the user's alone; who sets it may not know that.
    places = [own] if os.path.isabs(own) and _is_ours_alone(Path(own)) else []
    # S108: anybody may write to /tmp; that is why the name is random, and made by mkdtemp.
    return [*places, "/tmp", tempfile.gettempdir()]  # noqa: S108


def _is_ours_alone(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return ours and not found.st_mode & 0o077


def _remembered(note: Path) -> Path | None:
    try:
        return Path(os.fsdecode(read_regular(note, LONGEST_SOCKET)))
    except OSError:
        return None


def _leads_to(link: Path, home: Path) -> bool:
    """Return whether a link is ours and leads to a home; one that is gone is made again.

    By the same name, as often as it goes: the agent that runs knows the home by no other.
    """
    for _ in range(TRIES):
        with suppress(OSError):
            link.parent.mkdir(mode=0o700)
        try:
            if not _is_ours_alone(link.parent):
                link.parent.lstat()
                return False  # somebody has taken its place
            with suppress(FileExistsError):
                link.symlink_to(home)
            return Path(os.readlink(link)) == home
        except FileNotFoundError:  # it has just gone
            continue
        except OSError:  # it is none
            return False
    return False


def _remove(link: Path, home: Path) -> None:
    """Remove a link to a home, or to one that is gone, and its directory."""
    if not _is_ours_alone(link.parent):
        return
    with suppress(OSError):  # it is none, or has just gone
        if Path(os.readlink(link)) == home or not link.exists():
            shutil.rmtree(link.parent, ignore_errors=True)
