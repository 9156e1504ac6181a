"""A name that fits another key too: the whole address counts, and two keys are never one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.instances import PlainGpg
from tiny_gnupg import AmbiguousKey, GnuPG, KeyNotFound, UnusableKey
from tiny_gnupg._openpgp.packets import USER_ID, frame, write

#: Two RSA keys, found by looking for them (3.4e9 steps of Pollard's rho over the public exponent):
#: their fingerprints end with the same 64 bits.
TWINS = Path(__file__).with_name("colliding_key_ids.asc")
ONE = "51DD4A7D57D0C5F1770D724D6C8D8FC88919AA7D"
TWO = "192AF49C5F7CAADE506BEF916C8D8FC88919AA7D"
KEY_ID = ONE[-16:]


async def with_keys(gpg: GnuPG, plain: PlainGpg, *user_ids: str) -> list[str]:
    """Return a key for each user id, imported."""
    made = [plain.new_key(user_id) for user_id in user_ids]
    await gpg.text_import(plain.run("--export", *made).stdout)
    return made


async def test_a_part_of_an_address_finds_nothing(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    await with_keys(
        alice,
        plain_gpg(),
        "Not Bob <notbob@x.org>",
        "Longer <bob@x.org.example>",
        "bob@x.org, says Mallory <mallory@example.org>",
    )
    with pytest.raises(KeyNotFound):
        await alice.encrypt("text", "bob@x.org")
    with pytest.raises(KeyNotFound):
        await alice.text_export("bob@x.org")
    assert await alice.list_keys("bob@x.org") == {}


async def test_the_whole_address_finds_its_key(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    _, bob = await with_keys(alice, plain_gpg(), "Not Bob <notbob@x.org>", "Bob <bob@x.org>")
    for uid in ("bob@x.org", "<bob@x.org>", "BOB@X.ORG"):
        assert await alice.key_fingerprint(uid) == bob


ALMOST = [
    "bob@x.org ",
    " bob@x.org",
    "bob@x.org\n",
    "mailto:bob@x.org",
    "Bob <bob@x.org>",
    "@x.org",
]


@pytest.mark.parametrize("uid", ALMOST)
async def test_what_is_almost_an_address_is_no_part_of_a_name(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg], tmp_path: Path, uid: str
) -> None:
    """Whoever writes it into a user id of theirs would be found, where the address is not."""
    plain = plain_gpg()
    [mallory] = await with_keys(alice, plain, "Mallory <mallory@example.org>")
    plain.run("--allow-freeform-uid", "--quick-add-uid", mallory, f"no friend of {uid} at all")
    await alice.text_import(plain.run("--export", mallory).stdout)
    (tmp_path / "source").write_text("text")
    for call in (
        alice.encrypt("text", uid),
        alice.encrypt("text", [alice.email, uid]),
        alice.encrypt_file(tmp_path / "source", uid),
        alice.auto_encrypt("text", uid),
        alice.sign("text", uid),
        alice.certify(uid),
        alice.trust(uid, 4),
        alice.text_export(uid),
        alice.delete(uid),
        alice.set_fingerprint(uid),
    ):
        with pytest.raises(ValueError, match="is no address"):
            await call
    assert mallory in await alice.list_keys()


async def test_trust_in_one_user_id_is_none_in_another(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg], tmp_path: Path
) -> None:
    """Mallory's own address was certified; then she claims Victim's."""
    plain = plain_gpg()
    [mallory] = await with_keys(alice, plain, "Mallory <mallory@example.org>")
    await alice.certify("mallory@example.org")
    plain.run("--quick-add-uid", mallory, "Victim <victim@example.org>")
    await alice.text_import(plain.run("--export", mallory).stdout)
    (tmp_path / "source").write_text("text")
    for uid in ("victim@example.org", "Victim"):
        assert await alice.key_trust(uid) == "unknown"
        for call in (
            alice.encrypt("text", uid, trust="web"),
            alice.encrypt("text", ["mallory@example.org", uid], trust="web"),
            alice.encrypt_file(tmp_path / "source", uid, trust="web"),
            alice.auto_encrypt("text", uid, trust="web"),
        ):
            with pytest.raises(UnusableKey, match=f"that it is {uid}'s is unknown"):
                await call
    for uid in ("mallory@example.org", "Mallory", mallory):
        assert await alice.key_trust(uid) == "full"
        assert await alice.encrypt("text", uid, trust="web")
    assert not (tmp_path / "source.gpg").exists()


async def test_an_address_that_changes_hands_under_way_is_the_new_owners(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    plain = plain_gpg()
    [former] = await with_keys(alice, plain, "Bob <bob@x.org>")
    plain.run("--quick-add-uid", former, "Former <former@x.org>")
    elsewhere, sealed = plain_gpg(), []
    new = elsewhere.run("--export", elsewhere.new_key("Bob <bob@x.org>")).stdout

    async def letters() -> AsyncIterator[str]:
        for number in range(40):
            if number == 20:
                plain.run("--quick-revoke-uid", former, "Bob <bob@x.org>")
                await alice.text_import(plain.run("--export", former).stdout + new)
            yield f"letter {number}"

    async for one in alice.encrypt_many(letters(), "bob@x.org"):
        sealed.append(one)
    theirs = {part.key_id for key in await alice.keys(former) for part in key.subkeys}
    readers = [await alice.packet_fingerprint(one) for one in sealed]
    assert readers[0] in theirs
    assert readers[-1] not in theirs


@pytest.mark.parametrize("place", ["before", "behind"])
async def test_an_address_that_somebody_added_finds_nothing(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg], place: str
) -> None:
    """Mallory's key with Victim's address, which nobody signed.

    It does not come in; another program may have had gpg take it all the same.
    """
    elsewhere = plain_gpg()
    mallory = elsewhere.new_key("Mallory <mallory@example.org>")
    block = elsewhere.run("--export", mallory).stdout
    packets = frame(block)
    # The primary key stands first; its user id and that one's signature follow.
    cut = packets[1 if place == "before" else 3].offset
    forged = block[:cut] + write(USER_ID, b"Victim <victim@example.org>") + block[cut:]
    [shown] = await alice.scan(forged)
    assert [user_id.email for user_id in shown.user_ids] == ["mallory@example.org"]
    await alice.text_import(forged)
    [key] = await alice.keys(mallory)
    assert [user_id.email for user_id in key.user_ids] == ["mallory@example.org"]
    PlainGpg(Path(alice.home)).run("--allow-non-selfsigned-uid", "--import", stdin=forged)
    [key] = await alice.keys(mallory)
    assert sorted((user_id.email, user_id.signed) for user_id in key.user_ids) == [
        ("mallory@example.org", True),
        ("victim@example.org", False),
    ]

    for uid in ("victim@example.org", "Victim"):
        with pytest.raises(KeyNotFound):
            await alice.encrypt("text", uid)
        with pytest.raises(KeyNotFound):
            await alice.trust(uid, 4)
        assert await alice.keys(uid) == ()
        assert await alice.list_keys(uid) == {}
    assert await alice.key_email(mallory) == "mallory@example.org"
    assert (await alice.list_keys())[mallory] == "mallory@example.org"
    assert await alice.encrypt("text", "mallory@example.org")


async def test_the_newer_key_of_an_address_does_not_win(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    """Anybody can make a key for any address; the newest would be the attacker's."""
    made = await with_keys(alice, plain_gpg(), "Bob <bob@x.org>", "Bob <bob@x.org>")
    for call in (alice.encrypt("text", "bob@x.org"), alice.delete("bob@x.org")):
        with pytest.raises(AmbiguousKey) as caught:
            await call
        assert set(caught.value.candidates) == set(made)
    message = await alice.encrypt("text", made[0])
    assert await alice.packet_fingerprint(message) in {
        subkey.key_id for key in await alice.keys(made[0]) for subkey in key.subkeys
    }


async def test_a_key_id_of_two_keys_names_neither(alice: GnuPG) -> None:
    assert ONE[-16:] == TWO[-16:]
    assert set((await alice.text_import(TWINS.read_text())).fingerprints) == {ONE, TWO}
    for uid in (KEY_ID, f"0x{KEY_ID}"):
        with pytest.raises(AmbiguousKey) as caught:
            await alice.encrypt("text", uid)
        assert set(caught.value.candidates) == {ONE, TWO}
    for fingerprint in (ONE, TWO):
        assert [key.fingerprint for key in await alice.keys(fingerprint)] == [fingerprint]
        block = await alice.text_export(fingerprint)
        assert [key.fingerprint for key in await alice.scan(block)] == [fingerprint]


async def test_deleting_one_of_two_twins_keeps_the_other(alice: GnuPG) -> None:
    await alice.text_import(TWINS.read_text())
    with pytest.raises(AmbiguousKey):
        await alice.delete(KEY_ID)
    await alice.delete(TWO)
    held = await alice.list_keys()
    assert ONE in held
    assert TWO not in held
