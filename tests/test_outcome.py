"""What gpg's answers mean: every failure has its name, whatever the status lines."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given

from tests.replies import FPR, any_replies, judged, reply
from tiny_gnupg import outcome
from tiny_gnupg.errors import (
    BadPassphrase,
    CommandFailed,
    GnuPGError,
    HomeUnusable,
    KeyNotFound,
    NotOpenPGP,
    UnusableKey,
)
from tiny_gnupg.outcome import Reply


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("ERROR keysig 67108875", BadPassphrase),
        ("ERROR keyedit.passwd 67109041", BadPassphrase),
        ("FAILURE sign 67108881", KeyNotFound),
        (f"INV_RECP 0 {FPR}", KeyNotFound),
        (f"INV_RECP 4 {FPR}", UnusableKey),
        (f"INV_RECP 10 {FPR}", UnusableKey),
        (f"INV_SGNR 9 {FPR}", KeyNotFound),
        ("DELETE_PROBLEM 1", KeyNotFound),
        ("ERROR set_expire 134250587", HomeUnusable),
        ("FAILURE sign 67108941", HomeUnusable),
        ("FAILURE encrypt 53", UnusableKey),
        ("NODATA 1", NotOpenPGP),
        ("FAILURE encrypt 1", CommandFailed),
        ("SOMETHING_NEW 1 2 3", CommandFailed),
    ],
)
def test_failures_have_names(line: str, error: type[GnuPGError]) -> None:
    found = outcome.failure(reply(line, code=2), "do it", FPR)
    assert type(found) is error
    assert found.status == (line,)
    assert "do it" in str(found)


JUDGES: dict[str, Callable[[Reply], object]] = {
    "created_key": lambda found: outcome.created_key(found, "make"),
    "require_success": lambda found: outcome.require_success(found, "do"),
    "require_keyword": lambda found: outcome.require_keyword(found, "SIG_CREATED", "sign"),
    "failure": lambda found: str(outcome.failure(found, "do", FPR)),
    "unreadable": lambda found: outcome.unreadable(found, "read").diagnostics(),
}


@pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)
@given(any_replies())
def test_no_status_lines_are_too_strange(judge: Callable[[Reply], object], answer: Reply) -> None:
    judged(judge, answer)
