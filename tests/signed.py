"""Signatures that are good, bad or expired, or by keys that are expired, revoked or missing."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from tests.instances import PlainGpg
from tiny_gnupg import (
    BadSignature,
    ExpiredKeySignature,
    ExpiredSignature,
    GnuPGError,
    KeyNotFound,
    RevokedKeySignature,
    SignatureStatus,
)

DATA = b"data"
THEN = "20200601T000000"
STATES = {
    "good": SignatureStatus.GOODSIG,
    "bad": SignatureStatus.BADSIG,
    "expired": SignatureStatus.EXPSIG,
    "expired key": SignatureStatus.EXPKEYSIG,
    "revoked key": SignatureStatus.REVKEYSIG,
    "missing key": SignatureStatus.NO_PUBKEY,
}
ERRORS: dict[str, type[GnuPGError]] = {
    "bad": BadSignature,
    "expired": ExpiredSignature,
    "expired key": ExpiredKeySignature,
    "revoked key": RevokedKeySignature,
    "missing key": KeyNotFound,
}


@dataclass(frozen=True)
class Signatures:
    """Signatures of all kinds by keys of all kinds, and the keys."""

    keys: bytes
    detached: dict[str, bytes]
    inline: dict[str, bytes]


def make_signatures(plain: PlainGpg) -> Signatures:
    """Make them in a home of plain gpg's."""
    signers = {
        name: _make_key(plain, name, expires="1y" if name == "expired key" else "never")
        for name in ("good", "expired key", "revoked key", "missing key")
    }
    signers |= {"bad": signers["good"], "expired": signers["good"]}
    detached = {}
    for name, fingerprint in signers.items():
        data = b"other data" if name == "bad" else DATA
        detached[name] = _sign(plain, [name], [fingerprint], "--detach-sign", data)
    inline = {
        f"{first}, {second}": _sign(
            plain, [first, second], [signers[first], signers[second]], "--sign", DATA
        )
        for first, second in itertools.permutations(("good", "expired key", "revoked key"), 2)
    }
    known = [fingerprint for name, fingerprint in signers.items() if name != "missing key"]
    _revoke(plain, signers["revoked key"])
    return Signatures(plain.run("--export", *known).stdout, detached, inline)


def _make_key(plain: PlainGpg, name: str, *, expires: str) -> str:
    making = ("--quick-generate-key", f"{name} <{name[:3]}@example.org>", "ed25519", "sign")
    then = ("--yes", "--status-fd", "1", "--faked-system-time", THEN)
    said = plain.run(*then, *making, expires).stdout.decode()
    return next(line.split()[3] for line in said.splitlines() if "KEY_CREATED" in line)


def _sign(plain: PlainGpg, names: list[str], signers: list[str], how: str, data: bytes) -> bytes:
    users = [part for signer in signers for part in ("-u", signer)]
    expiry = ("--default-sig-expire", "1d") if "expired" in names else ()
    return plain.run("--faked-system-time", THEN, *expiry, *users, how, stdin=data).stdout


def _revoke(plain: PlainGpg, fingerprint: str) -> None:
    certificate = plain.home / "openpgp-revocs.d" / f"{fingerprint}.rev"
    text = certificate.read_text()
    # A colon keeps the prepared certificate from being used by mistake.
    plain.run("--import", stdin=text.replace(":-----BEGIN", "-----BEGIN"))
