"""The octets that a message carries, exactly: what a signature of it is made over.

Pure: bytes in, bytes out; nothing here runs a program or touches a file. gpg gives them as they
are, save where the literal packet says that it holds text: then it drops each carriage return. The
octet that says so is not signed (RFC 9580, section 5.9), so anybody can change it.

The rules:

1. The octets are those of the only literal packet; a second one is ``NotOpenPGP``.
2. Compressed packets are opened on the way, to a bound in depth. Other packets are passed over.
3. Memory does not grow with the message: pieces in, pieces out. There may be no more packets, and
   parts of packets, than data of that length ever has.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator

from tiny_gnupg._openpgp.packets import (
    COMPRESSED,
    DEPTH,
    FIRST_PART,
    LITERAL,
    NO_HONEST,
    PIECE,
    inflated,
    most_parts,
    require_streamed,
)
from tiny_gnupg.errors import NotOpenPGP, OutputTooLarge


def literal_octets(message: Iterable[bytes], depth: int = DEPTH) -> Generator[bytes, None, int]:
    """Return what a message's literal packet holds.

    Args:
        message: the pieces of a message in binary form, not encrypted.
        depth: how deep compressed packets may lie in each other.

    Yields:
        The pieces of it, and empty ones for what is passed over, so that whoever reads can stop.

    Returns:
        How many literal packets there are: one or none.

    Raises:
        NotOpenPGP: where it is no such message, or it ends before its end.
        OutputTooLarge: where there are too many packets.
    """
    source = _Source(message)
    found = 0
    while head := source.some(1):
        tag, body = source.packet(head[0])
        if tag == COMPRESSED and depth:
            found += yield from literal_octets(inflated(body), depth - 1)
        elif tag == LITERAL:
            found += 1
            yield from _Source(body).behind_head()
        if found > 1 or (tag == COMPRESSED and not depth):
            raise NotOpenPGP("this is no message with one literal packet")
        yield from (b"" for _ in body)
        yield b""
    return found


class _Source:
    """Octets that come in pieces, and the packets in them."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._piece, self._place = b"", 0
        self._octets = self._parts = 0

    def some(self, most: int) -> bytes:
        """Take what has come, up to so many octets; nothing is the end."""
        while self._place == len(self._piece):
            self._piece, self._place = next(self._pieces, b""), 0
            if not self._piece:
                return b""
            self._octets += len(self._piece)
        taken = self._piece[self._place : self._place + most]
        self._place += len(taken)
        return taken

    def exactly(self, count: int) -> Iterator[bytes]:
        """Take so many octets, piece by piece."""
        while count:
            taken = self.some(min(count, PIECE))
            if not taken:
                raise NotOpenPGP("the data ends inside a packet")
            count -= len(taken)
            yield taken

    def number(self, octets: int) -> int:
        """Take a number of so many octets, most significant first."""
        return int.from_bytes(b"".join(self.exactly(octets)), "big")

    def behind_head(self) -> Iterator[bytes]:
        """Take the rest of a literal packet behind what is not signed: format, name and date."""
        self.number(1)
        for _ in self.exactly(self.number(1) + 4):
            pass
        while piece := self.some(PIECE):
            yield piece

    def packet(self, first: int) -> tuple[int, Iterator[bytes]]:
        """Read a packet's header behind its first octet: its tag, and its body to be taken."""
        tag = first & 0x3F if first & 0x40 else first >> 2 & 0x0F
        if not first & 0x80 or not tag:
            raise NotOpenPGP("there is something that is no packet")
        self._count()
        if first & 0x40:
            return tag, self._new_body(tag)
        if first & 0x03 == 3:
            require_streamed(tag, self._octets)
            return tag, iter(lambda: self.some(PIECE), b"")
        return tag, self.exactly(self.number(1 << (first & 0x03)))

    def _new_body(self, tag: int) -> Iterator[bytes]:
        least = FIRST_PART
        while 224 <= (first := self.number(1)) < 255:
            require_streamed(tag, self._octets)
            size = 1 << (first & 0x1F)
            if size < least:
                raise NotOpenPGP(f"a first part of {size} octets")
            self._count()
            least = 0
            yield from self.exactly(size)
        if first >= 192:
            more = self.number(1 if first < 255 else 4)
            first = (first - 192 << 8) + more + 192 if first < 255 else more
        yield from self.exactly(first)

    def _count(self) -> None:
        self._parts += 1
        if self._parts > most_parts(self._octets):
            raise OutputTooLarge("there are too many packets, or parts of them", hint=NO_HONEST)
