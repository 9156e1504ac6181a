"""Tasks and threads, under asyncio's own tools and under those of anyio."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from pathlib import Path

import anyio
import pytest
import trio

from tests.proc import children
from tiny_gnupg import GnuPG
from tiny_gnupg._process.removal import removed_at_the_end
from tiny_gnupg._process.tasks import cancel_all, hidden, in_thread, uninterrupted


async def test_uninterrupted_work_is_done_and_the_cancellation_comes_after() -> None:
    done = []

    async def work() -> str:
        await asyncio.sleep(0.05)
        done.append("done")
        return "result"

    task = asyncio.ensure_future(uninterrupted(work()))
    await asyncio.sleep(0)
    task.cancel("the caller's words")
    await asyncio.sleep(0)
    task.cancel("later words")
    with pytest.raises(asyncio.CancelledError, match="the caller's words"):
        await task
    assert done == ["done"]
    assert await uninterrupted(work()) == "result"


async def test_uninterrupted_work_that_fails_says_so_unless_it_is_cancelled() -> None:
    async def work() -> None:
        await asyncio.sleep(0.01)
        raise LookupError("from inside")

    with pytest.raises(LookupError, match="from inside"):
        await uninterrupted(work())
    task = asyncio.ensure_future(uninterrupted(work()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gc.collect()  # a task whose error nobody asked for would be told of now


async def test_cancelled_tasks_have_ended_whatever_they_raise() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise LookupError("instead")

    tasks = [asyncio.ensure_future(stubborn()), asyncio.ensure_future(asyncio.sleep(60))]
    await asyncio.sleep(0)
    await cancel_all(*tasks)
    assert all(task.done() for task in tasks)
    await cancel_all()
    del tasks
    gc.collect()


async def test_a_thread_gives_its_result_or_its_error() -> None:
    main = threading.current_thread()
    assert await in_thread(threading.current_thread) is not main

    def fail() -> None:
        raise LookupError("from a thread")

    with pytest.raises(LookupError, match="from a thread"):
        await in_thread(fail)


async def test_without_a_thread_it_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert await in_thread(threading.current_thread) is threading.current_thread()


async def test_no_log_of_asyncio_shows_a_result(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0
    secret = "a secret of ours"

    async def work() -> str:
        await asyncio.sleep(0)
        return secret

    with caplog.at_level(logging.DEBUG):
        assert await uninterrupted(work()) == secret
        assert await in_thread(lambda: secret) == secret
        assert (await asyncio.ensure_future(hidden(work()))).value == secret
    assert "Executing" in caplog.text
    assert secret not in caplog.text


# -- other event loops, and what is built on them ------------------------------------------


@pytest.mark.parametrize("delay", [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4])
async def test_anyio_gives_up_on_a_call_and_goes_on(alice: GnuPG, delay: float) -> None:
    calls = (
        lambda: alice.sign("x"),
        lambda: alice.change_passphrase("", alice.passphrase),
        lambda: alice.text_export(alice.fingerprint, secret=True),
        lambda: alice.set_expire("", "1y"),
    )
    for call in calls:
        with anyio.move_on_after(delay):
            await call()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(call)
                await anyio.sleep(delay)
                scope.cancel()
    assert await alice.decrypt(await alice.encrypt("text")) == "text"


async def test_a_task_group_is_cancelled_by_one_of_its_own(alice: GnuPG) -> None:
    async def fail() -> None:
        await asyncio.sleep(0.02)
        raise LookupError("the other one")

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(alice.encrypt("text"))
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as caught:
        await all_of_them()
    assert [type(error) for error in caught.value.exceptions] == [LookupError]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await alice.change_passphrase("", alice.passphrase)
    assert await alice.decrypt(await alice.encrypt("text")) == "text"


def test_under_trio_it_says_what_it_needs(alices_home: object) -> None:
    async def main() -> None:
        gpg = GnuPG(homedir=str(alices_home))
        for call in (gpg.list_keys(), gpg.aclose(), gpg.get("http://localhost")):
            with pytest.raises(RuntimeError, match=r"works on asyncio, and this is trio"):
                await call

    trio.run(main)
    coroutine = GnuPG(homedir=str(alices_home)).list_keys()
    with pytest.raises(RuntimeError, match="no event loop of asyncio is running"):
        coroutine.send(None)


async def test_a_cancelled_beginning_leaves_no_watcher(tmp_path: Path) -> None:
    async def work() -> None:
        async with removed_at_the_end(tmp_path / "aside"):
            await asyncio.sleep(0.005)

    for turns in range(12):
        task = asyncio.ensure_future(work())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert children() == set()
