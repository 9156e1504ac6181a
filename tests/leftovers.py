"""What a test that uses a home must not leave behind, looked for in the system itself.

No process of that home (gpg or agent), no child, no socket, no link in ``/tmp``, no directory of
sockets in ``/run/user``, and no descriptor of a pipe, a lock or a child in this process.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.proc import children, command_lines
from tiny_gnupg._home.agent import Agent
from tiny_gnupg._home.home import Home
from tiny_gnupg._home.short_paths import LINK
from tiny_gnupg._process.child import Child

#: Where GnuPG puts the sockets of a user.
SOCKETS = [Path(base, "user", str(os.getuid()), "gnupg") for base in ("/run", "/var/run")]
PIDFD = "anon_inode:[pidfd]"
#: Seconds in which a process that was told to end may still be seen. An agent whose home is removed
#: while it comes up looks for its socket once a minute, and ends then.
PATIENCE = 100.0


@contextlib.contextmanager
def clean_home(path: Path | None = None) -> Iterator[Path]:
    """Return a directory for a home, take it away after, and see that nothing else is left.

    Args:
        path: where; a new directory with a short path where none is given.

    Raises:
        AssertionError: the block left something behind. It is taken away all the same.
    """
    top = Path(tempfile.mkdtemp(prefix="tg", dir="/tmp"))
    home = top if path is None else top / path
    before = _Traces.now()
    try:
        yield home
    finally:
        left = _left_behind(home, before)
        for pid in _processes_of(home, links_to(home)) if left else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        forget(top)
        shutil.rmtree(top, ignore_errors=True)
    assert not left, f"left behind: {', '.join(left)}"


def forget(top: Path) -> None:
    """Let this process forget the homes below a directory: another one may get its name."""
    real = Path(os.path.realpath(top))
    for home in list(Home._known.values()):
        if home.path.is_relative_to(real):
            Home.drop(home)


@dataclass(frozen=True)
class _Traces:
    children: set[int]
    descriptors: dict[int, str]
    sockets: set[Path]

    @classmethod
    def now(cls) -> _Traces:
        return cls(children(), _descriptors(), _socket_directories())


def _left_behind(home: Path, before: _Traces) -> list[str]:
    deadline = time.monotonic() + PATIENCE
    left = _look(home, before)
    while left and time.monotonic() < deadline:
        time.sleep(0.01)
        left = _look(home, before)
    return left


def _waiting_elsewhere(home: Path, ours: set[int]) -> tuple[set[int], set[str]]:
    """Return the gpgs that wait in other homes, of instances that are open, and their pipes."""
    if not ours:
        return set(), set()
    # Not `short`, which would make the link of a home again whose directory a test took away.
    others = [os.fsencode(one._short) for one in Home._known.values() if one.path != home]
    lines = command_lines(*others) if others else {}
    found = {pid for pid in ours if any(name in lines.get(pid, ()) for name in others)}
    pipes = set()
    for pid in found:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                pipes.add(os.readlink(fd))
    return found, pipes


def _look(home: Path, before: _Traces) -> list[str]:
    after = _Traces.now()
    elsewhere, pipes = _waiting_elsewhere(home, after.children)
    links = links_to(home)
    processes = _processes_of(home, links)
    inside = [Path(top, name) for top, folders, files in os.walk(home) for name in folders + files]
    return [
        *(f"process {pid}: {line}" for pid, line in processes.items()),
        *(f"child {pid}" for pid in after.children - before.children - elsewhere),
        *(f"socket {path}" for path in inside if path.name.startswith("S.") and path.is_socket()),
        *(f"scratch home {path}" for path in inside if path.name.startswith("scratch.")),
        *(f"sockets in {path}" for path in after.sockets - before.sockets),
        *(f"link {link}" for link in links),
        *(
            f"descriptor {fd} of {what}, of {list(map(vars, _holders(fd)))}"
            for fd, what in after.descriptors.items()
            if before.descriptors.get(fd) != what
            if _of_interest(fd, what, home, {*after.children, *processes})
            if what not in pipes and not (what == PIDFD and _process_of(fd) in elsewhere)
        ),
    ]


def _of_interest(fd: int, what: str, home: Path, processes: set[int]) -> bool:
    if what == PIDFD:
        pid = _process_of(fd)
        if pid > 0:
            return pid in processes
        # That of another home's agent is nothing of this one, which may stand for a whole session.
        own = Home._known.get(Path(os.path.realpath(home)))
        agents = [one for one in _holders(fd) if isinstance(one, Agent)]
        return not agents or (own is not None and agents[0] is own.agent)
    # The test's event loop may live longer than its home, with descriptors of its own.
    return what.startswith(("pipe:", str(home)))


def _holders(fd: int) -> list[Agent | Child]:
    """Return what in this process holds a descriptor of a process."""
    kinds = (Agent, Child)
    return [one for one in gc.get_objects() if isinstance(one, kinds) and one._pidfd == fd]


def _process_of(pidfd: int) -> int:
    """Return the process of a descriptor; -1 where that has ended."""
    lines = Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Pid:")), -1)


def links_to(home: Path) -> list[Path]:
    """Return the short links to a home, or to one inside it, that are there now."""
    found = []
    for place in {"/tmp", os.environ.get("XDG_RUNTIME_DIR", "/tmp")}:
        for name in os.listdir(place):
            if name.startswith("tiny_gnupg-"):
                link = Path(place, name, LINK)
                with contextlib.suppress(OSError):  # it has just gone
                    if Path(os.readlink(link)).is_relative_to(home):
                        found.append(link)
    return found


def _processes_of(home: Path, links: list[Path]) -> dict[int, str]:
    """Return the processes, but this one, that name a home or a link to it as an argument."""
    names = tuple(os.fsencode(path) for path in (home, *links))
    return {
        pid: b" ".join(line).decode(errors="replace")
        for pid, line in command_lines(*names).items()
        if any(part.startswith(names) for part in line)
    }


def _descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


def _socket_directories() -> set[Path]:
    return {path for base in SOCKETS if base.is_dir() for path in base.iterdir()}
