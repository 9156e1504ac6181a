"""The packets of OpenPGP data, cut out of its bytes.

Pure: bytes in, data out; nothing here runs a program or touches a file. Framing is that of
RFC 9580, section 4.2.

The rules:

1. A packet begins with an octet whose high bit is set, and its length is inside the data. Anything
   else is ``NotOpenPGP``, also behind good packets.
2. Partial and indeterminate lengths are for packets of data alone; anywhere else they are nonsense.
   So is a first partial length of less than 512 octets (RFC 9580, section 4.2.1.4).
3. Whoever sends data chooses how much work it is, so that is bounded: each packet counts, and each
   part of one, and there may be no more of them than data of that length ever has.
4. A compressed packet is opened to a bound in octets; how deep is the caller's bound.
5. A key is a primary key packet and what follows it up to the next one (RFC 9580, section 10.1).
"""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from tiny_gnupg.errors import NotOpenPGP, OutputTooLarge

PKESK, SIGNATURE, SKESK, ONE_PASS = 1, 2, 3, 4


SECRET_KEY, PUBLIC_KEY, SECRET_SUBKEY, COMPRESSED = 5, 6, 7, 8


ENCRYPTED, MARKER, LITERAL, TRUST, USER_ID, PUBLIC_SUBKEY = 9, 10, 11, 12, 13, 14


USER_ATTRIBUTE, SEIPD, MDC, AEAD, PADDING = 17, 18, 19, 20, 21


TAG_NAMES = {
    PKESK: "public-key encrypted session key",
    SIGNATURE: "signature",
    SKESK: "symmetric-key encrypted session key",
    ONE_PASS: "one-pass signature",
    SECRET_KEY: "secret key",
    PUBLIC_KEY: "public key",
    SECRET_SUBKEY: "secret subkey",
    COMPRESSED: "compressed data",
    ENCRYPTED: "symmetrically encrypted data",
    MARKER: "marker",
    LITERAL: "literal data",
    TRUST: "trust",
    USER_ID: "user id",
    PUBLIC_SUBKEY: "public subkey",
    USER_ATTRIBUTE: "user attribute",
    SEIPD: "symmetrically encrypted and integrity protected data",
    MDC: "modification detection code",
    AEAD: "OCB encrypted data",
    PADDING: "padding",
}


"""The packets' names in the terms of RFC 9580, section 5; OCB is that of LibrePGP."""


PRIMARY_KEYS = frozenset({PUBLIC_KEY, SECRET_KEY})


SECRET_KEYS = frozenset({SECRET_KEY, SECRET_SUBKEY})


KEYS = frozenset({PUBLIC_KEY, PUBLIC_SUBKEY, *SECRET_KEYS})


OF_A_PUBLIC_KEY = frozenset({PUBLIC_KEY, PUBLIC_SUBKEY, SIGNATURE, USER_ID, USER_ATTRIBUTE})


#: Octets of a first part of a packet, at least (RFC 9580, section 4.2.1.4).
FIRST_PART = 512


_STREAMED = frozenset({COMPRESSED, ENCRYPTED, LITERAL, SEIPD, AEAD})


def tag_name(tag: int) -> str:
    """Name a packet's tag; one without a name is ``packet <tag>``."""
    return TAG_NAMES.get(tag, f"packet {tag}")


@dataclass(frozen=True, slots=True)
class Frame:
    """One packet: where it lies and what it holds.

    ``offset`` and ``length`` (with all of its header) are in octets of the binary form; ``spans``
    are where the parts of its content lie in ``data``. ``whole`` is false where the data ends
    before it.
    """

    tag: int
    offset: int
    length: int
    header: int
    # A key's secret part may be in it, and a traceback is no place for that.
    data: bytes = field(repr=False)
    spans: tuple[tuple[int, int], ...] = ()
    whole: bool = True

    @property
    def body(self) -> bytes:
        """The content, with the headers taken out; each time it is asked for, a copy of it."""
        return b"".join([self.data[start:stop] for start, stop in self.spans])


#: What is said of floods.
NO_HONEST = "no honest message, key or signature has so many"


#: How deep compressed packets are opened in each other.
DEPTH = 8


#: Packets, and parts of packets, at most: a keyring of 900 developers has 55,000.
MAX_PARTS = 1 << 19


def most_parts(octets: int) -> int:
    """Return how many packets, and parts of packets, data of so many octets may have.

    The packets of a key have 40 octets and more, on average; of ones that have two, a few MiB would
    keep a thread for seconds and fill hundreds of MiB.
    """
    return 4096 + octets // 32


def frame(data: bytes) -> tuple[Frame, ...]:
    """Cut binary OpenPGP data into its packets.

    Args:
        data: the binary form (see ``armor.dearmor``).

    Returns:
        The packets in their order; at least one. Compressed packets are not opened.

    Raises:
        NotOpenPGP: where the data is anything else than whole packets.
        OutputTooLarge: where there are too many of them.
    """
    return tuple(whole_packets(data))


def whole_packets(data: bytes) -> Iterator[Frame]:
    """Cut binary OpenPGP data into its packets as ``frame`` does, one at a time."""
    found = None
    for found in walk(data):
        if not found.whole:
            raise NotOpenPGP(f"the data ends inside the packet at offset {found.offset}")
        yield found
    if found is None:
        raise NotOpenPGP("there is no OpenPGP packet: no data")


def walk(data: bytes, most: int | None = None) -> Iterator[Frame]:
    """Cut the beginning of binary OpenPGP data into packets, as far as somebody looks.

    Args:
        data: the beginning of the binary form; it may end anywhere.
        most: how many packets, and parts of packets, there may be; default: ``most_parts``, and
            at most ``MAX_PARTS``.

    Yields:
        The packets; only the last one can be not ``whole``, its ``body`` is what there is of it.

    Raises:
        NotOpenPGP: where something else than a packet begins.
        OutputTooLarge: where there are too many.
    """
    place, left = 0, min(most_parts(len(data)), MAX_PARTS) if most is None else most
    while place < len(data):
        found = _frame_at(data, place, left)
        left -= max(1, len(found.spans))
        yield found
        place += found.length


def cut_keys(packets: Iterable[Frame]) -> Iterator[list[Frame]]:
    """Cut packets into keys, public or secret.

    Args:
        packets: those of one or several keys; markers and padding before the first key go.

    Yields:
        The packets of each key; the first of them is its primary key.

    Raises:
        NotOpenPGP: where they do not begin with a key.
    """
    key: list[Frame] = []
    for packet in packets:
        if packet.tag in PRIMARY_KEYS:
            if key:
                yield key
            key = []
        elif not key and packet.tag in (MARKER, PADDING):
            continue
        elif not key:
            raise NotOpenPGP(f"it begins with a {tag_name(packet.tag)} packet, not with a key")
        key.append(packet)
    if not key:
        raise NotOpenPGP("there is no key")
    yield key


class CutOff(Exception):
    """The data ends inside a header."""


def _frame_at(data: bytes, offset: int, most: int) -> Frame:
    if most <= 0:
        raise _too_many(offset)
    first = data[offset]
    if not first & 0x80:
        raise NotOpenPGP(f"there is no OpenPGP packet at offset {offset}")
    new = bool(first & 0x40)
    tag = first & 0x3F if new else first >> 2 & 0x0F
    if tag == 0:
        raise NotOpenPGP(f"there is no OpenPGP packet at offset {offset}: its tag is 0")
    try:
        spans = _new_spans(data, offset + 1, tag, most) if new else _old_spans(data, offset, tag)
    except CutOff:
        return Frame(tag, offset, len(data) - offset, len(data) - offset, data, whole=False)
    end = spans[-1][1]
    whole = end <= len(data)
    length, header = min(end, len(data)) - offset, spans[0][0] - offset
    return Frame(tag, offset, length, header, data, tuple(spans), whole)


def _too_many(offset: int) -> OutputTooLarge:
    return OutputTooLarge(
        f"there are too many packets, or parts of packets, before offset {offset}", hint=NO_HONEST
    )


def number_at(data: bytes, place: int, octets: int) -> int:
    """Read a number of so many octets, most significant first; ``CutOff`` where it is not there."""
    if place + octets > len(data):
        raise CutOff
    return int.from_bytes(data[place : place + octets], "big")


def _old_spans(data: bytes, offset: int, tag: int) -> list[tuple[int, int]]:
    """Read an old header (RFC 9580, section 4.2.2): where the body lies."""
    kind = data[offset] & 0x03
    if kind == 3:
        require_streamed(tag, offset)
        return [(offset + 1, len(data))]
    octets = 1 << kind
    start = offset + 1 + octets
    return [(start, start + number_at(data, offset + 1, octets))]


def _new_spans(data: bytes, place: int, tag: int, most: int) -> list[tuple[int, int]]:
    """Read a new header (RFC 9580, section 4.2.1): where the parts of the body lie."""
    spans: list[tuple[int, int]] = []
    partial = True
    while partial:
        try:
            start, size, partial = _new_length(data, place)
        except CutOff:
            if not spans:
                raise
            # Another part should come. Its span lies behind the end, so the packet is not whole.
            spans.append((len(data), len(data) + 1))
            break
        if partial:
            require_streamed(tag, place)
            if not spans and size < FIRST_PART:
                raise NotOpenPGP(f"a first part of {size} octets, near offset {place}")
        if len(spans) >= most:
            raise _too_many(place)
        spans.append((start, start + size))
        place = start + size
    return spans


def _new_length(data: bytes, place: int) -> tuple[int, int, bool]:
    """Read one length: where what it counts begins, how much that is, whether more follows."""
    first = number_at(data, place, 1)
    if 224 <= first < 255:
        return place + 1, 1 << (first & 0x1F), True
    return *length_at(data, place), False


def length_at(data: bytes, place: int) -> tuple[int, int]:
    """Read a length of one, two or five octets: where what it counts begins, how much that is.

    Packets and subpackets of signatures share this form; ``CutOff`` where it is not all there.
    """
    first = data[place]
    if first < 192:
        return place + 1, first
    if first < 255:
        return place + 2, (first - 192 << 8) + number_at(data, place + 1, 1) + 192
    return place + 5, number_at(data, place + 1, 4)


def require_streamed(tag: int, offset: int) -> None:
    """Require that a packet may be of unknown length: that it is one of data."""
    if tag not in _STREAMED:
        raise NotOpenPGP(f"a {tag_name(tag)} packet of unknown length, near offset {offset}")


#: Octets that compressed data gives at once.
PIECE = 1 << 16


def inflate(body: bytes, limit: int) -> bytes:
    """Open a compressed packet (RFC 9580, section 5.6).

    Args:
        body: the packet's body, or the beginning of it.
        limit: give at most so many octets.

    Returns:
        The packets inside, or the beginning of them; ``b""`` where there is nothing to be had.
    """
    found = bytearray()
    for piece in inflated(body[at : at + PIECE] for at in range(0, len(body), PIECE)):
        found += piece[: limit - len(found)]
        if len(found) >= limit:
            break
    return bytes(found)


def inflated(body: Iterable[bytes]) -> Iterator[bytes]:
    """Open a compressed packet piece by piece.

    Args:
        body: the pieces of the packet's body, the first of them with its algorithm.

    Yields:
        Pieces of what is inside, of at most ``PIECE`` octets where it was packed; they end where
        it is damaged.
    """
    pieces = iter(body)
    first = next(pieces, b"")
    if first[:1] == b"\x00":
        yield first[1:]
        yield from pieces
    elif opener := _OPENERS.get(first[:1]):
        with suppress(zlib.error, OSError, EOFError):
            yield from _opened(opener(), chain([first[1:]], pieces))


_OPENERS: dict[bytes, Callable[[], Any]] = {
    b"\x01": lambda: zlib.decompressobj(-zlib.MAX_WBITS),
    b"\x02": zlib.decompressobj,
    b"\x03": bz2.BZ2Decompressor,
}


def _opened(opener: Any, pieces: Iterable[bytes]) -> Iterator[bytes]:
    for packed in pieces:
        while not opener.eof:
            found = opener.decompress(packed, PIECE)
            # What is not yet opened zlib gives back, and bz2 keeps.
            packed = getattr(opener, "unconsumed_tail", b"")
            if found:
                yield found
            elif not packed:
                break


def write(tag: int, body: bytes) -> bytes:
    """Write a packet with a new header.

    Args:
        tag: the packet's tag, 1 to 63.
        body: its body.

    Returns:
        The packet.
    """
    return bytes([0xC0 | tag, 0xFF]) + len(body).to_bytes(4, "big") + body
