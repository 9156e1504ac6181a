"""How one gpg is run in one home: opened once, in its turn, and heard to its end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, cheap, copied
from tests.leftovers import forget
from tiny_gnupg import GnuPG
from tiny_gnupg._gpg import commands
from tiny_gnupg._home.home import Home
from tiny_gnupg._operations.engine import Call, Engine, reply_of
from tiny_gnupg._operations.keyring import KeyTable, the_one
from tiny_gnupg._process.find_gpg import find_executable, package_home
from tiny_gnupg._process.program import Completed

LISTING = commands.list_keys()


@contextmanager
def engine_at(home: Path, **more: object) -> Iterator[Engine]:
    """Return an engine for a home that has a marker already."""
    engine = Engine(
        find_executable(),
        Home.at(home),
        package_home() / "gpg2.conf",
        **more,  # type: ignore[arg-type]
    )
    try:
        yield engine
    finally:
        asyncio.run(engine.close())


def test_one_engine_serves_one_loop_after_another(keys: Path, home: Path) -> None:
    with engine_at(copied(keys / "alice", home)) as engine:
        for _ in range(3):
            found = asyncio.run(engine.run(Call(LISTING)))
            assert (found.returncode, found.stdout.count(b"\npub:")) == (0, 2)


def test_a_crowd_opens_a_home_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    prepare = Home.prepare

    def counted(self: Home, *arguments: object) -> None:
        opened.append(self.path)
        prepare(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Home, "prepare", counted)

    async def crowd() -> None:
        await asyncio.gather(*(engine.run(Call(LISTING)) for _ in range(30)))

    with engine_at(cheap(home)) as engine:
        asyncio.run(crowd())
    assert opened == [home]


def test_who_has_left_can_come_back(keys: Path, home: Path) -> None:
    async def come_and_go() -> None:
        for _ in range(3):
            assert (await engine.run(Call(LISTING))).returncode == 0
            await engine.close()
            await engine.close()

    with engine_at(copied(keys / "alice", home)) as engine:
        asyncio.run(come_and_go())


def test_several_runs_under_one_lock(keys: Path, home: Path) -> None:
    async def write_and_look() -> list[int]:
        seen = []

        async def look() -> None:
            seen.append((await engine.run(Call(LISTING))).stdout.count(b"\npub:"))

        async with engine.locked(writing=True):
            waiting = asyncio.ensure_future(look())
            listed = await engine.run_locked(Call(commands.list_keys([f"<{BOB}>"])))
            found = next(line for line in listed.stdout.split(b"\n") if line.startswith(b"fpr"))
            await engine.run_locked(Call(commands.delete(found.split(b":")[9].decode())))
            assert seen == [], "readers wait for all of it"
        await waiting
        return seen

    with engine_at(copied(keys / "alice", home)) as engine:
        assert asyncio.run(write_and_look()) == [1]


def test_a_reply_is_what_gpg_left_behind() -> None:
    found = reply_of(
        Completed(("gpg", "a b"), 2, b"out", b"gpg: \x1b[31mred\xff\n", b"[GNUPG:] NODATA 1\n")
    )
    assert (found.returncode, found.stdout, found.command) == (2, b"out", "gpg 'a b'")
    assert "\x1b" not in found.stderr
    assert [status.line for status in found.status] == ["NODATA 1"]


def test_the_table_of_keys_drops_what_changed(keys: Path, home: Path) -> None:
    async def look_twice() -> None:
        table = KeyTable(engine)
        await table.one(ALICE)  # the first listing of all may write the trust database
        first = await table.one(ALICE)
        assert await table.one(ALICE) is first
        await engine.run(Call(commands.delete((await table.one(BOB)).fingerprint), writing=True))
        assert await table.find(BOB) == ()
        assert await table.one(ALICE) is not first
        with pytest.raises(LookupError):
            the_one([], BOB)

    with engine_at(copied(keys / "alice", home)) as engine:
        asyncio.run(look_twice())


def test_an_obstacle_is_told_in_the_systems_words(home: Path) -> None:
    assert Home(home).obstacle() == ""
    assert Home(home / "is not there").obstacle() == "No such file or directory"
    forget(home)


async def test_a_call_leaves_nothing_for_the_collector_of_cycles(alice: GnuPG) -> None:
    # Its runs hold up the event loop: with 200 calls at once, for as long as all of them together.
    signed = await alice.sign("x")
    calls: list[Callable[[], Awaitable[object]]] = [alice.list_keys]
    calls += [lambda: alice.encrypt("x", ALICE), lambda: alice.verify(signed)]
    for call in calls:
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await call()
            gc.collect()
            left = {type(one).__module__ for one in gc.garbage}
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
        assert not [name for name in left if name.startswith("tiny_gnupg")]
