"""Tasks and threads: waited for to their end, and silent about what they give.

asyncio's debug mode logs tasks and futures with their results. Ours may be plaintext or a
passphrase, so what they give is wrapped (``Hidden``).
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")


T = TypeVar("T")


#: Seconds for which a loop is left that cancels again at each of its turns, as anyio's do: threads
#: would wait for the interpreter else.
REST = 0.0005


class Hidden(Generic[T]):
    """The result of a task or a future, which its ``repr`` does not show."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value


async def hidden(work: Awaitable[T]) -> Hidden[T]:
    """Await ``work``, and return its result so that no log shows it."""
    return Hidden(await work)


def another_library() -> str:
    """Return the name of the asynchronous library that runs here, where it is not asyncio."""
    sniffio = sys.modules.get("sniffio")
    try:
        name = sniffio.current_async_library() if sniffio else "asyncio"
    except Exception:  # sniffio's own: none runs
        return ""
    return "" if name == "asyncio" else str(name)


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that runs here.

    Raises:
        RuntimeError: there is none; it says what to do.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        other = another_library()
        found = f"this is {other}" if other else "no event loop of asyncio is running here"
        raise RuntimeError(
            f"tiny_gnupg works on asyncio, and {found}: call it from asyncio.run(...), from "
            "tiny_gnupg.run(...), or under trio by way of trio-asyncio"
        ) from None


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work`` to its end, and only then let a cancellation that came meanwhile through.

    What runs in a thread goes on whether it is awaited or not: whoever closes a file or removes a
    directory that the thread still uses has to wait for it. The cancellation goes on as it came:
    anyio knows its own by their words.
    """
    task = asyncio.ensure_future(hidden(work))
    came: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            if came is not None:
                time.sleep(REST)  # noqa: ASYNC251 - it is for the threads
            came = came or error
    if came is None:
        return task.result().value
    if not task.cancelled():
        task.exception()  # it goes under, and asyncio shall not complain of that
    try:
        raise came
    finally:
        del came  # its traceback holds this frame


async def cancel_all(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks, and wait until each has ended; how is not told."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # else asyncio would complain that nobody asked


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a thread of its own; its work has to be bounded.

    Not ``asyncio.to_thread``: its pool takes no work while the interpreter ends, when last words
    may still be signed. Where no thread is to be had, the function is called right here.
    """
    loop = running_loop()
    done: asyncio.Future[None] = loop.create_future()
    result: Future[T] = Future()  # not the one that is awaited, see above
    context = contextvars.copy_context()

    def finish() -> None:
        if not done.done():
            done.set_result(None)

    def run() -> None:
        try:
            result.set_result(context.run(work, *args, **kwargs))
        except BaseException as error:
            result.set_exception(error)
        with suppress(RuntimeError):  # the loop was closed, and nobody waits
            loop.call_soon_threadsafe(finish)

    try:
        threading.Thread(target=run, name="tiny_gnupg").start()
    except RuntimeError:  # the interpreter ends, or the system has no room for one more
        return work(*args, **kwargs)
    await done
    return result.result()
