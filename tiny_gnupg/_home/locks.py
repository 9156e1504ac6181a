"""The lock of a home: readers share the keyring, a writer has it alone.

gpg renames the old keyring away before it renames the new one in, so that a reader at that moment
finds no key at all, and parallel imports fail. Therefore every command takes this lock.

1. ``flock`` on two files decides, between loops, threads and processes: readers share ``keyring``,
   a writer has it alone; a reader passes through ``gate`` on its way in.
2. A writer that waits shuts the gate, so that no stream of readers keeps it out. Where those inside
   do not end soon, the gate opens again, for twice as long, and then shuts for longer: one slow
   reader and one waiting writer hold nobody else up for more than a few seconds.
3. The writers of one event loop stand in line. Nobody waits for ever: where nothing has moved for
   ``PATIENCE`` seconds, there is an error that says who holds the lock.
4. The kernel gives locks back when a process ends, however it ends: there is no stale lock. A
   forked child closes its copies at once, because a lock lives as long as any copy of its
   descriptor.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from pathlib import Path

from tiny_gnupg._home.layout import GATE_LOCK, KEYRING_LOCK
from tiny_gnupg._process.descriptors import close_owned, no_fork, owned
from tiny_gnupg._process.tasks import running_loop
from tiny_gnupg.errors import HomeUnusable

#: Seconds between two tries for a lock that another process holds: the first pause, and the last.
PAUSES = (0.001, 0.02)


#: Seconds that the gate is shut for a writer: at first, and at most. Then it is open twice as long.
SHUT = (0.25, 4.0)


#: Seconds that somebody waits while nothing moves. A message of many gigabytes takes its time.
PATIENCE = 300.0


class KeyringLock:
    """A lock that readers share and a writer has alone, on two files of ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lines: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Line]
        self._lines = weakref.WeakKeyDictionary()

    def held(self, *, writing: bool) -> AbstractAsyncContextManager[None]:
        """Return what holds the lock for a block.

        Args:
            writing: alone, or together with other readers.

        Raises:
            HomeUnusable: the files cannot be opened or locked, or somebody holds the lock for
                longer than is waited for.
        """
        loop = running_loop()
        line = self._lines.get(loop)
        if line is None:
            # A line in which somebody waited keeps its loop.
            for closed in [one for one in list(self._lines) if one.is_closed()]:
                self._lines.pop(closed, None)
            line = self._lines.setdefault(loop, _Line(self._directory))
        return _Writer(line) if writing else _Reader(line)


class _Line:
    """Those of one event loop who want the lock of one home. Its files are open meanwhile."""

    def __init__(self, directory: Path) -> None:
        self._paths = str(directory / GATE_LOCK), str(directory / KEYRING_LOCK)
        self._gate = self._keyring = -1
        self._users = self._readers = 0
        self.is_shut = self._writing = False
        #: Who waits first: of the readers, and of the writers.
        self.reading, self.writing = asyncio.Lock(), asyncio.Lock()
        #: When something moved: a writer of this loop had the lock, or gave it back.
        self.moved = 0.0
        self._stir = asyncio.Event()

    def arrive(self) -> None:
        """Count one more who wants the lock."""
        if not self._users:
            gate = open_lock(self._paths[0])
            try:
                self._keyring = open_lock(self._paths[1])
            except BaseException:
                close_owned(gate)
                raise
            self._gate = gate
        self._users += 1

    def depart(self) -> None:
        """Count one less; with the last one the files are closed, and so unlocked."""
        self._users -= 1
        self._stir.set()
        if not self._users:
            close_owned(self._gate)
            close_owned(self._keyring)

    def try_to_read(self) -> bool:
        """Share the keyring, if that can be done at once."""
        # The same descriptor would turn a writer's lock into a shared one.
        if self.is_shut or self._writing or not try_lock(self._gate, fcntl.LOCK_SH, self._paths[0]):
            return False
        try:
            if not self._readers and not try_lock(self._keyring, fcntl.LOCK_SH, self._paths[1]):
                return False
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)
        self._readers += 1
        return True

    def end_reading(self) -> None:
        """Give the shared lock back."""
        self._readers -= 1
        if not self._readers:
            fcntl.flock(self._keyring, fcntl.LOCK_UN)

    def try_to_write(self) -> bool:
        """Have the keyring alone, if that can be done at once."""
        if self._readers or not try_lock(self._keyring, fcntl.LOCK_EX, self._paths[1]):
            return False
        self._writing = True
        return True

    def end_writing(self) -> None:
        """Give the lock back that somebody had alone."""
        self._writing = False
        fcntl.flock(self._keyring, fcntl.LOCK_UN)

    def shut(self) -> None:
        """Let no more readers in, if no other writer does that already."""
        self.is_shut = try_lock(self._gate, fcntl.LOCK_EX, self._paths[0])

    def open(self) -> None:
        """Let readers in again."""
        if self.is_shut:
            self.is_shut = False
            fcntl.flock(self._gate, fcntl.LOCK_UN)
            self._stir.set()

    async def until(self, attempt: Callable[[], bool], deadline: float) -> None:
        """Try until it works: when something changes in this loop, and now and then.

        Raises:
            HomeUnusable: the deadline is over.
        """
        pause, longest = PAUSES
        while not attempt():
            if time.monotonic() > deadline:
                raise self._held()
            self._stir.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stir.wait()
            pause = min(pause * 1.5, longest)

    def _held(self) -> HomeUnusable:
        who = holders(Path(self._paths[1])) | holders(Path(self._paths[0])) - {os.getpid()}
        if self._readers or self._writing:
            who.add(os.getpid())
        named = ", ".join(map(_named, sorted(who))) or "a process that is not to be seen from here"
        return HomeUnusable(
            f"{os.path.dirname(os.path.dirname(self._paths[1]))} is held by {named}, "
            f"for {PATIENCE:g} s already",
            hint="end what holds it, or try again later",
        )


class _Reader:
    """Holds the lock of a line together with other readers."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    async def __aenter__(self) -> None:
        line = self._line
        line.arrive()
        try:
            if not line.try_to_read():
                deadline = time.monotonic() + PATIENCE
                async with line.reading:  # one of them tries, the others wait behind it
                    await line.until(line.try_to_read, deadline)
        except BaseException:
            line.depart()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._line.end_reading()
        self._line.depart()


class _Writer:
    """Has the lock of a line alone."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._turn, self._span = 0.0, SHUT[0]

    async def __aenter__(self) -> None:
        line = self._line
        line.arrive()
        came = time.monotonic()
        try:
            await line.writing.acquire()
            try:
                await line.until(self._try, max(came, line.moved) + PATIENCE)
            except BaseException:
                line.writing.release()
                raise
            finally:
                line.open()
        except BaseException:
            line.depart()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._line.end_writing()
        self._line.moved = time.monotonic()
        self._line.writing.release()
        self._line.depart()

    def _try(self) -> bool:
        """Try once; shut the gate, or open it, when it is time."""
        line = self._line
        if line.try_to_write():
            return True
        now = time.monotonic()
        if now < self._turn:
            return False
        if line.is_shut:
            line.open()
            self._turn = now + 2 * self._span
            self._span = min(2 * self._span, SHUT[1])
        else:
            # Where another writer has it shut, that counts for this one too.
            line.shut()
            self._turn = now + self._span
        return False


def holders(path: Path) -> set[int]:
    """Return the processes that hold a lock on a file, of those that this one may see (proc(5))."""
    found: set[int] = set()
    try:
        wanted = path.stat()
    except OSError:
        return found
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended, or is another user's
            for fd in os.listdir(process / "fd"):
                with suppress(OSError):
                    there = os.stat(process / "fd" / fd)
                    same = (there.st_dev, there.st_ino) == (wanted.st_dev, wanted.st_ino)
                    if same and "FLOCK" in (process / "fdinfo" / fd).read_text():
                        found.add(int(process.name))
    return found


def _named(process: int) -> str:
    if process == os.getpid():
        return "a call of this process"
    with suppress(OSError):
        return f"process {process} ({Path(f'/proc/{process}/comm').read_text().strip()})"
    return f"process {process}"


def open_lock(path: str | Path) -> int:
    """Open a lock file, made where it is not there, and give its descriptor.

    Raises:
        HomeUnusable: it cannot be opened.
    """
    try:
        with no_fork:
            return owned(
                os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            )
    except OSError as error:
        raise HomeUnusable(
            f"cannot open {path}: {error.strerror}", hint="make the homedir writable"
        ) from error


def try_lock(fd: int, mode: int, path: str | Path) -> bool:
    """Try to ``flock`` an open file; return whether that worked.

    Raises:
        HomeUnusable: the file system knows no such locks.
    """
    try:
        fcntl.flock(fd, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise HomeUnusable(
            f"cannot lock {path}: {error.strerror}", hint="put the homedir on a local file system"
        ) from error
    return True


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a lock file alone for a block, in a thread: it waits."""
    fd = open_lock(path)
    try:
        while not try_lock(fd, fcntl.LOCK_EX, path):
            time.sleep(PAUSES[1])
        yield
    finally:
        close_owned(fd)
