"""The way through Tor, given up in time.

Imported when the first connection is made, because ``aiohttp_socks`` takes long to import.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp_socks import ProxyConnector

#: Seconds between two requests to a connection attempt to end.
CANCEL_INTERVAL = 0.1


class Connector(ProxyConnector):
    """A ``ProxyConnector`` whose attempts to connect end when they are cancelled.

    python-socks closes an attempt that is cancelled, and waits for the end of the closing; in the
    middle of a TLS handshake that end never comes (measured on Python 3.11, python-socks 2.8). So
    a server that says nothing would hold up its caller for ever, whatever the timeout.
    """

    async def _connect_via_proxy(self, *args: Any, **options: Any) -> Any:
        attempt = asyncio.ensure_future(super()._connect_via_proxy(*args, **options))
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            # The first request ends the attempt, the second one the wait.
            while not attempt.done():
                attempt.cancel()
                await asyncio.wait({attempt}, timeout=CANCEL_INTERVAL)
            if not attempt.cancelled() and attempt.exception() is None:
                attempt.result()[0].close()
            raise
