"""What the fault tests share: keys of strangers, and an instance with which rounds are made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.rounds import Rounds
from tests.instances import MakeGnuPG, PlainGpg, alice_at
from tests.leftovers import clean_home


@pytest.fixture(scope="session")
def strangers() -> dict[str, str]:
    """Public keys, armored, by their fingerprints."""
    with clean_home() as home:
        plain = PlainGpg(home)
        try:
            names = (f"Stranger {number} <s{number}@example.org>" for number in range(4))
            made = [plain.new_key(name, algorithm="ed25519", usage="sign") for name in names]
            return {key: plain.run("--armor", "--export", key).stdout.decode() for key in made}
        finally:
            plain.end_agent()


@pytest.fixture
async def rounds(
    alices_home: Path, make_gnupg: MakeGnuPG, strangers: dict[str, str]
) -> AsyncIterator[Rounds]:
    """Rounds with Alice, whose gpgs all work; what her home must not hold after is looked for."""
    alice = make_gnupg(alice_at, alices_home, warm=False)
    await alice.set_fingerprint(alice.email)
    rounds = await Rounds.begin(alice, strangers)
    yield rounds
    await rounds.check()
    await alice.aclose()
    home = Path(alice.home)
    left = [path.name for path in home.iterdir() if path.name.startswith(".#lk")]
    left += [path.name for path in home.rglob("scratch.*")]
    left += [path.name for path in home.glob("*.tmp")]
    assert not left
