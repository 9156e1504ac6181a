"""What the measurements work on: homes, keys and messages, gone when they are done."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tiny_gnupg import GnuPG
from tiny_gnupg._gpg import commands
from tiny_gnupg._home.protection import Scheme
from tiny_gnupg._process.program import SECOND

from .timing import Timed, timed, timed_plain

EMAIL, PASSPHRASE = "bench@example.org", "a passphrase of some length"
#: A kibibyte of text that compresses as letters do.
MESSAGE = "".join(f"{number:>5} lines of a letter.\n" for number in range(40))[:1024].encode()


@dataclass
class Scene:
    """Two homes with a key each, and messages.

    ``ours`` is protected the way that this library does it by default, ``plain`` the way that gpg
    does it by itself; both start each gpg at need (see ``warm``). The messages and the key of
    ``setting`` are those of ``plain``.
    """

    ours: GnuPG
    plain: GnuPG
    messages: dict[GnuPG, dict[str, bytes]]
    setting: dict[str, str]
    folder: Path


@asynccontextmanager
async def a_scene(*, for_peers: bool, executable: str | Path | None = None) -> AsyncIterator[Scene]:
    """Make the scene, and take it away.

    Args:
        for_peers: make the home with gpg's protection, and what peers need; that takes a while.
            Without it ``plain`` is ``ours``.
        executable: the gpg; default: the library's.
    """
    async with AsyncExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="tgb", dir="/tmp"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        ours = await stack.enter_async_context(_identity(folder / "ours", "scrypt", executable))
        scene = Scene(ours, ours, {ours: await _messages(ours)}, {}, folder)
        if for_peers:
            plain = await stack.enter_async_context(
                _identity(folder / "plain", "gnupg", executable)
            )
            scene.plain, scene.messages[plain] = plain, await _messages(plain)
            scene.setting = await _setting(plain, scene.messages[plain], folder)
        yield scene


async def _setting(plain: GnuPG, messages: dict[str, bytes], folder: Path) -> dict[str, str]:
    """Write down for the peers what they work with."""
    _for_0_5_2(Path(plain.home), plain.executable)
    secret_key = (await plain.text_export(secret=True)).encode()
    setting = {
        "home": plain.home,
        "gpg": plain.executable,
        "passphrase": PASSPHRASE,
        "fingerprint": plain.fingerprint,
        "email": EMAIL,
    }
    for name, data in {**messages, "secret_key": secret_key}.items():
        (folder / name).write_bytes(data)
        setting[name] = str(folder / name)
    return setting


@asynccontextmanager
async def _identity(
    home: Path, protection: Scheme, executable: str | Path | None
) -> AsyncIterator[GnuPG]:
    async with GnuPG(
        *("Bench", EMAIL, PASSPHRASE),
        homedir=home,
        protection=protection,
        executable=executable,
        warm=False,
    ) as gpg:
        await gpg.gen_key()
        yield gpg


@asynccontextmanager
async def warm(cold: GnuPG) -> AsyncIterator[GnuPG]:
    """Give an instance in a scene's home whose gpgs are started ahead."""
    async with GnuPG("Bench", EMAIL, PASSPHRASE, homedir=cold.home) as gpg:
        await gpg.set_fingerprint(cold.fingerprint)
        await gpg.agent_passphrase()  # is stretched once
        yield gpg


async def _messages(gpg: GnuPG) -> dict[str, bytes]:
    return {
        "message": MESSAGE,
        "encrypted": await gpg.encrypt(MESSAGE, gpg.fingerprint, sign=False),
        "signed": await gpg.sign(MESSAGE),
        "detached": await gpg.sign(MESSAGE, detach=True),
        "public_key": (await gpg.text_export()).encode(),
    }


def _for_0_5_2(home: Path, executable: str) -> None:
    """Put into a home what tiny_gnupg 0.5.2 looks for in it."""
    (home / "gpg2").symlink_to(executable)
    (home / "gpg2.conf").write_text("no-random-seed-file\n")


def _pipe_with(data: bytes) -> int:
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return reader


def raw(
    gpg: GnuPG,
    options: Sequence[str],
    data: bytes = b"",
    passphrase: bytes = b"",
    second: bytes = b"",
) -> bytes:
    """Run the bare gpg command line with the same options as ours, by subprocess alone."""
    argv = gpg.command(*options)
    inherited: tuple[int, ...] = ()
    if passphrase:
        inherited = (_pipe_with(passphrase + b"\n"),)
        argv[1:1] = ["--passphrase-fd", str(inherited[0])]
    if second:
        inherited += (_pipe_with(second),)
        argv = [f"-&{inherited[-1]}" if argument == SECOND else argument for argument in argv]
    try:
        done = subprocess.run(
            argv, input=data, capture_output=True, pass_fds=inherited, check=False
        )
    finally:
        for fd in inherited:
            os.close(fd)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode(errors="replace")[-300:])
    return done.stdout


@contextmanager
def large_file(folder: Path, size: int) -> Iterator[Path]:
    """Write a file that does not compress, and remove it and all that was made of it."""
    source = folder / "large"
    block = os.urandom(2**20)
    with source.open("wb") as file:
        for start in range(0, size, len(block)):
            file.write(block[: size - start])
    try:
        yield source
    finally:
        for path in folder.glob(f"{source.name}*"):
            path.unlink()


def file_encryptions(gpg: GnuPG, source: Path) -> dict[str, Timed]:
    """Return the ways to encrypt a file to oneself, ``ours`` and that of ``gpg``."""
    options = commands.encrypt([gpg.fingerprint], armor=False, compress=False)
    target, bare = source.with_suffix(".ours"), source.with_suffix(".gpg")

    async def ours() -> None:
        target.unlink(missing_ok=True)
        await gpg.encrypt_file(source, gpg.fingerprint, target, sign=False, compress=False)

    def theirs() -> None:
        bare.unlink(missing_ok=True)
        raw(gpg, ["--output", str(bare), *options, str(source)])

    return {"ours": timed(ours), "gpg": timed_plain(theirs)}
