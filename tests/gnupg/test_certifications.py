"""Who certified whom, as data; which keys expire soon; and exports of several keys, and of less."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, PASSPHRASE, PlainGpg, alice_at
from tiny_gnupg import (
    BadPassphrase,
    GnuPG,
    KeyNotFound,
    SignatureStatus,
    UnusableKey,
)
from tiny_gnupg._openpgp.armor import dearmor


async def test_all_that_is_said_of_a_key_is_told_as_gpg_lists_it(
    alice: GnuPG, bob: GnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    friend = plain_gpg()
    carol = friend.new_key("Carol é <carol@example.org>", algorithm="ed25519", usage="cert,sign")
    friend.run("--import", stdin=await bob.text_export())
    how = ("--yes", "--default-cert-expire", "2d", "--default-cert-level", "2")
    friend.run(*how, "--quick-sign-key", bob.fingerprint)
    await alice.text_import(friend.run("--export", bob.fingerprint).stdout)
    await alice.certify(BOB, local=True)
    [key] = await alice.keys(BOB, certifications=True)
    said = {one.key_id: one for one in key.certifications}
    assert set(said) == {key.key_id, alice.fingerprint[-16:], carol[-16:]}
    assert key.certifications == key.user_ids[0].certifications
    own, mine, theirs = said[key.key_id], said[alice.fingerprint[-16:]], said[carol[-16:]]
    assert (own.level, own.status, own.fingerprint) == (3, SignatureStatus.GOODSIG, bob.fingerprint)
    assert (mine.local, mine.level, mine.user_id) == (True, 0, f"Alice Å <{ALICE}>")
    assert theirs.status is SignatureStatus.NO_PUBKEY, "anybody can have written it"
    assert not key.user_ids[0].certified_by(carol)
    await alice.text_import(friend.run("--export", carol).stdout)
    [key] = await alice.keys(BOB, certifications=True)
    theirs = next(one for one in key.certifications if one.fingerprint == carol)
    assert (theirs.status, theirs.level, theirs.local) == (SignatureStatus.GOODSIG, 2, False)
    assert theirs.user_id == "Carol é <carol@example.org>"
    assert theirs.expires is not None
    assert theirs.created is not None
    assert theirs.expires - theirs.created == timedelta(days=2)
    user_id = key.user_ids[0]
    assert user_id.certified_by(carol)
    assert user_id.certified_by(alice.fingerprint)
    assert not user_id.certified_by(alice.fingerprint, local=False)
    assert not user_id.certified_by("F" * 40)
    with pytest.raises(ValueError, match="fingerprint"):
        user_id.certified_by(ALICE)
    plain = PlainGpg(Path(alice.home))
    lines = plain.run("--with-colons", "--check-sigs", bob.fingerprint).stdout.decode().split("\n")
    records = [
        line.split(":")
        for line in lines[: lines.index(next(line for line in lines if line.startswith("sub:")))]
        if line.startswith("sig:")
    ]
    listed = {(one[12], one[10], one[1]) for one in records}
    reach = {False: "x", True: "l"}
    assert listed == {
        (one.fingerprint, f"1{one.level}{reach[one.local]}", "!") for one in key.certifications
    }
    assert (await alice.keys(BOB))[0].certifications == (), "only where it is asked for"
    for secret in (True, False):
        [me] = await alice.keys(ALICE, secret=secret, certifications=True)
        assert me.user_ids[0].certified_by(me)


async def test_a_revoked_certification_counts_no_more(
    alice: GnuPG, bob: GnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    friend = plain_gpg()
    past = "--faked-system-time=20260101T000000"
    friend.run(
        past, "--quick-generate-key", "Carol <carol@example.org>", "ed25519", "cert", "never"
    )
    listing = friend.run("--with-colons", "--list-keys").stdout.decode()
    carol = next(line.split(":")[9] for line in listing.split("\n") if line.startswith("fpr:"))
    friend.run("--import", stdin=await bob.text_export())
    friend.run("--yes", "--quick-sign-key", bob.fingerprint)
    friend.run("--yes", "--quick-revoke-sig", bob.fingerprint, carol)
    for block in (carol, bob.fingerprint):
        await alice.text_import(friend.run("--export", block).stdout)
    [key] = await alice.keys(BOB, certifications=True)
    said = [one for one in key.certifications if one.fingerprint == carol]
    assert {one.revocation for one in said} == {False, True}
    assert all(one.status is SignatureStatus.GOODSIG for one in said)
    assert not key.user_ids[0].certified_by(carol)


@pytest.fixture
async def several(alice: GnuPG, alices_home: Path) -> dict[str, str]:
    """Keys that expire at different times, by their names."""
    made = {"three years": alice.fingerprint}
    async with alice_at(alices_home) as gpg:
        for name, life in (("a week", "7d"), ("never", "0")):
            gpg.email = f"{name.replace(' ', '')}@example.org"
            made[name] = await gpg.gen_key(expires=life, subkeys=["sign", "encrypt"])
    return made


async def test_what_expires_is_found_in_time(alice: GnuPG, several: dict[str, str]) -> None:
    async def expiring(when: str | timedelta | datetime) -> set[str]:
        found = await alice.keys(secret=True, expiring=when)
        names = {fingerprint: name for name, fingerprint in several.items()}
        return {names[key.fingerprint] for key in found}

    assert await expiring("1d") == set()
    assert await expiring("8d") == {"a week"}
    assert await expiring(timedelta(days=8)) == {"a week"}
    assert await expiring(datetime.now(UTC) + timedelta(days=8)) == {"a week"}
    assert await expiring("4y") == {"a week", "three years"}
    for none in ("0", "never", "soon", timedelta(days=-1), "2001-01-01"):
        with pytest.raises(ValueError, match=r"name a time|expir"):
            await alice.keys(expiring=none)
    # A subkey that another one stands in for does not make its key expire; the last one does.
    never = several["never"]
    await alice.add_subkey(never, "sign", expires="7d")
    assert await expiring("8d") == {"a week"}
    [key] = await alice.keys(never)
    [encrypting] = key.encryption_subkeys
    await alice.set_expire(never, "7d", subkeys=[encrypting])
    assert await expiring("8d") == {"a week", "never"}
    await alice.revoke_subkey(never, encrypting)
    assert await expiring("8d") == {"a week"}, "it cannot encrypt any more"
    [key] = await alice.keys(never)
    assert key.encryption_subkeys == ()


async def test_several_keys_go_into_one_block(
    alice: GnuPG, several: dict[str, str], plain_gpg: Callable[..., PlainGpg], tmp_path: Path
) -> None:
    names = [*several.values(), ALICE, several["never"][-16:]]
    text, octets = await alice.text_export(names), await alice.export(names)
    assert text.count("BEGIN PGP PUBLIC KEY BLOCK") == 1
    assert octets == dearmor(text.encode())
    everybody = [key.fingerprint for key in await alice.scan(octets)]
    assert sorted(everybody) == sorted(several.values())
    reader = plain_gpg(PASSPHRASE)
    block = await alice.export([several["never"], several["a week"]], secret=True)
    reader.run("--import", stdin=block)
    listing = reader.run("--with-colons", "--list-secret-keys").stdout.decode()
    assert listing.count("\nsec:") + listing.startswith("sec:") == 2
    signed = reader.run("-u", several["never"], "--sign", stdin=b"by plain gpg").stdout
    assert (await alice.verify(signed)).signed_by(several["never"])
    with pytest.raises(KeyNotFound):
        await alice.text_export([ALICE, "F" * 40])
    with pytest.raises(KeyNotFound):
        await alice.text_export([ALICE, BOB], secret=True)
    for nothing in ([], ["", ALICE]):
        with pytest.raises(ValueError, match="key"):
            await alice.export(nothing)
    alice.passphrase = "wrong"
    with pytest.raises(BadPassphrase):
        await alice.export([several["never"], several["a week"]], secret=True)


async def test_a_minimal_export_leaves_out_what_others_say(
    alice: GnuPG, bob: GnuPG, tmp_path: Path
) -> None:
    before = len(await alice.packets(await alice.text_export(BOB)))
    await alice.certify(BOB)
    assert len(await alice.packets(await alice.export(BOB))) == before + 1
    path = await alice.file_export(tmp_path, BOB, minimal=True)
    for block in (
        await alice.text_export(BOB, minimal=True),
        await alice.export([BOB], minimal=True),
        path.read_text(),
    ):
        assert len(await alice.packets(block)) == before
    await bob.text_import(await alice.text_export(BOB))
    secret = await bob.text_export(secret=True, minimal=True)
    assert len(await bob.packets(secret)) == before
    with pytest.raises(UnusableKey):
        await alice.certify(BOB, BOB)
