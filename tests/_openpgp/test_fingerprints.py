"""Whose a packet is: fingerprints, issuers, recipients."""

from __future__ import annotations

import hashlib

import pytest

from tests.homes import Home
from tests.openpgp import FPR, KEY_ID, OTHER, V4_KEY, issuer_fpr, signature, subpacket
from tiny_gnupg._openpgp.fingerprints import (
    key_fingerprint,
    key_id_of,
    one_pass_signer,
    public_part,
    recipient,
    signature_issuer,
)
from tiny_gnupg._openpgp.kinds import issuer
from tiny_gnupg._openpgp.packets import frame
from tiny_gnupg.errors import NotOpenPGP


def test_fingerprints_of_real_keys_of_many_algorithms(gpg_home: Home) -> None:
    for algorithm in ("rsa1024", "dsa1024", "ed25519", "nistp256", "nistp521", "brainpoolP256r1"):
        fingerprint = gpg_home.new_key(f"{algorithm} <{algorithm}@x.org>", algorithm, "sign,cert")
        for subkey in ("elg1024", "cv25519", "nistp384"):
            gpg_home.run("--quick-add-key", fingerprint, subkey, "encr")
        listed = [
            line.split(":")[9]
            for line in gpg_home.colons("--list-keys", "--", fingerprint).splitlines()
            if line.startswith("fpr:")
        ]
        public, secret = (
            gpg_home.run("--export", fingerprint),
            gpg_home.run("--export-secret-keys", fingerprint),
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
