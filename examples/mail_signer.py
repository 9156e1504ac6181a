"""Sign a mail as PGP/MIME (RFC 3156): a mail on standard input, the signed one on standard output.

    python mail_signer.py --home HOME --as KEY < mail.eml > signed.eml

The passphrase is taken from the environment variable MAIL_PASSPHRASE.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import os
import re
import secrets
import sys
from email import message_from_bytes, policy
from email.message import EmailMessage

from tiny_gnupg import GnuPG, Verification

#: Seven bits and CRLF: what mail servers leave as it is (RFC 3156, section 3).
CANONICAL = policy.SMTP.clone(cte_type="7bit", max_line_length=76)
#: What servers change on the way: lines that begin as a mailbox's separator does, and white space
#: at the end of a line (RFC 3156, section 5).
SEPARATOR = re.compile(r"^From ", re.MULTILINE)
FRAGILE = re.compile(r"[ \t]$|^From ", re.MULTILINE)


async def sign_mail(gpg: GnuPG, mail: bytes, signer: str = "") -> bytes:
    """Sign a mail.

    Args:
        gpg: whose key signs.
        mail: the whole mail, headers and all.
        signer: the signing key; the empty text is the instance's own.

    Returns:
        The mail as multipart/signed; what is signed is its first part, byte for byte.
    """
    headers, part = split(mail)
    signature = await gpg.sign(part, signer, detach=True)
    boundary = f"=-{secrets.token_hex(16)}".encode()
    head = headers.as_bytes(policy=CANONICAL).rstrip(b"\r\n")
    lines = [
        head,
        b"MIME-Version: 1.0",
        b'Content-Type: multipart/signed; micalg="pgp-sha512";',
        b' protocol="application/pgp-signature"; boundary="%s"' % boundary,
        b"",
        b"--" + boundary,
        part,
        b"--" + boundary,
        b'Content-Type: application/pgp-signature; name="signature.asc"',
        b"",
        *signature.splitlines(),
        b"--%s--" % boundary,
        b"",
    ]
    return b"\r\n".join(lines)


async def verify_mail(gpg: GnuPG, mail: bytes) -> Verification:
    """Verify a mail that is multipart/signed; raises as ``GnuPG.verify`` does."""
    whole = message_from_bytes(mail, policy=policy.default)
    boundary = (whole.get_boundary() or "").encode()
    if whole.get_content_type() != "multipart/signed" or not boundary:
        raise ValueError("this mail is not multipart/signed")
    _, part, signature, _ = re.split(rb"\r?\n--%s(?:--)?\r?\n" % re.escape(boundary), mail)
    return await gpg.verify(part, signature.partition(b"\r\n\r\n")[2])


def split(mail: bytes) -> tuple[EmailMessage, bytes]:
    """Split a mail into its headers, and what is signed: the content in canonical form."""
    content = message_from_bytes(mail, policy=policy.default)
    headers = EmailMessage(policy=policy.default)
    for name, value in content.items():
        if not name.lower().startswith(("content-", "mime-version")):
            headers[name] = value
            del content[name]
    content = copy.deepcopy(content)
    del content["mime-version"]
    for leaf in content.walk():
        if leaf.get_content_maintype() == "text":
            _harden(leaf)
    if "content-type" not in content:
        content["Content-Type"] = "text/plain; charset=us-ascii"
    return headers, content.as_bytes(policy=CANONICAL)


def _harden(leaf: EmailMessage) -> None:
    """Encode a text that a server might change on its way."""
    text = leaf.get_content()
    if FRAGILE.search(text) or not text.isascii():
        disposition = leaf.get_content_disposition()
        # Quoted-printable leaves "From " at the beginning of a line as it is.
        encoding = "base64" if SEPARATOR.search(text) else "quoted-printable"
        leaf.set_content(text, subtype=leaf.get_content_subtype(), cte=encoding)
        del leaf["mime-version"]
        if disposition:
            leaf["Content-Disposition"] = disposition


async def work(home: str, signer: str) -> None:
    """Sign what comes on standard input."""
    secret = os.environ.get("MAIL_PASSPHRASE", "")
    async with GnuPG(passphrase=secret, homedir=home) as gpg:
        mail = await asyncio.to_thread(sys.stdin.buffer.read)
        sys.stdout.buffer.write(await sign_mail(gpg, mail, signer))


def main() -> None:
    """Read the arguments and work."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", required=True)
    parser.add_argument("--as", dest="signer", required=True, help="fingerprint or address")
    arguments = parser.parse_args()
    asyncio.run(work(arguments.home, arguments.signer))


if __name__ == "__main__":
    main()
