"""What gpg's answer means: results, or errors.

Pure: a ``Reply`` in, a result out, or an error raised. The rules live here, once:

1. ``DECRYPTION_OKAY`` alone is not success: a wrong passphrase on an OCB message gives it too.
   Success is exit code 0, and ``DECRYPTION_OKAY``, and none of ``FATAL``.
2. Exit code 0 alone is not success: a signature by an expired key gives it too. Success is at
   least one signature, and as many good ones as there are ``NEWSIG``; a good one has ``GOODSIG``
   and ``VALIDSIG`` both.
3. An exit code that is not 0 is failure, with two exceptions, both of a decryption that succeeded
   in every other respect. It holds a signature that is not good: then the plaintext is whole, and
   the caller is told of the signature. Or it has hidden recipients: gpg tries our keys on each, and
   counts it as an error where an ECDH key does not fit.
4. ``NO_SECKEY`` for one of several recipients is no failure.
5. One message has one plaintext: a second ``PLAINTEXT`` is refused.
6. An import succeeded for the keys that have an ``IMPORT_OK``; of a revocation certificate alone
   gpg says only which key it considered, with exit code 0.
7. What gpg tells people (stderr) is shown, never parsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from .errors import (
    BadPassphrase,
    BadSignature,
    CommandFailed,
    DecryptionFailed,
    ExpiredKeySignature,
    ExpiredSignature,
    GnuPGError,
    HomeUnusable,
    ImportFailed,
    KeyNotFound,
    NoSecretKey,
    NotOpenPGP,
    NotSigned,
    OutputTooLarge,
    RevokedKeySignature,
    UnusableKey,
)
from .results import (
    Decryption,
    HashAlgorithm,
    ImportResult,
    PublicKeyAlgorithm,
    Signature,
    SignatureStatus,
    SymmetricAlgorithm,
    Validity,
    Verification,
)
from .status import KEYWORDS, ErrorCode, Status, describe, gpg_error_code, unescape_percent
from .uidless import is_placeholder

#: Bytes that gpg writes at once; no block of its is longer.
_BLOCK = 2**16

#: With one of these, nothing that gpg wrote is to be believed.
FATAL = frozenset({"NODATA", "ERROR", "UNEXPECTED", "DECRYPTION_FAILED", "BADMDC", "BADARMOR"})

#: Error codes that say: this passphrase does not open it (or none was to be had).
PASSPHRASE_CODES = frozenset(
    {
        ErrorCode.BAD_PASSPHRASE,
        ErrorCode.NO_PASSPHRASE,
        ErrorCode.INV_PASSPHRASE,
        ErrorCode.CANCELED,
        ErrorCode.NO_PIN_ENTRY,
    }
)

#: Error codes that say: the system did not let gpg write.
SYSTEM_CODES = {
    ErrorCode.ENOSPC: "no space is left on the disk",
    ErrorCode.EDQUOT: "the disk quota is used up",
    ErrorCode.EROFS: "the file system is read-only",
    ErrorCode.EACCES: "the permission was denied",
    ErrorCode.EPERM: "the operation is not permitted",
}

#: Reasons of INV_RECP and INV_SGNR (doc/DETAILS) for a key that is there, but not to be used.
UNUSABLE_REASONS = {
    "3": "it cannot be used for this",
    "4": "it is revoked",
    "5": "it has expired",
    "8": "it has no policy that allows this",
    "10": "it is not trusted",
    "13": "it is disabled",
    "14": "its syntax is wrong",
}
MISSING_REASONS = frozenset({"0", "1", "9"})


@dataclass(frozen=True, slots=True)
class Reply:
    """All that one gpg answered.

    ``obstacle`` is what keeps the home from being written, in the system's words, where a gpg
    failed and something does: gpg has no status line for that in most of its commands.
    """

    returncode: int
    stdout: bytes
    stderr: str
    status: tuple[Status, ...]
    command: str
    obstacle: str = ""

    def find(self, *keywords: str) -> Iterator[Status]:
        """Give the status lines with one of these keywords, in their order."""
        return (status for status in self.status if status.keyword in keywords)

    def has(self, *keywords: str) -> bool:
        """Tell whether there is such a line."""
        return any(True for _ in self.find(*keywords))

    def fields(self, keyword: str) -> list[dict[str, str]]:
        """Give the arguments of each line with this keyword, under their names."""
        return [describe(status) for status in self.find(keyword)]

    def codes(self) -> set[int]:
        """Give the error codes of all ``ERROR`` and ``FAILURE`` lines."""
        return {
            gpg_error_code(status.args[1])
            for status in self.find("ERROR", "FAILURE")
            if len(status.args) > 1
        }

    def details(self) -> dict[str, Any]:
        """Give what every error from this reply carries."""
        return {
            "status": [status.line for status in self.status],
            "returncode": self.returncode,
            "stderr": self.stderr,
            "command": self.command,
        }


# -- failures ------------------------------------------------------------------------------


def failure(reply: Reply, doing: str, value: str = "") -> GnuPGError:
    """Name the error of a command that failed.

    Args:
        reply: what gpg answered.
        doing: what was asked for, as in ``cannot <doing>``.
        value: the key that was asked for, where it was one.

    Returns:
        The error, to be raised.
    """
    for judge in (_system_failure, _passphrase_failure, _key_failure, _data_failure):
        error = judge(reply, doing, value)
        if error is not None:
            return error
    last = next((line for line in reversed(reply.stderr.splitlines()) if line), "")
    said = f": {last.removeprefix('gpg: ')}" if last else ""
    return CommandFailed(f"gpg cannot {doing}{said}", output=reply.stdout, **reply.details())


def _system_failure(reply: Reply, doing: str, value: str) -> GnuPGError | None:
    if reply.returncode < 0:
        return CommandFailed(
            f"cannot {doing}: gpg was ended by signal {-reply.returncode}",
            hint="was it killed, or stopped by a limit of the system (ulimit -a)?",
            output=reply.stdout,
            **reply.details(),
        )
    reasons = [SYSTEM_CODES[ErrorCode(code)] for code in reply.codes() & set(SYSTEM_CODES)]
    for reason in [*reasons, *filter(None, [reply.obstacle])]:
        return HomeUnusable(
            f"cannot {doing}: {reason}",
            hint="make room, or make the homedir writable; nothing was changed",
            **reply.details(),
        )
    if ErrorCode.NO_AGENT in reply.codes():
        return HomeUnusable(
            f"cannot {doing}: gpg-agent does not start",
            hint="is gpg-agent installed, and the homedir writable?",
            **reply.details(),
        )
    return None


def _passphrase_failure(reply: Reply, doing: str, value: str) -> GnuPGError | None:
    if reply.codes() & PASSPHRASE_CODES or reply.has("BAD_PASSPHRASE", "MISSING_PASSPHRASE"):
        return BadPassphrase(f"cannot {doing}: the passphrase does not fit", **reply.details())
    return None


def _key_failure(reply: Reply, doing: str, value: str) -> GnuPGError | None:
    for status in reply.find("INV_RECP", "INV_SGNR"):
        reason, _, who = status.rest.partition(" ")
        named = unescape_percent(who) or value
        if reason in UNUSABLE_REASONS:
            why = UNUSABLE_REASONS[reason]
            return UnusableKey(f"cannot {doing} with {named}: {why}", **reply.details())
        if reason in MISSING_REASONS:
            return _missing(reply, status.keyword == "INV_SGNR", doing, named)
    codes = reply.codes()
    if codes & {ErrorCode.UNUSABLE_PUBKEY, ErrorCode.UNUSABLE_SECKEY, ErrorCode.WRONG_KEY_USAGE}:
        return UnusableKey(f"cannot {doing}: the key cannot be used for it", **reply.details())
    if codes & {ErrorCode.NO_SECKEY}:
        return _missing(reply, True, doing, value)
    if codes & {ErrorCode.NO_PUBKEY, ErrorCode.NOT_FOUND} or reply.has("DELETE_PROBLEM"):
        return _missing(reply, False, doing, value)
    return None


def _missing(reply: Reply, secret: bool, doing: str, value: str) -> GnuPGError:
    what = "secret key" if secret else "key"
    message = f"cannot {doing}: there is no usable {what} {value}".rstrip()
    return KeyNotFound(message, value=value, **reply.details())


def _data_failure(reply: Reply, doing: str, value: str) -> GnuPGError | None:
    if reply.has("NODATA", "BADARMOR"):
        return NotOpenPGP(f"cannot {doing}: this is no OpenPGP data", **reply.details())
    return None


def unreadable(reply: Reply, doing: str) -> GnuPGError:
    """Name the error of a command that made nothing of the data that it was given."""
    error = failure(reply, doing)
    if type(error) is CommandFailed:
        message = f"cannot {doing}: this is no OpenPGP data that this gpg can read"
        return NotOpenPGP(message, **reply.details())
    return error


def require_success(reply: Reply, doing: str, value: str = "") -> Reply:
    """Give the reply back where gpg ended well.

    Raises:
        GnuPGError: as ``failure`` names it.
    """
    if reply.returncode != 0:
        raise failure(reply, doing, value)
    return reply


def require_keyword(reply: Reply, keyword: str, doing: str, value: str = "") -> Reply:
    """Give the reply back where gpg ended well and said ``keyword``: that it did the thing.

    Raises:
        GnuPGError: as ``failure`` names it.
    """
    if reply.returncode != 0 or not reply.has(keyword):
        raise failure(reply, doing, value)
    return reply


def require_within(reply: Reply, written: int, max_output: int | None) -> None:
    """Let a reply pass that kept to a bound which was given to gpg itself (``--max-output``).

    Args:
        reply: what gpg answered.
        written: bytes that it wrote.
        max_output: the bound, or None.

    Raises:
        OutputTooLarge: gpg stopped at it, which it does before the block that would pass it.
    """
    if max_output is not None and reply.returncode and written > max_output - _BLOCK:
        raise OutputTooLarge(f"more than {max_output} bytes of output", **reply.details())


def created_key(reply: Reply, doing: str) -> str:
    """Give the fingerprint of the key or subkey that was made.

    Raises:
        GnuPGError: none was.
    """
    require_keyword(reply, "KEY_CREATED", doing)
    fingerprint = reply.fields("KEY_CREATED")[-1].get("fingerprint", "")
    if not fingerprint:
        raise failure(reply, doing)
    return fingerprint


# -- signatures ----------------------------------------------------------------------------

_STATES = {state.value: state for state in SignatureStatus}
_TRUST = {
    "TRUST_UNDEFINED": Validity.UNDEFINED,
    "TRUST_NEVER": Validity.NEVER,
    "TRUST_MARGINAL": Validity.MARGINAL,
    "TRUST_FULLY": Validity.FULL,
    "TRUST_ULTIMATE": Validity.ULTIMATE,
}
_ERRSIG_NO_PUBKEY = str(int(ErrorCode.NO_PUBKEY))


def signatures(status: Iterable[Status]) -> tuple[Signature, ...]:
    """Read the signatures, each with its own state.

    Args:
        status: the status lines of one run.

    Returns:
        The signatures in gpg's order; one that gpg announced and did not judge is ``ERRSIG``.
    """
    return tuple(_signature(group) for group in _groups(status))


def _groups(status: Iterable[Status]) -> list[list[Status]]:
    """Cut the lines at each ``NEWSIG``; a judgement without one opens a group of its own."""
    groups: list[list[Status]] = []
    judged = True
    for line in status:
        if line.keyword == "NEWSIG":
            groups.append([])
            judged = False
        elif line.keyword in _STATES and line.keyword != "NO_PUBKEY":
            if judged:
                groups.append([])
            judged = True
        if groups:
            groups[-1].append(line)
    return groups


def _signature(group: list[Status]) -> Signature:
    said: dict[str, dict[str, str]] = {}
    for line in group:
        said.setdefault(line.keyword, describe(line))
    word = next((line.keyword for line in group if line.keyword in _STATES), "ERRSIG")
    judged, valid, error = said.get(word, {}), said.get("VALIDSIG", {}), said.get("ERRSIG", {})
    key = judged.get("key", "")
    hashed = valid or error
    return Signature(
        status=_state(word, valid, error),
        fingerprint=valid.get("fingerprint") or _long(error.get("fingerprint", "")) or _long(key),
        primary_fingerprint=valid.get("primary_fingerprint") or valid.get("fingerprint", ""),
        key_id=key[-16:] or valid.get("fingerprint", "")[-16:],
        user_id=_shown(judged.get("user_id", "")),
        created=_time(hashed.get("created", "")),
        expires=_time(valid.get("expires", "")),
        hash=_number(HashAlgorithm, hashed.get("hash_algorithm", "")),
        algorithm=_number(PublicKeyAlgorithm, hashed.get("public_key_algorithm", "")),
        trust=next((_TRUST[line.keyword] for line in group if line.keyword in _TRUST), None),
        notations=tuple(_notations(group)),
    )


def _shown(user_id: str) -> str:
    """Give a signer's name; our stand-in for one is none."""
    return "" if is_placeholder(user_id.removeprefix("[uncertain] ")) else user_id


def _state(word: str, valid: dict[str, str], error: dict[str, str]) -> SignatureStatus:
    if word == "ERRSIG" and error.get("reason") == _ERRSIG_NO_PUBKEY:
        return SignatureStatus.NO_PUBKEY
    if word == "GOODSIG" and not valid:
        return SignatureStatus.ERRSIG
    return _STATES[word]


def _notations(group: list[Status]) -> Iterator[tuple[str, str]]:
    """Join the pieces in which gpg reports a long notation."""
    name, value = "", ""
    for line in group:
        if line.keyword == "NOTATION_NAME":
            if name:
                yield name, value
            name, value = unescape_percent(line.rest), ""
        elif line.keyword == "NOTATION_DATA":
            value += unescape_percent(line.rest)
    if name:
        yield name, value


def _long(text: str) -> str:
    return text if len(text) >= 40 else ""


def _number(kind: Any, text: str) -> Any:
    return kind(int(text)) if text.isascii() and text.isdecimal() else None


def _time(text: str) -> datetime | None:
    """Read seconds since the epoch, or gpg's ISO form; 0 and nothing mean none."""
    if text.isascii() and text.isdecimal() and int(text):
        return datetime.fromtimestamp(int(text), UTC)
    if "T" in text:
        with suppress(ValueError):
            return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return None


#: The worst first: what is raised where several signatures are not good.
_WORST = (
    (SignatureStatus.BADSIG, BadSignature, "a signature does not fit the data"),
    (SignatureStatus.REVKEYSIG, RevokedKeySignature, "the key of a signature is revoked"),
    (SignatureStatus.EXPKEYSIG, ExpiredKeySignature, "the key of a signature has expired"),
    (SignatureStatus.EXPSIG, ExpiredSignature, "a signature has expired"),
    (SignatureStatus.ERRSIG, BadSignature, "a signature cannot be checked"),
)


def signature_error(reply: Reply, found: tuple[Signature, ...]) -> GnuPGError | None:
    """Name the error of signatures that are not all good.

    Args:
        reply: what gpg answered.
        found: the signatures in it.

    Returns:
        The error of the worst one, or None where all are good.
    """
    details = reply.details()
    for state, error, message in _WORST:
        who = next((one for one in found if one.status is state), None)
        if who is not None:
            named = f"{message}: {who.fingerprint or who.key_id}"
            return error(named, signatures=found, **details)
    missing = next((one for one in found if one.status is SignatureStatus.NO_PUBKEY), None)
    if missing is not None:
        value = missing.fingerprint or missing.key_id
        return KeyNotFound(
            f"the key that made a signature is not here: {value}", value=value, **details
        )
    return None


def verification(reply: Reply, data: bytes | None = None) -> Verification:
    """Judge a verification.

    Args:
        reply: what gpg answered.
        data: what a detached signature covers; None for gpg's own output.

    Returns:
        The covered bytes and the signatures, all of them good.

    Raises:
        NotSigned: there is no signature.
        SignatureError: one is not good.
        KeyNotFound: the key of one is not here.
        NotOpenPGP: the data is none.
    """
    found = signatures(reply.status)
    error = signature_error(reply, found)
    if error is not None:
        raise error
    if not found:
        raise _not_signed(reply)
    if reply.returncode != 0 or reply.has(*FATAL) or _several_plaintexts(reply):
        raise BadSignature(
            "there is more than what the signature covers", signatures=found, **reply.details()
        )
    return Verification(reply.stdout if data is None else data, found)


def _not_signed(reply: Reply) -> GnuPGError:
    if reply.returncode < 0:
        return failure(reply, "verify")
    if reply.has("NODATA", "BADARMOR") and not reply.has("PLAINTEXT"):
        return NotOpenPGP("this is no OpenPGP data", **reply.details())
    if reply.returncode == 0 or reply.has("UNEXPECTED", "PLAINTEXT", "BEGIN_DECRYPTION"):
        return NotSigned("there is no signature", **reply.details())
    return NotOpenPGP("there is no signature that gpg can read", **reply.details())


def _several_plaintexts(reply: Reply) -> bool:
    return sum(1 for _ in reply.find("PLAINTEXT")) > 1


# -- encryption ----------------------------------------------------------------------------


def decryption(reply: Reply) -> Decryption:
    """Judge a decryption; signatures are reported, whatever their state.

    Args:
        reply: what gpg answered.

    Returns:
        The plaintext, whole, and its signatures; ``.failure`` is what ``require_good`` raises.

    Raises:
        BadPassphrase: the passphrase opens neither key nor message.
        NoSecretKey: none of the recipients' keys is here.
        DecryptionFailed: the message is damaged, or has no integrity protection.
        NotSigned: it is neither encrypted nor signed.
        NotOpenPGP: the data is none.
    """
    found = signatures(reply.status)
    encrypted = reply.has("BEGIN_DECRYPTION", "ENC_TO", "NEED_PASSPHRASE_SYM")
    failed = signature_error(reply, found)
    if not _whole(reply, encrypted, failed is not None):
        raise _decryption_error(reply, encrypted)
    if not encrypted and not found:
        raise _not_signed(reply)
    plain = next(iter(reply.fields("PLAINTEXT")), {})
    info = next(iter(reply.fields("DECRYPTION_INFO")), {})
    return Decryption(
        data=reply.stdout,
        encrypted=encrypted,
        signatures=found,
        recipients=tuple(status.args[0] for status in reply.find("ENC_TO") if status.args),
        filename=plain.get("filename", ""),
        cipher=_number(SymmetricAlgorithm, info.get("cipher", "")),
        symmetric=reply.has("NEED_PASSPHRASE_SYM"),
        failure=failed,
    )


def _whole(reply: Reply, encrypted: bool, bad_signature: bool) -> bool:
    """Tell whether the plaintext is whole: rules 1, 3 and 5."""
    if _several_plaintexts(reply) or reply.has("NODATA", "UNEXPECTED", "DECRYPTION_FAILED"):
        return False
    if reply.has("BADMDC", "BADARMOR") or not _errors_harmless(reply):
        return False
    if encrypted and not reply.has("DECRYPTION_OKAY"):
        return False
    return reply.returncode == 0 or bad_signature or _hidden_recipient_tried(reply)


def _hidden_recipient_tried(reply: Reply) -> bool:
    """Tell whether the exit code can be that of a key tried on somebody else: rule 3."""
    hidden = any(not status.args[0].strip("0") for status in reply.find("ENC_TO") if status.args)
    return hidden and reply.returncode == 2 and reply.has("DECRYPTION_KEY") and reply.has("GOODMDC")


def _errors_harmless(reply: Reply) -> bool:
    """An ``ERROR`` for one of several recipients is none where another key opened the message."""
    others = [status for status in reply.find("ERROR") if "pkdecrypt_failed" not in status.rest]
    fatal = [status for status in reply.find("FAILURE") if "gpg-exit" not in status.rest]
    return not others and not fatal


def _decryption_error(reply: Reply, encrypted: bool) -> GnuPGError:
    details = reply.details()
    opened = reply.has("DECRYPTION_OKAY")
    if reply.returncode < 0:
        return failure(reply, "decrypt")
    if not encrypted:
        return (
            _not_signed(reply)
            if not reply.has("NEWSIG")
            else BadSignature(
                "the signed message is damaged", signatures=signatures(reply.status), **details
            )
        )
    if not opened and reply.codes() & PASSPHRASE_CODES:
        return BadPassphrase("the passphrase does not open the message", **details)
    if not opened and reply.has("NO_SECKEY") and not reply.has("DECRYPTION_INFO"):
        wanted = ", ".join(status.rest for status in reply.find("NO_SECKEY"))
        return NoSecretKey(f"none of the message's keys is here: {wanted}", **details)
    system = _system_failure(reply, "decrypt", "")
    if system is not None:
        return system
    return DecryptionFailed(
        "the message is damaged, has no integrity protection, or the passphrase is wrong; "
        "nothing of it was given out",
        **details,
    )


# -- import --------------------------------------------------------------------------------

_NEW_KEY, _NEW_USER_IDS, _NEW_SIGNATURES, _SECRET = 1, 2, 4, 16


def imported(*replies: Reply) -> ImportResult:
    """Judge an import.

    Args:
        replies: what gpg answered; several where one block was imported in several steps.

    Returns:
        The keys that gpg accepted, and its counts.

    Raises:
        ImportFailed: it accepted none.
        HomeUnusable: the keyring could not be written.
    """
    accepted: dict[str, int] = {}
    counts: dict[str, int] = {}
    for reply in replies:
        found = import_counts(reply)
        for fingerprint, reasons in (_accepted(reply) or _revoked(reply, found)).items():
            accepted[fingerprint] = accepted.get(fingerprint, 0) | reasons
        for name, number in found.items():
            counts[name] = counts.get(name, 0) + number
    # A later step goes over some of the same keys once more.
    counts["count"] = import_counts(replies[0]).get("count", 0)
    if not accepted or counts.get("not_imported", 0):
        for reply in replies:
            system = _system_failure(reply, "import", "")
            if system is not None:
                raise system
    if not accepted:
        raise ImportFailed(_why_nothing(replies[-1], counts), **replies[-1].details())
    flags = accepted.values()
    return ImportResult(
        fingerprints=tuple(accepted),
        imported=sum(1 for one in flags if one & _NEW_KEY),
        updated=sum(1 for one in flags if one & ~_SECRET and not one & _NEW_KEY),
        unchanged=sum(1 for one in flags if not one & ~_SECRET),
        secret_imported=counts.get("sec_imported", 0),
        no_user_id=counts.get("no_user_id", 0),
        counts=counts,
    )


def taken_keys(reply: Reply) -> list[str]:
    """Give the fingerprints of the keys that an import took."""
    return list(_accepted(reply))


def gained_user_ids(reply: Reply) -> list[str]:
    """Give the fingerprints of keys that were there and gained a user id by an import."""
    found = _accepted(reply).items()
    return [fingerprint for fingerprint, reasons in found if reasons & _NEW_USER_IDS]


def has_unreadable_signer(reply: Reply) -> bool:
    """Tell whether gpg has the key of a signature and does not take it: one without user ids."""
    code = str(int(ErrorCode.BAD_PUBKEY))
    return any(fields.get("reason") == code for fields in reply.fields("ERRSIG"))


def import_counts(reply: Reply) -> dict[str, int]:
    """Give the fields of ``IMPORT_RES`` under the names that doc/DETAILS gives them."""
    names = [field.name for field in KEYWORDS["IMPORT_RES"]]
    numbers = next((status.args for status in reply.find("IMPORT_RES")), ())
    return {name: _count(value) for name, value in zip(names, numbers, strict=False)}


def _accepted(reply: Reply) -> dict[str, int]:
    """Give the flags of ``IMPORT_OK``, by fingerprint."""
    accepted: dict[str, int] = {}
    for fields in reply.fields("IMPORT_OK"):
        fingerprint = fields.get("fingerprint", "")
        accepted[fingerprint] = accepted.get(fingerprint, 0) | _count(fields.get("reason", ""))
    return accepted


def _revoked(reply: Reply, counts: dict[str, int]) -> dict[str, int]:
    """Give the keys of revocation certificates that came alone: they have no ``IMPORT_OK``."""
    if reply.returncode != 0 or not counts.get("count") or counts.get("no_user_id"):
        return {}
    # What comes behind the counts is gpg's look at the trust of its user's own keys.
    before = takewhile(lambda line: line.keyword != "IMPORT_RES", reply.status)
    considered = [line.args[0] for line in before if line.keyword == "KEY_CONSIDERED" and line.args]
    return dict.fromkeys(considered, _NEW_SIGNATURES if counts.get("n_revoc") else 0)


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _why_nothing(reply: Reply, counts: dict[str, int]) -> str:
    if counts.get("no_user_id", 0):
        return "nothing was imported: the key carries no user id that it signed itself"
    if reply.has("NODATA") or not counts.get("count"):
        return "nothing was imported: this is no OpenPGP key that this gpg can read"
    last = next((line for line in reversed(reply.stderr.splitlines()) if line), "")
    return f"nothing was imported: {last.removeprefix('gpg: ')}".rstrip(": ")
