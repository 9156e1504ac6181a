"""A homedir: where it is, its permissions and configuration, its lock, and who uses it.

1. A home belongs to one user alone: 0700, made where it is not there. So the package's own
   ``gpghome``, where gpg and its options lie for all users of an installation, is no home itself:
   the home of who names none is a folder in it. Only where 0.5.2 kept keys in it, it stays one.
2. What this library keeps in it lies in ``tiny_gnupg.d``: the marker that says how passphrases
   guard its keys, and the lock files.
3. All processes that use a home share one agent, and one keyboxd where that has the public keys.
   Each holds a shared lock while it does; the last one to leave ends them. What was there before
   any of them is left alone.
"""

from __future__ import annotations

import asyncio
import atexit
import errno
import fcntl
import logging
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from tiny_gnupg._home.agent import KEYBOXD, Agent, listens
from tiny_gnupg._home.directory import admit
from tiny_gnupg._home.key_files import hash_count
from tiny_gnupg._home.layout import (
    AGENT,
    AGENT_LOCK,
    COMMON,
    DATABASES,
    FIRST_USE,
    KEYRING_LOCK,
    KEYRINGS,
    KEYS,
    PROTECTION,
    STATE,
    TRUST,
    holds_keys,
)
from tiny_gnupg._home.locks import KeyringLock, alone, open_lock, try_lock
from tiny_gnupg._home.protection import LOW_COUNT, Protection, Scheme
from tiny_gnupg._home.repair import heal, heal_opened
from tiny_gnupg._home.short_paths import is_default_homedir, remove_short_link, short_path
from tiny_gnupg._home.stand_ins import is_read_only, make_stand_in
from tiny_gnupg._home.whole_files import write_whole
from tiny_gnupg._process.descriptors import close_owned
from tiny_gnupg._process.removal import Waiting, dismiss, remove_at_the_end
from tiny_gnupg._process.tasks import in_thread, uninterrupted
from tiny_gnupg.errors import HomeUnusable

log = logging.getLogger("tiny_gnupg")


#: Bytes that must fit into a home for it to count as one that can be written.
ROOM = 2**14


#: The agent's count where gpg's own protection is asked for: none, so that it measures the machine.
OWN_COUNT = ""


#: What a home's keys are kept in, and what gpg thinks of them.
WATCHED = (*KEYRINGS, *DATABASES, TRUST, FIRST_USE, KEYS)


class Home:
    """One homedir, shared by all instances of this process that use it.

    Get it by ``Home.at``; ``open`` it before gpg runs in it, ``leave`` it after.
    """

    _known: ClassVar[dict[Path, Home]] = {}

    @classmethod
    def at(cls, path: Path) -> Home:
        """Return the one ``Home`` of this process for a path (symbolic links resolved)."""
        real = Path(os.path.realpath(path))
        return cls._known.setdefault(real, cls(real))

    @classmethod
    def drop(cls, home: Home) -> None:
        """Forget a home that is about to be removed."""
        cls._known.pop(home.path, None)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = path / STATE
        self.lock = KeyringLock(self.state)
        # As text: each call looks at them, and joining paths takes longer than looking.
        self._watched = [str(path / name) for name in WATCHED]
        self._short = path
        self.agent = Agent()
        self._changing = threading.Lock()
        #: What comes before the first opening: see ``default_home``.
        self.settle: Callable[[], None] = lambda: None
        self._protection: Protection | None = None
        # Weakly, so that who was dropped without a word does not count for ever.
        self._users: weakref.WeakSet[object] = weakref.WeakSet()
        self._joined = -1
        #: The home that cannot be written, for which this one stands.
        self.stands_for: Path | None = None
        self._removing: Waiting | None = None

    @property
    def protection(self) -> Protection:
        """How the passphrase guards the keys of this home; known once it is open."""
        if self._protection is None:
            self._protection = Protection.of(self.path)
        return self._protection

    @property
    def short(self) -> Path:
        """The path that gpg is given: the home's own, or a short link to it.

        What cleans ``/tmp`` may take the link away; it is made again.
        """
        if self._short is not self.path and not os.path.islink(self._short):
            with self._named_unusable():
                self._short = short_path(self.path)
        return self._short

    def writable(self) -> Home:
        """Return this home; where it cannot be written, one that stands for it. In a thread.

        Raises:
            HomeUnusable: nothing can.
        """
        with self._named_unusable():
            if not is_read_only(self.path):
                return self
            stand_in = Home.at(make_stand_in(self.path))
        stand_in.stands_for = self.path
        stand_in._removing = remove_at_the_end(stand_in.path)
        return stand_in

    def _remove_stand_in(self) -> None:
        """Remove this, which stood for another home, after its user."""
        if self.stands_for is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            dismiss(self._removing)
            Home.drop(self)

    def link(self) -> tuple[int, int] | None:
        """Return what changes where the short link to this home is taken away or made again."""
        if self._short is self.path:
            return None
        try:
            found = os.lstat(self._short)
        except OSError:
            return 0, 0
        return found.st_ino, found.st_ctime_ns

    # -- using it --------------------------------------------------------------------------

    def opened_by(self, user: object) -> bool:
        """Return whether ``user`` has opened this home and not left it."""
        return user in self._users

    async def open(self, user: object, *, kind: Scheme | None, template: Path) -> None:
        """Make the home ready, and count a user of it.

        Args:
            user: who; it counts until it leaves or is gone.
            kind: the protection asked for; None takes what the home says.
            template: the directory of the configuration that a new home gets a copy of.

        Raises:
            HomeUnusable: it cannot be made, written or locked, or its protection is another.
        """
        await in_thread(self.prepare, kind, template)
        # Somebody in another process is just ending the agent; no event crosses processes.
        while not await uninterrupted(in_thread(self._join, user)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    def leave(self, user: object) -> None:
        """Count a user less; the last one of all processes ends the agent. May take a second."""
        with self._changing:
            self._users.discard(user)
            if self._users or self._joined < 0:
                return
            fd, self._joined = self._joined, -1
            try:
                # To share the lock no more and to have it alone is one step that fails, or not,
                # without waiting; where it fails, somebody else uses the home.
                if try_lock(fd, fcntl.LOCK_EX, self._agent_lock):
                    theirs = os.pread(fd, 2, 0)
                    if theirs[1:] != b"x":
                        Agent(KEYBOXD).end(self.short)
                    if theirs[:1] != b"x":
                        self.end_agent()
                        remove_short_link(self.path, self._short)
                        heal(self.path)
            finally:
                self.agent.forget()
                close_owned(fd)
            self._remove_stand_in()

    def prepare(self, kind: Scheme | None, template: Path) -> None:
        """Make the home, its permissions and its configuration, where they are not there yet."""
        with self._named_unusable():
            self.settle()
            self._make(kind, template)
            self._short = short_path(self.path)
        if kind is not None and kind != self.protection.kind:
            raise HomeUnusable(
                f"the keys in {self.path} are protected the {self.protection.kind} way",
                hint=f"leave out protection=, or say {self.protection.kind!r}",
            )

    @contextmanager
    def _named_unusable(self) -> Iterator[None]:
        """Say of an error of the system that it makes this home unusable."""
        try:
            yield
        except HomeUnusable:
            raise
        except OSError as error:
            raise HomeUnusable(
                f"cannot use {self.path} as homedir: {error.strerror}",
                hint="name a directory that you own and can write to",
            ) from error

    def _make(self, kind: Scheme | None, template: Path) -> None:
        admit(self.path)
        if not os.access(self.path, os.W_OK):
            raise PermissionError(errno.EACCES, "it is not writable")
        if not self._is_marked():
            self._require_salt(kind)
            self.state.mkdir(mode=0o700, exist_ok=True)
            with alone(self.state / KEYRING_LOCK):
                if not self._is_marked():  # another process may have been faster
                    self._mark(kind, template)
        self._protection = Protection.of(self.path)
        self._protection.keep_with_keys(self.path)
        heal_opened(self.path, self.state)

    def _is_marked(self) -> bool:
        return (self.state / PROTECTION).exists()

    def _mark(self, kind: Scheme | None, template: Path) -> None:
        """Settle how keys are protected here, and write it down with the agent's configuration."""
        theirs = False
        try:
            protection = Protection.of(self.path)  # a copy of a home of ours
        except FileNotFoundError:
            theirs = holds_keys(self.path)
            protection = Protection.new(kind or ("gnupg" if theirs else "scrypt"))
        lines = (template / AGENT).read_text().splitlines(keepends=True)
        if protection.kind == "gnupg":
            lines = [OWN_COUNT if line.startswith("s2k-count") else line for line in lines]
        text = "".join(lines)
        if theirs or is_default_homedir(self.path) or _differs(self.path / AGENT, text):
            # What somebody configured stays; ours lies aside. And the user's own gpg asks on the
            # screen as before, also while an agent of ours serves it.
            text = "".join(line for line in lines if not line.startswith("pinentry-program"))
            write_whole(self.state / AGENT, text.encode(), replace=True)
        else:
            write_whole(self.path / AGENT, text.encode(), replace=True)
            if not (self.path / COMMON).exists():
                write_whole(self.path / COMMON, (template / COMMON).read_bytes())
        protection.write(self.state / PROTECTION)

    def _require_salt(self, kind: Scheme | None) -> None:
        """Refuse key files of a home of this library that came without their salt."""
        copied = os.path.lexists(self.path / KEYS / PROTECTION)
        if kind == "gnupg" or copied or _configures_count(self.path / AGENT):
            return
        for path in (self.path / KEYS).glob("*.key"):
            if hash_count(path) == LOW_COUNT:
                raise HomeUnusable(
                    f"{path} looks like a key of another home of tiny_gnupg, whose {PROTECTION} "
                    "was not copied with it: no passphrase opens it without",
                    hint=f"copy {STATE}/{PROTECTION} of that home into {path.parent}; "
                    "or say protection='gnupg' where the key is plain gpg's",
                )

    @property
    def agent_options(self) -> Path | None:
        """The agent's configuration where it lies aside, in a home that was somebody's before."""
        aside = self.state / AGENT
        return aside if aside.exists() else None

    # -- the keyring's state ---------------------------------------------------------------

    def stamp(self) -> tuple[tuple[int, int, int] | None, ...]:
        """Return what changes whenever the keyring does: of each file the time, size and inode."""
        return tuple(map(stamp_of, self._watched))

    def obstacle(self) -> str:
        """Return what keeps this home from being written, in the system's words; ``""``: none."""
        try:
            with tempfile.TemporaryFile(dir=self.path, buffering=0) as trial:
                whole = trial.write(bytes(ROOM)) == ROOM
        except OSError as error:
            return error.strerror or str(error)
        return "" if whole else os.strerror(errno.ENOSPC)

    # -- the agent -------------------------------------------------------------------------

    @property
    def _agent_lock(self) -> Path:
        return self.state / AGENT_LOCK

    def _join(self, user: object) -> bool:
        """Share the lock of those who use the home; return whether that worked."""
        with self._changing:
            if self._joined < 0 and not self._share():
                return False
            self._users.add(user)
            return True

    def _share(self) -> bool:
        fd = open_lock(self._agent_lock)
        try:
            if try_lock(fd, fcntl.LOCK_EX, self._agent_lock):
                # A byte tells the last who leaves that the agent is somebody else's, another one
                # that keyboxd is.
                os.ftruncate(fd, 0)
                self._clear_scratch()
                if self.agent_options is not None and listens(self.short):
                    os.pwrite(fd, b"x", 0)
                if listens(self.short, KEYBOXD):
                    os.pwrite(fd, b"x", 1)
            if try_lock(fd, fcntl.LOCK_SH, self._agent_lock):
                self._joined, fd = fd, -1
            return fd < 0
        finally:
            if fd >= 0:
                close_owned(fd)

    def find_agent(self) -> int:
        """Find the agent, as ``Agent.find``; one whose home was left meanwhile is not watched."""
        try:
            return self.agent.find(self.short)
        finally:
            with self._changing:
                if self._joined < 0:
                    self.agent.forget()

    def own_agent(self) -> None:
        """Note that the agent which runs now was started by us: the last who leaves ends it."""
        with self._changing:
            if self._joined >= 0:
                os.pwrite(self._joined, b"\0", 0)

    def _clear_scratch(self) -> None:
        """Remove what a process that was killed left behind of its homes of a moment."""
        for path in self.state.glob("scratch.*"):
            short = short_path(path)
            Agent().end(short)
            remove_short_link(path, short)
            shutil.rmtree(path, ignore_errors=True)

    def end_agent(self) -> None:
        """End the agent of this home, where one runs, and wait for its end."""
        self.agent.end(self.short)


def _differs(path: Path, text: str) -> bool:
    """Return whether a file is there and says something else."""
    return path.exists() and path.read_text(errors="replace") != text


def _configures_count(options: Path) -> bool:
    try:
        text = options.read_text(errors="replace")
    except OSError:
        return False
    return any(line.split()[:1] == ["s2k-count"] for line in text.splitlines())


def stamp_of(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _forget() -> None:
    """Leave all homes in a forked child, which closed its copies of the locks: they are not its."""
    for home in Home._known.values():
        home._users.clear()
        home._joined = -1
        home._changing = threading.Lock()
        home.agent = Agent()


def _leave_all() -> None:
    for home in list(Home._known.values()):
        home._users.clear()
        home.leave(home)


atexit.register(_leave_all)


os.register_at_fork(after_in_child=_forget)
