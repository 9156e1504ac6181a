"""Programs that run with file systems of their own: a full disk, a read-only one, another ``/run``.

The kernel's mount namespaces give them that without any trace outside: as root, or for others
where the kernel lets a user have a namespace of his own (unshare(1)).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.namespaces import mount_namespace

CHECKOUT = Path(__file__).parents[1]
#: Mounts each ``options:directory`` of its first words up to ``--``, and becomes the rest.
_MOUNTING = """
while [ "$1" != -- ]; do
    mount -t tmpfs -o "${1%%:*}" tmpfs "${1#*:}" || exit 77
    shift
done
shift
exec "$@"
"""


def run_in_private(program: str, *arguments: str | Path, mounts: dict[str, str]) -> str:
    """Run a program of ``tests/programs`` where some directories are file systems of its own.

    Args:
        program: the name of its module.
        arguments: its arguments.
        mounts: directories, each with the options of the empty tmpfs that is put there.

    Returns:
        What it printed; it has ended well, and told nothing on standard error.
    """
    namespace = mount_namespace()
    if not namespace:
        pytest.skip("this kernel gives us no mount namespace (run as root)")
    mounting = [f"{options}:{directory}" for directory, options in mounts.items()]
    return run_program(
        program, *arguments, prefix=[*namespace, "sh", "-c", _MOUNTING, "sh", *mounting, "--"]
    )


def run_program(program: str, *arguments: str | Path, prefix: list[str] | None = None) -> str:
    """Run a program of ``tests/programs``."""
    command = [sys.executable, "-m", f"tests.programs.{program}", *map(str, arguments)]
    done = subprocess.run(
        [*(prefix or []), *command],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONWARNINGS": "error"},
    )
    assert not done.stderr, done.stderr
    assert done.returncode == 0
    return done.stdout
