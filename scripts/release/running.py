"""How the parts of a release start programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

#: Seconds that any program has.
PATIENCE = 600


class Failure(Exception):
    """What went wrong, in the words of the program that found it."""

    @property
    def last_line(self) -> str:
        """The last of those words, where most programs say what it was."""
        return str(self).strip().splitlines()[-1]


def run(*argv: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a program and give what it printed, on both channels.

    Raises:
        Failure: it could not be run, or did not end well.
    """
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            timeout=PATIENCE,
            check=False,
            umask=0o022,  # the modes of files are a part of what is built
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"cannot run {argv[0]}: {error}") from error
    if done.returncode:
        raise Failure(f"{' '.join(map(str, argv))}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout
