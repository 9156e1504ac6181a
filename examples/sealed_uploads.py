"""A web service that keeps uploads encrypted: each flows through gpg while it comes in.

    python sealed_uploads.py --home HOME --to KEY --store FOLDER [--port 8080]

``POST /upload`` takes any body. It is never on the disk in the clear, memory does not grow with it,
and where its sender breaks off nothing of it is kept. Only the public key has to be in HOME.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

from aiohttp import StreamReader, web

from tiny_gnupg import GnuPG

MOST_UPLOADED = 10 * 2**30

GPG = web.AppKey("gpg", GnuPG)
STORE = web.AppKey("store", Path)
TO = web.AppKey("to", str)


async def bounded(content: StreamReader) -> AsyncIterator[bytes]:
    """Give a body as it comes; what a source raises ends gpg, and comes out of the stream."""
    taken = 0
    async for piece in content.iter_chunked(2**18):
        taken += len(piece)
        if taken > MOST_UPLOADED:
            raise web.HTTPRequestEntityTooLarge(MOST_UPLOADED, taken)
        yield piece


async def upload(request: web.Request) -> web.Response:
    """Encrypt an upload into a file that appears once it is whole."""
    gpg, store = request.app[GPG], request.app[STORE]
    name = f"{secrets.token_hex(16)}.gpg"
    draft = store / f".{name}"
    sealed = gpg.encrypt_stream(bounded(request.content), request.app[TO], sign=False)
    try:
        with draft.open("xb") as file:
            async with aclosing(sealed):
                async for piece in sealed:
                    await asyncio.to_thread(file.write, piece)
        draft.rename(store / name)
    finally:
        draft.unlink(missing_ok=True)
    return web.json_response({"name": name}, status=201)


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until somebody ends the process."""
    async with GnuPG(homedir=arguments.home) as gpg:
        (key,) = await gpg.keys(arguments.to)
        app = web.Application()
        app[GPG], app[STORE], app[TO] = gpg, arguments.store, key.fingerprint
        app.add_routes([web.post("/upload", upload)])
        runner = web.AppRunner(app, handle_signals=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", arguments.port).start()
        print(f"listening on {runner.addresses[0][1]}", flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", required=True)
    parser.add_argument("--to", required=True, help="the recipient: fingerprint or address")
    parser.add_argument("--store", required=True, type=Path)
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    arguments.store.mkdir(mode=0o700, parents=True, exist_ok=True)
    asyncio.run(serve(arguments))


if __name__ == "__main__":
    main()
