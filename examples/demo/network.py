"""The part of the demonstration that goes through Tor: a whole Tor network on this machine.

The tests bring the private network and a keyserver that behaves as keys.openpgp.org does, the
machine brings ``tor``. Nothing leaves the machine: every address is loopback.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from examples.demo.steps import MESSAGE, Steps, expect
from tests.tor.network import PrivateNetwork, missing_programs
from tests.tor.processes import keyserver_server
from tiny_gnupg._network.keyserver import DEFAULT_KEYSERVER
from tiny_gnupg.gnupg import GnuPG


class Running(NamedTuple):
    """A private Tor network that runs, and the keyserver behind its onion service."""

    tor: Any
    keyserver: Any


async def through_tor(steps: Steps, alice: GnuPG, folder: Path) -> None:
    """Publish Alice's key, find it as a stranger would, and write to her.

    Args:
        steps: tells what happens.
        alice: whose key it is; her instance is made anew on the same home, for this network.
        folder: where the stranger's home is made.
    """
    steps.chapter("Through Tor")
    missing = why_not()
    if missing:
        steps.say(f"     left out: {missing}")
        return
    async with AsyncExitStack() as stack:
        with steps.step("A whole Tor network starts on this machine") as outcome:
            running = await stack.enter_async_context(_network(steps))
            outcome.append("5 nodes, and a keyserver behind an onion service")
        port = running.tor.socks_port
        owner, stranger = [
            await stack.enter_async_context(one) for one in _people(alice, folder, port)
        ]
        await _round_trip(steps, running, owner, stranger)


def why_not() -> str:
    """Tell why there can be no private network here; the empty text where there can."""
    missing = missing_programs()
    return f"not installed: {', '.join(missing)} (Debian: apt install tor)" if missing else ""


@asynccontextmanager
async def _network(steps: Steps) -> AsyncIterator[Running]:
    """Run a keyserver, and a Tor network that has it under the default keyserver's name."""
    with keyserver_server() as keyserver:
        tor = PrivateNetwork({80: keyserver.port}, say=lambda line: steps.say(f"     {line}"))
        try:
            await asyncio.to_thread(tor.start)
            tor.map_address(DEFAULT_KEYSERVER.removeprefix("http://"), tor.onion)
            yield Running(tor, keyserver)
        finally:
            await asyncio.to_thread(tor.stop)


def _people(alice: GnuPG, folder: Path, port: int) -> tuple[GnuPG, GnuPG]:
    return (
        GnuPG(alice.username, alice.email, alice.passphrase, homedir=alice.home, tor_port=port),
        GnuPG("Carol", "carol@example.org", homedir=folder / "carol", tor_port=port),
    )


async def _round_trip(steps: Steps, running: Running, alice: GnuPG, carol: GnuPG) -> None:
    with steps.step("Alice publishes her key") as outcome:
        answer = await alice.network_export(alice.email)
        outcome.append(f"the keyserver answers {answer['status']}")
    fingerprint = await alice.key_fingerprint(alice.email)
    with steps.step("Carol, a stranger, finds it by fingerprint") as outcome:
        await carol.network_import(fingerprint)
        (key,) = await carol.keys(fingerprint)
        expect(key.email == "", "no address is published before it is confirmed")
        outcome.append("no address in it yet, and still of use")
    with steps.step("She writes to Alice, who reads it") as outcome:
        secret = await carol.encrypt(MESSAGE, fingerprint, sign=False)
        expect(await alice.decrypt(secret) == MESSAGE, "Alice can read it")
        outcome.append(f"{len(secret)} characters")
    with steps.step("Alice follows the link in the keyserver's mail") as outcome:
        confirmed = await asyncio.to_thread(running.keyserver.confirm_all)
        expect(confirmed == [alice.email], "her address is confirmed")
        outcome.append(f"confirmed: {', '.join(confirmed)}")
    with steps.step("Carol finds the key by its address now") as outcome:
        outcome.append(await carol.search(alice.email))
        await carol.network_import(alice.email)
        (key,) = await carol.keys(alice.email)
        expect(key.fingerprint == fingerprint, "it is the same key")
    with steps.refused("Carol looks for somebody who is not there"):
        await carol.network_import("nobody@example.org")
