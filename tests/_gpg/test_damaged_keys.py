"""Key files that the agent wrote so that it cannot read them, as what they were meant to be."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.damaged_keys import CUT, CUT_OFF, DAMAGED, MENDABLE, SEVERAL
from tiny_gnupg._gpg.damaged_keys import readings


@pytest.mark.parametrize("name", MENDABLE)
def test_what_was_mended_is_whole(name: str) -> None:
    _, data = DAMAGED[name]
    [mended] = readings(data)
    assert mended != data
    assert readings(mended) == [mended]


@pytest.mark.parametrize("data", [DAMAGED[CUT_OFF[0]][1], f"{CUT}\n".encode()])
def test_file_that_ends_too_early_has_no_reading(data: bytes) -> None:
    assert readings(data) == []


@pytest.mark.parametrize("name", SEVERAL)
def test_several_readings_are_whole(name: str) -> None:
    _, data = DAMAGED[name]
    found = readings(data)
    assert len(found) == 3
    assert all(readings(one) == [one] for one in found)


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"Created: 1\n", b"(11:private-key)", b"Key: (2:a b)\n", b"Key: (a))\n"],
)
def test_what_is_not_of_this_format_stays_as_it_is(data: bytes) -> None:
    assert readings(data) == [data]


def test_other_lines_stay_as_they_are() -> None:
    data = b"# mine\nToken: a\n b\n" + written(b"a  $bc%d&", b"\x80" * 12) + b"Label: x\n"
    (mended,) = readings(data)
    assert mended.startswith(b"# mine\nToken: a\n b\nKey: (protected-private-key ")
    assert mended.endswith(b")))\nLabel: x\n")


def test_blanks_that_may_be_missing_in_several_places_give_several_readings() -> None:
    found = readings(written(b"a  $(bc%", b"\x80" * 12))
    assert len(found) == 2
    assert any(hexed(b"a  $(bc%") in one for one in found)
    assert any(hexed(b"a $( bc%") in one for one in found)


#: The public point of a key.
POINT = bytes.fromhex("4041D8B30F7429B50EEEB649C7EBED37FFE7C24EADCC616B7A1D41D874191D3D34")


def test_short_salt_without_a_place_for_blanks_is_left() -> None:
    data = written(b"a$b%c&d", b"\x80" * 12)
    assert readings(data) == [data]


#: Bytes that make a quoted string, blanks and parentheses above all.
TEXTUAL = st.sampled_from(b"   ()\"'\\\b\t\v\n\f\r#a$\xa1\xff0")


RANDOM_OR_TEXT = [
    st.one_of(
        st.lists(TEXTUAL, min_size=n, max_size=n).map(bytes), st.binary(min_size=n, max_size=n)
    )
    for n in (8, 12)
]


@given(*RANDOM_OR_TEXT, st.booleans())
def test_any_salt_and_nonce_are_among_the_readings(salt: bytes, nonce: bytes, native: bool) -> None:
    iv = nonce + b"\x01\x02\x03\x04" if native else nonce
    data = written(salt, iv, native=native)
    found = readings(data)
    if not data.endswith(b")\n"):
        assert found == []
        return
    shortened = [one for one in (salt, iv) if printed(one)[:1] == b'"' and TIDIED.search(one)]
    assert (found == [data]) == (not shortened)
    whole = [one for one in found if all(hexed(value) in one for value in shortened)]
    assert len(whole) == 1
    assert len(set(found)) == len(found)


#: Where blanks are dropped.
TIDIED = re.compile(rb"[ ()] ")


def hexed(value: bytes) -> bytes:
    return b"#%b#" % value.hex().upper().encode()


def printed(value: bytes) -> bytes:
    """Return a word as Libgcrypt 1.10 prints it (src/sexp.c: ``suitable_encoding``)."""
    names = dict(zip(b"\b\t\n\v\f\r\"'\\", (b"%c" % byte for byte in b"btnvfr\"'\\"), strict=True))
    odd = [byte for byte in value if byte < 0x20 or 0x7F <= byte <= 0xA0]
    if value[0] & 0x80 or not value[0] or any(byte and byte not in names for byte in odd):
        return hexed(value)
    if re.fullmatch(rb"[A-Za-z./_:*+=-][\w./:*+=\0-]*", value, re.ASCII):
        return value
    quoted = b"".join(
        b"\\" + names[byte] if byte in names else b"\\x00" if not byte else bytes([byte])
        for byte in value
    )
    return b'"' + quoted + b'"'


def written(
    salt: bytes,
    nonce: bytes,
    *,
    curve: str = "Ed25519",
    point: bytes = POINT,
    native: bool = False,
) -> bytes:
    """Return a key file as gpg-agent writes it (name-value.c: ``nvc_set_private_key``)."""
    name, q = curve.encode(), printed(point)
    secret = b'openpgp-s2k3-ocb-aes ((sha1 %b\n    "65536")%b)#%b#' % (
        printed(salt),
        printed(nonce),
        b"8A" * 80,
    )
    if native:
        secret = (
            b'openpgp-native \n   (openpgp-private-key \n    (version "4")\n    (algo EDDSA)\n'
            b'    (curve %b)\n    (skey _ %b e #%b#)\n    (csum "0")\n'
            b'    (protection sha1 AES %b "3" SHA1 %b "96"))'
        ) % (name, q, b"8A" * 60, printed(nonce), printed(salt))
    raw = (
        b"(protected-private-key \n (ecc \n  (curve %b)\n  (flags eddsa)\n  (q %b)\n"
        b'  (protected %b)\n  (protected-at "20240101T000000")\n  )\n )\n'
    ) % (name, q, secret)
    raw = raw.partition(b"\0")[0].rstrip()
    clean = bytearray()
    for before, byte in zip(b"x" + raw, raw, strict=False):
        if chr(byte).isspace() and byte < 0x80 and before in b" \t\n\v\f\r()":
            continue
        clean.append(0x20 if byte == 0x0A else byte)
    return b"Key:" + b"".join(b" %b\n" % line for line in folded(bytes(clean)))


def folded(value: bytes) -> Iterator[bytes]:
    """Yield the lines of a value (name-value.c: ``assert_raw_value``)."""
    width = 66
    while len(value) > width:
        place = next((at for at in range(width - 1, width - 31, -1) if value[at] in b" "), width)
        yield value[:place]
        value, width = value[place:], 70
    yield value
