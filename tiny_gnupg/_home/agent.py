"""The gpg-agent of a home: how it is found, and how it is ended.

1. An agent is found by its socket alone, told to end in its own language (Assuan), and waited for.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import time
from contextlib import suppress
from pathlib import Path

from tiny_gnupg._home.short_paths import run_directory

#: Seconds that the agent has to go once it was told to.
AGENT_GRACE = 3.0


def connected(short: Path) -> socket.socket | None:
    """Connect to the agent of a home, where one runs.

    Args:
        short: the home's path as gpg is given it.
    """
    for directory in (run_directory(short), short):
        if directory is None:
            continue
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(AGENT_GRACE)
        try:
            connection.connect(str(directory / "S.gpg-agent"))
            _reply(connection)  # its greeting
        except OSError:
            connection.close()
            continue
        return connection
    return None


def end_agent(short: Path) -> None:
    """End the agent of a home, where one runs, and wait for its end.

    Args:
        short: the home's path as gpg is given it.
    """
    connection = connected(short)
    if connection is not None:
        with connection, suppress(OSError):
            pid = next((line[2:] for line in _ask(connection, b"GETINFO pid")), b"")
            _ask(connection, b"KILLAGENT")
            connection.close()
            if pid.isdigit():
                _wait_for_exit(int(pid))
    run = run_directory(short)
    if run is not None:
        with suppress(OSError):  # not there, or another program's sockets are in it
            run.rmdir()


def _ask(agent: socket.socket, question: bytes) -> list[bytes]:
    """Put a question to the agent and give the data lines of its reply (Assuan protocol)."""
    agent.sendall(question + b"\n")
    return _reply(agent)


def _reply(agent: socket.socket) -> list[bytes]:
    said = b""
    while not re.search(rb"^(OK|ERR)\b.*\n", said, re.MULTILINE):
        piece = agent.recv(1024)
        if not piece:
            raise ConnectionResetError(errno.ECONNRESET, "the agent has gone")
        said += piece
    return [line for line in said.split(b"\n") if line.startswith(b"D ")]


def _wait_for_exit(pid: int) -> None:
    """Wait until a process that is no child of ours has gone."""
    deadline = time.monotonic() + AGENT_GRACE
    while time.monotonic() < deadline:
        if not _runs(pid):
            return
        time.sleep(0.002)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # One that has ended, and that nobody has asked for yet, counts as gone.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:
        return not Path("/proc/self").exists()
