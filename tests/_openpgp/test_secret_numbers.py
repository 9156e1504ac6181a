"""The numbers of exported secret keys say as many bits as they have, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.instances import PlainGpg
from tiny_gnupg._openpgp import secret_numbers
from tiny_gnupg._openpgp.armor import dearmor, enarmor
from tiny_gnupg._openpgp.fingerprints import public_part
from tiny_gnupg._openpgp.packets import SECRET_KEYS, whole_packets, write
from tiny_gnupg._openpgp.secret_numbers import with_true_counts

PASSPHRASE = "correct horse é"


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (16, "69c4e0d86a7b0430d8cdb78070b4c55a"),
        (24, "dda97ca4864cdfe06eaf70a0ec0d7191"),
        (32, "8ea2b7ca516745bfeafc49904b496089"),
    ],
)
def test_aes_is_that_of_fips_197(octets: int, expected: str) -> None:
    schedule = secret_numbers._schedule(bytes(range(octets)))
    block = bytes(0x11 * place for place in range(16))
    assert secret_numbers._encrypted(schedule, block).hex() == expected


def with_256(monkeypatch: pytest.MonkeyPatch, block: bytes, passphrase: bytes) -> bytes:
    """Write keys as GnuPG 2.4.7 does: each number in 32 octets, with 256 for its bits."""
    with monkeypatch.context() as patch:
        patch.setattr(secret_numbers, "_counted", lambda one: b"\1\0" + one[2:].rjust(32, b"\0"))
        return with_true_counts(block, passphrase)


def numbers(block: bytes) -> list[tuple[bytes, bytes]]:
    """Return what is public of each secret key, and all of it."""
    packets = list(whole_packets(dearmor(block)))
    return [(public_part(one.body), one.body) for one in packets if one.tag in SECRET_KEYS]


@pytest.mark.parametrize("passphrase", [PASSPHRASE, ""])
def test_a_number_with_256_bits_gets_its_own_count(
    plain_gpg: Callable[..., PlainGpg], monkeypatch: pytest.MonkeyPatch, passphrase: str
) -> None:
    gpg, other = plain_gpg(passphrase), plain_gpg(passphrase)
    gpg.new_key("Ada <ada@example.org>", algorithm="future-default")
    exported = gpg.run("--armor", "--export-secret-keys").stdout
    given = passphrase.encode()
    right = with_true_counts(exported, given)
    wrong = with_256(monkeypatch, right, given)
    assert [body for _, body in numbers(wrong)] != [body for _, body in numbers(right)]
    assert numbers(with_true_counts(wrong, given)) == numbers(right)
    assert with_true_counts(right, given) == right
    other.run("--import", stdin=right)
    [(primary, _), *_] = numbers(right)
    assert primary == numbers(other.run("--armor", "--export-secret-keys").stdout)[0][0]
    message = other.run("--trust-model", "always", "-r", "ada", "-se", stdin="text").stdout
    assert gpg.run("--decrypt", stdin=message).stdout == b"text"


def test_what_the_passphrase_does_not_open_is_left_as_it_is(
    plain_gpg: Callable[..., PlainGpg], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpg = plain_gpg(PASSPHRASE)
    gpg.new_key("Ada <ada@example.org>", algorithm="future-default")
    exported = gpg.run("--armor", "--export-secret-keys").stdout
    wrong = with_256(monkeypatch, exported, PASSPHRASE.encode())
    assert with_true_counts(wrong, b"another") == wrong


def test_keys_of_other_algorithms_and_stubs_are_left_as_they_are(
    plain_gpg: Callable[..., PlainGpg],
) -> None:
    gpg = plain_gpg(PASSPHRASE)
    gpg.new_key("Ada <ada@example.org>", algorithm="rsa2048", usage="sign")
    exported = gpg.run("--armor", "--export-secret-keys").stdout
    assert with_true_counts(exported, PASSPHRASE.encode()) == exported
    gpg.new_key("Bob <bob@example.org>", algorithm="ed25519", usage="cert")
    stub = gpg.run("--armor", "--export-secret-subkeys", "bob").stdout
    assert with_true_counts(stub, PASSPHRASE.encode()) == stub


def test_what_is_cut_off_raises_nothing_that_is_not_expected() -> None:
    point = b"\x04" + bytes(4) + b"\x12\x0a\x2b\x06\x01\x04\x01\x97\x55\x01\x05\x01\x00\x07\x40"
    point += b"\x03\x01\x08\x07"
    for secret in (
        b"",
        b"\x00",
        b"\xfe",
        b"\xfe\x07\x03\x02",
        b"\xff",
        b"\xfe\x07\x03\x63" + bytes(60),
    ):
        block = enarmor(write(7, point + secret), "PRIVATE KEY BLOCK").encode()
        assert with_true_counts(block, b"x") == block
