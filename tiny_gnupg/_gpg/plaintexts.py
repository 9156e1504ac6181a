"""Whether a plaintext is to be believed, and why there is none.

Pure: what gpg answered in, a ``Decryption`` out, or an error raised. The rules live here, once:

1. ``DECRYPTION_OKAY`` alone is not success: a wrong passphrase on an OCB message gives it too.
   Success is exit code 0, and ``DECRYPTION_OKAY``, and none of ``signatures.FATAL``.
2. An exit code that is not 0 is failure, with two exceptions, both of a decryption that succeeded
   in every other respect. It holds a signature that is not good: then the plaintext is whole, and
   the caller is told of the signature. Or something was tried in vain before a key or a passphrase
   opened it: our keys on a hidden recipient, of which an ECDH key that does not fit counts as an
   error, or no passphrase at all (2.4).
3. Where one of several recipients' keys, or a passphrase, opens a message, ``NO_SECKEY`` or an
   ``ERROR`` about another is no failure.
4. One message has one plaintext: a second ``PLAINTEXT`` is refused.
5. A failure is named by what came first on the way: the session key (no key, no card, no
   algorithm, no passphrase), then the content. That the message was changed or damaged is said
   only of a content that gpg had the session key for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace

from tiny_gnupg._gpg.outcome import (
    CARD_CODES,
    CARD_HINT,
    CRASH_HINT,
    PASSPHRASE_CODES,
    UNSUPPORTED_CODES,
    agent_failure,
    failure,
    system_failure,
)
from tiny_gnupg._gpg.reply import AGENT_ENDED, Reply
from tiny_gnupg._gpg.signatures import (
    FATAL,
    more_than_signed,
    not_signed,
    read_signatures,
    require_of_data,
    several_plaintexts,
    signature_error,
)
from tiny_gnupg._gpg.status import ErrorCode, gpg_error_code
from tiny_gnupg.errors import (
    BadPassphrase,
    CommandFailed,
    DecryptionFailed,
    GnuPGError,
    NoSecretKey,
    UnsupportedByGnuPG,
)
from tiny_gnupg.results import Decryption, PublicKeyAlgorithm, SymmetricAlgorithm

#: What gpg tells people, and no status line, where the system does not take the plaintext.
_UNWRITTEN = re.compile(
    "^gpg: handle plaintext failed: "
    "(No space left on device|Disk quota exceeded|File too large|Input/output error)$",
    re.MULTILINE,
)


#: Where gpg says in an ``ERROR`` that one key, or the passphrase of one packet, does not open it.
_OF_ONE = ("pkdecrypt_failed", "symkey_decrypt.maybe_error")


def decryption(reply: Reply, signers: Collection[str] = ()) -> Decryption:
    """Judge a decryption; signatures are reported, whatever their state.

    Args:
        reply: what gpg answered.
        signers: see ``signatures.signature_error``.

    Returns:
        The plaintext, whole, and its signatures; ``.failure`` is what ``require_good`` raises.

    Raises:
        BadPassphrase: the passphrase opens neither key nor message.
        NoSecretKey: none of the recipients' keys is here.
        UnsupportedByGnuPG: this gpg lacks an algorithm of the message.
        DecryptionFailed: the message is damaged, or has no integrity protection.
        NotSigned: it is neither encrypted nor signed.
        NotOpenPGP: the data is none.
        CommandFailed: gpg was ended from outside.
    """
    reply, session_key = _apart(reply)
    encrypted = reply.has("BEGIN_DECRYPTION", "ENC_TO", "NEED_PASSPHRASE_SYM")
    found = read_signatures(reply)
    if not encrypted:
        require_of_data(reply, found)
    if not _whole(reply, encrypted, any(not one.good for one in found)):
        raise _failure(reply, encrypted)
    if not encrypted and not found:
        raise not_signed(reply)
    plain = next(iter(reply.fields("PLAINTEXT")), {})
    return Decryption(
        data=reply.stdout,
        encrypted=encrypted,
        signatures=found,
        recipients=tuple(status.args[0] for status in reply.find("ENC_TO") if status.args),
        filename=plain.get("filename", ""),
        cipher=_cipher(reply),
        symmetric=reply.has("NEED_PASSPHRASE_SYM"),
        failure=signature_error(reply, found, signers),
        passphrase_used=reply.has("NEED_PASSPHRASE_SYM") and not reply.has("DECRYPTION_KEY"),
        session_key=session_key,
    )


def _apart(reply: Reply) -> tuple[Reply, str]:
    """Return the session key that gpg told, and the answer without it: no error may tell it."""
    key = next((status.rest for status in reply.find("SESSION_KEY")), "")
    if not key:
        return reply, ""
    status = tuple(one for one in reply.status if one.keyword != "SESSION_KEY")
    return replace(reply, status=status, stderr=reply.stderr.replace(key, "...")), key


def unwrapped(reply: Reply) -> bytes:
    """Return the message inside of an encrypted one.

    Raises:
        GnuPGError: as ``decryption``.
    """
    if not _whole(reply, True, False):
        raise _failure(reply, True)
    return reply.stdout


def _whole(reply: Reply, encrypted: bool, bad_signature: bool) -> bool:
    """Return whether the plaintext is whole: rules 1 to 4."""
    if reply.returncode < 0 or several_plaintexts(reply):
        return False
    if reply.has(*FATAL - {"ERROR"}) or not _errors_harmless(reply):
        return False
    if encrypted and not reply.has("DECRYPTION_OKAY"):
        return False
    return reply.returncode == 0 or bad_signature or _tried_in_vain(reply)


def _tried_in_vain(reply: Reply) -> bool:
    """Return whether the exit code can be of what did not open it before what did: rule 2."""
    hidden = any(not status.args[0].strip("0") for status in reply.find("ENC_TO") if status.args)
    vain = hidden or reply.has("MISSING_PASSPHRASE")
    # Of a passphrase that opened it gpg says nothing; of a wrong one NODATA, which is fatal.
    by_passphrase = reply.has("NEED_PASSPHRASE_SYM") and reply.has("PLAINTEXT")
    opened = (reply.has("DECRYPTION_KEY") or by_passphrase) and reply.has("GOODMDC")
    return vain and reply.returncode == 2 and opened


def _errors_harmless(reply: Reply) -> bool:
    """An ``ERROR`` about one key or passphrase is none where another opened the message: rule 3."""
    others = [status for status in reply.find("ERROR") if not status.rest.startswith(_OF_ONE)]
    fatal = [status for status in reply.find("FAILURE") if "gpg-exit" not in status.rest]
    return not others and not fatal


def _cipher(reply: Reply) -> SymmetricAlgorithm | None:
    number = next(iter(reply.fields("DECRYPTION_INFO")), {}).get("cipher", "")
    return SymmetricAlgorithm(int(number)) if number.isascii() and number.isdecimal() else None


def _failure(reply: Reply, encrypted: bool) -> GnuPGError:
    """Name the error of a message that gave no plaintext, or none to be believed: rule 5."""
    if reply.crashed:
        why = f"the message cannot be decrypted: {reply.crashed}"
        return DecryptionFailed(why, hint=CRASH_HINT, reply=reply)
    system = system_failure(reply, "decrypt")
    if system is not None:
        return system
    if unwritten := _UNWRITTEN.search(reply.stderr):
        return CommandFailed(
            f"the plaintext cannot be written: {unwritten[1]}",
            hint="make room where it goes, or let it go elsewhere",
            reply=reply,
        )
    if reply.agent == AGENT_ENDED and encrypted:
        return failure(reply, "decrypt")
    if not encrypted:
        found = read_signatures(reply)
        wrong = signature_error(reply, found)
        return (wrong or more_than_signed(reply, found)) if found else not_signed(reply)
    opened = reply.has("DECRYPTION_INFO") or reply.has("DECRYPTION_OKAY")
    return (
        next(_passphrase_failures(reply), None)
        or (None if opened else next(_key_failures(reply), None))
        or _content_failure(reply, opened)
    )


def _passphrase_failures(reply: Reply) -> Iterator[GnuPGError]:
    if reply.has("DECRYPTION_OKAY"):
        return
    # With GnuPG 2.5 an agent that wants another passphrase than it was given ends its answer.
    of_keys = [line for line in reply.find("ERROR") if line.rest.startswith("pkdecrypt_failed ")]
    ended = any(gpg_error_code(line.args[-1]) == ErrorCode.EOF for line in of_keys)
    if ended or reply.codes() & PASSPHRASE_CODES:
        yield BadPassphrase("the passphrase does not open the message", reply=reply)
    if reply.has("MISSING_PASSPHRASE"):
        yield BadPassphrase(
            "the message is encrypted to a passphrase, and none was given",
            hint="pass it as passphrase=",
            reply=reply,
        )


def _key_failures(reply: Reply) -> Iterator[GnuPGError]:
    """Name why gpg has no session key."""
    if agent := agent_failure(reply, "decrypt"):
        yield agent
    codes = reply.codes()
    for code in codes & set(CARD_CODES):
        yield NoSecretKey(
            f"the secret key is on a card: {CARD_CODES[ErrorCode(code)]}",
            hint=CARD_HINT,
            reply=reply,
        )
    if codes & UNSUPPORTED_CODES:
        named = [PublicKeyAlgorithm(number).name for number in _recipients_algorithms(reply)]
        yield UnsupportedByGnuPG(
            f"the message is to a key of an algorithm that this gpg lacks ({', '.join(named)})",
            reply=reply,
        )
    if reply.has("NO_SECKEY"):
        yield none_here(reply)
    if codes:
        yield DecryptionFailed(
            "the key that is here does not open the message: the part that holds the session key "
            "is damaged, or made for another key",
            reply=reply,
        )


def none_here(reply: Reply) -> NoSecretKey:
    """Return the error of a message none of whose keys is here."""
    wanted = ", ".join(status.rest for status in reply.find("NO_SECKEY"))
    return NoSecretKey(f"none of the message's keys is here: {wanted}", reply=reply)


def _recipients_algorithms(reply: Reply) -> list[int]:
    numbers = [fields.get("public_key_algorithm", "") for fields in reply.fields("ENC_TO")]
    return sorted({int(one) for one in numbers if one.isascii() and one.isdecimal()})


def _content_failure(reply: Reply, opened: bool) -> GnuPGError:
    """Name what is wrong with the content, the session key being there."""
    info = next(iter(reply.fields("DECRYPTION_INFO")), {})
    cipher = _cipher(reply)
    # Of a passphrase nobody knows that it was the right one.
    unless = ", or the passphrase is wrong" if reply.has("NEED_PASSPHRASE_SYM") else ""
    if info and info.get("mdc_method") == "0" and info.get("aead_algorithm", "0") == "0":
        why = f"the message has no integrity protection{unless}"
    elif cipher is not None and cipher not in list(SymmetricAlgorithm):
        named = f"the message is encrypted with a cipher that this gpg lacks (number {cipher})"
        return UnsupportedByGnuPG(named, reply=reply)
    elif several_plaintexts(reply):
        why = "there is more than one plaintext in the message"
    elif opened:
        why = f"the message was changed or cut off on its way{unless}"
    else:
        why = "gpg found no session key in the message that it could use"
    return DecryptionFailed(f"{why}; nothing of it was given out", reply=reply)
