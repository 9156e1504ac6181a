"""``run``: an event loop for code that is not asynchronous, one for each thread.

A thread's loop lives as long as the thread: what one call opened, a network session for example,
still works in the next one. That of a thread that has ended is closed by the next thread that makes
one, and what is left at the end of the process.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import inspect
import os
import threading
import weakref
from collections.abc import Awaitable
from typing import TypeVar

from tiny_gnupg._process.tasks import another_library, hidden

T = TypeVar("T")


class _Thread(threading.local):
    """What a thread has of its own, and what goes with the thread."""

    runner: asyncio.Runner | None = None
    end: _End | None = None


class _End:
    """Goes when its thread ends."""


_mine = _Thread()


#: The runners of threads that have ended, and those of a forked child's parent: to close them would
#: take from it what it waits on.
_ended: list[asyncio.Runner] = []
_parents: list[asyncio.Runner] = []


_over = False


def run(awaitable: Awaitable[T]) -> T:
    """Run an awaitable to its end, from code that is not asynchronous.

    It works in each thread, which has an event loop of its own that lives as long as the thread.
    Each call sees the caller's context variables.

    Args:
        awaitable: a coroutine or anything else that can be awaited.

    Returns:
        Its result.

    Raises:
        RuntimeError: a loop is running already; use ``await`` there.
        TypeError: it cannot be awaited.
    """
    if not inspect.isawaitable(awaitable):
        raise TypeError(
            f"run takes what can be awaited, not {type(awaitable).__name__}: what is iterated or "
            "entered asynchronously is used in a coroutine of your own"
        )
    found = "an event loop" if asyncio._get_running_loop() else another_library()
    if found:
        if asyncio.iscoroutine(awaitable):
            awaitable.close()
        raise RuntimeError(f"{found} is running already: use await instead of run()")
    # What was made outside has a loop already, as asyncio.gather(...) does.
    loop = awaitable.get_loop() if isinstance(awaitable, asyncio.Future) else None
    runner = _mine.runner or _begin(loop)
    try:
        if loop not in (None, runner.get_loop()):
            return loop.run_until_complete(hidden(awaitable)).value
        # A runner goes on with the context of its first call, in which later variables are not set.
        return runner.run(hidden(awaitable), context=contextvars.copy_context()).value
    finally:
        if _over:
            _close()


def _begin(loop: asyncio.AbstractEventLoop | None) -> asyncio.Runner:
    """Make this thread's runner, and close those of threads that have ended."""
    _close_ended()
    made = loop or asyncio.new_event_loop()
    asyncio.set_event_loop(made)  # for what will be made outside
    _mine.runner = runner = asyncio.Runner(loop_factory=lambda: made)
    _mine.end = _End()
    weakref.finalize(_mine.end, _ended.append, runner).atexit = False
    return runner


def _close_ended() -> None:
    while _ended:
        _ended.pop().close()


def _close() -> None:
    """Close what is left; who runs something in a still later handler gets a loop for that."""
    global _over
    _over = True
    _close_ended()
    runner, _mine.runner = _mine.runner, None
    if runner is not None:
        runner.close()
        asyncio.set_event_loop(None)


def _leave() -> None:
    """Leave all loops to the parent, in a forked child: what they wait on is the same in both."""
    _parents.extend(_ended)
    _ended.clear()
    if _mine.runner is not None:
        _parents.append(_mine.runner)
        _mine.runner = None


atexit.register(_close)


os.register_at_fork(after_in_child=_leave)
