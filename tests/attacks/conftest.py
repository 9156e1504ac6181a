"""What the attacks over the network share: a proxy that writes down, and a keyserver that lies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.homes import temporary_home
from tests.instances import alice_at
from tests.tor.liar import handler
from tests.tor.material import MadeKey, lies, make_key
from tests.tor.socks import RecordingProxy, listening
from tiny_gnupg import GnuPG

LIAR = "liar.example.onion"


@dataclass
class Hostile:
    """A network of which nothing is to be believed, and Alice's instances on it."""

    proxy: RecordingProxy
    home: Path
    folder: Path
    stack: AsyncExitStack

    async def alice(self, name: str, **settings: Any) -> GnuPG:
        """Return Alice with a keyserver that tells the lie of a name."""
        gpg = alice_at(self.home)
        self.stack.push_async_callback(gpg.aclose)
        await gpg.set_fingerprint(gpg.email)
        quick = {"total_timeout": 10.0, "tries": 1, "backoff": 0.0}
        url = f"http://{LIAR}/{name}/"
        gpg.set_network_variables(tor_port=self.proxy.port, keyserver=url, **(quick | settings))
        return gpg


@pytest.fixture(scope="session")
def made_keys() -> tuple[MadeKey, MadeKey]:
    """Two keys of gpg's own making: the one that is looked up, and one to lie with."""
    with temporary_home() as home:
        return make_key(home, "carol@example.org"), make_key(home, "mallory@example.org")


@pytest.fixture(scope="session")
def answers(made_keys: tuple[MadeKey, MadeKey], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The answers of a keyserver about the first of the made keys: one is true."""
    folder = tmp_path_factory.mktemp("answers")
    for name, body in lies(*made_keys).items():
        (folder / name).write_bytes(body)
    (folder / "the-truth").write_bytes(made_keys[0].armored.encode())
    return folder


@pytest.fixture
async def hostile(answers: Path, alices_home: Path) -> AsyncIterator[Hostile]:
    """A proxy that leads to a keyserver that lies."""
    async with (
        listening(handler(answers)) as port,
        RecordingProxy({LIAR: port, "evil.example": port}) as proxy,
        AsyncExitStack() as stack,
    ):
        yield Hostile(proxy, alices_home, answers, stack)
