"""What a message, key or signature is, and who is behind it, told from its packets.

Pure: bytes in, data out; nothing here runs a program or touches a file. What gpg says of packets
is read in ``packet_dump``.

The rules:

1. Only the beginning is read (``HEAD``), and so many packets of it at most, however large the data
   is. What cannot be told from that is for gpg to say, which works in a turn and within a time.
2. What a message is, is told without opening compressed packets: gpg opens them, and says the same
   of what is inside. A signature alone is one only where all of it was read: whatever stood behind
   it, gpg could take for a signed message.
3. Who is behind a message is looked for in compressed packets too, to a bound in octets and depth.
4. That somebody is named proves nothing; verifying does.
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
    DEPTH,
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
from tiny_gnupg.errors import NotOpenPGP, OutputTooLarge

#: Octets that are enough to tell what data is: a thousand recipients take half of it.
HEAD = 1 << 20


#: Octets in which a name is looked for: nearly always the first is enough. The fingerprint of who
#: signed stands at the end of a message; of a longer one, only the key id at its beginning is told.
_LIMITS = (1 << 16, 1 << 22)


#: Octets of data, armored or not, in which a name is looked for at all.
NAMED = 2 * _LIMITS[-1]


#: Packets, and parts of packets, that are looked at.
_MOST = 1 << 14


_ENCRYPTED = frozenset({ENCRYPTED, SEIPD, AEAD})


_SMALL = frozenset({PKESK, SKESK, SIGNATURE, ONE_PASS})


_HIDDEN = "0" * 16


@dataclass(frozen=True, slots=True)
class MessageKind:
    """What some OpenPGP data is, going by its first packets.

    ``recipients`` are the key ids (for version 6 the fingerprints) that an encrypted message names,
    sixteen zeros for a hidden one; ``symmetric``: a passphrase can open it. ``signed`` is what can
    be seen from outside: the signatures inside an encrypted message cannot. ``compressed`` data can
    hold anything but a signature alone.
    """

    recipients: tuple[str, ...] = ()
    symmetric: bool = False
    encrypted: bool = False
    signed: bool = False
    clear_signed: bool = False
    literal: bool = False
    compressed: bool = False
    is_key: bool = False
    is_secret_key: bool = False
    is_detached_signature: bool = False


def message_kind(data: bytes) -> MessageKind:
    """Return what some OpenPGP data is, without a key and without reading more than its beginning.

    Args:
        data: armored or binary data, of any size; of what is longer than ``HEAD``, the beginning
            and one octet more are enough.

    Returns:
        What it is.

    Raises:
        NotOpenPGP: where it is no message, key or signature.
        OutputTooLarge: where its beginning does not tell.
    """
    head = data[:HEAD]
    if is_clear_signed(head):
        return MessageKind(signed=True, clear_signed=True)
    kind = _judge(walk(dearmor(head, limit=HEAD), _MOST), whole=len(head) == len(data))
    if kind is None:
        raise NotOpenPGP("this is no OpenPGP message, key or signature")
    return kind


def _judge(frames: Iterable[Frame], whole: bool) -> MessageKind | None:
    """Return what the packets are; ``whole`` says that none follow."""
    recipients: list[str] = []
    symmetric = False
    signatures: list[int] = []
    for found in frames:
        tag = found.tag
        if tag in (MARKER, PADDING):
            continue
        if tag in _SMALL and not found.whole:
            whole = False
            break
        if tag == PKESK:
            recipients.append(recipient(found.body))
        elif tag == SKESK:
            symmetric = True
        elif tag == SIGNATURE:
            signatures.append(signature_type(found.body))
        elif tag in _ENCRYPTED:
            return MessageKind(tuple(recipients), symmetric, encrypted=True)
        elif tag == ONE_PASS:
            return MessageKind(signed=True)
        elif tag == LITERAL:
            return MessageKind(signed=bool(signatures), literal=True)
        elif tag == COMPRESSED:
            return MessageKind(signed=bool(signatures), compressed=True)
        elif tag in KEYS:
            return MessageKind(is_key=True, is_secret_key=tag in SECRET_KEYS)
        else:
            return None
    if recipients or symmetric:
        return MessageKind(tuple(recipients), symmetric, encrypted=True)
    if signatures:
        over_data = whole and all(kind in (0, 1, 2) for kind in signatures)
        return MessageKind(is_detached_signature=over_data)
    return None


def may_hold_secret_key(block: bytes) -> bool:
    """Return whether there may be a secret key among some keys.

    Args:
        block: armored or binary keys, of any size; every packet is looked at.

    Returns:
        True for a secret key, and for what cannot be read here: gpg may read it.
    """
    try:
        return any(
            found.tag in SECRET_KEYS or found.tag == COMPRESSED for found in walk(dearmor(block))
        )
    except (NotOpenPGP, OutputTooLarge):
        return True


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
        OutputTooLarge: where there are too many packets.
    """
    for limit in _LIMITS:
        try:
            name, sure = _issuer(_inside(dearmor(data[: 2 * limit], limit=limit), limit))
        except NotOpenPGP:
            if limit == _LIMITS[-1]:
                raise
            continue
        if sure:
            break
    return name


def _inside(data: bytes, room: int) -> Iterator[Frame]:
    """Return the first packets; where a compressed one comes, go on inside of it."""
    most = _MOST
    for _ in range(DEPTH):
        packed = None
        for found in walk(data, most):
            most -= max(1, len(found.spans))
            if found.tag == COMPRESSED:
                packed = found.body
                break
            if found.tag not in (MARKER, PADDING):
                yield found
        if packed is None:
            return
        data = inflate(packed, room)
        room -= len(data)


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
