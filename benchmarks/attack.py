"""``python -m benchmarks.attack [SECONDS]``: the example's service with strangers and without.

Honest people ask 20 times a second, for the key or with a signed upload in turn. Then they do so
beside strangers who post 20 hostile messages a second: floods, bombs, and all odd data of the
tests. Told is how long the honest wait, and what the strangers are answered.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.attacks.test_small_message_that_is_much_work import FLOODS, FORMS
from tests.vectors.oddities import GROUPS, Material
from tiny_gnupg import GnuPG
from tiny_gnupg._openpgp.armor import dearmor

ROOT = Path(__file__).parents[1]
#: Requests a second, of the honest and of the strangers.
RATE = 20


@asynccontextmanager
async def service(folder: Path) -> AsyncIterator[str]:
    """Run the example; gives its URL."""
    example, home, store = ROOT / "examples" / "upload_service.py", folder / "h", folder / "s"
    options = ["--home", str(home), "--store", str(store), "--port", "0"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(example), *options),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{(await process.stdout.readline()).split()[-1].decode()}"
    finally:
        process.send_signal(signal.SIGINT)
        await process.wait()


async def hostile(person: GnuPG, uid: str) -> list[bytes]:
    """Return all messages of the strangers."""
    armored = {
        "encrypted": (await person.encrypt("x" * 999, uid)).encode(),
        "signed": (await person.sign("x" * 999)).encode(),
        "public key": (await person.text_export()).encode(),
        "detached signature": (await person.sign("x" * 999, detach=True)).encode(),
    }
    material = Material(armored, {name: dearmor(data) for name, data in armored.items()})
    found = [form(make()) for make in FLOODS.values() for form in FORMS.values()]
    for group in GROUPS.values():
        with suppress(KeyError):  # what is made of a secret key
            found += [data for _, data in group(material)]
    random.Random(18).shuffle(found)
    return found


async def every(calls: Iterator[Callable[[], Coroutine[Any, Any, None]]], seconds: float) -> None:
    """Begin a call so many times a second, whether those before have ended or not."""
    begun = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(RATE * seconds)):
            await asyncio.sleep(begun + number / RATE - time.monotonic())
            tasks.create_task(next(calls)())


async def main(seconds: float) -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory(prefix="at") as name:
        folder = Path(name)
        async with (
            GnuPG("Pat", "pat@example.org", homedir=folder / "p") as person,
            service(folder) as url,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client,
        ):
            await person.gen_key()
            async with client.get(f"{url}/key") as answer:
                (uid,) = (await person.text_import(await answer.text())).fingerprints
            async with GnuPG(homedir=folder / "h") as admin:
                await admin.text_import(await person.text_export())
            upload, posts = await person.encrypt(b"x" * 1000, uid), await hostile(person, uid)
            waited: list[float] = []
            told: Counter[int] = Counter()

            async def ask(data: bytes | None) -> int:
                method, path = ("GET", "/key") if data is None else ("POST", "/upload")
                async with client.request(method, url + path, data=data) as answer:
                    await answer.read()
                    return answer.status

            async def honest(data: bytes | None) -> None:
                begun = time.monotonic()
                assert await ask(data) in (200, 201)
                waited.append(time.monotonic() - begun)

            async def strange(data: bytes) -> None:
                told[await ask(data)] += 1

            asking = (lambda data=data: honest(data) for data in itertools.cycle((None, upload)))
            posting = (lambda data=data: strange(data) for data in itertools.cycle(posts))
            for strangers in (False, True):
                waited.clear()
                beside = [every(posting, seconds)] if strangers else []
                await asyncio.gather(every(asking, seconds), *beside)
                times = sorted(1000 * one for one in waited)
                shown = (
                    f"{share}: {times[int(len(times) * share)]:.0f} ms" for share in (0.5, 0.99)
                )
                who = "beside strangers" if strangers else "alone"
                print(f"{who}: {len(times)} honest requests", *shown, f"longest {times[-1]:.0f} ms")
            print(f"{told.total()} of {len(posts)} messages of strangers:", dict(told))


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60))
