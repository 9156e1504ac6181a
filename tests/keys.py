"""Keys as gpg might list them, made of nothing but what a test says of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tiny_gnupg.results import (
    Capability,
    Key,
    OwnerTrust,
    PublicKeyAlgorithm,
    Subkey,
    UserID,
    Validity,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_ALIVE: dict[str, Any] = {
    "bits": 255,
    "created": NOW,
    "expires": None,
    "validity": Validity.ULTIMATE,
    "revoked": False,
    "expired": False,
    "secret": True,
    "keygrip": "",
}


def subkey(capabilities: str, **changes: Any) -> Subkey:
    """Make a subkey that is alive; its capabilities are gpg's letters."""
    plain: dict[str, Any] = {
        **_ALIVE,
        "fingerprint": "B" * 40,
        "key_id": "B" * 16,
        "algorithm": PublicKeyAlgorithm.ECDH,
        "curve": "cv25519",
        "capabilities": frozenset(map(Capability, capabilities)),
    }
    return Subkey(**plain | changes)


def key(capabilities: str, *subkeys: Subkey, **changes: Any) -> Key:
    """Make a key that is alive; its capabilities are gpg's letters."""
    plain: dict[str, Any] = {
        **_ALIVE,
        "fingerprint": "A" * 40,
        "key_id": "A" * 16,
        "algorithm": PublicKeyAlgorithm.EDDSA,
        "curve": "ed25519",
        "ownertrust": OwnerTrust.ULTIMATE,
        "capabilities": frozenset(map(Capability, capabilities)),
        "disabled": False,
        "subkeys": subkeys,
    }
    return Key(**plain | changes)


def user_id(email: str, revoked: bool = False, created: datetime | None = NOW) -> UserID:
    """Make a user id; one without a date is one that nobody signed."""
    return UserID(f"<{email}>", "", email, "", Validity.FULL, revoked, created, "")
