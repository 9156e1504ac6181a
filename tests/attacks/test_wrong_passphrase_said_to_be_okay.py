"""gpg says DECRYPTION_OKAY and GOODMDC for OCB messages that a wrong passphrase did not open."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable

import pytest

from tests.features import old_ciphers
from tests.instances import PlainGpg
from tiny_gnupg import BadPassphrase, DecryptionFailed, GnuPG

#: No attack succeeds where a gpg waited for the message, or the message flows.
pytestmark = pytest.mark.usefixtures("every_way")

PASSPHRASE, PLAINTEXT = "right", b"sealed with OCB"
#: Made with the Python package ``cryptography`` (AES-256 in OCB mode; packets as in LibrePGP,
#: sections 5.3 and 5.16), because gpg 2.2 opens such messages and cannot make them. In the first
#: the passphrase gives the key of the message, in the second the key of that key.
OCB = {
    "key from the passphrase": (
        "ww0ECQMIF5FMOXxvkVlg1EoBCQIQJx/ILvv1pB8or3+6E+3PbAilPAXwQdnfGPpCwMfiqkFxsiiKNoX9C0w2sNRQ"
        "SLoWb9YKCEfLB6Am+cGlPXpmvivkhkb/Og=="
    ),
    "key under the passphrase": (
        "w00FCQIDCBeRTDl8b5FZYHjmfk3apGd2I9tvBxltzuKq+F2YtqjpRc+2vB2a81aXvmQg8OXNm3xWmqRfSEohsuHP"
        "MMk08RRACorKC8OEFdRKAQkCEPDsSW6IWoEUT7oBKiUu4DdXoa+zqzjlC8AHhV9aW3erLX9RHEzpLGitpxQkk5In"
        "kH8IZKATSBkOSeRNwif6MDmZKmqyxX4="
    ),
}


@pytest.mark.parametrize("message", OCB.values(), ids=OCB.keys())
async def test_ocb(alice: GnuPG, message: str) -> None:
    octets = base64.b64decode(message)
    assert await alice.decrypt(octets, passphrase=PASSPHRASE) == PLAINTEXT
    for wrong in ("wrong", "Right", "righ", "right "):
        with pytest.raises((BadPassphrase, DecryptionFailed)):
            await alice.decrypt(octets, passphrase=wrong)
        with pytest.raises((BadPassphrase, DecryptionFailed)):
            await alice.decrypt_verify(octets, passphrase=wrong)


@pytest.mark.parametrize("cipher", ["AES256", "3DES", "CAST5"])
async def test_cfb(alice: GnuPG, plain_gpg: Callable[..., PlainGpg], cipher: str) -> None:
    """One wrong passphrase in some hundreds passes CFB's quick check; the next one stops it."""
    making = (*old_ciphers(), "--s2k-mode", "1", "--cipher-algo", cipher, "--symmetric")
    message = plain_gpg(PASSPHRASE).run(*making, stdin=PLAINTEXT).stdout
    assert await alice.decrypt(message, passphrase=PASSPHRASE) == PLAINTEXT

    async def tried(wrong: str) -> None:
        with pytest.raises((BadPassphrase, DecryptionFailed)):
            await alice.decrypt_verify(message, passphrase=wrong)

    await asyncio.gather(*(tried(f"wrong {number}") for number in range(60)))


async def test_our_own(alice: GnuPG, bob: GnuPG) -> None:
    message = await alice.encrypt_symmetric(PLAINTEXT, "words of its own")
    assert await bob.decrypt(message, passphrase="words of its own") == PLAINTEXT
    with pytest.raises(BadPassphrase):
        await bob.decrypt(message)
