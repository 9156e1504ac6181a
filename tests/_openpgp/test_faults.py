"""What keeps GnuPG from reading data, told from the data: made packets, and anything at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.openpgp import (
    SEIPD,
    SIGNED,
    SKESK,
    V4_KEY,
    compressed,
    literal,
    new,
    pkesk,
    signature,
)
from tiny_gnupg._openpgp.armor import enarmor
from tiny_gnupg._openpgp.faults import LOOKED_AT, damage, foreign, no_message, refusals
from tiny_gnupg._openpgp.fingerprints import key_fingerprint

NAME = key_fingerprint(V4_KEY)
UID = new(13, b"A <a@x.org>")
CERTIFIED = UID + new(2, signature(kind=0x13))


def key(body: bytes = V4_KEY, rest: bytes = CERTIFIED, tag: int = 6) -> bytes:
    return new(tag, body) + rest


def secret(protection: bytes) -> bytes:
    return key(V4_KEY + protection, tag=5)


def _algorithm(number: int, size: int) -> bytes:
    return V4_KEY[:5] + bytes([number]) + b"\x07" * size


KEYS = {
    "a key without a fault": (key(), ""),
    "version 3": (key(b"\x03" + V4_KEY[1:]), "PGP 2"),
    "version 6": (key(b"\x06" + V4_KEY[1:6] + b"\0\0\0\x04abcd"), "version 6"),
    "Ed448": (key(_algorithm(28, 57)), "ED448"),
    "an unknown algorithm": (key(_algorithm(99, 9)), "UNKNOWN_99"),
    "AEAD": (secret(b"\xfd\x18\x09\x02\x03\x08saltsalt\x60" + bytes(40)), "AEAD"),
    "Argon2": (secret(b"\xfe\x09\x04" + bytes(40)), "Argon2"),
    "an unknown way to stretch": (secret(b"\xfe\x09\x09\x08" + bytes(40)), "protected in a way"),
    "an unknown cipher": (secret(b"\xfe\x63\x03\x08" + bytes(40)), "protected in a way"),
    "gpg's own way": (secret(b"\xfe\x07\x03\x02saltsalt\x60" + bytes(40)), ""),
    "a stub": (secret(b"\xff\x00\x65\x00GNU\x01"), ""),
    "in the clear": (secret(b"\x00" + bytes(40)), ""),
    "no user id": (key(rest=b""), "without a user id"),
    "a user id that nobody signed": (key(rest=UID), "no user id that it signed itself"),
    "X448 for a subkey": (key(rest=CERTIFIED + new(14, _algorithm(26, 56))), "X448"),
    "AEAD of a subkey": (
        secret(b"\x00" + bytes(40)) + new(7, V4_KEY + b"\xfd" + bytes(40)),
        "AEAD",
    ),
}


@pytest.mark.parametrize("name", KEYS)
def test_what_there_is_about_a_key(name: str) -> None:
    block, why = KEYS[name]
    for data in (block, enarmor(block, "PUBLIC KEY BLOCK").encode()):
        [found] = refusals(data)
        assert why in found.why
        assert bool(why) is bool(found.why)
        assert found.cure


def test_each_key_of_a_block_has_its_own_reason() -> None:
    block = key() + KEYS["AEAD"][0] + KEYS["Ed448"][0]
    found = refusals(block)
    assert [one.name == NAME for one in found] == [True, True, False]
    assert [bool(one.why) for one in found] == [False, True, True]


OTHERS = {
    "a revocation certificate": (new(2, signature(kind=0x20)), "revocation", "revocation"),
    "that of a subkey": (new(2, signature(kind=0x28)), "revocation", "revocation"),
    "a certification": (new(2, signature(kind=0x10)), "a signature", "signature of a key"),
    "a detached signature": (new(2, signature()), "a signature", "without its data"),
    "a message": (SIGNED, "one-pass", ""),
    "a prefixed one": (new(2, signature()) + literal(), "a signature", ""),
    "a compressed one": (compressed(literal()), "compressed", ""),
    "a user id": (UID + new(2, signature(kind=0x13)), "'user id'", "'user id'"),
    "a key": (key(), "", "a key"),
    "a subkey": (new(14, V4_KEY), "'public subkey'", "a key"),
    "nothing": (b"", "no OpenPGP key", ""),
    "text": (b"text", "no OpenPGP key", ""),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_key_or_no_message_is_named(name: str) -> None:
    data, no_key, nothing_to_open = OTHERS[name]
    assert no_key in refusals(data)[0].why
    found = no_message(data)
    assert (found is None) is (not nothing_to_open)
    assert found is None or nothing_to_open in found.why


def test_damage_is_told_as_what_it_is() -> None:
    armored = enarmor(SIGNED, "MESSAGE").encode()
    line = next(one for one in armored.splitlines() if one.startswith(b"="))
    for data, why in (
        (armored, ""),
        (SIGNED, ""),
        (b"no OpenPGP data", ""),
        (b"", ""),
        (armored.replace(line, b"=AAAA"), "checksum"),
        (armored.replace(b"\n\n", b"\n\nAAAA"), "checksum"),
        (SIGNED[:-1], "ends inside"),
        (enarmor(SIGNED[:-1], "MESSAGE").encode(), "ends inside"),
        (SIGNED + b"\x01", "no OpenPGP packet at"),
    ):
        assert why in damage(data)
        assert bool(why) is bool(damage(data))
    block = enarmor(key(), "PUBLIC KEY BLOCK").encode()
    [found] = refusals(block[: len(block) // 2])
    assert "ends inside" in found.why
    long = enarmor(literal(bytes(LOOKED_AT)), "MESSAGE").encode()
    assert damage(long) == ""


V6_SKESK = new(3, b"\x06\x1a\x09\x02\x0b\x03\x08" + bytes(40))
ARGON2 = new(3, b"\x04\x09\x04" + bytes(40))
FOREIGN = {
    "a key's": (pkesk() + SEIPD, ""),
    "a passphrase's": (SKESK + SEIPD, ""),
    "one of LibrePGP": (new(3, b"\x05\x09\x02\x03\x08" + bytes(40)) + SEIPD, ""),
    "Argon2": (ARGON2 + SEIPD, "Argon2"),
    "Argon2 beside a key's": (ARGON2 + pkesk() + SEIPD, ""),
    "Argon2 beside another passphrase": (SKESK + ARGON2 + SEIPD, ""),
    "version 6 of a passphrase": (V6_SKESK + SEIPD, "version 6"),
    "version 6 of a key": (new(1, b"\x06\x00\x19" + bytes(40)) + SEIPD, "version 6"),
    "an unknown cipher": (new(3, b"\x04\x63\x03\x08" + bytes(9)) + SEIPD, "algorithms"),
    "an unknown hash": (new(3, b"\x04\x09\x03\x63" + bytes(9)) + SEIPD, "algorithms"),
    "a cut one": (new(3, b"\x04\x09") + SEIPD, "version 6"),
    "AEAD": (pkesk() + new(18, b"\x02\x09\x02\x06" + bytes(60)), "AEAD"),
    "a signature of version 6": (new(4, b"\x06" + bytes(50)) + literal(), "version 6"),
    "no session key": (SEIPD, ""),
    "a message": (SIGNED, ""),
    "text": (b"text", ""),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_no_gnupg_has_is_told_from_the_session_keys(name: str) -> None:
    data, why = FOREIGN[name]
    for form in (data, enarmor(data, "MESSAGE").encode()):
        assert why in foreign(form)
        assert bool(why) is bool(foreign(form))


@given(st.one_of(st.binary(max_size=99), st.sampled_from([*OTHERS.values(), *FOREIGN.values()])))
def test_nothing_is_too_strange(data: bytes | tuple[bytes, ...]) -> None:
    octets = data if isinstance(data, bytes) else data[0][:-1]
    assert damage(octets) is not None
    assert refusals(octets)
    assert foreign(octets) is not None
    no_message(octets)
