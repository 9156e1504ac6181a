"""Armor, framing, whose a packet is, and gpg's text about packets."""

from __future__ import annotations

import bz2
import hashlib
import time
import zlib
from collections.abc import Callable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.homes import VECTORS, Home, temporary_home
from tiny_gnupg import framing
from tiny_gnupg.armor import (
    crc24,
    dearmor,
    enarmor,
    is_armored,
    is_binary,
    is_clear_signed,
)
from tiny_gnupg.errors import NotOpenPGP
from tiny_gnupg.framing import TAG_NAMES, frame, inflate, tag_name, walk, write
from tiny_gnupg.identity import (
    key_fingerprint,
    key_id_of,
    one_pass_signer,
    public_part,
    recipient,
    signature_issuer,
)
from tiny_gnupg.packets import (
    MessageKind,
    describe,
    issuer,
    list_packet_lines,
    message_kind,
    parse_list_packets,
)
from tiny_gnupg.results import Packet

FPR = bytes(range(1, 21))
KEY_ID = FPR[-8:]
OTHER = b"\xee" * 20


# A packet writer of the test's own, for every form of header.


def old(tag: int, body: bytes, kind: int) -> bytes:
    length = len(body).to_bytes(1 << kind, "big") if kind < 3 else b""
    return bytes([0x80 | tag << 2 | kind]) + length + body


def new(tag: int, body: bytes, octets: int = 0) -> bytes:
    size = len(body)
    if octets == 5 or size >= 8384:
        length = b"\xff" + size.to_bytes(4, "big")
    elif octets == 2 or size >= 192:
        length = bytes([192 + (size - 192 >> 8), size - 192 & 0xFF])
    else:
        length = bytes([size])
    return bytes([0xC0 | tag]) + length + body


def partial(tag: int, body: bytes, power: int) -> bytes:
    out, size = bytes([0xC0 | tag]), 1 << power
    while len(body) > size:
        out, body = out + bytes([224 + power]) + body[:size], body[size:]
    return out + new(tag, body)[1:]


def subpacket(kind: int, content: bytes, form: int = 1) -> bytes:
    size = len(content) + 1
    if form == 5:
        length = b"\xff" + size.to_bytes(4, "big")
    elif size >= 192:
        length = bytes([192 + (size - 192 >> 8), size - 192 & 0xFF])
    else:
        length = bytes([size])
    return length + bytes([kind]) + content


def signature(hashed: bytes = b"", unhashed: bytes = b"", kind: int = 0, version: int = 4) -> bytes:
    octets = 4 if version == 6 else 2
    areas = b"".join(len(area).to_bytes(octets, "big") + area for area in (hashed, unhashed))
    return bytes([version, kind, 22, 10]) + areas + b"\xab\xcd" + b"\x00\x08\x01" * 2


def issuer_fpr(fingerprint: bytes = FPR, version: int = 4) -> bytes:
    return subpacket(33, bytes([version]) + fingerprint)


def one_pass(key_id: bytes = KEY_ID) -> bytes:
    return new(4, b"\x03\x00\x0a\x16" + key_id + b"\x01")


def literal(content: bytes = b"text", name: bytes = b"") -> bytes:
    return new(11, b"b" + bytes([len(name)]) + name + bytes(4) + content)


def pkesk(key_id: bytes = KEY_ID) -> bytes:
    return new(1, b"\x03" + key_id + b"\x01\x00\x08\xff")


def compressed(content: bytes, algorithm: int = 1) -> bytes:
    if algorithm == 0:
        packed = content
    elif algorithm == 1:
        deflate = zlib.compressobj(wbits=-15)
        packed = deflate.compress(content) + deflate.flush()
    else:
        packed = zlib.compress(content) if algorithm == 2 else bz2.compress(content)
    return old(8, bytes([algorithm]) + packed, 3)


V4_KEY = b"\x04\x5f\x00\x00\x00\x01" + b"\x00\x08\xff" + b"\x00\x11\x01\x00\x01"
SIGNED = one_pass() + literal() + new(2, signature(issuer_fpr()))
SKESK = new(3, b"\x04\x09\x03\x08" + bytes(8) + b"\x60")
SEIPD = new(18, b"\x01" + bytes(40))


# Armor


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with temporary_home() as home:
        fingerprint = home.new_key("Alice <a@x.org>", "ed25519", "cert,sign")
        home.run("--quick-add-key", fingerprint, "cv25519", "encr")
        yield home


def test_armor_is_the_same_as_gpg_writes(home: Home) -> None:
    binary = home.run("--export")
    text = home.run("--armor", "--export")
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


# Framing


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


@given(st.binary(min_size=1, max_size=3000), st.integers(0, 10))
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
        b"\xcb\xe0x",
        b"\xcb\xe0x\xc0",
    ],
)
def test_nonsense_is_no_openpgp(data: bytes) -> None:
    with pytest.raises(NotOpenPGP):
        frame(data)


def test_the_number_of_packets_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "MAX_PACKETS", 3)
    assert len(frame(new(10, b"") * 3)) == 3
    with pytest.raises(NotOpenPGP, match="more than 3"):
        frame(new(10, b"") * 4)


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


# Whose a packet is


def test_fingerprints_of_real_keys_of_many_algorithms(home: Home) -> None:
    for algorithm in ("rsa1024", "dsa1024", "ed25519", "nistp256", "nistp521", "brainpoolP256r1"):
        fingerprint = home.new_key(f"{algorithm} <{algorithm}@x.org>", algorithm, "sign,cert")
        for subkey in ("elg1024", "cv25519", "nistp384"):
            home.run("--quick-add-key", fingerprint, subkey, "encr")
        listed = [
            line.split(":")[9]
            for line in home.colons("--list-keys", "--", fingerprint).splitlines()
            if line.startswith("fpr:")
        ]
        public, secret = (
            home.run("--export", fingerprint),
            home.run("--export-secret-keys", fingerprint),
        )
        for data, tags in ((public, (6, 14)), (secret, (5, 7))):
            bodies = [f.body for f in frame(data) if f.tag in tags]
            assert [key_fingerprint(body) for body in bodies] == listed
        assert len(listed) == 4
        assert issuer(public) == issuer(secret) == fingerprint


@pytest.mark.parametrize(("algorithm", "size"), [(25, 32), (26, 56), (27, 32), (28, 57)])
def test_fingerprints_of_the_algorithms_of_rfc_9580(algorithm: int, size: int) -> None:
    public = b"\x04\x5f\x00\x00\x00" + bytes([algorithm]) + b"\x07" * size
    assert public_part(public + b"\x00secret") == public
    digest = hashlib.sha1(b"\x99" + len(public).to_bytes(2, "big") + public)  # noqa: S324
    assert key_fingerprint(public) == digest.hexdigest().upper()


def test_fingerprints_of_versions_5_and_6() -> None:
    for version, prefix in ((5, b"\x9a"), (6, b"\x9b")):
        public = bytes([version]) + bytes(4) + b"\x1b" + (32).to_bytes(4, "big") + b"\x07" * 32
        digest = hashlib.sha256(prefix + len(public).to_bytes(4, "big") + public).hexdigest()
        assert key_fingerprint(public + b"secret") == digest.upper()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x03" + bytes(50),
        b"\x04",
        b"\x04" + bytes(4) + b"\x63" + bytes(50),
        V4_KEY[:-1],
        b"\x04" + bytes(4) + b"\x16\x05",
        b"\x04" + bytes(4) + b"\x12\x01\xff\x00\x08\x01",
        b"\x05" + bytes(5) + b"\x00\x00",
        b"\x06" + bytes(5) + b"\x00\x00\x00\x20" + bytes(31),
        b"\x06" + bytes(5) + b"\x00\x01\x00\x00" + bytes(70000),
    ],
)
def test_a_key_that_cannot_be_named(body: bytes) -> None:
    with pytest.raises(NotOpenPGP):
        key_fingerprint(body)


V6 = b"\xaa" * 32


@pytest.mark.parametrize(
    ("hashed", "unhashed", "name"),
    [
        (issuer_fpr(), b"", FPR),
        (issuer_fpr(), subpacket(16, OTHER[:8]) + issuer_fpr(OTHER), FPR),
        (issuer_fpr() + issuer_fpr(OTHER), b"", FPR),
        (b"", issuer_fpr(), FPR),
        (b"", subpacket(16, KEY_ID), KEY_ID),
        (subpacket(16, KEY_ID), b"", KEY_ID),
        (subpacket(16, KEY_ID), subpacket(16, OTHER[:8]), KEY_ID),
        (subpacket(16, KEY_ID), issuer_fpr(), FPR),
        (subpacket(16, KEY_ID), issuer_fpr(OTHER), KEY_ID),
        (subpacket(2, bytes(4)) + subpacket(33 | 0x80, b"\x04" + FPR), b"", FPR),
        (subpacket(20, bytes(300)) + subpacket(33, b"\x04" + FPR, 5), b"", FPR),
        (issuer_fpr(FPR[:-1]), subpacket(16, KEY_ID), KEY_ID),
        (subpacket(33, b""), subpacket(16, KEY_ID[:-1]), b""),
        (issuer_fpr(V6, 6), b"", V6),
        (issuer_fpr(V6, 5), b"", V6),
        (b"\x00" + issuer_fpr(), b"", b""),
        (issuer_fpr()[:-1], b"", b""),
        (b"\xff\x00", b"", b""),
        (b"\xc0", b"", b""),
        (b"\x05", b"", b""),
        (b"", b"", b""),
    ],
)
def test_the_issuer_is_read_from_what_the_signature_protects_first(
    hashed: bytes, unhashed: bytes, name: bytes
) -> None:
    for version in (4, 5, 6):
        body = signature(hashed, unhashed, version=version)
        assert signature_issuer(body) == name.hex().upper()


@pytest.mark.parametrize("version", [2, 3])
def test_old_signatures_name_a_key_id(version: int) -> None:
    body = bytes([version, 5, 0]) + bytes(4) + KEY_ID
    assert signature_issuer(body) == KEY_ID.hex().upper()
    assert signature_issuer(body[:-1]) == ""


@pytest.mark.parametrize(
    "body", [b"", b"\x07" + bytes(50), b"\x04\x00\x16", b"\x04\x00\x16\x0a\x00"]
)
def test_a_signature_that_names_nobody(body: bytes) -> None:
    assert signature_issuer(body) == ""


def test_recipients() -> None:
    assert recipient(b"\x03" + KEY_ID + b"\x01") == KEY_ID.hex().upper()
    assert recipient(b"\x03" + bytes(8) + b"\x01") == "0" * 16
    assert recipient(b"\x06\x21\x06" + V6) == V6.hex().upper()
    assert recipient(b"\x06\x15\x04" + FPR) == FPR.hex().upper()
    assert recipient(b"\x06\x00\x19") == "0" * 16
    assert recipient(b"\x03") == recipient(b"") == recipient(b"\x06\x21\x06") == "0" * 16


def test_one_pass_signers() -> None:
    assert one_pass_signer(b"\x03\x00\x0a\x16" + KEY_ID + b"\x01") == KEY_ID.hex().upper()
    salted = b"\x06\x00\x0a\x1b" + b"\x10" + bytes(16) + V6 + b"\x01"
    assert one_pass_signer(salted) == V6.hex().upper()
    assert one_pass_signer(b"") == one_pass_signer(b"\x03") == one_pass_signer(salted[:40]) == ""


def test_key_ids_of_fingerprints() -> None:
    assert key_id_of(FPR.hex()) == KEY_ID.hex()
    assert key_id_of(V6.hex()) == V6[:8].hex()
    assert key_id_of("") == ""


# What some data is


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (pkesk() + SEIPD, MessageKind((KEY_ID.hex().upper(),), encrypted=True)),
        (pkesk(bytes(8)) + SEIPD, MessageKind(("0" * 16,), encrypted=True)),
        (SKESK + SEIPD, MessageKind(symmetric=True, encrypted=True)),
        (
            pkesk() + SKESK + pkesk(OTHER[:8]) + new(20, b"\x01\x09\x02\x10"),
            MessageKind(("0D0E0F1011121314", "EE" * 8), symmetric=True, encrypted=True),
        ),
        (new(9, bytes(9)), MessageKind(encrypted=True)),
        (pkesk(), MessageKind((KEY_ID.hex().upper(),), encrypted=True)),
        (SKESK, MessageKind(symmetric=True, encrypted=True)),
        (SIGNED, MessageKind(signed=True)),
        (new(10, b"PGP") + SIGNED, MessageKind(signed=True)),
        (new(10, b"PGP") + new(21, bytes(9)) + SKESK, MessageKind(symmetric=True, encrypted=True)),
        (new(2, signature()) + literal(), MessageKind(signed=True, literal=True)),
        (literal(), MessageKind(literal=True)),
        (new(2, signature()), MessageKind(is_detached_signature=True)),
        (new(2, signature()) * 2, MessageKind(is_detached_signature=True)),
        (new(2, signature(kind=1)), MessageKind(is_detached_signature=True)),
        (new(2, b"\x03\x05\x00"), MessageKind(is_detached_signature=True)),
        (new(2, signature(kind=0x20)), MessageKind()),
        (new(2, b""), MessageKind()),
        (new(6, V4_KEY), MessageKind(is_key=True)),
        (new(10, b"PGP") + new(14, V4_KEY), MessageKind(is_key=True)),
        (new(5, V4_KEY), MessageKind(is_key=True, is_secret_key=True)),
    ],
)
def test_what_a_message_is(data: bytes, kind: MessageKind) -> None:
    assert message_kind(data) == kind
    assert message_kind(enarmor(data, "MESSAGE").encode()) == kind
    for algorithm in (0, 1, 2, 3):
        assert message_kind(compressed(data, algorithm)) == kind
    assert message_kind(compressed(compressed(compressed(data), 3), 2)) == kind


@pytest.mark.parametrize(
    "data",
    [
        new(10, b"PGP"),
        new(10, b"PGP") + new(13, b"uid"),
        compressed(b""),
        compressed(b"hello"),
        new(8, b"\x01garbage"),
    ],
)
def test_packets_that_make_no_message(data: bytes) -> None:
    with pytest.raises(NotOpenPGP):
        message_kind(data)
    if data[-3:] != b"uid":
        with pytest.raises(NotOpenPGP):
            issuer(data)


def test_a_tower_of_compressed_packets_is_climbed_to_a_bound() -> None:
    data = literal()
    for _ in range(100):
        data = compressed(data)
    with pytest.raises(NotOpenPGP):
        message_kind(data)
    assert len(describe(data, "")) < 20


@pytest.mark.parametrize("algorithm", [1, 2, 3])
def test_a_decompression_bomb_is_not_inflated(algorithm: int) -> None:
    bomb = compressed(partial(11, bytes(6) + bytes(10**8), 29), algorithm)
    started = time.process_time()
    assert message_kind(bomb).literal
    assert issuer(bomb) == ""
    assert time.process_time() - started < 5


def test_a_large_message_is_told_by_its_beginning() -> None:
    message = enarmor(pkesk() + partial(18, bytes(1 << 20), 16), "MESSAGE").encode()
    head, _, rest = message.partition(b"\n\n")
    large = head + b"\n\n" + rest[: rest.index(b"\n=")] * 40 + b"\n-----END PGP MESSAGE-----\n"
    started = time.process_time()
    for _ in range(10):
        assert message_kind(large).recipients == (KEY_ID.hex().upper(),)
        assert issuer(large) == KEY_ID.hex().upper()
    assert time.process_time() - started < 1


def test_a_thousand_recipients_are_all_there() -> None:
    data = b"".join(
        new(1, b"\x03" + number.to_bytes(8, "big") + bytes(500)) for number in range(1, 1001)
    )
    assert message_kind(data + SEIPD).recipients == tuple(f"{n:016X}" for n in range(1, 1001))
    assert issuer(data) == f"{1:016X}"


# Who is behind it


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (new(2, signature(issuer_fpr())), FPR),
        (SIGNED, FPR),
        (one_pass() + literal(), KEY_ID),
        (one_pass() + literal() + b"garbage", KEY_ID),
        (one_pass() + literal() + new(2, signature(issuer_fpr(OTHER))), KEY_ID),
        (one_pass() + literal() + new(2, signature(subpacket(16, KEY_ID))), KEY_ID),
        (one_pass() + literal() + new(2, signature(issuer_fpr()))[:-3], KEY_ID),
        (one_pass(OTHER[:8]) + SIGNED + new(2, signature(issuer_fpr(OTHER))), OTHER),
        (pkesk(bytes(8)) + pkesk(OTHER[:8]) + SEIPD, OTHER[:8]),
        (pkesk(bytes(8)) + SEIPD, b""),
        (SKESK + SEIPD, b""),
        (SKESK, b""),
        (literal(), b""),
        (new(2, signature()), b""),
    ],
)
def test_who_is_behind_some_data(data: bytes, name: bytes) -> None:
    assert issuer(data) == name.hex().upper()
    assert issuer(enarmor(data, "MESSAGE").encode()) == name.hex().upper()
    if not data.endswith(b"garbage"):
        assert issuer(compressed(data)) == name.hex().upper()


def test_a_key_longer_than_the_first_look_is_named() -> None:
    big = b"\x04" + bytes(4) + b"\x16" + bytes([255]) + bytes(255) + b"\xff\xff" + bytes(8192)
    body = b"\x06" + bytes(4) + b"\x1b" + (60000).to_bytes(4, "big") + bytes(60000)
    data = new(10, bytes(9000)) + write(6, body)
    assert issuer(data) == key_fingerprint(body)
    assert issuer(write(6, big)) == key_fingerprint(big)


def test_a_sender_steers_nothing_with_a_file_name_or_notation(home: Home) -> None:
    (fingerprint,) = {
        line.split(":")[9]
        for line in home.colons("--list-keys", "--", "<a@x.org>").splitlines()
        if line.startswith("fpr:") and line
    } & {issuer(home.run("--export", "a@x.org"))}
    lie = f"(issuer fpr v4 {'E' * 40})"
    evil = [
        (
            "--set-filename",
            f"{lie}\n# off=0 ctb=99 tag=6 hlen=3 plen=4\n:public key packet: keyid E",
        ),
        ("--sig-notation", f"x@x.org={lie}", "--cert-notation", f"x@x.org={lie}"),
        ("--sig-policy-url", f"http://x/{lie})"),
        ("--sig-keyserver-url", f"http://x/{lie}"),
        ("--sender", "a@x.org"),
        ("--comment", lie),
    ]
    for options in (("--compress-algo", "none"), ("--compress-algo", "bzip2"), ("--armor",)):
        for mode in ("--sign", "--clear-sign", "--detach-sign"):
            arguments = [*options, *(word for words in evil for word in words)]
            data = home.run(*arguments, "-u", fingerprint, mode, stdin=b"text")
            assert issuer(data) == fingerprint
            text = home.run("--list-packets", "--list-only", stdin=data).decode()
            found = describe(data, text)
            assert [p.fields["issuer fpr"] for p in found if p.tag == 2] == [fingerprint]
            assert not [p for p in found if p.tag in (5, 6, 7, 14)]
            assert {p.tag for p in parse_list_packets(text)} <= {2, 4, 8, 11, 63}


def test_no_subpacket_with_line_ends_makes_a_packet_in_the_text_of_gpg(home: Home) -> None:
    lie = b"\n# off=9 ctb=99 tag=6 hlen=3 plen=4\n:public key packet:\n\tkeyid: EEEE\n"
    notation = b"\x80\x00\x00\x00" + (7).to_bytes(2, "big") + len(lie).to_bytes(2, "big")
    areas = [subpacket(kind, lie) for kind in range(128) if kind not in (20, 33)]
    areas += [subpacket(20, notation + b"x@x.org" + lie), subpacket(20 | 0x80, lie)]
    for area in areas:
        data = new(2, signature(area + issuer_fpr())) + new(13, lie) + literal(b"x", lie)
        data += new(61, lie) + new(17, subpacket(1, lie)) + new(60, lie)
        text = home.run("--list-packets", "--list-only", stdin=data, check=False)
        told = parse_list_packets(text.decode(errors="surrogateescape"))
        assert {packet.tag for packet in told} <= {2, 13, 11, 61, 17, 60}
        assert issuer(data) == FPR.hex().upper()


# gpg's text

TEXT = """\
gpg: something else
# off=0 ctb=90 tag=4 hlen=2 plen=13
:onepass_sig packet: keyid 8A0B81B57ECE5C16
\tversion 3, sigclass 0x00, digest 8, pubkey 22, last=1
# off=15 ctb=cb tag=11 hlen=2 plen=0 partial new-ctb
:literal data packet:
\tmode b (62), created 1795245419, name="a", keyid 11, b=",",
\traw data: unknown length
# off=99 ctb=88 tag=2 hlen=2 plen=117
:signature packet: algo 22, keyid 8A0B81B57ECE5C16
\tversion 4, created 1795245453, md5len 0, sigclass 0x00
\tdigest algo 8, begin of digest 9e ba
\thashed subpkt 33 len 21 (issuer fpr v4 D3EAF0DCFAFFAB09596A3B888A0B81B57ECE5C16)
\tcritical hashed subpkt 20 len 9 (notation: a=(b), version 9)
\thashed subpkt 20 len 9 (notation: keyid 9)
\tsubpkt 16 len 8 (issuer key ID 8A0B81B57ECE5C16)
\tdata: [254 bits]
\tdata: [255 bits]
# off=300 ctb=b4 tag=13 hlen=2 plen=27
:user ID packet: "keyid 4, version 5: "x""
# off=400 ctb=99 tag=5 hlen=3 plen=5
:secret key packet:
\tversion 4, algo 1, created 1559066453, expires 0
\tpkey[0]: [2048 bits]
\titer+salt S2K, algo: 7, SHA1 protection, hash: 2, salt: 50D740558FD131D2
\tprotect count: 65536 (96)
\tprotect IV:  d6 ae 67
\tkeyid: 63F7D9F5D2209820
# off=0 ctb=c3 tag=3 hlen=2 plen=61 new-ctb
:symkey enc packet: version 5, cipher 7, aead 2,s2k 3, hash 8, encrypted seskey 47 bytes
\tsalt 9F0B7DA3E5EA6477, count 524288 (144)
# off=63 ctb=d4 tag=20 hlen=2 plen=73 new-ctb
:aead encrypted packet: cipher=7 aead=2 cb=14
\tlength: 73
# off=0 ctb=a3 tag=8 hlen=1 plen=0 indeterminate
:compressed packet: algo=1
"""


def test_fields_of_the_text_of_gpg() -> None:
    packets = parse_list_packets(TEXT)
    assert [packet.tag for packet in packets] == [4, 11, 2, 13, 5, 3, 20, 8]
    assert [packet.offset for packet in packets] == [0, 15, 99, 300, 400, 0, 63, 0]
    assert [packet.length for packet in packets] == [15, 2, 119, 29, 8, 63, 75, 1]
    one, text, sig, uid, key, sym, _, zipped = (packet.fields for packet in packets)
    assert one["keyid"] == "8A0B81B57ECE5C16"
    assert (one["sigclass"], one["last"]) == ("0x00", "1")
    assert text == {
        "mode": "b",
        "created": "1795245419",
        "name": 'a", keyid 11, b=",',
        "raw data": "unknown length",
    }
    assert (sig["algo"], sig["version"], sig["digest algo"]) == ("22", "4", "8")
    assert sig["begin of digest"] == "9e ba"
    assert sig["hashed subpkt 33"].endswith("D3EAF0DCFAFFAB09596A3B888A0B81B57ECE5C16")
    assert sig["critical hashed subpkt 20"] == "notation: a=(b), version 9"
    assert sig["hashed subpkt 20"] == "notation: keyid 9"
    assert (sig["data"], sig["data (2)"]) == ("[254 bits]", "[255 bits]")
    assert uid == {"user id": 'keyid 4, version 5: "x"'}
    assert (key["pkey[0]"], key["hash"], key["salt"]) == ("[2048 bits]", "2", "50D740558FD131D2")
    assert (key["protect count"], key["keyid"]) == ("65536 (96)", "63F7D9F5D2209820")
    assert (sym["aead"], sym["s2k"], sym["encrypted seskey"]) == ("2", "3", "47 bytes")
    assert (sym["count"], sym["salt"]) == ("524288 (144)", "9F0B7DA3E5EA6477")
    assert zipped == {"algo": "1"}
    assert packets[0].name == "one-pass signature"
    assert packets[0].lines == (
        ":onepass_sig packet: keyid 8A0B81B57ECE5C16",
        "version 3, sigclass 0x00, digest 8, pubkey 22, last=1",
    )


def test_lists_of_lines() -> None:
    lists = list_packet_lines(TEXT)
    assert len(lists) == 8
    assert lists[0] == [
        "# off=0 ctb=90 tag=4 hlen=2 plen=13",
        ":onepass_sig packet: keyid 8A0B81B57ECE5C16",
        "version 3, sigclass 0x00, digest 8, pubkey 22, last=1",
    ]
    assert list_packet_lines("") == []


def test_the_control_packet_whose_line_gpg_does_not_end() -> None:
    text = (
        "# off=0 ctb=ff tag=63 hlen=2 plen=19 new-ctb\n"
        ":packet 63: length 19 - gpg control packet# off=21 ctb=cb tag=11 hlen=2 plen=0 partial"
        " new-ctb\n:literal data packet:\n"
    )
    assert [(packet.tag, packet.offset) for packet in parse_list_packets(text)] == [
        (63, 0),
        (11, 21),
    ]


@pytest.mark.parametrize("end", ["\r", "\x0b", "\x0c", "\x85", "\u2028"])
def test_no_other_line_break_begins_a_packet_in_the_text(end: str) -> None:
    header = "# off=0 ctb=b4 tag=13 hlen=2 plen=27"
    text = f'{header}\n:user ID packet: "x{end}{header}{end}:signature packet: keyid E"\n'
    assert [packet.tag for packet in parse_list_packets(text)] == [13]


def test_a_very_long_unknown_line_is_no_field_and_takes_no_time() -> None:
    text = "# off=0 ctb=b4 tag=13 hlen=2 plen=27\n" + "a " * 100000 + "z\n"
    started = time.process_time()
    (packet,) = parse_list_packets(text)
    assert packet.fields == {}
    assert time.process_time() - started < 1


def test_bytes_and_text_are_joined(home: Home) -> None:
    data = home.run("--export")
    text = home.run("--list-packets", "--list-only", stdin=data).decode()
    packets = describe(data, text)
    assert all(packet.lines for packet in packets)
    assert [(p.tag, p.offset, p.length, p.lines) for p in packets] == [
        (p.tag, p.offset, p.length, p.lines) for p in parse_list_packets(text)
    ]
    assert sum(packet.length for packet in packets) == len(data)
    keys = [packet for packet in packets if packet.tag == 6]
    assert all(packet.fields["fpr"][-16:] == packet.fields["keyid"] for packet in keys)
    assert packets[1].fields["user id"] == "Alice <a@x.org>"


@pytest.mark.parametrize("algorithm", ["none", "zip", "zlib", "bzip2"])
def test_compressed_content_is_found_where_gpg_finds_it(home: Home, algorithm: str) -> None:
    source = home.path / "plain"
    source.write_bytes(b"some text\n" * 100)
    command = ["--compress-algo", algorithm, "--output", "-", "--sign", str(source)]
    data = home.run("-u", "a@x.org", *command)
    text = home.run("--list-packets", "--list-only", stdin=data).decode()
    packets = describe(data, text)
    assert [packet.tag for packet in packets][-3:] == [4, 11, 2]
    assert all(packet.lines for packet in packets)


def test_packets_that_gpg_does_not_show_are_there_all_the_same(home: Home) -> None:
    for options in (["--compress-algo", "none", "--sign"], ["--clear-sign"]):
        data = home.run("-u", "a@x.org", *options, stdin=b"text\n" * 9999)
        text = home.run("--list-packets", "--list-only", stdin=data).decode()
        last = describe(data, text)[-1]
        assert (last.tag, last.lines) == (2, ())
        assert last.fields["issuer fpr"] == issuer(home.run("--export", "a@x.org"))
        assert last.fields["keyid"] == last.fields["issuer fpr"][-16:]
        assert 2 not in {packet.tag for packet in parse_list_packets(text)}


def test_text_about_packets_that_are_not_there_is_dropped() -> None:
    data = new(10, b"uid") + new(6, b"\x03")
    text = "# off=0 ctb=88 tag=2 hlen=2 plen=3\n:signature packet: algo 22, keyid EEEE\n"
    assert describe(data, text) == (
        Packet(10, "marker", 0, 5, {}, ()),
        Packet(6, "public key", 5, 3, {}, ()),
    )


def test_facts_from_the_bytes_alone() -> None:
    packets = describe(pkesk() + one_pass() + new(2, signature(subpacket(16, KEY_ID), kind=1)), "")
    name = KEY_ID.hex().upper()
    assert packets[0].fields == {"keyid": name}
    assert packets[1].fields == {"keyid": name}
    assert packets[2].fields == {"keyid": name, "sigclass": "0x01"}


def test_damaged_compressed_content_ends_the_description_of_it() -> None:
    data = new(8, frame(compressed(literal() + b"hello"))[0].body) + new(13, b"uid")
    assert [packet.tag for packet in describe(data, "")] == [8, 11, 13]


def test_opening_compressed_packets_has_a_bound_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiny_gnupg.packets._OPENED", 10)
    packed = new(8, frame(compressed(literal(bytes(100))))[0].body)
    assert [packet.tag for packet in describe(packed * 3, "")] == [8, 11, 8, 8]


ODD = st.binary(max_size=200) | st.lists(
    st.sampled_from(
        [
            V4_KEY,
            SIGNED,
            SKESK,
            SEIPD,
            pkesk(),
            one_pass(),
            literal(),
            compressed(SIGNED, 3),
            new(2, signature(issuer_fpr())),
            b"-----BEGIN PGP MESSAGE-----\n",
            b"-----BEGIN PGP SIGNED MESSAGE-----\n\n",
            b"\n-----BEGIN PGP SIGNATURE-----\n\n",
            b"\n",
            b"=",
        ]
    )
    | st.binary(max_size=8),
    max_size=6,
).map(b"".join)


@given(ODD, st.text())
@example(b"", "")
def test_no_bytes_raise_anything_but_not_openpgp(data: bytes, text: str) -> None:
    functions: list[Callable[[bytes], object]] = [
        dearmor,
        lambda raw: dearmor(raw, limit=7),
        frame,
        lambda raw: list(walk(raw)),
        message_kind,
        issuer,
        key_fingerprint,
        lambda raw: describe(raw, text),
    ]
    for function in functions:
        for raw in (data, enarmor(data, "MESSAGE").encode(), compressed(data)):
            try:
                function(raw)
            except NotOpenPGP:
                continue
    for total in (is_armored, is_binary, is_clear_signed, recipient, one_pass_signer):
        total(data)
    signature_issuer(data)
    inflate(data, 100)


LINES = st.lists(
    st.sampled_from(TEXT.split("\n"))
    | st.text(max_size=30)
    | st.from_regex(r"\t[a-z]+[ :=][0-9a-f ,()]{0,20}", fullmatch=True),
    max_size=20,
).map("\n".join)


@given(LINES)
def test_no_text_crashes_the_parser_of_the_text(text: str) -> None:
    packets = parse_list_packets(text)
    assert len(packets) == len(list_packet_lines(text))
    for packet, lines in zip(packets, list_packet_lines(text), strict=True):
        assert list(packet.lines) == lines[1:]


@pytest.mark.skipif(not VECTORS.exists(), reason=f"needs the vectors of others in {VECTORS}")
def test_vectors_of_others(home: Home) -> None:
    expected = {
        "gnupg/dda252ebb8ebe1af-1.asc": "9E669861368BCA0BE42DAF7DDDA252EBB8EBE1AF",
        "gnupg/dda252ebb8ebe1af-2.asc": "A55120427374F3F7AA5F1166DDA252EBB8EBE1AF",
        "gnupg/no-creation-time.gpg": "BA0BF4D056471C8B4FF82A650D867C7FB1DE7ADF",
        "rnp/key-empty-uid.pgp": "753D5B947E9A2B2E01147C1FC972AFFD358BF887",
        "rnp/message.txt.enc-no-mdc": "8A05B89FAD5ADED1",
        "rpgp/two_messages.asc": "7C2FAA4DF93C37B2",
        "gnupg/enc-sym-ocb-1.asc": "",
    }
    for name, named in expected.items():
        assert issuer((VECTORS / name).read_bytes()) == named
    for path in VECTORS.glob("*/*"):
        data = path.read_bytes()
        text = home.run("--list-packets", "--list-only", stdin=data, check=False)
        packets = describe(data, text.decode(errors="surrogateescape"))
        if not message_kind(data).clear_signed:
            assert len(packets) >= len(parse_list_packets(text.decode(errors="surrogateescape")))
            assert all(packet.lines for packet in packets)
    keys = frame(dearmor((VECTORS / "gnupg/whats-new-in-2.1.asc").read_bytes()))
    assert len([packet for packet in keys if packet.tag == 6]) == 6
