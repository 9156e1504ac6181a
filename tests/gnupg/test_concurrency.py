"""Many at once: the event loop stays free, one instance serves a crowd, and two processes share."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.instances import ALICE, BOB, MakeGnuPG, PlainGpg, alice_at, cheap
from tests.proc import children
from tiny_gnupg import GnuPG, GnuPGTimeout

CHECKOUT = Path(__file__).parents[2]
#: The longest pause of the event loop that is allowed (seconds).
PAUSE = 0.020


class Ticker:
    """Tells how long the event loop was not free, in all (``wall``), and by our doing (``own``).

    Whether other processes have the processor is not our doing. So what does not count as ours is
    the time that the scheduler let this thread wait though it was ready, and, while a program was
    started, the time that its start waited. What we computed or waited for ourselves counts.
    """

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.own: list[float] = []
        self.starting = 0.0

    async def watch(self, work: Coroutine[Any, Any, Any]) -> float:
        """Run ``work``, and give the longest pause meanwhile that was our doing (seconds)."""
        # Coverage's tracing takes CPython's way to let a string grow in its place.
        tracing = sys.gettrace()
        sys.settrace(None)
        ticking = asyncio.ensure_future(self._tick())
        await asyncio.sleep(0)
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(subprocess, "Popen", self._timed(subprocess.Popen))
                await work
            await asyncio.sleep(0.005)
        finally:
            ticking.cancel()
            sys.settrace(tracing)
        assert len(self.own) > 5, "the ticker did not run beside the work"
        return max(self.own)

    async def _tick(self) -> None:
        while True:
            began, others = time.perf_counter(), waited_for_processor() + self.starting
            await asyncio.sleep(0.001)
            late = time.perf_counter() - began - 0.001
            self.wall.append(late)
            self.own.append(late - (waited_for_processor() + self.starting - others))

    def _timed(self, popen: Any) -> Any:
        def start(*arguments: Any, **options: Any) -> Any:
            began, others = time.perf_counter(), time.thread_time() + waited_for_processor()
            try:
                return popen(*arguments, **options)
            finally:
                ours = time.thread_time() + waited_for_processor() - others
                self.starting += max(0.0, time.perf_counter() - began - ours)

        return start


def waited_for_processor() -> float:
    """Return the seconds that this thread was ready to run and did not (proc(5), schedstat)."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except FileNotFoundError:  # a kernel without these figures
        return 0.0


@pytest.mark.timed
async def test_the_ticker_sees_what_blocks() -> None:
    async def compute() -> None:
        await asyncio.sleep(0.05)
        end = time.thread_time() + 0.04
        while time.thread_time() < end:
            pass

    async def wait() -> None:
        await asyncio.sleep(0.05)
        time.sleep(0.04)

    assert await Ticker().watch(compute()) > PAUSE
    assert await Ticker().watch(wait()) > PAUSE
    assert min([await Ticker().watch(asyncio.sleep(0.05)) for _ in range(3)]) < PAUSE


@pytest.mark.timed
@pytest.mark.parametrize("kind", ["bytes", "text"])
async def test_the_loop_is_free_while_a_great_deal_is_done(
    alice: GnuPG, bob: GnuPG, kind: str, figures: Callable[[str], None]
) -> None:
    line = "a line of ünïcode, 𝄞 \r\n"
    text = line * (64 * 2**20 // len(line.encode()))
    message = os.urandom(2**20) * 64 if kind == "bytes" else text
    signed = await alice.sign("small")
    sealed = await alice.encrypt("small")
    large: list[bytes | str] = []

    async def everything() -> None:
        newcomer = GnuPG("New", "new@example.org", "a new one", homedir=alice.home)
        async with newcomer:
            large[:], *_ = await asyncio.gather(
                asyncio.gather(alice.encrypt(message, BOB, compress=False)),
                newcomer.gen_key(),
                *(alice.encrypt("small", BOB) for _ in range(20)),
                *(bob.verify(signed) for _ in range(15)),
                *(alice.decrypt(sealed) for _ in range(10)),
                *(alice.list_keys() for _ in range(5)),
            )
            await newcomer.delete()
        large[:] = [await bob.decrypt(large[0])]

    gc.collect()
    gc.freeze()  # what other tests left in memory is none of this one's doing
    best, wall = 1.0, 1.0
    for _ in range(6):  # the best of some: a busy machine adds pauses that are not ours
        large.clear()  # to give back so much memory takes some milliseconds
        ticker = Ticker()
        best = min(best, await ticker.watch(everything()))
        wall = min(wall, max(ticker.wall))
        if best < PAUSE:
            break
    gc.unfreeze()
    figures(
        f"longest pause of the event loop, while 64 MiB of {kind} are encrypted and decrypted, "
        f"a key is made and 50 small calls run: {best * 1000:.1f} ms "
        f"({wall * 1000:.1f} ms with what other processes took)"
    )
    # Not in the measured part: to compare so much takes longer than a pause may be.
    assert (large[0] == message, best < PAUSE) == (True, True)


async def test_a_hundred_at_once_on_one_instance(alice: GnuPG) -> None:
    async def there_and_back(number: int) -> None:
        text = f"message {number} " + "x" * number * 100
        assert await alice.decrypt(await alice.encrypt(text)) == text

    await asyncio.gather(*map(there_and_back, range(100)))


async def test_no_more_run_at_once_than_the_limit_says(
    alices_home: Path, make_gnupg: MakeGnuPG
) -> None:
    gpg = make_gnupg(alice_at, alices_home, limit=3)
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, len(children()))
            await asyncio.sleep(0.0005)

    watching = asyncio.ensure_future(watch())
    await asyncio.gather(*(gpg.encrypt("x" * 200_000, BOB, sign=False) for _ in range(20)))
    watching.cancel()
    assert 1 < most <= 3


async def test_readers_never_see_an_empty_keyring_while_it_is_written(
    alice: GnuPG, bob: GnuPG, make_gnupg: MakeGnuPG
) -> None:
    key = await bob.text_export()
    reader = make_gnupg(alice_at)
    writing = True
    seen = []

    async def write() -> None:
        nonlocal writing
        for _ in range(8):
            await alice.delete(bob.fingerprint)
            await alice.text_import(key)
        writing = False

    async def read() -> None:
        while writing:
            seen.append(await reader.list_keys())

    await asyncio.gather(write(), read(), read())
    assert seen
    assert all(alice.fingerprint in found for found in seen)


IMPORTS = """
import asyncio, pathlib, sys
from tiny_gnupg import GnuPG

async def main():
    home, *files = sys.argv[1:]
    async with GnuPG(homedir=home) as gpg:
        print("ready", flush=True)
        sys.stdin.readline()
        results = await asyncio.gather(*map(gpg.file_import, files))
        assert [found.imported for found in results] == [1] * len(files), results

asyncio.run(main())
"""


async def test_two_processes_import_twenty_keys_into_one_home(
    home: Path, plain_gpg: Callable[..., PlainGpg], tmp_path: Path
) -> None:
    cheap(home)
    elsewhere = plain_gpg()
    files = []
    for number in range(20):
        user_id = f"k{number}@example.org"
        fingerprint = elsewhere.new_key(user_id, algorithm="ed25519", usage="sign")
        path = tmp_path / f"{fingerprint}.asc"
        path.write_bytes(elsewhere.run("--armor", "--export", fingerprint).stdout)
        files.append(path)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", IMPORTS, str(home), *half],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for half in (files[::2], files[1::2])
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        _, errors = await asyncio.to_thread(child.communicate)
        assert (child.returncode, errors) == (0, "")
    async with GnuPG(homedir=home) as gpg:
        assert {f"{path.stem}" for path in files} == set(await gpg.list_keys())
        checked = await gpg.read_output(gpg.command("--with-colons", "--check-sigs"))
        assert checked.count("\nsig:!:") == 20


async def test_a_writer_is_not_kept_out_by_a_stream_of_readers(alice: GnuPG) -> None:
    stop = False

    async def read() -> None:
        while not stop:
            await alice.list_keys()

    readers = [asyncio.ensure_future(read()) for _ in range(8)]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        await alice.trust(BOB, 3)
    stop = True
    await asyncio.gather(*readers)


async def test_a_cancelled_call_ends_its_gpg_and_gives_back_its_turn_and_lock(
    alices_home: Path, make_gnupg: MakeGnuPG
) -> None:
    gpg = make_gnupg(alice_at, alices_home, limit=1)
    await gpg.list_keys()
    message = os.urandom(2**20) * 16
    for wait in (0, 0.001, 0.01, 0.05, 0.1):
        task = asyncio.ensure_future(gpg.encrypt(message, BOB))
        await asyncio.sleep(wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert children() == set()
    async with asyncio.timeout(10):
        await gpg.trust(BOB, 4)


async def test_a_timeout_ends_its_gpg(alices_home: Path, make_gnupg: MakeGnuPG) -> None:
    gpg = make_gnupg(alice_at, alices_home, timeout=0.2)
    with pytest.raises(GnuPGTimeout, match=r"0\.2 s"):
        await gpg.encrypt(os.urandom(2**20) * 64, BOB)
    assert children() == set()
    assert set((await gpg.list_keys()).values()) == {ALICE, BOB}


async def test_a_cancelled_key_generation_leaves_no_half_a_key(alice: GnuPG) -> None:
    before = await alice.list_keys()
    for wait in (0.02, 0.05, 0.08, 0.12):
        task = asyncio.ensure_future(alice.gen_key())
        await asyncio.sleep(wait)
        task.cancel()
        try:
            made = await task
        except asyncio.CancelledError:
            continue
        await alice.delete(made)
    keys = await alice.keys()
    assert {key.fingerprint for key in keys} == set(before)
    stored = {path.stem for path in Path(alice.home, "private-keys-v1.d").glob("*.key")}
    [own] = [key for key in keys if key.secret]
    assert stored == {own.keygrip, *(subkey.keygrip for subkey in own.subkeys)}
