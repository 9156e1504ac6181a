"""What callers pass as messages."""

from __future__ import annotations

from collections.abc import Iterable

from tiny_gnupg._openpgp import clear_text
from tiny_gnupg._openpgp.kinds import HEAD, MessageKind, message_kind
from tiny_gnupg._process.tasks import in_thread
from tiny_gnupg.errors import NotOpenPGP, OutputTooLarge

#: Octets, or characters, that tell what a message is, and one that tells whether that is all of it.
_HEAD = HEAD + 1


#: Bytes from which on that is found out in a thread; it is bounded in any case.
_LONG = 2**16


async def _kind_of(data: str | bytes) -> MessageKind:
    """Return what some data is; where we cannot, gpg will say that it is none."""
    octets = _octets(data[:_HEAD])
    try:
        if len(octets) < _LONG:
            return message_kind(octets)
        return await in_thread(message_kind, octets)
    except (NotOpenPGP, OutputTooLarge):
        return MessageKind()


def _octets(data: str | bytes) -> bytes:
    return data.encode(errors="replace") if isinstance(data, str) else data


def _require_clear(text: bytes | Iterable[bytes]) -> None:
    """Let a text pass that GnuPG clear-signs as it is, save for the blanks at its lines' ends.

    Raises:
        ValueError: it would sign less.
    """
    if why := clear_text.fault([text] if isinstance(text, bytes) else text):
        raise ValueError(f"the text cannot be clear-signed: {why}; sign it detached or inline")
