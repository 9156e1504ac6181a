"""What the calls of the Stateless OpenPGP interface do, each in a home of its own; see ``sop``."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import sop

from tiny_gnupg._gpg.key_states import has_secret
from tiny_gnupg._gpg.outcome import PASSPHRASE_CODES
from tiny_gnupg._gpg.status import gpg_error_code
from tiny_gnupg._openpgp.armor import dearmor, enarmor, is_clear_signed
from tiny_gnupg._openpgp.packets import frame
from tiny_gnupg._process.removal import removed_at_the_end
from tiny_gnupg._process.tasks import hidden, in_thread
from tiny_gnupg.errors import (
    BadPassphrase,
    CommandFailed,
    DecryptionFailed,
    GnuPGError,
    ImportFailed,
    KeyNotFound,
    NotOpenPGP,
    SignatureError,
    UnsupportedByGnuPG,
    UnusableKey,
)
from tiny_gnupg.gnupg import GnuPG
from tiny_gnupg.results import HashAlgorithm, Signature

T = TypeVar("T")


#: What the framework read from each file, under its name.
Blocks = Mapping[str, bytes]


_USER_ID = re.compile(r"(?P<name>[^<>]*?)\s*<(?P<email>[^<>]+)>")


#: What data is by its first packet (RFC 9580, section 5).
_LABEL_OF_TAG = {2: "SIGNATURE", 5: "PRIVATE KEY BLOCK", 6: "PUBLIC KEY BLOCK"}


#: The draft's exceptions for ours; the first that fits.
_EXCEPTIONS: tuple[tuple[type[GnuPGError], type[sop.SOPException]], ...] = (
    (BadPassphrase, sop.SOPKeyIsProtected),
    (DecryptionFailed, sop.SOPCouldNotDecrypt),
    (UnsupportedByGnuPG, sop.SOPCouldNotDecrypt),
    (SignatureError, sop.SOPNoSignature),
    (UnusableKey, sop.SOPCertificateNotEncryptionCapable),
    (NotOpenPGP, sop.SOPInvalidDataType),
    (ImportFailed, sop.SOPInvalidDataType),
)


class Window:
    """The times between which a signature counts."""

    def __init__(self, start: datetime | None, end: datetime | None) -> None:
        self.start = start
        self.end = end or datetime.now(UTC)

    def holds(self, when: datetime) -> bool:
        """Return whether a time is one of them."""
        return (self.start is None or self.start <= when) and when <= self.end


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a call to its end, with the draft's errors."""
    return checked(lambda: asyncio.run(hidden(work)).value)


def checked(work: Callable[[], T]) -> T:
    """Turn our errors into the draft's."""
    try:
        return work()
    except GnuPGError as error:
        kinds = (theirs for ours, theirs in _EXCEPTIONS if isinstance(error, ours))
        raise next(kinds, sop.SOPInvalidDataType)(str(error)) from error
    except ValueError as error:
        raise sop.SOPInvalidDataType(str(error)) from error


@asynccontextmanager
async def _home(*passwords: str) -> AsyncIterator[list[GnuPG]]:
    """Return a throw-away home: an instance without a passphrase, and one for each password."""
    path = Path(tempfile.mkdtemp(prefix="tgsop"))
    try:
        async with removed_at_the_end(path), AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(
                    GnuPG(passphrase=password, homedir=path, protection="gnupg")
                )
                for password in dict.fromkeys(("", *passwords))
            ]
    finally:
        await in_thread(shutil.rmtree, path, ignore_errors=True)


async def _import(gpg: GnuPG, blocks: Iterable[bytes]) -> list[str]:
    """Import keys or certificates; return their fingerprints."""
    results = [await gpg.text_import(block) for block in blocks]
    return [fingerprint for result in results for fingerprint in result.fingerprints]


def password_of(octets: bytes) -> str:
    """Read a password from the content of its file."""
    with suppress(UnicodeDecodeError):  # that error would hold it, also in another's context
        # The draft: white space at the end is an editor's, not the password's.
        return octets.decode().rstrip()
    raise sop.SOPPasswordNotHumanReadable("the password is not UTF-8")


def require_text(data: bytes) -> None:
    """Require UTF-8."""
    with suppress(UnicodeDecodeError):
        data.decode()
        return
    raise sop.SOPNotUTF8Text("this is no UTF-8 text")


def label_of(data: bytes) -> str:
    """Return the armor's label for binary data."""
    return _LABEL_OF_TAG.get(frame(data)[0].tag, "MESSAGE")


def dressed(armored: bytes, armor: bool) -> bytes:
    """Take armor off where it is not wanted."""
    return armored if armor else dearmor(armored)


async def generate(uids: Sequence[str], password: str, armor: bool) -> bytes:
    """Make a key that does not expire, with all its user ids."""
    if not uids:
        raise sop.SOPMissingRequiredArgument("GnuPG makes no key without a user id")
    (name, email), *others = map(_parts, uids)
    async with _home(password) as (*_, gpg):
        gpg.username, gpg.email = name, email
        fingerprint = await gpg.gen_key(expires="0")
        for name, email in others:
            await gpg.add_uid(fingerprint, name, email)
        block = await gpg.text_export(fingerprint, secret=True)
    return dressed(block.encode(), armor)


def _parts(user_id: str) -> tuple[str, str]:
    found = _USER_ID.fullmatch(user_id)
    return (found["name"], found["email"]) if found else (user_id, "")


async def extract(key: bytes, armor: bool) -> bytes:
    """Return the certificates of secret keys."""
    async with _home() as (gpg,):
        data = await gpg.export(await _import(gpg, [key]))
    return enarmor(data, "PUBLIC KEY BLOCK").encode() if armor else data


async def sign(data: bytes, how: Sequence[str], signers: Blocks, passwords: Blocks) -> str:
    """Sign with all signers at once; no method of ours has text mode."""
    async with _home(*map(password_of, passwords.values())) as instances:
        names = await _import(instances[0], signers.values())
        await _require_signing(instances[0], names)
        users = [option for name in names for option in ("--local-user", name)]
        for gpg in instances:
            command = gpg.command("--armor", *users, *how, with_passphrase=True)
            try:
                return await gpg.read_output(
                    command, (await gpg.agent_passphrase()).encode() + b"\n" + data
                )
            except CommandFailed as error:
                if not _is_of_passphrase(error):
                    raise
    raise sop.SOPKeyIsProtected("none of the passwords opens the key")


async def _require_signing(gpg: GnuPG, names: Sequence[str]) -> None:
    """Require keys that are here, with their secret parts, and can sign."""
    keys = [key for name in names for key in await gpg.keys(name)]
    if not keys or not all(has_secret(key) and key.usable_for("s") for key in keys):
        raise sop.SOPKeyCannotSign("a key cannot sign")


def _is_of_passphrase(error: CommandFailed) -> bool:
    """Return whether a command of our own failed as its passphrase does not fit."""
    lines = [line.split(" ") for line in error.status]
    codes = {gpg_error_code(words[-1]) for words in lines if words[0] in ("FAILURE", "ERROR")}
    return bool(codes & PASSPHRASE_CODES)


def micalg_of(signature: bytes) -> str:
    """Name the hash for a MIME header (RFC 3156, section 5)."""
    # The fourth octet of a version 4 signature (RFC 9580, section 5.2.3).
    hashes = {HashAlgorithm(packet.body[3]) for packet in frame(dearmor(signature))}
    return f"pgp-{hashes.pop().name.lower()}" if len(hashes) == 1 else ""


async def verify(
    data: bytes, signatures: bytes, signers: Blocks, window: Window
) -> list[sop.SOPSigResult]:
    """Return the acceptable signatures among detached ones."""
    octets = dearmor(signatures)
    results: list[sop.SOPSigResult] = []
    async with _home() as (gpg,):
        accepted = await _import(gpg, signers.values())
        # Each by itself: one that is not good says nothing about the others.
        for packet in frame(octets):
            one = octets[packet.offset : packet.offset + packet.length]
            try:
                found = await gpg.verify(data, one)
            except (SignatureError, KeyNotFound, UnsupportedByGnuPG, NotOpenPGP):
                continue
            results += _accepted(found.signatures, accepted, window)
    return required(results)


async def inline_verify(
    data: bytes, signers: Blocks, window: Window
) -> tuple[bytes, list[sop.SOPSigResult]]:
    """Return what a signed message says, and its acceptable signatures."""
    async with _home() as (gpg,):
        accepted = await _import(gpg, signers.values())
        found = await gpg.decrypt_verify(data)
    if found.encrypted:
        raise sop.SOPInvalidDataType("the message is encrypted")
    message = found.data
    if is_clear_signed(data) and message.endswith(b"\n"):
        # The last line end belongs to the framework, not to the text (RFC 9580, section 7.1).
        message = message[:-1]
    return message, _accepted(found.signatures, accepted, window)


def _accepted(
    signatures: Iterable[Signature], accepted: Sequence[str], window: Window
) -> list[sop.SOPSigResult]:
    return [
        sop.SOPSigResult(each.created, each.fingerprint, each.primary_fingerprint)
        for each in signatures
        if each.good and each.created and window.holds(each.created)
        if each.primary_fingerprint in accepted
    ]


def required(results: list[sop.SOPSigResult]) -> list[sop.SOPSigResult]:
    """Require at least one acceptable signature."""
    if not results:
        raise sop.SOPNoSignature("no acceptable signature")
    return results


async def encrypt(
    data: bytes,
    recipients: Blocks,
    signers: Blocks,
    key_passwords: Blocks,
    password: str | None,
    armor: bool,
) -> bytes:
    """Encrypt to certificates, to a password, or so that either opens it; and sign."""
    async with _home(*map(password_of, key_passwords.values())) as instances:
        uids = await _import(instances[0], recipients.values())
        signer = await _import(instances[0], signers.values())
        if signers:
            await _require_signing(instances[0], signer)
        for gpg in instances:
            try:
                if not uids:
                    return await gpg.encrypt_symmetric(
                        data, password, sign=bool(signer), local_user=signer, armor=armor
                    )
                return await gpg.encrypt(
                    data, uids, bool(signer), signer, armor=armor, passphrase=password
                )
            except BadPassphrase:
                continue
    raise sop.SOPKeyIsProtected("none of the passwords opens the signing key")


async def decrypt(
    data: bytes,
    keys: tuple[Blocks, Sequence[str]],
    passwords: Sequence[str],
    session_keys: Sequence[str],
    signers: Blocks,
    window: Window,
    show: bool,
) -> tuple[bytes, list[sop.SOPSigResult], sop.SOPSessionKey | None]:
    """Try each session key, each key password, and each password of the message's own."""
    secret_keys, key_passwords = keys
    async with _home(*key_passwords) as instances:
        await _import(instances[0], secret_keys.values())
        accepted = await _import(instances[0], signers.values())
        words: Sequence[str | None] = passwords or [None]
        tries: list[tuple[GnuPG, str | None, str | None]] = [
            *((instances[0], None, key) for key in session_keys),
            *((gpg, word, None) for gpg in instances for word in words),
        ]
        for number, (gpg, word, given) in enumerate(tries, 1):
            try:
                found = await gpg.decrypt_verify(
                    data, passphrase=word, show_session_key=show, override_session_key=given
                )
            except (BadPassphrase, DecryptionFailed, UnsupportedByGnuPG) as error:
                if number == len(tries):
                    # A message's own password is no key's.
                    kind = sop.SOPCouldNotDecrypt if passwords else None
                    raise (kind(str(error)) if kind else error) from error
                continue
            if not found.encrypted:
                raise sop.SOPInvalidDataType("the message is not encrypted")
            key = _session_key(found.session_key) if found.session_key else None
            return found.data, _accepted(found.signatures, accepted, window), key
    raise AssertionError("there is always a try")


def _session_key(text: str) -> sop.SOPSessionKey:
    cipher, _, key = text.partition(":")
    return sop.SOPSessionKey(int(cipher.partition(".")[0]), bytes.fromhex(key))
