"""How bytes travel: every connection of this package is opened here, and only through Tor.

What holds for each request, unless its caller asks for something else by keyword:

1. It goes to the SOCKS5 port of Tor with the host's NAME: no resolver is asked and no address but
   the proxy's is ever connected to. With Tor down it fails; nothing goes direct.
2. Each ``Network`` sends random SOCKS credentials of its own, so that Tor keeps its streams on
   circuits of their own (tor(1), IsolateSOCKSAuth; on by default). A repeated try sends fresh ones
   and so leaves the circuit that failed.
3. It says nothing about who asks: no cookies, no netrc, no proxies from the environment, a
   User-Agent that many share, and no header that would name Python.
4. A redirect is followed on the same host only, and never from https down to http.
5. The answer is bounded: in bytes as it is read, and in seconds as a whole. Bodies are not asked
   for in compressed form and not inflated.
6. A try that failed on its way, or was answered with 429 or 503, is repeated after a growing pause
   (or the one that Retry-After names), within the time of the whole request.

aiohttp and aiohttp-socks are imported where they are first used: loading them takes longer than
the rest of the package, and most programs that encrypt never use the network.
"""

from __future__ import annotations

import asyncio
import importlib
import secrets
import sys
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tiny_gnupg._network.answers import Answer, SameHost, bounded_response, retry_after
from tiny_gnupg._network.failures import Failure, caught, judge

if TYPE_CHECKING:
    import aiohttp
    from aiohttp_socks import ProxyConnector
    from yarl import URL

# What Tor Browser says on Windows: the largest crowd on Tor, whatever system this is.
USER_AGENT = "Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0"


_TRY_LATER = (429, 503)


_OURS = ("connector", "connector_owner", "response_class")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """How one ``Network`` behaves; times in seconds, sizes in bytes.

    ``connect_timeout`` bounds SOCKS and the building of a circuit; ``total_timeout`` a request with
    all its tries and pauses, and its whole answer. ``backoff`` is the first pause, doubled for each
    next one. ``connections`` are open at once; further requests wait in line. ``session_options``
    go to ``aiohttp.ClientSession`` and win over ours: trace_configs, headers, cookie_jar and so on.

    Raises:
        ValueError: for a value out of its range, or an option that would lead around Tor.
    """

    tor_host: str = "127.0.0.1"
    tor_port: int = 9050
    isolate: bool = True
    connect_timeout: float = 120
    total_timeout: float = 180
    max_answer: int = 8 * 2**20
    tries: int = 3
    backoff: float = 1
    connections: int = 16
    user_agent: str = USER_AGENT
    session_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.tor_port < 2**16:
            raise ValueError(f"tor_port is no TCP port: {self.tor_port}")
        for name in ("connect_timeout", "total_timeout", "max_answer", "tries", "connections"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than zero")
        if self.backoff < 0:
            raise ValueError("backoff must not be less than zero")
        if taken := [name for name in _OURS if name in self.session_options]:
            raise ValueError(f"session_options cannot replace {', '.join(taken)}: it leads to Tor")

    @property
    def proxy(self) -> str:
        """Host and port of the SOCKS proxy, for people."""
        return f"{self.tor_host}:{self.tor_port}"


class _Open(NamedTuple):
    """A session, the generator that closes it, and what begins that where nobody else does."""

    session: aiohttp.ClientSession
    lifetime: AsyncGenerator[None, None]
    forgotten: weakref.finalize[..., Network]


class Network:
    """One identity on the network: one set of SOCKS credentials, one session an event loop.

    The session is made at the first request and shared by all of them. It is closed by ``aclose``,
    or by the event loop itself when that ends (``asyncio.run`` does so). A ``Network`` can be used
    again after it was closed, and in another event loop.

    Args:
        settings: how it behaves.
    """

    def __init__(self, settings: NetworkSettings | None = None) -> None:
        self.settings = settings or NetworkSettings()
        self._credentials = (secrets.token_hex(16), secrets.token_hex(16))
        self._open: dict[asyncio.AbstractEventLoop, _Open] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close this event loop's session and its connections; requests under way fail."""
        entry = self._open.pop(asyncio.get_running_loop(), None)
        if entry is not None:
            entry.forgotten.detach()
            await entry.lifetime.aclose()

    @property
    def Session(self) -> aiohttp.ClientSession:
        """The ``aiohttp.ClientSession`` of the running event loop, made where there is none.

        Raises:
            RuntimeError: where no event loop is running.
        """
        loop = asyncio.get_running_loop()
        entry = self._open.get(loop)
        if entry is None or entry.session.closed:
            for ended in [other for other in self._open if other is loop or other.is_closed()]:
                self._open.pop(ended).forgotten.detach()
            session = self._new_session()
            lifetime = _lifetime(session)
            # The finalizer holds the session, which so is closed before it can be garbage itself.
            forgotten = weakref.finalize(self, _close_soon, loop, lifetime)
            entry = self._open[loop] = _Open(session, lifetime, forgotten)
        return entry.session

    @property
    def Connector(self) -> ProxyConnector:
        """The ``aiohttp_socks.ProxyConnector`` under ``Session``: SOCKS5 with remote DNS.

        Raises:
            RuntimeError: where no event loop is running.
        """
        connector: Any = self.Session.connector
        return connector  # type: ignore[no-any-return]

    def isolated(self) -> Network:
        """Return another ``Network`` with these settings and with circuits of its own."""
        return Network(self.settings)

    def request(
        self, method: str, url: str | URL, **options: Any
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send one request through Tor: ``async with network.request(...) as response``.

        Args:
            method: the HTTP method.
            url: http or https.
            options: whatever ``aiohttp.ClientSession.request`` takes. A ``timeout`` of the caller's
                is for each try; ``allow_redirects=True`` follows redirects to other hosts too.

        Returns:
            A context that gives the response. ``read``, ``text`` and ``json`` stop at
            ``max_answer``; its ``content`` is the caller's to bound.

        Raises:
            TorUnavailable: where Tor does not answer, or does not reach the service.
            NetworkError: where the request failed otherwise, or its answer is too long or too late.
        """
        return self._request(method, url, options, whole=False)

    def network_get(
        self, url: str | URL, **options: Any
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send a GET request: ``async with network.network_get(url) as response``."""
        return self.request("GET", url, **options)

    def network_post(
        self, url: str | URL, **options: Any
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send a POST request, likewise."""
        return self.request("POST", url, **options)

    async def get(self, url: str | URL, **options: Any) -> str:
        """Return the text of the answer to a GET request, whatever its status; see `request`."""
        async with self._request("GET", url, options, whole=True) as response:
            return await response.text()

    async def post(self, url: str | URL, **options: Any) -> str:
        """Return the text of the answer to a POST request, whatever its status; see `request`."""
        async with self._request("POST", url, options, whole=True) as response:
            return await response.text()

    async def fetch(self, method: str, url: str | URL, **options: Any) -> Answer:
        """Return status, headers and body of the answer to a request; see `request`."""
        async with self._request(method, url, options, whole=True) as response:
            return Answer(response.status, response.headers, await response.read())

    @asynccontextmanager
    async def _request(
        self, method: str, url: str | URL, options: dict[str, Any], *, whole: bool
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Try until there is an answer to give, a read one where ``whole``, or none to be had."""
        if "aiohttp_socks" not in sys.modules:
            # In a thread, because it takes long enough for other tasks to notice.
            await asyncio.to_thread(importlib.import_module, "aiohttp_socks")
        network, pause = self, self.settings.backoff
        deadline = time.monotonic() + self.settings.total_timeout
        for left in reversed(range(self.settings.tries if _repeatable(options) else 1)):
            # Half of the pause is random: callers that failed together do not return together.
            pause, wait = 2 * pause, pause * (1 + secrets.randbelow(1000) / 1000)
            async with AsyncExitStack() as stack:
                try:
                    if network is not self:
                        await stack.enter_async_context(network)
                    response = await network._try(stack, method, url, options, deadline, whole)
                except Failure as failure:
                    if not (left and failure.repeat and time.monotonic() + wait < deadline):
                        raise failure.error from failure.__cause__
                    network = self.isolated() if self.settings.isolate else self
                else:
                    wait = max(wait, retry_after(response.headers) or 0)
                    later = response.status in _TRY_LATER and left
                    if not later or time.monotonic() + wait >= deadline:
                        yield response
                        return
            await asyncio.sleep(wait)

    async def _try(
        self,
        stack: AsyncExitStack,
        method: str,
        url: str | URL,
        options: Mapping[str, Any],
        deadline: float,
        whole: bool,
    ) -> aiohttp.ClientResponse:
        import aiohttp

        seconds = deadline - time.monotonic()
        bounds = aiohttp.ClientTimeout(
            total=seconds, sock_connect=min(seconds, self.settings.connect_timeout)
        )
        given: dict[str, Any] = {"timeout": bounds, **options}
        if "allow_redirects" not in given:
            theirs = given.get("middlewares", self.settings.session_options.get("middlewares", ()))
            given["middlewares"] = (SameHost(), *(theirs or ()))
        try:
            response = await stack.enter_async_context(self.Session.request(method, url, **given))
            if whole:
                await response.read()
        except caught() as error:
            failure = judge(error, method, self.settings.proxy)
            if failure is None:
                raise
            raise failure from error
        return response

    def _new_session(self) -> aiohttp.ClientSession:
        import aiohttp
        from multidict import CIMultiDict

        settings = self.settings
        headers = CIMultiDict({"User-Agent": settings.user_agent, "Accept-Encoding": "identity"})
        headers.update(settings.session_options.get("headers", {}))
        options: dict[str, Any] = {
            "cookie_jar": aiohttp.DummyCookieJar(),
            "trust_env": False,
            "auto_decompress": False,
            "skip_auto_headers": ("Accept",),
            **settings.session_options,
            "headers": headers,
        }
        return aiohttp.ClientSession(
            connector=self._new_connector(),
            response_class=bounded_response(settings.max_answer),
            **options,
        )

    def _new_connector(self) -> ProxyConnector:
        from aiohttp_socks import ProxyType

        from tiny_gnupg._network.tor_connector import Connector

        username, password = self._credentials if self.settings.isolate else (None, None)
        return Connector(
            proxy_type=ProxyType.SOCKS5,
            host=self.settings.tor_host,
            port=self.settings.tor_port,
            username=username,
            password=password,
            rdns=True,
            limit=self.settings.connections,
        )


def _lifetime(session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    """Return a generator, begun already, whose ``aclose`` closes the session.

    An event loop that ends closes the generators begun in it before it closes itself
    (loop.shutdown_asyncgens): the one hook to close connections in time where nobody called
    ``Network.aclose``.
    """

    async def lifetime() -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await session.close()

    begun = lifetime()
    # It waits for nothing before it yields, so one step by hand begins it, and ``Session`` can stay
    # the plain attribute that it was in 0.5.2.
    with suppress(StopIteration):
        begun.__anext__().send(None)
    return begun


def _close_soon(loop: asyncio.AbstractEventLoop, lifetime: AsyncGenerator[None, None]) -> None:
    """Close the session of a ``Network`` that was dropped while its event loop goes on."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(lambda: loop.create_task(lifetime.aclose()))


def _repeatable(options: Mapping[str, Any]) -> bool:
    # Streams, files and forms are used up by the first try.
    data = options.get("data")
    plain = data.values() if isinstance(data, Mapping) else (data,)
    return all(value is None or isinstance(value, bytes | str) for value in plain)
