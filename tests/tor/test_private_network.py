"""The network room and the keyserver room against real Tor, on a private network of its own."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from tests.homes import temporary_home
from tests.tor import openpgp
from tests.tor.liar import POSTS, STREAMS
from tests.tor.material import MISMATCHES, MadeKey, lies, make_key
from tests.tor.network import PrivateNetwork
from tests.tor.processes import KeyserverProcess, find
from tiny_gnupg._network.keyserver import (
    DEFAULT_KEYSERVER,
    Keyserver,
    look_up,
    publish,
    upload,
    wkd_look_up,
)
from tiny_gnupg._network.tor import Network
from tiny_gnupg._network.tor_control import DEBIAN_SOCKET
from tiny_gnupg.errors import (
    GnuPGError,
    KeyserverError,
    KeyserverMismatch,
    NetworkError,
    NotOnKeyserver,
    TorUnavailable,
)

pytestmark = pytest.mark.tor

HERE = f"{DEFAULT_KEYSERVER}/"
Make = Callable[..., Network]
Figures = Callable[[str], None]


# --- the network itself --------------------------------------------------------------------------


async def test_it_comes_up_and_fetches_again_by_what_it_has(
    tor: PrivateNetwork, keyserver: KeyserverProcess, new_network: Make, figures: Figures
) -> None:
    network = new_network()
    spent = []
    for _ in range(2):
        begun = time.monotonic()
        assert (await network.fetch("GET", HERE + "search")).status == 200
        spent.append(time.monotonic() - begun)
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in tor.times.items())
    figures(f"private Tor network: {stages}")
    figures(f"first fetch {spent[0]:.2f} s, second {spent[1]:.3f} s")
    assert list(tor.times) == ["consensus", "control", "bootstrapped", "published", "reached"]


async def test_two_instances_use_two_circuits_and_each_stays_on_its_own(
    tor: PrivateNetwork, keyserver: KeyserverProcess, new_network: Make
) -> None:
    circuits = []
    for network in (new_network(), new_network()):
        known = set(tor.control.streams())
        # Two at once, so that one instance has two streams for Tor to keep together.
        await asyncio.gather(network.get(HERE + "search"), network.get(HERE + "search"))
        mine = set(tor.control.streams()) - known
        assert len(mine) >= 1
        circuits.append({circuit for circuit, _, _ in mine})
        known = set(tor.control.streams())
        await network.aclose()
        await network.get(HERE + "search")
        circuits[-1] |= {circuit for circuit, _, _ in set(tor.control.streams()) - known}
    assert [len(each) for each in circuits] == [1, 1]
    assert circuits[0] != circuits[1]


async def test_without_isolation_two_instances_share_a_circuit(
    tor: PrivateNetwork, keyserver: KeyserverProcess, new_network: Make
) -> None:
    known = set(tor.control.streams())
    await new_network(isolate=False).get(HERE + "search")
    await new_network(isolate=False).get(HERE + "search")
    mine = set(tor.control.streams()) - known
    assert len(mine) == 2
    assert len({circuit for circuit, _, _ in mine}) == 1


async def test_a_circuit_that_is_torn_down_is_replaced(
    tor: PrivateNetwork, keyserver: KeyserverProcess, new_network: Make
) -> None:
    network = new_network()
    known = set(tor.control.streams())
    await network.get(HERE + "search")
    for circuit in {circuit for circuit, _, _ in set(tor.control.streams()) - known}:
        tor.control.command(f"CLOSECIRCUIT {circuit}")
    assert (await network.fetch("GET", HERE + "search")).status == 200


async def test_only_tor_is_connected_to_and_nothing_is_resolved(
    tor: PrivateNetwork,
    keyserver: KeyserverProcess,
    new_network: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: set[str] = set()
    watching = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event.startswith(("socket.connect", "socket.get", "socket.sendto")):
            events.add(f"{event} {arguments[1:]}")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a name was resolved here")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    sys.addaudithook(hook)
    await new_network().get(HERE + "search")
    proxy = f"socket.connect {(('127.0.0.1', tor.socks_port),)}"
    assert events == {proxy}
    with pytest.raises(TorUnavailable):
        await new_network(tries=1, connect_timeout=1).get("http://127.0.0.1:9/")
    watching = False
    # Where Tor makes no connection, it is asked how far it is.
    control = f"socket.connect {(('127.0.0.1', tor.socks_port + 1),)}"
    assert events <= {proxy, control, f"socket.connect {(DEBIAN_SOCKET,)}"}


async def test_a_request_tells_the_server_nothing_of_its_sender(
    keyserver: KeyserverProcess, new_network: Make
) -> None:
    network = new_network()
    await network.get(HERE + "search")
    await network.post(HERE + "vks/v1/upload", json={"keytext": ""})
    get, post = keyserver.lever("requests")
    onion = DEFAULT_KEYSERVER.removeprefix("http://")
    assert [name for name, _ in get["headers"]] == ["Host", "User-Agent", "Accept-Encoding"]
    assert dict(get["headers"])["Host"] == onion
    assert "python" not in str((get, post)).lower()
    assert "aiohttp" not in str((get, post)).lower()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://" + "a" * 56 + ".onion/", "no onion address"),
        (f"{DEFAULT_KEYSERVER}:81/", "refuses the connection"),
        # There is no exit for it, so Tor waits for one.
        ("http://no-such-name.example/", "in time"),
    ],
)
async def test_what_tor_does_not_reach_is_told(new_network: Make, url: str, says: str) -> None:
    with pytest.raises(TorUnavailable, match=says):
        await new_network(tries=1, connect_timeout=2).get(url)


# --- the keyserver -------------------------------------------------------------------------------


async def test_a_key_is_published_confirmed_and_found_under_the_real_servers_name(
    keyserver: KeyserverProcess, new_network: Make, made_keys: tuple[MadeKey, MadeKey]
) -> None:
    key, _ = made_keys
    network, server = new_network(), Keyserver.of()
    answer = await publish(network, server, key.armored, key.fingerprint)
    assert answer["status"] == {key.email: "pending"}
    assert (await look_up(network, server, key.fingerprint)).data == key.bare
    with pytest.raises(NotOnKeyserver):
        await look_up(network, server, key.email)
    assert keyserver.confirm_all() == [key.email]
    assert (await look_up(network, server, key.email)).data == key.public
    async with network.isolated() as other:
        found = await look_up(other, server, key.subkey_fingerprints[0])
    assert found.data == key.public


async def test_two_hundred_look_ups_at_once_leave_nothing_behind(
    tor: PrivateNetwork,
    keyserver: KeyserverProcess,
    new_network: Make,
    made_keys: tuple[MadeKey, MadeKey],
    figures: Figures,
) -> None:
    key, _ = made_keys
    keyserver.lever("settings", {"key": None, "email": None})
    network, server = new_network(), Keyserver.of()
    await upload(network, server, key.armored)
    tasks, streams = len(asyncio.all_tasks()), len(tor.control.streams())
    names = [key.fingerprint, *key.subkey_fingerprints, key.fingerprint[-16:]]
    begun = time.monotonic()
    found = await asyncio.gather(
        *(look_up(network, server, names[turn % 4]) for turn in range(200))
    )
    figures(f"200 look-ups at once: {time.monotonic() - begun:.2f} s")
    assert {each.data for each in found} == {key.bare}
    assert len(tor.control.streams()) <= streams + network.settings.connections
    await network.aclose()
    await asyncio.sleep(0.1)
    assert len(asyncio.all_tasks()) <= tasks


@pytest.mark.skipif(not find("sks"), reason="sks is not installed")
async def test_a_real_hkp_server_is_used_through_tor(sks_port: int, new_network: Make) -> None:
    with temporary_home() as home:
        key = make_key(home, "hkp@example.org")
    network = new_network()
    server = Keyserver.of(DEFAULT_KEYSERVER.replace("http", "hkp"))
    await publish(network, server, key.armored, key.fingerprint)
    for name in (key.fingerprint, key.email):
        found = await look_up(network, server, name)
        assert sorted(openpgp.packets(found.data)) == sorted(key.packets)


async def test_a_web_key_directory_is_asked_over_tls_by_both_methods(
    directory: ssl.SSLContext, new_network: Make
) -> None:
    network = new_network(tries=1)
    (advanced,) = await wkd_look_up(network, "alice@advanced.example", ssl=directory)
    assert advanced.user_ids == ("Test <alice@advanced.example>",)
    (direct,) = await wkd_look_up(network, "alice@direct.example", ssl=directory)
    assert direct.user_ids == ("Test <alice@direct.example>",)
    with pytest.raises(NotOnKeyserver):
        await wkd_look_up(network, "nobody@direct.example", ssl=directory)
    with pytest.raises(KeyserverMismatch):
        await wkd_look_up(network, "liar@direct.example", ssl=directory)
    with pytest.raises(KeyserverError, match="TLS"):
        await wkd_look_up(network, "alice@direct.example")


# --- a keyserver that lies -----------------------------------------------------------------------


async def test_every_lie_about_a_key_is_a_typed_error(
    new_network: Make, liar: Callable[[str], Keyserver], made_keys: tuple[MadeKey, MadeKey]
) -> None:
    key, other = made_keys
    network = new_network()
    for name in lies(key, other):
        expected = KeyserverMismatch if name in MISMATCHES else KeyserverError
        for asked in (key.fingerprint, key.email):
            with pytest.raises(GnuPGError) as caught:
                await look_up(network, liar(name), asked)
            assert type(caught.value) is expected, name


@pytest.mark.parametrize("lie", STREAMS)
async def test_a_server_that_misbehaves_is_an_error_in_bounded_time_and_memory(
    new_network: Make,
    liar: Callable[[str], Keyserver],
    made_keys: tuple[MadeKey, MadeKey],
    lie: str,
) -> None:
    patient = lie not in ("silent", "slow")
    network = new_network(total_timeout=60 if patient else 3, tries=1)
    tracemalloc.start()
    try:
        with pytest.raises(KeyserverError):
            await look_up(network, liar(lie), made_keys[0].fingerprint)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The bound of an answer, held twice while its bytes are joined, and what is under way.
    assert peak < 3 * network.settings.max_answer
    assert (await network.fetch("GET", HERE + "search")).status == 200


@pytest.mark.parametrize("lie", POSTS)
async def test_a_lie_about_an_upload_is_a_typed_error(
    new_network: Make,
    liar: Callable[[str], Keyserver],
    made_keys: tuple[MadeKey, MadeKey],
    lie: str,
) -> None:
    key, _ = made_keys
    with pytest.raises((KeyserverError, KeyserverMismatch)):
        await publish(new_network(), liar(lie), key.armored, key.fingerprint)


async def test_a_redirect_elsewhere_is_not_followed_by_get_either(
    new_network: Make, liar: Callable[[str], Keyserver]
) -> None:
    with pytest.raises(NetworkError, match=r"evil\.example"):
        await new_network().get(liar("redirect").url)
