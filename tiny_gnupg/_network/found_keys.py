"""What is looked up, and whether a key that came is what was looked up.

Pure: text and bytes in, a checked key or an error out. The rules for what a keyserver sends, before
gpg sees any of it:

1. It is packets of an OpenPGP public key and nothing else: no secret part, no trust packet (what a
   keyring would believe of a signature), no packet for private use, nothing after the key.
2. By fingerprint or key id, the key or one of its subkeys IS that one. By e-mail, one of its user
   ids carries that address.
3. Each user id and subkey is followed by a signature that names the primary key as its issuer. That
   stops the clumsy forgeries here; whether the signatures are good is for gpg to say, so what gpg
   then holds has to pass ``FoundKey.confirm``.
4. One key is one key: another beside it is refused. Only a Web Key Directory may send several,
   all of the one address (draft-koch-openpgp-webkey-service, section 3.1).
5. Of a key that was looked up by an address, the user ids with that address are kept and no other:
   its owner could claim anybody's. Of one that was looked up by its fingerprint or key id, all are
   that gpg finds signed; of one that is here already, those that it has here (``keeping``).
6. A subkey that may sign and did not say whose it is is dropped (``back_signatures``).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Self

from tiny_gnupg._gpg.key_names import NameForm, Term, classify, matching
from tiny_gnupg._openpgp.armor import dearmor, is_armored
from tiny_gnupg._openpgp.back_signatures import is_adopted, parts
from tiny_gnupg._openpgp.fingerprints import key_fingerprint, key_id_of, signature_issuer
from tiny_gnupg._openpgp.packets import (
    MARKER,
    OF_A_PUBLIC_KEY,
    PADDING,
    PUBLIC_SUBKEY,
    SECRET_KEYS,
    USER_ATTRIBUTE,
    USER_ID,
    Frame,
    cut_keys,
    tag_name,
    walk,
)
from tiny_gnupg._openpgp.user_ids import address, same_address
from tiny_gnupg.errors import (
    KeyserverError,
    KeyserverMismatch,
    NotOnKeyserver,
    NotOpenPGP,
    OutputTooLarge,
)
from tiny_gnupg.results import Key

MOST_PACKETS = 50_000


"""More than any honest key has; the keys that were flooded in 2019 had 150,000 signatures."""


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A public key that a server sent and that passed the rules of this module.

    ``data`` is what is kept of its binary form, byte for byte as it came; ``fingerprint`` and
    ``subkeys`` are computed from it, ``user_ids`` are its texts. ``term`` is what it was looked up
    by.
    """

    term: Term
    fingerprint: str
    subkeys: tuple[str, ...]
    user_ids: tuple[str, ...]
    data: bytes = field(repr=False)

    def keeping(self, user_ids: Container[str]) -> Self:
        """Return the key with no other user ids than these; they may be none."""

        def kept(part: list[Frame]) -> bool:
            tag, text = part[0].tag, _text(part[0].body)
            return tag != USER_ATTRIBUTE and (tag != USER_ID or text in user_ids)

        ours = [part for part in parts(walk(self.data)) if kept(part)]
        texts = tuple(text for text in self.user_ids if text in user_ids)
        return replace(self, user_ids=texts, data=_octets(self.data, ours))

    def confirm(self, keys: Iterable[Key]) -> None:
        """Require that gpg, having checked the signatures, holds this key to be the one too.

        Args:
            keys: what gpg lists of ``data``: ``scan`` before an import, or ``keys`` after it.

        Raises:
            KeyserverMismatch: where the key, the subkey or the address that was looked up is not
                among what gpg accepts, or another key is.
        """
        listed = tuple(keys)
        if [key.fingerprint for key in listed] != [self.fingerprint]:
            raise KeyserverMismatch(f"gpg does not read {self.fingerprint} in the answer")
        # Revoked user ids count: a directory may send an address's revoked keys, and no call
        # that encrypts or signs takes one. What nobody signed does not.
        if not matching(listed, self.term.value):
            raise KeyserverMismatch(
                f"{self.fingerprint} is not validly bound to {self.term.value!r}"
            )


def query(uid: str) -> Term:
    """Read what a caller wants to find on a keyserver.

    Args:
        uid: a fingerprint of 40 hex digits, a key id of 16, or an e-mail address.

    Returns:
        Its kind and value.

    Raises:
        NotOnKeyserver: for any other text; no server is to learn of it.
    """
    term = classify(uid)
    if term.kind is NameForm.TEXT or (term.kind is NameForm.FINGERPRINT and len(term.value) != 40):
        raise NotOnKeyserver(
            f"no keyserver is asked for {uid!r}",
            value=uid,
            hint="look up a whole fingerprint, 16-digit key id or e-mail address",
        )
    return term


def found_key(term: Term, answer: bytes) -> FoundKey:
    """Check that an answer is the one key that was looked up.

    Args:
        term: what was looked up.
        answer: the body of the answer, armored or binary.

    Returns:
        The key.

    Raises:
        KeyserverMismatch: where it is another key, more than one, or more than a public key.
        KeyserverError: where it is no OpenPGP key.
    """
    first, *others = found_keys(term, answer)
    if others:
        raise KeyserverMismatch(f"{1 + len(others)} keys came instead of one for {term.value!r}")
    return first


def found_keys(term: Term, answer: bytes) -> tuple[FoundKey, ...]:
    """Check that an answer is keys of what was looked up; see `found_key`."""
    try:
        if is_armored(answer) and b"\n-----END PGP " not in answer:
            raise NotOpenPGP("the armor is cut off")
        data = dearmor(answer)
        keys = tuple(_key(term, data, packets) for packets in cut_keys(_allowed(data)))
    except (NotOpenPGP, OutputTooLarge) as error:
        raise KeyserverError(f"the keyserver sent no OpenPGP key: {error.message}") from error
    for key in keys:
        _require(key)
    return keys


def _allowed(data: bytes) -> Iterator[Frame]:
    """Cut binary data into packets that a public key may have (rule 1)."""
    in_key = False
    for packet in _packets(data):
        if packet.tag in (MARKER, PADDING):
            # Nobody may mind them (RFC 9580, sections 5.8 and 5.14).
            continue
        if packet.tag in SECRET_KEYS:
            raise KeyserverMismatch("the keyserver sent a secret key")
        # What begins with another packet is no key at all, which ``cut_keys`` says.
        if in_key and packet.tag not in OF_A_PUBLIC_KEY:
            raise KeyserverMismatch(f"there is a {tag_name(packet.tag)} packet in the key")
        in_key = True
        yield packet
    if not in_key:
        raise NotOpenPGP("there is no data")


def _packets(data: bytes) -> Iterator[Frame]:
    """Cut binary data into packets, counted while they are few: millions fit into an answer."""
    for count, packet in enumerate(walk(data)):
        if not packet.whole:
            raise NotOpenPGP("the data ends inside a packet")
        if count >= MOST_PACKETS:
            raise NotOpenPGP(f"it has more than {MOST_PACKETS} packets")
        yield packet


def _key(term: Term, data: bytes, packets: list[Frame]) -> FoundKey:
    """Read one key (rule 3)."""
    fingerprint = key_fingerprint(packets[0].body)
    if len(fingerprint) != 40:
        raise NotOpenPGP("the key is of a version other than 4")
    own = (fingerprint, key_id_of(fingerprint))
    kept = []
    for part in parts(packets):
        first, *signatures = part
        # The primary key needs none of its own: those of its user ids bind it.
        if first is not packets[0] and not any(signature_issuer(s.body) in own for s in signatures):
            raise KeyserverMismatch(f"a {tag_name(first.tag)} is not signed by {fingerprint}")
        if not is_adopted(packets[0], part) and _belongs(term, first):
            kept.append(part)
    firsts = [part[0] for part in kept]
    return FoundKey(
        term,
        fingerprint,
        tuple(key_fingerprint(one.body) for one in firsts if one.tag == PUBLIC_SUBKEY),
        tuple(_text(one.body) for one in firsts if one.tag == USER_ID),
        _octets(data, kept),
    )


def _belongs(term: Term, first: Frame) -> bool:
    """Return whether a part of a key is kept, going by what was looked up (rule 5)."""
    if term.kind is not NameForm.EMAIL or first.tag not in (USER_ID, USER_ATTRIBUTE):
        return True
    return first.tag == USER_ID and same_address(address(_text(first.body)), term.value)


def _octets(data: bytes, kept: Iterable[list[Frame]]) -> bytes:
    return b"".join(data[p.offset : p.offset + p.length] for part in kept for p in part)


def _require(key: FoundKey) -> None:
    """Require that a key is what was looked up (rule 2)."""
    kind, value = key.term
    if kind is NameForm.EMAIL:
        fits = any(same_address(address(user_id), value) for user_id in key.user_ids)
    else:
        fits = any(own.endswith(value) for own in (key.fingerprint, *key.subkeys))
    if not fits:
        raise KeyserverMismatch(
            f"the keyserver sent {key.fingerprint}, which has nothing of {value!r}"
        )


def _text(user_id: bytes) -> str:
    # As gpg's listings are decoded, so that what is no UTF-8 compares equal to itself.
    return user_id.decode(errors="surrogateescape")
