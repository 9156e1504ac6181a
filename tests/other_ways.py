"""Other ways to do what a test does: with a gpg that waits for it, and by streams."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tiny_gnupg import GnuPG, GnuPGError, NotText, Verification
from tiny_gnupg._gpg.arguments import Signer
from tiny_gnupg._operations.standing import Standing, Start, State
from tiny_gnupg._process.program import Program
from tiny_gnupg.gnupg import streams
from tiny_gnupg.gnupg.text import like


def start_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a gpg wait for each message that may have one."""
    take = Standing.take

    def started_ahead(standing: Standing, start: Start, state: State) -> Program | None:
        if start.like not in standing._waiting:
            standing.wait(start, state, float("inf"))
            time.sleep(0.02)  # it reads its options, and looks its keys up
        return take(standing, start, state)

    monkeypatch.setattr(Standing, "take", started_ahead)


def let_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have ``decrypt``, and ``verify`` with a detached signature, work by streams.

    Both ways to decrypt a stream have to come to the same; no message counts as a small one, which
    would be decrypted as a file is.
    """
    verify = GnuPG.verify

    async def decrypt_by_stream(
        self: GnuPG,
        message: str | bytes,
        *,
        passphrase: str | None = None,
        signer: Signer = None,
    ) -> str | bytes:
        made: list[bytes | GnuPGError] = []
        for early in (True, False):
            source = cut(message)
            try:
                async with self.decrypt_stream(
                    source, passphrase=passphrase, signer=signer, early=early
                ) as plain:
                    made.append(await plain.read())
            except GnuPGError as error:
                made.append(error)
        first, second = made
        if isinstance(second, GnuPGError):
            assert type(first) is type(second)
            raise second
        assert first == second
        return await like(message, second)

    async def verify_by_stream(
        self: GnuPG,
        message: str | bytes = "",
        signature: str | bytes | None = None,
        *,
        signer: Signer = None,
    ) -> Verification:
        if signature is None:
            return await verify(self, message, signer=signer)
        found = await self.verify_stream(cut(message), signature, signer=signer)
        return replace(found, data=b"".join(cut(message)))

    monkeypatch.setattr(streams._Message, "is_small", False)
    monkeypatch.setattr(GnuPG, "decrypt", decrypt_by_stream)
    monkeypatch.setattr(GnuPG, "verify", verify_by_stream)


def cut(message: str | bytes) -> Iterator[bytes]:
    """Give a message in pieces."""
    octets = NotText.encoded(message, 0) if isinstance(message, str) else message
    return (octets[place : place + 100] for place in range(0, len(octets), 100))
