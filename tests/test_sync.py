"""``run``: one loop for scripts, as long as the process lives."""

from __future__ import annotations

import asyncio
import contextvars
import os
import subprocess
import sys
from collections.abc import Generator

import pytest

from tests.namespaces import CHECKOUT
from tiny_gnupg import run


async def loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_it_gives_the_result_or_raises_the_error() -> None:
    async def fail() -> None:
        raise LookupError("from inside")

    assert run(asyncio.sleep(0, "result")) == "result"
    with pytest.raises(LookupError, match="from inside"):
        run(fail())
    assert run(asyncio.sleep(0, "still works")) == "still works"


def test_the_loop_stays_the_same_and_what_it_holds_goes_on() -> None:
    ticked = []

    async def begin() -> asyncio.Task[None]:
        async def tick() -> None:
            while True:
                ticked.append(True)
                await asyncio.sleep(0)

        return asyncio.ensure_future(tick())

    first = run(loop())
    task = run(begin())
    before = len(ticked)
    assert run(loop()) is first
    run(asyncio.sleep(0.01))
    assert len(ticked) > before
    task.cancel()
    run(asyncio.sleep(0))


def test_anything_that_can_be_awaited_runs() -> None:
    class Awaitable:
        def __await__(self) -> Generator[None, None, str]:
            yield
            return "awaited"

    assert run(Awaitable()) == "awaited"


async def test_inside_a_loop_it_says_use_await() -> None:
    with pytest.raises(RuntimeError, match="use await"):
        run(asyncio.sleep(0))
    with pytest.raises(RuntimeError, match="use await"):
        run(asyncio.get_running_loop().create_future())


def test_context_variables_reach_the_inside() -> None:
    variable = contextvars.ContextVar("variable", default="outside")
    run(asyncio.sleep(0))  # the loop is older than what is set below
    variable.set("set")

    async def read() -> str:
        seen = variable.get()
        variable.set("changed inside")
        return seen

    assert run(read()) == "set"
    assert variable.get() == "set", "as with asyncio.run, what is set inside stays there"


def script(text: str) -> str:
    """Run a program, and give what it printed; it says nothing on standard error."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", text],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


def test_importing_the_package_touches_no_loop_and_loads_no_network() -> None:
    printed = script(
        "import asyncio, sys\n"
        "made = []\n"
        "asyncio.new_event_loop = lambda: made.append(1)\n"
        "import tiny_gnupg\n"
        "print(made, 'aiohttp' in sys.modules)\n"
    )
    assert printed == "[] False\n"


def test_the_loop_is_closed_at_the_end_of_the_process() -> None:
    printed = script(
        "import asyncio\n"
        "from tiny_gnupg import run\n"
        "async def wait():\n"
        "    try:\n"
        "        await asyncio.sleep(99)\n"
        "    finally:\n"
        "        print('told to end')\n"
        "async def begin():\n"
        "    asyncio.current_task().kept = asyncio.ensure_future(wait())\n"
        "    await asyncio.sleep(0)\n"
        "run(begin())\n"
        "print('end')\n"
    )
    assert printed == "end\ntold to end\n"


def test_ctrl_c_interrupts_and_the_next_call_works() -> None:
    printed = script(
        "import asyncio, os, signal\n"
        "from tiny_gnupg import run\n"
        "async def interrupted():\n"
        "    asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), signal.SIGINT)\n"
        "    try:\n"
        "        await asyncio.sleep(9)\n"
        "    except asyncio.CancelledError:\n"
        "        print('cancelled')\n"
        "        raise\n"
        "try:\n"
        "    run(interrupted())\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
        "print(run(asyncio.sleep(0, 'next')))\n"
    )
    assert printed == "cancelled\ninterrupted\nnext\n"


# Python 3.12 warns of a fork beside other threads.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_a_loop_of_its_own() -> None:
    first = run(loop())
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        same = run(loop()) is first
        run(asyncio.to_thread(os.write, writer, str(same).encode()))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(reader, 9) == b"False"
    os.close(reader)
    os.close(writer)
    assert run(asyncio.to_thread(lambda: "the parent's still wakes up")).startswith("the parent")
