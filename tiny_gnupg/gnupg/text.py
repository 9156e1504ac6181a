"""Text in, text out; bytes in, bytes out."""

from __future__ import annotations

import asyncio
import codecs
from typing import TypeVar

from tiny_gnupg.errors import NotText

#: A message, and what comes back for it: of the same type.
M = TypeVar("M", str, bytes, str | bytes)


#: Pieces in which long text is decoded, so that the event loop is never held up (bytes). What
#: takes the time is new memory: up to 6 ms for the 1 MiB that a piece becomes, where a virtual
#: machine has to ask its host for it.
PIECE = 2**18


async def as_text(data: bytes, errors: str = "strict") -> str:
    """Decode UTF-8; a long text piece by piece, with turns of the event loop between them.

    Args:
        data: the text.
        errors: what becomes of what is not UTF-8, as for ``bytes.decode``.

    Raises:
        NotText: it is not UTF-8, and ``errors`` is ``strict``.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors)
    view = memoryview(data)
    text = ""
    start = 0
    try:
        while len(view) - start > PIECE:
            # CPython lets a string that nobody else holds grow in its place, once it has seen the
            # loop go round some times; so the first pieces are small.
            piece = min(PIECE, max(1, PIECE // 16, start // 8))
            text += decoder.decode(view[start : start + piece])
            start += piece
            await asyncio.sleep(0)
        text += decoder.decode(view[start:], final=True)
        return text
    except UnicodeDecodeError as error:
        # The decoder still holds the beginning of a character that was cut off by a piece.
        place = start - len(decoder.getstate()[0]) + error.start
    raise NotText.at(place)


async def like(message: M, data: bytes) -> M:
    """Return data in the type that a message has.

    Raises:
        NotText: the message is text, and the data is not UTF-8.
    """
    return await as_text(data) if isinstance(message, str) else data
