"""Which gpg is used, and what it can do.

1. The order: what the caller names, what ``TINY_GNUPG_GPG`` names, the bundled ``gpg2``, ``gpg2``
   on PATH, ``gpg`` on PATH. What a person names is taken or refused, never replaced by another.
2. Finding looks at files and starts nothing, so that a constructor can do it. Only ``probe`` and
   ``probe_now`` run the program, once a process for each state of its file.
3. The bundled gpg2 is looked for by path: beside these modules where the package is installed, in
   ``../gpghome`` where they lie in a checkout, which is known by its ``setup.py``. A ``gpghome``
   that happens to lie in the same site-packages belongs to a stranger.
4. A bundled gpg2 of another architecture, or of a newer C library than this machine's, is passed
   over: a checkout may be shared by several machines.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import re
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tiny_gnupg._gpg.outcome import KILLED_HINT
from tiny_gnupg._process.child import path_argument
from tiny_gnupg._process.program import Channels, Completed, run_program
from tiny_gnupg.errors import (
    BinaryNotFound,
    CommandFailed,
    GnuPGTimeout,
    OutputTooLarge,
    UnsupportedByGnuPG,
)

#: Names a gpg where the caller names none.
VARIABLE = "TINY_GNUPG_GPG"


#: The name of the bundled gpg, and of the file that tells what was bundled.
BUNDLED, MANIFEST = "gpg2", "STAGED.json"


#: Quick commands for subkeys (``--quick-set-expire FPR TIME '*'``) came with the 2.2 series.
OLDEST = (2, 2, 0)


#: Seconds that a program has to tell its version, and bytes that this may take.
ANSWER_TIMEOUT, ENOUGH = 30.0, 2**20


_VERSION = re.compile(r"gpg2? \([^()\n]*GnuPG[^()\n]*\) (\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?!\d)")


_ELF_IDENTITY = slice(0, 6)  # the magic number, 32 or 64 bits, byte order


_ELF_MACHINE = slice(18, 20)


class Version(NamedTuple):
    """A version of GnuPG; compares as the tuple that it is."""

    major: int
    minor: int
    micro: int

    def __str__(self) -> str:
        return ".".join(map(str, self))


#: What not every gpg has: in words, and the first release that has it.
FEATURES = {
    "ed448": ("ed448 keys", "2.3"),
    "ocb": ("encryption in OCB", "2.4"),
    "adsk": ("additional decryption subkeys", "2.4.1"),
    "keyboxd": ("homes whose keys keyboxd keeps", "2.4.1"),
    "kyber": ("Kyber keys", "2.5"),
}


#: The options that tell of some.
_BY_OPTION = {"adsk": b"--quick-add-adsk", "ocb": b"--force-ocb"}


#: The number of Kyber (ML-KEM) in GnuPG.
_KYBER = "8"


@dataclass(frozen=True, slots=True)
class Features:
    """What one gpg can do.

    Attributes:
        version: its version.
        names: those of ``FEATURES`` that it has.
        proc_all_sigs: it knows ``--proc-all-sigs``. Without that option a gpg that knows it stops
            in ``--batch`` at the first signature that is not good.
    """

    version: Version
    names: frozenset[str] = frozenset()
    proc_all_sigs: bool = False

    @property
    def keyboxd(self) -> bool:
        """Whether it may keep the public keys of a new home in a daemon.

        It does (doc/gpg.texi, use-keyboxd; NEWS of 2.4.1) unless the home's ``common.conf`` is
        there and does not ask for it.
        """
        return "keyboxd" in self.names

    def require(self, name: str) -> None:
        """Let one of ``FEATURES`` pass that it has.

        Raises:
            UnsupportedByGnuPG: it has it not.
        """
        if name not in self.names:
            what, since = FEATURES[name]
            message, hint = f"gpg {self.version} has no {what}", f"GnuPG {since} and newer have it"
            raise UnsupportedByGnuPG(message, hint=hint)


def find_executable(explicit: str | Path | None = None) -> Path:
    """Find the gpg to run, without running anything.

    Args:
        explicit: a path, or a name to look for on PATH; None takes the usual order.

    Returns:
        The absolute path of an executable file; symbolic links in it are kept.

    Raises:
        BinaryNotFound: there is none, or what was named is not there or not executable.
    """
    named = explicit or os.environ.get(VARIABLE)
    if named:
        return _named(os.fspath(named))
    bundled = package_home() / BUNDLED
    if _is_program(bundled) and _fits_this_machine(bundled):
        return bundled
    for name in ("gpg2", "gpg"):
        if found := shutil.which(name, path=_absolute_path_entries()):
            return Path(found)
    raise BinaryNotFound("there is no gpg on this machine")


def package_home() -> Path:
    """Return the package's own ``gpghome`` folder.

    Returns:
        The folder beside these modules, or ``gpghome`` of the checkout that they lie in. The
        first, though it is not there, where neither is.
    """
    installed = Path(__file__).resolve().parent.parent / "gpghome"
    checkout = installed.parent.parent
    if not installed.is_dir() and (checkout / "setup.py").is_file():
        return checkout / "gpghome"
    return installed


def agent_program(executable: str | Path) -> Path | None:
    """Return the gpg-agent that belongs to a bundled gpg.

    A gpg that was moved starts the agent of the place that it was built for, which may be another
    version or missing (measured on 2.2.40), unless ``--agent-program`` names one.

    Args:
        executable: a gpg, as ``find_executable`` gave it.

    Returns:
        The agent beside it, or None where the gpg is no bundled one and knows its own.
    """
    folder = Path(executable).resolve().parent
    agent = folder / "gpg-agent"
    return agent if _is_program(agent) and os.path.isfile(folder / MANIFEST) else None


def parse_version(text: str) -> Version:
    """Read what ``gpg --version`` printed.

    Args:
        text: its output; the first line decides.

    Returns:
        The version, without what vendors append (``2.5.0-beta12`` is 2.5.0).

    Raises:
        ValueError: this is not what a gpg prints.
    """
    match = _VERSION.match(text)
    if match is None:
        raise ValueError("no gpg prints this as its version")
    major, minor, micro = match.groups(default="0")
    return Version(int(major), int(minor), int(micro))


async def probe(executable: str | Path) -> Features:
    """Ask a gpg for its version and for what it can do, once for each state of its file.

    Args:
        executable: a gpg, as ``find_executable`` gave it.

    Returns:
        Its features; from memory where path, time, size and inode are those of an earlier call.

    Raises:
        BinaryNotFound: it is missing, does not run here, is no gpg, or is too old.
        CommandFailed: it did not come to tell; that is not remembered.
    """
    path = Path(executable)
    state = _state(path)
    if state not in _probed:
        _probed[state] = await _ask(path)
    return _probed[state]


def probe_now(executable: str | Path) -> Features:
    """Do what ``probe`` does where nothing can be awaited: in a thread, unless it is known."""
    if found := _probed.get(_state(Path(executable))):
        return found
    with concurrent.futures.ThreadPoolExecutor(1) as aside:
        return aside.submit(lambda: asyncio.run(probe(executable))).result()


_State = tuple[str, int, int, int]


_probed: dict[_State, Features] = {}


def _state(path: Path) -> _State:
    try:
        stat = path.stat()
    except (OSError, ValueError) as error:
        raise _unusable(path, "is not there") from error
    return str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino


async def _ask(path: Path) -> Features:
    shown = await _answer(path, "--version")
    try:
        version = parse_version(shown.stdout.decode(errors="replace"))
    except ValueError:
        reason = "is not a gpg" if shown.returncode == 0 else "does not run on this machine"
        raise _unusable(path, reason, shown) from None
    if version < OLDEST:
        raise _unusable(path, f"is GnuPG {version}, which is too old", shown)
    if version < (2, 3, 0):
        return Features(version)
    # Asked for, not told from the version: distributions carry new options back into older
    # releases, an option that a gpg does not know stops it, and libraries lack algorithms.
    known = set((await _whole(path, "--dump-options")).split())
    names = {name for name, option in _BY_OPTION.items() if option in known}
    listed = await _whole(path, "--no-options", "--with-colons", "--list-config")
    lines = [line.split(":") for line in listed.decode(errors="replace").splitlines()]
    has = {line[1]: set(line[2].split(";")) for line in lines if line[2:]}
    if {"ed448", "cv448"} <= has.get("curve", set()):
        names.add("ed448")
    if _KYBER in has.get("pubkey", set()):
        names.add("kyber")
    if version >= (2, 4, 1):
        names.add("keyboxd")
    return Features(version, frozenset(names), proc_all_sigs=b"--proc-all-sigs" in known)


async def _whole(path: Path, *options: str) -> bytes:
    """Return what a gpg answers; one that failed has not told what it can do."""
    done = await _answer(path, *options)
    if done.returncode:
        raise _not_told(path, f"failed with exit code {done.returncode}", done)
    return done.stdout


async def _answer(path: Path, *options: str) -> Completed:
    try:
        enough = Channels(max_output=ENOUGH)
        words = [path_argument(path), *options]
        done = await run_program(words, enough, timeout=ANSWER_TIMEOUT)
    except BinaryNotFound as error:
        raise _unusable(path, f"does not run: {error.message}") from error
    except (GnuPGTimeout, OutputTooLarge) as error:
        raise _unusable(path, f"is not a gpg: {error.message}") from error
    if done.returncode < 0:
        raise _not_told(path, f"was ended by signal {-done.returncode}", done)
    return done


def _not_told(path: Path, reason: str, shown: Completed) -> CommandFailed:
    return CommandFailed(
        f"{path} {reason} when it was asked what it can do",
        hint=f"{KILLED_HINT} If it happens again, it does not run on this machine",
        returncode=shown.returncode,
        stderr=shown.stderr.decode(errors="replace"),
        command=shown.line,
    )


def _unusable(path: Path, reason: str, shown: Completed | None = None) -> BinaryNotFound:
    return BinaryNotFound(
        f"{path} {reason}",
        returncode=shown.returncode if shown else None,
        stderr=shown.stderr.decode(errors="replace") if shown else "",
        command=shown.line if shown else "",
    )


def _named(name: str) -> Path:
    """Resolve what a person named: a path, or a name on PATH."""
    found = name if os.sep in name else shutil.which(name)
    if found is None:
        raise BinaryNotFound(f"there is no {name} on PATH")
    absolute = Path(os.path.abspath(os.path.expanduser(found)))
    if not os.path.exists(absolute):
        raise _unusable(absolute, "is not there")
    if not _is_program(absolute):
        raise _unusable(absolute, "is not an executable file")
    return absolute


def _absolute_path_entries() -> str:
    """PATH without entries that depend on the folder that the process happens to be in."""
    return os.pathsep.join(entry for entry in os.get_exec_path() if os.path.isabs(entry))


def _is_program(path: Path) -> bool:
    # os.path, not Path: in a folder that we may not look into there is no program for us.
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _fits_this_machine(bundled: Path) -> bool:
    """Return whether a bundled gpg is of our architecture, and of a C library that we have."""
    if _architecture(bundled) != _architecture(Path(sys.executable)):
        return False
    try:
        glibc = manifest_of(bundled.parent)["glibc"]
        return glibc == "static" or tuple(map(int, glibc.split("."))) <= _c_library()
    except (ValueError, KeyError, AttributeError):
        return False  # whatever lies there, scripts/stage-gpg did not put it there


def manifest_of(folder: Path) -> dict[str, Any]:
    """Return what scripts/stage-gpg wrote down of the gpg that it put into a folder, or nothing."""
    with suppress(OSError, ValueError):
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def _architecture(program: Path) -> bytes:
    try:
        with program.open("rb") as file:
            head = file.read(20)
    except OSError:
        return b""
    return head[_ELF_IDENTITY] + head[_ELF_MACHINE]


def _c_library() -> tuple[int, ...]:
    """The version of the GNU C library that we run on; empty where it is another one."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, AttributeError):
        return ()
    return tuple(map(int, re.findall(r"\d+", version))) if name == "glibc" else ()
