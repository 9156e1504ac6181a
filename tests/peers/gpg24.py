"""GnuPG 2.4 on a machine that has 2.2: Debian 13's packages, unpacked beside the system."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import pytest

from scripts.release.debian_programs import get_programs
from scripts.release.running import Failure

SUITE = "trixie"
PROGRAMS = (
    *(f"bin/{name}" for name in ("gpg", "gpg-agent", "gpgconf", "gpg-connect-agent", "gpgv")),
    "lib/gnupg/keyboxd",
)


def gpg24() -> Path:
    """Return a GnuPG 2.4, got once a run; where it is not to be had, the test is skipped."""
    _, found = _got()
    if isinstance(found, Failure):
        pytest.skip(f"no GnuPG 2.4 is to be had here: {found.last_line}")
    return found


@functools.cache
def _got() -> tuple[tempfile.TemporaryDirectory[str], Path | Failure]:
    folder = tempfile.TemporaryDirectory(prefix="tg24", dir="/tmp")  # gone at the exit
    try:
        gpg, *_ = get_programs(
            SUITE, ["gpg", "gpg-agent", "gpgv", "keyboxd"], PROGRAMS, Path(folder.name, "d")
        )
    except Failure as reason:
        return folder, reason
    # With a manifest beside it, a gpg starts the agent beside it instead of the system's.
    (gpg.parent / "STAGED.json").write_text("{}\n")
    return folder, gpg
