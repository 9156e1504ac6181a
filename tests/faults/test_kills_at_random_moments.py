"""gpg, its agent, or the task that waits for them, stopped at random moments."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.rounds import ROUNDS, SEED, Rounds
from tests.proc import agent_of, children
from tiny_gnupg import GnuPGError

#: Seconds within which most operations have begun and not yet ended.
LONGEST = 0.04


async def disturbed(rounds: Rounds, disturb: Callable[[asyncio.Future[object]], object]) -> str:
    """Do one operation, disturb it after a random time, and tell how it ended."""
    _, operation = rounds.operation()
    task = asyncio.ensure_future(operation())
    await asyncio.sleep(rounds.random.uniform(0, LONGEST))
    disturb(task)
    try:
        async with asyncio.timeout(20):
            await task
    except GnuPGError:
        return "error"
    except asyncio.CancelledError:
        return "cancelled"
    return "done"


def kill_gpg(_: object) -> None:
    """Kill whatever runs for us."""
    for pid in children():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def kill_agent_of(home: Path) -> Callable[[object], None]:
    """Kill the agent of a home, where one runs."""

    def kill(_: object) -> None:
        if pid := agent_of(home):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    return kill


def cancel(task: asyncio.Future[object]) -> None:
    task.cancel()


@pytest.mark.parametrize("fault", ["gpg", "agent", "cancel"])
async def test_nothing_is_lost(rounds: Rounds, fault: str) -> None:
    home = Path(rounds.gpg.home)
    disturb = {"gpg": kill_gpg, "agent": kill_agent_of(home), "cancel": cancel}[fault]
    ends: dict[str, int] = {}
    for _ in range(ROUNDS):
        end = await disturbed(rounds, disturb)
        ends[end] = ends.get(end, 0) + 1
        assert children() == set(), f"seed {SEED}"
        await rounds.check()
    print(fault, ends, rounds.counts, f"seed {SEED}")
    assert ROUNDS < 100 or set(ends) & {"error", "cancelled"}


async def test_many_at_once(rounds: Rounds) -> None:
    """Ten in flight, half of them cancelled, while a child is killed now and then."""
    for _ in range(max(2, ROUNDS // 12)):
        tasks = [asyncio.ensure_future(rounds.operation()[1]()) for _ in range(10)]
        await asyncio.sleep(rounds.random.uniform(0, LONGEST))
        kill_gpg(None)
        for task in tasks[::2]:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        for end in found:
            assert not isinstance(end, BaseException) or isinstance(
                end, GnuPGError | asyncio.CancelledError
            ), f"{end!r}, seed {SEED}"
        # A key that one task imported, another may have deleted in its turn.
        rounds.held = {rounds.gpg.fingerprint}
        await rounds.check()
