"""Processes as the system itself shows them: our children, and those that name a home."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def children() -> set[int]:
    """Return the programs that this process started and that are still there."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has just ended
            found.update(map(int, (task / "children").read_text().split()))
    return found


def command_lines(*holding: bytes) -> dict[int, list[bytes]]:
    """Return the arguments of every process but this one, or of those that hold one of some texts.

    It is done behind each home of a test, with hundreds of processes, and so in few steps.
    """
    found, own = {}, str(os.getpid())
    for name in os.listdir("/proc"):
        if name.isdigit() and name != own:
            with contextlib.suppress(OSError):  # it has just ended
                line = _content(f"/proc/{name}/cmdline")
                if not holding or any(text in line for text in holding):
                    found[int(name)] = line.split(b"\0")
    return found


def _content(path: str) -> bytes:
    fd, content = os.open(path, os.O_RDONLY), b""
    try:
        while piece := os.read(fd, 2**16):
            content += piece
    finally:
        os.close(fd)
    return content


def users_of(home: Path) -> dict[int, list[bytes]]:
    """Return the processes that name a home as an argument, and all their arguments."""
    name = os.fsencode(home)
    return {pid: line for pid, line in command_lines(name).items() if name in line}


def agent_of(home: Path) -> int | None:
    """Return the process id of the agent of a home, or None where none runs."""
    users = users_of(home).items()
    return next((pid for pid, line in users if line[0].endswith(b"gpg-agent")), None)
