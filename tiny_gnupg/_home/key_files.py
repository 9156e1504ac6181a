"""The files of secret keys, in ``private-keys-v1.d``."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tiny_gnupg._gpg.damaged_keys import readings
from tiny_gnupg._home.layout import KEYS, SWAP
from tiny_gnupg._home.whole_files import write_whole
from tiny_gnupg.results import Key


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


def is_open(path: Path) -> bool:
    """Return whether whoever reads a key file has the key: it has no passphrase, and no card."""
    return b"shadowed-private-key" not in path.read_bytes() and not is_protected(path)


def is_untouched(path: Path) -> bool:
    """Return whether a key is still protected the way it came in, by a passphrase not yet seen."""
    return b"openpgp-native" in path.read_bytes()


def hash_count(path: Path) -> int:
    """Return how often the passphrase of a key file is hashed (agent/keyformat.txt); 0: never."""
    # ``((sha1 SALT COUNT) …``, with lengths before strings (2.2), or as text (2.4).
    content = path.read_bytes()
    for whole in (content, content.replace(b"\n ", b"")):
        found = _COUNT.search(whole)
        if found:
            return int(found[1])
    return 0


_COUNT = re.compile(rb'sha1(?:8:.{8}[0-9]{1,2}:| .{8,60}?[ #"])([0-9]{4,10})"?\)', re.DOTALL)


def any_untouched(home: Path) -> bool:
    """Return whether a home holds a key that was not taken over."""
    return any(map(is_untouched, (home / KEYS).glob("*.key")))


def mend(path: Path) -> bool:
    """Return whether a key file is whole, after it was mended where there is but one way to.

    The agent reads a key's file anew each time. What was there before needs no keeping: it is what
    there is now, less some blanks.
    """
    data = path.read_bytes()
    found = readings(data)
    if len(found) != 1:
        return False
    if found != [data]:
        write_whole(path, found[0], replace=True)
    return True


def drop_unreadable(files: Iterable[Path]) -> None:
    """Remove the key files of which a part was never written."""
    for path in files:
        if not readings(path.read_bytes()):
            path.unlink()


def copy_keys(files: Iterable[Path], home: Path) -> int:
    """Copy key files that a home has not yet, each whole or not at all; return their number."""
    directory = home / KEYS
    directory.mkdir(mode=0o700, exist_ok=True)
    copied = 0
    for source in files:
        target = directory / source.name
        if not target.exists():
            write_whole(target, source.read_bytes())
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
            write_whole(draft / source.name, source.read_bytes())
        sync(draft)
        draft.rename(directory / SWAP)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync(directory)
    finish_swap(directory)
