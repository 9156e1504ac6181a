"""Messages that flow through: what is larger than memory and has no path."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

from tiny_gnupg._gpg import commands
from tiny_gnupg._gpg.arguments import Signer, Uids, checked_data
from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg._home.whole_files import unnamed, write_all
from tiny_gnupg._openpgp.kinds import MessageKind
from tiny_gnupg._operations.engine import Call
from tiny_gnupg._process.flow import PIECE, Report, Source, fed, pieces_of, through
from tiny_gnupg._process.pipes import CHUNK, Descriptor
from tiny_gnupg._process.program import OUTPUT, SECOND
from tiny_gnupg._process.tasks import in_thread, uninterrupted
from tiny_gnupg.errors import GnuPGError, OutputTooLarge
from tiny_gnupg.gnupg import reasons
from tiny_gnupg.gnupg.files import Files, _judged, _pieces
from tiny_gnupg.gnupg.inputs import _HEAD, _kind_of, _require_clear
from tiny_gnupg.results import Decryption, Signature, Verification

#: Bytes of a plaintext that are held in memory; of a longer one all is in a file.
IN_MEMORY = 2**20


class Plaintext:
    """The plaintext of a message, to be read once: ``async for piece in plain``, or ``read``.

    What is said of the message is there where it was found good; with ``early``, at its end.

    Args:
        pieces: its bytes.
        found: gets what is found out about the message, and its length in bytes.
    """

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], found: Sequence[tuple[Decryption, int]]
    ) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        self._given = 0
        self._found = found

    @property
    def encrypted(self) -> bool:
        """Whether the message was encrypted, or signed alone."""
        return self._whole()[0].encrypted

    @property
    def signatures(self) -> tuple[Signature, ...]:
        """Every signature of the message, all good."""
        return self._whole()[0].signatures

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self._whole()[1]

    def _whole(self) -> tuple[Decryption, int]:
        if not self._found:
            raise RuntimeError("nothing is known of the message before its end, or it was not good")
        return self._found[0]

    async def read(self, n: int = -1) -> bytes:
        """Return at most ``n`` bytes, or all that is left; none is the end.

        Raises:
            GnuPGError: with ``early``, the message is not good.
            RuntimeError: that was said already, or the block was left before the end.
        """
        if n < 0:
            return b"".join([piece async for piece in self])
        if not self._rest:
            self._rest = memoryview(await anext(self._pieces, b""))
        if not self._rest and self._given < self.size:
            raise RuntimeError("the plaintext is read in the block of its stream, which was left")
        piece, self._rest = self._rest[:n], self._rest[n:]
        self._given += len(piece)
        return bytes(piece)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.read(CHUNK):
            yield piece


async def _pieces_in(fd: int) -> AsyncGenerator[bytes, None]:
    """Give what is in a file."""
    place = 0
    while piece := await uninterrupted(in_thread(os.pread, fd, PIECE, place)):
        yield piece
        place += len(piece)


@asynccontextmanager
async def _copy(source: Source, progress: Report | None) -> AsyncIterator[int]:
    """Give the file of all that a source gives; it has no name."""
    with unnamed(None, in_memory=False) as file:
        async with aclosing(pieces_of(source)) as pieces:
            done = 0
            async for piece in pieces:
                await uninterrupted(in_thread(write_all, file.fileno(), piece))
                done += len(piece)
                if progress is not None:
                    progress(done, 0)
        file.seek(0)
        yield file.fileno()


async def _beginning(pieces: AsyncGenerator[bytes, None]) -> bytes:
    """Take what tells what a message is, or all of it."""
    taken = bytearray()
    async for piece in pieces:
        taken += piece
        if len(taken) >= _HEAD:
            break
    return bytes(taken)


@dataclass(frozen=True, slots=True)
class _Message:
    """A message that comes, of which the beginning is there, and what is asked of it."""

    head: bytes
    kind: MessageKind
    rest: AsyncGenerator[bytes, None]
    signers: frozenset[str]
    passphrase: str | None
    max_output: int | None
    progress: Report | None

    @property
    def is_small(self) -> bool:
        """Whether its beginning is all of it."""
        return len(self.head) < _HEAD

    async def whole(self) -> AsyncGenerator[bytes, None]:
        """Give all of it."""
        yield self.head
        async for piece in self.rest:
            yield piece

    def judged(self, reply: Reply, size: int, bound: int | None) -> Decryption:
        """Judge its decryption into so many bytes; raise where it is not good."""
        return _judged(reply, self.kind, size, self.signers, True, bound)


class Streams(Files):
    """Messages that flow through, with back-pressure both ways.

    A source is an asynchronous or plain iterable of bytes, a binary file, an
    ``asyncio.StreamReader`` or aiohttp's ``content``. A plain iterable is asked on the event loop.

    A stream takes the keys as they are when it begins, and counts for no ``limit``: nobody waits
    for its source, not even to change a key.
    """

    async def encrypt_stream(
        self,
        source: Source,
        uid: Uids = "",
        *,
        sign: bool = True,
        local_user: Uids = "",
        armor: bool = False,
        hidden: bool | Uids = False,
        trust: str | None = None,
        compress: bool = True,
        ocb: bool = False,
        passphrase: str | None = None,
        progress: Report | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Encrypt what a source gives, and give the message as it is made.

        Where it raises, what came until then is no message: it does not decrypt. Leaving early
        ends gpg; ``contextlib.aclosing`` does it at once.

        Args:
            source: where the bytes come from.
            uid: the recipient, or several; the empty text is this instance's own key.
            sign: sign it too.
            local_user, armor, hidden, trust, compress, ocb, passphrase: as for ``encrypt``.
            progress: called with the bytes taken so far, and 0.

        Returns:
            An asynchronous iterator over the message.

        Raises:
            GnuPGError: as ``encrypt``.
            Exception: what the source raises.
        """
        sealing = await self._sealing(
            uid,
            local_user if sign else None,
            hidden=hidden,
            trust=trust,
            passphrase=passphrase,
            armor=armor,
            compress=compress,
            ocb=ocb,
        )

        async def work(stdin: Descriptor, stdout: int) -> None:
            await self._encrypt(Call(stdin=stdin, stdout=stdout), sealing)

        async with aclosing(through(source, work, progress)) as message:
            async for piece in message:
                yield piece

    async def sign_stream(
        self,
        source: Source,
        *,
        local_user: Uids = "",
        detach: bool = False,
        clear: bool = False,
        armor: bool = False,
        progress: Report | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Sign what a source gives, and give the signed message, or its signature alone.

        Where it raises, what came until then is no signed message.

        Args:
            source: where the bytes come from.
            local_user: whose key signs, or several, as for ``encrypt``.
            detach: give the signature alone, at the source's end.
            clear: leave the text readable, see ``sign``; excludes ``detach``. Whether that can be
                is known at the source's end: the text lies in a file without a name until then.
            armor: give text.
            progress: called with the bytes taken so far, and 0.

        Returns:
            An asynchronous iterator over what was made.

        Raises:
            GnuPGError: as ``sign``.
            Exception: what the source raises.
        """
        if detach and clear:
            raise ValueError("detach and clear exclude each other")
        signers = await self._names(local_user, "signer")
        options = commands.sign(signers, detach=detach, clear=clear, armor=armor)

        async def work(stdin: Descriptor, stdout: int) -> None:
            await self._sign(Call(options, stdin=stdin, stdout=stdout), signers)

        async with AsyncExitStack() as stack:
            if clear:
                text = await stack.enter_async_context(_copy(source, progress))
                await self._engine.work(_require_clear, _pieces(text))
                source, progress = _pieces_in(text), None
            message = through(source, work, progress)
            await stack.enter_async_context(aclosing(message))
            async for piece in message:
                yield piece

    async def verify_stream(
        self,
        source: Source,
        signature: str | bytes | None = None,
        *,
        signer: Signer = None,
        progress: Report | None = None,
    ) -> Verification:
        """Verify what a source gives: a signed message, or data by its detached signature.

        Args:
            source: where the bytes come from; a good answer is of all of them.
            signature: the detached signature; without it, the message lies in a file without a
                name until it is verified. ``decrypt_stream`` gives what it says.
            signer: as for ``verify``.
            progress: called with the bytes taken so far, and 0.

        Returns:
            The signatures, all good; the data is not kept.

        Raises:
            GnuPGError: as ``verify``.
            Exception: what the source raises.
        """
        if signature is None:
            async with _copy(source, progress) as file:
                return await self._verify_in(file, signer)
        detached = checked_data("signature", signature)
        async with reasons.of_message(detached):
            self._require_detached(await _kind_of(detached))
        options = commands.verify_detached(SECOND)

        async def work(stdin: Descriptor) -> Verification:
            return await self._verify(Call(options, stdin=stdin, second=detached), signer, b"")

        return await fed(source, work, progress)

    @asynccontextmanager
    async def decrypt_stream(
        self,
        source: Source,
        *,
        passphrase: str | None = None,
        signer: Signer = None,
        max_output: int | None = None,
        spool: str | os.PathLike[str] | None = None,
        early: bool = False,
        progress: Report | None = None,
    ) -> AsyncIterator[Plaintext]:
        """Decrypt what a source gives: ``async with gpg.decrypt_stream(source) as plain``.

        The block is entered only where the whole message was found good; where it is signed, every
        signature must be. Until then the plaintext lies in memory, and from 1 MiB on in a file
        without a name (0600).

        Args:
            source: where the bytes come from.
            passphrase: as for ``decrypt``.
            signer: as for ``decrypt``.
            max_output: bytes that may come out; None is without bound.
            spool: the folder of that file; default: the system's, as ``TMPDIR`` says.
            early: enter the block at once, and give the plaintext as it comes, before anything is
                known of it: anybody on its way may have changed it, or have written all of it. At
                its end reading raises where the message is not good. For who can undo whatever was
                done by then, and does nothing that shows others what it says (EFAIL).
            progress: called with the bytes taken so far, and 0.

        Returns:
            The plaintext, with its ``size`` and ``signatures``.

        Raises:
            OutputTooLarge: more than ``max_output`` bytes came out.
            GnuPGError: as ``decrypt``.
            Exception: what the source raises.
        """
        signers = await self._pin(signer)
        async with aclosing(pieces_of(source)) as pieces:
            head = await _beginning(pieces)
            message = _Message(
                head, await _kind_of(head), pieces, signers, passphrase, max_output, progress
            )
            found: list[tuple[Decryption, int]] = []
            if early:
                async with aclosing(self._as_it_comes(message, found)) as coming:
                    yield Plaintext(coming, found)
                return
            with ExitStack() as files:
                file, good = await self._spooled(message, spool, files)
                found.append((good, os.fstat(file).st_size))
                async with aclosing(_pieces_in(file)) as coming:
                    yield Plaintext(coming, found)

    async def _spooled(
        self, message: _Message, spool: str | os.PathLike[str] | None, files: ExitStack
    ) -> tuple[int, Decryption]:
        """Decrypt a message; return the file of its plaintext, which ``files`` closes."""

        async def into(bound: int | None, *, in_memory: bool) -> tuple[int, Decryption]:
            file = files.enter_context(unnamed(spool, in_memory=in_memory)).fileno()

            async def work(stdin: Descriptor) -> Decryption:
                call = Call(commands.decrypt(OUTPUT, bound), stdin=stdin, stdout=file)
                return await self._open(
                    call,
                    lambda reply: message.judged(reply, os.fstat(file).st_size, bound),
                    message.kind,
                    message.passphrase,
                    message.head,
                )

            if not message.is_small:
                return file, await fed(message.whole(), work, message.progress)
            given = files.enter_context(unnamed(spool, in_memory=True))
            given.write(message.head)
            given.seek(0)
            return file, await work(Descriptor(given.fileno()))

        bound = message.max_output
        if message.is_small:
            if message.progress is not None:
                message.progress(len(message.head), 0)
            try:
                first = IN_MEMORY if bound is None else min(IN_MEMORY, bound)
                return await into(first, in_memory=True)
            except OutputTooLarge:
                if bound is not None and bound <= IN_MEMORY:
                    raise
        return await into(bound, in_memory=False)

    async def _as_it_comes(
        self, message: _Message, found: list[tuple[Decryption, int]]
    ) -> AsyncGenerator[bytes, None]:
        """Decrypt a message, and give its plaintext before it is judged."""
        replies = []

        async def work(stdin: Descriptor, stdout: int) -> None:
            call = Call(commands.decrypt(OUTPUT, message.max_output), stdin=stdin, stdout=stdout)
            replies.append(
                await self._open(
                    call, lambda reply: reply, message.kind, message.passphrase, message.head
                )
            )

        size = 0
        async with aclosing(through(message.whole(), work, message.progress)) as pieces:
            async for piece in pieces:
                size += len(piece)
                yield piece
        try:
            async with reasons.of_message(message.head):
                found.append((message.judged(replies[0], size, message.max_output), size))
        except GnuPGError as error:
            await self._require_keyboxd(error)
            raise
