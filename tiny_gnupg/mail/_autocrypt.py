"""The ``Autocrypt`` header (Autocrypt 1.1): what it says, and the small key that it carries."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterator

from tiny_gnupg._openpgp.fingerprints import key_fingerprint, signature_issuer
from tiny_gnupg._openpgp.packets import (
    PRIMARY_KEYS,
    PUBLIC_SUBKEY,
    SIGNATURE,
    USER_ID,
    Frame,
    frame,
    write,
)
from tiny_gnupg._openpgp.user_ids import address as address_of

#: The attributes that Autocrypt 1.1 knows.
KNOWN = frozenset({"addr", "prefer-encrypt", "keydata"})


def header(address: str, key: bytes, *, mutual: bool) -> str:
    """Return the header's value, with blanks at which it can be folded."""
    prefer = "prefer-encrypt=mutual; " if mutual else ""
    data = b64encode(key).decode()
    lines = " ".join(data[place : place + 70] for place in range(0, len(data), 70))
    return f"addr={address}; {prefer}keydata= {lines}"


def attributes(text: str) -> dict[str, str]:
    """Return the attributes of a header, without white space inside their values."""
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    return {name.strip().lower(): "".join(value.split()) for name, _, value in pairs}


def key_in(text: str, sender: str) -> bytes | None:
    """Return the key that a header tells.

    Args:
        text: the header's value.
        sender: the address in ``From``.

    Returns:
        The key; None where the header is to be ignored (Autocrypt 1.1, section 2.1): it is of
        another address, has an attribute that is unknown and critical, or no key.
    """
    said = attributes(text)
    critical = {name for name in said if not name.startswith("_")}
    if critical - KNOWN or said.get("addr", "").casefold() != sender.casefold():
        return None
    try:
        return b64decode(said.get("keydata", ""), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def small_key(block: bytes, address: str, subkey: str) -> bytes:
    """Return a key with one user id and one subkey, and the owner's own signatures on them.

    Args:
        block: the whole public key, binary.
        address: whose user id stays.
        subkey: the fingerprint of the subkey that stays.

    Raises:
        ValueError: the key has not both of them.
    """
    primary, *rest = frame(block)
    if primary.tag not in PRIMARY_KEYS:
        raise ValueError("this is no key")
    fingerprint = key_fingerprint(primary.body)
    kept = [primary, *_kept(rest, fingerprint, address, subkey)]
    if [one.tag for one in kept if one.tag != SIGNATURE][1:] != [USER_ID, PUBLIC_SUBKEY]:
        raise ValueError(f"the key has not both {address} and {subkey}")
    return b"".join(write(one.tag, one.body) for one in kept)


def _kept(packets: list[Frame], primary: str, address: str, subkey: str) -> Iterator[Frame]:
    keeping, named = False, False
    for one in packets:
        if one.tag == USER_ID:
            text = one.body.decode(errors="replace")
            keeping = not named and address_of(text).casefold() == address.casefold()
            named = named or keeping
        elif one.tag == PUBLIC_SUBKEY:
            keeping = key_fingerprint(one.body) == subkey
        elif one.tag == SIGNATURE:
            if keeping and primary.endswith(signature_issuer(one.body)[-16:]):
                yield one
            continue
        else:
            keeping = False
        if keeping:
            yield one
