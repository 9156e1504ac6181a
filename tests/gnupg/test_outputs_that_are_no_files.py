"""A pipe, a device and what is open already are written to, by every method that writes a file."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.instances import BOB, PASSPHRASE
from tiny_gnupg import BadSignature, GnuPG, GnuPGError

#: More than a pipe has room for.
TEXT = os.urandom(3 * 2**18)

Write = Callable[[GnuPG, Path, Path], Awaitable[object]]

#: What each writes of a folder of files into an output.
WRITERS: dict[str, Write] = {
    "encrypt": lambda gpg, at, out: gpg.encrypt_file(at / "plain", BOB, out),
    "encrypt armored": lambda gpg, at, out: gpg.encrypt_file(at / "plain", "", out, armor=True),
    "sign": lambda gpg, at, out: gpg.sign_file(at / "plain", out, detach=False),
    "sign detached": lambda gpg, at, out: gpg.sign_file(at / "plain", out),
    "sign clear": lambda gpg, at, out: gpg.sign_file(at / "text", out, clear=True),
    "decrypt": lambda gpg, at, out: gpg.decrypt_file(at / "message", out),
    "decrypt, verify": lambda gpg, at, out: gpg.decrypt_verify_file(at / "message", out),
}


@pytest.fixture
async def folder(alice: GnuPG, tmp_path: Path) -> Path:
    (tmp_path / "plain").write_bytes(TEXT)
    (tmp_path / "text").write_text("text\n")
    await alice.encrypt_file(tmp_path / "plain", "", tmp_path / "message")
    return tmp_path


async def require(alice: GnuPG, name: str, written: bytes) -> None:
    """Require what was written to be whole."""
    if name.startswith("decrypt"):
        assert written == TEXT
    elif name == "sign detached":
        assert (await alice.verify(TEXT, written)).signed_by(alice.fingerprint)
    elif name == "sign clear":
        assert (await alice.verify(written)).data == b"text\n"
    elif name == "sign":
        assert (await alice.verify(written)).data == TEXT
    elif name == "encrypt":
        assert b"BEGIN" not in written
        assert len(written) > len(TEXT)
    else:
        assert await alice.decrypt(written) == TEXT


@pytest.mark.parametrize("name", WRITERS)
async def test_a_named_pipe_stays_one(alice: GnuPG, folder: Path, name: str) -> None:
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    reading = asyncio.create_task(asyncio.to_thread(fifo.read_bytes))
    await WRITERS[name](alice, folder, fifo)
    assert stat.S_ISFIFO(fifo.lstat().st_mode)
    await require(alice, name, await reading)


@pytest.mark.parametrize("place", ["/dev/fd/{}", "/proc/self/fd/{}"])
@pytest.mark.parametrize("name", WRITERS)
async def test_a_pipe_of_this_process(alice: GnuPG, folder: Path, name: str, place: str) -> None:
    source, sink = os.pipe()
    reading = asyncio.create_task(asyncio.to_thread(Path(f"/dev/fd/{source}").read_bytes))
    await WRITERS[name](alice, folder, Path(place.format(sink)))
    os.close(sink)
    written = await reading
    os.close(source)
    await require(alice, name, written)


@pytest.mark.parametrize("name", WRITERS)
async def test_an_open_file_is_written_on(alice: GnuPG, folder: Path, name: str) -> None:
    with open(folder / "open", "w+b") as file:
        file.write(b"head")
        file.flush()
        await WRITERS[name](alice, folder, Path(f"/dev/fd/{file.fileno()}"))
        head, written = (folder / "open").read_bytes()[:4], (folder / "open").read_bytes()[4:]
    assert head == b"head"
    await require(alice, name, written)


@pytest.mark.parametrize("name", WRITERS)
async def test_a_socket_and_a_device(alice: GnuPG, folder: Path, name: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop = asyncio.get_running_loop()
        theirs.setblocking(False)
        got = bytearray()

        async def read() -> None:
            while piece := await loop.sock_recv(theirs, 2**16):
                got.extend(piece)

        reading = asyncio.create_task(read())
        await WRITERS[name](alice, folder, Path(f"/dev/fd/{ours.fileno()}"))
        assert ours.getblocking()
        ours.close()
        await reading
        await require(alice, name, bytes(got))
    await WRITERS[name](alice, folder, Path("/dev/null"))
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize("name", WRITERS)
async def test_what_is_no_file_is_never_replaced(alice: GnuPG, folder: Path, name: str) -> None:
    bound = folder / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(bound))
        (folder / "link").symlink_to(folder / "fifo")
        os.mkfifo(folder / "fifo")
        for output in (bound, folder / "link", folder):
            with pytest.raises(OSError, match=r"no file|symbolic link|already|directory"):
                await WRITERS[name](alice, folder, output)
        assert stat.S_ISSOCK(bound.stat().st_mode)
        assert (folder / "link").is_symlink()


@pytest.mark.parametrize("name", ["decrypt", "decrypt, verify"])
async def test_whoever_reads_gets_nothing_of_what_is_not_good(
    alice: GnuPG, folder: Path, name: str
) -> None:
    whole = (folder / "message").read_bytes()
    (folder / "message").write_bytes(whole[:-40])
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    reading = asyncio.create_task(asyncio.to_thread(fifo.read_bytes))
    with pytest.raises(GnuPGError) as failure:
        await WRITERS[name](alice, folder, fifo)
    assert not isinstance(failure.value, BadSignature)
    assert await reading == b""


async def test_a_reader_that_goes_ends_the_call(alice: GnuPG, folder: Path) -> None:
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    head = subprocess.Popen(["head", "-c", "1", fifo], stdout=subprocess.DEVNULL)
    with head, pytest.raises(BrokenPipeError):
        await alice.encrypt_file(folder / "plain", "", fifo)


async def test_a_reader_that_never_comes_can_be_given_up(alice: GnuPG, folder: Path) -> None:
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await alice.encrypt_file(folder / "plain", "", fifo)
    assert stat.S_ISFIFO(fifo.lstat().st_mode)


def test_the_command_line_writes_to_the_shells_pipes(home: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(TEXT)
    script = """
    set -e -o pipefail
    tool() { "$PYTHON" -m tiny_gnupg "$1" --home "$HOME_OF_KEYS" --passphrase-env SECRET "${@:2}"; }
    tool gen-key --email alice@example.org > /dev/null
    tool encrypt -r alice@example.org -o - plain > message.gpg
    tool encrypt -r alice@example.org -o /dev/stdout plain | cat > second.gpg
    tool decrypt -o >(cat > again) message.gpg
    tool decrypt -o /dev/fd/7 second.gpg 7> third
    wait
    """
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "HOME_OF_KEYS": str(home),
        "SECRET": PASSPHRASE,
        "PYTHONPATH": os.getcwd(),
    }
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "third").read_bytes() == TEXT
    assert (tmp_path / "again").read_bytes() == TEXT
