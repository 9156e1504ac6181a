"""Whether a message is to be believed: its signatures, and its plaintext.

Pure: what gpg answered in, a ``Verification`` or ``Decryption`` out, or an error raised. The rules
live here, once:

1. ``DECRYPTION_OKAY`` alone is not success: a wrong passphrase on an OCB message gives it too.
   Success is exit code 0, and ``DECRYPTION_OKAY``, and none of ``FATAL``.
2. Exit code 0 alone is not success: a signature by an expired key gives it too. Success is at
   least one signature, and as many good ones as there are ``NEWSIG``; a good one has ``GOODSIG``
   and ``VALIDSIG`` both.
3. An exit code that is not 0 is failure, with two exceptions, both of a decryption that succeeded
   in every other respect. It holds a signature that is not good: then the plaintext is whole, and
   the caller is told of the signature. Or it has hidden recipients: gpg tries our keys on each, and
   counts it as an error where an ECDH key does not fit.
4. Where one of several recipients' keys, or a passphrase, opens a message, ``NO_SECKEY`` or an
   ``ERROR`` about another is no failure.
5. One message has one plaintext: a second ``PLAINTEXT`` is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tiny_gnupg._gpg.outcome import PASSPHRASE_CODES, failure, system_failure
from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg._gpg.status import ErrorCode, Status, describe, read_time, unescape_percent
from tiny_gnupg._openpgp.placeholders import is_placeholder
from tiny_gnupg.errors import (
    BadPassphrase,
    BadSignature,
    DecryptionFailed,
    ExpiredKeySignature,
    ExpiredSignature,
    GnuPGError,
    KeyNotFound,
    NoSecretKey,
    NotOpenPGP,
    NotSigned,
    RevokedKeySignature,
)
from tiny_gnupg.results import (
    Decryption,
    HashAlgorithm,
    PublicKeyAlgorithm,
    Signature,
    SignatureStatus,
    SymmetricAlgorithm,
    Validity,
    Verification,
)

#: With one of these, nothing that gpg wrote is to be believed.
FATAL = frozenset({"NODATA", "ERROR", "UNEXPECTED", "DECRYPTION_FAILED", "BADMDC", "BADARMOR"})


#: Where gpg says in an ``ERROR`` that one key, or the passphrase of one packet, does not open it.
_OF_ONE = ("pkdecrypt_failed", "symkey_decrypt.maybe_error")


_STATES = {state.value: state for state in SignatureStatus}


_TRUST = {
    "TRUST_UNDEFINED": Validity.UNDEFINED,
    "TRUST_NEVER": Validity.NEVER,
    "TRUST_MARGINAL": Validity.MARGINAL,
    "TRUST_FULLY": Validity.FULL,
    "TRUST_ULTIMATE": Validity.ULTIMATE,
}


_ERRSIG_NO_PUBKEY = str(int(ErrorCode.NO_PUBKEY))


def read_signatures(status: Iterable[Status]) -> tuple[Signature, ...]:
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
    hashed, expires = valid or error, valid.get("expires", "")
    return Signature(
        status=_state(word, valid, error),
        fingerprint=valid.get("fingerprint") or _long(error.get("fingerprint", "")) or _long(key),
        primary_fingerprint=valid.get("primary_fingerprint") or valid.get("fingerprint", ""),
        key_id=key[-16:] or valid.get("fingerprint", "")[-16:],
        user_id=_shown(judged.get("user_id", "")),
        created=read_time(hashed.get("created", "")),
        expires=None if expires == "0" else read_time(expires),
        hash=_number(HashAlgorithm, hashed.get("hash_algorithm", "")),
        algorithm=_number(PublicKeyAlgorithm, hashed.get("public_key_algorithm", "")),
        trust=next((_TRUST[line.keyword] for line in group if line.keyword in _TRUST), None),
        notations=tuple(_notations(group)),
    )


def _shown(user_id: str) -> str:
    """Return a signer's name; our placeholder for one is none."""
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
    for state, error, message in _WORST:
        who = next((one for one in found if one.status is state), None)
        if who is not None:
            named = f"{message}: {who.fingerprint or who.key_id}"
            return error(named, signatures=found, reply=reply)
    missing = next((one for one in found if one.status is SignatureStatus.NO_PUBKEY), None)
    if missing is not None:
        value = missing.fingerprint or missing.key_id
        return KeyNotFound(
            f"the key that made a signature is not here: {value}", value=value, reply=reply
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
    found = read_signatures(reply.status)
    error = signature_error(reply, found)
    if error is not None:
        raise error
    if not found:
        raise _not_signed(reply)
    if reply.returncode != 0 or reply.has(*FATAL) or _several_plaintexts(reply):
        raise BadSignature(
            "there is more than what the signature covers", signatures=found, reply=reply
        )
    return Verification(reply.stdout if data is None else data, found)


def has_unreadable_signer(reply: Reply) -> bool:
    """Return whether gpg has the key of a signature and does not take it: one without user ids."""
    code = str(int(ErrorCode.BAD_PUBKEY))
    return any(fields.get("reason") == code for fields in reply.fields("ERRSIG"))


def _not_signed(reply: Reply) -> GnuPGError:
    if reply.returncode < 0:
        return failure(reply, "verify")
    if reply.has("NODATA", "BADARMOR") and not reply.has("PLAINTEXT"):
        return NotOpenPGP("this is no OpenPGP data", reply=reply)
    if reply.returncode == 0 or reply.has("UNEXPECTED", "PLAINTEXT", "BEGIN_DECRYPTION"):
        return NotSigned("there is no signature", reply=reply)
    return NotOpenPGP("there is no signature that gpg can read", reply=reply)


def _several_plaintexts(reply: Reply) -> bool:
    return sum(1 for _ in reply.find("PLAINTEXT")) > 1


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
    found = read_signatures(reply.status)
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
    """Return whether the plaintext is whole: rules 1, 3 and 5."""
    if _several_plaintexts(reply) or reply.has(*FATAL - {"ERROR"}) or not _errors_harmless(reply):
        return False
    if encrypted and not reply.has("DECRYPTION_OKAY"):
        return False
    return reply.returncode == 0 or bad_signature or _hidden_recipient_tried(reply)


def _hidden_recipient_tried(reply: Reply) -> bool:
    """Return whether the exit code can be that of a key tried on somebody else: rule 3."""
    hidden = any(not status.args[0].strip("0") for status in reply.find("ENC_TO") if status.args)
    return hidden and reply.returncode == 2 and reply.has("DECRYPTION_KEY") and reply.has("GOODMDC")


def _errors_harmless(reply: Reply) -> bool:
    """An ``ERROR`` about one key or passphrase is none where another opened the message: rule 4."""
    others = [status for status in reply.find("ERROR") if not status.rest.startswith(_OF_ONE)]
    fatal = [status for status in reply.find("FAILURE") if "gpg-exit" not in status.rest]
    return not others and not fatal


def _decryption_error(reply: Reply, encrypted: bool) -> GnuPGError:
    opened = reply.has("DECRYPTION_OKAY")
    if reply.returncode < 0:
        return failure(reply, "decrypt")
    if not encrypted and not reply.has("NEWSIG"):
        return _not_signed(reply)
    if not encrypted:
        found = read_signatures(reply.status)
        return BadSignature("the signed message is damaged", signatures=found, reply=reply)
    if not opened and reply.codes() & PASSPHRASE_CODES:
        return BadPassphrase("the passphrase does not open the message", reply=reply)
    if not opened and reply.has("NO_SECKEY") and not reply.has("DECRYPTION_INFO"):
        wanted = ", ".join(status.rest for status in reply.find("NO_SECKEY"))
        return NoSecretKey(f"none of the message's keys is here: {wanted}", reply=reply)
    system = system_failure(reply, "decrypt")
    if system is not None:
        return system
    return DecryptionFailed(
        "the message is damaged, has no integrity protection, or the passphrase is wrong; "
        "nothing of it was given out",
        reply=reply,
    )
