"""What Tor's control port says of how far Tor is (control-spec of Tor, sections 3 and 5).

Nothing is changed there. The port is asked only where Tor made no connection, and only a port that
says of itself that it belongs to the Tor whose SOCKS port is used. Where it asks for a cookie that
cannot be read here, or for a password, it tells nothing.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import re
import secrets
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from functools import partial
from typing import NamedTuple

from tiny_gnupg._process.tasks import in_thread

#: Where Debian's tor listens, whose torrc names no port.
DEBIAN_SOCKET = "/run/tor/control"

#: Seconds for the whole answer: it comes from this machine, or the one that Tor runs on.
PATIENCE = 2.0

#: Octets of a cookie, and lines of a reply at most.
COOKIE, MOST_LINES = 32, 100

_KEY = b"Tor safe cookie authentication %s hash"


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Phase(NamedTuple):
    """How far Tor is: per cent, and Tor's own words for what it does now."""

    progress: int
    summary: str


async def bootstrap_phase(host: str, control_port: int | None, socks_port: int) -> Phase | None:
    """Ask how far Tor is.

    Args:
        host: where Tor runs.
        control_port: its control port. Where that does not answer, Debian's socket is asked; where
            it is None, the port above ``socks_port``. Both are on this machine or are nobody's.
        socks_port: the port that it must offer for SOCKS.

    Returns:
        The phase, or None where nobody tells.
    """
    ways: list[Callable[[], Awaitable[_Streams]]] = []
    here = host in ("127.0.0.1", "::1", "localhost")
    if control_port is not None or here:
        port = socks_port + 1 if control_port is None else control_port
        ways.append(partial(asyncio.open_connection, host, port))
    if here:
        ways.append(partial(asyncio.open_unix_connection, DEBIAN_SOCKET))
    for reach in ways:
        with suppress(OSError, EOFError, ValueError):
            async with asyncio.timeout(PATIENCE):
                reader, writer = await reach()
                with closing(writer):
                    phase = await _ask(reader, writer, socks_port)
            if phase is not None:
                return phase
    return None


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, socks_port: int
) -> Phase | None:
    async def command(line: str) -> str:
        writer.write(line.encode() + b"\r\n")
        reply = b""
        for _ in range(MOST_LINES):
            line_of_reply = await reader.readuntil(b"\r\n")
            reply += line_of_reply
            if line_of_reply[3:4] == b" ":
                break
        return reply.decode(errors="replace")

    proof = await _proof(command)
    if proof is None:
        return None
    await command(f"AUTHENTICATE {proof}".rstrip())
    offered = await command("GETINFO net/listeners/socks")
    phase = await command("GETINFO status/bootstrap-phase")
    found = re.search(r'PROGRESS=(\d{1,3}) TAG=\S+ SUMMARY="([^"]*)"', phase)
    if found is None or f':{socks_port}"' not in offered:
        return None
    return Phase(int(found[1]), found[2])


async def _proof(command: Callable[[str], Awaitable[str]]) -> str | None:
    """Return what proves to the port that Tor's cookie can be read here, "" where it wants none."""
    how = await command("PROTOCOLINFO 1")
    if "NULL" in how:
        return ""
    file = re.search(r'COOKIEFILE="((?:[^"\\]|\\.)*)"', how)
    if file is None or "SAFECOOKIE" not in how:
        return None
    cookie = await in_thread(_cookie, re.sub(r"\\(.)", r"\1", file[1]))
    # The cookie itself is sent to nobody: the port has to prove first that it has it.
    nonce = secrets.token_bytes(32)
    answer = await command(f"AUTHCHALLENGE SAFECOOKIE {nonce.hex()}")
    said = re.search(r"SERVERHASH=([0-9A-Fa-f]{64}) SERVERNONCE=([0-9A-Fa-f]{64})", answer)
    if said is None:
        return None
    text = cookie + nonce + bytes.fromhex(said[2])
    expected = hmac.digest(_KEY % b"server-to-controller", text, "sha256")
    if not hmac.compare_digest(expected, bytes.fromhex(said[1])):
        return None
    return hmac.digest(_KEY % b"controller-to-server", text, "sha256").hex()


def _cookie(path: str) -> bytes:
    # Whoever listens there names the file: one that is no cookie must neither block nor fill us.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(fd, "rb", buffering=0) as file:
        cookie = file.read(COOKIE + 1)
    if len(cookie) != COOKIE:
        raise ValueError(f"{path} is no cookie of Tor's")
    return cookie
