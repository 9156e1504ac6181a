"""How one gpg is run in one home: its lock, its turn, its pipes, its answer.

Everything that runs gpg comes through here. A call first takes the home's lock, then its turn
among those that may run at once; whoever has a turn waits for no lock, so nothing can deadlock.
What flows holds neither while it waits for its source, which may be another call's output.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from tiny_gnupg._gpg import commands
from tiny_gnupg._gpg.commands import ALL_SIGNATURES, Base
from tiny_gnupg._gpg.key_states import lasts_until
from tiny_gnupg._gpg.listings import parse_colons
from tiny_gnupg._gpg.reply import AGENT_ENDED, AGENT_MISSING, PASSING, PATH_GONE, Reply
from tiny_gnupg._gpg.status import parse_status
from tiny_gnupg._home.home import Home, stamp_of
from tiny_gnupg._home.keybox import open_keyring
from tiny_gnupg._home.layout import is_kept_by_keyboxd
from tiny_gnupg._home.protection import Scheme
from tiny_gnupg._home.repair import heal, locks_elsewhere, told, trust_is_held_elsewhere
from tiny_gnupg._home.whole_files import comes_once, rewind
from tiny_gnupg._operations.standing import MOST, Standing, Start
from tiny_gnupg._process.child import path_argument
from tiny_gnupg._process.find_gpg import agent_program, package_home, probe
from tiny_gnupg._process.pipes import Descriptor
from tiny_gnupg._process.program import KEYRING, Channels, Completed, run_program
from tiny_gnupg._process.system_options import asks_for_keyboxd, refused_option
from tiny_gnupg._process.tasks import in_thread, running_loop, uninterrupted
from tiny_gnupg.errors import (
    AgentUnavailable,
    GnuPGTimeout,
    HomeUnusable,
    UnsupportedByGnuPG,
    printable,
)

T = TypeVar("T")


#: Bytes of status lines that are read without a thread, and of messages for people that are kept.
MOST_AT_ONCE = 2**16


#: Seconds before each try to start an agent.
PAUSES = (0, 0.1, 0.3)


#: Seconds that a lock of somebody else's gpg is waited for, and between two looks for one.
PATIENCE, LOOK = 30.0, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Channels):
    """One gpg to be run: what it is told, what it reads, and what becomes of what it writes.

    Args:
        options: what to do; the library's own options come before.
        writing: it may change the keyring, so the home's lock is held alone.
        attended: ``--batch`` is left out, so that gpg asks.
        stdin, second, stdout, hear, passphrase, answer, max_output: see ``Channels``; the
            passphrase as the agent of the home expects it.
    """

    options: Sequence[str] = field(default=(), kw_only=False)
    writing: bool = False
    attended: bool = False

    @property
    def flows(self) -> bool:
        """Whether it reads the keyring, and a pipe at the pace of whoever writes there."""
        return not self.writing and comes_once(self.stdin)

    @property
    def repeats(self) -> bool:
        """Whether it may be run once more: it writes no key, and nothing of it comes once."""
        once = comes_once(self.stdin) or comes_once(self.second)
        return not (self.writing or once or self.answer or self.hear)


class _OnLoop:
    """What an engine has on one event loop.

    Args:
        limit, ends: as for ``Engine`` and ``Standing``.
    """

    def __init__(self, limit: int, ends: Callable[[Sequence[str]], Awaitable[float]]) -> None:
        self.turns = asyncio.Semaphore(limit)
        self.opening, self.finding = asyncio.Lock(), asyncio.Lock()
        self.standing = Standing(ends)
        self.working = 0


class Engine:
    """One gpg, one home, and the bounds of one instance.

    Args:
        executable: the gpg.
        home: where its keys are.
        options: the file of its options.
        kind: the protection asked for, or None.
        torify: the path of ``torify``, or ``""``.
        timeout: seconds for one run, or None.
        limit: how many runs at once; None takes twice the number of cores.
        warm: start gpgs before their messages come: see ``standing``.
    """

    def __init__(
        self,
        executable: Path,
        home: Home,
        options: Path,
        *,
        kind: Scheme | None = None,
        torify: str = "",
        timeout: float | None = None,
        limit: int | None = None,
        warm: bool = False,
    ) -> None:
        self.executable = executable
        #: The home in use: the one that is named, or what stands for it.
        self.home = self._named = home
        self.options = options
        self.kind = kind
        self.torify = torify
        self.timeout = timeout
        self.limit = limit or 2 * (os.cpu_count() or 1)
        #: How many may wait and work, where somebody said so.
        self._most = limit
        self._warm = warm
        self._loops: dict[asyncio.AbstractEventLoop, _OnLoop] = {}
        self._features: tuple[str, ...] = ()
        self._has_keyboxd = False
        self._agent = agent_program(executable)

    @property
    def base(self) -> Base:
        """What every command begins with."""
        return Base(
            executable=path_argument(self.executable),
            homedir=path_argument(self.home.short),
            options=path_argument(self.options),
            agent=path_argument(self._agent or ""),
            torify=path_argument(self.torify),
            features=self._features,
        )

    async def open(self) -> None:
        """Probe gpg and make the home ready; costs nothing once that is done."""
        if self.home.opened_by(self):
            return
        async with self._here().opening:
            if self.home.opened_by(self):
                return
            features = await probe(self.executable)
            self.home = await in_thread(self._named.writable)
            self._features = ALL_SIGNATURES if features.proc_all_sigs else ()
            if said := await in_thread(refused_option, self.executable):
                raise UnsupportedByGnuPG(
                    f"{said}, and gpg would do something else than it is told",
                    hint="take that line out, or name a gpg that reads another directory",
                )
            keyboxd = features.keyboxd and asks_for_keyboxd(self.executable)
            self._has_keyboxd = keyboxd or is_kept_by_keyboxd(self.home.path)
            if self._has_keyboxd and not features.keyboxd:
                raise HomeUnusable(
                    f"the public keys of {self.home.path} are in keyboxd's database, which "
                    f"GnuPG {features.version} cannot read",
                    hint="name a GnuPG of 2.4.1 or newer by executable=, or another homedir",
                )
            await self.home.open(self, kind=self.kind, template=package_home())

    async def agent(self) -> tuple[int, str]:
        """Return the process of the home's agent, which is started where none runs.

        Returns:
            The process, or 0 and why it does not start.

        Raises:
            AgentUnavailable: there is one and it does not answer; gpg would wait for it for ever.
        """
        agent = self.home.agent
        if agent.runs():
            return agent.pid, ""
        async with self._here().finding:
            if agent.runs():
                return agent.pid, ""
            found = await in_thread(self.home.find_agent)
            if found:
                return found, ""
            for pause in PAUSES:
                # One that is just ending may take away the sockets of the one that was started.
                await asyncio.sleep(pause)
                started = await self._start_agent()
                self.home.own_agent()
                found = await in_thread(self.home.find_agent)
                if found:
                    return found, ""
        lines = started.stderr.decode(errors="replace").strip().splitlines()
        said = next((line for line in lines if "agent" in line), "".join(lines[-1:]))
        return 0, f"{AGENT_MISSING}: {said}".rstrip(": ")

    async def _start_agent(self) -> Completed:
        """Start the agent; in a home that is somebody's, with options of ours.

        The owner's may keep a right passphrase and then take a wrong one for it.
        """
        aside = self.home.agent_options
        program = self._agent or (shutil.which("gpg-agent") if aside else None)
        if program is None:
            # gpg starts the one that it knows, and then finds no card.
            argv = self.base.command(["--card-status"])
        else:
            options = ["--options", path_argument(aside)] if aside else []
            home = path_argument(self.home.short)
            argv = [path_argument(program), "--homedir", home, *options, "--daemon"]
        return await run_program(argv, timeout=self.timeout)

    async def close(self) -> None:
        """Leave the home; the last one of all its users ends the agent."""
        for loop in list(self._loops.values()):
            await loop.standing.leave()
        if self.home.opened_by(self):
            await in_thread(self.home.leave, self)
            self.home = self._named

    @asynccontextmanager
    async def locked(self, *, writing: bool) -> AsyncIterator[None]:
        """Hold the home's lock for several runs; they are made by ``run_locked``."""
        await self.open()
        if writing and self.home.stands_for:
            raise HomeUnusable(
                f"{self.home.stands_for} cannot be written",
                hint="it can be read as it is; make it writable for what changes it",
            )
        async with self.home.lock.held(writing=writing):
            if not writing:
                yield
                return
            await self._look_after()
            try:
                yield
            finally:
                # Before anybody else's gpg meets what one that was killed left behind.
                heal(self.home.path)

    async def _look_after(self) -> None:
        """Heal the home, and wait for others' gpgs, for which ours would wait without end.

        Raises:
            HomeUnusable: one of them has a lock of gpg's for too long.
        """
        deadline = time.monotonic() + PATIENCE
        while held := heal(self.home.path):
            if time.monotonic() > deadline:
                raise _is_locked(held[0])
            await asyncio.sleep(0.1)

    @asynccontextmanager
    async def _unblocked(self, call: Call) -> AsyncIterator[None]:
        """Let no gpg wait without end for a lock that came since the home was looked after.

        Raises:
            HomeUnusable: there is one of another machine for too long.
        """
        patience = LOOK if call.repeats else PATIENCE
        try:
            async with asyncio.timeout(None) as scope:
                watch = _LockWatch(self.home.path, scope, patience, alone=call.writing)
                try:
                    yield
                finally:
                    watch.end()
        except TimeoutError:
            if scope.expired():
                raise _is_locked(watch.held[0]) from None
            raise

    async def run(self, call: Call) -> Reply:
        """Run gpg once, under the home's lock, save what flows. See ``run_locked`` for the rest."""
        if call.flows:
            return await self._run_flowing(call)
        async with self.locked(writing=call.writing):
            return await self.run_locked(call)

    async def _run_flowing(self, call: Call) -> Reply:
        """Run a gpg that reads at somebody else's pace: nobody waits for it.

        It takes its keys from the keyring as that is at its start, so that it needs no lock; and
        who is trusted, from the look-up that comes before it where that matters.
        """
        async with self.locked(writing=False):
            keyring = None if self._has_keyboxd else open_keyring(self.home.path)
            if keyring is None and not self._has_keyboxd:
                return await self.run_locked(call)
        if keyring is None:  # keyboxd, which changes nothing while it is asked
            return await self.run_locked(call)
        try:
            options = commands.by_keyring(call.options, KEYRING)
            return await self.run_locked(
                replace(call, options=options, keyring=Descriptor(keyring))
            )
        finally:
            os.close(keyring)

    async def run_locked(self, call: Call) -> Reply:
        """Run gpg once, where the home's lock is held.

        Returns:
            All that it answered.

        Raises:
            GnuPGError: as ``program.run_program`` does; the exit code is not judged.
        """
        try:
            reply = await self._run_once(call)
            again = reply.agent in PASSING
        except HomeUnusable:
            again = True
            if not call.repeats:
                raise
        if again and call.repeats:
            rewind(call.stdin, call.stdout)
            rewind(call.second, None)
            reply = await self._run_once(call)  # with a new agent, or without lock files
        if reply.agent == PATH_GONE and call.hear is None:
            raise AgentUnavailable(f"cannot use {self.home.path}: {PATH_GONE}", reply=reply)
        return reply

    async def _run_once(self, call: Call) -> Reply:
        base = self.base
        if call.keyring is not None or (
            not call.writing and trust_is_held_elsewhere(self.home.path)
        ):
            options = [*commands.WITHOUT_WRITING, *call.options]
            argv = base.command(options, attended=call.attended)
            return await self.run_command(argv, call, slot=base.slot)
        argv = base.command(call.options, attended=call.attended)
        cold = call.writing or call.attended or self.torify or self._has_keyboxd
        warm = self._warm and not cold
        async with self._unblocked(call):
            return await self.run_command(argv, call, slot=base.slot, warm=warm)

    def _here(self) -> _OnLoop:
        loop = running_loop()
        here = self._loops.get(loop)
        if here is None:
            for closed in [one for one in list(self._loops) if one.is_closed()]:
                self._loops.pop(closed).standing.abandon(kill=True)
            here = self._loops[loop] = _OnLoop(self.limit, self._ends)
        return here

    @asynccontextmanager
    async def turn(self, start: Start | None = None) -> AsyncIterator[_OnLoop]:
        """Take a turn among the gpgs of this instance that work at once, for what is started."""
        here = self._here()
        async with here.turns:
            here.working += 1
            try:
                here.standing.keep(self._room(here), None if start is None else start.like)
                yield here
            finally:
                here.working -= 1

    def _room(self, here: _OnLoop) -> int:
        """Return how many gpgs may wait."""
        return MOST if self._most is None else self._most - here.working

    async def work(self, function: Callable[..., T], *arguments: object) -> T:
        """Work something out in a thread, in its turn and in the time that a gpg has.

        A thread cannot be ended, so the work has to be bounded by itself; no call ends before it.

        Raises:
            GnuPGTimeout: the time was over.
        """
        async with self.turn():
            try:
                async with asyncio.timeout(self.timeout):
                    return await uninterrupted(in_thread(function, *arguments))
            except TimeoutError:
                raise GnuPGTimeout(f"no end after {self.timeout:g} s") from None

    async def run_command(
        self, argv: Sequence[str], channels: Channels, *, slot: int | None, warm: bool = False
    ) -> Reply:
        """Run a whole command line in its turn.

        Args:
            argv: the command line.
            channels: what goes in, and what becomes of the output.
            slot: where gpg's options begin; None: it is no gpg's.
            warm: a gpg may have been started for it.
        """
        agent, missing = 0, ""
        if slot is not None and commands.asks_agent(argv):
            agent, missing = await self.agent()
        link = self.home.link()
        started = argv if slot is None else self.without_start(argv, slot)
        start = Start.of(started, channels, slot) if warm and slot is not None else None
        if comes_once(channels.stdin):  # nobody knows when it ends, and who waits for that
            done = await run_program(started, channels, slot=slot, timeout=self.timeout)
        else:
            async with self.turn(start) as here:
                if start is None:
                    done = await run_program(started, channels, slot=slot, timeout=self.timeout)
                else:
                    done = await self._run_warm(start, (agent, link), here)
        long = len(done.status) > MOST_AT_ONCE
        reply = await in_thread(reply_of, done) if long else reply_of(done)
        good = reply.returncode == 0 and not reply.has("ERROR", "FAILURE")
        if good and not commands.tells_of_secret_keys(argv):
            return reply
        if self.home.link() != link or link == (0, 0):
            missing = PATH_GONE
        elif agent and await self._has_gone(agent):
            missing = AGENT_ENDED
        obstacle = await in_thread(self.home.obstacle) if reply.returncode else ""
        return replace(reply, obstacle=obstacle, agent=missing)

    def without_start(self, argv: Sequence[str], slot: int) -> list[str]:
        """Return a command that starts no agent of its own.

        keyboxd is started by gpg itself: where its program lies is told by the home's options.
        """
        return list(argv) if self._has_keyboxd else commands.without_start(argv, slot)

    async def _run_warm(self, start: Start, ways: object, here: _OnLoop) -> Completed:
        await here.standing.begin()
        files = (stamp_of(str(self.executable)), stamp_of(str(self.options)))
        state = ((*self.home.stamp(), *files), ways)
        program = here.standing.take(start, state)
        if program is None:
            program = start.program()
        else:
            await program.give(start.channels)
        if here.working == 1:  # else the processor is for those who work
            here.standing.follow(start, state, self._room(here))
        return await program.complete(start.channels, self.timeout)

    async def _ends(self, names: Sequence[str]) -> float:
        """Return when what gpg knows of some keys now ceases to be right: see ``Standing``."""
        reply = await self.run(Call(commands.list_keys(names, mark=False)))
        if reply.returncode:
            return 0
        return lasts_until(parse_colons(reply.stdout), datetime.now(UTC))

    async def _has_gone(self, agent: int) -> bool:
        """Ask the agent whether it is the one that was there before."""
        try:
            return await in_thread(self.home.find_agent) != agent
        except AgentUnavailable:
            return True


class _LockWatch:
    """Looks, while a gpg runs, for locks of gpg's that it waits for, and ends its time for them.

    Args:
        home: where.
        scope: what ends.
        patience: seconds for which a lock may be there.
        alone: as for ``locks_elsewhere``.
    """

    def __init__(self, home: Path, scope: asyncio.Timeout, patience: float, *, alone: bool) -> None:
        self._home, self._scope, self._patience, self._alone = home, scope, patience, alone
        self._loop = running_loop()
        self._waited = 0.0
        self.held: list[Path] = []
        self._timer = self._loop.call_later(LOOK, self._look)

    def end(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        self.held = locks_elsewhere(self._home, alone=self._alone)
        self._waited = self._waited + LOOK if self.held else 0.0
        if self._waited > self._patience:
            self._scope.reschedule(self._loop.time())
        else:
            self._timer = self._loop.call_later(LOOK, self._look)


def _is_locked(lock: Path) -> HomeUnusable:
    return HomeUnusable(
        f"{told(lock)}, for {PATIENCE:g} s already",
        hint="end that process; where it has gone, or its machine, remove the file",
    )


def reply_of(done: Completed) -> Reply:
    """Read what a gpg that has ended left behind."""
    return Reply(
        returncode=done.returncode,
        stdout=done.stdout,
        stderr=printable(done.stderr[-MOST_AT_ONCE:].decode(errors="replace")),
        status=parse_status(done.status),
        command=done.line,
    )
