"""Whose a packet is: fingerprints of keys, issuers of signatures, recipients of messages.

Pure: bytes in, text out; nothing here runs a program or touches a file. Keys and signatures are
read only as far as that takes (RFC 9580, sections 5.1, 5.2, 5.4 and 5.5). Nothing that a sender
may choose freely, such as a file name or a notation, is looked at.

The rules:

1. A key's fingerprint is computed, never read.
2. A signature's issuer is read, from what the signature protects before what it does not. That it
   is there proves nothing; verifying does.
3. What is cut off or of an unknown version names nobody, and neither does what stands behind more
   subpackets than a signature has (``MOST_SUBPACKETS``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice

from tiny_gnupg._openpgp.packets import CutOff, length_at, number_at
from tiny_gnupg.errors import NotOpenPGP

# How many multi-precision integers make up a public key (RFC 9580, sections 5.5.5.1 to 5.5.5.6).
_INTEGERS = {1: 2, 2: 2, 3: 2, 16: 3, 17: 4, 20: 3}


_CURVES = frozenset({18, 19, 22})


_FIXED = {25: 32, 26: 56, 27: 32, 28: 57}


#: Subpackets of an area that are read: an honest one has some ten, and there is room for millions.
MOST_SUBPACKETS = 500


def key_fingerprint(body: bytes) -> str:
    """Compute the fingerprint of a key (RFC 9580, section 5.5.4; version 5: LibrePGP).

    Args:
        body: the body of a public or secret key or subkey packet.

    Returns:
        40 hex digits for version 4, 64 for versions 5 and 6, upper case.

    Raises:
        NotOpenPGP: for another version, or where the key is cut off.
    """
    public = public_part(body)
    if public[0] == 4:
        prefix = b"\x99" + len(public).to_bytes(2, "big")
        return hashlib.sha1(prefix + public, usedforsecurity=False).hexdigest().upper()
    prefix = (b"\x9a" if public[0] == 5 else b"\x9b") + len(public).to_bytes(4, "big")
    return hashlib.sha256(prefix + public).hexdigest().upper()


def public_part(body: bytes) -> bytes:
    """Cut off what makes a key packet a secret one.

    Args:
        body: the body of a public or secret key or subkey packet.

    Returns:
        The beginning that is public.

    Raises:
        NotOpenPGP: for a version other than 4, 5 and 6, for an unknown algorithm (the end of its
            public part cannot be told), or where the key is cut off.
    """
    version = body[0] if body else 0
    if version not in (4, 5, 6):
        raise NotOpenPGP(f"a key of version {version} has no fingerprint that could be computed")
    try:
        end = _end_of_integers(body, 6, body[5]) if version == 4 else 10 + number_at(body, 6, 4)
    except (CutOff, IndexError):
        end = len(body) + 1
    if end > len(body) or end > 0xFFFF:
        raise NotOpenPGP("the key is cut off")
    return body[:end]


def _end_of_integers(body: bytes, place: int, algorithm: int) -> int:
    if algorithm in _FIXED:
        return place + _FIXED[algorithm]
    if algorithm in _CURVES:
        # The curve's OID, the point, and for ECDH the parameters of the key derivation.
        place = _after_integers(body, place + 1 + body[place], 1)
        return place + 1 + body[place] if algorithm == 18 else place
    if algorithm in _INTEGERS:
        return _after_integers(body, place, _INTEGERS[algorithm])
    raise NotOpenPGP(f"a key of the unknown algorithm {algorithm}")


def _after_integers(body: bytes, place: int, count: int) -> int:
    for _ in range(count):
        place += 2 + (number_at(body, place, 2) + 7 >> 3)
    return place


def _key_name(version: int, fingerprint: bytes) -> str:
    """Write a fingerprint that a packet names, if it has the length of its version, else ``""``."""
    fits = len(fingerprint) == (20 if version == 4 else 32)
    return fingerprint.hex().upper() if fits else ""


def recipient(body: bytes) -> str:
    """Return whom a session key is encrypted to (RFC 9580, section 5.1).

    Args:
        body: the body of a public-key encrypted session key packet.

    Returns:
        The key id, or for version 6 the fingerprint; sixteen zeros where it is hidden.
    """
    version = body[:1]
    if version in (b"\x02", b"\x03") and len(body) >= 9:
        return body[1:9].hex().upper()
    name = ""
    if version == b"\x06" and len(body) >= 3:
        name = _key_name(body[2], body[3 : 2 + body[1]])
    return name or "0" * 16


def one_pass_signer(body: bytes) -> str:
    """Return who is said to have signed (RFC 9580, section 5.4).

    Args:
        body: the body of a one-pass signature packet.

    Returns:
        The key id, or for version 6 the fingerprint; ``""`` where there is none.
    """
    if body[:1] == b"\x03" and len(body) >= 13:
        return body[4:12].hex().upper()
    if body[:1] == b"\x06" and len(body) >= 5:
        start = 5 + body[4]
        return _key_name(6, body[start : start + 32])
    return ""


def signature_issuer(body: bytes) -> str:
    """Return who is said to have made a signature (RFC 9580, sections 5.2.3.12 and 5.2.3.35).

    What the signature protects goes before what anybody can change: an unprotected fingerprint
    counts where it agrees with the protected key id, or where nothing is protected.

    Args:
        body: the body of a signature packet.

    Returns:
        The fingerprint, or the key id where only that is there; ``""`` where there is neither.
    """
    if body[:1] in (b"\x02", b"\x03"):
        return body[7:15].hex().upper() if len(body) >= 15 else ""
    try:
        hashed, unhashed = _areas(body)
    except CutOff:
        return ""
    fingerprint, key_id = _issuers(hashed)
    loose_fingerprint, loose_key_id = _issuers(unhashed)
    if fingerprint:
        return fingerprint
    agrees = not key_id or key_id == key_id_of(loose_fingerprint)
    return (loose_fingerprint if agrees else "") or key_id or loose_key_id


def key_id_of(fingerprint: str) -> str:
    """Return the key id that belongs to a fingerprint (RFC 9580, section 5.5.4)."""
    return fingerprint[-16:] if len(fingerprint) == 40 else fingerprint[:16]


def _areas(body: bytes) -> tuple[bytes, bytes]:
    """Cut the two areas of subpackets, protected and unprotected, out of a signature."""
    octets = {4: 2, 5: 2, 6: 4}.get(number_at(body, 0, 1), 0)
    if not octets:
        return b"", b""
    start = 4 + octets
    middle = start + number_at(body, 4, octets)
    end = middle + octets + number_at(body, middle, octets)
    return body[start:middle], body[middle + octets : end]


def _issuers(area: bytes) -> tuple[str, str]:
    """Read the first issuer fingerprint and the first issuer key id among subpackets."""
    found = {33: "", 16: ""}
    for kind, content in islice(_in_area(area), MOST_SUBPACKETS):
        if kind == 33 and content and not found[33]:
            found[33] = _key_name(content[0], content[1:])
        elif kind == 16 and len(content) == 8 and not found[16]:
            found[16] = content.hex().upper()
    return found[33], found[16]


def subpackets(body: bytes, *, protected: bool = False) -> Iterator[tuple[int, bytes]]:
    """Cut a signature of version 4 or newer into its subpackets, each with its type.

    Args:
        body: the body of a signature packet.
        protected: only those that the signature protects.
    """
    try:
        hashed, unhashed = _areas(body)
    except CutOff:
        return
    yield from _in_area(hashed)
    if not protected:
        yield from _in_area(unhashed)


def _in_area(area: bytes) -> Iterator[tuple[int, bytes]]:
    """Cut an area into subpackets (RFC 9580, section 5.2.3.7), up to the first broken one."""
    place = 0
    while place < len(area):
        try:
            start, size = length_at(area, place)
        except CutOff:
            return
        place = start + size
        if not size or place > len(area):
            return
        # The length counts the octet of the type, whose high bit means "critical".
        yield area[start] & 0x7F, area[start + 1 : place]
