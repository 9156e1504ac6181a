"""What an instance says of the network, and what its session is to its users."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from tests.instances import ALICE, BOB
from tests.tor.processes import keyserver_server
from tests.tor.socks import RecordingProxy, listening
from tiny_gnupg import GnuPG, WrongSigner

ONE = {"keyserver": "hkps://keys.example.org:8443/under", "tor_port": 9150}


def seen(gpg: GnuPG) -> dict[str, Any]:
    """Return each variable of the network, by the name that it is set by."""
    settings = {name: getattr(gpg._network.settings, name) for name in SETTINGS}
    return {
        **settings,
        "port": gpg.port,
        "tor_port": gpg.tor_port,
        "keyserver": gpg.keyserver,
        "search": gpg.searchserver.removeprefix(gpg.keyserver),
    }


SETTINGS: dict[str, Any] = {
    "tor_host": "127.0.0.2",
    "isolate": False,
    "connect_timeout": 5,
    "total_timeout": 6,
    "max_answer": 7,
    "tries": 8,
    "backoff": 9,
    "connections": 10,
    "user_agent": "me",
    "session_options": {"headers": {"X": "1"}},
    "control_port": 11,
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_changes_and_nothing_else(home: Path, name: str) -> None:
    gpg = GnuPG(homedir=home, **ONE)  # type: ignore[arg-type]
    gpg.set_network_variables(search="find?", port=444)
    before, credentials = seen(gpg), gpg._network._credentials
    gpg.set_network_variables(**{name: SETTINGS[name]})
    assert seen(gpg) == before | {name: SETTINGS[name]}
    assert gpg._network._credentials == credentials


def test_the_variables_of_0_5_2_change_what_they_name(home: Path) -> None:
    gpg = GnuPG(homedir=home, **ONE)  # type: ignore[arg-type]
    gpg.set_network_variables(connect_timeout=5)
    before = seen(gpg)
    gpg.set_network_variables()
    assert seen(gpg) == before
    gpg.set_network_variables(port=8444)
    moved = "https://keys.example.org:8444/under/"
    assert seen(gpg) == (before := before | {"port": 8444, "keyserver": moved})
    gpg.set_network_variables(8445, 9151)
    moved = "https://keys.example.org:8445/under/"
    assert seen(gpg) == (before := before | {"port": 8445, "keyserver": moved, "tor_port": 9151})
    gpg.set_network_variables(search="")
    assert seen(gpg) == (before := before | {"search": ""})
    gpg.set_network_variables(keyserver="hkp://a.onion")
    assert seen(gpg) == before | {"keyserver": "http://a.onion:11371/", "port": 11371}
    gpg.set_network_variables(port=1, keyserver="http://a.onion:2", search="s")
    assert seen(gpg) == before | {"keyserver": "http://a.onion:1/", "port": 1, "search": "s"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 0},
        {"port": 65536},
        {"tor_port": 0},
        {"keyserver": ""},
        {"keyserver": "a.onion"},
        {"tries": 0},
        {"tor_host": ""},
        {"session_options": {"proxy": "http://x"}},
    ],
)
def test_a_wrong_value_changes_nothing(home: Path, wrong: dict[str, Any]) -> None:
    gpg = GnuPG(homedir=home, **ONE)  # type: ignore[arg-type]
    before = seen(gpg)
    right = {"port": 81, "tor_port": 82, "keyserver": "http://b.onion", "search": "x"}
    with pytest.raises(ValueError, match=next(iter(wrong))):
        gpg.set_network_variables(**{**right, "connect_timeout": 1, **wrong})
    assert seen(gpg) == before


def test_a_keyserver_is_named_by_text(home: Path) -> None:
    gpg, wrong = GnuPG(homedir=home), cast(Any, 7)
    before = seen(gpg)
    with pytest.raises(TypeError, match="keyserver"):
        gpg.set_network_variables(keyserver=wrong)
    with pytest.raises(TypeError, match="keyserver"):
        GnuPG(homedir=home, keyserver=wrong)
    assert seen(gpg) == before


async def test_a_setting_that_is_none_is_told(home: Path) -> None:
    with pytest.raises(TypeError, match="conect_timeout"):
        GnuPG(homedir=home).set_network_variables(conect_timeout=1)


async def test_the_idioms_of_0_5_2_end_nobody_elses_request(home: Path) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await go_on.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with (
        listening(slow) as port,
        RecordingProxy({"a.onion": port}) as proxy,
        GnuPG(homedir=home, tor_port=proxy.port) as gpg,
    ):
        others = [asyncio.create_task(gpg.get("http://a.onion/")) for _ in range(2)]
        await asked.wait()
        async with gpg.Session as session:
            assert not session.closed
        async with gpg.Connector:
            pass
        gpg.tor_port = proxy.port
        gpg.set_network_variables(backoff=0.1)
        go_on.set()
        assert await asyncio.gather(*others) == ["ok", "ok"]
        async with gpg.Session as session, session.get("http://a.onion/") as response:
            assert await response.text() == "ok"


async def test_a_subkey_made_since_is_looked_up_where_a_signer_is_asked_for(
    alice: GnuPG, bob: GnuPG
) -> None:
    with keyserver_server() as keyserver:
        async with RecordingProxy({"keys.example": keyserver.port}) as proxy:
            for gpg in (alice, bob):
                gpg.set_network_variables(tor_port=proxy.port, keyserver="http://keys.example")
            before = await bob.text_export()
            await bob.rotate(usages=["sign"])
            await bob.network_export()
            for read, signed in (
                (alice.auto_decrypt, await bob.encrypt("x", ALICE)),
                (alice.auto_verify, await bob.sign("x")),
            ):
                with pytest.raises(WrongSigner):
                    await alice.decrypt(signed, signer=BOB)
                await read(signed, signer=BOB)
                with pytest.raises(WrongSigner):
                    await read(signed, signer=ALICE)
                await alice.delete(bob.fingerprint)
                await alice.text_import(before)
