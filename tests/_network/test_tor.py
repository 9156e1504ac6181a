"""How bytes travel, seen from a proxy that writes down what it is asked for."""

from __future__ import annotations

import asyncio
import gc
import gzip
import io
import socket
import subprocess
import sys
import time
import tracemalloc
import types
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.tor.socks import NAME, Handler, RecordingProxy, listening
from tiny_gnupg._network.answers import SameHost, retry_after
from tiny_gnupg._network.failures import ForeignRedirect
from tiny_gnupg._network.tor import Network, NetworkSettings
from tiny_gnupg.errors import NetworkError, TorUnavailable

HOST, OTHER = "keys.example.onion", "other.example.onion"
HERE = f"http://{HOST}/"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FAST = {"backoff": 0.01, "total_timeout": 20.0}

Say = Callable[[str], bytes]


@dataclass
class Site:
    """A web server written by hand: ``say`` gives the bytes for a request's head."""

    say: Say
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = [v for k, v in headers_of(head).items() if k.lower() == "content-length"]
            self.heads.append(head)
            self.bodies.append(await reader.readexactly(int(length[0]) if length else 0))
            answer = self.say(head)
            writer.write(answer)
            await writer.drain()
            if not answer or b"Connection: close" in answer:
                return


def headers_of(head: str) -> dict[str, str]:
    """Return the header fields of a request as they were written."""
    lines = head.rstrip("\r\n").split("\r\n")[1:]
    return dict(line.split(": ", 1) for line in lines)


def answer(body: bytes = b"ok", status: str = "200 OK", *headers: str) -> bytes:
    """Write an HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class World:
    """A proxy, two sites behind it, and Networks that use it."""

    proxy: RecordingProxy
    site: Site
    other: Site
    networks: list[Network] = field(default_factory=list)

    def network(self, **settings: Any) -> Network:
        chosen = {"tor_port": self.proxy.port, **FAST, **settings}
        self.networks.append(Network(NetworkSettings(**chosen)))
        return self.networks[-1]


@asynccontextmanager
async def a_world(say: Say = lambda head: OK) -> AsyncIterator[World]:
    site, other = Site(say), Site(lambda head: answer(b"elsewhere"))
    async with (
        listening(site.serve) as here,
        listening(other.serve) as there,
        RecordingProxy({HOST: here, OTHER: there}) as proxy,
    ):
        world = World(proxy, site, other)
        try:
            yield world
        finally:
            for network in world.networks:
                await network.aclose()


@asynccontextmanager
async def one_network(serve: Handler, **settings: Any) -> AsyncIterator[Network]:
    """Return a Network whose one host is answered by ``serve``."""
    async with (
        listening(serve) as port,
        RecordingProxy({HOST: port}) as proxy,
        Network(NetworkSettings(tor_port=proxy.port, **settings)) as network,
    ):
        yield network


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as made:
        yield made


# --- what the proxy sees -------------------------------------------------------------------------


async def test_a_host_is_asked_for_by_name_and_nothing_is_resolved(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a name was resolved here")

    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "getnameinfo"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", refuse)
    network = world.network()
    assert await network.get(HERE) == "ok"
    assert await network.post(f"http://{OTHER}/", data=b"x") == "elsewhere"
    assert {(asked.kind, asked.host) for asked in world.proxy.asked} == {
        (NAME, HOST),
        (NAME, OTHER),
    }


async def test_an_instance_keeps_its_credentials_and_two_instances_never_share_them(
    world: World,
) -> None:
    one, two = world.network(), world.network()
    for network in (one, two, one, two):
        await network.get(HERE)
        await network.aclose()
    users = [(asked.username, asked.password) for asked in world.proxy.asked]
    assert users[0] == users[2] != users[1] == users[3]
    assert all(len(part) >= 32 for user in users for part in user)
    async with one.isolated() as third:
        await third.get(HERE)
    assert world.proxy.asked[-1].username not in {name for name, _ in users}


async def test_without_isolation_no_credentials_are_sent_even_on_a_repeated_try(
    world: World,
) -> None:
    world.proxy.replies = [1]
    assert await world.network(isolate=False).get(HERE) == "ok"
    assert [(asked.username, asked.password) for asked in world.proxy.asked] == [("", "")] * 2


async def test_a_request_names_no_python_and_nothing_of_its_user(world: World) -> None:
    network = world.network()
    await network.get(HERE)
    await network.post(HERE, json={"a": 1})
    get, post = (headers_of(head) for head in world.site.heads)
    assert list(get) == ["Host", "User-Agent", "Accept-Encoding"]
    assert get["Host"] == HOST
    assert get["Accept-Encoding"] == "identity"
    assert set(post) - set(get) == {"Content-Length", "Content-Type"}
    assert "python" not in "".join(world.site.heads).lower()
    assert "aiohttp" not in "".join(world.site.heads).lower()


async def test_headers_of_the_session_options_do_not_bring_python_back(world: World) -> None:
    network = world.network(session_options={"headers": {"X-Mine": "1", "user-agent": "me"}})
    await network.get(HERE)
    assert "aiohttp" not in world.site.heads[0].lower()
    assert headers_of(world.site.heads[0])["X-Mine"] == "1"
    assert world.site.heads[0].lower().count("user-agent") == 1


async def test_cookies_are_not_kept_but_may_be_sent() -> None:
    async with a_world(lambda head: answer(b"ok", "200 OK", "Set-Cookie: id=7; Path=/")) as world:
        network = world.network()
        await network.get(HERE)
        await network.get(HERE)
        assert "cookie" not in "".join(world.site.heads).lower()
        await network.get(HERE, cookies={"mine": "1"})
        assert headers_of(world.site.heads[-1])["Cookie"] == "mine=1"


async def test_proxies_and_netrc_of_the_environment_are_not_heard(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {HOST} login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    await world.network().get(HERE)
    assert [asked.host for asked in world.proxy.asked] == [HOST]
    assert "Authorization" not in headers_of(world.site.heads[0])


# --- what passes through -------------------------------------------------------------------------


async def test_options_of_a_request_reach_the_server(world: World) -> None:
    network = world.network()
    async with network.network_get(HERE, params={"q": "a b"}, headers={"X-A": "1"}) as response:
        assert (response.status, await response.text()) == (200, "ok")
    async with network.network_post(HERE, data={"keytext": "k&k"}) as response:
        assert await response.read() == b"ok"
    assert world.site.heads[0].startswith("GET /?q=a+b HTTP/1.1")
    assert headers_of(world.site.heads[0])["X-A"] == "1"
    assert world.site.bodies[1] == b"keytext=k%26k"


async def test_middlewares_and_tracing_of_aiohttp_are_reached(world: World) -> None:
    seen: list[object] = []

    async def middleware(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        seen.append(request.url.path)
        return await handler(request)

    async def start(_session: object, context: Any, _params: object) -> None:
        seen.append(context.trace_request_ctx)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(start)
    network = world.network(session_options={"trace_configs": [trace]})
    await network.get(HERE + "path", middlewares=(middleware,), trace_request_ctx="mine")
    assert seen == ["mine", "/path"]


async def test_middlewares_of_the_session_stay_beside_ours(world: World) -> None:
    seen: list[str] = []

    async def middleware(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        seen.append(request.method)
        return await handler(request)

    network = world.network(session_options={"middlewares": (middleware,)})
    await network.get(HERE)
    await network.post(HERE)
    assert seen == ["GET", "POST"]


async def test_what_the_caller_asked_for_is_raised_as_it_is() -> None:
    async with a_world(lambda head: answer(b"no", "418 Teapot")) as world:
        network = world.network()
        with pytest.raises(aiohttp.ClientResponseError):
            await network.get(HERE, raise_for_status=True)
        with pytest.raises(aiohttp.NonHttpUrlClientError):
            await network.get("file:///etc/passwd")
        with pytest.raises(ValueError, match="99999"):
            await network.get(f"http://{HOST}:99999/")
        with pytest.raises(TimeoutError, match="the caller's"):
            async with network.network_get(HERE):
                raise TimeoutError("the caller's own")
        assert await network.get(HERE) == "no"


# --- redirects -----------------------------------------------------------------------------------


def redirect(to: str, status: str = "302 Found") -> Say:
    def say(head: str) -> bytes:
        return answer(b"", status, f"Location: {to}") if head.split()[1] == "/" else OK

    return say


async def test_a_redirect_on_the_same_host_is_followed() -> None:
    async with a_world(redirect("/there")) as world:
        assert await world.network().get(HERE) == "ok"
        assert [head.split()[1] for head in world.site.heads] == ["/", "/there"]


@pytest.mark.parametrize("to", [f"http://{OTHER}/", f"//{OTHER}/there", f"http://x@{OTHER}/"])
async def test_a_redirect_to_another_host_is_refused_and_that_host_never_asked(to: str) -> None:
    async with a_world(redirect(to)) as world:
        network = world.network()
        with pytest.raises(NetworkError, match="redirects"):
            await network.get(HERE)
        assert [asked.host for asked in world.proxy.asked] == [HOST]
        async with network.network_get(HERE, allow_redirects=False) as response:
            assert response.status == 302
        assert await network.get(HERE, allow_redirects=True) == "elsewhere"


async def test_a_redirect_from_https_down_to_http_is_refused() -> None:
    async def handler(request: object) -> Any:
        return request

    guard = SameHost()
    for url, allowed in (("https://a.example/", True), ("http://a.example/", False)):
        request: Any = types.SimpleNamespace(url=URL(url))
        if allowed:
            assert await guard(request, handler) is request
        else:
            with pytest.raises(ForeignRedirect):
                await guard(request, handler)


async def test_a_circle_of_redirects_ends_in_an_error() -> None:
    async with a_world(lambda head: answer(b"", "302 Found", "Location: /")) as world:
        with pytest.raises(NetworkError):
            await world.network().get(HERE)
        assert len(world.site.heads) < 30


# --- bounds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [0, 1])
async def test_an_answer_is_read_up_to_its_bound_and_no_byte_further(extra: int) -> None:
    bound = 1000
    async with a_world(lambda head: answer(b"x" * (bound + extra))) as world:
        network = world.network(max_answer=bound)
        if extra:
            with pytest.raises(NetworkError, match="1000 bytes"):
                await network.get(HERE)
            with pytest.raises(NetworkError, match="1000 bytes"):
                async with network.network_get(HERE) as response:
                    await response.json()
        else:
            assert len((await network.fetch("GET", HERE)).body) == bound


async def test_an_endless_answer_ends_with_bounded_memory_and_the_session_stays_good() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/end" in head:
            writer.write(OK)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + bytes(65536) + b"\r\n")
            await writer.drain()

    async with one_network(endless, max_answer=2**20) as network:
        tracemalloc.start()
        try:
            with pytest.raises(NetworkError, match="longer"):
                await network.get(HERE)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 6 * 2**20
        assert await network.get(HERE + "end") == "ok"


async def test_one_byte_at_a_time_ends_with_the_time_of_the_whole_request() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.1)

    async with one_network(slow, total_timeout=0.7) as network:
        begun = time.monotonic()
        with pytest.raises(NetworkError, match="in time"):
            await network.get(HERE)
        assert 0.5 < time.monotonic() - begun < 5


async def test_a_compressed_answer_is_not_inflated() -> None:
    packed = gzip.compress(bytes(10 * 2**20))
    async with a_world(lambda head: answer(packed, "200 OK", "Content-Encoding: gzip")) as world:
        assert (await world.network().fetch("GET", HERE)).body == packed


# --- what failed on its way ----------------------------------------------------------------------


async def test_a_failed_circuit_is_left_for_a_new_one(world: World) -> None:
    world.proxy.replies = [1, 6, None]
    network = world.network()
    assert await network.get(HERE) == "ok"
    assert len({asked.username for asked in world.proxy.asked}) == 3
    assert await network.get(HERE) == "ok"
    assert world.proxy.asked[3].username == world.proxy.asked[0].username


@pytest.mark.parametrize(
    ("code", "tries", "says"),
    [
        (0x01, 3, "could not be made"),
        (0x02, 1, "does not allow"),
        (0x03, 3, "network is unreachable"),
        (0x04, 3, "host is unreachable"),
        (0x05, 1, "refuses"),
        (0x06, 3, "in time"),
        (0xF0, 3, "descriptor"),
        (0xF2, 3, "introduction"),
        (0xF4, 1, "client key"),
        (0xF6, 1, "no onion address"),
        (0xF7, 3, "in time"),
        (0x77, 1, "no SOCKS5 proxy"),
    ],
)
async def test_each_reply_of_tor_is_told_and_repeated_only_where_that_can_help(
    world: World, code: int, tries: int, says: str
) -> None:
    world.proxy.replies = [code] * 5
    with pytest.raises(TorUnavailable, match=says) as caught:
        await world.network().get(HERE)
    assert len(world.proxy.asked) == tries
    assert caught.value.hint


async def test_with_tor_down_the_error_says_how_to_start_it_and_nothing_goes_direct() -> None:
    connects: list[Any] = []
    watching = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
            connects.append((event, arguments[1:]))

    sys.addaudithook(hook)
    async with a_world() as world:
        await world.proxy.stop()
        network = world.network()
        for call in (network.get(HERE), network.post(HERE, json={}), network.fetch("GET", HERE)):
            with pytest.raises(TorUnavailable, match="does not answer") as caught:
                await call
        with pytest.raises(TorUnavailable):
            async with network.network_get(f"http://127.0.0.1:{world.proxy.names[HOST]}/"):
                pass
        watching = False
        assert "apt install tor" in str(caught.value)
        assert "tor_port" in str(caught.value)
        assert {str(where) for where in connects} == {
            str(("socket.connect", (("127.0.0.1", world.proxy.port),)))
        }
        assert world.site.heads == []


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        ({"greeting": b"HTTP/1.0 400 Bad Request\r\n\r\n"}, "no SOCKS5 proxy"),
        ({"hang_up": True}, "closed the connection"),
        ({"silent": True}, "in time"),
    ],
)
async def test_a_port_that_is_not_tors_is_told(trouble: dict[str, Any], says: str) -> None:
    async with RecordingProxy(**trouble) as proxy:
        settings = NetworkSettings(tor_port=proxy.port, connect_timeout=0.2, backoff=0)
        async with Network(settings) as network:
            with pytest.raises(TorUnavailable, match=says):
                await network.get(HERE)


def in_turn(*answers: bytes) -> Say:
    left = list(answers)
    return lambda head: left.pop(0) if len(left) > 1 else left[0]


LATER = "503 Service Unavailable"


async def test_a_server_that_is_busy_is_asked_again_on_the_same_circuit() -> None:
    async with a_world(in_turn(answer(b"", LATER), answer(b"", "429 Too Many"), OK)) as world:
        assert await world.network().get(HERE) == "ok"
        assert len(world.site.heads) == 3
        assert len({asked.username for asked in world.proxy.asked}) == 1


async def test_a_server_that_stays_busy_is_heard_after_the_last_try() -> None:
    async with a_world(lambda head: answer(b"busy", "429 Too Many")) as world:
        found = await world.network().fetch("POST", HERE, json={"a": 1})
        assert (found.status, found.text, found.retry_after) == (429, "busy", None)
        assert world.site.bodies == [b'{"a": 1}'] * 3


async def test_retry_after_is_honoured_where_there_is_time_and_else_told_at_once() -> None:
    busy = answer(b"", LATER, "Retry-After: 1")
    async with a_world(in_turn(busy, OK)) as world:
        begun = time.monotonic()
        assert await world.network().get(HERE) == "ok"
        assert time.monotonic() - begun >= 1
    async with a_world(lambda head: answer(b"", LATER, "Retry-After: 3600")) as world:
        begun = time.monotonic()
        found = await world.network().fetch("GET", HERE)
        assert (found.status, found.retry_after) == (503, 3600)
        assert time.monotonic() - begun < 5
        assert len(world.site.heads) == 1


def test_retry_after_is_read_as_seconds_or_as_a_date_and_never_raises() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=100)
    assert 90 < (retry_after({"Retry-After": format_datetime(soon, usegmt=True)}) or 0) <= 100
    assert retry_after({"Retry-After": format_datetime(soon - timedelta(days=9))}) == 0
    for nonsense in ("", "soon", "-1", "1e9", "٣", "Mon, 99 Foo 2020 00:00:00 GMT"):
        assert retry_after({"Retry-After": nonsense}) is None
    assert retry_after({"Retry-After": "9" * 5000}) == 999999999
    assert retry_after({}) is None


CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\ncut"


@pytest.mark.parametrize("broken", [b"", CUT])
async def test_a_connection_that_breaks_is_tried_again_only_where_that_changes_nothing(
    broken: bytes,
) -> None:
    async with a_world(in_turn(broken, broken, broken, broken, OK)) as world:
        with pytest.raises(NetworkError):
            await world.network().post(HERE, data=b"once")
        assert world.site.bodies == [b"once"]
    async with a_world(in_turn(broken, OK)) as world:
        assert await world.network().get(HERE) == "ok"
        assert len(world.site.heads) == 2


async def test_a_body_that_is_used_up_is_not_sent_again() -> None:
    async with a_world(lambda head: answer(b"", "503 Busy")) as world:
        network = world.network()
        assert (await network.fetch("POST", HERE, data=io.BytesIO(b"file"))).status == 503
        assert world.site.bodies == [b"file"]


# --- sessions and loops --------------------------------------------------------------------------


async def test_one_session_serves_all_calls_and_a_closed_one_is_replaced(world: World) -> None:
    network = world.network()
    first = network.Session
    assert network.Session is first
    assert network.Connector is first.connector
    await asyncio.gather(*(network.get(HERE) for _ in range(5)))
    assert network.Session is first
    async with network.Session as session, session.get(HERE) as response:
        assert await response.text() == "ok"
    assert first.closed
    assert await network.get(HERE) == "ok"
    assert network.Session is not first


def test_a_network_outlives_its_event_loop_and_leaves_no_warning_behind() -> None:
    settings: list[NetworkSettings] = []
    networks: list[Network] = []

    async def one_loop() -> str:
        async with a_world() as world:
            network = networks[0] if networks else Network()
            networks[:] = [network]
            network.settings = NetworkSettings(tor_port=world.proxy.port)
            settings.append(network.settings)
            return await network.get(HERE)

    # The session is left open on purpose: the loop's own end closes it.
    assert [asyncio.run(one_loop()) for _ in range(3)] == ["ok"] * 3
    assert len(networks[0]._open) == 1
    networks.clear()
    gc.collect()


@pytest.mark.parametrize("in_a_circle", [False, True])
async def test_a_forgotten_network_closes_its_connections(world: World, in_a_circle: bool) -> None:
    network: Any = Network(NetworkSettings(tor_port=world.proxy.port))
    await network.get(HERE)
    session = weakref.ref(network.Session)
    if in_a_circle:
        # As a traceback makes one; then nothing says in which order Python ends its members.
        network.itself = network
    del network
    gc.collect()
    for _ in range(10):
        await asyncio.sleep(0)
    left: Any = session()
    assert left is None or left.closed


def test_a_session_needs_a_running_loop_and_says_so() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        _ = Network().Session


async def test_two_hundred_at_once_share_a_few_connections_and_leave_none(world: World) -> None:
    network = world.network(connections=8)
    before = len(asyncio.all_tasks())
    texts = await asyncio.gather(*(network.get(f"{HERE}{number}") for number in range(200)))
    assert texts == ["ok"] * 200
    assert len(world.site.heads) == 200
    assert len(world.proxy.asked) <= 8
    await network.aclose()
    await asyncio.sleep(0.05)
    assert len(asyncio.all_tasks()) <= before


async def test_a_cancelled_request_leaves_the_session_good(world: World) -> None:
    world.proxy.silent = True
    network = world.network()
    task = asyncio.create_task(network.get(HERE))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    world.proxy.silent = False
    assert await network.get(HERE) == "ok"


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"tor_port": 0},
        {"tor_port": 65536},
        {"tries": 0},
        {"total_timeout": 0},
        {"connect_timeout": -1},
        {"max_answer": 0},
        {"backoff": -1},
        {"session_options": {"connector": None}},
        {"session_options": {"response_class": None}},
    ],
)
def test_settings_out_of_their_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[0]):
        NetworkSettings(**wrong)


def test_loading_the_module_does_not_load_aiohttp() -> None:
    code = "import sys, tiny_gnupg.tor, tiny_gnupg.keyserver; print('aiohttp' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "False"
