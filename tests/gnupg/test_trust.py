"""Certifications: of what was named and nothing else, and never one that was not made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.instances import BOB, PlainGpg
from tiny_gnupg import GnuPG, KeyNotFound, UnusableKey

Certify = Callable[[GnuPG, str], Awaitable[str]]
#: Each way to certify a key.
WAYS: dict[str, Certify] = {
    "certify": lambda gpg, uid: gpg.certify(uid),
    "certify(local)": lambda gpg, uid: gpg.certify(uid, local=True),
    "sign(key)": lambda gpg, uid: gpg.sign(uid, key=True),
    "sign(key, local)": lambda gpg, uid: gpg.sign(uid, key=True, local=True),
}
by_any_way = pytest.mark.parametrize("certify", WAYS.values(), ids=WAYS)


async def certified_texts(gpg: GnuPG, uid: str, *, local: bool = True) -> set[str]:
    """Return which user ids of a key this instance certified, as gpg lists it."""
    [key] = await gpg.keys(uid, certifications=True)
    by = gpg.fingerprint
    return {one.text for one in key.user_ids if one.certified_by(by, local=local)}


@pytest.fixture
async def several(alice: GnuPG, bob: GnuPG) -> set[str]:
    """Give Bob three addresses, which Alice knows; return his user ids."""
    await bob.add_uid("", "Bob", "bob@work.example")
    await bob.add_uid("", "Robert", "robert@example.org")
    await alice.text_import(await bob.text_export())
    return {one.text for one in (await alice.keys(BOB))[0].user_ids}


@by_any_way
async def test_by_an_address_that_user_id_alone_is_certified(
    alice: GnuPG, several: set[str], certify: Certify
) -> None:
    await certify(alice, "bob@work.example")
    assert await certified_texts(alice, BOB) == {"Bob <bob@work.example>"}
    await certify(alice, "<robert@example.org>")
    assert await certified_texts(alice, BOB) == several - {f"Bob <{BOB}>"}


@by_any_way
async def test_by_a_name_those_user_ids_that_hold_it_are_certified(
    alice: GnuPG, several: set[str], certify: Certify
) -> None:
    await certify(alice, "Bob")
    assert await certified_texts(alice, BOB) == {"Bob <bob@work.example>", f"Bob <{BOB}>"}


@by_any_way
async def test_by_a_fingerprint_all_user_ids_are_certified(
    alice: GnuPG, bob: GnuPG, several: set[str], certify: Certify
) -> None:
    block = await certify(alice, bob.fingerprint)
    assert await certified_texts(alice, BOB) == several
    assert await certify(alice, bob.fingerprint[-16:]) == block


async def test_a_local_one_stays_here_and_can_be_made_a_whole_one(
    alice: GnuPG, bob: GnuPG, several: set[str]
) -> None:
    await alice.certify(BOB, local=True)
    assert await certified_texts(alice, BOB) == {f"Bob <{BOB}>"}
    assert await certified_texts(alice, BOB, local=False) == set()
    theirs = await bob.packets(await bob.text_export())
    assert len(await alice.packets(await alice.text_export(BOB))) == len(theirs)
    await alice.certify(BOB)
    assert await certified_texts(alice, BOB, local=False) == {f"Bob <{BOB}>"}


@pytest.mark.parametrize("state", ["expired", "revoked"])
@by_any_way
async def test_of_a_dead_key_it_says_so(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg], certify: Certify, state: str
) -> None:
    gpg = plain_gpg()
    past = "--faked-system-time=20200101T000000!"
    life = "1d" if state == "expired" else "never"
    gpg.run(past, "--quick-generate-key", "Dora <dora@x.org>", "ed25519", "cert,sign", life)
    listed = gpg.run("--with-colons", "-k").stdout.decode().split("\nfpr:")[1]
    fingerprint = listed.lstrip(":").split(":")[0]
    if state == "revoked":
        certificate = (gpg.home / "openpgp-revocs.d" / f"{fingerprint}.rev").read_text()
        gpg.run("--import", stdin=certificate.replace(":-----BEGIN", "-----BEGIN"))
    await alice.text_import(gpg.run("--export", fingerprint).stdout)
    for uid in ("dora@x.org", fingerprint):
        with pytest.raises(UnusableKey, match=f"{fingerprint}: it (is )?{state}"):
            await certify(alice, uid)


@by_any_way
async def test_a_revoked_user_id_is_not_certified(
    alice: GnuPG, bob: GnuPG, several: set[str], certify: Certify
) -> None:
    await bob.revoke_uid("", "bob@work.example")
    await alice.text_import(await bob.text_export())
    with pytest.raises(UnusableKey, match=r"no user id for 'bob@work.example'"):
        await certify(alice, "bob@work.example")
    assert await certified_texts(alice, BOB) == set()
    with pytest.raises(KeyNotFound):
        await certify(alice, "nobody@example.org")
