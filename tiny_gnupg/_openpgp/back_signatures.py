"""Which parts of a block of keys are let in: no subkey that did not say itself whose it is.

Pure: bytes in, bytes out. Anybody can sign that a subkey is theirs; one that signs has to say so
too, by a signature of its own over both keys (RFC 9580, section 5.2.1.9, type 0x19) inside the one
that binds it. A subkey that a stranger's key has adopted lacks that, and gpg, which looks no
further than the first key that has a subkey, takes its owner's signatures for bad ones
(CVE-2025-30258).

The rules:

1. A subkey that may sign by what binds it to its key has a back signature there: of type 0x19,
   issued by the subkey, and over these two keys as far as the two octets of the hash tell that
   stand in the clear. Whether the signature itself is good, gpg sees when the subkey is used.
2. One that may sign and has none is left out, with its signatures; gpg takes no signature by it
   either (``require-cross-certification``).
3. A subkey whose secret part comes with it is its bringer's; a stub says nothing of that.
4. Where only public keys are let in, a secret one comes in as its public part.
5. Every other packet stays byte for byte what it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator

from tiny_gnupg._openpgp.armor import dearmor
from tiny_gnupg._openpgp.fingerprints import (
    key_fingerprint,
    key_id_of,
    public_part,
    signature_issuer,
    subpackets,
)
from tiny_gnupg._openpgp.packets import (
    COMPRESSED,
    KEYS,
    PRIMARY_KEYS,
    PUBLIC_KEY,
    PUBLIC_SUBKEY,
    SECRET_KEY,
    SECRET_KEYS,
    SECRET_SUBKEY,
    SIGNATURE,
    Frame,
    frame,
    write,
)
from tiny_gnupg.errors import NotOpenPGP

BINDING, BACK = 0x18, 0x19

_KEY_FLAGS, _EMBEDDED = 27, 32

_MAY_SIGN = 0x02

#: The algorithms that can sign (RFC 9580, section 9.1).
_SIGNING = frozenset({1, 3, 17, 19, 20, 22, 27, 28})

_HASHES = {1: "md5", 2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}


_PUBLIC = {SECRET_KEY: PUBLIC_KEY, SECRET_SUBKEY: PUBLIC_SUBKEY}


def let_in(block: bytes, *, secret: bool = True, own: Container[str] = ()) -> bytes:
    """Return what of a block may go to gpg's import.

    Args:
        block: armored or binary keys; what holds none, as a revocation certificate, is let in.
        secret: whether secret keys are let in.
        own: the fingerprints of subkeys whose secret part is here, for rule 3.

    Returns:
        The block itself where all of it is let in, else the packets that are.

    Raises:
        NotOpenPGP: there may be keys in it that gpg can read and this module cannot.
    """
    binary = dearmor(block)
    packets = frame(binary)
    if any(packet.tag == COMPRESSED for packet in packets):
        raise NotOpenPGP("there are compressed packets among keys")
    kept: list[bytes] = []
    changed, primary = False, packets[0]
    for part in parts(packets):
        if part[0].tag in PRIMARY_KEYS:
            primary = part[0]
        if is_adopted(primary, part) and key_fingerprint(part[0].body) not in own:
            changed = True
            continue
        for packet in part:
            if packet.tag in SECRET_KEYS and not secret:
                kept.append(write(_PUBLIC[packet.tag], public_part(packet.body)))
                changed = True
            else:
                kept.append(binary[packet.offset : packet.offset + packet.length])
    return b"".join(kept) if changed else block


def parts(packets: Iterable[Frame]) -> Iterator[list[Frame]]:
    """Cut the packets of one key into its parts, each with the signatures that follow it."""
    part: list[Frame] = []
    for packet in packets:
        if part and packet.tag != SIGNATURE:
            yield part
            part = []
        part.append(packet)
    if part:
        yield part


def is_adopted(primary: Frame, part: list[Frame]) -> bool:
    """Return whether a part of a key is a subkey that may sign and did not say that it is its."""
    subkey, *signatures = part
    if subkey.tag not in KEYS - PRIMARY_KEYS or not _SIGNING.intersection(subkey.body[5:6]):
        return False
    if subkey.tag == SECRET_SUBKEY and not _is_stub(subkey.body):
        return False
    signing = [one.body for one in signatures if one.body[1:2] == bytes([BINDING]) and _signs(one)]
    return bool(signing) and not any(_has_back(primary, subkey, binding) for binding in signing)


def _is_stub(body: bytes) -> bool:
    """Return whether the secret part of a key lies elsewhere (GnuPG's doc/DETAILS, GNU S2K)."""
    try:
        start = len(public_part(body))
    except NotOpenPGP:
        return False
    return body[start + 2 : start + 3] == b"\x65" and body[start + 4 : start + 7] == b"GNU"


def _signs(binding: Frame) -> bool:
    flags = [
        content for kind, content in subpackets(binding.body, protected=True) if kind == _KEY_FLAGS
    ]
    return not flags or bool(flags[0][:1] and flags[0][0] & _MAY_SIGN)


def _has_back(primary: Frame, subkey: Frame, binding: bytes) -> bool:
    return any(
        kind == _EMBEDDED and _fits(primary, subkey, content)
        for kind, content in subpackets(binding)
    )


def _fits(primary: Frame, subkey: Frame, back: bytes) -> bool:
    if back[:2] != bytes([4, BACK]) or len(back) < 12:
        return False
    try:
        fingerprint = key_fingerprint(subkey.body)
        keys = [public_part(one.body) for one in (primary, subkey)]
    except NotOpenPGP:
        return False
    if signature_issuer(back) not in (fingerprint, key_id_of(fingerprint)):
        return False
    name = _HASHES.get(back[3])
    if name is None:
        return True
    hashed = back[: 6 + int.from_bytes(back[4:6])]
    unhashed = int.from_bytes(back[len(hashed) : len(hashed) + 2])
    digest = hashlib.new(name, usedforsecurity=False)
    for key in keys:
        digest.update(b"\x99" + len(key).to_bytes(2) + key)
    digest.update(hashed + b"\x04\xff" + len(hashed).to_bytes(4))
    place = len(hashed) + 2 + unhashed
    return digest.digest()[:2] == back[place : place + 2]
