"""The Pythons that a release is tried with: those that are here, and those that can be got."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.release.debian_programs import get_programs
from scripts.release.running import Failure, run

#: Asks a Python which one it is, below its environment; one without venv is of no use.
WHO = """
import json, sys, venv
print(json.dumps([sys.version_info[:3], getattr(sys, "_base_executable", sys.executable)]))
"""


@dataclass(frozen=True, order=True)
class Python:
    """An interpreter that is here."""

    version: tuple[int, int, int]
    path: Path

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.version))} ({self.path})"


def choose_pythons(
    versions: Iterable[tuple[int, int]], folder: Path
) -> tuple[list[Python], dict[str, str]]:
    """Choose the Pythons to try: those that PYTHONS names, or one of each kind that can be had.

    Args:
        versions: which are supported.
        folder: where those lie that were got for this.

    Returns:
        The Pythons, and for each version that is missing the reason.

    Raises:
        Failure: what PYTHONS names is not to be had.
    """
    wanted = list(versions)
    if named := os.environ.get("PYTHONS", "").split():
        return [named_python(name, wanted) for name in named], {}
    found = set(filter(None, map(ask_python, candidates(wanted))))
    pythons = [python for python in found if python.version[:2] in wanted]
    missing = {}
    for version in set(wanted) - {python.version[:2] for python in pythons}:
        name = "{}.{}".format(*version)
        try:
            pythons.append(debian_python(name, folder / f"python{name}"))
        except Failure as error:
            missing[name] = error.last_line
    return sorted(pythons), missing


def named_python(name: str, versions: Iterable[tuple[int, int]]) -> Python:
    """Return the Python that a person names."""
    python = ask_python(Path(shutil.which(name) or name))
    if python is None or python.version[:2] not in versions:
        raise Failure(f"PYTHONS: {name} is no Python of a supported version that has venv")
    return python


def debian_python(name: str, folder: Path) -> Python:
    """Get the Python of a version from the packages of Debian unstable, or what was got before.

    Raises:
        Failure: it is not to be had.
    """
    path = folder / "usr" / "bin" / f"python{name}"
    # An earlier one does not run where the whole checkout has been moved since.
    python = ask_python(path)
    if python is None:
        get_programs("unstable", [path.name], [f"bin/{path.name}"], folder)
        python = ask_python(path)
    if python is None:
        raise Failure(f"{path} does not run")
    return python


def candidates(versions: Iterable[tuple[int, int]]) -> Iterator[Path]:
    """Return what may be a Python of these versions."""
    yield Path(sys.executable)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders = [Path(entry) for entry in os.get_exec_path() if os.path.isabs(entry)]
    for major, minor in versions:
        for folder in (*folders, *pyenv.glob(f"versions/{major}.{minor}.*/bin")):
            path = folder / f"python{major}.{minor}"
            if path.is_file() and os.access(path, os.X_OK):
                yield path


def ask_python(path: Path) -> Python | None:
    """Ask a Python which one it is; None where it does not answer, as a shim of pyenv may."""
    try:
        (major, minor, micro), base = json.loads(run(path, "-I", "-c", WHO))
        return Python((major, minor, micro), Path(base).resolve())
    except (Failure, ValueError):
        return None
