"""Keys that come without user ids: what makes gpg take them.

Pure: bytes in, bytes out; nothing here runs a program or touches a file. A keyserver that publishes
no address before its owner confirms it sends such keys, and gpg refuses to import an unknown one.
It takes it with a user id that nobody signed, under ``--allow-non-selfsigned-uid``.

The rules:

1. A key's fingerprint is computed from its primary key packet.
2. What goes to gpg holds nothing but public keys, user ids, user attributes and signatures. A trust
   packet could tell gpg that a signature was checked already; a secret key was not asked for.
3. Each packet that is kept stays byte for byte what it was.
4. User ids stand behind the primary key's own signatures and before the first subkey.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from tiny_gnupg._openpgp.armor import dearmor
from tiny_gnupg._openpgp.fingerprints import key_fingerprint
from tiny_gnupg._openpgp.packets import (
    OF_A_PUBLIC_KEY,
    SECRET_KEYS,
    SIGNATURE,
    USER_ATTRIBUTE,
    USER_ID,
    Frame,
    cut_keys,
    whole_packets,
    write,
)
from tiny_gnupg.errors import KeyserverMismatch, NotOpenPGP, OutputTooLarge

PLACEHOLDER = "[no user id published] {fingerprint}"


"""The user id that stands in where a keyserver withholds a key's own."""


_PLACEHOLDER = re.compile(re.escape(PLACEHOLDER.format(fingerprint="")) + "[0-9A-F]{40,64}")


def is_placeholder(text: str, fingerprint: str = "") -> bool:
    """Return whether a user id is one of ours, standing in for those that were not published.

    Args:
        text: the user id.
        fingerprint: the key it must stand for; default: any.

    Returns:
        True for such a placeholder. Anybody can give a key such a user id; it proves nothing.
    """
    if fingerprint:
        return text == PLACEHOLDER.format(fingerprint=fingerprint)
    return _PLACEHOLDER.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class NormalisedKey:
    """One public key, with nothing in it but what gpg should see.

    ``data`` is its binary form, ``user_ids`` are the texts of its user ids. ``has_user_id`` is true
    for a user attribute too, because gpg takes it for one.
    """

    fingerprint: str
    user_ids: tuple[str, ...]
    has_user_id: bool
    data: bytes = field(repr=False)


def split_keys(data: bytes) -> Iterator[bytes]:
    """Cut a block of keys, public or secret, into single keys.

    Args:
        data: armored or binary keys, one or several.

    Yields:
        The binary form of each, in their order, every packet as it was.

    Raises:
        NotOpenPGP: where it is not packets, or does not begin with a key.
        OutputTooLarge: where there are too many packets.
    """
    binary = dearmor(data)
    for packets in cut_keys(whole_packets(binary)):
        yield _octets(binary, packets)


def fingerprints(data: bytes) -> list[str]:
    """Return the fingerprints of a block's keys, in their order; those that cannot be told are not.

    Args:
        data: armored or binary keys, one or several.
    """
    found = []
    with suppress(NotOpenPGP, OutputTooLarge):
        for single in split_keys(data):
            with suppress(NotOpenPGP):
                found.append(key_fingerprint(next(whole_packets(single)).body))
    return found


def _octets(binary: bytes, packets: Iterable[Frame]) -> bytes:
    return b"".join(binary[p.offset : p.offset + p.length] for p in packets)


def normalise(data: bytes, fingerprint: str | None = None) -> NormalisedKey:
    """Make one public key ready for gpg.

    Args:
        data: the armored or binary key.
        fingerprint: the fingerprint that was asked for, in upper case; default: any.

    Returns:
        The key, without what does not belong to it.

    Raises:
        KeyserverMismatch: where it is another key, several keys, or holds a secret part.
        NotOpenPGP: where it is no key, or of a version whose fingerprint cannot be computed.
    """
    binary = dearmor(data)
    packets, *others = cut_keys(whole_packets(binary))
    if any(packet.tag in SECRET_KEYS for key in (packets, *others) for packet in key):
        raise KeyserverMismatch("there is a secret key where a public one was asked for")
    if others:
        raise KeyserverMismatch(f"there are {1 + len(others)} keys where one was asked for")
    found = key_fingerprint(packets[0].body)
    if fingerprint not in (None, found):
        raise KeyserverMismatch(f"the key is {found}, not {fingerprint}")
    kept = [packet for packet in packets if packet.tag in OF_A_PUBLIC_KEY]
    return NormalisedKey(
        found,
        tuple(p.body.decode(errors="surrogateescape") for p in kept if p.tag == USER_ID),
        any(packet.tag in (USER_ID, USER_ATTRIBUTE) for packet in kept),
        _octets(binary, kept),
    )


def insert_placeholder(block: bytes, user_ids: Iterable[str] = ()) -> bytes:
    """Return a key without user ids some that nobody signed.

    Args:
        block: the binary form of one public key, as ``normalise`` gives it.
        user_ids: the user ids that the keyring already holds for this key; where there are none,
            the placeholder stands in.

    Returns:
        The key with the user ids, to be imported with ``--allow-non-selfsigned-uid``.

    Raises:
        NotOpenPGP: where it does not begin with a key.
    """
    primary, *rest = next(cut_keys(whole_packets(block)))
    texts = tuple(user_ids) or (PLACEHOLDER.format(fingerprint=key_fingerprint(primary.body)),)
    place = primary.offset + primary.length
    for packet in rest:
        if packet.tag != SIGNATURE:
            break
        place = packet.offset + packet.length
    written = b"".join(write(USER_ID, text.encode(errors="surrogateescape")) for text in texts)
    return block[:place] + written + block[place:]


def with_placeholders(block: bytes, without: Container[str] = ()) -> bytes:
    """Return those keys of a block that have no user id, with our placeholder for one.

    Args:
        block: armored or binary keys.
        without: the fingerprints of keys to leave out.

    Returns:
        The binary form of the keys, ``b""`` where there is none such.
    """
    keys: list[NormalisedKey] = []
    with suppress(NotOpenPGP, OutputTooLarge):
        for single in split_keys(block):
            # A secret key, or one of another version, keeps no other from coming in.
            with suppress(NotOpenPGP, OutputTooLarge, KeyserverMismatch):
                keys.append(normalise(single))
    nameless = (key for key in keys if not key.has_user_id and key.fingerprint not in without)
    return b"".join(insert_placeholder(key.data) for key in nameless)
