"""Builds a release into dist/, has it checked, and tries it with each Python: scripts/package."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts.release.building import GIT, ROOT, Release, build_all, check, supported
from scripts.release.environments import Outcome, try_out, without_gpg
from scripts.release.pythons import Python, choose_pythons
from scripts.release.running import Failure, run

DIST = ROOT / "dist"


def try_all(release: Release, pythons: Sequence[Python]) -> dict[tuple[Python, str], Outcome]:
    """Try each file with each Python, as many at once as there are processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started = {
            (python, name): pool.submit(try_out, python, file, bundled=file == release.bundled)
            for python in pythons
            for name, file in release.files.items()
        }
        return {cell: future.result() for cell, future in started.items()}


def draw(outcomes: dict[tuple[Python, str], Outcome]) -> Iterator[str]:
    """Return the lines of a table, a Python each, and then what failed."""
    pythons = list(dict.fromkeys(python for python, _ in outcomes))
    names = list(dict.fromkeys(name for _, name in outcomes))
    rows = [["Python", *names]]
    rows += [[str(python), *(str(outcomes[python, name]) for name in names)] for python in pythons]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
    for (python, name), outcome in outcomes.items():
        if outcome.failure:
            yield f"\n{name} with Python {python}:\n{outcome.failure.strip()}"


def main() -> int:
    """Build, check, try, and tell."""
    if uncommitted := run(*GIT, "status", "--porcelain", cwd=ROOT):
        print(f"NOT A RELEASE: not everything is committed\n{uncommitted}", flush=True)
    DIST.mkdir(exist_ok=True)
    for old in DIST.glob("tiny_gnupg-*"):
        old.unlink()
    try:
        with tempfile.TemporaryDirectory(prefix="tgp") as work:
            release = build_all(Path(work), DIST)
        check(release.files.values())
        pythons, missing = choose_pythons(supported(release.pure), ROOT / "build")
    except Failure as error:
        print(f"package: {error}", file=sys.stderr)
        return 1
    print("built, and passed by twine and check-wheel-contents:")
    for file in release.files.values():
        print(f"  {file.relative_to(ROOT)}  {file.stat().st_size:,} bytes")
    print("\ninstalled and used:", flush=True)
    outcomes = try_all(release, pythons)
    print("\n".join(draw(outcomes)))
    for version, reason in sorted(missing.items()):
        print(f"NOT TRIED: Python {version} is not to be had here: {reason}")
    if not without_gpg():
        print("this machine lets us hide no gpg: the bundled one was alone on PATH only")
    return int(not outcomes or any(outcome.failure for outcome in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
