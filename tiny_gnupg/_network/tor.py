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
   for in compressed form; what comes packed all the same is bounded as it is inflated.
6. What Tor did not carry, and what may be sent twice (RFC 9110, section 9.2.2) and was cut off or
   answered with 429 or 503, is repeated after a growing pause (or the one that Retry-After names),
   within the time of the whole request. A POST that was sent is sent once.
7. What a caller passes to aiohttp wins, or is refused by its name where it would lead around Tor.

aiohttp and aiohttp-socks are imported where they are first used: loading them takes longer than
the rest of the package, and most programs that encrypt never use the network.
"""

from __future__ import annotations

import asyncio
import importlib
import re
import secrets
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tiny_gnupg._network.answers import Answer, SameHost, bounded_response, retry_after
from tiny_gnupg._network.failures import Failure, caught, connecting, judge
from tiny_gnupg._network.tor_control import bootstrap_phase
from tiny_gnupg._process.tasks import in_thread, running_loop
from tiny_gnupg.errors import NetworkError, TorUnavailable

if TYPE_CHECKING:
    import aiohttp
    from aiohttp_socks import ProxyConnector
    from yarl import URL

    from tiny_gnupg._network.tor_connector import SharedSession

# What Tor Browser says on Windows: the largest crowd on Tor, whatever system this is.
USER_AGENT = "Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0"


_TRY_LATER = (429, 503)


# Sending such a request twice changes no more than sending it once (RFC 9110, section 9.2.2).
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


# What would lead around Tor, or take away what rests on our own connector and response.
_REFUSED = frozenset(
    {
        *("connector", "connector_owner", "request_class", "response_class", "trust_env", "loop"),
        *("proxy", "proxy_auth", "proxy_headers", "local_addr", "resolver", "family"),
        *("read_timeout", "conn_timeout"),
    }
)


_HOST = re.compile(r"(?!.{255})[^\s.]{1,63}(?:\.[^\s.]{1,63})*\.?")


def _require_host(url: str | URL) -> None:
    """Require that a URL's host, where it has one, can be the name of one (RFC 1035)."""
    import aiohttp
    from yarl import URL

    with suppress(ValueError):  # aiohttp says that better
        url = URL(url)
    host = url.raw_host if isinstance(url, URL) else None
    if host and not _HOST.fullmatch(host):
        raise aiohttp.InvalidURL(url, f"{host!r} is no name of a host")


def _require_harmless(options: Iterable[str], where: str) -> None:
    if refused := sorted(_REFUSED.intersection(options)):
        raise ValueError(
            f"{where} must not have {', '.join(refused)}: all goes through the one Tor of this "
            "instance (say how by set_network_variables), and times are said by timeout"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """How one ``Network`` behaves; times in seconds, sizes in bytes.

    ``connect_timeout`` bounds SOCKS and the building of a circuit; ``total_timeout`` a request with
    all its tries and pauses, and its whole answer. ``max_answer`` bounds what it is inflated to.
    ``backoff`` is the first pause, doubled for each next one. ``connections`` are open at once;
    further requests wait in line. ``session_options`` go to ``aiohttp.ClientSession`` and win over
    ours: trace_configs, headers, timeout, cookies, cookie_jar and so on. ``control_port`` is asked
    how far Tor is where it makes no connection; default: of a Tor on this machine, the port above
    ``tor_port``, and Debian's socket.

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
    control_port: int | None = None

    def __post_init__(self) -> None:
        for name, port in (("tor_port", self.tor_port), ("control_port", self.control_port or 1)):
            if not 0 < port < 2**16:
                raise ValueError(f"{name} is no TCP port: {port}")
        for name in ("connect_timeout", "total_timeout", "max_answer", "tries", "connections"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than zero")
        if not self.tor_host:
            raise ValueError("tor_host names no host")
        if self.backoff < 0:
            raise ValueError("backoff must not be less than zero")
        _require_harmless(self.session_options, "session_options")

    @property
    def proxy(self) -> str:
        """Host and port of the SOCKS proxy, for people."""
        return f"{self.tor_host}:{self.tor_port}"


async def _text(response: aiohttp.ClientResponse) -> str:
    """Return the text of an answer.

    Raises:
        NetworkError: it is none in its own encoding.
    """
    with suppress(UnicodeDecodeError):
        return await response.text()
    raise NetworkError(
        f"the answer is no text in {response.get_encoding()}", hint="network_get gives its bytes"
    )


class _Open(NamedTuple):
    """A session, the generator that closes it, and what it was made by."""

    session: SharedSession
    lifetime: AsyncGenerator[None, None]
    settings: NetworkSettings


class Network:
    """One identity on the network: one set of SOCKS credentials, one session an event loop.

    The session is made at the first request and shared by all of them. It is closed by ``aclose``,
    or by the event loop itself when that ends (``asyncio.run`` does so). A ``Network`` can be used
    again after it was closed, and in another event loop. Requests under way go on as they began
    when ``settings`` are replaced.

    Args:
        settings: how it behaves.
    """

    def __init__(self, settings: NetworkSettings | None = None) -> None:
        self.settings = settings or NetworkSettings()
        self._credentials = (secrets.token_hex(16), secrets.token_hex(16))
        self._open: dict[asyncio.AbstractEventLoop, list[_Open]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close this event loop's sessions and their connections; requests under way fail."""
        for entry in self._open.pop(running_loop(), []):
            await entry.lifetime.aclose()

    @property
    def Session(self) -> aiohttp.ClientSession:
        """The ``aiohttp.ClientSession`` of the running event loop, made where there is none.

        Whoever closes it leaves it open for the others; ``aclose`` closes it.

        Raises:
            RuntimeError: where no event loop is running.
        """
        loop = running_loop()
        for ended in [other for other in self._open if other.is_closed()]:
            del self._open[ended]
        opened = self._open.setdefault(loop, [])
        if not opened or opened[-1].settings is not self.settings:
            session = self._new_session()
            opened.append(_Open(session, _lifetime(session), self.settings))
        return opened[-1].session

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
            options: whatever ``aiohttp.ClientSession.request`` takes; it wins over the settings.
                The total of a ``timeout`` is for all tries; ``allow_redirects=True`` follows
                redirects to other hosts too.

        Returns:
            A context that gives the response, no more than ``max_answer`` bytes of it.

        Raises:
            ValueError: for an option that would lead around Tor.
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
            return await _text(response)

    async def post(self, url: str | URL, **options: Any) -> str:
        """Return the text of the answer to a POST request, whatever its status; see `request`."""
        async with self._request("POST", url, options, whole=True) as response:
            return await _text(response)

    async def fetch(
        self, method: str, url: str | URL, *, again: bool = False, **options: Any
    ) -> Answer:
        """Return status, headers and body of the answer to a request; see `request`.

        Args:
            method: the HTTP method.
            url: http or https.
            again: whether it may be sent twice, whatever its method.
            options: as for `request`.
        """
        # A status is for our caller to judge, whatever the session's options say of it.
        options = {"raise_for_status": False, **options}
        async with self._request(method, url, options, whole=True, again=again) as response:
            return Answer(response.status, response.headers, await response.read())

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        url: str | URL,
        options: dict[str, Any],
        *,
        whole: bool,
        again: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Try until there is an answer to give, a read one where ``whole``, or none to be had."""
        _require_harmless(options, "a request")
        if "aiohttp_socks" not in sys.modules:
            # In a thread, because it takes long enough for other tasks to notice.
            await in_thread(importlib.import_module, "aiohttp_socks")
        _require_host(url)
        timeout = self._timeout(options)
        deadline = time.monotonic() + (timeout.total or float("inf"))
        network, pause = self, self.settings.backoff
        safe = again or method.upper() in _IDEMPOTENT
        for left in reversed(range(self.settings.tries if _repeatable(options) else 1)):
            # Half of the pause is random: callers that failed together do not return together.
            pause, wait = 2 * pause, pause * (1 + secrets.randbelow(1000) / 1000)
            given = {**options, "timeout": self._remaining(timeout, deadline)}
            async with AsyncExitStack() as stack:
                try:
                    if network is not self:
                        await stack.enter_async_context(network)
                    response = await network._try(stack, method, url, given, whole, safe)
                except Failure as failure:
                    if not (left and failure.repeat and time.monotonic() + wait < deadline):
                        raise failure.error from failure.__cause__
                    network = self.isolated() if self.settings.isolate else self
                else:
                    wait = max(wait, retry_after(response.headers) or 0)
                    later = response.status in _TRY_LATER and left and safe
                    if not later or time.monotonic() + wait >= deadline:
                        yield response
                        return
            await asyncio.sleep(wait)

    async def _try(
        self,
        stack: AsyncExitStack,
        method: str,
        url: str | URL,
        options: dict[str, Any],
        whole: bool,
        safe: bool,
    ) -> aiohttp.ClientResponse:
        given = dict(options)
        if "allow_redirects" not in given:
            theirs = given.get("middlewares", self.settings.session_options.get("middlewares", ()))
            given["middlewares"] = (SameHost(), *(theirs or ()))
        connecting.set(False)
        try:
            response = await stack.enter_async_context(self.Session.request(method, url, **given))
            if whole:
                await response.read()
        except caught() as error:
            failure = judge(error, self.settings.proxy, safe=safe)
            if failure is None:
                raise
            if failure.repeat and isinstance(failure.error, TorUnavailable):
                failure = await self._starting() or failure
            raise failure from error
        return response

    async def _starting(self) -> Failure | None:
        """Return the failure of a Tor that is still starting, where it says so."""
        settings = self.settings
        phase = await bootstrap_phase(settings.tor_host, settings.control_port, settings.tor_port)
        if phase is None or phase.progress == 100:
            return None
        starting = f"Tor is still starting: {phase.progress} % ({phase.summary})"
        hint = "wait for 100 %; where it stays, Tor's log says why"
        return Failure(TorUnavailable(starting, hint=hint), repeat=False)

    def _timeout(self, options: Mapping[str, Any]) -> aiohttp.ClientTimeout:
        """Return the bounds of a request: the caller's, the session's or those of the settings."""
        import aiohttp

        settings = self.settings
        ours = aiohttp.ClientTimeout(
            total=settings.total_timeout, sock_connect=settings.connect_timeout
        )
        chosen = options.get("timeout", settings.session_options.get("timeout", ours))
        if not isinstance(chosen, aiohttp.ClientTimeout):
            chosen = aiohttp.ClientTimeout(total=chosen)
        return chosen

    def _remaining(self, timeout: aiohttp.ClientTimeout, deadline: float) -> aiohttp.ClientTimeout:
        """Return the bounds of one try: what is left of those of the whole request."""
        # For aiohttp, 0 is without end; and python-socks would take a minute where none is said.
        left = max(deadline - time.monotonic(), 0.001) if timeout.total else None
        connect = timeout.sock_connect or self.settings.connect_timeout
        return type(timeout)(
            total=left,
            connect=timeout.connect,
            sock_read=timeout.sock_read,
            sock_connect=connect if left is None else min(left, connect),
            ceil_threshold=timeout.ceil_threshold,
        )

    def _new_session(self) -> SharedSession:
        from multidict import CIMultiDict

        from tiny_gnupg._network.tor_connector import GivenCookies, SharedSession

        settings, timeout = self.settings, self._timeout({})
        headers = CIMultiDict({"User-Agent": settings.user_agent, "Accept-Encoding": "identity"})
        headers.update(settings.session_options.get("headers") or {})
        options: dict[str, Any] = {
            "cookie_jar": GivenCookies(),
            "trust_env": False,
            "skip_auto_headers": ("Accept",),
            **settings.session_options,
            "headers": headers,
            "timeout": self._remaining(timeout, time.monotonic() + (timeout.total or 0)),
        }
        return SharedSession(
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


def _lifetime(session: SharedSession) -> AsyncGenerator[None, None]:
    """Return a generator, begun already, whose ``aclose`` closes the session.

    An event loop that ends closes the generators begun in it before it closes itself
    (loop.shutdown_asyncgens): the one hook to close connections in time where nobody called
    ``Network.aclose``.
    """

    async def lifetime() -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await session.end()

    begun = lifetime()
    # It waits for nothing before it yields, so one step by hand begins it, and ``Session`` can stay
    # the plain attribute that it was in 0.5.2.
    with suppress(StopIteration):
        begun.__anext__().send(None)
    return begun


def _repeatable(options: Mapping[str, Any]) -> bool:
    # Streams, files and forms are used up by the first try.
    data = options.get("data")
    plain = data.values() if isinstance(data, Mapping) else (data,)
    return all(value is None or isinstance(value, bytes | str) for value in plain)
