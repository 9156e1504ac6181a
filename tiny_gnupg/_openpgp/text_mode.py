"""Messages whose literal packet says that it holds text.

Pure: bytes in, bytes out; nothing here runs a program or touches a file. gpg drops every carriage
return of text (``t``, ``u``), and the octet that says so is not signed (RFC 9580, section 5.9), so
that anybody can change it: other octets than were signed come out, with a good signature. gpg
itself gives the octets as they are where the same message says that it holds octets.
"""

from __future__ import annotations

from tiny_gnupg._openpgp.packets import COMPRESSED, DEPTH, LITERAL, inflate, walk, write
from tiny_gnupg.errors import NotOpenPGP, OutputTooLarge


def in_octets(message: bytes, limit: int, depth: int = DEPTH) -> bytes:
    """Return a message with every literal packet said to hold octets, and nothing compressed.

    Args:
        message: in binary form, not encrypted.
        limit: the most octets that compressed packets may hold, all together.
        depth: how deep compressed packets may lie in each other.

    Raises:
        NotOpenPGP: it is no such message.
        OutputTooLarge: it holds more, or too many packets.
    """
    packets: list[bytes] = []
    room = limit
    for packet in walk(message):
        body = packet.body
        if packet.tag == LITERAL:
            packets.append(write(LITERAL, b"b" + body[1:]))
        elif packet.tag != COMPRESSED:
            packets.append(write(packet.tag, body))
        elif not depth:
            raise NotOpenPGP("compressed packets lie too deep in each other")
        else:
            inside = inflate(body, room + 1)
            room -= len(inside)
            if room < 0:
                raise OutputTooLarge(f"more than {limit} bytes of output")
            packets.append(in_octets(inside, limit, depth - 1))
    return b"".join(packets)
