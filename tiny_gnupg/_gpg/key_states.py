"""Why a key cannot be used now, and what helps.

Pure: a ``Key`` in, words out. gpg itself says the same of a key that is not there, has expired, or
has its secret part elsewhere; its listing tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from tiny_gnupg.results import Capability, Key, Subkey

_VERBS = {
    Capability.ENCRYPT: "encrypt",
    Capability.SIGN: "sign",
    Capability.CERTIFY: "certify",
    Capability.AUTHENTICATE: "authenticate",
}


class Trouble(NamedTuple):
    """What is wrong with a key, and what to do about it; both are parts of a sentence."""

    what: str
    cure: str


def trouble(key: Key, capability: Capability, only: str = "") -> Trouble | None:
    """Return why a key cannot be used for something, or None where nothing speaks against it.

    Args:
        key: the key.
        capability: what for. Only to encrypt needs no secret part.
        only: the fingerprint of the one part of the key that is to be used.
    """
    own = has_secret(key)
    renewed = f"await set_expire({key.fingerprint!r}, '2y') renews it" if own else _ASK
    if key.revoked:
        return Trouble("it is revoked", "a revoked key stays revoked: use another" if own else _ASK)
    if key.expired:
        return Trouble(f"it expired{_on(key)}", renewed)
    if key.disabled:
        return Trouble("it is disabled", "gpg's --edit-key enables it")
    parts = [part for part in _parts(key, capability) if capability in part.capabilities]
    parts = [part for part in parts if only in ("", part.fingerprint)]
    verb = _VERBS.get(capability, capability.name.lower())
    if only and not parts:
        return Trouble(f"its part {only} cannot {verb}", "leave out the ! for one that can")
    if not parts:
        cure = f"await add_subkeys({key.fingerprint!r}) adds one" if own else _ASK
        return Trouble(f"it has no subkey that can {verb}", cure)
    alive = [part for part in parts if not _dead(part)]
    if not alive:
        last = max(parts, key=lambda part: (not part.revoked, part.expires is None, part.expires))
        what = "is revoked" if last.revoked else f"expired{_on(last)}"
        cure = f"await add_subkeys({key.fingerprint!r}) adds one" if own else _ASK
        if own and not last.revoked:
            named = f"{key.fingerprint!r}, '2y', subkeys=[{last.fingerprint!r}]"
            renewed = f"await set_expire({named}) renews it"
        return Trouble(f"{_name(key, last)} {what}", cure if last.revoked else renewed)
    if capability is not Capability.ENCRYPT and not any(part.secret for part in alive):
        names = " and ".join(_name(key, part) for part in alive)
        return Trouble(f"the secret part of {names} is not here", "do it where that is")
    return None


_ASK = "ask its owner for a newer one, or refresh it"


def parts_of(key: Key) -> tuple[Key | Subkey, ...]:
    """Return a primary key and its subkeys."""
    return (key, *key.subkeys)


def lasts_until(keys: Iterable[Key], now: datetime) -> float:
    """Return when the state of a key changes next by itself, as a part of it expires.

    Args:
        keys: the keys.
        now: the moment from which on, aware.

    Returns:
        Seconds since the epoch; infinite where that is never.
    """
    parts = [part for key in keys for part in parts_of(key)]
    dates = [when for part in parts for when in (part.created, part.expires) if when]
    # In the second in which a key expires, gpg's listing has it so, and its encryption not yet.
    moments = [moment for when in dates for moment in (when, when + timedelta(seconds=1))]
    return min((when.timestamp() for when in moments if when > now), default=float("inf"))


def has_secret(key: Key) -> bool:
    """Return whether the secret part of a key, or of a subkey of it, is here or on a card."""
    return key.secret or any(subkey.secret for subkey in key.subkeys)


def is_placeholder_key(key: Key) -> bool:
    """Return whether a key of the keyring has no user id of its owner's, but our placeholder."""
    stands_in = any(user_id.placeholder for user_id in key.user_ids)
    return stands_in and not any(user_id.signed for user_id in key.user_ids)


def encryption_key(key: Key) -> str:
    """Return the fingerprint of the newest subkey of a placeholder key that can encrypt.

    Returns:
        The fingerprint, or ``""`` where there is none that is alive.
    """
    parts = [part for part in _parts(key, Capability.ENCRYPT) if not _dead(part)]
    able = [part for part in parts if Capability.ENCRYPT in part.capabilities]
    newest = max(able, key=lambda part: (part.created is not None, part.created), default=None)
    return newest.fingerprint if newest else ""


def _parts(key: Key, capability: Capability) -> tuple[Key | Subkey, ...]:
    """Return the parts of a key that may be taken for something."""
    if capability is Capability.CERTIFY:
        return (key,)
    # With the user ids went the key's own word on what its primary key is for: gpg then takes it
    # for all that its algorithm can do.
    return key.subkeys if is_placeholder_key(key) else parts_of(key)


def _dead(part: Key | Subkey) -> bool:
    return part.revoked or part.expired


def _on(part: Key | Subkey) -> str:
    return f" on {part.expires:%Y-%m-%d %H:%M} UTC" if part.expires else ""


def _name(key: Key, part: Key | Subkey) -> str:
    return "its primary key" if part is key else f"its subkey {part.fingerprint}"
