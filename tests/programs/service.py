"""Process 1 of a container: it uses the home of its volume, restarts its agent, and leaves nothing.

Its arguments are the home, and the lock that the container before left there.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.instances import BOB, alice_at
from tests.proc import children


async def _main(home: Path, lock: Path) -> None:
    for turn in range(4):
        async with alice_at(home, timeout=120) as gpg:
            own = (await gpg.own()).fingerprint
            await gpg.set_expire("", f"{turn + 1}y")
            await gpg.trust(BOB, 4)
            assert await gpg.decrypt(await gpg.encrypt("text"), signer=own) == "text"
            assert len(await gpg.text_export()) > 100
            await gpg.reset_daemon()
            assert (await gpg.verify(await gpg.sign("text"))).signed_by(own)
    assert not lock.exists()
    assert children() == set()  # no zombie either
    print(os.getpid(), os.getuid(), os.uname().nodename, flush=True)


asyncio.run(_main(Path(sys.argv[1]), Path(sys.argv[2])))
