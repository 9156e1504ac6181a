"""What a keyring's file says without gpg: whether it is whole, and whether a key is in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from tiny_gnupg._home.layout import DATABASES, KEYBOX, KEYRINGS, OLD_KEYRING

#: The type of a blob that holds an OpenPGP key; a deleted one's is 0 (kbx/keybox-blob.c).
OPENPGP = 2


class Broken(ValueError):
    """This is no keybox, or one that was cut off."""


def open_keyring(home: Path) -> int | None:
    """Open the file of a home's public keys, which every change replaces by another.

    Where it is open, it so stays what it is now; but a key that is deleted is marked there.

    Returns:
        Its descriptor; None where there is none, or a gpg could not open it by that.
    """
    for name in KEYRINGS:
        with suppress(OSError):
            fd = os.open(home / name, os.O_RDONLY | os.O_CLOEXEC)
            # Beside an old keyring, a keybox may be gpgsm's alone (kbx/keybox-blob.c, flags).
            doubtful = name == KEYBOX and (home / OLD_KEYRING).exists()
            of_gpg = not doubtful or int.from_bytes(os.pread(fd, 1, 7)) & 2
            if of_gpg and os.path.exists(f"/dev/fd/{fd}"):
                return fd
            os.close(fd)
    return None


def keys_in(keyring: Path) -> int | None:
    """Count the keys of a keyring; None: it is broken. One of the old format counts as one."""
    try:
        if not keyring.name.startswith(KEYBOX):
            return 1 if keyring.stat().st_size else 0
        with open(keyring, "rb") as file:
            return sum(kind == OPENPGP for kind, _, _ in _blobs(file))
    except FileNotFoundError:
        return 0
    except Broken:
        return None


def holds(home: Path, packet: bytes) -> bool:
    """Return whether a home's public keys hold the content of a packet."""
    keybox = home / KEYBOX
    if keybox.exists():
        with open(keybox, "rb") as file:
            for kind, place, length in _blobs(file):
                file.seek(place)
                if kind == OPENPGP and packet in file.read(length):
                    return True
    others = (home / name for name in (OLD_KEYRING, *DATABASES))
    return any(packet in path.read_bytes() for path in others if path.exists())


def _blobs(file: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """Yield the type, the place and the length of each blob (kbx/keybox-blob.c)."""
    size = os.fstat(file.fileno()).st_size
    place = 0
    while place < size or not size:
        file.seek(place)
        head = file.read(12)
        length = int.from_bytes(head[:4])
        if length < 5 or place + length > size or (not place and head[8:] != b"KBXf"):
            raise Broken
        yield head[4], place, length
        place += length
