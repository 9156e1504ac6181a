"""Why gpg refused data, where the data itself tells more than gpg's answer.

Looked at only once gpg has refused it: see ``_openpgp.faults``.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg._openpgp import clear_text
from tiny_gnupg._openpgp.armor import dearmor, has_checksum, is_armored, is_binary, is_clear_signed
from tiny_gnupg._openpgp.faults import LOOKED_AT, damage, foreign, no_message, refusals
from tiny_gnupg._openpgp.kinds import MessageKind
from tiny_gnupg._process.pipes import Data, Descriptor
from tiny_gnupg._process.tasks import in_thread
from tiny_gnupg.errors import (
    BadSignature,
    DecryptionFailed,
    GnuPGError,
    ImportFailed,
    NotOpenPGP,
    NotSigned,
    OutputTooLarge,
    UnsupportedByGnuPG,
    in_place_of,
)
from tiny_gnupg.gnupg.inputs import _octets
from tiny_gnupg.results import Key


@asynccontextmanager
async def of_keys(block: str | bytes) -> AsyncIterator[None]:
    """Say for each key why it was refused.

    Raises:
        ImportFailed, NotOpenPGP: as the block raises it, with what was found.
    """
    try:
        yield
    except (ImportFailed, NotOpenPGP) as error:
        found = [one for one in await in_thread(refusals, _octets(block)) if one.why]
        if not found:
            raise
        kind = ImportFailed if isinstance(error, ImportFailed) else NotOpenPGP
        begin = "nothing was imported" if kind is ImportFailed else "the keys cannot be read"
        each = [f"{one.name}: {one.why}".removeprefix(": ") for one in found]
        better = in_place_of(error, kind, f"{begin}: {'; '.join(each)}", hint=found[0].cure)
    else:
        return
    raise better


async def require_all(block: str | bytes, shown: Iterable[Key], reply: Reply) -> None:
    """Let the keys pass that gpg read of a block, where nothing but what it cannot read is missing.

    Raises:
        NotOpenPGP: it read a part.
    """
    known = {key.fingerprint for key in shown}
    for one in await in_thread(refusals, _octets(block)):
        if one.name not in known and not (one.name and one.why):
            what = one.why or f"gpg did not read {one.name}"
            raise NotOpenPGP(f"only a part of the keys was read: {what}", reply=reply)


def require_session_key(kind: MessageKind, data: Data | Descriptor | None) -> None:
    """Let a message pass that some key or passphrase can open, as far as its packets tell.

    GnuPG 2.2 takes one without a session key for PGP 2's, by IDEA, and aborts now and then.

    Args:
        kind: what the message is.
        data: the message, or the beginning of it.

    Raises:
        NotOpenPGP: its armor is damaged, and so may be all that its packets tell.
        UnsupportedByGnuPG: its session keys are none that GnuPG reads.
        DecryptionFailed: it has none.
    """
    if not kind.encrypted or kind.recipients:
        return
    octets = _head(data)
    if not is_binary(octets) and (why := _damage(octets)):
        raise NotOpenPGP(f"{_NOT_WHOLE}: {why}", hint=_WHOLE)
    if why := foreign(octets):
        raise UnsupportedByGnuPG(why, hint=_OTHER)
    if not kind.symmetric:
        raise DecryptionFailed(
            "the message has no session key in it: no key and no passphrase opens it"
        )


@asynccontextmanager
async def of_message(data: Data | Descriptor | None) -> AsyncIterator[None]:
    """Say what is wrong with the form of a message, or what GnuPG lacks for it.

    Args:
        data: the message or signature.

    Raises:
        NotOpenPGP, UnsupportedByGnuPG: for one that the block raises, with what was found.
    """
    try:
        yield
    except (NotOpenPGP, DecryptionFailed, NotSigned, BadSignature) as error:
        better = await in_thread(_better, error, data)
        if better is None:
            raise
    else:
        return
    raise better


def _better(error: GnuPGError, data: Data | Descriptor | None) -> GnuPGError | None:
    octets = _head(data)
    if isinstance(error, BadSignature):
        if not (is_clear_signed(octets) and clear_text.is_too_long(octets)):
            return None
        why = "gpg cannot check the signature: the text has lines of which it reads a part"
        return in_place_of(error, BadSignature, why, hint=_READ_BY, signatures=error.signatures)
    broken = _damage(octets)
    if (is_binary(octets) or not broken) and (why := foreign(octets)):
        return in_place_of(error, UnsupportedByGnuPG, why, hint=_OTHER)
    if isinstance(error, DecryptionFailed) or len(octets) > LOOKED_AT:
        return None
    if broken:
        return in_place_of(error, NotOpenPGP, f"{_NOT_WHOLE}: {broken}", hint=_WHOLE)
    found = no_message(octets)
    return in_place_of(error, NotOpenPGP, found.why, hint=found.cure) if found else None


def _damage(octets: bytes) -> str:
    """Return what is wrong with a short message; of damaged armor, the packets may be chance."""
    return damage(octets) if len(octets) <= LOOKED_AT else ""


def without_checksum(data: Data | Descriptor | None) -> bytes:
    """Return a short message without its armor, where that has no checksum; else nothing."""
    octets = _head(data)
    if len(octets) > LOOKED_AT or is_clear_signed(octets) or has_checksum(octets):
        return b""
    with suppress(NotOpenPGP, OutputTooLarge):
        return dearmor(octets) if is_armored(octets) else b""
    return b""


def _head(data: Data | Descriptor | None) -> bytes:
    """Return the beginning of data, and one octet more than is looked at."""
    if isinstance(data, Descriptor):
        with suppress(OSError):  # a pipe was read, and has gone
            return os.pread(data, LOOKED_AT + 1, 0)
        return b""
    if data is None:
        return b""
    head = data[: LOOKED_AT + 1]
    return _octets(head) if isinstance(head, str) else bytes(head)


_OTHER = "use a program of RFC 9580 (Sequoia, OpenPGP.js), or ask the sender for RFC 4880"


_READ_BY = "verify it by another program, or ask for a detached signature"


_NOT_WHOLE = "the data is not whole"


_WHOLE = "ask for it once more, or pass it as it was sent"
