"""``python -m benchmarks [table|gpgs|streams|growth|profile|load|soak]``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from scripts.gpgs import get_gpg

from . import growth, reach, streams
from .load import Outcome, run_load
from .machine import machine
from .peers import running_peers
from .plot import bars, lines
from .scene import Scene, a_scene
from .startup import import_costs, profile_encrypt


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for, and print it.

    Returns:
        0, or 1 where a row is not reached or a load left something behind.
    """
    options = _options(arguments)
    return asyncio.run(_measure(options))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", default="table", choices=_COMMANDS)
    parser.add_argument(
        *("--gpg", "-g"),
        action="append",
        metavar="NAME",
        help="of gpgs: one of them, as scripts/test --gpg=NAME; again for each (default: three)",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="and a plot of the operations")
    parser.add_argument("--rounds", type=int, help="how often each thing is measured")
    parser.add_argument("--count", type=int, default=10_000, help="operations of a load")
    parser.add_argument("--in-flight", type=int, default=200, help="callers of a load")
    parser.add_argument("--duration", type=float, default=600, help="seconds of a soak")
    return parser.parse_args(arguments)


async def _measure(options: argparse.Namespace) -> int:
    print("making keys and messages ...", file=sys.stderr)
    async with a_scene(for_peers=options.what == "table") as scene:
        where = machine(scene.ours)
        print("\n".join(f"{name + ':':<12}{value}" for name, value in where.items()), "\n")
        start = time.monotonic()
        figures, good = await _COMMANDS[options.what](scene, options)
        print(f"\n{time.monotonic() - start:.0f} s in all")
    if options.json:
        text = json.dumps({"machine": where, **figures}, indent=2)
        options.json.write_text(text + "\n")
    return 0 if good else 1


# -- the table -----------------------------------------------------------------------------


async def _table(scene: Scene, options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    quick = options.quick
    rounds = options.rounds or (3 if quick else 21)
    few = min(rounds, 5)
    with running_peers(scene.setting) as (peers, missing):
        for name, why in missing.items():
            print(f"MISSING PEER: {name}: {why}")
        operations = await reach.operations(scene, peers, rounds)
        _show_operations(operations)
        rows = await reach.bare_rows(scene, 3 * rounds)
        rows += await reach.warm_rows(scene, 3 * rounds, 5 if quick else 200)
        rows += reach.passphrase_rows(operations)
        rows.append(reach.process_row(await reach.processes(scene)))
        rows += await reach.concurrency_rows(scene, 5 if quick else 200, 1 if quick else 64)
        rows += await reach.many_rows(scene, 5 if quick else 200, few)
        rows += await reach.file_rows(scene, 2**24 if quick else 2**30, 1 if quick else few)
        rows += await reach.import_rows(few)
        if not quick:
            rows += await reach.keyring_rows(scene, peers, few)
        for peer in peers:
            for call, why in peer.failed.items():
                print(f"PEER FAILED: {peer.name} cannot {call}: {why}")
        versions = {peer.name: peer.version for peer in peers}
    _show_rows(rows)
    if options.svg:
        peers_named = ", ".join(
            name if name.endswith(version) else f"{name} {version}"
            for name, version in versions.items()
        )
        caption = f"Median of {rounds}, 1 KiB, interleaved; logarithmic. Peers: {peers_named}"
        title = "Milliseconds of one operation (shorter is better)"
        options.svg.write_text(bars(title, operations, caption))
    figures = {
        "peers": versions,
        "missing": missing,
        "operations": operations,
        "rows": [row.as_dict() for row in rows],
    }
    return figures, all(row.reached is not False for row in rows)


def _show_operations(operations: reach.Operations) -> None:
    programs = list(dict.fromkeys(name for times in operations.values() for name in times))
    print("milliseconds, median".ljust(34), *(f"{name:>14}" for name in operations))
    for program in programs:
        cells = (times.get(program) for times in operations.values())
        shown = (f"{1000 * cell:>14.2f}" if cell else f"{'-':>14}" for cell in cells)
        print(program.ljust(34), *shown)
    print()


def _show_rows(rows: Sequence[reach.Row]) -> None:
    print(f"{'what':<76}{'asked for':>12}{'measured':>12}  reached")
    for row in rows:
        sign = "<=" if row.at_most else ">="
        asked = f"{sign} {row.bound:g} {row.unit}".strip()
        measured = "-" if row.measured is None else f"{row.measured:.2f} {row.unit}".strip()
        verdict = {True: "yes", False: "NO", None: "not measured"}[row.reached]
        print(f"{row.what:<76}{asked:>12}{measured:>12}  {verdict:<4} {row.note}".rstrip())


async def _gpgs(scene: Scene, options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    rounds = options.rounds or (3 if options.quick else 21)
    async with AsyncExitStack() as stack:
        scenes: dict[str, Scene] = {}
        for name in options.gpg or ("bundled", "built", "debian13"):
            made = a_scene(for_peers=False, executable=get_gpg(name))
            scenes[name] = await stack.enter_async_context(made)
        for name, one in scenes.items():
            print(f"{name + ':':<12}{machine(one.ours)['gpg']}")
        found = await reach.by_gpg(scenes, rounds)
    print()
    _show_operations(found)
    return {"gpgs": found}, True


async def _streams(scene: Scene, options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    quick = options.quick
    rounds = options.rounds or (1 if quick else 5)
    size, many = (2**22, 4) if quick else (2**30, 200)
    rows = await streams.rows(scene, size, rounds, many)
    _show_rows(rows)
    figures = {"rows": [row.as_dict() for row in rows]}
    return figures, all(row.reached is not False for row in rows)


# -- the others ----------------------------------------------------------------------------


async def _growth(scene: Scene, options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    quick = options.quick
    rounds = options.rounds or (1 if quick else 9)
    points = await growth.by_callers(scene, *((1, 5), 10) if quick else (growth.CALLERS, 100))
    points += await growth.by_size(scene, (2**10, 2**20) if quick else growth.SIZES, rounds)
    points += await growth.by_keys(scene, (1, 10) if quick else growth.KEYS, rounds)
    print(f"{'what':<22}{'size':>12}{'ours, ms':>12}{'gpg, ms':>12}{'ratio':>8}")
    for point in points:
        cells = f"{1000 * point.ours:>12.2f}{1000 * point.gpg:>12.2f}{point.ratio:>8.2f}"
        print(f"{point.what:<22}{point.size:>12}{cells}  {point.note}".rstrip())
    if options.svg:
        caption = (
            f"Medians of up to {rounds}, 1 KiB where nothing else is said; above 32 MiB as files. "
            "By callers: gpg one by one."
        )
        options.svg.write_text(lines("How cost grows", growth.panels(points), caption))
    return {"growth": [asdict(point) for point in points]}, True


async def _profile(scene: Scene, options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    rounds = options.rounds or (3 if options.quick else 21)
    taken = await profile_encrypt(scene, rounds)
    costs = await import_costs(min(rounds, 7))
    whole = taken.whole
    print(f"one encrypt             {1000 * whole:>8.2f} ms")
    for what, part in (
        ("the bare command line", taken.bare),
        ("a gpg that only starts", taken.start),
        ("gpg's own work", taken.bare - taken.start),
        ("what we add", whole - taken.bare),
        ("processor time, Python", taken.processor),
    ):
        print(f"  {what:<22}{1000 * part:>8.2f} ms {100 * part / whole:>5.0f} %")
    print("\nthe busiest in Python, ms of one encrypt (under a profiler, which slows them)")
    for name, seconds in taken.busiest:
        print(f"  {name:<40}{1000 * seconds:>8.3f}")
    print(f"\nimport of the package: {1000 * costs.seconds:.0f} ms, {costs.count} modules")
    print(f"  of those watched, loaded: {', '.join(costs.loaded) or 'none'}")
    for name, seconds in costs.slowest:
        print(f"  {name:<40}{1000 * seconds:>8.2f} ms of its own")
    return {"profile": asdict(taken), "imports": asdict(costs)}, True


async def _load(scene: Scene, options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    count = 200 if options.quick else options.count
    outcome = await run_load(scene, in_flight=options.in_flight, count=count)
    return _show_load(outcome)


async def _soak(scene: Scene, options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    duration = 5 if options.quick else options.duration
    outcome = await run_load(scene, in_flight=options.in_flight, duration=duration)
    return _show_load(outcome)


def _show_load(outcome: Outcome) -> tuple[dict[str, Any], bool]:
    rate = outcome.operations / outcome.seconds
    print(f"{outcome.operations} operations in {outcome.seconds:.1f} s: {rate:.0f} a second")
    for name, count in sorted(outcome.kinds.items()):
        print(f"  {name:<22}{count:>8}")
    print(f"the event loop's longest pause: {1000 * outcome.longest_pause:.1f} ms")
    print(f"failures: {len(outcome.errors)}")
    for error in sorted(set(outcome.errors))[:10]:
        print(f"  {error}")
    print(f"left behind: {', '.join(outcome.left) or 'nothing'}")
    figures = asdict(replace(outcome, kinds=dict(outcome.kinds)))
    return {"load": figures}, outcome.clean


_COMMANDS = {
    "table": _table,
    "gpgs": _gpgs,
    "streams": _streams,
    "growth": _growth,
    "profile": _profile,
    "load": _load,
    "soak": _soak,
}


if __name__ == "__main__":
    sys.exit(main())
