"""How one gpg is run in one home: its lock, its turn, its pipes, its answer.

Everything that runs gpg comes through here. A call first takes the home's lock, then its turn
among those that may run at once; whoever has a turn waits for no lock, so nothing can deadlock.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from tiny_gnupg._gpg.commands import ALL_SIGNATURES, Base
from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg._gpg.status import parse_status
from tiny_gnupg._home.home import Home
from tiny_gnupg._home.protection import Scheme
from tiny_gnupg._home.repair import heal
from tiny_gnupg._process.find_gpg import agent_program, package_home, probe
from tiny_gnupg._process.program import Channels, Completed, run_program
from tiny_gnupg._process.tasks import in_thread, running_loop, uninterrupted
from tiny_gnupg.errors import GnuPGTimeout, printable

T = TypeVar("T")


#: Bytes of status lines that are read without a thread, and of messages for people that are kept.
MOST_AT_ONCE = 2**16


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
    ) -> None:
        self.executable = executable
        self.home = home
        self.options = options
        self.kind = kind
        self.torify = torify
        self.timeout = timeout
        self.limit = limit or 2 * (os.cpu_count() or 1)
        self._turns: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]
        self._turns = weakref.WeakKeyDictionary()
        self._opening: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]
        self._opening = weakref.WeakKeyDictionary()
        self._features: tuple[str, ...] = ()
        self._agent = agent_program(executable)

    @property
    def base(self) -> Base:
        """What every command begins with."""
        return Base(
            executable=str(self.executable),
            homedir=str(self.home.short),
            options=str(self.options),
            agent=str(self._agent or ""),
            torify=self.torify,
            features=self._features,
        )

    async def open(self) -> None:
        """Probe gpg and make the home ready; costs nothing once that is done."""
        if self.home.opened_by(self):
            return
        lock = self._opening.setdefault(running_loop(), asyncio.Lock())
        async with lock:
            if self.home.opened_by(self):
                return
            features = await probe(self.executable)
            self._features = ALL_SIGNATURES if features.proc_all_sigs else ()
            await self.home.open(self, kind=self.kind, template=package_home())
            await self._start_agent()

    async def _start_agent(self) -> None:
        """Start the agent ourselves in a home that is somebody's, with options of ours.

        gpg would start it with the owner's, which may keep a right passphrase and then take a
        wrong one for it. Where an agent runs, it is left alone.
        """
        options = self.home.agent_options
        if options is None or not self.home.needs_agent():
            return
        agent = self._agent or shutil.which("gpg-agent")
        if agent is not None:
            homedir = ("--homedir", str(self.home.short), "--options", str(options))
            await run_program([str(agent), *homedir, "--daemon"], timeout=self.timeout)

    async def close(self) -> None:
        """Leave the home; the last one of all its users ends the agent."""
        if self.home.opened_by(self):
            await in_thread(self.home.leave, self)

    @asynccontextmanager
    async def locked(self, *, writing: bool) -> AsyncIterator[None]:
        """Hold the home's lock for several runs; they are made by ``run_locked``."""
        await self.open()
        async with self.home.lock.held(writing=writing):
            if not writing:
                yield
                return
            heal(self.home.path)
            try:
                yield
            finally:
                # Before anybody else's gpg meets what one that was killed left behind.
                heal(self.home.path)

    async def run(self, call: Call) -> Reply:
        """Run gpg once, under the home's lock. See ``run_locked`` for the rest."""
        async with self.locked(writing=call.writing):
            return await self.run_locked(call)

    async def run_locked(self, call: Call) -> Reply:
        """Run gpg once, where the home's lock is held.

        Returns:
            All that it answered.

        Raises:
            GnuPGError: as ``program.run_program`` does; the exit code is not judged.
        """
        base = self.base
        argv = base.command(call.options, attended=call.attended)
        return await self.run_command(argv, call, slot=base.slot)

    def turn(self) -> asyncio.Semaphore:
        """Return what bounds how many gpgs of this instance work at once, to be entered."""
        loop = running_loop()
        turns = self._turns.get(loop)
        if turns is None:
            turns = self._turns[loop] = asyncio.Semaphore(self.limit)
        return turns

    async def work(self, function: Callable[..., T], *arguments: object) -> T:
        """Work something out in a thread, in its turn and in the time that a gpg has.

        A thread cannot be ended, so the work has to be bounded by itself; no call ends before it.

        Raises:
            GnuPGTimeout: the time was over.
        """
        async with self.turn():
            try:
                async with asyncio.timeout(self.timeout):
                    return await uninterrupted(asyncio.to_thread(function, *arguments))
            except TimeoutError:
                raise GnuPGTimeout(f"no end after {self.timeout:g} s") from None

    async def run_command(
        self, argv: Sequence[str], channels: Channels, *, slot: int | None
    ) -> Reply:
        """Run a whole command line in its turn."""
        async with self.turn():
            done = await run_program(argv, channels, slot=slot, timeout=self.timeout)
        long = len(done.status) > MOST_AT_ONCE
        reply = await asyncio.to_thread(reply_of, done) if long else reply_of(done)
        if reply.returncode == 0:
            return reply
        return replace(reply, obstacle=await in_thread(self.home.obstacle))


def reply_of(done: Completed) -> Reply:
    """Read what a gpg that has ended left behind."""
    return Reply(
        returncode=done.returncode,
        stdout=done.stdout,
        stderr=printable(done.stderr[-MOST_AT_ONCE:].decode(errors="replace")),
        status=parse_status(done.status),
        command=done.line,
    )
