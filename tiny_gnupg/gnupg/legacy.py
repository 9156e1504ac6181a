"""What only callers of 0.5.2 need: each of these has a typed sibling, or a plainer one."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tiny_gnupg._gpg import commands, listings
from tiny_gnupg._gpg.arguments import Uid, check_uid
from tiny_gnupg._gpg.key_names import search_term, validity_of
from tiny_gnupg._gpg.packet_dump import list_packet_lines
from tiny_gnupg._network import keyserver
from tiny_gnupg._operations.keyring import run_listing
from tiny_gnupg.errors import printable
from tiny_gnupg.gnupg.custom import CustomCommands
from tiny_gnupg.gnupg.packets import Packets

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from aiohttp_socks import ProxyConnector

log = logging.getLogger("tiny_gnupg")


class Legacy(CustomCommands, Packets):
    """What only callers of 0.5.2 need."""

    # -- homes and commands ----------------------------------------------------------------

    def format_homedir(self, path: str | os.PathLike[str]) -> str:
        """Return a homedir as an absolute path, ``~`` resolved."""
        return os.path.abspath(os.path.expanduser(os.fspath(path)))

    def set_home_permissions(self, home: str | os.PathLike[str]) -> None:
        """Make a directory its owner's alone (0700); a failure is logged, not raised."""
        path = os.fspath(home)  # a number would be a file that the process has open
        try:
            os.chmod(path, 0o700)
        except OSError as error:
            log.warning("cannot set the permissions of %s: %s", os.fspath(home), error.strerror)

    def encode_inputs(self, *inputs: str) -> bytes:
        """Return the inputs as UTF-8, each on a line of its own."""
        return ("\n".join(map(str, inputs)) + "\n").encode()

    async def unlock(self) -> str:
        """Return the same as ``agent_passphrase``; nothing is unlocked."""
        return await self.agent_passphrase()

    # -- keys: see ``keys`` ----------------------------------------------------------------

    async def raw_list_keys(self, uid: Uid = "", secret: bool = False) -> str:
        """Return gpg's own listing, as it prints it.

        Args:
            uid: which; the empty text is all of them.
            secret: only those whose secret part is there.
        """
        text = check_uid(uid)
        terms = [search_term(text)] if text else []
        options = commands.list_keys(terms, secret=secret, colons=False)
        reply = await run_listing(self._engine, options)
        # gpg itself escapes ASCII's control characters, and no others.
        return printable(reply.stdout.decode(errors="replace"))

    def format_list_keys(self, text: str, secret: bool = False) -> dict[str, str]:
        """Read fingerprints and addresses from a listing, gpg's human one or the colon one."""
        return listings.format_list_keys(text, secret)

    async def key_fingerprint(self, uid: Uid = "") -> str:
        """Return the fingerprint of the one key that ``uid`` names.

        Raises:
            KeyNotFound: there is none.
            AmbiguousKey: there are several.
        """
        return (await self._key(uid)).fingerprint

    async def key_email(self, uid: Uid = "") -> str:
        """Return the address of the one key that ``uid`` names; raises as ``key_fingerprint``."""
        return (await self._key(uid)).email

    async def key_trust(self, uid: Uid = "") -> str:
        """Return the validity word that gpg shows in brackets, ``ultimate`` or ``revoked`` e.g.

        By an address it is that of the user id with that address, which anybody can claim.

        Raises:
            KeyNotFound: there is none.
            AmbiguousKey: there are several.
        """
        key, name = await self._key(uid), check_uid(uid)
        return (validity_of(key, name) if name else key.validity).value

    # -- packets: see ``packets`` ----------------------------------------------------------

    async def raw_packets(self, target: str | bytes) -> str:
        """Return gpg's ``--list-packets`` text; no secret key is ever used for it.

        Raises:
            NotOpenPGP: the data is none.
        """
        return await self._packet_text(target)

    async def list_packets(self, target: str | bytes) -> list[list[str]]:
        """Return gpg's ``--list-packets`` text as a list with one list of lines a packet.

        Raises:
            NotOpenPGP: the data is none.
            OutputTooLarge: there is too much of it for lists; ``raw_packets`` returns it.
        """
        text = await self._packet_text(target)
        return await self._engine.work(list_packet_lines, text)

    # -- network: see ``network_get``, ``search`` and ``network_export`` ---------------------

    @property
    def Connector(self) -> ProxyConnector:
        """The ``aiohttp_socks.ProxyConnector`` under ``Session``; within a running loop.

        Both are shared by all requests of this instance: whoever closes them, as by ``async
        with``, leaves them open, and ``aclose`` closes them.
        """
        return self._network.Connector

    @property
    def Session(self) -> ClientSession:
        """The ``aiohttp.ClientSession`` that all requests share; see ``Connector``."""
        return self._network.Session

    @property
    def keyserver_export_api(self) -> str:
        """Where keys are uploaded to."""
        return self._keyserver.upload_url

    @property
    def keyserver_verify_api(self) -> str:
        """Where the mails are asked for that confirm a key's addresses."""
        return self._keyserver.verify_url

    @property
    def searchserver(self) -> str:
        """The page for people who search, to be completed by what they search."""
        return self._keyserver.search_url

    async def raw_search(self, query: str) -> str:
        """Return the keyserver's whole answer to a look-up, whatever it is."""
        return await keyserver.raw_search(self._network, self._keyserver, check_uid(query))

    async def raw_api_export(self, uid: Uid = "") -> str:
        """Upload a key to the keyserver, and return its whole answer: JSON with a ``token``."""
        key = await self._export(await self._named(uid), secret=False)
        return await keyserver.upload(self._network, self._keyserver, key.decode())

    async def raw_api_verify(self, payload: str | Mapping[str, Any]) -> str:
        """Ask for the mails that confirm addresses, and return the server's whole answer.

        Args:
            payload: ``token`` and ``addresses``, as JSON text or as a mapping.
        """
        return await keyserver.request_verify(self._network, self._keyserver, payload)
