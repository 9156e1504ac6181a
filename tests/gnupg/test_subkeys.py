"""Subkeys in all that may happen to them, told by gpg itself run on the same home."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.features import has, skip
from tests.instances import ALICE, BOB, MakeGnuPG, PlainGpg, alice_at, cheap
from tiny_gnupg import (
    BadPassphrase,
    Capability,
    GnuPG,
    Key,
    KeyNotFound,
    RevokedKeySignature,
    Subkey,
    UnsupportedByGnuPG,
    UnusableKey,
)
from tiny_gnupg._gpg.algorithms import algorithm_like

MakePlain = Callable[..., PlainGpg]


@dataclass(frozen=True)
class Part:
    """A key or subkey, in gpg's own words: ``u`` is alive, ``r`` revoked, ``e`` expired."""

    fingerprint: str
    validity: str
    expires: str
    usage: str
    secret: bool
    curve: str
    bits: str


def told_by_gpg(home: Path, name: str) -> list[Part]:
    """Ask gpg, run as anybody would, for a key; each of its own signatures must be good."""
    said = PlainGpg(home).run(
        *("--with-colons", "--with-secret", "--with-fingerprint", "--with-fingerprint"),
        *("--check-sigs", name),
    )
    lines = [line.split(":") for line in said.stdout.decode().splitlines()]
    assert {line[1] for line in lines if line[0] in ("sig", "rev")} == {"!"}
    return [
        Part(
            fingerprint=next(one[9] for one in lines[place:] if one[0] == "fpr"),
            # How far a key's user id is believed is no matter here.
            validity="u" if line[1] in "-qnmfu" else line[1],
            expires=line[6],
            usage="".join(sorted(letter for letter in line[11] if letter.islower())),
            secret=line[14] == "+",
            curve=line[16],
            bits=line[2],
        )
        for place, line in enumerate(lines)
        if line[0] in ("pub", "sub")
    ]


def parts_of(key: Key) -> tuple[Key | Subkey, ...]:
    return (key, *key.subkeys)


def told_by_us(key: Key) -> list[Part]:
    return [
        Part(
            part.fingerprint,
            "r" if part.revoked else "e" if part.expired else "u",
            str(int(part.expires.timestamp())) if part.expires else "",
            "".join(sorted(one.value for one in part.capabilities)),
            part.secret,
            part.curve,
            str(part.bits),
        )
        for part in parts_of(key)
    ]


async def agreed(gpg: GnuPG, home: Path, uid: str = ALICE) -> list[Part]:
    """Return the parts of a key as gpg and this library tell them alike."""
    [key] = await gpg.keys(uid)
    parts = told_by_us(key)
    assert told_by_gpg(home, key.fingerprint) == parts
    grips = {f"{part.keygrip}.key" for part in parts_of(key) if part.secret}
    assert grips <= {path.name for path in (home / "private-keys-v1.d").glob("*.key")}
    return parts


def files(home: Path) -> set[str]:
    return {path.name for path in (home / "private-keys-v1.d").glob("*.key")}


# -- new ones ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "curves", "bits"),
    [
        ("ed25519", ["ed25519", "ed25519", "ed25519", "cv25519"], "255"),
        ("rsa2048", [""] * 4, "2048"),
        ("nistp256", ["nistp256"] * 4, "256"),
        ("nistp384", ["nistp384"] * 4, "384"),
        ("nistp521", ["nistp521"] * 4, "521"),
        ("brainpoolP256r1", ["brainpoolP256r1"] * 4, "256"),
        ("brainpoolP512r1", ["brainpoolP512r1"] * 4, "512"),
        ("ed448", ["ed448", "ed448", "ed448", "cv448"], "448"),
    ],
)
async def test_a_key_is_of_its_algorithm_in_all_its_parts(
    home: Path, make_gnupg: MakeGnuPG, algorithm: str, curves: list[str], bits: str
) -> None:
    gpg = make_gnupg(at=cheap(home))
    if algorithm == "ed448" and not has("ed448"):
        skip("has no ed448")
    fingerprint = await gpg.gen_key(algorithm=algorithm, expires="1y")
    parts = await agreed(gpg, home)
    assert parts[0].fingerprint == fingerprint == gpg.fingerprint
    assert [part.usage for part in parts] == ["c", "s", "a", "e"]
    assert [part.curve for part in parts] == curves
    assert {part.bits for part in parts[:3]} == {bits}
    assert all(part.secret for part in parts)
    assert {days(part) for part in parts} == {365}
    assert len(files(home)) == 4
    assert (home / "openpgp-revocs.d" / f"{fingerprint}.rev").exists()
    assert (await gpg.keys())[0].ownertrust.name == "ULTIMATE"
    assert await gpg.decrypt(await gpg.encrypt("text")) == "text"
    # What is added is like the primary key.
    added = await gpg.add_subkey(usage="sign")
    [key] = await gpg.keys()
    assert {algorithm_like(part) for part in parts_of(key)} == {algorithm}
    assert added == key.subkeys[-1].fingerprint


@pytest.mark.parametrize(
    ("subkeys", "usages"),
    [
        ((), ["c"]),
        (("sign",), ["c", "s"]),
        (["encrypt", "sign", "encrypt"], ["c", "e", "s", "e"]),
    ],
)
async def test_a_key_has_the_subkeys_that_are_asked_for(
    home: Path, make_gnupg: MakeGnuPG, subkeys: tuple[str, ...], usages: list[str]
) -> None:
    gpg = make_gnupg(at=cheap(home))
    await gpg.gen_key(subkeys=subkeys)
    assert [part.usage for part in await agreed(gpg, home)] == usages


@pytest.mark.parametrize("algorithm", ["ed448", "ky768_cv25519", "ky1024_bp384"])
async def test_an_algorithm_that_this_gpg_lacks_names_the_one_that_has_it(
    alice: GnuPG, home: Path, algorithm: str
) -> None:
    first, feature = ("2.3.0", "ed448") if algorithm == "ed448" else ("2.5.0", "kyber")
    if has(feature):
        skip(f"has {algorithm}")
    version = alice.gpg_version
    before = await agreed(alice, home), files(home)
    for call in (alice.gen_key(algorithm=algorithm), alice.add_subkey(algorithm=algorithm)):
        with pytest.raises(
            UnsupportedByGnuPG, match=re.escape(".".join(map(str, version)))
        ) as caught:
            await call
        assert first in str(caught.value)
    assert (await agreed(alice, home), files(home)) == before


WRONG: dict[str, Callable[[GnuPG], Awaitable[object]]] = {
    "algorithm": lambda gpg: gpg.gen_key(algorithm="rsa1024"),
    "algorithm of DSA": lambda gpg: gpg.add_subkey(algorithm="dsa2048"),
    "algorithm with an option": lambda gpg: gpg.add_subkey(algorithm="rsa2048/sign"),
    "usage": lambda gpg: gpg.add_subkey(usage="cert"),
    "usages as text": lambda gpg: gpg.gen_key(subkeys="signs"),
    "usages of a rotation": lambda gpg: gpg.rotate(usages=["all"]),
    "expiry": lambda gpg: gpg.add_subkey(expires="soon"),
    "overlap": lambda gpg: gpg.rotate(overlap="never"),
    "overlap of long ago": lambda gpg: gpg.rotate(overlap="2001-01-01"),
    "reason": lambda gpg: gpg.revoke_subkey("", gpg.fingerprint, reason=9),
    "text": lambda gpg: gpg.revoke_subkey("", gpg.fingerprint, text="\x1b[2J"),
    "revoke the primary key": lambda gpg: gpg.revoke_subkey("", gpg.fingerprint),
    "delete the primary key": lambda gpg: gpg.delete_subkey("", gpg.fingerprint),
    "delete by an address": lambda gpg: gpg.delete_subkey("", ALICE),
    "no subkey to set": lambda gpg: gpg.set_expire("", "1y", subkeys=[]),
    "the primary key as a subkey": lambda gpg: gpg.set_expire("", "1y", subkeys=[gpg.fingerprint]),
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
async def test_what_makes_no_sense_changes_nothing(
    alice: GnuPG, home: Path, call: Callable[[GnuPG], Awaitable[object]]
) -> None:
    before = await agreed(alice, home), files(home)
    with pytest.raises(ValueError, match=r"is|has|control"):
        await call(alice)
    assert (await agreed(alice, home), files(home)) == before


# -- exactly this one ----------------------------------------------------------------------


@pytest.mark.parametrize("form", ["fingerprint", "key id", "with a mark", "itself"])
async def test_exactly_that_subkey_is_revoked(alice: GnuPG, home: Path, form: str) -> None:
    second = await alice.add_subkey(usage="encrypt")
    [key] = await alice.keys(ALICE)
    first = key.subkeys[2]
    forms: dict[str, str | Subkey] = {
        "fingerprint": first.fingerprint,
        "key id": f"0x{first.key_id.lower()}",
        "with a mark": f"{first.fingerprint}!",
        "itself": first,
    }
    await alice.revoke_subkey("", forms[form], reason=1, text="lost\nat sea")
    parts = await agreed(alice, home)
    assert [part.validity for part in parts] == ["u", "u", "u", "r", "u"]
    packets = await alice.raw_packets(await alice.text_export())
    assert re.search(r"revocation reason 0x02 \(lost.*at sea\)", packets, re.DOTALL)
    message = await alice.encrypt("text", sign=False)
    assert second[-16:] in str(await alice.packets(message))
    # It is no change, and no error, to do it once more.
    await alice.revoke_subkey("", first)
    assert await agreed(alice, home) == parts


async def test_exactly_that_subkey_is_deleted_with_its_secret_part(
    alice: GnuPG, home: Path
) -> None:
    second = await alice.add_subkey(usage="sign")
    [key] = await alice.keys(ALICE)
    before = files(home)
    await alice.delete_subkey("", second[-16:])
    assert [part.fingerprint for part in await agreed(alice, home)] == [
        part.fingerprint for part in parts_of(key)[:-1]
    ]
    assert before - files(home) == {f"{key.subkeys[-1].keygrip}.key"}
    # A public key has subkeys, too.
    [bobs] = await alice.keys(BOB)
    await alice.delete_subkey(BOB, bobs.subkeys[0])
    [after] = await alice.keys(BOB)
    assert after.subkeys == bobs.subkeys[1:]
    for call in (alice.delete_subkey("", second), alice.revoke_subkey("", second)):
        with pytest.raises(KeyNotFound, match="has no subkey"):
            await call


async def test_a_subkeys_name_is_not_that_of_the_key_to_delete_or_revoke(
    alice: GnuPG, home: Path
) -> None:
    before = await agreed(alice, home), files(home)
    [key] = await alice.keys(ALICE)
    for subkey in key.subkeys:
        for name in (subkey.fingerprint, subkey.key_id, f"0x{subkey.key_id}"):
            with pytest.raises(ValueError, match="use delete_subkey"):
                await alice.delete(name)
            with pytest.raises(ValueError, match="use delete_subkey"):
                await alice.delete(name, secret_only=True)
            with pytest.raises(ValueError, match="use revoke_subkey"):
                await alice.revoke(name)
    assert (await agreed(alice, home), files(home)) == before


async def test_a_secret_part_that_is_another_keys_too_stays(
    home: Path, make_gnupg: MakeGnuPG, plain_gpg: MakePlain
) -> None:
    """One key may have the same subkey as another, its owner's second one, say."""
    plain = plain_gpg("", home=home)
    shared = plain.new_key("Shared <shared@example.org>", algorithm="ed25519", usage="cert,sign")
    [grip] = files(home)
    form = f"Key-Type: EDDSA\nKey-Grip: {grip[:-4]}\nKey-Usage: cert\nName-Email: other@x.org\n"
    twin = ""
    for second in range(1, 5):
        # gpg cannot make keys of points whose first bit is set.
        done = plain.run(
            *("--status-fd", "1", "--faked-system-time", f"2024010{second}T000000"),
            "--generate-key",
            stdin=f"{form}%no-protection\nExpire-Date: 0\n",
            check=False,
        )
        if made := re.search(r"KEY_CREATED P (\w+)", done.stdout.decode()):
            twin = made[1]
            break
    if not twin:
        pytest.skip("gpg makes no second key of this one")
    plain.end_agent()
    gpg = make_gnupg(passphrase="", protection="gnupg")
    await gpg.delete(twin)
    assert files(home) == {grip}
    assert await gpg.sign("x", shared)
    await gpg.delete(shared)
    assert files(home) == set()


async def test_the_secret_part_alone_is_deleted(alice: GnuPG, home: Path, bob: GnuPG) -> None:
    message = await bob.encrypt("text", ALICE)
    await alice.delete("", secret_only=True)
    assert files(home) == set()
    assert [part.secret for part in told_by_us((await alice.keys(ALICE))[0])] == [False] * 4
    with pytest.raises(KeyNotFound, match="no secret key"):
        await alice.delete(ALICE, secret_only=True)
    with pytest.raises(KeyNotFound, match="no secret key"):
        await alice.delete(BOB, secret_only=True)
    with pytest.raises(Exception, match="secret key"):
        await alice.decrypt(message)


# -- expiry --------------------------------------------------------------------------------


def days(part: Part) -> int:
    """Return in how many days a part expires."""
    end = datetime.fromtimestamp(int(part.expires), UTC)
    return round((end - datetime.now(UTC)) / timedelta(days=1))


async def test_exactly_these_subkeys_get_an_expiry(alice: GnuPG, home: Path) -> None:
    [key] = await alice.keys(ALICE)
    sign, auth, encrypt = key.subkeys
    await alice.set_expire("", "10d", subkeys=[sign.fingerprint, encrypt])
    assert [days(part) for part in await agreed(alice, home)] == [1095, 10, 1095, 10]
    await alice.set_expire("", "20d", subkeys=auth.key_id)
    assert [days(part) for part in await agreed(alice, home)] == [1095, 10, 20, 10]
    # True leaves those alone that were set to expire before; False sets the primary key alone.
    await alice.set_expire("", "100d")
    assert [days(part) for part in await agreed(alice, home)] == [100, 10, 20, 10]
    await alice.set_expire("", "0", subkeys=False)
    assert (await agreed(alice, home))[0].expires == ""
    await alice.set_expire("", "30d", subkeys=key.subkeys)
    assert [days(part) for part in (await agreed(alice, home))[1:]] == [30] * 3
    # A mark behind a name is enough.
    await alice.set_expire(f"{auth.fingerprint}!", "50d")
    await alice.set_expire(f"{key.fingerprint}!", "60d")
    assert [days(part) for part in await agreed(alice, home)] == [60, 30, 50, 30]
    await alice.set_expire("", "30d", subkeys=False)
    await alice.set_expire("", "30d", subkeys=key.subkeys)
    # Now they go together again.
    await alice.set_expire("", "40d")
    assert [days(part) for part in await agreed(alice, home)] == [40] * 4


async def test_a_revoked_subkey_gets_no_expiry(alice: GnuPG, home: Path) -> None:
    [key] = await alice.keys(ALICE)
    await alice.revoke_subkey("", key.subkeys[0])
    before = await agreed(alice, home)
    with pytest.raises(UnusableKey, match=key.subkeys[0].fingerprint):
        await alice.set_expire("", "1y", subkeys=key.subkeys)
    with pytest.raises(KeyNotFound):
        await alice.set_expire("", "1y", subkeys=[key.subkeys[1], "F" * 40])
    assert await agreed(alice, home) == before


# -- rotation ------------------------------------------------------------------------------


async def test_a_rotation_revokes_what_it_replaces(alice: GnuPG, home: Path) -> None:
    message, signed = await alice.encrypt("before", sign=False), await alice.sign("before")
    sign, encrypt = await alice.rotate()
    parts = await agreed(alice, home)
    assert [(part.usage, part.validity) for part in parts] == [
        ("c", "u"),
        ("s", "r"),
        ("a", "u"),
        ("e", "r"),
        ("s", "u"),
        ("e", "u"),
    ]
    assert [part.fingerprint for part in parts[4:]] == [sign, encrypt]
    assert [days(part) for part in parts[4:]] == [365, 365]
    said = await alice.raw_packets(await alice.text_export())
    assert said.count("revocation reason 0x01") == 2
    # What is old can be read, and what is new is by the new ones.
    assert await alice.decrypt(message) == "before"
    with pytest.raises(RevokedKeySignature):
        await alice.verify(signed)
    signature = await alice.sign("after")
    assert sign in {one.fingerprint for one in (await alice.verify(signature)).signatures}
    assert encrypt[-16:] in str(await alice.packets(await alice.encrypt("after")))


async def test_a_rotation_lets_the_old_ones_live_for_a_while(alice: GnuPG, home: Path) -> None:
    made = await alice.rotate(usages=["encrypt"], expires="90d", overlap=timedelta(days=30))
    parts = await agreed(alice, home)
    assert [(part.usage, part.validity) for part in parts[1:]] == [
        ("s", "u"),
        ("a", "u"),
        ("e", "u"),
        ("e", "u"),
    ]
    assert [days(part) for part in parts] == [1095, 1095, 1095, 30, 90]
    # What expires sooner stays so.
    again = await alice.rotate(usages=["encrypt"], overlap="60d")
    parts = await agreed(alice, home)
    assert [days(part) for part in parts[3:]] == [30, 60, 365]
    assert [part.fingerprint for part in parts[4:]] == [*made, *again]


async def test_what_is_for_something_else_too_is_not_replaced(
    home: Path, make_gnupg: MakeGnuPG, plain_gpg: MakePlain
) -> None:
    plain = plain_gpg("", home=home)
    own = plain.new_key(f"Alice <{ALICE}>", algorithm="rsa2048", usage="cert")
    plain.run("--quick-add-key", own, "rsa2048", "sign,auth", "1y")
    plain.run("--quick-add-key", own, "nistp256/ecdsa", "sign", "1y")
    plain.end_agent()
    gpg = make_gnupg(passphrase="", protection="gnupg")
    await gpg.rotate(own, usages=("sign", "encrypt"))
    parts = await agreed(gpg, home, own)
    assert [(part.usage, part.validity, part.curve) for part in parts[1:]] == [
        ("as", "u", ""),
        ("s", "r", "nistp256"),
        ("s", "u", "nistp256"),  # of the algorithm of what it replaces
        ("e", "u", ""),  # of that of the primary key
    ]
    assert parts[4].bits == "2048"


# -- the primary key kept elsewhere --------------------------------------------------------


@pytest.fixture
async def server(alice: GnuPG, other_home: Path, make_gnupg: MakeGnuPG) -> GnuPG:
    """A machine with Alice's secret subkeys and not her primary key's secret part."""
    block = await alice.export_subkeys()
    gpg = make_gnupg(at=cheap(other_home / "server"))
    await gpg.text_import(block)
    await gpg.set_fingerprint(ALICE)
    return gpg


NEEDS_THE_PRIMARY: dict[str, Callable[[GnuPG], Awaitable[object]]] = {
    "add_subkey": lambda gpg: gpg.add_subkey(ALICE),
    "add_subkeys": lambda gpg: gpg.add_subkeys(ALICE),
    "rotate": lambda gpg: gpg.rotate(ALICE),
    "set_expire": lambda gpg: gpg.set_expire(ALICE, "1y"),
    "revoke": lambda gpg: gpg.revoke(ALICE),
}


async def test_a_server_works_with_subkeys_alone(
    alice: GnuPG, server: GnuPG, tmp_path: Path
) -> None:
    at = Path(server.home)
    assert [part.secret for part in await agreed(server, at)] == [False, True, True, True]
    assert await server.decrypt(await alice.encrypt("text")) == "text"
    assert (await alice.verify(await server.sign("by the server"))).data == b"by the server"
    for name, call in NEEDS_THE_PRIMARY.items():
        with pytest.raises(UnusableKey, match=r"primary key .* is not here") as caught:
            await call(server)
        assert "do it where that is" in str(caught.value), name
    [key] = await server.keys(ALICE)
    with pytest.raises(UnusableKey, match="is not here"):
        await server.revoke_subkey(ALICE, key.subkeys[0])
    # What comes of it elsewhere comes in as a public key; what needs no primary key works.
    new = await alice.rotate(usages=["sign"], overlap="30d")
    await server.text_import(await alice.text_export())
    await server.text_import(await alice.export_subkeys())
    assert new[0] in {one.fingerprint for one in (await server.keys(ALICE))[0].subkeys}
    signature = (await alice.verify(await server.sign("x"))).signatures[0]
    assert signature.fingerprint == new[0]
    await server.change_passphrase("", "of the server")
    assert await server.decrypt(await alice.encrypt("text")) == "text"
    await server.backup(tmp_path / "backup")
    assert "PRIVATE KEY" in await server.text_export(secret=True)


async def test_subkeys_open_with_the_users_own_passphrase(
    alice: GnuPG, plain_gpg: MakePlain
) -> None:
    elsewhere = plain_gpg(alice.passphrase)
    elsewhere.run("--import", stdin=await alice.export_subkeys())
    listed = elsewhere.run("--with-colons", "--list-secret-keys").stdout.decode().splitlines()
    marks = [line.split(":")[14] for line in listed if line.startswith(("sec", "ssb"))]
    assert marks == ["#", "+", "+", "+"]
    signed = elsewhere.run("--armor", "--sign", stdin="signed there").stdout.decode()
    assert await alice.decrypt(signed) == "signed there"
    # Exactly one of them.
    [key] = await alice.keys(ALICE)
    other = plain_gpg(alice.passphrase)
    other.run("--import", stdin=await alice.export_subkeys(f"{key.subkeys[1].fingerprint}!"))
    listed = other.run("--with-colons", "--list-secret-keys").stdout.decode().splitlines()
    marks = [line.split(":")[14] for line in listed if line.startswith(("sec", "ssb"))]
    assert marks == ["#", "+"]


async def test_a_wrong_passphrase_changes_no_subkey(alice: GnuPG, home: Path) -> None:
    [key] = await alice.keys(ALICE)
    before = await agreed(alice, home), files(home)
    async with alice_at(home, passphrase="wrong") as wrong:
        for call in (
            wrong.add_subkey(ALICE),
            wrong.revoke_subkey(ALICE, key.subkeys[0]),
            wrong.rotate(ALICE),
            wrong.set_expire(ALICE, "1y", subkeys=[key.subkeys[0]]),
            wrong.export_subkeys(ALICE),
        ):
            with pytest.raises(BadPassphrase):
                await call
    assert (await agreed(alice, home), files(home)) == before


async def test_what_each_part_is_for_is_known(alice: GnuPG) -> None:
    [key] = await alice.keys(ALICE)
    assert [set(one.capabilities) for one in key.subkeys] == [
        {Capability.SIGN},
        {Capability.AUTHENTICATE},
        {Capability.ENCRYPT},
    ]
