"""Files: memory that does not grow with them, and output that appears whole or not at all.

``TINY_GNUPG_FILE_MIB`` is the size of the large file, in MiB; 1024 is what is promised.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.instances import BOB, PASSPHRASE, PlainGpg
from tests.proc import users_of
from tiny_gnupg import (
    BadPassphrase,
    BadSignature,
    DecryptionFailed,
    GnuPG,
    GnuPGError,
    KeyNotFound,
    NotOpenPGP,
    NotSigned,
    OutputTooLarge,
    SignatureStatus,
)
from tiny_gnupg._home import whole_files

SIZE = int(os.environ.get("TINY_GNUPG_FILE_MIB", "192")) * 2**20
#: Bytes by which Python's memory may grow, however large the file.
GROWTH = 40 * 2**20

#: A program of its own: its memory is not that of the tests, and it can be killed.
PROGRAM = """
import asyncio, os, pathlib, re, signal, sys
import tests.instances  # its home may cost little
from tiny_gnupg import GnuPG
from tiny_gnupg._home import whole_files

whole_files.TICK = 0.005  # so that half is seen on a fast machine too
job, home, passphrase, source, target = sys.argv[1:]

def peak():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\\\s+(\\\\d+) kB", status)[1]) * 1024

def killed_at_half(done, total):
    if done >= total / 2:
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with GnuPG(email="alice@example.org", passphrase=passphrase, homedir=home) as gpg:
        small = pathlib.Path(source).with_name("small")
        small.write_bytes(b"small")
        await gpg.decrypt_file(await gpg.encrypt_file(small, overwrite=True), overwrite=True)
        before = peak()
        progress = killed_at_half if job.startswith("kill") else None
        if "encrypt" in job:
            await gpg.encrypt_file(source, "", target, compress=False, progress=progress)
        else:
            await gpg.decrypt_file(source, target, progress=progress)
        print(peak() - before)

asyncio.run(main())
""".replace("\\\\", "\\")


def program(job: str, home: Path, source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    arguments: list[str | Path] = [
        sys.executable,
        "-c",
        PROGRAM,
        job,
        home,
        PASSPHRASE,
        source,
        target,
    ]
    return subprocess.run(
        arguments,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A large file that takes no room, in a folder of its own."""
    path = tmp_path / "large" / "source"
    path.parent.mkdir()
    with path.open("wb") as file:
        file.truncate(SIZE)
        file.seek(SIZE - 3)
        file.write(b"end")
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"small", "small.gpg"}


def until_ended(home: Path) -> None:
    """Wait until the gpg has ended whose parent was killed; it cannot be told to."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not any(b"--status-fd" in line for line in users_of(home).values()):
            return
        time.sleep(0.05)
    raise AssertionError(f"a gpg of {home} is still there")


async def ended_agent(home: Path) -> None:
    """End the agent that a killed program left."""
    async with GnuPG(homedir=home) as gpg:
        await gpg.reset_daemon()


async def test_memory_does_not_grow_with_the_file(alices_home: Path, large: Path) -> None:
    sealed, opened = large.with_name("sealed"), large.with_name("opened")
    for job, source, target in (("encrypt", large, sealed), ("decrypt", sealed, opened)):
        done = program(job, alices_home, source, target)
        assert done.returncode == 0, done.stderr
        growth = int(done.stdout)
        print(f"{job}_file of {SIZE / 2**20:g} MiB: memory grew by {growth / 2**20:.1f} MiB")
        assert growth < GROWTH
    assert opened.stat().st_size == SIZE
    with opened.open("rb") as file:
        file.seek(SIZE - 4)
        assert file.read() == b"\0end"
    assert opened.stat().st_mode & 0o777 == 0o600


async def test_a_kill_at_half_leaves_no_file(alices_home: Path, large: Path) -> None:
    sealed, target = large.with_name("sealed"), large.with_name("target")
    assert program("encrypt", alices_home, large, sealed).returncode == 0
    for job, source in (("kill encrypt", large), ("kill decrypt", sealed)):
        done = program(job, alices_home, source, target)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert names(large.parent) == {"source", "sealed"}
        until_ended(alices_home)
        assert names(large.parent) == {"source", "sealed"}
    await ended_agent(alices_home)


@pytest.mark.parametrize("job", ["encrypt", "decrypt"])
async def test_a_cancellation_at_half_leaves_no_file(
    alice: GnuPG, large: Path, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_files, "TICK", 0.005)
    target = large.with_name("target")
    source = large if job == "encrypt" else await alice.encrypt_file(large, compress=False)
    before = names(large.parent)
    task: asyncio.Task[Path]

    def cancelled_at_half(done: int, total: int) -> None:
        if done >= total / 2:
            task.cancel()

    if job == "encrypt":
        call = alice.encrypt_file(source, BOB, target, compress=False, progress=cancelled_at_half)
    else:
        call = alice.decrypt_file(source, target, progress=cancelled_at_half)
    task = asyncio.ensure_future(call)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names(large.parent) == before


async def test_progress_rises_to_the_whole(alice: GnuPG, large: Path) -> None:
    seen: list[tuple[int, int]] = []
    sealed = await alice.encrypt_file(large, progress=lambda *pair: seen.append(pair))
    assert {total for _, total in seen} == {SIZE}
    done = [part for part, _ in seen]
    assert done == sorted(done)
    assert done[-1] == SIZE
    assert len(done) > 2
    seen.clear()
    await alice.decrypt_file(sealed, large.with_name("opened"), progress=lambda *p: seen.append(p))
    assert seen[-1] == (sealed.stat().st_size,) * 2


async def test_several_files_at_once_are_not_mixed_up(
    alice: GnuPG, bob: GnuPG, tmp_path: Path
) -> None:
    sources = [tmp_path / f"{number}" for number in range(6)]
    for number, source in enumerate(sources):
        source.write_bytes(bytes([number]) * 10**6)
    sealed = await asyncio.gather(*(alice.encrypt_file(source, BOB) for source in sources))
    targets = [tmp_path / f"opened {number}" for number in range(6)]
    pairs = zip(sealed, targets, strict=True)
    await asyncio.gather(*(bob.decrypt_file(*pair) for pair in pairs))
    for number, target in enumerate(targets):
        assert target.read_bytes() == bytes([number]) * 10**6


@pytest.mark.parametrize(
    "name", [b"-", b"--version", b"a\nb", b"with space", b"\xff\xfe", "é🔑".encode(), b"$(id)"]
)
async def test_any_name_is_a_name(alice: GnuPG, tmp_path: Path, name: bytes) -> None:
    source = tmp_path / os.fsdecode(name)
    source.write_bytes(b"content")
    sealed = await alice.encrypt_file(source)
    assert sealed == tmp_path / f"{os.fsdecode(name)}.gpg"
    source.unlink()
    assert await alice.decrypt_file(sealed) == source
    assert source.read_bytes() == b"content"
    signature = await alice.sign_file(source)
    assert (await alice.verify_file(source, signature)).signatures


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n", bytes(range(256)), b"x" * 10**6])
@pytest.mark.parametrize("armor", [True, False])
async def test_every_byte_comes_back(
    alice: GnuPG, tmp_path: Path, content: bytes, armor: bool
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content)
    sealed = await alice.encrypt_file(source, armor=armor)
    assert sealed.suffix == (".asc" if armor else ".gpg")
    await alice.decrypt_file(sealed, target)
    assert target.read_bytes() == content


async def test_a_file_that_is_there_is_kept_unless_it_shall_be_replaced(
    alice: GnuPG, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    for call in (
        alice.encrypt_file(source, output=target),
        alice.decrypt_file(source, target),
        alice.sign_file(source, target),
    ):
        with pytest.raises(FileExistsError, match="there is such a file"):
            await call
    assert target.read_bytes() == b"old"
    sealed = await alice.encrypt_file(source)
    await alice.decrypt_file(sealed, target, overwrite=True)
    assert target.read_bytes() == b"new"


async def test_who_signed_a_file_is_told(alice: GnuPG, bob: GnuPG, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"content")
    sealed = await alice.encrypt_file(source, BOB)
    found = await bob.decrypt_verify_file(sealed, target)
    assert (found.path, found.data, found.encrypted) == (target, b"", True)
    assert target.read_bytes() == b"content"
    assert target.stat().st_mode & 0o777 == 0o600
    [signature] = found.require_good().signatures
    assert (signature.good, signature.primary_fingerprint) == (True, alice.fingerprint)
    unsigned = await alice.encrypt_file(source, BOB, tmp_path / "unsigned.gpg", sign=False)
    found = await bob.decrypt_verify_file(unsigned, require_good=True)
    assert (found.path, found.signatures) == (tmp_path / "unsigned", ())


async def test_a_file_of_an_unknown_signer_appears_where_that_is_wanted(
    alice: GnuPG, bob: GnuPG, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"content")
    sealed = await alice.encrypt_file(source, BOB)
    await bob.delete(alice.fingerprint)
    for call in (
        bob.decrypt_file(sealed, target),
        bob.decrypt_verify_file(sealed, target, require_good=True),
    ):
        with pytest.raises(KeyNotFound):
            await call
        assert not target.exists()
    found = await bob.decrypt_verify_file(sealed, target)
    assert target.read_bytes() == b"content"
    assert [one.status for one in found.signatures] == [SignatureStatus.NO_PUBKEY]
    with pytest.raises(KeyNotFound):
        found.require_good()


async def test_a_file_whose_decryption_fails_never_appears(alice: GnuPG, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(2**18))
    sealed = await alice.encrypt_file(source)
    content = bytearray(sealed.read_bytes())
    content[len(content) // 2] ^= 1
    sealed.write_bytes(content)
    with pytest.raises(DecryptionFailed):
        await alice.decrypt_verify_file(sealed, target)
    sealed.write_bytes(await alice.encrypt_symmetric(b"x", "theirs", armor=False))
    with pytest.raises(BadPassphrase):
        await alice.decrypt_verify_file(sealed, target)
    assert not target.exists()
    found = await alice.decrypt_verify_file(sealed, target, passphrase="theirs")
    assert (found.symmetric, target.read_bytes()) == (True, b"x")
    with pytest.raises(FileExistsError):
        await alice.decrypt_verify_file(sealed, target, passphrase="theirs")
    await alice.encrypt_file(source, output=sealed, overwrite=True)
    with pytest.raises(OutputTooLarge):
        await alice.decrypt_verify_file(sealed, target, overwrite=True, max_output=2**16)
    assert target.read_bytes() == b"x"


async def test_a_damaged_file_replaces_nothing(alice: GnuPG, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(2**18))
    sealed = await alice.encrypt_file(source, sign=False)
    whole = sealed.read_bytes()
    target.write_bytes(b"old")
    for damaged in (whole[:-1], whole[: len(whole) // 2], whole[:-40] + b"x" * 40, b"", b"text"):
        sealed.write_bytes(damaged)
        with pytest.raises(GnuPGError):
            await alice.decrypt_file(sealed, target, overwrite=True)
        assert target.read_bytes() == b"old"
        assert names(tmp_path) == {"source", "source.gpg", "target"}
    sealed.write_bytes(whole[:-1])
    with pytest.raises(DecryptionFailed):
        await alice.decrypt_file(sealed, target, overwrite=True)


@pytest.mark.parametrize("form", ["detached", "inline", "clear"])
async def test_a_changed_file_is_not_verified(
    alice: GnuPG, bob: GnuPG, tmp_path: Path, form: str
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"a line\nanother\n")
    made = await bob.sign_file(source, detach=form == "detached", clear=form == "clear")
    signed, signature = (source, made) if form == "detached" else (made, None)
    (good,) = (await alice.verify_file(signed, signature)).signatures
    assert good.primary_fingerprint == bob.fingerprint
    if form == "inline":
        changed = await bob.sign(b"else")
        made.write_bytes(changed[:-80] + changed[-79:])
        expected: type[GnuPGError] = GnuPGError
    else:
        signed.write_bytes(signed.read_bytes().replace(b"another", b"changed"))
        expected = BadSignature
    with pytest.raises(expected):
        await alice.verify_file(signed, signature)
    source.write_bytes(b"never signed")
    with pytest.raises(GnuPGError) as caught:
        await alice.verify_file(source)
    assert not isinstance(caught.value, BadSignature)
    sealed = await alice.encrypt_file(source, overwrite=True)
    with pytest.raises(NotSigned):
        await alice.verify_file(sealed)


async def test_a_named_pipe_is_read_when_its_writer_comes(alice: GnuPG, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    sealing = asyncio.ensure_future(alice.encrypt_file(tmp_path / "pipe", sign=False))
    done, _ = await asyncio.wait([sealing], timeout=0.2)  # and the event loop is free meanwhile
    assert not done
    content = os.urandom(2**20)
    await asyncio.to_thread((tmp_path / "pipe").write_bytes, content)
    assert await alice.decrypt((await sealing).read_bytes()) == content
    waiting = asyncio.ensure_future(alice.encrypt_file(tmp_path / "pipe", overwrite=True))
    await asyncio.wait([waiting], timeout=0.1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await alice.decrypt((tmp_path / "pipe.gpg").read_bytes()) == content


def has_readers(pipe: Path) -> bool:
    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError as error:
        if error.errno == errno.ENXIO:
            return False
        raise
    return True


@pytest.mark.parametrize("method", ["file_import", "verify_file"])
async def test_who_waits_for_a_pipe_in_vain_can_be_cancelled(
    alice: GnuPG, tmp_path: Path, method: str
) -> None:
    """No thread goes on waiting, for which the interpreter's end would wait."""
    pipe, data = tmp_path / "pipe", tmp_path / "data"
    os.mkfifo(pipe)
    data.write_bytes(b"text")
    key, signature = await alice.text_export(), await alice.sign(b"text", detach=True)

    def call() -> Awaitable[object]:
        return alice.file_import(pipe) if method == "file_import" else alice.verify_file(data, pipe)

    for begun in (b"", b"-----BEGIN"):
        writer = os.open(pipe, os.O_RDWR) if begun else -1
        os.write(writer, begun) if begun else None
        waiting = asyncio.ensure_future(call())
        await asyncio.wait([waiting], timeout=0.2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        if begun:
            os.close(writer)
        assert not has_readers(pipe)
    sent = key.encode() if method == "file_import" else signature
    assert (await asyncio.gather(call(), asyncio.to_thread(pipe.write_bytes, sent)))[0]


async def test_a_socket_that_is_open_is_read_and_left_as_it_was(
    alice: GnuPG, tmp_path: Path
) -> None:
    """As node.js gives them to its children for their standard input."""
    for blocking in (True, False):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(blocking)
            theirs.sendall(b"text")
            theirs.shutdown(socket.SHUT_WR)
            made = await alice.encrypt_file(
                f"/dev/fd/{ours.fileno()}", "", tmp_path / "sealed", overwrite=True
            )
            assert ours.getblocking() is blocking
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(blocking)
            theirs.sendall(made.read_bytes())
            theirs.shutdown(socket.SHUT_WR)
            source = f"/proc/self/fd/{ours.fileno()}"
            plain = await alice.decrypt_file(source, tmp_path / "plain", overwrite=True)
            assert ours.getblocking() is blocking
        assert plain.read_bytes() == b"text"


async def test_a_message_that_nobody_signed_is_not_called_none(
    alice: GnuPG, tmp_path: Path, plain_gpg: Callable[..., PlainGpg]
) -> None:
    file = tmp_path / "message"
    for options in ((), ("--compress-algo", "none"), ("--armor",)):
        file.write_bytes(plain_gpg().run(*options, "--store", stdin=b"text").stdout)
        for call in (
            alice.verify_file(file),
            alice.verify(file.read_bytes()),
            alice.decrypt_file(file, tmp_path / "out"),
        ):
            with pytest.raises(NotSigned, match="no signature"):
                await call
    file.write_bytes(b"text")
    with pytest.raises(NotOpenPGP):
        await alice.verify_file(file)


async def test_progress_of_a_pipe_is_told_at_its_end(alice: GnuPG, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    told: list[tuple[int, int]] = []
    writing = asyncio.to_thread((tmp_path / "pipe").write_bytes, b"x" * 2**20)
    sealing = alice.encrypt_file(
        tmp_path / "pipe", sign=False, progress=lambda done, total: told.append((done, total))
    )
    sealed, _ = await asyncio.gather(sealing, writing)
    assert await alice.decrypt(sealed.read_bytes()) == b"x" * 2**20
    assert told == [(0, 0)]
