"""z-base-32: by its authors' alphabet, by other people's examples, and back again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiny_gnupg._openpgp.zbase32 import z_base_32


def test_zbase32_is_that_of_its_authors() -> None:
    # Vectors from the alphabet's definition: 5 bits a character, most significant first.
    assert z_base_32(b"\0" * 5) == "y" * 8
    assert z_base_32(b"\xff" * 5) == "9" * 8
    assert z_base_32(bytes([0b00001_000, 0, 0, 0, 0])) == "b" + "y" * 7
    assert len(z_base_32(b"x" * 15)) == 24


def test_z_base_32_is_rfc_6189s() -> None:
    # RFC 6189, section 5.1.6, and the human-oriented base-32 specification's own examples.
    assert z_base_32(b"") == ""
    assert z_base_32(bytes([0xF0, 0xBF, 0xC7])) == "6n9hq"
    assert z_base_32(bytes([0xD4, 0x7A, 0x04])) == "4t7ye"


@given(st.binary(max_size=40))
def test_z_base_32_loses_nothing(data: bytes) -> None:
    alphabet = "ybndrfg8ejkmcpqxot1uwisza345h769"
    bits = "".join(f"{alphabet.index(char):05b}" for char in z_base_32(data))
    assert len(bits) // 8 == len(data)
    assert bytes(int(bits[8 * i : 8 * i + 8], 2) for i in range(len(data))) == data
