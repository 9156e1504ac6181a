"""Messages that flow through: what is larger than memory and has no path."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from functools import partial

from tiny_gnupg._gpg import commands
from tiny_gnupg._gpg.arguments import Signer, Uid, check_uids, checked_data, checked_trust
from tiny_gnupg._operations.engine import Call
from tiny_gnupg._process.flow import Report, Source, fed, through
from tiny_gnupg._process.pipes import Descriptor
from tiny_gnupg._process.program import SECOND
from tiny_gnupg.gnupg import reasons
from tiny_gnupg.gnupg.inputs import _kind_of
from tiny_gnupg.gnupg.messages import Messages
from tiny_gnupg.results import Verification


class Streams(Messages):
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
        local_user: Uid = "",
        armor: bool = False,
        hidden: bool = False,
        trust: str | None = None,
        compress: bool = True,
        progress: Report | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Encrypt what a source gives, and give the message as it is made.

        Where it raises, what came until then is no message: it does not decrypt. Leaving early
        ends gpg; ``contextlib.aclosing`` does it at once.

        Args:
            source: where the bytes come from.
            uid: the recipient, or several; the empty text is this instance's own key.
            sign: sign it too.
            local_user: as for ``encrypt``, like ``armor``, ``hidden``, ``trust`` and ``compress``.
            armor: see ``encrypt``.
            hidden: see ``encrypt``.
            trust: see ``encrypt``.
            compress: see ``encrypt``.
            progress: called with the bytes taken so far, and 0.

        Returns:
            An asynchronous iterator over the message.

        Raises:
            GnuPGError: as ``encrypt``.
            Exception: what the source raises.
        """
        uids, model = check_uids(uid), checked_trust(trust)
        if trust == "web":
            await self._require_trusted(uids)
        signer, passphrase = await self._signing(local_user) if sign else ("", None)
        command = partial(
            commands.encrypt,
            local_user=signer,
            armor=armor,
            hidden=hidden,
            trust=model,
            compress=compress,
        )

        async def work(stdin: Descriptor, stdout: int) -> None:
            call = Call(stdin=stdin, stdout=stdout, passphrase=passphrase)
            await self._encrypt(call, command, uids, signer)

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
        local_user: Uid = "",
        detach: bool = False,
        armor: bool = False,
        progress: Report | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Sign what a source gives, and give the signed message, or its signature alone.

        Where it raises, what came until then is no signed message.

        Args:
            source: where the bytes come from.
            local_user: whose key signs; the empty text is this instance's own.
            detach: give the signature alone, at the source's end.
            armor: give text.
            progress: called with the bytes taken so far, and 0.

        Returns:
            An asynchronous iterator over what was made.

        Raises:
            GnuPGError: as ``sign``.
            Exception: what the source raises.
        """
        signer = await self._signer(local_user)
        options = commands.sign(signer, detach=detach, armor=armor)

        async def work(stdin: Descriptor, stdout: int) -> None:
            await self._sign(Call(options, stdin=stdin, stdout=stdout), signer)

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
