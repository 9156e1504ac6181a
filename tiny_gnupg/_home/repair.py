"""What a crash leaves in a home, put right before the next gpg meets it.

gpg and gpg-agent may be killed at any moment, and so may this process. What they leave then:

1. No ``pubring.kbx``, but its backup ``pubring.kbx~``: gpg was between its two renames. The next
   gpg would make an empty keyring, and the one after that overwrite the backup. The backup is the
   keyring as it was before the command that failed: it is put back. Likewise where an empty
   keyring was made already and the half-done ``pubring.kbx.tmp`` still tells of the crash.
2. A keyring or trust database whose structure is broken (the power failed): the keyring's backup
   takes its place; a broken trust database goes, gpg makes a new one. Nothing is deleted: what was
   there is kept beside it, with ``.damaged`` behind its name.
3. Lock files. gpg removes those of processes that are gone, and waits for ever where the number
   of its process was given to another one since, and for another machine's (a container that was
   killed, and the next one on its volume). Those of nobody are removed here; in a home that this
   library made, that is every one of another machine: whoever uses it there by this library holds
   the keyring's lock, which the caller has alone. Elsewhere it is told whose they are.
4. Drafts of files that this library replaces whole.
5. Changes of key files that were to be made all, and were in part (``_home.key_changes``).
6. Key files that gpg-agent wrote so that it cannot read them (``_gpg.damaged_keys``): they are
   mended. What was looked at once is read again only where it changed since.

The keyring's lock is held alone by whoever calls, so no command of this library runs in the home.
Another program's gpg may: where it holds gpg's own lock, nothing is touched. A home in which all
is well costs one look into its directory, and one into that of its secret keys.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path

from tiny_gnupg._home.key_changes import DRAFT, settle
from tiny_gnupg._home.key_files import mend
from tiny_gnupg._home.keybox import keys_in
from tiny_gnupg._home.layout import (
    DATABASE_LOCK,
    KEYBOX,
    KEYRING_LOCK,
    KEYRINGS,
    KEYS,
    SEEN,
    STATE,
    TRUST,
    TRUST_LOCK,
    is_somebodys,
)
from tiny_gnupg._home.locks import open_lock, try_lock
from tiny_gnupg._process.descriptors import close_owned
from tiny_gnupg.errors import HomeUnusable

log = logging.getLogger("tiny_gnupg")


#: gpg's lock files, and the drafts of them that it links to their name (common/dotlock.c).
LOCKS = re.compile(r".*\.lock|\.#lk0x[0-9a-f]+\..*")


DRAFT_OF_LOCK = re.compile(r"\.#lk0x[0-9a-f]+\.(.+)\.([0-9]+)x?")


#: The programs that make them; an agent, which lives long, makes none.
HOLDERS = re.compile(r"(lt-)?(gpg(?!-agent)|keyboxd|kbxutil)")


#: Where this library's drafts of files are, and their names (see ``whole_files``).
DRAFTS = ((KEYS, ".tiny_gnupg.*"), (STATE, ".tiny_gnupg.*"))


#: Seconds after which a draft is nobody's.
ABANDONED = 60.0


def heal(home: Path) -> list[Path]:
    """Put right what a killed gpg left; the caller holds the keyring's lock alone.

    Args:
        home: the homedir.

    Returns:
        The locks of gpgs that run, for which the next gpg would wait.
    """
    held: list[Path] = []
    try:
        names = frozenset(os.listdir(home))
        for keyring in KEYRINGS:
            if f"{keyring}~" in names and (keyring not in names or f"{keyring}.tmp" in names):
                _finish_renames(home / keyring)
        locks = [home / name for name in names if LOCKS.fullmatch(name)]
        if _is_elsewhere(home / DATABASE_LOCK):
            locks.append(home / DATABASE_LOCK)
        for lock in locks:
            if not _held(home, lock):
                _remove(lock)
            elif not lock.name.startswith(".#"):
                held.append(lock)
        settle(home)
        _mend_keys(home / KEYS, home / STATE / SEEN)
    except OSError as error:
        # gpg itself will say what is wrong, where that matters.
        log.warning("cannot look after %s: %s", home, error)
    return held


def held_locks(home: Path) -> list[Path]:
    """Return the locks of GnuPG's in a home that stop others, of programs here or elsewhere."""
    found = [lock for lock in home.glob("*.lock") if _held(home, lock)]
    database = home / DATABASE_LOCK
    return [*found, database] if _is_elsewhere(database) and _held(home, database) else found


def locks_elsewhere(home: Path, *, alone: bool) -> list[Path]:
    """Return the locks that name another machine, and for which a gpg of ours may be waiting.

    Args:
        home: the homedir.
        alone: the caller holds the keyring's lock alone, so those of nobody are removed.
    """
    elsewhere = []
    for lock in (*home.glob("*.lock"), home / DATABASE_LOCK):
        if alone and lock.exists() and not _held(home, lock):
            _remove(lock)
        elif _is_elsewhere(lock):
            elsewhere.append(lock)
    return elsewhere


def trust_is_held_elsewhere(home: Path) -> bool:
    """Return whether a gpg that only reads would wait for a lock that may never be given back."""
    return _is_elsewhere(home / TRUST_LOCK)


def told(lock: Path) -> str:
    """Return whose a lock is, for people."""
    try:
        number, machine = _owner(lock)
    except OSError:
        return f"{lock} has gone"
    where = (
        "this machine" if machine == os.uname().nodename else machine or "no machine that it names"
    )
    return f"{lock} is held by process {number or '?'} on {where}"


def heal_opened(home: Path, state: Path) -> None:
    """Put right what may be wrong in a home that is opened, unless somebody uses it right now.

    Args:
        home: the homedir.
        state: the directory with this library's locks.

    Raises:
        HomeUnusable: the keyring is damaged, and there is no backup of it.
    """
    lock = state / KEYRING_LOCK
    fd = open_lock(lock)
    try:
        # Where it is taken, somebody uses the home who has looked after it already.
        if try_lock(fd, fcntl.LOCK_EX, lock):
            heal(home)
            _replace_damaged(home)
            _clear_drafts(home)
    finally:
        close_owned(fd)


def _finish_renames(keyring: Path) -> None:
    backup, draft = _beside(keyring, "~"), _beside(keyring, ".tmp")
    if _held(keyring.parent, _beside(keyring, ".lock")):
        return
    if not keyring.exists() or (keys_in(keyring) == 0 and keys_in(backup)):
        log.warning("%s was lost by a gpg that was stopped; its backup takes its place", keyring)
        os.replace(backup, keyring)
    draft.unlink(missing_ok=True)


def _replace_damaged(home: Path) -> None:
    keyring, trust = home / KEYBOX, home / TRUST
    backup = _beside(keyring, "~")
    if keyring.exists() and keys_in(keyring) is None and not _held(home, _beside(keyring, ".lock")):
        if keys_in(backup):
            _set_aside(keyring)
            shutil.copyfile(backup, keyring)
        else:
            raise HomeUnusable(
                f"{keyring} is damaged, and there is no backup beside it",
                hint="restore that file; or move it away, and import the public keys again: the "
                "secret ones lie in their own files",
            )
    if trust.exists() and not _is_trustdb(trust) and not _held(home, _beside(trust, ".lock")):
        _set_aside(trust)


def _set_aside(path: Path) -> None:
    aside = _beside(path, f".damaged.{int(time.time())}")
    log.warning("%s is damaged; it is kept as %s", path, aside.name)
    os.replace(path, aside)


def _is_trustdb(trust: Path) -> bool:
    """Return whether a trust database has whole records, and its first one (g10/tdbio.h)."""
    with open(trust, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        return size >= 40 and size % 40 == 0 and file.read(4) == b"\x01gpg"


def _held(home: Path, lock: Path) -> bool:
    """Return whether a lock file is that of a GnuPG program that runs, or of another machine."""
    try:
        made = lock.stat().st_mtime
        number, machine = _owner(lock)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    if not machine and (draft := DRAFT_OF_LOCK.fullmatch(lock.name)):
        machine, number = draft.groups()  # gpg was ended before it wrote them into the file too
    if machine and machine != os.uname().nodename:
        return is_somebodys(home)
    if not machine:  # it is still being written
        return time.time() - made < ABANDONED
    process = Path("/proc", number)
    try:
        stat = (process / "stat").read_text(errors="replace")
    except OSError:
        return not Path("/proc/self").exists()
    # Its number may have been given to another program since.
    name, _, rest = stat.partition("(")[2].rpartition(")")
    return rest.split()[0] != "Z" and bool(HOLDERS.match(name))


def _is_elsewhere(lock: Path) -> bool:
    """Return whether a lock names another machine; a keyboxd here holds its own while it runs."""
    try:
        # Nearly always it is not there, and to find that out by opening it takes longer.
        return os.path.lexists(lock) and _owner(lock)[1] not in ("", os.uname().nodename)
    except OSError:
        return False


def _owner(lock: Path) -> tuple[str, str]:
    """Return the process id and the machine that a lock file names, a draft of one by its name."""
    if lock.name.startswith(".#lk"):
        machine, _, number = lock.name.partition(".#lk")[2].partition(".")[2].rpartition(".")
    else:
        number, _, machine = lock.read_text(errors="replace").partition("\n")
    return number.strip(), machine.strip()


def _remove(lock: Path) -> None:
    # Whoever cancels a call leaves one: no news for a person.
    log.debug("removing a lock of nobody: %s", told(lock))
    lock.unlink(missing_ok=True)


def _clear_drafts(home: Path) -> None:
    for directory, pattern in DRAFTS:
        for draft in (home / directory).glob(pattern):
            with suppress(OSError):
                if time.time() - draft.stat().st_mtime > ABANDONED:
                    draft.unlink()
    # These are made where the keyring's lock is held alone, as it is here.
    for folder in (home / KEYS).glob(f"{DRAFT}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _mend_keys(keys: Path, seen: Path) -> None:
    """Mend key files that are damaged, of those that changed since the last time."""
    try:
        # By the time that nobody can set: a copy of a home keeps the other one.
        before = seen.stat().st_ctime_ns if seen.exists() else 0
        with os.scandir(keys) as found:
            kept = [one for one in found if one.name.endswith(".key")]
            changed = [one.path for one in kept if one.stat().st_ctime_ns >= before]
        if changed:
            seen.touch(0o600)  # first, so that none that changes while they are read is left out
        for path in changed:
            if not mend(Path(path)):
                log.warning("gpg-agent has damaged %s so that it cannot be mended", path)
    except FileNotFoundError:
        pass  # a home without secret keys, or none of this library's yet


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
