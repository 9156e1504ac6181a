"""Which plaintexts are believed, and why there is none: real answers of gpg."""

from __future__ import annotations

import pytest

from tests.replies import KEY, NEW, OKAY, OPENED, reply
from tiny_gnupg._gpg import plaintexts
from tiny_gnupg.errors import (
    BadPassphrase,
    BadSignature,
    CommandFailed,
    DecryptionFailed,
    NoSecretKey,
    NotOpenPGP,
)
from tiny_gnupg.results import SignatureStatus


def test_a_whole_message_is_given_out() -> None:
    found = plaintexts.decryption(reply(*OPENED, *OKAY))
    assert (found.data, found.encrypted, found.recipients) == (b"x", True, (KEY,))
    assert (found.filename, found.signatures, found.failure) == ("name", (), None)


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        (("NODATA 3",), 2),  # fact 1: a wrong passphrase on an OCB message, and "okay" said
        (("NODATA 3",), 0),
        (("ERROR proc_pkt.plaintext 89_BAD_DATA",), 2),
        (("UNEXPECTED 0",), 0),
        (("DECRYPTION_FAILED",), 2),
        (("BADMDC",), 2),
        (("PLAINTEXT 62 0 ",), 0),  # fact 5: a second plaintext
        ((), 2),
    ],
)
def test_okay_alone_is_no_success(extra: tuple[str, ...], code: int) -> None:
    with pytest.raises(DecryptionFailed) as caught:
        plaintexts.decryption(reply(*OPENED, *OKAY, *extra, code=code))
    assert "x" not in caught.value.args[0].split()


@pytest.mark.parametrize(
    "other",
    [
        (f"NO_SECKEY {KEY}", "ERROR pkdecrypt_failed 67108875"),
        ("NEED_PASSPHRASE_SYM 9 3 10", "ERROR symkey_decrypt.maybe_error 11_BAD_PASSPHRASE"),
    ],
    ids=["key", "passphrase"],
)
def test_one_of_several_keys_or_passphrases_is_enough(other: tuple[str, ...]) -> None:
    assert plaintexts.decryption(reply(*other, *OPENED, *OKAY)).data == b"x"
    for damage in ("DECRYPTION_FAILED", "NODATA 3"):
        with pytest.raises((DecryptionFailed, BadPassphrase)):
            plaintexts.decryption(reply(*other, *OPENED, *OKAY, damage))


def test_the_reasons_of_a_message_that_does_not_open() -> None:
    failed = ("BEGIN_DECRYPTION", "DECRYPTION_FAILED", "END_DECRYPTION")
    with pytest.raises(NoSecretKey, match=KEY):
        plaintexts.decryption(reply(f"ENC_TO {KEY} 18 0", f"NO_SECKEY {KEY}", *failed, code=2))
    with pytest.raises(BadPassphrase):
        plaintexts.decryption(
            reply(f"ENC_TO {KEY} 18 0", "ERROR pkdecrypt_failed 67108875", *failed, code=2)
        )
    with pytest.raises(NotOpenPGP):
        plaintexts.decryption(reply("NODATA 1", "NODATA 2", code=2))
    with pytest.raises(CommandFailed, match="signal 9"):
        plaintexts.decryption(reply(*OPENED, code=-9))


def test_a_good_decryption_with_a_bad_signature_reports_and_refuses() -> None:
    found = plaintexts.decryption(reply(*OPENED, NEW, f"BADSIG {KEY} Alice", *OKAY, code=1))
    assert [one.status for one in found.signatures] == [SignatureStatus.BADSIG]
    with pytest.raises(BadSignature):
        found.require_good()
