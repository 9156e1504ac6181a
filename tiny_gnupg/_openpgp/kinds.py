"""What a message, key or signature is, and who is behind it, told from its packets.

Pure: bytes in, data out; nothing here runs a program or touches a file. What gpg says of packets
is read in ``packet_text``.

The rules:

1. Only the first packets are read, however large the data is.
2. Compressed packets are opened, to a bound in octets and in depth.
3. That somebody is named proves nothing; verifying does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tiny_gnupg._openpgp.armor import dearmor, is_clear_signed
from tiny_gnupg._openpgp.fingerprints import (
    key_fingerprint,
    key_id_of,
    one_pass_signer,
    recipient,
    signature_issuer,
)
from tiny_gnupg._openpgp.packets import (
    AEAD,
    COMPRESSED,
    ENCRYPTED,
    KEYS,
    LITERAL,
    MARKER,
    ONE_PASS,
    PADDING,
    PKESK,
    SECRET_KEYS,
    SEIPD,
    SIGNATURE,
    SKESK,
    Frame,
    inflate,
    walk,
)
from tiny_gnupg.errors import NotOpenPGP

# Octets looked at: nearly always the first is enough, and the second bounds the work.
_LIMITS = (1 << 16, 1 << 24)


#: How deep compressed packets may lie in each other.
DEPTH = 16


_ENCRYPTED = frozenset({ENCRYPTED, SEIPD, AEAD})


_SMALL = frozenset({PKESK, SKESK, SIGNATURE, ONE_PASS})


_HIDDEN = "0" * 16


@dataclass(frozen=True, slots=True)
class MessageKind:
    """What some OpenPGP data is, going by its first packets.

    ``recipients`` are the key ids (for version 6 the fingerprints) that an encrypted message names,
    sixteen zeros for a hidden one; ``symmetric``: a passphrase can open it. ``signed`` is what can
    be seen from outside: the signatures inside an encrypted message cannot.
    """

    recipients: tuple[str, ...] = ()
    symmetric: bool = False
    encrypted: bool = False
    signed: bool = False
    clear_signed: bool = False
    literal: bool = False
    is_key: bool = False
    is_secret_key: bool = False
    is_detached_signature: bool = False


def message_kind(data: bytes) -> MessageKind:
    """Return what some OpenPGP data is, without a key and without reading more than its beginning.

    Args:
        data: armored or binary data, of any size.

    Returns:
        What it is; a compressed message is what it holds.

    Raises:
        NotOpenPGP: where it is no message, key or signature.
    """
    if is_clear_signed(data):
        return MessageKind(signed=True, clear_signed=True)
    kind = None
    for limit in _LIMITS:
        kind, sure = _judge(_inside(dearmor(data, limit=limit), limit))
        if sure:
            break
    if kind is None:
        raise NotOpenPGP("this is no OpenPGP message, key or signature")
    return kind


def _inside(data: bytes, limit: int) -> Iterator[Frame]:
    """Return the first packets; where a compressed one comes, go on inside of it."""
    for _ in range(DEPTH):
        packed = None
        for found in walk(data):
            if found.tag == COMPRESSED:
                packed = found.body
                break
            if found.tag not in (MARKER, PADDING):
                yield found
        if packed is None:
            return
        data = inflate(packed, limit)


def _judge(frames: Iterable[Frame]) -> tuple[MessageKind | None, bool]:
    """Return what the packets are, and whether packets that follow could change that."""
    recipients: list[str] = []
    symmetric = False
    signatures: list[int] = []
    for found in frames:
        tag = found.tag
        if tag in _SMALL and not found.whole:
            break
        if tag == PKESK:
            recipients.append(recipient(found.body))
        elif tag == SKESK:
            symmetric = True
        elif tag == SIGNATURE:
            signatures.append(signature_type(found.body))
        elif tag in _ENCRYPTED:
            return MessageKind(tuple(recipients), symmetric, encrypted=True), True
        elif tag == ONE_PASS:
            return MessageKind(signed=True), True
        elif tag == LITERAL:
            return MessageKind(signed=bool(signatures), literal=True), True
        elif tag in KEYS:
            return MessageKind(is_key=True, is_secret_key=tag in SECRET_KEYS), True
        else:
            return None, True
    if recipients or symmetric:
        return MessageKind(tuple(recipients), symmetric, encrypted=True), False
    if signatures:
        over_data = all(kind in (0, 1, 2) for kind in signatures)
        return MessageKind(is_detached_signature=over_data), False
    return None, False


def signature_type(body: bytes) -> int:
    """Read the type of a signature from its body; 0xFF where it has none."""
    # Version 3 puts the length of what is hashed before it (RFC 9580, section 5.2.2).
    place = 2 if body[:1] in (b"\x02", b"\x03") else 1
    return body[place] if place < len(body) else 0xFF


def issuer(data: bytes) -> str:
    """Return who is behind some OpenPGP data, going by its packets alone.

    Args:
        data: armored or binary data, of any size.

    Returns:
        Of a key block, the first key's fingerprint; of a signature or a signed message, the
        fingerprint that the signature names, or the key id where it names only that; of an
        encrypted message, the first recipient's key id that is not hidden. ``""`` where nobody is
        named. None of it is proved: that is what verifying is for.

    Raises:
        NotOpenPGP: where it is no OpenPGP data.
    """
    name = ""
    for limit in _LIMITS:
        try:
            name, sure = _issuer(_inside(dearmor(data, limit=limit), limit))
        except NotOpenPGP:
            if limit == _LIMITS[-1]:
                raise
            continue
        if sure:
            break
    return name


def _issuer(frames: Iterator[Frame]) -> tuple[str, bool]:
    """Return who is named, and whether packets that follow could tell more."""
    seen = False
    for found in frames:
        if found.tag in _SMALL and not found.whole:
            break
        seen = True
        if found.tag in KEYS:
            return key_fingerprint(found.body), True
        if found.tag == SIGNATURE:
            return signature_issuer(found.body), True
        if found.tag == ONE_PASS:
            return _signer(one_pass_signer(found.body), frames)
        if found.tag == PKESK and (name := recipient(found.body)) != _HIDDEN:
            return name, True
        if found.tag not in (PKESK, SKESK):
            return "", True
    if not seen:
        raise NotOpenPGP("there is no OpenPGP packet that could be read")
    return "", False


def _signer(name: str, frames: Iterator[Frame]) -> tuple[str, bool]:
    """Look for the signature that a one-pass signature announces: it names the fingerprint."""
    try:
        for found in frames:
            if found.tag == SIGNATURE and found.whole:
                fingerprint = signature_issuer(found.body)
                if name in (fingerprint, key_id_of(fingerprint)):
                    return fingerprint, True
    except NotOpenPGP:
        # Damage behind the head of the message does not change what the head says.
        return name, True
    return name, False
