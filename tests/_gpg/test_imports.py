"""Which keys came in: the answers to imports, and any status lines at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given

from tests.replies import FPR, any_replies, judged, reply
from tiny_gnupg._gpg import imports
from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg.errors import CommandFailed, GnuPGError, HomeUnusable, ImportFailed


def test_an_import_is_what_has_import_ok() -> None:
    result = imports.imported(
        reply(f"IMPORT_OK 1 {FPR}", "IMPORT_RES 1 0 1 0 0 0 0 0 0 0 0 0 0 0 0")
    )
    assert (result.fingerprints, result.imported) == ((FPR,), 1)


def test_a_revocation_certificate_names_no_key_of_a_trust_check() -> None:
    result = imports.imported(
        reply(
            f"IMPORT_PROBLEM {'E' * 40} 0",
            f"KEY_CONSIDERED {FPR} 0",
            "IMPORT_RES 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0",
            f"KEY_CONSIDERED {'F' * 40} 0",
        )
    )
    assert (result.fingerprints, result.updated) == ((FPR,), 1)


@pytest.mark.parametrize(
    ("lines", "error", "said"),
    [
        (("IMPORT_RES 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0",), ImportFailed, "no user id"),
        (("NODATA 1", "IMPORT_RES 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0"), ImportFailed, "no OpenPGP key"),
        ((), ImportFailed, "tells why to people only"),
    ],
)
def test_an_import_of_nothing_is_a_failure(
    lines: tuple[str, ...], error: type[GnuPGError], said: str
) -> None:
    with pytest.raises(error, match=said):
        imports.imported(reply(*lines))


CONSIDERED = f"KEY_CONSIDERED {FPR} 0"


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        ("IMPORT_RES 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0", 0),
        ("IMPORT_RES 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0", 0),
        ("IMPORT_RES 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0", 2),
    ],
    ids=["a key without user ids", "nothing", "a failure"],
)
def test_a_key_that_was_considered_was_not_imported_for_that(counts: str, code: int) -> None:
    with pytest.raises(ImportFailed):
        imports.imported(reply(CONSIDERED, counts, code=code))


def test_a_full_disk_or_a_killed_gpg_is_no_bad_key() -> None:
    half = (f"IMPORT_OK 1 {FPR}", "IMPORT_RES 2 0 1 0 0 0 0 0 0 0 0 0 0 1 0")
    with pytest.raises(HomeUnusable, match="No space left on device"):
        imports.imported(reply(*half, code=2, obstacle="No space left on device"))
    with pytest.raises(HomeUnusable, match="No space left on device"):
        imports.imported(reply(code=2, obstacle="No space left on device"))
    with pytest.raises(CommandFailed, match="signal 25"):
        imports.imported(reply(code=-25))


JUDGES: dict[str, Callable[[Reply], object]] = {
    "imported": imports.imported,
    "left_out": lambda answer: imports.left_out(answer, b""),
    "gained_user_ids": imports.gained_user_ids,
    "import_counts": imports.import_counts,
}


@pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)
@given(any_replies())
def test_no_status_lines_are_too_strange(judge: Callable[[Reply], object], answer: Reply) -> None:
    judged(judge, answer)
