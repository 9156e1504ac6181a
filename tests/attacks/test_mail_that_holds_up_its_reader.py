"""A mail's headers and its text are made by anybody: reading them is bounded work, and no crash.

Python's parser of headers breaks off at some (found by scripts/fuzz), and takes a minute for 64 KiB
of others.
"""

from __future__ import annotations

import email.policy
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB
from tiny_gnupg import GnuPG, mail
from tiny_gnupg.mail import _mime

CHECKOUT = Path(__file__).parents[2]
PROGRAM = f"tests.attacks.{Path(__file__).stem}"
#: At these the parser breaks off.
UNREADABLE = [b"Alice <", b'"', b'"' * 1900]
#: What takes it long.
LONG = [b"a ", b"a,", b"(b)", b";", b'"', b"<", b"a=b;", b"a*0*=x;", b"\xff ", b"a@b.org,"]
NAMES = [b"From", b"Content-Type", b"Content-Transfer-Encoding", b"Autocrypt"]


def sealed(message: bytes) -> bytes:
    """Return a mail with an encrypted message."""
    start = b"Content-Type: multipart/encrypted; boundary=x\r\n\r\n--x\r\n"
    start += b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--x\r\n"
    return start + b"Content-Type: application/octet-stream\r\n\r\n" + message + b"\r\n--x--\r\n"


@pytest.mark.parametrize("value", [*UNREADABLE, b"a " * 32_000], ids=lambda value: value[:9])
async def test_a_sender_that_cannot_be_read_is_nobody(
    alice: GnuPG, bob: GnuPG, value: bytes
) -> None:
    text = await bob.sign(b"text", clear=True)
    signed = b"From: " + value + b"\r\nContent-Type: text/plain\r\n\r\n" + text
    with pytest.raises(ValueError, match="From does not name one address"):
        await mail.verify(alice, signed)
    assert (await mail.verify(alice, signed, signer=BOB)).signatures
    inside = b"From: " + value + b"\r\nContent-Type: text/plain; protected-headers=v1\r\n\r\ntext"
    message = sealed(await bob.encrypt(inside, ALICE))
    assert (await mail.decrypt(alice, message, signer=BOB)).signatures
    with pytest.raises(ValueError, match="From does not name one address"):
        await mail.decrypt(alice, message)
    key = b"\r\nAutocrypt: addr=a@b.org; keydata=AA==\r\n\r\n"
    assert mail.autocrypt_key(b"From: " + value + key) is None


@pytest.mark.parametrize(
    # Those that no version of Python reads.
    "header",
    [b'To: "', b"Content-Type: text/plain; V\xe7"],
)
async def test_no_mail_with_such_a_header_is_signed(bob: GnuPG, header: bytes) -> None:
    letter = message_from_bytes(header + b"\r\n\r\ntext", policy=email.policy.default)
    with pytest.raises(ValueError, match="cannot be read") as caught:
        await mail.sign(bob, letter)
    assert caught.value.__context__ is None


READERS: dict[str, Callable[[bytes], object]] = {
    "find": _mime.find,
    "content": _mime.content,
    "autocrypt_key": mail.autocrypt_key,
}


def long_mails() -> list[bytes]:
    """Return mails of a quarter MiB, each made to take long."""
    made = []
    for name in NAMES:
        for begin in (b"", b"multipart/mixed; ", b"text/plain; a="):
            made += [name + b": " + begin + value * (2**18 // len(value)) for value in LONG]
    for line in (b"-----BEGIN PGP MESSAGE-----\n", b"-----BEGIN PGP SIGNED MESSAGE-----\n"):
        made.append(b"\n" + line * (2**18 // len(line)))
    made.append(b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\n" * 2**15)
    return made


def test_what_anybody_sends_is_read_in_bounded_work() -> None:
    # Without the bounds a mail of these takes minutes, and all of them days.
    command = [sys.executable, "-m", PROGRAM]
    done = subprocess.run(
        command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(long_mails()) * len(READERS)


if __name__ == "__main__":
    done = 0
    for entity in long_mails():
        for reader in READERS.values():
            with suppress(ValueError):
                reader(entity)
            done += 1
    print(done)
