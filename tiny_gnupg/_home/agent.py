"""The gpg-agent of a home: how it is found, watched and ended.

1. An agent is found by its socket alone, and asked in its own language (Assuan) for its process.
   Nobody listens there: there is none. Somebody does and does not answer: that is an error.
2. gpg takes an agent that it cannot reach for one without keys. So an answer without secret keys
   counts only where one agent was there before gpg began and after it ended.
3. An agent is told to end by its socket, and waited for; one that does not listen to that is ended
   by its process. Where it is our child, as in a container whose process 1 we are, it is reaped:
   it alone, and nobody else's child.
"""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

from tiny_gnupg._home.short_paths import run_directory
from tiny_gnupg.errors import AgentUnavailable

#: The programs of a home that stay, and what tells each of them to end.
AGENT, KEYBOXD = "gpg-agent", "keyboxd"
_END = {AGENT: b"KILLAGENT", KEYBOXD: b"KILLKEYBOXD"}


#: Seconds that the agent has for an answer, and to go once it was told to.
AGENT_GRACE = 3.0


#: What connecting to a socket says where nobody listens.
_NOBODY = (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR)


class Agent:
    """The agent of one home, or its keyboxd, and whether the one that was found still runs.

    All but ``runs`` and ``forget`` wait for the agent, and so belong into a thread.

    Args:
        name: the program's.
    """

    def __init__(self, name: str = AGENT) -> None:
        self._name = name
        self._changing = threading.Lock()
        #: Its process, as it tells.
        self.pid = 0
        self._pidfd = -1

    def runs(self) -> bool:
        """Return whether the agent that was found last runs; it costs next to nothing.

        Where the system has no pidfd, or the agent runs in another container, the answer is no.
        """
        with self._changing:
            if self._pidfd < 0:
                return False
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            return not poll.poll(0)

    def find(self, short: Path) -> int:
        """Find the agent of a home.

        Args:
            short: the home's path as gpg is given it.

        Returns:
            Its process; 0 where none runs.

        Raises:
            AgentUnavailable: it does not answer.
        """
        connection = _connected(short, self._name)
        if connection is None:
            self.forget()
            return 0
        with connection:
            pid = _pid_of(connection, self._name)
        if pid != self.pid or not self.runs():
            self._watch(pid)
        return pid

    def kill(self) -> None:
        """Kill the agent that was found last, where nothing of its home is to be kept.

        One that stretches a passphrase hears nothing for seconds.
        """
        with self._changing:
            if self._pidfd >= 0:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def end(self, short: Path) -> None:
        """End the agent of a home, where one runs, and wait for its end."""
        try:
            if self.find(short):
                _tell(short, self._name)
        except AgentUnavailable:
            self.kill()  # it was found before, and does not listen now
        deadline = time.monotonic() + AGENT_GRACE
        while self.pid and time.monotonic() < deadline and (self.runs() or _is_there(self.pid)):
            time.sleep(0.002)
        self.forget()
        if not listens(short, self._name):
            for directory in _directories(short):
                _remove_sockets(directory, self._name)

    def forget(self) -> None:
        """Forget which one it was."""
        self._watch(0)

    def _watch(self, pid: int) -> None:
        with self._changing:
            if self._pidfd >= 0:
                # As process 1, we are the parent of a daemon; else it is not ours to ask for.
                with suppress(ChildProcessError):
                    os.waitpid(self.pid, os.WNOHANG)
                os.close(self._pidfd)
            self.pid, self._pidfd = pid, -1
            if pid and _is_program(pid, self._name):
                with suppress(AttributeError, OSError):  # no such call here, or it has gone
                    self._pidfd = os.pidfd_open(pid)


def listens(short: Path, name: str = AGENT) -> bool:
    """Return whether somebody listens on the socket of a home's agent, answering or not."""
    try:
        connection = _connected(short, name, greeting=False)
    except AgentUnavailable:
        return True
    if connection is not None:
        connection.close()
    return connection is not None


def _connected(short: Path, name: str, *, greeting: bool = True) -> socket.socket | None:
    """Connect to the agent of a home; None where nobody listens."""
    for directory in _directories(short):
        try:
            connection = socket.socket(socket.AF_UNIX)
        except OSError:  # a sandbox without them; whoever starts an agent there is told
            return None
        connection.settimeout(AGENT_GRACE)
        try:
            connection.connect(str(directory / f"S.{name}"))
            if greeting:
                _reply(connection)
        except OSError as error:
            connection.close()
            too_long = error.errno is None and not isinstance(error, TimeoutError)
            if error.errno in _NOBODY or too_long:
                continue
            raise _silent(error, name) from error
        except BaseException:
            connection.close()
            raise
        return connection
    return None


def _directories(short: Path) -> list[Path]:
    """Return where the sockets of a home's agent may be."""
    run = run_directory(short)
    return [short] if run is None else [run, short]


def _remove_sockets(directory: Path, name: str) -> None:
    """Remove what an agent left that was killed, and the directory that GnuPG made for it."""
    with suppress(OSError):
        for path in directory.glob(f"S.{name}*"):
            if path.is_socket():
                path.unlink()
    if directory.name.startswith("d."):
        with suppress(OSError):  # not there, or another program's sockets are in it
            directory.rmdir()


def _silent(error: OSError, name: str) -> AgentUnavailable:
    reason = error.strerror or f"no answer in {AGENT_GRACE:g} s"
    return AgentUnavailable(
        f"{name} is there and does not answer: {reason}",
        hint=f"is it stopped, or its container frozen? End it: pkill {name}, or log in anew",
    )


def _pid_of(agent: socket.socket, name: str) -> int:
    try:
        told = _ask(agent, b"GETINFO pid")
    except OSError as error:
        raise _silent(error, name) from error
    pid = next((line[2:] for line in told), b"")
    return int(pid) if pid.isdigit() else 0


def _tell(short: Path, name: str) -> None:
    """Tell it to end."""
    connection = _connected(short, name)
    if connection is not None:
        with connection, suppress(OSError):  # it may go before it replies
            _ask(connection, _END[name])


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


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # One that has ended, and that nobody has asked for yet, counts as gone.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:
        return not Path("/proc/self").exists()


def _is_program(pid: int, name: str) -> bool:
    """Return whether a process is one here: elsewhere its number may be another program's."""
    try:
        return name in Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return False
