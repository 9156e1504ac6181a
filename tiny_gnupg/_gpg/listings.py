"""gpg's listings of keys -> ``Key``.

Pure: text in, data out; nothing here runs a program or touches a file. The colon listing
(``--with-colons``) is read after GnuPG's doc/DETAILS, "Format of the colon listings". The
listing for people is read only as far as 0.5.2 needed it: fingerprints and addresses.

The rules:

1. Only LF ends a line; whatever else Python counts as a line break may stand in a user id.
2. A record is known by its first field. Unknown records and surplus fields are passed over,
   missing fields are empty: both happen from release to release.
3. ``pub``, ``sec``, ``crt`` and ``crs`` begin a key; ``sub`` and ``ssb`` begin a subkey; ``fpr``
   and ``grp`` belong to whichever of those came last.
4. ``sig`` and ``rev`` belong to the user id that came last, and to none behind a subkey.
5. A user id is revoked if its validity says so, save where the whole key is revoked: then every
   user id has that validity, and only one that is revoked by itself has no date.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from tiny_gnupg._gpg.key_states import has_secret
from tiny_gnupg._gpg.status import read_time
from tiny_gnupg._openpgp.placeholders import is_placeholder
from tiny_gnupg._openpgp.user_ids import address, split_user_id
from tiny_gnupg.results import (
    Capability,
    Certification,
    Key,
    OwnerTrust,
    PublicKeyAlgorithm,
    SignatureStatus,
    Subkey,
    UserID,
    Validity,
)

# Fields by their number in doc/DETAILS, counted from 0.
_VALIDITY, _BITS, _ALGORITHM, _KEY_ID, _CREATED, _EXPIRES, _HASH = 1, 2, 3, 4, 5, 6, 7


_OWNERTRUST, _USER_ID, _CAPABILITIES, _CARD, _CURVE = 8, 9, 11, 14, 16


_CLASS, _ISSUER = 10, 12


_FIELDS = 17


_PRIMARY = frozenset({"pub", "sec", "crt", "crs"})


_SUBKEY = frozenset({"sub", "ssb"})


_SECRET = frozenset({"sec", "ssb", "crs"})


_VALIDITIES = {
    "o": Validity.UNKNOWN,
    "-": Validity.UNKNOWN,
    "i": Validity.INVALID,
    "d": Validity.DISABLED,
    "r": Validity.REVOKED,
    "e": Validity.EXPIRED,
    "q": Validity.UNDEFINED,
    "n": Validity.NEVER,
    "m": Validity.MARGINAL,
    "f": Validity.FULL,
    "u": Validity.ULTIMATE,
    "w": Validity.WELL_KNOWN,
    "s": Validity.SPECIAL,
}


_OWNERTRUSTS = {
    "q": OwnerTrust.UNDEFINED,
    "n": OwnerTrust.NEVER,
    "m": OwnerTrust.MARGINAL,
    "f": OwnerTrust.FULL,
    "u": OwnerTrust.ULTIMATE,
}


#: The four kinds of certification, and their revocation (RFC 9580, section 5.2.1).
_CERTIFYING = frozenset({"10", "11", "12", "13", "30"})


#: What gpg found of a signature on a user id (doc/DETAILS, field 2).
_CHECKED = {
    "!": SignatureStatus.GOODSIG,
    "-": SignatureStatus.BADSIG,
    "?": SignatureStatus.NO_PUBKEY,
}


_CAPABILITY = {member.value: member for member in Capability}


def parse_colons(text: str | bytes, *, now: datetime | None = None) -> tuple[Key, ...]:
    """Read a colon listing of keys.

    Args:
        text: what gpg printed for ``--list-keys``, ``--list-secret-keys`` or a key block that is
            only shown, ``--with-colons`` and with ``--with-secret``, ``--with-keygrip`` and
            the like as wanted; any text is allowed.
        now: the moment that decides what has expired, aware; default: this one.

    Returns:
        The keys in the order of the listing.
    """
    listing = Listing(now=now)
    listing.take(text if isinstance(text, str) else text.decode(errors="surrogateescape"))
    return listing.end()


@dataclass(slots=True)
class _Part:
    """A primary key or subkey while its records are gathered."""

    record: list[str]
    fingerprint: str = ""
    keygrip: str = ""


@dataclass(slots=True)
class _Block:
    """The records of one key."""

    primary: _Part
    subkeys: list[_Part]
    user_ids: list[list[str]]
    signatures: list[list[list[str]]]


class Listing:
    """Reads a colon listing piece by piece, while gpg writes it.

    Args:
        now: as for ``parse_colons``.
    """

    def __init__(self, now: datetime | None = None) -> None:
        self._now = now or datetime.now(UTC)
        self.begin()

    def begin(self) -> None:
        """Begin, or begin anew: what was read by now does not count."""
        self._keys: list[Key] = []
        self._begun = b""
        self._block: _Block | None = None
        self._part = _Part([])

    def feed(self, piece: bytes) -> None:
        """Take what gpg wrote; a line that is not whole yet waits for its rest."""
        whole, newline, rest = piece.rpartition(b"\n")
        if not newline:
            self._begun += piece
            return
        self.take((self._begun + whole).decode(errors="surrogateescape"))
        self._begun = rest

    def end(self) -> tuple[Key, ...]:
        """Take a last line without its end, and return the keys in their order."""
        self.take(self._begun.decode(errors="surrogateescape"))
        self._begun = b""
        self._keep()
        return tuple(self._keys)

    def take(self, text: str) -> None:
        """Take whole lines."""
        for line in text.split("\n"):
            kind = line.partition(":")[0]
            if kind in _PRIMARY:
                self._keep()
                self._part = _Part(_record(line))
                self._block = _Block(self._part, [], [], [])
            elif self._block is None:
                continue
            elif kind in ("uid", "uat"):
                self._block.user_ids.append(_record(line))
                self._block.signatures.append([])
            elif kind in _SUBKEY:
                self._part = _Part(_record(line))
                self._block.subkeys.append(self._part)
            elif kind in ("sig", "rev"):
                if self._block.signatures and not self._block.subkeys:
                    self._block.signatures[-1].append(_record(line))
            elif kind == "fpr":
                self._part.fingerprint = self._part.fingerprint or _record(line)[_USER_ID].upper()
            elif kind == "grp":
                self._part.keygrip = self._part.keygrip or _record(line)[_USER_ID].upper()

    def _keep(self) -> None:
        """Keep the key whose records have been taken."""
        if self._block is not None:
            self._keys.append(_key(self._block, self._now))
            self._block = None


def _key(block: _Block, now: datetime) -> Key:
    record = block.primary.record
    common = _common(block.primary, now)
    ownertrust = _OWNERTRUSTS.get(record[_OWNERTRUST][:1], OwnerTrust.UNKNOWN)
    return Key(
        **common,
        ownertrust=ownertrust,
        disabled="D" in record[_CAPABILITIES] or common["validity"] is Validity.DISABLED,
        user_ids=tuple(
            _user_id(user_id, signatures, common)
            for user_id, signatures in zip(block.user_ids, block.signatures, strict=True)
        ),
        subkeys=tuple(Subkey(**_common(part, now)) for part in block.subkeys),
    )


def _common(part: _Part, now: datetime) -> dict[str, Any]:
    """Read what a primary key and a subkey have in common, under the names of both classes."""
    record = part.record
    validity = _validity(record)
    expires = read_time(record[_EXPIRES])
    card = record[_CARD]
    return {
        "fingerprint": part.fingerprint,
        "key_id": record[_KEY_ID].upper(),
        "algorithm": _algorithm(record[_ALGORITHM]),
        "curve": record[_CURVE],
        "bits": _number(record[_BITS]),
        "created": read_time(record[_CREATED]),
        "expires": expires,
        "validity": validity,
        "capabilities": _capabilities(record[_CAPABILITIES]),
        "revoked": validity is Validity.REVOKED,
        "expired": validity is Validity.EXPIRED or (expires is not None and expires <= now),
        # "sec" alone means a secret key too: a block that is only shown has no field 15.
        "secret": card != "#" and (card != "" or record[0] in _SECRET),
        "keygrip": part.keygrip,
        "card": "" if card in ("", "#", "+") else card,
    }


# Keys are of few kinds: what these make of a field is made once for each.
@lru_cache(99)
def _algorithm(text: str) -> PublicKeyAlgorithm:
    return PublicKeyAlgorithm(_number(text))


@lru_cache(99)
def _capabilities(text: str) -> frozenset[Capability]:
    letters = (letter for letter in text if not letter.isupper())
    return frozenset(_CAPABILITY.get(letter, Capability.UNKNOWN) for letter in letters)


def _validity(record: list[str]) -> Validity:
    # One letter today; doc/DETAILS reserves what may follow it.
    return _VALIDITIES.get(record[_VALIDITY][:1], Validity.UNKNOWN)


def _number(text: str) -> int:
    return int(text) if len(text) < 12 and text.isascii() and text.isdigit() else 0


_C_ESCAPES = re.compile(r"(?:\\(?:x[0-9A-Fa-f]{2}|[abfnrtv0\\'\"]))+")


_C_ESCAPE = re.compile(r"\\(?:x(..)|(.))")


_C_LETTERS = dict(zip("abfnrtv0\\'\"", b"\a\b\f\n\r\t\v\0\\'\"", strict=True))


def unescape_c(text: str) -> str:
    r"""Undo the C-style escapes of a listing (``\x3a``, ``\n``).

    Args:
        text: field 10 of a record, or a user id as the listing for people shows it.

    Returns:
        The text that was escaped; bytes that are not UTF-8 are kept as surrogates.
    """
    return _C_ESCAPES.sub(_plain, text) if "\\" in text else text


def _plain(escapes: re.Match[str]) -> str:
    # A whole run at once: the bytes of one UTF-8 character are escaped one by one.
    found = _C_ESCAPE.findall(escapes[0])
    raw = bytes(int(digits, 16) if digits else _C_LETTERS[letter] for digits, letter in found)
    return raw.decode(errors="surrogateescape")


def _user_id(record: list[str], signatures: list[list[str]], key: dict[str, Any]) -> UserID:
    text = unescape_c(record[_USER_ID])
    attribute = record[0] == "uat"
    placeholder = is_placeholder(text, key["fingerprint"])
    name, comment, email = ("", "", "") if attribute or placeholder else split_user_id(text)
    validity = _validity(record)
    return UserID(
        text=text,
        name=name,
        email=email,
        comment=comment,
        validity=validity,
        revoked=_is_revoked(record, key["revoked"]),
        created=read_time(record[_CREATED]),
        hash=record[_HASH],
        placeholder=placeholder,
        attribute=attribute,
        certifications=tuple(
            _certification(one) for one in signatures if one[_CLASS][:2] in _CERTIFYING
        ),
    )


def _certification(record: list[str]) -> Certification:
    kind = record[_CLASS]
    revocation = kind.startswith("30")
    return Certification(
        status=_CHECKED.get(record[_VALIDITY][:1], SignatureStatus.ERRSIG),
        fingerprint=record[_ISSUER].upper(),
        key_id=record[_KEY_ID].upper(),
        user_id=unescape_c(record[_USER_ID]),
        created=read_time(record[_CREATED]),
        expires=read_time(record[_EXPIRES]),
        level=0 if revocation else int(kind[1]),
        local=kind[2:3] == "l",
        revocation=revocation,
    )


def _is_revoked(record: list[str], key_revoked: bool) -> bool:
    """Return whether a user id is revoked by itself (rule 5)."""
    return _validity(record) is Validity.REVOKED and not (key_revoked and record[_CREATED])


_HUMAN_KEY = re.compile(r"(pub|sec)[ #>]")


_HUMAN_FINGERPRINT = re.compile(r" +(?:Key fingerprint = )?([0-9A-F][0-9A-F ]{38,}[0-9A-F])")


_HUMAN_USER_ID = re.compile(r"uid +(?:\[([ a-z]{8})\] ?)?(.*)")


def format_list_keys(text: str, secret: bool = False) -> dict[str, str]:
    """Read fingerprints and e-mail addresses from a listing of keys, of either form.

    Args:
        text: the listing for people (under ``LC_ALL=C`` or ``C.UTF-8``), or the colon listing.
        secret: take only the keys that are listed as secret ones.

    Returns:
        ``{fingerprint: address}``: the address of the first user id that is signed, not revoked
        and has one, else ``""``. The listing for people does not tell which are signed.
    """
    if re.search(r"^(?:pub|sec):", text, re.MULTILINE):
        return _addresses_from_colons(text, secret)
    return _addresses_from_text(text, secret)


def _addresses_from_colons(text: str, secret: bool) -> dict[str, str]:
    keys = (key for key in parse_colons(text) if key.fingerprint)
    return {key.fingerprint: key.email for key in keys if not secret or has_secret(key)}


def _record(line: str) -> list[str]:
    """Return the fields of a line, as many as are read, whatever was left out at its end."""
    fields = line.split(":")
    if len(fields) < _FIELDS:
        fields += [""] * (_FIELDS - len(fields))
    return fields


def _addresses_from_text(text: str, secret: bool) -> dict[str, str]:
    found: dict[str, str] = {}
    fingerprint, wanted, revoked = "", False, False
    for line in text.split("\n"):
        if key := _HUMAN_KEY.match(line):
            fingerprint, wanted = "", key[1] == "sec" or not secret
            revoked = "[revoked: " in line
        elif wanted and not fingerprint and (match := _HUMAN_FINGERPRINT.fullmatch(line)):
            fingerprint = match[1].replace(" ", "")
            found.setdefault(fingerprint, "")
        elif fingerprint and not found[fingerprint] and (match := _HUMAN_USER_ID.match(line)):
            # gpg hides a revoked user id, unless it is told otherwise or the key itself is revoked.
            hidden = match[1] == " revoked" and not revoked
            found[fingerprint] = "" if hidden else address(unescape_c(match[2]))
    return found
