"""A small message that takes much work to tell what it is: packets, parts, layers and blocks."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.features import reads_packed
from tests.instances import PASSPHRASE, PlainGpg
from tests.openpgp import (
    V4_KEY,
    compressed,
    issuer_fpr,
    literal,
    new,
    one_pass,
    pkesk,
    signature,
    subpacket,
)
from tiny_gnupg import GnuPG, GnuPGError
from tiny_gnupg._gpg.packet_dump import describe
from tiny_gnupg._home.key_files import is_untouched, key_files
from tiny_gnupg._openpgp import packets
from tiny_gnupg._openpgp.armor import dearmor, enarmor
from tiny_gnupg._openpgp.kinds import issuer, may_hold_secret_key, message_kind
from tiny_gnupg._openpgp.placeholders import with_placeholders

SIGNED = new(2, signature(issuer_fpr()))
MIB = 2**20


def tower(data: bytes, algorithm: int = 1) -> bytes:
    for _ in range(40):
        data = compressed(data, algorithm)
    return data


def flood(part: bytes) -> bytes:
    return part * (MIB // len(part))


FLOODS: dict[str, Callable[[], bytes]] = {
    "markers": lambda: flood(b"\xca\x00"),
    "paddings": lambda: flood(b"\xd5\x00"),
    "experiments": lambda: flood(b"\xfc\x00"),
    "recipients": lambda: flood(pkesk()),
    "signatures": lambda: flood(new(2, b"\x04\x00")),
    "subpackets": lambda: flood(new(2, signature(subpacket(5, b"") * 32_000))),
    "user attributes": lambda: new(6, V4_KEY) + flood(new(17, subpacket(1, b"\x10"))),
    "subkeys": lambda: new(6, V4_KEY) + flood(new(14, V4_KEY)),
    "parts of one octet": lambda: b"\xcb\xe9" + bytes(512) + flood(b"\xe0x"),
    "a first part of one octet": lambda: b"\xc8\xe0\x00" + flood(b"\xe0\xca"),
    "parts without end": lambda: b"\xd2\xe9" + bytes(512) + flood(b"\xe0\x01"),
    "literals": lambda: one_pass() + flood(literal(b"")) + SIGNED,
    "blocks of armor": lambda: flood(b"-----BEGIN PGP MESSAGE-----\n\n"),
    "heads of armor": lambda: flood(b"-----BEGIN PGP "),
    "a line of armor": lambda: b"-----BEGIN PGP MESSAGE-----\n\n" + flood(b"A"),
    "headers of armor": lambda: b"-----BEGIN PGP MESSAGE-----\n" + flood(b"A: b\n"),
    "a long text": lambda: literal(bytes(2**26)),
    "a tower": lambda: tower(literal(bytes(MIB))),
    "a tower of bzip2": lambda: tower(literal(bytes(MIB)), 3),
}

#: A flood is sent as it is, made small, and made small twice.
FORMS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda data: data,
    "made small": lambda data: enarmor(compressed(data, 3), "MESSAGE").encode(),
    "made small twice": lambda data: compressed(compressed(data, 1), 3),
}

#: All that looks at what somebody sends before, or beside, gpg.
LOOKS: dict[str, Callable[[bytes], object]] = {
    "what it is": message_kind,
    "who is behind it": issuer,
    "secret keys": may_hold_secret_key,
    "keys without user ids": with_placeholders,
    "its packets": lambda data: describe(data, ""),
}


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what is cut and opened, and what of it by the thread of the event loop."""
    done: Counter[str] = Counter()
    cut, opened = packets._frame_at, packets._opened

    def counted(data: bytes, offset: int, most: int) -> packets.Frame:
        found = cut(data, offset, most)
        done["parts"] += max(1, len(found.spans))
        if threading.current_thread() is threading.main_thread():
            done["on the loop"] += max(1, len(found.spans))
        return found

    def weighed(opener: object, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in opened(opener, pieces):
            done["octets"] += len(piece)
            yield piece

    monkeypatch.setattr(packets, "_frame_at", counted)
    monkeypatch.setattr(packets, "_opened", weighed)
    return done


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FLOODS)
def test_what_it_is_gets_found_out_in_bounded_work(
    work: Counter[str], name: str, form: str
) -> None:
    message = FORMS[form](FLOODS[name]())
    most = packets.most_parts(len(message))
    for look, function in LOOKS.items():
        with suppress(GnuPGError):
            function(message)
        # The listing of packets has a bound of its own.
        assert work["parts"] <= (2**18 if look == "its packets" else 2 * max(most, 2**14)), look
        assert work["octets"] <= 2**25, look
        work.clear()


@pytest.mark.parametrize("method", ["decrypt", "verify", "text_import", "scan", "packets"])
async def test_the_loop_is_free_of_that_work(alice: GnuPG, work: Counter[str], method: str) -> None:
    message = FORMS["made small"](FLOODS["markers"]())
    with suppress(GnuPGError):
        await getattr(alice, method)(message)
    assert work["on the loop"] <= 2**14


async def test_a_secret_key_behind_a_public_one_is_taken_over(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    """Only the first packet was looked at: what stood behind kept the protection it came with."""
    public = dearmor((await alice.text_export()).encode())
    plain = plain_gpg(passphrase=PASSPHRASE)
    mixes: list[Callable[[bytes], bytes]] = [lambda secret: public + secret]
    if reads_packed(public):
        mixes.append(compressed)
    for mix in mixes:
        fingerprint = plain.new_key("Carol <carol@example.org>")
        secret = plain.run("--export-secret-keys", fingerprint).stdout
        assert (await alice.text_import(mix(secret))).secret_imported == 1
        (key,) = await alice.keys(fingerprint)
        files = key_files(Path(alice.home), [key.keygrip])
        assert files
        assert not any(map(is_untouched, files))
