"""The pipes of streams: large where that is to be had, and given back."""

from __future__ import annotations

import fcntl
from contextlib import ExitStack, closing

from tiny_gnupg._process.flow import MOST_LARGE, ROOM, _Pipe


def room(pipe: _Pipe) -> int:
    return fcntl.fcntl(pipe.ours, fcntl.F_GETPIPE_SZ)


def test_some_pipes_are_large_and_many_are_as_others_are() -> None:
    for _ in range(2):  # those that were closed count no more
        with ExitStack() as stack:
            pipes = [stack.enter_context(closing(_Pipe(n % 2))) for n in range(MOST_LARGE + 2)]
            assert [room(pipe) == ROOM for pipe in pipes] == [True] * MOST_LARGE + [False] * 2
            assert pipes[0].ours != pipes[0].theirs
