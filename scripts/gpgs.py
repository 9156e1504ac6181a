"""The gpgs that tests can be run with, by name: ``scripts/test --gpg=NAME``.

1. ``bundled`` is what scripts/stage-gpg put into ``gpghome/``.
2. ``built`` is what scripts/build-gpg built of GnuPG's own source; as that takes no patch, it is
   ``vanilla`` too.
3. One of another Debian is got by apt, with all that it needs, into ``build/gpg``. What lies there
   is taken as it is; ``rm -r build/gpg`` has it got anew.
4. A path is taken for itself.
"""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

from scripts.release.debian_programs import get_programs
from scripts.release.running import Failure

ROOT = Path(__file__).resolve().parent.parent
BUNDLED, BUILT = "bundled", ("built", "vanilla")
#: The other names, and the releases of Debian whose gpg they are.
SUITES = {"debian13": "trixie", "sid": "sid"}
PACKAGES = ("gpg", "gpg-agent", "gpgv", "keyboxd")
PROGRAMS = (
    *(f"bin/{name}" for name in ("gpg", "gpg-agent", "gpgconf", "gpg-connect-agent", "gpgv")),
    "lib/gnupg/keyboxd",
)

#: The exit code where a gpg is not to be had, which pytest has not.
NOT_TO_BE_HAD = 69


#: With this beside it, a gpg starts the agent beside it, not the system's.
MANIFEST = "STAGED.json"


def get_gpg(name: str) -> Path:
    """Return a gpg by its name, or by its path.

    Raises:
        Failure: it is not to be had.
    """
    if os.sep in name:
        if os.access(name, os.X_OK):
            return Path(name).absolute()
        raise Failure(f"{name} is no program")
    if name == BUNDLED:
        if not (bundled := ROOT / "gpghome/gpg2").exists():
            raise Failure("no gpg is bundled: run scripts/stage-gpg")
        return bundled
    folder = ROOT / "build/gpg" / (BUILT[0] if name in BUILT else name)
    if name in BUILT:
        if not (folder / "BUILT.json").exists():
            raise Failure("nothing was built: run scripts/build-gpg")
        (folder / MANIFEST).write_text("{}\n")
        return folder / "gpg2"
    if name not in SUITES:
        known = ", ".join((BUNDLED, *BUILT, *SUITES))
        raise Failure(f"a gpg is {known} or a path, not {name!r}")
    gpg = folder / "usr/bin/gpg"
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder.parent, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes that want it at once
        if not (gpg.parent / MANIFEST).exists():
            get_programs(SUITES[name], PACKAGES, PROGRAMS, folder)
            (gpg.parent / MANIFEST).write_text("{}\n")
    finally:
        os.close(lock)
    return gpg


if __name__ == "__main__":
    try:
        print(get_gpg(sys.argv[1]))
    except Failure as failure:
        print(f"gpgs: {failure}", file=sys.stderr)
        sys.exit(NOT_TO_BE_HAD)
