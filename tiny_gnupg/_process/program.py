"""How a program is run: once, or kept alive.

1. A pipe of its own for each kind of traffic: data, passphrase, status, commands, and what is
   meant for people. A passphrase can so never become data (CVE-2019-6690), and data never status
   (CVE-2018-12020).
2. All pipes are served at once by the event loop. There is no thread, no child watcher and no
   transport: asyncio's own ``Process.wait`` can hang on a full pipe after a kill.
3. A run always ends with the child reaped, also on a timeout or a cancellation: TERM, grace,
   KILL, and only then does the exception go on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from tiny_gnupg._process.child import Child
from tiny_gnupg._process.pipes import Answer, Data, Descriptor, Hear, Traffic
from tiny_gnupg._process.tasks import running_loop, uninterrupted
from tiny_gnupg.errors import GnuPGTimeout, printable

log = logging.getLogger("tiny_gnupg")


#: Where gpg's special file name of the second input goes in an argument list.
SECOND = "-&FD"


#: Where its number goes.
SECOND_FD = "\0second"


#: Where the name of a file for the output goes in an argument list, or that of a keyring that is
#: open; no other argument can be these.
OUTPUT, KEYRING = "\0output", "\0keyring"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """What goes into a program, and what becomes of its output.

    Args:
        stdin: the data, or a descriptor of a file of ours, or None for no input.
        second: the same for gpg's special file name ``-&FD`` or an ``-fd`` option, or None.
        keyring: what the argument ``KEYRING`` stands for, or None.
        stdout: a file descriptor for the child's output, or None to collect it.
        hear: gets each piece of the output that is collected, as it comes; it works on the event
            loop, so it must be quick.
        passphrase: what ``--passphrase-fd`` shall read, without its line end; None for none.
        answer: gets each status line, without its prefix, as it comes; what it returns is
            written to ``--command-fd``.
        max_output: bytes of collected output; None is without bound.
    """

    stdin: Data | Descriptor | None = field(default=None, repr=False)
    second: Data | Descriptor | None = field(default=None, repr=False)
    keyring: Descriptor | None = None
    stdout: int | None = None
    hear: Hear | None = None
    passphrase: bytes | None = field(default=None, repr=False)
    answer: Answer | None = field(default=None, repr=False)
    max_output: int | None = None


#: No input, and the output kept, however long it is.
NOTHING_SAID = Channels()


async def run_program(
    argv: Sequence[str],
    channels: Channels = NOTHING_SAID,
    *,
    slot: int | None = None,
    timeout: float | None = None,
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
        channels: what goes in, and what becomes of the output.
        slot: the index in ``argv`` where ``--status-fd``, ``--passphrase-fd`` and
            ``--command-fd`` go; None for a program that knows none of them.
        timeout: seconds; None waits for ever.

    Returns:
        The exit code and everything that was written.

    Raises:
        BinaryNotFound: the program is not there or cannot be run.
        CommandFailed: the system cannot start one more program, or the exit code is lost.
        GnuPGTimeout: the time was over.
        OutputTooLarge: more than ``max_output`` bytes came.
        NotText: text as ``stdin`` that has no UTF-8 (a lone surrogate).
    """
    return await Program(argv, channels, slot=slot).complete(channels, timeout)


class Program:
    """A program that was started, and does its one piece of work when it gets its input.

    Input, output: as for ``run_program``; what it shall read in memory may be given later.

    Cancellation: of ``complete``, ends and reaps it. Whoever does not come to that dismisses it.

    Args:
        argv, channels, slot: as for ``run_program``.
        waits: what it reads is left open until ``give``.

    Raises:
        BinaryNotFound, CommandFailed, NotText: as ``run_program`` does.
    """

    def __init__(
        self,
        argv: Sequence[str],
        channels: Channels = NOTHING_SAID,
        *,
        slot: int | None = None,
        waits: bool = False,
    ) -> None:
        self._traffic = Traffic(running_loop())
        try:
            self.argv, standard = _connected(self._traffic, argv, slot, channels, waits)
            if log.isEnabledFor(logging.DEBUG):
                log.debug("running %s", printable(shlex.join(self.argv)))
            self._child = Child(self.argv, standard, self._traffic.inherited)
        except BaseException:
            self._traffic.close()
            raise
        self._traffic.close_childs_ends()

    @property
    def exited(self) -> asyncio.Future[None]:
        """Done when it has ended and is reaped."""
        return self._child.exited

    @property
    def has_gone(self) -> bool:
        """Whether it has ended."""
        return self._child.has_gone

    async def give(self, channels: Channels) -> None:
        """Give a program that waits what it shall read; it is ended where that cannot be.

        Raises:
            NotText: it is text that has no UTF-8.
        """
        try:
            for data in (channels.stdin, channels.second):
                if data is not None and not isinstance(data, Descriptor):
                    self._traffic.give(data)
        except BaseException:
            await self._end()
            raise

    async def complete(self, channels: Channels, timeout: float | None) -> Completed:
        """Wait for its end; see ``run_program``."""
        traffic, child = self._traffic, self._child
        traffic.expect(channels.max_output, channels.hear, channels.answer)
        try:
            async with asyncio.timeout(timeout):
                child.on_exit(traffic.drain)
                await traffic.until_done(child.exited)
        except TimeoutError:
            line = shlex.join(self.argv)
            raise GnuPGTimeout(f"no end after {timeout:g} s", command=line) from None
        finally:
            await self._end()
        outputs = (traffic.stdout, traffic.stderr, traffic.status)
        return Completed(
            tuple(self.argv), child.returncode, *(output.getvalue() for output in outputs)
        )

    async def _end(self) -> None:
        self._traffic.close()
        if not self._child.exited.done():
            await uninterrupted(self._child.end())

    def dismiss(self) -> None:
        """End one that got no input; its loop reaps it."""
        self._traffic.close()
        self._child.dismiss()

    def abandon(self, *, kill: bool) -> None:
        """Leave one whose loop is closed: it is ended and reaped, or is another process's."""
        self._traffic.close()
        self._child.abandon(kill=kill)


class LiveProgram:
    """A gpg that is kept alive: one line in, and its status lines about it out.

    Input: ``ask`` writes one line to its stdin. Files that it shall use are handed over at the
    start, open. ``passphrase`` goes through a pipe of its own.

    Output: the status lines; what it tells people goes to ``told``, and the rest is dropped.

    Cancellation: whoever starts it also awaits ``end``, which reaps it.

    Args:
        argv: the program and its arguments, taken literally.
        slot: the index in ``argv`` where ``--status-fd`` and ``--passphrase-fd`` go.
        told: the descriptor of a file; None drops that too.
        inherited: file descriptors that keep their numbers in the program.
        passphrase: as in ``Channels``.

    Raises:
        BinaryNotFound, CommandFailed: as ``run_program`` does.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        slot: int,
        told: int | None = None,
        inherited: Sequence[int] = (),
        passphrase: bytes | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._traffic = Traffic(self._loop)
        self._heard = b""
        self._last = b""
        self._answer: asyncio.Future[bytes | None] | None = None
        try:
            source, self._lines = self._traffic.lines()
            self._traffic.inherited += inherited
            channels = _gpg_channels(self._traffic, passphrase, False, self._hear)
            full = [*argv[:slot], *channels, *argv[slot:]]
            self.line = shlex.join(full)
            log.debug("keeping alive %s", self.line)
            silent = self._traffic.silent()
            self._child = Child(
                full, (source, silent, silent if told is None else told), self._traffic.inherited
            )
        except BaseException:
            self._traffic.close()
            raise
        # Whichever comes first: a descendant could hold the pipe of a program that has gone.
        self._ends = (self._traffic.serve(), self._child.exited)
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
        if not self._child.exited.done():
            await uninterrupted(self._child.leave() if idle else self._child.end())

    def _hear(self, piece: bytes) -> None:
        self._heard += piece
        if self._heard.endswith(self._last):
            self._resolve(self._heard)

    def _gone(self, _: object) -> None:
        self._resolve(None)

    def _resolve(self, answer: bytes | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)


def _connected(
    traffic: Traffic, argv: Sequence[str], slot: int | None, channels: Channels, waits: bool
) -> tuple[list[str], tuple[int, int, int]]:
    """Open the channels of a run, and give its arguments and its three standard descriptors."""
    stdin, second, stdout = channels.stdin, channels.second, channels.stdout
    given = b"" if stdin is None else stdin
    if isinstance(given, Descriptor):
        source: int = given
    else:
        source = traffic.input(None if waits else given)
    named = stdout is None and OUTPUT in argv
    sink = stdout if stdout is not None else traffic.output(traffic.take_output, inherit=named)
    errors = traffic.output(traffic.take_errors)
    full = list(argv)
    if OUTPUT in full:
        sink = sink if stdout is None else traffic.hand_over(Descriptor(stdout))
        full = [f"/dev/fd/{sink}" if argument == OUTPUT else argument for argument in full]
        sink = errors
    if channels.keyring is not None:
        fd = traffic.hand_over(channels.keyring)
        full = [f"/dev/fd/{fd}" if argument == KEYRING else argument for argument in full]
    if second is not None:
        fd = traffic.hand_over(None if waits else second)
        names = {SECOND: f"-&{fd}", SECOND_FD: str(fd)}
        full = [names.get(argument, argument) for argument in full]
    if slot is not None:
        full[slot:slot] = _gpg_channels(traffic, channels.passphrase, channels.answer is not None)
    return full, (source, sink, errors)


def _gpg_channels(
    traffic: Traffic,
    passphrase: bytes | None,
    asks: bool,
    hear: Hear | None = None,
) -> list[str]:
    """Open the pipes that gpg's own options name, and give these options."""
    status = traffic.output(hear or traffic.take_status, inherit=True)
    options = ["--status-fd", str(status)]
    if passphrase is not None:
        options += ["--passphrase-fd", str(traffic.input(passphrase + b"\n", inherit=True))]
    if asks:
        options += ["--command-fd", str(traffic.dialogue())]
    return options
