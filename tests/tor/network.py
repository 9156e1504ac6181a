"""A whole Tor network on loopback: an authority, three relays, a client with onion services.

It is real Tor, only small: five processes that know no address but 127.0.0.1 and end with the
program that started them. An onion service needs no exit, so there is none. ::

    with PrivateNetwork({80: port_of_a_web_server}) as network:
        ...  # SOCKS at 127.0.0.1:network.socks_port, the server at http://{network.onion}/
        network.map_address("some-name.example", network.onion)

The order is what makes it reliable: a relay that misses the first vote waits for the next one, so
the vote is timed to come after all have started, and where it came too early all the same (on a
busy machine) they start anew with more time; the client starts when the first consensus lists every
relay, and enters by the relays alone; and the network is handed out only after a connection through
it succeeded. No stage has a time limit: what counts is that something goes on.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

LOOPBACK = "127.0.0.1"
RELAYS = 3
#: Seconds to the first vote, in which every node has to start and be known; the next is for a
#: machine where they were too few. Tor wants a divisor of half an hour.
VOTING_INTERVALS = (10, 20, 60)
#: Seconds in which no node says anything and nothing goes on: then it never will.
STALLED = 180
#: Connections that may fail before one succeeds, and the seconds between two.
TRIES, PAUSE = 60, 1

_COMMON = """\
TestingTorNetwork 1
UseDefaultFallbackDirs 0
Address 127.0.0.1
OutboundBindAddress 127.0.0.1
AvoidDiskWrites 1
ShutdownWaitLength 0
GeoIPFile /dev/null
GeoIPv6File /dev/null
CookieAuthentication 1
SafeLogging 0
"""

_RELAY = """\
SocksPort 0
AssumeReachable 1
ContactInfo none
ExitRelay 0
ExitPolicy reject *:*
"""

_AUTHORITY = """\
AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
V3AuthVotingInterval 300
V3AuthVoteDelay 2
V3AuthDistDelay 2
V3AuthNIntervalsValid 3
TestingAuthDirTimeToLearnReachability 0
TestingDirAuthVoteGuard *
TestingDirAuthVoteHSDir *
TestingDirAuthVoteExit *
TestingMinExitFlagThreshold 0
"""

_CLIENT = """\
LearnCircuitBuildTimeout 0
CircuitBuildTimeout 10
FetchDirInfoEarly 1
FetchDirInfoExtraEarly 1
"""


class TorMissing(RuntimeError):
    """The programs of Debian's package ``tor`` are not installed."""


class NetworkFailed(RuntimeError):
    """The network does not come up; the text holds what its nodes logged."""


class _MissedVote(Exception):
    """A relay was not known in time for the first vote."""


def missing_programs() -> list[str]:
    """Name the programs that a private network needs and that are not here."""
    return [name for name in ("tor", "tor-gencert") if _program(name) is None]


class PrivateNetwork:
    """The network, from ``start`` to ``stop``; a context manager.

    Args:
        services: what the onion service offers: its own port, and the loopback port behind it.
        say: takes a line whenever the start has come a step further.
    """

    def __init__(
        self, services: Mapping[int, int], *, say: Callable[[str], object] | None = None
    ) -> None:
        self.services = dict(services)
        self._say = say or (lambda line: None)
        self.onion = ""
        self.socks_port = 0
        #: Seconds from the start to each stage.
        self.times: dict[str, float] = {}
        self._folder: Path | None = None
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        self._control: Control | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def control(self) -> Control:
        """The client's control port."""
        if self._control is None:
            raise RuntimeError("the network is not running")
        return self._control

    @property
    def pids(self) -> list[int]:
        """The process ids of all nodes."""
        return [node.pid for node in self._nodes.values()]

    def map_address(self, name: str, target: str) -> None:
        """Make the client take connections to ``name`` to ``target`` instead."""
        self.control.command(f"MAPADDRESS {name}={target}")

    def start(self) -> None:
        """Start all nodes and wait until the onion service answers.

        Raises:
            TorMissing: where tor is not installed.
            NetworkFailed: where a node ends, or nothing goes on any more.
        """
        if missing := missing_programs():
            raise TorMissing(f"not installed: {', '.join(missing)} (Debian: apt install tor)")
        self._begun = time.monotonic()
        for interval in VOTING_INTERVALS:
            try:
                self._start(interval)
            except _MissedVote:
                self._say(f"a relay missed the first vote, after {interval} s: once more")
                self.stop()
            else:
                return
        raise NetworkFailed("each first vote came before all relays were known")

    def _start(self, interval: int) -> None:
        # Short, because the path goes into torrc lines and sockets, and its own, to be removed.
        self._folder = Path(tempfile.mkdtemp(prefix="tgtor", dir="/tmp"))
        ports = iter(free_ports(2 * RELAYS + 9))
        authority = self._prepare_authority(ports, interval)
        for name in ["auth", *(f"relay{number}" for number in range(RELAYS))]:
            if name != "auth":
                self._write(name, authority + _RELAY + f"ORPort 127.0.0.1:{next(ports)} IPv4Only\n")
            self._launch(name, next(ports))
        self._await_consensus()
        self._start_client(authority, ports)

    def stop(self) -> None:
        """End every node by its process id and remove what they wrote."""
        if self._control is not None:
            self._control.close()
            self._control = None
        for node in self._nodes.values():
            node.terminate()
        for node in self._nodes.values():
            try:
                node.wait(5)
            except subprocess.TimeoutExpired:
                node.kill()
                node.wait()
        self._nodes.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _prepare_authority(self, ports: Iterator[int], interval: int) -> str:
        """Make the authority's keys and torrc; return the lines that tell every node of it."""
        or_port, self._dir_port = next(ports), next(ports)
        v3_identity = self._v3_certificate()
        own = f"Nickname auth0\nORPort 127.0.0.1:{or_port} IPv4Only\nDirPort {self._dir_port}\n"
        own += f"TestingV3AuthInitialVotingInterval {interval}\n{_AUTHORITY}{_RELAY}"
        shell = f"DirAuthority auth0 orport={or_port} no-v2 v3ident={v3_identity} "
        place = f"127.0.0.1:{self._dir_port} "
        self._write("auth", own + shell + place + "0" * 40 + "\n")
        relay_identity = self._relay_fingerprint("auth")
        line = f"{shell}{place}{relay_identity}\n"
        # Votes come each interval, at this offset of the clock: the first one as late as can be.
        offset = int(time.time() + interval - 1) % interval
        self._write("auth", f"{own}TestingV3AuthVotingStartOffset {offset}\n{line}")
        return line

    def _v3_certificate(self) -> str:
        keys = self._directory("auth") / "keys"
        keys.mkdir(mode=0o700)
        command = ["tor-gencert", "--create-identity-key", "--passphrase-fd", "0", "-m", "3"]
        command += ["-a", f"127.0.0.1:{self._dir_port}"]
        command[0] = _program("tor-gencert") or command[0]
        subprocess.run(command, cwd=keys, input=b"\n", check=True, capture_output=True, timeout=30)
        certificate = (keys / "authority_certificate").read_text()
        return _only(r"^fingerprint ([0-9A-F]{40})$", certificate)

    def _relay_fingerprint(self, name: str) -> str:
        done = subprocess.run(
            [*self._command(name), "--list-fingerprint"],
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        )
        return _only(r"^\S+ ((?:[0-9A-F]{4} ?){10})$", done.stdout).replace(" ", "")

    def _await_consensus(self) -> None:
        url = f"http://127.0.0.1:{self._dir_port}/tor/status-vote/current/consensus"
        # No proxy of the environment's: this is our own loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def lists_all() -> bool:
            with contextlib.suppress(OSError), opener.open(url, timeout=2) as answer:
                if sum(line.startswith(b"r ") for line in answer) <= RELAYS:
                    raise _MissedVote
                return True
            return False

        self._wait("consensus", lists_all)
        for name, node in self._nodes.items():
            if name != "auth":
                # They look for a consensus at once when told to reload, else only in a while.
                node.send_signal(signal.SIGHUP)

    def _start_client(self, authority: str, ports: Iterator[int]) -> None:
        self.socks_port = next(ports)
        # The authority often is the only one whose bandwidth was seen when it voted, and then the
        # last hop of every circuit. As the first hop too it would refuse each of them, for ever.
        lines = f"EntryNodes {','.join(self._relay_identities())}\n"
        lines += f"SocksPort 127.0.0.1:{self.socks_port} IsolateSOCKSAuth ExtendedErrors\n"
        lines += f"HiddenServiceDir {self._directory('client') / 'onion'}\nHiddenServiceVersion 3\n"
        for port, target in self.services.items():
            lines += f"HiddenServicePort {port} 127.0.0.1:{target}\n"
        self._write("client", authority + _CLIENT + lines)
        control_port = next(ports)
        self._launch("client", control_port)
        cookie = self._directory("client") / "control_auth_cookie"
        self._wait("control", lambda: cookie.exists() and cookie.stat().st_size == 32)
        self._control = Control(control_port, cookie.read_bytes())
        self._control.command("SETEVENTS HS_DESC")
        self._wait("bootstrapped", lambda: "PROGRESS=100" in self._phase())
        self.onion = (self._directory("client") / "onion" / "hostname").read_text().strip()
        self._wait("published", self._published)
        self._wait("reached", self._reaching())

    def _relay_identities(self) -> list[str]:
        files = [self._directory(f"relay{number}") / "fingerprint" for number in range(RELAYS)]
        return [_only(r"^\S+ ([0-9A-F]{40})$", file.read_text()) for file in files]

    def _published(self) -> bool:
        events = " ".join(self.control.events(0.1))
        begun = events.count(" UPLOAD ")
        return begun > 0 and events.count(" UPLOADED ") >= begun

    def _reaching(self) -> Callable[[], bool]:
        left = TRIES

        def reached() -> bool:
            nonlocal left
            try:
                through_socks(self.socks_port, self.onion, min(self.services)).close()
            except OSError as error:
                left -= 1
                if not left:
                    raise NetworkFailed(f"not reached: {error}\n{self._logs()}") from error
                time.sleep(PAUSE)
                return False
            return True

        return reached

    def _directory(self, name: str) -> Path:
        if self._folder is None:
            raise RuntimeError("the network is not running")
        path = self._folder / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def _write(self, name: str, lines: str) -> None:
        directory = self._directory(name)
        own = f"DataDirectory {directory}\nLog notice file {directory / 'log'}\n"
        own += f"__OwningControllerProcess {os.getpid()}\n"
        (directory / "torrc").write_text(_COMMON + own + lines)

    def _command(self, name: str) -> list[str]:
        torrc = str(self._directory(name) / "torrc")
        defaults = ["--defaults-torrc", "/nonexistent", "--ignore-missing-torrc"]
        return [_program("tor") or "tor", "-f", torrc, *defaults, "--quiet"]

    def _launch(self, name: str, control_port: int) -> None:
        with (self._directory(name) / "torrc").open("a") as torrc:
            torrc.write(f"ControlPort 127.0.0.1:{control_port}\n")
        self._nodes[name] = subprocess.Popen(
            self._command(name), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    def _phase(self) -> str:
        return self.control.command("GETINFO status/bootstrap-phase")

    def _wait(self, stage: str, done: Callable[[], bool]) -> None:
        """Wait for a stage, as long as anything goes on."""
        seen, since = "", time.monotonic()
        while not done():
            ended = [name for name, node in self._nodes.items() if node.poll() is not None]
            if ended or time.monotonic() - since > STALLED:
                raise NetworkFailed(f"not {stage}; ended: {ended}\n{self._logs()}")
            now = self._logs() + (self._phase() if self._control else "")
            if now != seen:
                seen, since = now, time.monotonic()
            time.sleep(0.05)
        self.times[stage] = round(time.monotonic() - self._begun, 2)
        self._say(f"{self.times[stage]:5.1f} s  {stage}")

    def _logs(self) -> str:
        return "\n".join(
            f"--- {name}\n{log.read_text(errors='replace')[-3000:]}"
            for name in self._nodes
            if (log := self._directory(name) / "log").exists()
        )


class Control:
    """A connection to a control port (Tor's control-spec), as far as these tests need it.

    Args:
        port: the port on loopback.
        cookie: the 32 bytes of the authentication cookie.
    """

    def __init__(self, port: int, cookie: bytes) -> None:
        self._socket = socket.create_connection((LOOPBACK, port), timeout=10)
        self._lines = self._socket.makefile("r", encoding="utf-8", newline="\r\n")
        self._events: list[str] = []
        self.command(f"AUTHENTICATE {cookie.hex()}")

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()
        self._socket.close()

    def command(self, line: str) -> str:
        """Send one command; return the text of its reply, without status codes.

        Raises:
            RuntimeError: where Tor refuses it.
        """
        self._socket.sendall(line.encode() + b"\r\n")
        while True:
            code, reply = self._reply()
            if code == "650":
                self._events.append(reply)
            elif code == "250":
                return reply
            else:
                raise RuntimeError(f"{line.split()[0]}: {code} {reply}")

    def events(self, seconds: float) -> list[str]:
        """Return every event so far, having asked once and waited ``seconds`` for more."""
        time.sleep(seconds)
        self.command("GETINFO version")
        return self._events

    def streams(self) -> list[tuple[str, str, str]]:
        """Return circuit id, stream id and target of every stream of a client that is open now."""
        text = self.command("GETINFO stream-status")
        lines = (line.removeprefix("stream-status=").split() for line in text.splitlines())
        opened = (line for line in lines if len(line) >= 4 and line[1] == "SUCCEEDED")
        return [(circuit, stream, target) for stream, _, circuit, target, *_ in opened]

    def _reply(self) -> tuple[str, str]:
        lines: list[str] = []
        while True:
            line = self._lines.readline().rstrip("\r\n")
            if not line:
                raise RuntimeError("the control port closed the connection")
            code, mark, text = line[:3], line[3], line[4:]
            lines.append(text)
            if mark == "+":
                while (data := self._lines.readline().rstrip("\r\n")) != ".":
                    lines.append(data)
            elif mark == " ":
                return code, "\n".join(lines)


def free_ports(count: int) -> list[int]:
    """Return ``count`` TCP ports of loopback that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def through_socks(socks_port: int, host: str, port: int, timeout: float = 20) -> socket.socket:
    """Connect to a name through a SOCKS5 port, by hand: no library of ours has a part in it.

    Raises:
        OSError: where there is no connection.
    """
    connection = socket.create_connection((LOOPBACK, socks_port), timeout=timeout)
    try:
        name = host.encode()
        connection.sendall(b"\x05\x01\x00")
        _expect(connection, b"\x05\x00", 2)
        connection.sendall(b"\x05\x01\x00\x03" + bytes([len(name)]) + name + port.to_bytes(2))
        _expect(connection, b"\x05\x00", 10)
    except BaseException:
        connection.close()
        raise
    return connection


def _expect(connection: socket.socket, start: bytes, length: int) -> None:
    reply = b""
    while len(reply) < length:
        part = connection.recv(length - len(reply))
        if not part:
            break
        reply += part
    if not reply.startswith(start):
        raise ConnectionError(f"SOCKS reply {reply.hex()}")


def _program(name: str) -> str | None:
    # Debian puts tor into /usr/sbin, which is not on every user's PATH.
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def _only(pattern: str, text: str) -> str:
    found: Iterable[str] = re.findall(pattern, text, re.MULTILINE)
    (value,) = found
    return value
