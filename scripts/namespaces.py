"""Mount namespaces: a program is run where some paths are not what they are for everybody else."""

from __future__ import annotations

import functools
import shutil
import subprocess


@functools.cache
def mount_namespace() -> tuple[str, ...]:
    """Return the words before a command that put it into a mount namespace of its own.

    Returns:
        unshare(1) and its options, as root or as this machine allows it to other users; nothing
        where it allows none.
    """
    if shutil.which("unshare") is None:
        return ()
    for options in (("--mount",), ("--map-root-user", "--mount")):
        trial = ["unshare", *options, "mount", "-t", "tmpfs", "tmpfs", "/run"]
        if subprocess.run(trial, capture_output=True, check=False).returncode == 0:
            return ("unshare", *options)
    return ()
