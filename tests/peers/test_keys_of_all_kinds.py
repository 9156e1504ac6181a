"""Keys of each algorithm, and keys that have been through something, in the hands of others.

What a program may not know is said by ``MAY_LACK``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from tests.instances import cheap
from tests.leftovers import clean_home
from tests.peers.programs import DETACHED, PEERS, TABLE, TEXT, Peer, Refused
from tiny_gnupg import GnuPG, UnsupportedByGnuPG

#: How a key is made.
KINDS: dict[str, Callable[[GnuPG], Awaitable[object]]] = {
    **{
        algorithm: lambda gpg, algorithm=algorithm: gpg.gen_key(algorithm=algorithm)  # type: ignore[misc]
        for algorithm in (
            *("rsa2048", "nistp256", "nistp384", "nistp521"),
            *("brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1", "ed448"),
        )
    },
    "one subkey": lambda gpg: gpg.gen_key(subkeys=["encrypt"]),
    "rotated": lambda gpg: _rotated(gpg, overlap="0"),
    "rotated with an overlap": lambda gpg: _rotated(gpg, overlap="30d"),
    "subkeys of several algorithms": lambda gpg: _mixed(gpg),
}

_BRAINPOOL = {kind for kind in KINDS if kind.startswith("brainpool")}

#: What a program may not know. PySequoia opens messages with the first subkey alone, and PGPy does
#: not look at the revocation of one. Keys of ed448 are LibrePGP's.
MAY_LACK: dict[str, set[str]] = {
    "sqop": {*_BRAINPOOL, "ed448"},
    "gosop": {"ed448"},
    "pgpainless-cli": {"ed448"},
    "sq": {*_BRAINPOOL, "ed448"},
    "PySequoia": {*_BRAINPOOL, "ed448", "rotated with an overlap"},
    "PGPy": {*_BRAINPOOL, "ed448", "rotated"},
    "python-gnupg": {"ed448"},  # runs the machine's own gpg
}


async def _rotated(gpg: GnuPG, *, overlap: str) -> None:
    await gpg.gen_key()
    second = int(time.time())
    while int(time.time()) == second:  # noqa: ASYNC110
        # For PGPainless a subkey is not revoked in the second in which it was made.
        await asyncio.sleep(0.05)
    await gpg.rotate(overlap=overlap)


async def _mixed(gpg: GnuPG) -> None:
    await gpg.gen_key(algorithm="rsa2048", subkeys=())
    await gpg.add_subkey(usage="sign", algorithm="nistp256")
    await gpg.add_subkey(usage="encrypt", algorithm="ed25519")


@asynccontextmanager
async def made(kind: str) -> AsyncIterator[GnuPG]:
    with clean_home() as home:
        async with GnuPG("Our Side", "our@side.example", homedir=cheap(home)) as gpg:
            await KINDS[kind](gpg)
            yield gpg


async def used(gpg: GnuPG, peer: Peer) -> None:
    """Have a program use our public key, and our secret one."""
    public, secret = (await gpg.text_export()).encode(), await gpg.text_export(secret=True)
    [key] = await gpg.keys()
    newest = [one for one in key.subkeys if not (one.revoked or one.expired)]
    message = peer.encrypt(TEXT, public)
    found = await gpg.decrypt_verify(message)
    assert found.data.rstrip() == TEXT.rstrip()
    if not set(found.recipients) <= {one.key_id for one in newest}:
        raise Refused(f"{peer.name} encrypts to a revoked subkey")
    signature = await gpg.sign(TEXT, detach=True) if key.usable_for("s") else None
    if signature:
        peer.verify(signature, public, DETACHED, TEXT)
    message = await gpg.encrypt(TEXT, sign=False)
    assert peer.decrypt(message, secret.encode()).rstrip() == TEXT.rstrip()
    if signature:
        signature = peer.sign(TEXT, secret.encode(), DETACHED)
        assert (await gpg.verify(TEXT, signature)).signatures[0].fingerprint in {
            one.fingerprint for one in newest
        }


@pytest.mark.parametrize("kind", KINDS)
async def test_keys_of_all_kinds(kind: str) -> None:
    row = TABLE.setdefault(f"keys: {kind}", {})
    with suppress(UnsupportedByGnuPG):
        async with made(kind) as gpg:
            for peer in (one for one in PEERS if one.present()):
                try:
                    await used(gpg, peer())
                    row[peer.name] = "yes"
                except Refused as why:
                    row[peer.name] = "-"
                    print(kind, peer.name, str(why)[:300])
            for name, cell in row.items():
                assert cell == "yes" or kind in MAY_LACK.get(name, ()), name
            return
    pytest.skip(f"NOT TESTED: this gpg has no {kind} keys")
