"""Streams, beside the bare command line between two pipes: time, memory, and who runs ahead."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from tiny_gnupg import GnuPG
from tiny_gnupg._gpg import commands
from tiny_gnupg._process.program import OUTPUT, SECOND

from .reach import Row
from .scene import Scene, _pipe_with, large_file
from .timing import interleaved, timed, timed_plain

#: At most so much longer than gpg with the same options, and so much memory of Python.
RATIO, MEMORY = 1.10, 40.0


#: In a process of its own, whose memory has seen nothing else: its peak, and gpg's, in MiB.
_MEMORY = """
import asyncio, sys
from tiny_gnupg import GnuPG

async def main(home, source, recipient):
    async with GnuPG(homedir=home) as gpg:
        with open(source, "rb") as file:
            async for _ in gpg.encrypt_stream(file, recipient, sign=False, compress=False):
                pass

asyncio.run(main(*sys.argv[1:]))
lines = open("/proc/self/status").read().splitlines()
print(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024)
"""


async def rows(scene: Scene, size: int, rounds: int, many: int) -> list[Row]:
    """Let a file that does not compress flow through each kind of stream.

    Args:
        scene: whose keys.
        size: of the file, in bytes.
        rounds: how often each is measured.
        many: how many streams at once.
    """
    gpg = scene.ours
    with large_file(scene.folder, size) as source:
        found = []
        for name, (ours, bare) in (await _kinds(gpg, source)).items():
            times = await interleaved({"ours": timed(ours), "gpg": timed_plain(bare)}, rounds)
            note = f"{size / times['ours'] / 1e6:.0f} MB/s"
            what = f"{name} of {size // 2**20} MiB over gpg between pipes"
            found.append(Row(what, times["ours"] / times["gpg"], RATIO, note=note))
        said = await asyncio.to_thread(
            subprocess.check_output,
            [sys.executable, "-c", _MEMORY, gpg.home, str(source), gpg.fingerprint],
            text=True,
        )
    ahead = await _ahead(gpg, size)
    return [
        *found,
        Row(f"memory of the Python that lets {size // 2**20} MiB flow", float(said), MEMORY, "MiB"),
        Row("bytes that the source ran ahead of a slow consumer", ahead / 2**20, 4, "MiB"),
        Row(f"the last of {many} streams at once over their mean", await _fairness(gpg, many), 2),
    ]


async def _kinds(
    gpg: GnuPG, source: Path
) -> dict[str, tuple[Callable[[], Awaitable[object]], Callable[[], object]]]:
    """Return how each kind of stream is used, and the bare command line of the same."""
    own = gpg.fingerprint
    passphrase = (await gpg.agent_passphrase()).encode()
    sealed, signature = source.with_suffix(".sealed"), source.with_suffix(".sig")
    opened = source.with_suffix(".opened")
    encrypting = commands.encrypt([own], armor=False, compress=False)
    signing = commands.sign([own], detach=True, armor=False)
    _bare(gpg, encrypting, source, sealed)
    _bare(gpg, signing, source, signature, passphrase)
    detached = signature.read_bytes()

    async def encrypt() -> None:
        with source.open("rb") as file:
            await _drain(gpg.encrypt_stream(file, own, sign=False, compress=False))

    async def sign() -> None:
        with source.open("rb") as file:
            await _drain(gpg.sign_stream(file, detach=True))

    async def verify() -> None:
        with source.open("rb") as file:
            await gpg.verify_stream(file, detached)

    def decrypt(early: bool) -> Callable[[], Awaitable[object]]:
        async def use() -> None:
            with sealed.open("rb") as file:
                async with gpg.decrypt_stream(file, early=early) as plain:
                    await _drain(plain)

        return use

    verifying = [
        str(signature) if one == SECOND else one for one in commands.verify_detached(SECOND)
    ]
    decrypting = ["-" if one == OUTPUT else one for one in commands.decrypt(OUTPUT)]

    def bare_decrypt() -> None:
        _bare(gpg, decrypting, sealed, None, passphrase)

    def bare_decrypt_first() -> None:
        _bare(gpg, decrypting, sealed, opened, passphrase)
        subprocess.run(["cat", opened], stdout=subprocess.DEVNULL, check=True)
        opened.unlink()

    return {
        "encrypt_stream": (encrypt, lambda: _bare(gpg, encrypting, source, None)),
        "sign_stream": (sign, lambda: _bare(gpg, signing, source, None, passphrase)),
        "verify_stream": (verify, lambda: _bare(gpg, verifying, source, None)),
        "decrypt_stream(early=True)": (decrypt(True), bare_decrypt),
        # What a careful shell does, too: nothing of it is used before gpg has ended well.
        "decrypt_stream, by way of a file as gpg is,": (decrypt(False), bare_decrypt_first),
    }


def _bare(
    gpg: GnuPG, options: Sequence[str], source: Path, target: Path | None, passphrase: bytes = b""
) -> None:
    """Run gpg as a shell does between ``cat`` and ``cat``."""
    argv = gpg.command(*options)
    fds = (_pipe_with(passphrase + b"\n"),) if passphrase else ()
    argv[1:1] = [part for fd in fds for part in ("--passphrase-fd", str(fd))]
    with Path(os.devnull if target is None else target).open("wb") as written:
        first = subprocess.Popen(["cat", source], stdout=subprocess.PIPE)
        program = subprocess.Popen(
            argv,
            stdin=first.stdout,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=fds,
        )
        last = subprocess.Popen(["cat"], stdin=program.stdout, stdout=written)
        for pipe in (first.stdout, program.stdout):
            if pipe is not None:
                pipe.close()
        codes = [one.wait() for one in (first, program, last)]
    for fd in fds:
        os.close(fd)
    if any(codes):
        raise RuntimeError(f"{argv}: {codes}")


async def _drain(stream: AsyncIterable[bytes]) -> None:
    async for _ in stream:
        pass


async def _ahead(gpg: GnuPG, size: int) -> int:
    """Return how many bytes the source gave at most that were not given out, of what is copied."""
    given = taken = most = 0
    block = os.urandom(2**16)

    async def source() -> AsyncIterator[bytes]:
        nonlocal given
        while given < size:
            given += len(block)
            yield block

    async for piece in gpg.encrypt_stream(source(), gpg.fingerprint, sign=False, compress=False):
        taken += len(piece)
        most = max(most, given - taken)
        await asyncio.sleep(0.001)
    return most


async def _fairness(gpg: GnuPG, many: int) -> float:
    """Return how much later than the mean the last of many like streams ended."""
    block = os.urandom(2**20)
    loop = asyncio.get_running_loop()
    start = loop.time()

    async def one() -> float:
        await _drain(gpg.encrypt_stream([block], gpg.fingerprint, sign=False, compress=False))
        return loop.time() - start

    times = await asyncio.gather(*(one() for _ in range(many)))
    return max(times) / (sum(times) / many)
