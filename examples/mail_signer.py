"""Sign a mail as PGP/MIME (RFC 3156): a mail on standard input, the signed one on standard output.

    python mail_signer.py --home HOME --as KEY < mail.eml > signed.eml

The passphrase is taken from the environment variable MAIL_PASSPHRASE.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from email import message_from_bytes, policy

from tiny_gnupg import GnuPG, mail


async def work(home: str, signer: str) -> None:
    """Sign what comes on standard input."""
    secret = os.environ.get("MAIL_PASSPHRASE", "")
    async with GnuPG(passphrase=secret, homedir=home) as gpg:
        read = await asyncio.to_thread(sys.stdin.buffer.read)
        letter = message_from_bytes(read, policy=policy.default)
        signed = await mail.sign(gpg, letter, local_user=signer)
        sys.stdout.buffer.write(signed.as_bytes(policy=policy.SMTP))


def main() -> None:
    """Read the arguments and work."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", required=True)
    parser.add_argument("--as", dest="signer", required=True, help="fingerprint or address")
    arguments = parser.parse_args()
    asyncio.run(work(arguments.home, arguments.signer))


if __name__ == "__main__":
    main()
