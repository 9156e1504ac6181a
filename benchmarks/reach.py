"""The table of what is to be reached: each row measured, beside the ratio asked for."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tiny_gnupg import GnuPG
from tiny_gnupg._gpg import commands
from tiny_gnupg._process.program import SECOND

from .peers import Peer
from .scene import Scene, file_encryptions, large_file, raw, warm
from .startup import import_costs
from .timing import Median, Pauses, Timed, interleaved, timed, timed_plain

DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-keyring.gpg")
GPG, OURS, OURS_PLAIN = "gpg", "tiny_gnupg", "tiny_gnupg, protection='gnupg'"
Operations = dict[str, dict[str, Median]]


@dataclass(frozen=True)
class Row:
    """One row: what was asked for, and what came out.

    ``measured`` and ``bound`` are in ``unit``; ``at_most`` says which side of the bound is good.
    ``measured`` is None where something that it needs is missing; ``note`` then says what.
    """

    what: str
    measured: float | None
    bound: float
    unit: str = "x"
    at_most: bool = True
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the bound holds; None where nothing was measured."""
        if self.measured is None:
            return None
        return self.measured <= self.bound if self.at_most else self.measured >= self.bound

    def as_dict(self) -> dict[str, Any]:
        """Return the row for a JSON file."""
        return {**asdict(self), "reached": self.reached}


# -- single operations ---------------------------------------------------------------------


async def operations(scene: Scene, peers: list[Peer], rounds: int) -> Operations:
    """Measure single operations of all programs, in turn.

    Returns:
        For each operation the median of each program that can do it, in seconds. ``GPG`` and
        ``OURS`` work in the home with this library's protection, the others in one with gpg's.
    """
    ours = await _calls(scene, scene.ours)
    plain = await _calls(scene, scene.plain)
    found: Operations = {}
    for name, (call, bare) in ours.items():
        if "detached" in name:
            continue  # the peers do not do that
        programs: dict[str, Timed] = {GPG: timed_plain(bare), OURS: timed(call)}
        programs[f"{GPG}, its own protection"] = timed_plain(plain[name][1])
        programs[OURS_PLAIN] = timed(plain[name][0])
        for peer in peers:
            programs[peer.name] = _of(peer, name)
        found[name] = await interleaved(programs, rounds)
    return found


async def by_gpg(scenes: Mapping[str, Scene], rounds: int) -> Operations:
    """Measure single operations with several gpgs in turn, through this library and bare.

    Returns:
        For each operation the median of each gpg, in seconds, under the names of the scenes.
    """
    calls = {name: await _calls(scene, scene.ours) for name, scene in scenes.items()}
    found: Operations = {}
    for operation in next(iter(calls.values())):
        programs: dict[str, Timed] = {}
        for name, of_gpg in calls.items():
            call, bare = of_gpg[operation]
            programs |= {f"{name}, bare": timed_plain(bare), name: timed(call)}
        found[operation] = await interleaved(programs, rounds)
    return found


def _of(peer: Peer, operation: str) -> Timed:
    async def measure() -> float | None:
        return peer.measure(operation)

    return measure


async def _calls(
    scene: Scene, gpg: GnuPG
) -> dict[str, tuple[Callable[[], Awaitable[Any]], Callable[[], Any]]]:
    """Return each operation twice: by the library, and by the bare command line."""
    it, me = scene.messages[scene.plain if gpg is scene.plain else scene.ours], gpg.fingerprint
    message, encrypted, signed = it["message"], it["encrypted"], it["signed"]
    detached = it["detached"]
    secret = (await gpg.agent_passphrase()).encode()
    return {
        "encrypt": (
            lambda: gpg.encrypt(message, me, sign=False),
            lambda: raw(gpg, commands.encrypt([me]), message),
        ),
        "encrypt, sign": (
            lambda: gpg.encrypt(message, me),
            lambda: raw(gpg, commands.encrypt([me], signers=[me]), message, secret),
        ),
        "decrypt": (
            lambda: gpg.decrypt(encrypted),
            lambda: raw(gpg, commands.decrypt(), encrypted, secret),
        ),
        "sign": (
            lambda: gpg.sign(message),
            lambda: raw(gpg, commands.sign([me]), message, secret),
        ),
        "sign detached": (
            lambda: gpg.sign(message, detach=True),
            lambda: raw(gpg, commands.sign([me], detach=True), message, secret),
        ),
        "verify": (
            lambda: gpg.verify(signed),
            lambda: raw(gpg, commands.verify(), signed),
        ),
        "verify detached": (
            lambda: gpg.verify(message, detached),
            lambda: raw(gpg, commands.verify_detached(SECOND), message, second=detached),
        ),
        "list_keys": (
            lambda: gpg.list_keys(),
            lambda: raw(gpg, commands.list_addresses()),
        ),
    }


async def bare_rows(scene: Scene, rounds: int) -> list[Row]:
    """Compare single operations with the bare command line's, in turn with nothing between.

    A peer's quarter of a second between two calls leaves the processor's caches to others, and
    Python then takes longer to begin; how much, the table of all programs shows.
    """
    rows = []
    for name, (call, bare) in (await _calls(scene, scene.ours)).items():
        found = await interleaved({GPG: timed_plain(bare), OURS: timed(call)}, rounds)
        ours, gpg = found[OURS], found[GPG]
        note = f"of the best times: {ours.best / gpg.best:.2f} x"
        rows.append(Row(f"{name} over the bare gpg command line", ours / gpg, 1.10, note=note))
    return rows


async def warm_rows(scene: Scene, rounds: int, count: int) -> list[Row]:
    """Compare like calls of one instance, 30 ms apart, with the bare command line; and a burst."""
    cold, rows = scene.ours, []
    async with warm(cold) as gpg:
        calls = {name: (call, 0.30) for name, call in (await _calls(scene, gpg)).items()}
        for name in ("decrypt", "verify", "verify detached"):
            calls[name] = (calls[name][0], 0.55)
        del calls["list_keys"]
        for name, ((call, bare), bound) in calls.items():
            for _ in range(4):  # the first ones start nothing ahead
                await call()
                await asyncio.sleep(0.03)
            ways = {GPG: _after_a_while(timed_plain(bare)), OURS: _after_a_while(timed(call))}
            found = await interleaved(ways, rounds)
            ratio, note = found[OURS] / found[GPG], f"{1000 * found[GPG]:.1f} ms of gpg"
            rows.append(Row(f"{name}, started ahead, over gpg", ratio, bound, note=note))
        message = scene.messages[cold]["message"]

        def burst(of: GnuPG) -> Timed:
            encrypt = partial(of.encrypt, message, cold.fingerprint, sign=False)
            return timed(lambda: asyncio.gather(*(encrypt() for _ in range(count))))

        found = await interleaved({"cold": burst(cold), "warm": burst(gpg)}, 5)
    what = f"{count} at once: throughput, started ahead, over at need"
    return [*rows, Row(what, found["cold"] / found["warm"], 0.95, at_most=False)]


def _after_a_while(measure: Timed) -> Timed:
    async def later() -> float | None:
        await asyncio.sleep(0.03)
        return await measure()

    return later


def passphrase_rows(found: Operations) -> list[Row]:
    """Compare operations with a passphrase with python-gnupg's."""
    rows = []
    for name in ("sign", "decrypt"):
        times = found[name]
        peer = times.get("python-gnupg")
        rows.append(
            Row(
                f"{name} with a passphrase: python-gnupg on gpg's own protection over ours",
                peer / times[OURS] if peer else None,
                10,
                at_most=False,
                note="" if peer else "python-gnupg is missing",
            )
        )
    return rows


# -- processes -----------------------------------------------------------------------------


class _Starts(logging.Handler):
    """Counts the programs that the library starts: its log has a line for each."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += record.msg.startswith(("running", "keeping alive"))


async def processes(scene: Scene) -> dict[str, int]:
    """Count the programs that each method starts which is one gpg command.

    Those that look a key up before they change it (``trust``, ``delete``) are more than that.
    """
    gpg, it = scene.ours, scene.messages[scene.ours]
    me, message = gpg.fingerprint, it["message"]
    methods: dict[str, Callable[[], Awaitable[Any]]] = {
        "encrypt": lambda: gpg.encrypt(message, me),
        "encrypt_symmetric": lambda: gpg.encrypt_symmetric(message, "words"),
        "decrypt": lambda: gpg.decrypt(it["encrypted"]),
        "decrypt_verify": lambda: gpg.decrypt_verify(it["encrypted"]),
        "sign": lambda: gpg.sign(message),
        "verify": lambda: gpg.verify(it["signed"]),
        "keys": lambda: gpg.keys(),
        "list_keys": lambda: gpg.list_keys(),
        "raw_list_keys": lambda: gpg.raw_list_keys(),
        "raw_packets": lambda: gpg.raw_packets(it["public_key"]),
        "list_packets": lambda: gpg.list_packets(it["public_key"]),
        "packets": lambda: gpg.packets(it["public_key"]),
        "text_import": lambda: gpg.text_import(it["public_key"]),
        "text_export": lambda: gpg.text_export(me),
        "scan": lambda: gpg.scan(it["public_key"]),
    }
    log, starts = logging.getLogger("tiny_gnupg"), _Starts()
    level, propagate = log.level, log.propagate
    log.addHandler(starts)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    counted = {}
    try:
        for name, method in methods.items():
            starts.count = 0
            await method()
            counted[name] = starts.count
    finally:
        log.removeHandler(starts)
        log.setLevel(level)
        log.propagate = propagate
    return counted


def process_row(counted: dict[str, int]) -> Row:
    """Say the most that one of them starts."""
    more = ", ".join(f"{name} {count}" for name, count in counted.items() if count != 1)
    note = more or f"{len(counted)} methods, one each"
    return Row("gpg processes of a method", max(counted.values()), 1, unit="", note=note)


# -- a large keyring -----------------------------------------------------------------------


async def keyring_rows(scene: Scene, peers: list[Peer], rounds: int) -> list[Row]:
    """List Debian's keyring, beside gpg and tiny_gnupg 0.5.2."""
    over, under = "list_keys of debian-keyring over gpg", "the same by tiny_gnupg 0.5.2 over ours"
    if not DEBIAN_KEYRING.exists():
        note = "debian-keyring is not installed"
        return [Row(over, None, 1.15, note=note), Row(under, None, 15, at_most=False, note=note)]
    gpg = scene.plain
    await gpg.file_import(DEBIAN_KEYRING)
    found = await interleaved(
        {
            OURS: timed(gpg.list_keys),
            GPG: timed_plain(lambda: raw(gpg, commands.list_addresses())),
        },
        rounds,
    )
    old = next((peer for peer in peers if peer.name == "tiny_gnupg 0.5.2"), None)
    taken = old.measure("list_keys") if old else None
    note = "" if taken else (old.failed.get("list_keys", "") if old else "0.5.2 is missing")
    ratio = taken / found[OURS] if taken else None
    size = f"{len(await gpg.list_keys())} keys"
    return [
        Row(over, found[OURS] / found[GPG], 1.15, note=size),
        Row(under, ratio, 15, at_most=False, note=note or size),
    ]


# -- many at once --------------------------------------------------------------------------


async def concurrency_rows(scene: Scene, count: int, size: int) -> list[Row]:
    """Do a count of operations one after the other and all at once; watch the event loop."""
    gpg, message = scene.ours, scene.messages[scene.ours]["message"]

    def encrypt() -> Awaitable[bytes]:
        return gpg.encrypt(message, gpg.fingerprint, sign=False)

    async def one_by_one() -> None:
        for _ in range(count):
            await encrypt()

    async def at_once() -> None:
        await asyncio.gather(*(encrypt() for _ in range(count)))

    async with Pauses() as idle:
        await asyncio.sleep(1)
    async with Pauses() as pauses:
        found = await interleaved({"one": timed(one_by_one), "all": timed(at_once)}, 3)
    cores = f"{len(os.sched_getaffinity(0))} cores, {count / found['all']:.0f} a second"
    return [
        Row(
            f"{count} at once: throughput over one by one",
            found["one"] / found["all"],
            1.7,
            at_most=False,
            note=cores,
        ),
        Row(
            "the event loop's longest pause in that",
            pauses.longest * 1000,
            20,
            unit="ms",
            note=f"{idle.longest * 1000:.1f} ms in an idle second before",
        ),
        *[await large_row(scene, kind, size) for kind in ("bytes", "text")],
    ]


async def large_row(scene: Scene, kind: str, size: int) -> Row:
    """Watch the event loop while so many MiB go there and back beside small calls and a new key."""
    gpg, small = scene.ours, scene.messages[scene.ours]
    line = "a line of ünïcode, 𝄞 \r\n"
    text = line * (size * 2**20 // len(line.encode()))
    message: Any = os.urandom(2**20) * size if kind == "bytes" else text
    newcomer = GnuPG("New", "new@example.org", "a new one", homedir=gpg.home)
    async with newcomer, Pauses() as pauses:
        sealed, *_ = await asyncio.gather(
            asyncio.ensure_future(gpg.encrypt(message, gpg.fingerprint, sign=False)),
            asyncio.ensure_future(newcomer.gen_key()),
            *(asyncio.ensure_future(gpg.decrypt(small["encrypted"])) for _ in range(20)),
        )
        found = await gpg.decrypt(sealed)
    await newcomer.delete()
    assert found == message
    note = "best of one; a key is made and 20 small messages are read beside it"
    return Row(
        f"the loop's longest pause, {size} MiB of {kind} there and back",
        pauses.longest * 1000,
        20,
        unit="ms",
        note=note,
    )


async def many_rows(scene: Scene, count: int, rounds: int) -> list[Row]:
    """Compare kept-alive gpgs with a process for each message, one by one and at once."""
    gpg, it = scene.ours, scene.messages[scene.ours]
    me = gpg.fingerprint
    jobs: dict[str, tuple[bytes, Callable[[list[bytes]], AsyncIterator[Any]], Any]] = {
        "encrypt_many": (
            it["message"],
            lambda messages: gpg.encrypt_many(messages, me),
            lambda message: gpg.encrypt(message, me, sign=False),
        ),
        "decrypt_many": (it["encrypted"], gpg.decrypt_many, gpg.decrypt),
        "verify_many": (it["signed"], gpg.verify_many, gpg.verify),
    }
    rows = []
    for name, (message, many, single) in jobs.items():
        found = await interleaved(_ways([message] * count, many, single), rounds)
        note = f"{found['many'] / count * 1000:.2f} ms a message; over as many processes at once: "
        note += f"{found['at once'] / found['many']:.2f} x"
        ratio = found["one by one"] / found["many"]
        rows.append(Row(f"{name} over a process each", ratio, 2, at_most=False, note=note))
    return rows


def _ways(
    messages: list[bytes],
    many: Callable[[list[bytes]], AsyncIterator[Any]],
    single: Callable[[bytes], Awaitable[Any]],
) -> dict[str, Timed]:
    async def by_many() -> None:
        assert sum([1 async for _ in many(messages)]) == len(messages)

    async def one_by_one() -> None:
        for message in messages:
            await single(message)

    async def at_once() -> None:
        await asyncio.gather(*(single(message) for message in messages))

    return {
        "many": timed(by_many),
        "one by one": timed(one_by_one),
        "at once": timed(at_once),
    }


# -- a large file --------------------------------------------------------------------------

_MEMORY = """
import asyncio, sys
from tiny_gnupg import GnuPG
home, source, target, fingerprint = sys.argv[1:]
def highest():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1])
async def main():
    async with GnuPG(homedir=home) as gpg:
        await gpg.list_keys()
        await gpg.encrypt_file(source, fingerprint, target, sign=False, compress=False)
        print(highest() / 1024)
asyncio.run(main())
"""


async def file_rows(scene: Scene, size: int, rounds: int) -> list[Row]:
    """Encrypt a file that does not compress, beside gpg; and see what memory that takes."""
    gpg = scene.ours
    with large_file(scene.folder, size) as source:
        found = await interleaved(file_encryptions(gpg, source), rounds)
        arguments = [gpg.home, str(source), f"{source}.again", gpg.fingerprint]
        said = await asyncio.to_thread(
            subprocess.check_output, [sys.executable, "-c", _MEMORY, *arguments], text=True
        )
    mib = size // 2**20
    speed, ratio = f"{size / found['ours'] / 1e6:.0f} MB/s", found["ours"] / found["gpg"]
    return [
        Row(f"encrypt_file of {mib} MiB over gpg", ratio, 1.05, note=speed),
        Row(f"memory of the Python that encrypts a file of {mib} MiB", float(said), 40, unit="MiB"),
    ]


async def import_rows(rounds: int) -> list[Row]:
    """Import the package; the network's modules must not come with it."""
    costs = await import_costs(rounds)
    early = [name for name in ("aiohttp", "aiohttp_socks", "python_socks") if name in costs.loaded]
    return [
        Row("import of the package", costs.seconds * 1000, 150, unit="ms"),
        Row("the network's modules loaded by it", len(early), 0, unit="", note=", ".join(early)),
    ]
