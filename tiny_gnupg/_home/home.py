"""A homedir: where it is, its permissions and configuration, its lock, and who uses it.

1. A home belongs to one user alone: 0700, made where it is not there. So the package's own
   ``gpghome``, where gpg and its options lie for all users of an installation, is no home itself:
   the home of who names none is a folder in it. Only where 0.5.2 kept keys in it, it stays one.
2. What this library keeps in it lies in ``tiny_gnupg.d``: the marker that says how passphrases
   guard its keys, and the lock files.
3. All processes that use a home share one agent. Each holds a shared lock while it does; the
   last one to leave ends the agent. An agent that was there before any of them is left alone.
"""

from __future__ import annotations

import asyncio
import atexit
import errno
import fcntl
import logging
import os
import shutil
import stat
import tempfile
import weakref
from pathlib import Path
from typing import ClassVar

from tiny_gnupg._home.agent import connected, end_agent, remove_short_link, short_path
from tiny_gnupg._home.locks import KeyringLock, close_lock, open_lock, try_lock
from tiny_gnupg._home.protection import Protection, Scheme
from tiny_gnupg._home.repair import heal, heal_opened
from tiny_gnupg.errors import HomeUnusable

log = logging.getLogger("tiny_gnupg")


#: Bytes that must fit into a home for it to count as one that can be written.
ROOM = 2**14


#: What a home's keyring is kept in.
KEYRING = ("pubring.kbx", "pubring.gpg", "trustdb.gpg", "private-keys-v1.d")


#: What a home holds where keys were kept in it before.
TRACES = ("pubring.kbx", "pubring.gpg", "secring.gpg", "public-keys.d", "private-keys-v1.d")


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
        self.state = path / "tiny_gnupg.d"
        self.lock = KeyringLock(self.state)
        # As text: each call looks at them, and joining paths takes longer than looking.
        self._watched = [str(path / name) for name in KEYRING]
        #: The path that gpg is given: the home's own, or a short link to it.
        self.short = path
        self._protection: Protection | None = None
        # Weakly, so that who was dropped without a word does not count for ever.
        self._users: weakref.WeakSet[object] = weakref.WeakSet()
        self._joined = -1

    @property
    def protection(self) -> Protection:
        """How the passphrase guards the keys of this home; known once it is open."""
        if self._protection is None:
            self._protection = Protection.read(self.state / "protection.json")
        return self._protection

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
        await asyncio.to_thread(self.prepare, kind, template)
        # Somebody in another process is just ending the agent; no event crosses processes.
        while not self._join():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        self._users.add(user)

    def leave(self, user: object) -> None:
        """Count a user less; the last one of all processes ends the agent. May take a second."""
        self._users.discard(user)
        if self._users or self._joined < 0:
            return
        fd, self._joined = self._joined, -1
        try:
            # To share the lock no more and to have it alone is one step that fails, or not,
            # without waiting; where it fails, somebody else uses the home.
            if try_lock(fd, fcntl.LOCK_EX, self._agent_lock) and not os.pread(fd, 1, 0):
                self.end_agent()
                remove_short_link(self.path, self.short)
                heal(self.path)
        finally:
            close_lock(fd)

    def prepare(self, kind: Scheme | None, template: Path) -> None:
        """Make the home, its permissions and its configuration, where they are not there yet."""
        try:
            self._make(kind, template)
        except OSError as error:
            if isinstance(error, HomeUnusable):
                raise
            raise HomeUnusable(
                f"cannot use {self.path} as homedir: {error.strerror}",
                hint="name a directory that you own and can write to",
            ) from error
        if kind is not None and kind != self.protection.kind:
            raise HomeUnusable(
                f"the keys in {self.path} are protected the {self.protection.kind} way",
                hint=f"leave out protection=, or say {self.protection.kind!r}",
            )
        self.short = short_path(self.path)

    def _make(self, kind: Scheme | None, template: Path) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(self.path.stat().st_mode) != 0o700:
            self.path.chmod(0o700)
        if not os.access(self.path, os.W_OK):
            raise PermissionError(errno.EACCES, "it is not writable")
        marker = self.state / "protection.json"
        if not marker.exists():
            foreign = _holds_keys(self.path)
            protection = Protection.new(kind or ("gnupg" if foreign else "scrypt"))
            self.state.mkdir(mode=0o700, exist_ok=True)
            self._configure(self.state if foreign else self.path, template, protection)
            protection.write(marker)
        heal_opened(self.path, self.state)

    def _configure(self, target: Path, template: Path, protection: Protection) -> None:
        """Write the agent's configuration: into the home, or aside where it is somebody's own."""
        text = (template / "gpg-agent.conf").read_text()
        if protection.kind == "gnupg":
            # There the count that gpg-agent measures for the machine is the protection.
            lines = text.splitlines(keepends=True)
            text = "".join(line for line in lines if not line.startswith("s2k-count"))
        _write_new(target / "gpg-agent.conf", text)
        if target == self.path:
            _write_new(target / "common.conf", (template / "common.conf").read_text())

    @property
    def agent_options(self) -> Path | None:
        """The agent's configuration where it lies aside, in a home that was somebody's before."""
        aside = self.state / "gpg-agent.conf"
        return aside if aside.exists() else None

    def needs_agent(self) -> bool:
        """Return whether an agent has to be started with ``agent_options``: none runs yet."""
        if self.agent_options is None:
            return False
        connection = connected(self.short)
        if connection is None:
            return True
        connection.close()
        return False

    # -- the keyring's state ---------------------------------------------------------------

    def stamp(self) -> tuple[tuple[int, int, int] | None, ...]:
        """Return what changes whenever the keyring does: of each file the time, size and inode."""
        return tuple(map(_stamp, self._watched))

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
        return self.state / "agent.lock"

    def _join(self) -> bool:
        """Share the lock of those who use the home; return whether that worked."""
        if self._joined >= 0:
            return True
        fd = open_lock(self._agent_lock)
        first = try_lock(fd, fcntl.LOCK_EX, self._agent_lock)
        if first:
            # One byte tells the last who leaves that the agent is somebody else's.
            os.ftruncate(fd, 0)
            self._clear_scratch()
            if self.agent_options is not None and not self.needs_agent():
                os.pwrite(fd, b"x", 0)
        if not try_lock(fd, fcntl.LOCK_SH, self._agent_lock):
            close_lock(fd)
            return False
        self._joined = fd
        return True

    def _clear_scratch(self) -> None:
        """Remove what a process that was killed left behind of its homes of a moment."""
        for path in self.state.glob("scratch.*"):
            short = short_path(path)
            end_agent(short)
            remove_short_link(path, short)
            shutil.rmtree(path, ignore_errors=True)

    def end_agent(self) -> None:
        """End the agent of this home, where one runs, and wait for its end."""
        end_agent(self.short)


def _write_new(path: Path, text: str) -> None:
    """Write a text file, unless it says that already."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def default_homedir(package_home: Path) -> Path:
    """Return the homedir of those who name none.

    Args:
        package_home: the package's own ``gpghome``.

    Returns:
        ``TINY_GNUPG_HOME``; else the package's own where it can be written, which is a folder in
        ``package_home`` unless keys lie in that one itself; else the directory for the user's
        data, with one log line.
    """
    named = os.environ.get("TINY_GNUPG_HOME")
    if named:
        return Path(named)
    if os.access(package_home, os.W_OK):
        if _holds_keys(package_home):
            return package_home
        own = package_home / "gpghome"
        # Where several users can write the package, the first one has it.
        if not own.exists() or own.stat().st_uid == os.geteuid():
            return own
    from platformdirs import user_data_path  # rarely needed, and slow to import

    path = user_data_path("tiny_gnupg") / "gpghome"
    log.info("%s cannot be written; the homedir is %s", package_home, path)
    return path


def _holds_keys(path: Path) -> bool:
    """Return whether keys are, or were, kept in a directory."""
    return any((path / trace).exists() for trace in TRACES)


def _forget() -> None:
    """Leave all homes in a forked child, which closed its copies of the locks: they are not its."""
    for home in Home._known.values():
        home._users.clear()
        home._joined = -1


def _leave_all() -> None:
    for home in Home._known.values():
        home._users.clear()
        home.leave(home)


atexit.register(_leave_all)


os.register_at_fork(after_in_child=_forget)
