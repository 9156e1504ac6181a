"""The algorithms of new keys."""

from __future__ import annotations

import pytest

from tiny_gnupg import UnsupportedByGnuPG
from tiny_gnupg._gpg.algorithms import (
    checked_algorithm,
    checked_usages,
    require_supported,
)

CURVES = b"cfg:curve:cv25519;ed25519;nistp256;nistp384;nistp521;brainpoolP256r1;secp256k1\n"
NEWER = CURVES.rstrip() + b";ed448;cv448;brainpoolP384r1;brainpoolP512r1\n"


@pytest.mark.parametrize(
    ("name", "signs", "encrypts"),
    [
        ("ed25519", "ed25519", "cv25519"),
        ("ed448", "ed448", "cv448"),
        ("rsa2048", "rsa2048", "rsa2048"),
        ("rsa4096", "rsa4096", "rsa4096"),
        ("nistp384", "nistp384/ecdsa", "nistp384"),
        ("brainpoolP512r1", "brainpoolP512r1/ecdsa", "brainpoolP512r1"),
        ("ky768_cv25519", "ed25519", "ky768_cv25519"),
        ("ky1024_bp384", "brainpoolP384r1/ecdsa", "ky1024_bp384"),
    ],
)
def test_each_usage_has_its_algorithm(name: str, signs: str, encrypts: str) -> None:
    algorithm = checked_algorithm(name)
    assert {algorithm.named(usage) for usage in ("sign", "auth")} == {signs}
    assert algorithm.named("encrypt") == encrypts


@pytest.mark.parametrize(
    "name", ["", "RSA4096", "rsa", "rsa1024", "rsa8192", "rsa02048", "ed25519/sign", "dsa2048", 3]
)
def test_what_is_no_algorithm_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="an algorithm is"):
        checked_algorithm(name)


@pytest.mark.parametrize("usages", ["sign,auth", ["cert"], [""], [None], None, {"sign"}, 3])
def test_what_is_no_usage_is_refused(usages: object) -> None:
    with pytest.raises(ValueError, match="a subkey is for"):
        checked_usages(usages)


def test_one_usage_is_a_sequence_of_one() -> None:
    assert checked_usages("sign") == ("sign",)
    assert checked_usages(["encrypt", "auth"]) == ("encrypt", "auth")
    assert checked_usages(()) == ()


@pytest.mark.parametrize(
    ("name", "version", "curves", "says"),
    [
        ("ed448", (2, 2, 40), CURVES, r"gpg 2\.2\.40 has no ed448 \(GnuPG 2\.3\.0 and newer"),
        ("ky768_cv25519", (2, 4, 7), NEWER, r"GnuPG 2\.5\.0 and newer"),
        ("brainpoolP512r1", (2, 2, 40), CURVES, "built without brainpoolP512r1"),
        ("ed448", (2, 4, 0), CURVES, "built without cv448, ed448"),
        ("ky1024_bp384", (2, 5, 1), CURVES, "built without brainpoolP384r1"),
    ],
)
def test_what_a_gpg_lacks_is_said(
    name: str, version: tuple[int, int, int], curves: bytes, says: str
) -> None:
    with pytest.raises(UnsupportedByGnuPG, match=says):
        require_supported(name, version, curves)


def test_what_a_gpg_has_passes() -> None:
    for name in ("ed25519", "rsa4096", "nistp521", "brainpoolP256r1"):
        require_supported(name, (2, 2, 40), CURVES)
    for name in ("ed448", "ky1024_cv448", "ky1024_bp512"):
        require_supported(name, (2, 5, 0), NEWER)
