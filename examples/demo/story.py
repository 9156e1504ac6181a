"""The demonstration: the life of two keys and a message, with the time that each step took.

1. It happens in homes of its own below one temporary folder; the folder and the agents are gone
   at the end, however it ends.
2. A step that should be refused and is not, or the other way round, ends the demonstration with
   an error: what it prints is what happened.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from examples.demo.network import through_tor
from examples.demo.steps import MESSAGE, Say, Steps, duration, expect
from tiny_gnupg._process.find_gpg import package_home, probe
from tiny_gnupg.gnupg import GnuPG
from tiny_gnupg.version import __version__


async def demo(say: Say = print, *, network: bool = True) -> None:
    """Show what tiny_gnupg does, from two new keys to their deletion.

    Args:
        say: takes each line of text.
        network: show the part through Tor too, where this is a checkout and tor is installed.

    Raises:
        DemoFailed: a step did not do what it has to.
        GnuPGError: a step failed.
    """
    begun = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="tiny-gnupg-demo-"))
    steps = Steps(say)
    try:
        async with AsyncExitStack() as stack:
            alice, bob = [
                await stack.enter_async_context(_person(folder, name)) for name in ("Alice", "Bob")
            ]
            await _introduce(say, alice, folder)
            await _meet(steps, alice, bob)
            await _write(steps, alice, bob)
            await _tamper(steps, alice, bob)
            await _files(steps, alice, bob, folder)
            if network:
                await through_tor(steps, alice, folder)
            await _end(steps, alice, bob)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    say(f"\nDone: {steps.count} steps in {duration(time.perf_counter() - begun)}.")
    say("The two homes, their keys and their agents are gone.")


def _person(folder: Path, name: str) -> GnuPG:
    address = f"{name.lower()}@example.org"
    return GnuPG(name, address, secrets.token_urlsafe(12), homedir=folder / name.lower())


async def _introduce(say: Say, gpg: GnuPG, folder: Path) -> None:
    features = await probe(gpg.executable)
    bundled = Path(gpg.executable).parent == package_home()
    whose = "bundled" if bundled else "of this machine"
    say(f"tiny_gnupg {__version__} with gpg {features.version}, {whose}: {gpg.executable}")
    say(f"Two people, each with a home of their own below {folder}")


async def _meet(steps: Steps, alice: GnuPG, bob: GnuPG) -> None:
    steps.chapter("Two identities")
    for gpg in (alice, bob):
        with steps.step(f"{gpg.username} makes a key and three subkeys") as outcome:
            outcome.append(await gpg.gen_key())
    for giver, taker in ((alice, bob), (bob, alice)):
        with steps.step(f"{giver.username} gives {taker.username} the public key") as outcome:
            public = await giver.text_export()
            result = await taker.text_import(public)
            expect(result.fingerprints == (giver.fingerprint,), "the key was imported")
            outcome.append(f"{len(public)} characters")
        with steps.step(f"{taker.username} compares the fingerprint and certifies") as outcome:
            await taker.certify(giver.email)
            trust = await taker.key_trust(giver.email)
            expect(trust == "full", "a key that was certified is valid")
            outcome.append(f"validity: {trust}")


async def _write(steps: Steps, alice: GnuPG, bob: GnuPG) -> None:
    steps.chapter("A message")
    with steps.step("Alice encrypts to Bob and signs") as outcome:
        secret = await alice.encrypt(MESSAGE, bob.email)
        expect(MESSAGE not in secret, "the message is hidden")
        outcome.append(f"{len(MESSAGE)} characters became {len(secret)}")
    with steps.step("Bob decrypts and verifies") as outcome:
        found = await bob.decrypt_verify(secret)
        expect(found.require_good().text == MESSAGE, "the plaintext is the message")
        expect(found.signatures[0].primary_fingerprint == alice.fingerprint, "Alice signed it")
        outcome.append(f"{found.text!r}")
        outcome.append(f"{found.signatures[0].status.value} of {found.signatures[0].user_id}")
    with steps.step("Alice signs a text that stays readable") as outcome:
        signed = await alice.sign(MESSAGE, clear=True)
        expect(MESSAGE in signed, "the text is readable")
        outcome.append(f"{len(signed)} characters")
    with steps.step("Bob verifies it") as outcome:
        (signature,) = (await bob.verify(signed)).signatures
        expect(signature.good, "the signature is good")
        outcome.append(f"{signature.status.value}, made {signature.created:%Y-%m-%d %H:%M} UTC")


async def _tamper(steps: Steps, alice: GnuPG, bob: GnuPG) -> None:
    steps.chapter("Attempts")
    secret = bytearray(await alice.encrypt(MESSAGE.encode(), bob.email, armor=False))
    secret[-30] ^= 1
    with steps.refused("Somebody flips one bit of the encrypted message"):
        await bob.decrypt(bytes(secret))
    signed = await alice.sign(MESSAGE, clear=True)
    with steps.refused("Somebody changes a word of the signed text"):
        await bob.verify(signed.replace("mill", "bridge"))
    with steps.refused("Alice tries to read what only Bob can"):
        await alice.decrypt(await alice.encrypt(MESSAGE, bob.email))
    thief = GnuPG(bob.username, bob.email, "a guess", homedir=bob.home)
    with steps.refused("A thief of Bob's home guesses the passphrase"):
        await thief.decrypt(await alice.encrypt(MESSAGE, bob.email))
    await thief.aclose()


async def _files(steps: Steps, alice: GnuPG, bob: GnuPG, folder: Path) -> None:
    steps.chapter("Keys that leave")
    with steps.step("Alice exports her secret key to a file") as outcome:
        file = await alice.file_export(folder, secret=True)
        outcome.append(f"mode {file.stat().st_mode & 0o777:o}, {file.name}")
    with steps.step("She takes it to a new home, and reads there") as outcome:
        moved = GnuPG(alice.username, alice.email, alice.passphrase, homedir=folder / "moved")
        async with moved:
            await moved.file_import(file)
            again = await moved.decrypt(await bob.encrypt(MESSAGE, alice.email, sign=False))
        expect(again == MESSAGE, "the key works in the new home")
        outcome.append(f"{again!r}")


async def _end(steps: Steps, alice: GnuPG, bob: GnuPG) -> None:
    steps.chapter("The end of a key")
    with steps.step("Alice revokes her key, Bob learns of it") as outcome:
        await bob.text_import(await alice.revoke(reason=3, text="the demonstration is over"))
        trust = await bob.key_trust(alice.email)
        expect(trust == "revoked", "Bob's copy is revoked")
        outcome.append(f"validity: {trust}")
    with steps.refused("Bob tries to encrypt to it"):
        await bob.encrypt(MESSAGE, alice.fingerprint)
    with steps.step("Bob deletes it") as outcome:
        before = len(await bob.list_keys())
        await bob.delete(alice.fingerprint)
        left = await bob.list_keys()
        expect(left == {bob.fingerprint: bob.email}, "only Bob's own key is left")
        outcome.append(f"{before} keys before, {len(left)} now")
