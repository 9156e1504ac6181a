"""One child process: started, watched, ended and reaped.

1. No shell reads an argument, and no secret is in the argument list or the environment: the child
   sees the few variables of ``ENVIRONMENT`` and nothing else, because gpg may leave an agent
   behind that would carry them for a long time.
2. The child gets a session of its own: a terminal's Ctrl-C reaches the caller, who decides, and
   no gpg can ask a question on the terminal.
3. An exit code is what the system says of this very child, or there is none: it is never made up.
   Where SIGCHLD has a handler, which may ask for every child, or is ignored, a shell starts the
   program and writes its exit code down. Where it is lost all the same, that is an error.
4. A signal goes to this very child: where it has gone, its number may be another's.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import shlex
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress

from tiny_gnupg._process.descriptors import above_standard, exhausted, no_fork
from tiny_gnupg.errors import BinaryNotFound, CommandFailed

#: What a child may know of our environment; everything else stays here.
ENVIRONMENT = (
    *("HOME", "USER", "LOGNAME", "PATH", "TMPDIR", "TZ", "XDG_RUNTIME_DIR"),
    *("LD_LIBRARY_PATH", "NIX_LD", "NIX_LD_LIBRARY_PATH"),
)


#: Seconds between TERM and KILL.
GRACE = 1.0


#: What the system says when it has no room for one more program or pipe.
EXHAUSTED = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


#: Seconds between two looks at a child where the system has no pidfd: the first pause, the last.
PAUSES = (0.001, 0.02)


#: Runs the rest of its arguments, and writes the exit code to the descriptor of the first one. It
#: outlives a TERM, which is for the program.
REPORT = 'trap : TERM; fd=$1; shift; "$@"; echo $? >"/dev/fd/$fd"'


#: A shell's exit code for a program that a signal has ended, less the signal.
_BY_SIGNAL = 128


class Child:
    """A child process, watched by the running event loop from its start to its end.

    Args:
        argv: the program and its arguments, taken literally.
        standard: its standard input, output and error, as descriptors of ours.
        inherited: descriptors that keep their numbers in it.

    Raises:
        BinaryNotFound: the program is not there or cannot be run.
        CommandFailed: the system cannot start one more program.
    """

    def __init__(
        self, argv: Sequence[str], standard: tuple[int, int, int], inherited: Sequence[int] = ()
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._argv = argv
        self._tell: Callable[[], object] = lambda: None
        self._code: int | None = None
        self._pidfd: int | None = None
        #: Done when it has ended and is reaped; to be waited for by ``asyncio.wait`` or ``shield``.
        self.exited: asyncio.Future[None] = self._loop.create_future()
        #: Where a shell writes the exit code that would be lost else.
        self._report = _memory() if _would_be_lost(argv) else None
        if self._report is not None:
            argv = ["/bin/sh", "-c", REPORT, "sh", str(self._report), *argv]
            inherited = [*inherited, self._report]
        try:
            self._process = _spawn(argv, standard, inherited)
        except BaseException:
            self._told()
            raise
        try:
            self._pidfd = os.pidfd_open(self._process.pid)
        except (AttributeError, OSError):  # no such call on this system, or no descriptor left
            self._look(*PAUSES)
        else:
            self._loop.add_reader(self._pidfd, self._reap)

    @property
    def returncode(self) -> int:
        """The exit code of a child that has ended; negative: the signal.

        Raises:
            CommandFailed: it is lost.
        """
        if self._code is None:
            raise CommandFailed(
                f"the exit code of {self._argv[0]} is lost: something else in this process asks "
                "for every child",
                hint="let a handler of SIGCHLD ask only for its own children, and do not ignore "
                "that signal: signal.signal(signal.SIGCHLD, signal.SIG_DFL)",
                command=shlex.join(self._argv),
            )
        return self._code

    def on_exit(self, tell: Callable[[], object]) -> None:
        """Have ``tell`` called at its end, at once; callbacks of ``exited`` wait for a turn."""
        self._tell = tell
        if self.exited.done():
            tell()

    async def leave(self) -> None:
        """Let a child end by itself that was told to by the end of its input: it tidies up then."""
        if not await self._ends_in(GRACE):
            await self.end()

    async def end(self) -> None:
        """End a child that is not wanted any more, and reap it."""
        self._signal(signal.SIGTERM)
        if not await self._ends_in(GRACE):
            self._signal(signal.SIGKILL)
            await asyncio.wait([self.exited])

    @property
    def has_gone(self) -> bool:
        """Whether it has ended, also where the loop had no turn yet to see that."""
        if self.exited.done() or self._pidfd is None:
            return self.exited.done()
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def dismiss(self) -> None:
        """End a child that nobody waits for; the loop reaps it."""
        self._signal(signal.SIGTERM)
        self._loop.call_later(GRACE, self._signal, signal.SIGKILL)

    def abandon(self, *, kill: bool) -> None:
        """Leave a child whose loop is closed: end and reap it, or where it is another process's.

        That is the case in a forked one.
        """
        if self.exited.done():
            return
        if kill:
            self._signal(signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(self._process.pid, 0)
        self._process.returncode = 0  # so that Popen asks for nothing more
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    async def _ends_in(self, seconds: float) -> bool:
        done, _ = await asyncio.wait([self.exited], timeout=seconds)
        return bool(done)

    def _signal(self, number: signal.Signals) -> None:
        if self.exited.done():
            return
        with suppress(ProcessLookupError):
            if self._report is not None:  # the shell's session, and so the program too
                os.killpg(self._process.pid, number)
            elif self._pidfd is None:
                os.kill(self._process.pid, number)
            else:
                signal.pidfd_send_signal(self._pidfd, number)

    def _look(self, pause: float, longest: float) -> None:
        """Look whether it has ended, and once more after a pause where it has not."""
        try:
            pid, status = os.waitpid(self._process.pid, os.WNOHANG)
        except ChildProcessError:
            self._ended(None)
            return
        if pid:
            self._ended(os.waitstatus_to_exitcode(status))
        else:
            self._loop.call_later(pause, self._look, min(1.5 * pause, longest), longest)

    def _reap(self) -> None:
        """Ask for the exit code of a child that has ended."""
        pidfd, self._pidfd = self._pidfd, None
        if pidfd is None:
            return
        self._loop.remove_reader(pidfd)
        code: int | None = None
        with suppress(ChildProcessError):
            code = _asked_for(self._process.pid, pidfd)
        os.close(pidfd)
        self._ended(code)

    def _ended(self, code: int | None) -> None:
        self._code = code if self._report is None else self._told()
        self._process.returncode = code or 0  # so that Popen asks for nothing more
        self.exited.set_result(None)
        self._tell()

    def _told(self) -> int | None:
        """Return the exit code that the shell wrote down, where there is one."""
        if self._report is None:
            return None
        report, self._report = self._report, None
        told = os.pread(report, 9, 0).strip()
        os.close(report)
        if not told.isdigit():
            return None
        return int(told) if int(told) <= _BY_SIGNAL else _BY_SIGNAL - int(told)


def _asked_for(pid: int, pidfd: int) -> int:
    """Ask for a child that has ended, and return its exit code."""
    # Without WNOHANG: a tracer, like strace, may have it first.
    try:
        found = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    except ChildProcessError:
        raise
    except OSError:  # Linux 5.3
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if found is None:
        raise ChildProcessError
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def _would_be_lost(argv: Sequence[str]) -> bool:
    """Return whether a child's exit code would be lost, and a shell can tell it."""
    shell = os.access("/bin/sh", os.X_OK) and os.access("/dev/fd", os.X_OK)
    others = signal.getsignal(signal.SIGCHLD) not in (signal.SIG_DFL, None)
    return others and shell and os.access(argv[0], os.X_OK)


def _memory() -> int | None:
    try:
        return above_standard(os.memfd_create("tiny_gnupg-exit-code"))
    except (AttributeError, OSError):
        return None


def path_argument(path: str | os.PathLike[str]) -> str:
    """Return a path as an argument of a program: all others are UTF-8, whatever the locale is."""
    return os.fsencode(path).decode(errors="surrogateescape")


def _spawn(
    argv: Sequence[str], standard: tuple[int, int, int], inherited: Sequence[int]
) -> subprocess.Popen[bytes]:
    stdin, stdout, stderr = standard
    try:
        # gpg takes names for UTF-8, and Python would write them in the encoding of its locale.
        words = [word.encode(errors="surrogateescape") for word in argv]
        with no_fork:
            return subprocess.Popen(  # noqa: S603 - a list of arguments, and no shell reads it
                words,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=inherited,
                env=_environment(),
                start_new_session=True,
            )
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise exhausted(error) from error
        reason = os.strerror(error.errno or 0)
        raise BinaryNotFound(f"cannot run {argv[0]}: {reason}", command=shlex.join(argv)) from error


def _environment() -> dict[str, str]:
    here = ((name, os.environ.get(name)) for name in ENVIRONMENT)
    # Messages for people come untranslated, and user ids and file names as UTF-8.
    return {name: value for name, value in here if value is not None} | {"LC_ALL": "C.UTF-8"}
