"""A SOCKS5 proxy that writes down what it is asked for, and can misbehave on request.

It resolves nothing: a name leads to the loopback port that the test gave it, anything else is
refused. RFC 1928 and RFC 1929.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

IPV4, NAME, IPV6 = 1, 3, 4
ADDRESS_LENGTH = {IPV4: 4, IPV6: 16}


@dataclass(frozen=True)
class Asked:
    """One request as it came: the kind of address, the address, and who asked."""

    kind: int
    host: str
    port: int
    username: str
    password: str


@dataclass
class RecordingProxy:
    """The proxy; an asynchronous context manager.

    Args:
        names: the loopback port behind each name.
        replies: reply codes for the next requests, one each, before anything works; None works.
        greeting: bytes to answer to the greeting instead of SOCKS5's.
        silent: whether to accept connections and never say a word.
        hang_up: whether to close each connection at the greeting.
    """

    names: Mapping[str, int] = field(default_factory=dict)
    replies: list[int | None] = field(default_factory=list)
    greeting: bytes = b""
    silent: bool = False
    hang_up: bool = False
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _version, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        if self.hang_up:
            return
        if self.silent:
            await asyncio.Event().wait()
        if self.greeting:
            writer.write(self.greeting)
            await writer.drain()
            return
        username = password = ""
        with_password = 2 in methods
        writer.write(b"\x05\x02" if with_password else b"\x05\x00")
        if with_password:
            username, password = await self._credentials(reader)
            writer.write(b"\x01\x00")
        asked = await self._request(reader, username, password)
        self.asked.append(asked)
        target = self.names.get(asked.host) if asked.kind == NAME else None
        code = self.replies.pop(0) if self.replies else None
        if code is not None or target is None:
            writer.write(bytes([5, 4 if code is None else code, 0, 1, 0, 0, 0, 0, 0, 0]))
            await writer.drain()
            return
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await self._relay(target, reader, writer)

    async def _credentials(self, reader: asyncio.StreamReader) -> tuple[str, str]:
        _version, length = await reader.readexactly(2)
        username = await reader.readexactly(length)
        (length,) = await reader.readexactly(1)
        return username.decode(), (await reader.readexactly(length)).decode()

    async def _request(self, reader: asyncio.StreamReader, username: str, password: str) -> Asked:
        _version, _command, _reserved, kind = await reader.readexactly(4)
        if kind == NAME:
            (length,) = await reader.readexactly(1)
            host = (await reader.readexactly(length)).decode()
        else:
            host = (await reader.readexactly(ADDRESS_LENGTH[kind])).hex()
        port = int.from_bytes(await reader.readexactly(2))
        return Asked(kind, host, port, username, password)

    async def _relay(
        self, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", target)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, back))
                group.create_task(_pump(there, writer))
        except* (OSError, EOFError):
            pass
        finally:
            back.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    # The other direction may go on; only this half has ended.
    with contextlib.suppress(OSError):
        sink.write_eof()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def listening(handler: Handler, port: int = 0) -> AsyncIterator[int]:
    """Serve raw TCP connections on loopback with ``handler``; gives the port.

    What is wrong with an answer is often below what a web server would send, so the tests write
    their answers byte by byte.
    """
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                await handler(reader, writer)
        finally:
            tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
