"""Secret keys that lie aside for a moment, weakly protected, go where a process is killed."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.instances import ALICE, alice_at
from tests.proc import users_of
from tiny_gnupg import GnuPG

CHECKOUT = Path(__file__).parents[2]
PROGRAM = f"tests.attacks.{Path(__file__).stem}"
SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP]


async def stays(condition: Callable[[], object]) -> bool:
    """Return whether something still is so after all the time that tidying up may take."""
    for _ in range(600):
        if not condition():
            return False
        await asyncio.sleep(0.1)
    return True


def copies(folder: Path) -> list[Path]:
    """Return secret keys that lie elsewhere than where a home has them."""
    kept = folder / "private-keys-v1.d"
    found = (Path(place, name) for place, _, names in os.walk(folder) for name in names)
    return [path for path in found if path.suffix == ".key" and path.parent != kept]


CALLS: dict[str, Callable[[GnuPG, Path], Awaitable[object]]] = {
    "text_export": lambda gpg, folder: gpg.text_export(ALICE, secret=True),
    "file_export": lambda gpg, folder: gpg.file_export(folder, ALICE, secret=True),
    "backup": lambda gpg, folder: gpg.backup(folder / secrets.token_hex(4)),
    "export_subkeys": lambda gpg, folder: gpg.export_subkeys(ALICE),
    "gen_key": lambda gpg, folder: gpg.gen_key(),
    "text_import": lambda gpg, folder: gpg.text_import((folder / "exported").read_text()),
    "reset_passphrase": lambda gpg, folder: gpg.change_passphrase(ALICE, gpg.passphrase),
}
DECRYPT: dict[str, Callable[[GnuPG, Path], Awaitable[object]]] = {
    "decrypt_file": lambda gpg, folder: gpg.decrypt_file(
        folder / "sealed", folder / "out", overwrite=True
    )
}


def drafts(pid: int, folder: Path) -> list[Path]:
    """Return what a process has open in a folder that has no name and something in it."""
    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            if os.readlink(path).startswith(f"{folder}/#") and path.stat().st_size:
                found.append(path)
    return found


async def call_for_ever(home: Path, call: str, folder: Path) -> None:
    async with alice_at(home) as gpg:
        print("go", flush=True)
        while True:
            await (CALLS | DECRYPT)[call](gpg, folder)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("call", CALLS)
async def test_a_call_is_killed(
    alices_home: Path, tmp_path: Path, call: str, number: signal.Signals
) -> None:
    async with alice_at(alices_home) as gpg:
        (tmp_path / "exported").write_text(await gpg.text_export(ALICE, secret=True))
    arguments = [sys.executable, "-m", PROGRAM, str(alices_home), call, str(tmp_path)]
    killed = subprocess.Popen(arguments, cwd=CHECKOUT, stdout=subprocess.PIPE)
    with killed:
        assert killed.stdout is not None
        assert await asyncio.to_thread(killed.stdout.readline) == b"go\n"
        while not copies(alices_home):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        killed.send_signal(number)
    assert killed.returncode == -number
    assert not await stays(lambda: copies(alices_home))
    assert not await stays(lambda: any("scratch." in str(line) for line in users_of(alices_home)))
    async with alice_at(alices_home) as gpg:
        assert await gpg.decrypt(await gpg.encrypt("text", ALICE)) == "text"


@pytest.mark.parametrize("number", SIGNALS)
async def test_no_plaintext_is_left(
    alices_home: Path, tmp_path: Path, number: signal.Signals
) -> None:
    async with alice_at(alices_home) as gpg:
        (tmp_path / "sealed").write_bytes(await gpg.encrypt(bytes(2**26), ALICE))
    arguments = [sys.executable, "-m", PROGRAM, str(alices_home), "decrypt_file", str(tmp_path)]
    killed = subprocess.Popen(arguments, cwd=CHECKOUT, stdout=subprocess.PIPE)
    with killed:
        assert killed.stdout is not None
        assert await asyncio.to_thread(killed.stdout.readline) == b"go\n"
        while not drafts(killed.pid, tmp_path):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        killed.send_signal(number)
    assert killed.returncode == -number
    left = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    left.pop("sealed")
    assert left in ({}, {"out": 2**26})
    async with alice_at(alices_home) as gpg:  # it ends the agent, which serves the home itself
        assert await gpg.decrypt((tmp_path / "sealed").read_bytes()) == bytes(2**26)


@pytest.mark.parametrize("number", SIGNALS)
async def test_stateless_openpgp_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    program = [sys.executable, "-m", "tiny_gnupg.sop"]
    made = subprocess.run(
        [*program, "generate-key", "A <a@example.org>"],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        check=True,
    )
    (tmp_path / "key").write_bytes(made.stdout)
    data = tmp_path / "data"
    data.write_bytes(bytes(30_000_000))
    with (
        data.open("rb") as stdin,
        subprocess.Popen(
            [*program, "sign", str(tmp_path / "key")],
            cwd=CHECKOUT,
            env=environment,
            stdin=stdin,
            stdout=subprocess.DEVNULL,
        ) as killed,
    ):
        while not list(tmp_path.rglob("*.key")):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        killed.send_signal(number)
    assert killed.returncode == -number
    assert not await stays(lambda: list(tmp_path.glob("tgsop*")))
    assert not await stays(lambda: users_of(tmp_path))


if __name__ == "__main__":
    asyncio.run(call_for_ever(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
