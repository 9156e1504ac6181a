"""The key of an instance's own."""

from __future__ import annotations

from collections.abc import Sequence

from tiny_gnupg._gpg.arguments import Expiry
from tiny_gnupg._home.layout import OWN
from tiny_gnupg._home.locks import KeyringLock
from tiny_gnupg.errors import KeyNotFound
from tiny_gnupg.gnupg.keys import Keys
from tiny_gnupg.results import Key


class OwnKey(Keys):
    """The key of an instance's own."""

    async def own(self) -> Key:
        """Return this instance's own key, in whatever state it is.

        Raises:
            KeyNotFound: it has none.
            AmbiguousKey: it has several under its address.
            BadPassphrase: this instance's passphrase opens none of those under its address.
        """
        return await self._key("")

    async def ensure_key(
        self,
        *,
        expires: Expiry = "3y",
        algorithm: str = "ed25519",
        subkeys: Sequence[str] = ("sign", "auth", "encrypt"),
    ) -> Key:
        """Return this instance's own key, made where there is none; a script can run twice.

        One that has expired or is revoked is there: it is returned, and no second one is made.

        Args:
            expires: as for ``gen_key``, where it is made; so are the others.
            algorithm: see ``gen_key``.
            subkeys: see ``gen_key``.

        Raises:
            AmbiguousKey, BadPassphrase: as ``own``.
            ValueError, UnsupportedByGnuPG: as ``gen_key``.
        """
        await self._engine.open()
        directory = self._engine.home.state / OWN
        directory.mkdir(mode=0o700, exist_ok=True)
        # One after the other, in all processes: two that find none would make two.
        async with KeyringLock(directory).held(writing=True):
            try:
                return await self.own()
            except KeyNotFound:
                await self.gen_key(expires=expires, algorithm=algorithm, subkeys=subkeys)
            return await self.own()
