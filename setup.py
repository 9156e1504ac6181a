"""Builds the sdist and the wheels: a pure one, and with a staged gpg2 one for this platform.

1. A wheel carries from gpghome/ what is named here and in gpghome/STAGED.json, and nothing else:
   a checkout's gpghome may be somebody's homedir, with secret keys.
2. What the manifest names must be there to the byte, or nothing is built.
3. With a staged gpg2 the wheel's tag names the architecture and the C library that its programs
   ask for; without one the wheel is pure, and the machine's own gpg is used.
4. No binary gets into the sdist (MANIFEST.in): a wheel that is built from it is pure, until a
   gpg2 is staged there.
5. Each build happens in a folder of its own. What an earlier one left behind cannot get in.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from setuptools import Command, Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build

HERE = Path(__file__).resolve().parent
GPGHOME = HERE / "gpghome"
CONFIGURATION = ["gpg2.conf", "gpg-agent.conf", "common.conf"]
MANIFEST = "STAGED.json"


def staged() -> dict[str, Any]:
    """Return the manifest of the staged gpg2, or nothing where none is staged.

    Raises:
        SystemExit: what is staged is not what the manifest says.
    """
    if not (GPGHOME / MANIFEST).is_file():
        return {}
    manifest: dict[str, Any] = json.loads((GPGHOME / MANIFEST).read_text(encoding="utf-8"))
    for name, file in manifest["files"].items():
        path = GPGHOME / name
        data = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(data).hexdigest() != file["sha256"]:
            raise SystemExit(
                f"gpghome/{name} is not what was staged: run scripts/stage-gpg --force"
            )
    return manifest


STAGED = staged()
BUNDLE = [MANIFEST, *STAGED["files"]] if STAGED else []


class PlatformDistribution(Distribution):
    """A distribution that says so when it holds programs of one platform."""

    def has_ext_modules(self) -> bool:
        """Return whether the wheel belongs into platlib."""
        return bool(STAGED)


class FreshBuild(build):
    """Builds in a new folder, so that neither leftovers nor a build at the same time get in."""

    def initialize_options(self) -> None:
        """Make the folder; it goes with this process."""
        super().initialize_options()
        self.build_base = tempfile.mkdtemp(prefix="tiny-gnupg-build-")
        atexit.register(shutil.rmtree, self.build_base, ignore_errors=True)


class HonestWheel(bdist_wheel):
    """Tags the wheel by what is in it: any Python 3, and the platform of the staged programs."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tags for Python, its binary interface and the platform."""
        if not STAGED:
            return "py3", "none", "any"
        machine = STAGED["machine"]
        if STAGED["glibc"] == "static":
            # For every Linux: the oldest C libraries that pip has names for.
            return "py3", "none", f"manylinux_2_17_{machine}.musllinux_1_1_{machine}"
        # PEP 600: this C library or a newer one. All other libraries travel along.
        return "py3", "none", f"manylinux_{STAGED['glibc'].replace('.', '_')}_{machine}"


PACKAGES = [
    ".".join(path.parent.relative_to(HERE).parts)
    for path in sorted((HERE / "tiny_gnupg").rglob("__init__.py"))
]

COMMANDS: dict[str, type[Command]] = {
    "bdist_wheel": HonestWheel,
    "build": FreshBuild,
}

setup(
    packages=[*PACKAGES, "tiny_gnupg.gpghome"],
    package_dir={"tiny_gnupg": "tiny_gnupg", "tiny_gnupg.gpghome": "gpghome"},
    package_data={
        "tiny_gnupg": ["py.typed"],
        "tiny_gnupg.gpghome": [*CONFIGURATION, *BUNDLE],
    },
    include_package_data=False,
    distclass=PlatformDistribution,
    cmdclass=COMMANDS,
)
