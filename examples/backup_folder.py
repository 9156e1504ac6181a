"""Back a folder up into one encrypted file, and bring it back.

    python backup_folder.py backup --home HOME --to KEY FOLDER FILE.tar.gpg
    python backup_folder.py restore --home HOME FILE.tar.gpg FOLDER

Only public keys are needed to back up. The archive is made on the way into gpg: it is never on the
disk in the clear, and memory does not grow with it. A restore verifies all before it unpacks.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import tarfile
from pathlib import Path, PurePath
from typing import Any

from tiny_gnupg import GnuPG, Plaintext


async def backup(gpg: GnuPG, folder: Path, to: str, target: Path) -> Path:
    """Encrypt a folder.

    Args:
        gpg: whose keyring has the recipient.
        folder: what to back up.
        to: the recipient's fingerprint or address.
        target: the file to write; it appears whole or not at all.
    """
    reader, writer = os.pipe()
    packing = asyncio.create_task(asyncio.to_thread(_pack, folder, writer))
    try:
        return await gpg.encrypt_file(f"/dev/fd/{reader}", to, target, sign=False)
    finally:
        # Where gpg gave up, this is what ends the packing.
        os.close(reader)
        await packing


def _pack(folder: Path, writer: int) -> None:
    try:
        with (
            os.fdopen(writer, "wb") as stream,
            tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive,
        ):
            archive.add(folder, arcname=".")
    except BrokenPipeError:
        pass


class _Reader(io.RawIOBase):
    """What a thread reads of a plaintext that comes by the event loop."""

    def __init__(self, plain: Plaintext) -> None:
        self._plain, self._loop = plain, asyncio.get_running_loop()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        coming = self._plain.read(len(buffer))
        piece = asyncio.run_coroutine_threadsafe(coming, self._loop).result()
        buffer[: len(piece)] = piece
        return len(piece)


async def restore(gpg: GnuPG, source: Path, folder: Path) -> None:
    """Decrypt a backup and unpack it into a folder that is not there yet.

    Until all of it was found good, it lies in a file beside the folder that has no name.
    """
    await asyncio.to_thread(folder.mkdir, mode=0o700)
    with source.open("rb") as file:
        async with gpg.decrypt_stream(file, spool=folder.parent) as plain:
            await asyncio.to_thread(_unpack, _Reader(plain), folder)


def _unpack(plain: _Reader, folder: Path) -> None:
    with tarfile.open(fileobj=io.BufferedReader(plain, 2**20), mode="r|") as archive:
        # No absolute paths, no links that lead out, no devices.
        if hasattr(tarfile, "data_filter"):
            archive.extractall(folder, filter="data")
            return
        for member in archive:
            _require_inside(member)
            archive.extract(member, folder)


def _require_inside(member: tarfile.TarInfo) -> None:
    """Do what the filter ``data`` does, for Python before 3.11.4, which has no filters."""
    names = [member.name] + ([member.linkname] if member.issym() or member.islnk() else [])
    for name in map(PurePath, names):
        if name.is_absolute() or ".." in name.parts or member.isdev():
            raise ValueError(f"this archive would write outside of the folder: {member.name}")


async def work(arguments: argparse.Namespace) -> None:
    """Do what the arguments say."""
    secret = os.environ.get("BACKUP_PASSPHRASE", "")
    async with GnuPG(passphrase=secret, homedir=arguments.home) as gpg:
        if arguments.what == "backup":
            await backup(gpg, arguments.source, arguments.to, arguments.target)
        else:
            await restore(gpg, arguments.source, arguments.target)


def main() -> None:
    """Read the arguments and work."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["backup", "restore"])
    parser.add_argument("--home", required=True)
    parser.add_argument("--to", default="", help="the recipient: fingerprint or address")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    asyncio.run(work(parser.parse_args()))


if __name__ == "__main__":
    main()
