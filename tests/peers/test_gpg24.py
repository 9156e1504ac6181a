"""The whole life of keys and messages on GnuPG 2.4, and homes that pass from 2.2 to 2.4 and back.

Where 2.4 is the gpg of this machine, it is what all other tests run with. Elsewhere Debian 13's is
unpacked beside the system for this run; where that cannot be, nothing here runs, and it says so.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.gpgs import get_gpg
from scripts.release.running import Failure
from tests.features import has, skip
from tests.instances import PASSPHRASE, PlainGpg, cheap
from tests.openpgp import without_user_ids
from tests.peers import gpg24 as peer_gpg
from tests.peers.programs import KEY_PASSPHRASE, PEERS, Peer
from tiny_gnupg import (
    BadPassphrase,
    BadSignature,
    Capability,
    GnuPG,
    GnuPGError,
    HomeUnusable,
    ImportFailed,
    Key,
    KeyNotFound,
    NoSecretKey,
    Subkey,
    SymmetricAlgorithm,
    UnusableKey,
)
from tiny_gnupg._home.agent import KEYBOXD, Agent, listens
from tiny_gnupg._openpgp.armor import dearmor
from tiny_gnupg._openpgp.packets import PUBLIC_KEY, USER_ID, write
from tiny_gnupg._process.find_gpg import find_executable, probe


@pytest.fixture(scope="module")
def gpg24() -> Path:
    return peer_gpg.gpg24()


def test_a_gpg_to_test_with_is_found_by_its_path_or_refused() -> None:
    used = find_executable()
    assert get_gpg(str(used)) == used
    with pytest.raises(Failure, match="no program"):
        get_gpg("/nowhere/gpg")
    with pytest.raises(Failure, match="debian13"):
        get_gpg("debian99")


def instance(home: Path, executable: Path | None, **more: Any) -> GnuPG:
    if not (home / "tiny_gnupg.d").exists():
        cheap(home)
    return GnuPG("Zoë", "zoe@example.org", PASSPHRASE, homedir=home, executable=executable, **more)


async def test_it_is_2_4_and_is_probed_once(gpg24: Path) -> None:
    features = await probe(gpg24)
    assert features.version >= (2, 4, 0)
    assert features.keyboxd
    assert await probe(gpg24) is features


def test_what_a_gpg_can_do_is_known_before_anything_is_awaited(gpg24: Path, home: Path) -> None:
    gpg = instance(home, gpg24)
    assert gpg.gpg_version >= (2, 4, 0)
    assert gpg.features - {"kyber"} == {"adsk", "ed448", "keyboxd", "ocb"}
    assert ("kyber" in gpg.features) == (gpg.gpg_version >= (2, 5, 0))
    used = instance(home, None)
    shown = subprocess.run([used.executable, "--version"], capture_output=True, check=True)
    assert ".".join(map(str, used.gpg_version)).encode() in shown.stdout.splitlines()[0]
    if used.gpg_version < (2, 3, 0):
        assert used.features == frozenset()


async def test_public_keys_stay_in_the_plain_keyring(gpg24: Path, home: Path) -> None:
    async with instance(home, gpg24) as gpg:
        await gpg.gen_key()
        assert (home / "pubring.kbx").stat().st_size > 100
        assert not (home / "public-keys.d").exists()


async def test_a_keyboxd_that_does_not_answer_hides_no_key(gpg24: Path, home: Path) -> None:
    async with instance(home, gpg24) as gpg:
        fingerprint = await gpg.gen_key()
        signed, message = await gpg.sign("text"), await gpg.encrypt("text", sign=False)
        key = await gpg.text_export()
        (home / "public-keys.d").mkdir(mode=0o700)
        (home / "common.conf").write_text("use-keyboxd\nkeyboxd-program /dev/null\n")
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "verify": lambda: gpg.verify(signed),
            "decrypt": lambda: gpg.decrypt(message),
            "encrypt": lambda: gpg.encrypt("text", "bob@example.org", sign=False),
            "encrypt to a fingerprint": lambda: gpg.encrypt("text", fingerprint, sign=False),
            "keys": lambda: gpg.keys(),
            "keys of nobody": lambda: gpg.keys("nobody@example.org"),
            "list_keys": lambda: gpg.list_keys(),
            "text_export": lambda: gpg.text_export("B" * 40),
            "text_import": lambda: gpg.text_import(key),
        }
        for name, call in calls.items():
            with pytest.raises(GnuPGError) as caught:
                await call()
            assert not isinstance(caught.value, KeyNotFound | NoSecretKey | ImportFailed), name
        (home / "common.conf").write_text("")
        (home / "public-keys.d").rmdir()
        assert (await gpg.verify(signed)).signed_by(fingerprint)
        assert await gpg.decrypt(message) == "text"


def kept_by_keyboxd(home: Path, gpg24: Path) -> None:
    program = gpg24.parents[1] / "lib/gnupg/keyboxd"
    assert program.exists()
    (home / "common.conf").write_text(f"use-keyboxd\nkeyboxd-program {program}\n")


async def test_a_home_with_keyboxd_is_served_and_the_daemon_ends_with_us(
    gpg24: Path, home: Path
) -> None:
    cheap(home)
    kept_by_keyboxd(home, gpg24)
    async with instance(home, gpg24) as gpg:
        fingerprint = await gpg.gen_key()
        assert await gpg.list_keys() == {fingerprint: "zoe@example.org"}
        assert await gpg.decrypt(await gpg.encrypt("text")) == "text"
        assert (await gpg.verify(await gpg.sign("text"))).signed_by(fingerprint)
        messages = [one async for one in gpg.encrypt_many(["a", "b"], fingerprint)]
        assert [one async for one in gpg.decrypt_many(messages)] == ["a", "b"]
        with pytest.raises(KeyNotFound):
            await gpg.key_fingerprint("nobody@example.org")
        await gpg.text_import(await gpg.text_export(secret=True))
        assert listens(home, KEYBOXD)
        assert not (home / "pubring.kbx").exists()
    assert not listens(home, KEYBOXD)
    assert not listens(home)


async def test_a_keyboxd_that_was_there_stays(gpg24: Path, home: Path) -> None:
    cheap(home)
    kept_by_keyboxd(home, gpg24)
    plain = [str(gpg24), "--homedir", str(home), "--batch"]
    subprocess.run([*plain, "--list-keys"], check=True)
    assert listens(home, KEYBOXD)
    async with instance(home, gpg24) as gpg:
        await gpg.gen_key()
    assert listens(home, KEYBOXD)
    Agent(KEYBOXD).end(home)
    assert not listens(home, KEYBOXD)


@pytest.mark.parametrize("asked", [True, False])
async def test_a_gpg_without_it_refuses_a_home_with_keyboxd(
    gpg24: Path, home: Path, asked: bool
) -> None:
    """Its keys would be not here for it, and a second keyring would be made."""
    if has("keyboxd"):
        skip("knows keyboxd")
    cheap(home)
    kept_by_keyboxd(home, gpg24)
    async with instance(home, gpg24) as gpg:
        fingerprint = await gpg.gen_key()
    if not asked:
        (home / "common.conf").unlink()
    old = instance(home, None)
    for call in (old.keys(), old.own(), old.ensure_key(), old.encrypt("x"), old.verify("x")):
        with pytest.raises(HomeUnusable, match="keyboxd"):
            await call
    assert not (home / "pubring.kbx").exists()
    kept_by_keyboxd(home, gpg24)
    async with instance(home, gpg24) as gpg:
        assert await gpg.list_keys() == {fingerprint: "zoe@example.org"}


async def test_the_life_of_a_key(gpg24: Path, home: Path) -> None:
    async with instance(home, gpg24) as gpg:
        fingerprint = await gpg.gen_key(expires="1y")
        (key,) = await gpg.keys()
        assert (key.fingerprint, key.curve, key.email) == (
            fingerprint,
            "ed25519",
            "zoe@example.org",
        )
        assert [sub.curve for sub in key.subkeys] == ["ed25519", "ed25519", "cv25519"]
        parts: tuple[Key | Subkey, ...] = (key, *key.subkeys)
        assert all(part.expires for part in parts)
        await gpg.set_expire(fingerprint, "2y")
        await gpg.add_uid(fingerprint, "Zoë", "zoe@example.net")
        await gpg.revoke_uid(fingerprint, "zoe@example.net")
        await gpg.trust(fingerprint, 4)
        await gpg.change_passphrase(fingerprint, "another")
        assert await gpg.decrypt(await gpg.encrypt("text")) == "text"
        gpg.passphrase = PASSPHRASE
        with pytest.raises(BadPassphrase):
            await gpg.sign("text")
        gpg.passphrase = "another"
        await gpg.revoke(fingerprint, reason=3)
        (key,) = await gpg.keys(fingerprint)
        assert key.revoked
        with pytest.raises(UnusableKey):
            await gpg.encrypt("text", fingerprint, sign=False)
        await gpg.delete(fingerprint)
        assert await gpg.keys() == ()


async def test_messages_and_files(gpg24: Path, home: Path, tmp_path: Path) -> None:
    octets = os.urandom(10**5)
    async with instance(home, gpg24) as gpg:
        await gpg.gen_key()
        kinds: tuple[dict[str, Any], ...] = (
            {},
            {"hidden": True},
            {"armor": False},
            {"sign": False},
        )
        for options in kinds:
            message = await gpg.encrypt(octets, gpg.fingerprint, **options)
            found = await gpg.decrypt_verify(message)
            assert found.require_good().data == octets
            assert len(found.signatures) == int(options.get("sign", True))
        assert (
            await gpg.decrypt(await gpg.encrypt_symmetric("text", "pw"), passphrase="pw") == "text"
        )
        with pytest.raises(BadPassphrase):
            await gpg.decrypt(await gpg.encrypt_symmetric("text", "pw"), passphrase="wrong")
        signature = await gpg.sign("text", detach=True)
        assert await gpg.verify("text", signature)
        with pytest.raises(BadSignature):
            await gpg.verify("changed", signature)
        source = tmp_path / "source"
        source.write_bytes(octets)
        sealed = await gpg.encrypt_file(source)
        assert (await gpg.decrypt_file(sealed, tmp_path / "opened")).read_bytes() == octets
        many = [one async for one in gpg.encrypt_many([octets[:99]] * 20)]
        assert [one async for one in gpg.decrypt_many(many)] == [octets[:99]] * 20


@pytest.mark.parametrize("keyboxd", [False, True])
async def test_what_flows_holds_nobody_up(gpg24: Path, home: Path, keyboxd: bool) -> None:
    cheap(home)
    if keyboxd:
        kept_by_keyboxd(home, gpg24)
    octets = os.urandom(2**21)
    async with instance(home, gpg24, limit=1) as gpg:
        await gpg.gen_key()
        level = iter((3, 4, 3, 4))

        async def source(data: bytes) -> AsyncIterator[bytes]:
            yield data[: 2**20 + 2**19]
            await asyncio.sleep(0.1)  # gpg waits for more
            await gpg.trust(gpg.email, next(level))
            yield data[2**20 + 2**19 :]

        async with asyncio.timeout(120):
            message = b"".join([one async for one in gpg.encrypt_stream(source(octets))])
            signed = b"".join([one async for one in gpg.sign_stream(source(octets), detach=True)])
            assert (await gpg.verify_stream(source(octets), signed)).signed_by(gpg.fingerprint)
            async with gpg.decrypt_stream(source(message), early=True) as plain:
                assert await plain.read() == octets


async def test_an_address_that_somebody_added_does_not_come_in(
    gpg24: Path, home: Path, other_home: Path
) -> None:
    async with instance(home, gpg24) as gpg, instance(other_home, gpg24) as other:
        fingerprint = await gpg.gen_key()
        block = dearmor((await gpg.text_export()).encode())
        forged = block + write(USER_ID, b"Victim <victim@example.org>")
        await other.text_import(forged)
        [key] = await other.keys()
        assert [one.email for one in key.user_ids] == [gpg.email]
        with pytest.raises(KeyNotFound):
            await other.encrypt("text", "victim@example.org", sign=False)
        assert await other.list_keys() == {fingerprint: gpg.email}
        assert await other.encrypt("text", gpg.email, sign=False)
        [shown] = await other.scan(forged)
        assert [one.email for one in shown.user_ids] == [gpg.email]


@pytest.mark.parametrize("way", ["encrypt", "encrypt_file", "a pipe", "encrypt_many"])
async def test_a_key_without_user_ids_takes_messages_as_any_other(
    gpg24: Path, home: Path, other_home: Path, tmp_path: Path, way: str
) -> None:
    async with instance(home, gpg24) as owner, instance(other_home, gpg24) as other:
        uid = await owner.gen_key()
        bare = without_user_ids(dearmor((await owner.text_export()).encode()))
        # This gpg drops a key without user ids where one that it cannot read comes behind.
        await other.text_import(bare + write(PUBLIC_KEY, b"\x63" + bytes(20)))
        message: str | bytes
        if way == "encrypt":
            message = await other.encrypt("text", uid, sign=False)
        elif way != "encrypt_many":
            source = tmp_path / "source"
            if way == "a pipe":
                os.mkfifo(source)
                asyncio.get_running_loop().run_in_executor(None, source.write_text, "text")
            else:
                source.write_text("text")
            message = (await other.encrypt_file(source, uid, sign=False)).read_bytes()
        else:
            [message] = [one async for one in other.encrypt_many(["text"], uid, sign=False)]
        found = await owner.decrypt_verify(message)
        assert (found.data, found.cipher) == (b"text", SymmetricAlgorithm.AES256)


async def test_the_key_opens_what_the_passphrase_does_not(
    gpg24: Path, home: Path, plain_gpg: Callable[..., PlainGpg]
) -> None:
    sender = plain_gpg("shared")
    async with instance(home, gpg24) as gpg:
        uid = await gpg.gen_key()
        sender.run("--import", stdin=await gpg.text_export())
        both = ("--trust-model", "always", "-r", uid, "--symmetric", "--encrypt")
        message = sender.run(*both, stdin=b"either").stdout
        for passphrase in ("shared", "wrong", None):
            assert await gpg.decrypt(message, passphrase=passphrase) == b"either"


async def test_an_additional_decryption_subkey_is_told_used_and_left_to_its_owner(
    gpg24: Path, home: Path, other_home: Path, tmp_path: Path
) -> None:
    """ADSK: a subkey of somebody else's, who reads what is encrypted to this key, too."""
    async with instance(home, gpg24) as gpg, instance(other_home, gpg24) as archive:
        await archive.gen_key()
        [theirs] = [one for one in (await archive.own()).subkeys if "e" in one.capabilities]
        uid = await gpg.gen_key()
        await gpg.text_import(await archive.text_export())
        plain = [str(gpg24), "--homedir", str(home), "--batch", "--pinentry-mode", "loopback"]
        plain += ["--agent-program", str(gpg24.parent / "gpg-agent"), "--passphrase-fd", "0"]
        added = ("--quick-add-adsk", uid, f"{theirs.fingerprint}!")
        inner = await gpg.agent_passphrase()
        subprocess.run([*plain, *added], input=inner.encode(), check=True, capture_output=True)
        [adsk] = [one for one in (await gpg.own()).subkeys if one.key_id == theirs.key_id]
        assert adsk.capabilities == {Capability.RESTRICTED_ENCRYPT}
        assert not adsk.secret
        message = await gpg.encrypt("text", uid)
        assert theirs.key_id in (await gpg.decrypt_verify(message)).recipients
        await archive.text_import(await gpg.text_export())
        assert await archive.decrypt(message) == "text"
        exported = await gpg.text_export(secret=True)
        await gpg.backup(tmp_path / "backup")
        await gpg.change_passphrase(uid, "another")
        gpg.passphrase = "another"
        assert await gpg.decrypt(message) == "text"
        [shown] = await archive.scan(exported)
        assert adsk.fingerprint in [one.fingerprint for one in shown.subkeys]


@pytest.mark.parametrize("peer", PEERS, ids=lambda one: one.name)
async def test_a_protected_key_of_2_4_opens_elsewhere(
    gpg24: Path, home: Path, peer: type[Peer]
) -> None:
    """As this gpg exports it, nothing that is made with Sequoia opens it."""
    if not peer.present() or KEY_PASSPHRASE in peer.lacks:
        pytest.skip(f"NOT TESTED: {peer.name} is not here, or takes no key with a passphrase")
    async with instance(home, gpg24) as gpg:
        uid = await gpg.gen_key()
        message = await gpg.encrypt("text", uid, sign=False)
        secret = await gpg.text_export(secret=True)
        assert peer().decrypt(message.encode(), secret.encode(), passphrase=PASSPHRASE) == b"text"


async def test_a_key_goes_from_2_4_to_the_gpg_that_is_used(
    gpg24: Path, home: Path, other_home: Path
) -> None:
    async with instance(home, gpg24) as new, instance(other_home, None) as old:
        fingerprint = await new.gen_key()
        result = await old.text_import(await new.text_export(secret=True))
        assert (result.fingerprints, result.secret_imported) == ((fingerprint,), 1)
        await old.set_fingerprint(fingerprint)
        assert await old.decrypt(await new.encrypt("text")) == "text"
        assert await new.decrypt(await old.encrypt("text")) == "text"


async def test_a_home_goes_to_2_4_and_back(gpg24: Path, home: Path) -> None:
    async with instance(home, None) as old:
        fingerprint = await old.gen_key()
        message = await old.encrypt("from it")
    async with instance(home, gpg24) as new:
        await new.set_fingerprint(fingerprint)
        assert await new.decrypt(message) == "from it"
        message = await new.encrypt("from 2.4")
        (key,) = await new.keys()
        assert key.usable_for(Capability.SIGN)
    async with instance(home, None) as old:
        await old.set_fingerprint(fingerprint)
        assert await old.decrypt(message) == "from 2.4"


async def test_the_session_key_of_an_ocb_message_opens_it(
    gpg24: Path, home: Path, other_home: Path
) -> None:
    async with instance(cheap(home), gpg24) as gpg, instance(cheap(other_home), gpg24) as court:
        fingerprint = await gpg.gen_key()
        to_me = ("--force-ocb", "--trust-model", "always", "-r", fingerprint, "--armor")
        message = await gpg.read_output(gpg.command(*to_me, "--encrypt"), b"text")
        found = await gpg.decrypt_verify(message, show_session_key=True)
        cipher, _, key = found.session_key.partition(":")
        assert cipher == "9.2", "with the mode"
        for told in (found.session_key, f"9:{key}"):
            assert (await court.decrypt_verify(message, override_session_key=told)).text == "text"
