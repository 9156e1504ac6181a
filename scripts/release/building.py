"""The three files of a release: an sdist, a pure wheel, and a wheel with the staged gpg2.

1. They are built in a folder of their own, of what git knows or would add: nothing else gets in.
2. The pure wheel is built of the sdist, as those do who install that.
3. The times in a wheel are the last commit's, the modes of files those of git: the same commit
   gives the same wheels, to the byte.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from scripts.release.running import Failure, run

ROOT = Path(__file__).resolve().parents[2]
GPGHOME = ROOT / "gpghome"
MANIFEST = "STAGED.json"
#: The checkout may belong to another user than the one who builds.
GIT = ("git", "-c", "safe.directory=*")


@dataclass(frozen=True)
class Release:
    """The three files."""

    sdist: Path
    pure: Path
    bundled: Path

    @property
    def files(self) -> dict[str, Path]:
        """The files, by what a person calls them."""
        return {"sdist": self.sdist, "pure wheel": self.pure, "bundled gpg2": self.bundled}


def staged_files() -> dict[str, dict[str, str]]:
    """Return what scripts/stage-gpg put into gpghome/: each name, and what its manifest says."""
    if not (GPGHOME / MANIFEST).is_file():
        return {}
    manifest: dict[str, dict[str, dict[str, str]]]
    manifest = json.loads((GPGHOME / MANIFEST).read_text(encoding="utf-8"))
    return manifest["files"]


def source_files() -> list[str]:
    """Return the paths of what git knows or would add."""
    listed = run(*GIT, "ls-files", "-co", "--exclude-standard", "-z", cwd=ROOT).split("\0")
    return sorted(name for name in listed if name and (ROOT / name).is_file())


def lay_tree(tree: Path) -> Path:
    """Copy the sources and the staged gpg2 into a new folder."""
    staged = [MANIFEST, *staged_files()] if staged_files() else []
    for name in [*source_files(), *(f"{GPGHOME.name}/{name}" for name in staged)]:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tree / name)
        # Not the mode of the checkout, which depends on who made it.
        (tree / name).chmod(0o755 if os.access(ROOT / name, os.X_OK) else 0o644)
    return tree


@functools.cache
def source_date() -> str:
    """Return the time that is written into a wheel: the last commit's, or what the caller names."""
    named = os.environ.get("SOURCE_DATE_EPOCH")
    return named or run(*GIT, "log", "-1", "--format=%ct", cwd=ROOT).strip()


def build(tree: Path, kind: str, into: Path) -> Path:
    """Build an ``sdist`` or a ``wheel`` of a tree, and give the file."""
    with tempfile.TemporaryDirectory(prefix=f"{kind}-", dir=into) as folder:
        command = (sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "-o", folder, tree)
        run(*command, env=os.environ | {"SOURCE_DATE_EPOCH": source_date()})
        (built,) = Path(folder).iterdir()
        return built.replace(into / built.name)


def unpack(sdist: Path, into: Path) -> Path:
    """Unpack an sdist, and give the folder that it holds."""
    with tarfile.open(sdist) as archive:
        # Debian 12's Python 3.11.2 has no filters yet; it is our own archive all the same.
        if hasattr(tarfile, "data_filter"):
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(into)  # noqa: S202 - filtered where that can be; we made it ourselves
    (folder,) = into.iterdir()
    return folder


def build_all(work: Path, into: Path) -> Release:
    """Build the three files."""
    if not staged_files():
        raise Failure("no gpg is staged: scripts/stage-gpg tells why")
    tree = lay_tree(work / "tree")
    sdist = build(tree, "sdist", into)
    return Release(
        sdist=sdist,
        pure=build(unpack(sdist, work / "unpacked"), "wheel", into),
        bundled=build(tree, "wheel", into),
    )


def check(files: Iterable[Path]) -> None:
    """Have the programs that know packages look at files.

    Raises:
        Failure: what they found.
    """
    paths = list(files)
    wheels = [path for path in paths if path.suffix == ".whl"]
    python = (sys.executable, "-m")
    run(*python, "twine", "--no-color", "check", "--strict", *paths)
    configuration = ("--config", ROOT / "pyproject.toml")
    run(*python, "check_wheel_contents", *configuration, *wheels, cwd=ROOT)


def metadata(wheel: Path, name: str = "METADATA") -> Message:
    """Read a file of mail-like lines from a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (one for one in archive.namelist() if one.endswith(f".dist-info/{name}"))
        return message_from_bytes(archive.read(path))


def supported(wheel: Path) -> list[tuple[int, int]]:
    """Return the versions of Python that a wheel's metadata name."""
    classifiers = metadata(wheel).get_all("Classifier", [])
    found = (re.fullmatch(r"Programming Language :: Python :: (3)\.(\d+)", c) for c in classifiers)
    return sorted((int(match[1]), int(match[2])) for match in found if match)
