"""Use a homedir for a key's whole life, and tell what is left of it in the system."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.instances import alice_at, cheap
from tests.leftovers import SOCKETS, links_to


async def main(homedir: Path, run_user: str) -> None:
    if run_user == "with":
        Path("/run/user", str(os.getuid())).mkdir(parents=True, mode=0o700)
    cheap(homedir)
    async with alice_at(homedir) as gpg:
        await gpg.gen_key()
        assert await gpg.decrypt(await gpg.encrypt("a long way")) == "a long way"
        sockets = [path for base in SOCKETS if base.is_dir() for path in base.glob("d.*/S.*")]
        assert bool(sockets) == (run_user == "with")
    async with alice_at(homedir) as again:
        assert await again.sign("again")
    assert not links_to(homedir)
    assert not any(path for base in SOCKETS if base.is_dir() for path in base.iterdir())
    print(f"{len(str(homedir))} characters {run_user} /run/user")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
