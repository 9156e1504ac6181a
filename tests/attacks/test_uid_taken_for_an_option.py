"""A uid that looks like an option, given to every method that takes a uid."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.instances import ALICE, BOB, alice_at
from tiny_gnupg import GnuPG, GnuPGError, KeyNotFound

OPTIONS = ("--version", "-o", "--output=x", "--output", "-", "--", "--delete-keys", "@x", "&5")
UID_ARGUMENTS = ("uid", "local_user", "reader")
#: These give an empty answer where there is no such key; these ask the network, which is down.
LISTINGS = {"keys": (), "list_keys": {}, "raw_list_keys": ""}
NETWORK = {"network_export", "network_import", "raw_api_export", "refresh", "auto_encrypt"}
#: What stands for the other arguments that have no default.
OTHERS = {
    "message": "text",
    "messages": ["text"],
    "target": "text",
    "expires": "1y",
    "name": "A",
    "email": "a@example.org",
    "new": "new",
    "subkey": "F" * 40,
    "which": ALICE,
}


def cases() -> Iterator[tuple[str, str]]:
    """Find every public method with such an argument, also those that are yet to be written."""
    for name, method in inspect.getmembers(GnuPG, inspect.isroutine):
        if not name.startswith("_"):
            for argument in UID_ARGUMENTS:
                if argument in inspect.signature(method).parameters:
                    yield name, argument
    yield "sign", "target"


def arguments_for(method: Callable[..., Any], folder: Path) -> dict[str, Any]:
    """Fill in what has to be given; a name that is not known here fails the test."""
    source = folder / "source"
    source.write_bytes(b"data")
    streams = method.__name__.endswith("_stream")
    read = [b"data"] if streams else source
    known = {**OTHERS, "path": folder, "source": read, "output": folder / "output"}
    wanted = inspect.signature(method).parameters
    needed = [
        name
        for name, parameter in wanted.items()
        if parameter.default is parameter.empty
        and parameter.kind is not parameter.VAR_KEYWORD
        and name not in UID_ARGUMENTS
    ]
    given = {name: known[name] for name in (*needed, *({"output", "path"} & set(wanted)))}
    # A signer is not asked for where nothing is signed.
    whose = {one: who for one, who in (("uid", ALICE), ("reader", BOB)) if one in wanted}
    return given | ({"sign": True} if "sign" in wanted else {}) | whose


async def results_of(call: Any) -> Any:
    """Await a coroutine, or run an asynchronous iterator to its end."""
    if inspect.isasyncgen(call) or hasattr(call, "__aiter__"):
        return [item async for item in call]
    return await call


def test_there_are_such_methods() -> None:
    assert {"encrypt", "delete", "text_export", "trust", "sign"} <= {name for name, _ in cases()}


@pytest.mark.parametrize(("name", "argument"), list(cases()))
async def test_no_method_takes_it_for_one(
    alices_home: Path,
    make_gnupg: Callable[..., GnuPG],
    name: str,
    argument: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    alice = make_gnupg(alice_at, alices_home, tor_port=1)
    await alice.set_fingerprint(ALICE)
    method = getattr(alice, name)
    arguments = arguments_for(method, tmp_path)
    arguments |= {"key": True} if argument == "target" else {}
    before = snapshot(alice, tmp_path)
    for uid in OPTIONS if name not in NETWORK else OPTIONS[:2]:
        call = {**arguments, argument: uid}
        if name in LISTINGS:
            assert await method(**call) == LISTINGS[name], uid
        elif name in NETWORK:
            with pytest.raises((GnuPGError, ValueError)):
                await results_of(method(**call))
        else:
            with pytest.raises((KeyNotFound, ValueError)):
                await results_of(method(**call))
    assert snapshot(alice, tmp_path) == before
    assert list(await alice.list_keys(secret=True)) == [alice.fingerprint]


def snapshot(gpg: GnuPG, folder: Path) -> set[str]:
    """Name the files of a folder, and of the home as far as no lock or agent made them."""
    home = Path(gpg.home)
    found = itertools.chain(
        folder.rglob("*"), home.glob("*"), (home / "openpgp-revocs.d").glob("*")
    )
    return {
        str(path)
        for path in found
        if not path.name.startswith(("S.", ".#", "trustdb", "tofu"))
        and path.suffix not in (".lock", ".d")
    }
