"""What keeps GnuPG from reading data, as far as the data itself tells.

Pure: bytes in, text out; nothing here runs a program or touches a file. gpg has no status line for
most of these reasons, and tells them to people only. So they are read from what it was given, once
it has refused it.

The rules:

1. A key's first reason counts: its version, its algorithm, how its secret part is protected, then
   its user ids. Nothing is verified here: whether a signature is good only gpg knows.
2. What is no key is named by what it is.
3. What gpg can read differs from version to version. So this tells what a key is, and never that
   it will be refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tiny_gnupg._openpgp.armor import dearmor, is_armored, is_binary
from tiny_gnupg._openpgp.fingerprints import key_fingerprint, public_part, signature_issuer
from tiny_gnupg._openpgp.kinds import signature_type
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
    PRIMARY_KEYS,
    SECRET_KEYS,
    SEIPD,
    SIGNATURE,
    SKESK,
    USER_ATTRIBUTE,
    USER_ID,
    Frame,
    frame,
    tag_name,
    walk,
)
from tiny_gnupg.errors import NotOpenPGP, OutputTooLarge
from tiny_gnupg.results import PublicKeyAlgorithm, SymmetricAlgorithm

#: Octets of data whose armor's checksum is looked at: Python takes a tenth of a second for so many.
LOOKED_AT = 1 << 20


#: Types of signatures (RFC 9580, section 5.2.1).
_OF_DATA, _CERTIFICATIONS, _REVOCATIONS = {0, 1}, {0x10, 0x11, 0x12, 0x13}, {0x20, 0x28, 0x30}


#: What a message begins with (RFC 9580, section 10.3).
_OF_A_MESSAGE = frozenset({PKESK, SKESK, ONE_PASS, COMPRESSED, ENCRYPTED, LITERAL, SEIPD, AEAD})


#: Algorithms of keys that each GnuPG from 2.2 on has.
_COMMON = frozenset({1, 2, 3, 16, 17, 18, 19, 22})


_CIPHERS = frozenset(SymmetricAlgorithm) - {SymmetricAlgorithm.PLAINTEXT}


#: The octet that says how a secret key is protected (RFC 9580, section 3.7.2).
_AEAD, _CFB = 253, (254, 255)


_ARGON2, _KNOWN_S2K = 4, (0, 1, 3, 101)


_DIGESTS = frozenset({1, 2, 3, 8, 9, 10, 11})


_NOWHERE = ", which GnuPG up to 2.5 does not have"


_SIX = f"the message has a session key of version 6 (RFC 9580){_NOWHERE}"


#: Octets that are enough for the session keys of a hundred recipients.
_HEAD = 1 << 16


@dataclass(frozen=True, slots=True)
class Refusal:
    """One key of a block, and what there is about it; or all of the block, with no name."""

    name: str
    why: str
    cure: str = "use a newer GnuPG, or ask its owner for a key that this one reads"


def damage(data: bytes) -> str:
    """Return what is wrong with the form of OpenPGP data, in words; ``""`` where nothing is."""
    if not (is_binary(data) or is_armored(data)):
        return ""
    try:
        frame(dearmor(data, checksum=len(data) <= LOOKED_AT))
        if not is_binary(data) and b"-----END PGP " not in data:
            return "the armor has no end: it was cut off"
    except (NotOpenPGP, OutputTooLarge) as error:
        return error.message
    return ""


def foreign(data: bytes) -> str:
    """Return what of a message no GnuPG has, up to 2.5.

    Args:
        data: the armored or binary message, or the beginning of it.

    Returns:
        What it is, in words. ``""`` where nothing is, and of an encrypted message also where one of
        its session keys is for GnuPG.
    """
    found = ""
    usable = False
    with suppress(NotOpenPGP, OutputTooLarge):
        for packet in walk(dearmor(data[: 2 * _HEAD], limit=_HEAD)):
            version = packet.body[:1]
            if packet.tag == SEIPD and version > b"\x01":
                return f"the message is encrypted by AEAD (RFC 9580){_NOWHERE}"
            if packet.tag in (PKESK, SKESK):
                why = _session_key(packet)
                found = found or why
                usable = usable or not why
            elif packet.tag in (ONE_PASS, SIGNATURE) and version == b"\x06":
                found = found or f"the message has a signature of version 6 (RFC 9580){_NOWHERE}"
            elif packet.tag not in (MARKER, PADDING):
                break
    return "" if usable else found


def _session_key(packet: Frame) -> str:
    """Say what there is about a session key that GnuPG cannot read (RFC 9580, 5.1 and 5.3)."""
    version = packet.body[:1]
    if packet.tag == PKESK:
        return "" if version in (b"\x02", b"\x03") else _SIX
    if version not in (b"\x04", b"\x05") or len(packet.body) < 5:
        return _SIX
    # Version 5, of LibrePGP, has the octet of the AEAD algorithm before it.
    cipher, s2k, digest = packet.body[1], *packet.body[2 if version == b"\x04" else 3 :][:2]
    if s2k == _ARGON2:
        return f"the message's passphrase is stretched by Argon2 (RFC 9580){_NOWHERE}"
    if s2k in _KNOWN_S2K and cipher in _CIPHERS and digest in _DIGESTS:
        return ""
    return (
        f"the message is to a passphrase by algorithms that GnuPG lacks: {s2k}, {cipher}, {digest}"
    )


def no_message(data: bytes) -> Refusal | None:
    """Return what data is that is no message; None where it may be one, or nothing is known."""
    try:
        packets = [one for one in walk(dearmor(data)) if one.tag not in (MARKER, PADDING)]
    except (NotOpenPGP, OutputTooLarge):
        return None
    first = packets[0] if packets else None
    if first is None or first.tag in _OF_A_MESSAGE:
        return None
    if first.tag in KEYS:
        return Refusal("", "it is a key, not a message", "use text_import, or scan")
    if first.tag != SIGNATURE:
        return Refusal(
            "",
            f"it begins with the packet {tag_name(first.tag)!r}, as no message does",
            "pass a message",
        )
    if any(one.tag != SIGNATURE for one in packets):
        return None
    kind = signature_type(first.body)
    if kind in _OF_DATA:
        return Refusal("", "it is a signature without its data", "use verify(data, signature)")
    what = "a revocation certificate" if kind in _REVOCATIONS else "a signature of a key"
    return Refusal("", f"it is {what}, not a message", "use text_import")


def refusals(block: bytes) -> list[Refusal]:
    """Return why gpg may have taken none of some keys.

    Args:
        block: the armored or binary keys.

    Returns:
        One for each key, with ``why`` empty where the packets do not tell; or one for all of it,
        where it holds none or is damaged.
    """
    if wrong := damage(block):
        return [Refusal("", wrong, "ask for it once more, or pass it as it was sent")]
    packets = frame(dearmor(block)) if is_binary(block) or is_armored(block) else ()
    return [_refusal(key) for key in _cut(packets)] or [_no_key(packets)]


def _cut(packets: Iterable[Frame]) -> Iterator[list[Frame]]:
    """Cut packets into keys; what stands before the first is none."""
    key: list[Frame] = []
    for packet in packets:
        if packet.tag in PRIMARY_KEYS:
            if key:
                yield key
            key = [packet]
        elif key:
            key.append(packet)
    if key:
        yield key


def _no_key(packets: Sequence[Frame]) -> Refusal:
    """Say what it is that holds no key."""
    first = next((one for one in packets if one.tag not in (MARKER, PADDING)), None)
    if first is None:
        return Refusal("", "this is no OpenPGP key", "pass a key")
    if first.tag == SIGNATURE and signature_type(first.body) in _REVOCATIONS:
        whose = signature_issuer(first.body)
        why = f"it is a revocation certificate, without the key that it revokes: {whose}"
        return Refusal("", why, "import that key first")
    if first.tag == SIGNATURE:
        return Refusal("", "it is a signature, not a key", "pass the key that made it")
    return Refusal(
        "", f"it begins with the packet {tag_name(first.tag)!r}, not with a key", "pass a key"
    )


def _refusal(key: Sequence[Frame]) -> Refusal:
    """Say what there is about one key: rule 1."""
    try:
        name = key_fingerprint(key[0].body)
    except NotOpenPGP:
        name = f"the key at octet {key[0].offset}"
    parts = [packet for packet in key if packet.tag in KEYS]
    if key[0].body[:1] in (b"\x02", b"\x03"):
        return Refusal(name, "a key of PGP 2, which GnuPG has dropped", "use GnuPG 1.4 for it")
    if why := _version(key[0]) or _algorithm(key[0]):
        return Refusal(name, why)
    if why := next(filter(None, map(_protection, parts)), ""):
        return Refusal(name, why, "let the other program export it in the older way (RFC 4880)")
    if why := _user_ids(key):
        return Refusal(name, why, "ask its owner for the key with a user id")
    return Refusal(name, next(filter(None, map(_algorithm, parts)), ""))


def _version(key: Frame) -> str:
    version = key.body[0] if key.body else 0
    return "" if version == 4 else f"a key of version {version}, which this gpg does not read"


def _algorithm(key: Frame) -> str:
    number = key.body[5] if len(key.body) > 5 else 0
    if number in _COMMON:
        return ""
    name = PublicKeyAlgorithm(number).name
    return f"a key of an algorithm that this gpg does not have ({name})"


def _protection(key: Frame) -> str:
    """Say how a secret key is protected, where that is not gpg's own way."""
    if key.tag not in SECRET_KEYS:
        return ""
    try:
        secret = key.body[len(public_part(key.body)) :]
    except NotOpenPGP:
        return ""
    usage = secret[0] if secret else 0
    if usage == _AEAD:
        return "a secret key that is protected by AEAD (RFC 9580), which this gpg does not read"
    if usage not in _CFB or len(secret) < 3:
        return ""
    if secret[2] == _ARGON2:
        return "a secret key that is protected by Argon2 (RFC 9580), which this gpg does not have"
    if secret[2] not in _KNOWN_S2K or (secret[2] != 101 and secret[1] not in _CIPHERS):
        return "a secret key that is protected in a way that this gpg does not have"
    return ""


def _user_ids(key: Sequence[Frame]) -> str:
    """Say what is missing about the user ids."""
    if not any(packet.tag in (USER_ID, USER_ATTRIBUTE) for packet in key):
        return f"a {'secret ' if key[0].tag in SECRET_KEYS else ''}key without a user id"
    kinds = {signature_type(packet.body) for packet in key if packet.tag == SIGNATURE}
    return "" if kinds & _CERTIFICATIONS else "a key with no user id that it signed itself"
