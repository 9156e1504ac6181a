"""A small message that inflates without end: bounded memory, and a clear error."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.instances import PlainGpg, alice_at
from tiny_gnupg import GnuPG, GnuPGError, OutputTooLarge
from tiny_gnupg._process.program import run_program

GIB = 2**30
LIMIT = 2**24
#: Bytes that a call may cost over its bound: buffers, and what Python keeps.
SPARE = 5 * LIMIT


def bomb(size: int, head: bytes = b"\xafb\0" + bytes(4), block: bytes = bytes(2**20)) -> bytes:
    """Make a message of a few KB that inflates to ``size`` bytes.

    Deflated data can be cut where all was flushed, so one piece stands for each block; and as the
    pieces are the same, the whole is deflated once more.
    """
    deflate = zlib.compressobj(9, wbits=-15)
    start = deflate.compress(head) + deflate.flush(zlib.Z_FULL_FLUSH)
    piece = deflate.compress(block) + deflate.flush(zlib.Z_FULL_FLUSH)
    inner = b"\xa3\x01" + start + piece * (size // len(block)) + deflate.flush()
    outer = zlib.compressobj(9, wbits=-15)
    return b"\xa3\x01" + outer.compress(inner) + outer.flush()


MEASURED = """
import asyncio, resource, sys
from pathlib import Path
from tests.instances import alice_at
from tiny_gnupg import OutputTooLarge

async def main():
    message = Path(sys.argv[2]).read_bytes()
    async with alice_at(Path(sys.argv[1]), max_output=int(sys.argv[3])) as gpg:
        call = getattr(gpg, sys.argv[4])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            await call(message)
        except OutputTooLarge as error:
            print("refused:", error)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print((after - before) * 1024)

asyncio.run(main())
"""


@pytest.mark.parametrize("method", ["decrypt", "decrypt_verify", "verify"])
@pytest.mark.parametrize("sealed", [False, True])
async def test_memory_is_bounded(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg], tmp_path: Path, method: str, sealed: bool
) -> None:
    message = bomb(10 * GIB)
    assert len(message) < 10**6
    if sealed:
        raw = ("--no-literal", "--trust-model", "always", "-r", alice.fingerprint, "--encrypt")
        message = plain_gpg(home=Path(alice.home)).run(*raw, stdin=message).stdout
    file = tmp_path / "bomb"
    file.write_bytes(message)
    arguments = [alice.home, str(file), str(LIMIT), method]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments], capture_output=True, text=True, check=False
    )
    if sealed and method == "verify":
        assert "NotSigned" in done.stderr
        return
    refused, growth = done.stdout.splitlines()
    assert refused.startswith("refused: more than")
    assert int(growth) < LIMIT + SPARE


@pytest.mark.usefixtures("both_ways")
async def test_a_file_has_its_own_bound(alice: GnuPG, tmp_path: Path) -> None:
    source, output = tmp_path / "bomb", tmp_path / "output"
    source.write_bytes(bomb(GIB // 4))
    with pytest.raises(OutputTooLarge):
        await alice.decrypt_file(source, output, max_output=LIMIT)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.usefixtures("both_ways")
async def test_packets_of_one_are_told_in_bounds(alice: GnuPG) -> None:
    async with alice_at(Path(alice.home), max_output=LIMIT) as gpg:
        for reading in (gpg.packets, gpg.raw_packets, gpg.packet_fingerprint, gpg.scan):
            try:
                found = await reading(bomb(GIB // 8))
            except (GnuPGError, OutputTooLarge):
                continue
            assert len(repr(found)) < LIMIT


@pytest.mark.usefixtures("both_ways")
async def test_an_import_of_one_ends(alice: GnuPG) -> None:
    with pytest.raises(GnuPGError):
        await alice.text_import(bomb(GIB // 4))


TALKING = "import os, sys\nwhile True: os.write({channel}, b'told\\n' * 4096)"


@pytest.mark.parametrize("channel", ["2", "int(sys.argv[2])"])
async def test_what_gpg_tells_is_bounded_too(channel: str) -> None:
    """A message with millions of packets makes gpg tell of each: on stderr, on the status pipe."""
    with pytest.raises(OutputTooLarge):
        await run_program(
            [sys.executable, "-c", TALKING.format(channel=channel)], slot=3, timeout=30
        )
