"""A stranger's key that has adopted somebody's signing subkey (the kind of CVE-2025-30258)."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.adopted_subkey import (
    BOB,
    BOBS,
    DATA,
    ENCRYPTION,
    MALLORY,
    MALLORYS,
    SIGNATURE,
    SIGNING,
    back_signature,
    forged,
    mallory,
)
from tests.attacks.conftest import LIAR, Hostile
from tests.features import reads_packed, skip
from tests.instances import PlainGpg
from tests.tor import openpgp
from tiny_gnupg import AmbiguousKey, GnuPG, KeyserverMismatch, SignatureError
from tiny_gnupg._network import keyserver
from tiny_gnupg._openpgp.back_signatures import let_in

VARIANTS = {
    "none": MALLORY,
    "bob's own": mallory(back_signature()),
    "garbage": mallory(b"\x04\x19\x16\x0a" + bytes(60)),
    "another's": mallory(back_signature().replace(bytes.fromhex(SIGNING[-16:]), bytes(8))),
}
EMAIL = "m@example.net"

Bring = Callable[[Hostile, GnuPG, bytes, Path], Awaitable[Any]]


async def text(hostile: Hostile, alice: GnuPG, key: bytes, folder: Path) -> None:
    await alice.text_import(openpgp.armor(key))


async def octets(hostile: Hostile, alice: GnuPG, key: bytes, folder: Path) -> None:
    await alice.text_import(key, secret=False)


async def packed(hostile: Hostile, alice: GnuPG, key: bytes, folder: Path) -> None:
    await alice.text_import(openpgp.packet(8, b"\x02" + zlib.compress(key)))


async def beside_another(hostile: Hostile, alice: GnuPG, key: bytes, folder: Path) -> None:
    await alice.text_import(openpgp.armor(key) + "\ntext between\n" + openpgp.armor(key))


async def file(hostile: Hostile, alice: GnuPG, key: bytes, folder: Path) -> None:
    (folder / "key").write_bytes(key)
    await alice.file_import(folder / "key")


async def found(hostile: Hostile, alice: GnuPG, key: bytes, folder: Path) -> None:
    (hostile.folder / "adopted").write_bytes(key)
    await alice.network_import(MALLORYS)


async def found_by_address(hostile: Hostile, alice: GnuPG, key: bytes, folder: Path) -> None:
    (hostile.folder / "adopted").write_bytes(key)
    await alice.auto_encrypt("text", EMAIL, sign=False)


async def directory(hostile: Hostile, alice: GnuPG, key: bytes, folder: Path) -> None:
    (hostile.folder / "adopted").write_bytes(key)
    await alice.wkd_import(EMAIL)


async def refreshed(hostile: Hostile, alice: GnuPG, key: bytes, folder: Path) -> None:
    await alice.text_import(key)
    (hostile.folder / "adopted").write_bytes(key)
    await alice.refresh(MALLORYS)


async def restored(hostile: Hostile, alice: GnuPG, key: bytes, folder: Path) -> None:
    plain = PlainGpg(folder)
    plain.run("--import", stdin=key)
    plain.end_agent()
    await alice.restore(folder)


WAYS: dict[str, Bring] = {
    "text": text,
    "bytes": octets,
    "packed": packed,
    "several": beside_another,
    "file": file,
    "network": found,
    "auto": found_by_address,
    "directory": directory,
    "refresh": refreshed,
    "restore": restored,
}


async def holders(gpg: GnuPG) -> list[str]:
    """Return the keys that have Bob's signing subkey."""
    keys = await gpg.keys()
    return [one.fingerprint for one in keys for sub in one.subkeys if sub.fingerprint == SIGNING]


@pytest.fixture
async def alice(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> GnuPG:
    urls = (f"http://{LIAR}/adopted/x",) * 2
    monkeypatch.setattr(keyserver, "wkd_urls", lambda email: urls)
    return await hostile.alice("adopted")


async def require_bobs(gpg: GnuPG) -> None:
    """The subkey is Bob's, for signatures and for look-ups."""
    assert await holders(gpg) == [BOBS]
    for verified in (await gpg.verify(DATA, SIGNATURE), await gpg.auto_verify(DATA, SIGNATURE)):
        assert verified.signatures[0].primary_fingerprint == BOBS
    assert await gpg.key_fingerprint(SIGNING) == BOBS
    for uid in (SIGNING, SIGNING[-16:]):
        sealed = await gpg.encrypt(b"reply", uid, sign=False)
        assert await gpg.packet_fingerprint(sealed) == ENCRYPTION[-16:]


@pytest.mark.parametrize("way", WAYS)
async def test_each_way_in_leaves_the_subkey_to_its_owner(
    hostile: Hostile, alice: GnuPG, other_home: Path, way: str
) -> None:
    if way == "packed" and not reads_packed(MALLORY):
        skip("takes no keys in compressed data")
    await WAYS[way](hostile, alice, MALLORY, other_home)
    assert MALLORYS in await alice.list_keys()
    assert await holders(alice) == []
    await alice.text_import(BOB)
    await require_bobs(alice)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("first", ["mallory", "bob"])
async def test_a_back_signature_that_is_none_does_not_help(
    alice: GnuPG, variant: str, first: str
) -> None:
    order = [VARIANTS[variant], BOB]
    for key in order if first == "mallory" else reversed(order):
        await alice.text_import(key)
    await require_bobs(alice)


@pytest.mark.parametrize("first", ["mallory", "bob"])
async def test_where_only_gpg_can_tell_whose_it_is_nothing_goes_to_either(
    alice: GnuPG, tmp_path: Path, first: str
) -> None:
    """Nothing is encrypted to a key that happens to come first, and no signature is called bad."""
    order = [mallory(forged()), BOB]
    for key in order if first == "mallory" else reversed(order):
        await alice.text_import(key)
    assert set(await holders(alice)) == {MALLORYS, BOBS}
    (tmp_path / "in").write_bytes(DATA)
    for _ in range(2):
        for uid in (SIGNING, SIGNING[-16:], SIGNING.lower(), [BOBS, SIGNING]):
            for call in (
                partial(alice.encrypt, b"reply", uid, sign=False),
                partial(alice.encrypt, b"reply", uid),
                partial(alice.auto_encrypt, b"reply", uid),
                partial(alice.encrypt_file, tmp_path / "in", uid, tmp_path / "out"),
            ):
                with pytest.raises(AmbiguousKey) as caught:
                    await call()
                assert set(caught.value.candidates) == {MALLORYS, BOBS}
            with pytest.raises(AmbiguousKey):
                _ = [one async for one in alice.encrypt_many([b"reply"], uid, sign=False)]
            assert not (tmp_path / "out").exists()
    assert await alice.encrypt(b"reply", BOBS, sign=False)
    assert await alice.encrypt(b"reply", ENCRYPTION, sign=False)
    if first == "bob":
        await alice.verify(DATA, SIGNATURE)
    else:
        with pytest.raises(SignatureError, match="cannot be checked"):
            await alice.verify(DATA, SIGNATURE)
    await alice.delete(MALLORYS)
    await require_bobs(alice)


async def test_both_in_one_block(alice: GnuPG) -> None:
    await alice.text_import(MALLORY + BOB)
    await require_bobs(alice)


async def test_the_adopted_subkey_finds_no_key(hostile: Hostile, alice: GnuPG) -> None:
    (hostile.folder / "adopted").write_bytes(MALLORY)
    for uid in (SIGNING, SIGNING[-16:]):
        with pytest.raises(KeyserverMismatch):
            await alice.network_import(uid)
    assert MALLORYS not in await alice.list_keys()


async def test_the_owners_key_comes_in_byte_for_byte() -> None:
    assert let_in(BOB) is BOB
    for variant in VARIANTS.values():
        assert variant.startswith(let_in(variant))
        assert let_in(variant + BOB) == let_in(variant) + BOB
