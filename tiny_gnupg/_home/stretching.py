"""The passphrases of one instance, each stretched once.

scrypt takes a third of a second and 128 MiB. So it is done in a thread, for one passphrase of the
process after the other, whoever asks; a failure is not remembered.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import weakref

from tiny_gnupg._home.protection import Protection
from tiny_gnupg._process.tasks import in_thread, running_loop
from tiny_gnupg.errors import HomeUnusable, MemoryExhausted

#: Held by the one thread of the process that works.
_turn = threading.Lock()


class Stretcher:
    """The passphrases of one instance, as the agents of its homes expect them."""

    def __init__(self) -> None:
        self._known: dict[tuple[Protection, str], bytes] = {}
        self._asking: weakref.WeakValueDictionary[object, asyncio.Lock]
        self._asking = weakref.WeakValueDictionary()

    async def stretched(self, protection: Protection, passphrase: str) -> bytes:
        """Return a passphrase as the agent of a home with this protection expects it.

        Raises:
            MemoryExhausted: there is no memory for it now.
            HomeUnusable: this Python has no scrypt.
        """
        if protection.kind == "gnupg" or not passphrase:
            return passphrase.encode()
        asked = (protection, passphrase)
        # Callers at the same time wait for one thread instead of having one each.
        async with self._asking.setdefault((running_loop(), asked), asyncio.Lock()):
            if asked not in self._known:
                self._known[asked] = await in_thread(self._stretch, *asked)
            return self._known[asked]

    def _stretch(self, protection: Protection, passphrase: str) -> bytes:
        with _turn:
            # Another loop's thread may have been faster, or that of a call which was cancelled.
            known = self._known.get((protection, passphrase))
            return known or _derived(protection, passphrase)


def of_0_9(passphrase: bytes) -> bytes:
    """Return what tiny_gnupg 0.9.0 gave gpg in the place of a passphrase; ``b""`` for none."""
    seed = hashlib.sha3_512(b"gnupg passphrase:" + passphrase).digest()
    if not passphrase or not _has_scrypt():
        return b""
    return hashlib.scrypt(seed, salt=seed, n=2**14, r=8, p=1).hex().encode()


def _derived(protection: Protection, passphrase: str) -> bytes:
    try:
        return protection.stretch(passphrase)
    except (MemoryError, ValueError, AttributeError) as error:
        if isinstance(error, MemoryError) or _has_scrypt():
            needed = 128 * protection.n * protection.r // 2**20
            raise MemoryExhausted(
                f"scrypt finds no {needed} MiB of memory for the passphrase"
            ) from None
        raise HomeUnusable(
            "this Python has no scrypt, which guards the keys of the home",
            hint="an OpenSSL in FIPS mode forbids it: use another Python, or in a new home "
            "protection='gnupg'",
        ) from None


def _has_scrypt() -> bool:
    try:
        hashlib.scrypt(b"", salt=b"", n=2, r=1, p=1, dklen=16)
    except (ValueError, AttributeError):
        return False
    return True


def _new_turn() -> None:
    """Take a new lock in a forked child: who holds the old one may not be there."""
    global _turn
    _turn = threading.Lock()


os.register_at_fork(after_in_child=_new_turn)
