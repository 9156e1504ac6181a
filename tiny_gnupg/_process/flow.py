"""Bytes that flow from a source through one program, with back-pressure both ways."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import inspect
import io
import os
import stat
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
)
from contextlib import closing, suppress
from typing import Any, Protocol, TypeVar

from tiny_gnupg._process.descriptors import close_owned, open_pipe
from tiny_gnupg._process.pipes import CHUNK, Descriptor, readable
from tiny_gnupg._process.tasks import cancel_all, hidden, in_thread, running_loop, uninterrupted

T = TypeVar("T")


#: Bytes that are asked for at once of a source that is read, for which a thread is started.
PIECE = 2**20


#: Bytes that a pipe holds where that can be had, and how many such there may be: all pipes of one
#: user together are bounded, and beyond that each new one holds next to nothing (pipe(7)).
ROOM, MOST_LARGE = 2**20, 16


#: Seconds in which such a pipe fills, or empties, by so much that looking at it is worth it: gpg
#: writes 8 KiB at once, and to wake up for each is more work than gpg's own.
PAUSE = 0.0005


class Readable(Protocol):
    """A binary file, an ``asyncio.StreamReader``, or aiohttp's ``content``."""

    def read(self, n: int = ..., /) -> bytes | Awaitable[bytes]:
        """Return at most so many bytes; none is the end."""
        ...


Source = AsyncIterable[bytes] | Iterable[bytes] | Readable


Report = Callable[[int, int], object]


async def pieces_of(source: Source) -> AsyncGenerator[bytes, None]:
    """Give what a source has, as it comes.

    What has ``read`` is read; in a thread, unless that is a coroutine, or it is a pipe.

    Raises:
        TypeError: it is no source, or gives something else than bytes.
        ValueError: it is a generator that has ended.
    """
    if isinstance(source, str | bytes | bytearray | memoryview):
        raise TypeError(
            "a source is a file or gives pieces of bytes; of a text or bytes, pass [it]"
        )
    if getattr(source, "gi_frame", source) is None or getattr(source, "ag_frame", source) is None:
        raise ValueError("the source is a generator that has ended: make it anew")
    if hasattr(source, "read"):
        while piece := _checked(await _read(source)):
            yield piece
    elif isinstance(source, AsyncIterable):
        async for piece in source:
            yield _checked(piece)
    elif isinstance(source, Iterable):
        for piece in source:
            yield _checked(piece)
    else:
        raise TypeError(f"a {type(source).__name__} is no source of bytes")


async def _read(source: Any) -> object:
    """Read a piece of what is read; none is its end."""
    raw = source.raw if isinstance(source, io.BufferedReader | io.BufferedRandom) else source
    if isinstance(raw, io.RawIOBase):
        return await _read_file(source, raw)
    # That of a pair of files says the same where there is nothing yet, and at the end.
    pair = isinstance(source, io.BufferedRWPair)
    read = source.read if pair else getattr(source, "read1", source.read)
    piece = read(PIECE) if inspect.iscoroutinefunction(read) else await in_thread(read, PIECE)
    return await piece if inspect.isawaitable(piece) else piece


async def _read_file(source: Any, raw: io.RawIOBase) -> object:
    """Read a piece of a file, and wait for it where the file does not.

    A thread that waits for a pipe could not be ended, and whoever closes the file waits for it: of
    a pipe, what is there is read on the event loop.
    """
    fd = raw.fileno() if isinstance(raw, io.FileIO) else -1
    waits = fd != -1 and os.get_blocking(fd)
    is_pipe = fd != -1 and stat.S_ISFIFO(os.fstat(fd).st_mode)

    def read() -> object:
        found = source.read(PIECE) if source is raw else source.read1(PIECE)
        # Buffered, it says the same where there is nothing yet, and at the end.
        ask = found == b"" and source is not raw and (is_pipe or not waits)
        return raw.read(PIECE) if ask else found

    def read_at_once() -> object:
        os.set_blocking(fd, False)
        try:
            return read()
        finally:
            os.set_blocking(fd, waits)

    while (piece := read_at_once() if is_pipe else await in_thread(read)) is None:
        await _until_readable(raw)
    return piece


async def _until_readable(raw: io.RawIOBase) -> None:
    try:
        fd = os.dup(raw.fileno())  # the loop may watch theirs
    except OSError:
        raise BlockingIOError(
            errno.EAGAIN, "the source has nothing yet, and cannot be waited for"
        ) from None
    try:
        await readable(fd)
    finally:
        os.close(fd)


def _checked(piece: object) -> bytes:
    if not isinstance(piece, bytes | bytearray | memoryview):
        raise TypeError(f"a source gave {type(piece).__name__} and no bytes")
    return bytes(piece)


class _Pipe:
    """A pipe, of which one end is ours and is served by the event loop.

    Args:
        ours: the index of our end, as ``os.pipe`` gives them.
    """

    _large = 0

    def __init__(self, ours: int) -> None:
        self._ours = ours
        self._pause = 0.0
        self._ends = list(open_pipe())
        os.set_blocking(self._ends[ours], False)
        if _Pipe._large < MOST_LARGE:
            with suppress(AttributeError, OSError):  # another system than Linux, or its bound
                fcntl.fcntl(self._ends[1], fcntl.F_SETPIPE_SZ, ROOM)
                self._pause = PAUSE
                _Pipe._large += 1

    @property
    def ours(self) -> int:
        """Our end."""
        return self._ends[self._ours]

    @property
    def theirs(self) -> int:
        """The end of the program, which gets a copy of it."""
        return self._ends[1 - self._ours]

    async def ready(self) -> None:
        """Wait until our end has room, or data or its end."""
        loop, fd = running_loop(), self.ours
        ready: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            with suppress(asyncio.InvalidStateError):
                ready.set_result(None)

        (loop.add_writer if self._ours else loop.add_reader)(fd, wake)
        try:
            await ready
        finally:
            (loop.remove_writer if self._ours else loop.remove_reader)(fd)
        if self._pause:
            await asyncio.sleep(self._pause)

    def close(self, *, ours: bool = True, theirs: bool = True) -> None:
        """Close an end, or both; what is closed already stays so."""
        for index, fd in enumerate(self._ends):
            if fd != -1 and (ours if index == self._ours else theirs):
                close_owned(fd)
                self._ends[index] = -1
        if self._ends == [-1, -1] and self._pause:
            self._pause = 0.0
            _Pipe._large -= 1


async def fed(
    source: Source,
    work: Callable[[Descriptor], Coroutine[Any, Any, T]],
    progress: Report | None = None,
) -> T:
    """Do some work with a descriptor from which a program reads what a source gives.

    The program sees the end of its input only where the source came to its end: at an error, or a
    cancellation, it is ended and reaped before that.

    Args:
        source: where the bytes come from.
        work: runs the program; ends it where it is cancelled.
        progress: called with the bytes that were taken so far, and 0.

    Raises:
        Exception: what the source or the work raises.
    """
    with closing(_Pipe(1)) as pipe:
        working = asyncio.ensure_future(hidden(work(Descriptor(pipe.theirs))))
        feeding = asyncio.ensure_future(_feed(source, pipe, progress))
        try:
            await asyncio.wait([working, feeding], return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                feeding.result()
            return (await working).value
        finally:
            await uninterrupted(_ended(working, feeding))


async def _ended(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        await cancel_all(task)


async def _feed(source: Source, pipe: _Pipe, progress: Report | None) -> None:
    done = 0
    pieces = pieces_of(source)
    try:
        async for piece in pieces:
            rest = memoryview(piece)
            while rest:
                try:
                    rest = rest[os.write(pipe.ours, rest) :]
                except BlockingIOError:
                    await pipe.ready()
            done += len(piece)
            if progress is not None:
                progress(done, 0)
    finally:
        await pieces.aclose()
    pipe.close(theirs=False)


async def through(
    source: Source,
    work: Callable[[Descriptor, int], Coroutine[Any, Any, object]],
    progress: Report | None = None,
) -> AsyncGenerator[bytes, None]:
    """Give what a program makes of what a source gives.

    Args:
        source: see ``fed``, like ``progress``.
        work: runs the program, which reads from the one descriptor and writes to the other.
        progress: see ``fed``.

    Raises:
        Exception: as ``fed`` does, after what came until then.
    """
    with closing(_Pipe(0)) as pipe:

        async def run() -> None:
            try:
                await fed(source, lambda stdin: work(stdin, pipe.theirs), progress)
            finally:
                pipe.close(ours=False)  # with the program gone, this is the end of its output

        running = asyncio.ensure_future(run())
        try:
            while True:
                try:
                    piece = os.read(pipe.ours, CHUNK)
                except BlockingIOError:
                    await pipe.ready()
                    continue
                if not piece:
                    break
                yield piece
            await running
        finally:
            await uninterrupted(cancel_all(running))
