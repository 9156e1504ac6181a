"""What may happen to a key between its making and its end, told by another gpg where that can be.

How each call behaves where all is well is in ``test_gnupg``, and what it says of a wrong name or
passphrase in ``test_errors_of_calls``; here is what it must leave alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, BOBS_PASSPHRASE, PASSPHRASE, PlainGpg, alice_at, cheap
from tiny_gnupg import (
    AmbiguousKey,
    BadPassphrase,
    CommandFailed,
    GnuPG,
    GnuPGError,
    Key,
    KeyNotFound,
    OwnerTrust,
    Subkey,
    UnusableKey,
)


def secret_files(gpg: GnuPG) -> dict[str, bytes]:
    """Return what the agent keeps of each secret key."""
    kept = Path(gpg.home, "private-keys-v1.d")
    return {path.name: path.read_bytes() for path in kept.glob("*.key")}


async def state(gpg: GnuPG) -> tuple[object, ...]:
    """Return all of a home that a call which failed must have left alone."""
    return (await gpg.keys(), await gpg.keys(secret=True), secret_files(gpg))


@pytest.fixture
async def stranger(alice: GnuPG) -> GnuPG:
    """Somebody with a wrong passphrase in Alice's home."""
    return alice_at(Path(alice.home), passphrase="wrong")


WITH_PASSPHRASE: dict[str, Callable[[GnuPG], Awaitable[object]]] = {
    "add_subkeys": lambda gpg: gpg.add_subkeys(ALICE),
    "add_uid": lambda gpg: gpg.add_uid(ALICE, "Alice at work", "alice@work.example"),
    "change_passphrase": lambda gpg: gpg.change_passphrase(ALICE, "new one"),
    "revoke": lambda gpg: gpg.revoke(ALICE),
    "set_expire": lambda gpg: gpg.set_expire(ALICE, "10d"),
    "set_expire of the primary": lambda gpg: gpg.set_expire(ALICE, "10d", subkeys=False),
    "sign": lambda gpg: gpg.sign("x", ALICE),
}
MORE = {
    "certify locally": lambda gpg: gpg.sign(BOB, key=True, local=True),
    "revoke_uid": lambda gpg: gpg.revoke_uid(ALICE, "alice@second.example"),
}


@pytest.mark.parametrize("call", (WITH_PASSPHRASE | MORE).values(), ids=WITH_PASSPHRASE | MORE)
async def test_a_wrong_passphrase_changes_nothing(
    alice: GnuPG, stranger: GnuPG, call: Callable[[GnuPG], Awaitable[object]]
) -> None:
    await alice.add_uid("", "Alice", "alice@second.example")
    before = await state(alice)
    async with stranger:
        with pytest.raises(BadPassphrase) as caught:
            await call(stranger)
        assert stranger.passphrase == "wrong"
    assert PASSPHRASE not in caught.value.diagnostics()
    assert await state(alice) == before


@pytest.mark.parametrize("name", ["add_subkeys", "add_uid", "change_passphrase", "revoke"])
async def test_nobody_changes_the_key_of_somebody_else(alice: GnuPG, name: str) -> None:
    more = {
        "add_subkeys": (),
        "add_uid": ("Bob", "bob@more.example"),
        "change_passphrase": ("x",),
        "revoke": (),
    }
    before = await state(alice)
    with pytest.raises(KeyNotFound, match="no secret key"):
        await getattr(alice, name)(BOB, *more[name])
    for call in (alice.set_expire(BOB, "1y"), alice.revoke_uid(BOB, BOB)):
        with pytest.raises(KeyNotFound, match="no secret key"):
            await call
    assert await state(alice) == before


# -- expiry --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expires", ["", "tomorrow", "3 years", "-1d", "0d\n", "1y 2y", "*", "'1y'"]
)
async def test_an_expiry_that_gpg_would_guess_at_is_refused(alice: GnuPG, expires: str) -> None:
    before = await state(alice)
    with pytest.raises(ValueError, match="expires is like"):
        await alice.set_expire("", expires)
    assert await state(alice) == before


async def test_an_expiry_is_a_date_a_span_or_none(alice: GnuPG) -> None:
    for expires in ("20301231T120000", "0", "90d"):
        await alice.set_expire("", expires)
        [key] = await alice.keys(ALICE)
        parts: tuple[Key | Subkey, ...] = (key, *key.subkeys)
        ends = {part.expires and part.expires.date() for part in parts}
        assert len(ends) == 1
        [end] = ends
        if expires.startswith("20"):
            assert end == datetime(2030, 12, 31, tzinfo=UTC).date()
        elif expires == "0":
            assert end is None
        else:
            assert end is not None
            assert 89 <= (end - datetime.now(UTC).date()).days <= 91


async def test_a_revoked_subkey_stays_revoked_when_the_expiry_is_set(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg], home: Path
) -> None:
    await alice.change_passphrase("", "")
    plain_gpg("", home=home).run(
        *("--command-fd", "0", "--yes", "--edit-key", alice.fingerprint),
        *("key 2", "revkey", "save"),
        stdin="y\n0\n\ny\n",
    )
    [before] = await alice.keys(ALICE)
    assert [one.revoked for one in before.subkeys] == [False, True, False]
    await alice.set_expire("", "10d")
    [after] = await alice.keys(ALICE)
    assert [one.revoked for one in after.subkeys] == [False, True, False]
    assert after.subkeys[1].expires == before.subkeys[1].expires
    assert after.subkeys[0].expires != before.subkeys[0].expires


# -- passphrase ----------------------------------------------------------------------------


async def test_the_instance_goes_on_however_it_named_its_key(alice: GnuPG, home: Path) -> None:
    for uid in (ALICE, alice.fingerprint, alice.fingerprint[-16:], ""):
        passphrase = f"new for {uid}"
        async with alice_at(home, passphrase=alice.passphrase) as fresh:
            await fresh.change_passphrase(uid, passphrase)
            assert fresh.passphrase == passphrase
            assert await fresh.decrypt(await fresh.encrypt("x")) == "x"
        alice.passphrase = passphrase
        assert "MESSAGE" in await alice.sign("x")


async def test_another_key_of_the_home_gets_a_passphrase_of_its_own(
    alice: GnuPG, home: Path
) -> None:
    async with GnuPG("Work", "work@example.org", PASSPHRASE, homedir=home) as work:
        other = await work.gen_key()
    await alice.change_passphrase(other, "for work")
    assert alice.passphrase == PASSPHRASE
    assert "MESSAGE" in await alice.sign("x")
    with pytest.raises(BadPassphrase):
        await alice.sign("x", other)
    async with GnuPG("Work", "work@example.org", "for work", homedir=home) as work:
        assert "MESSAGE" in await work.sign("x")


async def test_a_key_under_its_own_passphrase_does_everything_once_that_is_known(
    home: Path, plain_gpg: Callable[..., PlainGpg]
) -> None:
    # It came in while the instance had another passphrase, so that it could not be taken over.
    plain = plain_gpg(BOBS_PASSPHRASE)
    own = plain.new_key(f"Alice <{ALICE}>")
    secret = plain.run("--export-secret-keys", own).stdout
    for call in WITH_PASSPHRASE.values():
        async with alice_at(cheap(home)) as gpg:
            await gpg.text_import(secret)
            with pytest.raises(BadPassphrase):
                await call(gpg)
            gpg.passphrase = BOBS_PASSPHRASE
            await call(gpg)
            await gpg.delete(own)


# -- user ids ------------------------------------------------------------------------------


async def test_user_ids_of_every_shape_are_added(alice: GnuPG, bob: GnuPG) -> None:
    shapes = {
        ("", "only@address.example"): "<only@address.example>",
        ("Only A Name", ""): "Only A Name",
        ("Älice 𝄞 (work) %20", "ä@example.org"): "Älice 𝄞 (work) %20 <ä@example.org>",
        ("--version", "-x@example.org"): "--version <-x@example.org>",
    }
    for name, email in shapes:
        await alice.add_uid("", name, email)
    await bob.text_import(await alice.text_export())
    for gpg in (alice, bob):
        [key] = await gpg.keys(ALICE)
        assert {one.text for one in key.user_ids} == {f"Alice Å <{ALICE}>", *shapes.values()}
    assert await bob.key_fingerprint("only@address.example") == alice.fingerprint
    for text in shapes.values():
        await alice.revoke_uid("", text)
    [key] = await alice.keys(ALICE)
    assert {one.text for one in key.user_ids if not one.revoked} == {f"Alice Å <{ALICE}>"}


async def test_a_user_id_is_not_added_twice_and_never_without_a_name(alice: GnuPG) -> None:
    before = await state(alice)
    with pytest.raises(CommandFailed) as caught:
        await alice.add_uid("", alice.username, alice.email)
    assert "user" in caught.value.diagnostics()
    with pytest.raises(ValueError, match="username or an email"):
        await alice.add_uid("", "", "")
    assert await state(alice) == before


async def test_blanks_at_the_end_of_a_text_count(alice: GnuPG) -> None:
    """With them, gpg 2.2.40 finds nothing, or what does not fit."""
    for uid, found in (("Alice ", True), ("lice Å ", True), ("Alice", True), ("Å  ", False)):
        assert bool(await alice.keys(uid)) == found
        assert bool(await alice.list_keys(uid, secret=True)) == found
    assert await alice.key_fingerprint("Alice ") == alice.fingerprint
    assert await alice.key_fingerprint("Å") == alice.fingerprint
    with pytest.raises(KeyNotFound):
        await alice.key_fingerprint("Å  ")
    assert await alice.keys("Bob") != await alice.keys("Bob  ") == ()


async def test_an_empty_text_is_no_user_id_to_be_revoked(alice: GnuPG) -> None:
    """A user id without an address has that for one."""
    await alice.add_uid("", "Alice without an address", "")
    await alice.add_uid("", "Alice", "alice@work.example")
    with pytest.raises(ValueError, match="empty"):
        await alice.revoke_uid("", "")
    await alice.revoke_uid("", "<Alice@Work.example>")
    [key] = await alice.keys(ALICE)
    alive = {one.text for one in key.user_ids if not one.revoked}
    assert alive == {f"Alice Å <{ALICE}>", "Alice without an address"}


async def test_a_user_id_is_revoked_for_everybody(alice: GnuPG, bob: GnuPG) -> None:
    await alice.add_uid("", "Alice", "alice@work.example")
    await bob.text_import(await alice.text_export())
    assert await alice.decrypt(await bob.encrypt("x", "alice@work.example")) == "x"
    await alice.revoke_uid("", "Alice <alice@work.example>")
    assert (await bob.text_import(await alice.text_export())).updated == 1
    with pytest.raises(KeyNotFound):
        await bob.encrypt("x", "alice@work.example")
    assert await alice.decrypt(await bob.encrypt("x", ALICE)) == "x"
    # It is listed and found by it still, and can be added again.
    assert await bob.list_keys("alice@work.example") == {alice.fingerprint: ALICE}


async def test_two_user_ids_of_one_address_are_told_apart_by_their_text(alice: GnuPG) -> None:
    await alice.add_uid("", "Alice the Second", ALICE)
    before = await state(alice)
    with pytest.raises(AmbiguousKey) as caught:
        await alice.revoke_uid("", ALICE)
    assert set(caught.value.candidates) == {f"Alice Å <{ALICE}>", f"Alice the Second <{ALICE}>"}
    assert await state(alice) == before
    await alice.revoke_uid("", f"Alice the Second <{ALICE}>")
    [key] = await alice.keys(ALICE)
    assert [one.text for one in key.user_ids if not one.revoked] == [f"Alice Å <{ALICE}>"]


async def test_the_last_user_id_is_not_revoked(alice: GnuPG) -> None:
    before = await state(alice)
    with pytest.raises(CommandFailed):
        await alice.revoke_uid("", ALICE)
    assert await state(alice) == before


# -- certification -------------------------------------------------------------------------


async def test_a_certification_leaves_and_a_local_one_never_does(
    alice: GnuPG, bob: GnuPG, plain_gpg: Callable[..., PlainGpg], tmp_path: Path
) -> None:
    before = await alice.text_export(BOB)
    await alice.sign(BOB, key=True, local=True)
    path = await alice.file_export(tmp_path, BOB)
    for block in (await alice.text_export(BOB), path.read_text()):
        assert block == before
    certified = await alice.sign(BOB, key=True)
    assert certified != before
    listed = plain_gpg()
    listed.run("--import", stdin=certified)
    told = listed.run("--list-sigs", "--with-colons").stdout.decode().splitlines()
    signers = [line.split(":")[4] for line in told if line.startswith("sig:")]
    assert signers.count(alice.fingerprint[-16:]) == 1
    # The signatures over one's own key that its owner did not make are nothing to encrypt by.
    await bob.text_import(certified)
    assert await bob.decrypt(await alice.encrypt("x", BOB, trust="web")) == "x"


async def test_a_certification_is_made_by_whoever_is_named(alice: GnuPG, home: Path) -> None:
    async with GnuPG("Work", "work@example.org", PASSPHRASE, homedir=home) as work:
        other = await work.gen_key()
    certified = await alice.sign(BOB, "work@example.org", key=True)
    packets = await alice.packets(certified)
    said = "\n".join(line for packet in packets for line in packet.lines)
    assert other[-16:] in said
    assert alice.fingerprint[-16:] not in said


async def test_a_key_is_certified_by_any_of_its_names(alice: GnuPG) -> None:
    [key] = await alice.keys(BOB)
    assert await alice.key_trust(BOB) == "unknown"
    # A subkey's fingerprint names its key, for gpg itself it names none here.
    await alice.sign(key.subkeys[0].fingerprint, key=True, local=True)
    assert await alice.key_trust(BOB) == "full"
    for uid in (BOB, key.fingerprint, key.key_id):
        await alice.sign(uid, key=True, local=True)
    with pytest.raises(TypeError):
        await alice.sign(BOB.encode(), key=True)
    with pytest.raises(ValueError, match="local needs key=True"):
        await alice.sign("x", local=True)


# -- the end -------------------------------------------------------------------------------

REASONS = {0: 0, 1: 2, 2: 1, 3: 3}
"""What gpg asks for, and the codes that RFC 9580, section 5.2.3.31, has for it."""


@pytest.mark.parametrize("reason", REASONS)
async def test_a_revocation_carries_its_reason_and_text(
    alice: GnuPG, bob: GnuPG, reason: int
) -> None:
    text = "lost é\n\nsecond line" if reason else ""
    block = await alice.revoke(reason=reason, text=text)
    revocation = next(
        packet for packet in await bob.packets(block) if "0x20" in " ".join(packet.lines)
    )
    [said] = [line for line in revocation.lines if "revocation reason" in line]
    assert f"revocation reason 0x{REASONS[reason]:02x}" in said
    if text:
        assert "lost" in said
        assert "second line" in said
    await bob.text_import(block)
    assert await bob.key_trust(ALICE) == "revoked"


@pytest.mark.parametrize(
    ("reason", "text"),
    [(4, ""), (-1, ""), (True, ""), ("0", ""), (0, "a\0b"), (0, "\x1b[2J"), (0, "\udcff")],
)
async def test_another_reason_revokes_nothing(alice: GnuPG, reason: int, text: str) -> None:
    before = await state(alice)
    with pytest.raises(ValueError, match=r"reason|text"):
        await alice.revoke(reason=reason, text=text)
    assert await state(alice) == before


async def test_a_revoked_key_certifies_nothing_and_decrypts_still(alice: GnuPG) -> None:
    message = await alice.encrypt("from before", sign=False)
    await alice.revoke()
    assert await alice.decrypt(message) == "from before"
    for call in (alice.sign("x"), alice.sign(BOB, key=True), alice.encrypt("x")):
        with pytest.raises((UnusableKey, KeyNotFound)):
            await call


async def test_a_deleted_key_is_gone_with_its_secret_part(alice: GnuPG, bob: GnuPG) -> None:
    message = await alice.encrypt("x")
    [key] = await alice.keys(ALICE)
    for uid in (key.fingerprint, key.key_id, "Alice"):
        secret = secret_files(alice)
        assert len(secret) == 4
        block = await alice.text_export()
        await alice.delete(uid)
        assert secret_files(alice) == {}
        assert list((await alice.list_keys()).values()) == [BOB]
        assert alice.fingerprint == ""
        with pytest.raises(KeyNotFound):
            await alice.sign("x")
        await alice.text_import(block)
        with pytest.raises(GnuPGError):
            await alice.decrypt(message)
        for name, octets in secret.items():
            Path(alice.home, "private-keys-v1.d", name).write_bytes(octets)
        await alice.set_fingerprint(ALICE)


async def test_the_trust_of_a_subkey_is_that_of_its_key(alice: GnuPG) -> None:
    [key] = await alice.keys(BOB)
    for level, uid in ((2, key.subkeys[0].fingerprint), (4, key.key_id), (5, BOB)):
        await alice.trust(uid, level)
        [key] = await alice.keys(BOB)
        expected = {2: OwnerTrust.NEVER, 4: OwnerTrust.FULL, 5: OwnerTrust.ULTIMATE}
        assert key.ownertrust is expected[level]
    trust = await alice.read_output(alice.command("--export-ownertrust"))
    assert {line.split(":")[0] for line in trust.splitlines() if line[0] != "#"} == {
        key.fingerprint,
        alice.fingerprint,
    }
    assert await alice.key_trust(BOB) == "ultimate"
