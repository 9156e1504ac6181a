"""Mixed operations with many in flight, and what is left when they are done: nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiny_gnupg import BadSignature, DecryptionFailed, GnuPG, GnuPGError, NotOpenPGP

from .scene import Scene, warm
from .timing import Pauses

#: Growth of this process's memory that is no leak: the allocator's slack, in bytes.
SLACK = 24 * 2**20


@dataclass
class Outcome:
    """What a load did, and what it left."""

    operations: int = 0
    seconds: float = 0.0
    kinds: dict[str, int] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    longest_pause: float = 0.0
    left: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing failed and nothing is left."""
        return not self.errors and not self.left


@dataclass(frozen=True)
class Traces:
    """What this process holds: children, descriptors, temporary files, memory."""

    children: int
    descriptors: int
    files: frozenset[str]
    memory: int

    @classmethod
    def now(cls) -> Traces:
        """Look."""
        gc.collect()
        pid = os.getpid()
        children = Path(f"/proc/self/task/{pid}/children").read_text().split()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(
            children=len(children),
            descriptors=len(os.listdir("/proc/self/fd")),
            files=frozenset(
                name for name in os.listdir(tempfile.gettempdir()) if name.startswith("tiny_gnupg")
            ),
            memory=pages * os.sysconf("SC_PAGE_SIZE"),
        )

    def left_since(self, before: Traces) -> list[str]:
        """Say what there is more than before."""
        left = []
        if self.children > before.children:
            left.append(f"{self.children - before.children} processes")
        if self.descriptors > before.descriptors:
            left.append(f"{self.descriptors - before.descriptors} descriptors")
        if self.files - before.files:
            left.append(f"files: {', '.join(sorted(self.files - before.files))}")
        if self.memory - before.memory > SLACK:
            left.append(f"{(self.memory - before.memory) / 2**20:.1f} MiB of memory")
        return left


async def run_load(
    scene: Scene, *, in_flight: int, count: int | None = None, duration: float | None = None
) -> Outcome:
    """Do mixed operations, so many or for so long, and look for what they leave.

    Args:
        scene: where.
        in_flight: how many callers at once.
        count: operations, or None.
        duration: seconds, or None.
    """
    outcome = Outcome()
    with _own_temporary_files(scene.folder):
        await _load(scene, outcome, in_flight, count, duration)
    return outcome


@contextmanager
def _own_temporary_files(folder: Path) -> Iterator[None]:
    """Let temporary files lie in a folder of ours: what others leave in /tmp is not ours."""
    usual, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = usual


async def _load(
    scene: Scene, outcome: Outcome, in_flight: int, count: int | None, duration: float | None
) -> None:
    # What is opened once and stays (locks, the executor's threads) is no leak.
    for operation in _mix(scene, scene.ours).values():
        await operation()
    before, keys = Traces.now(), await scene.ours.list_keys()
    start = time.monotonic()

    def more() -> bool:
        late = duration is not None and time.monotonic() - start >= duration
        return not late and (count is None or outcome.operations < count)

    async def caller() -> None:
        while more():
            outcome.operations += 1
            name = random.choice(list(mix))
            try:
                await mix[name]()
                outcome.kinds[name] += 1
            except Exception as error:
                outcome.errors.append(f"{name}: {type(error).__name__}: {error}"[:200])

    async with warm(scene.ours) as gpg, Pauses() as pauses:
        mix = _mix(scene, gpg)
        await asyncio.gather(*(caller() for _ in range(in_flight)))
    outcome.seconds = time.monotonic() - start
    outcome.longest_pause = pauses.longest
    outcome.left = Traces.now().left_since(before)
    if await scene.ours.list_keys() != keys:
        outcome.left.append("another keyring")


def _mix(scene: Scene, gpg: GnuPG) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Return what is done: good and bad messages, readers and writers, and callers who give up."""
    it, me = scene.messages[scene.ours], gpg.fingerprint
    message, encrypted, signed = it["message"], it["encrypted"], it["signed"]
    cut = encrypted[: len(encrypted) // 2]

    async def crosses() -> None:
        assert await gpg.decrypt(await gpg.encrypt(message, me)) == message

    async def damaged() -> None:
        await _fails(gpg.decrypt(cut), DecryptionFailed, NotOpenPGP, BadSignature)

    async def rubbish() -> None:
        await _fails(gpg.text_import("rubbish"), GnuPGError)

    async def cancelled() -> None:
        task = asyncio.ensure_future(gpg.decrypt(encrypted))
        await asyncio.sleep(random.random() * 0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def many() -> None:
        assert [one async for one in gpg.decrypt_many([encrypted] * 3)] == [message] * 3

    async def stopped() -> None:
        results = gpg.encrypt_many([message] * 3, me)
        await anext(results)
        await results.aclose()

    return {
        "encrypt and decrypt": crosses,
        "encrypt": lambda: gpg.encrypt(message, me, sign=False),
        "decrypt": lambda: gpg.decrypt(encrypted),
        "sign": lambda: gpg.sign(message),
        "verify": lambda: gpg.verify(signed),
        "list_keys": lambda: gpg.list_keys(),
        "text_import": lambda: gpg.text_import(it["public_key"]),
        "text_export": lambda: gpg.text_export(me),
        "damaged": damaged,
        "rubbish": rubbish,
        "cancelled": cancelled,
        "decrypt_many": many,
        "stopped early": stopped,
    }


async def _fails(awaitable: Awaitable[object], *kinds: type[Exception]) -> None:
    try:
        await awaitable
    except kinds:
        return
    raise AssertionError("what is damaged was taken for good")
