"""Taking the time: interleaved, so that a busy moment of the machine falls on all alike."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

#: Does something once, and gives the seconds that took, or None where it cannot.
Timed = Callable[[], Awaitable[float | None]]


def timed(call: Callable[[], Awaitable[Any]]) -> Timed:
    """Take the time of something that is awaited."""

    async def measure() -> float:
        start = time.perf_counter()
        await call()
        return time.perf_counter() - start

    return measure


def timed_plain(call: Callable[[], Any]) -> Timed:
    """Take the time of something that blocks."""

    async def measure() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return measure


class Median(float):
    """The median of some times, in seconds; ``best`` is the shortest, the least disturbed one."""

    best: float

    @classmethod
    def of(cls, times: Sequence[float]) -> Median:
        """Take it."""
        median = cls(statistics.median(times))
        median.best = min(times)
        return median


async def interleaved(calls: Mapping[str, Timed], rounds: int) -> dict[str, Median]:
    """Do all calls in turn, ``rounds`` times, after one that does not count.

    Every other round goes backwards: who comes behind a call that leaves a mark on the machine's
    caches shall not always be the same.

    Returns:
        The median of each that can be done, in seconds.
    """
    taken: dict[str, list[float]] = {}
    for turn in range(rounds + 1):
        for name, call in list(calls.items())[:: -1 if turn % 2 else 1]:
            found = await call()
            if turn and found is not None:
                taken.setdefault(name, []).append(found)
    return {name: Median.of(taken[name]) for name in calls if name in taken}


class Pauses:
    """The event loop's longest pause while the block runs, in seconds."""

    STEP = 0.002

    def __init__(self) -> None:
        self.longest = 0.0

    async def __aenter__(self) -> Pauses:
        self._task = asyncio.create_task(self._watch())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        before = time.perf_counter()
        while True:
            await asyncio.sleep(self.STEP)
            now = time.perf_counter()
            self.longest = max(self.longest, now - before - self.STEP)
            before = now
