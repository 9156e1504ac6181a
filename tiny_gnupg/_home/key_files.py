"""The files of secret keys, in ``private-keys-v1.d``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tiny_gnupg._gpg.damaged_keys import readings
from tiny_gnupg._gpg.key_states import parts_of
from tiny_gnupg._home.layout import KEYS, TRUST
from tiny_gnupg._home.whole_files import write_whole
from tiny_gnupg.results import Key


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
    return [part.keygrip for part in parts_of(key) if part.keygrip]


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


def any_disabled(home: Path) -> bool:
    """Return whether a key of a home is disabled: what encrypts to any key is not told by gpg."""
    try:
        table = (home / TRUST).read_bytes()
    except OSError:
        return False
    # Records of 40 bytes; one of trust (12) has the ownertrust behind a fingerprint (GnuPG's
    # g10/tdbio.h), and there 128 says that the key is disabled.
    return any(table[at] == 12 and table[at + 22] & 128 for at in range(0, len(table) - 39, 40))


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
