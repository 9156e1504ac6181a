"""The lock of a home: between tasks, loops and processes."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.namespaces import CHECKOUT
from tiny_gnupg import HomeUnusable
from tiny_gnupg._home import locks
from tiny_gnupg._home.locks import KeyringLock

HOLD = """
import asyncio, pathlib, sys
from tiny_gnupg._home.locks import KeyringLock

async def main():
    lock = KeyringLock(pathlib.Path(sys.argv[1]))
    async with lock.held(writing=sys.argv[2] == "writing"):
        print("held", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""


@pytest.fixture
def lock(tmp_path: Path) -> KeyringLock:
    """A lock of this test's own."""
    return KeyringLock(tmp_path)


@contextmanager
def held_elsewhere(directory: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    """Hold the lock in another process."""
    with waiting_elsewhere(directory, how) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other


@contextmanager
def waiting_elsewhere(directory: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    """Want the lock in another process, which says when it holds it."""
    command = [sys.executable, "-c", HOLD, str(directory), how]
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            yield other
        finally:
            other.kill()


async def gets(lock: KeyringLock, *, writing: bool, within: float = 0.15) -> bool:
    """Return whether the lock is to be had."""
    try:
        async with asyncio.timeout(within), lock.held(writing=writing):
            return True
    except TimeoutError:
        return False


async def test_readers_share_and_a_writer_is_alone(lock: KeyringLock) -> None:
    async with lock.held(writing=False), lock.held(writing=False):
        assert await gets(lock, writing=False)
        assert not await gets(lock, writing=True)
    async with lock.held(writing=True):
        assert not await gets(lock, writing=False)
        assert not await gets(lock, writing=True)
    assert await gets(lock, writing=True)


async def test_a_writer_that_waits_goes_before_later_readers(lock: KeyringLock) -> None:
    order = []

    async def use(name: str, writing: bool) -> None:
        async with lock.held(writing=writing):
            order.append(name)
            await asyncio.sleep(0.01)

    async with lock.held(writing=False):
        tasks = []
        for name, writing in (("writer", True), ("reader 1", False), ("reader 2", False)):
            tasks.append(asyncio.ensure_future(use(name, writing)))
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert order == ["writer", "reader 1", "reader 2"]


@pytest.mark.parametrize("where", ["here", "in another process"])
async def test_one_slow_reader_and_one_waiting_writer_hold_nobody_else_up(
    lock: KeyringLock, tmp_path: Path, where: str
) -> None:
    """All calls of a service stood still behind an import that waited for a stranger's message."""
    async with AsyncExitStack() as stack:
        if where == "here":
            await stack.enter_async_context(lock.held(writing=False))
        else:
            stack.enter_context(held_elsewhere(tmp_path, "reading"))
        writer = asyncio.ensure_future(gets(lock, writing=True, within=99))
        for _ in range(4):
            await asyncio.sleep(0.1)
            assert await gets(lock, writing=False, within=30)
            assert not writer.done()
    assert await writer


@pytest.mark.parametrize("writers", [1, 3])
async def test_readers_of_one_process_go_on_beside_the_waiting_writers_of_others(
    lock: KeyringLock, tmp_path: Path, writers: int
) -> None:
    with ExitStack() as stack:
        async with lock.held(writing=False):
            for _ in range(writers):
                stack.enter_context(waiting_elsewhere(tmp_path, "writing"))
            for _ in range(4):
                await asyncio.sleep(0.1)
                assert await gets(lock, writing=False, within=30)


async def test_a_stream_of_readers_keeps_no_writer_out(lock: KeyringLock) -> None:
    """Not at one moment there is no reader."""
    reading = True

    async def stream(beat: float) -> None:
        while reading:
            async with lock.held(writing=False):
                await asyncio.sleep(beat)

    readers = [asyncio.ensure_future(stream(beat)) for beat in (0.02, 0.03, 0.05)]
    await asyncio.sleep(0.1)
    assert await gets(lock, writing=True, within=60)
    reading = False
    await asyncio.gather(*readers)


async def test_nor_one_in_another_process(lock: KeyringLock, tmp_path: Path) -> None:
    async def stream() -> None:
        while True:
            async with lock.held(writing=False), lock.held(writing=False):
                await asyncio.sleep(0.02)

    readers = [asyncio.ensure_future(stream()) for _ in range(3)]
    with waiting_elsewhere(tmp_path, "writing") as other:
        assert other.stdout is not None
        assert await asyncio.to_thread(other.stdout.readline) == "held\n"
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)


async def test_who_waits_in_vain_is_told_who_holds_it(
    lock: KeyringLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    with held_elsewhere(tmp_path, "reading") as other:
        told = await asyncio.gather(gets(lock, writing=True, within=60), return_exceptions=True)
        assert f"process {other.pid} " in str(told)
    with held_elsewhere(tmp_path, "writing") as other:
        for writing in (True, False):
            with pytest.raises(HomeUnusable, match=f"process {other.pid} "):
                await gets(lock, writing=writing, within=60)
    async with lock.held(writing=False):
        with pytest.raises(HomeUnusable, match="a call of this process"):
            await gets(lock, writing=True, within=60)
        assert await gets(lock, writing=False)
    async with lock.held(writing=True):
        waits = [gets(lock, writing=writing, within=60) for writing in (False, False, False)]
        for found in await asyncio.gather(*waits, return_exceptions=True):
            assert isinstance(found, HomeUnusable)
    assert await gets(lock, writing=True)


async def test_a_line_of_writers_that_moves_is_no_reason_to_give_up(
    lock: KeyringLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of a hundred imports waits longer than any of them takes."""
    monkeypatch.setattr(locks, "PATIENCE", 0.5)

    async def write() -> None:
        async with lock.held(writing=True):
            await asyncio.sleep(0.05)

    await asyncio.gather(*(write() for _ in range(30)))


async def test_an_error_or_a_cancellation_gives_the_lock_back(lock: KeyringLock) -> None:
    before = [fd for fd in os.listdir("/proc/self/fd") if _is_lock(fd)]
    for writing in (True, False):
        with pytest.raises(ValueError, match="inside"):
            async with lock.held(writing=writing):
                raise ValueError("inside")
        assert await gets(lock, writing=True)
    async with lock.held(writing=True):
        waiting = [asyncio.ensure_future(gets(lock, writing=w, within=9)) for w in (True, False)]
        await asyncio.sleep(0.02)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert await gets(lock, writing=True)
    assert [fd for fd in os.listdir("/proc/self/fd") if _is_lock(fd)] == before


def _is_lock(fd: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}").endswith(".lock")
    except OSError:
        return False


async def test_between_processes(lock: KeyringLock, tmp_path: Path) -> None:
    with held_elsewhere(tmp_path, "reading"):
        assert await gets(lock, writing=False)
        assert not await gets(lock, writing=True)
    with held_elsewhere(tmp_path, "writing"):
        assert not await gets(lock, writing=False)
        assert not await gets(lock, writing=True)
    assert await gets(lock, writing=True)


async def test_a_process_that_was_killed_holds_nothing(lock: KeyringLock, tmp_path: Path) -> None:
    with held_elsewhere(tmp_path, "writing") as other:
        waiting = asyncio.ensure_future(gets(lock, writing=True, within=9))
        await asyncio.sleep(0.05)
        other.send_signal(signal.SIGKILL)
        assert await waiting


# Python 3.12 warns of a fork beside other threads.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
async def test_a_forked_child_does_not_hold_on_to_a_lock(lock: KeyringLock) -> None:
    async with lock.held(writing=True):
        child = os.fork()
        if child == 0:
            time.sleep(2)
            os._exit(0)
    try:
        assert await gets(lock, writing=True)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_between_loops_in_threads(lock: KeyringLock) -> None:
    inside: list[str] = []
    most = []

    async def write(name: str) -> None:
        for _ in range(10):
            async with lock.held(writing=True):
                inside.append(name)
                most.append(len(inside))
                await asyncio.sleep(0.001)
                inside.remove(name)

    threads = [threading.Thread(target=asyncio.run, args=(write(str(n)),)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 30


async def test_waiting_holds_nobody_up(lock: KeyringLock, tmp_path: Path) -> None:
    with held_elsewhere(tmp_path, "writing"):
        waiting = asyncio.ensure_future(gets(lock, writing=True, within=0.3))
        ticks = 0
        while not waiting.done():
            await asyncio.sleep(0.01)
            ticks += 1
        assert ticks > 10


async def test_a_directory_without_room_for_locks_is_said(tmp_path: Path) -> None:
    with pytest.raises(HomeUnusable, match="writable"):
        await gets(KeyringLock(tmp_path / "is not there"), writing=False)
    (tmp_path / "gate.lock").unlink(missing_ok=True)
    (tmp_path / "gate.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HomeUnusable, match=r"gate\.lock"):
        await gets(KeyringLock(tmp_path), writing=True)
    assert not (tmp_path / "elsewhere").exists()


def test_a_loop_that_was_closed_is_let_go(lock: KeyringLock) -> None:
    async def hold(*, writing: bool) -> None:
        async with lock.held(writing=writing):
            await asyncio.sleep(0.01)

    async def together() -> None:
        await asyncio.gather(hold(writing=True), hold(writing=False), hold(writing=True))

    for _ in range(5):
        asyncio.run(together())
    gc.collect()
    assert len(lock._lines) == 1
