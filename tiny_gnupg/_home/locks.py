"""The lock of a home: readers share the keyring, a writer has it alone.

gpg renames the old keyring away before it renames the new one in, so that a reader at that moment
finds no key at all, and parallel imports fail. Therefore every command takes this lock.

1. Inside one event loop the callers stand in one line, first come, first served. A writer keeps
   the head of the line until the readers before it are done, and the readers behind it wait.
2. Between loops and processes, ``flock`` on two files decides. A writer holds ``gate`` from the
   moment it waits; a reader passes through ``gate`` on its way in. So no stream of readers in
   one process can keep a writer in another one out for ever.
3. The kernel gives locks back when a process ends, however it ends: there is no stale lock. A
   forked child closes its copies at once, because a lock lives as long as any copy of its
   descriptor.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

from tiny_gnupg._process.tasks import running_loop
from tiny_gnupg.errors import HomeUnusable

#: Seconds between two tries for a lock that another process holds: the first pause, and the last.
PAUSES = (0.001, 0.02)


_open: set[int] = set()


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
            HomeUnusable: the files cannot be opened or locked.
        """
        loop = running_loop()
        line = self._lines.get(loop)
        if line is None:
            line = self._lines.setdefault(loop, _Line(self._directory))
        return line.writer() if writing else line.reader()


class _Line:
    """Those of one event loop who want the lock of one home."""

    def __init__(self, directory: Path) -> None:
        self._gate = directory / "gate.lock"
        self._keyring = directory / "keyring.lock"
        self._head = asyncio.Lock()
        self._readers = 0
        self._no_reader = asyncio.Event()
        self._no_reader.set()
        self._shared = -1

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[None]:
        async with self._head:
            if self._readers:
                # A crowd comes in one by one, so that it does not hold up the event loop.
                await asyncio.sleep(0)
            gate = await _locked(self._gate, fcntl.LOCK_SH)
            try:
                if self._readers == 0:
                    self._shared = await _locked(self._keyring, fcntl.LOCK_SH)
                self._readers += 1
                self._no_reader.clear()
            finally:
                close_lock(gate)
        try:
            yield
        finally:
            self._readers -= 1
            if self._readers == 0:
                close_lock(self._shared)
                self._no_reader.set()

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[None]:
        async with self._head:
            await self._no_reader.wait()
            gate = await _locked(self._gate, fcntl.LOCK_EX)
            try:
                keyring = await _locked(self._keyring, fcntl.LOCK_EX)
                try:
                    yield
                finally:
                    close_lock(keyring)
            finally:
                close_lock(gate)


async def _locked(path: Path, mode: int) -> int:
    """Open and lock a file, without holding up the loop; closing it gives the lock back."""
    fd = open_lock(path)
    pause, longest = PAUSES
    try:
        while not try_lock(fd, mode, path):
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, longest)
    except BaseException:
        close_lock(fd)
        raise
    return fd


def open_lock(path: Path) -> int:
    """Open a lock file, made where it is not there, and give its descriptor.

    Raises:
        HomeUnusable: it cannot be opened.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise HomeUnusable(
            f"cannot open {path}: {error.strerror}", hint="make the homedir writable"
        ) from error
    _open.add(fd)
    return fd


def close_lock(fd: int) -> None:
    """Close a lock file, and give back its lock."""
    _open.discard(fd)
    os.close(fd)


def try_lock(fd: int, mode: int, path: Path) -> bool:
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
        close_lock(fd)


def _close_all() -> None:
    while _open:
        os.close(_open.pop())


os.register_at_fork(after_in_child=_close_all)
