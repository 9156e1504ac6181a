"""A keyserver that lies, on loopback: the first part of the path says how.

``python -m tests.tor.liar --port 0 FOLDER`` answers ``/NAME/...`` with the file ``FOLDER/NAME``;
the names in ``STREAMS`` and ``POSTS`` it makes itself. It prints ``listening on PORT``.

Answers are written byte by byte, because most of them are what no web server would send.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.tor.socks import Handler

from .socks import listening

HUGE = 50_000_000
BLOCK = b"x" * 65536


async def huge(writer: asyncio.StreamWriter) -> None:
    """50 MB, announced."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % HUGE)
    for _ in range(HUGE // len(BLOCK)):
        writer.write(BLOCK)
        await writer.drain()


async def endless(writer: asyncio.StreamWriter) -> None:
    """Chunks without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK))
        await writer.drain()


async def endless_headers(writer: asyncio.StreamWriter) -> None:
    """Header lines without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: %b\r\n" % BLOCK[:4000])
        await writer.drain()


async def slow(writer: asyncio.StreamWriter) -> None:
    """One byte a second."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
    while True:
        writer.write(b"-")
        await writer.drain()
        await asyncio.sleep(1)


async def silent(writer: asyncio.StreamWriter) -> None:
    """No answer at all."""
    await asyncio.Event().wait()


async def redirect(writer: asyncio.StreamWriter) -> None:
    """To another host."""
    writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/key\r\n")
    writer.write(b"Content-Length: 0\r\n\r\n")


async def not_http(writer: asyncio.StreamWriter) -> None:
    """Another protocol."""
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    await writer.drain()
    writer.close()


STREAMS: dict[str, Callable[[asyncio.StreamWriter], Awaitable[None]]] = {
    "huge": huge,
    "endless": endless,
    "endless-headers": endless_headers,
    "slow": slow,
    "silent": silent,
    "redirect": redirect,
    "not-http": not_http,
}

POSTS = {
    "wrong-json": b'{"token": 7, "key_fpr": "x", "status": {}}',
    "no-status": b'{"token": "t", "key_fpr": "x"}',
    "another-key": b'{"token": "t", "key_fpr": "%s", "status": {}}' % (b"A" * 40),
    "a-list": b'["%s"]' % (b"A" * 40),
    "an-html-page": b"<html>",
    "deep-json": b"[" * 1_000_000,
}


def body_for(method: str, name: str, folder: Path) -> bytes | None:
    """Return the body of an answer that is one, or None where there is none of that name."""
    if method == "POST":
        return POSTS.get(name)
    path = folder / Path(name).name
    return path.read_bytes() if path.is_file() else None


def handler(folder: Path) -> Handler:
    """Make what answers one connection."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path, _ = head.splitlines()[0].split(" ")
            for line in head.lower().splitlines():
                if line.startswith("content-length:"):
                    await reader.readexactly(int(line.partition(":")[2]))
            name = path.split("/")[1]
            if name in STREAMS:
                await STREAMS[name](writer)
            else:
                body = body_for(method, name, folder)
                status = b"404 Not Found" if body is None else b"200 OK"
                length = b"Content-Length: %d\r\n\r\n" % len(body or b"")
                writer.write(b"HTTP/1.1 %b\r\n%b" % (status, length) + (body or b""))
            await writer.drain()

    return handle


async def serve(folder: Path, port: int) -> None:
    """Serve until the standard input ends."""
    async with listening(handler(folder), port) as bound:
        print(f"listening on {bound}", flush=True)
        await asyncio.to_thread(sys.stdin.buffer.read)


def main() -> None:
    """Run the server from a command line."""
    parser = argparse.ArgumentParser(description="A lying keyserver on loopback, for tests.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.folder, arguments.port))


if __name__ == "__main__":
    main()
