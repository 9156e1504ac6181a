"""What a control port says of a Tor that makes no connection; the port speaks as Tor's does."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.tor.socks import RecordingProxy, listening
from tiny_gnupg import GnuPG
from tiny_gnupg._network import tor_control
from tiny_gnupg._network.tor import Network, NetworkSettings
from tiny_gnupg._network.tor_control import Phase, bootstrap_phase
from tiny_gnupg.errors import NetworkError, TorUnavailable

SOCKS = 9999
KEY = b"Tor safe cookie authentication %s hash"
HERE = "http://keys.example.onion/"


@pytest.fixture(autouse=True)
def no_tor_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is asked of a Tor that runs on the machine of the tests."""
    monkeypatch.setattr(tor_control, "DEBIAN_SOCKET", str(tmp_path / "control"))


@dataclass
class ControlPort:
    """Tor's side of its control-spec, sections 3.5, 3.21, 3.24 and 3.9."""

    cookie_file: Path | None = None
    cookie: bytes = bytes(32)
    progress: int = 5
    socks_port: int = SOCKS
    lies: bool = False
    heard: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        proof = ""
        while True:
            line = (await reader.readuntil(b"\r\n")).decode().rstrip()
            self.heard.append(line)
            match line.split():
                case ["PROTOCOLINFO", _]:
                    file = str(self.cookie_file).replace("\\", "\\\\").replace('"', '\\"')
                    how = f'COOKIE,SAFECOOKIE COOKIEFILE="{file}"' if self.cookie_file else "NULL"
                    say = f"250-PROTOCOLINFO 1\r\n250-AUTH METHODS={how}\r\n250 OK"
                case ["AUTHCHALLENGE", "SAFECOOKIE", nonce]:
                    ours = secrets.token_bytes(32)
                    text = self.cookie + bytes.fromhex(nonce) + ours
                    hashed = hmac.digest(KEY % b"server-to-controller", text, "sha256").hex()
                    proof = hmac.digest(KEY % b"controller-to-server", text, "sha256").hex()
                    hashed = "0" * 64 if self.lies else hashed
                    say = f"250 AUTHCHALLENGE SERVERHASH={hashed} SERVERNONCE={ours.hex()}".upper()
                case ["AUTHENTICATE", *given]:
                    assert given == ([proof] if proof else [])
                    say = "250 OK"
                case ["GETINFO", "net/listeners/socks"]:
                    say = f'250-net/listeners/socks="127.0.0.1:{self.socks_port}"\r\n250 OK'
                case ["GETINFO", "status/bootstrap-phase"]:
                    words = f'PROGRESS={self.progress} TAG=conn SUMMARY="Connecting to a relay"'
                    say = f"250-status/bootstrap-phase=NOTICE BOOTSTRAP {words}\r\n250 OK"
                case _:
                    say = "510 Unrecognized command"
            writer.write(say.encode() + b"\r\n")


async def test_a_port_without_a_password_tells() -> None:
    control = ControlPort()
    async with listening(control.serve) as port:
        assert await bootstrap_phase("127.0.0.1", port, SOCKS) == Phase(5, "Connecting to a relay")


@pytest.mark.parametrize("name", ["cookie", 'with "quotes" and \\'])
async def test_the_cookie_is_proved_and_never_sent(tmp_path: Path, name: str) -> None:
    cookie = secrets.token_bytes(32)
    (tmp_path / name).write_bytes(cookie)
    control = ControlPort(tmp_path / name, cookie)
    async with listening(control.serve) as port:
        assert await bootstrap_phase("127.0.0.1", port, SOCKS) == Phase(5, "Connecting to a relay")
    assert cookie.hex() not in " ".join(control.heard).lower()
    liar = ControlPort(tmp_path / name, lies=True)
    async with listening(liar.serve) as port:
        assert await bootstrap_phase("127.0.0.1", port, SOCKS) is None
    assert not any(line.startswith("AUTHENTICATE") for line in liar.heard)


@pytest.mark.parametrize("file", ["none", "short", "long", "a pipe", "/dev/zero", "a folder"])
async def test_a_file_that_is_no_cookie_is_told_to_nobody(tmp_path: Path, file: str) -> None:
    path = tmp_path / "cookie"
    match file:
        case "short" | "long":
            path.write_bytes(bytes(31 if file == "short" else 33))
        case "a pipe":
            os.mkfifo(path)
        case "/dev/zero":
            path = Path(file)
        case "a folder":
            path.mkdir()
    control = ControlPort(path)
    async with listening(control.serve) as port:
        assert await bootstrap_phase("127.0.0.1", port, SOCKS) is None
    assert control.heard == ["PROTOCOLINFO 1"]


async def test_the_control_port_of_another_tor_is_not_believed() -> None:
    async with listening(ControlPort(socks_port=SOCKS + 1).serve) as port:
        assert await bootstrap_phase("127.0.0.1", port, SOCKS) is None


@pytest.mark.parametrize(
    "said", [b"", b"220 smtp.example\r\n", b"no lines at all", b"250-x\r\n" * 200]
)
async def test_what_is_no_control_port_tells_nothing(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tor_control, "PATIENCE", 0.3)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await reader.read()

    async with listening(serve) as port:
        assert await bootstrap_phase("127.0.0.1", port, SOCKS) is None
    assert await bootstrap_phase("127.0.0.1", port, SOCKS) is None


async def test_debians_socket_is_asked_where_no_port_tells(tmp_path: Path) -> None:
    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError), contextlib.closing(writer):
            await ControlPort().serve(reader, writer)

    async with await asyncio.start_unix_server(lead, tmp_path / "control"):
        assert await bootstrap_phase("127.0.0.1", 1, SOCKS) == Phase(5, "Connecting to a relay")
        # Another machine's Tor is not the one behind this socket.
        assert await bootstrap_phase("127.0.0.2", 1, SOCKS) is None


async def test_the_port_above_is_asked_on_this_machine_alone() -> None:
    control = ControlPort()
    async with listening(control.serve) as port:
        control.socks_port = port - 1
        assert await bootstrap_phase("127.0.0.1", None, port - 1) is not None
        assert await bootstrap_phase("127.0.0.2", None, port - 1) is None
        assert control.heard.count("PROTOCOLINFO 1") == 1


@contextlib.asynccontextmanager
async def a_starting_tor(progress: int, **trouble: Any) -> AsyncIterator[dict[str, Any]]:
    """Return the settings that lead to a Tor that takes connections and makes none."""
    control = ControlPort(progress=progress)
    async with RecordingProxy(**trouble) as proxy, listening(control.serve) as port:
        control.socks_port = proxy.port
        yield {"tor_port": proxy.port, "control_port": port, "backoff": 0.01}


@pytest.mark.parametrize(
    "trouble", [{"silent": True}, {"replies": [1] * 9}, {"replies": [4] * 9}, {"replies": [6] * 9}]
)
@pytest.mark.parametrize("bound", ["connect_timeout", "total_timeout"])
async def test_a_tor_that_is_starting_is_told_with_its_progress_and_asked_once(
    trouble: dict[str, Any], bound: str
) -> None:
    says = r"still starting: 5 % \(Connecting to a relay\)"
    bounds: dict[str, Any] = {bound: 0.5}
    async with a_starting_tor(5, **trouble) as settings:
        network = Network(NetworkSettings(**settings, **bounds))
        for call in (network.get(HERE), network.post(HERE), network.fetch("GET", HERE)):
            with pytest.raises(TorUnavailable, match=says) as caught:
                await call
            assert "may be down" not in str(caught.value)
        await network.aclose()


async def test_of_a_tor_that_has_started_the_reply_is_told() -> None:
    async with a_starting_tor(100, replies=[4] * 9) as settings:
        network = Network(NetworkSettings(**settings))
        with pytest.raises(TorUnavailable, match="host is unreachable"):
            await network.get(HERE)
        await network.aclose()


async def test_each_call_of_an_instance_says_that_tor_is_starting(home: Any) -> None:
    async with a_starting_tor(5, silent=True) as settings, GnuPG(homedir=home) as gpg:
        gpg.set_network_variables(**settings, connect_timeout=0.3)
        for call in (
            lambda: gpg.get(HERE),
            lambda: gpg.search("bob@example.org"),
            lambda: gpg.network_import("bob@example.org"),
            lambda: gpg.wkd_import("bob@example.org"),
        ):
            with pytest.raises(NetworkError, match="still starting: 5 %") as caught:
                await call()
            assert isinstance(caught.value, TorUnavailable)
