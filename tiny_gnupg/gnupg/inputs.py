"""What callers pass as messages."""

from __future__ import annotations

from tiny_gnupg._openpgp.kinds import MessageKind, message_kind
from tiny_gnupg._process.tasks import in_thread
from tiny_gnupg.errors import NotOpenPGP

#: Characters that are enough to tell what a message is; bytes at which that is done in a thread.
_HEAD, _LONG = 2**20, 2**16


async def _kind_of(data: str | bytes) -> MessageKind:
    """Return what some data is; where we cannot, gpg will say that it is none."""
    octets = _octets(data[:_HEAD]) if isinstance(data, str) else data
    try:
        if len(octets) < _LONG:
            return message_kind(octets)
        return await in_thread(message_kind, octets)
    except NotOpenPGP:
        return MessageKind()


def _octets(data: str | bytes) -> bytes:
    return data.encode(errors="replace") if isinstance(data, str) else data
