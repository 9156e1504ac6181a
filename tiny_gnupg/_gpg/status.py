"""The lines that gpg writes to its status descriptor, as data.

Pure: bytes in, data out; nothing here runs a program or touches a file. The grammar is that of
GnuPG's doc/DETAILS, "Format of the --status-fd output". What a line MEANS for a call is not
decided here but in ``outcome``, ``signatures`` and ``imports``.

The rules:

1. A line is ``[GNUPG:] KEYWORD`` with or without arguments, and only LF ends it: whatever else
   Python counts as a line break may stand inside a user id or a file name.
2. What follows the last LF is no line yet; a gpg that was stopped in the middle of
   ``VALIDSIG`` has said nothing.
3. Any other line is not ours and is passed over, never guessed at.
4. An unknown keyword is kept, because each release of GnuPG brings new ones; surplus arguments
   are passed over.
5. Text is UTF-8; bytes that are not UTF-8 survive as surrogates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

PREFIX = b"[GNUPG:] "


@dataclass(frozen=True, slots=True)
class Status:
    """One status line: its keyword, and the raw text after it (``""`` where there is none)."""

    keyword: str
    rest: str = ""

    @property
    def args(self) -> tuple[str, ...]:
        """The arguments, split at spaces; escapes are left as they are."""
        return tuple(word for word in self.rest.split(" ") if word)

    @property
    def line(self) -> str:
        """The line as gpg wrote it, without the prefix and the LF."""
        return f"{self.keyword} {self.rest}" if self.rest else self.keyword


def parse_status(data: bytes) -> tuple[Status, ...]:
    """Read what gpg wrote to its status descriptor.

    Args:
        data: the bytes; any bytes are allowed.

    Returns:
        The status lines in their order, unknown keywords among them.
    """
    *lines, _unfinished = data.split(b"\n")
    found = []
    for line in lines:
        if line.startswith(PREFIX):
            text = line[len(PREFIX) :].decode(errors="surrogateescape")
            keyword, _, rest = text.partition(" ")
            if keyword:
                found.append(Status(keyword, rest))
    return tuple(found)


_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


def unescape_percent(text: str) -> str:
    """Undo the ``%XX`` escapes of a status argument.

    Args:
        text: the argument; a ``%`` without two hex digits behind it stands for itself.

    Returns:
        The text that was escaped. It may hold control characters: show it to people only by
        way of ``errors.printable``.
    """
    return _ESCAPES.sub(_plain, text)


def read_time(text: str) -> datetime | None:
    """Read a time of a status line or of a listing.

    Args:
        text: seconds since the epoch, or doc/DETAILS' ISO form ``19660205T091500``.

    Returns:
        The moment, in UTC; None where the text is no time.
    """
    try:
        if "T" in text:
            return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        return datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _plain(escapes: re.Match[str]) -> str:
    # A whole run at once: the bytes of one UTF-8 character are escaped one by one.
    return bytes.fromhex(escapes[0].replace("%", "")).decode(errors="surrogateescape")


class Field(NamedTuple):
    """One argument of a status line.

    ``optional``: newer or older programs leave it out. ``escaped``: ``%XX`` stands in it.
    ``rest``: it runs to the end of the line and may hold spaces.
    """

    name: str
    optional: bool
    escaped: bool
    rest: bool


# One keyword a line, then its arguments in their order: [optional], %escaped, rest-of-line…
# The order of the keywords is that of doc/DETAILS.
_GRAMMAR = """
NEWSIG [%signer]
GOODSIG key %user_id…
EXPSIG key %user_id…
EXPKEYSIG key %user_id…
REVKEYSIG key %user_id…
BADSIG key %user_id…
ERRSIG key public_key_algorithm hash_algorithm signature_class created reason [fingerprint]
VALIDSIG fingerprint date created expires version reserved public_key_algorithm hash_algorithm \
signature_class [primary_fingerprint]
SIG_ID id date created
ENC_TO key public_key_algorithm bits
BEGIN_DECRYPTION
END_DECRYPTION
DECRYPTION_KEY fingerprint primary_fingerprint ownertrust
DECRYPTION_INFO mdc_method cipher [aead_algorithm]
DECRYPTION_FAILED
DECRYPTION_OKAY
SESSION_KEY algorithm_and_key
BEGIN_ENCRYPTION mdc_method cipher
END_ENCRYPTION
FILE_START operation filename…
FILE_DONE
BEGIN_SIGNING [hash]
ALREADY_SIGNED key
SIG_CREATED type public_key_algorithm hash_algorithm signature_class created fingerprint
NOTATION_NAME %name…
NOTATION_FLAGS critical human_readable
NOTATION_DATA %value…
POLICY_URL %url…
PLAINTEXT format created [%filename…]
PLAINTEXT_LENGTH length
ATTRIBUTE fingerprint length type index count created expires flags
SIG_SUBPACKET type flags length %data…
ENCRYPTION_COMPLIANCE_MODE modes…
DECRYPTION_COMPLIANCE_MODE modes…
VERIFICATION_COMPLIANCE_MODE modes…
INV_RECP reason %recipient…
INV_SGNR reason %sender…
NO_RECP [reserved]
NO_SGNR [reserved]
KEY_CONSIDERED fingerprint flags
KEYEXPIRED expired
KEYREVOKED
NO_PUBKEY key
NO_SECKEY key
KEY_CREATED type fingerprint [handle]
KEY_NOT_CREATED [handle]
TRUST_UNDEFINED [error] [model]
TRUST_NEVER [error] [model]
TRUST_MARGINAL [error] [model]
TRUST_FULLY [error] [model]
TRUST_ULTIMATE [error] [model]
TOFU_USER fingerprint %address
TOFU_STATS summary signed encrypted [policy] [first_signed] [last_signed] [first_encrypted] \
[last_encrypted] [validity] [days_signed] [days_encrypted]
TOFU_STATS_SHORT text…
TOFU_STATS_LONG %text…
PKA_TRUST_GOOD address
PKA_TRUST_BAD address
GET_BOOL prompt
GET_LINE prompt
GET_HIDDEN prompt
GOT_IT
USERID_HINT key user_id…
NEED_PASSPHRASE key primary_key public_key_algorithm bits
NEED_PASSPHRASE_SYM cipher s2k_mode s2k_hash
NEED_PASSPHRASE_PIN card_type pin_number [serial_number]
MISSING_PASSPHRASE
BAD_PASSPHRASE key
GOOD_PASSPHRASE
IMPORT_CHECK key fingerprint user_id…
IMPORTED key user_id…
IMPORT_OK reason [fingerprint]
IMPORT_PROBLEM reason [fingerprint]
IMPORT_RES count no_user_id imported always_zero unchanged n_uids n_subk n_sigs n_revoc sec_read \
sec_imported sec_dups skipped_new_keys not_imported skipped_v3_keys
EXPORTED fingerprint
EXPORT_RES count secret_count exported
CARDCTRL what [serial_number]
SC_OP_FAILURE [reason]
SC_OP_SUCCESS
NODATA reason
UNEXPECTED reason
TRUNCATED maximum
ERROR location code [more…]
WARNING location code [text…]
NOTE location code [text…]
SUCCESS [location]
FAILURE location code
BADARMOR
DELETE_PROBLEM reason
PROGRESS what char current total [units]
BACKUP_KEY_CREATED fingerprint %filename…
MOUNTPOINT %name…
PINENTRY_LAUNCHED pid [extra…]
SIGEXPIRED
RSA_OR_IDEA
SHM_INFO
SHM_GET
SHM_GET_BOOL
SHM_GET_HIDDEN
BEGIN_STREAM
END_STREAM
PUBKEY_INFO type ubid
KEYPAIRINFO keygrip key_reference [usage] [created]
MANUFACTURER number [name…]
"""


def _field(text: str) -> Field:
    name = text.strip("[%…]")
    return Field(name, text.startswith("["), "%" in text, "…" in text)


KEYWORDS: Mapping[str, tuple[Field, ...]] = MappingProxyType(
    {
        keyword: tuple(_field(word) for word in words)
        for keyword, *words in (line.split() for line in _GRAMMAR.strip().splitlines())
    }
)


"""Every keyword of doc/DETAILS (GnuPG 2.2.40) with its arguments."""


OBSOLETE = frozenset(
    {
        "SIGEXPIRED",
        "RSA_OR_IDEA",
        "SHM_INFO",
        "SHM_GET",
        "SHM_GET_BOOL",
        "SHM_GET_HIDDEN",
        "BEGIN_STREAM",
        "END_STREAM",
    }
)


"""Keywords that no supported gpg sends any more."""


INTERNAL = frozenset({"PUBKEY_INFO", "KEYPAIRINFO", "MANUFACTURER"})


"""Keywords that the parts of GnuPG send to each other, not gpg to its caller."""


def describe(status: Status) -> dict[str, str]:
    """Name the arguments of a status line as ``KEYWORDS`` does, escapes undone.

    Args:
        status: the line; its keyword may be unknown.

    Returns:
        The values under their names; an argument that is not there has no entry, and neither
        have surplus arguments and those of an unknown keyword.
    """
    values: dict[str, str] = {}
    left = status.rest
    for field in KEYWORDS.get(status.keyword, ()):
        # doc/DETAILS writes two spaces between some arguments; gpg itself writes one.
        left = left.lstrip(" ")
        value, left = (left, "") if field.rest else _first_word(left)
        if not value:
            break
        values[field.name] = unescape_percent(value) if field.escaped else value
    return values


def _first_word(text: str) -> tuple[str, str]:
    word, _, left = text.partition(" ")
    return word, left


class ErrorCode(IntEnum):
    """The codes of libgpg-error (gpg-error.h) that tell our outcomes apart."""

    NO_ERROR = 0
    GENERAL = 1
    UNKNOWN_PACKET = 2
    UNKNOWN_VERSION = 3
    PUBKEY_ALGO = 4
    DIGEST_ALGO = 5
    BAD_PUBKEY = 6
    BAD_SECKEY = 7
    BAD_SIGNATURE = 8
    NO_PUBKEY = 9
    CHECKSUM = 10
    BAD_PASSPHRASE = 11
    CIPHER_ALGO = 12
    KEYRING_OPEN = 13
    INV_PACKET = 14
    INV_ARMOR = 15
    NO_USER_ID = 16
    NO_SECKEY = 17
    WRONG_SECKEY = 18
    BAD_KEY = 19
    COMPR_ALGO = 20
    NOT_FOUND = 27
    SYNTAX = 29
    BAD_MPI = 30
    INV_PASSPHRASE = 31
    SIG_CLASS = 32
    RESOURCE_LIMIT = 33
    INV_KEYRING = 34
    TRUSTDB = 35
    INV_USER_ID = 37
    UNEXPECTED = 38
    TIME_CONFLICT = 39
    WRONG_PUBKEY_ALGO = 41
    WEAK_KEY = 43
    NOT_ENCRYPTED = 51
    UNUSABLE_PUBKEY = 53
    UNUSABLE_SECKEY = 54
    INV_VALUE = 55
    NO_DATA = 58
    NOT_SUPPORTED = 60
    TIMEOUT = 62
    TOO_LARGE = 67
    NOT_IMPLEMENTED = 69
    NO_AGENT = 77
    AGENT = 78
    INV_DATA = 79
    INV_SESSION_KEY = 82
    UNSUPPORTED_ALGORITHM = 84
    NO_PIN_ENTRY = 85
    PIN_ENTRY = 86
    BAD_PIN = 87
    BAD_DATA = 89
    NOT_TRUSTED = 98
    CANCELED = 99
    AMBIGUOUS_NAME = 107
    CARD = 108
    CARD_REMOVED = 110
    CARD_NOT_PRESENT = 112
    NOT_CONFIRMED = 114
    NO_SCDAEMON = 119
    SCDAEMON = 120
    WRONG_KEY_USAGE = 125
    PIN_BLOCKED = 130
    UNKNOWN_ALGORITHM = 149
    DECRYPT_FAILED = 152
    KEY_EXPIRED = 153
    SIG_EXPIRED = 154
    NO_PASSPHRASE = 177
    NO_PIN = 178
    AMBIGUOUS = 190
    FULLY_CANCELED = 198
    SUBKEYS_EXP_OR_REV = 217
    NO_KEY = 221
    LEGACY_KEY = 222
    FORBIDDEN = 251
    KEY_DISABLED = 252
    KEY_ON_CARD = 253
    EOF = 16383
    # Those of the operating system carry bit 15.
    EACCES = 32769
    EDQUOT = 32802
    EEXIST = 32803
    EFBIG = 32805
    EIO = 32817
    EISDIR = 32819
    EMFILE = 32833
    ENAMETOOLONG = 32837
    ENODEV = 32848
    ENOENT = 32849
    ENOMEM = 32854
    ENOSPC = 32859
    EPERM = 32875
    EPIPE = 32877
    EROFS = 32890
    ETIMEDOUT = 32900


_NUMBER = re.compile(r"([0-9]{1,10})(?:_|$)")


def gpg_error_code(text: str) -> int:
    """Read an error code as status lines carry it, and drop the part of GnuPG it came from.

    A code is ``source << 24 | code`` in decimal, bare or with its name behind it
    (``151011327_EOF``), or a name alone (doc/DETAILS, ERROR; gpg-error.h).

    Args:
        text: the argument of ``ERROR``, ``FAILURE``, ``WARNING`` or ``NOTE``.

    Returns:
        The code's low 16 bits, to be compared with ``ErrorCode``; what is no code gives
        ``ErrorCode.GENERAL``.
    """
    number = _NUMBER.match(text)
    if number:
        return int(number[1]) & 0xFFFF
    return ErrorCode.__members__.get(text.upper(), ErrorCode.GENERAL)
