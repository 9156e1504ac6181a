"""Which user ids of a key are certified by whom.

Pure: a colon listing with signatures in (GnuPG's doc/DETAILS), hashes of user ids out.
"""

from __future__ import annotations

from collections.abc import Iterator

# Fields by their number in doc/DETAILS, counted from 0.
_STATE, _CREATED, _HASH, _FINGERPRINT, _CLASS, _ISSUER = 1, 5, 7, 9, 10, 12

#: The four kinds of certification (RFC 9580, section 5.2.1), in the listing's hex digits.
_CERTIFICATIONS = ("10", "11", "12", "13")


def certified(listing: bytes, fingerprint: str, signer: str, *, local: bool) -> frozenset[str]:
    """Return which user ids of a key another key certifies now.

    Args:
        listing: what ``commands.list_signatures`` gave of both keys.
        fingerprint: the key's.
        signer: the certifying key's, or that of one of its subkeys.
        local: count certifications that never leave the keyring, too.

    Returns:
        The hashes by which gpg knows these user ids (``UserID.hash``).
    """
    keys = list(_keys(listing.decode(errors="replace")))
    signers = {one for key in keys if signer in _fingerprints(key) for one in _fingerprints(key)}
    latest: dict[str, tuple[int, bool]] = {}
    for key in keys:
        if fingerprint not in _fingerprints(key):
            continue
        user_id = ""
        for record in key:
            if record[0] in ("uid", "uat"):
                user_id = record[_HASH]
            elif record[0] == "sub":
                user_id = ""
            elif record[0] in ("sig", "rev") and record[_ISSUER] in signers and user_id:
                made = int(record[_CREATED] or 0)
                latest[user_id] = max(
                    latest.get(user_id, (0, False)), (made, _certifies(record, local))
                )
    return frozenset(user_id for user_id, (_, good) in latest.items() if good)


def _keys(text: str) -> Iterator[list[list[str]]]:
    """Cut a listing into keys, each a list of its records."""
    key: list[list[str]] = []
    for line in text.split("\n"):
        record = line.split(":")
        record += [""] * (_ISSUER + 1 - len(record))
        if record[0] in ("pub", "sec") and key:
            yield key
            key = []
        key.append(record)
    yield key


def _fingerprints(key: list[list[str]]) -> set[str]:
    return {record[_FINGERPRINT] for record in key if record[0] == "fpr"}


def _certifies(record: list[str], local: bool) -> bool:
    kind, reach = record[_CLASS][:2], record[_CLASS][2:3]
    good = record[0] == "sig" and record[_STATE] == "!" and kind in _CERTIFICATIONS
    return good and (local or reach == "x")
