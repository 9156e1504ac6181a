"""The test keyserver against the programs of others, so that it is not tuned to us.

gpg's own dirmngr and Sequoia's sq know nothing of this package. What they publish and find on the
test keyserver they publish and find on Debian's sks too.
"""

from __future__ import annotations

import re
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.homes import Home, temporary_home
from tests.tor import openpgp
from tests.tor.material import MadeKey, make_key
from tests.tor.processes import KeyserverProcess, find


@pytest.fixture
def key() -> MadeKey:
    """A key of an address that no server knows yet; sks cannot be emptied."""
    with temporary_home() as home:
        return make_key(home, f"bob.{secrets.token_hex(8)}@example.org")


@pytest.fixture
def home() -> Iterator[Home]:
    """A gpg home whose dirmngr is ended with it."""
    with temporary_home() as made:
        yield made
        stop = ["gpg-connect-agent", "--dirmngr", "--no-autostart", "--homedir", str(made.path)]
        subprocess.run([*stop, "KILLDIRMNGR", "/bye"], capture_output=True, timeout=30, check=False)
        # It goes on for a moment; its socket goes with it.
        deadline = time.monotonic() + 10
        while (made.path / "S.dirmngr").exists() and time.monotonic() < deadline:
            time.sleep(0.02)


@pytest.fixture(params=["ours", "sks"])
def port(request: pytest.FixtureRequest, keyserver: KeyserverProcess, sks_port: int) -> int:
    """The port of the test keyserver, then that of a real one."""
    if request.param == "sks" and not sks_port:
        pytest.skip("sks is not installed")
    return keyserver.port if request.param == "ours" else sks_port


def confirm(keyserver: KeyserverProcess, port: int, key: MadeKey) -> None:
    """Confirm the key's address, where the server asks for that."""
    if port == keyserver.port:
        answer = keyserver.post("vks/v1/upload", {"keytext": key.armored})
        wanted = {"token": answer["token"], "addresses": [key.email]}
        assert keyserver.post("vks/v1/request-verify", wanted)["status"] == {key.email: "pending"}
        assert keyserver.confirm_all() == [key.email]


@pytest.mark.skipif(not find("dirmngr"), reason="dirmngr is not installed")
def test_gpgs_own_dirmngr_publishes_finds_and_fetches(
    keyserver: KeyserverProcess, port: int, home: Home, key: MadeKey
) -> None:
    server = ("--keyserver", f"hkp://127.0.0.1:{port}")
    home.run("--import", stdin=key.public)
    home.run(*server, "--send-keys", key.fingerprint)
    home.run("--yes", "--delete-keys", key.fingerprint)
    if port == keyserver.port:
        # What gpg does with a key whose user ids are withheld: nothing.
        home.run(*server, "--recv-keys", key.fingerprint)
        assert home.run("--list-keys") == b""
    confirm(keyserver, port, key)
    shown = home.colons(*server, "--search-keys", key.email)
    assert key.fingerprint[-16:] in shown
    assert key.email in shown
    home.run(*server, "--recv-keys", key.subkey_fingerprints[1])
    assert sorted(openpgp.packets(home.run("--export"))) == sorted(key.packets)


@pytest.mark.skipif(not find("sq"), reason="sq is not installed")
def test_sequoias_sq_publishes_and_fetches(
    keyserver: KeyserverProcess, port: int, key: MadeKey, tmp_path: Path
) -> None:
    # From 1.0 on it is asked in other words.
    version = subprocess.run(["sq", "--version"], capture_output=True, text=True, check=False)
    if not re.match(r"sq 0\.2\d\.", version.stdout):
        pytest.skip("NOT TESTED: the command line of this sq is another")
    base = ["sq", "keyserver", "--policy", "insecure", "--server", f"hkp://127.0.0.1:{port}"]
    file = tmp_path / "key.asc"
    file.write_text(key.armored)

    def sq(*arguments: str) -> bytes:
        done = subprocess.run([*base, *arguments], capture_output=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    sq("send", str(file))
    confirm(keyserver, port, key)
    # sq sets the packets in an order of its own.
    for name in (key.fingerprint, key.fingerprint[-16:], key.email):
        got = list(openpgp.packets(openpgp.dearmor(sq("get", name))))
        assert sorted((each.tag, each.body) for each in got) == sorted(
            (each.tag, each.body) for each in key.packets
        )
