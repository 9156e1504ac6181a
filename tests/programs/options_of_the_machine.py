"""Use a home where the machine's own options say something: its gpg.conf, and its common.conf."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.instances import BOB, PASSPHRASE, alice_at
from tiny_gnupg import UnsupportedByGnuPG


async def _main(home: Path, gpg: str, options: str, common: str) -> None:
    async with alice_at(home, executable=gpg or None, passphrase=PASSPHRASE) as alice:
        before = await alice.keys()
    Path("/etc/gnupg/gpg.conf").write_text(options)
    Path("/etc/gnupg/common.conf").write_text(common)
    async with alice_at(home, executable=gpg or None, passphrase=PASSPHRASE) as alice:
        if common and gpg:
            # The keyring of before is looked at no more: what is in keyboxd is all that there is.
            await alice.gen_key()
            assert len(await alice.keys()) == 1
            assert not list(home.glob("S.keyboxd.lock"))
        else:
            assert await alice.keys() == before
        found = await alice.decrypt_verify(await alice.encrypt("text"))
        assert found.text == "text"
        assert len(found.recipients) == 1
        assert found.recipients[0] != "0" * 16
        if not common:
            assert "evil" not in await alice.encrypt("text", BOB, False)
        signed = await alice.sign("text", clear=True)
        assert "SHA512" in signed
    print("served")


def main() -> None:
    """Run; what is refused is told."""
    home, gpg, options, common = sys.argv[1:]
    try:
        asyncio.run(_main(Path(home), gpg, options, common))
    except UnsupportedByGnuPG as error:
        print("refused" if "/etc/gnupg/gpg.conf" in str(error) else error)


main()
