"""Many messages: gpgs that are kept alive, so that a small message costs no start of a program.

1. A kept-alive gpg (``--multifile``) reads from its stdin the names of files to work on. The names
   are symbolic links, in a directory of its owner's alone, to memory that only this process and
   that gpg hold (``memfd_create``). So no byte of a message is ever in a file, whatever happens,
   and both memories are emptied at once when a message is done.
2. gpg says no exit code for one of many messages. So its answer counts only where every status
   line is one that a message without a flaw gives (``FLAWLESS``) and ``signatures`` finds it good.
   With everything else it is ended, and the message is done once more by an ordinary call, whose
   result or error is the message's own. That holds for damage, for signatures that are not good
   (gpg ends itself there), for messages to a passphrase, for what is long, and for what inflates.
3. Results come in the order of the messages. Only so many messages are taken from their source
   as are being worked on or waited for.
4. A message holds the home's lock and a turn like any call; a gpg that has seen an older keyring
   is replaced, and what it is told is worked out anew: an address may be another's by then. Between
   messages it holds neither, so whoever reads the results may also write.
5. Whoever stops early, by ``aclose``, an error or a cancellation, leaves no gpg behind.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from tiny_gnupg._gpg import commands
from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg._gpg.status import parse_status
from tiny_gnupg._openpgp.armor import dearmor
from tiny_gnupg._operations.engine import Engine
from tiny_gnupg._process.descriptors import above_standard
from tiny_gnupg._process.program import LiveProgram
from tiny_gnupg._process.tasks import Hidden, cancel_all, hidden, uninterrupted
from tiny_gnupg.errors import AgentUnavailable, GnuPGError, GnuPGTimeout, NotText, printable

M = TypeVar("M")


R = TypeVar("R")


#: The longest message that a kept-alive gpg gets: with a longer one a start costs next to nothing.
LONGEST = 2**18


#: The most that it may make of one (bytes), and how often that is looked at (seconds).
ROOM, TICK = 2**22, 0.02


#: Bytes that gpg tells people of a message only where something is odd: for one, an agent of 2.4
#: asks without an end for a card that is not here. The ordinary call says what it is.
MUCH_TOLD = 2**16


#: The status line that ends an answer.
DONE = b"[GNUPG:] FILE_DONE\n"


#: The status lines of a message without a flaw. ``NO_SECKEY`` is one of several recipients'.
FLAWLESS = frozenset(
    {
        *("FILE_START", "FILE_DONE", "KEY_CONSIDERED", "PROGRESS", "PINENTRY_LAUNCHED"),
        *("BEGIN_ENCRYPTION", "END_ENCRYPTION", "ENCRYPTION_COMPLIANCE_MODE"),
        *("ENC_TO", "NO_SECKEY", "DECRYPTION_KEY", "BEGIN_DECRYPTION", "DECRYPTION_INFO"),
        *("DECRYPTION_OKAY", "GOODMDC", "END_DECRYPTION", "DECRYPTION_COMPLIANCE_MODE"),
        *("PLAINTEXT", "PLAINTEXT_LENGTH", "NEWSIG", "SIG_ID", "GOODSIG", "VALIDSIG"),
        *("NOTATION_NAME", "NOTATION_DATA", "NOTATION_FLAGS", "POLICY_URL"),
        *("TRUST_UNDEFINED", "TRUST_NEVER", "TRUST_MARGINAL", "TRUST_FULLY", "TRUST_ULTIMATE"),
        *("VERIFICATION_COMPLIANCE_MODE",),
    }
)


#: The ending by which gpg knows what to call its output, and that output's.
ENDINGS = {"--decrypt": (".gpg", ""), "--armor": ("", ".asc"), "--encrypt": ("", ".gpg")}


Stream = Iterable[M] | AsyncIterable[M]


@dataclass(frozen=True, slots=True)
class Job(Generic[M, R]):
    """What is to be done with each message.

    ``prepare`` gives gpg's options and the passphrase, once. ``read`` gives the bytes for a
    kept-alive gpg, or None where the message is not for it; ``judge`` gives the result, or raises
    where the answer is not good; ``ordinary`` does a message by a call of its own. ``max_output``
    is the bound, in bytes, of what may come out of one message, or None.
    """

    prepare: Callable[[], Awaitable[tuple[Sequence[str], bytes | None]]]
    read: Callable[[M], Awaitable[bytes | None]]
    judge: Callable[[Reply, M], Awaitable[R]]
    ordinary: Callable[[M], Awaitable[R]]
    max_output: int | None


def binary_of(message: str | bytes) -> bytes | None:
    """Return a short message without its armor; None where that cannot be, or it is long."""
    if len(message) > LONGEST:
        return None
    octets = NotText.encoded(message) if isinstance(message, str) else message
    try:
        return dearmor(octets, checksum=True)
    except GnuPGError:
        return None  # gpg shall say what is wrong with it


def plain_of(message: str | bytes) -> bytes | None:
    """Return a short message as bytes; None where it is long."""
    if len(message) > LONGEST:
        return None
    return NotText.encoded(message) if isinstance(message, str) else bytes(message)


async def do_many(
    engine: Engine, job: Job[M, R], messages: Stream[M], *, return_exceptions: bool
) -> AsyncGenerator[R | Exception, None]:
    """Do a job with each message, as many at a time as there are cores.

    Args:
        engine: runs gpg.
        job: what is to be done.
        messages: the messages; taken one by one, as there is room.
        return_exceptions: yield the exception of a bad message at its place, and go on.

    Yields:
        The results, in the order of the messages; exceptions only where they are asked for.

    Raises:
        Exception: that of the first bad message, or of ``messages``, at its place.
    """
    crew = Crew(engine, job.prepare, min(ROOM, job.max_output or ROOM))

    async def work(message: M) -> R:
        data = await job.read(message)
        reply = None if data is None else await crew.ask(data)
        if reply is not None:
            with suppress(GnuPGError):
                return await job.judge(reply, message)
        return await job.ordinary(message)

    try:
        async with aclosing(_in_flight(messages, work, 2 * crew.size)) as tasks:
            async for task in tasks:
                result: R | Exception
                try:
                    result = (await task).value
                except Exception as error:
                    if not return_exceptions:
                        raise
                    result = error
                yield result
    finally:
        await uninterrupted(crew.end())


async def _in_flight(
    messages: Stream[M], work: Callable[[M], Awaitable[R]], bound: int
) -> AsyncGenerator[asyncio.Future[Hidden[R]], None]:
    """Yield the work on each message, begun before it is asked for; at most ``bound`` at once."""
    begun: asyncio.Queue[asyncio.Future[Hidden[R]] | None] = asyncio.Queue()
    room = asyncio.Semaphore(bound)
    waiting: set[asyncio.Future[Hidden[R]]] = set()

    async def feed() -> None:
        try:
            await room.acquire()
            async with aclosing(_each(messages)) as source:
                async for message in source:
                    task = asyncio.ensure_future(hidden(work(message)))
                    waiting.add(task)
                    begun.put_nowait(task)
                    await room.acquire()
        finally:
            begun.put_nowait(None)

    feeder = asyncio.ensure_future(feed())
    try:
        while (task := await begun.get()) is not None:
            yield task
            waiting.discard(task)
            room.release()
        await feeder
    finally:
        await uninterrupted(cancel_all(feeder, *waiting))


async def _each(messages: Stream[M]) -> AsyncGenerator[M, None]:
    if isinstance(messages, str | bytes | bytearray | memoryview):
        raise TypeError("these are several messages: of one text or bytes, pass [it]")
    if isinstance(messages, AsyncIterable):
        async for message in messages:
            yield message
    else:
        for message in messages:
            yield message


@dataclass(frozen=True, slots=True)
class _Ready:
    """What each gpg of a job is told, and the keyring's stamp for which that is right."""

    keyring: object
    options: Sequence[str]
    passphrase: bytes | None = field(repr=False)


class Crew:
    """The kept-alive gpgs of one job, as many as there are cores; each starts when it is needed."""

    def __init__(
        self,
        engine: Engine,
        prepare: Callable[[], Awaitable[tuple[Sequence[str], bytes | None]]],
        room: int,
    ) -> None:
        self._room = room
        self.size = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        self._engine = engine
        self._prepare = prepare
        self._prepared: asyncio.Task[_Ready] | None = None
        self._prepared_at: object = None
        self._free = asyncio.Semaphore(self.size)
        self._idle: list[_Member] = []
        self._all: set[_Member] = set()
        self._works = hasattr(os, "memfd_create") and os.path.exists("/proc/self/fd")

    async def ask(self, data: bytes) -> Reply | None:
        """Let a gpg work on some data.

        Returns:
            Its answer, or None where that is not without a flaw.

        Raises:
            GnuPGError: gpg cannot be started, or did not end in time.
        """
        if not self._works:
            return None
        async with self._free:
            while True:
                try:
                    ready = await self._ready()
                except Exception:
                    return None  # the ordinary call fails in the same way, with its own error
                async with self._engine.locked(writing=False), self._engine.turn():
                    # Whom an address names may have changed since the keys were looked up.
                    if ready.keyring == self._engine.home.stamp():
                        return await self._ask(ready, data)

    async def _ask(self, ready: _Ready, data: bytes) -> Reply | None:
        member = await self._member(ready)
        reply = None
        try:
            reply = await member.ask(data, self._engine.timeout)
        finally:
            if reply is None:
                await uninterrupted(self._dismiss(member))
            else:
                self._idle.append(member)
        return reply

    async def end(self) -> None:
        """End all gpgs, and empty what they worked in."""
        if self._prepared is not None:
            await cancel_all(self._prepared)
        for member in list(self._all):
            await self._dismiss(member)

    async def _ready(self) -> _Ready:
        """Return what each gpg is told, looked up again where the keyring has changed since."""
        await self._engine.open()
        stamp = self._engine.home.stamp()
        if self._prepared is None or self._prepared_at != stamp:
            self._prepared_at = stamp
            self._prepared = asyncio.create_task(self._prepare_at(stamp))
        return await asyncio.shield(self._prepared)

    async def _prepare_at(self, keyring: object) -> _Ready:
        return _Ready(keyring, *await self._prepare())

    async def _member(self, ready: _Ready) -> _Member:
        """Return an idle gpg that knows the keyring as it is now, or a new one."""
        while self._idle:
            member = self._idle.pop()
            if member.keyring == ready.keyring:
                return member
            await uninterrupted(self._dismiss(member))
        if commands.asks_agent(ready.options):
            with suppress(AgentUnavailable):  # the ordinary call says so
                await self._engine.agent()
        member = _Member(self._engine, ready, self._room)
        self._all.add(member)
        return member

    async def _dismiss(self, member: _Member) -> None:
        self._all.discard(member)
        await member.end()


class _Member:
    """One kept-alive gpg, the two memories that it reads and writes, and their names."""

    def __init__(self, engine: Engine, ready: _Ready, room: int) -> None:
        self.keyring = ready.keyring
        self._room = room
        self._input = above_standard(os.memfd_create("tiny_gnupg-input"))
        self._output = above_standard(os.memfd_create("tiny_gnupg-output"))
        self._told = above_standard(os.memfd_create("tiny_gnupg-told"))
        self._directory = tempfile.TemporaryDirectory(prefix="tiny_gnupg-", dir=_short_directory())
        try:
            self._name = self._link(ready.options)
            base = engine.base
            argv = base.command(["--yes", "--multifile", *ready.options])
            argv = engine.without_start(argv, base.slot)
            files = (self._input, self._output)
            self._gpg = LiveProgram(
                argv,
                slot=base.slot,
                told=self._told,
                inherited=files,
                passphrase=ready.passphrase,
            )
        except BaseException:
            self._forget()
            raise

    def _link(self, options: Sequence[str]) -> bytes:
        """Return the memories names that gpg takes, and give that of its input."""
        source, target = next(pair for option, pair in ENDINGS.items() if option in options)
        place = Path(self._directory.name, "message")
        place.with_suffix(source).symlink_to(f"/proc/self/fd/{self._input}")
        place.with_suffix(target).symlink_to(f"/proc/self/fd/{self._output}")
        return os.fsencode(place.with_suffix(source))

    async def ask(self, data: bytes, timeout: float | None) -> Reply | None:
        """Let gpg work on some data, and give its answer where that is without a flaw.

        Raises:
            GnuPGTimeout: that took too long.
        """
        os.pwrite(self._input, data, 0)
        try:
            async with asyncio.timeout(timeout):
                said = await self._answer()
        except TimeoutError:
            raise GnuPGTimeout(f"no end after {timeout:g} s", command=self._gpg.line) from None
        status = parse_status(said)
        if said.count(DONE) != 1 or any(line.keyword not in FLAWLESS for line in status):
            return None
        size = os.fstat(self._output).st_size
        # Of what is for one's eyes only (RFC 9580, section 5.9) gpg writes no file, nor says so.
        if size > self._room or (not size and "PLAINTEXT" in {one.keyword for one in status}):
            return None
        written = os.pread(self._output, self._room, 0)
        os.ftruncate(self._input, 0)
        os.ftruncate(self._output, 0)
        return Reply(0, written, self._what_it_told(), status, self._gpg.line)

    def _what_it_told(self) -> str:
        """Return what gpg told people of this message; it goes on at the file's beginning."""
        told = os.pread(self._told, os.fstat(self._told).st_size, 0)
        os.ftruncate(self._told, 0)
        os.lseek(self._told, 0, os.SEEK_SET)
        return printable(told.decode(errors="replace"))

    async def _answer(self) -> bytes:
        """Wait for the answer; nothing where gpg has gone, or makes or tells too much."""
        answer = self._gpg.ask(self._name, DONE)
        while not answer.done():
            await asyncio.wait([answer], timeout=TICK)
            told = os.fstat(self._told).st_size
            if os.fstat(self._output).st_size > self._room or told > MUCH_TOLD:
                return b""
        return answer.result() or b""

    async def end(self) -> None:
        """End gpg, and empty both memories."""
        await self._gpg.end()
        self._forget()

    def _forget(self) -> None:
        os.close(self._input)
        os.close(self._output)
        os.close(self._told)
        self._directory.cleanup()


def _short_directory() -> str | None:
    """Return where gpg's list of names can say a path: None for the usual place."""
    # One name is one line, of at most 2048 characters. Nothing but links lies there, in a directory
    # of its own that tempfile makes for its owner alone (S108).
    usual = tempfile.gettempdir()
    return "/tmp" if "\n" in usual or len(os.fsencode(usual)) > 1024 else None  # noqa: S108
