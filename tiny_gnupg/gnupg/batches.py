"""Many messages."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import AnyStr, Literal, overload

from tiny_gnupg._gpg import commands, outcome, plaintexts, signatures
from tiny_gnupg._gpg.arguments import Signer, Uids, check_uids, checked_data, kept
from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg._operations.batches import Job, Stream, binary_of, do_many, plain_of
from tiny_gnupg.errors import NotSigned
from tiny_gnupg.gnupg.inputs import _kind_of
from tiny_gnupg.gnupg.messages import Messages
from tiny_gnupg.gnupg.text import like
from tiny_gnupg.results import Verification


class Batches(Messages):
    """Many messages."""

    @overload
    def encrypt_many(
        self,
        messages: Stream[AnyStr],
        uid: Uids = ...,
        *,
        sign: bool = ...,
        local_user: Uids = ...,
        return_exceptions: Literal[False] = ...,
    ) -> AsyncGenerator[AnyStr, None]: ...

    @overload
    def encrypt_many(
        self,
        messages: Stream[AnyStr],
        uid: Uids = ...,
        *,
        sign: bool = ...,
        local_user: Uids = ...,
        return_exceptions: bool,
    ) -> AsyncGenerator[AnyStr | Exception, None]: ...

    def encrypt_many(
        self,
        messages: Stream[AnyStr],
        uid: Uids = "",
        *,
        sign: bool = False,
        local_user: Uids = "",
        return_exceptions: bool = False,
    ) -> AsyncGenerator[AnyStr | Exception, None]:
        """Encrypt many messages to the same recipients, by gpgs that are kept alive.

        Args:
            messages: text or bytes, from a plain or an asynchronous iterable; they are taken as
                there is room, and each result is like its message.
            uid: as for ``encrypt``.
            sign: sign them too; a kept-alive gpg cannot, so that each message then is an
                ordinary call, several at a time.
            local_user: as for ``encrypt``.
            return_exceptions: yield the exception of a bad message at its place, and go on.

        Returns:
            An asynchronous iterator over the encrypted messages, in their order. Whoever stops
            early may ``aclose`` it.

        Raises:
            GnuPGError: as ``encrypt``, at the place of the message.
        """
        uids, signers = kept(uid), kept(local_user)

        async def prepare() -> tuple[list[str], None]:
            each = check_uids(uids)
            await self._look_up(each)  # once for all messages
            return commands.encrypt(*await self._recipients(each, sure=True)), None

        async def read(message: AnyStr) -> bytes | None:
            data = checked_data("message", message)
            return None if sign else plain_of(data)

        async def judge(reply: Reply, message: AnyStr) -> AnyStr:
            outcome.require_keyword(reply, "END_ENCRYPTION", "encrypt")
            return await like(message, reply.stdout)

        async def ordinary(message: AnyStr) -> AnyStr:
            return await self.encrypt(message, uids, sign, signers)

        job = Job(prepare, read, judge, ordinary, self.max_output)
        return do_many(self._engine, job, messages, return_exceptions=return_exceptions)

    @overload
    def decrypt_many(
        self,
        messages: Stream[AnyStr],
        *,
        signer: Signer = ...,
        return_exceptions: Literal[False] = ...,
    ) -> AsyncGenerator[AnyStr, None]: ...

    @overload
    def decrypt_many(
        self, messages: Stream[AnyStr], *, signer: Signer = ..., return_exceptions: bool
    ) -> AsyncGenerator[AnyStr | Exception, None]: ...

    def decrypt_many(
        self,
        messages: Stream[AnyStr],
        *,
        signer: Signer = None,
        return_exceptions: bool = False,
    ) -> AsyncGenerator[AnyStr | Exception, None]:
        """Decrypt many messages, by gpgs that are kept alive.

        Args:
            messages: as for ``encrypt_many``.
            signer: as for ``decrypt``.
            return_exceptions: yield the exception of a bad message at its place, and go on.

        Returns:
            An asynchronous iterator over the plaintexts, in the order of the messages.

        Raises:
            GnuPGError: as ``decrypt``, at the place of the message.
        """
        names = kept(signer)

        async def prepare() -> tuple[list[str], bytes]:
            return commands.decrypt(), await self._agent_passphrase()

        async def read(message: AnyStr) -> bytes | None:
            data = checked_data("message", message)
            return None if (await _kind_of(data)).symmetric else binary_of(data)

        async def judge(reply: Reply, message: AnyStr) -> AnyStr:
            found = plaintexts.decryption(reply, await self._pin(names)).require_good()
            signatures.require_unaltered(reply, found.signatures, len(found.data))
            return await like(message, found.data)

        ordinary = partial(self.decrypt, signer=names)
        job = Job(prepare, read, judge, ordinary, self.max_output)
        return do_many(self._engine, job, messages, return_exceptions=return_exceptions)

    @overload
    def verify_many(
        self,
        messages: Stream[AnyStr],
        *,
        signer: Signer = ...,
        return_exceptions: Literal[False] = ...,
    ) -> AsyncGenerator[Verification, None]: ...

    @overload
    def verify_many(
        self, messages: Stream[AnyStr], *, signer: Signer = ..., return_exceptions: bool
    ) -> AsyncGenerator[Verification | Exception, None]: ...

    def verify_many(
        self,
        messages: Stream[AnyStr],
        *,
        signer: Signer = None,
        return_exceptions: bool = False,
    ) -> AsyncGenerator[Verification | Exception, None]:
        """Verify many signed messages, by gpgs that are kept alive.

        Args:
            messages: as for ``encrypt_many``; of clear-signed ones each is an ordinary call.
            signer: as for ``verify``.
            return_exceptions: yield the exception of a bad message at its place, and go on.

        Returns:
            An asynchronous iterator over what ``verify`` gives, in the order of the messages.

        Raises:
            GnuPGError: as ``verify``, at the place of the message.
        """
        names = kept(signer)

        async def prepare() -> tuple[list[str], None]:
            # Of many files, --verify gives no data; --decrypt verifies what is only signed.
            return commands.decrypt(), None

        async def read(message: AnyStr) -> bytes | None:
            data = checked_data("message", message)
            kind = await _kind_of(data)
            visible = (kind.signed or kind.compressed) and not kind.encrypted
            return binary_of(data) if visible else None

        async def judge(reply: Reply, message: AnyStr) -> Verification:
            if reply.has("BEGIN_DECRYPTION"):
                raise NotSigned("what is encrypted inside a signed message is not its data")
            found = signatures.verification(reply, signers=await self._pin(names))
            signatures.require_unaltered(reply, found.signatures, len(found.data))
            return found

        ordinary = partial(self.verify, signer=names)
        job = Job(prepare, read, judge, ordinary, self.max_output)
        return do_many(self._engine, job, messages, return_exceptions=return_exceptions)
