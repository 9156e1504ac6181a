"""Who vouches for whom: certifications, and ownertrust."""

from __future__ import annotations

from tiny_gnupg._gpg import commands, outcome
from tiny_gnupg._gpg.arguments import Uid, check_uid
from tiny_gnupg._gpg.key_names import matching, user_ids_of
from tiny_gnupg._gpg.key_states import is_placeholder_key
from tiny_gnupg._operations.engine import Call
from tiny_gnupg._operations.keyring import list_keys, the_one, unusable
from tiny_gnupg.errors import UnusableKey
from tiny_gnupg.gnupg.access import Access
from tiny_gnupg.results import Capability, Key, UserID


class Trust(Access):
    """Who vouches for whom."""

    async def certify(self, uid: Uid, local_user: Uid = "", *, local: bool = False) -> str:
        """Certify that a key belongs to whom its user ids name.

        Args:
            uid: the key. By an address or other text, the user ids that fit are certified and no
                other; by a fingerprint or key id, all of them.
            local_user: whose key certifies; the empty text is this instance's own.
            local: a certification that never leaves this keyring.

        Returns:
            The certified public key, armored; a certification that was there before counts.

        Raises:
            KeyNotFound: the key, or the one that shall certify it, is not here.
            UnusableKey: the key is revoked or expired, or has no user id to certify.
            AmbiguousKey: there are several.
            BadPassphrase: the passphrase does not open the key that certifies.
        """
        # Looked up, because of a key that is not there, or has no user id, gpg says nothing.
        key = await self._key(uid)
        named = _require_certifiable(key, check_uid(uid))
        signer = await self._named(local_user)
        every = len(named) == len(user_ids_of(key, key.fingerprint))
        names = [] if every else [f"={one.text}" for one in named]
        options = commands.certify(key.fingerprint, signer, local=local, names=names)
        await self._edit(
            options,
            "certify",
            key.fingerprint,
            self._explain([signer], Capability.CERTIFY, "certify with"),
        )
        # Looked at, because gpg ends well where it certified nothing (2.2.40 and 2.4.7).
        terms = [key.fingerprint, signer.rstrip("!")]
        found = await list_keys(self._engine, terms, mark=False, certifications=True)
        [listed], by = matching(found, key.fingerprint), the_one(matching(found, signer), signer)
        done = [one.hash for one in listed.user_ids if one.certified_by(by, local=local)]
        missing = [one.text for one in named if one.hash not in done]
        if missing:
            await self._require_able(signer, Capability.CERTIFY, "certify with")
            raise UnusableKey(
                f"gpg did not certify {', '.join(missing)} of {key.fingerprint}",
                hint="is one of the two keys revoked, expired or disabled, or gpg's to certify?",
            )
        return (await self._export(key.fingerprint, secret=False)).decode()

    async def trust(self, uid: Uid = "", level: int = 5) -> None:
        """Set the ownertrust of a key.

        Args:
            level: 1 undefined, 2 never, 3 marginal, 4 full, 5 ultimate (as gpg numbers them).

        Raises:
            KeyNotFound: there is no such key.
            ValueError: another level.
        """
        if isinstance(level, bool) or level not in commands.OWNERTRUST:
            raise ValueError(f"a trust level is 1, 2, 3, 4 or 5, not {level!r}")
        # Looked up, because gpg takes an ownertrust for a key that is not there, too.
        fingerprint = (await self._key(uid)).fingerprint
        options, stdin = commands.ownertrust(fingerprint, level)
        reply = await self._reply(Call(options, stdin=stdin, writing=True))
        outcome.require_success(reply, "set the trust")


def _require_certifiable(key: Key, uid: str) -> tuple[UserID, ...]:
    """Return the user ids that a text names, of a key that can be certified now."""
    if is_placeholder_key(key):
        raise UnusableKey(
            f"{key.fingerprint} has no user id that could be certified",
            hint="import it with its user ids first",
        )
    refused = unusable(key, Capability.CERTIFY, "certify") if key.revoked or key.expired else None
    if refused is not None:
        raise refused
    named = user_ids_of(key, uid)
    if not named:
        raise UnusableKey(
            f"{key.fingerprint} has no user id for {uid!r} that is not revoked",
            hint="name the key by its fingerprint to certify all others",
        )
    return named
