"""What the fault tests share: keys of strangers, and an instance with which rounds are made."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.rounds import Rounds
from tests.instances import MakeGnuPG, PlainGpg, alice_at
from tests.leftovers import clean_home
from tests.namespaces import CHECKOUT


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


#: What changes a key in a process that is killed before a step; returns whether it came there.
Stopped = Callable[..., bool]


@pytest.fixture
def stopped() -> Iterator[Stopped]:
    """``tests.programs.stopped``, which is started once: that takes it half a second."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.programs.stopped"],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:

        def stop(home: Path, *what: str | int) -> bool:
            assert program.stdin is not None
            assert program.stdout is not None
            print(json.dumps([str(home), *what]), file=program.stdin, flush=True)
            ended = int(program.stdout.readline())
            assert ended in (0, -signal.SIGKILL)
            return ended != 0

        yield stop
