"""The one place that starts a program.

1. Never a shell, and no secret in the argument list or the environment: the child sees the few
   variables of ``ENVIRONMENT`` and nothing else, because gpg may leave an agent behind that
   would carry them for a long time.
2. A pipe of its own for each kind of traffic: data, passphrase, status, commands, and what is
   meant for people. A passphrase can so never become data (CVE-2019-6690), and data never status
   (CVE-2018-12020).
3. All pipes are served at once by the event loop. There is no thread, no child watcher and no
   transport: asyncio's own ``Process.wait`` can hang on a full pipe after a kill.
4. A run always ends with the child reaped, also on a timeout or a cancellation: TERM, grace,
   KILL, and only then does the exception go on.
5. The child gets a session of its own: a terminal's Ctrl-C reaches the caller, who decides, and
   no gpg can ask a question on the terminal.
"""

from __future__ import annotations

import asyncio
import errno
import io
import logging
import os
import shlex
import subprocess
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from .errors import BinaryNotFound, CommandFailed, GnuPGTimeout, OutputTooLarge, printable

log = logging.getLogger("tiny_gnupg")

Data = str | bytes | bytearray | memoryview
T = TypeVar("T")
Answer = Callable[[str], bytes | None]

#: What a child may know of our environment; everything else stays here.
ENVIRONMENT = (
    *("HOME", "USER", "LOGNAME", "PATH", "TMPDIR", "TZ", "XDG_RUNTIME_DIR"),
    *("LD_LIBRARY_PATH", "NIX_LD", "NIX_LD_LIBRARY_PATH"),
)
#: Bytes, or characters, moved at once: large enough that Python is not what a message waits for,
#: small enough that the event loop is never held up.
CHUNK = 2**18
#: Seconds that a child without a long input is left alone, unless it ends before. Most do, and
#: being woken at each of its lines takes longer than reading them all at its end; one that fills
#: a pipe waits so long.
HEAD_START = 0.008
#: Where gpg's special file name of the second input goes in an argument list.
SECOND = "-&FD"
#: Where the name of a file for the output goes in an argument list; no other argument can be this.
OUTPUT = "\0output"
#: Bytes of status lines, and of messages for people, that one run may produce.
MOST_TOLD = 2**26
#: Seconds between TERM and KILL.
GRACE = 1.0
#: Seconds that a pipe may stay open after its child has gone (a descendant may hold it).
LINGER = 2.0
#: What the system says when it has no room for one more program or pipe.
EXHAUSTED = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


@dataclass(frozen=True, slots=True)
class Completed:
    """What a program left behind: its exit code (negative: the signal) and what it wrote."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes = b""
    stderr: bytes = b""
    status: bytes = b""

    @property
    def line(self) -> str:
        """The command as one shlex-quoted line."""
        return _shown(self.argv)


@lru_cache(64)  # most commands repeat, and quoting one is much of what Python does for it
def _shown(argv: tuple[str, ...]) -> str:
    return shlex.join(argv)


async def run_program(
    argv: Sequence[str],
    *,
    slot: int | None = None,
    stdin: Data | int | None = None,
    second: Data | int | None = None,
    stdout: int | None = None,
    passphrase: bytes | None = None,
    answer: Answer | None = None,
    timeout: float | None = None,
    max_output: int | None = None,
) -> Completed:
    """Run one program to its end, with all its pipes served at once.

    Input: ``stdin`` is fed as it is (text as UTF-8), or read by the child from a descriptor of
    ours; None is an empty input. ``second`` is one more input, which the argument ``SECOND``
    stands for. ``passphrase`` goes through a pipe of its own.

    Output: collected in memory up to ``max_output``, or written by the child to ``stdout``. Where
    an argument is ``OUTPUT``, that is what goes to the file which it stands for, and what the child
    writes on its standard output is told to people, with its errors.

    Error checking: none; what the exit code means is the caller's to judge.

    Cancellation: the child is ended and reaped before the cancellation goes on.

    Args:
        argv: the program and its arguments, taken literally.
        slot: the index in ``argv`` where ``--status-fd``, ``--passphrase-fd`` and
            ``--command-fd`` go; None for a program that knows none of them.
        stdin: the data, or a file descriptor, or None.
        second: the same for gpg's special file name ``-&FD``, or None.
        stdout: a file descriptor for the child's output, or None to collect it.
        passphrase: what ``--passphrase-fd`` shall read, without its line end; None for none.
        answer: gets each status line, without its prefix, as it comes; what it returns is
            written to ``--command-fd``.
        timeout: seconds; None waits for ever.
        max_output: bytes of collected output; None is without bound.

    Returns:
        The exit code and everything that was written.

    Raises:
        BinaryNotFound: the program is not there or cannot be run.
        CommandFailed: the system cannot start one more program.
        GnuPGTimeout: the time was over.
        OutputTooLarge: more than ``max_output`` bytes came.
        UnicodeEncodeError: text as ``stdin`` that has no UTF-8 (a lone surrogate).
    """
    traffic = _Traffic(asyncio.get_running_loop(), max_output)
    try:
        source = stdin if isinstance(stdin, int) else traffic.input(stdin)
        named = stdout is None and OUTPUT in argv
        sink = stdout if stdout is not None else traffic.output(traffic.take_output, inherit=named)
        errors = traffic.output(traffic.take_errors)
        full = list(argv)
        if OUTPUT in full:
            traffic.inherited += [] if stdout is None else [stdout]
            full = [f"/dev/fd/{sink}" if argument == OUTPUT else argument for argument in full]
            sink = errors
        if second is not None:
            fd = traffic.hand_over(second)
            full = [f"-&{fd}" if argument == SECOND else argument for argument in full]
        if slot is not None:
            full[slot:slot] = _gpg_channels(traffic, passphrase, answer)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("running %s", printable(shlex.join(full)))
        child = _spawn(full, (source, sink, errors), traffic.inherited)
        try:
            async with asyncio.timeout(timeout):
                await traffic.until_done(child)
        except TimeoutError:
            raise GnuPGTimeout(f"no end after {timeout:g} s", command=shlex.join(full)) from None
        finally:
            traffic.close()
            if child.returncode is None:
                await uninterrupted(_end(child))
    finally:
        traffic.close()
    outputs = (traffic.stdout, traffic.stderr, traffic.status)
    return Completed(tuple(full), child.returncode, *(output.getvalue() for output in outputs))


class LiveProgram:
    """A gpg that is kept alive: one line in, and its status lines about it out.

    Input: ``ask`` writes one line to its stdin. Files that it shall use are handed over at the
    start, open. ``passphrase`` goes through a pipe of its own.

    Output: the status lines alone; what it writes elsewhere is dropped.

    Cancellation: whoever starts it also awaits ``end``, which reaps it.

    Args:
        argv: the program and its arguments, taken literally.
        slot: the index in ``argv`` where ``--status-fd`` and ``--passphrase-fd`` go.
        inherited: file descriptors that keep their numbers in the program.
        passphrase: as for ``run_program``.

    Raises:
        BinaryNotFound, CommandFailed: as ``run_program`` does.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        slot: int,
        inherited: Sequence[int] = (),
        passphrase: bytes | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._traffic = _Traffic(self._loop, None)
        self._heard = b""
        self._last = b""
        self._answer: asyncio.Future[bytes | None] | None = None
        try:
            source, self._lines = self._traffic.lines()
            self._traffic.inherited += inherited
            channels = _gpg_channels(self._traffic, passphrase, None, self._hear)
            full = [*argv[:slot], *channels, *argv[slot:]]
            self.line = shlex.join(full)
            log.debug("keeping alive %s", self.line)
            silent = subprocess.DEVNULL
            self._child = _spawn(full, (source, silent, silent), self._traffic.inherited)
        except BaseException:
            self._traffic.close()
            raise
        # Whichever comes first: a descendant could hold the pipe of a program that has gone.
        self._ends = (self._traffic.serve(), asyncio.ensure_future(_exit_of(self._child)))
        for end in self._ends:
            end.add_done_callback(self._gone)

    def ask(self, line: bytes, last: bytes) -> asyncio.Future[bytes | None]:
        """Say one line; one answer is waited for at a time.

        Args:
            line: what to say, without its line end.
            last: the status line that ends the answer, with its line end.

        Returns:
            The answer to come, in gpg's own bytes, or None where the program has gone.
        """
        self._heard, self._last = b"", last
        self._answer = self._loop.create_future()
        try:
            os.write(self._lines, line + b"\n")
        except BrokenPipeError:
            self._gone(None)
        if any(end.done() for end in self._ends):
            self._gone(None)
        return self._answer

    async def end(self) -> None:
        """End the program, at once where it is doing something, and reap it."""
        idle = self._answer is None or self._answer.done()
        self._traffic.close()
        self._ends[1].cancel()
        if self._child.returncode is None:
            await uninterrupted(_leave(self._child) if idle else _end(self._child))

    def _hear(self, piece: bytes) -> None:
        self._heard += piece
        if self._heard.endswith(self._last):
            self._resolve(self._heard)

    def _gone(self, _: object) -> None:
        self._resolve(None)

    def _resolve(self, answer: bytes | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)


def _gpg_channels(
    traffic: _Traffic,
    passphrase: bytes | None,
    answer: Answer | None,
    hear: Callable[[bytes], object] | None = None,
) -> list[str]:
    """Open the pipes that gpg's own options name, and give these options."""
    status = traffic.output(hear or traffic.take_status, inherit=True)
    options = ["--status-fd", str(status)]
    if passphrase is not None:
        options += ["--passphrase-fd", str(traffic.input(passphrase + b"\n", inherit=True))]
    if answer is not None:
        options += ["--command-fd", str(traffic.dialogue(answer))]
    return options


def _spawn(
    argv: list[str], standard: tuple[int, int, int], inherited: Sequence[int]
) -> subprocess.Popen[bytes]:
    stdin, stdout, stderr = standard
    try:
        return subprocess.Popen(  # noqa: S603 - a list of arguments, and no shell reads it
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=inherited,
            env=_environment(),
            start_new_session=True,
        )
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise _exhausted(error) from error
        reason = os.strerror(error.errno or 0)
        raise BinaryNotFound(f"cannot run {argv[0]}: {reason}", command=shlex.join(argv)) from error


def _exhausted(error: OSError) -> CommandFailed:
    return CommandFailed(
        f"the system has no room for one more program: {os.strerror(error.errno or 0)}",
        hint="raise its limits (ulimit -n, ulimit -u), or lower limit=",
        returncode=error.errno,
    )


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    # Messages for people come untranslated, and user ids and file names as UTF-8.
    return kept | {"LC_ALL": "C.UTF-8"}


async def _leave(child: subprocess.Popen[bytes]) -> None:
    """Let a child end by itself that was told to by the end of its input: it tidies up then."""
    try:
        async with asyncio.timeout(GRACE):
            await _exit_of(child)
    except TimeoutError:
        await _end(child)


async def _end(child: subprocess.Popen[bytes]) -> None:
    """End a child that is not wanted any more, and reap it."""
    with suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(GRACE):
            await _exit_of(child)
    except TimeoutError:
        with suppress(ProcessLookupError):
            child.kill()
        await _exit_of(child)


async def _exit_of(child: subprocess.Popen[bytes]) -> None:
    """Wait for the exit of a child, and reap it."""
    if child.poll() is not None:
        return  # reaped already: its number may be another process's by now
    loop = asyncio.get_running_loop()
    try:
        pidfd = os.pidfd_open(child.pid)
    except (AttributeError, OSError):  # no such call on this system, or no descriptor left
        await loop.run_in_executor(None, child.wait)
        return
    exited = asyncio.Event()
    loop.add_reader(pidfd, exited.set)
    try:
        await exited.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
    child.wait()


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work`` to its end, and only then let a cancellation that came meanwhile through.

    What runs in a thread goes on whether it is awaited or not: whoever closes a file or removes a
    directory that the thread still uses has to wait for it.
    """
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    result = task.result()
    if cancelled:
        raise asyncio.CancelledError
    return result


def _chunks(data: Data) -> Iterator[memoryview]:
    """Cut data into pieces; text is encoded piece by piece, so that no long one holds the loop."""
    if isinstance(data, str):
        for start in range(0, len(data), CHUNK):
            yield memoryview(data[start : start + CHUNK].encode())
    elif data:
        yield memoryview(data).cast("B")


class _Feed:
    """What is still to be written to one pipe."""

    def __init__(self, data: Data) -> None:
        self._pieces = _chunks(data)
        self._rest = next(self._pieces, memoryview(b""))

    def write_to(self, fd: int) -> bool:
        """Write what fits now; tell whether that was all."""
        try:
            self._rest = self._rest[os.write(fd, self._rest) :]
        except BlockingIOError:
            return False
        except BrokenPipeError:
            return True  # the child wants no more; its exit code and status lines say why
        if not self._rest:
            self._rest = next(self._pieces, self._rest)
        return not self._rest


class _Traffic:
    """The pipes of one run: the child's ends, our ends, and what flows between them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, max_output: int | None) -> None:
        self._loop = loop
        self._max_output = max_output
        self._childs: set[int] = set()
        self._readers: dict[int, Callable[[bytes], object]] = {}
        self._writers: dict[int, _Feed] = {}
        self._done: asyncio.Future[None] = loop.create_future()
        self._lingering: asyncio.TimerHandle | None = None
        self._commands: int | None = None
        self._answer: Answer = lambda line: None
        self._line = b""
        # BytesIO grows without moving what it holds, and gives it out without a copy: joining
        # 64 MiB in one go would hold up the event loop.
        self.stdout = io.BytesIO()
        self.stderr = io.BytesIO()
        self.status = io.BytesIO()
        self.inherited: list[int] = []

    def output(self, sink: Callable[[bytes], object], *, inherit: bool = False) -> int:
        """Open a pipe from the child; each piece that comes goes to ``sink``."""
        theirs, ours = self._pair(ours_first=True, inherit=inherit)
        self._readers[ours] = sink
        return theirs

    def input(self, data: Data | None, *, inherit: bool = False) -> int:
        """Open a pipe to the child that gives it ``data`` and then ends."""
        if data is None:
            return subprocess.DEVNULL
        feed = _Feed(data)
        theirs, ours = self._pair(ours_first=False, inherit=inherit)
        # What fits into the pipe goes now, so that a small message costs no turn of the loop.
        if feed.write_to(ours):
            os.close(ours)
        else:
            self._writers[ours] = feed
        return theirs

    def hand_over(self, data: Data | int) -> int:
        """Let the child inherit one more input, and give its descriptor."""
        if isinstance(data, int):
            self.inherited.append(data)
            return data
        return self.input(data, inherit=True)

    def dialogue(self, answer: Answer) -> int:
        """Open the pipe through which ``answer`` replies to gpg's questions."""
        theirs, self._commands = self._pair(ours_first=False, inherit=True)
        self._answer = answer
        return theirs

    def lines(self) -> tuple[int, int]:
        """Open a pipe to the child that stays open, and give the child's end and ours."""
        theirs, self._commands = self._pair(ours_first=False, inherit=False)
        return theirs, self._commands

    def _pair(self, *, ours_first: bool, inherit: bool) -> tuple[int, int]:
        """Open a pipe, and give the child's end and ours."""
        try:
            reader, writer = os.pipe()
        except OSError as error:
            raise _exhausted(error) from error
        theirs, ours = (writer, reader) if ours_first else (reader, writer)
        os.set_blocking(ours, False)
        self._childs.add(theirs)
        if inherit:
            self.inherited.append(theirs)
        return theirs, ours

    def serve(self) -> asyncio.Future[None]:
        """Serve all pipes from now on; the result comes when each has ended."""
        self._close_childs_ends()
        for fd, sink in self._readers.items():
            self._loop.add_reader(fd, self._on_readable, fd, sink)
        for fd, feed in self._writers.items():
            self._loop.add_writer(fd, self._on_writable, fd, feed)
        return self._done

    async def until_done(self, child: subprocess.Popen[bytes]) -> None:
        """Serve all pipes until each has ended and the child has exited."""
        exiting = asyncio.ensure_future(_exit_of(child))
        try:
            if not self._writers and self._commands is None:
                self._close_childs_ends()
                await asyncio.wait([exiting], timeout=HEAD_START)
            if exiting.done():
                self._drain()
            exiting.add_done_callback(self._linger)
            # Also what went wrong while the pipes of a child that has gone were read.
            await (self._done if self._done.done() else self.serve())
            await exiting
        finally:
            exiting.cancel()

    def _drain(self) -> None:
        """Read what a child has left in its pipes."""
        for fd, sink in list(self._readers.items()):
            while fd in self._readers and self._on_readable(fd, sink):
                pass

    def close(self) -> None:
        """Close whatever is still open; a second call does nothing."""
        if self._lingering is not None:
            self._lingering.cancel()
        self._close_childs_ends()
        for fd in (*self._readers, *self._writers):
            self._drop(fd)
        if self._commands is not None:
            os.close(self._commands)
            self._commands = None

    def take_output(self, piece: bytes) -> None:
        """Keep a piece of the output, up to the bound."""
        self.stdout.write(piece)
        if self._max_output is not None and self.stdout.tell() > self._max_output:
            self._fail(OutputTooLarge(f"more than {self._max_output} bytes of output"))

    def take_errors(self, piece: bytes) -> None:
        """Keep what is meant for people, up to a bound."""
        self._tell(self.stderr, piece)

    def _tell(self, channel: io.BytesIO, piece: bytes) -> None:
        # A message of a few KB may hold, compressed, millions of packets to tell of.
        channel.write(piece)
        if channel.tell() > MOST_TOLD:
            self._fail(OutputTooLarge(f"gpg told more than {MOST_TOLD} bytes about this data"))

    def take_status(self, piece: bytes) -> None:
        """Keep status lines, up to a bound, and answer them where a dialogue is open."""
        self._tell(self.status, piece)
        if self._commands is None:
            return
        *lines, self._line = (self._line + piece).split(b"\n")
        for line in lines:
            reply = self._answer(line.removeprefix(b"[GNUPG:] ").decode(errors="replace"))
            if reply is not None:
                with suppress(BrokenPipeError):
                    os.write(self._commands, reply)

    def _on_readable(self, fd: int, sink: Callable[[bytes], object]) -> bool:
        """Take what has come; tell whether anything has."""
        try:
            piece = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        if piece:
            sink(piece)
        else:
            self._drop(fd)
        return True

    def _on_writable(self, fd: int, feed: _Feed) -> None:
        try:
            if feed.write_to(fd):
                self._drop(fd)
        except UnicodeEncodeError as error:
            self._fail(error)

    def _drop(self, fd: int) -> None:
        """Close one of our ends; the last one ends the wait."""
        if self._readers.pop(fd, None) is not None:
            self._loop.remove_reader(fd)
        elif self._writers.pop(fd, None) is not None:
            self._loop.remove_writer(fd)
        os.close(fd)
        if not self._readers and not self._writers:
            self._finish()

    def _linger(self, _: object) -> None:
        if not self._done.done():
            self._lingering = self._loop.call_later(LINGER, self._finish)

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)

    def _fail(self, error: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(error)

    def _close_childs_ends(self) -> None:
        for fd in self._childs:
            os.close(fd)
        self._childs.clear()
