"""A packet writer of the tests' own: every form of header, and the packets that tests need."""

from __future__ import annotations

import bz2
import zlib

from tiny_gnupg._openpgp.packets import frame

FPR = bytes(range(1, 21))
KEY_ID = FPR[-8:]
OTHER = b"\xee" * 20


def old(tag: int, body: bytes, kind: int) -> bytes:
    length = len(body).to_bytes(1 << kind, "big") if kind < 3 else b""
    return bytes([0x80 | tag << 2 | kind]) + length + body


def new(tag: int, body: bytes, octets: int = 0) -> bytes:
    size = len(body)
    if octets == 5 or size >= 8384:
        length = b"\xff" + size.to_bytes(4, "big")
    elif octets == 2 or size >= 192:
        length = bytes([192 + (size - 192 >> 8), size - 192 & 0xFF])
    else:
        length = bytes([size])
    return bytes([0xC0 | tag]) + length + body


def partial(tag: int, body: bytes, power: int) -> bytes:
    out, size = bytes([0xC0 | tag]), 1 << power
    while len(body) > size:
        out, body = out + bytes([224 + power]) + body[:size], body[size:]
    return out + new(tag, body)[1:]


def subpacket(kind: int, content: bytes, form: int = 1) -> bytes:
    size = len(content) + 1
    if form == 5:
        length = b"\xff" + size.to_bytes(4, "big")
    elif size >= 192:
        length = bytes([192 + (size - 192 >> 8), size - 192 & 0xFF])
    else:
        length = bytes([size])
    return length + bytes([kind]) + content


def signature(hashed: bytes = b"", unhashed: bytes = b"", kind: int = 0, version: int = 4) -> bytes:
    octets = 4 if version == 6 else 2
    areas = b"".join(len(area).to_bytes(octets, "big") + area for area in (hashed, unhashed))
    return bytes([version, kind, 22, 10]) + areas + b"\xab\xcd" + b"\x00\x08\x01" * 2


def issuer_fpr(fingerprint: bytes = FPR, version: int = 4) -> bytes:
    return subpacket(33, bytes([version]) + fingerprint)


def one_pass(key_id: bytes = KEY_ID) -> bytes:
    return new(4, b"\x03\x00\x0a\x16" + key_id + b"\x01")


def literal(content: bytes = b"text", name: bytes = b"") -> bytes:
    return new(11, b"b" + bytes([len(name)]) + name + bytes(4) + content)


def pkesk(key_id: bytes = KEY_ID) -> bytes:
    return new(1, b"\x03" + key_id + b"\x01\x00\x08\xff")


def compressed(content: bytes, algorithm: int = 1) -> bytes:
    if algorithm == 0:
        packed = content
    elif algorithm == 1:
        deflate = zlib.compressobj(wbits=-15)
        packed = deflate.compress(content) + deflate.flush()
    else:
        packed = zlib.compress(content) if algorithm == 2 else bz2.compress(content)
    return old(8, bytes([algorithm]) + packed, 3)


def parts(data: bytes) -> list[tuple[int, bytes]]:
    """Cut data into packets, each its tag and its bytes as they stand there."""
    return [(one.tag, data[one.offset : one.offset + one.length]) for one in frame(data)]


def first_part(tag: int, data: bytes) -> bytes:
    """Return the first packet of a tag, as it stands there."""
    return next(octets for found, octets in parts(data) if found == tag)


def without_user_ids(data: bytes) -> bytes:
    """Leave the user ids and their signatures out, as a keyserver does."""
    kept, skipping = b"", False
    for tag, octets in parts(data):
        skipping = tag in (13, 17) or (skipping and tag == 2)
        if not skipping:
            kept += octets
    return kept


def with_forged_subkey(data: bytes, mallorys: bytes, binding: bytes) -> bytes:
    """Add a stranger's subkey under some signature, and a note that it was found good."""
    return data + first_part(14, mallorys) + binding + new(12, b"\x00\x03")


V4_KEY = b"\x04\x5f\x00\x00\x00\x01" + b"\x00\x08\xff" + b"\x00\x11\x01\x00\x01"
SIGNED = one_pass() + literal() + new(2, signature(issuer_fpr()))
SKESK = new(3, b"\x04\x09\x03\x08" + bytes(8) + b"\x60")
SEIPD = new(18, b"\x01" + bytes(40))
