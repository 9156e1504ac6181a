"""One home in several processes, threads and event loops at once, and processes that end early."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.faults.rounds import in_worker
from tests.instances import PASSPHRASE, alice_at
from tests.leftovers import PATIENCE
from tests.proc import agent_of, users_of
from tiny_gnupg import GnuPG, run

USER = """
import asyncio, sys
from pathlib import Path
from tests.instances import alice_at

async def main():
    async with alice_at(Path(sys.argv[1]), timeout=60) as gpg:
        await gpg.set_fingerprint(gpg.email)
        block = Path(sys.argv[2]).read_text()
        for turn in range(8):
            message = await gpg.encrypt(f"turn {turn}")
            assert await gpg.decrypt(message) == f"turn {turn}"
            assert gpg.fingerprint in await gpg.list_keys()
            fingerprint, = (await gpg.text_import(block)).fingerprints
            assert fingerprint in await gpg.list_keys()
            if turn % 2:
                await gpg.delete(fingerprint)

asyncio.run(main())
"""


def test_several_processes_on_one_home(
    alices_home: Path, strangers: dict[str, str], tmp_path: Path
) -> None:
    """Each writes and reads; nobody ever sees a keyring without keys, or without the agent."""
    processes = []
    for number, block in enumerate(list(strangers.values())[:3]):
        file = tmp_path / f"{number}.asc"
        file.write_text(block)
        command = [sys.executable, "-c", USER, str(alices_home), str(file)]
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert agent_of(alices_home) is None


WORKERS = """
import asyncio, multiprocessing, sys, warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tests.faults.rounds import in_worker
from tests.instances import alice_at

async def main(home, method):
    # Python warns of a fork beside threads; here it is wanted.
    warnings.simplefilter("ignore", DeprecationWarning)
    async with alice_at(Path(home)) as gpg:
        message = await gpg.encrypt("text")
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
            loop = asyncio.get_running_loop()
            calls = [loop.run_in_executor(pool, in_worker, home) for _ in range(4)]
            assert await gpg.decrypt(message) == "text"
            assert await asyncio.gather(*calls) == ["from a worker"] * 4
        assert await gpg.decrypt(message) == "text"

if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_worker_processes(alices_home: Path, method: str) -> None:
    """The workers come and go while a process uses the home; its agent and locks stay its."""
    done = subprocess.run(
        [sys.executable, "-c", WORKERS, str(alices_home), method],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert agent_of(alices_home) is None


async def _slowly() -> AsyncIterator[bytes]:
    for _ in range(8):
        yield os.urandom(2**16)
        await asyncio.sleep(0.02)


async def _many(gpg: GnuPG) -> int:
    messages = [os.urandom(2**16) for _ in range(20)]
    return len([one async for one in gpg.encrypt_many(messages, gpg.fingerprint)])


async def _stream(gpg: GnuPG) -> int:
    return len([one async for one in gpg.encrypt_stream(_slowly())])


WORK: dict[str, Callable[[GnuPG], Coroutine[Any, Any, object]]] = {
    "a long message": lambda gpg: gpg.encrypt(os.urandom(3_000_000)),
    "a stream": _stream,
    "many messages": _many,
    "a change": lambda gpg: gpg.change_passphrase("", PASSPHRASE),
}


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("work", WORK)
async def test_a_fork_in_the_middle_of_an_operation(alice: GnuPG, work: str) -> None:
    """The child lives on until the operation has ended, and holds nothing of it open."""
    for moment in (0.01, 0.03, 0.06):
        task = asyncio.ensure_future(WORK[work](alice))
        await asyncio.sleep(moment)
        end, ours = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ours)
            os.read(end, 1)
            os._exit(0)
        try:
            async with asyncio.timeout(60):
                await task
                await alice.trust(alice.fingerprint, 5)
        finally:
            os.close(ours)
            os.waitpid(child, 0)
            os.close(end)
        assert await alice.decrypt(await alice.encrypt("text")) == "text"


ENDING = """
import asyncio, os, sys
from pathlib import Path
from tests.instances import alice_at
from tiny_gnupg import run

async def main():
    gpg = alice_at(Path(sys.argv[1]))
    await gpg.set_fingerprint(gpg.email)
    tasks = [asyncio.ensure_future(gpg.encrypt(os.urandom(5_000_000))) for _ in range(4)]
    tasks.append(asyncio.ensure_future(gpg.set_expire("", "1y")))
    await asyncio.sleep(0.05)
    print("busy", flush=True)
    {ending}

{start}
"""
ENDINGS = {
    "exit": ("sys.exit(3)", "asyncio.run(main())", 3),
    "return": ("return", "asyncio.run(main())", 0),
    "run helper": ("raise KeyError('x')", "run(main())", 1),
    "os._exit": ("os._exit(4)", "asyncio.run(main())", 4),
    "killed": ("os.kill(os.getpid(), 9)", "asyncio.run(main())", -9),
    "interrupted": ("os.kill(os.getpid(), 2); await asyncio.sleep(5)", "asyncio.run(main())", -2),
}


@pytest.mark.parametrize("how", ENDINGS)
def test_an_interpreter_that_ends_in_the_middle(alices_home: Path, how: str) -> None:
    ending, start, code = ENDINGS[how]
    script = ENDING.format(ending=ending, start=start)
    done = subprocess.run(
        [sys.executable, "-c", script, str(alices_home)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "busy\n", done.stderr
    assert done.returncode in (code, 130 if code == -2 else code), done.stderr
    # A gpg of a killed process ends by itself, when its pipes have.
    assert nobody_uses(alices_home, but_the_agent=True)
    if how not in ("os._exit", "killed"):
        assert agent_of(alices_home) is None
    again = in_worker(str(alices_home))
    assert again == "from a worker"
    assert agent_of(alices_home) is None


def nobody_uses(home: Path, *, but_the_agent: bool) -> bool:
    """Wait until no process names a home any more."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        agent = agent_of(home) if but_the_agent else None
        if not any(pid != agent for pid in users_of(home)):
            return True
        time.sleep(0.02)
    return False


async def test_a_process_that_is_killed_while_it_writes(
    alice: GnuPG, strangers: dict[str, str], tmp_path: Path
) -> None:
    """Its locks go with it, and ours come."""
    held = set(await alice.list_keys())
    file = tmp_path / "key.asc"
    file.write_text(next(iter(strangers.values())))
    for delay in (0.3, 0.4, 0.5, 0.6):
        command = [sys.executable, "-c", USER, alice.home, str(file)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            await asyncio.sleep(delay)
            process.send_signal(signal.SIGKILL)
        async with asyncio.timeout(20):
            await alice.trust(alice.fingerprint, 5)
            assert held <= set(await alice.list_keys())
            assert await alice.decrypt(await alice.encrypt("text")) == "text"


def test_one_loop_after_another(alices_home: Path) -> None:
    """An instance made in one loop works in the next: asyncio.run twice, and a loop by hand."""
    gpg = alice_at(alices_home)
    message = asyncio.run(gpg.encrypt("text"))
    assert asyncio.run(gpg.decrypt(message)) == "text"
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(gpg.decrypt(message)) == "text"
    loop.close()
    assert run(gpg.decrypt(message)) == "text"
    asyncio.run(gpg.aclose())


async def test_loops_in_threads(alice: GnuPG) -> None:
    """One instance in four threads with a loop each, while this loop uses it too."""
    message = await alice.encrypt("text")

    def use() -> list[str]:
        async def several() -> list[str]:
            await alice.trust(alice.fingerprint, 5)
            return await asyncio.gather(*(alice.decrypt(message) for _ in range(4)))

        return asyncio.run(several())

    calls = [asyncio.to_thread(use) for _ in range(4)]
    found = await asyncio.gather(alice.decrypt(message), *calls)
    assert found == ["text", *[["text"] * 4] * 4]
    assert threading.active_count() < 40


async def test_a_loop_that_is_closed_with_work_in_it(alice: GnuPG) -> None:
    """What a thread's loop leaves unfinished is cancelled with it, and holds nobody up."""

    def abandon() -> None:
        async def begin() -> None:
            asyncio.ensure_future(alice.encrypt(os.urandom(20_000_000)))  # noqa: RUF006
            asyncio.ensure_future(alice.set_expire("", "2y"))  # noqa: RUF006
            await asyncio.sleep(0.02)

        asyncio.run(begin())

    await asyncio.to_thread(abandon)
    async with asyncio.timeout(10):
        await alice.set_expire("", "1y")
        assert await alice.decrypt(await alice.encrypt("text")) == "text"
