"""The secret numbers of exported keys, written as others read them.

Pure: bytes in, bytes out. GnuPG from 2.4.7 on exports the secret number of a key for Curve25519
with 256 for the count of its bits, of which it has 255. Others refuse to open such a key: Sequoia,
and what is made with it. RFC 9580, section 3.2: the count starts at the first bit that is not zero.

1. The number is decrypted with the passphrase of the export (sections 3.7.1.3 and 5.5.3), and what
   is not found to be whole by its digest is left as it is.
2. Nothing but the count and the digest changes; salt, initial vector and all other packets stay.
"""

from __future__ import annotations

import hashlib
from itertools import count
from operator import xor

from tiny_gnupg._openpgp.armor import dearmor, enarmor
from tiny_gnupg._openpgp.fingerprints import public_part
from tiny_gnupg._openpgp.packets import SECRET_KEYS, whole_packets, write

#: Algorithms of elliptic curves with one secret number: ECDH, and EdDSA of before RFC 9580.
_ECDH, _EDDSA = 18, 22


#: Octets of a key of AES, and the names of digests, by their numbers (sections 9.3 and 9.5).
_KEY_LENGTHS = {7: 16, 8: 24, 9: 32}
_DIGESTS = {2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}


#: Says that the number is encrypted and has a SHA-1 for its checksum; that its key comes of a
#: passphrase hashed over and over.
_ENCRYPTED, _ITERATED = 254, 3


_BLOCK, _DIGEST = 16, 20


def with_true_counts(block: bytes, passphrase: bytes) -> bytes:
    """Return exported secret keys whose numbers say as many bits as they have.

    Args:
        block: the armored keys.
        passphrase: what protects them.

    Returns:
        The armored keys; the same where nothing was to be mended.
    """
    binary = dearmor(block)
    parts, changed = [], False
    for packet in whole_packets(binary):
        octets = binary[packet.offset : packet.offset + packet.length]
        if packet.tag in SECRET_KEYS:
            body = _mended(packet.body, passphrase)
            if body != packet.body:
                octets, changed = write(packet.tag, body), True
        parts.append(octets)
    return enarmor(b"".join(parts), "PRIVATE KEY BLOCK").encode() if changed else block


def _mended(body: bytes, passphrase: bytes) -> bytes:
    """Return the body of a secret key with the true count of its number's bits."""
    if body[0] != 4 or body[5] not in (_ECDH, _EDDSA):
        return body
    public = public_part(body)
    secret = body[len(public) :]
    if secret[:1] == b"\0" and len(secret) > 5:
        number = _counted(secret[1:-2])
        return public + b"\0" + number + (sum(number) & 0xFFFF).to_bytes(2, "big")
    head, vector, data = secret[:13], secret[13:29], secret[29:]
    known = len(data) > _DIGEST and head[1] in _KEY_LENGTHS and head[3] in _DIGESTS
    if not known or (head[0], head[2]) != (_ENCRYPTED, _ITERATED):
        return body  # without its secret part, on a card, or protected in another way
    key = _hashed(passphrase, head[3], head[4:12], head[12], _KEY_LENGTHS[head[1]])
    clear = _cfb(key, vector, data, encrypt=False)
    number = clear[:-_DIGEST]
    if _sha1(number) != clear[-_DIGEST:]:
        return body
    number = _counted(number)
    return public + head + vector + _cfb(key, vector, number + _sha1(number), encrypt=True)


def _counted(number: bytes) -> bytes:
    value = number[2:].lstrip(b"\0")
    return int.from_bytes(value, "big").bit_length().to_bytes(2, "big") + value


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()


def _hashed(passphrase: bytes, digest: int, salt: bytes, coded: int, length: int) -> bytes:
    """Return the key of a passphrase that is hashed over and over (section 3.7.1.3)."""
    once = salt + passphrase
    octets = max((16 + (coded & 15)) << ((coded >> 4) + 6), len(once))
    many = once * (0x10000 // len(once) + 1)
    key = b""
    for zeros in count():
        state = hashlib.new(_DIGESTS[digest], bytes(zeros), usedforsecurity=False)
        whole, rest = divmod(octets, len(many))
        for _ in range(whole):
            state.update(many)
        state.update(many[:rest])
        key += state.digest()
        if len(key) >= length:
            break
    return key[:length]


# -- AES (FIPS 197), of which Python has none; for some blocks ------------------------------------


def _cfb(key: bytes, vector: bytes, data: bytes, *, encrypt: bool) -> bytes:
    """Encrypt or decrypt by cipher feedback (NIST SP 800-38A), from an initial vector on."""
    schedule = _schedule(key)
    done = b""
    for place in range(0, len(data), _BLOCK):
        piece = data[place : place + _BLOCK]
        result = bytes(map(xor, piece, _encrypted(schedule, vector)))
        done += result
        vector = result if encrypt else piece
    return done


def _double(octet: int) -> int:
    return octet << 1 ^ (0x11B if octet & 0x80 else 0)


def _substitutions() -> bytes:
    table, power, inverse = bytearray(256), 1, 1
    while True:
        power ^= _double(power)  # times three, which is a generator
        for shift in (1, 2, 4):  # divided by three
            inverse ^= inverse << shift & 0xFF
        inverse ^= 0x09 if inverse & 0x80 else 0
        turned = inverse * 0x101
        spread = turned ^ turned >> 4 ^ turned >> 5 ^ turned >> 6 ^ turned >> 7
        table[power] = spread & 0xFF ^ 0x63
        if power == 1:
            break
    table[0] = 0x63
    return bytes(table)


_SUBSTITUTIONS = _substitutions()


#: Where each octet of a block comes from when its rows are shifted.
_SHIFTED = [(place * 5) % _BLOCK for place in range(_BLOCK)]


def _schedule(key: bytes) -> list[bytes]:
    """Return the keys of the rounds."""
    size, constant = len(key) // 4, 1
    words = [key[place : place + 4] for place in range(0, len(key), 4)]
    for number in range(size, 4 * (size + 7)):
        word = words[-1]
        if number % size == 0:
            word = (word[1:] + word[:1]).translate(_SUBSTITUTIONS)
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = _double(constant)
        elif size > 6 and number % size == 4:
            word = word.translate(_SUBSTITUTIONS)
        words.append(bytes(map(xor, words[-size], word)))
    return [b"".join(words[place : place + 4]) for place in range(0, len(words), 4)]


def _encrypted(schedule: list[bytes], block: bytes) -> bytes:
    """Encrypt one block."""
    first, *middle, last = schedule
    state = bytes(map(xor, block, first))
    for key in middle:
        state = state.translate(_SUBSTITUTIONS)
        state = _mixed(bytes(state[place] for place in _SHIFTED))
        state = bytes(map(xor, state, key))
    state = state.translate(_SUBSTITUTIONS)
    return bytes(map(xor, (state[place] for place in _SHIFTED), last))


def _mixed(state: bytes) -> bytes:
    """Mix the octets of each column."""
    mixed = bytearray()
    for place in range(0, _BLOCK, 4):
        column = state[place : place + 4]
        both = column[0] ^ column[1] ^ column[2] ^ column[3]
        mixed += bytes(
            column[row] ^ both ^ _double(column[row] ^ column[(row + 1) % 4]) for row in range(4)
        )
    return bytes(mixed)
