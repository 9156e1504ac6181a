"""Clean environments, to install one file of a release into and to use it there.

Used is what was installed, with three environment variables and no other: the bundled gpg2 where
no other gpg can be started, a package without one with the installed gpg alone on PATH.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from scripts.namespaces import mount_namespace
from scripts.release.pythons import Python
from scripts.release.running import Failure, run

TRIAL = Path(__file__).with_name("trial.py")
#: The programs of GnuPG, and where distributions keep those that no person starts.
GNUPG = ("gpg*", "dirmngr*", "keyboxd", "scdaemon", "pinentry*")
GNUPG_FOLDERS = ("/usr/bin", "/usr/local/bin", "/usr/lib/gnupg*", "/usr/libexec/gnupg*")
#: Puts /dev/null in the place of each file of its first words up to ``--``, and becomes the rest.
HIDING = """
while [ "$1" != -- ]; do
    mount --bind /dev/null "$1" && [ ! -f "$1" ] || exit 77
    shift
done
shift
exec "$@"
"""


def installed_gpg() -> str:
    """Return the gpg of this machine."""
    found = shutil.which("gpg2") or shutil.which("gpg")
    if found is None:
        raise Failure("no gpg is installed to try it with (Debian: apt install gpg gpg-agent)")
    return found


@functools.cache
def without_gpg() -> tuple[str | Path, ...]:
    """Return the words before a command that hide every installed program of GnuPG from it.

    Returns:
        Nothing where this machine gives us no mount namespace; they are not on PATH even so.
    """
    folders = {Path(entry) for entry in os.get_exec_path() if os.path.isabs(entry)}
    folders |= {found for one in GNUPG_FOLDERS for found in Path("/").glob(one.lstrip("/"))}
    programs = {
        found.resolve()
        for folder in folders
        for pattern in GNUPG
        for found in folder.glob(pattern)
        if found.is_file()
    }
    namespace = mount_namespace()
    return (*namespace, "sh", "-c", HIDING, "sh", *sorted(programs), "--") if namespace else ()


class Environment:
    """A virtual environment that holds nothing but what is installed into it."""

    def __init__(self, folder: Path, python: Python) -> None:
        """Make it.

        Args:
            folder: where; a path short enough for an agent's socket.
            python: which interpreter it is of.
        """
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"
        run(python.path, "-I", "-m", "venv", "--without-pip", folder / "venv")

    @property
    def packages(self) -> Path:
        """Where packages are installed."""
        (found,) = self.folder.glob("venv/lib/python3.*/site-packages")
        return found

    def install(self, file: Path, *options: str) -> None:
        """Install a file with all that it asks for, by the pip that we run with."""
        self._pip("install", *options, file)

    def uninstall(self, package: str) -> None:
        """Uninstall a package."""
        self._pip("uninstall", "--yes", package)

    def _pip(self, *words: str | Path) -> None:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
        }
        pip = (sys.executable, "-m", "pip", "-q", "--disable-pip-version-check")
        run(*pip, "--python", self.python, *words, env=environment)

    def use(self, *, bundled: bool) -> None:
        """Make a key and a message by what is installed, and let its doctor look.

        Args:
            bundled: with the gpg2 in the package and no other; else with the machine's gpg.

        Raises:
            Failure: something did not work, or it was not the installed package or that gpg.
        """
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            path, home = Path(folder, "bin"), Path(folder, "home")
            path.mkdir()
            gpg = self.packages / "tiny_gnupg" / "gpghome" / "gpg2"
            if not bundled:
                gpg = path / "gpg"
                gpg.symlink_to(installed_gpg())
            variables = (f"PATH={path}", f"HOME={folder}", f"TMPDIR={folder}")
            prefix = (*(without_gpg() if bundled else ()), "env", "-i", *variables)
            tried = run(*prefix, self.python, "-I", "-W", "error", TRIAL, home)
            self._judge(json.loads(tried), gpg)
            doctor = self.python.with_name("tiny-gnupg")
            told = run(*prefix, doctor, "doctor", "--offline", "--home", home)
        whose = "bundled" if bundled else "not the bundled one"
        if f"{whose}: {gpg}" not in told:
            raise Failure(f"the doctor saw something else:\n{told}")

    def _judge(self, tried: dict[str, object], gpg: Path) -> None:
        package = self.packages / "tiny_gnupg" / "__init__.py"
        wanted: dict[str, object] = {"package": str(package), "gpg": str(gpg)}
        wanted |= dict.fromkeys(("encrypted", "signed", "read"), True)
        wrong = {name: tried[name] for name in wanted if tried[name] != wanted[name]}
        if wrong:
            raise Failure(f"the trial gave {wrong}")


@dataclass(frozen=True)
class Outcome:
    """How one file did with one Python."""

    seconds: float
    failure: str = ""

    def __str__(self) -> str:
        return "NO" if self.failure else f"yes ({self.seconds:.0f} s)"


def try_out(python: Python, file: Path, *, bundled: bool) -> Outcome:
    """Install a file into a clean environment and use it."""
    start = time.monotonic()
    failure = ""
    with tempfile.TemporaryDirectory(prefix="tgp") as folder:
        try:
            environment = Environment(Path(folder), python)
            environment.install(file)
            environment.use(bundled=bundled)
        except Failure as error:
            failure = str(error)
    return Outcome(time.monotonic() - start, failure)
