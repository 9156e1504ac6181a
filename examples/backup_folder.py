"""Back a folder up into one encrypted file, and bring it back.

    python backup_folder.py backup --home HOME --to KEY FOLDER FILE.tar.gpg
    python backup_folder.py restore --home HOME FILE.tar.gpg FOLDER

Only public keys are needed to back up. The archive is made on the way into gpg: it is never on the
disk in the clear, and memory does not grow with it. A restore verifies all before it unpacks.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tarfile
import tempfile
from pathlib import Path, PurePath

from tiny_gnupg import GnuPG


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


async def restore(gpg: GnuPG, source: Path, folder: Path) -> None:
    """Decrypt a backup and unpack it into a folder that is not there yet."""
    await asyncio.to_thread(folder.mkdir, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
        archive = await gpg.decrypt_file(source, Path(aside) / "backup.tar")
        await asyncio.to_thread(_unpack, archive, folder)


def _unpack(file: Path, folder: Path) -> None:
    with tarfile.open(file) as archive:
        # No absolute paths, no links that lead out, no devices.
        if hasattr(tarfile, "data_filter"):
            archive.extractall(folder, filter="data")
        else:
            _require_inside(archive.getmembers())
            archive.extractall(folder)  # noqa: S202 - each member was looked at


def _require_inside(members: list[tarfile.TarInfo]) -> None:
    """Do what the filter ``data`` does, for Python before 3.11.4, which has no filters."""
    for member in members:
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
