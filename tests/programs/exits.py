"""Use a home and end in one of the ways in which interpreters do."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.instances import ALICE, alice_at
from tiny_gnupg import run


async def use(gpg: object) -> None:
    assert "MESSAGE" in await gpg.sign("x", ALICE)  # type: ignore[attr-defined]


def main(homedir: str, way: str) -> None:
    gpg = alice_at(Path(homedir))
    if way == "run":
        run(use(gpg))
    else:
        asyncio.run(use(gpg))
    if way == "fork":
        child = os.fork()
        if child == 0:
            run(use(gpg))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        run(use(gpg))
    if way == "sys.exit":
        sys.exit(0)
    if way == "exception":
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - it is open to the very end
        raise RuntimeError("nobody catches this")
    if way == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
