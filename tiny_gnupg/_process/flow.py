"""Bytes that flow from a source through one program, with back-pressure both ways."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
)
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, TypeVar

from tiny_gnupg._process.pipes import CHUNK, Descriptor, above_standard, exhausted
from tiny_gnupg._process.tasks import cancel_all, hidden, in_thread, running_loop, uninterrupted

T = TypeVar("T")


class Readable(Protocol):
    """A binary file, an ``asyncio.StreamReader``, or aiohttp's ``content``."""

    def read(self, n: int = ..., /) -> bytes | Awaitable[bytes]:
        """Return at most so many bytes; none is the end."""
        ...


Source = AsyncIterable[bytes] | Iterable[bytes] | Readable


Report = Callable[[int, int], object]


async def pieces_of(source: Source) -> AsyncGenerator[bytes, None]:
    """Give what a source has, as it comes.

    What has ``read`` is read; in a thread, unless that is a coroutine.

    Raises:
        TypeError: it is no source, or gives something else than bytes.
    """
    if isinstance(source, str | bytes | bytearray | memoryview):
        raise TypeError(
            "a source is a file or gives pieces of bytes; of a text or bytes, pass [it]"
        )
    read: Any = getattr(source, "read1", None) or getattr(source, "read", None)
    if read is not None:
        waits = inspect.iscoroutinefunction(read)
        while piece := _checked(await read(CHUNK) if waits else await in_thread(read, CHUNK)):
            yield piece
    elif isinstance(source, AsyncIterable):
        async for piece in source:
            yield _checked(piece)
    elif isinstance(source, Iterable):
        for piece in source:
            yield _checked(piece)
    else:
        raise TypeError(f"a {type(source).__name__} is no source of bytes")


def _checked(piece: object) -> bytes:
    if not isinstance(piece, bytes | bytearray | memoryview):
        raise TypeError(f"a source gave {type(piece).__name__} and no bytes")
    return bytes(piece)


@asynccontextmanager
async def pipe() -> AsyncIterator[list[int]]:
    """Open a pipe; whoever closes an end before the block does puts -1 in its place."""
    ends: list[int] = []
    try:
        try:
            ends += os.pipe()
        except OSError as error:
            raise exhausted(error) from error
        ends[:] = map(above_standard, ends)
        yield ends
    finally:
        for fd in ends:
            if fd != -1:
                os.close(fd)


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
    async with pipe() as ends:
        os.set_blocking(ends[1], False)
        working = asyncio.ensure_future(hidden(work(Descriptor(ends[0]))))
        feeding = asyncio.ensure_future(_feed(source, ends, progress))
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


async def _feed(source: Source, ends: list[int], progress: Report | None) -> None:
    done = 0
    pieces = pieces_of(source)
    try:
        async for piece in pieces:
            rest = memoryview(piece)
            while rest:
                try:
                    rest = rest[os.write(ends[1], rest) :]
                except BlockingIOError:
                    await _ready(ends[1], writing=True)
            done += len(piece)
            if progress is not None:
                progress(done, 0)
    finally:
        await pieces.aclose()
    os.close(ends[1])
    ends[1] = -1


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
    async with pipe() as ends:
        os.set_blocking(ends[0], False)

        async def run() -> None:
            try:
                await fed(source, lambda stdin: work(stdin, ends[1]), progress)
            finally:
                os.close(ends[1])  # with the program gone, this is the end of its output
                ends[1] = -1

        running = asyncio.ensure_future(run())
        try:
            while True:
                try:
                    piece = os.read(ends[0], CHUNK)
                except BlockingIOError:
                    await _ready(ends[0], writing=False)
                    continue
                if not piece:
                    break
                yield piece
            await running
        finally:
            await uninterrupted(cancel_all(running))


async def _ready(fd: int, *, writing: bool) -> None:
    """Wait until a pipe has room, or data or its end."""
    loop = running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        with suppress(asyncio.InvalidStateError):
            ready.set_result(None)

    (loop.add_writer if writing else loop.add_reader)(fd, wake)
    try:
        await ready
    finally:
        (loop.remove_writer if writing else loop.remove_reader)(fd)
