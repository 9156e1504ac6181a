"""What some data is and who is behind it, told from its bytes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial as partial_function

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.homes import Home
from tests.openpgp import (
    FPR,
    KEY_ID,
    OTHER,
    SEIPD,
    SIGNED,
    SKESK,
    V4_KEY,
    compressed,
    issuer_fpr,
    literal,
    new,
    one_pass,
    partial,
    pkesk,
    signature,
    subpacket,
)
from tests.others import VECTORS, needs_vectors
from tiny_gnupg._gpg.packet_dump import describe, parse_list_packets
from tiny_gnupg._openpgp.armor import dearmor, enarmor, is_armored, is_binary, is_clear_signed
from tiny_gnupg._openpgp.fingerprints import (
    key_fingerprint,
    one_pass_signer,
    recipient,
    signature_issuer,
)
from tiny_gnupg._openpgp.kinds import (
    HEAD,
    MessageKind,
    issuer,
    may_hold_secret_key,
    message_kind,
)
from tiny_gnupg._openpgp.packets import frame, inflate, walk, write
from tiny_gnupg._openpgp.text_mode import in_octets
from tiny_gnupg.errors import NotOpenPGP, OutputTooLarge


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
    # What is compressed is for gpg to open.
    for algorithm in (0, 1, 2, 3):
        assert message_kind(compressed(data, algorithm)) == MessageKind(compressed=True)
    assert may_hold_secret_key(data) == kind.is_secret_key
    assert may_hold_secret_key(compressed(data))


def test_a_secret_key_is_found_wherever_it_stands() -> None:
    public, secret = new(6, V4_KEY) + new(13, b"uid"), new(5, V4_KEY)
    for block in (secret, public + secret, public + new(7, V4_KEY), new(10, b"PGP") + secret):
        assert may_hold_secret_key(block)
        assert may_hold_secret_key(enarmor(block, "PUBLIC KEY BLOCK").encode())
    assert not may_hold_secret_key(public * 1000)
    two = enarmor(public, "PUBLIC KEY BLOCK") + "\n" + enarmor(secret, "PRIVATE KEY BLOCK")
    assert may_hold_secret_key(two.encode())
    # What cannot be read here, gpg may read.
    for unknown in (b"", b"text", public + b"x", new(10, b"") * 10_000):
        assert may_hold_secret_key(unknown)


def test_a_signature_alone_is_read_to_its_end() -> None:
    """gpg takes a signed message in its place, and ignores the data that was passed with it."""
    one = new(2, signature() + bytes(500))
    assert message_kind(one * 2000).is_detached_signature
    for more in (SIGNED, literal(), compressed(SIGNED), one[:-1], new(13, b"uid"), new(6, V4_KEY)):
        with suppress(NotOpenPGP):
            assert not message_kind(one + more).is_detached_signature
        # So far no honest one goes, and behind it a message could stand.
        assert not message_kind(one * (HEAD // len(one) + 1) + more).is_detached_signature


@pytest.mark.parametrize("tag", [8, 9, 11, 18, 20])
def test_short_parts_of_a_packet_are_not_counted_without_end(tag: int) -> None:
    head = bytes([0xC0 | tag, 0xE9]) + bytes(512)
    for data in (head + b"\xe0x" * 10**5, bytes([0xC0 | tag]) + b"\xe0x" * 10**5):
        for function in (issuer, partial_function(describe, text="")):
            with pytest.raises((NotOpenPGP, OutputTooLarge)):
                function(data)


@pytest.mark.parametrize(
    "data",
    [
        new(10, b"PGP"),
        new(10, b"PGP") + new(13, b"uid"),
        new(13, b"uid"),
    ],
)
def test_packets_that_make_no_message(data: bytes) -> None:
    with pytest.raises(NotOpenPGP):
        message_kind(data)


@pytest.mark.parametrize(
    "data", [new(10, b"PGP"), compressed(b""), compressed(b"hello"), new(8, b"\x01garbage")]
)
def test_packets_that_have_nobody_behind_them(data: bytes) -> None:
    with pytest.raises(NotOpenPGP):
        issuer(data)


def test_a_tower_of_compressed_packets_is_climbed_to_a_bound() -> None:
    data = literal()
    for _ in range(100):
        data = compressed(data)
    with pytest.raises(NotOpenPGP):
        issuer(data)
    assert len(describe(data, "")) < 20


@contextmanager
def peak() -> Iterator[Callable[[], int]]:
    """Look how much memory a block takes."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("algorithm", [1, 2, 3])
def test_a_decompression_bomb_is_not_inflated(algorithm: int) -> None:
    bomb = compressed(partial(11, bytes(6) + bytes(10**8), 29), algorithm)
    with peak() as most:
        assert message_kind(bomb).compressed
        assert issuer(bomb) == ""
        assert most() < 10**8 / 4


def test_a_large_message_is_told_by_its_beginning() -> None:
    message = enarmor(pkesk() + partial(18, bytes(1 << 20), 16), "MESSAGE").encode()
    head, _, rest = message.partition(b"\n\n")
    large = head + b"\n\n" + rest[: rest.index(b"\n=")] * 40 + b"\n-----END PGP MESSAGE-----\n"
    with peak() as most:
        assert message_kind(large).recipients == (KEY_ID.hex().upper(),)
        assert issuer(large) == KEY_ID.hex().upper()
        assert most() < len(large) / 4


def test_a_thousand_recipients_are_all_there() -> None:
    data = b"".join(
        new(1, b"\x03" + number.to_bytes(8, "big") + bytes(500)) for number in range(1, 1001)
    )
    assert message_kind(data + SEIPD).recipients == tuple(f"{n:016X}" for n in range(1, 1001))
    assert issuer(data) == f"{1:016X}"


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


def test_a_sender_steers_nothing_with_a_file_name_or_notation(gpg_home: Home) -> None:
    (fingerprint,) = {
        line.split(":")[9]
        for line in gpg_home.colons("--list-keys", "--", "<a@x.org>").splitlines()
        if line.startswith("fpr:") and line
    } & {issuer(gpg_home.run("--export", "a@x.org"))}
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
            data = gpg_home.run(*arguments, "-u", fingerprint, mode, stdin=b"text")
            assert issuer(data) == fingerprint
            text = gpg_home.run("--list-packets", "--list-only", stdin=data).decode()
            found = describe(data, text)
            assert [p.fields["issuer fpr"] for p in found if p.tag == 2] == [fingerprint]
            assert not [p for p in found if p.tag in (5, 6, 7, 14)]
            assert {p.tag for p in parse_list_packets(text)} <= {2, 4, 8, 11, 63}


def test_no_subpacket_with_line_ends_makes_a_packet_in_the_text_of_gpg(gpg_home: Home) -> None:
    lie = b"\n# off=9 ctb=99 tag=6 hlen=3 plen=4\n:public key packet:\n\tkeyid: EEEE\n"
    notation = b"\x80\x00\x00\x00" + (7).to_bytes(2, "big") + len(lie).to_bytes(2, "big")
    areas = [subpacket(kind, lie) for kind in range(128) if kind not in (20, 33)]
    areas += [subpacket(20, notation + b"x@x.org" + lie), subpacket(20 | 0x80, lie)]
    for area in areas:
        data = new(2, signature(area + issuer_fpr())) + new(13, lie) + literal(b"x", lie)
        data += new(61, lie) + new(17, subpacket(1, lie)) + new(60, lie)
        text = gpg_home.run("--list-packets", "--list-only", stdin=data, check=False)
        told = parse_list_packets(text.decode(errors="surrogateescape"))
        assert {packet.tag for packet in told} <= {2, 13, 11, 61, 17, 60}
        assert issuer(data) == FPR.hex().upper()


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
        may_hold_secret_key,
        lambda raw: in_octets(raw, 2**20),
        issuer,
        key_fingerprint,
        lambda raw: describe(raw, text),
    ]
    for function in functions:
        for raw in (data, enarmor(data, "MESSAGE").encode(), compressed(data)):
            with suppress(NotOpenPGP, OutputTooLarge):
                function(raw)
    for total in (is_armored, is_binary, is_clear_signed, recipient, one_pass_signer):
        total(data)
    signature_issuer(data)
    inflate(data, 100)


@needs_vectors
def test_vectors_of_others(gpg_home: Home) -> None:
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
        text = gpg_home.run("--list-packets", "--list-only", stdin=data, check=False)
        packets = describe(data, text.decode(errors="surrogateescape"))
        if not message_kind(data).clear_signed:
            assert len(packets) >= len(parse_list_packets(text.decode(errors="surrogateescape")))
            assert all(packet.lines for packet in packets)
    keys = frame(dearmor((VECTORS / "gnupg/whats-new-in-2.1.asc").read_bytes()))
    assert len([packet for packet in keys if packet.tag == 6]) == 6
