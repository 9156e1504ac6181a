"""The error tree. Success returns, failure raises.

An error is a builtin too only where that builtin is true of it. So ``except OSError`` around work
with files catches a full disk or a lost connection, and never a forged signature.

::

    GnuPGError
    ├── KeyNotFound            KeyError         no such key in the keyring; .value names it
    ├── AmbiguousKey           LookupError      several keys fit; .candidates lists them
    ├── UnusableKey                             revoked, expired, disabled, or not able to do it
    ├── BadPassphrase
    ├── DecryptionFailed
    │   └── NoSecretKey        LookupError
    ├── SignatureError
    │   ├── BadSignature
    │   ├── NotSigned
    │   ├── WrongSigner                         good, but by somebody else; .value names the signer
    │   ├── ExpiredSignature
    │   ├── ExpiredKeySignature
    │   └── RevokedKeySignature
    ├── UnsupportedByGnuPG                      this gpg lacks what the data was made with
    ├── NotOpenPGP             TypeError, ValueError
    ├── NotText                ValueError       the plaintext is not UTF-8: pass bytes
    ├── ImportFailed           ValueError
    ├── OutputTooLarge         ValueError
    ├── CommandFailed          subprocess.CalledProcessError
    ├── GnuPGTimeout           TimeoutError
    ├── AgentUnavailable                        gpg-agent does not start or answer
    ├── MemoryExhausted                         there is no memory for scrypt now
    ├── HomeUnusable           PermissionError
    ├── BinaryNotFound         FileNotFoundError
    ├── NetworkError           ConnectionError
    │   ├── TorUnavailable
    │   └── KeyserverError                      .http_status, .retry_after
    ├── NotOnKeyserver         FileNotFoundError
    └── KeyserverMismatch      ValueError
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from typing import Any, ClassVar, Protocol, Self, TypeVar

#: What may be no printable character.
_UNSURE = re.compile(r"[^\n -~]")


def printable(text: str) -> str:
    """Return ``text`` with each control character written as an escape, line ends kept.

    Whatever comes from gpg or from a key may hold terminal escapes; nothing of that reaches a
    person's terminal by way of an error or a log line.

    Args:
        text: any text, surrogates allowed.

    Returns:
        The same text, safe to show.
    """
    return _UNSURE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def one_line(text: str) -> str:
    """Return ``text`` as `printable` does, and with its line ends escaped too.

    A line end in a user id would else begin a line of its own in what a person is told.

    Args:
        text: any text, surrogates allowed.

    Returns:
        The same text on one line, safe to show.
    """
    return printable(text).replace("\n", "\\n")


#: Characters of a message; what a caller passed may be part of it, and be a megabyte.
_LONGEST = 2000


def _short(message: str) -> str:
    half = _LONGEST // 2 - 2
    return message if len(message) <= _LONGEST else f"{message[:half]} … {message[-half:]}"


class _Answer(Protocol):
    """What an error keeps of a gpg's answer."""

    @property
    def lines(self) -> Iterable[str]:
        """Its status lines, without their prefix."""

    @property
    def returncode(self) -> int:
        """Its exit code."""

    @property
    def stderr(self) -> str:
        """What it told people."""

    @property
    def command(self) -> str:
        """The command, shlex-quoted."""


class GnuPGError(Exception):
    """The root of all errors of this library.

    Args:
        message: what happened, in one sentence for people.
        hint: what to do about it; the class has one of its own where it is always the same.
        reply: the gpg's answer from which the four below are taken.
        status: gpg's status lines, without their prefix.
        returncode: gpg's exit code, or None where no gpg ran.
        stderr: what gpg told people, control characters escaped.
        command: the command, shlex-quoted; it never holds a secret.
        signatures: all signatures of the message, each with its state, where the error is about
            one; so that a caller can decide otherwise.
    """

    default_hint: ClassVar[str] = ""

    def __init__(
        self,
        message: str = "",
        *,
        hint: str = "",
        reply: _Answer | None = None,
        status: Iterable[str] = (),
        returncode: int | None = None,
        stderr: str = "",
        command: str = "",
        signatures: Iterable[Any] = (),
    ) -> None:
        if reply is not None:
            status, returncode = reply.lines, reply.returncode
            stderr, command = reply.stderr, reply.command
        self.message = _short(one_line(message)) or type(self).__name__
        self.hint = one_line(hint) or self.default_hint
        self.status: tuple[str, ...] = tuple(status)
        self.returncode: Any = returncode
        self.stderr: Any = printable(stderr)
        self.command = command
        self.signatures: tuple[Any, ...] = tuple(signatures)
        # Not super(): the builtins beside us (CalledProcessError) ask for arguments of their own.
        Exception.__init__(self, self.message)

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Workers send their errors home by pickle; the builtins' own recipe knows no keywords.
        return _restore, (type(self), self.message, self.__dict__.copy())

    def diagnostics(self) -> str:
        """Tell a person what happened and what to do.

        Returns:
            Some lines of text: the message, the hint, and what gpg said; no secret in it.
        """
        lines = [f"{type(self).__name__}: {self.message}"]
        if self.hint:
            lines.append(f"what to do: {self.hint}")
        if self.command:
            lines.append(f"command: {one_line(self.command)}")
        if self.returncode is not None:
            lines.append(f"exit code: {self.returncode}")
        lines += [f"status: {one_line(line)}" for line in self.status]
        lines += [f"gpg: {line.removeprefix('gpg: ')}" for line in self.stderr.splitlines()]
        return "\n".join(lines)


def _restore(kind: type[GnuPGError], message: str, state: dict[str, Any]) -> GnuPGError:
    error = kind.__new__(kind, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


E = TypeVar("E", bound=GnuPGError)


def in_place_of(error: GnuPGError, kind: type[E], message: str, **details: Any) -> E:
    """Return the error of one who knows better, with what gpg told.

    Args:
        error: as it was named by gpg's answer alone.
        kind: what it is.
        message: what happened, in one sentence for people.
        details: the other keywords of ``kind``.
    """
    told = {name: getattr(error, name) for name in ("status", "returncode", "stderr", "command")}
    return kind(message, **told, **details)


class KeyNotFound(GnuPGError, KeyError):
    """No such key in the keyring; ``.value`` is what was looked for, or whose key is missing."""

    default_hint = "import the key first"

    def __init__(self, message: str = "", *, value: str = "", **details: Any) -> None:
        self.value = value
        super().__init__(message or f"no key for {value!r}", **details)


class AmbiguousKey(GnuPGError, LookupError):
    """Several keys, or user ids of one, fit; ``.candidates`` has their fingerprints, or texts."""

    default_hint = "name the key by its 40-hex fingerprint"

    def __init__(
        self, message: str = "", *, candidates: Iterable[str] = (), **details: Any
    ) -> None:
        self.candidates = tuple(candidates)
        super().__init__(message, **details)


class UnusableKey(GnuPGError):
    """The key that was named is revoked, expired, disabled or lacks the capability."""

    default_hint = "ask its owner for a newer one, or refresh it"


class BadPassphrase(GnuPGError):
    """The passphrase does not open the secret key or the message."""

    default_hint = "check the passphrase; nothing was changed"


class DecryptionFailed(GnuPGError):
    """The message was not decrypted, or its integrity does not hold; no plaintext was released."""

    default_hint = "ask the sender for the message again"


class NoSecretKey(DecryptionFailed, LookupError):
    """None of the keys that could open the message is here."""

    default_hint = "restore the secret key, or ask for the message encrypted to a key that is here"


class SignatureError(GnuPGError):
    """A signature is not good; ``.signatures`` holds every one that was found."""


class BadSignature(SignatureError):
    """The signature does not fit the data."""

    default_hint = "the data was changed after it was signed: do not use it"


class NotSigned(SignatureError):
    """There is no signature, though one is required; ``.value``: whom the message is for."""

    default_hint = "ask the sender to sign it"

    def __init__(self, message: str = "", *, value: str = "", **details: Any) -> None:
        self.value = value
        super().__init__(message, **details)


class WrongSigner(SignatureError):
    """No good signature is by whom it must be; ``.value`` is the fingerprint that was found."""

    default_hint = "do not use the data: somebody else signed it"

    def __init__(self, message: str = "", *, value: str = "", **details: Any) -> None:
        self.value = value
        super().__init__(message, **details)


class ExpiredSignature(SignatureError):
    """The signature itself has expired."""

    default_hint = "ask for a new signature"


class ExpiredKeySignature(SignatureError):
    """The key that made the signature has expired."""

    default_hint = "refresh the key: its owner may have prolonged it"


class RevokedKeySignature(SignatureError):
    """The key that made the signature has been revoked."""

    default_hint = "do not use the data before you know from its signer why"


class UnsupportedByGnuPG(GnuPGError):
    """This gpg lacks the algorithm or format that the data was made with; the data may be whole."""

    default_hint = "use a newer GnuPG, or ask the sender for one that this gpg has"


class NotOpenPGP(GnuPGError, TypeError, ValueError):
    """The data is not OpenPGP data."""

    default_hint = "pass the whole message, key or signature, as text or as bytes"


class NotText(GnuPGError, ValueError):
    """The text, or the plaintext of which text is asked for, is not UTF-8."""

    default_hint = "pass the message as bytes to get bytes back"

    @classmethod
    def at(cls, offset: int) -> Self:
        """Say where the text stops being UTF-8, without showing any of it.

        Raise it outside of the ``except`` block: Python's own error holds the text, and would
        stay behind in the context of this one.
        """
        return cls(f"the plaintext is not UTF-8: byte {offset} is no part of a character")

    @classmethod
    def encoded(cls, text: str, start: int = 0) -> bytes:
        """Return text as UTF-8.

        Args:
            text: the text, or a piece of one.
            start: where the piece begins in it.

        Raises:
            NotText: a character has no UTF-8; the error holds nothing of the text.
        """
        try:
            return text.encode()
        except UnicodeEncodeError as error:
            place = start + error.start
        raise cls(
            f"character {place} of the text is half of a surrogate pair, which has no UTF-8",
            hint="pass the message as bytes",
        )


class ImportFailed(GnuPGError, ValueError):
    """Nothing was imported."""

    default_hint = "pass a whole key, with a user id that its owner signed"


class OutputTooLarge(GnuPGError, ValueError):
    """The output passed its bound and was dropped (a decompression bomb?)."""

    default_hint = "raise max_output, or work with files"


class NotSecretBool(TypeError, ValueError):
    """``secret`` says whether secret keys are exported, and is no bool."""


class CommandFailed(GnuPGError, subprocess.CalledProcessError):
    """gpg ended with an error that has no class of its own."""

    default_hint = "gpg's own words are in .stderr and .status"

    def __init__(self, message: str = "", *, output: bytes | str = b"", **details: Any) -> None:
        self.output = output
        super().__init__(message, **details)
        self.cmd = self.command


class GnuPGTimeout(GnuPGError, TimeoutError):
    """gpg did not end in the time that it was given, and was stopped."""

    default_hint = "give it more time: raise timeout"


class AgentUnavailable(GnuPGError):
    """gpg-agent, which holds the secret keys, does not start or does not answer."""

    default_hint = "is gpg-agent installed, and can the homedir hold its socket?"


class MemoryExhausted(GnuPGError):
    """There is no memory to stretch a passphrase with scrypt, at this moment."""

    default_hint = "try again, or raise the limit of memory (ulimit -v, the container's)"


class HomeUnusable(GnuPGError, PermissionError):
    """The homedir cannot be made, written or locked."""

    default_hint = "see who owns the homedir, and whether its disk has room"


class BinaryNotFound(GnuPGError, FileNotFoundError):
    """There is no usable gpg."""

    default_hint = (
        "install GnuPG 2.2 or newer: apt install gnupg, dnf install gnupg2, or brew install gnupg; "
        "or, without root, run scripts/stage-gpg in a checkout and pip install that; or name a gpg "
        "by executable="
    )


class NetworkError(GnuPGError, ConnectionError):
    """The network did not carry the request."""


class TorUnavailable(NetworkError):
    """Tor's SOCKS5 port does not answer, or cannot reach the service."""

    default_hint = "start Tor (Debian: apt install tor; systemctl start tor), or set tor_port"


class KeyserverError(NetworkError):
    """The keyserver answered with an error; ``.http_status`` and ``.retry_after`` (seconds)."""

    def __init__(
        self,
        message: str = "",
        *,
        http_status: int | None = None,
        retry_after: float | None = None,
        **details: Any,
    ) -> None:
        self.http_status = http_status
        self.retry_after = retry_after
        super().__init__(message, **details)


class NotOnKeyserver(GnuPGError, FileNotFoundError):
    """The keyserver does not hold the key; ``.value`` is what was looked for."""

    def __init__(self, message: str = "", *, value: str = "", **details: Any) -> None:
        self.value = value
        super().__init__(message or f"the keyserver has no key for {value!r}", **details)


class KeyserverMismatch(GnuPGError, ValueError):
    """The keyserver answered with another key than the one that was asked for."""

    default_hint = "nothing was imported; the keyserver may be hostile"
