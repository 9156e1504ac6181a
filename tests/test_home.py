"""A homedir: its path, its permissions, its configuration, and the life of its agent."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.instances import ALICE, MakeGnuPG, PlainGpg, alice_at, bob_at, cheap, copied
from tests.leftovers import LINKS, clean_home
from tests.namespaces import CHECKOUT, run_in_private
from tiny_gnupg import BadPassphrase, GnuPG, HomeUnusable
from tiny_gnupg.binary import package_home
from tiny_gnupg.home import Home, default_homedir
from tiny_gnupg.zbase32 import z_base_32

# -- where it is ---------------------------------------------------------------------------


@pytest.mark.parametrize("run_user", ["with", "without"])
def test_a_homedir_of_200_characters_works(home: Path, run_user: str) -> None:
    top = home / ("x" * 90)
    homedir = top / ("y" * (199 - len(str(top))))
    printed = run_in_private("whole_life", homedir, run_user, mounts={"/run": "mode=755"})
    assert printed == f"200 characters {run_user} /run/user\n"


async def test_a_long_homedir_leaves_no_link_behind() -> None:
    with clean_home(Path("long" * 30)) as home:
        async with alice_at(cheap(home)) as gpg:
            await gpg.gen_key()
            assert await gpg.decrypt(await gpg.encrypt("x")) == "x"


def test_a_directory_of_links_that_others_can_write_to_is_not_used(home: Path) -> None:
    LINKS.mkdir(mode=0o700, exist_ok=True)
    mounts = {"/run": "mode=755", str(LINKS): "mode=777"}
    try:
        assert run_in_private("open_links", home / ("x" * 150), mounts=mounts) == "refused\n"
    finally:
        with suppress(OSError):  # other homes have links in it
            LINKS.rmdir()


@pytest.mark.parametrize("name", ["a b", 'it\'s "q"', "ünï 𝄞", "100%41", "-dash", "$HOME"])
async def test_any_name_of_a_homedir_works(keys: Path, name: str) -> None:
    with clean_home(Path(name)) as home:
        async with alice_at(copied(keys / "alice", home)) as gpg:
            assert await gpg.decrypt(await gpg.encrypt("x")) == "x"


async def test_a_homedir_through_a_symbolic_link_is_the_same_home(
    alice: GnuPG, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(alice.home)
    async with alice_at(tmp_path / "link") as other:
        assert await other.list_keys() == await alice.list_keys()
        assert other._engine.home is alice._engine.home


def test_the_default_homedir(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("TINY_GNUPG_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_homedir(tmp_path) == tmp_path
    with caplog.at_level("INFO", "tiny_gnupg"):
        found = default_homedir(tmp_path / "is not there")
    assert found == tmp_path / "tiny_gnupg" / "gpghome"
    assert str(found) in caplog.text
    monkeypatch.setenv("TINY_GNUPG_HOME", "/elsewhere")
    assert default_homedir(tmp_path) == Path("/elsewhere")
    assert GnuPG().home == "/elsewhere"


def test_a_tilde_in_a_homedir_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert GnuPG(homedir="~/keys").home == "/home/somebody/keys"


def test_zbase32_is_that_of_its_authors() -> None:
    # Vectors from the alphabet's definition: 5 bits a character, most significant first.
    assert z_base_32(b"\0" * 5) == "y" * 8
    assert z_base_32(b"\xff" * 5) == "9" * 8
    assert z_base_32(bytes([0b00001_000, 0, 0, 0, 0])) == "b" + "y" * 7
    assert len(z_base_32(b"x" * 15)) == 24


# -- what is in it -------------------------------------------------------------------------


async def test_a_new_home_is_its_owners_alone_and_configured(
    home: Path, make_gnupg: MakeGnuPG
) -> None:
    home.rmdir()
    gpg = make_gnupg()
    assert not home.exists(), "to construct an instance touches nothing"
    assert await gpg.list_keys() == {}
    assert home.stat().st_mode & 0o777 == 0o700
    shipped = package_home()
    for name in ("gpg-agent.conf", "common.conf"):
        assert (home / name).read_text() == (shipped / name).read_text()
    assert (home / "tiny_gnupg.d" / "protection.json").stat().st_mode & 0o777 == 0o600


async def test_open_permissions_are_closed(home: Path, make_gnupg: MakeGnuPG) -> None:
    home.chmod(0o755)
    await make_gnupg().list_keys()
    assert home.stat().st_mode & 0o777 == 0o700


async def test_a_home_made_elsewhere_keeps_its_way_and_its_files(
    home: Path, make_gnupg: MakeGnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    theirs = plain_gpg("theirs", home)
    fingerprint = theirs.new_key(f"Alice <{ALICE}>", algorithm="ed25519", usage="sign")
    (home / "gpg-agent.conf").write_text("default-cache-ttl 600\n")
    theirs.end_agent()
    gpg = make_gnupg(passphrase="theirs")
    assert "MESSAGE" in await gpg.sign("x")
    assert gpg.fingerprint == fingerprint
    assert await gpg.unlock() == "theirs"
    assert (home / "gpg-agent.conf").read_text() == "default-cache-ttl 600\n"
    assert not (home / "common.conf").exists()
    aside = (home / "tiny_gnupg.d" / "gpg-agent.conf").read_text().splitlines()
    assert not any(line.startswith("s2k-count") for line in aside)
    # Their agent would have kept the right passphrase, and taken a wrong one for it.
    with pytest.raises(BadPassphrase):
        await make_gnupg(passphrase="wrong").sign("x", fingerprint)


async def test_a_home_is_not_used_in_another_way_than_its_own(
    alices_home: Path, make_gnupg: MakeGnuPG
) -> None:
    with pytest.raises(HomeUnusable, match="leave out protection="):
        await make_gnupg(protection="gnupg").list_keys()
    assert len(await make_gnupg(protection="scrypt").list_keys()) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "rot13"}', '{"kind": "scrypt", "x": 1}'])
async def test_a_damaged_marker_is_said_to_be_one(
    alices_home: Path, make_gnupg: MakeGnuPG, text: str
) -> None:
    marker = alices_home / "tiny_gnupg.d" / "protection.json"
    marker.write_text(text)
    with pytest.raises(HomeUnusable, match=r"protection\.json"):
        await make_gnupg().sign("x", ALICE)
    assert marker.read_text() == text


async def test_many_instances_open_a_new_home_at_once(home: Path, make_gnupg: MakeGnuPG) -> None:
    found = await asyncio.gather(*(make_gnupg().unlock() for _ in range(3)))
    assert len(set(found)) == 1, "one marker, one salt"


# -- its agent -----------------------------------------------------------------------------


def agent_of(home: Path) -> int | None:
    """Give the process id of the agent of a home that names it as an argument."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"agent" in line[0] and os.fsencode(home) in line:
                return int(entry.name)
    return None


async def test_the_last_one_who_leaves_ends_the_agent(
    alices_home: Path, make_gnupg: MakeGnuPG
) -> None:
    first, second = make_gnupg(), make_gnupg()
    await asyncio.gather(first.sign("x"), second.sign("x"))
    agent = agent_of(alices_home)
    assert agent is not None
    await first.aclose()
    assert agent_of(alices_home) == agent
    await second.sign("x")
    await second.aclose()
    assert agent_of(alices_home) is None
    assert "MESSAGE" in await first.sign("opened anew")


async def test_an_agent_that_was_there_before_is_left_alone(
    home: Path, plain_gpg: Callable[..., PlainGpg]
) -> None:
    theirs = plain_gpg("theirs", home)
    theirs.new_key(f"Alice <{ALICE}>", algorithm="ed25519", usage="sign")
    agent = agent_of(home)
    async with alice_at(home, passphrase="theirs") as gpg:
        await gpg.sign("x")
    assert agent_of(home) == agent is not None


async def test_another_process_keeps_the_agent(alice: GnuPG) -> None:
    await alice.sign("x")
    program = (
        "import asyncio, sys; from tests.instances import alice_at\n"
        "async def main():\n"
        "    async with alice_at(sys.argv[1]) as gpg: await gpg.sign('x')\n"
        "asyncio.run(main())"
    )
    agent = agent_of(Path(alice.home))
    command = [sys.executable, "-c", program, alice.home]
    subprocess.run(command, cwd=CHECKOUT, check=True)
    assert agent_of(Path(alice.home)) == agent is not None


async def test_reset_daemon_ends_the_agent_and_a_new_one_comes(alice: GnuPG) -> None:
    await alice.sign("x")
    agent = agent_of(Path(alice.home))
    await alice.reset_daemon()
    assert agent_of(Path(alice.home)) is None
    await alice.sign("x")
    assert agent_of(Path(alice.home)) not in (None, agent)


async def test_an_agent_that_was_killed_is_no_loss(alice: GnuPG) -> None:
    await alice.sign("x")
    agent = agent_of(Path(alice.home))
    assert agent is not None
    os.kill(agent, signal.SIGKILL)
    assert "MESSAGE" in await alice.sign("x")


@pytest.mark.parametrize("way", ["asyncio.run", "run", "sys.exit", "exception", "fork"])
def test_the_agent_ends_with_the_interpreter(alices_home: Path, way: str) -> None:
    done = _exits(alices_home, way)
    assert (done.returncode, done.stderr) == (1 if way == "exception" else 0, "")
    assert agent_of(alices_home) is None


def test_the_agent_of_a_killed_process_ends_with_the_next(alices_home: Path) -> None:
    assert _exits(alices_home, "kill").returncode == -signal.SIGKILL
    assert agent_of(alices_home) is not None
    assert _exits(alices_home, "run").returncode == 0
    assert agent_of(alices_home) is None


def _exits(home: Path, way: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.programs.exits", str(home), way]
    return subprocess.run(
        command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False
    )


async def test_what_a_killed_process_left_of_a_scratch_home_goes(alices_home: Path) -> None:
    left = alices_home / "tiny_gnupg.d" / "scratch.0123456789ab"
    left.mkdir(mode=0o700)
    agent = PlainGpg(left)
    agent.new_key("x@example.org", algorithm="ed25519", usage="sign")
    assert agent_of(left) is not None
    async with alice_at(alices_home) as gpg:
        await gpg.list_keys()
        assert not left.exists()
    assert agent_of(left) is None


async def test_two_identities_in_one_home_are_apart(alices_home: Path) -> None:
    async with alice_at(alices_home) as alice, bob_at(alices_home) as bob:
        message = await alice.encrypt("for Alice", ALICE)
        assert await alice.decrypt(message) == "for Alice"
        with pytest.raises(BadPassphrase):
            await bob.decrypt(message)
        assert await alice.decrypt(message) == "for Alice"


def test_a_home_is_known_once_in_a_process(tmp_path: Path) -> None:
    first = Home.at(tmp_path / "h")
    assert Home.at(tmp_path / "." / "h") is first
    Home.drop(first)
    assert Home.at(tmp_path / "h") is not first
    Home.drop(Home.at(tmp_path / "h"))


async def test_a_keyring_that_changed_has_another_signature(alice: GnuPG, bob: GnuPG) -> None:
    home = alice._engine.home
    before = home.signature()
    await alice.list_keys()
    assert home.signature() == before
    time.sleep(0.01)
    await alice.delete(bob.fingerprint)
    assert home.signature() != before
