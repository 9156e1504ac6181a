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


def command_lines() -> dict[int, list[bytes]]:
    """Return the arguments of every process but this one."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):  # it has just ended
                found[int(entry.name)] = (entry / "cmdline").read_bytes().split(b"\0")
    return found


def users_of(home: Path) -> dict[int, list[bytes]]:
    """Return the processes that name a home as an argument, and all their arguments."""
    name = os.fsencode(home)
    return {pid: line for pid, line in command_lines().items() if name in line}


def agent_of(home: Path) -> int | None:
    """Return the process id of the agent of a home, or None where none runs."""
    users = users_of(home).items()
    return next((pid for pid, line in users if line[0].endswith(b"gpg-agent")), None)
