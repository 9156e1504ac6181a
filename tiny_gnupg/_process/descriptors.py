"""Descriptors that are this process's alone: a forked child closes its copies at once.

A lock is held, and a pipe has not ended, as long as any copy of its descriptor is open. A child
that lives on would hold up whoever waits for that in its parent. For the same reason no thread
forks while another one opens such a descriptor, or starts a program: ``subprocess`` waits for the
end of a pipe of its own.
"""

from __future__ import annotations

import fcntl
import os
import threading

from tiny_gnupg.errors import CommandFailed

#: Held by whoever forks, and by whoever may not be disturbed by that.
no_fork = threading.RLock()


_owned: set[int] = set()


def owned(fd: int) -> int:
    """Return a descriptor that was just opened, and that ``close_owned`` will close."""
    _owned.add(fd)
    return fd


def close_owned(fd: int) -> None:
    """Close one; a forked child has closed its copy already, and may use the number again."""
    if fd in _owned:
        _owned.discard(fd)
        os.close(fd)


def open_pipe() -> tuple[int, int]:
    """Open a pipe that is owned; give the end to read from, and the one to write to.

    Raises:
        CommandFailed: the system has no room for it.
    """
    with no_fork:
        try:
            reader, writer = map(above_standard, os.pipe())
        except OSError as error:
            raise exhausted(error) from error
        return owned(reader), owned(writer)


def above_standard(fd: int) -> int:
    """Return a descriptor that is none of the standard ones, in the place of one that may be.

    Where a program was started with its own closed, ours get their numbers; in a child, which has
    its own standard descriptors, they would be lost, and status lines become data.
    """
    if fd > 2:
        return fd
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError as error:
        raise exhausted(error) from error
    finally:
        os.close(fd)


def exhausted(error: OSError) -> CommandFailed:
    """Name the error of a system that has no room for one more program or pipe."""
    return CommandFailed(
        f"the system has no room for one more program: {os.strerror(error.errno or 0)}",
        hint="raise its limits (ulimit -n, ulimit -u), or lower limit=",
        returncode=error.errno,
    )


def _in_child() -> None:
    no_fork.release()
    while _owned:
        os.close(_owned.pop())


os.register_at_fork(
    before=no_fork.acquire, after_in_parent=no_fork.release, after_in_child=_in_child
)
