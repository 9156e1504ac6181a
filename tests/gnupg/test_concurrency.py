"""Many at once: the event loop stays free, one instance serves a crowd, and two processes share."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, MakeGnuPG, PlainGpg, alice_at, cheap
from tests.proc import children
from tiny_gnupg import GnuPG, GnuPGTimeout

CHECKOUT = Path(__file__).parents[2]


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
import tests.instances  # its home may cost little
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
    patient = make_gnupg(alice_at, alices_home)
    assert set((await patient.list_keys()).values()) == {ALICE, BOB}


async def test_a_cancelled_key_generation_leaves_no_half_a_key(alice: GnuPG) -> None:
    before = await alice.list_keys()
    for wait in (0.02, 0.05, 0.08, 0.12):
        task = asyncio.ensure_future(alice.gen_key())
        await asyncio.sleep(wait)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    keys = await alice.keys()
    assert set(before) <= {key.fingerprint for key in keys}
    # One that was cancelled in its last step is there, whole.
    own = [key for key in keys if key.secret]
    assert {len(key.subkeys) for key in own} == {3}
    grips = {key.keygrip for key in own}
    grips |= {subkey.keygrip for key in own for subkey in key.subkeys}
    stored = {path.stem for path in Path(alice.home, "private-keys-v1.d").glob("*.key")}
    assert stored == grips
