"""A keyserver that behaves as keys.openpgp.org does, on loopback and in memory.

``python -m tests.tor.keyserver --port 11371`` runs it; it prints ``listening on PORT``.

What it keeps to:

1. User ids are withheld until their address was confirmed, so a fresh upload comes back bare.
   Third-party certifications and user attributes never come back.
2. ``/vks/v1/upload`` gives a token and the state of each address; ``/vks/v1/request-verify`` takes
   the token and sends mails, at most one an address a minute; unknown addresses are passed over.
3. Look-ups by fingerprint and key id find subkeys too, by e-mail only confirmed addresses.
4. Refusals: 404 and 400 of a look-up are HTML pages, those of a POST ``{"error": ...}``; over
   1 MiB it is 413, over the rate 429 without Retry-After, in maintenance 503.
5. HKP: ``/pks/lookup`` (get, index) and ``/pks/add``.

Beside that, for tests alone: ``/-test/outbox`` (the mails: address and link), ``/-test/confirm/ID``
(what following the link does), ``/-test/forget`` (start empty), ``/-test/settings`` (rates,
maintenance) and ``/-test/requests`` (headers of each request as they came).
"""

from __future__ import annotations

import argparse
import asyncio
import html
import json
import re
import secrets
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import unquote

from aiohttp import web

from . import openpgp
from .openpgp import Packet

MAX_UPLOAD = 2**20
MAIL_INTERVAL = 60


@dataclass
class Rate:
    """A token bucket: ``burst`` at once, then ``per_second``."""

    per_second: float
    burst: float
    level: float = field(init=False)
    filled: float = field(init=False, default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.level = self.burst

    def take(self) -> bool:
        """Take one, or give False where none is left."""
        now = time.monotonic()
        self.level = min(self.burst, self.level + (now - self.filled) * self.per_second)
        self.filled = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


@dataclass
class StoredKey:
    """A key as uploads left it: parts in order, and which addresses are confirmed."""

    primary: Packet
    direct: list[Packet] = field(default_factory=list)
    user_ids: dict[bytes, list[Packet]] = field(default_factory=dict)
    subkeys: dict[bytes, list[Packet]] = field(default_factory=dict)
    raw: dict[bytes, Packet] = field(default_factory=dict)
    confirmed: set[str] = field(default_factory=set)

    @property
    def fingerprint(self) -> str:
        """The primary key's fingerprint."""
        return openpgp.fingerprint(self.primary)

    @property
    def fingerprints(self) -> list[str]:
        """Those of the primary key and all subkeys."""
        return [self.fingerprint, *(openpgp.fingerprint(self.raw[body]) for body in self.subkeys)]

    @property
    def revoked(self) -> bool:
        """Whether it carries a revocation of itself."""
        return any(each.signature_type == openpgp.KEY_REVOCATION for each in self.direct)

    def addresses(self) -> dict[str, list[bytes]]:
        """Each address in lower case, with the user ids that carry it."""
        found: dict[str, list[bytes]] = {}
        for user_id in self.user_ids:
            if address := address_of(user_id):
                found.setdefault(address, []).append(user_id)
        return found

    def status(self) -> dict[str, str]:
        """What VKS says of each address; nothing for a revoked key."""
        if self.revoked:
            return {}
        return {
            address: "published" if address in self.confirmed else "unpublished"
            for address in self.addresses()
        }

    def merge(self, parts: list[Packet]) -> None:
        """Take what an upload brings and is not here yet."""
        own = self.fingerprint[-16:]
        target = self.direct
        for part in parts[1:]:
            if part.tag == openpgp.USER_ID:
                self.raw[part.body] = part
                target = self.user_ids.setdefault(part.body, [])
            elif part.tag == openpgp.PUBLIC_SUBKEY:
                self.raw[part.body] = part
                target = self.subkeys.setdefault(part.body, [])
            elif part.tag == openpgp.USER_ATTRIBUTE:
                target = []
            elif part.tag == openpgp.SIGNATURE and own in openpgp.issuers(part):
                target += [part] if all(part.body != known.body for known in target) else []

    def published(self) -> bytes:
        """The key as look-ups give it: without the user ids that nobody confirmed."""
        parts = [self.primary, *self.direct]
        for user_id, signatures in self.user_ids.items():
            if address_of(user_id) in self.confirmed:
                parts += [self.raw[user_id], *signatures]
        for subkey, signatures in self.subkeys.items():
            parts += [self.raw[subkey], *signatures]
        return b"".join(part.raw for part in parts)

    def armored(self) -> str:
        """The same in armor, with the server's comments."""
        names = [user_id.decode(errors="replace") for user_id in self.user_ids]
        shown = [name for name in names if address_of(name.encode()) in self.confirmed]
        return openpgp.armor(self.published(), [self.fingerprint, *shown])


class TestKeyserver:
    """The server's state and its answers."""

    __test__ = False

    def __init__(self) -> None:
        self.settings({})
        self.forget()

    def forget(self) -> None:
        """Start empty."""
        self.keys: dict[str, StoredKey] = {}
        self.tokens: dict[str, str] = {}
        self.outbox: list[dict[str, str]] = []
        self.mailed: dict[str, float] = {}
        self.requests: list[dict[str, object]] = []

    def settings(self, wanted: dict[str, object]) -> None:
        """Set rates ([per second, burst] by kind; null means no limit) and maintenance."""
        usual: dict[str, object] = {"key": [5, 30], "email": [1 / 60, 50], "maintenance": ""}
        chosen = usual | wanted
        self.maintenance = str(chosen["maintenance"])
        self.rates: dict[str, Rate] = {}
        for kind in ("key", "email"):
            if isinstance(limit := chosen[kind], list):
                self.rates[kind] = Rate(float(limit[0]), float(limit[1]))

    def application(self) -> web.Application:
        """Return the web application."""
        app = web.Application(client_max_size=MAX_UPLOAD, middlewares=[self.gate])
        app.router.add_get("/vks/v1/by-fingerprint/{value}", self.by_fingerprint)
        app.router.add_get("/vks/v1/by-keyid/{value}", self.by_key_id)
        app.router.add_get("/vks/v1/by-email/{value}", self.by_email)
        app.router.add_post("/vks/v1/upload", self.upload)
        app.router.add_post("/vks/v1/request-verify", self.request_verify)
        app.router.add_get("/pks/lookup", self.hkp_lookup)
        app.router.add_post("/pks/add", self.hkp_add)
        app.router.add_get("/search", self.search_page)
        app.router.add_get("/-test/outbox", self.test_outbox)
        app.router.add_post("/-test/confirm/{id}", self.test_confirm)
        app.router.add_post("/-test/forget", self.test_forget)
        app.router.add_post("/-test/settings", self.test_settings)
        app.router.add_get("/-test/requests", self.test_requests)
        return app

    @web.middleware
    async def gate(self, request: web.Request, handler: object) -> web.StreamResponse:
        """Note each request, and answer for maintenance and for what is too large."""
        if request.path.startswith("/-test/"):
            return await handler(request)  # type: ignore[operator,no-any-return]
        headers = [[name, value] for name, value in request.headers.items()]
        line = f"{request.method} {request.raw_path}"
        self.requests.append({"line": line, "headers": headers})
        if self.maintenance:
            return web.json_response({"message": self.maintenance}, status=503)
        try:
            return await handler(request)  # type: ignore[operator,no-any-return]
        except web.HTTPRequestEntityTooLarge:
            return web.json_response({"error": "The upload is too large."}, status=413)

    async def by_fingerprint(self, request: web.Request) -> web.Response:
        """40 upper-case hex digits, of a primary key or a subkey."""
        return self.key_answer(request.match_info["value"], r"[0-9A-F]{40}")

    async def by_key_id(self, request: web.Request) -> web.Response:
        """16 upper-case hex digits, likewise."""
        return self.key_answer(request.match_info["value"], r"[0-9A-F]{16}")

    async def by_email(self, request: web.Request) -> web.Response:
        """A confirmed address."""
        if not self.allowed("email"):
            return too_many()
        address = unquote(request.match_info["value"]).lower()
        if "@" not in address:
            return page(400, "Malformed e-mail address.")
        for key in self.keys.values():
            if address in key.confirmed and address in key.addresses() and not key.revoked:
                return key_page(key)
        return page(404, f"No key found for email address {address}")

    def key_answer(self, value: str, pattern: str) -> web.Response:
        """Answer a look-up by fingerprint or key id."""
        if not self.allowed("key"):
            return too_many()
        if not re.fullmatch(pattern, value):
            return page(400, "Malformed fingerprint or key id.")
        key = self.find(value)
        return key_page(key) if key else page(404, f"No key found for {value}")

    def find(self, value: str) -> StoredKey | None:
        """Find a key by the end of one of its fingerprints."""
        for key in self.keys.values():
            if any(fingerprint.endswith(value) for fingerprint in key.fingerprints):
                return key
        return None

    def allowed(self, kind: str) -> bool:
        """Return whether the rate lets one more through."""
        return kind not in self.rates or self.rates[kind].take()

    async def upload(self, request: web.Request) -> web.Response:
        """Take keys; give a token for one, the fingerprints for several."""
        keytext = (await json_body(request)).get("keytext")
        if not isinstance(keytext, str):
            return bad("No keytext.")
        try:
            keys = self.take(keytext.encode())
        except ValueError as error:
            return bad(f"Parsing of key data failed: {error}")
        if len(keys) > 1:
            return web.json_response([key.fingerprint for key in keys])
        return self.token_answer(keys[0], secrets.token_urlsafe(24))

    def take(self, data: bytes) -> list[StoredKey]:
        """Keep the keys of an upload."""
        kept = []
        for parts in openpgp.split_keys(openpgp.dearmor(data)):
            if parts[0].tag != openpgp.PUBLIC_KEY:
                raise openpgp.Malformed("this is a secret key")
            key = self.keys.setdefault(openpgp.fingerprint(parts[0]), StoredKey(parts[0]))
            key.merge(parts)
            kept.append(key)
        if not kept:
            raise openpgp.Malformed("no key")
        return kept

    async def request_verify(self, request: web.Request) -> web.Response:
        """Send mails to the addresses that wait for one."""
        body = await json_body(request)
        token, addresses = body.get("token"), body.get("addresses")
        if not isinstance(token, str) or token not in self.tokens:
            return bad("Provided upload token is invalid.")
        if not isinstance(addresses, list):
            return bad("No addresses.")
        key = self.keys[self.tokens[token]]
        pending = set()
        for address in {str(each).lower() for each in addresses} & set(key.status()):
            if address in key.confirmed:
                continue
            pending.add(address)
            if time.monotonic() - self.mailed.get(address, -MAIL_INTERVAL) >= MAIL_INTERVAL:
                self.mailed[address] = time.monotonic()
                mail = {"to": address, "key": key.fingerprint, "id": secrets.token_urlsafe(24)}
                self.outbox.append(mail)
        return self.token_answer(key, token, pending)

    def token_answer(
        self, key: StoredKey, token: str, pending: set[str] | frozenset[str] = frozenset()
    ) -> web.Response:
        """Return token, fingerprint and the state of each address."""
        self.tokens[token] = key.fingerprint
        status = key.status() | dict.fromkeys(pending, "pending")
        answer = {"token": token, "key_fpr": key.fingerprint, "status": status}
        return web.json_response(answer)

    async def hkp_lookup(self, request: web.Request) -> web.Response:
        """HKP's get and index."""
        term = request.query.get("search", "")
        digits = term.removeprefix("0x").upper()
        if re.fullmatch(r"[0-9A-F]{16}|[0-9A-F]{40}", digits):
            key = self.find(digits)
        else:
            address = address_of(term.encode()) or term.lower()
            confirmed = (each for each in self.keys.values() if address in each.confirmed)
            key = next(confirmed, None)
        if key is None:
            return page(404, "No key found")
        if request.query.get("op") == "get":
            return key_page(key, "application/pgp-keys")
        if request.query.get("op") in ("index", "vindex"):
            return web.Response(text=index(key))
        return page(501, "Not implemented")

    async def hkp_add(self, request: web.Request) -> web.Response:
        """HKP's upload of a form field."""
        keytext = (await request.post()).get("keytext")
        if not isinstance(keytext, str):
            return page(400, "No keytext")
        try:
            keys = self.take(keytext.encode())
        except ValueError as error:
            return page(400, f"Parsing of key data failed: {error}")
        names = ", ".join(key.fingerprint for key in keys)
        return web.Response(text=f"Upload successful: {names}\n")

    async def search_page(self, request: web.Request) -> web.Response:
        """The page for people."""
        return page(200, f"Search for {request.query.get('q', '')}")

    async def test_outbox(self, request: web.Request) -> web.Response:
        """The mails that were sent."""
        return web.json_response(self.outbox)

    async def test_confirm(self, request: web.Request) -> web.Response:
        """Confirm the address of one mail, as its owner does by following the link."""
        for mail in self.outbox:
            if mail["id"] == request.match_info["id"]:
                self.keys[mail["key"]].confirmed.add(mail["to"])
                return web.json_response(mail)
        raise web.HTTPNotFound

    async def test_forget(self, request: web.Request) -> web.Response:
        """Start empty, with the usual settings."""
        self.settings({})
        self.forget()
        return web.json_response({})

    async def test_settings(self, request: web.Request) -> web.Response:
        """Change rates or maintenance."""
        self.settings(await request.json())
        return web.json_response({})

    async def test_requests(self, request: web.Request) -> web.Response:
        """What came, in order."""
        return web.json_response(self.requests)


def address_of(user_id: bytes) -> str:
    """Return the address in a user id in lower case, or ""."""
    text = user_id.decode(errors="replace").strip().lower()
    found = re.search(r"<([^<>\s@]+@[^<>\s@]+)>$", text)
    if found:
        return found[1]
    return text if re.fullmatch(r"[^<>\s@]+@[^<>\s@]+", text) else ""


def index(key: StoredKey) -> str:
    """Return HKP's machine-readable index (draft-shaw-openpgp-hkp, section 5.2)."""
    body = key.primary.body
    created, algorithm = int.from_bytes(body[1:5]), body[5]
    flags = "r" if key.revoked else ""
    lines = ["info:1:1", f"pub:{key.fingerprint}:{algorithm}::{created}::{flags}"]
    for user_id in key.user_ids:
        if address_of(user_id) in key.confirmed:
            text = user_id.decode(errors="replace").replace("%", "%25").replace(":", "%3A")
            lines.append(f"uid:{text}:{created}::")
    return "\r\n".join(lines) + "\r\n"


def page(status: int, text: str) -> web.Response:
    """A page for people."""
    body = f"<!doctype html><html><body><p>{html.escape(text)}</p></body></html>"
    return web.Response(status=status, text=body, content_type="text/html")


def too_many() -> web.Response:
    """The answer to a client that asks too often; no Retry-After, as the real one has none."""
    return web.Response(status=429, text="Too many requests")


def bad(text: str) -> web.Response:
    """The refusal of a POST."""
    return web.json_response({"error": text}, status=400)


def key_page(key: StoredKey, content_type: str = "application/pgp-keys") -> web.Response:
    """The answer that is a key."""
    disposition = f'attachment; filename="{key.fingerprint}.asc"'
    headers = {"Content-Disposition": disposition}
    return web.Response(text=key.armored(), content_type=content_type, headers=headers)


async def json_body(request: web.Request) -> dict[str, object]:
    """Read a JSON object, or nothing where it is none."""
    try:
        body = json.loads(await request.text())
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


async def serve(port: int) -> None:
    """Serve until the standard input ends, which it does with the program that started us."""
    runner = web.AppRunner(TestKeyserver().application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    print(f"listening on {runner.addresses[0][1]}", flush=True)
    try:
        await asyncio.to_thread(sys.stdin.buffer.read)
    finally:
        await runner.cleanup()


def main() -> None:
    """Run the server from a command line."""
    parser = argparse.ArgumentParser(description="A keyserver in memory, on loopback, for tests.")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
