"""The octet that says that a message is text is not signed, and gpg drops carriage returns of text.

Whoever hands a message on can so have other octets come out, with a good signature.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from functools import partial as partial_of
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, PlainGpg
from tests.openpgp import compressed, partial, parts
from tiny_gnupg import GnuPG, KeyNotFound, OutputTooLarge, SignatureError, mail
from tiny_gnupg._openpgp.armor import dearmor, enarmor
from tiny_gnupg._openpgp.packets import COMPRESSED, LITERAL, frame, inflate, write
from tiny_gnupg._openpgp.text_mode import in_octets
from tiny_gnupg._process.find_gpg import agent_program, find_executable
from tiny_gnupg.sop.program import TinySop

#: No attack succeeds where a gpg waited for the message.
pytestmark = pytest.mark.usefixtures("both_ways")

SAID = b"amount: 1\r00\r\nPK\x03\x04\r\n\x00\n"
#: Enough for a first part.
LONG = SAID * 40


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


async def signed_by(gpg: GnuPG, mode: bytes, *options: str, in_parts: bool = False) -> bytes:
    """Return what somebody signed as octets, and said to be something else."""
    message = dearmor(await gpg_of(gpg, *options, "--sign", stdin=LONG if in_parts else SAID))
    return changed(message, mode, cut_up if in_parts else write)


def cut_up(tag: int, body: bytes) -> bytes:
    """Write a packet in parts, so that gpg does not tell its length."""
    return partial(tag, body, 9)


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


async def test_beside_a_signature_of_nobody_here(
    alice: GnuPG, bob: GnuPG, tmp_path: Path, plain_gpg: Callable[..., PlainGpg]
) -> None:
    stranger = plain_gpg()
    stranger.new_key("Mallory <m@example.net>", algorithm="ed25519", usage="sign")
    by_both = [
        await signed_by(bob, b"t", in_parts=True),
        stranger.run("--compress-algo", "none", "--sign", stdin=LONG).stdout,
    ]
    (inner, outer) = map(parts, by_both)
    *inside, signature = [octets for _, octets in inner]
    # One more one-pass signature in front, and its signature at the end.
    message = b"".join([outer[0][1][:-1] + b"\0", *inside, signature, outer[-1][1]])
    found = await alice.decrypt_verify(message)
    assert sorted(one.status for one in found.signatures) == ["GOODSIG", "NO_PUBKEY"]
    assert found.data == LONG
    with pytest.raises(KeyNotFound):
        found.require_good()
    assert (await alice.verify(message, signer=BOB)).data == LONG
    assert await alice.decrypt(message, signer=BOB) == LONG
    source = tmp_path / "message"
    source.write_bytes(message)
    with pytest.raises(SignatureError, match="text"):
        await alice.decrypt_verify_file(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


async def test_stateless_openpgp(bob: GnuPG) -> None:
    certificate = {"bob": (await bob.text_export(BOB)).encode()}
    message = await signed_by(bob, b"t", in_parts=True)
    verify = partial_of(TinySop().inline_verify, message, signers=certificate)
    found, results = await asyncio.to_thread(verify)
    assert found == LONG
    assert results


async def test_in_a_mail(alice: GnuPG, bob: GnuPG) -> None:
    head = f"From: {BOB}\r\nContent-Type: text/plain\r\n\r\n".encode()
    inline = enarmor(await signed_by(bob, b"t", in_parts=True), "MESSAGE").encode()
    opened = await mail.decrypt(alice, head + inline)
    assert opened.signatures
    text = opened.message.get_content()
    assert "1\n00" in text  # a mail has line ends of its own
    assert "100" not in text


async def test_old_signatures_that_stand_in_front(alice: GnuPG, bob: GnuPG) -> None:
    for mode in (b"t", b"u", b"b"):
        (_, _), (_, text), (_, signature) = parts(await signed_by(bob, mode, in_parts=True))
        assert (await alice.verify(signature + text)).data == LONG
        assert await alice.decrypt(signature + text) == LONG


async def test_a_clear_signed_file_is_given_out(alice: GnuPG, bob: GnuPG, tmp_path: Path) -> None:
    source = tmp_path / "text.asc"
    source.write_bytes(await bob.sign(b"amount: 1\r00\n", clear=True))
    assert (await alice.decrypt_file(source)).read_bytes() == b"amount: 1\r00\n"


def test_what_is_compressed_is_bounded_all_together() -> None:
    message = write(COMPRESSED, b"\0" + write(60, bytes(100))) * 5
    assert in_octets(message, 5 * 106) == write(60, bytes(100)) * 5
    with pytest.raises(OutputTooLarge):
        in_octets(message, 5 * 106 - 1)
