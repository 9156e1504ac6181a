"""Messages that flow through: what is larger than memory and has no path."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager

from tiny_gnupg._gpg import commands
from tiny_gnupg._gpg.arguments import Signer, Uid, Uids, checked_data
from tiny_gnupg._operations.engine import Call
from tiny_gnupg._process.flow import Report, Source, fed, through
from tiny_gnupg._process.pipes import CHUNK, Descriptor
from tiny_gnupg._process.program import SECOND
from tiny_gnupg._process.tasks import in_thread, uninterrupted
from tiny_gnupg.gnupg import reasons
from tiny_gnupg.gnupg.files import Files
from tiny_gnupg.gnupg.inputs import _kind_of
from tiny_gnupg.results import Decryption, Signature, Verification


class Plaintext:
    """The plaintext of a message that was found good; to be read once, in its block.

    Args:
        fd: the file that holds it.
        found: what was found out about the message.
    """

    def __init__(self, fd: int, found: Decryption) -> None:
        self._fd = fd
        self._place = 0
        #: Whether the message was encrypted, or signed alone.
        self.encrypted = found.encrypted
        #: Every signature of the message, all good.
        self.signatures: tuple[Signature, ...] = found.signatures
        #: Its length in bytes.
        self.size = os.fstat(fd).st_size

    async def read(self, n: int = -1) -> bytes:
        """Return at most ``n`` bytes, or all that is left; none is the end."""
        wanted = self.size - self._place if n < 0 else n
        piece = await uninterrupted(in_thread(os.pread, self._fd, wanted, self._place))
        self._place += len(piece)
        return piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.read(CHUNK):
            yield piece


class Streams(Files):
    """Messages that flow through, with back-pressure both ways.

    A source is an asynchronous or plain iterable of bytes, a binary file, an
    ``asyncio.StreamReader`` or aiohttp's ``content``. A plain iterable is asked on the event loop.
    """

    async def encrypt_stream(
        self,
        source: Source,
        uid: Uid | Iterable[Uid] = "",
        *,
        sign: bool = True,
        local_user: Uids = "",
        armor: bool = False,
        hidden: bool | Uids = False,
        trust: str | None = None,
        compress: bool = True,
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
            local_user, armor, hidden, trust, compress, passphrase: as for ``encrypt``.
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
        )

        async def work(stdin: Descriptor, stdout: int) -> None:
            await self._encrypt(Call(stdin=stdin, stdout=stdout), sealing)

        message = through(source, work, progress)
        try:
            async for piece in message:
                yield piece
        finally:
            await message.aclose()

    async def sign_stream(
        self,
        source: Source,
        *,
        local_user: Uids = "",
        detach: bool = False,
        armor: bool = False,
        progress: Report | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Sign what a source gives, and give the signed message, or its signature alone.

        Where it raises, what came until then is no signed message.

        Args:
            source: where the bytes come from.
            local_user: whose key signs, or several, as for ``encrypt``.
            detach: give the signature alone, at the source's end.
            armor: give text.
            progress: called with the bytes taken so far, and 0.

        Returns:
            An asynchronous iterator over what was made.

        Raises:
            GnuPGError: as ``sign``.
            Exception: what the source raises.
        """
        signers = await self._signers(local_user)
        options = commands.sign(signers, detach=detach, armor=armor)

        async def work(stdin: Descriptor, stdout: int) -> None:
            await self._sign(Call(options, stdin=stdin, stdout=stdout), signers)

        message = through(source, work, progress)
        try:
            async for piece in message:
                yield piece
        finally:
            await message.aclose()

    async def verify_stream(
        self,
        source: Source,
        signature: str | bytes,
        *,
        signer: Signer = None,
        progress: Report | None = None,
    ) -> Verification:
        """Verify what a source gives by its detached signature.

        Args:
            source: where the bytes come from; a good answer is of all of them.
            signature: the detached signature.
            signer: as for ``verify``.
            progress: called with the bytes taken so far, and 0.

        Returns:
            The signatures, all good; the data is not kept.

        Raises:
            GnuPGError: as ``verify``.
            Exception: what the source raises.
        """
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
        progress: Report | None = None,
    ) -> AsyncIterator[Plaintext]:
        """Decrypt what a source gives: ``async with gpg.decrypt_stream(source) as plain``.

        The block is entered only where the whole message was found good; where it is signed, every
        signature must be. Until then message and plaintext lie in files without names (0600).

        Args:
            source: where the bytes come from.
            passphrase: as for ``decrypt``.
            signer: as for ``decrypt``.
            max_output: bytes that may come out; None is without bound.
            spool: the folder of these files; default: the system's, as ``TMPDIR`` says.
            progress: called with the bytes taken so far, and 0.

        Returns:
            The plaintext: ``async for piece in plain``, ``await plain.read(n)``, with its ``size``
            and ``signatures``.

        Raises:
            OutputTooLarge: more than ``max_output`` bytes came out.
            GnuPGError: as ``decrypt``.
            Exception: what the source raises.
        """
        signers = await self._pin(signer)
        with tempfile.TemporaryFile(buffering=0, dir=spool) as file:

            async def work(stdin: Descriptor) -> Decryption:
                return await self._decrypt_between(
                    stdin,
                    file.fileno(),
                    signers,
                    require_good=True,
                    passphrase=passphrase,
                    max_output=max_output,
                    spool=spool,
                )

            yield Plaintext(file.fileno(), await fed(source, work, progress))
