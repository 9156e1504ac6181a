"""The Stateless OpenPGP interface (draft-dkg-openpgp-stateless-cli), on PyPI's ``sop`` framework.

It lets OpenPGP test suites and scripts drive this library: ``tiny-gnupg-sop`` is the program, and
``pip install 'tiny_gnupg[sop]'`` brings the framework.

1. Each call has a throw-away home, with gpg's own protection; nothing stays.
2. A signature counts where it is good, its key is among the certificates that were given, and it
   was made within the times that were given. Others beside it are passed over, as the draft says.
3. What gpg cannot do by this library is refused with the draft's own exit code: several
   passwords, or a password beside recipients; session keys; several signers of an encryption.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import sop

from .armor import dearmor, enarmor, is_armored, is_clear_signed
from .errors import (
    BadPassphrase,
    CommandFailed,
    DecryptionFailed,
    GnuPGError,
    ImportFailed,
    NotOpenPGP,
    SignatureError,
    UnusableKey,
)
from .framing import SIGNATURE, frame
from .gnupg import GnuPG
from .results import HashAlgorithm, Signature
from .version import __version__

T = TypeVar("T")
Blocks = Mapping[str, bytes]

_USER_ID = re.compile(r"(?P<name>[^<>]*?)\s*<(?P<email>[^<>]+)>")
_LABELS = {
    sop.SOPArmorLabel.sig: "SIGNATURE",
    sop.SOPArmorLabel.cert: "PUBLIC KEY BLOCK",
    sop.SOPArmorLabel.key: "PRIVATE KEY BLOCK",
    sop.SOPArmorLabel.message: "MESSAGE",
}
#: What data is by its first packet (RFC 9580, section 5).
_LABEL_OF_TAG = {2: "SIGNATURE", 5: "PRIVATE KEY BLOCK", 6: "PUBLIC KEY BLOCK"}
#: The draft's exceptions for ours; the first that fits.
_EXCEPTIONS: tuple[tuple[type[GnuPGError], type[sop.SOPException]], ...] = (
    (BadPassphrase, sop.SOPKeyIsProtected),
    (DecryptionFailed, sop.SOPCouldNotDecrypt),
    (SignatureError, sop.SOPNoSignature),
    (UnusableKey, sop.SOPCertificateNotEncryptionCapable),
    (NotOpenPGP, sop.SOPInvalidDataType),
    (ImportFailed, sop.SOPInvalidDataType),
)
_SIGNING = {
    sop.SOPInlineSigType.binary: ("--sign",),
    sop.SOPInlineSigType.text: ("--textmode", "--sign"),
    sop.SOPInlineSigType.clearsigned: ("--clear-sign",),
    sop.SOPSigType.binary: ("--detach-sign",),
    sop.SOPSigType.text: ("--textmode", "--detach-sign"),
}


class TinySop(sop.StatelessOpenPGP):
    """tiny_gnupg behind the framework's command line."""

    def __init__(self) -> None:
        super().__init__(name="tiny-gnupg-sop", version=__version__, backend="GnuPG")

    def generate_key(
        self,
        armor: bool = True,
        uids: list[str] = [],  # noqa: B006  the framework's own signature
        keypassword: bytes | None = None,
        profile: sop.SOPProfile | None = None,
        **kwargs: Any,
    ) -> bytes:
        """Make a key that does not expire."""
        self.raise_on_unknown_options(**kwargs)
        password = _password(keypassword) if keypassword is not None else ""
        return _run(_generate(uids, password, armor))

    def extract_cert(self, key: bytes, armor: bool = True, **kwargs: Any) -> bytes:
        """Give the certificates of secret keys."""
        self.raise_on_unknown_options(**kwargs)
        return _run(_extract(key, armor))

    def sign(
        self,
        data: bytes,
        armor: bool = True,
        sigtype: sop.SOPSigType = sop.SOPSigType.binary,
        signers: Blocks = {},  # noqa: B006
        wantmicalg: bool = False,
        keypasswords: Blocks = {},  # noqa: B006
        **kwargs: Any,
    ) -> tuple[bytes, str | None]:
        """Sign data, detached."""
        self.raise_on_unknown_options(**kwargs)
        if sigtype is sop.SOPSigType.text:
            _require_text(data)
        signed = _run(_sign(data, _SIGNING[sigtype], signers, keypasswords)).encode()
        return _dressed(signed, armor), _micalg(signed) if wantmicalg else None

    def verify(
        self,
        data: bytes,
        start: datetime | None = None,
        end: datetime | None = None,
        sig: bytes = b"",
        signers: Blocks = {},  # noqa: B006
        **kwargs: Any,
    ) -> list[sop.SOPSigResult]:
        """Verify detached signatures."""
        self.raise_on_unknown_options(**kwargs)
        return _run(_verify(data, sig, signers, _Window(start, end)))

    def encrypt(
        self,
        data: bytes,
        literaltype: sop.SOPLiteralDataType = sop.SOPLiteralDataType.binary,
        armor: bool = True,
        passwords: Blocks = {},  # noqa: B006
        signers: Blocks = {},  # noqa: B006
        keypasswords: Blocks = {},  # noqa: B006
        recipients: Blocks = {},  # noqa: B006
        profile: sop.SOPProfile | None = None,
        **kwargs: Any,
    ) -> bytes:
        """Encrypt to certificates, or to one password."""
        self.raise_on_unknown_options(**kwargs)
        if literaltype is sop.SOPLiteralDataType.text:
            _require_text(data)
        if not passwords and not recipients:
            raise sop.SOPMissingRequiredArgument("neither a recipient nor a password")
        if len(passwords) > 1 or len(signers) > 1 or (passwords and (recipients or signers)):
            raise sop.SOPUnsupportedOption("one password alone, or recipients and one signer")
        if passwords:
            (password,) = map(_password, passwords.values())
            return _run(_encrypt_symmetric(data, password, armor))
        return _run(_encrypt(data, recipients, signers, keypasswords, armor))

    def decrypt(
        self,
        data: bytes,
        wantsessionkey: bool = False,
        sessionkeys: Mapping[str, sop.SOPSessionKey] = {},
        passwords: Blocks = {},  # noqa: B006
        signers: Blocks = {},  # noqa: B006
        start: datetime | None = None,
        end: datetime | None = None,
        keypasswords: Blocks = {},  # noqa: B006
        secretkeys: Blocks = {},  # noqa: B006
        **kwargs: Any,
    ) -> tuple[bytes, list[sop.SOPSigResult], sop.SOPSessionKey | None]:
        """Decrypt a message, and tell whose signatures are good."""
        self.raise_on_unknown_options(**kwargs)
        if wantsessionkey or sessionkeys:
            raise sop.SOPUnsupportedOption("session keys")
        if not secretkeys and not passwords:
            raise sop.SOPMissingRequiredArgument("neither a key nor a password")
        keys = (secretkeys, [_password(one) for one in keypasswords.values()])
        words = [_password(one) for one in passwords.values()]
        plain, results = _run(_decrypt(data, keys, words, signers, _Window(start, end)))
        return plain, results, None

    def armor(self, data: bytes, label: sop.SOPArmorLabel, **kwargs: Any) -> bytes:
        """Put armor on; data that has it is given back."""
        self.raise_on_unknown_options(**kwargs)
        if is_armored(data):
            return data
        return _checked(lambda: enarmor(data, _LABELS.get(label) or _label(data)).encode())

    def dearmor(self, data: bytes, **kwargs: Any) -> bytes:
        """Take armor off."""
        self.raise_on_unknown_options(**kwargs)
        return _checked(lambda: dearmor(data))

    def inline_detach(
        self, clearsigned: bytes, armor: bool = True, **kwargs: Any
    ) -> tuple[bytes, bytes]:
        """Take a signed message apart: what is signed, and the signatures."""
        self.raise_on_unknown_options(**kwargs)
        packets = _checked(lambda: frame(dearmor(clearsigned)))
        found = [packet for packet in packets if packet.tag == SIGNATURE]
        if not found:
            raise sop.SOPUnsupportedOption("the signatures are inside a compressed packet")
        octets = dearmor(clearsigned)
        signatures = b"".join(octets[one.offset : one.offset + one.length] for one in found)
        message, _ = _run(_inline_verify(clearsigned, {}, _Window(None, None)))
        return message, enarmor(signatures, "SIGNATURE").encode() if armor else signatures

    def inline_sign(
        self,
        data: bytes,
        armor: bool = True,
        sigtype: sop.SOPInlineSigType = sop.SOPInlineSigType.binary,
        signers: Blocks = {},  # noqa: B006
        keypasswords: Blocks = {},  # noqa: B006
        **kwargs: Any,
    ) -> bytes:
        """Sign data and keep the two together."""
        self.raise_on_unknown_options(**kwargs)
        if sigtype is not sop.SOPInlineSigType.binary:
            _require_text(data)
        signed = _run(_sign(data, _SIGNING[sigtype], signers, keypasswords)).encode()
        return _dressed(signed, armor)

    def inline_verify(
        self,
        data: bytes,
        start: datetime | None = None,
        end: datetime | None = None,
        signers: Blocks = {},  # noqa: B006
        **kwargs: Any,
    ) -> tuple[bytes, list[sop.SOPSigResult]]:
        """Verify a signed message."""
        self.raise_on_unknown_options(**kwargs)
        message, results = _run(_inline_verify(data, signers, _Window(start, end)))
        return message, _required(results)


class _Window:
    """The times between which a signature counts."""

    def __init__(self, start: datetime | None, end: datetime | None) -> None:
        self.start = start
        self.end = end or datetime.now(UTC)

    def holds(self, when: datetime) -> bool:
        return (self.start is None or self.start <= when) and when <= self.end


# -- how a call runs -----------------------------------------------------------------------


def _run(work: Coroutine[Any, Any, T]) -> T:
    return _checked(lambda: asyncio.run(work))


def _checked(work: Callable[[], T]) -> T:
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
    """Give a throw-away home: an instance without a passphrase, and one for each password."""
    path = Path(tempfile.mkdtemp(prefix="tgsop"))
    try:
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(
                    GnuPG(passphrase=password, homedir=path, protection="gnupg")
                )
                for password in dict.fromkeys(("", *passwords))
            ]
    finally:
        await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)


async def _import(gpg: GnuPG, blocks: Iterable[bytes]) -> list[str]:
    """Import keys or certificates; give their fingerprints."""
    results = [await gpg.text_import(block) for block in blocks]
    return [fingerprint for result in results for fingerprint in result.fingerprints]


def _password(octets: bytes) -> str:
    try:
        # The draft: white space at the end is an editor's, not the password's.
        return octets.decode().rstrip()
    except UnicodeDecodeError:
        raise sop.SOPPasswordNotHumanReadable("the password is not UTF-8") from None


def _require_text(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        raise sop.SOPNotUTF8Text("this is no UTF-8 text") from None


def _label(data: bytes) -> str:
    return _LABEL_OF_TAG.get(frame(data)[0].tag, "MESSAGE")


def _dressed(armored: bytes, armor: bool) -> bytes:
    return armored if armor else dearmor(armored)


# -- keys ----------------------------------------------------------------------------------


async def _generate(uids: Sequence[str], password: str, armor: bool) -> bytes:
    if not uids:
        raise sop.SOPMissingRequiredArgument("GnuPG makes no key without a user id")
    (name, email), *others = map(_parts, uids)
    async with _home(password) as (*_, gpg):
        gpg.username, gpg.email = name, email
        fingerprint = await gpg.gen_key(expires="0")
        for name, email in others:
            await gpg.add_uid(fingerprint, name, email)
        block = await gpg.text_export(fingerprint, secret=True)
    return _dressed(block.encode(), armor)


def _parts(user_id: str) -> tuple[str, str]:
    found = _USER_ID.fullmatch(user_id)
    return (found["name"], found["email"]) if found else (user_id, "")


async def _extract(key: bytes, armor: bool) -> bytes:
    async with _home() as (gpg,):
        certificates = [
            dearmor((await gpg.text_export(fingerprint)).encode())
            for fingerprint in await _import(gpg, [key])
        ]
    data = b"".join(certificates)
    return enarmor(data, "PUBLIC KEY BLOCK").encode() if armor else data


# -- messages ------------------------------------------------------------------------------


async def _sign(data: bytes, how: Sequence[str], signers: Blocks, passwords: Blocks) -> str:
    """Sign with all signers at once; no method of ours has text mode, or several signers."""
    async with _home(*map(_password, passwords.values())) as instances:
        gpg = instances[0]
        keys = [key for one in await _import(gpg, signers.values()) for key in await gpg.keys(one)]
        if not keys or not all(key.secret and key.usable_for("s") for key in keys):
            raise sop.SOPKeyCannotSign("a key cannot sign")
        users = [option for key in keys for option in ("--local-user", key.fingerprint)]
        for gpg in instances:
            command = gpg.command("--armor", *users, *how, with_passphrase=True)
            try:
                return await gpg.read_output(command, (await gpg.unlock()).encode() + b"\n" + data)
            except CommandFailed:
                continue
    raise sop.SOPKeyIsProtected("none of the passwords opens the key")


def _micalg(signature: bytes) -> str:
    """Name the hash for a MIME header (RFC 3156, section 5)."""
    # The fourth octet of a version 4 signature (RFC 9580, section 5.2.3).
    hashes = {HashAlgorithm(packet.body[3]) for packet in frame(dearmor(signature))}
    return f"pgp-{hashes.pop().name.lower()}" if len(hashes) == 1 else ""


async def _verify(
    data: bytes, signatures: bytes, signers: Blocks, window: _Window
) -> list[sop.SOPSigResult]:
    octets = dearmor(signatures)
    results: list[sop.SOPSigResult] = []
    async with _home() as (gpg,):
        accepted = await _import(gpg, signers.values())
        # Each by itself: one that is not good says nothing about the others.
        for packet in frame(octets):
            one = octets[packet.offset : packet.offset + packet.length]
            try:
                found = await gpg.verify(data, one)
            except GnuPGError:
                continue
            results += _accepted(found.signatures, accepted, window)
    return _required(results)


async def _inline_verify(
    data: bytes, signers: Blocks, window: _Window
) -> tuple[bytes, list[sop.SOPSigResult]]:
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
    signatures: Iterable[Signature], accepted: Sequence[str], window: _Window
) -> list[sop.SOPSigResult]:
    return [
        sop.SOPSigResult(each.created, each.fingerprint, each.primary_fingerprint)
        for each in signatures
        if each.good and each.created and window.holds(each.created)
        if each.primary_fingerprint in accepted
    ]


def _required(results: list[sop.SOPSigResult]) -> list[sop.SOPSigResult]:
    if not results:
        raise sop.SOPNoSignature("no acceptable signature")
    return results


async def _encrypt(
    data: bytes, recipients: Blocks, signers: Blocks, passwords: Blocks, armor: bool
) -> bytes:
    async with _home(*map(_password, passwords.values())) as instances:
        uids = await _import(instances[0], recipients.values())
        signer = await _import(instances[0], signers.values())
        for gpg in instances:
            try:
                return await gpg.encrypt(data, uids, bool(signer), *signer[:1], armor=armor)
            except BadPassphrase:
                continue
    raise sop.SOPKeyIsProtected("none of the passwords opens the signing key")


async def _encrypt_symmetric(data: bytes, password: str, armor: bool) -> bytes:
    async with _home() as (gpg,):
        return await gpg.encrypt_symmetric(data, password, armor=armor)


async def _decrypt(
    data: bytes,
    keys: tuple[Blocks, Sequence[str]],
    passwords: Sequence[str],
    signers: Blocks,
    window: _Window,
) -> tuple[bytes, list[sop.SOPSigResult]]:
    """Try each key password, and each password of the message's own."""
    secret_keys, key_passwords = keys
    async with _home(*key_passwords) as instances:
        await _import(instances[0], secret_keys.values())
        accepted = await _import(instances[0], signers.values())
        words: Sequence[str | None] = passwords or [None]
        tries = [(gpg, word) for gpg in instances for word in words]
        for number, (gpg, word) in enumerate(tries, 1):
            try:
                found = await gpg.decrypt_verify(data, passphrase=word)
            except (BadPassphrase, DecryptionFailed) as error:
                if number == len(tries):
                    # A message's own password is no key's.
                    kind = sop.SOPCouldNotDecrypt if passwords else None
                    raise (kind(str(error)) if kind else error) from error
                continue
            if not found.encrypted:
                raise sop.SOPInvalidDataType("the message is not encrypted")
            return found.data, _accepted(found.signatures, accepted, window)
    raise AssertionError("there is always a try")


def main() -> None:
    """Run ``tiny-gnupg-sop``."""
    TinySop().dispatch()


if __name__ == "__main__":
    main()
