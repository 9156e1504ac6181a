"""The doctor: is everything here that tiny_gnupg needs, and what to do where it is not."""

from __future__ import annotations

import argparse
import os
import shutil
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from tiny_gnupg._home.repair import held_locks, told
from tiny_gnupg._network.keyserver import DEFAULT_KEYSERVER, Keyserver
from tiny_gnupg._network.tor import Network, NetworkSettings
from tiny_gnupg._process.find_gpg import (
    FEATURES,
    Features,
    find_executable,
    manifest_of,
    package_home,
    probe,
)
from tiny_gnupg.cli.commands import instance
from tiny_gnupg.cli.terminal import Report, in_words
from tiny_gnupg.errors import GnuPGError, NetworkError, TorUnavailable
from tiny_gnupg.gnupg import GnuPG

#: Bytes that should be free where the keys are kept.
ROOM = 50 * 2**20


#: Seconds for the keyserver's answer; a cold Tor needs half a minute to find an onion service.
NETWORK_TIMEOUT = 90.0


#: The last day of each series of GnuPG (its page of releases); 2.5 goes on.
END_OF_LIFE = {(2, 2): date(2024, 12, 31), (2, 4): date(2026, 6, 30)}


#: Known holes that a message or a key can reach, and the releases that mended them.
HOLES = {
    "CVE-2025-68973, memory corruption by a crafted armor,": ((2, 2, 51), (2, 4, 9)),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: ``advice`` is empty where all is well; ``notes`` ask for no mending."""

    subject: str
    found: str
    advice: str = ""
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """What a person reads: what was found, and what to do."""
        state = "FIX" if self.advice else "ok"
        more = [f"-> {in_words(self.advice)}"] if self.advice else []
        more += [f"note: {note}" for note in self.notes]
        return f"{state:<4} {self.subject:<10} {self.found}", *(f"{'':<15} {one}" for one in more)


async def examine(arguments: argparse.Namespace) -> Report:
    """Check gpg, home, agent, and unless ``arguments.offline`` Tor and the keyserver.

    Returns:
        The findings; exit code 1 where something has to be mended.
    """
    findings = [await _checked("gpg", lambda: _gpg(arguments))]
    if not findings[0].advice:
        gpg = instance(arguments)
        try:
            findings.append(await _checked("home", lambda: _home(gpg)))
            if not findings[-1].advice:
                findings.append(await _checked("agent", lambda: _agent(gpg)))
                findings += _locks(gpg)
        finally:
            await gpg.aclose()
    if not arguments.offline:
        findings += await _network(arguments)
    facts = {"findings": findings, "ok": not any(one.advice for one in findings)}
    lines = tuple(line for one in findings for line in one.lines)
    return Report(facts, lines, code=0 if facts["ok"] else 1)


async def _checked(subject: str, check: Callable[[], Awaitable[Finding]]) -> Finding:
    """Make a finding of an error, too."""
    try:
        return await check()
    except GnuPGError as error:
        return Finding(subject, error.message, error.hint or "see the message above")
    except OSError as error:
        return Finding(subject, str(error), "name another directory by --home")


async def _gpg(arguments: argparse.Namespace) -> Finding:
    executable = find_executable(arguments.gpg)
    features = await probe(executable)
    bundled = executable.parent == package_home()
    whose = "bundled" if bundled else "not the bundled one"
    notes = release_notes(features, packaged(executable) if bundled else "")
    return Finding("gpg", f"{features.version}, {whose}: {executable}", notes=notes)


def packaged(executable: Path) -> str:
    """Return whose package a bundled gpg is of, as its manifest says."""
    manifest = manifest_of(executable.parent)
    try:
        versions = [one["version"] for one in manifest["packages"] if one["source"] == "gnupg2"]
        return f"{versions[0]} of {manifest['distribution']}"
    except (KeyError, TypeError, IndexError):
        return ""


def release_notes(features: Features, package: str) -> tuple[str, ...]:
    """Tell what there is to know of a gpg by its release, and what it lacks.

    Args:
        features: its version, and what it can do.
        package: the package that it came in, where that is known.
    """
    notes, version = [], features.version
    series = version[:2]
    over = next((end for of, end in END_OF_LIFE.items() if series <= of), None)
    if over and over < datetime.now(UTC).date():
        notes.append(
            f"GnuPG {version.major}.{version.minor} is at its end of life since {over:%Y-%m-%d}: "
            "what is found in it now is mended by the distribution that it is of, or by nobody"
        )
    for name, fixed in HOLES.items():
        if version < fixed[-1] and not any(
            one[:2] == version[:2] and one <= version for one in fixed
        ):
            notes.append(f"{name} is in GnuPG {version} unless its distribution has mended it")
    if notes and package:
        notes.append(f"it is {package}; scripts/stage-gpg --force takes the newest that there is")
    missing = [
        f"{what} ({since})"
        for name, (what, since) in FEATURES.items()
        if name not in features.names
    ]
    if missing:
        notes.append(f"it lacks {'; '.join(missing)}: those are errors that say so")
    return tuple(notes)


async def _home(gpg: GnuPG) -> Finding:
    home = Path(gpg.home)
    await gpg.keys()
    mode = stat.S_IMODE(os.stat(home).st_mode)
    if mode & 0o077:
        return Finding("home", f"{home} is open to others ({mode:o})", f"chmod 700 {home}")
    free = shutil.disk_usage(home).free
    if free < ROOM:
        return Finding("home", f"{home} has {free // 2**20} MiB left", "make room on that disk")
    return Finding("home", f"{_place(home)}, its owner's alone, {free // 2**20} MiB free")


def _place(home: Path) -> str:
    """Say where a home lies; the default one has its name in the package, and lies elsewhere."""
    real = os.path.realpath(home)
    return real if real == str(home) else f"{real} (its name in the package is {home})"


def _locks(gpg: GnuPG) -> list[Finding]:
    """Tell of locks for which gpg waits, and of which it cannot know whether they are held."""
    return [
        Finding("lock", told(lock), f"end that process; where it has gone, remove {lock}")
        for lock in held_locks(Path(gpg.home))
    ]


async def _agent(gpg: GnuPG) -> Finding:
    # gpg asks the agent for each secret key, and so fails where no agent starts.
    secret, public = await gpg.keys(secret=True), await gpg.keys()
    counted = f"{len(secret)} secret key{'s' * (len(secret) != 1)}"
    return Finding("agent", f"answers; {counted}, {len(public)} in all")


async def _network(arguments: argparse.Namespace) -> list[Finding]:
    """Ask the keyserver for its page: that needs Tor, and tells the two apart where it fails."""
    keyserver = Keyserver.of(arguments.keyserver or DEFAULT_KEYSERVER)
    settings = NetworkSettings(tor_port=arguments.tor_port, total_timeout=NETWORK_TIMEOUT, tries=2)
    tor = Finding("Tor", f"SOCKS port {settings.proxy} works")
    try:
        async with Network(settings) as network:
            answer = await network.fetch("GET", keyserver.url)
    except TorUnavailable as error:
        return [Finding("Tor", error.message, error.hint or "start Tor, or say --tor-port")]
    except NetworkError as error:
        advice = error.hint or "try again later, or name another by --keyserver"
        return [tor, Finding("keyserver", error.message, advice)]
    advice = "" if answer.status < 500 else "try again later, or name another by --keyserver"
    return [tor, Finding("keyserver", f"{keyserver.host} answers {answer.status}", advice)]
