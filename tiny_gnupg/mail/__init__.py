"""Mail: PGP/MIME (RFC 3156) with the standard library's ``email``, and Autocrypt 1.1.

1. What is signed is one MIME entity in canonical form; what is verified is that entity as it came,
   byte for byte.
2. The headers that people read travel inside, too (protected headers): a signature covers them,
   and an encrypted mail shows no subject outside.
3. What comes back is what was covered, and nothing that stood around it.
4. Who must have signed is whom ``From`` names, unless the caller names somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from email.message import EmailMessage
from typing import TYPE_CHECKING

from tiny_gnupg._gpg.arguments import Signer, Uid, Uids, kept
from tiny_gnupg._gpg.key_names import matching, user_ids_of
from tiny_gnupg._openpgp.armor import dearmor
from tiny_gnupg._openpgp.packets import SIGNATURE, frame
from tiny_gnupg._openpgp.user_ids import address, same_address
from tiny_gnupg._process.tasks import in_thread
from tiny_gnupg.errors import NotSigned, UnusableKey, WrongSigner
from tiny_gnupg.mail import _autocrypt, _mime
from tiny_gnupg.results import HashAlgorithm, Signature

if TYPE_CHECKING:
    from tiny_gnupg.gnupg import GnuPG

__all__ = ["OpenedMail", "autocrypt", "autocrypt_key", "decrypt", "encrypt", "sign", "verify"]

#: What an encrypted mail shows for a subject, as other programs have it.
HIDDEN_SUBJECT = "..."


@dataclass(frozen=True, slots=True, repr=False)
class OpenedMail:
    """What of a mail was signed or encrypted.

    Attributes:
        message: the covered content, and the headers that it protects. A header that is not here
            was not covered.
        encrypted: whether it was encrypted.
        signatures: the signatures, all good.
        whole: whether that is all of the mail; False where somebody, such as a mailing list, put
            something around it.
    """

    message: EmailMessage
    encrypted: bool
    signatures: tuple[Signature, ...]
    whole: bool

    def __repr__(self) -> str:
        """Return what it is, and nothing of what it says."""
        signers = ", ".join(one.primary_fingerprint for one in self.signatures) or "nobody"
        return f"OpenedMail(encrypted={self.encrypted}, whole={self.whole}, signed by {signers})"

    def require_signed(self) -> OpenedMail:
        """Return this, where it is signed.

        Raises:
            NotSigned: nobody signed it.
        """
        if not self.signatures:
            raise NotSigned("nobody signed this mail")
        return self


async def sign(gpg: GnuPG, mail: EmailMessage, *, local_user: Uids = "") -> EmailMessage:
    """Sign a mail.

    Args:
        gpg: whose key signs.
        mail: the whole mail; it stays as it is.
        local_user: the signing key, or several; the empty text is the instance's own.

    Returns:
        The mail as ``multipart/signed``, to be sent as it is. ``micalg`` names the digest that gpg
        used.

    Raises:
        TypeError: ``mail`` is no ``EmailMessage``.
        ValueError: a header of it cannot be read.
        GnuPGError: as ``GnuPG.sign``.
    """
    part = _mime.canonical(mail)
    signature = await gpg.sign(part, local_user, detach=True)
    protocol = "application/pgp-signature"
    outer = _mime.envelope(mail, "multipart/signed", micalg=_digest(signature), protocol=protocol)
    outer.attach(_mime.parsed(part))
    outer.attach(_mime.leaf(f'{protocol}; name="signature.asc"', signature))
    return outer


async def encrypt(
    gpg: GnuPG,
    mail: EmailMessage,
    uid: Uids | None = None,
    *,
    sign: bool = True,
    local_user: Uids = "",
) -> EmailMessage:
    """Encrypt a mail to those whom it is addressed to, and sign it inside.

    Args:
        gpg: who encrypts, and whose key signs.
        mail: the whole mail; it stays as it is.
        uid: the recipients; default: the addresses in ``To`` and ``Cc``. Name yourself too, to read
            later what you sent.
        sign: sign it too, in the same message (RFC 3156, section 6.2).
        local_user: the signing key, or several; the empty text is the instance's own.

    Returns:
        The mail as ``multipart/encrypted``. Its subject is inside; outside it is ``...``.

    Raises:
        TypeError: ``mail`` is no ``EmailMessage``.
        ValueError: there is no recipient; or there is a ``Bcc``, whom the others would learn of by
            the key that the message names: encrypt a mail of its own to each, with ``uid``; or a
            header cannot be read.
        GnuPGError: as ``GnuPG.encrypt``.
    """
    part = _mime.canonical(mail)
    if uid is None and mail["bcc"]:
        raise ValueError("a message tells its recipients of each other: encrypt to Bcc apart")
    uids = _mime.addresses(mail, "to", "cc") if uid is None else uid
    sealed = await gpg.encrypt(part, uids, sign, local_user)
    protocol = "application/pgp-encrypted"
    outer = _mime.envelope(mail, "multipart/encrypted", protocol=protocol)
    if "subject" in outer:
        outer.replace_header("Subject", HIDDEN_SUBJECT)
    outer.attach(_mime.leaf(protocol, b"Version: 1\n"))
    named = 'application/octet-stream; name="encrypted.asc"'
    outer.attach(_mime.leaf(named, sealed, 'inline; filename="encrypted.asc"'))
    return outer


async def verify(gpg: GnuPG, mail: EmailMessage | bytes, *, signer: Signer = None) -> OpenedMail:
    """Verify a signed mail, PGP/MIME or inline.

    Args:
        gpg: who has the signers' keys.
        mail: the mail as it came; bytes are the surest, as no program has read them before.
        signer: who must have signed, as for ``GnuPG.verify``; default: the address in ``From``.

    Returns:
        What the signature covers.

    Raises:
        NotSigned: there is no signature that can be seen; an encrypted mail's is inside.
        SignatureError: one is not good, or it is somebody else's (``WrongSigner``).
        KeyNotFound: the key of a signature, or of the signer that was named, is not here.
        TypeError: ``mail`` is no mail.
        ValueError: ``From`` does not name one address, a header is too long, or ``signer`` is
            neither a fingerprint nor a whole address.
    """
    octets = _mime.raw(mail)
    found = await in_thread(_mime.find, octets)
    if found is None or found.kind != "signed":
        hint = "use decrypt" if found else ""
        raise NotSigned("there is no signature in this mail that can be seen", hint=hint)
    verified = await gpg.verify(found.data, found.signature, signer=signer)
    opened = await in_thread(_opened, found, verified.data, False, verified.signatures)
    return opened if signer is not None else await _by_sender(gpg, octets, opened)


async def decrypt(gpg: GnuPG, mail: EmailMessage | bytes, *, signer: Signer = None) -> OpenedMail:
    """Decrypt a mail, PGP/MIME or inline, and verify what is signed in it.

    Args:
        gpg: whose keys open it.
        mail: the mail as it came.
        signer: who must have signed, as for ``GnuPG.verify``; default: the address in ``From``,
            where it is signed at all.

    Returns:
        What was encrypted. Where nobody signed it, it can be from anybody: see
        ``OpenedMail.require_signed``.

    Raises:
        NotSigned: ``signer`` is given, and nobody signed.
        GnuPGError: as ``GnuPG.decrypt``.
        TypeError: ``mail`` is no mail.
        ValueError: the mail holds nothing encrypted, ``From`` does not name one address, a header
            is too long, or ``signer`` is neither a fingerprint nor a whole address.
    """
    octets, signer = _mime.raw(mail), kept(signer)
    found = await in_thread(_mime.find, octets)
    if found is None or found.kind != "encrypted":
        raise ValueError("there is nothing encrypted in this mail")
    plain = await gpg.decrypt_verify(found.data, signer=signer)
    plainly = found.inline or plain.signatures
    nested = None if plainly else await in_thread(_mime.find, plain.data)
    if nested is not None and nested.kind == "signed":
        verified = await gpg.verify(nested.data, nested.signature, signer=signer)
        opened = await in_thread(_opened, nested, verified.data, True, verified.signatures)
        opened = replace(opened, whole=found.whole and nested.whole)
    else:
        plain.require_good()
        opened = await in_thread(_opened, found, plain.data, True, plain.signatures)
    if signer is not None or not opened.signatures:
        return opened
    return await _by_sender(gpg, octets, opened)


async def autocrypt(gpg: GnuPG, uid: Uid = "", *, mutual: bool = True) -> str:
    """Return the value of an ``Autocrypt`` header, which tells a key to whoever gets the mail.

    Args:
        gpg: who has the key.
        uid: which key, best by the address that you write from; the empty text is the instance's
            own, by the instance's address.
        mutual: ask that answers be encrypted.

    Raises:
        KeyNotFound: there is no such key.
        UnusableKey: it is revoked or has expired, has no such address, or no subkey that can
            encrypt.
    """
    fingerprint = await gpg.key_fingerprint(uid)
    (key,) = await gpg.keys(fingerprint)
    able = key.encryption_subkeys
    name = uid if isinstance(uid, str) else ""
    named = [one.email for one in user_ids_of(key, name) if one.email]
    named.sort(key=lambda one: not same_address(one, gpg.email))
    if key.revoked or key.expired or not able or not named:
        why = "revoked" if key.revoked else "expired" if key.expired else ""
        why = (
            f"is {why}"
            if why
            else f"has no address{f' {name}' * bool(name)}, or no subkey that can encrypt"
        )
        raise UnusableKey(f"{fingerprint} {why}", hint="tell a key that others can encrypt to")
    block = await gpg.export(fingerprint)
    small = _autocrypt.small_key(block, named[0], able[-1].fingerprint)
    return _autocrypt.header(named[0], small, mutual=mutual)


def autocrypt_key(mail: EmailMessage | bytes) -> bytes | None:
    """Return the key in a mail's ``Autocrypt`` header, for ``GnuPG.text_import``.

    Nobody vouches for it: it is from whoever sent the mail.

    Returns:
        The key; None where there is no such header, or one that Autocrypt 1.1 says to ignore:
        several of them, one of another address than ``From``, or with an unknown attribute; or
        where a header is too long.
    """
    try:
        read = _mime.head(_mime.raw(mail))
    except ValueError:
        return None
    headers, senders = _mime.values(read, "autocrypt"), _mime.sender(read)
    if len(headers) != 1 or len(senders) != 1:
        return None
    return _autocrypt.key_in(headers[0], senders[0])


def _opened(
    found: _mime.Found, data: bytes, encrypted: bool, signatures: tuple[Signature, ...]
) -> OpenedMail:
    """Return what came out, without headers that nothing protects."""
    if found.inline:
        message = EmailMessage()
        message.set_content(data.decode(errors="replace"))
    else:
        message = _mime.content(data)
    return OpenedMail(message, encrypted, signatures, found.whole)


async def _by_sender(gpg: GnuPG, mail: bytes, opened: OpenedMail) -> OpenedMail:
    """Return what was opened, where one of its signatures is by whom ``From`` names."""
    senders = _mime.sender(opened.message) or _mime.sender(_mime.head(mail))
    if len(senders) != 1 or not address(senders[0]):
        raise ValueError("From does not name one address: name the signer")
    # Who gave up an address is not whom it names.
    keys = matching(await gpg.keys(senders[0]), senders[0], revoked=False)
    theirs = {key.fingerprint for key in keys}
    if any(one.primary_fingerprint in theirs for one in opened.signatures):
        return opened
    found = opened.signatures[0].primary_fingerprint
    raise WrongSigner(
        f"signed by {found}, and not by {senders[0]}", value=found, signatures=opened.signatures
    )


def _digest(signature: bytes) -> str:
    """Return what RFC 3156 calls the digest algorithm of a signature (section 5)."""
    packets = frame(dearmor(signature))
    number = next(one.body[3] for one in packets if one.tag == SIGNATURE)
    return f"pgp-{HashAlgorithm(number).name.lower().replace('_', '-')}"
