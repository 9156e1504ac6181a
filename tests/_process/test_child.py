"""Exit codes: the system's own or none, whoever else asks for children."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.instances import alice_at
from tests.namespaces import CHECKOUT
from tests.proc import children
from tiny_gnupg import BadPassphrase, CommandFailed, GnuPG
from tiny_gnupg._process.program import Channels, run_program

SH = "/bin/sh"
#: A moment, so that the child is still there when it is first looked at.
LATER = "read line; exit "


@pytest.fixture(params=["pidfd", "no pidfd"])
def _pidfd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no pidfd":

        def refused(pid: int, flags: int = 0) -> int:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))  # as a seccomp filter does

        monkeypatch.setattr(os, "pidfd_open", refused)


def reap_all(*_: object) -> None:
    """Do as a process 1 is told to."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


@pytest.fixture(params=["nobody", "a handler", "ignored"])
def somebody_else(request: pytest.FixtureRequest) -> Iterator[str]:
    """Who else asks for the children of this process."""
    handlers: dict[str, Callable[..., None] | signal.Handlers] = {
        "nobody": signal.SIG_DFL,
        "a handler": reap_all,
        "ignored": signal.SIG_IGN,
    }
    before = signal.signal(signal.SIGCHLD, handlers[request.param])
    yield request.param
    signal.signal(signal.SIGCHLD, before)


async def code_of(program: str) -> int | None:
    """Return an exit code, or None where it is said to be lost."""
    try:
        return (await run_program([SH, "-c", program], Channels(stdin=b"go\n"))).returncode
    except CommandFailed as error:
        if "exit code" in error.message and "SIGCHLD" in error.hint:
            return None
        raise


@pytest.mark.usefixtures("_pidfd")
@pytest.mark.parametrize(
    ("program", "code"), [(LATER + "0", 0), (LATER + "7", 7), ("read line; kill -9 $$", -9)]
)
async def test_an_exit_code_is_the_true_one_or_lost(
    somebody_else: str, program: str, code: int
) -> None:
    found = await code_of(program)
    assert found == code


async def test_a_thread_that_waits_for_every_child(somebody_else: str) -> None:
    """As the thread of a supervisor does."""
    over = threading.Event()

    def wait() -> None:
        while not over.is_set():
            with suppress(ChildProcessError):
                os.waitpid(-1, 0)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        assert {await code_of(LATER + "7") for _ in range(20)} <= {7, None}
    finally:
        over.set()
        thread.join()


@pytest.mark.usefixtures("_pidfd", "somebody_else")
async def test_a_program_is_ended_whoever_asks_for_it() -> None:
    task = asyncio.ensure_future(run_program(["sleep", "600"]))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() == set()


async def test_what_gpg_refuses_is_not_taken_for_done(alice: GnuPG, somebody_else: str) -> None:
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    await alice.sign("x")  # starts the agent, which gpg itself cannot where SIGCHLD is ignored
    signal.signal(signal.SIGCHLD, handler)
    before = (await alice.keys(alice.fingerprint))[0].expires
    other = alice_at(alice.home, passphrase="another")  # type: ignore[arg-type]
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: other.set_expire(alice.fingerprint, "5y"),
        lambda: other.add_uid(alice.fingerprint, "Alice", "alice@example.net"),
        lambda: other.sign("x", alice.fingerprint),
    ]
    for call in calls:
        with pytest.raises((BadPassphrase, CommandFailed)):
            await call()
    await other.aclose()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    assert (await alice.keys(alice.fingerprint))[0].expires == before


#: Starts a program with some standard descriptors closed, and tells what came by which pipe.
CLOSED = """
import asyncio, os, sys
for fd in map(int, sys.argv[2]):
    os.close(fd)
from tiny_gnupg._process.program import SECOND, Channels, LiveProgram, run_program

ONCE = '''import os, sys
_, second, _, status, _, passphrase = sys.argv
os.write(int(status), b"s" + os.read(int(passphrase), 99))
sys.stdout.write(sys.stdin.read() + open(int(second[2:])).read())
sys.stderr.write("e")
'''
ALIVE = "import os, sys; os.write(int(sys.argv[2]), sys.stdin.buffer.readline())"

async def main():
    program = [sys.executable, "-I", "-S", "-c", ONCE, SECOND]
    second = open(sys.argv[3], "rb").read()
    asked = Channels(stdin=b"d", second=second, passphrase=b"p")
    done = await run_program(program, asked, slot=len(program))
    live = LiveProgram([sys.executable, "-I", "-S", "-c", ALIVE], slot=5)
    heard = await live.ask(b"said", b"said\\n")
    await live.end()
    with open(sys.argv[1], "w") as file:
        print(done.stdout, done.status, done.stderr, heard, file=file)

asyncio.run(main())
"""


@pytest.mark.parametrize("closed", ["", "0", "1", "2", "01", "012"])
def test_closed_standard_descriptors(tmp_path: Path, closed: str) -> None:
    """A daemon may have none; status lines must not become data then, or data status lines."""
    told, second = tmp_path / "told", tmp_path / "second"
    second.write_text("2")
    done = subprocess.run(
        [sys.executable, "-c", CLOSED, told, closed, second],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0
    assert told.read_text() == "b'd2' b'sp\\n' b'e' b'said\\n'\n"
