"""Change a passphrase, and be killed before a step of that in the directory of the secret keys.

Python tells of each file that is opened, renamed or removed before it is done (PEP 578); what is
counted are those of the key files of the home itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.instances import ALICE, alice_at

STEPS = frozenset(
    {"open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link", "os.symlink"}
)


def killed_before(step: int, directory: Path) -> None:
    """See to it that this process is killed before a step, counted from 1."""
    left = step

    def heard(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in STEPS and isinstance(arguments[0], str | bytes | os.PathLike):
            path = Path(os.fsdecode(arguments[0]))
            left -= path.is_relative_to(directory) and path != directory
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(heard)


async def main(home: str, step: str, old: str, new: str) -> None:
    async with alice_at(Path(home), passphrase=old) as gpg:
        await gpg.set_fingerprint(ALICE)
        killed_before(int(step), Path(home, "private-keys-v1.d"))
        await gpg.change_passphrase("", new)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
