"""Change keys, each in a process that is killed before a step of that.

A line of standard input says what: the home, the step, the passphrase, the change, and what it is
given. Of each, a line tells how its process ended.

Python tells of each program that is started and each file that is opened, renamed or removed before
it is done (PEP 578). What is counted are gpgs in the home itself, and files in its directory of
secret keys.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.instances import ALICE, alice_at

STEPS = frozenset(
    {"open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link", "os.symlink"}
)


#: What is done, given the texts that the program was given.
CHANGES: dict[str, Callable[..., Awaitable[object]]] = {
    "change_passphrase": lambda gpg, new: gpg.change_passphrase("", new),
    "delete": lambda gpg: gpg.delete(),
    "delete secret_only": lambda gpg: gpg.delete(secret_only=True),
    "delete_subkey": lambda gpg, subkey: gpg.delete_subkey("", subkey),
    "gen_key": lambda gpg: gpg.gen_key(),
    "revoke_subkey": lambda gpg, subkey: gpg.revoke_subkey("", subkey),
    "rotate": lambda gpg: gpg.rotate(),
}


def killed_before(step: int, directory: Path, home: Path | None = None) -> None:
    """See to it that this process is killed before a step, counted from 1.

    Args:
        step: which.
        directory: files in it are counted.
        home: gpgs in this home are counted, too.
    """
    left = step

    def heard(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in STEPS and isinstance(arguments[0], str | bytes | os.PathLike):
            path = Path(os.fsdecode(arguments[0]))
            counts = path.is_relative_to(directory) and path != directory
        elif event == "subprocess.Popen" and isinstance(arguments[1], list):
            counts = str(home) in arguments[1]
        else:
            return
        left -= counts
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(heard)


async def main(home: str, step: int, passphrase: str, change: str, *more: str) -> None:
    async with alice_at(Path(home), passphrase=passphrase) as gpg:
        await gpg.set_fingerprint(ALICE)
        killed_before(step, Path(home, "private-keys-v1.d"), Path(home))
        await CHANGES[change](gpg, *more)


if __name__ == "__main__":
    for line in sys.stdin:
        if not (child := os.fork()):
            asyncio.run(main(*json.loads(line)))
            sys.exit()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
