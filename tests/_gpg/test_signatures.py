"""Which messages are believed: real answers of the facts, and any status lines at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.replies import FPR, GOOD, KEY, NEW, OKAY, OPENED, VALID, any_replies, judged, reply
from tiny_gnupg._gpg import plaintexts, signatures
from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg.errors import (
    BadSignature,
    ExpiredKeySignature,
    ExpiredSignature,
    GnuPGError,
    KeyNotFound,
    NotOpenPGP,
    NotSigned,
    RevokedKeySignature,
    SignatureError,
    UnsupportedByGnuPG,
    WrongSigner,
)
from tiny_gnupg.results import Signature, SignatureStatus

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
        ((NEW, GOOD), SignatureError),
        ((NEW, VALID), SignatureError),
        ((NEW,), SignatureError),
        ((NEW, GOOD, VALID, NEW), SignatureError),
        ((NEW, GOOD, VALID, NEW, f"BADSIG {KEY} Mallory"), BadSignature),
        ((NEW, f"EXPSIG {KEY} Alice", VALID), ExpiredSignature),
        ((NEW, f"EXPKEYSIG {KEY} Alice", VALID), ExpiredKeySignature),
        ((NEW, f"REVKEYSIG {KEY} Alice", VALID), RevokedKeySignature),
        ((NEW, f"ERRSIG {KEY} 22 10 00 1767312000 9 {FPR}", f"NO_PUBKEY {KEY}"), KeyNotFound),
        ((NEW, f"ERRSIG {KEY} 27 10 00 1767312000 4 {FPR}"), UnsupportedByGnuPG),
        ((NEW, f"ERRSIG {KEY} 22 99 00 1767312000 5 {FPR}"), UnsupportedByGnuPG),
        ((NEW, f"ERRSIG {KEY} 22 10 00 1767312000 39 {FPR}"), SignatureError),
        ((NEW, f"ERRSIG {KEY} 22 1 00 1767312000 5 {FPR}"), SignatureError),
        ((NEW, GOOD, VALID.replace(" 22 10 ", " 22 2 ")), SignatureError),
        ((NEW, GOOD, VALID.replace("1767312000", "9999999999")), SignatureError),
        ((NEW, GOOD, VALID, "NODATA 4"), BadSignature),
        ((), NotSigned),
        (("NODATA 1",), NotOpenPGP),
    ],
)
def test_exit_code_0_alone_is_no_good_signature(
    lines: tuple[str, ...], error: type[GnuPGError]
) -> None:
    with pytest.raises(error) as caught:
        signatures.verification(reply(*lines))
    assert type(caught.value) is error
    found = caught.value.signatures
    assert len(found) == sum(line.startswith("NEWSIG") for line in lines)
    assert ("changed" in str(caught.value)) is (SignatureStatus.BADSIG in [s.status for s in found])


def test_a_missing_key_is_named_by_its_fingerprint() -> None:
    with pytest.raises(KeyNotFound) as caught:
        signatures.verification(
            reply(NEW, f"ERRSIG {KEY} 22 10 00 1767312000 9 {FPR}", f"NO_PUBKEY {KEY}", code=2)
        )
    assert caught.value.value == FPR


def test_times_come_in_seconds_or_in_the_iso_form() -> None:
    for made in ("1767312000", "20260102T000000"):
        lines = ("NEWSIG", f"GOODSIG {FPR} Alice", VALID.replace("1767312000", made))
        (found,) = signatures.read_signatures(reply(*lines))
        assert found.created == datetime(2026, 1, 2, tzinfo=UTC)
    (found,) = signatures.read_signatures(reply("NEWSIG", VALID.replace("1767312000", "notTime")))
    assert found.created is None


def states(found: Iterable[Signature]) -> list[SignatureStatus]:
    return [one.status for one in found]


@pytest.mark.parametrize("digest", [1, 2, 3])
def test_a_hash_that_is_not_for_signatures_is_a_state_of_its_own(digest: int) -> None:
    valid = VALID.replace(" 22 10 ", f" 22 {digest} ")
    (found,) = signatures.read_signatures(reply(NEW, GOOD, valid))
    assert (found.status, found.good) == (SignatureStatus.WEAK_DIGEST, False)
    (bad,) = signatures.read_signatures(reply(NEW, f"BADSIG {KEY} A", valid))
    assert bad.status is SignatureStatus.BADSIG
    with pytest.raises(SignatureError, match=found.hash.name if found.hash else "?"):
        plaintexts.decryption(reply(*OPENED, NEW, GOOD, valid, *OKAY)).require_signed()


def test_a_signature_of_tomorrow_is_good_and_one_of_the_day_after_is_not() -> None:
    made = datetime.fromtimestamp(1767312000, UTC)
    for ahead, status in ((86_400, "GOODSIG"), (86_401, "FUTURE")):
        now = made - timedelta(seconds=ahead)
        assert states(signatures.read_signatures(reply(NEW, GOOD, VALID), now)) == [status]
        expired = reply(NEW, f"EXPKEYSIG {KEY} A", VALID)
        assert states(signatures.read_signatures(expired, now)) == ["EXPKEYSIG"]


def test_of_signatures_of_different_kinds_the_first_alone_is_checked() -> None:
    answer = replace(
        reply(NEW, GOOD, VALID),
        stderr="gpg: WARNING: multiple signatures detected.  Only the first will be checked.\n",
    )
    with pytest.raises(SignatureError, match="different kinds") as caught:
        signatures.verification(answer)
    assert states(caught.value.signatures) == ["GOODSIG", "ERRSIG"]


OTHER = "F" * 40
BY_ANOTHER = (NEW, GOOD.replace(KEY, OTHER[-16:]), VALID.replace(FPR, OTHER))
MISSING = (NEW, f"ERRSIG {OTHER[-16:]} 22 10 00 1767312000 9 {OTHER}", f"NO_PUBKEY {OTHER[-16:]}")


def test_one_good_signature_must_be_by_the_signer_that_is_asked_for() -> None:
    for lines, code in (((NEW, GOOD, VALID), 0), ((NEW, GOOD, VALID, *MISSING), 2)):
        found = signatures.verification(reply(*lines, code=code), signers=[FPR])
        assert found.signed_by(FPR)
        assert (found.failure is None) is (code == 0)
        opened = plaintexts.decryption(reply(*OPENED, *lines, *OKAY, code=code), [FPR])
        assert opened.require_signed() is opened
    refused: tuple[tuple[tuple[str, ...], type[GnuPGError]], ...] = (
        (BY_ANOTHER, WrongSigner),
        (MISSING, WrongSigner),
        ((NEW, GOOD, VALID, NEW, f"BADSIG {OTHER[-16:]} A"), BadSignature),
        ((NEW, GOOD, VALID, NEW), SignatureError),
        ((*BY_ANOTHER, NEW, f"EXPKEYSIG {KEY} Alice", VALID), ExpiredKeySignature),
        ((), NotSigned),
    )
    for wrong, error in refused:
        with pytest.raises(error) as caught:
            signatures.verification(reply(*wrong), signers=[FPR])
        assert len(caught.value.signatures) == wrong.count(NEW)
        with pytest.raises(error):
            plaintexts.decryption(reply(*OPENED, *wrong, *OKAY), [FPR]).require_good()
        if isinstance(caught.value, WrongSigner):
            assert caught.value.value == OTHER


NOTE = "NOTATION_NAME note@example.org"


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ((NOTE, "NOTATION_FLAGS 0 1", "NOTATION_DATA a%20%C3", "NOTATION_DATA %A9b"), "a \xe9b"),
        ((NOTE, "NOTATION_FLAGS 0 1", "NOTATION_DATA a\udcc3", "NOTATION_DATA \udca9"), "a\xe9"),
        ((NOTE, "NOTATION_FLAGS 0 0", "NOTATION_DATA text"), b"text"),
        ((NOTE, "NOTATION_FLAGS 0 1", "NOTATION_DATA %FF"), b"\xff"),
        ((NOTE, "NOTATION_DATA text"), "text"),
        ((NOTE, "NOTATION_FLAGS 0 1"), ""),
        ((NOTE, "NOTATION_FLAGS 0 0"), b""),
    ],
)
def test_a_notation_is_joined_before_it_is_read(lines: tuple[str, ...], value: str | bytes) -> None:
    (found,) = signatures.read_signatures(reply(NEW, *lines, NOTE, "NOTATION_DATA 2", GOOD, VALID))
    assert found.notations == (("note@example.org", value), ("note@example.org", "2"))


def test_the_name_of_a_notation_can_always_be_written() -> None:
    (found,) = signatures.read_signatures(reply(NEW, "NOTATION_NAME %FFx", GOOD, VALID))
    assert found.notations == (("\\xffx", ""),)


# -- anything at all -----------------------------------------------------------------------

JUDGES: dict[str, Callable[[Reply], object]] = {
    "decryption": plaintexts.decryption,
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


@pytest.mark.not_fast
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
        opened = plaintexts.decryption(reply(*lines, code=code)).require_good()
        assert code == 0
        assert not {"NODATA", "UNEXPECTED", "DECRYPTION_FAILED", "BADMDC", "ERROR"} & set(words)
        assert words.count("PLAINTEXT") <= 1
        assert "DECRYPTION_OKAY" in words or not opened.encrypted
        assert opened.encrypted or opened.signatures
        assert all(one.good for one in opened.signatures)
