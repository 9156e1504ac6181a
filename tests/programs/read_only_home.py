"""Read in a home that is mounted read-only, and try to change it: a home, a message and a key."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.instances import ALICE, BOB, PASSPHRASE
from tiny_gnupg import GnuPG, HomeUnusable


async def _main(home: str, folder: Path, end: str) -> None:
    signed, block = (folder / "signed").read_text(), (folder / "block").read_text()
    async with GnuPG("Alice", ALICE, PASSPHRASE, homedir=home) as gpg:
        own = (await gpg.own()).fingerprint
        assert set(await gpg.list_keys(secret=True)) == {own}
        assert (await gpg.verify(signed, signer=own)).signed_by(own)
        assert await gpg.decrypt(await gpg.encrypt("text"), signer=own) == "text"
        assert await gpg.encrypt("text", BOB)
        assert (await gpg.verify(await gpg.sign("text"))).signed_by(own)
        assert "PRIVATE KEY" in await gpg.text_export(secret=True)
        assert [one async for one in gpg.decrypt_many([await gpg.encrypt(b"x")])] == [b"x"]
        await gpg.backup(folder / "backup")
        writers = {
            "gen_key": gpg.gen_key(),
            "text_import": gpg.text_import(block),
            "trust": gpg.trust(BOB, 4),
            "set_expire": gpg.set_expire("", "1y"),
            "add_subkey": gpg.add_subkey(),
            "certify": gpg.certify(BOB),
            "delete": gpg.delete(BOB),
            "revoke": gpg.revoke(),
            "change_passphrase": gpg.change_passphrase("", "another"),
            "restore": gpg.restore(folder / "backup"),
        }
        told, refused = [], 0
        for name, call in writers.items():
            failure = await asyncio.gather(call, return_exceptions=True)
            told.append((name, str(failure[0])))
            refused += isinstance(failure[0], HomeUnusable) and home in str(failure[0])
        if refused < len(writers):
            raise SystemExit(f"not refused: {told}")
        assert await gpg.decrypt(await gpg.encrypt("text")) == "text"
        print(gpg._engine.home.path, flush=True)
        if end == "killed":
            os.kill(os.getpid(), signal.SIGKILL)


asyncio.run(_main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
