"""The packets of OpenPGP data, cut out of its bytes.

Pure: bytes in, data out; nothing here runs a program or touches a file. Framing is that of
RFC 9580, section 4.2.

The rules:

1. A packet begins with an octet whose high bit is set, and its length is inside the data. Anything
   else is ``NotOpenPGP``, also behind good packets.
2. Partial and indeterminate lengths are for packets of data alone; anywhere else they are nonsense.
3. A compressed packet is opened to a bound in octets; how deep is the caller's bound.
4. A key is a primary key packet and what follows it up to the next one (RFC 9580, section 10.1).
"""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from tiny_gnupg.errors import NotOpenPGP

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


_STREAMED = frozenset({COMPRESSED, ENCRYPTED, LITERAL, SEIPD, AEAD})


def tag_name(tag: int) -> str:
    """Name a packet's tag; one without a name is ``packet <tag>``."""
    return TAG_NAMES.get(tag, f"packet {tag}")


@dataclass(frozen=True, slots=True)
class Frame:
    """One packet: where it lies and what it holds.

    ``offset`` and ``length`` (with all of its header) are in octets of the binary form; ``body`` is
    the content with the headers taken out. ``whole`` is false where the data ends before it.
    """

    tag: int
    offset: int
    length: int
    header: int
    # A key's secret part may be in it, and a traceback is no place for that.
    body: bytes = field(repr=False)
    whole: bool = True


MAX_PACKETS = 1 << 20


"""So many packets are cut at most: a keyring of ten thousand keys has about half a million."""


def frame(data: bytes) -> tuple[Frame, ...]:
    """Cut binary OpenPGP data into its packets.

    Args:
        data: the binary form (see ``armor.dearmor``).

    Returns:
        The packets in their order; at least one. Compressed packets are not opened.

    Raises:
        NotOpenPGP: where the data is anything else than whole packets, or more than
            ``MAX_PACKETS`` of them.
    """
    frames = tuple(islice(walk(data), MAX_PACKETS + 1))
    if not frames:
        raise NotOpenPGP("there is no OpenPGP packet: no data")
    if not frames[-1].whole:
        raise NotOpenPGP(f"the data ends inside the packet at offset {frames[-1].offset}")
    if len(frames) > MAX_PACKETS:
        raise NotOpenPGP(f"there are more than {MAX_PACKETS} packets")
    return frames


def walk(data: bytes) -> Iterator[Frame]:
    """Cut the beginning of binary OpenPGP data into packets, as far as somebody looks.

    Args:
        data: the beginning of the binary form; it may end anywhere.

    Yields:
        The packets; only the last one can be not ``whole``, its ``body`` is what there is of it.

    Raises:
        NotOpenPGP: where something else than a packet begins.
    """
    place = 0
    while place < len(data):
        found = _frame_at(data, place)
        yield found
        place += found.length


def cut_keys(packets: Iterable[Frame]) -> list[list[Frame]]:
    """Cut packets into keys, public or secret.

    Args:
        packets: those of one or several keys; markers and padding before the first key go.

    Returns:
        The packets of each key; the first of them is its primary key.

    Raises:
        NotOpenPGP: where they do not begin with a key.
    """
    keys: list[list[Frame]] = []
    for packet in packets:
        if packet.tag in PRIMARY_KEYS:
            keys.append([])
        elif not keys and packet.tag in (MARKER, PADDING):
            continue
        elif not keys:
            raise NotOpenPGP(f"it begins with a {tag_name(packet.tag)} packet, not with a key")
        keys[-1].append(packet)
    if not keys:
        raise NotOpenPGP("there is no key")
    return keys


class CutOff(Exception):
    """The data ends inside a header."""


def _frame_at(data: bytes, offset: int) -> Frame:
    first = data[offset]
    if not first & 0x80:
        raise NotOpenPGP(f"there is no OpenPGP packet at offset {offset}")
    new = bool(first & 0x40)
    tag = first & 0x3F if new else first >> 2 & 0x0F
    if tag == 0:
        raise NotOpenPGP(f"there is no OpenPGP packet at offset {offset}: its tag is 0")
    try:
        spans = _new_spans(data, offset + 1, tag) if new else _old_spans(data, offset, tag)
    except CutOff:
        return Frame(tag, offset, len(data) - offset, len(data) - offset, b"", whole=False)
    end = spans[-1][1]
    body = b"".join([data[start:stop] for start, stop in spans])
    whole = end <= len(data)
    return Frame(tag, offset, min(end, len(data)) - offset, spans[0][0] - offset, body, whole)


def number_at(data: bytes, place: int, octets: int) -> int:
    """Read a number of so many octets, most significant first; ``CutOff`` where it is not there."""
    if place + octets > len(data):
        raise CutOff
    return int.from_bytes(data[place : place + octets], "big")


def _old_spans(data: bytes, offset: int, tag: int) -> list[tuple[int, int]]:
    """Read an old header (RFC 9580, section 4.2.2): where the body lies."""
    kind = data[offset] & 0x03
    if kind == 3:
        _require_streamed(tag, offset)
        return [(offset + 1, len(data))]
    octets = 1 << kind
    start = offset + 1 + octets
    return [(start, start + number_at(data, offset + 1, octets))]


def _new_spans(data: bytes, place: int, tag: int) -> list[tuple[int, int]]:
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
            _require_streamed(tag, place)
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


def _require_streamed(tag: int, offset: int) -> None:
    if tag not in _STREAMED:
        raise NotOpenPGP(f"a {tag_name(tag)} packet of unknown length, near offset {offset}")


def inflate(body: bytes, limit: int) -> bytes:
    """Open a compressed packet (RFC 9580, section 5.6).

    Args:
        body: the packet's body, or the beginning of it.
        limit: give at most so many octets.

    Returns:
        The packets inside, or the beginning of them; ``b""`` where there is nothing to be had.
    """
    algorithm, packed = body[:1], body[1:]
    if limit <= 0:
        # For zlib, a bound of 0 is none.
        return b""
    try:
        if algorithm == b"\x00":
            return packed[:limit]
        if algorithm == b"\x01":
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, limit)
        if algorithm == b"\x02":
            return zlib.decompressobj().decompress(packed, limit)
        if algorithm == b"\x03":
            return bz2.BZ2Decompressor().decompress(packed, limit)
    except (zlib.error, OSError, EOFError, ValueError):
        pass
    return b""


def write(tag: int, body: bytes) -> bytes:
    """Write a packet with a new header.

    Args:
        tag: the packet's tag, 1 to 63.
        body: its body.

    Returns:
        The packet.
    """
    return bytes([0xC0 | tag, 0xFF]) + len(body).to_bytes(4, "big") + body
