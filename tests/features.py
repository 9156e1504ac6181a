"""What the gpg that is tested with can do: it is asked, and no version is compared.

A test that holds one gpg's ways says which feature of it that is.
"""

from __future__ import annotations

import subprocess
from typing import NoReturn

import pytest

from tests.homes import temporary_home
from tests.openpgp import compressed
from tiny_gnupg._process.find_gpg import find_executable, probe_now


def has(name: str) -> bool:
    """Return whether it has one of the library's ``FEATURES``."""
    return name in probe_now(find_executable()).names


def is_librepgp() -> bool:
    """Return whether it knows what LibrePGP adds: keys of version 5, and messages in OCB mode."""
    return has("ocb")


def asks_for_cards() -> bool:
    """Return whether its agent asks for a card that is not here, and takes no answer for a no."""
    return is_librepgp()  # they came together, and an agent cannot be asked for this one


def old_ciphers() -> tuple[str, ...]:
    """Return the option without which it does not encrypt by an old cipher, where it has that."""
    option = "--allow-old-cipher-algos"
    told = subprocess.run([find_executable(), "--dump-options"], stdout=subprocess.PIPE, check=True)
    return (option,) if option.encode() in told.stdout.split() else ()


def reads_packed(key: bytes) -> bool:
    """Return whether it takes keys in a packet of compressed data, which is none of theirs."""
    with temporary_home() as home:
        return bool(home.run("--show-keys", stdin=compressed(key), check=False))


def skip(why: str) -> NoReturn:
    """Leave a test out that is about a gpg with other features."""
    pytest.skip(f"BY FEATURE: this gpg {why}")
