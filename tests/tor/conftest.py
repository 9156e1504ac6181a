"""What the tests in this folder share: one private Tor network, and the servers behind it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.homes import temporary_home
from tests.tor.material import MadeKey, forgeries, lies, make_key
from tests.tor.network import PrivateNetwork, missing_programs
from tests.tor.processes import (
    KeyserverProcess,
    TlsDirectory,
    find,
    keyserver_server,
    server,
    sks,
    tls_server,
)
from tiny_gnupg._network.keyserver import DEFAULT_KEYSERVER, Keyserver, wkd_urls
from tiny_gnupg._network.tor import Network, NetworkSettings

DEFAULT_ONION = DEFAULT_KEYSERVER.removeprefix("http://")
LIAR_PORT = 8080
ADVANCED, DIRECT = 0, 1
DIRECTORY_NAMES = (
    "openpgpkey.advanced.example",
    "advanced.example",
    "openpgpkey.direct.example",
    "direct.example",
)
#: Whose key is asked for, whose key is there, and by which method.
DIRECTORY_KEYS = (
    ("alice@advanced.example", "alice@advanced.example", ADVANCED),
    ("alice@direct.example", "alice@direct.example", DIRECT),
    ("liar@direct.example", "somebody@direct.example", DIRECT),
)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of the tests that need a private Tor network."""
    config.addinivalue_line("markers", "tor: needs Debian's tor; runs on a private network")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot run here."""
    if item.get_closest_marker("tor") and (missing := missing_programs()):
        pytest.skip(f"not installed: {', '.join(missing)}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell loudly what did not run: what was skipped was not tested."""
    skipped = terminalreporter.getreports("skipped")
    ours = [report for report in skipped if "tests/tor/" in report.nodeid]
    if ours:
        terminalreporter.section("TOR: NOT TESTED", red=True, bold=True)
        why = {str(report.longrepr[2]).removeprefix("Skipped: ") for report in ours}
        terminalreporter.line(
            f"{len(ours)} tests in tests/tor did NOT run: {'; '.join(sorted(why))}"
        )
        terminalreporter.line("apt install tor sks sq dirmngr openssl, then run them again")


@pytest.fixture(scope="package")
def made_keys() -> tuple[MadeKey, MadeKey]:
    """Two keys of gpg's own making."""
    with temporary_home() as home:
        return make_key(home, "alice@example.org"), make_key(home, "mallory@example.org")


@pytest.fixture(scope="package")
def keyserver_process() -> Iterator[KeyserverProcess]:
    """The test keyserver, once for all tests."""
    with keyserver_server() as process:
        yield process


@pytest.fixture
def keyserver(keyserver_process: KeyserverProcess) -> KeyserverProcess:
    """The test keyserver, empty and with its usual settings."""
    keyserver_process.lever("forget", {})
    return keyserver_process


@pytest.fixture(scope="package")
def liar_port(
    made_keys: tuple[MadeKey, MadeKey], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """A keyserver that lies about the first of the made keys."""
    folder: Path = tmp_path_factory.mktemp("lies")
    forged = {name: body for name, (body, _) in forgeries(*made_keys).items()}
    for name, body in (lies(*made_keys) | forged).items():
        (folder / name).write_bytes(body)
    with server("tests.tor.liar", str(folder)) as port:
        yield port


@pytest.fixture(scope="package")
def sks_port() -> Iterator[int]:
    """Debian's sks with an empty database, or 0 where it is not installed."""
    with ExitStack() as stack:
        yield stack.enter_context(sks()) if find("sks") else 0


@pytest.fixture(scope="package")
def tls_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsDirectory]:
    """A Web Key Directory for two domains, one for each method, over TLS."""
    folder: Path = tmp_path_factory.mktemp("wkd")
    with tls_server(folder, DIRECTORY_NAMES) as directory, temporary_home() as home:
        for email, where, method in DIRECTORY_KEYS:
            path = folder / urlsplit(wkd_urls(email)[method]).path.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(make_key(home, where).public)
        yield directory


@pytest.fixture(scope="package")
def tor(
    keyserver_process: KeyserverProcess,
    liar_port: int,
    sks_port: int,
    tls_directory: TlsDirectory,
) -> Iterator[PrivateNetwork]:
    """A private Tor network whose onion service answers under the name of the default keyserver."""
    services = {80: keyserver_process.port, LIAR_PORT: liar_port, 443: tls_directory.port}
    if sks_port:
        services[11371] = sks_port
    with PrivateNetwork(services) as network:
        network.map_address(DEFAULT_ONION, network.onion)
        for name in DIRECTORY_NAMES:
            network.map_address(name, network.onion)
        pids = network.pids
        yield network
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.fixture
def directory(tor: PrivateNetwork, tls_directory: TlsDirectory) -> ssl.SSLContext:
    """What trusts the Web Key Directory that the private network leads to."""
    return tls_directory.trust


@pytest.fixture
async def new_network(tor: PrivateNetwork) -> AsyncIterator[Callable[..., Network]]:
    """Make Networks through the private Tor; each is closed after the test."""
    made: list[Network] = []

    def make(**settings: Any) -> Network:
        made.append(Network(NetworkSettings(tor_port=tor.socks_port, **settings)))
        return made[-1]

    yield make
    for network in made:
        await network.aclose()


@pytest.fixture
def liar() -> Callable[[str], Keyserver]:
    """Return the lying keyserver that tells one lie, by its name."""
    return lambda lie: Keyserver.of(f"{DEFAULT_KEYSERVER}:{LIAR_PORT}/{lie}")
