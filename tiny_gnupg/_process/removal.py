"""A directory that goes when this process does, however it ends.

Secret keys lie there for a moment under the protection that they are to have elsewhere, or none.
Nobody can tidy up after SIGKILL, and so another process waits for the end of this one: a shell that
reads from a pipe which we hold. Where there is no shell, the next one who opens the home tidies up.
"""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tiny_gnupg._process.descriptors import close_owned, no_fork, open_pipe
from tiny_gnupg._process.tasks import in_thread, uninterrupted

#: A service manager ends us and the shell together; it waits all the same. What still works in the
#: directory, as an agent, ends when that has gone, and may write until then.
_WAIT = """trap '' HUP INT TERM; read -r end
for pause in 0 1 2 4; do sleep $pause; rm -rf -- "$1"; [ -e "$1" ] || break; done"""


@asynccontextmanager
async def removed_at_the_end(path: Path) -> AsyncIterator[None]:
    """Have a directory removed where this process ends within the block."""
    # Not in a thread: where that is cancelled, what was started would be nobody's.
    waiting = remove_at_the_end(path)
    try:
        yield
    finally:
        await uninterrupted(in_thread(dismiss, waiting))


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for the end of this process, and the pipe that ends then."""

    process: subprocess.Popen[bytes]
    pipe: int


def remove_at_the_end(path: Path) -> Waiting | None:
    """Have a directory removed where this process ends; return what waits for that, or None."""
    reader, writer = open_pipe()
    try:
        with no_fork:
            process = subprocess.Popen(  # noqa: S603 - our own words; the path is an argument
                ["/bin/sh", "-c", _WAIT, "sh", str(path)],
                stdin=reader,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
    except OSError:
        close_owned(writer)
        return None
    finally:
        close_owned(reader)
    return Waiting(process, writer)


def dismiss(waiting: Waiting | None) -> None:
    """End what waits for the end of this process."""
    if waiting is not None:
        waiting.process.kill()
        waiting.process.wait()
        close_owned(waiting.pipe)
