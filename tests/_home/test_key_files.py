"""The files of secret keys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.damaged_keys import DAMAGED, MENDABLE
from tiny_gnupg._gpg.damaged_keys import readings
from tiny_gnupg._home.key_files import mend
from tiny_gnupg._home.layout import KEYS, SEEN, STATE
from tiny_gnupg._home.repair import heal


def test_a_mended_file_takes_the_place_of_the_damaged_one(tmp_path: Path) -> None:
    for name, (grip, data) in DAMAGED.items():
        path = tmp_path / f"{grip}.key"
        path.write_bytes(data)
        assert mend(path) is (name in MENDABLE)
        if name in MENDABLE:
            assert [path.read_bytes()] == readings(data)
            assert path.stat().st_mode & 0o777 == 0o600
            assert mend(path)
        else:
            assert path.read_bytes() == data
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted(f"{grip}.key" for grip, _ in DAMAGED.values())


def test_all_files_that_changed_are_mended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = tmp_path / KEYS
    keys.mkdir()
    (tmp_path / STATE).mkdir()
    for grip, data in DAMAGED.values():
        (keys / f"{grip}.key").write_bytes(data)
    heal(tmp_path)
    for name, (grip, data) in DAMAGED.items():
        now = (keys / f"{grip}.key").read_bytes()
        assert [now] == readings(data) if name in MENDABLE else now == data
    assert len(caplog.records) == len(DAMAGED) - len(MENDABLE)
    # One that has a time of long ago, as a copy has, is looked at, too.
    grip, data = DAMAGED[MENDABLE[0]]
    (keys / f"{grip}.key").write_bytes(data)
    os.utime(keys / f"{grip}.key", (0, 0))
    heal(tmp_path)
    assert [(keys / f"{grip}.key").read_bytes()] == readings(data)


def test_what_did_not_change_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / KEYS
    keys.mkdir()
    (tmp_path / STATE).mkdir()
    grip, data = DAMAGED[MENDABLE[0]]
    (keys / f"{grip}.key").write_bytes(data)
    heal(tmp_path)
    heal(tmp_path)  # that it was mended is a change itself
    seen, mended = tmp_path / STATE / SEEN, keys / f"{grip}.key"
    while seen.stat().st_ctime_ns <= mended.stat().st_ctime_ns:
        seen.touch()  # until the file system's clock has moved on
    read: list[Path] = []
    monkeypatch.setattr("tiny_gnupg._home.repair.mend", read.append)
    heal(tmp_path)
    assert read == []


def test_a_home_without_keys_has_nothing_to_mend(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heal(tmp_path)
    (tmp_path / KEYS).mkdir()
    heal(tmp_path)
    assert not caplog.records
