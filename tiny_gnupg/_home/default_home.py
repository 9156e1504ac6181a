"""The home of who names none: in the package by its name, in the user's data directory in fact.

1. Keys outlive everything. What lies in the package's ``gpghome`` is a link to a directory among
   the user's data, made at the first use: an upgrade, an uninstall, or a virtual environment that
   is cleared takes a link, never a key; and all environments of a user share one keyring.
2. A link that is there counts, where it leads to a directory of this user's. Where the package
   cannot be written, or its link is another user's, the data directory is used directly.
3. A real home that lies in the package, of 0.5.2 or of a version before this rule, is moved at its
   first opening, whole or not at all: copied under another name, renamed, and only then taken away.
   Whoever is stopped in it leaves a note with what was copied; the next one takes away what the
   note tells, to the byte, and nothing else.
4. Two homes with keys are both kept, and never merged: that is an error, which names both.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tiny_gnupg._home.agent import Agent
from tiny_gnupg._home.key_files import sync
from tiny_gnupg._home.keybox import keys_in
from tiny_gnupg._home.layout import (
    AGENT_LOCK,
    DATABASE,
    FIRST_USE,
    KEYBOX,
    KEYRINGS,
    KEYS,
    MOVED_FROM,
    OLD_SECRET_KEYRING,
    REVOCATIONS,
    STATE,
    TRUST,
    holds_keys,
)
from tiny_gnupg._home.locks import alone, open_lock, try_lock
from tiny_gnupg._home.whole_files import read_regular, write_whole
from tiny_gnupg._process.descriptors import close_owned
from tiny_gnupg.errors import HomeUnusable

log = logging.getLogger("tiny_gnupg")


#: The name of a home in the package's own ``gpghome``, and of the one among the user's data.
NAME = "gpghome"


#: What is a home's where 0.5.2 kept one in ``gpghome`` itself, beside what ships there.
ITS_OWN = (
    *(*KEYRINGS, TRUST, FIRST_USE, OLD_SECRET_KEYRING, f"{KEYBOX}~"),
    *(KEYS, REVOCATIONS, os.path.dirname(DATABASE), STATE),
)


#: What is no part of a home's content: sockets, locks, seeds.
TRANSIENT = re.compile(r"S\..+|\.#lk.+|.+\.lock|random_seed")


#: Bytes of a file of a home that is moved.
MOST = 2**31


class DefaultHome(NamedTuple):
    """The home of who names none: as it is called, and where it really is."""

    name: Path
    path: Path
    package_home: Path | None = None

    def settle(self) -> None:
        """Bring a home that lies in the package to where it lasts, and leave a link there.

        Raises:
            HomeUnusable: there are two homes with keys, or the old one is in use, or cannot be
                moved; then nothing was changed.
        """
        if self.package_home is None:
            return
        local = self.package_home / NAME
        self._require_own_place()
        for old, names in ((self.package_home, ITS_OWN), (local, None)):
            if _is_real_home(old):
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with alone(self.path.parent / "move.lock"):
                    if _is_real_home(old):  # nobody was faster
                        _move(old, self.path, names)
        if self.name == local and os.path.realpath(local) != os.path.realpath(self.path):
            with suppress(OSError):  # the package cannot be written: it works without a link
                if os.path.lexists(local):
                    local.unlink() if local.is_symlink() else _set_aside(local)
                local.symlink_to(self.path)

    def _require_own_place(self) -> None:
        """Refuse a place among another user's data, where sudo leaves HOME as it was."""
        there = next(place for place in self.path.parents if place.exists())
        owner = there.stat().st_uid
        if owner not in (0, os.geteuid()):
            raise HomeUnusable(
                f"{there}, where this user's data should be, belongs to user {owner}",
                hint="set HOME (sudo -H) or TINY_GNUPG_HOME, or pass homedir=",
            )


def default_homedir(package_home: Path) -> DefaultHome:
    """Return the homedir of those who name none; nothing is made or moved yet.

    Args:
        package_home: the package's own ``gpghome``.

    Returns:
        ``TINY_GNUPG_HOME``; else a home among the user's data, under the name that it has in the
        package where that can be written.

    Raises:
        HomeUnusable: this user has no home directory.
    """
    named = os.environ.get("TINY_GNUPG_HOME")
    if named:
        return DefaultHome(Path(named), Path(named))
    local = package_home / NAME
    if local.is_symlink() and _is_ours(local):
        return DefaultHome(local, Path(os.path.realpath(local)), package_home)
    path = _data_directory() / NAME
    free = not os.path.lexists(local) or _is_ours(local) or _leads_nowhere(local)
    if free and os.access(package_home, os.W_OK):
        return DefaultHome(local, path, package_home)
    log.info("%s cannot be written; the homedir is %s", package_home, path)
    return DefaultHome(path, path, package_home)


def _data_directory() -> Path:
    from platformdirs import user_data_path  # rarely needed, and slow to import

    try:
        path = user_data_path("tiny_gnupg")
    except RuntimeError:  # pathlib's, where there is neither HOME nor a passwd entry
        path = Path("~")
    if not path.is_absolute():
        raise HomeUnusable(
            f"user {os.getuid()} has no home directory: there is neither HOME nor a passwd entry",
            hint="set HOME, XDG_DATA_HOME or TINY_GNUPG_HOME, or pass homedir=",
        )
    return path


def _is_ours(path: Path) -> bool:
    """Return whether a directory, or what a link leads to, is this user's."""
    try:
        found = path.stat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _leads_nowhere(local: Path) -> bool:
    """Return whether a link is left of a directory that is gone; not to one that we may not see."""
    try:
        local.stat()
    except FileNotFoundError:
        return local.is_symlink()
    except OSError:
        pass
    return False


def _has_keys(home: Path) -> bool:
    """Return whether a directory holds a single key."""
    if not holds_keys(home):
        return False
    if (home / DATABASE).exists() or any((home / KEYS).glob("*.key")):
        return True
    return any(keys_in(home / name) != 0 for name in (*KEYRINGS, OLD_SECRET_KEYRING))


def _is_real_home(old: Path) -> bool:
    """Return whether keys of this user's lie in a directory of the package, not behind a link."""
    return not old.is_symlink() and _is_ours(old) and _has_keys(old)


# -- the move ------------------------------------------------------------------------------


def _move(old: Path, new: Path, names: tuple[str, ...] | None) -> None:
    """Move a home, or those entries of a directory that are one's, where nobody else moves one."""
    try:
        content = _content(old, names)
        if not _is_copied(new, old, content):
            if _has_keys(new):
                raise HomeUnusable(
                    f"there are two homes with keys: {old}, in the package, and {new}",
                    hint=f"restore({str(old)!r}) in the second one brings its keys over; then take "
                    "the first one away. Or name one of them by homedir= or TINY_GNUPG_HOME",
                )
            with _unused(old):
                if os.path.lexists(new):
                    _set_aside(new)
                _copy(old, new, content)
            log.warning("the keys that lay in %s are in %s from now on", old, new)
        if _take_away(old, content, whole=names is None):
            (new / STATE / MOVED_FROM).unlink(missing_ok=True)
    except HomeUnusable:
        raise
    except OSError as error:
        raise HomeUnusable(
            f"cannot move {old} to {new}: {error}",
            hint="it is as it was; make both places writable, or name one by TINY_GNUPG_HOME",
        ) from error


def _content(old: Path, names: tuple[str, ...] | None) -> dict[str, str]:
    """Return what a home consists of: the paths of its files, and what tells each one's bytes."""
    found: dict[str, str] = {}
    for top in names or sorted(os.listdir(old)):
        for path in _files(old / top):
            if path.is_symlink():
                found[str(path.relative_to(old))] = f"link to {os.readlink(path)}"
            else:
                octets = read_regular(path, MOST)
                found[str(path.relative_to(old))] = hashlib.sha256(octets).hexdigest()
    return found


def _files(path: Path) -> Iterator[Path]:
    if TRANSIENT.fullmatch(path.name) or path.is_socket():
        return
    if path.is_dir() and not path.is_symlink():
        for entry in sorted(path.iterdir()):
            yield from _files(entry)
    elif os.path.lexists(path):
        yield path


def _is_copied(new: Path, old: Path, content: dict[str, str]) -> bool:
    """Return whether an earlier move got as far as its copy, and all that lies here is in it."""
    try:
        note = json.loads((new / STATE / MOVED_FROM).read_bytes())
        return bool(note["path"] == str(old) and content.items() <= note["content"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _set_aside(home: Path) -> None:
    """Make way where a home without a single key is."""
    with _unused(home):
        home.rename(home.with_name(f"{NAME}.empty.{secrets.token_hex(4)}"))


@contextmanager
def _unused(home: Path) -> Iterator[None]:
    """Keep a home from being used for the block, its agent ended."""
    lock = home / STATE / AGENT_LOCK
    fd = open_lock(lock) if lock.parent.is_dir() else -1
    try:
        if fd >= 0 and not try_lock(fd, fcntl.LOCK_EX, lock):
            raise HomeUnusable(
                f"{home} is in use, and has to be moved", hint="end the programs that use it first"
            )
        Agent().end(home)
        yield
    finally:
        if fd >= 0:
            close_owned(fd)


def _copy(old: Path, new: Path, content: dict[str, str]) -> None:
    """Copy a home: it appears under its name whole, on the disk, with a note of what is in it."""
    draft = new.with_name(f".tiny_gnupg.{secrets.token_hex(8)}")
    draft.mkdir(mode=0o700)
    try:
        for name in content:
            (draft / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if (old / name).is_symlink():
                (draft / name).symlink_to(os.readlink(old / name))
            else:
                write_whole(draft / name, read_regular(old / name, MOST))
        (draft / STATE).mkdir(mode=0o700, exist_ok=True)
        note = {"path": str(old), "content": content}
        write_whole(draft / STATE / MOVED_FROM, json.dumps(note).encode())
        for folder, _, _ in os.walk(draft):
            sync(Path(folder))
        os.rename(draft, new)
        sync(new.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _take_away(old: Path, content: dict[str, str], *, whole: bool) -> bool:
    """Take away what was copied; in a package that is read-only it stays, and the note on it."""
    try:
        for name in content:
            (old / name).unlink()
        for name in {name.partition(os.sep)[0] for name in content}:
            if (old / name).is_dir():
                shutil.rmtree(old / name)  # empty, or with what is transient
        if whole:
            shutil.rmtree(old)
    except OSError as error:
        log.info("%s was copied, and stays: %s", old, error.strerror)
        return False
    return True
