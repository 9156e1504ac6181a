"""What gpg's answers mean: every failure has its name, whatever the status lines."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given

from tests.replies import FPR, any_replies, judged, reply
from tiny_gnupg._gpg import outcome
from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg.errors import (
    AgentUnavailable,
    BadPassphrase,
    CommandFailed,
    GnuPGError,
    HomeUnusable,
    KeyNotFound,
    NotOpenPGP,
    OutputTooLarge,
    UnusableKey,
)


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
        ("FAILURE sign 67108941", AgentUnavailable),
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


@pytest.mark.parametrize(
    "answer",
    [
        reply("SIG_CREATED D", code=2),
        reply("KEY_CREATED P", code=0),
        reply(code=0),
        reply(f"KEY_CREATED P {FPR}", code=2),
    ],
    ids=["a failure", "a key without a name", "nothing said", "a key and a failure"],
)
def test_neither_an_exit_code_nor_a_status_line_is_success_alone(answer: Reply) -> None:
    with pytest.raises(CommandFailed):
        outcome.require_keyword(answer, "SIG_CREATED", "sign")
    with pytest.raises(CommandFailed):
        outcome.created_key(answer, "make a key")
    if answer.returncode:
        with pytest.raises(CommandFailed):
            outcome.require_success(answer, "do it")


def test_success_is_given_back() -> None:
    signed, made = reply("SIG_CREATED D"), reply(f"KEY_CREATED P {FPR}")
    assert outcome.require_success(signed, "sign") is signed
    assert outcome.require_keyword(signed, "SIG_CREATED", "sign") is signed
    assert outcome.created_key(made, "make a key") == FPR


def test_a_bound_of_gpgs_own_is_told_from_other_failures() -> None:
    block = 2**16
    with pytest.raises(OutputTooLarge):
        outcome.require_within(reply(code=2), 10 * block, 10 * block)
    outcome.require_within(reply(code=2), 8 * block, 10 * block)
    outcome.require_within(reply(code=0), 10 * block, 10 * block)
    outcome.require_within(reply(code=2), 10 * block, None)


@pytest.mark.parametrize("line", ["NODATA 1", "FAILURE list-packets 1"])
def test_what_gpg_makes_nothing_of_is_no_openpgp(line: str) -> None:
    assert type(outcome.unreadable(reply(line, code=2), "read it")) is NotOpenPGP
    full = reply("FAILURE list-packets 67108941", code=2)
    assert type(outcome.unreadable(full, "read it")) is AgentUnavailable


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
