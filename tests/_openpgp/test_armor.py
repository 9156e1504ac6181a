"""Armor: off and on, as tolerant as gpg."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.homes import Home
from tests.openpgp import FPR, OTHER, issuer_fpr, literal, new, signature
from tiny_gnupg._openpgp.armor import (
    crc24,
    dearmor,
    enarmor,
    is_armored,
    is_binary,
    is_clear_signed,
)
from tiny_gnupg._openpgp.kinds import MessageKind, issuer, message_kind
from tiny_gnupg._openpgp.packets import frame
from tiny_gnupg.errors import NotOpenPGP


def test_armor_is_the_same_as_gpg_writes(gpg_home: Home) -> None:
    binary = gpg_home.run("--export")
    text = gpg_home.run("--armor", "--export")
    assert enarmor(binary, "PUBLIC KEY BLOCK").encode() == text
    assert dearmor(text, checksum=True) == dearmor(binary) == binary
    assert (is_armored(text), is_armored(binary)) == (True, False)


@given(st.binary(min_size=1))
def test_armor_round_trip(data: bytes) -> None:
    text = enarmor(data, "MESSAGE").encode()
    assert dearmor(text, checksum=True) == data
    assert is_armored(text)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 76


TOLERATED: list[Callable[[bytes], bytes]] = [
    lambda text: text.replace(b"\n", b"\r\n"),
    lambda text: b"Dear all,\n\n" + text + b"-- \nAlice\n",
    lambda text: text.replace(b"-----\n\n", b"-----   \n \t\n", 1),
    lambda text: text.replace(b"\n\n", b"\nVersion: 1\nComment: a: b\n\n", 1),
    lambda text: text.replace(b"\n\n", b"\n", 1),
    lambda text: text[: text.rindex(b"\n=")] + b"\n-----END PGP MESSAGE-----\n",
    lambda text: text[: text.rindex(b"\n=")],
    lambda text: text.rstrip(),
    lambda text: text[: text.index(b"-----END")],
    lambda text: (
        b"".join(text.partition(b"\n\n")[:2]) + b" \n".join(text.partition(b"\n\n")[2].split(b"\n"))
    ),
    lambda text: b"-----BEGIN PGP NONSENSE-----\n\nAAAA\n" + text,
    lambda text: b"a -----BEGIN PGP MESSAGE-----\n\n" + text,
]


@pytest.mark.parametrize("change", TOLERATED)
@pytest.mark.parametrize("size", [1, 2, 3, 47, 48, 49, 300])
def test_armor_is_read_as_tolerantly_as_gpg_does(
    change: Callable[[bytes], bytes], size: int
) -> None:
    data = new(10, b"P" * size)
    assert dearmor(change(enarmor(data, "MESSAGE").encode())) == data


def test_several_blocks_follow_each_other() -> None:
    first, second = new(13, b"one"), new(13, b"two")
    text = f"x\n{enarmor(first, 'MESSAGE')}y\n{enarmor(second, 'SIGNATURE')}".encode()
    assert dearmor(text) == first + second


def test_a_clear_signed_text_has_its_packets_behind_the_text() -> None:
    packet = new(2, signature(issuer_fpr()))
    fake = enarmor(new(2, signature(issuer_fpr(OTHER))), "PUBLIC KEY BLOCK")
    head = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"
    text = f"{head}- -----BEGIN PGP SIGNATURE-----\n{fake}{enarmor(packet, 'SIGNATURE')}".encode()
    assert dearmor(text) == packet
    assert is_clear_signed(text)
    assert is_armored(text)
    assert issuer(text) == FPR.hex().upper()
    assert message_kind(text) == MessageKind(signed=True, clear_signed=True)


def test_a_wrong_checksum_matters_on_demand_only() -> None:
    data = new(10, b"PGP")
    text = enarmor(data, "MESSAGE").encode()
    wrong = text.replace(b"\n=", b"\n=A")[: text.rindex(b"\n=") + 6] + b"\n"
    assert dearmor(wrong) == data
    with pytest.raises(NotOpenPGP, match="checksum"):
        dearmor(wrong, checksum=True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\x7f",
        b"\xc0\x00",
        b"-----BEGIN PGP MESSAGE-----x\n\nAAAA\n",
        b" -----BEGIN PGP MESSAGE-----\n\nAAAA\n",
        b"-----BEGIN PGP MESSAGE-----",
        b"-----BEGIN PGP MESSAGE-----\n\n-----END PGP MESSAGE-----\n",
        b"-----BEGIN PGP MESSAGE-----\n\nA\n",
        b"> -----BEGIN PGP MESSAGE-----\n>\n> AAAA\n",
    ],
)
def test_what_is_no_openpgp_data(data: bytes) -> None:
    for function in (dearmor, message_kind, issuer):
        with pytest.raises(NotOpenPGP):
            function(data)


def test_a_clear_signed_text_without_its_signature_has_no_packets() -> None:
    text = b"-----BEGIN PGP SIGNED MESSAGE-----\n\ntext\n"
    assert message_kind(text).clear_signed
    for function in (dearmor, issuer):
        with pytest.raises(NotOpenPGP):
            function(text)


def test_binary_nonsense_is_no_message() -> None:
    for data in (b"\xff\xfe", b"\xc6\xe1x", b"\x84", b"\xc4\x05"):
        assert is_binary(data)
        for function in (message_kind, issuer, frame):
            with pytest.raises(NotOpenPGP):
                function(data)


def test_the_checksum_of_rfc_9580() -> None:
    assert crc24(b"") == b"\xb7\x04\xce"
    assert crc24(b"123456789") == b"\x21\xcf\x02"


@pytest.mark.parametrize("armored", [True, False])
def test_a_limit_decodes_the_beginning_only(armored: bool) -> None:
    data = literal(bytes(range(256)) * 64) * 3
    text = enarmor(data, "MESSAGE").encode() if armored else data
    for limit in (1, 2, 3, 10, 1000, 10**6):
        part = dearmor(text, limit=limit)
        assert len(part) >= min(limit, len(data))
        assert len(part) < 2 * limit + 100
        assert data.startswith(part)


def test_a_limit_counts_over_blocks() -> None:
    block = enarmor(new(13, b"x" * 90), "MESSAGE").encode()
    part = dearmor(block * 3, limit=100)
    assert 100 <= len(part) < 200
    assert dearmor(block * 3).startswith(part)
    assert dearmor(block * 3, limit=50) == dearmor(block)
