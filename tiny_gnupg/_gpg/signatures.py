"""Whether signatures are to be believed.

Pure: what gpg answered in, a ``Verification`` out, or an error raised. What a decryption gave is
judged in ``plaintexts``. The rules live here, once:

1. Exit code 0 alone is not success: a signature by an expired key gives it too. Success is at
   least one signature, and as many good ones as there are ``NEWSIG``; a good one has ``GOODSIG``
   and ``VALIDSIG`` both.
2. Not everything is good that gpg takes for good: a hash that is not for signatures (RFC 9580,
   section 9.5) and a date more than a day ahead are states of their own.
3. Of several signatures of different kinds (binary and text) gpg checks the first alone, and
   says so to people only. That sentence is looked for: what was not checked is an ``ERRSIG``. A
   sender who brings it in by other means has their own message refused, and no more.
4. That the data was changed is said where gpg found it (``BADSIG``), and nowhere else. Of what
   it could not check, ``ERRSIG`` has the reason.
5. Where a signer is asked for, one good signature has to be theirs. Those of others may then be
   by keys that are not here or have expired since; one that is bad in any other way is refused.
6. A gpg that was ended from outside has answered nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tiny_gnupg._gpg.outcome import CRASH_HINT, UNSUPPORTED_CODES, system_failure
from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg._gpg.status import ErrorCode, Status, describe, read_time, unescape_percent
from tiny_gnupg._openpgp.placeholders import is_placeholder
from tiny_gnupg.errors import (
    BadSignature,
    ExpiredKeySignature,
    ExpiredSignature,
    GnuPGError,
    KeyNotFound,
    NotOpenPGP,
    NotSigned,
    RevokedKeySignature,
    SignatureError,
    UnsupportedByGnuPG,
    WrongSigner,
)
from tiny_gnupg.results import (
    HashAlgorithm,
    PublicKeyAlgorithm,
    Signature,
    SignatureStatus,
    Validity,
    Verification,
)

#: With one of these, nothing that gpg wrote is to be believed.
FATAL = frozenset({"NODATA", "ERROR", "UNEXPECTED", "DECRYPTION_FAILED", "BADMDC", "BADARMOR"})


#: Hashes that are not for signatures: RFC 9580, section 9.5; SHAttered for SHA-1.
WEAK_DIGESTS = frozenset({HashAlgorithm.MD5, HashAlgorithm.SHA1, HashAlgorithm.RIPEMD160})


#: So far may a signer's clock be ahead of ours.
AHEAD = timedelta(days=1)


#: What gpg tells people where it checks one of several signatures (its mainproc.c): rule 3.
_FIRST_ALONE = "multiple signatures detected"


#: The states of others' signatures that do not matter where a signer is asked for: rule 5.
_PASSED_OVER = frozenset(
    {SignatureStatus.NO_PUBKEY, SignatureStatus.EXPSIG, SignatureStatus.EXPKEYSIG}
)


#: What a literal packet says of text (RFC 9580, section 5.9), as gpg tells it.
_TEXT = frozenset({f"{ord(mode):X}" for mode in "tul1"})


#: Reasons of an ``ERRSIG``.
_BAD_KEY, _NO_KEY = str(int(ErrorCode.BAD_PUBKEY)), str(int(ErrorCode.NO_PUBKEY))


#: States of signatures that say nothing of the data.
_OF_NOTHING = frozenset({SignatureStatus.NO_PUBKEY, SignatureStatus.ERRSIG, SignatureStatus.BADSIG})


#: Classes of signatures (RFC 9580, section 5.2.1) that are of data.
_OF_DATA = frozenset({"00", "01"})


_STATES = {
    state.value: state
    for state in SignatureStatus
    if state not in (SignatureStatus.WEAK_DIGEST, SignatureStatus.FUTURE)
}


_TRUST = {
    "TRUST_UNDEFINED": Validity.UNDEFINED,
    "TRUST_NEVER": Validity.NEVER,
    "TRUST_MARGINAL": Validity.MARGINAL,
    "TRUST_FULLY": Validity.FULL,
    "TRUST_ULTIMATE": Validity.ULTIMATE,
}


#: Why gpg could not check a signature (ERRSIG), in words.
_UNCHECKED = {
    ErrorCode.BAD_PUBKEY: "its key cannot be used here",
    ErrorCode.SIG_CLASS: "it is no signature of data",
    ErrorCode.TIME_CONFLICT: "it is older than its key",
    ErrorCode.WRONG_KEY_USAGE: "its key is not for signing",
}


def read_signatures(reply: Reply, now: datetime | None = None) -> tuple[Signature, ...]:
    """Read the signatures, each with its own state.

    Args:
        reply: what gpg answered.
        now: the moment that decides what is dated ahead, aware; default: this one.

    Returns:
        The signatures in gpg's order; one that gpg announced and did not judge is ``ERRSIG``.
    """
    moment = now or datetime.now(UTC)
    found = [_signature(group, moment) for group in _groups(reply.status)]
    if found and _FIRST_ALONE in reply.stderr:
        found.append(_signature([], moment))
    return tuple(found)


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


def _signature(group: list[Status], now: datetime) -> Signature:
    said: dict[str, dict[str, str]] = {}
    for line in group:
        said.setdefault(line.keyword, describe(line))
    word = next((line.keyword for line in group if line.keyword in _STATES), "ERRSIG")
    judged, valid, error = said.get(word, {}), said.get("VALIDSIG", {}), said.get("ERRSIG", {})
    key = judged.get("key", "")
    hashed, expires = valid or error, valid.get("expires", "")
    digest = _number(HashAlgorithm, hashed.get("hash_algorithm", ""))
    created = read_time(hashed.get("created", ""))
    return Signature(
        status=_state(word, error.get("reason", ""), bool(valid), digest, created, now),
        fingerprint=valid.get("fingerprint") or _long(error.get("fingerprint", "")) or _long(key),
        primary_fingerprint=valid.get("primary_fingerprint") or valid.get("fingerprint", ""),
        key_id=key[-16:] or valid.get("fingerprint", "")[-16:],
        user_id=_shown(judged.get("user_id", "")),
        created=created,
        expires=None if expires == "0" else read_time(expires),
        hash=digest,
        algorithm=_number(PublicKeyAlgorithm, hashed.get("public_key_algorithm", "")),
        trust=next((_TRUST[line.keyword] for line in group if line.keyword in _TRUST), None),
        notations=tuple(_notations(group)),
    )


def _shown(user_id: str) -> str:
    """Return a signer's name; our placeholder for one is none."""
    return "" if is_placeholder(user_id.removeprefix("[uncertain] ")) else user_id


def _state(
    word: str,
    reason: str,
    valid: bool,
    digest: HashAlgorithm | None,
    created: datetime | None,
    now: datetime,
) -> SignatureStatus:
    if word == "ERRSIG" and reason == str(int(ErrorCode.NO_PUBKEY)):
        return SignatureStatus.NO_PUBKEY
    # gpg itself refuses MD5, by ERRSIG.
    if digest in WEAK_DIGESTS and word in ("GOODSIG", "ERRSIG"):
        return SignatureStatus.WEAK_DIGEST
    if word == "GOODSIG" and not valid:
        return SignatureStatus.ERRSIG
    if word == "GOODSIG" and created is not None and created > now + AHEAD:
        return SignatureStatus.FUTURE
    return _STATES[word]


def _notations(group: list[Status]) -> Iterator[tuple[str, str | bytes]]:
    """Read the notations. gpg tells a long one in pieces, and cuts inside of characters."""
    name, readable, value = "", True, b""
    for line in group:
        if line.keyword == "NOTATION_NAME":
            if name:
                yield name, _notation(value, readable)
            octets = unescape_percent(line.rest).encode(errors="surrogateescape")
            name, readable, value = octets.decode(errors="backslashreplace"), True, b""
        elif line.keyword == "NOTATION_FLAGS":
            readable = describe(line).get("human_readable") == "1"
        elif line.keyword == "NOTATION_DATA":
            value += unescape_percent(line.rest).encode(errors="surrogateescape")
    if name:
        yield name, _notation(value, readable)


def _notation(value: bytes, readable: bool) -> str | bytes:
    """Return a notation's value: text where it is said to be, and is."""
    try:
        return value.decode() if readable else value
    except UnicodeDecodeError:
        return value


def _long(text: str) -> str:
    return text if len(text) >= 40 else ""


def _number(kind: Any, text: str) -> Any:
    return kind(int(text)) if text.isascii() and text.isdecimal() else None


#: The worst first: what is raised where several signatures are not good.
_WORST: tuple[tuple[SignatureStatus, type[GnuPGError], str, str], ...] = (
    (SignatureStatus.BADSIG, BadSignature, "a signature does not fit the data", ""),
    (SignatureStatus.REVKEYSIG, RevokedKeySignature, "the key of a signature is revoked", ""),
    (
        SignatureStatus.WEAK_DIGEST,
        SignatureError,
        "a signature is made with {hash}, which is not for signatures: who finds two texts of the "
        "same hash has both signed",
        "ask for a signature with SHA-256 or a longer hash",
    ),
    (
        SignatureStatus.FUTURE,
        SignatureError,
        "a signature is dated {created:%Y-%m-%d}, which is still to come",
        "see whether the clock of this machine is right, or ask for a new signature",
    ),
    (SignatureStatus.EXPKEYSIG, ExpiredKeySignature, "the key of a signature has expired", ""),
    (SignatureStatus.EXPSIG, ExpiredSignature, "a signature has expired", ""),
)


def signature_error(
    reply: Reply, found: Sequence[Signature], signers: Collection[str] = ()
) -> GnuPGError | None:
    """Name the error of signatures that are not all good, or not by whom they have to be.

    Args:
        reply: what gpg answered.
        found: the signatures in it.
        signers: fingerprints of primary keys or subkeys, of which one must have signed (with ``!``
            that very part); none means that all signatures must be good, by whom they may be.

    Returns:
        The error, with all signatures in it, or None: of the worst one, or ``WrongSigner``.
    """
    if not signers:
        return _worst(reply, found, found)
    if not found:
        return NotSigned("there is no signature", reply=reply)
    refused = [one for one in found if not (one.good or one.status in _PASSED_OVER)]
    theirs = [one for one in found if _names(one) & {*signers}]
    if refused or (theirs and not any(one.good for one in theirs)):
        return _worst(reply, refused or theirs, found)
    if theirs:
        return None
    other = next((one for one in found if one.good), found[0])
    name = other.fingerprint or other.key_id
    absent = other.status is SignatureStatus.NO_PUBKEY
    return WrongSigner(
        f"it is signed by {name}{', whose key is not here' * absent}",
        # A hint of its own: a subkey made since may be theirs.
        hint="import the signer's key anew, if it can be a new subkey of theirs" * absent,
        value=name,
        signatures=found,
        reply=reply,
    )


def _names(signature: Signature) -> set[str]:
    """Return by what the signer may be named; with ``!`` it is exactly that key or subkey."""
    made_by = signature.fingerprint
    return {made_by, f"{made_by}!", signature.primary_fingerprint}


def _worst(
    reply: Reply, judged: Sequence[Signature], found: Sequence[Signature]
) -> GnuPGError | None:
    for state, error, message, hint in _WORST:
        who = next((one for one in judged if one.status is state), None)
        if who is not None:
            digest = who.hash.name if who.hash is not None else ""
            said = message.format(hash=digest, created=who.created)
            named = f"{said}: {who.fingerprint or who.key_id}"
            return error(named, hint=hint, signatures=found, reply=reply)
    states = (SignatureStatus.ERRSIG, SignatureStatus.NO_PUBKEY)
    left = sorted((one for one in judged if one.status in states), key=lambda one: one.status)
    return _not_checked(reply, left[0], found) if left else None


def _not_checked(reply: Reply, who: Signature, found: Sequence[Signature]) -> GnuPGError:
    """Name the error of a signature of which gpg does not say whether it is good."""
    name = who.fingerprint or who.key_id
    if who.status is SignatureStatus.NO_PUBKEY:
        message = f"the key that made a signature is not here: {name}"
        return KeyNotFound(message, value=name, signatures=found, reply=reply)
    errors = (one for one in reply.fields("ERRSIG") if one.get("key", "")[-16:] == who.key_id)
    reason = _number(int, next(errors, {}).get("reason", ""))
    if reason in UNSUPPORTED_CODES:
        lacks = who.hash if reason == ErrorCode.DIGEST_ALGO else who.algorithm
        algorithm = lacks.name if lacks is not None else "unknown"
        return UnsupportedByGnuPG(
            f"this gpg does not have the algorithm of a signature ({algorithm}): {name}",
            hint="use a newer GnuPG, or ask for a signature that this one can check",
            signatures=found,
            reply=reply,
        )
    if not name:
        message = "there are signatures of different kinds, and gpg checks the first alone"
    else:
        why = _UNCHECKED.get(reason, f"for gpg's reason {reason}")
        message = f"a signature cannot be checked, {why}: {name}"
    hint = "do not rely on it: nobody knows whether it is good"
    return SignatureError(message, hint=hint, signatures=found, reply=reply)


def verification(
    reply: Reply, data: bytes | None = None, signers: Collection[str] = ()
) -> Verification:
    """Judge a verification.

    Args:
        reply: what gpg answered.
        data: what a detached signature covers; None for gpg's own output.
        signers: see ``signature_error``.

    Returns:
        The covered bytes and the signatures; all of them good, but for what ``signers`` allows.

    Raises:
        NotSigned: there is no signature.
        SignatureError: one is not good, or not by whom it has to be.
        KeyNotFound: the key of one is not here.
        UnsupportedByGnuPG: this gpg lacks the algorithm of one.
        NotOpenPGP: the data is none.
        CommandFailed: gpg was ended from outside.
    """
    found = () if reply.returncode < 0 else read_signatures(reply)
    if not found:
        raise not_signed(reply)
    require_of_data(reply, found)
    error = signature_error(reply, found, signers)
    if error is not None:
        raise error
    failed = reply.returncode != 0 and all(one.good for one in found)
    if failed or reply.has(*FATAL) or several_plaintexts(reply):
        raise more_than_signed(reply, found)
    covered = reply.stdout if data is None else data
    return Verification(covered, found, failure=_worst(reply, found, found))


def is_altered(reply: Reply, found: Sequence[Signature], size: int) -> bool:
    """Return whether gpg gave out other octets than were signed: see ``_openpgp.text_mode``.

    Args:
        reply: what gpg answered; not of a clear-signed text.
        found: the signatures in it.
        size: of what it gave out, in octets.
    """
    text = next(iter(reply.fields("PLAINTEXT")), {}).get("format") in _TEXT
    whole = any(line.rest == str(size) for line in reply.find("PLAINTEXT_LENGTH"))
    signed = any(one.status not in _OF_NOTHING for one in found)
    return signed and text and not whole


def require_unaltered(reply: Reply, found: Sequence[Signature], size: int) -> None:
    """Let signed octets pass where gpg gave them out as they were signed.

    Raises:
        SignatureError: it dropped some.
    """
    if is_altered(reply, found, size):
        raise SignatureError(
            "the message says that it is text, of which gpg drops carriage returns: what comes out "
            "is not what was signed",
            hint="decrypt or verify it in memory, which gives the very octets",
            signatures=found,
            reply=reply,
        )


def are_of_text(reply: Reply) -> bool:
    """Return whether all signatures are of text, for which one line end is as good as another."""
    return all(one.get("signature_class") == "01" for one in reply.fields("VALIDSIG"))


def require_of_data(reply: Reply, found: Sequence[Signature]) -> None:
    """Let signatures pass of which one at least is a message's.

    Raises:
        NotOpenPGP: they are all of keys, as a revocation certificate is.
    """
    kinds = [fields.get("signature_class", "") for fields in reply.fields("ERRSIG")]
    if len(kinds) == len(found) and found and not any(kind in _OF_DATA for kind in kinds):
        raise NotOpenPGP("this is a signature of a key, not of a message", reply=reply)


def has_unreadable_signer(reply: Reply) -> bool:
    """Return whether gpg has the key of a signature and does not take it: one without user ids.

    Debian's gpg says so. Others say that it is not here, after they have looked at it.
    """
    here = False
    for status in reply.status:
        if status.keyword in ("NEWSIG", "KEY_CONSIDERED"):
            here = status.keyword == "KEY_CONSIDERED"
        elif status.keyword == "ERRSIG":
            reason = describe(status).get("reason")
            if reason == _BAD_KEY or (here and reason == _NO_KEY):
                return True
    return False


def not_signed(reply: Reply) -> GnuPGError:
    """Name the error of data in which gpg found no signature."""
    if reply.crashed:
        return NotOpenPGP(f"this cannot be read: {reply.crashed}", hint=CRASH_HINT, reply=reply)
    system = system_failure(reply, "verify")
    if system is not None:
        return system
    found = [line.rest for line in reply.find("NODATA")]
    if found == ["4"] and not reply.has("BADARMOR"):  # it is data, and gpg expected a signature
        return NotSigned("there is no signature", reply=reply)
    if reply.has("NODATA", "BADARMOR") and not reply.has("PLAINTEXT", "UNEXPECTED"):
        return NotOpenPGP("this is no OpenPGP data", reply=reply)
    if reply.returncode == 0 or reply.has("UNEXPECTED", "PLAINTEXT", "BEGIN_DECRYPTION"):
        return NotSigned("there is no signature", reply=reply)
    return NotOpenPGP("there is no signature that gpg can read", reply=reply)


def more_than_signed(reply: Reply, found: Sequence[Signature]) -> GnuPGError:
    """Name the error of an answer that has good signatures, and yet is no success."""
    system = system_failure(reply, "verify")
    if system is not None:
        return system
    return BadSignature(
        "there is more than what the signature covers, or it is not whole",
        hint="do not use it: only a part of it was signed",
        signatures=found,
        reply=reply,
    )


def surrounded(found: Sequence[Signature]) -> GnuPGError:
    """Name the error of a file of which only a part is signed, and not told apart."""
    return BadSignature(
        "there is text around what is signed, or its armor has no end",
        hint="take what the signature covers, and nothing else: verify in memory gives it",
        signatures=found,
    )


def several_plaintexts(reply: Reply) -> bool:
    """Return whether there is more than one plaintext; a message has one."""
    return sum(1 for _ in reply.find("PLAINTEXT")) > 1
