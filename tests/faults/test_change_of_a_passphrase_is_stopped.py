"""A process that is killed while it changes a passphrase leaves a key with one, not with two."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import Stopped
from tests.instances import ALICE, PASSPHRASE, alice_at, copied
from tests.proc import users_of
from tiny_gnupg import BadPassphrase, GnuPG
from tiny_gnupg._home.layout import SWAP
from tiny_gnupg._home.repair import heal

#: A key has four files; each is at least written and put in its place.
FEWEST = 8


async def opens_all(home: Path, passphrase: str) -> bool:
    """Return whether a passphrase opens a key and all its subkeys."""
    async with alice_at(home, passphrase=passphrase) as gpg:
        try:
            # It asks for the old passphrase of each of them.
            await gpg.change_passphrase(ALICE, passphrase)
        except BadPassphrase:
            return False
        assert await gpg.decrypt(await gpg.encrypt("text")) == "text"
        await gpg.set_expire("", "1y")
        return True


async def test_at_each_step(
    stopped: Stopped, alices_home: Path, figures: Callable[[str], None]
) -> None:
    passphrase, ends = PASSPHRASE, []
    step = 1
    while stopped(alices_home, step, passphrase, "change_passphrase", f"new {step}"):
        ends.append([await opens_all(alices_home, one) for one in (passphrase, f"new {step}")])
        assert sum(ends[-1]) == 1, f"step {step}: old, new: {ends}"
        passphrase = passphrase if ends[-1][0] else f"new {step}"
        left = os.listdir(alices_home / "private-keys-v1.d")
        assert not [name for name in left if name.startswith(SWAP)]
        step += 1
    assert await opens_all(alices_home, f"new {step}")
    assert len(ends) > FEWEST
    # The old one up to a step, and from there on the new one.
    assert ends == sorted(ends, reverse=True)
    assert [True, False] in ends
    assert [False, True] in ends
    figures(
        f"killed before each of {len(ends)} steps of change_passphrase: "
        f"{ends.count([True, False])} x the old one, {ends.count([False, True])} x the new one"
    )


@pytest.fixture
async def half_done(alices_home: Path, alice: GnuPG, tmp_path: Path) -> Path:
    """Alice's home, whose key files are in part those of another passphrase."""
    before = copied(alices_home, tmp_path / "before") / "private-keys-v1.d"
    await alice.change_passphrase("", "new")
    keys = alices_home / "private-keys-v1.d"
    (keys / SWAP).mkdir()
    for path in sorted(keys.glob("*.key"))[1:]:
        path.rename(keys / SWAP / path.name)
        (before / path.name).rename(path)
    return alices_home


async def test_the_next_writer_finishes_it(half_done: Path, alice: GnuPG) -> None:
    """Also where the home is open all the time, as another process's is."""
    await alice.change_passphrase("", "newer")
    assert os.listdir(half_done / "private-keys-v1.d").count(SWAP) == 0
    assert await alice.decrypt(await alice.encrypt("text")) == "text"


async def test_it_is_warned_of_once(half_done: Path, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        heal(half_done)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_a_home_that_is_restored_is_finished_in_the_copy(
    half_done: Path, alice: GnuPG, other_home: Path
) -> None:
    message = await alice.encrypt("text", sign=False)
    async with alice_at(other_home, passphrase="new") as gpg:
        result = await gpg.restore(half_done)
        assert result.secret_imported == 1
        assert await gpg.decrypt(message) == "text"
    assert (half_done / "private-keys-v1.d" / SWAP).exists(), "it is only read"
    assert not users_of(other_home)
