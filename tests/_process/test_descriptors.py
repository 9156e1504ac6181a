"""What is this process's alone, and children that are forked at any moment."""

from __future__ import annotations

import fcntl
import os
import select
import threading
from pathlib import Path

import pytest

from tiny_gnupg._process.descriptors import close_owned, open_pipe, owned
from tiny_gnupg._process.program import run_program

# Python 3.12 warns of a fork beside other threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

#: Seconds for which a child lives that nobody tells to end.
PATIENCE = 60


class Children:
    """Forked children that live on until they are told to end."""

    def __init__(self) -> None:
        self._end, self._ours = os.pipe()
        self._pids: list[int] = []

    def fork(self) -> None:
        """Fork one."""
        child = os.fork()
        if child == 0:
            os.close(self._ours)
            # One that is waited for ends all the same, and says so.
            told = select.select([self._end], [], [], PATIENCE)[0]
            os._exit(0 if told else 1)
        self._pids.append(child)

    def end(self) -> None:
        """End all of them; none was waited for."""
        os.close(self._ours)
        os.close(self._end)
        ends = [os.waitpid(pid, 0)[1] for pid in self._pids]
        assert set(ends) == {0}


def test_a_pipe_ends_and_a_lock_goes_with_ours(tmp_path: Path) -> None:
    reader, writer = open_pipe()
    lock = owned(os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR))
    fcntl.flock(lock, fcntl.LOCK_EX)
    children = Children()
    try:
        children.fork()
        close_owned(writer)
        close_owned(lock)
        assert os.read(reader, 1) == b""
        with open(tmp_path / "lock") as again:
            fcntl.flock(again, fcntl.LOCK_EX)
    finally:
        children.end()
        close_owned(reader)


def test_what_is_closed_is_closed_once() -> None:
    reader, writer = open_pipe()
    close_owned(reader)
    another = os.open(os.devnull, os.O_RDONLY)
    assert another == reader
    close_owned(reader)
    close_owned(writer)
    os.close(another)


async def test_a_thread_forks_while_programs_are_started() -> None:
    """No program waits for the end of a child that got a copy of what tells of its start."""
    children, enough = Children(), threading.Event()

    def fork() -> None:
        for _ in range(100):
            if enough.is_set():
                break
            children.fork()

    thread = threading.Thread(target=fork)
    thread.start()
    try:
        while thread.is_alive():
            assert (await run_program(["/bin/true"])).returncode == 0
    finally:
        enough.set()
        thread.join()
        children.end()
