"""A change of a key that is stopped at any step: it was made whole, or nothing was changed.

Stopped are this process (killed), gpg (killed, before or after it did its work), the agent, and the
task (cancelled).
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.conftest import Stopped
from tests.instances import ALICE, PASSPHRASE, alice_at, copied
from tests.proc import children, users_of
from tiny_gnupg import GnuPG, GnuPGError, Key, Subkey
from tiny_gnupg._process.find_gpg import find_executable

KEYS = "private-keys-v1.d"

#: What is changed, and the texts that the program of the test is given with it.
CHANGES: dict[str, Callable[[Key], list[str]]] = {
    "delete": lambda key: [],
    "delete secret_only": lambda key: [],
    "delete_subkey": lambda key: [key.subkeys[0].fingerprint],
    "gen_key": lambda key: [],
    "revoke_subkey": lambda key: [key.subkeys[0].fingerprint],
    "rotate": lambda key: [],
}


async def state(gpg: GnuPG) -> tuple[tuple[object, ...], ...]:
    """Return what is there of each key, but for what is another each time; see that it is whole."""
    home = Path(gpg.home)
    keys = await gpg.keys()
    parts: list[Key | Subkey] = [*keys, *(subkey for key in keys for subkey in key.subkeys)]
    grips = {part.keygrip for part in parts if part.secret}
    assert {path.name for path in (home / KEYS).glob("*.key")} == {f"{one}.key" for one in grips}
    assert not [path for path in (home / KEYS).iterdir() if path.is_dir()]
    assert not list((home / "tiny_gnupg.d").glob("scratch.*"))
    assert not list(home.glob("*.lock"))
    return tuple(
        sorted(
            (
                key.email,
                key.secret,
                key.expires and key.expires.date(),
                *(
                    (one.secret, one.revoked, one.expires and one.expires.date())
                    for one in key.subkeys
                ),
            )
            for key in keys
        )
    )


async def at(home: Path) -> tuple[tuple[object, ...], ...]:
    async with alice_at(home) as gpg:
        found = await state(gpg)
        for key in await gpg.keys(ALICE, secret=True):
            if key.usable_for("s"):
                assert "MESSAGE" in await gpg.sign("x", key.fingerprint)
        return found


@pytest.mark.parametrize("change", CHANGES)
async def test_this_process_is_killed_at_each_step(
    stopped: Stopped,
    alices_home: Path,
    tmp_path: Path,
    change: str,
    figures: Callable[[str], None],
) -> None:
    kept = copied(alices_home, tmp_path / "kept")
    async with alice_at(alices_home) as gpg:
        [key] = await gpg.keys(ALICE)
    before = await at(alices_home)
    ends, step = [], 1
    while stopped(alices_home, step, PASSPHRASE, change, *CHANGES[change](key)):
        ends.append(await at(alices_home))
        if ends[-1] != before:
            renew(kept, alices_home)
        step += 1
    after = await at(alices_home)
    assert after != before
    assert set(ends) <= {before, after}, ends
    assert ends[0] == before
    # Up to a step it is nothing, and from there on all.
    assert ends == sorted(ends, key=lambda one: one == after)
    assert not users_of(alices_home)
    figures(f"killed before each of {len(ends)} steps of {change}: {ends.count(after)} x all of it")


def renew(kept: Path, home: Path) -> None:
    """Put a home back to what it was."""
    for path in home.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    copied(kept, home)


CALLS: dict[str, Callable[[GnuPG, Key], Awaitable[object]]] = {
    "add_subkey": lambda gpg, key: gpg.add_subkey(),
    "delete": lambda gpg, key: gpg.delete(),
    "delete_subkey": lambda gpg, key: gpg.delete_subkey("", key.subkeys[0]),
    "gen_key": lambda gpg, key: gpg.gen_key(subkeys=["sign"]),
    "rotate": lambda gpg, key: gpg.rotate(usages=["sign"], overlap="30d"),
    "set_expire": lambda gpg, key: gpg.set_expire("", "99d"),
}

#: A gpg that is stopped when it is run for the nth time: before its work, or after. Runs that only
#: start the agent are not counted, where another one is tried, nor those that ask what it can do.
_GPG = """#!/bin/sh
case " $* " in
  *" --card-status "* | *" --version "* | *" --dump-options "* | *" --list-config "*)
    exec {gpg} "$@";;
esac
echo >> {count}
if [ "$(wc -l < {count})" = {number} ]; then
  case {how} in
    before) kill -9 $$;;
    after) {gpg} "$@" > /dev/null; kill -9 $$;;
    wait) touch {count}.reached; sleep 0.2;;
  esac
fi
exec {gpg} "$@"
"""


def stopping_gpg(folder: Path, number: int, how: str) -> Path:
    folder.mkdir()
    gpg, count = folder / "gpg", folder / "count"
    gpg.write_text(_GPG.format(count=count, number=number, how=how, gpg=find_executable()))
    gpg.chmod(0o755)
    return gpg


@pytest.mark.parametrize("how", ["before", "after", "cancelled"])
@pytest.mark.parametrize("change", CALLS)
async def test_gpg_or_the_task_is_stopped_at_each_step(
    alices_home: Path, tmp_path: Path, change: str, how: str
) -> None:
    kept = copied(alices_home, tmp_path / "kept")
    async with alice_at(alices_home) as gpg:
        [key] = await gpg.keys(ALICE)
    before = await at(alices_home)
    ends = []
    for number in range(1, 99):
        folder = tmp_path / f"{number}"
        program = stopping_gpg(folder, number, "wait" if how == "cancelled" else how)
        async with alice_at(alices_home, executable=program) as gpg:
            gpg.fingerprint = key.fingerprint
            task = asyncio.ensure_future(CALLS[change](gpg, key))
            reached = folder / "count.reached"
            while how == "cancelled" and not (reached.exists() or task.done()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            if how == "cancelled":
                task.cancel()
            with suppress(GnuPGError, asyncio.CancelledError):
                await task
        assert children() == set()
        ends.append(await at(alices_home))
        if len((folder / "count").read_text().splitlines()) < number:
            break  # it was run less often than that
        if ends[-1] != before:
            renew(kept, alices_home)
    *stopped_ends, after = ends
    assert after != before
    assert len(stopped_ends) >= 2
    assert set(stopped_ends) <= {before, after}
    assert stopped_ends[0] == before
