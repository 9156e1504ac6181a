"""What the calls give back: frozen dataclasses, and enums in OpenPGP's and GnuPG's own terms.

Pure: nothing here runs a program or touches a file. Times are aware ``datetime`` objects in
UTC, or ``None``; fingerprints and key ids are upper-case hex. Numbers of algorithms are those
of RFC 9580, sections 9.1 to 9.5; one that the tables do not name becomes ``UNKNOWN_<number>``
instead of an error, because new ones come with each release.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Self

from tiny_gnupg.errors import GnuPGError, NotSigned, NotText

_FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")


class _OpenNumber(IntEnum):
    """A registry number; one that the table does not hold is kept as ``UNKNOWN_<number>``."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int) or value < 0:
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member

    def __reduce_ex__(self, protocol: object) -> tuple[type[Self], tuple[int]]:
        # By its number: Python 3.11.0 to 3.11.3 ask the class for the name.
        return type(self), (int(self),)


class PublicKeyAlgorithm(_OpenNumber):
    """Public-key algorithms (RFC 9580, section 9.1)."""

    RSA = 1
    RSA_ENCRYPT = 2
    RSA_SIGN = 3
    #: As GnuPG 2.5 has it (LibrePGP); RFC 9580 reserves the number.
    KYBER = 8
    ELGAMAL = 16
    DSA = 17
    ECDH = 18
    ECDSA = 19
    ELGAMAL_SIGN = 20
    EDDSA = 22
    X25519 = 25
    X448 = 26
    ED25519 = 27
    ED448 = 28


class HashAlgorithm(_OpenNumber):
    """Hash algorithms (RFC 9580, section 9.5)."""

    MD5 = 1
    SHA1 = 2
    RIPEMD160 = 3
    SHA256 = 8
    SHA384 = 9
    SHA512 = 10
    SHA224 = 11
    SHA3_256 = 12
    SHA3_512 = 14


class SymmetricAlgorithm(_OpenNumber):
    """Symmetric-key algorithms (RFC 9580, section 9.3)."""

    PLAINTEXT = 0
    IDEA = 1
    TRIPLEDES = 2
    CAST5 = 3
    BLOWFISH = 4
    AES128 = 7
    AES192 = 8
    AES256 = 9
    TWOFISH = 10
    CAMELLIA128 = 11
    CAMELLIA192 = 12
    CAMELLIA256 = 13


class Validity(StrEnum):
    """How far gpg holds a key or user id to be its owner's (doc/DETAILS, field 2)."""

    UNKNOWN = "unknown"
    INVALID = "invalid"
    DISABLED = "disabled"
    REVOKED = "revoked"
    EXPIRED = "expired"
    UNDEFINED = "undefined"
    NEVER = "never"
    MARGINAL = "marginal"
    FULL = "full"
    ULTIMATE = "ultimate"
    WELL_KNOWN = "well-known"
    SPECIAL = "special"


class OwnerTrust(StrEnum):
    """How far a key's owner is trusted to certify other keys (doc/DETAILS, field 9)."""

    UNKNOWN = "unknown"
    UNDEFINED = "undefined"
    NEVER = "never"
    MARGINAL = "marginal"
    FULL = "full"
    ULTIMATE = "ultimate"


class Capability(StrEnum):
    """What a key may be used for (doc/DETAILS, field 12); the values are gpg's letters."""

    ENCRYPT = "e"
    SIGN = "s"
    CERTIFY = "c"
    AUTHENTICATE = "a"
    RESTRICTED_ENCRYPT = "r"
    TIMESTAMP = "t"
    GROUP = "g"
    UNKNOWN = "?"


class SignatureStatus(StrEnum):
    """The state of one signature, in the words of gpg's status lines (doc/DETAILS).

    The last two are ours, for what gpg takes for good: ``WEAK_DIGEST`` is made with a hash that is
    not for signatures (MD5, SHA-1, RIPEMD-160: RFC 9580, section 9.5), ``FUTURE`` is dated more
    than a day ahead.
    """

    GOODSIG = "GOODSIG"
    EXPSIG = "EXPSIG"
    EXPKEYSIG = "EXPKEYSIG"
    REVKEYSIG = "REVKEYSIG"
    BADSIG = "BADSIG"
    ERRSIG = "ERRSIG"
    NO_PUBKEY = "NO_PUBKEY"
    WEAK_DIGEST = "WEAK_DIGEST"
    FUTURE = "FUTURE"


@dataclass(frozen=True, slots=True)
class Certification:
    """What a key says of a user id: that it is the owner's, or, in a revocation, no more.

    ``status`` is ``GOODSIG``, ``BADSIG``, ``NO_PUBKEY`` (not checked: the certifying key is not
    here or, for GnuPG 2.2, revoked) or ``ERRSIG``. ``fingerprint`` is that of the key that made it,
    or ``""`` where only its id is told; ``user_id`` is that key's name, where it is here.
    ``level`` is how well it was checked: 0 not said, 1 not at all, 2 casually, 3 carefully (RFC
    9580, section 5.2.1). ``local`` ones never leave the keyring.
    """

    status: SignatureStatus
    fingerprint: str
    key_id: str
    user_id: str
    created: datetime | None
    expires: datetime | None
    level: int
    local: bool
    revocation: bool


@dataclass(frozen=True, slots=True)
class UserID:
    """A user id or user attribute of a key.

    ``text`` is the whole user id; ``name``, ``email`` and ``comment`` are its parts by custom
    (``Name (comment) <address>``), empty where it has none. ``placeholder`` marks the one that
    this library writes for a key that was published without user ids. ``attribute`` is true for
    a user attribute packet (a photo): its text is gpg's ``<count> <bytes>``. ``created`` is when
    the owner signed it last. All text is as the key has it, control characters and line ends
    included: print a stranger's by ``repr``. ``certifications`` are what keys, the owner's own
    among them, say of it, where they were asked for.
    """

    text: str
    name: str
    email: str
    comment: str
    validity: Validity
    revoked: bool
    created: datetime | None
    hash: str
    placeholder: bool = False
    attribute: bool = False
    certifications: tuple[Certification, ...] = ()

    def certified_by(self, fingerprint: str | Key, *, local: bool = True) -> bool:
        """Return whether a key certifies this user id now, by the last that it said of it.

        Args:
            fingerprint: that of the certifying primary key, or a ``Key``: what one that is revoked
                said counts no more. Of a fingerprint nobody knows here whether it is. What tells
                only the id of its key, as older programs make it, does not count.
            local: count what never leaves the keyring, too.
        """
        name = _fingerprint(fingerprint)
        good = [
            one
            for one in self.certifications
            if one.fingerprint == name and one.status is SignatureStatus.GOODSIG and one.created
        ]
        last = max((one.created for one in good if one.created), default=None)
        said = [one for one in good if one.created == last and not _is_over(one.expires)]
        revoked = any(one.revocation for one in said)
        revoked = revoked or (isinstance(fingerprint, Key) and fingerprint.revoked)
        return not revoked and any(local or not one.local for one in said)

    @property
    def signed(self) -> bool:
        """Whether the key's owner signed it, to claim or to revoke it; else it proves nothing.

        Anybody can add a user id to a key. gpg drops one without a valid signature of the owner
        when it imports the key, but builds of GnuPG 2.4 keep it, and list it without a date.
        """
        # Of a revoked key all user ids are revoked that have no date, our placeholder with them.
        return self.created is not None or (self.revoked and not self.placeholder)


@dataclass(frozen=True, slots=True)
class Subkey:
    """A subkey. ``card`` is the serial number of the card that holds it, else ``""``."""

    fingerprint: str
    key_id: str
    algorithm: PublicKeyAlgorithm
    curve: str
    bits: int
    created: datetime | None
    expires: datetime | None
    validity: Validity
    capabilities: frozenset[Capability]
    revoked: bool
    expired: bool
    secret: bool
    keygrip: str
    card: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """A key: its primary key, user ids and subkeys.

    ``capabilities`` are the primary key's own; ``usable_for`` asks the whole key. ``secret`` is
    true where the secret part of the primary key is there (also on a card).
    """

    fingerprint: str
    key_id: str
    algorithm: PublicKeyAlgorithm
    curve: str
    bits: int
    created: datetime | None
    expires: datetime | None
    validity: Validity
    ownertrust: OwnerTrust
    capabilities: frozenset[Capability]
    revoked: bool
    expired: bool
    disabled: bool
    secret: bool
    keygrip: str
    user_ids: tuple[UserID, ...] = ()
    subkeys: tuple[Subkey, ...] = ()
    card: str = ""

    @property
    def email(self) -> str:
        """The address of the first user id that is signed, not revoked and has one, else ``""``."""
        claimed = (uid for uid in self.user_ids if uid.signed and not uid.revoked)
        return next((uid.email for uid in claimed if uid.email), "")

    @property
    def certifications(self) -> tuple[Certification, ...]:
        """What keys, itself among them, say of its user ids, where that was asked for."""
        return tuple(one for user_id in self.user_ids for one in user_id.certifications)

    @property
    def encryption_subkeys(self) -> tuple[Subkey, ...]:
        """The subkeys that can be encrypted to now."""
        able = (one for one in self.subkeys if Capability.ENCRYPT in one.capabilities)
        return tuple(one for one in able if _alive(one))

    def expires_soon(self, within: timedelta) -> bool:
        """Return whether something that this key can do now, it cannot do any more after a time."""
        then = datetime.now(UTC) + within
        able = filter(self.usable_for, Capability)
        return any(not (_alive(self, then) and self._can(one, then)) for one in able)

    def usable_for(self, capability: Capability | str) -> bool:
        """Return whether this key can be used now for ``capability``.

        Args:
            capability: what it is wanted for; a ``Capability`` or its letter.

        Returns:
            True where neither the key is revoked, expired, disabled or invalid, and the primary
            key or a subkey that is alive has the capability.
        """
        return not self.disabled and _alive(self) and self._can(Capability(capability))

    def _can(self, wanted: Capability, then: datetime | None = None) -> bool:
        return wanted in self.capabilities or any(
            wanted in subkey.capabilities and _alive(subkey, then) for subkey in self.subkeys
        )


def _alive(key: Key | Subkey, then: datetime | None = None) -> bool:
    over = then is not None and _is_over(key.expires, then)
    return not (key.revoked or key.expired or key.validity is Validity.INVALID or over)


def _is_over(expires: datetime | None, then: datetime | None = None) -> bool:
    return expires is not None and expires <= (then or datetime.now(UTC))


def _fingerprint(given: str | Key) -> str:
    """Return the fingerprint that a caller names a signer by.

    Raises:
        TypeError: it is neither text nor a key.
        ValueError: it is none; a key id or an address would not tell keys apart.
    """
    text = given.fingerprint if isinstance(given, Key) else given
    if not isinstance(text, str):
        raise TypeError(f"a signer is asked for by text or a Key, not {type(text).__name__}")
    named = text.replace(" ", "").upper().removeprefix("0X")
    if not _FINGERPRINT.fullmatch(named):
        raise ValueError(f"a signer is asked for by the fingerprint, not by {text!r}")
    return named


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature over data, as gpg judged it.

    ``fingerprint`` is the signing key's or subkey's own, ``primary_fingerprint`` that of the key
    it belongs to; both are ``""`` where gpg cannot know them (the key is missing and the
    signature names only its id). ``notations`` are ``(name, value)`` pairs: the value is text, or
    bytes where its signer says that it is none (RFC 9580, section 5.2.3.24). They and ``user_id``
    are as they were written, control characters and line ends included: print them by ``repr``.
    """

    status: SignatureStatus
    fingerprint: str
    primary_fingerprint: str
    key_id: str
    user_id: str
    created: datetime | None
    expires: datetime | None
    hash: HashAlgorithm | None
    algorithm: PublicKeyAlgorithm | None
    trust: Validity | None
    notations: tuple[tuple[str, str | bytes], ...] = ()

    @property
    def good(self) -> bool:
        """True for a good signature by a key that is neither expired nor revoked."""
        return self.status is SignatureStatus.GOODSIG


class _Signed:
    """What can be asked of the signatures of a result."""

    __slots__ = ()
    signatures: tuple[Signature, ...]
    failure: GnuPGError | None

    def signed_by(self, fingerprint: str | Key) -> bool:
        """Return whether one of the signatures is good and by this key.

        Args:
            fingerprint: that of the primary key or of the subkey that signed, or a ``Key``.

        Raises:
            ValueError: it is no fingerprint; a key id or an address would not tell keys apart.
        """
        named = _fingerprint(fingerprint)
        return any(
            one.good and named in (one.fingerprint, one.primary_fingerprint)
            for one in self.signatures
        )

    def require_good(self) -> Self:
        """Return this back unless a signature is not good; a message that nobody signed passes.

        Raises:
            SignatureError: as ``GnuPG.decrypt`` would for the same message.
            KeyNotFound: where a signer's key is missing; ``.value`` names it.
            UnsupportedByGnuPG: this gpg lacks the algorithm of a signature.
        """
        if self.failure is not None:
            raise self.failure
        return self

    def require_signed(self) -> Self:
        """Return this back where it is signed, and every signature is good.

        Raises:
            NotSigned: nobody signed it.
            GnuPGError: a signature is not good; as ``require_good``.
        """
        if not self.signatures:
            raise NotSigned("there is no signature")
        return self.require_good()


@dataclass(frozen=True, slots=True)
class Verification(_Signed):
    """What ``verify`` found: the covered bytes, as gpg gave them, and every signature.

    Its ``repr`` leaves the bytes out. With ``signer=`` a signature that is not good may be among
    them; ``failure`` is what ``require_good`` raises then.
    """

    data: bytes = field(repr=False)
    signatures: tuple[Signature, ...]
    failure: GnuPGError | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Decryption(_Signed):
    """What a decryption gave, with every signature apart. Its ``repr`` shows no plaintext.

    ``recipients`` are the key ids that the message names (all zeros: hidden), ``filename`` is
    what the sender wrote into the message and proves nothing, ``symmetric`` tells whether a
    passphrase can open the message, and ``passphrase_used`` whether one did. Of a file, ``data`` is
    empty and ``path`` is where the plaintext is. ``session_key`` opens this one message without any
    key; it is ``""`` unless it was asked for, and the ``repr`` does not show it.
    """

    data: bytes = field(repr=False)
    encrypted: bool
    signatures: tuple[Signature, ...]
    recipients: tuple[str, ...]
    filename: str = field(repr=False)
    cipher: SymmetricAlgorithm | None
    symmetric: bool
    failure: GnuPGError | None = field(default=None, repr=False, compare=False)
    path: Path | None = None
    passphrase_used: bool = False
    session_key: str = field(default="", repr=False)

    @property
    def text(self) -> str:
        """The plaintext as UTF-8 text.

        Raises:
            NotText: where the plaintext is not UTF-8.
        """
        try:
            return self.data.decode()
        except UnicodeDecodeError as error:
            place = error.start
        raise NotText.at(place)


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What came of a custom command: its exit code and all that it wrote.

    ``returncode`` is negative where a signal ended it; ``stderr`` is what it told people, control
    characters escaped; ``status`` are its status lines, without their prefix.
    """

    returncode: int
    stdout: bytes = field(repr=False)
    stderr: str
    status: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did.

    ``fingerprints`` are the keys that gpg accepted, ``updated`` counts those that were there and
    gained something, ``counts`` are the fields of ``IMPORT_RES`` under their names in
    doc/DETAILS.
    """

    fingerprints: tuple[str, ...]
    imported: int
    updated: int
    unchanged: int
    secret_imported: int
    no_user_id: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Packet:
    """One OpenPGP packet: framing read from the bytes, fields from gpg's text.

    ``offset`` and ``length`` are in bytes of the binary form, ``length`` with its header.
    """

    tag: int
    name: str
    offset: int
    length: int
    fields: Mapping[str, str]
    lines: tuple[str, ...]
