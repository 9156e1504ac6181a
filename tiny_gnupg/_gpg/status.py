"""The lines that gpg writes to its status descriptor, as data.

Pure: bytes in, data out; nothing here runs a program or touches a file. The grammar is that of
GnuPG's doc/DETAILS, "Format of the ``--status-fd`` output". What a line MEANS for a call is not
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

    ``escaped``: ``%XX`` stands in it. ``rest``: it runs to the end of the line and may hold spaces.
    """

    name: str
    escaped: bool
    rest: bool


# One keyword a line, then its arguments in their order: %escaped, rest-of-line…
# The order of the keywords is that of doc/DETAILS.
_GRAMMAR = """
GOODSIG key %user_id…
EXPSIG key %user_id…
EXPKEYSIG key %user_id…
REVKEYSIG key %user_id…
BADSIG key %user_id…
ERRSIG key public_key_algorithm hash_algorithm signature_class created reason fingerprint
VALIDSIG fingerprint date created expires version reserved public_key_algorithm hash_algorithm \
signature_class primary_fingerprint
ENC_TO key public_key_algorithm bits
DECRYPTION_INFO mdc_method cipher aead_algorithm
BEGIN_ENCRYPTION mdc_method cipher
NOTATION_FLAGS critical human_readable
PLAINTEXT format created %filename…
KEY_CREATED type fingerprint handle
IMPORT_OK reason fingerprint
IMPORT_RES count no_user_id imported always_zero unchanged n_uids n_subk n_sigs n_revoc sec_read \
sec_imported sec_dups skipped_new_keys not_imported skipped_v3_keys
"""


def _field(text: str) -> Field:
    return Field(text.strip("%…"), text.startswith("%"), text.endswith("…"))


KEYWORDS: Mapping[str, tuple[Field, ...]] = MappingProxyType(
    {
        keyword: tuple(_field(word) for word in words)
        for keyword, *words in (line.split() for line in _GRAMMAR.strip().splitlines())
    }
)


"""The keywords whose arguments are read, with those; of GnuPG 2.2.40's doc/DETAILS."""


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

    GENERAL = 1
    UNKNOWN_VERSION = 3
    PUBKEY_ALGO = 4
    DIGEST_ALGO = 5
    BAD_PUBKEY = 6
    NO_PUBKEY = 9
    BAD_PASSPHRASE = 11
    CIPHER_ALGO = 12
    NO_SECKEY = 17
    COMPR_ALGO = 20
    NOT_FOUND = 27
    INV_PASSPHRASE = 31
    SIG_CLASS = 32
    TIME_CONFLICT = 39
    UNUSABLE_PUBKEY = 53
    UNUSABLE_SECKEY = 54
    NOT_SUPPORTED = 60
    NOT_IMPLEMENTED = 69
    NO_AGENT = 77
    UNSUPPORTED_ALGORITHM = 84
    NO_PIN_ENTRY = 85
    BAD_PIN = 87
    CANCELED = 99
    CARD = 108
    CARD_REMOVED = 110
    CARD_NOT_PRESENT = 112
    NO_SCDAEMON = 119
    SCDAEMON = 120
    WRONG_KEY_USAGE = 125
    PIN_BLOCKED = 130
    UNKNOWN_ALGORITHM = 149
    NO_PASSPHRASE = 177
    EOF = 16383
    # Those of the operating system carry bit 15.
    EACCES = 32769
    EDQUOT = 32802
    ENODEV = 32848
    ENOSPC = 32859
    EPERM = 32875
    EROFS = 32890


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
