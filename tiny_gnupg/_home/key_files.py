"""The files of secret keys, in ``private-keys-v1.d``."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tiny_gnupg.results import Key

#: Where the agent keeps secret keys, and in it the folder of those that replace others.
KEYS, SWAP = "private-keys-v1.d", ".swap"


def finish_swap(keys: Path) -> None:
    """Let the key files in the folder ``SWAP`` take the places of those that they replace.

    Whoever is stopped in it leaves the rest there for the next one to finish.

    Args:
        keys: the directory of the secret keys.
    """
    ready = keys / SWAP
    for name in os.listdir(ready):
        os.replace(ready / name, keys / name)
    sync(keys)
    ready.rmdir()


def sync(directory: Path) -> None:
    """Have the names in a directory written to the disk, where its file system can do that."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            os.fsync(fd)
    finally:
        os.close(fd)


def key_files(home: Path, keygrips: Iterable[str]) -> list[Path]:
    """Return the files in which the agent keeps these keys, of those that are there."""
    directory = home / KEYS
    return [path for grip in keygrips if (path := directory / f"{grip}.key").exists()]


def keygrips(key: Key) -> list[str]:
    """Return the keygrips of a key and its subkeys."""
    grips = [key.keygrip, *(subkey.keygrip for subkey in key.subkeys)]
    return [grip for grip in grips if grip]


def is_protected(path: Path) -> bool:
    """Return whether a key file needs a passphrase (agent/keyformat.txt)."""
    # A key that came in without a passphrase is kept as it came, and called protected all the same.
    unfolded = path.read_bytes().replace(b"\n ", b"")
    unguarded = re.search(rb"\((?:10:)?protection ?(?:4:)?none", unfolded)
    return b"protected-private-key" in unfolded and not unguarded


def is_untouched(path: Path) -> bool:
    """Return whether a key is still protected the way it came in, by a passphrase not yet seen."""
    return b"openpgp-native" in path.read_bytes()


def any_untouched(home: Path) -> bool:
    """Return whether a home holds a key that was not taken over."""
    return any(map(is_untouched, (home / KEYS).glob("*.key")))


def copy_keys(files: Iterable[Path], home: Path) -> int:
    """Copy key files that a home has not yet, each whole or not at all; return their number."""
    directory = home / KEYS
    directory.mkdir(mode=0o700, exist_ok=True)
    copied = 0
    for source in files:
        target = directory / source.name
        if not target.exists():
            draft = directory / f".{source.name}.{secrets.token_hex(4)}"
            _copy(source, draft)
            os.replace(draft, target)
            copied += 1
    return copied


def swap_keys(files: Iterable[Path], home: Path) -> None:
    """Let key files take the places of those of a home: all of them, or none.

    The home's lock is held alone by the caller. The one step that decides is that a folder with
    all of the files, written to the disk, gets its name; what is left to do after it, ``healing``
    finishes where this process cannot.
    """
    directory = home / KEYS
    draft = directory / f"{SWAP}.{secrets.token_hex(4)}"
    draft.mkdir(mode=0o700)
    try:
        for source in files:
            _copy(source, draft / source.name)
        sync(draft)
        draft.rename(directory / SWAP)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync(directory)
    finish_swap(directory)


def _copy(source: Path, target: Path) -> None:
    with open(target, "xb", opener=private) as file:
        file.write(source.read_bytes())
        file.flush()
        os.fsync(file.fileno())


def private(path: str, flags: int) -> int:
    """Open a file that is its owner's alone; an ``opener`` for ``open``."""
    return os.open(path, flags, 0o600)
