"""One key's whole life, and what others see of it: a correspondent with pins, and stock gpg."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, PASSPHRASE, PlainGpg, alice_at, bob_at, cheap
from tests.leftovers import clean_home
from tiny_gnupg import (
    BadPassphrase,
    GnuPG,
    KeyNotFound,
    RevokedKeySignature,
    UnusableKey,
    WrongSigner,
)

NEW_WORDS = "new words, better kept"
NEW = "alice@example.net"


@dataclass
class World:
    """The owner, whose primary key is offline; her server; Bob, who pins; and stock gpg."""

    owner: GnuPG
    server: GnuPG
    bob: GnuPG
    stock: PlainGpg
    stack: AsyncExitStack

    async def instance(self, make: Callable[..., GnuPG], **more: str) -> GnuPG:
        """Return one more instance, in a home of its own."""
        home = cheap(self.stack.enter_context(clean_home()))
        return await self.stack.enter_async_context(make(home, **more))

    async def publish(self, gpg: GnuPG, uid: str = "") -> None:
        """Give a public key to everybody."""
        block = await gpg.text_export(uid)
        for reader in (self.server, self.bob):
            await reader.text_import(block, secret=False)
        self.stock.run("--import", stdin=block)

    def listed(self, fingerprint: str) -> dict[str, str]:
        """Return the state of each part of a key, as stock gpg lists it."""
        said = self.stock.run("--with-colons", "--list-keys", fingerprint).stdout.decode()
        lines = [line.split(":") for line in said.split("\n")]
        parts = [line for line in lines if line[0] in ("pub", "sub")]
        names = [line[9] for line in lines if line[0] == "fpr"]
        return {name: part[1] for name, part in zip(names, parts, strict=True)}

    def judged(self, signed: bytes) -> list[str]:
        """Return what stock gpg says of signatures."""
        done = self.stock.run("--status-fd", "1", "--verify", stdin=signed, check=False)
        words = ("GOODSIG", "REVKEYSIG", "EXPKEYSIG", "ERRSIG", "BADSIG")
        said = [line.split()[1] for line in done.stdout.decode().split("\n") if line]
        return [word for word in said if word in words]


@asynccontextmanager
async def beginning() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        first, second, third, fourth = (stack.enter_context(clean_home()) for _ in range(4))
        stock = PlainGpg(fourth)
        stack.callback(stock.end_agent)
        owner = await stack.enter_async_context(alice_at(cheap(first)))
        server = await stack.enter_async_context(alice_at(cheap(second)))
        bob = await stack.enter_async_context(bob_at(cheap(third)))
        await bob.gen_key()
        await owner.text_import(await bob.text_export())
        yield World(owner, server, bob, stock, stack)


async def test_a_key_from_the_day_it_is_made_until_nobody_trusts_it_any_more(
    tmp_path: Path,
) -> None:
    async with beginning() as world:
        owner, server, bob = world.owner, world.server, world.bob

        # Made, and its secret subkeys handed to the server; the primary part stays with its owner.
        old = await owner.gen_key(expires="1y")
        await server.text_import(await owner.export_subkeys())
        await server.set_fingerprint(old)
        await world.publish(owner)
        assert set(world.listed(old).values()) == {"-"}
        [here] = await server.keys(old)
        assert not here.secret
        assert all(part.secret for part in here.subkeys)
        for needs_the_primary in (
            server.set_expire("", "3y"),
            server.rotate(),
            server.add_uid("", "Alice", NEW),
            server.certify(BOB),
            server.revoke(),
        ):
            with pytest.raises((UnusableKey, KeyNotFound)):
                await needs_the_primary
        await server.text_import(await bob.text_export())

        # Used: Bob knows by a pin that it is hers, wherever it was signed.
        first = await server.sign(b"first")
        assert (await bob.verify(first, signer=old)).signed_by(old)
        assert world.judged(first) == ["GOODSIG"]
        with pytest.raises(WrongSigner):
            await bob.verify(first, signer=BOB)
        letter = await bob.encrypt(b"to Alice", ALICE)
        assert await server.decrypt(letter, signer=BOB) == b"to Alice"

        # Renewed before it ends; who has the new key sees the new day.
        assert [key.fingerprint for key in await bob.keys(expiring="400d")] == [old]
        await owner.set_expire("", "3y")
        await world.publish(owner)
        assert await bob.keys(old, expiring="400d") == ()

        # Its subkeys rotated; for a while the old ones live on.
        signing, encrypting = await owner.rotate(expires="1y", overlap="30d")
        await server.text_import(await owner.export_subkeys())
        second = await server.sign(b"second", f"{signing}!")
        with pytest.raises(WrongSigner, match="import the signer's key anew") as caught:
            await bob.verify(second, signer=old)
        assert caught.value.value == signing
        assert world.judged(second) == ["ERRSIG"]
        await world.publish(owner)
        for signed in (first, second):
            assert (await bob.verify(signed, signer=old)).signed_by(old)
            assert world.judged(signed) == ["GOODSIG"]
        newer = await bob.encrypt(b"newer", ALICE)
        assert (await server.decrypt_verify(newer)).recipients == (encrypting[-16:],)
        assert await server.decrypt(letter) == b"to Alice"

        # Its passphrase changed: the old one opens it no more; the server's copy has its own.
        await owner.change_passphrase("", NEW_WORDS)
        assert await owner.decrypt(letter, signer=BOB) == b"to Alice"
        async with alice_at(Path(owner.home), passphrase=PASSPHRASE) as forgetful:
            forgetful.fingerprint = old
            with pytest.raises(BadPassphrase):
                await forgetful.sign("x")
        assert await server.sign("x")

        # Backed up and restored elsewhere: it opens all that was ever sent.
        backup = await owner.backup(tmp_path / "stick")
        again = await world.instance(alice_at, passphrase=NEW_WORDS)
        assert old in (await again.restore(backup)).fingerprints
        assert (await again.own()).fingerprint == old
        for message, text in ((letter, b"to Alice"), (newer, b"newer")):
            assert await again.decrypt(message) == text
        third = await again.sign(b"third")
        assert (await bob.verify(third, signer=old)).signed_by(signing)
        await again.aclose()

        # Certified: Bob vouches for it, and stock gpg reads that.
        await bob.certify(old)
        await owner.text_import(await bob.text_export())
        await owner.text_import(await bob.text_export(old))
        [key] = await owner.keys(old, certifications=True)
        assert key.user_ids[0].certified_by(bob.fingerprint)
        minimal = await owner.scan(await owner.export(minimal=True))
        assert minimal[0].certifications == ()

        # In its place comes a new key, which the old one certifies; the announcement has both
        # signatures, and satisfies whoever pins either.
        owner.email = NEW
        new = await owner.gen_key(algorithm="nistp256")
        await owner.certify(new, old)
        announced = await owner.sign(b"I move", [old, new])
        await world.publish(owner, new)
        [key] = await bob.keys(new, certifications=True)
        assert key.user_ids[0].certified_by(old)
        for pin in (old, new, [new], ALICE, NEW):
            assert len((await bob.verify(announced, signer=pin)).signatures) == 2
        assert world.judged(announced) == ["GOODSIG", "GOODSIG"]

        # Revoked: nobody encrypts to it by mistake, and what it signs counts no more.
        await owner.revoke(old, reason=2, text="I have a new key")
        await world.publish(owner, old)
        assert set(world.listed(old).values()) == {"r"}
        with pytest.raises(UnusableKey, match="revoked"):
            await bob.encrypt("x", ALICE)
        with pytest.raises(UnusableKey, match="revoked"):
            await server.sign("x")
        for signed in (first, second, third, announced):
            with pytest.raises(RevokedKeySignature):
                await bob.verify(signed, signer=old)
            assert "REVKEYSIG" in world.judged(signed)
        assert await owner.decrypt(letter) == b"to Alice", "what was sent can still be read"
        assert (await bob.verify(await owner.sign(b"x", new), signer=NEW)).signed_by(new)
        [key] = await bob.keys(new, certifications=True)
        [dead] = await bob.keys(old)
        assert not key.user_ids[0].certified_by(dead), "nor what it certified"

        # Deleted: gone, the other one stays.
        await owner.delete(old)
        assert [key.fingerprint for key in await owner.keys(secret=True)] == [new]
        with pytest.raises(KeyNotFound):
            await owner.sign("x", old)
