"""Keyservers, through Tor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tiny_gnupg._gpg.arguments import (
    Signer,
    Uid,
    Uids,
    check_uid,
    check_uids,
    checked_data,
    kept,
    require_text,
)
from tiny_gnupg._gpg.key_states import is_placeholder_key
from tiny_gnupg._network import keyserver
from tiny_gnupg._network.keyserver import Keyserver
from tiny_gnupg._operations.keyring import list_keys
from tiny_gnupg._process.tasks import cancel_all, uninterrupted
from tiny_gnupg.errors import KeyNotFound, KeyserverMismatch, NotOnKeyserver, WrongSigner
from tiny_gnupg.gnupg.access import T
from tiny_gnupg.gnupg.messages import Messages
from tiny_gnupg.gnupg.text import M
from tiny_gnupg.gnupg.transfer import Transfer
from tiny_gnupg.results import ImportResult, Key, SignatureStatus, Verification

if TYPE_CHECKING:
    from aiohttp import ClientResponse

#: Keys that ``refresh`` asks for at once; each builds a circuit of its own.
REFRESHED_AT_ONCE = 4


class Online(Messages, Transfer):
    """Keyservers, through Tor."""

    @property
    def port(self) -> int:
        """The keyserver's port; the URLs below follow it."""
        return self._keyserver.port

    @port.setter
    def port(self, port: int) -> None:
        self._keyserver = replace(self._keyserver, port=port)

    @property
    def tor_port(self) -> int:
        """The port of Tor's SOCKS5 proxy: 9050, or 9150 for Tor Browser's."""
        return self._network.settings.tor_port

    @tor_port.setter
    def tor_port(self, tor_port: int) -> None:
        self._network.settings = replace(self._network.settings, tor_port=tor_port)

    @property
    def keyserver(self) -> str:
        """The keyserver's base URL."""
        return self._keyserver.url

    def set_network_variables(
        self,
        port: int | None = None,
        tor_port: int | None = None,
        keyserver: str | None = None,
        search: str | None = None,
        **settings: Any,
    ) -> None:
        """Say how the network is reached; what is not named stays as it is.

        Args:
            port: the keyserver's. With ``keyserver`` and without it: what its URL says, or else
                its scheme (80 for http).
            tor_port: Tor's SOCKS5 port.
            keyserver: base URL, http(s) for VKS or hkp(s) for HKP.
            search: what leads from it to the page where people search.
            settings: any of ``tor.NetworkSettings``: ``connect_timeout`` (120 s),
                ``total_timeout`` (180 s), ``max_answer`` (8 MiB), ``tries`` (3) and others.

        Raises:
            ValueError: a value out of its range, or no keyserver's URL; nothing was changed.
        """
        server = self._keyserver
        if keyserver is not None:
            server = Keyserver.of(keyserver, port, server.search)
        elif port is not None:
            server = replace(server, port=port)
        if search is not None:
            server = replace(server, search=search)
        if tor_port is not None:
            settings["tor_port"] = tor_port
        if settings:
            self._network.settings = replace(self._network.settings, **settings)
        self._keyserver = server

    def network_get(self, url: str, **options: Any) -> AbstractAsyncContextManager[ClientResponse]:
        """Send a GET request through Tor: ``async with gpg.network_get(url) as response``.

        Args:
            url: http or https.
            options: whatever ``aiohttp.ClientSession.get`` takes; it wins over the settings.

        Returns:
            The response, no more than ``max_answer`` bytes of it.

        Raises:
            ValueError: an option that would lead around Tor (``proxy``), by its name.
            TorUnavailable: Tor does not answer, or does not reach the service.
            NetworkError: the request failed otherwise.
        """
        return self._network.network_get(url, **options)

    def network_post(self, url: str, **options: Any) -> AbstractAsyncContextManager[ClientResponse]:
        """Send a POST request through Tor, once; see ``network_get``."""
        return self._network.network_post(url, **options)

    async def get(self, url: str, **options: Any) -> str:
        """Return the text of the answer to a GET request; see ``network_get``."""
        return await self._network.get(url, **options)

    async def post(self, url: str, **options: Any) -> str:
        """Return the text of the answer to a POST request; see ``network_get``."""
        return await self._network.post(url, **options)

    async def search(self, query: str) -> str:
        """Look a key up on the keyserver.

        Args:
            query: a fingerprint, a key id or an address.

        Returns:
            The key's URL, or ``""`` where the server does not have it.

        Raises:
            KeyserverError: the server refuses.
            KeyserverMismatch: it answers with another key.
            TorUnavailable: Tor does not reach it.
        """
        return await keyserver.search(self._network, self._keyserver, check_uid(query))

    async def network_import(self, uid: Uid) -> ImportResult:
        """Find a key on the keyserver, check that it is the one, and import it.

        By an address, the key comes with the user ids of that address and no other.

        Args:
            uid: a fingerprint, a key id or an address.

        Returns:
            What was imported.

        Raises:
            NotOnKeyserver: the server does not have it, or nothing can be looked up by such text.
            KeyserverMismatch: it answered with another key; nothing was imported.
            KeyserverError: it refuses, or answers with no key.
            TorUnavailable: Tor does not reach it.
        """
        return await self._import_found(
            await keyserver.look_up(self._network, self._keyserver, check_uid(uid))
        )

    async def wkd_import(self, email: str) -> ImportResult:
        """Import the key of an address from the Web Key Directory of its domain.

        It comes with the user ids of that address and no other.

        Args:
            email: the address.

        Returns:
            What was imported: the key, and the address's revoked ones where the directory has them.

        Raises:
            NotOnKeyserver: the directory does not have it.
            KeyserverMismatch: it answered with another key, too; nothing was imported.
            TorUnavailable: Tor does not reach it.
        """
        require_text("email", email)
        return await self._import_found(*await keyserver.wkd_look_up(self._network, email))

    async def refresh(self, uid: Uid = "") -> tuple[str, ...]:
        """Fetch updates of keys that are here, each over a circuit of its own.

        A key gains no user id by that, but the first where it has none yet: by another address of
        its owner, ``network_import`` asks for it.

        Args:
            uid: which; the empty text is all of them.

        Returns:
            The fingerprints of those that the keyserver has.

        Raises:
            KeyNotFound: no such key is here.
            NotOnKeyserver: the one key that was named is not on the server.
            KeyserverMismatch: the server answered with another key; all others were updated.
            KeyserverError: it refuses.
            TorUnavailable: Tor does not reach it.
        """
        if uid:
            key = await self._key(uid)
            await self._refresh(key)
            return (key.fingerprint,)
        turns = asyncio.Semaphore(REFRESHED_AT_ONCE)
        lies: list[KeyserverMismatch] = []

        async def update(key: Key) -> str:
            async with turns:
                try:
                    await self._refresh(key)
                except NotOnKeyserver:
                    return ""
                except KeyserverMismatch as lie:  # no reason for the other keys to stay old
                    lies.append(lie)
            return key.fingerprint

        updates = [asyncio.ensure_future(update(one)) for one in await list_keys(self._engine)]
        try:
            found = tuple(filter(None, await asyncio.gather(*updates)))
        finally:
            await uninterrupted(cancel_all(*updates))
        if lies:
            raise lies[0]
        return found

    async def _refresh(self, key: Key) -> None:
        async with self._network.isolated() as network:
            found = await keyserver.look_up(network, self._keyserver, key.fingerprint)
        if not is_placeholder_key(key):
            found = found.keeping({user_id.text for user_id in key.user_ids})
        await self._import_found(found)

    async def network_export(self, uid: Uid = "") -> dict[str, Any]:
        """Upload a key to the keyserver, and ask for the mails that confirm its addresses.

        Returns:
            The server's answer: ``key_fpr``, and ``status`` with each address and its state.

        Raises:
            KeyserverError: the server refuses.
            TorUnavailable: Tor does not reach it.
        """
        fingerprint = (await self._named(uid)).rstrip("!")
        key = await self.text_export(fingerprint)
        return await keyserver.publish(self._network, self._keyserver, key, fingerprint)

    async def auto_encrypt(
        self,
        message: M = "",  # type: ignore[assignment]
        uid: Uids = "",
        sign: bool = True,
        local_user: Uids = "",
        **options: Any,
    ) -> M:
        """Encrypt as ``encrypt`` does, after a look-up of recipients whose keys are not here.

        Raises:
            NotOnKeyserver: a recipient's key is nowhere; ``.value`` names it.
        """
        checked_data("message", message)
        recipients = kept(uid)
        for one in check_uids(recipients):
            if one and not await self._table.find(one):
                await self.network_import(one)
        return await self.encrypt(message, recipients, sign, local_user, **options)

    async def auto_decrypt(
        self, message: M, *, passphrase: str | None = None, signer: Signer = None
    ) -> M:
        """Decrypt as ``decrypt`` does, after a look-up of a signer's key that is not here.

        Raises:
            NotOnKeyserver: the signer's key is nowhere; ``.value`` names it.
        """
        names = kept(signer)
        return await self._looking_up(
            lambda: self.decrypt(message, passphrase=passphrase, signer=names)
        )

    async def auto_verify(
        self,
        message: str | bytes = "",
        signature: str | bytes | None = None,
        *,
        signer: Signer = None,
    ) -> Verification:
        """Verify as ``verify`` does, after a look-up of a signer's key that is not here.

        Raises:
            NotOnKeyserver: the signer's key is nowhere; ``.value`` names it.
        """
        names = kept(signer)
        return await self._looking_up(lambda: self.verify(message, signature, signer=names))

    async def _looking_up(self, judged: Callable[[], Awaitable[T]]) -> T:
        """Judge signatures, and once more after a look-up of a signer's key that is not here."""
        try:
            return await judged()
        except KeyNotFound as error:
            name = error.value
        except WrongSigner as error:
            # One that is not here may be a new subkey of who must have signed.
            absent = [one for one in error.signatures if one.status is SignatureStatus.NO_PUBKEY]
            if not absent:
                raise
            name = absent[0].fingerprint or absent[0].key_id
        await self.network_import(name)
        return await judged()
