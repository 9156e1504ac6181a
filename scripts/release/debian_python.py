"""Gets a Python that this machine does not have, from the packages of Debian unstable.

1. Nothing is installed: apt gets lists of its own, downloads, and checks the archive's signature;
   dpkg-deb unpacks into a folder. The system's lists and packages stay as they are.
2. Everything that the interpreter needs comes along, down to the C library, which may be newer
   than the machine's. It is written into the interpreter where that lies (patchelf(1)).

For trying things, not for production: nobody updates what lies there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SUITE = "unstable"
#: The names of what starts a program; it lies among the libraries.
LOADERS = ("ld-linux-*.so.*", "ld64.so.*")


class NotToBeHad(Exception):
    """Why not."""


def get_python(version: str, patchelf: Path, into: Path) -> Path:
    """Get an interpreter, or what an earlier call has got.

    Args:
        version: such as ``3.14``.
        patchelf: the program.
        into: the folder that belongs to this interpreter.

    Returns:
        The interpreter, to make virtual environments with (``--without-pip``).

    Raises:
        NotToBeHad: this is no Debian, or there is none of this version.
    """
    interpreter = into / "usr" / "bin" / f"python{version}"
    with suppress(NotToBeHad, OSError):  # the whole checkout may have been moved since
        _run(interpreter, "-I", "-V")
        return interpreter
    if not (shutil.which("apt-get") and KEYS.is_file()):
        raise NotToBeHad("this machine has no Debian archive to get it from")
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent) as work:
        root = Path(work, "root")
        root.mkdir()
        for package in _download(f"python{version}", Path(work)):
            _run("dpkg-deb", "-x", package, root)
        _settle(root / "usr" / "bin" / interpreter.name, patchelf, root, into)
        shutil.rmtree(into, ignore_errors=True)
        root.rename(into)
    return interpreter


def _download(package: str, work: Path) -> list[Path]:
    """Download a package and all that it depends on, as if no other package were installed."""
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(f"deb [signed-by={KEYS}] {_mirror()} {SUITE} main\n")
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
    _run(*apt, "update")
    _run(*apt, "-y", "--no-install-recommends", "--download-only", "install", package)
    return sorted((work / "cache/archives").glob("*.deb"))


def _mirror() -> str:
    """Give the archive that this machine uses."""
    known = _run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
    for address in known.split():
        if address.rstrip("/").endswith("/debian"):
            return address
    raise NotToBeHad("apt uses no archive of Debian here")


def _settle(interpreter: Path, patchelf: Path, root: Path, into: Path) -> None:
    """Have an interpreter use the libraries that lie with it, in the folder it will be in."""
    loaders = (found for name in LOADERS for found in root.glob(f"usr/lib/*/{name}"))
    loader = next(loaders, None)
    if loader is None:
        raise NotToBeHad("its packages hold no C library")
    there = into / loader.relative_to(root)
    # RPATH, not RUNPATH: the libraries' own needs are met there, too.
    search = ("--force-rpath", "--set-rpath", there.parent)
    _run(patchelf, "--set-interpreter", there, *search, interpreter)


def _run(*argv: str | Path) -> str:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"{argv[0]} failed"]
        raise NotToBeHad(words[-1])
    return done.stdout
