"""The life of a key and of a message, from the outside."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.instances import ALICE, BOB, MakeGnuPG, PlainGpg, alice_at, bob_at, cheap
from tiny_gnupg import (
    AmbiguousKey,
    BadPassphrase,
    BadSignature,
    Capability,
    DecryptionFailed,
    ExpiredKeySignature,
    GnuPG,
    ImportFailed,
    Key,
    KeyNotFound,
    NoSecretKey,
    NotOpenPGP,
    NotSigned,
    NotText,
    OutputTooLarge,
    OwnerTrust,
    PublicKeyAlgorithm,
    RevokedKeySignature,
    SignatureStatus,
    Subkey,
    SymmetricAlgorithm,
    UnusableKey,
    Validity,
)

MIB = 2**20

# -- messages: what goes in comes out ------------------------------------------------------

BYTES = {
    "empty": b"",
    "one byte": b"\0",
    "all byte values": bytes(range(256)),
    "NULs": b"\0" * 1000 + b"end",
    "CRLF": b"a\r\nb\nc\rd\r\n",
    "blanks at line ends": b"a \t\r\n b \n\n",
    "dashes and armor": b"- dash\n-----BEGIN PGP MESSAGE-----\n\n=abcd\n",
    "not UTF-8": b"\xff\xfe\xc3\x28",
    "a line longer than gpg's buffers": b"x" * 70_000 + b"\n",
}
TEXTS = {
    "empty": "",
    "one character": "x",
    "NULs": "a\0b\0\0",
    "CRLF": "a\r\nb\nc\rd\r\n",
    "every plane": "".join(chr(plane * 0x10000 + 0x1234) for plane in range(17)),
    "first and last of each plane": "".join(
        chr(plane * 0x10000 + place) for plane in range(17) for place in (0, 0xFFFF) if plane > 0
    ),
    "byte order mark": "\ufeffa\u2028b\u0085c",
    "the longest before the surrogates": "\ud7ff\ue000",
}


@pytest.mark.parametrize("sign", [True, False])
@pytest.mark.parametrize("message", BYTES.values(), ids=BYTES)
async def test_bytes_come_back_as_they_were(alice: GnuPG, message: bytes, sign: bool) -> None:
    encrypted = await alice.encrypt(message, sign=sign)
    assert isinstance(encrypted, bytes)
    assert await alice.decrypt(encrypted) == message


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_text_comes_back_as_it_was(alice: GnuPG, text: str) -> None:
    encrypted = await alice.encrypt(text)
    assert isinstance(encrypted, str)
    assert await alice.decrypt(encrypted) == text


@pytest.mark.parametrize("message", BYTES.values(), ids=BYTES)
async def test_signed_bytes_come_back_as_they_were(alice: GnuPG, message: bytes) -> None:
    signed = await alice.sign(message)
    assert (await alice.verify(signed)).data == message
    assert await alice.decrypt(signed) == message
    detached = await alice.sign(message, detach=True)
    assert (await alice.verify(message, detached)).data == message


async def test_64_mib_of_bytes_come_back(alice: GnuPG) -> None:
    message = os.urandom(MIB) * 64
    encrypted = await alice.encrypt(message, armor=False, compress=False)
    assert len(encrypted) > len(message)
    assert await alice.decrypt(encrypted) == message


async def test_16_mib_of_text_come_back(alice: GnuPG) -> None:
    # 64 of them do in test_concurrency.py, without coverage, which takes its time with text.
    piece = "line of ünïcode, 𝄞 \r\n"
    text = piece * (16 * MIB // len(piece.encode()))
    encrypted = await alice.encrypt(text)
    assert encrypted.startswith("-----BEGIN PGP MESSAGE-----")
    assert await alice.decrypt(encrypted) == text


async def test_a_character_cut_by_a_chunk_is_whole_again(alice: GnuPG) -> None:
    for shift in range(4):
        text = "x" * shift + "𝄞" * 300_000
        assert await alice.decrypt(await alice.encrypt(text)) == text


async def test_bytes_that_are_no_text_are_refused_as_text_and_not_replaced(alice: GnuPG) -> None:
    encrypted = (await alice.encrypt(b"good \xff bad")).decode()
    with pytest.raises(NotText, match="byte 5") as caught:
        await alice.decrypt(encrypted)
    assert "bytes" in str(caught.value)
    assert "good" not in str(caught.value)
    assert await alice.decrypt(encrypted.encode()) == b"good \xff bad"


async def test_a_lone_surrogate_is_refused_before_gpg_gets_half_a_message(alice: GnuPG) -> None:
    with pytest.raises(NotText):
        await alice.encrypt("x" * 300_000 + "\ud800")


# -- messages: who reads them, and who wrote them ------------------------------------------


async def test_a_message_crosses_with_its_signature(alice: GnuPG, bob: GnuPG) -> None:
    message = await alice.encrypt("hello", BOB)
    found = await bob.decrypt_verify(message)
    assert (found.text, found.encrypted, found.symmetric) == ("hello", True, False)
    assert found.cipher is SymmetricAlgorithm.AES256
    [signature] = found.signatures
    assert signature.status is SignatureStatus.GOODSIG
    assert signature.primary_fingerprint == alice.fingerprint
    assert signature.fingerprint != alice.fingerprint, "a subkey signs, the primary certifies"
    assert ALICE in signature.user_id
    assert signature.created is not None
    assert abs(signature.created - datetime.now(UTC)) < timedelta(minutes=5)


async def test_several_recipients_each_open_the_message(alice: GnuPG, bob: GnuPG) -> None:
    message = await alice.encrypt("for both", [BOB, alice.fingerprint, BOB])
    assert await alice.decrypt(message) == await bob.decrypt(message) == "for both"
    assert len((await bob.decrypt_verify(message)).recipients) == 2


async def test_hidden_recipients_are_not_named(alice: GnuPG, bob: GnuPG) -> None:
    message = await alice.encrypt("psst", BOB, hidden=True)
    found = await bob.decrypt_verify(message)
    assert found.text == "psst"
    assert found.recipients == ("0" * 16,)


async def test_binary_output_is_bytes_whatever_the_message_was(alice: GnuPG) -> None:
    encrypted: object = await alice.encrypt("text", armor=False)  # type: ignore[call-overload]
    assert isinstance(encrypted, bytes)
    assert encrypted[0] & 0x80
    assert await alice.decrypt(encrypted) == b"text"


async def test_a_message_for_another_does_not_open(alice: GnuPG, bob: GnuPG) -> None:
    message = await alice.encrypt("for Bob", BOB)
    with pytest.raises(NoSecretKey, match="none of the message's keys is here"):
        await alice.decrypt(message)


async def test_a_changed_message_gives_out_nothing(alice: GnuPG) -> None:
    encrypted = bytearray(await alice.encrypt(b"secret " * 500, armor=False, compress=False))
    encrypted[-600] ^= 1
    with pytest.raises(DecryptionFailed) as caught:
        await alice.decrypt(bytes(encrypted))
    assert "secret" not in caught.value.diagnostics()


async def test_a_cut_off_message_gives_out_nothing(alice: GnuPG) -> None:
    encrypted = await alice.encrypt(b"secret " * 5000, armor=False, compress=False)
    for length in (len(encrypted) // 2, len(encrypted) - 1):
        with pytest.raises(DecryptionFailed):
            await alice.decrypt(encrypted[:length])


async def test_a_changed_clear_text_has_a_bad_signature(alice: GnuPG, bob: GnuPG) -> None:
    signed = await alice.sign("I owe you 10 coins\n", clear=True)
    assert (await bob.verify(signed)).data == b"I owe you 10 coins\n"
    with pytest.raises(BadSignature) as caught:
        await bob.verify(signed.replace("you 10", "you 90"))
    assert [one.status for one in caught.value.signatures] == [SignatureStatus.BADSIG]


async def test_a_detached_signature_is_of_its_data_alone(alice: GnuPG, bob: GnuPG) -> None:
    signature = await alice.sign("data", detach=True)
    assert "PGP SIGNATURE" in signature
    assert len((await bob.verify("data", signature)).signatures) == 1
    with pytest.raises(BadSignature):
        await bob.verify("data!", signature)
    with pytest.raises(NotSigned):
        await bob.verify("data", await alice.sign("data"))


async def test_the_missing_key_of_a_signature_is_named(alice: GnuPG, bob: GnuPG) -> None:
    message = await alice.encrypt("hello", BOB)
    signed = await alice.sign("hello")
    own = alice.fingerprint
    [subkey] = [
        subkey.fingerprint
        for subkey in (await bob.keys(own))[0].subkeys
        if Capability.SIGN in subkey.capabilities
    ]
    await bob.delete(own)
    for call in (bob.decrypt(message), bob.verify(signed), bob.decrypt(signed)):
        with pytest.raises(KeyNotFound) as caught:
            await call
        assert caught.value.value == subkey
    found = await bob.decrypt_verify(message)
    assert found.text == "hello"
    assert [one.status for one in found.signatures] == [SignatureStatus.NO_PUBKEY]
    with pytest.raises(KeyNotFound):
        found.require_good()


async def test_an_unsigned_message_is_decrypted_and_never_verified(alice: GnuPG) -> None:
    message = await alice.encrypt("hello", sign=False)
    found = (await alice.decrypt_verify(message)).require_good()
    assert found.signatures == ()
    with pytest.raises(NotSigned, match="encrypted"):
        await alice.verify(message)


@pytest.mark.parametrize(
    "garbage", ["", "hello", "-----BEGIN PGP MESSAGE-----\n\nAAAA\n", "\0", b"\xff\xff\xff"]
)
async def test_what_is_no_message_is_said_to_be_none(alice: GnuPG, garbage: str | bytes) -> None:
    methods: tuple[Any, ...] = (
        *(alice.decrypt, alice.decrypt_verify, alice.verify, alice.scan),
        *(alice.raw_packets, alice.list_packets, alice.packets, alice.packet_fingerprint),
    )
    for method in methods:
        with pytest.raises(NotOpenPGP):
            await method(garbage)
    with pytest.raises((NotSigned, NotOpenPGP)):
        await alice.verify("data", garbage)


async def test_a_passphrase_alone_opens_a_symmetric_message_in_any_tool(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    message = await alice.encrypt_symmetric("shared", "just us two")
    assert await alice.decrypt(message, passphrase="just us two") == "shared"
    with pytest.raises(BadPassphrase):
        await alice.decrypt(message, passphrase="not that")
    with pytest.raises(BadPassphrase):
        await alice.decrypt(message)
    assert plain_gpg("just us two").run("--decrypt", stdin=message).stdout == b"shared"


async def test_more_output_than_allowed_is_stopped(alices_home: Path, alice: GnuPG) -> None:
    bomb = await alice.encrypt(b"\0" * (8 * MIB))
    assert len(bomb) < MIB
    narrow = alice_at(alices_home, max_output=MIB)
    async with narrow:
        with pytest.raises(OutputTooLarge, match=str(MIB)):
            await narrow.decrypt(bomb)


# -- keys ----------------------------------------------------------------------------------


async def test_a_new_key_has_the_four_parts_that_were_promised(make_gnupg: MakeGnuPG) -> None:
    gpg = make_gnupg()
    assert await gpg.gen_key() == gpg.fingerprint
    [key] = await gpg.keys()
    assert (key.fingerprint, key.email, key.secret) == (gpg.fingerprint, ALICE, True)
    assert (key.algorithm, key.curve) == (PublicKeyAlgorithm.EDDSA, "ed25519")
    assert key.capabilities == {Capability.CERTIFY}
    assert (key.validity, key.ownertrust) == (Validity.ULTIMATE, OwnerTrust.ULTIMATE)
    assert [(sub.curve, set(sub.capabilities)) for sub in key.subkeys] == [
        ("ed25519", {Capability.SIGN}),
        ("ed25519", {Capability.AUTHENTICATE}),
        ("cv25519", {Capability.ENCRYPT}),
    ]
    parts: tuple[Key | Subkey, ...] = (key, *key.subkeys)
    for part in parts:
        assert part.secret
        assert part.created is not None
        assert part.expires is not None
        assert timedelta(days=3 * 365 - 1) < part.expires - part.created < timedelta(days=3 * 366)
    assert key.user_ids[0].text == f"Alice Å <{ALICE}>"
    assert gpg.passphrase not in repr(gpg)


async def test_a_key_without_an_end(make_gnupg: MakeGnuPG) -> None:
    gpg = make_gnupg(passphrase="")
    await gpg.gen_key(expires="0")
    [key] = await gpg.keys()
    assert [key.expires, *(part.expires for part in key.subkeys)] == [None] * 4
    assert await gpg.decrypt(await gpg.encrypt("no passphrase")) == "no passphrase"


async def test_two_keys_of_one_address_are_ambiguous_and_never_guessed(alice: GnuPG) -> None:
    first = alice.fingerprint
    second = await alice.gen_key()
    assert second != first
    for call in (alice.encrypt("x", ALICE), alice.delete(ALICE), alice.key_email(ALICE)):
        with pytest.raises(AmbiguousKey) as caught:
            await call
        assert set(caught.value.candidates) == {first, second}
    await alice.revoke(first)
    assert await alice.decrypt(await alice.encrypt("one left", ALICE)) == "one left"


async def test_an_address_never_finds_one_that_ends_alike(alice: GnuPG, home: Path) -> None:
    other = GnuPG("Not Bob", "notbob@example.org", alice.passphrase, homedir=home)
    async with other:
        await other.gen_key()
    await alice.delete(BOB)
    assert await alice.list_keys(BOB) == {}
    with pytest.raises(KeyNotFound) as caught:
        await alice.encrypt("x", BOB)
    assert caught.value.value == BOB


async def test_a_revoked_key_says_so_and_takes_no_message(alice: GnuPG, bob: GnuPG) -> None:
    signed = await alice.sign("still here")
    block = await alice.revoke(reason=3, text="no longer\nused")
    assert await alice.key_trust(ALICE) == "revoked"
    assert (await bob.text_import(block)).updated == 1
    [key] = await bob.keys(ALICE)
    assert key.revoked
    with pytest.raises(UnusableKey, match="revoked"):
        await bob.encrypt("x", alice.fingerprint)
    with pytest.raises(UnusableKey, match="revoked"):
        await bob.encrypt("x", ALICE)
    with pytest.raises(RevokedKeySignature):
        await bob.verify(signed)


async def test_an_expired_key_is_named_and_its_signature_is_not_good(make_gnupg: MakeGnuPG) -> None:
    gpg = make_gnupg(passphrase="")
    await gpg.gen_key(expires="seconds=2")
    signed = await gpg.sign("in time")
    [key] = await gpg.keys()
    parts: tuple[Key | Subkey, ...] = (key, *key.subkeys)
    ends = [part.expires.timestamp() for part in parts if part.expires is not None]
    # In the very second of the end, gpg lists a key as expired and takes its signatures still.
    await asyncio.sleep(max(ends) + 1.1 - time.time())
    with pytest.raises(ExpiredKeySignature):
        await gpg.verify(signed)
    with pytest.raises(UnusableKey, match="expired"):
        await gpg.encrypt("x", gpg.fingerprint, sign=False)
    await gpg.set_expire("", "1y")
    assert (await gpg.verify(signed)).data == b"in time"
    assert await gpg.decrypt(await gpg.encrypt("alive")) == "alive"


async def test_expiry_can_be_set_for_the_primary_alone(alice: GnuPG) -> None:
    [before] = await alice.keys(ALICE)
    await alice.set_expire("", "10d", subkeys=False)
    [after] = await alice.keys(ALICE)
    assert after.expires is not None
    assert after.created is not None
    assert after.expires - datetime.now(UTC) < timedelta(days=11)
    assert [sub.expires for sub in after.subkeys] == [sub.expires for sub in before.subkeys]


async def test_a_revocation_certificate_alone_is_imported(alice: GnuPG, bob: GnuPG) -> None:
    [kept] = Path(alice.home, "openpgp-revocs.d").iterdir()
    # gpg keeps it with a colon in front, so that nobody imports it by accident.
    certificate = kept.read_text().partition(":-----")[2].join(["-----", ""])
    first = await bob.text_import(certificate)
    assert (first.fingerprints, first.updated, first.unchanged) == ((alice.fingerprint,), 1, 0)
    assert await bob.key_trust(ALICE) == "revoked"
    again = await bob.text_import(certificate)
    assert (again.fingerprints, again.updated, again.unchanged) == ((alice.fingerprint,), 0, 1)
    await bob.delete(ALICE)
    with pytest.raises(ImportFailed):
        await bob.text_import(certificate)


async def test_user_ids_come_and_go(alice: GnuPG) -> None:
    await alice.add_uid("", "Alice at work", "alice@work.example")
    [key] = await alice.keys("alice@work.example")
    assert {one.email for one in key.user_ids} == {ALICE, "alice@work.example"}
    await alice.revoke_uid("", "alice@work.example")
    [key] = await alice.keys(ALICE)
    assert {one.email for one in key.user_ids if not one.revoked} == {ALICE}
    with pytest.raises(KeyNotFound):
        await alice.revoke_uid("", "alice@work.example")
    with pytest.raises(KeyNotFound):
        await alice.revoke_uid("", "nobody@example.org")


async def test_a_changed_passphrase_opens_the_key_and_the_old_one_does_not(
    alice: GnuPG, home: Path
) -> None:
    old = alice.passphrase
    await alice.change_passphrase("", "new one")
    assert await alice.decrypt(await alice.encrypt("x")) == "x"
    async with alice_at(home, passphrase=old) as late:
        with pytest.raises(BadPassphrase):
            await late.sign("x")
    await alice.change_passphrase("", "")
    async with alice_at(home, passphrase="") as nobody:
        assert "MESSAGE" in await nobody.sign("x")


async def test_change_passphrase_with_a_wrong_one_changes_nothing(alice: GnuPG, home: Path) -> None:
    async with alice_at(home, passphrase="wrong") as wrong:
        with pytest.raises(BadPassphrase, match="nothing was changed"):
            await wrong.change_passphrase(ALICE, "new one")
    assert await alice.decrypt(await alice.encrypt("x")) == "x"


async def test_the_trio_can_be_added_to_any_own_key(alice: GnuPG) -> None:
    await alice.add_subkeys()
    [key] = await alice.keys(ALICE)
    assert len(key.subkeys) == 6
    with pytest.raises(KeyNotFound):
        await alice.add_subkeys(BOB)


async def test_trust_is_what_was_set(alice: GnuPG) -> None:
    for level, trust in enumerate(("undefined", "never", "marginal", "full", "ultimate"), 1):
        await alice.trust(BOB, level)
        [key] = await alice.keys(BOB)
        assert key.ownertrust == trust


async def test_only_a_valid_key_is_taken_where_the_web_of_trust_is_asked(
    alice: GnuPG, bob: GnuPG
) -> None:
    with pytest.raises(UnusableKey, match="is unknown"):
        await alice.encrypt("x", BOB, trust="web")
    await alice.sign(BOB, key=True)
    assert await alice.key_trust(BOB) == "full"
    assert await bob.decrypt(await alice.encrypt("x", BOB, trust="web")) == "x"


async def test_a_local_certification_never_leaves(alice: GnuPG) -> None:
    before = await alice.text_export(BOB)
    assert await alice.sign(BOB, key=True, local=True) == before
    assert await alice.key_trust(BOB) == "full"
    assert await alice.text_export(BOB) == before


async def test_deleting_a_key_leaves_the_others(alice: GnuPG) -> None:
    await alice.delete(BOB)
    assert set((await alice.list_keys()).values()) == {ALICE}
    await alice.delete()
    assert await alice.list_keys() == {}
    assert alice.fingerprint == ""
    with pytest.raises(KeyNotFound):
        await alice.delete()


async def test_lists_agree_with_each_other(alice: GnuPG) -> None:
    listed = await alice.list_keys()
    assert listed == {key.fingerprint: key.email for key in await alice.keys()}
    assert listed == alice.format_list_keys(await alice.raw_list_keys())
    assert await alice.list_keys(secret=True) == {alice.fingerprint: ALICE}
    secret = await alice.raw_list_keys(secret=True)
    assert alice.format_list_keys(secret, secret=True) == {alice.fingerprint: ALICE}
    assert await alice.list_keys("nobody@example.org") == {}
    assert await alice.keys("nobody@example.org") == ()
    assert await alice.raw_list_keys("nobody@example.org") == ""
    assert await alice.key_fingerprint(BOB) in listed
    assert await alice.key_email(alice.fingerprint[-16:]) == ALICE


# -- import and export ---------------------------------------------------------------------


async def test_imports_say_what_they_did(alice: GnuPG, bob: GnuPG, make_gnupg: MakeGnuPG) -> None:
    both = await alice.text_export() + await bob.text_export()
    await alice.delete(BOB)
    result = await alice.text_import(both)
    assert set(result.fingerprints) == {alice.fingerprint, bob.fingerprint}
    assert (result.imported, result.updated, result.unchanged) == (1, 0, 1)
    assert result.counts["count"] == 2
    assert {key.fingerprint for key in await alice.scan(both)} == set(result.fingerprints)


@pytest.mark.parametrize(
    "garbage", ["", "no key", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n", b"\xff\xff\xff"]
)
async def test_importing_garbage_is_never_a_silent_success(
    alice: GnuPG, garbage: str | bytes
) -> None:
    before = await alice.list_keys()
    with pytest.raises((ImportFailed, NotOpenPGP)):
        await alice.text_import(garbage)
    with pytest.raises(NotOpenPGP):
        await alice.scan(garbage)
    assert await alice.list_keys() == before


async def test_an_exported_file_is_whole_and_a_secret_one_is_private(
    make_gnupg: MakeGnuPG, tmp_path: Path
) -> None:
    gpg = make_gnupg(passphrase="")
    own = await gpg.gen_key()
    path = await gpg.file_export(tmp_path, ALICE)
    assert path == tmp_path / f"{own}.asc"
    assert path.read_text() == await gpg.text_export()
    path = await gpg.file_export(tmp_path, secret=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "PRIVATE KEY" in path.read_text()
    with pytest.raises(FileExistsError):
        await gpg.file_export(tmp_path, mode="x")
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert (await gpg.file_import(path)).fingerprints == (own,)


async def test_an_export_never_goes_through_a_symbolic_link(alice: GnuPG, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / f"{alice.fingerprint}.asc").symlink_to(precious)
    with pytest.raises(FileExistsError):
        await alice.file_export(tmp_path)
    assert precious.read_text() == "mine"


async def test_a_key_that_is_not_there_is_not_exported(alice: GnuPG) -> None:
    for uid in ("nobody@example.org", "0" * 40):
        with pytest.raises(KeyNotFound) as caught:
            await alice.text_export(uid)
        assert caught.value.value == uid
    with pytest.raises(KeyNotFound):
        await alice.text_export(BOB, secret=True)


async def test_packets_lead_to_the_key(alice: GnuPG, bob: GnuPG) -> None:
    message = await alice.encrypt("hi", BOB)
    tags = [packet.tag for packet in await alice.packets(message)]
    assert tags[0] == 1
    assert tags[-1] == 18
    recipient = await alice.packet_fingerprint(message)
    assert list(await alice.list_keys(recipient)) == [bob.fingerprint]
    signer = await alice.packet_fingerprint(await alice.sign("hi"))
    assert list(await alice.list_keys(signer)) == [alice.fingerprint]
    assert await alice.packet_fingerprint(await bob.text_export()) == bob.fingerprint


async def test_a_home_made_by_one_instance_serves_the_next(home: Path) -> None:
    async with bob_at(cheap(home)) as first:
        fingerprint = await first.gen_key()
        message = await first.encrypt("later")
    async with bob_at(home) as second:
        assert await second.decrypt(message) == "later"
        assert await second.key_fingerprint() == fingerprint
