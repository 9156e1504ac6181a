"""One message that takes long, and one import that waits for its end.

A writer that waited let no reader in, so a stranger's slow message and one import behind it held up
every call of a service, in all its processes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, alice_at, gpg_behind
from tiny_gnupg import GnuPG


@asynccontextmanager
async def slow_and_waiting(gpg: GnuPG, folder: Path, block: str) -> AsyncIterator[None]:
    """Have a gpg at work that does not come to its end, and a writer that waits for it."""
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    slowly = f'case " $* " in *" --decrypt "*) cat {pipe};; esac'
    program = gpg_behind(folder / "gpg", slowly)
    async with alice_at(Path(gpg.home), executable=program) as reader:
        slow = asyncio.ensure_future(reader.decrypt(await gpg.encrypt("slow", ALICE)))
        source = await asyncio.to_thread(os.open, pipe, os.O_WRONLY)  # now it is at work
        writer = asyncio.ensure_future(gpg.text_import(block))
        await asyncio.sleep(0.5)
        assert not slow.done()
        assert not writer.done()
        try:
            yield
        finally:
            os.close(source)
            assert (await asyncio.gather(slow, writer))[0] == "slow"


@pytest.mark.parametrize("whose", ["the same instance", "another instance"])
async def test_every_other_reader_goes_on(
    alice: GnuPG, bob: GnuPG, tmp_path: Path, whose: str
) -> None:
    block, signed = await bob.text_export(), await alice.sign("text")
    async with alice_at(Path(alice.home)) as other:
        reader = alice if whose == "the same instance" else other
        async with slow_and_waiting(alice, tmp_path, block), asyncio.timeout(120):
            message = await reader.encrypt("x", BOB)
            assert await bob.decrypt(message) == "x"
            assert await reader.decrypt(await reader.encrypt("y", ALICE)) == "y"
            assert (await reader.verify(signed)).data == b"text"
            assert len(await reader.keys()) == 2
            assert await reader.text_export(BOB)
            found = [one async for one in reader.verify_many([signed] * 5)]
            assert len(found) == 5
