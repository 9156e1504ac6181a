"""What flows through: every kind of source, every way to end, and nothing good of half of it."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.instances import BOB, MakeGnuPG, alice_at
from tests.proc import children
from tiny_gnupg import (
    BadPassphrase,
    BadSignature,
    CommandFailed,
    GnuPG,
    GnuPGError,
    KeyNotFound,
    NotSigned,
    OutputTooLarge,
    OwnerTrust,
    WrongSigner,
)
from tiny_gnupg._process.flow import Source

T = TypeVar("T")

Use = Callable[[], Awaitable[object]]

TEXT = os.urandom(3 * 2**18)


async def pieces(data: bytes = TEXT, size: int = 50_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        await asyncio.sleep(0)
        yield data[start : start + size]


def reader(data: bytes = TEXT) -> asyncio.StreamReader:
    found = asyncio.StreamReader()
    found.feed_data(data)
    found.feed_eof()
    return found


SOURCES: dict[str, Callable[[], Source]] = {
    "asynchronous iterable": pieces,
    "list": lambda: [TEXT[:10], b"", TEXT[10:]],
    "file": lambda: io.BytesIO(TEXT),
    "StreamReader": reader,
}


async def collect(stream: AsyncIterator[bytes], into: list[bytes]) -> None:
    async for piece in stream:
        into.append(piece)


async def joined(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in stream])


@pytest.mark.parametrize("source", SOURCES)
async def test_every_source_is_encrypted_signed_and_verified(alice: GnuPG, source: str) -> None:
    make = SOURCES[source]
    found = await alice.decrypt_verify(await joined(alice.encrypt_stream(make(), "")))
    assert found.require_good().data == TEXT
    assert found.signatures[0].primary_fingerprint == alice.fingerprint
    assert (await alice.verify(await joined(alice.sign_stream(make())))).data == TEXT
    signature = await joined(alice.sign_stream(make(), detach=True))
    checked = await alice.verify_stream(make(), signature, signer=alice.fingerprint)
    assert checked.signed_by(alice.fingerprint)


@pytest.mark.parametrize("source", [b"text", "text", 3, ["text"], [7]])
async def test_what_gives_no_bytes_is_no_source(alice: GnuPG, source: object) -> None:
    signature = await alice.sign(b"", detach=True)
    for use in (
        lambda: joined(alice.encrypt_stream(source, "")),  # type: ignore[arg-type]
        lambda: joined(alice.sign_stream(source)),  # type: ignore[arg-type]
        lambda: alice.verify_stream(source, signature),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError):
            await use()


class _GivesAwaitables:
    """What has a ``read`` that is no coroutine and gives one."""

    def __init__(self) -> None:
        self._reader = reader()

    def read(self, n: int = -1, /) -> Awaitable[bytes]:
        return self._reader.read(n)


async def test_what_is_read_may_give_its_bytes_later(alice: GnuPG) -> None:
    assert await alice.decrypt(await joined(alice.encrypt_stream(_GivesAwaitables(), ""))) == TEXT


def _pipe(buffering: int, blocking: bool) -> tuple[Any, Any]:
    ends = os.pipe()
    os.set_blocking(ends[0], blocking)
    return open(ends[0], "rb", buffering=buffering), open(ends[1], "wb", buffering=0)


def _socket(buffering: int, blocking: bool) -> tuple[Any, Any]:
    ends = socket.socketpair()
    ends[0].setblocking(blocking)
    files = ends[0].makefile("rb", buffering=buffering), ends[1].makefile("wb", buffering=0)
    for end in ends:
        end.close()
    return files


@pytest.mark.parametrize("make", [_pipe, _socket])
@pytest.mark.parametrize("buffering", [-1, 0])
@pytest.mark.parametrize("blocking", [True, False])
async def test_nothing_yet_is_no_end(
    alice: GnuPG, make: Callable[[int, bool], tuple[Any, Any]], buffering: int, blocking: bool
) -> None:
    read, write = make(buffering, blocking)
    with read:
        sealing = asyncio.ensure_future(joined(alice.encrypt_stream(read, "", sign=False)))
        for piece in (b"first\n", b"second"):
            await asyncio.sleep(0.2)
            await asyncio.to_thread(write.write, piece)
        await asyncio.sleep(0.2)
        assert not sealing.done()
        write.close()
        assert await alice.decrypt(await sealing) == b"first\nsecond"


async def test_what_was_read_ahead_of_a_pipe_counts(alice: GnuPG) -> None:
    read, write = _pipe(-1, True)
    with read:
        write.write(b"head\nbody")
        assert read.readline() == b"head\n"
        sealing = asyncio.ensure_future(joined(alice.encrypt_stream(read, "", sign=False)))
        await asyncio.sleep(0.2)
        assert os.get_blocking(read.fileno())
        write.close()
        assert await alice.decrypt(await sealing) == b"body"


class _Silent(io.RawIOBase):
    """A file that has nothing, and that nobody can wait for."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object, /) -> None:
        return None


@pytest.mark.parametrize("make", [_Silent, lambda: io.BufferedReader(_Silent())])
async def test_what_cannot_be_waited_for_is_no_end(
    alice: GnuPG, make: Callable[[], Source]
) -> None:
    with pytest.raises(BlockingIOError):
        await joined(alice.encrypt_stream(make(), ""))


@pytest.mark.parametrize("buffering", [-1, 0])
async def test_who_waits_for_a_pipe_is_cancelled_at_once(alice: GnuPG, buffering: int) -> None:
    read, write = _pipe(buffering, True)
    with write, read, pytest.raises(TimeoutError):  # closed without waiting for its writer
        async with asyncio.timeout(0.3):
            await joined(alice.encrypt_stream(read, ""))


async def test_a_generator_that_has_ended_is_no_source(alice: GnuPG) -> None:
    for used in (pieces(b"text"), (piece for piece in [b"text"])):
        assert await alice.decrypt(await joined(alice.encrypt_stream(used, ""))) == b"text"
        with pytest.raises(ValueError, match="has ended"):
            await joined(alice.encrypt_stream(used, ""))


class Failed(Exception):
    """What a source raises."""


async def failing(size: int, *, ends: BaseException) -> AsyncIterator[bytes]:
    async for piece in pieces(TEXT[:size], 4096):
        yield piece
    await asyncio.sleep(0.3)  # gpg has taken all that there is
    raise ends


@pytest.mark.parametrize("size", [0, 10, 9000, len(TEXT)])
@pytest.mark.parametrize("compress", [True, False])
async def test_no_prefix_of_an_aborted_encryption_decrypts(
    alice: GnuPG, size: int, compress: bool
) -> None:
    sent: list[bytes] = []
    source = failing(size, ends=Failed())
    with pytest.raises(Failed):
        await collect(alice.encrypt_stream(source, "", compress=compress), sent)
    for count in {0, 1, 2, len(sent) - 1, len(sent)}:
        with pytest.raises(GnuPGError):
            await alice.decrypt(b"".join(sent[:count]))


async def test_a_failing_source_leaves_nothing_signed(alice: GnuPG) -> None:
    for detach in (True, False):
        sent: list[bytes] = []
        with pytest.raises(Failed):
            await collect(alice.sign_stream(failing(9000, ends=Failed()), detach=detach), sent)
        made = b"".join(sent)
        with pytest.raises(GnuPGError):
            await (alice.verify(TEXT[:9000], made) if detach else alice.verify(made))


async def test_a_source_that_fails_verifies_nothing(alice: GnuPG) -> None:
    signature = await alice.sign(TEXT[:9000], detach=True)
    with pytest.raises(Failed):
        await alice.verify_stream(failing(9000, ends=Failed()), signature)


async def test_leaving_early_and_cancelling_end_everything(alice: GnuPG) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 2**16
            yield os.urandom(2**16)

    await alice.sign("that the home and its agent are watched from now on")
    before = set(os.listdir("/proc/self/fd"))
    for make in (partial(alice.encrypt_stream, uid=""), alice.sign_stream):
        taken = 0
        async with aclosing(make(endless())) as stream:
            async for _ in stream:
                await asyncio.sleep(0.2)
                break
        assert taken <= 2**22  # back-pressure: what nobody takes is not made
    signature = await alice.sign(b"", detach=True)
    for use in (
        joined(alice.encrypt_stream(endless(), "")),
        joined(alice.sign_stream(endless())),
        alice.verify_stream(endless(), signature),
    ):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await use
    assert len(os.listdir("/proc/self/fd")) <= len(before)
    assert await alice.decrypt(await alice.encrypt("afterwards", "")) == "afterwards"


async def test_an_error_of_gpg_does_not_wait_for_the_source(alice: GnuPG) -> None:
    async def silent() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async with asyncio.timeout(30):
        with pytest.raises(KeyNotFound):
            await joined(alice.encrypt_stream(silent(), "0" * 40))


async def test_signatures_are_judged_as_in_memory(alice: GnuPG, bob: GnuPG) -> None:
    signature = await alice.sign(TEXT, detach=True)
    with pytest.raises(BadSignature):
        await alice.verify_stream([TEXT[:-1]], signature)
    with pytest.raises(WrongSigner):
        await alice.verify_stream([TEXT], signature, signer=BOB)
    with pytest.raises(NotSigned):
        await alice.verify_stream([TEXT], await alice.sign(TEXT))


async def test_a_signed_message_is_verified_as_a_file_is(alice: GnuPG) -> None:
    for clear in (False, True):
        text = b"a line of text\n" * 200_000
        stream = alice.sign_stream(pieces(text), clear=clear, armor=True)
        signed = await joined(stream)
        assert (await alice.verify(signed)).data == text
        found = await alice.verify_stream(pieces(signed), signer=alice.fingerprint)
        assert found.signed_by(alice.fingerprint)
        for wrong in (signed[: len(signed) // 2], signed + b"more", signed.replace(b"l", b"L", 1)):
            with pytest.raises(GnuPGError):
                await alice.verify_stream(pieces(wrong))
    with pytest.raises(NotSigned):
        await alice.verify_stream([await alice.encrypt(b"text", "")])
    for text, why in ((b"x" * 20_000, "cannot be clear-signed"), (b"x", "exclude")):
        with pytest.raises(ValueError, match=why):
            await joined(alice.sign_stream([text], clear=True, detach=text == b"x"))


async def test_who_is_trusted_is_told_as_it_is_now(alice: GnuPG, bob: GnuPG) -> None:
    signature = await bob.sign(TEXT, detach=True)
    (before,) = (await alice.verify_stream([TEXT], signature)).signatures
    command = alice.command("--import-ownertrust")  # gpg leaves it at that, until it is asked
    await alice.read_output(command, f"{bob.fingerprint}:6:\n")
    (after,) = (await alice.verify_stream([TEXT], signature)).signatures
    (in_memory,) = (await alice.verify(TEXT, signature)).signatures
    assert before.trust != after.trust == in_memory.trust
    sealed = await joined(alice.encrypt_stream([TEXT], BOB, trust="web"))
    assert await bob.decrypt(sealed) == TEXT


async def test_progress_tells_the_bytes_that_were_taken(alice: GnuPG) -> None:
    told: list[tuple[int, int]] = []
    await joined(alice.encrypt_stream(pieces(), "", progress=lambda *at: told.append(at)))
    assert told[-1] == (len(TEXT), 0)
    assert told == sorted(told)


async def decrypted(gpg: GnuPG, source: Source, **options: Any) -> bytes:
    async with gpg.decrypt_stream(source, **options) as plain:
        return b"".join([piece async for piece in plain])


async def refused(gpg: GnuPG, source: Source, why: type[Exception], **options: Any) -> None:
    """Require that the block of a decryption is not entered; early, that its end is not reached."""
    entered = False

    async def use() -> None:
        nonlocal entered
        async with gpg.decrypt_stream(source, **options) as plain:
            entered = True
            with pytest.raises(RuntimeError, match="nothing is known"):
                print(plain.signatures)
            try:
                await plain.read()
            finally:
                with pytest.raises(RuntimeError, match="not good"):
                    await plain.read()  # once more is no end, either

    with pytest.raises(why):
        await use()
    assert entered == bool(options.get("early"))


@pytest.fixture(params=["when good", "early"])
def how(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Decrypt a stream in both ways."""
    return {"early": True} if request.param == "early" else {}


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("sign", [True, False])
async def test_what_flows_is_decrypted(
    alice: GnuPG, tmp_path: Path, sign: bool, long: bool, how: dict[str, Any]
) -> None:
    text = TEXT * 3 if long else TEXT
    told: list[tuple[int, int]] = []
    message = await joined(alice.encrypt_stream(pieces(text), "", sign=sign))
    async with alice.decrypt_stream(
        pieces(message), spool=tmp_path, progress=lambda *at: told.append(at), **how
    ) as plain:
        assert list(tmp_path.iterdir()) == []  # no name tells of it
        if not how:
            assert plain.size == len(text)
        assert await plain.read(10) + await plain.read() == text
        assert await plain.read(10) == b""
        assert plain.size == len(text)
        assert plain.encrypted
        assert [one.primary_fingerprint for one in plain.signatures] == [alice.fingerprint] * sign
    assert told[-1] == (len(message), 0)


async def test_a_small_plaintext_is_in_no_file(alice: GnuPG, tmp_path: Path) -> None:
    small = await alice.encrypt(b"text", "", armor=False)
    gone = tmp_path / "none"
    assert await decrypted(alice, [small], spool=gone) == b"text"
    for larger in (TEXT * 2, bytes(2**22)):
        with pytest.raises(FileNotFoundError):
            await decrypted(alice, [await alice.encrypt(larger, "", armor=False)], spool=gone)


async def test_early_is_before_the_source_has_ended(alice: GnuPG) -> None:
    message = await alice.encrypt(TEXT * 3, "", armor=False)
    came = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield message[: 2**21]
        await came.wait()
        yield message[2**21 :]

    async with asyncio.timeout(60), alice.decrypt_stream(source(), early=True) as plain:
        first = await plain.read(2**16)
        came.set()
        assert first + await plain.read() == TEXT * 3


async def test_what_was_not_read_in_the_block_is_no_end(alice: GnuPG) -> None:
    message = await alice.encrypt(b"some text", "", armor=False)
    async with alice.decrypt_stream([message]) as plain:
        assert await plain.read(4) == b"some"
    assert plain.signatures
    assert await plain.read() == b" text"  # that came with the piece before
    async with alice.decrypt_stream([message]) as plain:
        pass
    with pytest.raises(RuntimeError, match="was left"):
        await plain.read()


async def test_leaving_early_says_nothing_of_the_message(alice: GnuPG) -> None:
    message = await alice.encrypt(TEXT * 3, "", armor=False)
    before = len(os.listdir("/proc/self/fd"))
    async with alice.decrypt_stream([message, TEXT], early=True) as plain:
        assert await plain.read(10) == TEXT[:10]
        with pytest.raises(RuntimeError, match="nothing is known"):
            print(plain.size)
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("sign", [True, False])
async def test_each_truncation_is_refused(alice: GnuPG, sign: bool, how: dict[str, Any]) -> None:
    message = await alice.encrypt(b"text", "", sign=sign, armor=False)
    step = (9 if sign else 1) * (5 if how else 1)
    for length in range(0, len(message), step):
        await refused(alice, [message[:length]], GnuPGError, **how)
    assert await decrypted(alice, [message], **how) == b"text"


async def test_flipped_bits_are_refused(alice: GnuPG, how: dict[str, Any]) -> None:
    message = await alice.encrypt(b"text", "", armor=False)
    for place in range(0, len(message), 11):
        flipped = bytearray(message)
        flipped[place] ^= 1
        made = await outcome(decrypted(alice, [bytes(flipped)], **how))
        assert made == b"text" or isinstance(made, type)


async def outcome(work: Awaitable[bytes]) -> bytes | type[GnuPGError]:
    try:
        return await work
    except GnuPGError as error:
        return type(error)


async def test_hostile_structures_fare_as_in_memory(
    alice: GnuPG, bob: GnuPG, how: dict[str, Any]
) -> None:
    signed = await alice.encrypt(b"text", "", armor=False)
    unsigned = await alice.encrypt(b"text", "", sign=False, armor=False)
    literal = bytes([0xCB, 10]) + b"b\0" + bytes(4) + b"more"
    inline = await joined(alice.sign_stream([b"text"]))
    for parts in ([signed, unsigned], [unsigned, signed], [literal, inline], [inline, literal]):
        made = await outcome(alice.decrypt(b"".join(parts)))
        assert await outcome(decrypted(alice, parts, **how)) == made
        assert made == b"text" or isinstance(made, type)  # what is covered, or nothing
    await refused(alice, [literal], GnuPGError, **how)
    await refused(alice, [unsigned], NotSigned, signer=alice.fingerprint, **how)
    await refused(alice, [signed], WrongSigner, signer=BOB, **how)
    await refused(alice, [await bob.encrypt(b"text", BOB)], GnuPGError, **how)
    assert await decrypted(alice, [signed], signer=alice.fingerprint, **how) == b"text"


async def test_a_bomb_is_bounded(alice: GnuPG, how: dict[str, Any]) -> None:
    bomb = await alice.encrypt(bytes(2**24), "", armor=False)
    assert len(bomb) < 2**19
    await refused(alice, [bomb], OutputTooLarge, max_output=2**20, **how)


async def test_a_source_that_fails_decrypts_nothing(alice: GnuPG, how: dict[str, Any]) -> None:
    message = await alice.encrypt(TEXT * 2, "", armor=False)

    async def source() -> AsyncIterator[bytes]:
        yield message
        raise Failed

    await refused(alice, source(), Failed, **how)


async def test_the_passphrases_are_tried_as_in_memory(alice: GnuPG, how: dict[str, Any]) -> None:
    message = await alice.encrypt_symmetric(b"text", "own words", armor=False)
    assert await decrypted(alice, [message], passphrase="own words", **how) == b"text"
    await refused(alice, [message], BadPassphrase, **how)
    await refused(alice, [message], GnuPGError, passphrase="other words", **how)


# -- what a stream holds while it waits for its source -------------------------------------


async def interrupted(*works: Callable[[], Awaitable[object]]) -> AsyncIterator[bytes]:
    """Give a piece, have something done once gpg waits for more, and give another."""
    for work in works:
        yield TEXT
        await asyncio.sleep(0.2)
        await work()
    yield TEXT


async def through_a_pipe(source: AsyncIterator[bytes], path: Path, use: Awaitable[T]) -> T:
    """Use a named pipe that gets what a source gives."""
    os.mkfifo(path)

    async def pour() -> None:
        with await asyncio.to_thread(open, path, "wb", buffering=0) as file:
            async for piece in source:
                await asyncio.to_thread(file.write, piece)

    _, used = await asyncio.gather(pour(), use)
    return used


@pytest.mark.parametrize(
    ("kind", "old"),
    [(kind, False) for kind in ("encrypt", "sign", "verify", "decrypt", "file")]
    + [("encrypt", True), ("verify", True)],
)
async def test_nobody_waits_for_a_slow_source(
    alice: GnuPG,
    bob: GnuPG,
    alices_home: Path,
    make_gnupg: MakeGnuPG,
    tmp_path: Path,
    kind: str,
    old: bool,
) -> None:
    if old:  # the keyring of GnuPG 1 and 2.0, which gpg goes on with
        exported = await alice.run_command(alice.command("--export"))
        (alices_home / "pubring.gpg").write_bytes(exported.stdout)
        (alices_home / "pubring.kbx").unlink()
    gpg = make_gnupg(alice_at, alices_home, limit=1)
    whole = TEXT * 3
    signature = await bob.sign(whole, detach=True)
    await bob.set_expire(BOB, "2y")
    renewed = await bob.text_export()
    source = interrupted(lambda: gpg.text_import(renewed), lambda: gpg.trust(BOB, 4))
    async with asyncio.timeout(60):
        if kind == "encrypt":
            assert await bob.decrypt(await joined(gpg.encrypt_stream(source, BOB))) == whole
        elif kind == "sign":
            assert (await bob.verify(await joined(gpg.sign_stream(source)))).data == whole
        elif kind == "verify":
            assert (await gpg.verify_stream(source, signature)).signed_by(bob.fingerprint)
        elif kind == "decrypt":
            assert await decrypted(gpg, gpg.encrypt_stream(source, "")) == whole
        else:
            sealed = tmp_path / "sealed"
            use = gpg.encrypt_file(tmp_path / "pipe", BOB, sealed)
            await through_a_pipe(source, tmp_path / "pipe", use)
            assert await bob.decrypt(sealed.read_bytes()) == whole
    (held,) = await gpg.keys(BOB)
    assert held.expires == (await bob.keys(BOB))[0].expires
    assert held.ownertrust is OwnerTrust.FULL


# -- ends at each point --------------------------------------------------------------------


def uses(gpg: GnuPG, source: Source, signature: bytes) -> dict[str, Use]:
    """Return each kind of stream, made of a source that gives a text, or a message of it."""
    return {
        "encrypt": lambda: joined(gpg.encrypt_stream(source, "")),
        "sign": lambda: joined(gpg.sign_stream(source)),
        "verify": lambda: gpg.verify_stream(source, signature),
        "decrypt": lambda: decrypted(gpg, source),
        "early": lambda: decrypted(gpg, source, early=True),
    }


@pytest.mark.parametrize("kind", ["encrypt", "sign", "verify", "decrypt", "early"])
@pytest.mark.parametrize("end", ["cancelled", "killed", "failed"])
async def test_an_end_at_any_point_leaves_nothing(alice: GnuPG, kind: str, end: str) -> None:
    text = TEXT * 3
    given = text
    if kind in ("decrypt", "early"):
        given = await alice.encrypt(text, "", armor=False, compress=False)
    signature = await alice.sign(text, detach=True)
    before, programs = os.listdir("/proc/self/fd"), children()
    why = {"cancelled": asyncio.CancelledError, "failed": Failed, "killed": CommandFailed}

    async def end_it(task: asyncio.Future[object]) -> None:
        if end == "failed":
            raise Failed
        if end == "cancelled":
            task.cancel()
        else:
            await asyncio.sleep(0.1)
            begun = children() - programs
            assert begun
            for pid in begun:
                os.kill(pid, signal.SIGKILL)
        await asyncio.Event().wait()  # the source has not ended

    async def once(point: int) -> None:
        async def source() -> AsyncIterator[bytes]:
            number = 0
            async for piece in pieces(given):
                yield piece
                if number == point:
                    await end_it(task)
                number += 1

        task = asyncio.ensure_future(uses(alice, source(), signature)[kind]())
        with pytest.raises(why[end]):
            await task
        assert children() == programs

    # A message is looked at before a gpg is started: that is there from its second MiB on.
    early = end != "killed" or given is text
    for point in (*([0, 5] if early else []), 30, len(given) // 50_000):
        await once(point)
    assert len(os.listdir("/proc/self/fd")) <= len(before)
    assert await alice.decrypt(await alice.encrypt("afterwards", "")) == "afterwards"
