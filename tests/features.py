"""What the gpg that is tested with can do: it is asked, and no version is compared.

A test that holds one gpg's ways says which feature of it that is.
"""

from __future__ import annotations

from typing import NoReturn

import pytest

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


def skip(why: str) -> NoReturn:
    """Leave a test out that is about a gpg with other features."""
    pytest.skip(f"BY FEATURE: this gpg {why}")
