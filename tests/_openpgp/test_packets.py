"""Packets cut out of bytes: every form of header, and nonsense."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.openpgp import compressed, new, old, partial
from tiny_gnupg._openpgp import packets
from tiny_gnupg._openpgp.packets import (
    TAG_NAMES,
    frame,
    inflate,
    inflated,
    most_parts,
    tag_name,
    walk,
    write,
)
from tiny_gnupg.errors import NotOpenPGP, OutputTooLarge


@pytest.mark.parametrize("size", [0, 1, 191, 192, 193, 8383, 8384, 65535, 65536])
def test_every_form_of_header(size: int) -> None:
    body = bytes(size)
    forms = [old(2, body, 2), old(11, body, 3), new(2, body), new(63, body, 5)]
    forms += [partial(11, body, power) for power in (9, 12)]
    forms += [old(2, body, 0)] if size < 256 else []
    forms += [old(2, body, 1)] if size < 65536 else []
    for data in forms:
        (found,) = frame(data)
        assert (found.offset, found.length, found.body) == (0, len(data), body)
        assert found.whole
        assert found.tag == (data[0] & 0x3F if data[0] & 0x40 else data[0] >> 2 & 0x0F)
        assert data[found.header :].startswith(body[:512])


def test_packets_follow_each_other() -> None:
    parts = [new(10, b"PGP"), old(13, b"uid", 0), partial(11, bytes(2000), 9), new(2, b"x", 5)]
    found = frame(b"".join(parts))
    assert [f.tag for f in found] == [10, 13, 11, 2]
    assert [f.offset for f in found] == [0, 5, 10, 10 + len(parts[2])]
    assert [f.length for f in found] == list(map(len, parts))
    assert [f.header for f in found] == [2, 2, 2, 6]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([new, write, *(lambda t, b, k=k: old(t, b, k) for k in (1, 2))]),
            st.integers(1, 15),
            st.binary(max_size=300),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_written_packets_are_read_back(
    packets: list[tuple[Callable[[int, bytes], bytes], int, bytes]],
) -> None:
    data = b"".join(form(tag, body) for form, tag, body in packets)
    assert [(f.tag, f.body) for f in frame(data)] == [(tag, body) for _, tag, body in packets]
    for end in range(1, len(data)):
        *before, last = walk(data[:end])
        assert all(f.whole for f in before)
        assert last.offset + last.length == end


@given(st.binary(min_size=1, max_size=3000), st.integers(9, 11))
def test_partial_lengths_are_read_back_and_never_whole_when_cut(body: bytes, power: int) -> None:
    data = partial(18, body, power)
    assert frame(data)[0].body == body
    for end in range(1, len(data)):
        (found,) = walk(data[:end])
        assert not found.whole
        assert body.startswith(found.body)
        with pytest.raises(NotOpenPGP, match="ends inside"):
            frame(data[:end])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x7f\x00",
        b"\x80\x00",
        b"\xc0\x00",
        b"\x8b",
        b"\xc2\xe9" + bytes(512) + b"\x00",
        new(10, b"PGP") + b"x",
        new(2, b"xxx")[:-1],
        b"\xc2",
        b"\xc2\xc0",
        b"\xc2\xff\x00\x00\x00",
        b"\x99\x00",
        b"\xcb\xe9" + bytes(512),
        b"\xcb\xe9" + bytes(512) + b"\xc0",
    ],
)
def test_nonsense_is_no_openpgp(data: bytes) -> None:
    with pytest.raises(NotOpenPGP):
        frame(data)


def test_the_number_of_packets_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "MAX_PARTS", 3)
    assert len(frame(new(10, b"") * 3)) == 3
    with pytest.raises(OutputTooLarge, match="too many packets"):
        frame(new(10, b"") * 4)
    with pytest.raises(OutputTooLarge, match="too many packets"):
        frame(partial(18, bytes(4 * 512), 9))


@pytest.mark.parametrize("flood", [new(10, b""), new(2, b"x"), new(63, b"12345678")])
@pytest.mark.parametrize("most", [None, 1000])
def test_no_data_has_more_packets_than_its_length_allows(flood: bytes, most: int | None) -> None:
    """What is done about data is in proportion to its length: two octets are no packet."""
    data = flood * 100_000
    packets = walk(data, most)
    assert all(islice(packets, most or most_parts(len(data))))
    with pytest.raises(OutputTooLarge):
        next(packets)


@pytest.mark.parametrize("flood", [b"\xe0x", b"\xe1xx", b"\xe2xxxx"])
def test_no_packet_has_more_parts_than_its_length_allows(flood: bytes) -> None:
    data = b"\xcb\xe9" + bytes(512) + flood * 100_000 + b"\x00"
    for most in (None, 1000):
        with pytest.raises(OutputTooLarge):
            next(walk(data, most))
    assert next(walk(data[:4000], 5000)).tag == 11


def test_a_first_part_is_no_shorter_than_rfc_9580_has_it() -> None:
    for power in range(9):
        with pytest.raises(NotOpenPGP, match="first part"):
            frame(partial(11, bytes(1000), power))
    short_later = b"\xcb\xe9" + bytes(512) + b"\xe0x" + b"\xe3" + bytes(8) + b"\x01y"
    assert frame(short_later)[0].body == bytes(512) + b"x" + bytes(8) + b"y"


def test_a_frame_shows_no_content() -> None:
    assert "s3cret" not in repr(frame(new(5, b"s3cret")))


def test_names_of_tags() -> None:
    assert tag_name(2) == TAG_NAMES[2] == "signature"
    assert tag_name(60) == "packet 60"


@pytest.mark.parametrize("algorithm", [0, 1, 2, 3])
def test_compressed_packets_are_opened_to_a_bound(algorithm: int) -> None:
    content = bytes(10**6)
    body = frame(compressed(content, algorithm))[0].body
    assert inflate(body, 2 * 10**6) == content
    assert inflate(body, 1000) == content[:1000]
    assert inflate(body, 0) == b""


@pytest.mark.parametrize("body", [b"", b"\x01\xff", b"\x02x", b"\x03BZh9x", b"\x03x", b"\x09x"])
def test_damaged_compression_gives_nothing(body: bytes) -> None:
    assert inflate(body, 100) == b""


@given(st.binary(max_size=300), st.integers(0, 3), st.integers(1, 50), st.integers(0, 400))
def test_pieces_of_any_size_are_opened_alike(
    content: bytes, algorithm: int, size: int, limit: int
) -> None:
    content *= 40
    body = frame(compressed(content, algorithm))[0].body
    assert inflate(body, limit) == content[:limit]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    assert b"".join(inflated(pieces)) == content
