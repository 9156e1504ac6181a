"""The life of keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta

from tiny_gnupg._gpg import commands, outcome
from tiny_gnupg._gpg.algorithms import checked_usages
from tiny_gnupg._gpg.arguments import (
    Expiry,
    Uid,
    check_uid,
    checked_expiry,
    checked_name,
    checked_own_passphrase,
    checked_reason,
    checked_span,
    revocation_answers,
    user_id_of,
)
from tiny_gnupg._gpg.key_names import exact_name, is_exact, matching, search_term
from tiny_gnupg._home.own_keys import drop_note, note
from tiny_gnupg._operations import changes, secret_keys
from tiny_gnupg._operations.engine import Call, Engine
from tiny_gnupg._operations.keyring import (
    list_keys,
    listed,
    refuse_subkey,
    the_subkey,
    the_user_id,
)
from tiny_gnupg._process.tasks import in_thread
from tiny_gnupg.errors import AmbiguousKey, BadPassphrase, KeyNotFound, UnusableKey
from tiny_gnupg.gnupg.subkeys import SubkeyName, Subkeys
from tiny_gnupg.results import Key, Subkey

#: A subkey that expires so much earlier than its primary key was meant to.
EARLIER = timedelta(days=1)


class Keys(Subkeys):
    """The life of keys."""

    async def gen_key(
        self,
        *,
        expires: Expiry = "3y",
        algorithm: str = "ed25519",
        subkeys: Sequence[str] = ("sign", "auth", "encrypt"),
    ) -> str:
        """Make this identity's key, a certifying primary key with its subkeys: all, or nothing.

        Args:
            expires: when all of them expire: ``3y``, ``6m``, ``2w``, ``90d``, a date
                (``2030-12-31``), or ``0`` for never; an aware ``datetime``; or a ``timedelta``.
            algorithm: ``ed25519`` (what encrypts is cv25519), ``rsa2048`` to ``rsa4096``,
                ``nistp256``, ``nistp384``, ``nistp521``, ``brainpoolP256r1``, ``brainpoolP384r1``,
                ``brainpoolP512r1``. With GnuPG 2.3 also ``ed448`` (cv448), and with 2.5
                ``ky768_cv25519``, ``ky1024_cv448``, ``ky768_bp256``, ``ky1024_bp384`` and
                ``ky1024_bp512``, where what encrypts is a hybrid of Kyber and a curve: these are
                LibrePGP's, and other programs than GnuPG do not read such keys.
            subkeys: what each of the subkeys is for: ``sign``, ``auth`` or ``encrypt``.

        Returns:
            The fingerprint, which is now this instance's own.

        Raises:
            ValueError: the identity has neither name nor address, ``expires`` is none of these,
                over already, or beyond 2106-02-06, the last day that OpenPGP can write, or there is
                no such algorithm or usage.
            UnsupportedByGnuPG: this gpg has no such algorithm.
        """
        user_id, end = user_id_of(self.username, self.email), checked_expiry(expires)
        usages = checked_usages(subkeys)
        await self._require_algorithm(algorithm)

        async def steps(aside: Engine) -> str:
            options = commands.generate(user_id, algorithm, end)
            call = Call(options, passphrase=await self._agent_passphrase())
            made = outcome.created_key(await aside.run_locked(call), "make a key")
            await self._new_parts(made, [(algorithm, usage) for usage in usages], end)(aside)
            return made

        self.fingerprint = await self._change(steps)
        await in_thread(note, self._engine.home.path, self._who, self.fingerprint)
        return self.fingerprint

    async def delete(self, uid: Uid = "", *, secret_only: bool = False) -> None:
        """Delete a key, secret part and public part, without a question: both, or nothing.

        A secret part that another key of the home has, too, stays.

        Args:
            secret_only: the secret part alone.

        Raises:
            KeyNotFound: there is none, or with ``secret_only`` no secret part.
            AmbiguousKey: there are several.
            ValueError: ``uid`` names a subkey: ``delete_subkey`` is for that.
        """
        key = await (self._secret_key(uid) if secret_only else self._key(uid))
        refuse_subkey(key, check_uid(uid), "delete_subkey")
        try:
            await (changes.delete_secret if secret_only else changes.delete)(self._engine, key)
        finally:
            self._table.forget()
        if key.fingerprint == self.fingerprint:
            self.fingerprint = ""
            await in_thread(drop_note, self._engine.home.path, self._who)

    async def revoke(self, uid: Uid = "", *, reason: int = 0, text: str = "") -> str:
        """Revoke a key: make the revocation certificate, and import it.

        Args:
            reason: 0 none, 1 compromised, 2 superseded, 3 no longer used (gpg's numbers).
            text: a description for others to read.

        Returns:
            The revoked public key, armored.

        Raises:
            ValueError: another reason, control characters in the text, or ``uid`` names a subkey:
                ``revoke_subkey`` is for that.
            UnusableKey: the secret part of its primary key is not here.
            BadPassphrase: the passphrase does not open the key.
        """
        checked_reason(reason, text)
        key = await self._secret_primary(uid)
        refuse_subkey(key, check_uid(uid), "revoke_subkey")
        fingerprint = key.fingerprint
        await self._try_passphrase(fingerprint)
        made = await self._reply(
            Call(
                commands.generate_revocation(fingerprint),
                passphrase=await self._agent_passphrase(),
                answer=revocation_answers(reason, text),
                attended=True,
            )
        )
        outcome.require_success(made, "revoke", fingerprint)
        if not made.stdout:
            raise outcome.failure(made, "revoke", fingerprint)
        certificate = Call(commands.import_keys(), stdin=made.stdout, writing=True)
        imported = await self._reply(certificate)
        outcome.require_success(imported, "revoke", fingerprint)
        if not (await self._table.one(fingerprint)).revoked:
            raise outcome.failure(imported, "revoke", fingerprint)
        return (await self._export(fingerprint, secret=False)).decode()

    async def set_expire(
        self, uid: Uid, expires: Expiry, *, subkeys: bool | Iterable[SubkeyName] = True
    ) -> None:
        """Set when a key expires: all that is asked for, or nothing.

        Args:
            expires: as for ``gen_key``.
            subkeys: True: set that of the primary key and of its subkeys, save those that are
                revoked or were set to expire a day before it or earlier; False: that of the primary
                key alone; some subkeys, by fingerprint or key id: that of exactly these. A ``uid``
                with a ``!`` behind it has said that already.

        Raises:
            ValueError: ``expires`` is none of these, or out of its range, or no subkey is named.
            KeyNotFound: there is no such key or subkey, or its secret part is not here.
            UnusableKey: the secret part of its primary key is not here, or it, or a subkey that is
                named, is revoked.
            BadPassphrase: the passphrase does not open the key.
        """
        end = checked_expiry(expires)
        key = await self._changeable(uid)
        sets = _sets(key, check_uid(uid), subkeys)
        if len(sets) == 1:
            # What is one step of gpg's needs no copy of the key.
            options = commands.set_expire(key.fingerprint, end, sets[0])
            await self._edit(options, "set the expiry", key.fingerprint)
            return

        async def steps(aside: Engine) -> None:
            for one in sets:
                await self._set_expire_there(aside, key.fingerprint, end, one)

        await self._change(steps, key)

    async def change_passphrase(self, uid: Uid, new: str) -> None:
        """Change the passphrase of a secret key and its subkeys.

        The instance goes on with the new one where the key is its own.

        Args:
            new: the passphrase from now on, of at most 255 bytes; the empty one leaves the key
                unprotected.

        Raises:
            ValueError: ``new`` holds NUL, CR or LF, or is too long.
            KeyNotFound: there is no such key, or its secret part is not here.
            BadPassphrase: this instance's passphrase does not open the key; nothing was changed.
        """
        checked_own_passphrase(new)
        key = await self._secret_key(uid)
        fingerprint = key.fingerprint
        with suppress(KeyNotFound, AmbiguousKey, BadPassphrase):
            await self._own()
        old, inner = await self._agent_passphrase(), await self._agent_passphrase(new)
        await self._with_keys(lambda: secret_keys.replace_passphrase(self._engine, key, old, inner))
        if fingerprint == self.fingerprint:
            self.passphrase = new

    async def add_uid(self, uid: Uid, name: str, email: str) -> None:
        """Add a user id to a key.

        Args:
            name: the user id's name.
            email: its address.

        Raises:
            ValueError: both are empty, or hold control characters.
            KeyNotFound: there is no such key, or its secret part is not here.
            BadPassphrase: the passphrase does not open the key.
            CommandFailed: the key has this user id already.
        """
        user_id = user_id_of(checked_name("name", name), checked_name("email", email))
        fingerprint = (await self._changeable(uid)).fingerprint
        options = commands.add_user_id(fingerprint, user_id)
        await self._edit(options, "add a user id", fingerprint)

    async def revoke_uid(self, uid: Uid, which: str) -> None:
        """Revoke one user id of a key.

        Args:
            which: the user id's whole text, or its address.

        Raises:
            ValueError: ``which`` is empty.
            KeyNotFound: the key has no such user id, or its secret part is not here.
            AmbiguousKey: it has several.
            BadPassphrase: the passphrase does not open the key.
            CommandFailed: it is the last user id that the key has.
        """
        key = await self._secret_primary(uid)
        fingerprint = key.fingerprint
        options = commands.revoke_user_id(fingerprint, the_user_id(key, which).text)
        await self._edit(options, "revoke a user id", fingerprint)

    async def keys(
        self,
        uid: Uid = "",
        *,
        secret: bool = False,
        expiring: Expiry | None = None,
        certifications: bool = False,
    ) -> tuple[Key, ...]:
        """List keys, typed.

        Args:
            uid: which; the empty text is all of them.
            secret: only those whose secret part is there.
            expiring: only those of which something that they can do now expires until then; in the
                forms that ``gen_key`` takes.
            certifications: with what keys say of their user ids, which gpg checks one by one.

        Returns:
            The keys; none where nothing fits.

        Raises:
            ValueError: ``expiring`` is none of these forms, over already, or never.
        """
        text = check_uid(uid)
        within = None if expiring is None else checked_span(expiring)
        terms = [search_term(text)] if text else []
        found = await list_keys(self._engine, terms, secret=secret, certifications=certifications)
        found = matching(found, text) if text else found
        return tuple(one for one in found if within is None or one.expires_soon(within))

    async def list_keys(self, uid: Uid = "", secret: bool = False) -> dict[str, str]:
        """List keys by fingerprint and address, with one gpg process whatever their number.

        Args:
            uid: which; the empty text is all of them.
            secret: only those whose secret part is there.

        Returns:
            The address of each key's first user id that is signed, not revoked and has one, else
            ``""``.
        """
        if check_uid(uid):
            found = await self.keys(uid, secret=secret)
        else:
            found = await listed(self._engine, commands.list_addresses(secret=secret))
        return {key.fingerprint: key.email for key in found}


def _goes_with(subkey: Subkey, key: Key) -> bool:
    """Return whether the expiry of a subkey is set with that of its primary key."""
    if subkey.revoked or subkey.expires is None:
        return not subkey.revoked
    return key.expires is not None and subkey.expires > key.expires - EARLIER


def _sets(key: Key, uid: str, subkeys: bool | Iterable[SubkeyName]) -> list[list[str]]:
    """Return what gpg is told to set the expiry of, one after the other; none: the primary key."""
    which = subkeys
    if is_exact(uid):
        only = exact_name(key, uid)
        which = [only] if only != f"{key.fingerprint}!" else False
    if isinstance(which, bool):
        together = [one.fingerprint for one in key.subkeys if which and _goes_with(one, key)]
        return [[], together] if together else [[]]
    named = [which] if isinstance(which, str | Subkey) else which
    chosen = [the_subkey(key, one) for one in named]
    if not chosen:
        raise ValueError("there is no subkey to set; say False for the primary key alone")
    revoked = ", ".join(one.fingerprint for one in chosen if one.revoked)
    if revoked:
        raise UnusableKey(f"a revoked subkey expires no more: {revoked}", hint="add a new one")
    return [[one.fingerprint for one in chosen]]
