"""How the passphrase guards the secret keys of a home.

``gnupg``: gpg's own way. The agent stretches the passphrase with a count of iterated SHA-1 that
takes it a tenth of a second, again at each use of a key.

``scrypt``: this library's way, in the homes that it makes. The passphrase that the agent sees is
scrypt(user's passphrase, salt of the home), computed once for an instance; the agent's own count
is low. At rest that is memory-hard and far stronger than SHA-1 in a loop, and each use of a key
is twenty to thirty times faster.

1. A marker file in the home says which way it is, and holds the salt: without it no passphrase
   opens a key of the home. It is written once, whole, and never changed.
2. A second copy lies among the secret keys, because that is what people copy when they move a
   home; the agent looks at none but its own files there. Where the marker is missing, it counts.
3. A marker is not believed: scrypt costs at least what it costs here, and no more than a machine
   can bear; the salt has 16 bytes or more. Anything else is an error, and guards no key.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from tiny_gnupg._home.layout import KEYS, PROTECTION, STATE
from tiny_gnupg._home.whole_files import read_regular, write_whole
from tiny_gnupg.errors import HomeUnusable

log = logging.getLogger("tiny_gnupg")


Scheme = Literal["scrypt", "gnupg"]


SCHEMES: tuple[str, ...] = get_args(Scheme)


#: The agent's own count in a scrypt home (gpg-agent(1), --s2k-count): the least it takes.
LOW_COUNT = 65536


#: The least that scrypt may cost (OWASP, Password Storage Cheat Sheet; RFC 7914 names the letters).
LEAST_N, LEAST_R = 2**17, 8


#: The most: n * r, which is memory in units of 128 bytes, and n * r * p, which is time: sixteen
#: times that of this library's own choice.
MOST_MEMORY, MOST_TIME = 2**23, 2**24


#: Bytes of a salt (NIST SP 800-132 5.1: at least 16), and of a marker.
SALT_LENGTHS, MOST_MARKER = range(16, 65), 4096


@dataclass(frozen=True, slots=True)
class Protection:
    """The way of one home: the kind, and scrypt's salt (hex) and costs (RFC 7914)."""

    kind: Scheme
    salt: str = ""
    n: int = 2**17
    r: int = 8
    p: int = 1

    @classmethod
    def new(cls, kind: Scheme) -> Self:
        """Make the protection of a new home, with a salt of its own."""
        return cls(kind) if kind == "gnupg" else cls(kind, secrets.token_hex(32), n=LEAST_N)

    @classmethod
    def of(cls, home: Path) -> Self:
        """Read how the keys of a home are protected.

        Args:
            home: the homedir; it is only read.

        Returns:
            What its marker says; where there is none, what lies among its secret keys.

        Raises:
            FileNotFoundError: neither is there: the home was never one of this library's.
            HomeUnusable: what is there cannot be read, or was damaged.
        """
        try:
            return cls.read(home / STATE / PROTECTION)
        except FileNotFoundError:
            return cls.read(home / KEYS / PROTECTION)

    @classmethod
    def read(cls, marker: Path) -> Self:
        """Read a home's marker.

        Args:
            marker: the file.

        Returns:
            What it says.

        Raises:
            FileNotFoundError: there is none.
            HomeUnusable: it cannot be read, was damaged, or asks for what guards nothing.
        """
        try:
            fields = json.loads(read_regular(marker, MOST_MARKER))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(*error.args) from error
        except (OSError, ValueError, RecursionError) as error:
            raise _damaged(marker, str(error)) from error
        return cls(**_checked(marker, fields))

    def write(self, marker: Path) -> None:
        """Write the marker whole, unless another process was faster.

        Raises:
            OSError: it cannot be written.
        """
        with suppress(FileExistsError):
            write_whole(marker, json.dumps(asdict(self), indent=1).encode() + b"\n")

    def keep_with_keys(self, home: Path) -> None:
        """Lay a copy among the secret keys of a home, where there is none.

        Raises:
            OSError: it cannot be written.
        """
        if self.kind != "scrypt":
            return
        copy = home / KEYS / PROTECTION
        copy.parent.mkdir(mode=0o700, exist_ok=True)
        if not copy.exists():
            self.write(copy)
        elif Protection.read(copy) != self:
            log.warning(
                "%s is of another home: the keys that came with it open with neither; "
                "restore() from that home brings them in",
                copy,
            )

    def stretch(self, passphrase: str) -> bytes:
        """Return the passphrase as the agent of this home expects it.

        It takes a third of a second and 128 MiB in a scrypt home: call it in a thread, and once.
        An empty passphrase stays empty: it means keys without protection.

        Args:
            passphrase: the user's own text.

        Returns:
            One line of bytes.
        """
        text = passphrase.encode()
        if self.kind == "gnupg" or not text:
            return text
        memory = 256 * self.n * self.r
        salt = bytes.fromhex(self.salt)
        key = hashlib.scrypt(text, salt=salt, n=self.n, r=self.r, p=self.p, maxmem=memory, dklen=32)
        return base64.urlsafe_b64encode(key).rstrip(b"=")


def _checked(marker: Path, fields: Any) -> dict[str, Any]:
    """Return what a marker says, where keys can be guarded that way."""
    if not isinstance(fields, dict) or not fields.keys() <= asdict(Protection("scrypt")).keys():
        raise _damaged(marker, "it holds something else")
    whole: dict[str, Any] = asdict(Protection("scrypt")) | {"kind": None} | fields
    kind, salt, numbers = whole["kind"], whole["salt"], [whole[name] for name in "nrp"]
    if kind not in SCHEMES:
        raise HomeUnusable(f"{marker} asks for {kind!r}", hint="a newer release may know it")
    if not isinstance(salt, str) or not all(type(number) is int for number in numbers):
        raise _damaged(marker, "a value is of another type")
    if kind == "gnupg":
        return whole
    n, r, p = numbers
    if not re.fullmatch("(?:[0-9a-f]{2})+", salt) or len(salt) // 2 not in SALT_LENGTHS:
        raise _damaged(marker, "it holds no salt")
    if n < LEAST_N or r < LEAST_R or p < 1:
        raise _damaged(marker, f"scrypt with n={n}, r={r}, p={p} would guard nothing")
    if n & (n - 1) or n * r > MOST_MEMORY or n * r * p > MOST_TIME:
        raise _damaged(marker, f"scrypt with n={n}, r={r}, p={p} cannot be computed")
    return whole


def _damaged(marker: Path, reason: str) -> HomeUnusable:
    return HomeUnusable(
        f"cannot use {marker}: {reason}",
        hint=f"restore this file from a backup, or from {KEYS}: it holds the salt of all keys",
    )
