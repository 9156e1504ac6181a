"""``run``: a loop for each thread, as long as the thread lives."""

from __future__ import annotations

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trio

from tests.namespaces import CHECKOUT
from tiny_gnupg import GnuPG, run


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


def script(text: str, *arguments: str) -> str:
    """Run a program, and give what it printed; it says nothing on standard error."""
    # Not "-X dev": asyncio's debug mode tells of each step that takes a busy machine long.
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", text, *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
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


def test_threads_have_a_loop_each_that_goes_with_them() -> None:
    """As the request threads of a server do; 24 at once, and then as many again."""
    loops = set()

    def request(number: int) -> int:
        own = run(loop())
        loops.add(own)
        assert run(loop()) is own
        assert list(run(asyncio.gather(asyncio.sleep(0, number), asyncio.sleep(0, 5)))) == [
            number,
            5,
        ]
        return run(asyncio.sleep(0.01, number))

    for _ in range(2):
        with ThreadPoolExecutor(24) as pool:
            assert list(pool.map(request, range(48))) == list(range(48))
    run_in_a_thread(lambda: run(loop()))  # whoever comes next closes what the others left
    assert sum(not each.is_closed() for each in loops) <= 1
    assert len(loops) > 1


def run_in_a_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


async def test_a_thread_of_a_loop_may_run() -> None:
    assert await asyncio.to_thread(lambda: run(asyncio.sleep(0, "in a thread"))) == "in a thread"


AT_EXIT = """
import asyncio, atexit, sys, threading
{before}
from tiny_gnupg import GnuPG, run
from tests.instances import alice_at
gpg = alice_at(sys.argv[1])

def bye():
    print(run(gpg.decrypt(run(gpg.encrypt("last words", "alice@example.org")))))
    print(run(asyncio.wait_for(gpg.sign("x"), 60))[:5])
    run(gpg.aclose())

{after}
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "run(gpg.list_keys()); atexit.register(bye)"),
        ("", "atexit.register(bye); run(gpg.list_keys())"),
        ("", "atexit.register(bye)"),
        ("atexit.register(lambda: bye())", "run(gpg.list_keys())"),
        ("", "atexit.register(bye); t = threading.Thread(target=lambda: run(gpg.list_keys()));"
         "t.start(); t.join()"),
    ],
)  # fmt: skip
def test_last_words_at_exit(alices_home: object, before: str, after: str) -> None:
    program = AT_EXIT.format(before=before, after=after)
    assert script(program, str(alices_home)) == "last words\n-----\n"


FIRST_CALL = """
import asyncio, warnings
from tiny_gnupg import GnuPG, run
warnings.simplefilter("ignore", DeprecationWarning)  # asyncio's, of what is made without a loop
made = asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2))
print(run(made), run(asyncio.gather(asyncio.sleep(0, 3))), run(asyncio.sleep(0, 4)))
other = asyncio.new_event_loop()
print(run(other.create_task(asyncio.sleep(0, 5))), run(asyncio.sleep(0, 6)))
other.close()
"""


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="asyncio.gather then wants a loop itself")
def test_what_was_made_outside_runs_also_as_the_first_call() -> None:
    assert script(FIRST_CALL) == "[1, 2] [3] 4\n5 6\n"


def test_under_trio_it_refuses() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="trio is running already"):
            run(asyncio.sleep(0))

    trio.run(main)


UVLOOP = """
import asyncio, sys
from pathlib import Path
import uvloop
from tests.instances import alice_at
from tiny_gnupg import GnuPG, run

async def main():
    async with alice_at(Path(sys.argv[1])) as gpg:
        message = await gpg.encrypt("x" * 5_000_000, gpg.email)
        assert await gpg.decrypt(message) == "x" * 5_000_000
        async for plain in gpg.decrypt_many([message, await gpg.encrypt("y", gpg.email)]):
            print(plain[:1])
        task = asyncio.ensure_future(gpg.encrypt(b"x" * 50_000_000, gpg.email))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait([task])
        print(task.cancelled(), type(asyncio.get_running_loop()).__module__)

uvloop.run(main())
"""


def test_uvloop(alices_home: object) -> None:
    assert script(UVLOOP, str(alices_home)) == "x\ny\nTrue uvloop\n"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.12 brought eager tasks")
def test_eager_tasks(alices_home: object) -> None:
    eager = UVLOOP.replace("import uvloop\n", "").replace(
        "uvloop.run(main())",
        "def made():\n    loop = asyncio.new_event_loop()\n"
        "    loop.set_task_factory(asyncio.eager_task_factory)\n    return loop\n"
        "with asyncio.Runner(loop_factory=made) as runner:\n    runner.run(main())",
    )
    assert script(eager, str(alices_home)) == "x\ny\nTrue asyncio.unix_events\n"


async def _pieces() -> AsyncIterator[bytes]:
    yield b""


def _kind(what: object) -> str:
    return type(what).__name__  # no address, which is another one in each process


@pytest.mark.parametrize("what", [None, 7, [], print, GnuPG.encrypt_many, _pieces()], ids=_kind)
def test_what_cannot_be_awaited_is_told(what: Any) -> None:
    with pytest.raises(TypeError, match="can be awaited, not "):
        run(what)
