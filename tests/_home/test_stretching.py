"""Stretching where memory is short, where scrypt is forbidden, and for many at once."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.instances import MakeGnuPG, alice_at, cheap
from tiny_gnupg import GnuPG, HomeUnusable, MemoryExhausted
from tiny_gnupg._home.protection import Protection
from tiny_gnupg._home.stretching import Stretcher

CHEAP = Protection("scrypt", "00" * 32, n=2**10)
#: No salt of its own bounds what this one needs.
DEAR = Protection("scrypt", "00" * 32, n=2**30)


async def test_a_passphrase_is_stretched_once() -> None:
    stretcher = Stretcher()
    found = await asyncio.gather(*(stretcher.stretched(CHEAP, "text") for _ in range(50)))
    assert set(found) == {CHEAP.stretch("text")}
    assert await stretcher.stretched(CHEAP, "") == b""
    assert await stretcher.stretched(Protection("gnupg"), "text") == b"text"


async def test_no_memory_is_said_and_over_when_it_is_over(
    alices_home: Path, make_gnupg: MakeGnuPG, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, short = hashlib.scrypt, True

    def scrypt(*args: Any, n: int, **options: Any) -> bytes:
        if short and n > 2:
            # More than there is: a real failure of OpenSSL's.
            return real(*args, **(options | {"n": 2**30, "maxmem": 2**31 - 1}))
        return real(*args, n=n, **options)

    monkeypatch.setattr(hashlib, "scrypt", scrypt)
    gpg = make_gnupg(alice_at, alices_home)
    calls: list[Callable[[], Any]] = [
        lambda: gpg.sign("x"),
        lambda: gpg.unlock(),
        lambda: gpg.decrypt("x"),
        lambda: gpg.text_export(secret=True),
        lambda: gpg.change_passphrase("", "new"),
    ]
    for call in calls:
        with pytest.raises(MemoryExhausted, match="scrypt finds no"):
            await call()
    short = False
    assert "MESSAGE" in await gpg.sign("x")


@pytest.mark.parametrize("how", ["forbidden", "left out"])
async def test_a_python_without_scrypt_is_said(
    alices_home: Path, make_gnupg: MakeGnuPG, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """As with OpenSSL in FIPS mode, and as built without it."""
    gpg = make_gnupg(alice_at, alices_home)
    with monkeypatch.context() as patched:
        if how == "left out":
            patched.delattr(hashlib, "scrypt")
        else:

            def refused(*_: object, **__: object) -> bytes:
                raise ValueError("[digital envelope routines] unsupported")

            patched.setattr(hashlib, "scrypt", refused)
        with pytest.raises(HomeUnusable, match="no scrypt"):
            await gpg.sign("x")
        assert await gpg.list_keys()
    assert "MESSAGE" in await gpg.sign("x")


async def test_many_identities_derive_one_after_the_other(
    home: Path, make_gnupg: MakeGnuPG, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many instances, loops and threads: the memory of one is enough."""
    real, at_once, most = hashlib.scrypt, 0, 0
    counting = threading.Lock()

    def scrypt(*args: Any, **options: Any) -> bytes:
        nonlocal at_once, most
        with counting:
            at_once += 1
            most = max(most, at_once)
        threading.Event().wait(0.01)
        try:
            return real(*args, **options)
        finally:
            with counting:
                at_once -= 1

    monkeypatch.setattr(hashlib, "scrypt", scrypt)
    cheap(home)
    many = [make_gnupg(alice_at, home, passphrase=f"number {each}") for each in range(12)]
    elsewhere = asyncio.to_thread(asyncio.run, Stretcher().stretched(CHEAP, "elsewhere"))
    found = await asyncio.gather(elsewhere, *(gpg.unlock() for gpg in many))
    assert len(set(found)) == 13
    assert most == 1


async def test_a_call_that_is_given_up_leaves_the_next_one_its_work(alice: GnuPG) -> None:
    calls = [asyncio.ensure_future(alice.unlock()) for _ in range(4)]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert await alice.unlock()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
async def test_a_forked_child_stretches_though_its_parent_was_at_it() -> None:
    dear = Protection("scrypt", "00" * 32, n=2**17)
    task = asyncio.ensure_future(Stretcher().stretched(dear, "text"))
    await asyncio.sleep(0.05)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work = Stretcher().stretched(CHEAP, "text")
            code = int(asyncio.new_event_loop().run_until_complete(work) != CHEAP.stretch("text"))
        finally:
            os._exit(code)
    found = await asyncio.to_thread(os.waitpid, child, 0)
    assert found[1] == 0
    assert await task
