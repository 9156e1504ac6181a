"""What a network, an exit or a server could learn: names asked of DNS, connections around Tor."""

from __future__ import annotations

import socket
from typing import Any, NoReturn

import pytest

from tests.attacks.conftest import LIAR, Hostile
from tests.tor.material import MadeKey
from tests.tor.socks import NAME, RecordingProxy, listening
from tiny_gnupg import GnuPGError, TorUnavailable


@pytest.fixture
def no_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever asks the system for the address of a name fails its test."""

    def asked(host: Any, *_: object, **__: object) -> NoReturn:
        raise AssertionError(f"DNS was asked for {host!r}")

    original = socket.getaddrinfo

    def numbers_only(host: Any, *more: Any, **named: Any) -> Any:
        if str(host) in ("127.0.0.1", "localhost"):
            return original(host, *more, **named)
        return asked(host)

    monkeypatch.setattr(socket, "getaddrinfo", numbers_only)
    for name in ("gethostbyname", "gethostbyname_ex", "gethostbyaddr"):
        monkeypatch.setattr(socket, name, asked)


@pytest.mark.usefixtures("no_dns")
async def test_names_go_to_the_proxy(hostile: Hostile, made_keys: tuple[MadeKey, MadeKey]) -> None:
    alice = await hostile.alice("the-truth")
    await alice.network_import(made_keys[0].fingerprint)
    await alice.raw_search(made_keys[0].email)
    assert await alice.get("http://evil.example/x") == ""
    alice = await hostile.alice("the-truth", total_timeout=1.0)
    with pytest.raises(GnuPGError):
        await alice.wkd_import("a@evil.example")
    assert hostile.proxy.asked
    assert {asked.kind for asked in hostile.proxy.asked} == {NAME}
    assert LIAR in {asked.host for asked in hostile.proxy.asked}


async def test_a_redirect_to_another_host_is_not_followed(
    hostile: Hostile, made_keys: tuple[MadeKey, MadeKey]
) -> None:
    alice = await hostile.alice("redirect")
    with pytest.raises(GnuPGError):
        await alice.network_import(made_keys[0].fingerprint)
    assert {asked.host for asked in hostile.proxy.asked} == {LIAR}


async def test_nothing_goes_direct_with_the_proxy_down(
    hostile: Hostile, made_keys: tuple[MadeKey, MadeKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    original = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> Any:
        tried.append(address)
        return original(self, address)

    alice = await hostile.alice("the-truth")
    await hostile.proxy.stop()
    monkeypatch.setattr(socket.socket, "connect", connect)
    for call in (
        lambda: alice.network_import(made_keys[0].fingerprint),
        lambda: alice.network_export(),
        lambda: alice.search("carol@example.org"),
        lambda: alice.wkd_import("a@evil.example"),
        lambda: alice.get("http://evil.example/"),
    ):
        with pytest.raises(TorUnavailable):
            await call()
    network = [address for address in tried if isinstance(address, tuple)]
    assert set(network) <= {("127.0.0.1", hostile.proxy.port)}


async def test_no_proxy_of_the_environment_is_used(
    hostile: Hostile, made_keys: tuple[MadeKey, MadeKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RecordingProxy() as other:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{other.port}")
            monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{other.port}")
        alice = await hostile.alice("the-truth")
        assert (await alice.network_import(made_keys[0].fingerprint)).imported == 1
        assert other.asked == []


async def test_requests_tell_nothing_of_who_asks(hostile: Hostile) -> None:
    """No name of this library, no cookie, no language; the server sees what all others send."""
    heads: list[str] = []

    async def site(reader: Any, writer: Any) -> None:
        while True:
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: id=7\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()

    async with listening(site) as port:
        hostile.proxy.names = {LIAR: port}
        alice = await hostile.alice("x")
        for _ in range(3):
            assert await alice.get(f"http://{LIAR}/") == "ok"
    assert len(heads) == 3
    said = "\n".join(heads).lower()
    for word in ("cookie", "python", "aiohttp", "gnupg", "accept-language", "referer", "tiny"):
        assert word not in said
    assert len(set(heads)) == 1
