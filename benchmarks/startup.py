"""What it costs to begin: importing the package, and one encryption looked at from inside."""

from __future__ import annotations

import cProfile
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

from tiny_gnupg._gpg import commands

from .scene import Scene, raw
from .timing import interleaved, timed, timed_plain

#: Modules that only the network needs, or that are slow to import.
WATCHED = ("aiohttp", "aiohttp_socks", "python_socks", "platformdirs", "ssl", "asyncio", "aiofiles")
_LOADED = "import sys, tiny_gnupg; print(*sys.modules)"


@dataclass(frozen=True)
class Imports:
    """What importing the package costs, beyond what the interpreter does by itself."""

    seconds: float
    loaded: tuple[str, ...]
    count: int
    slowest: tuple[tuple[str, float], ...]


async def import_costs(rounds: int) -> Imports:
    """Import the package in fresh interpreters, compiled as after pip; see what came with it."""
    with tempfile.TemporaryDirectory(prefix="tgb") as compiled:
        return await _import_costs(rounds, compiled)


async def _import_costs(rounds: int, compiled: str) -> Imports:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, *arguments]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)

    found = await interleaved(
        {
            "with": timed_plain(lambda: run("-c", "import tiny_gnupg")),
            "without": timed_plain(lambda: run("-c", "pass")),
        },
        rounds,
    )
    loaded = run("-c", _LOADED).stdout.split()
    bare = run("-c", "import sys; print(*sys.modules)").stdout.split()
    lines = run("-X", "importtime", "-c", "import tiny_gnupg").stderr.splitlines()
    times = [line.removeprefix("import time:").split("|") for line in lines[1:]]
    slowest = sorted(((parts[2].strip(), int(parts[0]) / 1e6) for parts in times), key=_by_time)
    return Imports(
        seconds=found["with"] - found["without"],
        loaded=tuple(name for name in WATCHED if name in loaded),
        count=len(set(loaded) - set(bare)),
        slowest=tuple(slowest[:8]),
    )


def _by_time(entry: tuple[str, float]) -> float:
    return -entry[1]


@dataclass(frozen=True)
class Profile:
    """Where the time of one encryption goes, in seconds."""

    whole: float
    bare: float
    start: float
    processor: float
    busiest: tuple[tuple[str, float], ...]


async def profile_encrypt(scene: Scene, rounds: int) -> Profile:
    """Take one encryption apart: Python, starting a gpg, and gpg's own work.

    ``whole`` is ours, ``bare`` the same by the command line, ``start`` a gpg that does nothing,
    and ``processor`` the processor time that this process spends on one of ours.
    """
    gpg, message = scene.ours, scene.messages[scene.ours]["message"]
    options = commands.encrypt([gpg.fingerprint])

    async def encrypt() -> None:
        await gpg.encrypt(message, gpg.fingerprint, sign=False)

    found = await interleaved(
        {
            "whole": timed(encrypt),
            "bare": timed_plain(lambda: raw(gpg, options, message)),
            "start": timed_plain(lambda: raw(gpg, ["--version"])),
        },
        rounds,
    )
    used = []
    for _ in range(rounds):
        before = time.process_time()
        for _ in range(5):
            await encrypt()
        after = time.process_time()
        used.append((after - before) / 5)
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(20):
        await encrypt()
    profiler.disable()
    return Profile(**found, processor=statistics.median(used), busiest=_busiest(profiler, 20))


def _busiest(profiler: cProfile.Profile, runs: int) -> tuple[tuple[str, float], ...]:
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, object]]
    stats = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    waiting = ("select.epoll", "select.poll")
    rows = [
        (f"{os.path.basename(file)}:{name}" if line else name, own / runs)
        for (file, line, name), (_, _, own, _, _) in stats.items()
        if not any(word in name for word in waiting)
    ]
    return tuple(sorted(rows, key=_by_time)[:8])
