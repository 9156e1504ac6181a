"""GnuPG 2.4 on a machine that has 2.2: Debian 13's packages, unpacked beside the system."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from scripts.gpgs import get_gpg
from scripts.release.running import Failure


def gpg24() -> Path:
    """Return a GnuPG 2.4, got once; where it is not to be had, the test is skipped."""
    found = _got()
    if isinstance(found, Failure):
        pytest.skip(f"no GnuPG 2.4 is to be had here: {found.last_line}")
    return found


@functools.cache
def _got() -> Path | Failure:
    try:
        return get_gpg("debian13")
    except Failure as reason:
        return reason
