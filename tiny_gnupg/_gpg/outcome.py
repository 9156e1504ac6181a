"""What gpg's answer means: that it did what was asked, or the error that says why not.

Pure: a ``Reply`` in, and the same out, or an error. What the answer says of a message is told in
``signatures`` and ``plaintexts``, and of an import in ``imports``. The rules for every command
live here, once:

1. An exit code that is not 0 is failure.
2. Exit code 0 alone is not success where gpg has a status line that says what it did.
3. A failure is named by its status lines, the system's reasons first, then those of the passphrase,
   the key and the data. One that they do not explain is ``CommandFailed``.
4. What gpg tells people (stderr) is shown, never parsed.
5. A listing counts only where it is whole: a gpg that ended before its end, by a signal or an
   error, has listed a part. That there is no such key, it says by an error code.
"""

from __future__ import annotations

from tiny_gnupg._gpg.reply import AGENT_MISSING, PASSING, Reply
from tiny_gnupg._gpg.status import ErrorCode, gpg_error_code, unescape_percent
from tiny_gnupg.errors import (
    AgentUnavailable,
    BadPassphrase,
    CommandFailed,
    GnuPGError,
    HomeUnusable,
    KeyNotFound,
    NotOpenPGP,
    OutputTooLarge,
    UnusableKey,
)

#: Bytes that gpg writes at once; no block of its is longer.
_BLOCK = 2**16


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


#: Error codes that say: a card has the key.
CARD_CODES = {
    ErrorCode.NO_SCDAEMON: "the program that asks it (scdaemon) is not here",
    ErrorCode.SCDAEMON: "the program that asks it (scdaemon) failed",
    ErrorCode.NOT_SUPPORTED: "the agent of this home is told not to ask it",
    ErrorCode.CARD: "it does not work",
    ErrorCode.CARD_NOT_PRESENT: "it is not inserted",
    ErrorCode.CARD_REMOVED: "it was taken out",
    ErrorCode.BAD_PIN: "the PIN is wrong",
    ErrorCode.PIN_BLOCKED: "its PIN is blocked",
    ErrorCode.ENODEV: "there is no reader",
}


CARD_HINT = "insert the card, and install scdaemon (Debian: apt install scdaemon)"


#: Error codes that say: this gpg lacks an algorithm or a format.
UNSUPPORTED_CODES = frozenset(
    {
        ErrorCode.PUBKEY_ALGO,
        ErrorCode.DIGEST_ALGO,
        ErrorCode.CIPHER_ALGO,
        ErrorCode.COMPR_ALGO,
        ErrorCode.UNKNOWN_VERSION,
        ErrorCode.NOT_IMPLEMENTED,
        ErrorCode.UNSUPPORTED_ALGORITHM,
        ErrorCode.UNKNOWN_ALGORITHM,
    }
)


#: What to do about a gpg that was ended by a signal.
KILLED_HINT = "was it killed, or stopped by a limit of the system (ulimit -a)?"


#: What to do about a gpg that ended itself.
CRASH_HINT = "this input is too much for this gpg: use a newer one, and do not trust its sender"


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


#: Error codes that say: there is no such key.
ABSENT_CODES = frozenset({ErrorCode.NO_PUBKEY, ErrorCode.NO_SECKEY, ErrorCode.NOT_FOUND})


MISSING_REASONS = frozenset({"0", "1", "9"})


def failure(reply: Reply, doing: str, value: str = "") -> GnuPGError:
    """Name the error of a command that failed.

    Args:
        reply: what gpg answered.
        doing: what was asked for, as in ``cannot <doing>``.
        value: the key that was asked for, where it was one.

    Returns:
        The error, to be raised.
    """
    return (
        system_failure(reply, doing)
        or (agent_failure(reply, doing) if reply.agent in PASSING else None)
        or _card_failure(reply, doing)
        or _passphrase_failure(reply, doing)
        or agent_failure(reply, doing)
        or _key_failure(reply, doing, value)
        or _data_failure(reply, doing)
        or _unexplained(reply, doing)
    )


def system_failure(reply: Reply, doing: str) -> GnuPGError | None:
    """Name the error of a gpg that the system ended or did not let write; None for another."""
    if reply.crashed:
        return CommandFailed(f"cannot {doing}: {reply.crashed}", hint=CRASH_HINT, reply=reply)
    if reply.returncode < 0:
        return CommandFailed(
            f"cannot {doing}: gpg was ended by signal {-reply.returncode}",
            hint=KILLED_HINT,
            reply=reply,
        )
    reasons = [SYSTEM_CODES[ErrorCode(code)] for code in reply.codes() & set(SYSTEM_CODES)]
    reason = next(iter(reasons), reply.obstacle)
    if reason:
        return HomeUnusable(
            f"cannot {doing}: {reason}",
            hint="make room, or make the homedir writable; nothing was changed",
            reply=reply,
        )
    return None


def agent_failure(reply: Reply, doing: str) -> AgentUnavailable | None:
    """Name the error of a gpg that had no agent to ask; None where it had one."""
    if not reply.agent and ErrorCode.NO_AGENT not in reply.codes():
        return None
    reason = reply.agent or AGENT_MISSING
    return AgentUnavailable(f"cannot {doing}: {reason}", reply=reply)


def _passphrase_failure(reply: Reply, doing: str) -> GnuPGError | None:
    if reply.codes() & PASSPHRASE_CODES or reply.has("BAD_PASSPHRASE", "MISSING_PASSPHRASE"):
        return BadPassphrase(f"cannot {doing}: the passphrase does not fit", reply=reply)
    return None


def _key_failure(reply: Reply, doing: str, value: str) -> GnuPGError | None:
    for status in reply.find("INV_RECP", "INV_SGNR"):
        reason, _, who = status.rest.partition(" ")
        named = unescape_percent(who) or value
        if reason in UNUSABLE_REASONS:
            why = UNUSABLE_REASONS[reason]
            return UnusableKey(f"cannot {doing} with {named}: {why}", reply=reply)
        if reason in MISSING_REASONS:
            return _missing(reply, status.keyword == "INV_SGNR", doing, named)
    codes = reply.codes()
    if codes & {ErrorCode.UNUSABLE_PUBKEY, ErrorCode.UNUSABLE_SECKEY, ErrorCode.WRONG_KEY_USAGE}:
        return UnusableKey(f"cannot {doing}: the key cannot be used for it", reply=reply)
    if codes & {ErrorCode.NO_SECKEY}:
        return _missing(reply, True, doing, value)
    if codes & {ErrorCode.NO_PUBKEY, ErrorCode.NOT_FOUND} or reply.has("DELETE_PROBLEM"):
        return _missing(reply, False, doing, value)
    return None


def _card_failure(reply: Reply, doing: str) -> GnuPGError | None:
    signing = any(status.rest.startswith("sign") for status in reply.find("FAILURE"))
    codes = reply.codes() & set(CARD_CODES) if signing else set()
    for code in codes:
        why = CARD_CODES[ErrorCode(code)]
        message = f"cannot {doing}: the secret key is on a card: {why}"
        return UnusableKey(message, hint=CARD_HINT, reply=reply)
    return None


def _missing(reply: Reply, secret: bool, doing: str, value: str) -> GnuPGError:
    what = "secret key" if secret else "key"
    message = f"cannot {doing}: there is no usable {what} {value}".rstrip()
    return KeyNotFound(message, value=value, reply=reply)


def _data_failure(reply: Reply, doing: str) -> GnuPGError | None:
    if reply.has("NODATA", "BADARMOR"):
        return NotOpenPGP(f"cannot {doing}: this is no OpenPGP data", reply=reply)
    return None


def _unexplained(reply: Reply, doing: str) -> GnuPGError:
    said = reply.last_words()
    message = f"gpg cannot {doing}: {said}" if said else f"gpg cannot {doing}"
    return CommandFailed(message, reply=reply)


def unreadable(reply: Reply, doing: str) -> GnuPGError:
    """Name the error of a command that made nothing of the data that it was given."""
    error = failure(reply, doing)
    if type(error) is CommandFailed and (reply.crashed or reply.returncode >= 0):
        message = f"cannot {doing}: this is no OpenPGP data that this gpg can read"
        return NotOpenPGP(message, reply=reply)
    return error


def require_success(reply: Reply, doing: str, value: str = "") -> Reply:
    """Return the reply back where gpg ended well.

    Raises:
        GnuPGError: as ``failure`` names it.
    """
    if reply.returncode != 0:
        raise failure(reply, doing, value)
    return reply


def require_keyword(
    reply: Reply, keyword: str, doing: str, value: str = "", *, signatures: int = 0
) -> Reply:
    """Return the reply back where gpg ended well and said ``keyword``: that it did the thing.

    Args:
        reply: what gpg answered.
        keyword: of a status line.
        doing, value: as for ``failure``.
        signatures: how many it must have made; it passes over a signer now and then.

    Raises:
        GnuPGError: as ``failure`` names it.
    """
    made = sum(1 for _ in reply.find("SIG_CREATED"))
    if reply.returncode != 0 or not reply.has(keyword) or made < signatures:
        raise failure(reply, doing, value)
    return reply


def listed_packets(reply: Reply) -> Reply:
    """Return a reply back where gpg could list some packets of the data; it may not know all.

    Raises:
        NotOpenPGP: it could list none.
    """
    if reply.returncode < 0 or not reply.stdout:
        raise unreadable(reply, "list packets")
    return reply


def require_listing(reply: Reply) -> None:
    """Let a whole listing pass, also one of no keys.

    Raises:
        GnuPGError: as ``failure`` names it.
    """
    if agent := agent_failure(reply, "list secret keys"):
        raise agent
    errors = {gpg_error_code(line.args[1]) for line in reply.find("ERROR") if line.args[1:]}
    absent = bool(errors) and errors <= ABSENT_CODES
    if reply.returncode < 0 or (reply.returncode != 0 and not absent):
        raise failure(reply, "list keys")


def keys_considered(reply: Reply) -> set[str]:
    """Return the fingerprints of the primary keys that gpg took for those that were named."""
    return {status.args[0] for status in reply.find("KEY_CONSIDERED") if status.args}


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
        raise OutputTooLarge(f"more than {max_output} bytes of output", reply=reply)


def created_key(reply: Reply, doing: str) -> str:
    """Return the fingerprint of the key or subkey that was made.

    Raises:
        GnuPGError: none was.
    """
    require_keyword(reply, "KEY_CREATED", doing)
    fingerprint = reply.fields("KEY_CREATED")[-1].get("fingerprint", "")
    if not fingerprint:
        raise failure(reply, doing)
    return fingerprint
