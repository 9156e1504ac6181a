"""What callers may pass: checks, before gpg sees anything.

Pure: a value in, the same value out, or ``ValueError`` or ``TypeError``. gpg takes a line feed in
a user id, and reads ``%`` lines as commands in parameter files; a passphrase is one line. So
control characters are refused here, and never escaped or dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import overload

from tiny_gnupg._gpg.key_names import NameForm, classify
from tiny_gnupg._openpgp.user_ids import address
from tiny_gnupg.errors import NotSecretBool
from tiny_gnupg.results import Key

#: What names a key: text, or the key itself as a listing gave it.
Uid = str | Key


#: One key or several.
Uids = Uid | Iterable[Uid]


#: Who must have signed: one of these; None is anybody.
Signer = Uids | None


#: When a key expires: gpg's own forms, a moment, or how long from now.
Expiry = str | datetime | timedelta


#: gpg's forms of an expiry (its manual, --quick-generate-key): none, a time from now, a moment.
_NEVER = ("0", "never", "none")


_SPAN = re.compile(r"(?P<number>[0-9]{1,5})(?P<unit>[dwmy]?)|seconds=(?P<seconds>[0-9]{1,10})")


_DAYS = {"": 1, "d": 1, "w": 7, "m": 30, "y": 365}


_MOMENTS = {10: "%Y-%m-%d", 15: "%Y%m%dT%H%M%S"}


#: The first day that gpg cannot write: an expiry is a time of 32 bits (RFC 9580, section 5.2.3.13,
#: counts from the key's creation), and what lies beyond wraps around.
_END = datetime(2106, 2, 7, tzinfo=UTC)


#: Bytes of a passphrase that gpg-agent takes over its pipe (measured on 2.2.40 and 2.4.7).
LONGEST_PASSPHRASE = 255


#: The models of trust that ``encrypt`` offers, in gpg's terms.
_TRUST_MODELS = {None: "always", "always": "always", "web": "pgp"}


_REASONS = range(4)


#: A session key as gpg tells it (doc/DETAILS, SESSION_KEY): the cipher, and 2.4 adds the AEAD mode.
_SESSION_KEY = re.compile(r"[0-9]{1,3}(\.[0-9])?:([0-9A-Fa-f]{2})+")


def checked_name(what: str, text: str) -> str:
    """Return back a part of a user id.

    Raises:
        TypeError: it is no text.
        ValueError: it holds a control character, a lone surrogate, an angle bracket, or begins
            with ``%``, or has a blank at an end; an address has none at all, and one ``@``.
    """
    require_text(what, text)
    if not all(char.isprintable() or char == "\u00ad" or char.isspace() for char in text):
        raise ValueError(f"{what} holds a control character or another one that cannot be shown")
    if any(char in "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029" for char in text):
        raise ValueError(f"{what} holds a tab or line end")
    if text.startswith("%"):
        raise ValueError(f"{what} begins with %, which is a command in gpg's parameter files")
    if any(char in "<>" for char in text):
        raise ValueError(f"{what} holds an angle bracket, which marks the address in a user id")
    if text != text.strip() or (what == "email" and len(text.split()) > 1):
        raise ValueError(f"{what} holds a blank that no search for it would have: {text!r}")
    if what == "email" and "@" in text and address(f"<{text}>") != text:
        raise ValueError(f"email is no address by which its key could be found: {text!r}")
    return text


def checked_passphrase(text: str) -> str:
    """Return back a passphrase.

    Raises:
        TypeError: it is no text.
        ValueError: it holds NUL, CR or LF, which gpg takes for its end, or a lone surrogate.
    """
    require_text("passphrase", text)
    if any(char in "\0\r\n" for char in text):
        raise ValueError("the passphrase holds a NUL or a line end")
    return text


def checked_session_key(text: str) -> bytes:
    """Return a session key as gpg reads it from a descriptor.

    Raises:
        ValueError: it is none of the form that gpg tells.
    """
    require_text("override_session_key", text)
    if not _SESSION_KEY.fullmatch(text):
        raise ValueError("a session key is the cipher's number, a colon and hex digits, as 9:01AB…")
    return text.encode() + b"\n"


def optional_passphrase(text: str | None) -> str:
    """Return back a passphrase that was given, or ``""`` for None; raises as the other."""
    return "" if text is None else checked_passphrase(text)


def checked_own_passphrase(text: str) -> str:
    """Return back a passphrase that is to guard secret keys.

    Raises:
        TypeError, ValueError: as ``checked_passphrase``; also where it is too long for gpg-agent:
            its keys could be made, and then neither exported nor backed up.
    """
    checked_passphrase(text)
    if len(text.encode()) > LONGEST_PASSPHRASE:
        raise ValueError(f"the passphrase has more than {LONGEST_PASSPHRASE} bytes in UTF-8")
    return text


def require_text(what: str, text: str) -> None:
    if not isinstance(text, str):
        raise TypeError(f"{what} is text, not {type(text).__name__}")
    if not _has_utf8(text):
        # Not inside an except block: a chained error would hold the text, maybe a passphrase.
        raise ValueError(f"{what} holds a lone surrogate, which has no UTF-8")


def _has_utf8(text: str, errors: str = "strict") -> bool:
    try:
        text.encode(errors=errors)
    except UnicodeEncodeError:
        return False
    return True


def user_id_of(name: str, email: str) -> str:
    """Return the user id ``Name <address>``.

    Raises:
        ValueError: both are empty.
    """
    if not name and not email:
        raise ValueError("an identity needs a username or an email")
    return f"{name} <{email}>" if name and email else name or f"<{email}>"


def checked_expiry(expires: Expiry, now: datetime | None = None, *, what: str = "expires") -> str:
    """Return when a key expires, as gpg takes it.

    Args:
        expires: ``3y``, ``6m``, ``2w``, ``90d``, ``2030-12-31``, ``0`` for never; an aware
            ``datetime``; or a ``timedelta`` from now on.
        now: the time; default: this moment.
        what: the argument that it is, for an error.

    Raises:
        ValueError: it is none of these, over already, or beyond 2106-02-06.
    """
    moment = now or datetime.now(UTC)
    if isinstance(expires, timedelta):
        seconds = expires // timedelta(seconds=1)
        end, text = _after(moment, timedelta(seconds=seconds)), f"seconds={seconds}"
    elif isinstance(expires, datetime):
        if expires.tzinfo is None:
            raise ValueError(f"{what} needs a time zone: {expires!r}")
        end = _utc(expires)
        text = end.strftime("%Y%m%dT%H%M%S")
    elif expires in _NEVER:
        return expires
    else:
        end, text = _end_of(expires, moment, what), expires
    # gpg takes a date for its noon.
    if end <= moment - timedelta(days=1 if text.count("-") == 2 else 0):
        raise ValueError(f"{what} is over already: {expires!r}")
    if end >= _END:
        raise ValueError(f"{what} is beyond 2106-02-06, OpenPGP's last day: {expires!r}")
    return text


def checked_overlap(overlap: Expiry) -> str:
    """Return when what is replaced expires, as gpg takes it.

    Raises:
        ValueError: as ``checked_expiry``; or it is never.
    """
    text = checked_expiry(overlap, what="overlap")
    if text in _NEVER:
        raise ValueError(f"an overlap ends, or is '0', not {overlap!r}")
    return text


def checked_span(until: Expiry) -> timedelta:
    """Return how long it is until a moment, in one of the forms of an expiry.

    Raises:
        ValueError: as ``checked_expiry``; or it is never.
    """
    now = datetime.now(UTC)
    text = checked_expiry(until, now, what="expiring")
    if text in _NEVER:
        raise ValueError(f"name a time or a span, not {until!r}")
    return _end_of(text, now) - now


def expires_before(expires: datetime | None, end: str) -> bool:
    """Return whether something expires before a moment, in a form that gpg takes."""
    return expires is not None and expires < _end_of(end, datetime.now(UTC))


def _end_of(expires: str, now: datetime, what: str = "expires") -> datetime:
    """Return the moment that a text of gpg's forms names."""
    if isinstance(expires, str) and (match := _SPAN.fullmatch(expires)):
        days = int(match["number"] or 0) * _DAYS[match["unit"] or ""]
        return _after(now, timedelta(days=days, seconds=int(match["seconds"] or 0)))
    with suppress(KeyError, TypeError, ValueError):
        return datetime.strptime(expires, _MOMENTS[len(expires)]).replace(tzinfo=UTC)
    raise ValueError(f"{what} is like 3y, 6m, 2w, 90d, 2030-12-31 or 0, not {expires!r}")


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # of the first or last day that Python knows
        return _END if moment.year > _END.year else datetime.min.replace(tzinfo=UTC)


def _after(now: datetime, span: timedelta) -> datetime:
    try:
        return now + span
    except OverflowError:
        return _END


def checked_secret(secret: bool) -> bool:
    """Return back whether secret keys are exported.

    Raises:
        NotSecretBool: it is no bool: exporting a secret key is nothing to guess about.
    """
    if not isinstance(secret, bool):
        raise NotSecretBool(f"secret is True or False, not {secret!r}")
    return secret


def checked_trust(trust: str | None) -> str:
    """Return gpg's trust model for the argument of ``encrypt``.

    Raises:
        ValueError: there is no such one.
    """
    try:
        return _TRUST_MODELS[trust]
    except (KeyError, TypeError):
        raise ValueError(f"trust is None or 'web', not {trust!r}") from None


def checked_reason(reason: int, text: str) -> None:
    """Let the reason and the description of a revocation pass.

    Raises:
        ValueError: there is no such reason, or the text holds control characters.
    """
    if isinstance(reason, bool) or reason not in _REASONS:
        raise ValueError(f"a revocation's reason is 0, 1, 2 or 3, not {reason!r}")
    require_text("text", text)
    if any(not char.isprintable() and char != "\n" for char in text):
        raise ValueError("the text of a revocation holds control characters")


def revocation_answers(reason: int, text: str) -> Callable[[str], bytes | None]:
    """Return what replies to gpg's questions about a revocation (status lines GET_*)."""
    # An empty line ends the description.
    lines = [line.encode() + b"\n" for line in text.split("\n") if line] + [b"\n"]

    def answer(line: str) -> bytes | None:
        if line == "GET_LINE ask_revocation_reason.code":
            return f"{reason}\n".encode()
        if line == "GET_LINE ask_revocation_reason.text":
            return lines.pop(0) if len(lines) > 1 else lines[0]
        return b"y\n" if line.startswith("GET_BOOL") else None

    return answer


def passphrase_answers(of_keys: bytes, of_message: bytes) -> Callable[[str], bytes | None]:
    """Return what replies to gpg's questions for passphrases: each gets its own, and no other.

    Args:
        of_keys: what opens secret keys, as the agent expects it.
        of_message: what opens a message that is encrypted to a passphrase; ``b""`` for none.
    """
    asked = {"NEED_PASSPHRASE": of_keys, "NEED_PASSPHRASE_SYM": of_message}
    reply = of_keys

    def answer(line: str) -> bytes | None:
        nonlocal reply
        keyword = line.partition(" ")[0]
        reply = asked.get(keyword, reply)
        if keyword == "GET_LINE":  # for the file that a lone signature is of: there is none
            return b"\n"
        return reply + b"\n" if keyword == "GET_HIDDEN" else None

    return answer


def check_uid(uid: Uid) -> str:
    """Return the text that names a key, where gpg can be asked for it.

    Raises:
        TypeError: it is neither text nor a key.
        ValueError: it holds a NUL, or a surrogate that stands for no octet: no argument of a
            program can.
    """
    if isinstance(uid, Key):
        return uid.fingerprint
    if not isinstance(uid, str):
        raise TypeError(f"a uid is text or a Key, not {type(uid).__name__}")
    if "\0" in uid:
        raise ValueError("a uid cannot hold a NUL character")
    if not _has_utf8(uid, "surrogateescape"):
        raise ValueError("a uid holds a lone surrogate, which has no UTF-8")
    return uid


def check_key_name(uid: Uid) -> str:
    """Return the text that names a key which is to be used, not only listed.

    Raises:
        TypeError, ValueError: as ``check_uid``; also text with an ``@`` that is no address as it
            stands: as a part of a user id it would find whoever put it into theirs.
    """
    text = check_uid(uid)
    if "@" in text and classify(text).kind is NameForm.TEXT:
        raise ValueError(f"{text!r} is no address; say that alone, as bob@example.org")
    return text


def check_uids(uid: Uids, what: str = "recipient") -> list[str]:
    """Return the texts that name keys, each once; the empty text alone is a key of one's own.

    Args:
        uid: what a caller gave.
        what: what these keys are, in the singular.

    Raises:
        TypeError: one is neither text nor a key.
        ValueError: as ``check_key_name``; there is none, or an empty one among several, as of a
            variable that was never set.
    """
    if isinstance(uid, str | Key):
        return [check_key_name(uid)]
    several: object = uid
    if not isinstance(several, Iterable):
        raise TypeError(f"a uid is text or a Key, or several, not {type(uid).__name__}")
    uids = list(dict.fromkeys(map(check_key_name, several)))
    if not uids:
        raise ValueError(f"there is no {what}")
    if "" in uids:
        raise ValueError(f"an empty text among {what}s names nobody; say your own fingerprint")
    return uids


def check_signers(signer: Uids) -> list[str]:
    """Return the texts that name who must have signed; the empty text alone is oneself.

    Raises:
        TypeError: one is neither text nor a key.
        ValueError: one is neither a fingerprint nor a whole address, or there is none: that would
            be nobody, and not anybody.
    """
    if isinstance(signer, str | Key):
        names = [check_uid(signer)]
    else:
        names = [check_uid(name) or "the empty text" for name in signer]
    if not names:
        raise ValueError("no signer is named; None is for anybody")
    for name in names:
        if name and classify(name).kind not in (NameForm.FINGERPRINT, NameForm.EMAIL):
            raise ValueError(f"a signer is named by a fingerprint or a whole address, not {name!r}")
    return names


@overload
def kept(uids: Uids) -> Uids: ...


@overload
def kept(uids: Signer) -> Signer: ...


def kept(uids: Signer) -> Signer:
    """Return what names keys so that it can be read more than once."""
    return uids if uids is None or isinstance(uids, str | Key) else tuple(uids)


def checked_data(what: str, data: object) -> str | bytes:
    """Return data back; what is like bytes as bytes.

    Raises:
        TypeError: it is neither text nor like bytes. A number would be taken for a file's.
    """
    if isinstance(data, str | bytes):
        return data
    with suppress(TypeError):
        return bytes(memoryview(data))  # type: ignore[arg-type]
    raise TypeError(f"{what} is text or bytes, not {type(data).__name__}")
