"""Keys of tiny_gnupg 0.9.0, which gave gpg a hash of what its user typed: that opens them here."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import scrypt, sha3_512
from pathlib import Path

import pytest

from tests.instances import MakeGnuPG, PlainGpg, cheap
from tiny_gnupg import BadPassphrase, GnuPG
from tiny_gnupg._home.layout import KEYS
from tiny_gnupg._home.protection import Scheme

TYPED, EMAIL = "what its user typed, ä", "was@example.org"
MakePlain = Callable[..., PlainGpg]
KINDS: tuple[Scheme, ...] = ("scrypt", "gnupg")


def hashed(typed: str) -> str:
    seed = sha3_512(b"gnupg passphrase:" + typed.encode()).digest()
    return scrypt(seed, salt=seed, n=2**14, r=8, p=1).hex()


@pytest.fixture
def old(plain_gpg: MakePlain) -> PlainGpg:
    """A home of 0.9.0: a key with the passphrase that it made."""
    plain = plain_gpg(hashed(TYPED))
    plain.run("--quick-generate-key", f"Was <{EMAIL}>", "ed25519", "cert", "never")
    [fingerprint] = [
        line.split(":")[9]
        for line in plain.run("--with-colons", "--list-keys").stdout.decode().splitlines()
        if line.startswith("fpr")
    ]
    for algorithm, usage in (("ed25519", "sign"), ("cv25519", "encr")):
        plain.run("--quick-add-key", fingerprint, algorithm, usage, "never")
    return plain


def owner(home: Path, passphrase: str = TYPED, protection: Scheme | None = None) -> GnuPG:
    return GnuPG("Was", EMAIL, passphrase, homedir=home, protection=protection)


def files(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (home / KEYS).glob("*.key")}


@pytest.mark.parametrize("kind", KINDS)
async def test_they_come_in_with_what_was_typed(
    old: PlainGpg, home: Path, tmp_path: Path, kind: Scheme
) -> None:
    block = old.run("--armor", "--export-secret-keys").stdout
    (tmp_path / "block").write_bytes(block)
    before = files(old.home)
    message = old.run("--armor", "--encrypt", "--recipient", EMAIL, stdin="before").stdout
    calls: dict[str, Callable[[GnuPG], object]] = {
        "text_import": lambda gpg: gpg.text_import(block),
        "file_import": lambda gpg: gpg.file_import(tmp_path / "block"),
        "restore": lambda gpg: gpg.restore(old.home),
    }
    for name, call in calls.items():
        async with owner(cheap(home / name, kind)) as gpg:
            await call(gpg)  # type: ignore[misc]
            assert await gpg.decrypt(message) == b"before"
            assert (await gpg.verify(await gpg.sign("x"))).data == b"x"
    assert files(old.home) == before


@pytest.mark.parametrize("call", ["decrypt", "text_export", "export_subkeys", "backup"])
async def test_their_home_is_opened_as_it_is(old: PlainGpg, tmp_path: Path, call: str) -> None:
    message = old.run("--armor", "--encrypt", "--recipient", EMAIL, stdin="before").stdout
    old.end_agent()
    first: dict[str, Callable[[GnuPG], object]] = {
        "decrypt": lambda gpg: gpg.decrypt(message),
        "text_export": lambda gpg: gpg.text_export(EMAIL, secret=True),
        "export_subkeys": lambda gpg: gpg.export_subkeys(EMAIL),
        "backup": lambda gpg: gpg.backup(tmp_path / "backup"),
    }
    async with owner(old.home) as gpg:
        await first[call](gpg)  # type: ignore[misc]
        assert (await gpg.verify(await gpg.sign("x"))).data == b"x"


async def test_they_are_of_their_user_from_then_on(old: PlainGpg, plain_gpg: MakePlain) -> None:
    async with owner(old.home) as gpg:
        await gpg.set_expire("", "1y")
        other = plain_gpg(TYPED)
        other.run("--import", stdin=await gpg.text_export(secret=True))
        assert b"MESSAGE" in other.run("--sign", "--armor", stdin="x").stdout
        await gpg.change_passphrase("", "new")
        assert await gpg.decrypt(await gpg.encrypt("x")) == "x"


@pytest.mark.parametrize("kind", KINDS)
async def test_another_passphrase_opens_none(old: PlainGpg, home: Path, kind: Scheme) -> None:
    block = old.run("--armor", "--export-secret-keys").stdout
    cheap(home, kind)
    for wrong in ("", "another", hashed("another")):
        async with owner(home, wrong) as gpg:
            with pytest.raises(BadPassphrase):
                await gpg.restore(old.home)
            assert await gpg.keys() == ()
    async with owner(home, "another") as gpg:
        await gpg.text_import(block)
        before = files(home)
        for call in (
            lambda: gpg.sign("x", EMAIL),
            lambda: gpg.text_export(EMAIL, secret=True),
            lambda: gpg.change_passphrase(EMAIL, "new"),
            lambda: gpg.sign("x"),
        ):
            with pytest.raises(BadPassphrase):
                await call()
        assert files(home) == before
        # It came in all the same, and opens as soon as the right one is there.
        gpg.passphrase = TYPED
        assert await gpg.sign("x", EMAIL)


async def test_the_hash_itself_opens_them_too(old: PlainGpg, make_gnupg: MakeGnuPG) -> None:
    gpg = make_gnupg(lambda at, **_: owner(at, hashed(TYPED)), old.home)
    assert await gpg.sign("x")
