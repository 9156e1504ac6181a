"""How the passphrase guards the secret keys of a home.

``gnupg``: gpg's own way. The agent stretches the passphrase with a count of iterated SHA-1 that
takes it a tenth of a second, again at each use of a key.

``scrypt``: this library's way, in the homes that it makes. The passphrase that the agent sees is
scrypt(user's passphrase, salt of the home), computed once for an instance; the agent's own count
is low. At rest that is memory-hard and far stronger than SHA-1 in a loop, and each use of a key
is twenty to thirty times faster.

A marker file in the home says which way it is. It also holds the salt: without it no passphrase
opens a key of the home, so it is written once, whole, and never changed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self, get_args

from tiny_gnupg.errors import HomeUnusable

Scheme = Literal["scrypt", "gnupg"]


SCHEMES: tuple[str, ...] = get_args(Scheme)


#: The agent's own count in a scrypt home (gpg-agent(1), --s2k-count): the least it takes.
LOW_COUNT = 65536


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
        return cls(kind, secrets.token_hex(32) if kind == "scrypt" else "")

    @classmethod
    def read(cls, marker: Path) -> Self:
        """Read a home's marker.

        Args:
            marker: the file.

        Returns:
            What it says.

        Raises:
            FileNotFoundError: there is none.
            HomeUnusable: it cannot be read, or was damaged.
        """
        try:
            found = cls(**json.loads(marker.read_bytes()))
        except FileNotFoundError:
            raise
        except (OSError, TypeError, ValueError) as error:
            raise HomeUnusable(
                f"cannot read {marker}: {error}",
                hint="restore this file from a backup: it holds the salt that opens the keys",
            ) from error
        if found.kind not in SCHEMES:
            raise HomeUnusable(
                f"{marker} asks for {found.kind!r}", hint="a newer release may know it"
            )
        return found

    def write(self, marker: Path) -> None:
        """Write the marker whole, unless another process was faster.

        Raises:
            OSError: it cannot be written.
        """
        draft = marker.with_name(f"{marker.name}.{secrets.token_hex(8)}")
        try:
            with open(draft, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(json.dumps(asdict(self), indent=1).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(draft, marker)
        finally:
            draft.unlink(missing_ok=True)

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
