"""Real keys made by gpg, and what a lying keyserver makes of them.

Every lie is built on bytes that gpg wrote, because a lie that is not nearly true proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.homes import Home

from . import openpgp

PRIVATE_PACKET = 60


@dataclass(frozen=True)
class MadeKey:
    """A key pair of gpg's, in binary."""

    email: str
    public: bytes
    secret: bytes

    @property
    def packets(self) -> list[openpgp.Packet]:
        """The public key's packets."""
        return list(openpgp.packets(self.public))

    @property
    def fingerprint(self) -> str:
        """The primary key's fingerprint."""
        return openpgp.fingerprint(self.packets[0])

    @property
    def subkey_fingerprints(self) -> list[str]:
        """Those of the subkeys."""
        tag = openpgp.PUBLIC_SUBKEY
        return [openpgp.fingerprint(each) for each in self.packets if each.tag == tag]

    @property
    def armored(self) -> str:
        """The public key in armor."""
        return openpgp.armor(self.public)

    @property
    def bare(self) -> bytes:
        """The public key without its user ids and their signatures."""
        kept, dropping = [], False
        for each in self.packets:
            if each.tag == openpgp.USER_ID:
                dropping = True
            elif each.tag == openpgp.PUBLIC_SUBKEY:
                dropping = False
            if not dropping:
                kept.append(each.raw)
        return b"".join(kept)

    def subkey(self) -> bytes:
        """The first subkey's packet and its binding signature."""
        place = [each.tag for each in self.packets].index(openpgp.PUBLIC_SUBKEY)
        return b"".join(each.raw for each in self.packets[place : place + 2])


def make_key(home: Home, email: str) -> MadeKey:
    """Make an ed25519 key with subkeys for encryption and signing, without a passphrase."""
    fingerprint = home.new_key(f"Test <{email}>", "ed25519", "sign,cert")
    home.run("--quick-add-key", fingerprint, "cv25519", "encr", "1y")
    home.run("--quick-add-key", fingerprint, "ed25519", "sign", "1y")
    public = home.run("--export", fingerprint)
    return MadeKey(email, public, home.run("--export-secret-keys", fingerprint))


def lies(honest: MadeKey, other: MadeKey) -> dict[str, bytes]:
    """Return the bodies with which a server may answer instead of ``honest``, by name."""
    secret_subkeys = [
        each.raw for each in openpgp.packets(honest.secret) if each.tag == openpgp.SECRET_SUBKEY
    ]
    forged_user_id = openpgp.packet(openpgp.USER_ID, b"Mallory <mallory@example.org>")
    trust = openpgp.packet(openpgp.TRUST, bytes([0x3C, 6]))
    bodies = {
        "another-key": other.public,
        "another-bare-key": other.bare,
        "extra-key": honest.public + other.public,
        "extra-key-first": other.public + honest.public,
        "same-key-twice": honest.public + honest.public,
        "secret-key": honest.secret,
        "secret-subkey": honest.public + secret_subkeys[0],
        "forged-subkey": honest.public + other.subkey(),
        "forged-subkey-with-trust-packet": honest.public + other.subkey() + trust,
        "trust-packet": honest.public + trust,
        "unsigned-user-id": honest.public + forged_user_id,
        "unsigned-user-id-on-a-bare-key": honest.bare + forged_user_id,
        "private-packet": honest.public + openpgp.packet(PRIVATE_PACKET, b"x"),
    }
    armored = {name: openpgp.armor(body).encode() for name, body in bodies.items()}
    text = honest.armored.encode()
    return armored | {
        "truncated-armor": text[: len(text) // 2],
        "truncated-packet": openpgp.armor(honest.public[:-20]).encode(),
        "not-armor-not-packets": b"this is no key",
        "an-html-page": b"<!doctype html><html><body>all is well</body></html>",
        "nothing": b"",
        "wrong-json": b'{"keytext": 1}',
        "only-a-user-id": openpgp.armor(forged_user_id).encode(),
        "two-armors": text + other.armored.encode(),
        "many-packets": openpgp.armor(honest.public + b"\xc2\x00" * 200_000).encode(),
    }


def forgeries(honest: MadeKey, other: MadeKey) -> dict[str, tuple[bytes, str]]:
    """Return bodies whose structure is right and whose signatures are not, with what to look up.

    The signatures are those of ``honest`` over something else, so they name the right issuer.
    """
    certification, binding = (
        next(each for each in honest.packets[place:] if each.tag == openpgp.SIGNATURE).raw
        for place in (1, 3)
    )
    stolen = next(each for each in other.packets if each.tag == openpgp.PUBLIC_SUBKEY)
    name = b"Mallory <mallory@example.net>"
    bodies = {
        "forged-binding": (honest.public + stolen.raw + binding, openpgp.fingerprint(stolen)),
        "forged-certification": (
            honest.bare + openpgp.packet(openpgp.USER_ID, name) + certification,
            "mallory@example.net",
        ),
        "forged-certification-beside-a-good-one": (
            honest.public + openpgp.packet(openpgp.USER_ID, name) + certification,
            "mallory@example.net",
        ),
        "forged-binding-on-a-bare-key": (
            honest.bare + stolen.raw + binding,
            openpgp.fingerprint(stolen)[-16:],
        ),
    }
    return {lie: (openpgp.armor(body).encode(), asked) for lie, (body, asked) in bodies.items()}


#: Which of the lies are about the key; the others are no key at all.
MISMATCHES = frozenset(
    {
        "another-key",
        "another-bare-key",
        "extra-key",
        "extra-key-first",
        "same-key-twice",
        "secret-key",
        "secret-subkey",
        "forged-subkey",
        "forged-subkey-with-trust-packet",
        "trust-packet",
        "unsigned-user-id",
        "unsigned-user-id-on-a-bare-key",
        "private-packet",
        "two-armors",
    }
)
