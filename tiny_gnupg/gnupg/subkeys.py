"""Subkeys: made, rotated, revoked, deleted, and handed to another machine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from tiny_gnupg._gpg import commands, outcome
from tiny_gnupg._gpg.algorithms import (
    algorithm_like,
    checked_algorithm,
    checked_usages,
    require_supported,
)
from tiny_gnupg._gpg.arguments import (
    Expiry,
    Uid,
    check_uid,
    checked_expiry,
    checked_overlap,
    checked_reason,
    expires_before,
    revocation_answers,
)
from tiny_gnupg._gpg.key_names import exact_name, is_exact
from tiny_gnupg._gpg.key_states import encryption_key
from tiny_gnupg._operations import changes
from tiny_gnupg._operations.changes import Steps, T
from tiny_gnupg._operations.engine import Call, Engine
from tiny_gnupg._operations.keyring import keys_of, the_subkey
from tiny_gnupg._process.find_gpg import probe
from tiny_gnupg.gnupg.access import Access
from tiny_gnupg.results import Capability, Key, Subkey

#: What names a subkey: its fingerprint or key id, or itself as a listing gave it.
SubkeyName = str | Subkey


#: The reason of a revocation: there is a newer one.
SUPERSEDED = 2


class Subkeys(Access):
    """Subkeys."""

    async def add_subkeys(self, uid: Uid = "", *, expires: Expiry = "3y") -> None:
        """Add the three subkeys that ``gen_key`` makes to another key: all of them, or none.

        Args:
            expires: as for ``gen_key``.

        Raises:
            UnusableKey: it is revoked, or the secret part of its primary key is not here.
            BadPassphrase: the passphrase does not open the key.
        """
        end = checked_expiry(expires)
        key = await self._changeable(uid)
        parts = [("ed25519", usage) for usage in commands.TRIO]
        await self._change(self._new_parts(key.fingerprint, parts, end), key)

    async def add_subkey(
        self,
        uid: Uid = "",
        usage: str = "sign",
        *,
        algorithm: str | None = None,
        expires: Expiry = "3y",
    ) -> str:
        """Add one subkey to a key.

        Args:
            usage: ``sign``, ``auth`` or ``encrypt``.
            algorithm: as for ``gen_key``; None: that of its primary key.
            expires: as for ``gen_key``.

        Returns:
            The subkey's fingerprint.

        Raises:
            ValueError: there is no such usage or algorithm, or ``expires`` is out of its range.
            UnsupportedByGnuPG: this gpg has no such algorithm.
            UnusableKey: it is revoked, or the secret part of its primary key is not here.
            BadPassphrase: the passphrase does not open the key.
        """
        [wanted], end = checked_usages([usage]), checked_expiry(expires)
        if algorithm is not None:
            await self._require_algorithm(algorithm)
        key = await self._changeable(uid)
        parts = [(algorithm or algorithm_like(key), wanted)]
        [made] = await self._change(self._new_parts(key.fingerprint, parts, end), key)
        return made

    async def add_adsk(self, uid: Uid, reader: Uid) -> str:
        """Add an additional decryption subkey: another key's, which reads what comes for this one.

        Who gets the key sees it. GnuPG encrypts to such a subkey too from 2.2.42 and 2.4.1 on, and
        other programs do not. ``revoke_subkey`` and ``delete_subkey`` end it.

        Args:
            reader: whose newest subkey that encrypts; with a ``!`` behind a subkey's fingerprint or
                key id, exactly that one.

        Returns:
            The subkey's fingerprint.

        Raises:
            ValueError: it is the same key.
            KeyNotFound: one of the keys is not here.
            UnsupportedByGnuPG: this gpg makes none: see ``features``.
            UnusableKey: the key is revoked, the secret part of its primary key is not here, or the
                other key has no subkey that encrypts.
            BadPassphrase: the passphrase does not open the key.
        """
        key, other, name = await self._changeable(uid), await self._key(reader), check_uid(reader)
        if other.fingerprint == key.fingerprint:
            raise ValueError("an additional decryption subkey is another key's")
        (await probe(self._engine.executable)).require("adsk")
        which = exact_name(other, name) if is_exact(name) else f"{encryption_key(other)}!"
        if which == "!":
            await self._require_able(other.fingerprint, Capability.ENCRYPT, "encrypt to")
        await self._edit(commands.add_adsk(key.fingerprint, which), "add it", key.fingerprint)
        return which.rstrip("!")

    async def revoke_subkey(
        self, uid: Uid, subkey: SubkeyName, *, reason: int = 0, text: str = ""
    ) -> None:
        """Revoke one subkey of a key, and no other; a revoked one stays as it is.

        Args:
            subkey: its fingerprint or key id.
            reason, text: as for ``revoke``.

        Raises:
            ValueError: another reason, control characters in the text, or the primary key's name.
            KeyNotFound: the key has no such subkey.
            UnusableKey: it is revoked, or the secret part of its primary key is not here.
            BadPassphrase: the passphrase does not open the key.
        """
        checked_reason(reason, text)
        key = await self._secret_primary(uid)
        which = the_subkey(key, subkey)
        if not which.revoked:
            await self._change(self._revoked(key.fingerprint, [which], reason, text), key)

    async def delete_subkey(self, uid: Uid, subkey: SubkeyName) -> None:
        """Delete one subkey of a key, secret part and public part, and no other.

        Who has the public key still sees the subkey there: ``revoke_subkey`` tells them.

        Args:
            subkey: its fingerprint or key id.

        Raises:
            ValueError: it names the primary key.
            KeyNotFound: the key has no such subkey.
        """
        key = await self._key(uid)
        try:
            await changes.delete_subkey(self._engine, key, the_subkey(key, subkey))
        finally:
            self._table.forget()

    async def rotate(
        self,
        uid: Uid = "",
        *,
        usages: Sequence[str] = ("sign", "encrypt"),
        expires: Expiry = "1y",
        overlap: Expiry = "0",
    ) -> tuple[str, ...]:
        """Replace subkeys by new ones of the same algorithm: all of it is done, or nothing.

        Subkeys that are for something else, too, are left alone. What a revoked one has signed is
        ``RevokedKeySignature`` from then on, and what an expired one has, ``ExpiredKeySignature``.

        Args:
            usages: which of ``sign``, ``auth`` and ``encrypt`` get a new subkey.
            expires: when the new ones expire, as for ``gen_key``.
            overlap: when the old ones expire, where they do not before; ``0``: they are revoked
                now, as superseded.

        Returns:
            The fingerprints of the new ones, in the order of ``usages``.

        Raises:
            ValueError: there is no such usage, or an expiry is out of its range.
            UnusableKey: it is revoked, or the secret part of its primary key is not here.
            BadPassphrase: the passphrase does not open the key.
        """
        wanted = tuple(dict.fromkeys(checked_usages(usages)))
        end, now = checked_expiry(expires), overlap in ("0", timedelta())
        last = "" if now else checked_overlap(overlap)
        key = await self._changeable(uid)
        old = [one for one in key.subkeys if _is_for(one, wanted)]
        parts = [(_algorithm_of(key, old, usage), usage) for usage in wanted]
        make = self._new_parts(key.fingerprint, parts, end)
        retire = (
            self._revoked(key.fingerprint, old, SUPERSEDED, "")
            if now
            else self._ending(key.fingerprint, old, last)
        )

        async def steps(aside: Engine) -> tuple[str, ...]:
            made = await make(aside)
            await retire(aside)
            return made

        return await self._change(steps, key)

    async def export_subkeys(self, uid: Uid = "") -> str:
        """Export the secret subkeys of a key without its primary key's secret part, armored.

        It is for a machine that signs and decrypts, while the primary key stays offline; there,
        ``text_import`` takes it. The user's own passphrase protects it, in gpg's own way.

        Raises:
            KeyNotFound: there is no such key, or none of its secret parts is here.
            BadPassphrase: the passphrase does not open the key.
        """
        key, name = await self._secret_key(uid), check_uid(uid)
        names = [exact_name(key, name) if is_exact(name) else key.fingerprint]
        return (await self._export_secret([key], names, subkeys=True)).decode()

    # -- what these stand on -----------------------------------------------------------------

    async def _change(self, steps: Steps[T], key: Key | None = None) -> T:
        """Take the steps of a change: all of them, or none."""
        if key is not None:
            await self._try_passphrase(key.fingerprint)
        try:
            return await changes.change(self._engine, steps, key)
        finally:
            self._table.forget()

    async def _require_algorithm(self, name: str) -> None:
        """Let an algorithm pass that the gpg in use has."""
        if checked_algorithm(name).curves:
            reply = await self._engine.run(Call(commands.list_curves()))
            outcome.require_success(reply, "list the curves that it has")
            version = (await probe(self._engine.executable)).version
            require_supported(name, version, reply.stdout)

    def _new_parts(
        self, fingerprint: str, parts: Sequence[tuple[str, str]], end: str
    ) -> Steps[tuple[str, ...]]:
        """Return the steps that add subkeys, each of an algorithm and for a usage."""

        async def steps(aside: Engine) -> tuple[str, ...]:
            passphrase = await self._agent_passphrase()
            made = []
            for algorithm, usage in parts:
                options = commands.add_subkey(fingerprint, algorithm, usage, end)
                reply = await aside.run_locked(Call(options, passphrase=passphrase))
                made.append(outcome.created_key(reply, f"add a subkey to {fingerprint}"))
            return tuple(made)

        return steps

    def _revoked(
        self, fingerprint: str, subkeys: Sequence[Subkey], reason: int, text: str
    ) -> Steps[None]:
        """Return the steps that revoke subkeys."""
        names = {one.fingerprint for one in subkeys}

        async def steps(aside: Engine) -> None:
            if not names:
                return
            before = await _only_key(aside)
            chosen = [f"key {name}" for name in names]
            call = Call(
                commands.edit(fingerprint, *chosen, "revkey"),
                passphrase=await self._agent_passphrase(),
                answer=revocation_answers(reason, text),
                attended=True,
            )
            reply = await aside.run_locked(call)
            after = await _only_key(aside)
            # Of a name that it does not know, gpg takes the whole key for meant.
            if after.revoked or _revoked(after) != _revoked(before) | names:
                raise outcome.failure(reply, "revoke a subkey", fingerprint)

        return steps

    def _ending(self, fingerprint: str, subkeys: Sequence[Subkey], end: str) -> Steps[None]:
        """Return the steps by which subkeys expire that would live longer."""
        names = [one.fingerprint for one in subkeys if not expires_before(one.expires, end)]

        async def steps(aside: Engine) -> None:
            if names:
                await self._set_expire_there(aside, fingerprint, end, names)

        return steps

    async def _set_expire_there(
        self, aside: Engine, fingerprint: str, end: str, subkeys: Sequence[str]
    ) -> None:
        options = commands.set_expire(fingerprint, end, subkeys)
        reply = await aside.run_locked(Call(options, passphrase=await self._agent_passphrase()))
        outcome.require_success(reply, "set the expiry", fingerprint)


async def _only_key(aside: Engine) -> Key:
    [key] = await keys_of(await aside.run_locked(Call(commands.list_keys())))
    return key


def _revoked(key: Key) -> set[str]:
    return {subkey.fingerprint for subkey in key.subkeys if subkey.revoked}


def _is_for(subkey: Subkey, usages: Sequence[str]) -> bool:
    """Return whether a subkey is alive, and for nothing else than some usages."""
    able = {one.name.lower() for one in subkey.capabilities}
    return not (subkey.revoked or subkey.expired) and bool(able) and able <= set(usages)


def _algorithm_of(key: Key, old: Sequence[Subkey], usage: str) -> str:
    """Return the algorithm of the newest of some subkeys with a usage, else the primary key's."""
    fits = [one for one in old if _is_for(one, [usage])]
    return algorithm_like(fits[-1] if fits else key)
