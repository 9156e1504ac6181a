"""Use a home on a disk that is full, and on one that is read-only; nothing may be lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, alice_at, bob_at
from tiny_gnupg import GnuPG, HomeUnusable


async def main(home: Path, ready: Path) -> None:
    subprocess.run(["cp", "-a", f"{ready}/.", str(home)], check=True)
    async with alice_at(home) as alice:
        await alice.set_fingerprint(ALICE)
        before = await state(alice)
        key = await bobs_other_key(ready.parent / "elsewhere")
        filler = home / "filler"
        with pytest.raises(OSError, match="No space"):
            fill(filler)
        await on_a_full_disk(alice, key)
        assert await state(alice) == before
        filler.unlink()
        assert await alice.decrypt(await alice.encrypt("x")) == "x"
        assert (await alice.text_import(key)).imported == 1
    print("full: nothing lost")
    subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)
    gpg = alice_at(home)
    for call in (gpg.text_import(key), gpg.trust(ALICE, 4), gpg.gen_key()):
        with pytest.raises(HomeUnusable, match="make it writable"):
            await call
    assert await gpg.decrypt(await gpg.encrypt("x")) == "x"
    await gpg.aclose()
    print("read-only: said so")


def fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 256)


async def on_a_full_disk(alice: GnuPG, key: str) -> None:
    for call in (
        alice.text_import(key),
        alice.add_uid("", "Other", "other@example.org"),
        alice.set_expire("", "1y"),
        alice.delete(BOB),
        alice.sign(BOB, key=True),
        alice.change_passphrase("", "other"),
        alice.text_export(secret=True),
        alice.gen_key(),
        alice.revoke(),
    ):
        with pytest.raises(HomeUnusable, match=r"(?i)no space"):
            await call


async def state(gpg: GnuPG) -> object:
    keys = await gpg.keys()
    return keys, sorted(path.name for path in Path(gpg.home, "private-keys-v1.d").glob("*.key"))


async def bobs_other_key(elsewhere: Path) -> str:
    async with bob_at(elsewhere, passphrase="") as bob:
        await bob.gen_key()
        return await bob.text_export()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
