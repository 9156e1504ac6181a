"""Gpgs that wait for their message: each was started before it came, and does that one.

Most of what a small message costs is the start of gpg, and that it looks up whom it encrypts to or
signs for. What must hold:

1. Nothing is older than the keyring. A waiting gpg is used where the program, its options, the
   home's files and its agent are what they were before it was started; else it is ended, and
   another one started. Where it looks keys up at its start, it is not used from the moment on when
   one of them expires; where what it finds out then depends on whom others trust, none is started.
2. A waiting gpg holds no lock. One is started for a command line that came twice within ``LIKE``
   seconds, and while no other call is at work; so a single call, and a burst, pay nothing.
3. There are few of them, for few seconds: ``MOST`` of an instance on a loop, each for ``IDLE``, and
   no more than the instance's ``limit`` leaves. They end with the instance, its loop and its
   process; a forked process leaves them to its parent.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import os
import time
import weakref
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from tiny_gnupg._gpg import commands
from tiny_gnupg._process.pipes import Descriptor
from tiny_gnupg._process.program import Channels, Program
from tiny_gnupg._process.tasks import cancel_all, uninterrupted
from tiny_gnupg.errors import GnuPGError

#: Seconds within which a like call makes another one likely, and for which a gpg waits for it.
LIKE, IDLE = 5.0, 20.0


#: Gpgs that wait, and command lines that are remembered.
MOST, REMEMBERED = 6, 32


#: Seconds in which a file may change twice and show the same time: the clock's tick, and more.
TICK = 0.05


#: What a gpg was started under: the stamps of files (time, size, inode), and the ways that lead to
#: the agent and to the home.
State = tuple[tuple[tuple[int, int, int] | None, ...], object]


#: So that what is remembered of a passphrase is worth nothing elsewhere.
_SECRET = os.urandom(32)


class Likeness(NamedTuple):
    """What two calls have in common of which the second may find a gpg that waits."""

    argv: tuple[str, ...]
    passphrase: bytes | None
    second: bool
    answers: bool


@dataclass(frozen=True, slots=True)
class Start:
    """How a gpg is started for one call and for those that are like it."""

    like: Likeness
    channels: Channels
    slot: int

    @classmethod
    def of(cls, argv: Sequence[str], channels: Channels, slot: int) -> Start | None:
        """Return how; None where nothing can be begun before the message comes."""
        elsewhere = channels.stdout is not None or channels.hear is not None
        inputs = (channels.stdin, channels.second)
        if elsewhere or inputs[0] is None or any(isinstance(one, Descriptor) for one in inputs):
            return None
        if not commands.is_timeless(argv):
            return None
        words = channels.passphrase
        digest = None if words is None else hashlib.blake2b(words, key=_SECRET).digest()
        like = Likeness(tuple(argv), digest, inputs[1] is not None, channels.answer is not None)
        return cls(like, channels, slot)

    def program(self, *, waits: bool = False) -> Program:
        """Start one, with its message or before that."""
        return Program(self.like.argv, self.channels, slot=self.slot, waits=waits)


def is_settled(state: State) -> bool:
    """Return whether whatever changes from now on shows another state."""
    times = [stamp[0] for stamp in state[0] if stamp is not None]
    return time.time_ns() - max(times, default=0) > TICK * 1e9


@dataclass(slots=True, eq=False)
class _Waiting:
    program: Program
    state: State
    until: float
    timer: asyncio.TimerHandle


class Standing:
    """The waiting gpgs of one instance on the running event loop.

    Args:
        ends: tells when the first of some keys, or parts of them, begins or ceases to be usable,
            in seconds since the epoch.
    """

    def __init__(self, ends: Callable[[Sequence[str]], Awaitable[float]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ends = ends
        self._seen: OrderedDict[Likeness, float] = OrderedDict()
        self._waiting: OrderedDict[Likeness, _Waiting] = OrderedDict()
        self._leaving: set[Program] = set()
        self._until: dict[tuple[str, ...], tuple[State | None, float]] = {}
        self._learning: asyncio.Task[None] | None = None
        self._hook: AsyncGenerator[None, None] | None = None
        _ALL.add(self)

    async def begin(self) -> None:
        """See to it that what will wait ends with the loop."""
        if self._hook is None:
            self._hook = self._ended_with_the_loop()
            await anext(self._hook)

    def take(self, start: Start, state: State) -> Program | None:
        """Return a gpg that waits for just such a message and knows the keyring as it is."""
        found = self._waiting.get(start.like)
        if found is None:
            return None
        fresh = found.state == state and time.time() < found.until
        if not fresh or found.program.has_gone:
            self._dismiss(start.like)
            return None
        del self._waiting[start.like]
        found.timer.cancel()
        return found.program

    def keep(self, most: int, like: Likeness | None = None) -> None:
        """End the least recently used of more than ``most``, beside the one for a call."""
        others = [one for one in self._waiting if one != like]
        for one in others[: max(0, len(others) - most)]:
            self._dismiss(one)

    def follow(self, start: Start, state: State, most: int) -> None:
        """See to it that the next like message finds a gpg, where one is likely to come.

        Args:
            start: how this message's was started.
            state: what the home was then.
            most: how many may wait.
        """
        like = start.like
        now = self._loop.time()
        seen = self._seen.pop(like, None)
        self._seen[like] = now
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        if seen is None or now - seen > LIKE or like in self._waiting or most < 1:
            return
        if not is_settled(state):
            return
        names = commands.named_keys(like.argv)
        known, until = self._until.get(names, (None, 0.0)) if names else (state, float("inf"))
        if known != state or until <= time.time():
            self._learn(names, state)
            return
        self.keep(min(most, MOST) - 1)
        with suppress(GnuPGError):  # the next call says so
            self.wait(start, state, until)

    def wait(self, start: Start, state: State, until: float) -> None:
        """Start a gpg that waits."""
        program = start.program(waits=True)
        timer = self._loop.call_later(IDLE, self._dismiss, start.like)
        self._waiting[start.like] = _Waiting(program, state, until, timer)

    def _learn(self, names: tuple[str, ...], state: State) -> None:
        """Find out, beside, until when what a gpg knows of some keys holds."""
        if self._learning is not None and not self._learning.done():
            return

        async def learn() -> None:
            with suppress(GnuPGError):
                until = await self._ends(names)
                if len(self._until) >= REMEMBERED:
                    self._until.clear()
                self._until[names] = (state, until)

        self._learning = asyncio.ensure_future(learn())

    def _dismiss(self, like: Likeness) -> None:
        found = self._waiting.pop(like)
        found.timer.cancel()
        found.program.dismiss()
        if not found.program.exited.done():
            self._leaving.add(found.program)
            found.program.exited.add_done_callback(lambda _: self._leaving.discard(found.program))

    async def _ended_with_the_loop(self) -> AsyncGenerator[None, None]:
        """Yield until the loop ends its asynchronous generators, as ``asyncio.run`` does."""
        try:
            yield
        finally:
            self._hook = None
            await self.end()

    def dismiss(self) -> None:
        """End all of them; the loop reaps them."""
        for like in list(self._waiting):
            self._dismiss(like)

    async def end(self) -> None:
        """End all of them, and wait for that."""
        if self._learning is not None:
            await cancel_all(self._learning)
        self.dismiss()
        leaving = [program.exited for program in self._leaving]
        if leaving:
            await uninterrupted(_all_of(leaving))
        hook, self._hook = self._hook, None
        if hook is not None:
            await hook.aclose()

    async def leave(self) -> None:
        """End all of them, on whatever loop they are."""
        if self._loop is asyncio.get_running_loop():
            await self.end()
            return
        with suppress(RuntimeError):  # it was closed just now
            if self._loop.is_running():
                self._loop.call_soon_threadsafe(self.dismiss)
                return
        self.abandon(kill=True)

    def abandon(self, *, kill: bool) -> None:
        """Leave those whose loop is closed: they are ended, or are another process's."""
        programs = [one.program for one in self._waiting.values()] + list(self._leaving)
        self._waiting.clear()
        self._leaving.clear()
        for program in programs:
            program.abandon(kill=kill)


async def _all_of(ends: Sequence[asyncio.Future[None]]) -> None:
    await asyncio.wait(ends)


_ALL: weakref.WeakSet[Standing] = weakref.WeakSet()


def _abandon_all(*, kill: bool) -> None:
    for standing in list(_ALL):
        standing.abandon(kill=kill)


atexit.register(_abandon_all, kill=True)


os.register_at_fork(after_in_child=lambda: _abandon_all(kill=False))
