"""The pipes between this process and one child, served by the event loop.

Here is how bytes flow; what program they come from, and what becomes of it, is ``process``'s.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Callable, Iterator
from contextlib import suppress

from tiny_gnupg._gpg.outcome import CARD_HINT
from tiny_gnupg._process.descriptors import above_standard, close_owned, open_pipe, owned
from tiny_gnupg.errors import CommandFailed, NoSecretKey, NotText, OutputTooLarge

Data = str | bytes | bytearray | memoryview


class Descriptor(int):
    """A file descriptor of ours that a child inherits: a number alone is nothing to read from."""


Answer = Callable[[str], bytes | None]


Hear = Callable[[bytes], object]


#: Bytes, or characters, moved at once: large enough that Python is not what a message waits for,
#: small enough that the event loop is never held up.
CHUNK = 2**18


#: Seconds that a child without a long input is left alone, unless it ends before. Most do, and
#: being woken at each of its lines takes longer than reading them all at its end; one that fills
#: a pipe waits so long. The short start is for output that is heard as it comes.
HEAD_START, SHORT_START = 0.02, 0.005


#: Bytes of status lines, and of messages for people, that one run may produce: of an imported key
#: there are some 250, and of a message as many as its sender likes.
MOST_TOLD = 2**23


#: What gpg says where an agent of 2.4 wants a card to be put in: it has no status line for that and
#: no answer, so that the agent asks for ever. What a sender wrote begins no line.
_ASKED_FOR_CARD = b"\ngpg: DBG: ignoring gpg-agent inquiry 'CONFIRM"


async def readable(fd: int) -> None:
    """Wait until a pipe has data, or had its last writer."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)


def _chunks(data: Data) -> Iterator[memoryview]:
    """Cut data into pieces; text is encoded piece by piece, so that no long one holds the loop."""
    if isinstance(data, str):
        for start in range(0, len(data), CHUNK):
            yield memoryview(NotText.encoded(data[start : start + CHUNK], start))
    elif data:
        yield memoryview(data).cast("B")


class _Feed:
    """What is still to be written to one pipe."""

    def __init__(self, data: Data) -> None:
        self._pieces = _chunks(data)
        self._rest = next(self._pieces, memoryview(b""))

    def write_to(self, fd: int) -> bool:
        """Write what fits now; return whether that was all."""
        try:
            self._rest = self._rest[os.write(fd, self._rest) :]
        except BlockingIOError:
            return False
        except BrokenPipeError:
            return True  # the child wants no more; its exit code and status lines say why
        if not self._rest:
            self._rest = next(self._pieces, self._rest)
        return not self._rest


class Traffic:
    """The pipes of one run: the child's ends, our ends, and what flows between them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._max_output: int | None = None
        self._hear: Hear | None = None
        self._childs: set[int] = set()
        self._readers: dict[int, Hear] = {}
        self._writers: dict[int, _Feed] = {}
        self._done: asyncio.Future[None] = loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._serving = False
        self._left_open: list[int] = []
        self._commands: int | None = None
        self._answer: Answer = lambda line: None
        self._line = b""
        # BytesIO grows without moving what it holds, and gives it out without a copy: joining
        # 64 MiB in one go would hold up the event loop.
        self.stdout = io.BytesIO()
        self.stderr = io.BytesIO()
        self.status = io.BytesIO()
        self.inherited: list[int] = []

    def output(self, sink: Hear, *, inherit: bool = False) -> int:
        """Open a pipe from the child; each piece that comes goes to ``sink``."""
        theirs, ours = self._pair(ours_first=True, inherit=inherit)
        self._readers[ours] = sink
        return theirs

    def input(self, data: Data | None, *, inherit: bool = False) -> int:
        """Open a pipe to the child that gives it ``data`` and then ends; None: see ``give``."""
        theirs, ours = self._pair(ours_first=False, inherit=inherit)
        self._left_open.append(ours)
        if data is not None:
            self._feed(self._left_open.pop(), data)
        return theirs

    def give(self, data: Data) -> None:
        """Give the first input that was left open its data, and end it."""
        self._feed(self._left_open.pop(0), data)

    def _feed(self, ours: int, data: Data) -> None:
        try:
            feed = _Feed(data)
            # What fits into the pipe goes now, so that a small message costs no turn of the loop.
            whole = feed.write_to(ours)
        except BaseException:
            close_owned(ours)
            raise
        if whole:
            close_owned(ours)
        else:
            self._writers[ours] = feed

    def expect(self, max_output: int | None, hear: Hear | None, answer: Answer | None) -> None:
        """Say what becomes of what comes, before anything does."""
        self._max_output, self._hear = max_output, hear
        self._answer = answer or self._answer

    def hand_over(self, data: Data | Descriptor | None) -> int:
        """Let the child inherit one more input, and give its descriptor."""
        if not isinstance(data, Descriptor):
            return self.input(data, inherit=True)
        fd = int(data)
        if fd < 3:
            fd = owned(above_standard(os.dup(fd)))
            self._childs.add(fd)
        self.inherited.append(fd)
        return fd

    def dialogue(self) -> int:
        """Open the pipe for replies to gpg's questions: see ``expect``."""
        theirs, self._commands = self._pair(ours_first=False, inherit=True)
        return theirs

    def lines(self) -> tuple[int, int]:
        """Open a pipe to the child that stays open, and give the child's end and ours."""
        theirs, self._commands = self._pair(ours_first=False, inherit=False)
        return theirs, self._commands

    def silent(self) -> int:
        """Open what drops whatever the child writes."""
        try:
            fd = owned(above_standard(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)))
        except OSError:  # a sandbox without it
            return self.output(lambda piece: None)
        self._childs.add(fd)
        return fd

    def _pair(self, *, ours_first: bool, inherit: bool) -> tuple[int, int]:
        """Open a pipe, and give the child's end and ours."""
        reader, writer = open_pipe()
        theirs, ours = (writer, reader) if ours_first else (reader, writer)
        os.set_blocking(ours, False)
        self._childs.add(theirs)
        if inherit:
            self.inherited.append(theirs)
        return theirs, ours

    def serve(self) -> asyncio.Future[None]:
        """Serve all pipes from now on; the result comes when each has ended."""
        self._serving = True
        self.close_childs_ends()
        for fd, sink in self._readers.items():
            self._loop.add_reader(fd, self._on_readable, fd, sink)
        for fd, feed in self._writers.items():
            self._loop.add_writer(fd, self._on_writable, fd, feed)
        return self._done

    async def until_done(self, exited: asyncio.Future[None]) -> None:
        """Serve all pipes until the child has exited, of which ``drain`` is told too."""
        self.close_childs_ends()
        if self._writers or self._commands is not None:
            self.serve()
        else:
            head_start = HEAD_START if self._hear is None else SHORT_START
            self._timer = self._loop.call_later(head_start, self.serve)
        await self._done
        await asyncio.shield(exited)

    def drain(self) -> None:
        """Read what a child that has exited left in its pipes; nobody else's writing counts."""
        try:
            for fd, sink in list(self._readers.items()):
                while fd in self._readers and self._on_readable(fd, sink):
                    pass
        finally:
            self._finish()

    def close(self) -> None:
        """Close whatever is still open; a second call does nothing."""
        if self._timer is not None:
            self._timer.cancel()
        self.close_childs_ends()
        for fd in (*self._readers, *self._writers):
            self._drop(fd)
        while self._left_open:
            close_owned(self._left_open.pop())
        if self._commands is not None:
            close_owned(self._commands)
            self._commands = None

    def take_output(self, piece: bytes) -> None:
        """Keep a piece of the output, up to the bound."""
        self.stdout.write(piece)
        if self._hear is not None:
            self._hear(piece)
        if self._max_output is not None and self.stdout.tell() > self._max_output:
            self._fail(OutputTooLarge(f"more than {self._max_output} bytes of output"))

    def take_errors(self, piece: bytes) -> None:
        """Keep what is meant for people, up to a bound."""
        self._tell(self.stderr, piece)
        if _ASKED_FOR_CARD in piece:
            self._fail(NoSecretKey("the secret key is on a card that is not here", hint=CARD_HINT))

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
            said = line.removeprefix(b"[GNUPG:] ").decode(errors="replace")
            reply = self._answer(said)
            if reply is None and said.startswith("GET_"):
                # gpg would wait for ever.
                self._fail(CommandFailed(f"gpg asks what nothing was said about: {said}"))
            if reply is not None:
                with suppress(BrokenPipeError):
                    os.write(self._commands, reply)

    def _on_readable(self, fd: int, sink: Hear) -> bool:
        """Take what has come; return whether there may be more."""
        try:
            piece = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        if piece:
            sink(piece)
        else:
            self._drop(fd)
        return len(piece) == CHUNK

    def _on_writable(self, fd: int, feed: _Feed) -> None:
        try:
            if feed.write_to(fd):
                self._drop(fd)
        except NotText as error:
            self._fail(error)

    def _drop(self, fd: int) -> None:
        """Close one of our ends; the last one ends the wait."""
        if self._readers.pop(fd, None) is not None:
            if self._serving:
                self._loop.remove_reader(fd)
        elif self._writers.pop(fd, None) is not None:
            self._loop.remove_writer(fd)
        close_owned(fd)
        if not self._readers and not self._writers:
            self._finish()

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)

    def _fail(self, error: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(error)

    def close_childs_ends(self) -> None:
        """Close what the child, which was started, has copies of."""
        for fd in self._childs:
            close_owned(fd)
        self._childs.clear()
