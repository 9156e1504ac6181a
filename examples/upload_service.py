"""A web service that takes encrypted uploads from people whose keys it knows.

    python upload_service.py --home HOME --store FOLDER [--port 8080]

``GET /key`` gives the service's public key. ``POST /upload`` takes a message that is encrypted to
it and signed by a key of its keyring; what was in it is stored under its SHA-256. Add people with
``tiny-gnupg import --home HOME their-key.asc``; a key that comes from the web itself would have to
go through ``text_import(key, secret=False)``.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
from pathlib import Path

from aiohttp import web

from tiny_gnupg import (
    DecryptionFailed,
    GnuPG,
    GnuPGError,
    GnuPGTimeout,
    NotOpenPGP,
    OutputTooLarge,
)

MOST_UPLOADED = 16 * 2**20
#: Seconds that gpg may take for an upload: there are small messages that it works on for minutes.
LONGEST = 3
#: What a client is told; everything else is a signature that is not good, or nobody's we know.
REFUSALS = ((OutputTooLarge, 413), (GnuPGTimeout, 413), (NotOpenPGP, 400), (DecryptionFailed, 400))

GPG = web.AppKey("gpg", GnuPG)
STORE = web.AppKey("store", Path)


async def public_key(request: web.Request) -> web.Response:
    """Return the service's public key."""
    return web.Response(text=await request.app[GPG].text_export())


async def upload(request: web.Request) -> web.Response:
    """Decrypt and verify an upload, then store it."""
    message = await request.read()
    try:
        found = (await request.app[GPG].decrypt_verify(message)).require_good()
    except GnuPGError as error:
        code = next((code for kind, code in REFUSALS if isinstance(error, kind)), 403)
        return web.json_response({"error": type(error).__name__}, status=code)
    if not found.encrypted or not found.signatures:
        return web.json_response({"error": "encrypt it to us, and sign it"}, status=403)
    name = hashlib.sha256(found.data).hexdigest()
    await asyncio.to_thread((request.app[STORE] / name).write_bytes, found.data)
    signer = found.signatures[0].primary_fingerprint
    return web.json_response({"sha256": name, "size": len(found.data), "from": signer}, status=201)


async def serve(home: str, store: Path, port: int) -> None:
    """Serve until somebody ends the process."""
    async with GnuPG(
        *("Uploads", "uploads@example.org"),
        homedir=home,
        timeout=LONGEST,
        max_output=2 * MOST_UPLOADED,
    ) as gpg:
        if not await gpg.keys("uploads@example.org", secret=True):
            await gpg.gen_key()
        app = web.Application(client_max_size=MOST_UPLOADED)
        app[GPG], app[STORE] = gpg, store
        app.add_routes([web.get("/key", public_key), web.post("/upload", upload)])
        runner = web.AppRunner(app, handle_signals=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        print(f"listening on {runner.addresses[0][1]}", flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", required=True)
    parser.add_argument("--store", required=True, type=Path)
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    # What people sent in secret is no other user's to read.
    arguments.store.mkdir(mode=0o700, parents=True, exist_ok=True)
    asyncio.run(serve(arguments.home, arguments.store, arguments.port))


if __name__ == "__main__":
    main()
