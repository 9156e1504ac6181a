"""What every method stands on: the key that a uid names, the passphrase, and gpg run with both."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from tiny_gnupg._gpg import commands, outcome, signatures
from tiny_gnupg._gpg.arguments import check_uid
from tiny_gnupg._gpg.key_names import NameForm, classify
from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg._home.key_files import any_untouched
from tiny_gnupg._home.whole_files import comes_once, rewind
from tiny_gnupg._operations import secret_keys
from tiny_gnupg._operations.keyring import list_keys, the_one
from tiny_gnupg._process.pipes import Data
from tiny_gnupg.errors import BadPassphrase, KeyNotFound
from tiny_gnupg.gnupg.identity import Identity
from tiny_gnupg.results import Key

T = TypeVar("T")


class Access(Identity):
    """The key that a uid names, the passphrase, and gpg run with both."""

    async def set_fingerprint(self, uid: str) -> None:
        """Make the key that ``uid`` names this instance's own.

        Raises:
            KeyNotFound: there is none.
            AmbiguousKey: there are several.
        """
        self.fingerprint = (await self._table.one(uid)).fingerprint

    async def unlock(self) -> str:
        """Return the passphrase as gpg-agent expects it in this home.

        It is the first input of a command made ``with_passphrase``. In a home with gpg's own
        protection it is the user's own text.
        """
        return (await self._secret()).decode()

    async def _export(self, fingerprint: str, secret: bool) -> bytes:
        if not secret:
            reply = await self._engine.run(commands.export([fingerprint]))
            if not reply.stdout:
                raise KeyNotFound(value=fingerprint, reply=reply)
            return secret_keys.exported(reply, [fingerprint])
        inner, outer = await self._secret(), self.passphrase.encode()
        if inner != outer:
            key = await self._secret_key(fingerprint)
            return await secret_keys.export_secret(self._engine, [key], inner, outer)
        reply = await self._engine.run(commands.export_secret([fingerprint]), passphrase=inner)
        if reply.returncode == 0 and not reply.stdout:
            raise KeyNotFound(f"no secret key for {fingerprint}", value=fingerprint)
        return secret_keys.exported(reply, [fingerprint])

    async def _write(self, options: Sequence[str], **channels: Any) -> Reply:
        """Run a command that may change the keyring."""
        try:
            return await self._engine.run(options, writing=True, **channels)
        finally:
            self._table.forget()

    async def _gpg(
        self,
        options: Sequence[str],
        *,
        stdin: Data | int | None = None,
        stdout: int | None = None,
        **channels: Any,
    ) -> Reply:
        """Run a command on a message, and once more where a signer's key has no user ids."""

        async def once(options: Sequence[str]) -> Reply:
            rewind(stdin, stdout)
            return await self._engine.run(
                options, stdin=stdin, stdout=stdout, max_output=self.max_output, **channels
            )

        reply = await once(options)
        if signatures.has_unreadable_signer(reply) and not comes_once(stdin):
            return await once([*commands.UNSIGNED_USER_IDS, *options])
        return reply

    async def _with_key(
        self,
        options: Sequence[str],
        judge: Callable[[Reply], T],
        *,
        writing: bool = False,
        asking: bool = True,
        **channels: Any,
    ) -> T:
        """Run a command that may use secret keys, and judge its answer.

        Where the passphrase does not fit, it may be that of a key which came in under it and was
        not taken over yet; that is done then, and the command is run once more.
        """

        async def once() -> T:
            passphrase = await self._secret() if asking else None
            return judge(
                await self._gpg(options, writing=writing, passphrase=passphrase, **channels)
            )

        only_try = comes_once(channels.get("stdin"))
        if only_try and asking:
            await self._take_over()
        try:
            return await once()
        except BadPassphrase:
            if only_try or not await self._take_over():
                raise
        finally:
            if writing:
                self._table.forget()
        return await once()

    async def _try_passphrase(self, fingerprint: str) -> None:
        """See that the passphrase opens a key, before a command that has no status line for that.

        Raises:
            BadPassphrase: it does not.
        """
        judge = _wants("SUCCESS", "use the key", fingerprint)
        await self._with_key(commands.try_passphrase(fingerprint), judge)

    async def _take_over(self) -> bool:
        """Take over keys that came in under this instance's passphrase; return whether any did."""
        if not self.passphrase or not await self._stretches():
            return False
        if not await asyncio.to_thread(any_untouched, self._engine.home.path):
            return False
        keys = await list_keys(self._engine, secret=True)
        inner, outer = await self._secret(), self.passphrase.encode()
        return await secret_keys.take_over(self._engine, keys, inner, outer)

    async def _stretches(self) -> bool:
        await self._engine.open()
        return self._engine.home.protection.kind == "scrypt"

    async def _secret(self, passphrase: str | None = None) -> bytes:
        """Return a passphrase, by default this instance's, as the agent of the home expects it."""
        await self._engine.open()
        text = self.passphrase if passphrase is None else passphrase
        protection = self._engine.home.protection
        if protection.kind == "gnupg" or not text:
            return text.encode()
        # It takes a third of a second: all callers wait for the one thread that works it out.
        asked = (os.getpid(), text, protection.salt)
        if asked not in self._stretched:
            pool = ThreadPoolExecutor(1, "tiny_gnupg-scrypt")
            self._stretched[asked] = pool.submit(protection.stretch, text)
            pool.shutdown(wait=False)
        stretched = self._stretched[asked]
        if stretched.done():
            return stretched.result()
        return await asyncio.shield(asyncio.wrap_future(stretched))

    async def _own(self) -> str:
        """Return the fingerprint of this instance's own key."""
        if not self.fingerprint:
            if not self.email:
                raise KeyNotFound("this instance has no key of its own", hint="await gen_key()")
            found = await self._table.find(self.email)
            secret = [key for key in found if key.secret and not key.revoked and not key.expired]
            if not secret:
                raise KeyNotFound(
                    f"{self.email} has no secret key here", value=self.email, hint="await gen_key()"
                )
            self.fingerprint = the_one(secret, self.email).fingerprint
        return self.fingerprint

    async def _named(self, uid: str) -> str:
        """Return the fingerprint that a uid names; a fingerprint costs no look-up."""
        if not check_uid(uid):
            return await self._own()
        kind, value = classify(uid)
        if kind is NameForm.FINGERPRINT:
            return value
        return (await self._table.one(uid)).fingerprint

    async def _key(self, uid: str) -> Key:
        return await self._table.one(uid or await self._own())

    async def _secret_key(self, uid: str) -> Key:
        """Return the one key that a uid names, where its secret part is here."""
        key = await self._key(uid)
        if not key.secret and not any(subkey.secret for subkey in key.subkeys):
            raise KeyNotFound(f"no secret key for {uid or key.fingerprint}", value=key.fingerprint)
        return key

    async def _own_secret(self, uid: str) -> str:
        return (await self._secret_key(uid)).fingerprint

    async def _signer(self, local_user: str) -> str:
        return await self._named(local_user) if local_user else await self._own()


def _wants(keyword: str, doing: str, value: str) -> Callable[[Reply], Reply]:
    return lambda reply: outcome.require_keyword(reply, keyword, doing, value)


def _succeeds(doing: str, value: str) -> Callable[[Reply], Reply]:
    return lambda reply: outcome.require_success(reply, doing, value)
