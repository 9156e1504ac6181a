"""What the tests share: homes that nothing is left of, and instances with keys that are ready.

Keys are made once a run, by the library itself, and each test that asks for them gets a copy.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tests.homes import Home, temporary_home
from tests.instances import SHIPPED_N, MakeGnuPG, PlainGpg, alice_at, bob_at, cheap, copied
from tests.leftovers import clean_home
from tests.other_ways import let_flow, start_ahead
from tests.signed import Signatures, make_signatures
from tiny_gnupg import GnuPG
from tiny_gnupg._home import home as homes
from tiny_gnupg._home import protection

_HERE = Path(__file__).parent
_FIGURE = "figure"
#: What takes longest in one piece, first.
_LONG = (
    "tor",
    "faults/test_changes_of_keys_are_stopped.py",
    "gnupg/test_odd_inputs.py",
    "peers/test_keys_of_all_kinds.py",
    "attacks/test_plaintext_of_a_damaged_message.py",
    "test_packaging.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Let no machine be too slow for hypothesis, and children be interrupted and soon begin."""
    settings.register_profile("any machine", deadline=None)
    settings.load_profile("any machine")
    # A shell gives its background jobs a SIGINT that is ignored, and they hand that on.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Python's children are compiled once, also where it is told to leave no such files about.
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        os.environ["PYTHONPYCACHEPREFIX"] = str(_HERE.parent / "build" / "bytecode")
    # Java's run for a second, in which it takes more work to compile them well than that is worth.
    os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes longest in one piece: no process is left alone with it at the end."""
    tops = [_HERE / name for name in _LONG]
    items.sort(key=lambda item: [not item.path.is_relative_to(top) for top in tops])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Return the processes of a run (``-n``) one file after another to test, in the order above."""
    config.option.loadscopereorder = False
    return _ByFile(config, log)


class _ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """By file, as what is made for a module is made once; the Tor network's, by their folder."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return "tests/tor" if file.startswith("tests/tor/") else file


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests measured, also where all of them passed."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    lines = [line for report in reports for name, line in report.user_properties if name == _FIGURE]
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.line(str(line))


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Takes lines that are printed at the end of the run."""
    return functools.partial(record_property, _FIGURE)


@pytest.fixture(params=["started at need", "started ahead"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test twice: as it is, and with a gpg that waits for each message that may have one."""
    if request.param == "started ahead":
        start_ahead(monkeypatch)


@pytest.fixture(params=["started at need", "started ahead", "flowing"])
def every_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test as ``both_ways`` does, and with what it decrypts and verifies as streams."""
    if request.param == "started ahead":
        start_ahead(monkeypatch)
    if request.param == "flowing":
        let_flow(monkeypatch)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let gpg's own way protect keys as it does outside of the tests."""
    monkeypatch.setattr(homes, "OWN_COUNT", "")


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let homes cost what they do outside of the tests: other programs take no cheaper ones."""
    monkeypatch.setattr(protection, "LEAST_N", SHIPPED_N)


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path for a homedir; after the test nothing of it is left, in the whole system."""
    with clean_home() as path:
        yield path


@pytest.fixture
def other_home() -> Iterator[Path]:
    """One more such path."""
    with clean_home() as path:
        yield path


@pytest.fixture(scope="module")
def gpg_home() -> Iterator[Home]:
    """A home of gpg's own making, with Alice's key: what is read in a module is written there."""
    with temporary_home() as made:
        fingerprint = made.new_key("Alice <a@x.org>", "ed25519", "cert,sign")
        made.run("--quick-add-key", fingerprint, "cv25519", "encr")
        yield made


@pytest.fixture
async def make_gnupg(
    home: Path, other_home: Path, plain_gpg: Callable[..., PlainGpg]
) -> AsyncIterator[MakeGnuPG]:
    """A maker of instances, by default Alice's in ``home``, that are closed after the test."""
    # The other homes are asked for so that they are there until the instances are closed, whose
    # gpgs that wait would be taken for something that was left behind.
    async with contextlib.AsyncExitStack() as stack:

        def make(who: Callable[..., GnuPG] = alice_at, at: Path = home, **more: Any) -> GnuPG:
            gpg = who(at, **more)
            stack.push_async_callback(gpg.aclose)
            return gpg

        yield make


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two homes, ``alice`` and ``bob``: each has its own secret key and the other's public key."""
    ready = tmp_path_factory.mktemp("homes")
    with clean_home() as first, clean_home() as second:
        asyncio.run(_make_keys(cheap(first), cheap(second)))
        copied(first, ready / "alice")
        copied(second, ready / "bob")
    return ready


async def _make_keys(first: Path, second: Path) -> None:
    async with alice_at(first) as alice, bob_at(second) as bob:
        await asyncio.gather(alice.gen_key(), bob.gen_key())
        await alice.text_import(await bob.text_export())
        await bob.text_import(await alice.text_export())


@pytest.fixture
def alices_home(keys: Path, home: Path) -> Path:
    """``home`` with Alice's secret key and Bob's public key."""
    return copied(keys / "alice", home)


@pytest.fixture
def bobs_home(keys: Path, other_home: Path) -> Path:
    """``other_home`` with Bob's secret key and Alice's public key."""
    return copied(keys / "bob", other_home)


@pytest.fixture
async def alice(alices_home: Path, make_gnupg: MakeGnuPG) -> GnuPG:
    """Alice, who has Bob's public key; her home is open, and what watches it is there."""
    gpg = make_gnupg(alice_at, alices_home)
    await gpg.set_fingerprint(gpg.email)
    return gpg


@pytest.fixture
def bob(bobs_home: Path, make_gnupg: MakeGnuPG) -> GnuPG:
    """Bob, who has Alice's public key; he opens his home where a test has him do something."""
    gpg = make_gnupg(bob_at, bobs_home)
    (certificate,) = (bobs_home / "openpgp-revocs.d").iterdir()
    gpg.fingerprint = certificate.stem
    return gpg


@pytest.fixture(scope="module")
def signed() -> Iterator[Signatures]:
    """Signatures of all kinds, made once a module."""
    with clean_home() as home:
        plain = PlainGpg(home)
        try:
            yield make_signatures(plain)
        finally:
            plain.end_agent()


@pytest.fixture
def plain_gpg() -> Iterator[Callable[..., PlainGpg]]:
    """A maker of plain gpgs, each in a home of its own, where none is given."""
    with contextlib.ExitStack() as stack:

        def make(passphrase: str = "", home: Path | None = None) -> PlainGpg:
            gpg = PlainGpg(home or stack.enter_context(clean_home()), passphrase)
            gpg.be_quick()
            stack.callback(gpg.end_agent)
            return gpg

        yield make
