"""OpenPGP's ASCII armor, taken off and put on.

Pure: bytes in, bytes out; nothing here runs a program or touches a file. The format is RFC 9580,
section 6; what is forgiven is what gpg forgives (its armor.c).

The rules:

1. Data is binary if its first octet begins a packet that may stand first; else it is looked
   through for armor. So text before the armor is passed over, as is text behind it and between.
2. Armor begins with ``-----BEGIN PGP <label>-----`` at the start of a line, spaces behind allowed.
   The labels are gpg's. Then come ``Name: value`` lines up to an empty line; a line that is
   neither begins the data.
3. Of the data, octets outside the alphabet are passed over. It ends at a line of dashes, at the
   padding or at the end; the checksum may be missing, and is looked at only on demand (RFC 9580,
   6.1: not to be relied on).
4. Several blocks give their packets one after the other, as gpg reads them; more than data of that
   length ever has (``most_blocks``) are ``OutputTooLarge``.
5. A clear-signed text (RFC 9580, section 7) has its packets in the signature block behind it. Lines
   of the text that begin with a dash are escaped, so no text can pass for that block.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator

from tiny_gnupg.errors import NotOpenPGP, OutputTooLarge

CLEAR_SIGNED = b"SIGNED MESSAGE"


_SIGNATURE = b"SIGNATURE"


_LABELS = frozenset(
    {
        b"MESSAGE",
        b"PUBLIC KEY BLOCK",
        b"PRIVATE KEY BLOCK",
        b"SECRET KEY BLOCK",
        b"ARMORED FILE",
        _SIGNATURE,
        CLEAR_SIGNED,
    }
)


_BEGIN = b"-----BEGIN PGP "


_HEADER_LINE = re.compile(rb"-----BEGIN PGP ([A-Z ]{1,24})-----[ \t\r]*(?:\n|\Z)")


_BLANK = b" \t\r\n"


#: A line of clear-signed text that begins with a dash has a blank behind that. Of NULs at the end
#: of one, gpg hashes nothing.
_NO_TEXT = re.compile(rb"-(?! )")


_HASH_LINE = re.compile(rb"Hash: [A-Za-z0-9, /-]{1,200}[ \t\r]*\n?")


_NAMED_LINE = re.compile(rb"[A-Za-z][A-Za-z0-9 -]{0,30}: [^\x00-\x08\x0a-\x1f]{0,1000}\r?\n?")


_DATA_LINE = re.compile(rb"[A-Za-z0-9+/]*(=?=?)[ \t\r]*\n?")


_CHECKSUM_LINE = re.compile(rb"=[A-Za-z0-9+/]{4}[ \t\r]*\n?")


_END_LINE = re.compile(rb"-----END PGP ([A-Z ]{1,24})-----[ \t\r]*\n?")


_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


_JUNK = bytes(set(range(256)) - set(_ALPHABET))


_CHECKSUM = re.compile(rb"=([A-Za-z0-9+/]{4})\s*\Z")


# Packets that gpg takes for the beginning of binary data.
_MAY_BEGIN = frozenset({*range(1, 15), 16, 17, 18, 19, 20, 61, 63})


def is_binary(data: bytes) -> bool:
    """Return whether ``data`` begins as binary OpenPGP data does, going by its first octet."""
    if not data or not data[0] & 0x80:
        return False
    tag = data[0] & 0x3F if data[0] & 0x40 else data[0] >> 2 & 0x0F
    return tag in _MAY_BEGIN


def is_armored(data: bytes) -> bool:
    """Return whether ``data`` holds ASCII armor, a clear-signed text among it."""
    return not is_binary(data) and next(_headers(data), None) is not None


def stands_alone(pieces: Iterable[bytes]) -> bool:
    """Return whether data is one block of armor with nothing else in it or around, or binary.

    gpg passes over what stands around armor, at the ends of its lines and between them. Here all of
    it has to be armor, but for blank lines around; lines of ``Name: value`` may stand at its head.

    Args:
        pieces: the lines of the data with their ends; a long one may come in several pieces.
    """
    place, label, starts = "around", b"", True
    for number, piece in enumerate(pieces):
        if not number and is_binary(piece):
            return True
        at_start, starts = starts, piece.endswith(b"\n")
        if place == "data" and (found := _DATA_LINE.fullmatch(piece)):
            place = "padded" if found[1] else "data"
            continue
        begin = _HEADER_LINE.fullmatch(piece) if at_start else None
        if place == "text":
            if begin and begin[1] == _SIGNATURE:
                place, label = "head", _SIGNATURE
            elif (_NO_TEXT.match(piece) and at_start) or piece.rstrip(_BLANK).endswith(b"\0"):
                return False
        elif begin and place == "around" and begin[1] in _LABELS:
            place, label = "head", begin[1]
        elif place in ("around", "done"):
            if piece.strip(_BLANK):
                return False
        elif place == "head":
            of_head = _HASH_LINE if label == CLEAR_SIGNED else _NAMED_LINE
            if not piece.strip(_BLANK):
                place = "text" if label == CLEAR_SIGNED else "data"
            elif not of_head.fullmatch(piece):
                return False
        elif (end := _END_LINE.fullmatch(piece)) and end[1] == label:
            place = "done"
        elif place != "checked" and _CHECKSUM_LINE.fullmatch(piece):
            place = "checked"
        elif piece.strip(_BLANK):
            return False
    return place == "done"


def has_checksum(data: bytes) -> bool:
    """Return whether a line of armored data is a checksum, which may be missing (rule 3)."""
    return any(map(_CHECKSUM_LINE.fullmatch, data.split(b"\n")))


def is_clear_signed(data: bytes) -> bool:
    """Return whether the first armor in ``data`` is the head of a clear-signed text."""
    if is_binary(data):
        return False
    label, _ = next(_headers(data), (b"", 0))
    return label == CLEAR_SIGNED


def dearmor(data: bytes, *, limit: int | None = None, checksum: bool = False) -> bytes:
    """Take the armor off.

    Args:
        data: armored or binary data; of a clear-signed text, the signatures are given.
        limit: give about so many bytes from the beginning; the rest is not decoded.
        checksum: insist that a checksum, where there is one, is right.

    Returns:
        The packets of all blocks; binary data is given back as it is.

    Raises:
        NotOpenPGP: where there is neither a packet nor armor at the beginning, or a checksum is
            wrong.
        OutputTooLarge: where there are too many blocks.
    """
    if is_binary(data):
        return data if limit is None else data[:limit]
    blocks: list[bytes] = []
    room = limit
    for label, start in _headers(data):
        if label != CLEAR_SIGNED:
            if len(blocks) >= most_blocks(len(data)):
                raise OutputTooLarge(
                    "there are too many blocks of armor", hint="no honest data has so many"
                )
            blocks.append(_decode(data, start, room, checksum))
            if room is not None:
                room -= len(blocks[-1])
                if room <= 0:
                    break
    if not any(blocks):
        raise NotOpenPGP("there is no OpenPGP data, neither binary nor armored")
    return b"".join(blocks)


def most_blocks(octets: int) -> int:
    """Return how many blocks armor of so many octets may have: an honest one has some hundred."""
    return 1024 + octets // 128


def _headers(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Find the header lines: each label, and where the line after it begins."""
    place = 0
    clear = False
    while (place := data.find(_BEGIN, place)) >= 0:
        match = _HEADER_LINE.match(data, place)
        starts_line = place == 0 or data[place - 1] == 0x0A
        place += len(_BEGIN)
        if match and starts_line and match[1] in _LABELS and (not clear or match[1] == _SIGNATURE):
            # Until its signature comes, everything is the text of a clear-signed message.
            clear = match[1] == CLEAR_SIGNED
            yield match[1], match.end()
            place = match.end()


def _decode(data: bytes, start: int, room: int | None, checksum: bool) -> bytes:
    start = _after_headers(data, start)
    # Four characters make three octets; line ends take up some more.
    stop = len(data) if room is None else min(len(data), start + room * 3 // 2 + 96)
    end = data.find(b"\n-----", start - 1, stop)
    text = data[start : stop if end < 0 else end]
    tail = _CHECKSUM.search(text, max(0, len(text) - 64))
    text, _, _ = text[: tail.start() if tail else None].partition(b"=")
    letters = text.translate(None, _JUNK)
    # What is left over of a group of four is not enough for one octet more, or needs padding.
    letters = letters[: -1 if len(letters) % 4 == 1 else None]
    octets = binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))
    if checksum and tail and binascii.a2b_base64(tail[1]) != crc24(octets):
        raise NotOpenPGP("the armor's checksum is wrong")
    return octets


def _after_headers(data: bytes, start: int) -> int:
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end + 1
        line = data[start:end]
        if not line.strip():
            return end
        if b": " not in line:
            return start
        start = end
    return start


def enarmor(data: bytes, label: str) -> str:
    """Put the armor on.

    Args:
        data: the packets.
        label: what they are, as in ``PUBLIC KEY BLOCK`` (RFC 9580, section 6.2).

    Returns:
        The armored text, with the checksum that older programs ask for.
    """
    lines = [binascii.b2a_base64(data[at : at + 48]) for at in range(0, len(data), 48)]
    text = b"".join([*lines, b"=", binascii.b2a_base64(crc24(data))]).decode()
    return f"-----BEGIN PGP {label}-----\n\n{text}-----END PGP {label}-----\n"


def _crc24_table() -> tuple[int, ...]:
    table = []
    for octet in range(256):
        crc = octet << 16
        for _ in range(8):
            crc = crc << 1 ^ (0x1864CFB if crc & 0x800000 else 0)
        table.append(crc & 0xFFFFFF)
    return tuple(table)


_CRC24 = _crc24_table()


def crc24(data: bytes) -> bytes:
    """Compute the armor's checksum (RFC 9580, section 6.1.1), three octets."""
    crc = 0xB704CE
    for octet in data:
        crc = crc << 8 & 0xFFFFFF ^ _CRC24[crc >> 16 ^ octet]
    return crc.to_bytes(3, "big")
