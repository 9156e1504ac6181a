"""Text that is signed and stays readable: what is verified is what was signed, or nothing is."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.instances import alice_at
from tests.peers.gpg24 import gpg24
from tiny_gnupg import BadSignature, GnuPG
from tiny_gnupg._openpgp.clear_text import LONGEST_LINE, fault

LONG = b"x" * 30_000 + b"PAY 5 EUR"

#: Texts of which gpg signs less than they say.
CUT = {
    "a long line": LONG,
    "a long line in the middle": b"first\n" + LONG + b"\nlast\n",
    "one byte too many": b"x" * (LONGEST_LINE + 1) + b"\n",
    "with a dash, which is escaped": b"-" * (LONGEST_LINE + 1) + b"\n",
    "of characters that are several bytes": "ä".encode() * 10_000,
    "with CRLF": LONG + b"\r\n",
    "of blanks": b"a" + b" " * 30_000 + b"\n",
    "two CR before a line end": b"a\r\r\nb\n",
    "a blank behind a CR": b"a\r \nb\n",
    "NUL at a line's end": b"a\0\nb\n",
    "NUL at the end": b"a\0",
    "NUL and blanks": b"a \0 \n",
}

#: Texts that come back as they were, save for blanks at the ends of lines and a last line end.
WHOLE = {
    "a text": b"one\ntwo\n",
    "without a last line end": b"one\ntwo",
    "nothing": b"",
    "line ends": b"\n\n\n",
    "blanks at the ends": b"one  \ntwo\t \n \t\nthree ",
    "CRLF": b"one\r\ntwo\r\n",
    "a CR at the end": b"one\r",
    "CR within": b"one\rtwo\n",
    "NUL within": b"\0one\0two\n",
    "form feeds and others": b"one\x0c\ntwo\x0b\n\x1a\n",
    "dashes": b"- one\n-two\n-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n",
    "what mail programs escape": b"From me\n>From you\n.\n",
    "headers": b"Hash: MD5\n\nCharset: latin1\n",
    "other alphabets": "Grüße\u2028世界\u00a0\n\ufeff\u200b\n".encode(),
    "no UTF-8": b"Gr\xfc\xdfe\n",
    "the longest line": b"x" * LONGEST_LINE + b"\n" + b"-" * LONGEST_LINE,
    "the longest line, with CRLF": b"x" * LONGEST_LINE + b"\r\n",
}


def as_signed(text: bytes) -> bytes:
    """Return a text without what OpenPGP does not sign of it."""
    return b"\n".join(line.rstrip(b" \t") for line in text.removesuffix(b"\n").split(b"\n")) + b"\n"


@pytest.mark.parametrize("name", CUT)
def test_where_a_text_is_cut_into_pieces_makes_no_difference(name: str) -> None:
    text = CUT[name]
    for size in (1, 2, 19_991, 2**16):
        assert (
            fault(text[at : at + size] for at in range(0, len(text), size)) == fault([text]) != ""
        )


async def all_refused(gpg: GnuPG, folder: Path) -> None:
    """Sign by each method what gpg would sign a part of."""
    source = folder / "source"
    for text in CUT.values():
        source.write_bytes(text)
        with pytest.raises(ValueError, match="cannot be clear-signed: line"):
            await gpg.sign(text, clear=True)
        with pytest.raises(ValueError, match="cannot be clear-signed: line"):
            await gpg.sign_file(source, clear=True)
        assert os.listdir(folder) == ["source"]
        # Any other signature covers it all.
        assert (await gpg.verify(await gpg.sign(text))).data == text
        await gpg.verify(text, await gpg.sign(text, detach=True))
    with pytest.raises(ValueError, match="cannot be clear-signed"):
        await gpg.sign(LONG.decode(), clear=True)


async def all_whole(gpg: GnuPG, folder: Path) -> None:
    """Sign by each method what gpg signs whole, and look at what the signature is of."""
    source = folder / "source"
    for text in WHOLE.values():
        source.write_bytes(text)
        signed = await gpg.sign(text, clear=True)
        of_file = (await gpg.sign_file(source, clear=True, overwrite=True)).read_bytes()
        for made in (signed, of_file):
            assert (await gpg.verify(made)).data == as_signed(text)
            assert await gpg.decrypt(made) == as_signed(text)


async def test_what_gpg_would_sign_a_part_of_is_refused(alice: GnuPG, tmp_path: Path) -> None:
    await all_refused(alice, tmp_path)


async def test_what_is_verified_is_what_was_signed(alice: GnuPG, tmp_path: Path) -> None:
    await all_whole(alice, tmp_path)


async def test_it_is_the_same_with_gpg_2_4(alices_home: Path, tmp_path: Path) -> None:
    async with alice_at(alices_home, executable=gpg24()) as alice:
        await all_refused(alice, tmp_path)
        await all_whole(alice, tmp_path)


async def test_a_text_comes_through_a_pipe(alice: GnuPG, tmp_path: Path) -> None:
    pipe, target = tmp_path / "pipe", tmp_path / "target"
    os.mkfifo(pipe)
    sent, _ = await asyncio.gather(
        alice.sign_file(pipe, target, clear=True),
        asyncio.to_thread(pipe.write_bytes, b"one\ntwo\n" * 20_000),
    )
    assert (await alice.verify(sent.read_bytes())).data == b"one\ntwo\n" * 20_000
    refused, _ = await asyncio.gather(
        alice.sign_file(pipe, target, clear=True, overwrite=True),
        asyncio.to_thread(pipe.write_bytes, LONG),
        return_exceptions=True,
    )
    assert isinstance(refused, ValueError)
    assert target.read_bytes().count(b"two") == 20_000


async def clear_signed_by_another(gpg: GnuPG, line: bytes) -> bytes:
    """Return a clear-signed line as others sign it, of any length (RFC 9580, section 7)."""
    # Signed as text by gpg, which takes no such line for that; octets of a text are the same.
    made = await gpg.run_command(
        gpg.command("--armor", "--textmode", "--detach-sign", with_passphrase=True),
        (await gpg.agent_passphrase()).encode() + b"\n" + line,
    )
    head = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"
    return head + line + b"\n" + made.stdout


async def test_a_text_that_gpg_cannot_check_is_not_said_to_be_changed(
    alice: GnuPG, tmp_path: Path
) -> None:
    message = await clear_signed_by_another(alice, b"short")
    assert (await alice.verify(message)).data == b"short\n"
    with pytest.raises(BadSignature, match="was changed"):
        await alice.verify(message.replace(b"short", b"other"))

    message = await clear_signed_by_another(alice, b"x" * 19_996)
    path = tmp_path / "message"
    path.write_bytes(message)
    for call in (
        alice.verify(message),
        alice.verify(message.decode()),
        alice.decrypt(message),
        alice.verify_file(path),
    ):
        with pytest.raises(BadSignature, match="cannot check the signature") as caught:
            await call
        assert "changed" not in str(caught.value)
        assert len(caught.value.signatures) == 1
