"""Keys in and out of the home."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tiny_gnupg._gpg import commands, imports, outcome
from tiny_gnupg._gpg.arguments import Uid, Uids, check_uid, checked_data, checked_secret
from tiny_gnupg._gpg.key_names import exact_name, is_exact
from tiny_gnupg._gpg.key_states import is_placeholder_key
from tiny_gnupg._home.whole_files import read_file, refuse, whole_file, write_all
from tiny_gnupg._openpgp.armor import dearmor
from tiny_gnupg._openpgp.back_signatures import let_in
from tiny_gnupg._openpgp.faults import damage
from tiny_gnupg._openpgp.kinds import may_hold_secret_key
from tiny_gnupg._openpgp.placeholders import fingerprints, insert_placeholder, with_placeholders
from tiny_gnupg._operations import backup, secret_keys
from tiny_gnupg._operations.engine import Call
from tiny_gnupg._operations.keyring import keys_of, list_keys, read_keys
from tiny_gnupg._process.tasks import in_thread, uninterrupted
from tiny_gnupg.errors import ImportFailed, NotOpenPGP
from tiny_gnupg.gnupg import reasons
from tiny_gnupg.gnupg.access import Access
from tiny_gnupg.gnupg.inputs import _octets
from tiny_gnupg.results import ImportResult, Key

if TYPE_CHECKING:
    from tiny_gnupg._network.found_keys import FoundKey


class Transfer(Access):
    """Keys in and out of the home."""

    async def text_import(self, key: str | bytes, *, secret: bool = True) -> ImportResult:
        """Import keys.

        Args:
            key: armored text, or bytes of either form.
            secret: False takes public keys only, of secret ones their public part: for what comes
                from strangers.

        Returns:
            What was imported.

        Raises:
            TypeError: ``secret`` is no bool (it is a ``ValueError`` too).
            ImportFailed: nothing was.
        """
        checked_secret(secret)
        data = checked_data("key", key)
        try:
            async with reasons.of_keys(data):
                return await self._import_given(data, secret=secret)
        except ImportFailed as error:
            await self._require_keyboxd(error)
            raise

    async def _import_given(self, data: str | bytes, *, secret: bool) -> ImportResult:
        block = await self._let_in(data, secret=secret)
        if await self._stretches() and await self._engine.work(may_hold_secret_key, block):
            inner, outer = await self._agent_passphrase(), self.passphrase.encode()
            result = await secret_keys.import_secret(self._engine, block, inner, outer)
            self._table.forget()
            await self._drop_placeholders(result.fingerprints if result.updated else ())
            return result
        return await self._import(block)

    async def _let_in(self, key: str | bytes, *, secret: bool) -> bytes:
        """Return what of a block is imported: see ``back_signatures``."""
        block = _octets(key)
        with suppress(NotOpenPGP):
            return await in_thread(let_in, block, secret=secret)
        # gpg reads more than we do, as keys in compressed packets: it says what there is.
        async with secret_keys.scratch(self._engine, "gnupg") as aside:
            reply = await aside.run(Call(commands.import_keys(), stdin=block, writing=True))
            found = imports.imported(reply)
            wrong = await in_thread(damage, block) if reply.returncode else ""
            if wrong:
                # gpg takes the keys before the place where it is damaged, and says so to people.
                raise ImportFailed("only a part of the keys can be read", reply=reply)
            if secret and found.counts.get("sec_read"):
                return block
            exported = await aside.run(Call(commands.export(found.fingerprints)))
            return let_in(secret_keys.exported(exported, found.fingerprints), secret=secret)

    async def _import(self, key: bytes, *, found: bool = False) -> ImportResult:
        """Import public keys, those without user ids among them."""
        call = Call(commands.import_keys(found=found), stdin=key, writing=True)
        replies = [await self._reply(call)]
        block = _octets(key)
        placeholder_keys = await self._engine.work(imports.left_out, replies[0], block)
        if placeholder_keys:
            options = commands.import_keys(found=found, placeholders=True)
            call = Call(options, stdin=placeholder_keys, writing=True)
            replies.append(await self._reply(call))
        result = imports.imported(*replies)
        await self._drop_placeholders(
            [key for one in replies for key in imports.gained_user_ids(one)]
        )
        return result

    async def _drop_placeholders(self, fingerprints: Sequence[str]) -> None:
        """Drop the placeholder user id of each of these keys that has a real one."""
        if not fingerprints:
            return
        keys = await list_keys(self._engine, fingerprints)
        for key in (one for one in keys if not is_placeholder_key(one)):
            for user_id in (one for one in key.user_ids if one.placeholder):
                options = commands.drop_user_id(key.fingerprint, user_id.hash)
                call = Call(options, answer=_yes, writing=True, attended=True)
                reply = await self._reply(call)
                outcome.require_success(reply, "drop the placeholder of", key.fingerprint)

    async def file_import(
        self, path: str | os.PathLike[str], mode: str = "r", *, secret: bool = True
    ) -> ImportResult:
        """Import keys from a file.

        Args:
            path: the file.
            mode: ``r`` or ``rb``; both read what is there, armored or not.
            secret: as for ``text_import``.

        Raises:
            ImportFailed: nothing was imported.
            ValueError: another mode.
            OSError: the file cannot be read.
        """
        if mode not in ("r", "rb", "r+", "rb+", "r+b"):
            raise ValueError(f"a key file is read: mode is 'r' or 'rb', not {mode!r}")
        return await self.text_import(await read_file(Path(path)), secret=secret)

    async def text_export(
        self, uid: Uids = "", *, secret: bool = False, minimal: bool = False
    ) -> str:
        """Export a key, or several in one block, armored.

        Args:
            uid: which; the empty text is this instance's own.
            secret: export the secret key too, protected by the user's own passphrase in gpg's
                own way, so that any other tool opens it.
            minimal: leave out what others certified, and older signatures of the owner's.

        Raises:
            TypeError: ``secret`` is no bool (it is a ``ValueError`` too).
            KeyNotFound: there is no such key.
            BadPassphrase: the passphrase does not open the key.
        """
        checked_secret(secret)
        names = await self._names(uid, "key")
        return (await self._export(*names, secret=secret, minimal=minimal)).decode()

    async def export(self, uid: Uids = "", *, secret: bool = False, minimal: bool = False) -> bytes:
        """Export a key, or several in one block, binary; see ``text_export``."""
        block = await self.text_export(uid, secret=secret, minimal=minimal)
        return await in_thread(dearmor, block.encode())

    async def file_export(
        self,
        path: str | os.PathLike[str],
        uid: Uid = "",
        mode: str = "w+",
        *,
        secret: bool = False,
        minimal: bool = False,
    ) -> Path:
        """Export a key to ``<fingerprint>.asc`` in a directory.

        The file appears whole or not at all, is its owner's alone where it holds a secret key,
        and is never written through a symbolic link.

        Args:
            path: the directory.
            mode: ``w`` or ``w+`` replaces a file that is there, ``x`` does not.
            secret, minimal: as for ``text_export``.

        Returns:
            The file's path.

        Raises:
            FileExistsError: there is such a file and mode is ``x``, or a symbolic link.
        """
        if mode not in ("w", "w+", "x", "x+"):
            raise ValueError(f"mode is 'w' to replace a file, or 'x', not {mode!r}")
        checked_secret(secret)
        key, name = await self._key(uid), check_uid(uid)
        fingerprint = key.fingerprint
        target = Path(path) / f"{fingerprint}.asc"
        refuse(target, replace="w" in mode)
        named = exact_name(key, name) if is_exact(name) else fingerprint
        block = await self._export(named, secret=secret, minimal=minimal)
        permissions = 0o600 if secret else 0o666
        async with whole_file(target, mode=permissions, replace="w" in mode) as fd:
            await uninterrupted(in_thread(write_all, fd, block))
        return target

    async def scan(self, key: str | bytes) -> tuple[Key, ...]:
        """Return the keys in a key block, without importing it.

        What is not signed as it must be (a subkey, a user id) is not shown. A key that has no user
        id is shown with the placeholder that it would get; one whose user ids are all forged has
        none, and is invalid.

        Raises:
            NotOpenPGP: there is no key in it.
        """
        data = checked_data("key", key)
        async with reasons.of_keys(data):
            return await self._scan(data)

    async def _scan(self, data: str | bytes) -> tuple[Key, ...]:
        reply = await self._engine.run(Call(commands.show_keys(), stdin=data))
        listed = await read_keys(reply) if reply.stdout else ()
        if reply.returncode < 0:
            raise outcome.unreadable(reply, "read keys")
        if reply.returncode != 0 and listed:
            await reasons.require_all(data, listed, reply)
        found = {one.fingerprint: one for one in listed}
        # Others do not list a key without user ids, and end well.
        named = {fingerprint for fingerprint, one in found.items() if one.user_ids}
        placeholder_keys = await self._engine.work(with_placeholders, _octets(data), named)
        if placeholder_keys:
            call = Call(commands.show_keys(placeholders=True), stdin=placeholder_keys)
            for one in await keys_of(await self._engine.run(call)):
                found[one.fingerprint] = one
        if len(found) == len(listed) > 0:
            return tuple(found.values())
        names = await self._engine.work(fingerprints, _octets(data))
        if not found and names and reply.returncode == 0:
            why = "no key in this has a user id that its owner signed"
            raise NotOpenPGP(why, hint="ask its owner for the key", reply=reply)
        if not (reply.stdout or found):
            raise outcome.unreadable(reply, "read keys")
        if not found:
            raise NotOpenPGP("there is no key in this", reply=reply)
        return tuple(found[one] for one in names if one in found)

    async def backup(self, path: str | os.PathLike[str]) -> Path:
        """Write the whole home into a new directory that any OpenPGP program can read.

        It holds all public keys, all secret keys protected by the user's own passphrase in gpg's
        own way, the ownertrust and the revocation certificates; it appears whole or not at all.

        Args:
            path: the directory; it must not be there yet.

        Returns:
            Its path.

        Raises:
            FileExistsError: it is there.
            BadPassphrase: this instance's passphrase does not open each secret key of the home.
        """
        target, engine = Path(path), self._engine
        inner, outer = await self._agent_passphrase(), self.passphrase.encode()
        await self._with_keys(lambda: backup.backup(engine, target, inner, outer))
        return target

    async def restore(self, path: str | os.PathLike[str]) -> ImportResult:
        """Bring the keys of a backup, or of (a copy of) another home, into this home.

        What is here already stays. The other home may be one of tiny_gnupg 0.5.2 or any
        ``~/.gnupg``; it is only read.

        Args:
            path: the backup, or the homedir.

        Returns:
            What was imported.

        Raises:
            ImportFailed: there is nothing to restore.
            BadPassphrase: this instance's passphrase does not open each secret key; none came in.
            HomeUnusable: the directory cannot be read.
        """
        try:
            result = await backup.restore(
                self._engine, Path(path), await self._agent_passphrase(), self.passphrase
            )
        finally:
            self._table.forget()
        await self._drop_placeholders(result.fingerprints if result.updated else ())
        return result

    async def _import_found(self, *found: FoundKey) -> ImportResult:
        """Import what a server sent, where gpg too holds each key to be what was looked up."""
        for one in found:
            nameless = not one.user_ids
            block = insert_placeholder(one.data) if nameless else one.data
            call = Call(commands.show_keys(placeholders=nameless), stdin=block)
            reply = await self._engine.run(call)
            one.confirm(await keys_of(reply))
        return await self._import(b"".join(one.data for one in found), found=True)


def _yes(line: str) -> bytes | None:
    return b"y\n" if line.startswith("GET_BOOL") else None
