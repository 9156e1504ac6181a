"""Odd input of every kind: an answer or a GnuPGError in time, and never more than gpg stands by.

Each input goes to every method that reads what somebody sent. A plain gpg in the same home is the
judge: what it refuses, ``decrypt`` and ``verify`` refuse; what they give is what it gives.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.leftovers import clean_home
from tests.vectors.oddities import GROUPS, Material
from tiny_gnupg import Decryption, GnuPG, GnuPGError, OutputTooLarge
from tiny_gnupg._process.find_gpg import agent_program, find_executable

PASSPHRASE = "odd"
PLAINTEXT = b"the plaintext that only good messages give"
#: Seconds that one call may take on a busy machine; it hangs where it takes longer.
PATIENCE = 60
#: Bytes that a call may give: less than the bombs hold.
BOUND = 2**20
#: Inputs at once.
WIDTH = 4


@dataclass(frozen=True)
class World:
    """A reader with a key, another home for what is imported, and what the inputs are made of."""

    gpg: GnuPG
    importer: GnuPG
    material: Material


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with clean_home() as home, clean_home() as other:
        gpg = GnuPG("Reader", "reader@example.org", homedir=home, timeout=PATIENCE)
        importer = GnuPG(homedir=other, timeout=PATIENCE)
        gpg.max_output = importer.max_output = BOUND
        try:
            yield World(gpg, importer, asyncio.run(make(gpg)))
        finally:
            asyncio.run(gpg.aclose())
            asyncio.run(importer.aclose())


async def make(gpg: GnuPG) -> Material:
    await gpg.gen_key()
    armored = {
        "encrypted": await gpg.encrypt(PLAINTEXT, sign=False),
        "signed and encrypted": await gpg.encrypt(PLAINTEXT),
        "to a passphrase": (await plain(gpg, *QUICKLY, stdin=PLAINTEXT))[1],
        "signed": await gpg.sign(PLAINTEXT),
        "clear-signed": await gpg.sign(PLAINTEXT, clear=True),
        "detached signature": await gpg.sign(PLAINTEXT, detach=True),
        "public key": (await gpg.text_export()).encode(),
        "secret key": (await gpg.text_export(secret=True)).encode(),
    }
    binary = {}
    for name, data in armored.items():
        if name != "clear-signed":
            _, binary[name] = await plain(gpg, "--dearmor", stdin=data)
    return Material(armored, binary)


#: A message that is opened in a moment; that of the library takes a tenth of a second.
QUICKLY = ("--armor", "--s2k-count", "65536", "--symmetric")


async def plain(gpg: GnuPG, *arguments: str, stdin: bytes) -> tuple[int, bytes]:
    """Run gpg as anybody would; return its exit code, and what it puts into its output file."""
    executable = find_executable()
    agent = agent_program(executable)
    house = ["--homedir", gpg.home, "--batch", "--no-tty", "--pinentry-mode", "loopback"]
    house += ["--passphrase", PASSPHRASE, "--max-output", str(4 * BOUND)]
    house += ["--agent-program", str(agent)] if agent else []
    output = os.memfd_create("output")
    try:
        process = await asyncio.create_subprocess_exec(
            *(str(executable), *house, "--yes", "--output", f"/proc/self/fd/{output}", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=(output,),
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        await process.communicate(stdin)
        assert process.returncode is not None
        return process.returncode, os.pread(output, 5 * BOUND, 0)
    finally:
        os.close(output)


#: A message in an armor without a checksum or without its end; nothing else about it is odd.
NO_CHECKSUM = re.compile(
    rb"\A-----BEGIN PGP MESSAGE-----\n\n((?:[A-Za-z0-9+/]{4}|\n)+(?:[A-Za-z0-9+/]{2,3})?)"
    rb"[=\n]*(?:=[A-Za-z0-9+/]{1,3}|-----END PGP MESSAGE-----\n)?\Z"
)


async def asked(call: Awaitable[Any]) -> Any:
    """Await a call: its result, or the GnuPGError that it raised; it has a limited time."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await call
    except GnuPGError as caught:
        error = caught
    # No matter what was sent, a person can be told of it, on a terminal.
    assert error.message
    assert all(char == "\n" or char.isprintable() for char in error.diagnostics())
    return error


async def check(world: World, data: bytes) -> None:
    """Hold every method that reads against what gpg itself makes of the input."""
    gpg = world.gpg
    code, output = await plain(gpg, "--decrypt", stdin=data)
    if code != 0 and (bare := NO_CHECKSUM.search(data)) is not None:
        # gpg takes many of these for cut off; a checksum is optional (RFC 9580, 6.1).
        octets = base64.b64decode(bare[1] + b"==")
        code, output = await plain(gpg, "--decrypt", stdin=octets)
    for found in (
        await asked(gpg.decrypt(data, passphrase=PASSPHRASE)),
        await asked(gpg.verify(data)),
    ):
        if isinstance(found, GnuPGError):
            continue
        assert code == 0, "gpg refuses it"
        assert (found if isinstance(found, bytes) else found.data) == output
    judged = await asked(gpg.decrypt_verify(data, passphrase=PASSPHRASE))
    if isinstance(judged, Decryption):
        assert judged.data == output
        assert code == 0 or judged.failure is not None
    await check_detached(world, data)
    await check_packets(world, data)
    await asked(world.importer.scan(data))
    await asked(world.importer.text_import(data))


async def check_detached(world: World, data: bytes) -> None:
    found = await asked(world.gpg.verify(PLAINTEXT, data))
    if not isinstance(found, GnuPGError):
        assert found.data == PLAINTEXT
        assert {one.primary_fingerprint for one in found.signatures} == {world.gpg.fingerprint}


async def check_packets(world: World, data: bytes) -> None:
    fingerprint = await asked(world.gpg.packet_fingerprint(data))
    if not isinstance(fingerprint, GnuPGError):
        assert len(fingerprint) in (16, 40, 64)
    packets = await asked(world.gpg.packets(data))
    if not isinstance(packets, GnuPGError) and all(packet.tag != 8 for packet in packets):
        # They stand one behind the other, and none reaches into the next.
        end = 0
        for packet in packets:
            assert packet.offset >= end
            end = packet.offset + packet.length


@pytest.mark.parametrize("group", GROUPS)
async def test_odd_input_gives_an_answer_or_a_gnupg_error(world: World, group: str) -> None:
    inputs = GROUPS[group](world.material)
    wrong: list[str] = []

    async def worker() -> None:
        for name, data in inputs:
            try:
                await check(world, data)
            except Exception as error:
                wrong.append(f"{name}: {type(error).__name__}: {error}")

    await asyncio.gather(*(worker() for _ in range(WIDTH)))
    assert not wrong, "\n".join(wrong)


def test_there_are_hundreds_of_odd_inputs(world: World) -> None:
    inputs = [one for make_group in GROUPS.values() for one in make_group(world.material)]
    assert len({name for name, _ in inputs}) == len(inputs)
    assert len({data for _, data in inputs}) >= 300


async def test_the_material_itself_is_good(world: World) -> None:
    # Else everything above would be refused, and prove nothing.
    gpg, armored = world.gpg, world.material.armored
    for name in ("encrypted", "signed and encrypted", "to a passphrase", "signed"):
        for data in (armored[name], world.material.binary[name]):
            assert await gpg.decrypt(data, passphrase=PASSPHRASE) == PLAINTEXT
    assert (await gpg.verify(armored["clear-signed"])).data.rstrip() == PLAINTEXT
    assert await gpg.verify(PLAINTEXT, armored["detached signature"])
    assert len(await gpg.scan(world.material.binary["public key"])) == 1


async def test_a_bomb_is_stopped_by_its_size(world: World) -> None:
    bomb = dict(GROUPS["nested"](world.material))["a bomb"]
    encrypted = await world.gpg.encrypt(bytes(4 * BOUND), armor=False)
    for data in (bomb, encrypted):
        with pytest.raises(GnuPGError) as caught:
            await world.gpg.decrypt(data)
        assert data is bomb or caught.type is OutputTooLarge


#: What text can be, and bytes hardly are.
TEXTS = {
    "nothing": "",
    "NUL": "\0",
    "the last character": "\U0010ffff",
    "a thousand accents": "é" * 1000,
    "line ends of Python alone": "\x85\u2028",
    "a beginning": "-----BEGIN PGP MESSAGE-----",
}


@pytest.mark.parametrize("name", TEXTS)
async def test_odd_text_gives_an_answer_or_a_gnupg_error(world: World, name: str) -> None:
    gpg, text = world.gpg, TEXTS[name]
    for method in (gpg.decrypt, gpg.decrypt_verify, gpg.verify, gpg.scan):
        assert isinstance(await asked(method(text)), GnuPGError), method
    for look in (gpg.raw_packets, gpg.list_packets, gpg.packets, gpg.packet_fingerprint):
        await asked(look(text))
    assert isinstance(await asked(world.importer.text_import(text)), GnuPGError)
    assert isinstance(await asked(gpg.verify("data", text)), GnuPGError)


@pytest.mark.parametrize("group", ["truncated", "messages", "signatures"])
async def test_odd_input_among_many_harms_no_other(world: World, group: str) -> None:
    gpg, good = world.gpg, world.material.armored["signed and encrypted"]
    bad = [data for _, data in GROUPS[group](world.material)][::3]

    async def messages() -> AsyncIterator[bytes]:
        for data in bad:
            yield data
            yield good

    found = [one async for one in gpg.decrypt_many(messages(), return_exceptions=True)]
    assert len(found) == 2 * len(bad)
    assert found[1::2] == [PLAINTEXT] * len(bad)
    for one in found[::2]:
        assert isinstance(one, GnuPGError) or one == PLAINTEXT


async def test_odd_files_leave_no_file(world: World, tmp_path: Path) -> None:
    inputs = [*GROUPS["truncated"](world.material), *GROUPS["messages"](world.material)][::4]
    source, target = tmp_path / "odd", tmp_path / "plain"
    for name, data in inputs:
        source.write_bytes(data)
        found = await asked(world.gpg.decrypt_file(source, target, passphrase=PASSPHRASE))
        assert target.exists() != isinstance(found, GnuPGError), name
        if target.exists():
            assert target.read_bytes() == PLAINTEXT
            target.unlink()
        assert {path.name for path in tmp_path.iterdir()} == {"odd"}
