"""What callers may pass: checks, before gpg sees anything.

Pure: a value in, the same value out, or ``ValueError`` or ``TypeError``. gpg takes a line feed in
a user id, and reads ``%`` lines as commands in parameter files; a passphrase is one line. So
control characters are refused here, and never escaped or dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tiny_gnupg.errors import NotSecretBool

#: Forms of an expiry (gpg's manual, --quick-generate-key).
_EXPIRY = re.compile(
    r"0|never|none|[0-9]{1,5}[dwmy]?|seconds=[0-9]+|[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}T[0-9]{6}"
)


#: The models of trust that ``encrypt`` offers, in gpg's terms.
_TRUST_MODELS = {None: "always", "always": "always", "web": "pgp"}


_REASONS = range(4)


def checked_name(what: str, text: str) -> str:
    """Return back a part of a user id.

    Raises:
        TypeError: it is no text.
        ValueError: it holds a control character, a lone surrogate, an angle bracket, or begins
            with ``%``.
    """
    _require_text(what, text)
    if not all(char.isprintable() or char == "\u00ad" or char.isspace() for char in text):
        raise ValueError(f"{what} holds a control character or another one that cannot be shown")
    if any(char in "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029" for char in text):
        raise ValueError(f"{what} holds a tab or line end")
    if text.startswith("%"):
        raise ValueError(f"{what} begins with %, which is a command in gpg's parameter files")
    if any(char in "<>" for char in text):
        raise ValueError(f"{what} holds an angle bracket, which marks the address in a user id")
    return text


def checked_passphrase(text: str) -> str:
    """Return back a passphrase.

    Raises:
        TypeError: it is no text.
        ValueError: it holds NUL, CR or LF, which gpg takes for its end, or a lone surrogate.
    """
    _require_text("passphrase", text)
    if any(char in "\0\r\n" for char in text):
        raise ValueError("the passphrase holds a NUL or a line end")
    return text


def _require_text(what: str, text: str) -> None:
    if not isinstance(text, str):
        raise TypeError(f"{what} is text, not {type(text).__name__}")
    if not _has_utf8(text):
        # Not inside an except block: a chained error would hold the text, maybe a passphrase.
        raise ValueError(f"{what} holds a lone surrogate, which has no UTF-8")


def _has_utf8(text: str) -> bool:
    try:
        text.encode()
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


def checked_expiry(expires: str) -> str:
    """Return back when a key expires.

    Raises:
        ValueError: gpg knows no such form.
    """
    if not isinstance(expires, str) or not _EXPIRY.fullmatch(expires):
        raise ValueError(f"expires is like 3y, 6m, 2w, 90d, 2030-12-31 or 0, not {expires!r}")
    return expires


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
    _require_text("text", text)
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


def check_uid(uid: str) -> str:
    """Return a uid back where gpg can be asked for it.

    Raises:
        TypeError: it is no text.
        ValueError: it holds a NUL, which no argument of a program can.
    """
    if not isinstance(uid, str):
        raise TypeError(f"a uid is text, not {type(uid).__name__}")
    if "\0" in uid:
        raise ValueError("a uid cannot hold a NUL character")
    return uid
