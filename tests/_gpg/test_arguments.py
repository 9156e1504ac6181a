"""What callers may pass: any text, and the text that would harm."""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_gnupg._gpg.arguments import (
    Expiry,
    checked_expiry,
    checked_name,
    checked_passphrase,
    checked_reason,
    checked_secret,
    checked_trust,
    revocation_answers,
    user_id_of,
)

TEXT = st.text(st.characters(), max_size=20)
ANY = st.one_of(st.none(), st.integers(), st.binary(), st.floats(), st.booleans(), TEXT)


@given(TEXT)
def test_a_name_is_given_back_as_it_is_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert checked_name("name", text) == text
        assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in text)
        assert len(text.splitlines()) <= 1
        assert not text.startswith("%")
        assert not set(text) & set("<>")


@pytest.mark.parametrize("text", ["Alice Å", "", "李雷", 'O\'Brien, "Bob"', "a % b", "a: b#c"])
def test_ordinary_names_pass(text: str) -> None:
    assert checked_name("username", text) == text


@given(TEXT)
def test_a_passphrase_is_given_back_as_it_is_or_refused_unseen(text: str) -> None:
    try:
        assert checked_passphrase(text) == text
    except ValueError as error:
        refused = error
    else:
        assert not set(text) & set("\0\r\n")
        return
    assert set(text) & set("\0\r\n") or any("\ud800" <= char <= "\udfff" for char in text)
    assert len(text) < 4 or text not in str(refused)
    assert refused.__cause__ is None
    assert refused.__suppress_context__ or refused.__context__ is None


@given(ANY)
def test_anything_else_is_refused_by_the_two_errors(value: object) -> None:
    for check in (
        lambda: checked_name("name", value),  # type: ignore[arg-type]
        lambda: checked_passphrase(value),  # type: ignore[arg-type]
        lambda: checked_expiry(value),  # type: ignore[arg-type]
        lambda: checked_secret(value),  # type: ignore[arg-type]
        lambda: checked_trust(value),  # type: ignore[arg-type]
        lambda: checked_reason(value, ""),  # type: ignore[arg-type]
        lambda: checked_reason(0, value),  # type: ignore[arg-type]
    ):
        with suppress(ValueError, TypeError):
            check()


@pytest.mark.parametrize(
    "expires", ["0", "3y", "6m", "2w", "90d", "never", "2030-12-31", "seconds=5"]
)
def test_expiries_that_gpg_knows(expires: str) -> None:
    assert checked_expiry(expires) == expires


@pytest.mark.parametrize(
    "expires",
    ["", "3 y", "-1", "3y\n", "tomorrow", "٣y", "--version", 3, None, "2030-02-30", "2030-1-1"],
)
def test_expiries_that_it_does_not(expires: str) -> None:
    with pytest.raises(ValueError, match="expires is like"):
        checked_expiry(expires)


NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
#: What ends just in time, and just beyond, seen from ``NOW``.
LAST: list[tuple[Expiry, Expiry]] = [
    ("29225d", "29226d"),
    ("29225", "29226"),
    ("4175w", "4176w"),
    ("974m", "975m"),
    ("80y", "81y"),
    ("2106-02-06", "2106-02-07"),
    ("21060206T235959", "21060207T000000"),
    (datetime(2106, 2, 6, 23, 59, tzinfo=UTC), datetime(2106, 2, 7, tzinfo=UTC)),
    (timedelta(days=29225), timedelta(days=29226)),
]


@pytest.mark.parametrize(("last", "beyond"), LAST)
def test_an_expiry_ends_before_32_bits_do(last: Expiry, beyond: Expiry) -> None:
    assert checked_expiry(last, NOW)
    with pytest.raises(ValueError, match="beyond 2106-02-06"):
        checked_expiry(beyond, NOW)


@pytest.mark.parametrize(
    "expires",
    [
        "0d",
        "seconds=0",
        "2026-01-29",
        "20260131T120000",
        NOW,
        timedelta(0),
        timedelta(days=-3),
        timedelta(0, 0, 9),
    ],
)
def test_an_expiry_is_to_come(expires: Expiry) -> None:
    with pytest.raises(ValueError, match="over already"):
        checked_expiry(expires, NOW)


def test_a_moment_is_written_in_universal_time_and_needs_a_zone() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    moment = datetime(2030, 1, 1, 4, 0, 0, tzinfo=east)
    assert checked_expiry(moment, NOW) == "20291231T223000"
    assert checked_expiry(timedelta(hours=1, microseconds=9), NOW) == "seconds=3600"
    with pytest.raises(ValueError, match="time zone"):
        checked_expiry(datetime(2030, 1, 1), NOW)


@pytest.mark.parametrize(
    "text", ["a@b@c.org", "@example.org", "bob@", "@", "bob@example.org.", "bob@example..org"]
)
def test_an_address_is_one_that_finds_its_key(text: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        checked_name("email", text)
    assert checked_name("username", text) == text


def test_the_first_and_the_last_moment_that_Python_knows_are_out_of_range() -> None:
    west, east = timezone(timedelta(hours=-5)), timezone(timedelta(hours=5))
    with pytest.raises(ValueError, match="beyond 2106-02-06"):
        checked_expiry(datetime.max.replace(tzinfo=west), NOW)
    with pytest.raises(ValueError, match="over already"):
        checked_expiry(datetime.min.replace(tzinfo=east), NOW)


def test_a_user_id_needs_something() -> None:
    assert user_id_of("A", "a@b.c") == "A <a@b.c>"
    assert user_id_of("A", "") == "A"
    assert user_id_of("", "a@b.c") == "<a@b.c>"
    with pytest.raises(ValueError, match="needs"):
        user_id_of("", "")


@given(st.integers(0, 3), st.lists(st.text(st.characters(categories=["L", "N"]), max_size=9)))
def test_a_revocations_dialogue_ends(reason: int, lines: list[str]) -> None:
    checked_reason(reason, "\n".join(lines))
    answer = revocation_answers(reason, "\n".join(lines))
    assert answer("GET_LINE ask_revocation_reason.code") == f"{reason}\n".encode()
    said = [answer("GET_LINE ask_revocation_reason.text") for _ in range(len(lines) + 2)]
    written = [line.encode() + b"\n" for line in lines if line]
    assert said[: len(written)] == written
    assert set(said[len(written) :]) == {b"\n"}
    assert answer("GET_BOOL anything") == b"y\n"
    assert answer("KEY_CONSIDERED x") is None
