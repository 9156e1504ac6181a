"""The life of keys."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tiny_gnupg._gpg import commands, outcome
from tiny_gnupg._gpg.arguments import (
    Expiry,
    Uid,
    check_uid,
    checked_expiry,
    checked_name,
    checked_own_passphrase,
    checked_reason,
    revocation_answers,
    user_id_of,
)
from tiny_gnupg._gpg.key_names import matching, search_term
from tiny_gnupg._gpg.listings import Addresses
from tiny_gnupg._home.key_files import drop_unreadable, key_files, keygrips
from tiny_gnupg._home.own_keys import drop_note, note
from tiny_gnupg._operations import secret_keys
from tiny_gnupg._operations.engine import Call
from tiny_gnupg._operations.keyring import list_keys, the_user_id
from tiny_gnupg._process.tasks import in_thread, uninterrupted
from tiny_gnupg.errors import AmbiguousKey, BadPassphrase, KeyNotFound
from tiny_gnupg.gnupg.access import Access
from tiny_gnupg.results import Key


class Keys(Access):
    """The life of keys."""

    async def gen_key(self, *, expires: Expiry = "3y") -> str:
        """Make this identity's key: a certifying ed25519 primary key, and three subkeys.

        The subkeys sign (ed25519), authenticate (ed25519) and encrypt (cv25519).

        Args:
            expires: when all four expire: ``3y``, ``6m``, ``2w``, ``90d``, a date
                (``2030-12-31``), or ``0`` for never; an aware ``datetime``; or a ``timedelta``.

        Returns:
            The fingerprint, which is now this instance's own.

        Raises:
            ValueError: the identity has neither name nor address, or ``expires`` is none of these,
                over already, or beyond 2106-02-06, the last day that OpenPGP can write.
        """
        user_id, end = user_id_of(self.username, self.email), checked_expiry(expires)
        passphrase = await self._agent_passphrase()
        made: list[str] = []

        async def make() -> None:
            call = Call(commands.generate(user_id, end), passphrase=passphrase)
            reply = await self._engine.run_locked(call)
            made.append(outcome.created_key(reply, "make a key"))
            await self._add_trio(made[0], end, passphrase)

        async with self._engine.locked(writing=True):
            try:
                # A gpg stopped half-way leaves secret keys in the agent that no public key names.
                await uninterrupted(make())
                await in_thread(note, self._engine.home.path, self._who, made[0])
            except BaseException:
                # Half a key is none: not even a cancellation leaves one behind.
                for fingerprint in made:
                    await uninterrupted(self._remove(fingerprint))
                raise
        self._table.forget()
        self.fingerprint = made[0]
        return made[0]

    async def _remove(self, fingerprint: str) -> None:
        await self._engine.run_locked(Call(commands.delete(fingerprint)))

    async def _add_trio(self, fingerprint: str, expires: str, passphrase: bytes) -> None:
        for algorithm, usage in commands.SUBKEYS:
            options = commands.add_subkey(fingerprint, algorithm, usage, expires)
            reply = await self._engine.run_locked(Call(options, passphrase=passphrase))
            outcome.created_key(reply, f"add a subkey to {fingerprint}")

    async def add_subkeys(self, uid: Uid = "", *, expires: Expiry = "3y") -> None:
        """Add the three subkeys that ``gen_key`` makes to another key.

        Args:
            expires: as for ``gen_key``.

        Raises:
            BadPassphrase: the passphrase does not open the key.
        """
        end = checked_expiry(expires)
        fingerprint = await self._secret_fingerprint(uid)
        await self._try_passphrase(fingerprint)
        passphrase = await self._agent_passphrase()
        async with self._engine.locked(writing=True):
            await self._add_trio(fingerprint, end, passphrase)
        self._table.forget()

    async def delete(self, uid: Uid = "") -> None:
        """Delete a key, secret part and public part, without a question.

        Raises:
            KeyNotFound: there is none.
            AmbiguousKey: there are several.
        """
        key = await self._key(uid)
        fingerprint = key.fingerprint
        # The agent refuses to delete what it cannot read, and gpg then the whole key.
        await in_thread(drop_unreadable, key_files(Path(self.home), keygrips(key)))
        reply = await self._reply(Call(commands.delete(fingerprint), writing=True))
        outcome.require_success(reply, "delete", fingerprint)
        if fingerprint == self.fingerprint:
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
            ValueError: another reason, or control characters in the text.
            BadPassphrase: the passphrase does not open the key.
        """
        checked_reason(reason, text)
        fingerprint = await self._secret_fingerprint(uid)
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

    async def set_expire(self, uid: Uid, expires: Expiry, *, subkeys: bool = True) -> None:
        """Set when a key expires.

        Args:
            expires: as for ``gen_key``.
            subkeys: set that of all subkeys too, save revoked ones.

        Raises:
            ValueError: ``expires`` is none of these, or out of its range.
            KeyNotFound: there is no such key, or its secret part is not here.
            BadPassphrase: the passphrase does not open the key.
        """
        end = checked_expiry(expires)
        key = await self._secret_primary(uid)
        # By name, because gpg's "*" leaves those out that have expired.
        alive = [subkey.fingerprint for subkey in key.subkeys if not subkey.revoked]
        for which in ([], alive) if subkeys and alive else ([],):
            options = commands.set_expire(key.fingerprint, end, which)
            await self._edit(options, "set the expiry", key.fingerprint)

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
        try:
            await secret_keys.replace_passphrase(self._engine, key, old, inner)
        except BadPassphrase:
            if not await self._take_over():
                raise
            await secret_keys.replace_passphrase(self._engine, key, old, inner)
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
        fingerprint = await self._secret_fingerprint(uid)
        options = commands.add_user_id(fingerprint, user_id)
        await self._edit(options, "add a user id", fingerprint)

    async def revoke_uid(self, uid: Uid, which: str) -> None:
        """Revoke one user id of a key.

        Args:
            which: the user id's whole text, or its address.

        Raises:
            KeyNotFound: the key has no such user id, or its secret part is not here.
            AmbiguousKey: it has several.
            BadPassphrase: the passphrase does not open the key.
            CommandFailed: it is the last user id that the key has.
        """
        fingerprint = await self._secret_fingerprint(uid)
        key = await self._table.one(fingerprint)
        options = commands.revoke_user_id(fingerprint, the_user_id(key, which).text)
        await self._edit(options, "revoke a user id", fingerprint)

    async def keys(self, uid: Uid = "", *, secret: bool = False) -> tuple[Key, ...]:
        """List keys, typed.

        Args:
            uid: which; the empty text is all of them.
            secret: only those whose secret part is there.

        Returns:
            The keys; none where nothing fits.
        """
        text = check_uid(uid)
        terms = [search_term(text)] if text else []
        found = await list_keys(self._engine, terms, secret=secret)
        return matching(found, text) if text else found

    async def list_keys(self, uid: Uid = "", secret: bool = False) -> dict[str, str]:
        """List keys by fingerprint and address, with one gpg process whatever their number.

        Args:
            uid: which; the empty text is all of them.
            secret: only those whose secret part is there.

        Returns:
            The address of each key's first user id that is signed, not revoked and has one, else
            ``""``.
        """
        if not check_uid(uid):
            listed = Addresses(secret)
            call = Call(commands.list_addresses(secret=secret), hear=listed.feed)
            reply = await self._engine.run(call)
            if not reply.obstacle:  # else it is listed once more, in another way
                outcome.require_listing(reply)
                listed.end()
                return listed.found
        return {key.fingerprint: key.email for key in await self.keys(uid, secret=secret)}
