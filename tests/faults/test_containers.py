"""A container, without its program: process 1 as nobody, a read-only root, and an old volume."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.namespaces import mount_namespace
from tests.namespaces import run_program

NOBODY = 65534
#: The volume alone can be written; there is no /tmp, no /dev/shm, and another host name.
CONTAINER = """
hostname web-2 && mount --bind "$1" "$1" && mount -o remount,bind,ro / || exit 77
for place in /tmp /dev/shm /run /var; do
    mountpoint -q "$place" && mount -o remount,bind,ro "$place"
done
user=$2
shift 2
set -- env -i PATH="$PATH" PYTHONPATH="$PYTHONPATH" PYTHONDONTWRITEBYTECODE=1 "$@"
exec setpriv --reuid "$user" --clear-groups --no-new-privs "$@"
"""


def runs_as(user: int) -> bool:
    """Return whether another user may run this Python, which may lie in somebody's home."""
    # Not by setpriv itself, which still has root's capabilities.
    as_user = ["setpriv", "--reuid", str(user), "--clear-groups", "env"]
    trial = [*as_user, sys.executable, "-c", "import tests"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("name", ["pubring.kbx.lock", "trustdb.gpg.lock"])
def test_the_next_container_on_an_old_volume(alices_home: Path, name: str) -> None:
    namespace = mount_namespace()
    if os.getuid() != 0 or not namespace or shutil.which("setpriv") is None:
        pytest.skip("NOT TESTED: a container needs root, unshare and setpriv")
    user = NOBODY if runs_as(NOBODY) else 0
    lock = alices_home / name
    lock.write_text("         7\nweb-1\n")
    for path in (alices_home, *alices_home.rglob("*")):
        os.chown(path, user, user)
    prefix = [*namespace, "--uts", "--pid", "--fork", "--mount-proc"]
    prefix += ["sh", "-c", CONTAINER, "sh", str(alices_home), str(user)]
    said = run_program("service", alices_home, lock, prefix=prefix)
    for path in (alices_home, *alices_home.rglob("*")):
        os.chown(path, 0, 0)
    assert said.split() == ["1", str(user), "web-2"]
