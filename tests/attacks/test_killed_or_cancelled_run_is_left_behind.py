"""A run that is cancelled, times out or is killed: no process, descriptor, lock or key is lost.

What the fixtures see when the test is over: no process, no pipe, no socket, no scratch home.
The same at random moments, hundreds of times, is in ``tests/faults``.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.instances import alice_at
from tests.proc import children
from tiny_gnupg import GnuPG, GnuPGError, GnuPGTimeout

#: No attack succeeds where a gpg waited for the message.
pytestmark = pytest.mark.usefixtures("both_ways")


async def begun(before: set[int]) -> int:
    """Wait for one more child, and give its process id."""
    async with asyncio.timeout(5):
        # No event tells of a process that another task starts.
        while not children() - before:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    return min(children() - before)


async def cancelled(task: asyncio.Future[Any]) -> None:
    """Cancel a call, and wait for its end."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def works(gpg: GnuPG) -> None:
    """See that everything is there and the next operations need no help."""
    assert list(await gpg.list_keys(secret=True)) == [gpg.fingerprint]
    assert await gpg.decrypt(await gpg.encrypt("text")) == "text"


async def test_a_cancelled_one(alice: GnuPG) -> None:
    before = children()
    task = asyncio.ensure_future(alice.encrypt(os.urandom(30_000_000)))
    pid = await begun(before)
    await cancelled(task)
    assert pid not in children()
    await works(alice)


async def test_one_that_took_too_long(alice: GnuPG) -> None:
    before = children()
    async with alice_at(Path(alice.home), timeout=0.05) as hasty:
        with pytest.raises(GnuPGTimeout):
            await hasty.encrypt(os.urandom(100_000_000), alice.fingerprint, sign=False)
        assert children() == before
    await works(alice)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
async def test_a_killed_one(alice: GnuPG, number: signal.Signals) -> None:
    before = children()
    task = asyncio.ensure_future(alice.encrypt(os.urandom(30_000_000)))
    os.kill(await begun(before), number)
    with pytest.raises(GnuPGError):
        await task
    assert children() == before
    await works(alice)


async def test_one_that_does_not_listen(alice: GnuPG) -> None:
    """A gpg that is stopped hears no TERM; it is killed after a second."""
    before = children()
    task = asyncio.ensure_future(alice.encrypt(os.urandom(30_000_000)))
    pid = await begun(before)
    os.kill(pid, signal.SIGSTOP)
    await cancelled(task)
    assert pid not in children()
    await works(alice)


async def test_a_cancelled_writer_gives_its_lock_back(alice: GnuPG) -> None:
    before = children()
    task = asyncio.ensure_future(alice.set_expire("", "2y"))
    await begun(before)
    await cancelled(task)
    async with asyncio.timeout(5):
        await alice.set_expire("", "3y")
    await works(alice)
