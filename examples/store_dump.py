"""Send what a program writes to an object store, encrypted on the way, in parts.

    python store_dump.py --home HOME --to KEY URL pg_dump mydb
    python store_dump.py --home HOME --to KEY URL tar -cf - FOLDER

Nothing lies on the disk, and memory holds one part. The parts are an S3 multipart upload (a real
store wants its requests signed). Where the store fails, all is done once more; where the program
fails, nothing is stored: a dump that was cut off is no dump.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress

import aiohttp

from tiny_gnupg import GnuPG

#: What S3 wants a part to have at least, but for the last one.
PART = 5 * 2**20
TRIES, PAUSE = 3, 1.0


class ProgramFailed(Exception):
    """The program did not end well: what it wrote is not all."""


async def output_of(command: Sequence[str]) -> AsyncGenerator[bytes, None]:
    """Run a program, and give what it writes; raise at the end where it failed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    if process.stdout is None:
        raise ProgramFailed("it has no output")
    try:
        while piece := await process.stdout.read(2**18):
            yield piece
        if code := await process.wait():
            raise ProgramFailed(f"{command[0]} ended with {code}")
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with those that it started
            await process.communicate()  # asyncio waits for the end of the output, too


async def in_parts(stream: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Give a stream in parts of one size; the last is what is left."""
    part = bytearray()
    async for piece in stream:
        part += piece
        while len(part) >= PART:
            yield bytes(part[:PART])
            del part[:PART]
    yield bytes(part)


async def store(session: aiohttp.ClientSession, url: str, stream: AsyncIterator[bytes]) -> int:
    """Upload a stream as one object, which appears whole or not at all; return its parts."""
    async with session.post(f"{url}?uploads") as answer:
        found = re.search(r"<UploadId>([^<]+)</UploadId>", await answer.text())
    if found is None:
        raise aiohttp.ClientPayloadError("the store began no upload")
    upload = {"uploadId": found[1]}
    tags: list[str] = []
    try:
        async with aclosing(in_parts(stream)) as parts:
            async for part in parts:
                place = {"partNumber": str(len(tags) + 1), **upload}
                async with session.put(url, params=place, data=part) as answer:
                    tags.append(answer.headers["ETag"])
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
            for number, tag in enumerate(tags, 1)
        )
        whole = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"
        async with session.post(url, params=upload, data=whole):
            return len(tags)
    except BaseException:
        async with session.delete(url, params=upload, raise_for_status=False):
            raise


async def work(arguments: argparse.Namespace) -> None:
    """Run the program, and store what it writes; once more where the store fails."""
    async with (
        GnuPG(homedir=arguments.home) as gpg,
        aiohttp.ClientSession(raise_for_status=True) as session,
    ):
        for left in reversed(range(TRIES)):
            dump = output_of(arguments.command)
            sealed = gpg.encrypt_stream(dump, arguments.to, sign=False)
            try:
                async with aclosing(dump), aclosing(sealed):
                    print(await store(session, arguments.url, sealed), "parts")
                    return
            except aiohttp.ClientError as error:
                print(f"the store failed: {error}", file=sys.stderr)
                if not left:
                    raise
            await asyncio.sleep(PAUSE)


def main() -> None:
    """Read the arguments and work."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", required=True)
    parser.add_argument("--to", required=True, help="the recipient: fingerprint or address")
    parser.add_argument("url")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    try:
        asyncio.run(work(parser.parse_args()))
    except ProgramFailed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
