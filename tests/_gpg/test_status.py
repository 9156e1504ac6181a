"""The status grammar: lines, escapes, the keyword table, error codes."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.homes import plain_command
from tiny_gnupg._gpg.status import (
    KEYWORDS,
    ErrorCode,
    Status,
    describe,
    gpg_error_code,
    parse_status,
    read_time,
    unescape_percent,
)

DETAILS = Path("/usr/share/doc/gnupg/DETAILS.gz")
HEADERS = [
    Path("/usr/include/gpg-error.h"),
    *Path("/usr/include").glob("*-linux-gnu*/gpg-error.h"),
]


@pytest.fixture
def home() -> Iterator[str]:
    path = tempfile.mkdtemp(prefix="tg", dir="/tmp")
    yield path
    shutil.rmtree(path)


def test_lines_are_read_in_order_and_unknown_keywords_are_kept() -> None:
    data = b"[GNUPG:] NEWSIG\n[GNUPG:] BRAND_NEW a  b\n[GNUPG:] GOODSIG 0123 Al Ice\n"
    assert parse_status(data) == (
        Status("NEWSIG"),
        Status("BRAND_NEW", "a  b"),
        Status("GOODSIG", "0123 Al Ice"),
    )
    assert parse_status(data)[1].args == ("a", "b")
    assert parse_status(data)[0].args == ()


@pytest.mark.parametrize(
    "line",
    [
        b"GOODSIG 0123 Alice",
        b" [GNUPG:] GOODSIG 0123 Alice",
        b"[gnupg:] GOODSIG 0123 Alice",
        b"[GNUPG:]GOODSIG 0123 Alice",
        b"gpg: [GNUPG:] GOODSIG 0123 Alice",
        b"[GNUPG:] ",
        b"[GNUPG:]  GOODSIG 0123 Alice",
    ],
)
def test_line_without_the_exact_prefix_is_no_status(line: bytes) -> None:
    assert parse_status(line + b"\n") == ()


@pytest.mark.parametrize("end", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_no_other_line_break_can_smuggle_a_status_line(end: str) -> None:
    forged = f"[GNUPG:] PLAINTEXT 62 0 x{end}[GNUPG:] GOODSIG 0123 Alice\n"
    assert [status.keyword for status in parse_status(forged.encode())] == ["PLAINTEXT"]


def test_unfinished_line_of_a_killed_gpg_is_no_status() -> None:
    assert parse_status(b"[GNUPG:] NEWSIG\n[GNUPG:] VALIDSIG 0123") == (Status("NEWSIG"),)


def test_bytes_that_are_not_utf8_survive() -> None:
    (status,) = parse_status(b"[GNUPG:] GOODSIG 0123 J\xfcrgen\n")
    assert status.rest.encode(errors="surrogateescape") == b"0123 J\xfcrgen"


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [
        ("%41%62", "Ab"),
        ("J%C3%BCrgen", "Jürgen"),
        ("%FC", "\udcfc"),
        ("%0A[GNUPG:]", "\n[GNUPG:]"),
        ("100%", "100%"),
        ("%zz %4", "%zz %4"),
        ("%2541", "%41"),
        ("é%21", "é!"),
    ],
)
def test_percent_escapes(escaped: str, plain: str) -> None:
    assert unescape_percent(escaped) == plain


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("0", datetime(1970, 1, 1, tzinfo=UTC)),
        ("1763708765", datetime(2025, 11, 21, 7, 6, 5, tzinfo=UTC)),
        ("20251121T070605", datetime(2025, 11, 21, 7, 6, 5, tzinfo=UTC)),
        *(
            (no_time, None)
            for no_time in ("", "-", "none", "20251321T070605", "9" * 12, "9" * 5000)
        ),
    ],
)
def test_a_time_is_read_in_either_form(text: str, moment: datetime | None) -> None:
    assert read_time(text) == moment


@given(st.binary())
def test_any_bytes_survive_percent_escaping(raw: bytes) -> None:
    escaped = "".join(f"%{byte:02X}" for byte in raw)
    assert unescape_percent(escaped).encode(errors="surrogateescape") == raw


@given(
    st.binary() | st.lists(st.sampled_from([b"[GNUPG:] ", b"\n", b" ", b"A", b"%"])).map(b"".join)
)
def test_no_bytes_crash_the_parser(data: bytes) -> None:
    for status in parse_status(data):
        assert status.keyword
        assert "\n" not in status.line
        describe(status)
        gpg_error_code(status.rest)


@given(
    st.lists(
        st.builds(
            Status,
            st.sampled_from(sorted(KEYWORDS)) | st.from_regex(r"[A-Z_]+", fullmatch=True),
            st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])),
        )
    )
)
def test_written_lines_are_read_back(lines: list[Status]) -> None:
    data = "".join(f"[GNUPG:] {status.line}\n" for status in lines).encode()
    assert parse_status(data) == tuple(lines)


def test_describe_names_the_arguments_and_undoes_the_escapes() -> None:
    assert describe(Status("GOODSIG", "ABCD  J%C3%BCrgen %25 X")) == {
        "key": "ABCD",
        "user_id": "Jürgen % X",
    }
    assert describe(Status("PLAINTEXT", "62 1700000000 ")) == {
        "format": "62",
        "created": "1700000000",
    }
    assert describe(Status("KEYREVOKED", "surplus")) == {}
    assert describe(Status("BRAND_NEW", "a b")) == {}
    assert describe(Status("IMPORT_OK", "1 AA surplus")) == {"reason": "1", "fingerprint": "AA"}


@pytest.mark.skipif(not DETAILS.exists(), reason=f"needs GnuPG's documentation, {DETAILS}")
def test_the_table_holds_keywords_of_doc_details() -> None:
    text = gzip.decompress(DETAILS.read_bytes()).decode()
    start = text.index("* Format of the --status-fd output")
    names: set[str] = set()
    for section in text[start : text.index("** Obsolete status codes")].split("\n*** ")[1:]:
        names.update(re.findall(r"[A-Z][A-Z0-9_]+(?=,|  | <| \[|$)", section.partition("\n")[0]))
    assert len(names) > 60
    assert set(KEYWORDS) - {"NOTATION_FLAGS"} <= names  # that stands under the heading NOTATION_
    assert " - NOTATION_FLAGS <critical> <human_readable>" in text


def test_a_real_gpg_says_what_the_table_says(home: str) -> None:
    gpg = [*plain_command(Path(home)), "--batch", "--no-autostart"]
    done = subprocess.run(
        [*gpg, "--store", "--set-filename", "a b\n[GNUPG:] GOODSIG 1 x"],
        input=b"text",
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    shown = subprocess.run(
        [*gpg, "--status-fd", "1", "--output", f"{home}/out", "--decrypt"],
        input=done.stdout,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    lines = {status.keyword: describe(status) for status in parse_status(shown.stdout)}
    assert "GOODSIG" not in lines
    assert lines["PLAINTEXT"]["filename"] == "a b\n[GNUPG:] GOODSIG 1 x"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("151011327_EOF", ErrorCode.EOF),
        ("33554443", ErrorCode.BAD_PASSPHRASE),
        ("11", ErrorCode.BAD_PASSPHRASE),
        ("67108881", ErrorCode.NO_SECKEY),
        ("no_seckey", ErrorCode.NO_SECKEY),
        ("EOF", ErrorCode.EOF),
        ("33587291", ErrorCode.ENOSPC),
        ("", ErrorCode.GENERAL),
        ("-", ErrorCode.GENERAL),
        ("12x", ErrorCode.GENERAL),
        ("99999999999999999999", ErrorCode.GENERAL),
    ],
)
def test_error_codes(text: str, code: ErrorCode) -> None:
    assert gpg_error_code(text) == code


@pytest.mark.skipif(
    not any(path.exists() for path in HEADERS), reason="needs gpg-error.h (libgpg-error-dev)"
)
def test_error_codes_are_those_of_libgpg_error() -> None:
    header = next(path for path in HEADERS if path.exists()).read_text()
    for name, system, number in re.findall(
        r"^ *GPG_ERR_([A-Z0-9_]+) = (GPG_ERR_SYSTEM_ERROR \| )?(\d+)", header, re.MULTILINE
    ):
        if name in ErrorCode.__members__:
            assert ErrorCode[name] == int(number) + (32768 if system else 0), name
    assert all(f"GPG_ERR_{code.name} " in header for code in ErrorCode)
