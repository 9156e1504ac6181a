"""``run``: one event loop for scripts and the REPL."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import os
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


_runner: asyncio.Runner | None = None


_parents: list[asyncio.Runner | None] = []


def run(awaitable: Awaitable[T]) -> T:
    """Run an awaitable to its end, from code that is not asynchronous.

    The loop lives as long as the process: what one call opened, a network session for example,
    still works in the next one. Each call sees the caller's context variables.

    Args:
        awaitable: a coroutine or anything else that can be awaited.

    Returns:
        Its result.

    Raises:
        RuntimeError: a loop is running already; use ``await`` there.
    """
    global _runner
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        if asyncio.iscoroutine(awaitable):
            awaitable.close()
        raise RuntimeError("an event loop is running already: use await instead of run()")
    if _runner is None:
        _runner = asyncio.Runner()
        atexit.register(_close)
    # A runner goes on with the context of its first call, in which later variables are not set.
    return _runner.run(_await(awaitable), context=contextvars.copy_context())


async def _await(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _leave() -> None:
    """Leave the loop to the parent, in a forked child: what it waits on is the same in both."""
    global _runner
    _parents.append(_runner)  # not closed: that would take from the parent what it waits on
    _runner = None


def _close() -> None:
    global _runner
    if _runner is not None:
        runner, _runner = _runner, None
        runner.close()


os.register_at_fork(after_in_child=_leave)
