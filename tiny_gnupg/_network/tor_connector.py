"""The way through Tor: given up in time, and not closed by one of those who share it.

Imported when the first connection is made, because ``aiohttp_socks`` takes long to import.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Sequence
from typing import Any

import aiohttp
from aiohttp_socks import ProxyConnector
from yarl import URL

from tiny_gnupg._network.failures import connecting

#: Seconds between two requests to a connection attempt to end.
CANCEL_INTERVAL = 0.1


class Connector(ProxyConnector):
    """A ``ProxyConnector`` whose attempts to connect end when they are cancelled.

    python-socks closes an attempt that is cancelled, and waits for the end of the closing; in the
    middle of a TLS handshake that end never comes (measured on Python 3.11, python-socks 2.8). So
    a server that says nothing would hold up its caller for ever, whatever the timeout.

    It is everybody's: a session made on it that closes leaves it open, and ``end`` closes it.
    """

    async def _connect_via_proxy(self, *args: Any, **options: Any) -> Any:
        attempt = asyncio.ensure_future(super()._connect_via_proxy(*args, **options))
        connecting.set(True)
        try:
            made = await asyncio.shield(attempt)
        except asyncio.CancelledError:
            # The first request ends the attempt, the second one the wait.
            while not attempt.done():
                attempt.cancel()
                await asyncio.wait({attempt}, timeout=CANCEL_INTERVAL)
            if not attempt.cancelled() and attempt.exception() is None:
                attempt.result()[0].close()
            raise
        connecting.set(False)
        return made

    async def close(self, **_: Any) -> None:
        """Leave it open."""

    async def end(self) -> None:
        """Close it and its connections; requests under way fail."""
        await super().close()


class GivenCookies(aiohttp.CookieJar):
    """A jar that sends the cookies which its caller put in, and keeps none of a server's."""

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: URL) -> None:
        """Keep nothing."""


with warnings.catch_warnings():
    # aiohttp discourages all subclasses; this one only leaves open what is not its user's to close.
    warnings.simplefilter("ignore", DeprecationWarning)

    class SharedSession(aiohttp.ClientSession):
        """A session that all share: ``async with`` leaves it open, and ``end`` closes it."""

        async def close(self) -> None:
            """Leave it open."""

        async def end(self) -> None:
            """Close it and its connector."""
            connector: Any = self.connector
            await super().close()
            await connector.end()
