"""Gpgs that wait for their message: what they say is what a gpg started at need would say."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, PASSPHRASE, PlainGpg, alice_at, gpg_behind
from tests.proc import children, users_of
from tiny_gnupg import (
    BadPassphrase,
    BadSignature,
    GnuPG,
    GnuPGError,
    GnuPGTimeout,
    KeyNotFound,
    NoSecretKey,
    NotText,
    OutputTooLarge,
    UnusableKey,
)
from tiny_gnupg._operations import standing

CHECKOUT = Path(__file__).parents[2]
TEXT = "what the message says"

Call = Callable[[GnuPG], Awaitable[object]]
CALLS: dict[str, Call] = {
    "encrypt": lambda gpg: gpg.encrypt(TEXT, BOB, sign=False),
    "encrypt and sign": lambda gpg: gpg.encrypt(TEXT, BOB),
    "encrypt_symmetric": lambda gpg: gpg.encrypt_symmetric(TEXT, "words"),
    "sign": lambda gpg: gpg.sign(TEXT),
    "clear": lambda gpg: gpg.sign(TEXT, clear=True),
    "detached": lambda gpg: gpg.sign(TEXT, detach=True),
}


def waiting(gpg: GnuPG) -> int:
    """Return how many gpgs wait for an instance."""
    return sum(len(loop.standing._waiting) for loop in gpg._engine._loops.values())


async def warmed(gpg: GnuPG, call: Call) -> None:
    """Make a call until the next one finds a gpg that waits."""
    for _ in range(50):
        await call(gpg)
        if waiting(gpg):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("no gpg waits")


async def messages(gpg: GnuPG) -> dict[str, Call]:
    """Return calls that read what was sent."""
    sealed, both = await gpg.encrypt(TEXT, sign=False), await gpg.encrypt(TEXT)
    signed, detached = await gpg.sign(TEXT), await gpg.sign(TEXT.encode(), detach=True)
    words = await gpg.encrypt_symmetric(TEXT, "words")
    return {
        "decrypt": lambda gpg: gpg.decrypt(sealed),
        "decrypt_verify": lambda gpg: gpg.decrypt_verify(both),
        "decrypt symmetric": lambda gpg: gpg.decrypt(words, passphrase="words"),
        "verify": lambda gpg: gpg.verify(signed),
        "verify detached": lambda gpg: gpg.verify(TEXT.encode(), detached),
    }


async def test_each_single_message_finds_one(alice: GnuPG, bob: GnuPG) -> None:
    for call in (CALLS | await messages(alice)).values():
        await warmed(alice, call)
        pids = children()
        found = await call(alice)
        assert len(children() - pids) <= 1, "only the next one was started"
        assert found
    assert waiting(alice) <= standing.MOST
    await alice.aclose()
    assert children() == set()


async def test_what_comes_out_is_right(alice: GnuPG, bob: GnuPG) -> None:
    for number in range(6):
        text = f"{TEXT} {number}\n" * (1 + 30_000 * (number % 2))
        message = await alice.encrypt(text, BOB)
        opened = await bob.decrypt_verify(message)
        assert (opened.text, opened.signed_by(alice.fingerprint)) == (text, True)
        assert (await bob.verify(await alice.sign(text, clear=True))).signatures
        assert await bob.verify(text, await alice.sign(text, detach=True))


async def test_off(alices_home: Path) -> None:
    async with alice_at(alices_home, warm=False) as gpg:
        for _ in range(4):
            await gpg.encrypt(TEXT, BOB, sign=False)
        assert children() == set()
    async with alice_at(alices_home) as gpg:
        await gpg.encrypt(TEXT, BOB, sign=False)
        await gpg.encrypt(TEXT, ALICE, sign=False)
        assert children() == set(), "each was called once"


async def test_where_it_depends_on_others_none_waits(alice: GnuPG) -> None:
    [bob] = await alice.keys(BOB)
    await alice.trust(bob.fingerprint, 5)
    for _ in range(4):
        await alice.encrypt(TEXT, bob.fingerprint, sign=False, trust="web")
        await asyncio.sleep(0.1)
    assert children() == set()


# -- nothing is older than the keyring -----------------------------------------------------


async def test_a_recipient_is_gone(alice: GnuPG) -> None:
    [bob] = await alice.keys(BOB)
    await warmed(alice, lambda gpg: gpg.encrypt(TEXT, bob.fingerprint, sign=False))
    await alice.delete(bob.fingerprint)
    with pytest.raises(KeyNotFound):
        await alice.encrypt(TEXT, bob.fingerprint, sign=False)


async def test_somebody_else_changes_the_keyring(alice: GnuPG, bob: GnuPG) -> None:
    [key] = await alice.keys(BOB)
    await warmed(alice, lambda gpg: gpg.encrypt(TEXT, key.fingerprint, sign=False))
    revoked = await bob.revoke()
    PlainGpg(Path(alice.home)).run("--import", stdin=revoked)
    with pytest.raises(UnusableKey):
        await alice.encrypt(TEXT, key.fingerprint, sign=False)


async def test_a_key_of_a_signature_comes_in(alice: GnuPG, bob: GnuPG) -> None:
    signed = await bob.sign(TEXT)
    await warmed(alice, lambda gpg: gpg.verify(signed))
    await alice.delete(BOB)
    with pytest.raises(KeyNotFound):
        await alice.verify(signed)
    await alice.text_import(await bob.text_export())
    assert await alice.verify(signed)


@pytest.mark.parametrize("which", ["recipient", "signer"])
async def test_a_key_expires_meanwhile(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg], which: str
) -> None:
    plain = plain_gpg()
    making = ("--quick-generate-key", "Fast <fast@example.org>", "ed25519", "sign", "seconds=9")
    plain.run("--yes", *making)
    key = plain.run("--list-keys", "--with-colons").stdout.decode().split("fpr:::::::::")[1][:40]
    plain.run("--quick-add-key", key, "cv25519", "encr", "seconds=9")
    await alice.text_import(plain.run("--armor", "--export").stdout)
    await alice.text_import(plain.run("--armor", "--export-secret-keys").stdout)
    [found] = await alice.keys(key)
    assert found.expires is not None
    calls: dict[str, Call] = {
        "recipient": lambda gpg: gpg.encrypt(TEXT, key, sign=False),
        "signer": lambda gpg: gpg.sign(TEXT, key),
    }
    alice.passphrase = ""
    await warmed(alice, calls[which])
    await asyncio.sleep(found.expires.timestamp() - datetime.now(UTC).timestamp() + 1.1)
    assert waiting(alice) == 1
    with pytest.raises(UnusableKey):
        await calls[which](alice)


async def test_another_passphrase(alice: GnuPG) -> None:
    message = await alice.encrypt(TEXT)
    calls: tuple[Call, ...] = (lambda gpg: gpg.sign(TEXT), lambda gpg: gpg.decrypt(message))
    for call in calls:
        alice.passphrase = PASSPHRASE
        await warmed(alice, call)
        alice.passphrase = "another one"
        with pytest.raises(BadPassphrase):
            await call(alice)


async def test_another_bound(alice: GnuPG) -> None:
    message = await alice.encrypt(TEXT * 1000)
    await warmed(alice, lambda gpg: gpg.decrypt(message))
    alice.max_output = 100
    with pytest.raises(OutputTooLarge):
        await alice.decrypt(message)


async def test_the_secret_keys_are_gone(alice: GnuPG) -> None:
    message = await alice.encrypt(TEXT)
    await warmed(alice, lambda gpg: gpg.decrypt(message))
    for path in Path(alice.home, "private-keys-v1.d").glob("*.key"):
        path.unlink()
    with pytest.raises(NoSecretKey):
        await alice.decrypt(message)


async def test_the_secret_key_of_a_signer_is_gone(alice: GnuPG) -> None:
    await warmed(alice, lambda gpg: gpg.sign(TEXT))
    for path in Path(alice.home, "private-keys-v1.d").glob("*.key"):
        path.unlink()
    with pytest.raises(UnusableKey, match="the secret part"):
        await alice.sign(TEXT)


async def test_a_signature_is_as_old_as_its_message(alice: GnuPG) -> None:
    for call in (CALLS["sign"], CALLS["clear"]):
        await warmed(alice, call)
        await asyncio.sleep(1.1)
        began = datetime.now(UTC).replace(microsecond=0)
        signed = await call(alice)
        assert isinstance(signed, str)
        [found] = (await alice.verify(signed)).signatures
        assert found.created is not None
        assert found.created >= began


async def test_gpg_is_replaced(alices_home: Path, tmp_path: Path) -> None:
    program = tmp_path / "gpg"

    def replaced(line: str) -> None:
        gpg_behind(tmp_path / "new", line).replace(program)

    replaced("")
    async with alice_at(alices_home, executable=program) as gpg:
        await warmed(gpg, lambda gpg: gpg.encrypt(TEXT, BOB, sign=False))
        replaced(f"touch {tmp_path / 'used'}")
        await gpg.encrypt(TEXT, BOB, sign=False)
        assert (tmp_path / "used").exists()


def test_what_may_change_twice_at_one_time() -> None:
    now = time.time_ns()
    assert standing.is_settled(((None, (now - 10**9, 1, 1)), 0))
    assert not standing.is_settled((((now, 1, 1), (now - 10**9, 1, 1)), 0))


async def test_the_options_change(alices_home: Path, tmp_path: Path) -> None:
    options = tmp_path / "gpg.conf"
    options.write_text("no-greeting\n")
    async with alice_at(alices_home, options=options) as gpg:
        await warmed(gpg, lambda gpg: gpg.sign(TEXT, detach=True))
        options.write_text("no-greeting\nset-notation who@example.org=me\n")
        found = await gpg.verify(TEXT, await gpg.sign(TEXT, detach=True))
        assert [one.notations for one in found.signatures] == [(("who@example.org", "me"),)]


async def test_the_agent_ends(alice: GnuPG) -> None:
    message = await alice.encrypt(TEXT)
    for _ in range(3):
        await warmed(alice, lambda gpg: gpg.decrypt(message))
        await warmed(alice, lambda gpg: gpg.sign(TEXT))
        await alice.reset_daemon()
        assert await alice.decrypt(message) == TEXT
        assert await alice.sign(TEXT)


async def test_the_waiting_one_is_killed(alice: GnuPG) -> None:
    for _ in range(3):
        await warmed(alice, lambda gpg: gpg.sign(TEXT))
        for pid in children():
            os.kill(pid, signal.SIGKILL)
            # The loop has no turn to see it.
            while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.01)
        assert await alice.sign(TEXT)


async def test_a_message_that_is_bad(alice: GnuPG) -> None:
    message, detached = await alice.encrypt(TEXT), await alice.sign(TEXT, detach=True)
    await warmed(alice, lambda gpg: gpg.decrypt(message))
    await warmed(alice, lambda gpg: gpg.verify(TEXT, detached))
    for _ in range(3):
        with pytest.raises(GnuPGError):
            await alice.decrypt(message.replace("\n\n", "\n\nAAAA", 1))
        with pytest.raises(BadSignature):
            await alice.verify(TEXT + "!", detached)
        assert await alice.decrypt(message) == TEXT
        assert await alice.verify(TEXT, detached)


async def test_cancelled_at_any_time(alice: GnuPG) -> None:
    message = await alice.encrypt(TEXT)
    for number in range(40):
        task = asyncio.ensure_future(alice.decrypt(message))
        await asyncio.sleep(0.0005 * number)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await alice.decrypt(message) == TEXT
    await alice.aclose()
    assert children() == set()


async def test_a_message_that_is_no_text(alice: GnuPG) -> None:
    await warmed(alice, lambda gpg: gpg.encrypt(TEXT, BOB, sign=False))
    with pytest.raises(NotText):
        await alice.encrypt("\ud800", BOB, sign=False)
    assert await alice.encrypt(TEXT, BOB, sign=False)
    await alice.aclose()
    assert children() == set()


async def test_a_time_begins_with_the_message(alices_home: Path) -> None:
    async with alice_at(alices_home, timeout=3) as gpg:
        await warmed(gpg, lambda gpg: gpg.encrypt(TEXT, BOB, sign=False))
        await asyncio.sleep(3.1)
        assert waiting(gpg) == 1
        assert await gpg.encrypt(TEXT, BOB, sign=False)
        await warmed(gpg, lambda gpg: gpg.encrypt(TEXT, BOB, sign=False))
        for pid in children():
            os.kill(pid, signal.SIGSTOP)
        with pytest.raises(GnuPGTimeout):
            await gpg.encrypt(TEXT, BOB, sign=False)


# -- few, and not for long -----------------------------------------------------------------


async def test_it_ends_when_it_was_not_needed(
    alice: GnuPG, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "IDLE", 0.2)
    await warmed(alice, lambda gpg: gpg.sign(TEXT))
    while children():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert waiting(alice) == 0


@pytest.mark.parametrize("limit", [1, 2])
async def test_no_more_than_the_limit(alices_home: Path, limit: int) -> None:
    async with alice_at(alices_home, limit=limit) as gpg:
        for _ in range(3):
            for call in CALLS.values():
                await call(gpg)
                assert waiting(gpg) < limit
                await call(gpg)
                assert waiting(gpg) < limit
        assert bool(waiting(gpg)) == (limit > 1)


async def test_each_kind_of_many(alice: GnuPG, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "LIKE", float("inf"))  # however slow the machine is
    monkeypatch.setattr(standing, "IDLE", 600.0)
    seen = 0
    for _ in range(2):
        for number in range(standing.MOST + 2):
            await alice.encrypt_symmetric(TEXT, f"words {number}")
            seen = max(seen, waiting(alice))
            assert seen <= standing.MOST
    assert seen == standing.MOST


def test_it_ends_with_its_loop(alices_home: Path) -> None:
    gpg = alice_at(alices_home)
    for _ in range(2):
        asyncio.run(warmed(gpg, lambda gpg: gpg.sign(TEXT)))
        assert children() == set()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(warmed(gpg, lambda gpg: gpg.sign(TEXT)))
    loop.close()
    asyncio.run(gpg.aclose())
    assert children() == set()


ENDS = {
    "the end of the interpreter": "pass",
    "an error": "raise SystemExit(3)",
    "a kill": "os.kill(os.getpid(), 9)",
    "os._exit": "os._exit(0)",
    "a fork": "pid = os.fork(); pid and os.waitpid(pid, 0)",
}


@pytest.mark.parametrize("end", ENDS)
def test_it_ends_with_its_process(alices_home: Path, end: str) -> None:
    program = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from tests.instances import alice_at\n"
        "loop, gpg = asyncio.new_event_loop(), alice_at(Path(sys.argv[1]))\n"
        "async def work():\n"
        "    for _ in range(9):\n"
        "        await gpg.sign('x'); await asyncio.sleep(0.05)\n"
        "    assert sum(len(one.standing._waiting) for one in gpg._engine._loops.values()) == 1\n"
        f"loop.run_until_complete(work())\n{ENDS[end]}\n"
    )
    command = [sys.executable, "-c", program, str(alices_home)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=False, timeout=60)
    assert done.stderr == b""
    deadline = time.monotonic() + 60
    while any("gpg2" in str(line) for line in users_of(alices_home).values()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    asyncio.run(end_agent(alices_home))


async def end_agent(home: Path) -> None:
    """End the agent that a killed process left."""
    async with alice_at(home) as gpg:
        await gpg.reset_daemon()
