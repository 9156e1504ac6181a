"""An own key in any state is told as it is, and nobody is led to a second one by mistake."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, MakeGnuPG, PlainGpg, alice_at, cheap
from tests.peers.gpg24 import gpg24
from tiny_gnupg import (
    BadPassphrase,
    Capability,
    GnuPG,
    HomeUnusable,
    KeyNotFound,
    UnusableKey,
)
from tiny_gnupg._home.layout import KEYS
from tiny_gnupg._home.protection import Scheme

MakePlain = Callable[..., PlainGpg]
Use = Callable[[GnuPG, Path], Awaitable[object]]
SVC = "svc@example.org"
PAST = "--faked-system-time=20200101T000000!"


async def _all(results: AsyncIterator[object]) -> list[object]:
    return [one async for one in results]


#: What signs with the own key, in every method that shares the step.
SIGNING: dict[str, Use] = {
    "sign": lambda gpg, _: gpg.sign("x"),
    "sign(detach)": lambda gpg, _: gpg.sign(b"x", detach=True),
    "sign(clear)": lambda gpg, _: gpg.sign("x", clear=True),
    "sign(local_user)": lambda gpg, _: gpg.sign("x", SVC),
    "sign_file": lambda gpg, folder: gpg.sign_file(folder / "source", folder / "out"),
    "encrypt": lambda gpg, _: gpg.encrypt("x", BOB),
    "encrypt_file": lambda gpg, folder: gpg.encrypt_file(folder / "source", BOB, folder / "out"),
    "encrypt_many": lambda gpg, _: _all(gpg.encrypt_many(["x"], BOB, sign=True)),
    "auto_encrypt": lambda gpg, _: gpg.auto_encrypt("x", BOB),
}
#: What encrypts to the own key.
ENCRYPTING: dict[str, Use] = {
    "encrypt": lambda gpg, _: gpg.encrypt("x", sign=False),
    "encrypt(address)": lambda gpg, _: gpg.encrypt("x", [BOB, SVC], sign=False),
    "encrypt_file": lambda gpg, folder: gpg.encrypt_file(
        folder / "source", "", folder / "out", sign=False
    ),
    "encrypt_many": lambda gpg, _: _all(gpg.encrypt_many(["x"])),
    "auto_encrypt": lambda gpg, _: gpg.auto_encrypt("x", SVC, sign=False),
}
#: What needs the secret part of the primary key.
PRIMARY: dict[str, Use] = {
    "set_expire": lambda gpg, _: gpg.set_expire("", "1y"),
    "add_subkeys": lambda gpg, _: gpg.add_subkeys(),
    "add_uid": lambda gpg, _: gpg.add_uid("", "New", "new@example.org"),
    "revoke_uid": lambda gpg, _: gpg.revoke_uid("", SVC),
    "revoke": lambda gpg, _: gpg.revoke(),
    "certify": lambda gpg, _: gpg.certify(BOB),
}


def svc_at(home: Path, passphrase: str = "") -> GnuPG:
    return GnuPG("Svc", SVC, passphrase, homedir=home)


class Owned:
    """A key of a plain gpg's, that a service takes for its own."""

    def __init__(self, plain: PlainGpg, life: str, *subkeys: tuple[str, str, str]) -> None:
        self.plain = plain
        making = ("--quick-generate-key", f"Svc <{SVC}>", "ed25519", "cert", life)
        said = plain.run(PAST, "--status-fd", "1", *making).stdout.decode()
        self.fingerprint = re.findall(r"KEY_CREATED P (\w+)", said)[0]
        for algorithm, usage, lasts in subkeys:
            plain.run(PAST, "--quick-add-key", self.fingerprint, algorithm, usage, lasts)
        listed = plain.run("--with-colons", "-k", self.fingerprint).stdout.decode()
        self.subkeys = [
            fpr for fpr in re.findall(r"fpr:+(\w+):", listed) if fpr != self.fingerprint
        ]

    def block(self, how: str = "--export-secret-keys", *names: str) -> bytes:
        return self.plain.run(how, *(names or (self.fingerprint,))).stdout


SIGN, ENCRYPT = ("ed25519", "sign", "never"), ("cv25519", "encr", "never")


@pytest.fixture
async def service(
    home: Path, make_gnupg: MakeGnuPG, bob: GnuPG, tmp_path: Path
) -> Callable[[bytes], Awaitable[GnuPG]]:
    """A maker of services that hold a secret key, Bob's public one, and a file to work on."""
    (tmp_path / "source").write_text("x")

    async def make(block: bytes) -> GnuPG:
        gpg: GnuPG = make_gnupg(svc_at, cheap(home))
        await gpg.text_import(block)
        await gpg.text_import(await bob.text_export())
        return gpg

    return make


async def _refuses(call: Awaitable[object], *told: str) -> None:
    with pytest.raises(UnusableKey) as caught:
        await call
    for one in told:
        assert one in str(caught.value)
    assert "gen_key" not in str(caught.value)


async def test_an_expired_one_says_when_and_is_renewed(
    service: Callable[[bytes], Awaitable[GnuPG]], plain_gpg: MakePlain, tmp_path: Path
) -> None:
    key = Owned(plain_gpg(), "1d", ("ed25519", "sign", "1d"), ("cv25519", "encr", "1d"))
    gpg = await service(key.block())
    for use in (*SIGNING.values(), *ENCRYPTING.values()):
        told = (key.fingerprint, "expired on 2020-01-02", "await set_expire(")
        await _refuses(use(gpg, tmp_path), *told)
    assert not (tmp_path / "out").exists()
    assert "PUBLIC" in await gpg.text_export()
    assert "PRIVATE" in await gpg.text_export(secret=True)
    assert (await gpg.backup(tmp_path / "backup") / "secret.asc").exists()
    await gpg.set_expire("", "2y")
    for use in (*SIGNING.values(), *ENCRYPTING.values()):
        await use(gpg, tmp_path)
        (tmp_path / "out").unlink(missing_ok=True)
    assert gpg.fingerprint == key.fingerprint


async def test_an_expired_one_can_be_revoked_and_deleted(
    service: Callable[[bytes], Awaitable[GnuPG]], plain_gpg: MakePlain, tmp_path: Path
) -> None:
    key = Owned(plain_gpg(), "1d", SIGN, ENCRYPT)
    gpg = await service(key.block())
    await gpg.revoke()
    for use in (*SIGNING.values(), *ENCRYPTING.values()):
        await _refuses(use(gpg, tmp_path), key.fingerprint, "it is revoked")
    assert "PUBLIC" in await gpg.text_export()
    await gpg.delete()
    assert list(await gpg.list_keys()) == [(await gpg.keys(BOB))[0].fingerprint]


@pytest.mark.parametrize("state", ["expired", "revoked", "missing", "not made"])
async def test_a_signing_subkey_that_cannot_be_used_is_named(
    service: Callable[[bytes], Awaitable[GnuPG]],
    plain_gpg: MakePlain,
    tmp_path: Path,
    state: str,
) -> None:
    plain = plain_gpg()
    lasts = "1d" if state == "expired" else "never"
    signing = [] if state == "not made" else [("ed25519", "sign", lasts)]
    key = Owned(plain, "never", *signing, ENCRYPT)
    if state == "revoked":
        edit = (
            "--command-fd",
            "0",
            "--yes",
            "--edit-key",
            key.fingerprint,
            "key 1",
            "revkey",
            "save",
        )
        plain.run(*edit, stdin="y\n0\n\ny\n")
    block = key.block()
    if state == "missing":
        block = key.block("--export-secret-subkeys", f"{key.subkeys[1]}!")
    told = {
        "expired": f"its subkey {key.subkeys[0]} expired on 2020-01-02",
        "revoked": f"its subkey {key.subkeys[0]} is revoked",
        "missing": f"the secret part of its subkey {key.subkeys[0]} is not here",
        "not made": "it has no subkey that can sign",
    }[state]
    gpg = await service(block)
    if state == "missing":
        await gpg.text_import(plain.run("--export", key.fingerprint).stdout)
    for use in SIGNING.values():
        await _refuses(use(gpg, tmp_path), key.fingerprint, told)
    # And what does not need that subkey works.
    assert await gpg.decrypt(await gpg.encrypt("x", sign=False)) == "x"


async def test_an_encryption_subkey_that_expired_is_named(
    service: Callable[[bytes], Awaitable[GnuPG]], plain_gpg: MakePlain, tmp_path: Path
) -> None:
    key = Owned(plain_gpg(), "never", SIGN, ("cv25519", "encr", "1d"))
    gpg = await service(key.block())
    for use in ENCRYPTING.values():
        await _refuses(use(gpg, tmp_path), key.subkeys[1], "expired on 2020-01-02", "set_expire(")
    assert "MESSAGE" in await gpg.sign("x")
    await gpg.set_expire("", "1y", subkeys=[key.subkeys[1]])
    for use in ENCRYPTING.values():
        await use(gpg, tmp_path)
        (tmp_path / "out").unlink(missing_ok=True)


@pytest.mark.parametrize("protection", ["scrypt", "gnupg"])
async def test_one_whose_primary_part_is_elsewhere_does_all_that_needs_it_not(
    bob: GnuPG,
    home: Path,
    make_gnupg: MakeGnuPG,
    plain_gpg: MakePlain,
    tmp_path: Path,
    protection: Scheme,
) -> None:
    (tmp_path / "source").write_text("x")
    key = Owned(plain_gpg("words"), "never", SIGN, ENCRYPT)
    block = key.plain.run("--export-secret-subkeys", key.fingerprint).stdout
    gpg = make_gnupg(svc_at, cheap(home, protection), passphrase="words")
    await gpg.text_import(block)
    await gpg.text_import(await bob.text_export())
    for use in (*SIGNING.values(), *ENCRYPTING.values()):
        await use(gpg, tmp_path)
        (tmp_path / "out").unlink(missing_ok=True)
    assert await gpg.decrypt(await gpg.encrypt("x")) == "x"
    for name, use in PRIMARY.items():
        await _refuses(use(gpg, tmp_path), "the secret part of", "primary key", "is not here")
        assert name
    # It leaves as it came: a machine that gets it signs too.
    exported = await gpg.text_export(secret=True)
    await gpg.change_passphrase("", "other words")
    assert "MESSAGE" in await gpg.sign("x")
    await gpg.backup(tmp_path / "backup")
    elsewhere = make_gnupg(svc_at, cheap(home / "elsewhere"), passphrase="words")
    await elsewhere.text_import(exported)
    assert "MESSAGE" in await elsewhere.sign("x")
    restored = make_gnupg(svc_at, cheap(home / "restored"), passphrase="other words")
    await restored.restore(tmp_path / "backup")
    assert "MESSAGE" in await restored.sign("x")


async def test_of_two_under_one_address_it_is_the_one_that_can_be_used(
    service: Callable[[bytes], Awaitable[GnuPG]], plain_gpg: MakePlain
) -> None:
    old = Owned(plain_gpg(), "1d", SIGN)
    new = Owned(plain_gpg(), "never", SIGN, ENCRYPT)
    gpg = await service(old.block() + new.block())
    assert "MESSAGE" in await gpg.sign("x")
    assert gpg.fingerprint == new.fingerprint
    assert old.fingerprint in await gpg.list_keys()


async def test_what_another_cannot_do_is_told_in_other_words(
    service: Callable[[bytes], Awaitable[GnuPG]], plain_gpg: MakePlain, tmp_path: Path
) -> None:
    theirs = Owned(plain_gpg(), "1d", ENCRYPT)
    gpg = await service(Owned(plain_gpg(), "never", SIGN, ENCRYPT).block())
    await gpg.delete(BOB)
    await gpg.text_import(theirs.plain.run("--export", theirs.fingerprint).stdout)
    for uid in (theirs.fingerprint, theirs.fingerprint[-16:]):
        told = (theirs.fingerprint, "expired on 2020-01-02", "ask its owner")
        await _refuses(gpg.encrypt("x", uid, sign=False), *told)


async def test_a_key_is_ensured_once_however_often_it_is_asked_for(
    home: Path, make_gnupg: MakeGnuPG
) -> None:
    instances = [make_gnupg(svc_at, cheap(home), passphrase="words") for _ in range(3)]
    found = await asyncio.gather(
        *(
            gpg.ensure_key(expires="1y", algorithm="nistp256", subkeys=["sign"])
            for gpg in instances
            for _ in range(2)
        )
    )
    assert len({key.fingerprint for key in found}) == 1
    assert found[0].user_ids[0].text == f"Svc <{SVC}>"
    assert (found[0].curve, len(found[0].subkeys)) == ("nistp256", 1)
    again = make_gnupg(svc_at, home, passphrase="words")
    assert again.fingerprint == found[0].fingerprint
    assert await again.ensure_key() == await again.own() == found[0]
    assert len(await again.keys()) == 1
    with pytest.raises(BadPassphrase):
        await make_gnupg(svc_at, home, passphrase="wrong").sign("x")


async def test_a_key_that_cannot_be_used_is_no_reason_for_a_second_one(
    service: Callable[[bytes], Awaitable[GnuPG]], plain_gpg: MakePlain
) -> None:
    key = Owned(plain_gpg(), "1d", SIGN, ENCRYPT)
    gpg = await service(key.block())
    assert (await gpg.ensure_key()).fingerprint == key.fingerprint
    assert (await gpg.own()).expired
    await gpg.revoke()
    assert (await gpg.ensure_key()).revoked
    assert len(await gpg.keys(secret=True)) == 1


async def test_without_a_key_there_is_none(home: Path, make_gnupg: MakeGnuPG) -> None:
    with pytest.raises(KeyNotFound, match="no secret key here"):
        await make_gnupg(svc_at, cheap(home)).own()
    with pytest.raises(KeyNotFound, match="no key of its own"):
        await make_gnupg(lambda at: GnuPG(homedir=at), home).own()
    assert not list((home / "private-keys-v1.d").glob("*.key"))


# -- states that are told of in the same way wherever the key is used ------------------------


def _of(executable: Path | None, passphrase: str, home: Path) -> GnuPG:
    return GnuPG("Svc", SVC, passphrase, homedir=home, executable=executable)


@pytest.mark.parametrize(
    ("missing", "version"), [("encrypt", ""), ("all", ""), ("sign", "2.4"), ("all", "2.4")]
)
async def test_subkeys_whose_secret_part_is_elsewhere_keep_nothing_else_back(
    home: Path, other_home: Path, tmp_path: Path, missing: str, version: str
) -> None:
    svc = partial(_of, gpg24() if version else None)
    async with svc("abc", cheap(home)) as gpg:
        key = await gpg.ensure_key(subkeys=("sign", "encrypt"))
        gone = {"sign": key.subkeys[:1], "encrypt": key.subkeys[1:], "all": key.subkeys}
        for subkey in gone[missing]:
            (home / KEYS / f"{subkey.keygrip}.key").unlink()
        async with svc("abcd", home) as stranger:
            calls: tuple[Callable[[], Awaitable[object]], ...] = (
                lambda: stranger.set_expire(key.fingerprint, "1y"),
                lambda: stranger.text_export(key.fingerprint, secret=True),
                lambda: stranger.change_passphrase(key.fingerprint, "new"),
                lambda: stranger.backup(tmp_path / "backup"),
            )
            for call in calls:
                with pytest.raises(BadPassphrase):
                    await call()
        await gpg.set_expire("", "1y")
        await gpg.backup(tmp_path / "backup")
        await gpg.change_passphrase("", "new")
        block = await gpg.text_export(secret=True)
        await gpg.rotate()
        assert await gpg.decrypt(await gpg.encrypt("x")) == "x"
    async with svc("new", cheap(other_home / "import")) as gpg:
        assert (await gpg.text_import(block)).secret_imported == 1
        await gpg.add_subkeys()
        assert await gpg.decrypt(await gpg.encrypt("x")) == "x"
    async with svc("abc", cheap(other_home / "restore")) as gpg:
        assert (await gpg.restore(tmp_path / "backup")).secret_imported == 1
        await gpg.add_subkeys()


async def test_a_revoked_one_is_not_changed(alice: GnuPG) -> None:
    await alice.revoke()
    for call in (
        alice.set_expire("", "1y"),
        alice.add_subkey("", "sign"),
        alice.add_subkeys(),
        alice.rotate(),
        alice.add_uid("", "New", "new@example.org"),
    ):
        with pytest.raises(UnusableKey, match="it is revoked"):
            await call
    await alice.change_passphrase("", "new")
    assert "PRIVATE KEY" in await alice.text_export(secret=True)


async def test_a_disabled_one_is_encrypted_to_by_no_name(alice: GnuPG, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("x")
    [bob] = await alice.keys(BOB)
    for step in ("disable", "enable"):
        command = alice.command("--command-fd", "0", "--edit-key", bob.fingerprint, manual=True)
        await alice.run_command(command, f"{step}\nsave\n")
        [subkey] = [part for part in bob.subkeys if Capability.ENCRYPT in part.capabilities]
        for uid in (BOB, bob.fingerprint, bob, f"{subkey.fingerprint}!", bob.key_id, [BOB]):
            for call in (
                alice.encrypt("x", uid),
                alice.encrypt_file(tmp_path / "source", uid, tmp_path / "out", overwrite=True),
                alice.auto_encrypt("x", uid),
                _all(alice.encrypt_many(["x"], uid)),
            ):
                if step == "enable":
                    await call
                    continue
                with pytest.raises(UnusableKey, match="it is disabled"):
                    await call
        assert await alice.decrypt(await alice.encrypt("x")) == "x"


async def test_what_a_key_does_not_have_is_not_to_be_imported(alice: GnuPG) -> None:
    for call in (
        alice.revoke_uid("", "nobody@example.org"),
        alice.revoke_subkey("", "A" * 40),
        alice.delete_subkey("", "A" * 40),
        alice.set_expire("", "1y", subkeys=["A" * 40]),
    ):
        with pytest.raises(KeyNotFound, match="shows those that it has"):
            await call


@pytest.mark.parametrize("content", [b"", b"garbage", b"Key: (protected-private-key (ecc"])
async def test_a_key_whose_file_is_damaged_is_not_called_missing(
    alices_home: Path, bob: GnuPG, make_gnupg: MakeGnuPG, content: bytes
) -> None:
    """A disk that was full, or lost power, leaves such files; a second key would help nobody."""
    message = await bob.encrypt("x", ALICE)
    files = {path: path.read_bytes() for path in (alices_home / KEYS).glob("*.key")}
    for path in files:
        path.write_bytes(content)
    alice = make_gnupg(alice_at, alices_home)
    calls: list[Use] = [
        lambda gpg, _: gpg.sign("x"),
        lambda gpg, _: gpg.sign("x", ALICE),
        lambda gpg, _: gpg.decrypt(message),
        lambda gpg, _: gpg.own(),
        lambda gpg, _: gpg.ensure_key(),
        lambda gpg, _: gpg.text_export(secret=True),
        lambda gpg, _: gpg.export_subkeys(ALICE),
        lambda gpg, _: gpg.add_subkey(ALICE),
        lambda gpg, _: gpg.certify(BOB, ALICE),
    ]
    for call in calls:
        with pytest.raises(HomeUnusable, match=r"cannot read \S+\.key"):
            await call(alice, alices_home)
    for path, whole in files.items():
        path.write_bytes(whole)
    await alice.aclose()
    again = make_gnupg(alice_at, alices_home)
    assert await again.decrypt(message) == "x"
    assert len(await again.keys(secret=True)) == 1


async def test_a_key_that_expires_while_it_is_used_is_told_so(
    home: Path, other_home: Path, make_gnupg: MakeGnuPG
) -> None:
    """A service that runs for years has looked its keys up before."""
    service = make_gnupg(lambda at, **_: GnuPG("Service", SVC, homedir=at), cheap(home))
    await service.gen_key(expires=timedelta(seconds=8))
    friend = make_gnupg(alice_at, cheap(other_home))
    await friend.text_import(await service.text_export())
    uses: list[tuple[GnuPG, Callable[[], Awaitable[object]]]] = [
        (service, lambda: service.sign("x")),
        (service, lambda: service.encrypt("x", "")),
        (service, lambda: service.encrypt("x", SVC, sign=False)),
        (friend, lambda: friend.encrypt("x", SVC, sign=False)),
        (friend, lambda: friend.encrypt("x", service.fingerprint, sign=False)),
        (friend, lambda: _all(friend.encrypt_many(["x"], service.fingerprint))),
        (friend, lambda: _all(friend.encrypt_stream([b"x"], service.fingerprint, sign=False))),
    ]
    for _, use in uses:
        assert await use()
    expires = (await service.own()).expires
    assert expires is not None
    # In the second in which it expires, gpg's listing and its encryption differ.
    await asyncio.sleep((expires - datetime.now(UTC)).total_seconds() + 1.5)
    for gpg, use in uses:
        with pytest.raises(UnusableKey, match="it expired on") as caught:
            await use()
        assert ("set_expire" in caught.value.hint) == (gpg is service)
    await service.set_expire("", "1y")
    await friend.text_import(await service.text_export())
    for _, use in uses:
        assert await use()
