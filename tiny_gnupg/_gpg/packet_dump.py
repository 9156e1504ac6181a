"""The packets of some data, as gpg describes them.

Pure: bytes and text in, data out; nothing here runs a program or touches a file. Framing comes
from the bytes (see ``packets``); the fields come from the text of ``gpg --list-packets
--list-only``, whose grammar is that of gpg's parse-packet.c.

The rules:

1. A line of gpg's text is known by how it begins and is matched as a whole. What a sender wrote
   stands in such a line between quotes or parentheses, with line ends escaped, so it can neither
   begin a line nor be a field of its own.
2. Where bytes and text disagree, the bytes are right; text about a packet that the bytes do not
   have is dropped. gpg shows nothing of what stands behind data of unknown length, and shows
   packets of its own making for a clear-signed text.
3. Compressed packets are opened, to a bound in depth.
4. A hundred octets can hold millions of packets. What is told of them has a bound, in packets and
   in octets, of what was compressed and of gpg's text; beyond it is ``OutputTooLarge``.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from tiny_gnupg._openpgp.armor import dearmor
from tiny_gnupg._openpgp.fingerprints import (
    key_fingerprint,
    key_id_of,
    one_pass_signer,
    recipient,
    signature_issuer,
)
from tiny_gnupg._openpgp.kinds import signature_type
from tiny_gnupg._openpgp.packets import (
    COMPRESSED,
    DEPTH,
    KEYS,
    ONE_PASS,
    PKESK,
    SIGNATURE,
    USER_ID,
    Frame,
    inflate,
    tag_name,
    walk,
    whole_packets,
)
from tiny_gnupg.errors import NotOpenPGP, OutputTooLarge
from tiny_gnupg.results import Packet

#: Packets that are told of; in memory each takes about 1 KiB.
MOST_PACKETS = 1 << 16


#: Octets that compressed packets may give, all together; octets of gpg's text.
_OPENED = _TEXT = 1 << 24


_HEADER = re.compile(
    r"# off=([0-9]{1,15}) ctb=[0-9a-f]{2} tag=([0-9]{1,2}) hlen=([0-9]{1,15}) plen=([0-9]{1,15})"
    r"(?: partial)?(?: indeterminate)?(?: new-ctb)?"
)


# gpg ends the line of its own control packet (clear-signed texts) without a line end.
_CONTROL = re.compile(r"(:packet 63: length \d+ - gpg control packet)(# off=.*)")


def list_packet_lines(text: str) -> list[list[str]]:
    """Cut gpg's text about packets into one list of lines a packet.

    Args:
        text: what ``gpg --list-packets`` printed.

    Returns:
        For each packet its lines, stripped; the first one says where the packet lies.

    Raises:
        OutputTooLarge: there is too much of it.
    """
    return [[header[0], *lines] for header, lines in _told(text)]


def _told(text: str) -> list[tuple[re.Match[str], list[str]]]:
    if len(text) > _TEXT:
        raise OutputTooLarge(
            f"gpg tells more than {_TEXT} bytes of these packets", hint="raw_packets returns it all"
        )
    packets: list[tuple[re.Match[str], list[str]]] = []
    for line in _lines(text):
        if header := _HEADER.fullmatch(line):
            if len(packets) >= MOST_PACKETS:
                raise _too_many()
            packets.append((header, []))
        elif packets and line.strip():
            packets[-1][1].append(line.strip())
    return packets


def _lines(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        control = _CONTROL.fullmatch(line)
        yield from control.groups() if control else (line,)


def parse_list_packets(text: str) -> tuple[Packet, ...]:
    """Read gpg's text about packets.

    Args:
        text: what ``gpg --list-packets --list-only`` printed.

    Returns:
        The packets that gpg shows. Where gpg knows no length, ``length`` is that of the header;
        ``describe`` knows better.

    Raises:
        OutputTooLarge: there is too much of it.
    """
    found = []
    for header, lines in _told(text):
        offset, tag, head, body = (int(number) for number in header.groups())
        found.append(Packet(tag, tag_name(tag), offset, head + body, _fields(lines), tuple(lines)))
    return tuple(found)


def describe(data: bytes, text: str) -> tuple[Packet, ...]:
    """Join the packets that the bytes have with what gpg says of them.

    Args:
        data: armored or binary data.
        text: what ``gpg --list-packets --list-only`` printed for it.

    Returns:
        Every packet, those in compressed packets behind them; their offsets go on as if the
        content stood in the place of the compressed data, as gpg counts.

    Raises:
        NotOpenPGP: where the data is anything else than whole packets.
        OutputTooLarge: where there are too many, or they inflate to too much.
    """
    frames = tuple(islice(_opened(whole_packets(dearmor(data))), MOST_PACKETS + 1))
    if len(frames) > MOST_PACKETS:
        raise _too_many()
    told: dict[tuple[int, int], deque[Packet]] = {}
    for packet in parse_list_packets(text):
        told.setdefault((packet.offset, packet.tag), deque()).append(packet)
    joined = []
    for found in frames:
        texts = told.get((found.offset, found.tag))
        said = texts.popleft() if texts else None
        fields = {**_facts(found), **(said.fields if said else {})}
        if found.tag == USER_ID:
            # gpg's text escapes some characters and not the escape character itself.
            fields["user id"] = found.body.decode(errors="surrogateescape")
        lines = said.lines if said else ()
        name = tag_name(found.tag)
        joined.append(Packet(found.tag, name, found.offset, found.length, fields, lines))
    return tuple(joined)


def _too_many() -> OutputTooLarge:
    return OutputTooLarge(f"there are more than {MOST_PACKETS} packets")


def _opened(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Return the packets, and behind each compressed one those inside of it."""
    room = _OPENED
    waiting = [iter(frames)]
    while waiting:
        found = next(waiting[-1], None)
        if found is None:
            waiting.pop()
            continue
        yield found
        if found.tag == COMPRESSED and len(waiting) < DEPTH:
            content = inflate(found.body, room + 1)
            room -= len(content)
            if room < 0:
                raise OutputTooLarge(f"compressed packets hold more than {_OPENED} bytes")
            waiting.append(_shifted(content, found.offset + found.header + 1))


def _shifted(content: bytes, base: int) -> Iterator[Frame]:
    try:
        for found in walk(content):
            yield replace(found, offset=found.offset + base)
    except NotOpenPGP:
        return


def _facts(found: Frame) -> dict[str, str]:
    """Return whose a packet is, under the names of gpg's text."""
    body = found.body
    if found.tag == SIGNATURE:
        name = signature_issuer(body)
        facts = {"sigclass": f"0x{signature_type(body):02x}", "keyid": key_id_of(name)}
        if len(name) > 16:
            facts["issuer fpr"] = name
        return facts
    if found.tag == ONE_PASS:
        return {"keyid": key_id_of(one_pass_signer(body))}
    if found.tag == PKESK:
        return {"keyid": key_id_of(recipient(body))}
    if found.tag in KEYS:
        try:
            return {"fpr": key_fingerprint(body)}
        except NotOpenPGP:
            return {}
    return {}


# Lines that hold what a sender wrote, each matched as a whole: a name, and groups of its own.
_QUOTED = (
    re.compile(r':(?P<key>user ID|comment|OpenPGP draft comment) packet: "(?P<value>.*)"'),
    re.compile(r"(?P<key>(?:critical )?(?:hashed )?subpkt \d+) len \d+ \((?P<value>.*)\)"),
)


_LITERAL = re.compile(r'mode (.) \([0-9A-Fa-f]+\), created (\d+), name="(.*)",')


_PACKET = re.compile(r":[\w -]+ packet:?")


_COLON = re.compile(r"([A-Za-z][\w ]*(?:\[\d+\])?): +(.+)")


_LONGEST = 200


_ITEM = re.compile(
    r"([A-Za-z][\w ]*?)(?:=|: | )((?:0x)?[0-9A-Fa-f][0-9A-Fa-f ]*(?: bytes)?(?: ?\(\d+\))?)"
)


def _fields(lines: Iterable[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    times: Counter[str] = Counter()
    for line in lines:
        for key, value in _line_fields(line):
            times[key] += 1
            fields[key if times[key] == 1 else f"{key} ({times[key]})"] = value
    return fields


def _line_fields(line: str) -> Iterator[tuple[str, str]]:
    for pattern in _QUOTED:
        if match := pattern.fullmatch(line):
            yield match["key"].lower() if line[0] == ":" else match["key"], match["value"]
            return
    if match := _LITERAL.fullmatch(line):
        yield from zip(("mode", "created", "name"), match.groups(), strict=True)
        return
    if match := _PACKET.match(line):
        line = line[match.end() :].strip()
    elif match := _COLON.fullmatch(line):
        yield match[1], match[2]
        return
    for item in line.split(","):
        if len(item) < _LONGEST and (match := _ITEM.fullmatch(item.strip())):
            yield match[1], match[2].strip()
