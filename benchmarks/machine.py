"""Where it was measured: ratios travel from machine to machine, milliseconds do not."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from tiny_gnupg import GnuPG, __version__


def machine(gpg: GnuPG) -> dict[str, str]:
    """Name the machine and the versions."""
    said = subprocess.run(
        [gpg.executable, "--version"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "load": f"{os.getloadavg()[0]:.2f}",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "gpg": f"{said[0]}, {said[1]} ({gpg.executable})",
        "tiny_gnupg": __version__,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
