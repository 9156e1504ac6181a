"""As much of OpenPGP as a test keyserver needs, written apart from the library's own reading.

The servers of these tests must not share the library's mistakes, so they share none of its code.
RFC 9580: packet framing in section 4.2, armor in 6, key ids and fingerprints in 5.5.4, subpackets
in 5.2.3.1.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

SIGNATURE, SECRET_KEY, PUBLIC_KEY, SECRET_SUBKEY, TRUST, USER_ID = 2, 5, 6, 7, 12, 13
PUBLIC_SUBKEY, USER_ATTRIBUTE = 14, 17
KEY_REVOCATION = 0x20
ISSUER, ISSUER_FINGERPRINT = 16, 33


class Malformed(ValueError):
    """This is no run of OpenPGP packets."""


class Packet(NamedTuple):
    """One packet: its tag, its body, and its bytes as they came."""

    tag: int
    body: bytes
    raw: bytes

    @property
    def signature_type(self) -> int:
        """The type of a signature packet of version 3 or 4."""
        return self.body[1] if self.body[0] >= 4 else self.body[2]


def dearmor(data: bytes) -> bytes:
    """Return the binary form of one armored block, or of data that is binary already."""
    if not data.lstrip().startswith(b"-----BEGIN"):
        return data
    found = re.search(rb"-----BEGIN [^\n]*(\n.*?)-----END ", data, re.DOTALL)
    if found is None:
        raise Malformed("armor without an end")
    # Header lines end at the first empty line; the checksum begins with "=".
    _, _, rest = found[1].replace(b"\r", b"").partition(b"\n\n")
    lines = [line for line in rest.splitlines() if line and not line.startswith(b"=")]
    return base64.b64decode(b"".join(lines), validate=True)


def armor(data: bytes, comments: Iterable[str] = ()) -> str:
    """Return the armored form of a public key."""
    text = base64.b64encode(data).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    checksum = base64.b64encode(_crc24(data).to_bytes(3)).decode()
    head = [f"Comment: {comment}" for comment in comments]
    begin, end = "-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"
    return "\n".join([begin, *head, "", *lines, f"={checksum}", end, ""])


def packets(data: bytes) -> Iterator[Packet]:
    """Return the packets of binary data, old and new format; partial bodies are refused."""
    position = 0
    while position < len(data):
        start, header = position, data[position]
        try:
            if header & 0xC0 == 0xC0:
                tag = header & 0x3F
                length, position = _new_length(data, position + 1)
            elif header & 0x80:
                tag = (header >> 2) & 0x0F
                size = (1, 2, 4)[header & 3]
                length = int.from_bytes(data[position + 1 : position + 1 + size])
                position += 1 + size
            else:
                raise Malformed("no packet header")
        except IndexError:
            raise Malformed("a length that is not to be had") from None
        body = data[position : position + length]
        if len(body) != length:
            raise Malformed("a packet is cut off")
        position += length
        yield Packet(tag, body, data[start:position])


def packet(tag: int, body: bytes) -> bytes:
    """Write a packet in the new format, with a length of five octets."""
    return bytes([0xC0 | tag, 0xFF]) + len(body).to_bytes(4) + body


def fingerprint(key: Packet) -> str:
    """Return the fingerprint of a version 4 key packet."""
    if not key.body or key.body[0] != 4:
        raise Malformed("only keys of version 4")
    prefixed = b"\x99" + len(key.body).to_bytes(2) + key.body
    return hashlib.sha1(prefixed, usedforsecurity=False).hexdigest().upper()


def issuers(signature: Packet) -> set[str]:
    """Return the key ids that a version 4 signature names as its maker's."""
    found = set()
    for kind, value in _subpackets(signature.body):
        if kind == ISSUER:
            found.add(value.hex().upper())
        elif kind == ISSUER_FINGERPRINT:
            found.add(value[1:].hex().upper()[-16:])
    return found


def split_keys(data: bytes) -> list[list[Packet]]:
    """Return the keys of binary data, each as its packets."""
    keys: list[list[Packet]] = []
    for each in packets(data):
        if each.tag in (PUBLIC_KEY, SECRET_KEY):
            keys.append([])
        if not keys:
            raise Malformed("it does not begin with a key")
        keys[-1].append(each)
    return keys


def _new_length(data: bytes, position: int) -> tuple[int, int]:
    first = data[position]
    if first < 192:
        return first, position + 1
    if first < 224:
        return ((first - 192) << 8) + data[position + 1] + 192, position + 2
    if first == 255:
        return int.from_bytes(data[position + 1 : position + 5]), position + 5
    raise Malformed("a partial body")


def _subpackets(body: bytes) -> Iterator[tuple[int, bytes]]:
    if body[0] != 4:
        return
    position = 4
    for _ in ("hashed", "unhashed"):
        end = position + 2 + int.from_bytes(body[position : position + 2])
        position += 2
        while position < end:
            length, position = _new_length(body, position)
            yield body[position] & 0x7F, body[position + 1 : position + length]
            position += length


def _crc24(data: bytes) -> int:
    crc = 0xB704CE
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc = (crc << 1) ^ (0x1864CFB if crc & 0x800000 else 0)
    return crc & 0xFFFFFF
