"""What gpg says of packets: read by line structure and joined with the bytes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.homes import Home
from tests.openpgp import KEY_ID, compressed, literal, new, one_pass, pkesk, signature, subpacket
from tiny_gnupg._gpg.packet_dump import describe, list_packet_lines, parse_list_packets
from tiny_gnupg._openpgp.kinds import issuer
from tiny_gnupg._openpgp.packets import frame
from tiny_gnupg.errors import OutputTooLarge
from tiny_gnupg.results import Packet

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


def test_a_very_long_unknown_line_is_no_field() -> None:
    """Nor does it hold anybody up: one that goes back for each blank takes hours of it."""
    text = "# off=0 ctb=b4 tag=13 hlen=2 plen=27\n" + "a " * 100000 + "z\n"
    (packet,) = parse_list_packets(text)
    assert packet.fields == {}


def test_bytes_and_text_are_joined(gpg_home: Home) -> None:
    data = gpg_home.run("--export")
    text = gpg_home.run("--list-packets", "--list-only", stdin=data).decode()
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
def test_compressed_content_is_found_where_gpg_finds_it(gpg_home: Home, algorithm: str) -> None:
    source = gpg_home.path / "plain"
    source.write_bytes(b"some text\n" * 100)
    command = ["--compress-algo", algorithm, "--output", "-", "--sign", str(source)]
    data = gpg_home.run("-u", "a@x.org", *command)
    text = gpg_home.run("--list-packets", "--list-only", stdin=data).decode()
    packets = describe(data, text)
    assert [packet.tag for packet in packets][-3:] == [4, 11, 2]
    assert all(packet.lines for packet in packets)


def test_packets_that_gpg_does_not_show_are_there_all_the_same(gpg_home: Home) -> None:
    for options in (["--compress-algo", "none", "--sign"], ["--clear-sign"]):
        data = gpg_home.run("-u", "a@x.org", *options, stdin=b"text\n" * 9999)
        text = gpg_home.run("--list-packets", "--list-only", stdin=data).decode()
        last = describe(data, text)[-1]
        assert (last.tag, last.lines) == (2, ())
        assert last.fields["issuer fpr"] == issuer(gpg_home.run("--export", "a@x.org"))
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
    monkeypatch.setattr("tiny_gnupg._gpg.packet_dump._OPENED", 10)
    packed = new(8, frame(compressed(literal(bytes(100))))[0].body)
    with pytest.raises(OutputTooLarge, match="hold more than 10"):
        describe(packed, "")


def test_what_is_told_of_packets_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    data = new(10, b"PGP") * 5
    text = "".join(
        f"# off={5 * at} ctb=ca tag=10 hlen=2 plen=3 new-ctb\n:marker packet: PGP\n"
        for at in range(5)
    )
    assert len(describe(data, text)) == len(list_packet_lines(text)) == 5
    monkeypatch.setattr("tiny_gnupg._gpg.packet_dump.MOST_PACKETS", 4)
    for told, said in ((data, ""), (data[:20], text), (compressed(data[:20]), "")):
        with pytest.raises(OutputTooLarge, match="more than 4 packets"):
            describe(told, said)
    monkeypatch.undo()
    monkeypatch.setattr("tiny_gnupg._gpg.packet_dump._TEXT", len(text) - 1)
    readers: tuple[Callable[[str], object], ...]
    readers = (list_packet_lines, parse_list_packets, lambda said: describe(data, said))
    for read in readers:
        with pytest.raises(OutputTooLarge, match="gpg tells more"):
            read(text)


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
