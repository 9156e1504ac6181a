"""The octet that says that a message is text is not signed, and gpg drops carriage returns of text.

Whoever hands a message on can so have other octets come out, with a good signature.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB
from tests.openpgp import compressed, partial
from tiny_gnupg import GnuPG, SignatureError
from tiny_gnupg._openpgp.armor import dearmor, enarmor
from tiny_gnupg._openpgp.packets import COMPRESSED, LITERAL, frame, inflate, write
from tiny_gnupg._process.find_gpg import agent_program, find_executable

SAID = b"amount: 1\r00\r\nPK\x03\x04\r\n\x00\n"


async def gpg_of(gpg: GnuPG, *arguments: str, stdin: bytes) -> bytes:
    """Run gpg as anybody would, in the home of an instance."""
    agent = agent_program(find_executable())
    house = ["--homedir", gpg.home, "--batch", "--no-tty", "--pinentry-mode", "loopback"]
    passphrase = (await gpg._agent_passphrase()).decode()
    house += [f"--passphrase={passphrase}", "--trust-model", "always"]
    house += ["--agent-program", str(agent)] if agent else []
    command = [str(find_executable()), *house, *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout


def changed(message: bytes, mode: bytes, write_literal: Callable[[int, bytes], bytes]) -> bytes:
    """Return a signed message, not compressed, that says something else of its literal data."""
    packets = []
    for packet in frame(message):
        if packet.tag == COMPRESSED:
            return changed(inflate(packet.body, 2**20), mode, write_literal)
        body = packet.body
        text = packet.tag == LITERAL
        packets.append(write_literal(LITERAL, mode + body[1:]) if text else write(packet.tag, body))
    return b"".join(packets)


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda message: message,
    "compressed": compressed,
    "compressed twice": lambda message: compressed(compressed(message)),
    "armored": lambda message: enarmor(message, "MESSAGE").encode(),
}


async def signed_by(gpg: GnuPG, mode: bytes, *options: str, parts: bool = False) -> bytes:
    """Return what somebody signed as octets, and said to be something else."""
    message = dearmor(await gpg_of(gpg, *options, "--sign", stdin=SAID))
    in_parts = lambda tag, body: partial(tag, body.ljust(1, b"\0"), 9)  # noqa: E731
    return changed(message, mode, in_parts if parts else write)


@pytest.mark.parametrize("mode", [b"t", b"u", b"l", b"1", b"b"])
@pytest.mark.parametrize("form", FORMS)
async def test_what_comes_out_is_what_was_signed(
    alice: GnuPG, bob: GnuPG, tmp_path: Path, mode: bytes, form: str
) -> None:
    message = FORMS[form](await signed_by(bob, mode))
    for found in (
        (await alice.verify(message)).data,
        (await alice.verify(message, signer=BOB)).data,
        await alice.decrypt(message),
        (await alice.decrypt_verify(message)).data,
        await alice.auto_decrypt(message),
        *[one async for one in alice.decrypt_many([message])],
        *[one.data async for one in alice.verify_many([message])],
    ):
        assert found == SAID
    source = tmp_path / "message"
    source.write_bytes(message)
    try:
        await alice.decrypt_file(source, tmp_path / "out")
    except SignatureError as error:
        assert "text" in error.message  # noqa: PT017 - as octets it comes out
        assert not (tmp_path / "out").exists()
    else:
        assert (tmp_path / "out").read_bytes() == SAID


async def test_inside_of_what_is_encrypted(alice: GnuPG, bob: GnuPG, tmp_path: Path) -> None:
    said, signed = b"amount: 1\r00\nx\n", b"amount: 1\r00\r\nx\r\n"
    message = await gpg_of(bob, "--textmode", "-se", "-r", ALICE, stdin=said)
    assert (await alice.decrypt_verify(message)).require_signed().data == signed
    assert await alice.decrypt(message, signer=BOB) == signed
    assert [one async for one in alice.decrypt_many([message])] == [signed]
    source = tmp_path / "message.gpg"
    source.write_bytes(message)
    with pytest.raises(SignatureError, match="text"):
        await alice.decrypt_file(source)
    assert not source.with_suffix("").exists()


async def test_text_is_rendered_as_gpg_does_where_that_loses_nothing(
    alice: GnuPG, bob: GnuPG
) -> None:
    message = await gpg_of(bob, "--textmode", "--sign", stdin=b"one\ntwo\n")
    assert (await alice.verify(message)).data == b"one\ntwo\n"
    assert await alice.decrypt(message) == b"one\ntwo\n"
    sealed = await gpg_of(bob, "--textmode", "-se", "-r", ALICE, stdin=b"one\ntwo\n")
    assert (await alice.decrypt_verify(sealed)).require_signed().data == b"one\ntwo\n"
