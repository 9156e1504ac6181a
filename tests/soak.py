"""Use a home for some minutes while what it needs is killed, stopped, locked and taken away.

``python -m tests.soak [MINUTES]`` (default: 30) prints how many operations there were, how they
ended, what was done to them (this process forks, too), and what was left behind. It ends with 1
where an answer was wrong: a key or a signature said to be missing or bad that was good, something
lost, or something left.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.faults.rounds import SEED, Rounds
from tests.instances import alice_at, bob_at, cheap
from tests.leftovers import clean_home, links_to
from tests.proc import agent_of, children, command_lines, users_of
from tiny_gnupg import (
    AgentUnavailable,
    CommandFailed,
    GnuPG,
    GnuPGError,
    GnuPGTimeout,
    HomeUnusable,
)

#: How an operation may end that was disturbed. No other error is true of it.
TRUE = (AgentUnavailable, CommandFailed, GnuPGTimeout, HomeUnusable)

#: Seconds between two faults, and between two looks at the whole.
PAUSE, LOOK = 0.4, 15.0

#: Seconds for which a forked child lives that does nothing.
LIFE = 5.0

#: Seconds for one operation.
TIMEOUT = 90.0


class Faults:
    """What is done to a home."""

    def __init__(self, home: Path, message: str) -> None:
        self._home = home
        self._message = message
        self._forked: set[int] = set()
        self.wrong: list[str] = []
        self.done: Counter[str] = Counter()
        self.kinds: dict[str, Callable[[], object]] = {
            "gpg killed": lambda: self._end(children()),
            "agent killed": lambda: self._end(self._agents()),
            "agent stopped for a moment": self._pause_agent,
            "lock of a process that is gone": lambda: self._lock(os.uname().nodename),
            "lock of another machine": lambda: self._lock("web-7d4b9c-old"),
            "short link taken away": self._take_link,
            "sockets taken away": self._take_sockets,
            "fork": self._fork,
        }

    def do(self) -> None:
        """Do one of them."""
        name = random.choice(sorted(self.kinds))
        self.kinds[name]()
        self.done[name] += 1

    def _fork(self) -> None:
        """Fork with calls in flight; the child ends at once, lives a while, or makes a call."""
        what = random.choice(["ends", "lives", "calls"])
        child = os.fork()
        if child == 0:
            code = 1
            try:
                if what == "lives":
                    time.sleep(random.uniform(0, LIFE))
                if what == "calls":
                    asyncio.run(self._call())
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        self._forked.add(child)
        self.reap(os.WNOHANG)

    async def _call(self) -> None:
        with suppress(*TRUE):
            async with alice_at(self._home, timeout=TIMEOUT) as gpg:
                assert await gpg.decrypt(self._message) == "held"

    def reap(self, options: int) -> None:
        """Ask for the forked children that have ended, or wait for all of them."""
        for child in list(self._forked):
            pid, status = os.waitpid(child, options)
            if pid:
                self._forked.discard(child)
                if status not in (0, signal.SIGKILL):
                    self.wrong.append(f"a forked child ended with {status}")

    def _agents(self) -> list[int]:
        homes = (self._home, *links_to(self._home))
        return [pid for home in homes if (pid := agent_of(home))]

    def _end(self, processes: set[int] | list[int]) -> None:
        for pid in processes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _pause_agent(self) -> None:
        for pid in self._agents():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                time.sleep(0.2)
                os.kill(pid, signal.SIGCONT)

    def _lock(self, machine: str) -> None:
        with subprocess.Popen(["true"]) as gone:
            pass
        name = random.choice(["pubring.kbx.lock", "trustdb.gpg.lock"])
        draft = self._home / f"{name}.draft"
        draft.write_text(f"{gone.pid:10d}\n{machine}\n")
        with suppress(FileExistsError):  # as gpg makes one: whole at once
            os.link(draft, self._home / name)
        draft.unlink()

    def _take_link(self) -> None:
        for link in links_to(self._home):
            link.unlink(missing_ok=True)

    def _take_sockets(self) -> None:
        for path in self._home.glob("S.gpg-agent*"):
            path.unlink(missing_ok=True)


def described(error: Exception) -> str:
    """Return an error with what gpg said."""
    said = error.diagnostics() if isinstance(error, GnuPGError) else repr(error)
    if isinstance(error, TimeoutError):
        lines = [b" ".join(line).decode() for line in command_lines().values()]
        said += "\n".join(line for line in lines if "gpg" in line)
    if isinstance(error.__cause__, Exception):
        said += f"\nbecause of {described(error.__cause__)}"
    return said.replace("\n", "\n    ")


class Soak:
    """The operations, and how they ended."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.going = asyncio.Event()
        #: Gpgs that waited for the like calls.
        self.started_ahead = 0
        #: What this process took at the first look, in MiB.
        self.memory = 0

    @contextmanager
    def _judged(self, name: str) -> Iterator[None]:
        """Count how operations end that fail, and keep what is none of the true reasons."""
        try:
            yield
        except (GnuPGError, AssertionError, OSError) as error:
            self.ends[type(error).__name__] += 1
            if not isinstance(error, TRUE):
                self.wrong.append(f"{name}: {described(error)}")

    async def work(self, rounds: Rounds, until: float) -> None:
        """Do one operation after the other."""
        while time.monotonic() < until:
            await self.going.wait()
            name, operation = rounds.operation()
            task = asyncio.ensure_future(operation())
            if rounds.random.random() < 0.05:
                asyncio.get_running_loop().call_later(rounds.random.uniform(0, 0.05), task.cancel)
            try:
                with self._judged(name):
                    async with asyncio.timeout(TIMEOUT):
                        await task
                    self.ends["done"] += 1
            except asyncio.CancelledError:
                self.ends["cancelled"] += 1

    async def alike(self, home: Path, until: float) -> None:
        """Make like calls one after the other, which find gpgs that wait."""
        async with alice_at(home, timeout=TIMEOUT) as gpg:
            while time.monotonic() < until:
                await self.going.wait()
                waiting = sum(len(loop.standing._waiting) for loop in gpg._engine._loops.values())
                with self._judged("alike"):
                    async with asyncio.timeout(TIMEOUT):
                        sealed = await gpg.encrypt("alike")
                        assert await gpg.decrypt(sealed) == "alike"
                        detached = await gpg.sign("alike", detach=True)
                        assert await gpg.verify("alike", detached)
                    self.ends["alike"] += 4
                    self.started_ahead += waiting

    def in_threads(self, home: Path, message: str, until: float) -> None:
        """Begin operations on loops of other threads, and close these in the midst of them."""
        while time.monotonic() < until:
            loop = asyncio.new_event_loop()
            gpg = alice_at(home)
            tasks = [loop.create_task(gpg.decrypt(message)) for _ in range(2)]
            loop.run_until_complete(asyncio.wait(tasks, timeout=random.uniform(0, 0.2)))
            for task in tasks:
                if task.done() and task.exception() is None and task.result() != "held":
                    self.wrong.append(f"thread: {task.result()!r}")
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, gpg.aclose(), return_exceptions=True))
            loop.close()
            self.ends["on a loop that was closed"] += len(tasks)
            time.sleep(0.5)


async def _soak(home: Path, minutes: float) -> tuple[Soak, Faults]:
    soak = Soak()
    strangers: dict[str, str] = {}
    with clean_home() as other:
        async with bob_at(cheap(other)) as bob:
            for name in ("one", "two", "three"):
                made = bob_at(other, passphrase="")
                made.email, made.username = f"{name}@example.org", name
                fingerprint = await made.gen_key()
                strangers[fingerprint] = await bob.text_export(fingerprint)
                await made.aclose()
    async with alice_at(cheap(home), timeout=TIMEOUT) as gpg:
        await gpg.gen_key()
        # Each its own strangers: another's key may be gone when it is deleted.
        all_rounds = [await Rounds.begin(gpg, {name: strangers[name]}) for name in strangers]
        rounds = all_rounds[0]
        faults = Faults(home, rounds.message)
        until = time.monotonic() + 60 * minutes
        threads = threading.Thread(target=soak.in_threads, args=(home, rounds.message, until))
        threads.start()
        tasks = [asyncio.ensure_future(soak.work(one, until)) for one in all_rounds]
        tasks.append(asyncio.ensure_future(soak.alike(home, until)))
        looked = time.monotonic()
        soak.going.set()
        while time.monotonic() < until:
            await asyncio.sleep(random.uniform(0, PAUSE))
            await asyncio.to_thread(faults.do)
            if time.monotonic() - looked > LOOK:
                soak.going.clear()
                await _look(all_rounds, soak)
                soak.memory = soak.memory or _memory()
                looked = time.monotonic()
                soak.going.set()
        await asyncio.gather(*tasks)
        await asyncio.to_thread(threads.join)
        faults.reap(0)
        soak.wrong += faults.wrong
        await _look(all_rounds, soak)
        await _look_at_whole(gpg, soak)
    return soak, faults


def _memory() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


async def _look(all_rounds: list[Rounds], soak: Soak) -> None:
    """See that nothing was lost; what is still disturbed may need a second try."""
    for attempt in range(5):
        try:
            for rounds in all_rounds:
                await rounds.check()
        except TRUE as error:
            soak.ends[f"at a look: {type(error).__name__}"] += 1
            if attempt == 4:
                soak.wrong.append(f"look: {error}")
        except (GnuPGError, AssertionError) as error:
            soak.wrong.append(f"look: {type(error).__name__}: {error}")
            return
        else:
            soak.ends["looks"] += 1
            return


async def _look_at_whole(gpg: GnuPG, soak: Soak) -> None:
    (own,) = await gpg.keys(secret=True)
    if own.fingerprint != gpg.fingerprint:
        soak.wrong.append("the own key is another one")


def main() -> int:
    """Soak, and print what came of it."""
    # Python warns of a fork beside threads; here it is wanted.
    warnings.simplefilter("ignore", DeprecationWarning)
    minutes = float(sys.argv[1]) if sys.argv[1:] else 30.0
    left = ""
    before = {name: len(os.listdir(f"/proc/self/{name}")) for name in ("fd", "task")}
    long = Path("a-long-way-down" * 6, "home")
    try:
        with clean_home(long) as home:
            home.parent.mkdir(parents=True)
            soak, faults = asyncio.run(_soak(home, minutes))
    except AssertionError as error:
        left = str(error)
    after = {name: len(os.listdir(f"/proc/self/{name}")) for name in ("fd", "task")}
    print(f"{minutes:g} minutes, seed {SEED}")
    print("operations:", sum(soak.ends.values()), dict(soak.ends.most_common()))
    print("faults:", sum(faults.done.values()), dict(faults.done.most_common()))
    print("gpgs that waited for their message:", soak.started_ahead)
    print("descriptors, threads:", before, "->", after)
    print("memory, MiB:", soak.memory, "->", _memory())
    print("left behind:", left or "nothing", "; users:", users_of(home))
    print("wrong:", len(soak.wrong), *soak.wrong[:20], sep="\n  ")
    return 1 if left or soak.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
