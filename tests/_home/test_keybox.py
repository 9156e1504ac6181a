"""What a keyring's file says without gpg."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.homes import Home
from tiny_gnupg._home.keybox import holds, keys_in, open_keyring
from tiny_gnupg._openpgp.packets import walk


def packet(home: Home, uid: str) -> bytes:
    return next(walk(home.run("--export", uid))).body


def test_a_key_is_there_until_it_is_deleted(gpg_home: Home) -> None:
    # A deleted key's octets stay in the file, marked as deleted.
    fingerprint = gpg_home.new_key("Gone <gone@x.org>", "ed25519", "cert")
    content = packet(gpg_home, fingerprint)
    assert holds(gpg_home.path, content)
    assert not holds(gpg_home.path, content[:-1] + b"?")
    before = keys_in(gpg_home.path / "pubring.kbx")
    gpg_home.run("--yes", "--expert", "--delete-keys", fingerprint)
    assert content in (gpg_home.path / "pubring.kbx").read_bytes()
    assert not holds(gpg_home.path, content)
    assert keys_in(gpg_home.path / "pubring.kbx") == (before or 0) - 1
    assert holds(gpg_home.path, packet(gpg_home, "a@x.org"))


def test_keyrings_of_other_formats_are_looked_at(tmp_path: Path) -> None:
    assert not holds(tmp_path, b"packet")
    (tmp_path / "pubring.gpg").write_bytes(b"a packet and more")
    assert holds(tmp_path, b"packet")
    (tmp_path / "pubring.gpg").unlink()
    (tmp_path / "public-keys.d").mkdir()
    (tmp_path / "public-keys.d" / "pubring.db-wal").write_bytes(b"a packet and more")
    assert holds(tmp_path, b"packet")


@pytest.mark.parametrize("content", [b"", b"\0\0\0\x20\x01\x01\0\0nope", b"\0\0\0\x04\x02"])
def test_a_broken_keybox_is_told(tmp_path: Path, content: bytes) -> None:
    keybox = tmp_path / "pubring.kbx"
    assert keys_in(keybox) == 0
    keybox.write_bytes(content)
    assert keys_in(keybox) is None


def test_the_keyring_that_is_opened_is_the_one_that_gpg_uses(
    gpg_home: Home, tmp_path: Path
) -> None:
    used, old = tmp_path / "pubring.kbx", tmp_path / "pubring.gpg"
    assert open_keyring(tmp_path) is None
    used.write_bytes((gpg_home.path / "pubring.kbx").read_bytes())
    assert opened(tmp_path) == used
    old.touch()
    assert opened(tmp_path) == used
    used.write_bytes(b"\0\0\0\x20\x01\x01\0\0KBXf".ljust(32, b"\0"))  # as gpgsm begins one
    assert opened(tmp_path) == old
    used.write_bytes(b"")
    assert opened(tmp_path) == old


def opened(home: Path) -> Path:
    fd = open_keyring(home)
    assert fd is not None
    path = Path(os.readlink(f"/proc/self/fd/{fd}"))
    os.close(fd)
    return path
