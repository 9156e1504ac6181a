"""How cost grows: with the keyring, with the message, and with the callers; ours beside gpg's."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from tiny_gnupg._gpg import commands

from .scene import Scene, file_encryptions, large_file, raw
from .timing import Pauses, interleaved, timed, timed_plain

KEYS = (1, 10, 100, 1000, 10_000)
SIZES = (2**10, 2**15, 2**20, 2**25, 2**30)
CALLERS = (1, 2, 5, 20, 100, 500)
#: What each unit of growth is called in the plot.
PANELS = {
    "keys": "by keys in the keyring",
    "bytes": "by bytes of the message",
    "callers": "a message, by callers at once",
}
#: Messages up to this size are given in memory; larger ones as files.
IN_MEMORY = 2**25


@dataclass(frozen=True)
class Point:
    """One step of growth: what, how much of it, and the seconds of ours and of gpg."""

    what: str
    size: int
    ours: float
    gpg: float
    note: str = ""

    @property
    def ratio(self) -> float:
        """Ours over gpg's."""
        return self.ours / self.gpg


def panels(points: Sequence[Point]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Sort points for ``plot.lines``: a panel for each thing that grows."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for point in points:
        operation, _, unit = point.what.partition(", ")
        panel = found.setdefault(PANELS.get(unit, point.what), {})
        operation = operation.removesuffix("_file")
        panel.setdefault(f"{operation}, gpg", []).append((point.size, point.gpg))
        panel.setdefault(f"{operation}, tiny_gnupg", []).append((point.size, point.ours))
    return found


async def by_keys(scene: Scene, sizes: tuple[int, ...], rounds: int) -> list[Point]:
    """List all keys, and encrypt to one, in a keyring that grows."""
    gpg, message = scene.ours, scene.messages[scene.ours]["message"]
    me, held = gpg.fingerprint, 1
    points = []
    for size in sizes:
        if size > held:
            strangers = b"".join(_key(number) for number in range(held, size))
            raw(gpg, ["--allow-non-selfsigned-uid", "--import"], strangers)
            held = size
        found = await interleaved(
            {
                "list": timed(gpg.list_keys),
                "gpg list": timed_plain(lambda: raw(gpg, commands.list_addresses())),
                "encrypt": timed(lambda: gpg.encrypt(message, me, sign=False)),
                "gpg encrypt": timed_plain(lambda: raw(gpg, commands.encrypt([me]), message)),
            },
            rounds if size < 5000 else min(rounds, 3),
        )
        listed = len(await gpg.list_keys())
        points.append(Point("list_keys, keys", listed, found["list"], found["gpg list"]))
        points.append(Point("encrypt, keys", listed, found["encrypt"], found["gpg encrypt"]))
    return points


def _key(number: int) -> bytes:
    """Make a public key of nobody: a key packet and a user id, which is all that listing reads."""
    point = b"\x40" + hashlib.sha256(b"%d" % number).digest()
    ed25519 = bytes.fromhex("092b06010401da470f01")
    body = b"\x04" + (1_600_000_000 + number).to_bytes(4, "big") + b"\x16" + ed25519
    body += (263).to_bytes(2, "big") + point
    name = b"Nobody %d <nobody%d@example.org>" % (number, number)
    return b"\xc6" + bytes([len(body)]) + body + b"\xcd" + bytes([len(name)]) + name


async def by_size(scene: Scene, sizes: tuple[int, ...], rounds: int) -> list[Point]:
    """Encrypt messages that do not compress, in memory and then as files."""
    points = []
    for size in sizes:
        if size > IN_MEMORY:
            points.append(await _as_file(scene, size, 1 if size > 2**28 else 3))
        else:
            points.append(await _in_memory(scene, size, rounds if size < 2**24 else 3))
    return points


async def _in_memory(scene: Scene, size: int, rounds: int) -> Point:
    gpg, me, message = scene.ours, scene.ours.fingerprint, os.urandom(size)
    options = commands.encrypt([me], armor=False, compress=False)
    found = await interleaved(
        {
            "ours": timed(
                lambda: gpg.encrypt(message, me, sign=False, armor=False, compress=False)
            ),
            "gpg": timed_plain(lambda: raw(gpg, options, message)),
        },
        rounds,
    )
    return Point("encrypt, bytes", size, found["ours"], found["gpg"])


async def _as_file(scene: Scene, size: int, rounds: int) -> Point:
    with large_file(scene.folder, size) as source:
        found = await interleaved(file_encryptions(scene.ours, source), rounds)
    return Point("encrypt_file, bytes", size, found["ours"], found["gpg"])


async def by_callers(scene: Scene, callers: tuple[int, ...], messages: int) -> list[Point]:
    """Let more and more callers encrypt so many at once; a point's times are those of one."""
    gpg, message = scene.ours, scene.messages[scene.ours]["message"]
    me = gpg.fingerprint

    def encrypt() -> Awaitable[bytes]:
        return gpg.encrypt(message, me, sign=False)

    points = []
    for count in callers:
        each = max(1, messages // count)

        async def caller(each: int = each) -> None:
            for _ in range(each):
                await encrypt()

        async def all_callers(count: int = count) -> None:
            await asyncio.gather(*(caller() for _ in range(count)))

        async with Pauses() as pauses:
            found = await interleaved(
                {
                    "ours": timed(all_callers),
                    "gpg": timed_plain(lambda: raw(gpg, commands.encrypt([me]), message)),
                },
                3,
            )
        one = found["ours"] / (count * each)
        note = f"longest pause {pauses.longest * 1000:.1f} ms"
        points.append(Point("encrypt, callers", count, one, found["gpg"], note))
    return points
