"""Many messages: every defect of one is its own, and nothing is left of any."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.instances import MakeGnuPG, PlainGpg, alice_at
from tests.proc import children
from tiny_gnupg import (
    BadPassphrase,
    BadSignature,
    DecryptionFailed,
    GnuPG,
    GnuPGError,
    GnuPGTimeout,
    KeyNotFound,
    NoSecretKey,
    NotOpenPGP,
    NotSigned,
    NotText,
    OutputTooLarge,
    Verification,
)
from tiny_gnupg._openpgp.armor import dearmor

#: More messages than are ever worked on at once.
MANY = 12 * (os.cpu_count() or 1)


@pytest.fixture(autouse=True)
def private_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where bulk work has its directories: it is empty again afterwards, and so is our memory."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    assert list(place.iterdir()) == []
    assert memories() == []


def memories() -> list[str]:
    """Return the memories of messages that this process still holds."""
    held = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            held.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
    return [name for name in held if "memfd:tiny_gnupg" in name]


def texts(count: int = MANY) -> list[str]:
    """Return messages of which no two are alike."""
    return [f"Nachricht {number} é\n" * (1 + number % 7) for number in range(count)]


async def all_of(results: AsyncIterator[Any]) -> list[Any]:
    return [result async for result in results]


async def collect(results: AsyncIterator[Any], got: list[Any]) -> None:
    async for result in results:
        got.append(result)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something that nobody tells us about is so."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class Started:
    """How many gpgs were started, as the log says: kept alive, and for one command each."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "tiny_gnupg")
        self._caplog = caplog

    def count(self, word: str) -> int:
        return sum(record.getMessage().startswith(word) for record in self._caplog.records)

    @property
    def kept_alive(self) -> int:
        return self.count("keeping alive")

    @property
    def ordinary(self) -> int:
        return self.count("running")


@pytest.fixture
async def started(alice: GnuPG, caplog: pytest.LogCaptureFixture) -> Started:
    await alice.set_fingerprint(alice.email)  # her agent runs, and her key is known
    caplog.clear()
    return Started(caplog)


# -- what goes in comes out ----------------------------------------------------------------


async def test_text_crosses_in_its_order(alice: GnuPG) -> None:
    encrypted = await all_of(alice.encrypt_many(texts()))
    assert all(one.startswith("-----BEGIN PGP MESSAGE-----") for one in encrypted)
    assert await all_of(alice.decrypt_many(encrypted)) == texts()


async def test_each_result_is_of_its_message_s_type(alice: GnuPG) -> None:
    mixed: list[Any] = ["text é", b"bytes \xff", "", b""]
    encrypted = await all_of(alice.encrypt_many(mixed))
    assert [type(one) for one in encrypted] == [str, bytes, str, bytes]
    assert await all_of(alice.decrypt_many(encrypted)) == mixed


async def test_signed_messages_keep_their_order_and_signatures(alice: GnuPG, bob: GnuPG) -> None:
    messages = [text.encode() for text in texts()]
    signed = [await bob.sign(message) for message in messages]
    found = await all_of(alice.verify_many(signed))
    assert [one.data for one in found] == messages
    assert {one.signatures[0].primary_fingerprint for one in found} == {bob.fingerprint}


async def test_encrypting_many_can_sign_too(alice: GnuPG) -> None:
    for message in await all_of(alice.encrypt_many(texts(5), sign=True)):
        found = await alice.decrypt_verify(message)
        assert found.signatures[0].primary_fingerprint == alice.fingerprint


async def test_a_recipient_named_by_address_is_looked_up_once(alice: GnuPG, bob: GnuPG) -> None:
    encrypted = await all_of(alice.encrypt_many(texts(), bob.email))
    assert await all_of(bob.decrypt_many(encrypted)) == texts()


async def test_messages_share_a_gpg_a_core(alice: GnuPG, started: Started) -> None:
    encrypted = await all_of(alice.encrypt_many(texts()))
    decrypted = await all_of(alice.decrypt_many(encrypted))
    assert decrypted == texts()
    assert started.ordinary == 0
    assert 2 <= started.kept_alive <= 2 * (os.cpu_count() or 1)


async def test_a_long_message_among_short_ones(alice: GnuPG, started: Started) -> None:
    messages = [b"short", os.urandom(2**20), b"short too"]
    encrypted = await all_of(alice.encrypt_many(messages))
    assert await all_of(alice.decrypt_many(encrypted)) == messages
    assert started.ordinary == 2


async def test_a_short_message_that_becomes_long(alice: GnuPG) -> None:
    message = b"\0" * (5 * 2**20)
    encrypted = await alice.encrypt(message, sign=False)
    assert len(encrypted) < 2**18
    assert await all_of(alice.decrypt_many([encrypted])) == [message]


async def test_without_memory_files_each_message_is_an_ordinary_call(
    alice: GnuPG, monkeypatch: pytest.MonkeyPatch, started: Started
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    encrypted = await all_of(alice.encrypt_many(texts(4)))
    assert await all_of(alice.decrypt_many(encrypted)) == texts(4)
    assert started.kept_alive == 0


async def test_a_temporary_directory_whose_name_holds_a_line_end(
    alice: GnuPG, private_tmp: Path, monkeypatch: pytest.MonkeyPatch, started: Started
) -> None:
    odd = private_tmp.parent / "a\nb"
    odd.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    encrypted = await all_of(alice.encrypt_many(texts(4)))
    assert await all_of(alice.decrypt_many(encrypted)) == texts(4)
    assert started.ordinary == 0


# -- a bad message fails alone -------------------------------------------------------------


@pytest.fixture
async def bad(
    alice: GnuPG, bob: GnuPG, plain_gpg: Callable[..., PlainGpg]
) -> dict[str, tuple[bytes, type[Exception]]]:
    """What must not decrypt, and the error that each must give."""
    known, unknown = plain_gpg(), plain_gpg()
    for gpg in (known, unknown):
        await asyncio.to_thread(gpg.new_key, "Somebody <somebody@example.org>")
    await alice.text_import(known.run("--export").stdout)
    whole = dearmor(await bob.encrypt(b"a secret of Bob's", alice.fingerprint))
    flipped = bytearray(whole)
    flipped[-30] ^= 1
    signed = known.run("--compress-level", "0", "--sign", stdin=b"pay 10").stdout
    changed = signed.replace(b"pay 10", b"pay 99")
    assert changed != signed
    unsigned = known.run("--store", stdin=b"hello").stdout
    return {
        "flipped": (bytes(flipped), DecryptionFailed),
        "cut off": (whole[:-20], DecryptionFailed),
        "for another": (await bob.encrypt(b"x", bob.fingerprint, sign=False), NoSecretKey),
        "no message": (b"nothing of OpenPGP's", NotOpenPGP),
        "empty": (b"", NotOpenPGP),
        "unknown signer": (unknown.run("--sign", stdin=b"hello").stdout, KeyNotFound),
        "changed text": (changed, BadSignature),
        "not signed": (unsigned, NotSigned),
        "two texts, one signed": (unsigned + signed, GnuPGError),
        "two texts, the other signed": (signed + unsigned, GnuPGError),
    }


async def test_a_bad_message_fails_at_its_place_and_the_others_go_on(
    alice: GnuPG, bad: dict[str, tuple[bytes, type[Exception]]]
) -> None:
    plain = [text.encode() for text in texts(len(bad) + 1)]
    good = [message async for message in alice.encrypt_many(plain)]
    mixed = [good[0]]
    for (message, _), one in zip(bad.values(), good[1:], strict=True):
        mixed += [message, one]
    found = await all_of(alice.decrypt_many(mixed, return_exceptions=True))
    assert found[::2] == plain
    for (what, (_, kind)), error in zip(bad.items(), found[1::2], strict=True):
        assert isinstance(error, kind), (what, error)


async def test_a_bad_message_raises_what_decrypt_would(
    alice: GnuPG, bad: dict[str, tuple[bytes, type[Exception]]]
) -> None:
    for message, _ in bad.values():
        with pytest.raises(GnuPGError) as alone:
            await alice.decrypt(message)
        with pytest.raises(GnuPGError) as among:
            await all_of(alice.decrypt_many([message]))
        assert type(among.value) is type(alone.value)
        assert among.value.returncode == alone.value.returncode


async def test_results_before_a_bad_message_come_first(alice: GnuPG) -> None:
    good = await all_of(alice.encrypt_many(texts(3)))
    got: list[str] = []
    with pytest.raises(NotOpenPGP):
        await collect(alice.decrypt_many([*good[:2], "rubbish", good[2]]), got)
    assert got == texts(2)


async def test_verifying_many_takes_only_what_is_signed_and_in_the_clear(
    alice: GnuPG, bob: GnuPG, bad: dict[str, tuple[bytes, type[Exception]]]
) -> None:
    signed = await bob.sign(b"signed")
    clear = (await bob.sign("clear\n", clear=True)).encode()
    encrypted = await bob.encrypt(b"encrypted", alice.fingerprint)
    changed, unsigned = bad["changed text"][0], bad["not signed"][0]
    twice = bad["two texts, one signed"][0]
    mixed = [signed, changed, encrypted, unsigned, twice, clear, b"rubbish", signed]
    found = await all_of(alice.verify_many(mixed, return_exceptions=True))
    kinds = [BadSignature, NotSigned, NotSigned, GnuPGError, NotOpenPGP]
    assert [found[place].data for place in (0, 5, 7)] == [b"signed", b"clear\n", b"signed"]
    for error, kind in zip([*found[1:5], found[6]], kinds, strict=True):
        assert isinstance(error, kind), error


async def test_no_flipped_byte_gives_another_text(alice: GnuPG) -> None:
    text = b"exactly this text"
    whole = dearmor(await alice.encrypt(text))
    flipped = []
    for place in range(0, len(whole), 5):
        one = bytearray(whole)
        one[place] ^= 0x55
        flipped.append(bytes(one))
    found = await all_of(alice.decrypt_many([whole, *flipped, whole], return_exceptions=True))
    assert found[0] == found[-1] == text
    assert all(isinstance(one, Exception) or one == text for one in found)
    assert sum(isinstance(one, Exception) for one in found) > len(flipped) // 2


async def test_a_key_behind_a_message_adds_nothing_to_its_text(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    mallory = plain_gpg()
    await asyncio.to_thread(mallory.new_key, "and pay Mallory 1000 <m@example.org>")
    key = mallory.run("--export").stdout
    message = dearmor(await alice.encrypt(b"pay Bob 10")) + key
    found = await all_of(alice.decrypt_many([message, message], return_exceptions=True))
    assert all(isinstance(one, GnuPGError) or one == b"pay Bob 10" for one in found)


async def test_a_message_to_a_passphrase_among_others(alice: GnuPG) -> None:
    symmetric = await alice.encrypt_symmetric("by passphrase", alice.passphrase)
    public = await alice.encrypt("by key", sign=False)
    messages = [public, symmetric, public]
    found = await all_of(alice.decrypt_many(messages, return_exceptions=True))
    assert found[::2] == ["by key", "by key"]
    assert isinstance(found[1], BadPassphrase)


async def test_a_text_that_is_not_utf_8_fails_alone(alice: GnuPG) -> None:
    message = (await alice.encrypt(b"\xff", sign=False)).decode()
    good = await alice.encrypt("text", sign=False)
    found = await all_of(alice.decrypt_many([good, message, good], return_exceptions=True))
    assert isinstance(found[1], NotText)
    assert found[::2] == ["text", "text"]


async def test_what_is_no_message_at_all_fails_alone(alice: GnuPG) -> None:
    mixed: list[Any] = ["text", None, 7, "text"]
    found = await all_of(alice.encrypt_many(mixed, return_exceptions=True))
    assert [isinstance(one, TypeError) for one in found] == [False, True, True, False]


async def test_an_unknown_recipient_is_said_at_each_message(alice: GnuPG) -> None:
    found = await all_of(alice.encrypt_many(texts(3), "nobody@example.org", return_exceptions=True))
    assert [type(error) for error in found] == [KeyNotFound] * 3
    assert len({id(error) for error in found}) == 3


async def test_an_inflating_message_stops_at_its_bound(
    alices_home: Path, make_gnupg: MakeGnuPG
) -> None:
    alice = make_gnupg(alice_at, alices_home, max_output=2**20)
    await alice.set_fingerprint(alice.email)
    bomb = await alice.encrypt(b"\0" * 2**27, sign=False)
    small = await alice.encrypt(b"small", sign=False)
    assert len(bomb) < 2**18
    found = await all_of(alice.decrypt_many([small, bomb, small], return_exceptions=True))
    assert isinstance(found[1], OutputTooLarge)
    assert found[::2] == [b"small", b"small"]


async def test_a_bound_below_what_a_kept_alive_gpg_may_make(
    alices_home: Path, make_gnupg: MakeGnuPG
) -> None:
    alice = make_gnupg(alice_at, alices_home, max_output=2000)
    await alice.set_fingerprint(alice.email)
    message = await alice.encrypt(b"\0" * 5000, sign=False)
    with pytest.raises(OutputTooLarge):
        await all_of(alice.decrypt_many([message]))


# -- order, pace and the source ------------------------------------------------------------


async def test_the_source_is_read_no_further_than_there_is_room(alice: GnuPG) -> None:
    taken = 0

    def source() -> Iterator[str]:
        nonlocal taken
        for text in texts(40 * (os.cpu_count() or 1)):
            taken += 1
            yield text

    async with aclosing(alice.encrypt_many(source())) as results:
        await anext(results)
        await asyncio.sleep(0.3)
        assert taken <= 2 * (os.cpu_count() or 1) + 2


async def test_a_result_does_not_wait_for_the_next_message(alice: GnuPG) -> None:
    got: list[str] = []

    async def conversation() -> AsyncIterator[str]:
        for number in range(3):
            assert len(got) == number
            yield f"message {number}"
            await until(partial(lambda count: len(got) > count, number))

    await collect(alice.encrypt_many(conversation()), got)
    assert len(got) == 3


@pytest.mark.parametrize("return_exceptions", [False, True])
async def test_an_error_of_the_source_comes_after_the_results_before_it(
    alice: GnuPG, return_exceptions: bool
) -> None:
    def source() -> Iterator[str]:
        yield from texts(3)
        raise OSError("the disk is gone")

    got: list[str] = []
    results = alice.encrypt_many(source(), return_exceptions=return_exceptions)
    with pytest.raises(OSError, match="the disk is gone"):
        await collect(results, got)
    assert len(got) == 3


async def test_nothing_to_do_starts_nothing(alice: GnuPG, started: Started) -> None:
    assert await all_of(alice.encrypt_many([])) == []
    assert started.kept_alive == started.ordinary == 0


# -- the keyring changes meanwhile ---------------------------------------------------------


async def test_who_reads_the_results_may_write_the_keyring(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    other = plain_gpg()
    await asyncio.to_thread(other.new_key, "Late <late@example.org>")
    signed = other.run("--sign", stdin=b"from Late").stdout
    key = other.run("--armor", "--export").stdout

    async def source() -> AsyncIterator[bytes]:
        yield signed
        await until(lambda: imported)
        yield signed

    imported = False
    found = []
    async for one in alice.verify_many(source(), return_exceptions=True):
        found.append(one)
        if not imported:
            await alice.text_import(key)
            imported = True
    assert isinstance(found[0], KeyNotFound)
    assert isinstance(found[1], Verification)
    assert found[1].data == b"from Late"


# -- nothing is left -----------------------------------------------------------------------


async def test_no_file_ever_holds_a_message(alice: GnuPG, private_tmp: Path) -> None:
    seen = 0
    async for _ in alice.encrypt_many(texts()):
        for directory in private_tmp.iterdir():
            assert directory.stat().st_mode & 0o777 == 0o700
            for entry in directory.iterdir():
                assert entry.is_symlink()
                seen += 1
    assert seen > 0


async def test_stopping_early_leaves_nothing(alice: GnuPG, private_tmp: Path) -> None:
    async with aclosing(alice.encrypt_many(texts())) as results:
        await anext(results)
        assert children()
    assert children() == set()
    assert (memories(), list(private_tmp.iterdir())) == ([], [])


async def test_cancelling_at_any_moment_leaves_nothing(alice: GnuPG, private_tmp: Path) -> None:
    encrypted = await all_of(alice.encrypt_many(texts()))
    for pause in (0, 0.001, 0.004, 0.008, 0.016, 0.03, 0.06):
        task = asyncio.ensure_future(all_of(alice.decrypt_many(encrypted)))
        await asyncio.sleep(pause)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        # The iterator itself is closed by its finalizer, a turn or two later.
        await until(lambda: not (children() or memories() or any(private_tmp.iterdir())))
    assert await all_of(alice.decrypt_many(encrypted)) == texts()


async def test_a_killed_gpg_costs_no_message(alice: GnuPG) -> None:
    encrypted = await all_of(alice.encrypt_many(texts()))
    got = []
    async for text in alice.decrypt_many(encrypted):
        got.append(text)
        if len(got) % 5 == 1:
            for pid in children():
                os.kill(pid, signal.SIGKILL)
    assert got == texts()


async def test_a_gpg_that_hangs_is_ended_in_time(alices_home: Path, make_gnupg: MakeGnuPG) -> None:
    alice = make_gnupg(alice_at, alices_home, timeout=3)
    await alice.set_fingerprint(alice.email)
    encrypted = await all_of(alice.encrypt_many(texts(3)))

    async def source() -> AsyncIterator[str]:
        yield encrypted[0]
        await until(lambda: len(found) == 1)
        for pid in children():
            os.kill(pid, signal.SIGSTOP)
        yield encrypted[1]
        await until(lambda: len(found) == 2)
        yield encrypted[2]

    found: list[Any] = []
    async for one in alice.decrypt_many(source(), return_exceptions=True):
        found.append(one)
    assert isinstance(found[1], GnuPGTimeout)
    assert found[::2] == texts(3)[::2]


async def test_the_passphrase_is_in_no_command_line(alice: GnuPG) -> None:
    encrypted = await all_of(alice.encrypt_many(texts()))
    secrets: Sequence[bytes] = (
        alice.passphrase.encode(),
        (await alice.agent_passphrase()).encode(),
    )
    looked = 0
    async for _ in alice.decrypt_many(encrypted):
        for pid in children():
            for name in ("cmdline", "environ"):
                said = Path("/proc", str(pid), name).read_bytes()
                assert not any(secret in said for secret in secrets)
                looked += 1
    assert looked > 0


async def test_what_is_for_ones_eyes_only_is_given_too(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    """Of many, gpg writes no file for such a one (RFC 9580, section 5.9), and says so nowhere."""
    other = plain_gpg()
    fingerprint = other.new_key("Carol <carol@example.org>")
    await alice.text_import(other.run("--export", fingerprint).stdout)
    other.run("--import", stdin=await alice.text_export())
    only = ("--for-your-eyes-only", "--trust-model", "always", "--recipient", alice.email)
    sealed = other.run(*only, "--sign", "--encrypt", stdin=b"text").stdout
    signed = other.run("--for-your-eyes-only", "--sign", stdin=b"text").stdout
    empty = await alice.encrypt(b"", "")
    messages = [sealed, empty, signed, sealed]
    assert [one async for one in alice.decrypt_many(messages)] == [b"text", b"", b"text", b"text"]
    assert [one.data async for one in alice.verify_many([signed, signed])] == [b"text", b"text"]
