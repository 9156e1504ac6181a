"""``python -m benchmarks.web [SECONDS [RATE]]``: a service, with gpgs started ahead and without.

50 requests a second, each begun whether those before have ended or not: the service verifies what
was sent, decrypts it, and signs its answer.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time

import aiohttp
from aiohttp import web

from tiny_gnupg import GnuPG

from .scene import MESSAGE, a_scene, warm

#: What is told of all times.
QUANTA = (0.5, 0.95, 0.99)


def application(gpg: GnuPG) -> web.Application:
    """Return the service."""

    async def answer(request: web.Request) -> web.Response:
        signed, sealed = (await request.text()).split("\0")
        await gpg.verify(signed)
        return web.Response(text=await gpg.sign(await gpg.decrypt(sealed)))

    app = web.Application()
    app.router.add_post("/", answer)
    return app


async def waited(gpg: GnuPG, body: str, seconds: float, rate: float) -> list[float]:
    """Return how long each request took, in milliseconds, the shortest first."""
    runner = web.AppRunner(application(gpg))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    times: list[float] = []
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client,
            asyncio.TaskGroup() as tasks,
        ):

            async def ask() -> None:
                begun = time.monotonic()
                async with client.post(url, data=body) as answer:
                    assert answer.status == 200
                    await answer.read()
                times.append(1000 * (time.monotonic() - begun))

            start = time.monotonic()
            for number in range(int(rate * seconds)):
                await asyncio.sleep(start + number / rate - time.monotonic())
                tasks.create_task(ask())
    finally:
        await runner.cleanup()
    return sorted(times)


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


async def main(seconds: float = 60, rate: float = 50) -> None:
    """Measure, and print."""
    async with a_scene(for_peers=False) as scene, warm(scene.ours) as ahead:
        text = MESSAGE.decode()
        signed = await scene.ours.sign(text)
        body = f"{signed}\0{await scene.ours.encrypt(text, scene.ours.fingerprint, sign=False)}"
        for how, gpg in (("at need", scene.ours), ("ahead", ahead)):
            before = _processor()
            times = await waited(gpg, body, seconds, rate)
            used = 1000 * (_processor() - before) / len(times)
            shares = " ".join(f"p{100 * p:.0f} {times[int(len(times) * p)]:.1f} ms" for p in QUANTA)
            print(
                f"started {how}: {len(times)} requests, {shares}, {used:.1f} ms of processor each"
            )


if __name__ == "__main__":
    asyncio.run(main(*map(float, sys.argv[1:])))
