"""The notes of which key of a home is whose own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.instances import MakeGnuPG
from tiny_gnupg import GnuPG, KeyNotFound
from tiny_gnupg._home.layout import OWN, STATE
from tiny_gnupg._home.own_keys import drop_note, note, noted

FINGERPRINT = "0123456789ABCDEF0123456789ABCDEF01234567"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A homedir with this library's folder in it."""
    (tmp_path / STATE).mkdir()
    return tmp_path


def the_note(place: Path) -> Path:
    (path,) = (place / STATE / OWN).iterdir()
    return path


def test_a_note_is_of_one_identity_and_its_owners_alone(place: Path) -> None:
    assert noted(place, "a@x.org") == ""
    note(place, "a@x.org", FINGERPRINT)
    note(place, "b@x.org", FINGERPRINT[::-1])
    note(place, "a@x.org", FINGERPRINT)
    assert noted(place, "a@x.org") == FINGERPRINT
    assert noted(place, "b@x.org") == FINGERPRINT[::-1]
    assert noted(place, "") == noted(place, "A@x.org") == ""
    assert {path.stat().st_mode & 0o777 for path in (place / STATE / OWN).iterdir()} == {0o600}
    drop_note(place, "a@x.org")
    drop_note(place, "a@x.org")
    assert noted(place, "a@x.org") == ""


@pytest.mark.parametrize("name", ["../../x", "x" * 5000, "a\x00b", "\udcff", "ä@ü"])
def test_any_text_is_an_identity(place: Path, name: str) -> None:
    note(place, name, FINGERPRINT)
    assert noted(place, name) == FINGERPRINT
    assert len(the_note(place).name) == 32


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 40, FINGERPRINT.encode() * 9, b"0" * 39])
def test_what_is_no_fingerprint_is_no_note(place: Path, content: bytes) -> None:
    note(place, "", FINGERPRINT)
    the_note(place).write_bytes(content)
    assert noted(place, "") == ""


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_no_note(place: Path, kind: str) -> None:
    note(place, "", FINGERPRINT)
    path = the_note(place)
    path.rename(place / "moved")
    if kind == "link":
        path.symlink_to(place / "moved")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert noted(place, "") == ""


def test_a_note_that_cannot_be_kept_is_missed_by_nobody(tmp_path: Path) -> None:
    note(tmp_path, "", FINGERPRINT)
    assert noted(tmp_path, "") == ""


async def test_the_fingerprint_is_known_at_once_and_checked_where_it_is_used(
    alice: GnuPG, make_gnupg: MakeGnuPG
) -> None:
    own = alice.fingerprint
    await alice.sign("text")
    drop_note(Path(alice.home), alice.email)
    second = make_gnupg()
    assert second.fingerprint == ""
    await second.sign("text")
    third = make_gnupg()
    assert third.fingerprint == second.fingerprint == own
    note(Path(alice.home), alice.email, FINGERPRINT)
    fourth = make_gnupg()
    assert fourth.fingerprint == FINGERPRINT
    await fourth.sign("text")
    assert fourth.fingerprint == own
    await fourth.delete()
    fifth = make_gnupg()
    assert fifth.fingerprint == ""
    with pytest.raises(KeyNotFound, match="gen_key"):
        await fifth.sign("text")
    # One that was known before the key went says so where it is used.
    with pytest.raises(KeyNotFound):
        await third.text_export()
