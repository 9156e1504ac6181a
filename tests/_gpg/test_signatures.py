"""Which messages are believed: real answers of the facts, and any status lines at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.replies import FPR, KEY, any_replies, judged, reply
from tiny_gnupg._gpg import signatures
from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg.errors import (
    BadPassphrase,
    BadSignature,
    CommandFailed,
    DecryptionFailed,
    ExpiredKeySignature,
    ExpiredSignature,
    GnuPGError,
    KeyNotFound,
    NoSecretKey,
    NotOpenPGP,
    NotSigned,
    RevokedKeySignature,
)
from tiny_gnupg.results import SignatureStatus

NEW = "NEWSIG alice@example.org"
GOOD = f"GOODSIG {KEY} Alice <alice@example.org>"
VALID = f"VALIDSIG {FPR} 2026-01-02 1767312000 0 4 0 22 10 00 {FPR}"
OPENED = ("BEGIN_DECRYPTION", f"ENC_TO {KEY} 18 0", "DECRYPTION_INFO 2 9 0")
OKAY = ("PLAINTEXT 62 0 name", "PLAINTEXT_LENGTH 1", "DECRYPTION_OKAY", "GOODMDC", "END_DECRYPTION")


# -- signatures ----------------------------------------------------------------------------


def test_a_good_signature_is_two_lines() -> None:
    [signature] = signatures.verification(
        reply(NEW, GOOD, VALID, "TRUST_ULTIMATE 0 pgp")
    ).signatures
    assert signature.good
    assert signature.fingerprint == signature.primary_fingerprint == FPR
    assert signature.user_id == "Alice <alice@example.org>"


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ((NEW, GOOD), BadSignature),
        ((NEW, VALID), BadSignature),
        ((NEW,), BadSignature),
        ((NEW, GOOD, VALID, NEW), BadSignature),
        ((NEW, GOOD, VALID, NEW, f"BADSIG {KEY} Mallory"), BadSignature),
        ((NEW, f"EXPSIG {KEY} Alice", VALID), ExpiredSignature),
        ((NEW, f"EXPKEYSIG {KEY} Alice", VALID), ExpiredKeySignature),
        ((NEW, f"REVKEYSIG {KEY} Alice", VALID), RevokedKeySignature),
        ((NEW, f"ERRSIG {KEY} 22 10 00 1767312000 9 {FPR}", f"NO_PUBKEY {KEY}"), KeyNotFound),
        ((NEW, f"ERRSIG {KEY} 22 10 00 1767312000 4 {FPR}"), BadSignature),
        ((NEW, GOOD, VALID, "NODATA 4"), BadSignature),
        ((), NotSigned),
        (("NODATA 1",), NotOpenPGP),
    ],
)
def test_exit_code_0_alone_is_no_good_signature(
    lines: tuple[str, ...], error: type[GnuPGError]
) -> None:
    with pytest.raises(error):
        signatures.verification(reply(*lines))


def test_a_missing_key_is_named_by_its_fingerprint() -> None:
    with pytest.raises(KeyNotFound) as caught:
        signatures.verification(
            reply(NEW, f"ERRSIG {KEY} 22 10 00 1767312000 9 {FPR}", f"NO_PUBKEY {KEY}", code=2)
        )
    assert caught.value.value == FPR


def test_times_come_in_seconds_or_in_the_iso_form() -> None:
    for made in ("1767312000", "20260102T000000"):
        lines = ("NEWSIG", f"GOODSIG {FPR} Alice", VALID.replace("1767312000", made))
        (found,) = signatures.read_signatures(reply(*lines).status)
        assert found.created == datetime(2026, 1, 2, tzinfo=UTC)
    (found,) = signatures.read_signatures(
        reply("NEWSIG", VALID.replace("1767312000", "notTime")).status
    )
    assert found.created is None


# -- decryption ----------------------------------------------------------------------------


def test_a_whole_message_is_given_out() -> None:
    found = signatures.decryption(reply(*OPENED, *OKAY))
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
        signatures.decryption(reply(*OPENED, *OKAY, *extra, code=code))
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
    assert signatures.decryption(reply(*other, *OPENED, *OKAY)).data == b"x"
    for damage in ("DECRYPTION_FAILED", "NODATA 3"):
        with pytest.raises((DecryptionFailed, BadPassphrase)):
            signatures.decryption(reply(*other, *OPENED, *OKAY, damage))


def test_the_reasons_of_a_message_that_does_not_open() -> None:
    failed = ("BEGIN_DECRYPTION", "DECRYPTION_FAILED", "END_DECRYPTION")
    with pytest.raises(NoSecretKey, match=KEY):
        signatures.decryption(reply(f"ENC_TO {KEY} 18 0", f"NO_SECKEY {KEY}", *failed, code=2))
    with pytest.raises(BadPassphrase):
        signatures.decryption(
            reply(f"ENC_TO {KEY} 18 0", "ERROR pkdecrypt_failed 67108875", *failed, code=2)
        )
    with pytest.raises(NotOpenPGP):
        signatures.decryption(reply("NODATA 1", "NODATA 2", code=2))
    with pytest.raises(CommandFailed, match="signal 9"):
        signatures.decryption(reply(*OPENED, code=-9))


def test_a_good_decryption_with_a_bad_signature_reports_and_refuses() -> None:
    found = signatures.decryption(reply(*OPENED, NEW, f"BADSIG {KEY} Alice", *OKAY, code=1))
    assert [one.status for one in found.signatures] == [SignatureStatus.BADSIG]
    with pytest.raises(BadSignature):
        found.require_good()


# -- anything at all -----------------------------------------------------------------------

JUDGES: dict[str, Callable[[Reply], object]] = {
    "decryption": signatures.decryption,
    "verification": signatures.verification,
}


@pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)
@given(any_replies())
def test_no_status_lines_are_too_strange(judge: Callable[[Reply], object], answer: Reply) -> None:
    judged(judge, answer)


VOCABULARY = [
    *(
        NEW,
        GOOD,
        VALID,
        f"BADSIG {KEY} A",
        f"EXPKEYSIG {KEY} A",
        f"ERRSIG {KEY} 22 10 00 1 9 {FPR}",
    ),
    *(*OPENED, *OKAY, "NODATA 3", "UNEXPECTED 0", "DECRYPTION_FAILED", "BADMDC", "ERROR x 1"),
]


#: What is given out as it stands. Lines picked at random would hardly ever be: whatever is to be
#: found missing has to be missing from one of these.
GIVEN_OUT = (
    ("PLAINTEXT 62 0 name", NEW, GOOD, VALID),
    (*OPENED, *OKAY),
    (*OPENED, NEW, GOOD, VALID, *OKAY),
    (*OPENED, NEW, GOOD, VALID, NEW, GOOD, VALID, *OKAY),
)


@st.composite
def nearly_good(draw: st.DrawFn) -> list[str]:
    """Make the lines of a good answer, of which some are left out and some put in."""
    lines = list(draw(st.sampled_from(GIVEN_OUT)))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(lines)))
        if draw(st.booleans()):
            lines.insert(place, draw(st.sampled_from(VOCABULARY)))
        else:
            del lines[place : place + 1]
    return lines


@settings(max_examples=600)
@given(nearly_good(), st.sampled_from([0, 0, 0, 1, 2, -9]))
def test_nothing_unproved_is_ever_given_out(lines: list[str], code: int) -> None:
    words = [line.split()[0] for line in lines]
    with suppress(GnuPGError):
        found = signatures.verification(reply(*lines, code=code))
        assert code == 0
        assert found.signatures
        assert all(one.good and one.fingerprint for one in found.signatures)
        assert words.count("GOODSIG") >= max(1, words.count("NEWSIG"))
        assert not {"BADSIG", "ERRSIG", "EXPKEYSIG"} & set(words)
        assert not {"NODATA", "UNEXPECTED", "DECRYPTION_FAILED", "BADMDC", "ERROR"} & set(words)
        assert words.count("PLAINTEXT") <= 1
    with suppress(GnuPGError):
        opened = signatures.decryption(reply(*lines, code=code)).require_good()
        assert code == 0
        assert not {"NODATA", "UNEXPECTED", "DECRYPTION_FAILED", "BADMDC", "ERROR"} & set(words)
        assert words.count("PLAINTEXT") <= 1
        assert "DECRYPTION_OKAY" in words or not opened.encrypted
        assert opened.encrypted or opened.signatures
        assert all(one.good for one in opened.signatures)
