"""Several key files that replace others, come or go: all of them, or none.

The agent knows a secret key by its file alone. What is to be done is laid ready in a folder beside
the key files, written to the disk, before anything is done; that the folder gets its name is the
one step that decides. Whoever is killed then leaves the rest to the next one (``repair``). The
home's lock is held alone by whoever calls.

1. ``.swap`` has files that take the places of others: the passphrase of a key was changed. From the
   moment that it is there, the change is finished.
2. ``.coming`` has the files of new keys, and ``.going`` names those of keys that are deleted. Both
   have a packet of the key, too. It is gpg that decides, in the one step in which it writes its
   keyring: where that has the packet, the new files get their places, and else they go; where it
   has it no more, the files of the key go, and else they stay. A folder without a packet is
   decided already.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from tiny_gnupg._home.key_files import sync
from tiny_gnupg._home.keybox import holds, keys_in
from tiny_gnupg._home.layout import COMING, GOING, KEYBOX, KEYS, REVOCATIONS, SWAP
from tiny_gnupg._home.whole_files import write_whole

log = logging.getLogger("tiny_gnupg")


#: The file of the packet that decides.
PACKET = "packet"


#: What the name of a folder begins with that is not complete, or done with.
DRAFT = ".draft."


def swap_keys(files: Iterable[Path], home: Path) -> None:
    """Let key files take the places of those of a home."""
    _lay_ready(home / KEYS, SWAP, {path.name: path.read_bytes() for path in files})
    _take_places(home)


def lay_coming(files: Iterable[Path], home: Path, packet: bytes) -> None:
    """Lay the files of new keys ready, and revocation certificates; ``finish_coming`` is next.

    Args:
        files: the files.
        home: the homedir.
        packet: the content of a packet that the keyring is about to get with them.
    """
    _lay_ready(home / KEYS, COMING, {path.name: path.read_bytes() for path in files}, packet)


def finish_coming(home: Path) -> None:
    """Give the files that ``lay_coming`` laid ready their places."""
    keys = home / KEYS
    (keys / COMING / PACKET).unlink(missing_ok=True)
    (keys / COMING).rename(keys / SWAP)
    _take_places(home)


def lay_going(files: Iterable[Path], home: Path, packet: bytes | None = None) -> None:
    """Name the files of keys that are to be deleted; ``finish_going`` is next.

    Args:
        files: the files.
        home: the homedir.
        packet: the content of a packet that the keyring is about to lose; None: it keeps it.
    """
    _lay_ready(home / KEYS, GOING, dict.fromkeys((path.name for path in files), b""), packet)


def finish_going(home: Path) -> None:
    """Remove the files that ``lay_going`` named."""
    keys = home / KEYS
    for name in set(os.listdir(keys / GOING)) - {PACKET}:
        (keys / name).unlink(missing_ok=True)
    sync(keys)
    _drop(keys / GOING)


def settle(home: Path) -> None:
    """Finish what somebody was stopped in, where the keyring can tell how."""
    keys = home / KEYS
    undecided = any((keys / name / PACKET).exists() for name in (COMING, GOING))
    if undecided and keys_in(home / KEYBOX) is None:
        log.warning("a change of keys in %s waits for its keyring, which is damaged", home)
        return
    if (keys / COMING).is_dir():
        log.warning("somebody was stopped while keys came into %s", home)
        if _decided(home, COMING, there=True):
            finish_coming(home)
        else:
            _drop(keys / COMING)
    if (keys / GOING).is_dir():
        log.warning("somebody was stopped while keys of %s were deleted", home)
        if _decided(home, GOING, there=False):
            finish_going(home)
        else:
            _drop(keys / GOING)
    if (keys / SWAP).is_dir():
        log.warning("a change of key files in %s was stopped; it is finished now", home)
        _take_places(home)


def _decided(home: Path, folder: str, *, there: bool) -> bool:
    """Return whether the keyring has the packet of a folder, or has it no more."""
    packet = home / KEYS / folder / PACKET
    return not packet.exists() or holds(home, packet.read_bytes()) == there


def _lay_ready(
    keys: Path, name: str, contents: Mapping[str, bytes], packet: bytes | None = None
) -> None:
    draft = keys / f"{DRAFT}{secrets.token_hex(4)}"
    keys.mkdir(mode=0o700, exist_ok=True)
    draft.mkdir(mode=0o700)
    try:
        for file, content in contents.items():
            write_whole(draft / file, content)
        if packet is not None:
            write_whole(draft / PACKET, packet)
        sync(draft)
        draft.rename(keys / name)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync(keys)


def _take_places(home: Path) -> None:
    keys = home / KEYS
    ready = keys / SWAP
    for name in os.listdir(ready):
        place = keys
        if not name.endswith(".key"):
            place = home / REVOCATIONS
            place.mkdir(mode=0o700, exist_ok=True)
        os.replace(ready / name, place / name)
    sync(keys)
    ready.rmdir()


def _drop(folder: Path) -> None:
    # Never in part under its own name: without its packet it would mean something else.
    done = folder.with_name(f"{DRAFT}{secrets.token_hex(4)}")
    folder.rename(done)
    shutil.rmtree(done, ignore_errors=True)
