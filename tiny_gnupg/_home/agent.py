"""The gpg-agent of a home: where its socket is, and how it is ended.

1. The agent's socket has a path of at most 106 bytes. Where gpg would put it into the
   home, and the home's path is too long for that, gpg is given a short symbolic link to the home.
2. An agent is found by its socket alone, told to end in its own language (Assuan), and waited for.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import socket
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tiny_gnupg._openpgp.zbase32 import z_base_32
from tiny_gnupg.errors import HomeUnusable

#: The longest path of a socket: Linux takes 107 bytes (unix(7): sun_path), gpg-agent one less.
LONGEST_SOCKET = 106


#: The agent's socket with the longest name.
LONGEST_NAME = "S.gpg-agent.browser"


#: Seconds that the agent has to go once it was told to.
AGENT_GRACE = 3.0


def short_path(home: Path) -> Path:
    """Return the path of a home that gpg is given: its own, or that of a short link to it.

    Raises:
        HomeUnusable: there is no place for such a link that nobody else can write to.
    """
    if _run_directory(home) is not None:
        return home  # the sockets are not in the home
    if len(os.fsencode(home / LONGEST_NAME)) <= LONGEST_SOCKET:
        return home
    links = _links_directory()
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    link = links / name
    if not link.is_symlink() or Path(os.readlink(link)) != home:
        link.unlink(missing_ok=True)
        with suppress(FileExistsError):
            link.symlink_to(home)
    return link


def remove_short_link(home: Path, short: Path) -> None:
    """Remove what ``short_path`` made for a home, if it made something."""
    if short != home:
        short.unlink(missing_ok=True)
        with suppress(OSError):  # other homes have links in it
            short.parent.rmdir()


def _run_directory(home: Path) -> Path | None:
    """Return the directory of the sockets of ``home``, where gpg does not put them into the home.

    The rule is GnuPG's (common/homedir.c): below ``/run/user/<uid>``, where that is there, in a
    directory named after the SHA-1 of the homedir's path as gpg was given it.
    """
    for base in ("/run", "/var/run"):
        user = Path(base, "user", str(os.getuid()))
        if user.is_dir():
            digest = hashlib.sha1(os.fsencode(home), usedforsecurity=False).digest()[:15]
            return user / "gnupg" / f"d.{z_base_32(digest)}"
    return None


def _links_directory() -> Path:
    """Return a directory with a short path that nobody else can write to."""
    # S108: anybody may write to /tmp; that is why what is found in it is checked below.
    base = Path("/tmp") if os.path.isdir("/tmp") else Path(tempfile.gettempdir())  # noqa: S108
    path = base / f"tiny_gnupg-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid != os.getuid()
        or stat.S_IMODE(found.st_mode) & 0o077
    ):
        raise HomeUnusable(
            f"{path} is not a directory of yours alone", hint="remove it, or use a shorter homedir"
        )
    return path


def connected(short: Path) -> socket.socket | None:
    """Connect to the agent of a home, where one runs.

    Args:
        short: the home's path as gpg is given it.
    """
    for directory in (_run_directory(short), short):
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
    run = _run_directory(short)
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
