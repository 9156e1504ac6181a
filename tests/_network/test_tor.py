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
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
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
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\ncut"
LATER = "503 Service Unavailable"
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


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("/", "redirects again and again"),
        (HERE, "redirects again and again"),
        (f"http://{OTHER}/", f"redirects to http://{OTHER}, which is not followed"),
        ("ftp://x/", "redirects to what is no http"),
        ("http://[/", "redirects to what is no http"),
        ("http:///", "redirects"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_that_leads_nowhere_is_told_in_words(
    to: str, says: str, status: int
) -> None:
    async with a_world(lambda head: answer(b"", f"{status} Moved", f"Location: {to}")) as world:
        network = world.network()
        for call in (network.get, network.post, partial(network.fetch, "GET")):
            with pytest.raises(NetworkError, match=says):
                await call(HERE)
        with pytest.raises(NetworkError, match=says):
            async with network.network_get(HERE):
                pass
        assert len(world.site.heads) <= 40


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
        with pytest.raises(NetworkError, match="in time"):
            await network.get(HERE)


PACKED = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    # As some servers write it, without zlib's header (RFC 9110, section 8.4.1.2).
    "raw": lambda body: zlib.compress(body, wbits=-15),
}


def packed(body: bytes, how: str) -> Say:
    """Answer with a packed body, asked or not."""
    name = "deflate" if how == "raw" else how
    said = answer(PACKED[how](body), "200 OK", f"Content-Encoding: {name}")
    return lambda head: said


@pytest.mark.parametrize("how", PACKED)
async def test_a_packed_answer_is_inflated_however_it_is_read(how: str) -> None:
    async with a_world(packed(b'{"a": "b"}', how)) as world:
        network = world.network()
        assert await network.get(HERE) == await network.post(HERE) == '{"a": "b"}'
        assert (await network.fetch("GET", HERE)).body == b'{"a": "b"}'
        async with network.network_get(HERE) as response:
            assert await response.json(content_type=None) == {"a": "b"}
        async with network.network_get(HERE) as response:
            assert b"".join([part async for part in response.content.iter_any()]) == b'{"a": "b"}'


@pytest.mark.parametrize("how", PACKED)
async def test_a_bomb_stops_at_the_bound_however_it_is_read(how: str) -> None:
    """128 MiB of zeros come as 128 KiB; what is held of them at once is little more than 1 MiB."""

    async def lines(content: Any) -> None:
        async for _ in content.iter_chunked(1000):
            pass

    async def chunks(content: Any) -> None:
        async for _ in content.iter_chunks():
            pass

    async def parts(content: Any) -> None:
        while await content.read(1000):
            pass

    async with a_world(packed(bytes(128 * 2**20), how)) as world:
        network = world.network(max_answer=2**20)
        tracemalloc.start()
        try:
            for call in (network.get, network.post, partial(network.fetch, "GET")):
                with pytest.raises(NetworkError, match="longer than 1048576 bytes"):
                    await call(HERE)
            for read in (lines, chunks, parts, lambda content: content.read()):
                with pytest.raises(NetworkError, match="longer than 1048576 bytes"):
                    async with network.network_get(HERE) as response:
                        await read(response.content)
            for name in ("read", "text", "json"):
                with pytest.raises(NetworkError, match="longer than 1048576 bytes"):
                    async with network.network_get(HERE) as response:
                        await getattr(response, name)()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 16 * 2**20


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=us-ascii"])
async def test_an_answer_that_is_no_text_is_told_and_its_bytes_are_to_be_had(charset: str) -> None:
    said = answer("é".encode("latin-1"), "200 OK", f"Content-Type: text/plain{charset}")
    async with a_world(lambda head: said) as world:
        network = world.network()
        for call in (network.get, network.post):
            with pytest.raises(NetworkError, match="no text in") as caught:
                await call(HERE)
            assert caught.value.__context__ is None
        assert (await network.fetch("GET", HERE)).body == b"\xe9"


async def test_what_the_caller_says_of_packing_counts() -> None:
    async with a_world(packed(b"hello", "gzip")) as world:
        network = world.network()
        assert await network.get(HERE, headers={"Accept-Encoding": "gzip"}) == "hello"
        assert headers_of(world.site.heads[0])["Accept-Encoding"] == "gzip"
        raw = world.network(session_options={"auto_decompress": False})
        assert gzip.decompress((await raw.fetch("GET", HERE)).body) == b"hello"


@pytest.mark.parametrize("how", ["gzip", "br", "zstd"])
async def test_a_body_that_is_not_packed_as_it_says_is_told(how: str) -> None:
    async with a_world(lambda head: answer(b"no such", "200 OK", f"Content-Encoding: {how}")) as w:
        with pytest.raises(NetworkError, match=r"packed|HTTP"):
            await w.network().get(HERE)


async def test_all_ways_to_read_a_body_give_all_of_it() -> None:
    async with a_world(lambda head: answer(b"one\ntwo\n")) as world:
        network = world.network()

        async def content() -> Any:
            async with network.network_get(HERE) as response:
                yield response.content

        async for stream in content():
            assert [line async for line in stream] == [b"one\n", b"two\n"]
        async for stream in content():
            assert (await stream.readline(), await stream.read()) == (b"one\n", b"two\n")
        async for stream in content():
            assert (await stream.readexactly(3), await stream.readany()) == (b"one", b"\ntwo\n")
        async for stream in content():
            assert b"".join([part async for part in stream.iter_chunked(3)]) == b"one\ntwo\n"
            assert stream.at_eof()
        async for stream in content():
            assert [part async for part in stream.iter_chunks()] == [(b"one\ntwo\n", False)]


# --- what the caller's options say ---------------------------------------------------------------

LEADS_ELSEWHERE: dict[str, Any] = {
    "proxy": "http://127.0.0.1:1",
    "proxy_auth": None,
    "proxy_headers": {},
    "connector": None,
    "trust_env": True,
    "local_addr": ("127.0.0.1", 0),
    "resolver": None,
    "response_class": aiohttp.ClientResponse,
}


@pytest.mark.parametrize("name", LEADS_ELSEWHERE)
async def test_what_would_lead_around_tor_is_refused_by_its_name(world: World, name: str) -> None:
    option = {name: LEADS_ELSEWHERE[name]}
    network = world.network()
    with pytest.raises(ValueError, match=name):
        NetworkSettings(session_options=option)
    for call in (network.get(HERE, **option), network.post(HERE, **option)):
        with pytest.raises(ValueError, match=name):
            await call
    for context in (network.network_get(HERE, **option), network.network_post(HERE, **option)):
        with pytest.raises(ValueError, match=name):
            async with context:
                pass
    assert world.proxy.asked == []


@pytest.mark.parametrize("where", ["session", "request"])
async def test_cookies_are_sent_and_none_of_a_servers_is_kept(where: str) -> None:
    async with a_world(lambda head: answer(b"", "200 OK", "Set-Cookie: id=7; Path=/")) as world:
        given: Any = {"cookies": {"mine": "1"}}
        network = world.network(session_options=given if where == "session" else {})
        for _ in range(2):
            await network.get(HERE, **({} if where == "session" else given))
            assert headers_of(world.site.heads[-1])["Cookie"] == "mine=1"
        async with network.Session.get(HERE) as response:
            assert response.status == 200
        assert headers_of(world.site.heads[-1]).get("Cookie", "") == (
            "mine=1" if where == "session" else ""
        )


async def test_a_jar_of_the_callers_keeps_what_it_gets() -> None:
    async with a_world(lambda head: answer(b"", "200 OK", "Set-Cookie: id=7; Path=/")) as world:
        network = world.network(session_options={"cookie_jar": aiohttp.CookieJar()})
        await network.get(HERE)
        await network.get(HERE)
        assert headers_of(world.site.heads[1])["Cookie"] == "id=7"


@pytest.mark.parametrize("timeout", [0.2, aiohttp.ClientTimeout(total=0.2)])
@pytest.mark.parametrize("where", ["session", "request"])
async def test_a_timeout_of_the_callers_ends_the_request_with_all_its_tries(
    timeout: Any, where: str
) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.Event().wait()

    options: dict[str, Any] = {"timeout": timeout}
    session, request = (options, {}) if where == "session" else ({}, options)
    async with one_network(silent, session_options=session, total_timeout=3600) as network:
        with pytest.raises(NetworkError, match="in time"):
            await network.get(HERE, **request)
        with pytest.raises(NetworkError, match="in time"):
            async with network.network_post(HERE, **request):
                pass


@pytest.mark.parametrize("timeout", [None, 0, 3600, aiohttp.ClientTimeout(sock_read=3600)])
async def test_a_longer_timeout_of_the_callers_wins_too(timeout: Any) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.5)
        writer.write(OK)

    async with one_network(slow, total_timeout=0.2) as network:
        assert await network.get(HERE, timeout=timeout) == "ok"


async def test_the_other_options_of_aiohttp_win() -> None:
    async with a_world(redirect("/there")) as world:
        network = world.network(session_options={"raise_for_status": True, "headers": None})
        with pytest.raises(NetworkError, match="again and again"):
            await network.get(HERE, max_redirects=1)
        async with network.network_get(HERE, allow_redirects=False) as response:
            assert response.status == 302
        assert await network.post(HERE + "there", json={"a": 1}) == "ok"
        assert world.site.bodies[-1] == b'{"a": 1}'
        await network.get(HERE + "there", params=[("q", "1"), ("q", "2")])
        assert world.site.heads[-1].startswith("GET /there?q=1&q=2 ")
        head = {"Authorization": "Basic bWU6eA=="}
        await network.get(HERE + "there", headers=head)
        assert headers_of(world.site.heads[-1])["Authorization"] == "Basic bWU6eA=="
    async with a_world(lambda head: answer(b"", "404 Not Found")) as world:
        network = world.network(session_options={"raise_for_status": True})
        with pytest.raises(aiohttp.ClientResponseError):
            await network.get(HERE)
        # What is judged here is not the session's to raise.
        assert (await network.fetch("GET", HERE)).status == 404


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
        ({"greeting": b"\x04\x5b"}, "no SOCKS5 proxy"),
        ({"greeting": b"\x05\xff"}, "user name that keeps circuits apart"),
        ({"greeting": b"\x05\x02\x01\x01"}, "user name that keeps circuits apart"),
        ({"hang_up": True}, "closed the connection"),
        ({"silent": True}, "no connection in time"),
    ],
)
@pytest.mark.parametrize("bound", ["connect_timeout", "total_timeout", "the caller's"])
async def test_a_port_that_is_not_tors_is_told(
    trouble: dict[str, Any], says: str, bound: str
) -> None:
    bounds: dict[str, Any] = {} if bound == "the caller's" else {bound: 0.3}
    mine: dict[str, Any] = {"timeout": 0.3} if bound == "the caller's" else {}
    async with (
        RecordingProxy(**trouble) as proxy,
        Network(NetworkSettings(tor_port=proxy.port, backoff=0, **bounds)) as network,
    ):
        for call in (network.get, network.post):
            with pytest.raises(TorUnavailable, match=says):
                await call(HERE, **mine)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (b"", "without an answer"),
        (CUT, "cut off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "cut off|no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\nConnection: close\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\nConnection: close\r\n\r\n", "no HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\nConnection: close\r\n\r\n", "no HTTP"),
    ],
)
async def test_an_answer_that_is_none_is_told_in_words(said: bytes, says: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)

    async with one_network(serve, backoff=0) as network:
        for call in (network.get, network.post, partial(network.fetch, "GET")):
            with pytest.raises(NetworkError, match=says) as caught:
                await call(HERE)
            assert type(caught.value) is NetworkError
        with pytest.raises(NetworkError, match=says):
            async with network.network_get(HERE) as response:
                await response.content.read()


async def test_a_server_that_speaks_no_tls_is_told(world: World) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    async with one_network(plain, backoff=0) as network:
        for call in (network.get, network.post):
            with pytest.raises(NetworkError, match="TLS failed"):
                await call(f"https://{HOST}/")


@pytest.mark.parametrize(
    "url",
    [
        "http://exa mple.org/",
        "http://" + "x" * 64 + ".onion/",
        "http://a..b/",
        "http://" + "x." * 130 + "org/",
        "http://:80/",
        "http://x:99999/",
    ],
)
async def test_a_url_that_names_no_host_is_the_callers_own_error(world: World, url: str) -> None:
    network = world.network()
    for call in (network.get, network.post, partial(network.fetch, "GET")):
        with pytest.raises(ValueError, match=r"(?s).+"):
            await call(url)
    assert world.proxy.asked == []


async def test_a_name_beyond_ascii_is_asked_for_in_idna_2008(world: World) -> None:
    world.proxy.names = {"xn--strae-oqa.example": world.proxy.names[HOST]}
    assert await world.network().get("http://straße.example/") == "ok"
    assert [asked.host for asked in world.proxy.asked] == ["xn--strae-oqa.example"]


def in_turn(*answers: bytes) -> Say:
    left = list(answers)
    return lambda head: left.pop(0) if len(left) > 1 else left[0]


async def test_a_server_that_is_busy_is_asked_again_on_the_same_circuit() -> None:
    async with a_world(in_turn(answer(b"", LATER), answer(b"", "429 Too Many"), OK)) as world:
        assert await world.network().get(HERE) == "ok"
        assert len(world.site.heads) == 3
        assert len({asked.username for asked in world.proxy.asked}) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "delete"])
async def test_a_server_that_stays_busy_is_heard_after_the_last_try(method: str) -> None:
    busy = answer(b"" if method == "HEAD" else b"busy", "429 Too Many")
    async with a_world(lambda head: busy) as world:
        found = await world.network().fetch(method, HERE)
        assert (found.status, found.retry_after) == (429, None)
        assert len(world.site.heads) == 3


@pytest.mark.parametrize("status", ["429 Too Many", LATER, "500 Oops"])
@pytest.mark.parametrize("method", ["POST", "post", "PATCH"])
async def test_what_must_not_be_sent_twice_is_sent_once(status: str, method: str) -> None:
    async with a_world(lambda head: answer(b"busy", status)) as world:
        network = world.network()
        found = await network.fetch(method, HERE, data="pay 10 EUR")
        assert found.text == "busy"
        async with network.request(method, HERE, json={}) as response:
            assert await response.text() == "busy"
        assert len(world.site.bodies) == 2
        assert await network.post(HERE, data=b"x") == "busy"
        assert len(world.site.bodies) == 3
        # What the keyserver is sent says of itself that it may come twice.
        if status != "500 Oops":
            await network.fetch("POST", HERE, again=True, data="key")
            assert world.site.bodies[3:] == [b"key"] * 3


async def test_a_post_that_no_circuit_carried_is_tried_on_another(world: World) -> None:
    world.proxy.replies = [1, 6, None]
    assert await world.network().post(HERE, data="pay 10 EUR") == "ok"
    assert world.site.bodies == [b"pay 10 EUR"]


async def test_retry_after_is_honoured_where_there_is_time_and_else_told_at_once() -> None:
    busy = answer(b"", LATER, "Retry-After: 1")
    async with a_world(in_turn(busy, OK)) as world:
        begun = time.monotonic()
        assert await world.network().get(HERE) == "ok"
        assert time.monotonic() - begun >= 1
    async with a_world(lambda head: answer(b"", LATER, "Retry-After: 3600")) as world:
        found = await world.network().fetch("GET", HERE)
        assert (found.status, found.retry_after) == (503, 3600)
        assert len(world.site.heads) == 1


def test_retry_after_is_read_as_seconds_or_as_a_date_and_never_raises() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=100)
    assert 90 < (retry_after({"Retry-After": format_datetime(soon, usegmt=True)}) or 0) <= 100
    assert retry_after({"Retry-After": format_datetime(soon - timedelta(days=9))}) == 0
    for nonsense in ("", "soon", "-1", "1e9", "٣", "Mon, 99 Foo 2020 00:00:00 GMT"):
        assert retry_after({"Retry-After": nonsense}) is None
    assert retry_after({"Retry-After": "9" * 5000}) == 999999999
    assert retry_after({}) is None


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
    await network.aclose()
    assert first.closed
    assert await network.get(HERE) == "ok"
    assert network.Session is not first


async def test_whoever_closes_the_session_or_its_connector_ends_nobodys_request() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await go_on.wait()
        writer.write(OK)

    async with one_network(slow) as network:

        async def by_hand() -> str:
            async with network.Session as session, session.get(HERE) as response:
                return await response.text()

        others = [asyncio.create_task(call) for call in (network.get(HERE), by_hand())]
        await asked.wait()
        async with network.Session:
            pass
        async with network.Connector:
            pass
        async with aiohttp.ClientSession(connector=network.Connector) as own:
            assert own.connector is network.Connector
        await network.Session.close()
        await network.Connector.close()
        go_on.set()
        assert await asyncio.gather(*others) == ["ok", "ok"]
        assert await by_hand() == await network.get(HERE) == "ok"


async def test_requests_under_way_go_on_when_the_settings_change() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await go_on.wait()
        writer.write(OK)

    async with one_network(slow) as network:
        first = network.Session
        other = asyncio.create_task(network.get(HERE))
        await asked.wait()
        network.settings = replace(network.settings, max_answer=1)
        go_on.set()
        with pytest.raises(NetworkError, match="longer than 1 bytes"):
            await network.get(HERE)
        assert await other == "ok"
        assert network.Session is not first
        assert not first.closed
    assert first.closed


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


async def test_a_forgotten_network_closes_its_connections(world: World) -> None:
    network: Any = Network(NetworkSettings(tor_port=world.proxy.port))
    await network.get(HERE)
    session = weakref.ref(network.Session)
    del network
    gc.collect()
    for _ in range(10):
        await asyncio.sleep(0)
    left: Any = session()
    assert left is None or left.closed


def test_a_session_needs_a_running_loop_and_says_so() -> None:
    with pytest.raises(RuntimeError, match="no event loop of asyncio"):
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
        {"control_port": 65536},
        {"session_options": {"connector": None}},
    ],
)
def test_settings_out_of_their_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[0]):
        NetworkSettings(**wrong)


def test_loading_the_module_does_not_load_aiohttp() -> None:
    modules = "tiny_gnupg._network.tor, tiny_gnupg._network.keyserver"
    code = f"import sys, {modules}; print('aiohttp' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "False"
