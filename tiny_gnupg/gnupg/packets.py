"""What OpenPGP data consists of."""

from __future__ import annotations

from tiny_gnupg._gpg import commands, outcome
from tiny_gnupg._gpg.arguments import checked_data
from tiny_gnupg._gpg.packet_dump import describe
from tiny_gnupg._openpgp.kinds import NAMED, issuer
from tiny_gnupg._operations.engine import Call
from tiny_gnupg.errors import NotOpenPGP
from tiny_gnupg.gnupg import reasons
from tiny_gnupg.gnupg.access import Access
from tiny_gnupg.gnupg.inputs import _octets
from tiny_gnupg.gnupg.text import as_text
from tiny_gnupg.results import Packet


class Packets(Access):
    """What OpenPGP data consists of."""

    async def packets(self, target: str | bytes) -> tuple[Packet, ...]:
        """Return the packets of OpenPGP data: where they stand, and what gpg reads in them.

        No secret key is ever used for it.

        Raises:
            NotOpenPGP: the data is none.
            OutputTooLarge: there are more than 65,536 packets, compressed ones hold more than
                16 MiB, or gpg tells more than that of them.
        """
        data = checked_data("target", target)
        async with reasons.of_message(data):
            text = await self._packet_text(data)
            return await self._engine.work(lambda: describe(_octets(data), text))

    async def packet_fingerprint(self, target: str | bytes) -> str:
        """Return whose key some OpenPGP data belongs to.

        Args:
            target: a key, a signature, a signed or an encrypted message.

        Returns:
            A key's own fingerprint, a signature's issuer, an encrypted message's recipient: 40
            hex digits, or 16 where only a key id is in the clear.

        Raises:
            NotOpenPGP: the data is none, or names nobody.
        """
        data = checked_data("target", target)
        found = await self._engine.work(issuer, _octets(data[:NAMED]))
        if not found:
            raise NotOpenPGP("the data names no key")
        return found

    async def _packet_text(self, target: str | bytes) -> str:
        data = checked_data("target", target)
        async with reasons.of_message(data):
            reply = await self._run(
                Call(commands.list_packets(), stdin=data), outcome.listed_packets
            )
        return await as_text(reply.stdout, errors="replace")
