"""Outputs that are no files: pipes, terminals, and what this process has open already.

They are written to, and never replaced. What is written was made whole before: until then it lies
in a file without a name, so that whoever reads the pipe gets all of it or nothing.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import select
import stat
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from tiny_gnupg._process.tasks import in_thread, uninterrupted

#: The names of open files (fd(4)).
_OPEN = re.compile(r"/dev/(?:fd/\d+|stdin|stdout|stderr)|/proc/self/fd/\d+")


_STANDARD = {"stdin": "0", "stdout": "1", "stderr": "2"}


#: Bytes that are written at once.
_CHUNK = 2**18


#: Seconds between two looks whether a named pipe has got a reader.
_PAUSE = 0.02


def is_sink(target: Path) -> bool:
    """Return whether a path names what is written to, and not a file that a new one replaces."""
    try:
        mode = os.stat(target).st_mode
    except OSError:
        return False
    if descriptor_of(target) is not None:
        return not stat.S_ISDIR(mode)
    stays = stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
    return stays and not target.is_symlink()


@asynccontextmanager
async def poured(target: Path) -> AsyncIterator[int]:
    """Return the descriptor of a file that is written to a sink where the block ends well.

    A named pipe is opened first, and so waits for its reader, as a shell does; whose reader then
    gets nothing, learns that by its end.

    Raises:
        OSError: the sink cannot be opened or written.
    """
    async with opened(target) as write:
        with tempfile.TemporaryFile(buffering=0) as whole:
            yield whole.fileno()
            whole.seek(0)
            while piece := await in_thread(whole.read, _CHUNK):
                await write(piece)


@asynccontextmanager
async def opened(target: Path) -> AsyncIterator[Callable[[bytes], Awaitable[None]]]:
    """Open a sink, and return what writes to it all of some bytes; a cancellation ends that.

    Raises:
        OSError: the sink cannot be opened or written.
    """
    sink = await _opened(target)
    try:
        yield partial(_write, sink)
    finally:
        os.close(sink)


def descriptor_of(target: Path) -> int | None:
    """Return the descriptor of what this process has open and a path names."""
    if not _OPEN.fullmatch(os.path.abspath(target)):
        return None
    return int(_STANDARD.get(target.name, target.name))


async def _opened(target: Path) -> int:
    """Open a sink: a pipe anew, so that it can be waited for; what else is open as it stands."""
    flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY
    number = descriptor_of(target)
    if not stat.S_ISFIFO(os.stat(target).st_mode):
        if number is not None:
            # What comes is written behind what was written before, where it is a file.
            return os.dup(number)
        return os.open(target, flags | os.O_APPEND)
    while True:
        try:
            return os.open(target, flags | os.O_NONBLOCK)
        except PermissionError:  # a pipe that another user made, who became this one
            if number is None:
                raise
            return os.dup(number)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        await asyncio.sleep(_PAUSE)


async def _write(sink: int, data: bytes) -> None:
    # What others have open too stays as they left it: it may block, so it is written to in a
    # thread, and a pipe, terminal or socket no more than it has room for.
    shared = os.get_blocking(sink)
    whole = shared and stat.S_ISREG(os.fstat(sink).st_mode)
    view = memoryview(data)
    while view:
        if not whole:
            await _writable(sink)
        if shared:
            piece = view if whole else view[: select.PIPE_BUF]
            view = view[await uninterrupted(in_thread(os.write, sink, piece)) :]
        else:
            with suppress(BlockingIOError):
                view = view[os.write(sink, view) :]


async def _writable(fd: int) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_writer(fd, ready.set)
    except PermissionError:  # a device that never has to be waited for, as /dev/null
        return
    try:
        await ready.wait()
    finally:
        loop.remove_writer(fd)
