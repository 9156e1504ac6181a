"""Odd input, made by its defect from real keys and messages: hundreds of ways to be wrong.

``GROUPS`` names each kind of defect, and gives what makes the inputs of that kind; each input has a
name that says what was done to what. All of it is the same in every run, save for the keys.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.openpgp import (
    SEIPD,
    SIGNED,
    SKESK,
    V4_KEY,
    compressed,
    issuer_fpr,
    literal,
    new,
    old,
    one_pass,
    partial,
    pkesk,
    signature,
    subpacket,
)

Odd = Iterator[tuple[str, bytes]]

#: The kinds of armor that there are (RFC 9580, section 6.2.1), and some that there are not.
LABELS = (
    *("MESSAGE", "SIGNED MESSAGE", "SIGNATURE", "PUBLIC KEY BLOCK", "PRIVATE KEY BLOCK"),
    *("MESSAGE, PART 1/2", "ARMORED FILE", "NONSENSE", ""),
)


@dataclass(frozen=True)
class Material:
    """Real data, armored and binary, under the name of what it is."""

    armored: dict[str, bytes]
    binary: dict[str, bytes]

    def everything(self) -> Iterator[tuple[str, bytes]]:
        """Return both forms of all."""
        yield from ((f"armored {name}", data) for name, data in self.armored.items())
        yield from ((f"binary {name}", data) for name, data in self.binary.items())


def truncated(material: Material) -> Odd:
    for name, data in material.everything():
        for part in (1, 7, len(data) // 3, len(data) // 2, len(data) - 30, len(data) - 1):
            yield f"{name}, {part} bytes of {len(data)}", data[:part]


def beheaded(material: Material) -> Odd:
    for name, data in material.everything():
        for cut in (1, 3, len(data) // 4):
            yield f"{name} without its first {cut} bytes", data[cut:]


def concatenated(material: Material) -> Odd:
    for first, data in material.binary.items():
        for second, more in material.binary.items():
            yield f"binary {first}, then {second}", data + more
    for name, data in material.armored.items():
        yield f"armored {name} twice", data + data
        yield f"armored {name}, then it again in binary", data + material.binary.get(name, b"")


def wrongly_armored(material: Material) -> Odd:
    for name, data in material.armored.items():
        lines = data.decode(errors="surrogateescape").splitlines()
        start = lines[0].removeprefix("-----BEGIN PGP ").removesuffix("-----")
        for label in LABELS:
            if label != start:
                text = data.replace(f"PGP {start}".encode(), f"PGP {label}".encode())
                yield f"{name} as {label or 'nothing'}", text


def damaged_armor(material: Material) -> Odd:
    for name in ("encrypted", "signed", "public key", "detached signature"):
        data = material.armored[name]
        lines = data.split(b"\n")
        body = next(number for number, line in enumerate(lines) if not line)
        end = max(number for number, line in enumerate(lines) if line.startswith(b"-----END"))
        made = {
            "no blank line": lines[:body] + lines[body + 1 :],
            "no end": lines[:end],
            "no beginning": lines[1:],
            "no body": lines[: body + 1] + lines[end:],
            "a wrong checksum": [*lines[: end - 1], b"=AAAA", *lines[end:]],
            "no checksum": lines[: end - 1] + lines[end:],
            "a line twice": [*lines[: body + 2], lines[body + 1], *lines[body + 2 :]],
            "a line less": lines[: body + 1] + lines[body + 2 :],
            "a header with controls": [lines[0], b"Comment: \x1b[2J\x00\x07", *lines[1:]],
            "a header of 100,000 bytes": [lines[0], b"Comment: " + b"x" * 10**5, *lines[1:]],
            "1,000 headers": [lines[0], *([b"Comment: x"] * 1000), *lines[1:]],
            "a header without a name": [lines[0], b"no colon in this", *lines[1:]],
            "text before and behind": [b"Dear Bob,", b"", *lines, b"Yours, Alice", b""],
            "a quote's mark": [b"> " + line for line in lines],
            "spaces in front": [b"    " + line for line in lines],
            "spaces behind": [line + b"  \t" for line in lines],
            "dashes missing": [line.replace(b"-----", b"----") for line in lines],
            "another case": [line.lower() for line in lines],
            "the end of another kind": [*lines[:end], b"-----END PGP NONSENSE-----", b""],
        }
        for what, parts in made.items():
            yield f"{name} with {what}", b"\n".join(parts)
        yield f"{name} with CRLF", data.replace(b"\n", b"\r\n")
        yield f"{name} with CR", data.replace(b"\n", b"\r")
        yield f"{name} on one line", data.replace(b"\n", b"")
        yield f"{name} in UTF-16", data.decode().encode("utf-16")
        yield f"{name} behind a byte order mark", b"\xef\xbb\xbf" + data
        yield f"{name} with NUL between", b"\0".join(data[at : at + 1] for at in range(len(data)))
        yield f"{name} in base64 without armor", base64.b64encode(data)
        yield f"{name} in the alphabet for URLs", data.replace(b"+", b"-").replace(b"/", b"_")


def garbage(material: Material) -> Odd:
    chance = random.Random(4880)
    for size in (0, 1, 2, 3, 5, 11, 64, 191, 192, 1000, 8383, 8384, 65537):
        yield f"{size} bytes by chance", chance.randbytes(size)
    for tag in range(64):
        yield f"a packet of tag {tag} that holds chance", new(tag, chance.randbytes(40))
    for tag in range(16):
        yield f"an old packet of tag {tag} with nothing in it", old(tag, b"", 0)
        yield f"an old packet of tag {tag} without an end", old(tag, chance.randbytes(9), 3)


def no_openpgp(material: Material) -> Odd:
    yield "nothing", b""
    yield "a space", b" "
    yield "line ends", b"\n\r\n\r"
    yield "NUL", b"\0" * 100
    yield "text", b"hello, world"
    yield "text in UTF-8", "κόσμε 🔑 世界".encode()
    yield "a megabyte of one letter", b"A" * 2**20
    yield "many dashes", b"-" * 10**5
    yield "HTML", b"<!doctype html><html><body>404 Not Found</body></html>"
    yield "JSON", b'{"error": "No key found"}'
    yield "an SSH key", b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGxG bob@host"
    yield "an X.509 certificate", b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    yield "a status line", b"[GNUPG:] GOODSIG 0000000000000000 Alice\n"
    yield "options", b"--version\n--homedir /\n"
    yield "only the first line", b"-----BEGIN PGP MESSAGE-----\n"
    yield "only both lines", b"-----BEGIN PGP MESSAGE-----\n\n-----END PGP MESSAGE-----\n"
    yield "a zip", b"PK\x03\x04" + bytes(40)
    yield "a gzip", b"\x1f\x8b\x08" + bytes(40)
    yield "an ELF", b"\x7fELF" + bytes(60)


def nested(material: Material) -> Odd:
    for depth in (1, 2, 8, 31, 33, 100):
        data = literal(b"deep")
        for _ in range(depth):
            data = compressed(data)
        yield f"a message compressed {depth} times", data
    for algorithm in range(4):
        yield f"a signed message in compression {algorithm}", compressed(SIGNED, algorithm)
    yield "compression of a kind that is not", old(8, b"\x63" + bytes(20), 3)
    yield "compressed chance", old(8, b"\x01" + random.Random(1).randbytes(50), 3)
    yield "compressed nothing", compressed(b"")
    yield "a compressed key", compressed(material.binary["public key"])
    yield "a compressed encrypted message", compressed(material.binary["encrypted"])
    yield "a compressed detached signature", compressed(material.binary["detached signature"])
    yield "a bomb", compressed(literal(bytes(8 * 2**20)))
    yield "a bomb in a bomb", compressed(compressed(literal(bytes(8 * 2**20))))
    yield "many literals", literal(b"one") * 50
    yield "many markers", new(10, b"PGP") * 1000 + material.binary["signed"]
    yield "a marker that says something else", new(10, b"XYZ") + material.binary["signed"]
    yield "padding in front", new(21, bytes(100)) + material.binary["encrypted"]


def lengths(material: Material) -> Odd:
    body = b"b\0" + bytes(4) + b"text"
    yield "a length of 4 GiB", bytes([0xCB, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]) + body
    yield "an old length of 4 GiB", bytes([0x80 | 11 << 2 | 2, 0xFF, 0xFF, 0xFF, 0xFF]) + body
    yield "a length of one more", bytes([0xCB, len(body) + 1]) + body
    yield "a length of one less", bytes([0xCB, len(body) - 1]) + body
    yield "a length of nothing", bytes([0xCB, 0]) + body
    yield "a length that is cut off", bytes([0xCB, 0xFF, 0, 0])
    yield "a partial length without more", bytes([0xCB, 224 + 9]) + body.ljust(512, b"x")
    yield "partial lengths of one byte", partial(11, body, 0)
    yield "a partial length in a signature", partial(2, signature(issuer_fpr()), 4)
    yield "a partial length in a key", partial(6, V4_KEY, 3)
    yield "partial lengths in a message", partial(11, b"b\0" + bytes(4) + b"x" * 3000, 9)
    yield "no length of a literal", old(11, body, 3)
    yield "no length of a key", old(6, V4_KEY, 3)
    yield "a literal without a body", new(11, b"")
    yield "a literal of a kind that is not", new(11, b"?\0" + bytes(4) + b"text")
    yield "a literal whose name is longer than it", new(11, b"b\xffname")
    for name in ("console", "../../etc/passwd", "a\nb", "\x1b[2J", "-", "%00"):
        yield f"a literal named {name!r}", literal(b"text", name.encode())


def signatures(material: Material) -> Odd:
    plain, sig = literal(b"text"), new(2, signature(issuer_fpr()))
    yield "a signature and no data", sig
    yield "a one-pass packet and no signature", one_pass() + plain
    yield "a signature and no one-pass packet", plain + sig
    yield "a signature in front", sig + plain
    yield "two one-pass packets, one signature", one_pass() * 2 + plain + sig
    yield "one one-pass packet, two signatures", one_pass() + plain + sig * 2
    yield "100 signatures", one_pass() * 100 + plain + sig * 100
    for version in (0, 2, 3, 5, 6, 255):
        yield f"a signature of version {version}", new(2, signature(version=version))
    for kind in (0x01, 0x02, 0x10, 0x18, 0x20, 0x40, 0x50, 0xFF):
        yield f"a signature of type {kind:#x}", plain + new(2, signature(issuer_fpr(), kind=kind))
    critical = subpacket(0x80 | 99, b"what is this")
    yield "a critical subpacket that nobody knows", new(2, signature(issuer_fpr() + critical))
    yield "a subpacket longer than its area", new(2, signature(b"\xff\0\0\xff\xff\x21"))
    yield "a subpacket of no length", new(2, signature(b"\0\0\0"))
    yield "no issuer", new(2, signature())
    yield "an issuer outside of what is hashed", new(2, signature(b"", issuer_fpr()))
    yield "an issuer of a version that is not", new(2, signature(issuer_fpr(version=77)))
    yield "a signature within a signature", new(2, signature(subpacket(32, signature())))
    yield "a signature of no mathematics", new(2, signature(issuer_fpr())[:-6])
    real = material.binary["detached signature"]
    for place in range(2, len(real), max(1, len(real) // 12)):
        changed = real[:place] + bytes([real[place] ^ 0x10]) + real[place + 1 :]
        yield f"a real signature with byte {place} changed", changed


def messages(material: Material) -> Odd:
    yield "a session key and no data", pkesk()
    yield "data and no session key", SEIPD
    yield "a passphrase's session key and no data", SKESK
    yield "a session key for somebody", pkesk() + SEIPD
    yield "a hidden recipient", pkesk(bytes(8)) + SEIPD
    yield "100 hidden recipients", pkesk(bytes(8)) * 100 + SEIPD
    yield "a passphrase, and chance", SKESK + SEIPD
    yield "no integrity protection", pkesk() + new(9, bytes(60))
    yield "a passphrase and no integrity protection", SKESK + new(9, bytes(60))
    yield "an AEAD packet of chance", SKESK + new(20, b"\x01\x09\x02\x10" + bytes(64))
    yield "SEIPD of version 2", SKESK + new(18, b"\x02\x09\x02\x10" + bytes(64))
    yield "SEIPD of no version", SKESK + new(18, b"")
    yield "a session key of version 6", new(1, b"\x06" + bytes(40)) + SEIPD
    yield "a session key of an algorithm that is not", new(1, b"\x03" + bytes(8) + b"\x63") + SEIPD
    yield "a passphrase's salt cut off", new(3, b"\x04\x09\x03\x08\x01") + SEIPD
    yield "a passphrase and a cipher that is not", new(3, b"\x04\x63\x00\x08") + SEIPD
    for name in ("encrypted", "signed and encrypted", "to a passphrase"):
        real = material.binary[name]
        for place in range(0, len(real), max(1, len(real) // 16)):
            changed = real[:place] + bytes([real[place] ^ 0x04]) + real[place + 1 :]
            yield f"{name}, byte {place} changed", changed


def keys(material: Material) -> Odd:
    user_id = new(13, b"Mallory <mallory@example.org>")
    yield "a key and no more", new(6, V4_KEY)
    yield "a key with a user id that nobody signed", new(6, V4_KEY) + user_id
    yield "a user id and no key", user_id
    yield "a subkey and no key", new(14, V4_KEY)
    yield "a key twice", new(6, V4_KEY) * 2
    yield "a secret key that is none", new(5, V4_KEY)
    yield "a secret key with a stub for a secret", new(5, V4_KEY + b"\xff\x00\x65\x00GNU\x01")
    for version in (0, 2, 3, 5, 6, 255):
        yield f"a key of version {version}", new(6, bytes([version]) + V4_KEY[1:]) + user_id
    for algorithm in (0, 2, 16, 17, 18, 19, 20, 22, 25, 27, 99, 255):
        body = V4_KEY[:5] + bytes([algorithm]) + V4_KEY[6:]
        yield f"a key of algorithm {algorithm}", new(6, body) + user_id
    yield "a key of the future", new(6, b"\x04\xff\xff\xff\xff" + V4_KEY[5:]) + user_id
    yield "a key of the year 1970", new(6, b"\x04\0\0\0\0" + V4_KEY[5:]) + user_id
    yield "a number of 8 KiB", new(6, V4_KEY[:6] + b"\xff\xff" + bytes(8192)) + user_id
    yield "a number that is cut off", new(6, V4_KEY[:6] + b"\x10\x00\xff") + user_id
    for text in (b"", b"\0", b"a\nuid:u::::", b"\xff\xfe", b"\x1b[31m", b"x" * 5000, b"%s%n"):
        yield f"a user id {text[:12]!r}", new(6, V4_KEY) + new(13, text)
    yield "1,000 user ids", new(6, V4_KEY) + user_id * 1000
    yield "a photo that is none", new(6, V4_KEY) + new(17, b"\x05\x01\x10\x00\x01\x01")
    yield "a trust packet", new(6, V4_KEY) + new(12, b"\x05\x06") + user_id
    public = material.binary["public key"]
    yield "a real key with a subkey of chance", public + new(14, V4_KEY)
    yield "a real key with a stranger's user id", public + user_id
    yield "a real key in the middle of chance", new(60, bytes(9)) + public + new(61, bytes(9))
    yield "a secret key called public", material.binary["secret key"].replace(b"\x94", b"\x98", 1)
    for place in range(0, len(public), max(1, len(public) // 24)):
        changed = public[:place] + bytes([public[place] ^ 0x01]) + public[place + 1 :]
        yield f"a real key with byte {place} changed", changed


GROUPS: dict[str, Callable[[Material], Odd]] = {
    "truncated": truncated,
    "beheaded": beheaded,
    "concatenated": concatenated,
    "wrongly armored": wrongly_armored,
    "damaged armor": damaged_armor,
    "garbage": garbage,
    "no OpenPGP at all": no_openpgp,
    "nested": nested,
    "lengths": lengths,
    "signatures": signatures,
    "messages": messages,
    "keys": keys,
}
