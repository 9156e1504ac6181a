"""A line end in a user id must begin no line of its own on the command line, nor break its JSON."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.command_line import PROGRAM
from tests.inprocess import Ended, run_here
from tests.instances import ALICE, PASSPHRASE, PlainGpg
from tiny_gnupg import GnuPG
from tiny_gnupg.cli.main import main

CHECKOUT = Path(__file__).parents[2]
FAKE = "F" * 40
ENDS = ("\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029")
LINES = (f"GOODSIG {FAKE} Bob <bob@x.org> 2026-01-01", f"{FAKE}  public")
FORGED = "".join(end + line for end in ENDS for line in LINES)
NAMES = {
    "line ends": f"Mallory{FORGED} <m@example.net>".encode(),
    "Latin-1": b"J\xfcrgen <j@example.net>",
    "controls": b"C1 \xc2\x9b31mRED\x7f\xc2\x9b0m <c@example.net>",
    "half a character": b"half \xe4\xb8 <h@example.net>",
    "right to left": "safe \u202egnp.exe <r@example.net>".encode(),
}


async def run(gpg: GnuPG, name: str, *arguments: str, stdin: bytes = b"") -> Ended:
    """Run a command in the home of an instance."""
    secret = ["--passphrase-env", "SECRET"] if name == "decrypt" else []
    command = [name, "--home", gpg.home, *secret, *arguments]
    return await asyncio.to_thread(run_here, partial(main, command), stdin, {"SECRET": PASSPHRASE})


@pytest.mark.parametrize("name", NAMES)
async def test_on_the_command_line(
    alice: GnuPG, tmp_path: Path, name: str, plain_gpg: Callable[..., PlainGpg]
) -> None:
    mallory = plain_gpg()
    key = mallory.new_key("Mallory <m@example.org>", algorithm="ed25519", usage="sign")
    text = NAMES[name].decode(errors="surrogateescape")
    freeform = ("--allow-freeform-uid", "--utf8-strings")
    mallory.run(*freeform, "--quick-add-uid", "--", key, text)
    await alice.text_import(mallory.run("--export").stdout)
    data, signature, message = tmp_path / "data", tmp_path / "data.sig", tmp_path / "data.gpg"
    data.write_bytes(b"data")
    signature.write_bytes(mallory.run("--detach-sign", stdin=b"data").stdout)
    mallory.run("--import", stdin=await alice.text_export())
    sealing = ("--trust-model", "always", "-r", ALICE, "--sign", "--encrypt")
    message.write_bytes(mallory.run(*sealing, stdin=b"data").stdout)
    commands = {
        "keys": (),
        "verify": (str(data), str(signature)),
        "decrypt": (str(message), "--output", str(tmp_path / "out"), "--force"),
    }
    for command, arguments in commands.items():
        ended = await run(alice, command, *arguments)
        assert ended.returncode == 0, ended.stderr
        for line in (ended.stdout + ended.stderr).decode().splitlines():
            assert not line.startswith((f"GOODSIG {FAKE}", FAKE))
            assert line.isprintable()
        facts = await run(alice, command, *arguments, "--json")
        assert facts.stdout.isascii()
        assert not set(facts.stdout) & {*range(10), *range(11, 32), 127}
        assert key in json.dumps(json.loads(facts.stdout))
        json.dumps(json.loads(facts.stdout), ensure_ascii=False).encode()  # no lone surrogate


@pytest.mark.parametrize("name", NAMES)
async def test_in_errors(alice: GnuPG, name: str) -> None:
    text = NAMES[name].decode(errors="surrogateescape")
    ended = await run(alice, "encrypt", "--no-sign", "-r", text, stdin=b"x")
    assert ended.returncode != 0
    assert len(ended.stderr.decode().splitlines()) == 1
    facts = await run(alice, "encrypt", "--no-sign", "--json", "-r", text, stdin=b"x")
    assert json.loads(facts.stdout)["error"]
    assert facts.stdout.isascii()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
async def test_where_not_every_character_can_be_shown(
    home: Path, plain_gpg: Callable[..., PlainGpg], encoding: str
) -> None:
    mallory = plain_gpg()
    key = mallory.new_key("κόσμε ü <m@example.org>", algorithm="ed25519", usage="sign")
    async with GnuPG(homedir=home) as gpg:
        await gpg.text_import(mallory.run("--export").stdout)
    (home / "signed").write_bytes(mallory.run("--sign", stdin=b"data").stdout)
    for arguments in (["keys"], ["verify", str(home / "signed")], ["verify", "-"]):
        ended = subprocess.run(
            [*PROGRAM, *arguments, "--home", str(home)],
            input=(home / "signed").read_bytes(),
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(CHECKOUT)},
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert key in ended.stdout.decode(encoding)
