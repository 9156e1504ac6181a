"""What the tests in this folder share: one private Tor network a run, and the servers behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.homes import temporary_home
from tiny_gnupg.keyserver import DEFAULT_KEYSERVER, Keyserver
from tiny_gnupg.tor import Network, NetworkSettings

from .material import MadeKey, lies, make_key
from .network import PrivateNetwork, missing_programs
from .processes import KeyserverProcess, find, keyserver_server, server, sks

DEFAULT_ONION = DEFAULT_KEYSERVER.removeprefix("http://")
LIAR_PORT = 8080

#: The tests that could not run, and why; told at the end of the run.
_not_run: dict[str, str] = {}


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of the tests that need a private Tor network."""
    config.addinivalue_line("markers", "tor: needs Debian's tor; runs on a private network")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot run here, and remember it."""
    if item.get_closest_marker("tor") and (missing := missing_programs()):
        _not_run[item.nodeid] = f"not installed: {', '.join(missing)}"
        pytest.skip(_not_run[item.nodeid])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly how many tests did not run, because what was skipped was not tested."""
    if _not_run:
        terminalreporter.section("TOR: NOT TESTED", red=True, bold=True)
        why = ", ".join(sorted(set(_not_run.values())))
        terminalreporter.line(f"{len(_not_run)} tests through Tor did NOT run: {why}")
        terminalreporter.line("apt install tor sks sq dirmngr, then run them again")


@pytest.fixture(scope="session")
def made_keys() -> tuple[MadeKey, MadeKey]:
    """Two keys of gpg's own making."""
    with temporary_home() as home:
        return make_key(home, "alice@example.org"), make_key(home, "mallory@example.org")


@pytest.fixture(scope="session")
def keyserver_process() -> Iterator[KeyserverProcess]:
    """The test keyserver, once a run."""
    with keyserver_server() as process:
        yield process


@pytest.fixture
def keyserver(keyserver_process: KeyserverProcess) -> KeyserverProcess:
    """The test keyserver, empty and with its usual settings."""
    keyserver_process.lever("forget", {})
    return keyserver_process


@pytest.fixture(scope="session")
def liar_port(
    made_keys: tuple[MadeKey, MadeKey], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """A keyserver that lies about the first of the made keys."""
    folder: Path = tmp_path_factory.mktemp("lies")
    for name, body in lies(*made_keys).items():
        (folder / name).write_bytes(body)
    with server("tests.tor.liar", str(folder)) as port:
        yield port


@pytest.fixture(scope="session")
def sks_port() -> Iterator[int]:
    """Debian's sks with an empty database, or 0 where it is not installed."""
    with ExitStack() as stack:
        yield stack.enter_context(sks()) if find("sks") else 0


@pytest.fixture(scope="session")
def tor(
    keyserver_process: KeyserverProcess, liar_port: int, sks_port: int
) -> Iterator[PrivateNetwork]:
    """A private Tor network whose onion service answers under the name of the default keyserver."""
    services = {80: keyserver_process.port, LIAR_PORT: liar_port, 11371: sks_port or liar_port}
    with PrivateNetwork(services) as network:
        network.map_address(DEFAULT_ONION, network.onion)
        yield network


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
    """Give the lying keyserver that tells one lie, by its name."""
    return lambda lie: Keyserver.of(f"{DEFAULT_KEYSERVER}:{LIAR_PORT}/{lie}")
