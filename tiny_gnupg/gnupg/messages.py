"""Messages in memory, and what they are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypeVar, cast, overload

from tiny_gnupg._gpg import commands, outcome, plaintexts, signatures
from tiny_gnupg._gpg.arguments import (
    Signer,
    Uids,
    checked_data,
    checked_session_key,
    optional_passphrase,
    passphrase_answers,
)
from tiny_gnupg._gpg.key_names import search_term
from tiny_gnupg._gpg.key_states import has_secret
from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg._openpgp.armor import dearmor
from tiny_gnupg._openpgp.kinds import MessageKind
from tiny_gnupg._openpgp.text_mode import in_octets
from tiny_gnupg._operations.engine import Call
from tiny_gnupg._operations.keyring import list_keys
from tiny_gnupg._process.program import OUTPUT, SECOND, SECOND_FD
from tiny_gnupg._process.tasks import in_thread
from tiny_gnupg.errors import (
    BadPassphrase,
    BadSignature,
    DecryptionFailed,
    GnuPGError,
    NoSecretKey,
    NotOpenPGP,
    NotSigned,
)
from tiny_gnupg.gnupg import reasons
from tiny_gnupg.gnupg.access import Judge, Remedy, T, _wants
from tiny_gnupg.gnupg.inputs import _kind_of, _octets, _require_clear
from tiny_gnupg.gnupg.recipients import Recipients
from tiny_gnupg.gnupg.text import M, like
from tiny_gnupg.gnupg.trust import Trust
from tiny_gnupg.results import Decryption, Verification

#: Recipients of a message whose keys are looked up where it cannot be opened.
_LOOKED_UP = 100


#: What a signature was judged in.
Judged = TypeVar("Judged", Verification, Decryption)


class Messages(Recipients, Trust):
    """Messages in memory, and what they are."""

    @overload
    async def encrypt(
        self,
        message: bytes,
        uid: Uids = ...,
        sign: bool = ...,
        local_user: Uids = ...,
        *,
        armor: bool = ...,
        hidden: bool | Uids = ...,
        trust: str | None = ...,
        compress: bool = ...,
        ocb: bool = ...,
        passphrase: str | None = ...,
    ) -> bytes: ...

    @overload
    async def encrypt(
        self,
        message: str = ...,
        uid: Uids = ...,
        sign: bool = ...,
        local_user: Uids = ...,
        *,
        armor: Literal[True] = ...,
        hidden: bool | Uids = ...,
        trust: str | None = ...,
        compress: bool = ...,
        ocb: bool = ...,
        passphrase: str | None = ...,
    ) -> str: ...

    async def encrypt(
        self,
        message: str | bytes = "",
        uid: Uids = "",
        sign: bool = True,
        local_user: Uids = "",
        *,
        armor: bool = True,
        hidden: bool | Uids = False,
        trust: str | None = None,
        compress: bool = True,
        ocb: bool = False,
        passphrase: str | None = None,
    ) -> str | bytes:
        """Encrypt a message, and sign it.

        Args:
            message: text or bytes.
            uid: the recipient, or several; the empty text is this instance's own key.
            sign: sign it too.
            local_user: whose key signs, or several; the empty text is this instance's own. This
                instance's passphrase has to open each.
            armor: give an armored message; without it the result is binary, so pass bytes.
            hidden: do not write the recipients into the message, or those of them that are named
                here; how many they are can be seen.
            trust: ``"web"`` asks for gpg's own check of a recipient's validity; None takes each.
            compress: try to make it smaller; without it, data that is compressed already goes
                several times faster.
            ocb: encrypt in LibrePGP's OCB mode: GnuPG reads that from 2.2.21 on, and many other
                programs do not.
            passphrase: one that opens the message, too.

        Returns:
            The encrypted message.

        Raises:
            KeyNotFound: a recipient's key, or the signing key, is not here.
            UnusableKey: a recipient's key is revoked, expired, disabled or cannot encrypt.
            AmbiguousKey: an address has several keys.
            BadPassphrase: the passphrase does not open the signing key.
            UnsupportedByGnuPG: ``ocb``, and this gpg has it not: see ``features``.
            ValueError: there is no recipient, one that shall be hidden is none, ``trust`` is
                another word, or the passphrase is empty or holds NUL, CR or LF.
        """
        data = checked_data("message", message)
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
        reply = await self._encrypt(Call(stdin=data), sealing)
        return await like(message, reply.stdout) if armor else reply.stdout

    @overload
    async def encrypt_symmetric(
        self,
        message: bytes,
        passphrase: str | None = ...,
        *,
        sign: bool = ...,
        local_user: Uids = ...,
        armor: bool = ...,
        ocb: bool = ...,
    ) -> bytes: ...

    @overload
    async def encrypt_symmetric(
        self,
        message: str,
        passphrase: str | None = ...,
        *,
        sign: bool = ...,
        local_user: Uids = ...,
        armor: Literal[True] = ...,
        ocb: bool = ...,
    ) -> str: ...

    async def encrypt_symmetric(
        self,
        message: str | bytes,
        passphrase: str | None = None,
        *,
        sign: bool = False,
        local_user: Uids = "",
        armor: bool = True,
        ocb: bool = False,
    ) -> str | bytes:
        """Encrypt a message to a passphrase, so that any tool can open it with it.

        Args:
            message: text or bytes.
            passphrase: has to be given: this instance's own is for its keys.
            sign: sign it too.
            local_user, armor, ocb: as for ``encrypt``.

        Raises:
            ValueError: there is none, or it holds NUL, CR or LF.
            GnuPGError: the signing key is not here or cannot be used, as for ``encrypt``.
        """
        data = checked_data("message", message)
        signers = local_user if sign else None
        sealing = await self._sealing(
            "", signers, to_keys=False, passphrase=passphrase, armor=armor, ocb=ocb
        )
        reply = await self._encrypt(Call(stdin=data), sealing)
        return await like(message, reply.stdout) if armor else reply.stdout

    async def decrypt(
        self, message: M, *, passphrase: str | None = None, signer: Signer = None
    ) -> M:
        """Decrypt a message; where it is signed, every signature must be good.

        A signed message that is not encrypted is verified and given back.

        Args:
            message: text or bytes.
            passphrase: for messages encrypted to one, and where it is to keys only, for keys
                that this instance's own does not open.
            signer: who must have signed, as for ``verify``; by default a message that nobody
                signed passes, too.

        Returns:
            The plaintext.

        Raises:
            NoSecretKey: none of the recipients' keys is here.
            BadPassphrase: the passphrase opens neither key nor message.
            DecryptionFailed: the message is damaged.
            KeyNotFound: the key of a signature is not here; ``.value`` names it.
            SignatureError: a signature is not good, or not the signer's (``WrongSigner``).
            NotText: the message is text, and the plaintext is not UTF-8.
            NotOpenPGP: the data is none.
        """
        found = await self.decrypt_verify(message, passphrase=passphrase, signer=signer)
        async with reasons.of_message(message):
            return await like(message, found.require_good().data)

    async def decrypt_verify(
        self,
        message: str | bytes,
        *,
        passphrase: str | None = None,
        signer: Signer = None,
        show_session_key: bool = False,
        override_session_key: str | None = None,
    ) -> Decryption:
        """Decrypt a message, and report its signatures whatever their state.

        Args:
            message: text or bytes.
            passphrase: as for ``decrypt``.
            signer: as for ``decrypt``.
            show_session_key: tell the message's session key, which opens it and nothing else: for
                who has to hand over one message, and no key.
            override_session_key: decrypt by this one, without a key or passphrase.

        Returns:
            The plaintext and every signature; ``require_good()`` raises as ``decrypt`` would.

        Raises:
            GnuPGError: as ``decrypt``, save for signatures.
            ValueError: ``override_session_key`` is none.
        """
        data = checked_data("message", message)
        kind = await _kind_of(data)
        judge = partial(plaintexts.decryption, signers=await self._pin(signer))
        how, given = _by_session_key(show_session_key, override_session_key)
        call = Call([*how, *commands.decrypt(OUTPUT)], stdin=data, second=given)
        found, reply = await self._open(call, _with_reply(judge), kind, passphrase)
        if not kind.clear_signed and signatures.is_altered(
            reply, found.signatures, len(found.data)
        ):
            inside = data
            if found.encrypted:
                inside = await self._open(
                    replace(call, options=[*how, *commands.unwrap(OUTPUT)]),
                    plaintexts.unwrapped,
                    kind,
                    passphrase,
                )
            again = Call(commands.decrypt(OUTPUT), stdin=await self._in_octets(inside))
            signed = await self._run(again, judge, self._allow_placeholders)
            found = replace(
                found,
                data=await _rendered(reply, found, signed),
                signatures=signed.signatures,
                failure=signed.failure,
            )
        # Where a key opens a message, gpg does not say that a passphrase could too.
        return replace(found, symmetric=found.symmetric or kind.symmetric)

    async def _open(
        self,
        call: Call,
        judge: Judge[T],
        kind: MessageKind,
        given: str | None,
        beginning: bytes | None = None,
    ) -> T:
        """Decrypt with the passphrase that a message takes: that of the keys, or its own.

        A message to a passphrase is anybody's to write: this instance's own is not tried on it,
        because each would be a guess whose success the sender may see.

        Args:
            call: what goes in and out.
            judge: reads the answer.
            kind: what the message is.
            given: the passphrase that the caller gave.
            beginning: that of a message which comes once.
        """
        message = call.stdin if beginning is None else beginning
        async with reasons.of_message(message):
            if call.second is not None:  # the session key itself
                return await self._run(call, judge, self._allow_placeholders)
            reasons.require_session_key(kind, message)
            return await self._open_by(call, judge, kind, given)

    async def _open_by(
        self, call: Call, judge: Judge[T], kind: MessageKind, given: str | None
    ) -> T:
        own, raw = await self._agent_passphrase(), optional_passphrase(given).encode()
        remedies: list[Remedy] = [self._take_over_keys, self._allow_placeholders, _dearmored]
        if kind.compressed:
            of_keys = own if self.passphrase else await self._agent_passphrase(given or "")
            call = replace(call, answer=passphrase_answers(of_keys, raw))
            return await self._run(call, judge, *remedies)
        if kind.symmetric and not kind.recipients:
            if not raw:
                raise BadPassphrase(
                    "the message opens by a passphrase, and none was given",
                    hint="pass the message's own, passphrase=...",
                )
            call = replace(call, passphrase=raw)
            return await self._run(call, judge, self._allow_placeholders)
        if kind.symmetric:
            call = replace(call, answer=passphrase_answers(own, raw))
        else:
            call = replace(call, passphrase=own)
        if given:
            remedies.insert(1, partial(self._try_given, kind, given))
        return await self._run(call, judge, *remedies, partial(self._explain_unopened, kind))

    async def _explain_unopened(
        self, kind: MessageKind, _: Call, reply: Reply | None, error: GnuPGError | None
    ) -> None:
        """Say that a key's file cannot be read, or that it is gone, where that is why.

        Of a subkey whose secret part is not here, GnuPG 2.4 says what it says of one on a card.
        """
        if reply is None or reply.has("DECRYPTION_INFO"):
            return
        ids = [search_term(one) for one in kind.recipients[:_LOOKED_UP] if one.strip("0")]
        if isinstance(error, DecryptionFailed) and ids:
            self._require_readable(*await list_keys(self._engine, ids))
        if isinstance(error, NoSecretKey) and reply.codes() & set(outcome.CARD_CODES):
            keys = await list_keys(self._engine, ids, secret=True)
            if not any(subkey.card for key in keys for subkey in key.subkeys):
                raise plaintexts.none_here(reply)

    async def _try_given(
        self,
        kind: MessageKind,
        given: str,
        call: Call,
        reply: Reply | None,
        error: GnuPGError | None,
    ) -> Call | None:
        """Remedy: open a message by the passphrase that was given, its own or that of its keys."""
        if reply is None and not kind.symmetric and not await self._opens_any(kind):
            return replace(call, passphrase=await self._agent_passphrase(given))
        if not isinstance(error, BadPassphrase | NoSecretKey):
            return None
        if kind.symmetric:
            return replace(call, passphrase=given.encode(), answer=None)
        if isinstance(error, NoSecretKey) or given == self.passphrase:
            return None
        return replace(call, passphrase=await self._agent_passphrase(given))

    async def _opens_any(self, kind: MessageKind) -> bool:
        """Return whether this instance's passphrase opens a key that a message is to."""
        for recipient in kind.recipients:
            for key in await self._table.find(recipient, secret=True):
                with suppress(BadPassphrase):
                    if has_secret(key):
                        await self._try_passphrase(key.fingerprint)
                        return True
        return False

    async def sign(
        self,
        target: M = "",  # type: ignore[assignment]
        local_user: Uids = "",
        *,
        key: bool = False,
        detach: bool = False,
        clear: bool = False,
        local: bool = False,
    ) -> M:
        """Sign a message, or certify a key.

        Args:
            target: the message, text or bytes; with ``key`` the uid of the key.
            local_user: whose key signs, or several, as for ``encrypt``; one alone certifies.
            key: certify the key that ``target`` names, all its user ids.
            detach: give the signature alone.
            clear: leave the message readable. Blanks at the ends of its lines are not signed, and
                it comes back without them and with a last line end (RFC 9580, section 7).
            local: a certification that never leaves this keyring.

        Returns:
            The signed message, the signature, or, for a certification, the certified public key.

        Raises:
            TypeError: ``key`` is no bool.
            ValueError: options that exclude each other; or, with ``clear``, gpg would sign less
                than the text: a line has more than 19,990 bytes, or ends in a CR or NUL.
            KeyNotFound: the signing key, or the key to certify, is not here.
            UnusableKey: the key to certify has no user id.
            BadPassphrase: the passphrase does not open the signing key.
        """
        if not isinstance(key, bool):
            raise TypeError("key says whether target names a key: True or False")
        if key:
            # Typed as a message, which it is not: a uid is text, and so is what comes of it.
            certify: Any = self.certify
            return cast(M, await certify(target, local_user, local=local))
        if (detach and clear) or local:
            raise ValueError("detach and clear exclude each other; local needs key=True")
        data = checked_data("target", target)
        if clear:
            await self._engine.work(_require_clear, _octets(data))
        signers = await self._names(local_user, "signer")
        call = Call(commands.sign(signers, detach=detach, clear=clear), stdin=data)
        return await like(target, (await self._sign(call, signers)).stdout)

    async def _sign(self, call: Call, signers: Sequence[str]) -> Reply:
        call = replace(call, passphrase=await self._agent_passphrase())
        judge = _wants("SIG_CREATED", "sign", ", ".join(signers), len(signers))
        return await self._run(call, judge, self._take_over_keys, self._explain(signers))

    async def verify(
        self,
        message: str | bytes = "",
        signature: str | bytes | None = None,
        *,
        signer: Signer = None,
    ) -> Verification:
        """Verify a signed message, or a detached signature and its data.

        Args:
            message: the signed message; with ``signature`` the data it covers.
            signature: a detached signature.
            signer: who must have signed: a fingerprint, a whole address, a ``Key``, or several, of
                whom one is enough; the empty text is this instance's own key. By default any key
                of the keyring will do, also a stranger's that came in some day.

        Returns:
            The covered bytes and the signatures: at least one, and all good. With ``signer`` those
            of others may be by keys that are not here, or have expired.

        Raises:
            NotSigned: there is no signature.
            SignatureError: one is not good, or not the signer's (``WrongSigner``).
            KeyNotFound: the key of one is not here; ``.value`` names it.
            ValueError: ``signer`` is neither a fingerprint nor a whole address.
            NotOpenPGP: the data is none.
        """
        data = checked_data("message", message)
        if signature is not None:
            detached = checked_data("signature", signature)
            async with reasons.of_message(detached):
                self._require_detached(await _kind_of(detached))
            call = Call(commands.verify_detached(SECOND), stdin=data, second=detached)
            return await self._verify(call, signer, _octets(data))
        kind = await _kind_of(data)
        self._require_visible(kind)
        call = Call(commands.verify(), stdin=data)
        found, reply = await self._verified(call, signer)
        if kind.clear_signed or not signatures.is_altered(reply, found.signatures, len(found.data)):
            return found
        again = replace(call, stdin=await self._in_octets(data))
        signed = await self._verify(again, signer)
        return replace(signed, data=await _rendered(reply, found, signed))

    async def _verify(self, call: Call, signer: Signer, data: bytes | None = None) -> Verification:
        return (await self._verified(call, signer, data))[0]

    async def _verified(
        self, call: Call, signer: Signer, data: bytes | None = None
    ) -> tuple[Verification, Reply]:
        signers = await self._pin(signer)
        judge = partial(signatures.verification, data=data, signers=signers)
        async with reasons.of_message(call.stdin if call.second is None else call.second):
            return await self._run(call, _with_reply(judge), _dearmored, self._allow_placeholders)

    async def _in_octets(self, message: str | bytes) -> bytes:
        """Return a message that is not encrypted as `text_mode.in_octets` gives it."""
        limit = sys.maxsize - 1 if self.max_output is None else self.max_output
        return await self._engine.work(lambda: in_octets(dearmor(_octets(message)), limit))

    @staticmethod
    def _require_visible(kind: MessageKind) -> None:
        if kind.encrypted:
            raise NotSigned(
                "the message is encrypted: its signatures, if it has any, are inside",
                hint="use decrypt or decrypt_verify",
                value=next(iter(kind.recipients), ""),
            )

    @staticmethod
    def _require_detached(kind: MessageKind) -> None:
        # gpg takes a signed message in this place too, and then ignores the data.
        if not kind.is_detached_signature:
            raise NotSigned("this is no detached signature", hint="pass a signed message alone")


def _by_session_key(show: bool, given: str | None) -> tuple[list[str], bytes | None]:
    """Return gpg's options about a session key, and the second input."""
    key = None if given is None else checked_session_key(given)
    return commands.of_session_key(show, SECOND_FD if key else ""), key


async def _dearmored(call: Call, reply: Reply | None, error: GnuPGError | None) -> Call | None:
    """Remedy: give gpg a message without an armor that has no checksum.

    That is optional (RFC 9580, section 6.1), and 2.2.40 takes many such for cut off.
    """
    refused = isinstance(error, BadSignature | DecryptionFailed | NotOpenPGP)
    octets = await in_thread(reasons.without_checksum, call.stdin) if refused else b""
    return replace(call, stdin=octets) if octets and reply is not None else None


def _with_reply(judge: Judge[T]) -> Judge[tuple[T, Reply]]:
    """Return a judge that gives the answer beside what it made of it."""
    return lambda reply: (judge(reply), reply)


async def _rendered(reply: Reply, found: Judged, signed: Judged) -> bytes:
    """Return the very octets that were signed, or text as gpg renders it where that loses nothing.

    Args:
        reply: what gpg answered of the message as it came.
        found: what it gave out.
        signed: the same with the octets that were signed.
    """
    if not signatures.are_of_text(reply):
        return signed.data
    lossless = await in_thread(lambda: signed.data.replace(b"\r\n", b"\n") == found.data)
    return found.data if lossless else signed.data
