"""Keys that came without user ids, through every call: they are keys like any other.

The keys are real ones with the user ids taken out, as a keyserver does it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, MakeGnuPG, PlainGpg, alice_at, cheap
from tests.leftovers import clean_home
from tests.openpgp import first_part, parts, with_forged_subkey, without_user_ids
from tiny_gnupg import (
    BadSignature,
    Decryption,
    GnuPG,
    HashAlgorithm,
    ImportFailed,
    KeyNotFound,
    NotOpenPGP,
    OwnerTrust,
    RevokedKeySignature,
    Signature,
    SignatureStatus,
    SymmetricAlgorithm,
    UnusableKey,
    Validity,
    Verification,
)
from tiny_gnupg._home.protection import Scheme
from tiny_gnupg._openpgp.armor import dearmor, enarmor
from tiny_gnupg._openpgp.packets import PUBLIC_SUBKEY, SIGNATURE, USER_ID, write
from tiny_gnupg._openpgp.placeholders import PLACEHOLDER

#: A time in the past, for keys whose parts have expired since.
PAST = "--faked-system-time=20200101T000000!"


def armored(data: bytes) -> str:
    return enarmor(data, "PUBLIC KEY BLOCK")


async def public(gpg: GnuPG, uid: str = "") -> bytes:
    return dearmor((await gpg.text_export(uid)).encode())


async def bare(gpg: GnuPG, uid: str = "") -> bytes:
    return without_user_ids(await public(gpg, uid))


@pytest.fixture(scope="module")
def others() -> dict[str, bytes]:
    """Public keys of people who are nowhere else, by name; all of them with their user ids."""
    with clean_home() as path:
        gpg = PlainGpg(path)
        made = {
            name: gpg.new_key(f"{name} <{name.lower()}@x.org>")
            for name in ("Carol", "Dave", "Mallory", "Yahoo!")
        }
        for name, life in (("Expired", "1d"), ("Revoked", "never")):
            made[name] = _old_key(gpg, name, life)
        gpg.run(
            *("--command-fd", "0", "--yes", "--edit-key", made["Revoked"]),
            *("key 1", "revkey", "save"),
            stdin="y\n0\n\ny\n",
        )
        keys = {name: gpg.run("--export", key).stdout for name, key in made.items()}
        gpg.end_agent()
    return keys


def _old_key(gpg: PlainGpg, name: str, life: str) -> str:
    making = ("--quick-generate-key", f"{name} <{name.lower()}@x.org>", "ed25519", "cert", "never")
    said = gpg.run(PAST, "--yes", "--status-fd", "1", *making).stdout.decode()
    fingerprint = next(line.split()[3] for line in said.splitlines() if "KEY_CREATED" in line)
    gpg.run(PAST, "--quick-add-key", fingerprint, "cv25519", "encr", life)
    return fingerprint


@pytest.fixture
async def block(alice: GnuPG, bob: GnuPG) -> bytes:
    """Bob's key without user ids, which is all that Alice has of him."""
    await alice.delete(BOB)
    found = await bare(bob)
    result = await alice.text_import(armored(found))
    assert result.fingerprints == (bob.fingerprint,)
    assert (result.imported, result.updated, result.unchanged) == (1, 0, 0)
    return found


# -- held like any other key ---------------------------------------------------------------


async def test_it_is_listed(alice: GnuPG, bob: GnuPG, block: bytes) -> None:
    assert await alice.list_keys() == {alice.fingerprint: ALICE, bob.fingerprint: ""}
    assert alice.format_list_keys(await alice.raw_list_keys()) == await alice.list_keys()
    [key] = await alice.keys(bob.fingerprint)
    [whole] = await bob.keys(bob.fingerprint)
    assert [one.placeholder for one in key.user_ids] == [True]
    assert key.user_ids[0].text == PLACEHOLDER.format(fingerprint=bob.fingerprint)
    assert (key.email, key.user_ids[0].name, key.user_ids[0].email) == ("", "", "")
    assert (key.validity, key.revoked, key.expired) == (Validity.UNKNOWN, False, False)
    assert key.usable_for("e")
    for mine, theirs in zip(key.subkeys, whole.subkeys, strict=True):
        assert mine.fingerprint == theirs.fingerprint
        assert mine.expires == theirs.expires is not None
        assert mine.capabilities == theirs.capabilities
        assert mine.validity is Validity.UNKNOWN
    for uid in (bob.fingerprint[-16:], whole.subkeys[2].fingerprint):
        assert await alice.key_fingerprint(uid) == bob.fingerprint
    assert await alice.keys(BOB) == ()
    assert await alice.key_email(bob.fingerprint) == ""


async def test_it_is_deleted(alice: GnuPG, bob: GnuPG, block: bytes) -> None:
    await alice.delete(bob.fingerprint)
    assert await alice.list_keys() == {alice.fingerprint: ALICE}
    with pytest.raises(KeyNotFound):
        await alice.encrypt("x", bob.fingerprint)


async def test_it_is_exported_as_it_came(
    alice: GnuPG, bob: GnuPG, block: bytes, tmp_path: Path
) -> None:
    assert await public(alice, bob.fingerprint) == block
    path = await alice.file_export(tmp_path, bob.fingerprint)
    assert dearmor(path.read_bytes()) == block
    again = await alice.text_import(block)
    assert (again.fingerprints, again.unchanged) == ((bob.fingerprint,), 1)
    assert await public(alice, bob.fingerprint) == block


async def test_it_is_trusted_and_has_nothing_to_certify(
    alice: GnuPG, bob: GnuPG, block: bytes
) -> None:
    await alice.trust(bob.fingerprint, 4)
    [key] = await alice.keys(bob.fingerprint)
    assert key.ownertrust is OwnerTrust.FULL
    for local in (False, True):
        with pytest.raises(UnusableKey, match="no user id"):
            await alice.sign(bob.fingerprint, key=True, local=local)
    assert await public(alice, bob.fingerprint) == block


# -- encrypted to --------------------------------------------------------------------------


async def test_it_takes_messages_however_it_is_named(
    alice: GnuPG, bob: GnuPG, block: bytes
) -> None:
    own = bob.fingerprint
    encryption = (await bob.keys(own))[0].subkeys[2]
    spaced = " ".join(own[place : place + 4] for place in range(0, 40, 4))
    for uid in (own, own.lower(), spaced, own[-16:], "0x" + own[-16:], encryption.fingerprint):
        found = await bob.decrypt_verify(await alice.encrypt("for Bob", uid))
        assert found.text == "for Bob"
        assert found.recipients == (encryption.key_id,)
        assert found.cipher is SymmetricAlgorithm.AES256
        assert [one.status for one in found.signatures] == [SignatureStatus.GOODSIG]
        assert [one.hash for one in found.signatures] == [HashAlgorithm.SHA512]


async def test_it_takes_messages_beside_others(
    alice: GnuPG, bob: GnuPG, block: bytes, others: dict[str, bytes]
) -> None:
    [carol] = (await alice.text_import(without_user_ids(others["Carol"]))).fingerprints
    for uids in ([bob.fingerprint, ALICE], [alice.fingerprint, carol, bob.fingerprint[-16:]]):
        message = await alice.encrypt("for both", uids)
        assert await bob.decrypt(message) == await alice.decrypt(message) == "for both"
        assert len((await bob.decrypt_verify(message)).recipients) == len(uids)


async def test_it_takes_hidden_binary_and_many_messages(
    alice: GnuPG, bob: GnuPG, block: bytes
) -> None:
    message = await alice.encrypt(b"\0hidden", bob.fingerprint, hidden=True, armor=False)
    found = await bob.decrypt_verify(message)
    assert (found.data, found.recipients) == (b"\0hidden", ("0" * 16,))
    texts = [f"message {number}" for number in range(5)]
    sent = [one async for one in alice.encrypt_many(texts, bob.fingerprint)]
    assert [one async for one in bob.decrypt_many(sent)] == texts


async def test_it_takes_files(alice: GnuPG, bob: GnuPG, block: bytes, tmp_path: Path) -> None:
    source = tmp_path / "letter"
    source.write_bytes(b"dear Bob\n" * 50_000)
    made = await alice.encrypt_file(source, bob.fingerprint)
    back = await bob.decrypt_file(made, tmp_path / "back")
    assert back.read_bytes() == source.read_bytes()


async def test_another_instance_takes_it_for_what_it_is(
    alice: GnuPG, bob: GnuPG, block: bytes
) -> None:
    async with alice_at(Path(alice.home)) as late:
        message = await late.encrypt("late", bob.fingerprint)
        assert await bob.decrypt(message) == "late"


@pytest.mark.parametrize("name", ["Expired", "Revoked"])
async def test_a_dead_subkey_takes_no_message_and_nobody_else_gets_it(
    alice: GnuPG, others: dict[str, bytes], name: str
) -> None:
    # Named to gpg as "!", it was taken for a part of a user id, and this one's owner could read.
    await alice.text_import(others["Yahoo!"])
    [key] = (await alice.text_import(without_user_ids(others[name]))).fingerprints
    assert not (await alice.keys(key))[0].usable_for("e")
    for uid in (key, key, key[-16:], [ALICE, key], [key, ALICE], key):
        for sign in (True, False):
            with pytest.raises(UnusableKey, match=key):
                await alice.encrypt("secret", uid, sign)
    for hidden in (True, False):
        with pytest.raises(UnusableKey):
            await alice.encrypt("secret", key, hidden=hidden, trust="web")


# -- verified ------------------------------------------------------------------------------


def require_nameless(signature: Signature, bob: GnuPG) -> None:
    assert signature.status is SignatureStatus.GOODSIG
    assert signature.primary_fingerprint == bob.fingerprint
    assert signature.fingerprint != bob.fingerprint
    assert signature.user_id == ""


async def test_its_signatures_are_good_and_nameless(
    alice: GnuPG, bob: GnuPG, block: bytes, tmp_path: Path
) -> None:
    text = "Bob was here\n"
    found: list[Verification | Decryption] = [
        await alice.verify(await bob.sign(text)),
        await alice.verify(await bob.sign(text, clear=True)),
        await alice.verify(text, await bob.sign(text, detach=True)),
        await alice.decrypt_verify(await bob.encrypt(text, ALICE)),
    ]
    for one in found:
        assert one.data.decode() == text
        require_nameless(one.signatures[0], bob)
    source = tmp_path / "file"
    source.write_text(text)
    verified = await alice.verify_file(source, await bob.sign_file(source))
    require_nameless(verified.signatures[0], bob)
    path = await bob.encrypt_file(source, ALICE, tmp_path / "sealed.gpg")
    assert (await alice.decrypt_file(path, tmp_path / "opened")).read_text() == text
    signed = [await bob.sign(text), await bob.sign(text)]
    async for one in alice.verify_many(signed):
        require_nameless(one.signatures[0], bob)


# -- updates -------------------------------------------------------------------------------


async def test_a_revocation_arrives(alice: GnuPG, bob: GnuPG, block: bytes) -> None:
    signed = await bob.sign("before")
    await alice.encrypt("x", bob.fingerprint)
    await bob.revoke()
    result = await alice.text_import(await bare(bob))
    assert (result.fingerprints, result.updated) == ((bob.fingerprint,), 1)
    [key] = await alice.keys(bob.fingerprint)
    assert key.revoked
    assert await alice.key_trust(bob.fingerprint) == "revoked"
    for _ in range(2):
        with pytest.raises(UnusableKey, match="revoked"):
            await alice.encrypt("x", bob.fingerprint)
    with pytest.raises(RevokedKeySignature):
        await alice.verify(signed)
    assert await public(alice, bob.fingerprint) == await bare(bob)


async def test_new_subkeys_arrive_and_the_newest_is_taken(
    alice: GnuPG, bob: GnuPG, block: bytes
) -> None:
    await alice.encrypt("x", bob.fingerprint)
    await bob.add_subkeys()
    result = await alice.text_import(await bare(bob))
    assert (result.imported, result.updated) == (0, 1)
    [key] = await alice.keys(bob.fingerprint)
    assert len(key.subkeys) == 6
    assert [one.placeholder for one in key.user_ids] == [True]
    newest = max(
        (one for one in key.subkeys if "e" in one.capabilities), key=lambda one: str(one.created)
    )
    found = await bob.decrypt_verify(await alice.encrypt("x", bob.fingerprint))
    assert found.recipients == (newest.key_id,)


@pytest.mark.parametrize("with_others", [False, True])
async def test_the_real_user_id_arrives_and_no_trace_is_left(
    alice: GnuPG, bob: GnuPG, block: bytes, others: dict[str, bytes], with_others: bool
) -> None:
    whole = await public(bob)
    more = others["Carol"] + without_user_ids(others["Dave"]) if with_others else b""
    result = await alice.text_import(whole + more)
    assert bob.fingerprint in result.fingerprints
    assert result.updated == 1
    [key] = await alice.keys(BOB)
    assert [one.text for one in key.user_ids] == ["Bob <bob@example.org>"]
    assert key.email == BOB
    assert await public(alice, BOB) == whole
    assert PLACEHOLDER.format(fingerprint=bob.fingerprint) not in await alice.raw_list_keys()
    assert await bob.decrypt(await alice.encrypt("now by address", BOB)) == "now by address"
    [signature] = (await alice.verify(await bob.sign("x"))).signatures
    assert BOB in signature.user_id


@pytest.mark.parametrize("kind", ["scrypt", "gnupg"])
@pytest.mark.parametrize("way", ["text_import", "restore"])
async def test_the_real_user_id_arrives_with_the_secret_key(
    home: Path, tmp_path: Path, bob: GnuPG, make_gnupg: MakeGnuPG, kind: Scheme, way: str
) -> None:
    gpg = make_gnupg(at=cheap(home, kind), passphrase=bob.passphrase)
    await gpg.text_import(await bare(bob))
    if way == "restore":
        await gpg.restore(await bob.backup(tmp_path / "backup"))
    else:
        await gpg.text_import(await bob.text_export(secret=True))
    [key] = await gpg.keys(BOB, secret=True)
    assert [one.text for one in key.user_ids] == ["Bob <bob@example.org>"]
    assert PLACEHOLDER.format(fingerprint=bob.fingerprint) not in await gpg.raw_list_keys()


async def test_a_key_that_has_a_user_id_gets_no_stand_in(
    alice: GnuPG, bob: GnuPG, others: dict[str, bytes]
) -> None:
    before = await public(alice, BOB)
    stripped = await bare(bob)
    alone = await alice.text_import(stripped)
    assert (alone.fingerprints, alone.updated) == ((bob.fingerprint,), 0)
    result = await alice.text_import(stripped + without_user_ids(others["Carol"]))
    assert (result.imported, result.updated, result.unchanged) == (1, 0, 1)
    [key] = await alice.keys(BOB)
    assert [one.text for one in key.user_ids] == ["Bob <bob@example.org>"]
    assert await public(alice, BOB) == before


# -- blocks of several ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["scrypt", "gnupg"])
async def test_one_behind_a_secret_key_comes_in(
    home: Path,
    bob: GnuPG,
    others: dict[str, bytes],
    make_gnupg: MakeGnuPG,
    plain_gpg: Callable[..., PlainGpg],
    kind: Scheme,
) -> None:
    elsewhere = plain_gpg()
    own = elsewhere.new_key(f"Alice <{ALICE}>", algorithm="ed25519", usage="sign")
    secret = elsewhere.run("--export-secret-keys", own).stdout
    gpg = make_gnupg(at=cheap(home, kind))
    for form, imported in ((bytes, 3), (armored, 0)):
        result = await gpg.text_import(form(secret + others["Carol"] + await bare(bob)))
        assert len(result.fingerprints) == 3
        assert {own, bob.fingerprint} < set(result.fingerprints)
        assert await gpg.text_export(bob.fingerprint)
        assert await bob.decrypt(await gpg.encrypt("x", bob.fingerprint, sign=False)) == "x"
        assert (result.imported, result.unchanged) == (imported, 3 - imported)
        assert result.counts["count"] == 3
        assert result.no_user_id == 1 or not imported


async def test_a_block_of_several_with_and_without_user_ids(
    alice: GnuPG, others: dict[str, bytes]
) -> None:
    carol, dave = without_user_ids(others["Carol"]), without_user_ids(others["Dave"])
    for data in (
        carol + others["Mallory"] + dave,
        (armored(carol) + armored(others["Mallory"]) + "some text\n" + armored(dave)).encode(),
    ):
        scanned = await alice.scan(data)
        result = await alice.text_import(data)
        assert (result.imported, result.no_user_id, result.counts["count"]) == (3, 2, 3)
        assert {key.fingerprint for key in scanned} == set(result.fingerprints)
        emails = [await alice.key_email(key.fingerprint) for key in scanned]
        assert emails == [key.email for key in scanned] == ["", "mallory@x.org", ""]
        for fingerprint, came in zip((scanned[0], scanned[2]), (carol, dave), strict=True):
            assert await public(alice, fingerprint.fingerprint) == came
        message = await alice.encrypt("all", [*result.fingerprints, ALICE])
        assert len((await alice.decrypt_verify(message)).recipients) == 4
        for key in result.fingerprints:
            await alice.delete(key)


async def test_one_beside_a_key_that_cannot_be_read_comes_in(
    alice: GnuPG, others: dict[str, bytes]
) -> None:
    odd = write(6, b"\x03" + bytes(20)) + write(6, b"\x63" + bytes(20))
    carol = without_user_ids(others["Carol"])
    result = await alice.text_import(carol + odd)
    assert result.imported == 1
    assert await public(alice, result.fingerprints[0]) == carol


# -- forgeries -----------------------------------------------------------------------------


def bindings(data: bytes, mallorys: bytes) -> list[bytes]:
    """Return what a forger could put behind a subkey: the owner's own, his own, a broken one."""
    own, his = parts(data)[-1][1], parts(mallorys)[-1][1]
    return [own, his, own[:-1] + bytes([own[-1] ^ 1]), b""]


async def test_a_forged_subkey_is_never_encrypted_to(
    alice: GnuPG, others: dict[str, bytes]
) -> None:
    carol, mallory = without_user_ids(others["Carol"]), others["Mallory"]
    real = (await alice.scan(carol))[0].subkeys[0]
    for binding in bindings(carol, mallory):
        forged = with_forged_subkey(carol, mallory, binding)
        assert [one.subkeys for one in await alice.scan(forged)] == [(real,)]
        [key] = (await alice.text_import(forged)).fingerprints
        for again in (None, forged, with_forged_subkey(others["Carol"], mallory, binding)):
            if again is not None:
                await alice.text_import(again)
            [held] = await alice.keys(key)
            assert [one.fingerprint for one in held.subkeys] == [real.fingerprint]
            message = await alice.encrypt("x", key)
            assert await alice.packet_fingerprint(message) == real.key_id
        await alice.delete(key)


async def test_a_key_with_none_but_a_forged_subkey_takes_no_message(
    alice: GnuPG, others: dict[str, bytes]
) -> None:
    carol, mallory = without_user_ids(others["Carol"]), others["Mallory"]
    await alice.text_import(others["Yahoo!"])
    for binding in bindings(carol, mallory):
        forged = with_forged_subkey(parts(carol)[0][1], mallory, binding)
        assert [one.subkeys for one in await alice.scan(forged)] == [()]
        [key] = (await alice.text_import(forged)).fingerprints
        assert (await alice.keys(key))[0].subkeys == ()
        for _ in range(2):
            with pytest.raises(UnusableKey):
                await alice.encrypt("x", key)
        await alice.delete(key)


async def test_a_key_whose_user_ids_are_forged_is_not_imported(
    alice: GnuPG, others: dict[str, bytes]
) -> None:
    carol, mallory = others["Carol"], others["Mallory"]
    (_, primary), (_, _uid), (_, own), *rest = parts(carol)
    behind = b"".join(octets for _, octets in rest)
    his = parts(mallory)[2][1]
    for signature in (own, his, b"", parts(carol)[-1][1]):
        forged = primary + first_part(USER_ID, mallory) + signature + behind
        refused = ""
        try:
            [seen] = await alice.scan(forged)
        except NotOpenPGP as error:  # a gpg without Debian's patches shows no such key
            refused = error.message
        if refused:
            assert "user id" in refused
        else:
            assert (seen.user_ids, seen.validity) == ((), Validity.INVALID)
            assert not seen.usable_for("e")
        with pytest.raises(ImportFailed, match="no user id that it signed itself"):
            await alice.text_import(forged)
        assert await alice.list_keys() == {
            key: email for key, email in (await alice.list_keys()).items() if "x.org" not in email
        }
    beside = (
        primary + first_part(USER_ID, mallory) + own + first_part(USER_ID, carol) + own + behind
    )
    assert [one.text for one in (await alice.scan(beside))[0].user_ids] == ["Carol <carol@x.org>"]
    await alice.text_import(beside)
    assert await alice.keys("mallory@x.org") == ()


async def test_a_stand_in_that_somebody_wrote_is_no_user_id(
    alice: GnuPG, others: dict[str, bytes]
) -> None:
    carol = without_user_ids(others["Carol"])
    [seen] = await alice.scan(carol)
    text = write(USER_ID, PLACEHOLDER.format(fingerprint=seen.fingerprint).encode())
    (_, primary), *rest = parts(carol)
    forged = primary + text + b"".join(octets for _, octets in rest)
    assert [tag for tag, _ in parts(forged)][:3] == [6, USER_ID, PUBLIC_SUBKEY]
    assert SIGNATURE in [tag for tag, _ in parts(forged)]
    with pytest.raises(ImportFailed):
        await alice.text_import(forged)
    assert await alice.keys(seen.fingerprint) == ()


# -- scan ----------------------------------------------------------------------------------


async def test_scan_shows_what_the_keyring_will(
    alice: GnuPG, others: dict[str, bytes], plain_gpg: Callable[..., PlainGpg]
) -> None:
    data = without_user_ids(others["Carol"])
    [seen] = await alice.scan(data)
    assert seen.usable_for("e")
    assert [one.placeholder for one in seen.user_ids] == [True]
    assert await alice.keys(seen.fingerprint) == ()
    await alice.text_import(data)
    assert await alice.keys(seen.fingerprint) == (seen,)
    gpg = plain_gpg()
    own = gpg.new_key("Erin <erin@x.org>")
    secret = gpg.run("--export-secret-keys", own).stdout
    scanned = await alice.scan(secret + data)
    assert [(key.fingerprint, key.email) for key in scanned] == [
        (own, "erin@x.org"),
        (seen.fingerprint, ""),
    ]


async def test_what_comes_once_is_verified_by_a_key_without_user_ids(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg], tmp_path: Path
) -> None:
    """Whether gpg needs to be told of such keys has to be known before the data comes."""
    other = plain_gpg()
    fingerprint = other.new_key("Carol <carol@x.org>")
    await alice.text_import(without_user_ids(other.run("--export", fingerprint).stdout))
    signature = other.run("--detach-sign", stdin=b"text").stdout
    pipe, beside = tmp_path / "pipe", tmp_path / "signature"
    os.mkfifo(pipe)
    beside.write_bytes(signature)
    writing = asyncio.to_thread(pipe.write_bytes, b"text")
    _, found = await asyncio.gather(writing, alice.verify_file(pipe, beside))
    for verified in (found, await alice.verify_stream([b"text"], signature, signer=fingerprint)):
        assert verified.signed_by(fingerprint)
    with pytest.raises(BadSignature):
        await alice.verify_stream([b"texts"], signature)
