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
    GnuPGError,
    NoSecretKey,
    NotOpenPGP,
    UnsupportedByGnuPG,
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
    with pytest.raises(BadPassphrase):  # GnuPG 2.5
        plaintexts.decryption(
            reply(f"ENC_TO {KEY} 18 0", "ERROR pkdecrypt_failed 67125247", *failed, code=2)
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


SYM = "NEED_PASSPHRASE_SYM 9 3 10"
FAILED = ("BEGIN_DECRYPTION", "DECRYPTION_FAILED", "END_DECRYPTION")


@pytest.mark.parametrize(
    ("lines", "error", "said", "not_said"),
    [
        ((f"ENC_TO {KEY} 25 0", "ERROR pkdecrypt_failed 4"), UnsupportedByGnuPG, "X25519", ""),
        (("ENC_TO 00 8 0", "ERROR pkdecrypt_failed 4"), UnsupportedByGnuPG, "KYBER", ""),
        ((f"ENC_TO {KEY} 18 0", "ERROR pkdecrypt_failed 67108983"), NoSecretKey, "scdaemon", ""),
        ((f"ENC_TO {KEY} 18 0", "ERROR pkdecrypt_failed 67108924"), NoSecretKey, "card", ""),
        ((f"ENC_TO {KEY} 18 0", "ERROR pkdecrypt_failed 10"), DecryptionFailed, "session", "chang"),
        ((SYM, "MISSING_PASSPHRASE"), BadPassphrase, "none was given", ""),
        ((f"ENC_TO {KEY} 18 0",), DecryptionFailed, "no session key", "changed"),
        ((*OPENED, "BADMDC"), DecryptionFailed, "changed or cut off", "passphrase"),
        ((SYM, "DECRYPTION_INFO 2 9 0", "BADMDC"), DecryptionFailed, "passphrase is wrong", ""),
        ((*OPENED[:2], "DECRYPTION_INFO 0 9 0"), DecryptionFailed, "no integrity", "changed"),
        ((*OPENED[:2], "DECRYPTION_INFO 2 99 0"), UnsupportedByGnuPG, "cipher", "changed"),
        ((*OPENED, "PLAINTEXT 62 0 ", "PLAINTEXT 62 0 "), DecryptionFailed, "more than one", "cha"),
    ],
)
def test_a_message_that_does_not_open_is_called_what_it_is(
    lines: tuple[str, ...], error: type[GnuPGError], said: str, not_said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        plaintexts.decryption(reply(*lines, *FAILED, code=2))
    assert type(caught.value) is error
    assert not not_said or not_said not in str(caught.value)


def test_a_gpg_that_broke_off_was_not_killed() -> None:
    for code in (-6, -11):
        with pytest.raises(DecryptionFailed, match="broke off by itself"):
            plaintexts.decryption(reply(*FAILED, code=code))
    with pytest.raises(CommandFailed, match="signal 15"):
        plaintexts.decryption(reply(*OPENED, *OKAY, code=-15))
