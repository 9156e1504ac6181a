"""Operations picked at random, and what must hold after any of them was disturbed."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.instances import PASSPHRASE, alice_at
from tiny_gnupg import GnuPG

ROUNDS = int(os.environ.get("TINY_GNUPG_ROUNDS", "15"))
SEED = int(os.environ.get("TINY_GNUPG_SEED") or random.SystemRandom().randrange(10**9))

Operation = Callable[[], Awaitable[object]]


@dataclass
class Rounds:
    """One instance, what it holds, and the operations that are done to it.

    ``strangers`` are key blocks that may be imported; ``held`` the fingerprints that have to be
    there whatever happens.
    """

    gpg: GnuPG
    strangers: dict[str, str]
    held: set[str]
    random: random.Random = field(default_factory=lambda: random.Random(SEED))
    counts: dict[str, int] = field(default_factory=dict)

    @classmethod
    async def begin(cls, gpg: GnuPG, strangers: dict[str, str]) -> Rounds:
        """Note what an instance holds, and prepare a message."""
        rounds = cls(gpg, strangers, set(await gpg.list_keys()))
        rounds.message = await gpg.encrypt("held")
        rounds.signed = await gpg.sign("held")
        return rounds

    message: str = ""
    signed: str = ""

    def operation(self) -> tuple[str, Operation]:
        """Pick one, with its name."""
        gpg, bulk = self.gpg, self.random.randbytes(self.random.choice([10, 10_000, 2_000_000]))
        stranger = self.random.choice(sorted(self.strangers))
        choices: dict[str, Operation] = {
            "encrypt": lambda: gpg.encrypt(bulk),
            "decrypt": lambda: gpg.decrypt(self.message),
            "sign": lambda: gpg.sign(bulk),
            "verify": lambda: gpg.verify(self.signed),
            "list": lambda: gpg.list_keys(),
            "import": lambda: self.take(stranger),
            "import again": lambda: self.take(stranger),
            "delete": lambda: self.drop(stranger),
            "trust": lambda: gpg.trust(gpg.fingerprint, self.random.choice([4, 5])),
            "certify": lambda: self.certify(stranger),
            "expire": lambda: gpg.set_expire("", self.random.choice(["1y", "2y"]), subkeys=False),
            "export secret": lambda: gpg.text_export(secret=True),
            "change passphrase": lambda: gpg.change_passphrase("", PASSPHRASE),
        }
        name = self.random.choice(sorted(choices))
        self.counts[name] = self.counts.get(name, 0) + 1
        return name, choices[name]

    async def take(self, fingerprint: str) -> None:
        """Import a stranger's key; once that has returned, it must stay."""
        await self.gpg.text_import(self.strangers[fingerprint])
        self.held.add(fingerprint)

    async def drop(self, fingerprint: str) -> None:
        """Delete a stranger's key; from now on it may be gone."""
        await self.take(fingerprint)
        self.held.discard(fingerprint)
        await self.gpg.delete(fingerprint)

    async def certify(self, fingerprint: str) -> None:
        """Certify a stranger's key."""
        await self.take(fingerprint)
        await self.gpg.sign(fingerprint, key=True)

    async def check(self) -> None:
        """See that nothing was lost, and that everything works at once.

        Raises:
            AssertionError: something was.
        """
        listed = await self.gpg.list_keys()
        assert self.held <= set(listed), f"lost {self.held - set(listed)}, seed {SEED}"
        assert await self.gpg.decrypt(self.message) == "held", f"seed {SEED}"
        assert (await self.gpg.verify(await self.gpg.sign("next"))).data == b"next", f"seed {SEED}"


def in_worker(home: str) -> str:
    """Use a home in a worker process, which finds this function by its name."""

    async def use() -> str:
        async with alice_at(Path(home)) as gpg:
            return await gpg.decrypt(await gpg.encrypt("from a worker"))

    return asyncio.run(use())
