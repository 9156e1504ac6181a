"""The doctor: is everything here that tiny_gnupg needs, and what to do where it is not."""

from __future__ import annotations

import argparse
import os
import shutil
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tiny_gnupg._home.repair import held_locks, told
from tiny_gnupg._network.keyserver import DEFAULT_KEYSERVER, Keyserver
from tiny_gnupg._network.tor import Network, NetworkSettings
from tiny_gnupg._process.find_gpg import find_executable, package_home, probe
from tiny_gnupg.cli.commands import instance
from tiny_gnupg.cli.terminal import Report
from tiny_gnupg.errors import GnuPGError, NetworkError, TorUnavailable
from tiny_gnupg.gnupg import GnuPG

#: Bytes that should be free where the keys are kept.
ROOM = 50 * 2**20


#: Seconds for the keyserver's answer; a cold Tor needs half a minute to find an onion service.
NETWORK_TIMEOUT = 90.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: ``advice`` is empty where all is well."""

    subject: str
    found: str
    advice: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """What a person reads: what was found, and what to do."""
        if not self.advice:
            return (f"ok   {self.subject:<10} {self.found}",)
        return f"FIX  {self.subject:<10} {self.found}", f"{'':<15} -> {self.advice}"


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
    whose = "bundled" if executable.parent == package_home() else "not the bundled one"
    return Finding("gpg", f"{features.version}, {whose}: {executable}")


async def _home(gpg: GnuPG) -> Finding:
    home = Path(gpg.home)
    await gpg.keys()
    mode = stat.S_IMODE(os.stat(home).st_mode)
    if mode & 0o077:
        return Finding("home", f"{home} is open to others ({mode:o})", f"chmod 700 {home}")
    free = shutil.disk_usage(home).free
    if free < ROOM:
        return Finding("home", f"{home} has {free // 2**20} MiB left", "make room on that disk")
    return Finding("home", f"{home}, its owner's alone, {free // 2**20} MiB free")


def _locks(gpg: GnuPG) -> list[Finding]:
    """Tell of locks for which gpg waits, and of which it cannot know whether they are held."""
    return [
        Finding("lock", told(lock), f"end that process; where it has gone, remove {lock}")
        for lock in held_locks(Path(gpg.home))
    ]


async def _agent(gpg: GnuPG) -> Finding:
    # gpg asks the agent for each secret key, and so fails where no agent starts.
    secret, public = await gpg.keys(secret=True), await gpg.keys()
    return Finding("agent", f"answers; {len(secret)} secret keys, {len(public)} keys in all")


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
