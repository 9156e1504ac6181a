"""A gpg-agent that does not start, dies, hangs or has no socket: said so, and over when it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from scripts.namespaces import mount_namespace
from tests.instances import ALICE, BOB, MakeGnuPG, PlainGpg, alice_at, cheap
from tests.leftovers import clean_home
from tests.namespaces import CHECKOUT
from tests.proc import agent_of
from tiny_gnupg import AgentUnavailable, GnuPG, GnuPGError
from tiny_gnupg._home import agent as agents
from tiny_gnupg._home.agent import Agent
from tiny_gnupg._operations import engine
from tiny_gnupg._process.find_gpg import agent_program, find_executable

Try = Callable[[GnuPG], Awaitable[object]]

#: Whatever needs a secret key, or tells which are here.
NEED_IT: dict[str, Try] = {
    "sign": lambda gpg: gpg.sign("x"),
    "sign a key": lambda gpg: gpg.certify(BOB),
    "detached": lambda gpg: gpg.sign("x", detach=True),
    "encrypt and sign": lambda gpg: gpg.encrypt("x", BOB),
    "keys": lambda gpg: gpg.keys(),
    "secret keys": lambda gpg: gpg.keys(secret=True),
    "list_keys": lambda gpg: gpg.list_keys(secret=True),
    "gen_key": lambda gpg: gpg.gen_key(),
    "export": lambda gpg: gpg.text_export(ALICE, secret=True),
    "change_passphrase": lambda gpg: gpg.change_passphrase(ALICE, "new"),
    "set_expire": lambda gpg: gpg.set_expire(ALICE, "1y"),
    "add_uid": lambda gpg: gpg.add_uid(ALICE, "Alice", "alice@example.net"),
    "revoke": lambda gpg: gpg.revoke(ALICE),
    "set_fingerprint": lambda gpg: gpg.sign("x", ALICE),
}


class Wrapped:
    """A gpg that knows its own agent, and that agent, which can be broken."""

    def __init__(self, folder: Path) -> None:
        gpg, self.agent = find_executable(), folder / "agent"
        self.executable, self._program = folder / "gpg", agent_program(gpg)
        self.executable.write_text(f'#!/bin/sh\nexec "{gpg}" --agent-program "{self.agent}" "$@"\n')
        self.executable.chmod(0o755)
        self.mend()

    def broken(self, how: str) -> None:
        self.agent.unlink()
        if how == "is not there":
            return
        self.agent.write_text({"fails": "#!/bin/sh\nexit 1\n", "is no program": ""}[how])
        self.agent.chmod(0o755 if how == "fails" else 0o644)

    def mend(self) -> None:
        self.agent.unlink(missing_ok=True)
        self.agent.symlink_to(self._program or str(shutil.which("gpg-agent")))


@pytest.mark.parametrize("how", ["fails", "is no program", "is not there"])
async def test_it_does_not_start(
    alices_home: Path,
    make_gnupg: MakeGnuPG,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    # Not one that is just ending is waited for: it is tried as often.
    monkeypatch.setattr(engine, "PAUSES", (0,) * len(engine.PAUSES))
    wrapped = Wrapped(tmp_path)
    async with alice_at(alices_home) as before:
        signed, encrypted = await before.sign("x"), await before.encrypt("x", ALICE)
        block = await before.text_export(ALICE, secret=True)
        symmetric = await before.encrypt_symmetric("x", "a word")
    wrapped.broken(how)
    gpg = make_gnupg(alice_at, alices_home, executable=wrapped.executable)
    with_messages: dict[str, Try] = {
        "decrypt": lambda gpg: gpg.decrypt(encrypted),
        "import": lambda gpg: gpg.text_import(block),
    }
    for name, call in (NEED_IT | with_messages).items():
        with pytest.raises(AgentUnavailable) as caught:
            await call(gpg)
        assert "agent" in str(caught.value), name
    # What needs none goes on.
    assert (await gpg.verify(signed)).signatures[0].good
    assert BOB in (await gpg.list_keys()).values()
    assert "MESSAGE" in await gpg.encrypt("x", BOB, sign=False)
    assert "PUBLIC" in await gpg.text_export(BOB)
    assert await gpg.decrypt(symmetric, passphrase="a word") == "x"
    # And nothing of it is remembered.
    wrapped.mend()
    assert await gpg.decrypt(await gpg.encrypt("x", ALICE)) == "x"
    assert [key.email for key in await gpg.keys(secret=True)] == [ALICE]


async def test_there_are_no_sockets(
    alices_home: Path, make_gnupg: MakeGnuPG, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where systemd's RestrictAddressFamilies leaves out AF_UNIX."""
    gpg = make_gnupg(alice_at, alices_home)

    def refused(*_: object, **__: object) -> socket.socket:
        raise OSError(97, os.strerror(97))

    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", refused)
        with pytest.raises(AgentUnavailable, match="does not start"):
            await gpg.keys(secret=True)
        assert BOB in (await gpg.list_keys()).values()
    assert "MESSAGE" in await gpg.sign("x")


async def test_a_plain_gpgs_home_without_an_agent(
    plain_gpg: Callable[..., PlainGpg], make_gnupg: MakeGnuPG, tmp_path: Path
) -> None:
    """There a secret key is imported by gpg itself, whose public part comes in first."""
    wrapped = Wrapped(tmp_path)
    source = plain_gpg("theirs")
    source.new_key("Carol <carol@example.org>", algorithm="ed25519", usage="sign")
    block = source.run("--export-secret-keys").stdout
    with clean_home() as path:
        cheap(path, "gnupg")
        wrapped.broken("fails")
        async with alice_at(path, passphrase="theirs", executable=wrapped.executable) as gpg:
            with pytest.raises(AgentUnavailable):
                await gpg.text_import(block)
            wrapped.mend()
            assert (await gpg.text_import(block)).secret_imported == 1
            assert "MESSAGE" in await gpg.sign("x", "carol@example.org")


async def test_it_is_killed_again_and_again(alice: GnuPG) -> None:
    """Each answer is right, or says that the agent has gone; never that a key is not there."""
    home, over = Path(alice.home), threading.Event()
    message = await alice.encrypt("x", ALICE)
    rng = random.Random(os.environ.get("TINY_GNUPG_SEED", "agent"))

    def kill() -> None:
        while not over.wait(rng.uniform(0.005, 0.1)):
            agent = agent_of(home)
            if agent is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(agent, rng.choice([signal.SIGKILL, signal.SIGTERM]))

    async def call(number: int) -> bool:
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: alice.decrypt(message),
            lambda: alice.keys(secret=True),
            lambda: alice.sign("x"),
        ]
        right: list[Callable[[object], bool]] = [
            lambda found: found == "x",
            lambda found: [key.email for key in found] == [ALICE],  # type: ignore[attr-defined]
            lambda found: "MESSAGE" in str(found),
        ]
        try:
            found = await calls[number % 3]()
        except AgentUnavailable:
            return False
        assert right[number % 3](found)
        return True

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        for _ in range(10):
            await asyncio.gather(*map(call, range(12)))
    finally:
        over.set()
        await asyncio.to_thread(thread.join)
    assert [key.email for key in await alice.keys(secret=True)] == [ALICE]
    assert await alice.decrypt(message) == "x"


@pytest.mark.parametrize("lost", ["socket", "all sockets", "agent and socket"])
async def test_its_socket_is_gone(alice: GnuPG, lost: str) -> None:
    await alice.sign("x")
    home = Path(alice.home)
    agent = agent_of(home)
    assert agent is not None
    for path in home.glob("S.gpg-agent" + "*" * (lost != "socket")):
        path.unlink()
    if lost == "agent and socket":
        os.kill(agent, signal.SIGKILL)
    works = 0
    while works < 3:  # an agent that is just ending takes a moment, and the next one's sockets
        with contextlib.suppress(AgentUnavailable):
            assert await alice.decrypt(await alice.encrypt("x", ALICE)) == "x"
            works += 1


class Ticker:
    """Counts how often a thread ticks while the loop does not: at any load, it was held so long."""

    def __init__(self) -> None:
        self._ticks, self._over, self.worst = 0, threading.Event(), 0

    async def __aenter__(self) -> Ticker:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        self._task = asyncio.ensure_future(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        await self._task
        await asyncio.to_thread(self._thread.join)

    async def _tick(self) -> None:
        while not self._over.is_set():
            self._ticks += 1
            await asyncio.sleep(0.01)

    def _watch(self) -> None:
        seen, count = -1, 0
        while not self._over.wait(0.01):
            seen, count = self._ticks, count + 1 if seen == self._ticks else 0
            self.worst = max(self.worst, count)


def stop(pid: int) -> None:
    """Stop a process; where a thread of it is just ending, the signal may do nothing."""
    while ") T" not in Path(f"/proc/{pid}/stat").read_text():
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.05)


@pytest.fixture
def stopped(home: Path, plain_gpg: Callable[..., PlainGpg]) -> Iterator[int]:
    """Somebody's home in ``home``, whose agent is there and does nothing."""
    theirs = plain_gpg("theirs", home)
    theirs.new_key(f"Alice <{ALICE}>", algorithm="ed25519", usage="sign")
    found = Agent()  # not as it is seen: its parent may be there still
    agent = found.find(home)
    stop(agent)
    yield agent
    os.kill(agent, signal.SIGCONT)
    found.forget()


async def test_it_hangs_when_a_home_is_opened(
    home: Path, stopped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call fails, the loop goes on, and the owner's agent is left as it is."""
    gpg = alice_at(home, passphrase="theirs")
    async with Ticker() as ticker:
        with pytest.raises(AgentUnavailable, match="does not answer"):
            await gpg.sign("x", ALICE)
    assert ticker.worst < 150
    with monkeypatch.context() as patched:
        patched.setattr(agents, "AGENT_GRACE", 0.1)  # it does not answer, however long that is
        for call in (gpg.keys, lambda: gpg.text_export(secret=True)):
            with pytest.raises(AgentUnavailable, match="does not answer"):
                await call()
        assert list((await gpg.list_keys()).values()) == [ALICE]
    os.kill(stopped, signal.SIGCONT)
    assert "MESSAGE" in await gpg.sign("x", ALICE)
    await gpg.aclose()
    assert agent_of(home) == stopped


async def test_our_own_agent_that_hangs_is_ended_all_the_same(alices_home: Path) -> None:
    async with alice_at(alices_home) as gpg, alice_at(alices_home, timeout=0.5) as hasty:
        await gpg.sign("x")
        agent = agent_of(alices_home)
        assert agent is not None
        stop(agent)
        with pytest.raises(GnuPGError):
            await hasty.sign("x")
    assert agent_of(alices_home) is None


# -- whose agent it is ---------------------------------------------------------------------


async def test_an_agent_that_we_had_to_start_in_somebodys_home_ends_with_us(
    home: Path, plain_gpg: Callable[..., PlainGpg]
) -> None:
    theirs = plain_gpg("theirs", home)
    theirs.new_key(f"Alice <{ALICE}>", algorithm="ed25519", usage="sign")
    async with alice_at(home, passphrase="theirs") as gpg:
        await gpg.sign("x", ALICE)
        theirs.end_agent()  # the owner has logged out
        await gpg.sign("x", ALICE)
        assert agent_of(home) is not None
    assert agent_of(home) is None


USERS_OWN = """
import asyncio, os, subprocess, sys, time
from pathlib import Path
from tests.instances import PlainGpg, alice_at
from tests.proc import agent_of

home, sockets = Path.home() / ".gnupg", Path("/run/user", str(os.getuid()), "gnupg")
theirs = PlainGpg(home, "theirs")

async def use():
    async with alice_at("~/.gnupg", passphrase="theirs") as gpg:
        assert "MESSAGE" in await gpg.sign("x", "alice@example.org")
        assert (sockets / "S.gpg-agent").is_socket(), list(sockets.iterdir())
        assert not list(sockets.glob("d.*"))
        agent = agent_of(home)
        # Meanwhile the user's own gpg works, and may ask on the screen.
        assert b"MESSAGE" in theirs.run("--clear-sign", stdin="x").stdout
        conf = home / "tiny_gnupg.d" / "gpg-agent.conf"
        assert "\\npinentry-program" not in conf.read_text()
        return agent

if sys.argv[1] == "made by us":
    async def make():
        async with alice_at("~/.gnupg", passphrase="theirs", protection="gnupg") as gpg:
            await gpg.gen_key()
    asyncio.run(make())
    assert not (home / "gpg-agent.conf").exists()
else:
    home.mkdir(mode=0o700)
    theirs.be_quick()
    theirs.new_key("Alice <alice@example.org>", algorithm="ed25519", usage="sign")
    if sys.argv[1] == "without an agent":
        theirs.end_agent()
before = agent_of(home)
used = asyncio.run(use())
assert used is not None
assert agent_of(home) == before, (agent_of(home), before)
assert before is None or used == before
assert b"MESSAGE" in theirs.run("--clear-sign", stdin="x").stdout
theirs.end_agent()
"""


@pytest.mark.parametrize("whose", ["with an agent", "without an agent", "made by us"])
def test_the_users_own_home_in_a_login_session(home: Path, whose: str) -> None:
    """GnuPG keeps its sockets in /run/user/UID/gnupg itself."""
    namespace = mount_namespace()
    if not namespace:
        pytest.skip("NOT TESTED: this kernel gives us no mount namespace (run as root)")
    uid = 0 if "--map-root-user" in namespace else os.getuid()
    mounting = f'mount -t tmpfs tmpfs /run && mkdir -p -m 700 /run/user/{uid} && exec "$@"'
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [*namespace, "sh", "-c", mounting, "sh", sys.executable, "-c", USERS_OWN, whose],
        cwd=CHECKOUT,
        env=os.environ | {"HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


PROCESS_1 = """
import asyncio, os, signal, subprocess, sys, time
from pathlib import Path
from tests.instances import alice_at
from tests.proc import agent_of

def zombies():
    found = (p / "stat" for p in Path("/proc").iterdir() if p.name.isdigit())
    return [stat for stat in map(Path.read_text, found) if ") Z" in stat]

async def main(home):
    for way in ("closed", "killed", "closed", "reset"):
        async with alice_at(home) as gpg:
            await gpg.sign("x")
            if way == "killed":
                os.kill(agent_of(home), signal.SIGKILL)
                time.sleep(0.1)
                await gpg.sign("x")
            if way == "reset":
                await gpg.reset_daemon()
    await gpg.text_export(secret=True)
    await gpg.aclose()

assert os.getpid() == 1
ours = subprocess.Popen(["true"])  # the program's own child is its own to ask for
asyncio.run(main(Path(sys.argv[1])))
assert ours.wait() == 0
print(zombies())
"""


def test_process_1_keeps_no_zombie(alices_home: Path) -> None:
    """In a container whose first process is Python, an agent that ended is its child."""
    namespace = ["unshare", *([] if os.getuid() == 0 else ["--user", "--map-root-user"])]
    command = [*namespace, "--pid", "--fork", "--mount-proc", sys.executable, "-c", PROCESS_1]
    if subprocess.run([*command[:-2], "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: this kernel gives us no process namespace")
    done = subprocess.run(
        [*command, alices_home], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
