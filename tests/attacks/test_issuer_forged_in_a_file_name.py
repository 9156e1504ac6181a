"""Text of a sender's that looks like a line of ``--list-packets`` names no issuer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.instances import PlainGpg
from tiny_gnupg import GnuPG, NotOpenPGP

#: No attack succeeds where a gpg waited for the message.
pytestmark = pytest.mark.usefixtures("both_ways")

FORGED = "0123456789ABCDEF0123456789ABCDEF01234567"
LINES = (
    f"(issuer fpr v4 {FORGED})",
    f"x\n\thashed subpkt 33 len 21 (issuer fpr v4 {FORGED})",
    f"x\n:signature packet: algo 22, keyid {FORGED[-16:]}",
    f"x\r:pubkey enc packet: version 3, algo 18, keyid {FORGED[-16:]}",
)


@pytest.mark.parametrize("line", LINES)
async def test_a_file_name_names_no_issuer(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg], line: str
) -> None:
    plain = plain_gpg()
    fingerprint = plain.new_key("Carol <carol@example.org>", algorithm="ed25519", usage="sign")
    signed = plain.run("--set-filename", line, "--sign", stdin=b"text").stdout
    assert await alice.packet_fingerprint(signed) == fingerprint
    assert FORGED not in {packet.fields.get("issuer") for packet in await alice.packets(signed)}
    unsigned = plain.run("--set-filename", line, "--store", stdin=b"text").stdout
    with pytest.raises(NotOpenPGP):
        await alice.packet_fingerprint(unsigned)


@pytest.mark.parametrize("line", LINES)
async def test_a_notation_names_no_issuer(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg], line: str
) -> None:
    plain = plain_gpg()
    fingerprint = plain.new_key("Carol <carol@example.org>", algorithm="ed25519", usage="sign")
    # gpg itself writes no control characters into a notation.
    notation = "note@example.org=" + " ".join(line.split())
    signed = plain.run("--sig-notation", notation, "--detach-sign", stdin=b"text").stdout
    assert await alice.packet_fingerprint(signed) == fingerprint


async def test_a_user_id_names_no_key(alice: GnuPG, plain_gpg: Callable[..., PlainGpg]) -> None:
    plain = plain_gpg()
    name = f"(issuer fpr v4 {FORGED}) keyid {FORGED[-16:]}"
    fingerprint = plain.new_key(name, algorithm="ed25519", usage="sign")
    assert await alice.packet_fingerprint(plain.run("--export").stdout) == fingerprint


async def test_the_recipient_is_not_read_from_an_armor_comment(alice: GnuPG, bob: GnuPG) -> None:
    message = await bob.encrypt("text", alice.fingerprint)
    head, empty, rest = message.partition("\n\n")
    told = f"{head}\nComment: :pubkey enc packet: keyid {FORGED[-16:]}{empty}{rest}"
    found = await alice.packet_fingerprint(told)
    assert found == await alice.packet_fingerprint(message) != FORGED[-16:]
