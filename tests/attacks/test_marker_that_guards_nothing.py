"""A marker that says how a home's passphrases are guarded, written by somebody else.

One with n=4 and no salt guarded new keys without a word; one with n=2**40 took all memory.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.instances import MakeGnuPG
from tiny_gnupg import HomeUnusable
from tiny_gnupg._home.protection import Protection

SALT = "00" * 32


@pytest.mark.parametrize(
    "fields",
    [
        {"salt": "", "n": 4, "r": 1, "p": 1},
        {"salt": SALT, "n": 2**9},
        {"salt": SALT, "r": 1},
        {"salt": SALT, "p": 0},
        {"salt": SALT, "n": 2**17 + 1},
        {"salt": SALT, "n": 2**40},
        {"salt": SALT, "r": 2**20},
        {"salt": SALT, "p": 65536},
        {"salt": SALT, "n": -(2**17)},
        {"salt": SALT, "n": "131072"},
        {"salt": SALT, "n": 131072.0},
        {"salt": SALT, "p": True},
        {"salt": SALT, "r": None},
        {"salt": "zz"},
        {"salt": "00" * 15},
        {"salt": "0" * 63},
        {"salt": "AB" * 32},
        {"salt": 5},
        {"salt": ["00"] * 32},
        {"salt": SALT, "iterations": 1},
        {"kind": ["scrypt"], "salt": SALT},
        {"kind": {}, "salt": SALT},
    ],
)
async def test_a_marker_that_guards_nothing_guards_no_key(
    home: Path, make_gnupg: MakeGnuPG, fields: dict[str, Any]
) -> None:
    marker = home / "tiny_gnupg.d" / "protection.json"
    marker.parent.mkdir()
    text = json.dumps({"kind": "scrypt"} | fields)
    marker.write_text(text)
    with pytest.raises(HomeUnusable, match=r"protection\.json"):
        await make_gnupg().gen_key()
    assert marker.read_text() == text
    assert not (home / "pubring.kbx").exists()


@pytest.mark.parametrize("content", [b"[" * 4000, b"{" * 5000, b"\xff", b"1", b'{"kind": "scrypt"'])
def test_any_bytes_in_a_marker_are_an_error_of_ours(tmp_path: Path, content: bytes) -> None:
    marker = tmp_path / "protection.json"
    marker.write_bytes(content)
    with pytest.raises(HomeUnusable):
        Protection.read(marker)


def test_a_marker_that_is_no_file_is_not_read(tmp_path: Path) -> None:
    real, link, fifo = tmp_path / "real", tmp_path / "link", tmp_path / "fifo"
    Protection.new("scrypt").write(real)
    link.symlink_to(real)
    os.mkfifo(fifo)
    for marker in (link, fifo, tmp_path, Path("/dev/zero")):
        with pytest.raises(HomeUnusable):
            Protection.read(marker)
