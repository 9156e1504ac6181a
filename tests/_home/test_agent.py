"""The agent of a home: the path of its socket, and its end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, MakeGnuPG, PlainGpg, alice_at, cheap
from tests.namespaces import CHECKOUT
from tests.proc import agent_of
from tiny_gnupg import GnuPG

# -- its end -------------------------------------------------------------------------------


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


async def test_who_was_dropped_without_a_close_does_not_keep_the_agent(alices_home: Path) -> None:
    for _ in range(3):
        assert "MESSAGE" in await alice_at(alices_home).sign("x")
    gc.collect()
    async with alice_at(alices_home) as last:
        await last.sign("x")
        assert agent_of(alices_home) is not None
    assert agent_of(alices_home) is None


async def test_who_changed_the_homedir_leaves_the_earlier_one_too(
    alices_home: Path, other_home: Path
) -> None:
    async with alice_at(alices_home) as gpg:
        await gpg.sign("x")
        gpg.set_homedir(cheap(other_home))
        assert gpg.home == str(other_home)
        assert await gpg.list_keys() == {}
        await gpg.gen_key()
        gpg.set_homedir(alices_home)
        assert set((await gpg.list_keys()).values()) == {ALICE, BOB}
    assert agent_of(alices_home) is None
    assert agent_of(other_home) is None


async def test_an_agent_that_was_there_before_is_left_alone(
    home: Path, plain_gpg: Callable[..., PlainGpg]
) -> None:
    theirs = plain_gpg("theirs", home)
    theirs.new_key(f"Alice <{ALICE}>", algorithm="ed25519", usage="sign")
    agent = agent_of(home)
    async with alice_at(home, passphrase="theirs") as gpg:
        await gpg.sign("x")
    assert agent_of(home) == agent is not None


async def test_whoever_finds_the_agent_too_late_keeps_no_descriptor_of_it(
    alices_home: Path, plain_gpg: Callable[..., PlainGpg]
) -> None:
    # As a thread does whose call was cancelled while the instance was closed.
    async with alice_at(alices_home) as gpg:
        home = gpg._engine.home
    plain_gpg(home=alices_home).run("--list-secret-keys")
    assert home.find_agent() == agent_of(alices_home)
    assert not home.agent.runs()


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
