"""Keys without user ids: normalised, given a placeholder, and taken by a real gpg."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.homes import DEBIAN_KEYRING, Home, temporary_home
from tests.keys import NOW, subkey
from tests.keys import key as made
from tests.openpgp import without_user_ids
from tiny_gnupg._gpg.key_states import encryption_key, is_placeholder_key
from tiny_gnupg._gpg.listings import format_list_keys, parse_colons
from tiny_gnupg._openpgp.armor import enarmor
from tiny_gnupg._openpgp.fingerprints import key_fingerprint
from tiny_gnupg._openpgp.packets import frame, write
from tiny_gnupg._openpgp.placeholders import (
    PLACEHOLDER,
    insert_placeholder,
    is_placeholder,
    normalise,
    split_keys,
)
from tiny_gnupg.errors import KeyserverMismatch, NotOpenPGP

MATERIAL = b"\x1b" + b"\x07" * 32
PRIMARY = write(6, b"\x04" + bytes(4) + MATERIAL)
SECOND = write(6, b"\x04" + bytes(3) + b"\x01" + MATERIAL)
SECRET = write(5, b"\x04" + bytes(4) + MATERIAL + b"\x00secret")
SUBKEY = write(14, b"\x04" + bytes(4) + MATERIAL)
SIG = write(2, b"\x04\x1f\x16\x08" + bytes(4) + b"\xab\xcd")
UID, PHOTO = write(13, b"Alice <a@x.org>"), write(17, b"\x01photo")
TRUST, MARKER, PRIVATE = write(12, b"\x01\x02"), write(10, b"PGP"), write(60, b"private")
FPR = key_fingerprint(frame(PRIMARY)[0].body)


def test_placeholders() -> None:
    text = PLACEHOLDER.format(fingerprint=FPR)
    assert text == f"[no user id published] {FPR}"
    assert is_placeholder(text)
    assert is_placeholder(text, FPR)
    assert not is_placeholder(text, "A" * 40)
    assert not is_placeholder(text + " <a@x.org>")
    assert not is_placeholder("[no user id published]")


def test_a_user_id_that_somebody_added_makes_no_key_complete() -> None:
    records = [
        f"pub:-:\nfpr:::::::::{FPR}:",
        f"uid:-::::::::{PLACEHOLDER.format(fingerprint=FPR)}:",
    ]
    forged, own = "uid:-::::::::Victim <v@x.org>:", "uid:-::::1::::Alice <a@x.org>:"
    for added, bare in (([], True), ([forged], True), ([own], False), ([own, forged], False)):
        (key,) = parse_colons("\n".join([*records, *added]))
        assert is_placeholder_key(key) is bare
    (key,) = parse_colons("\n".join([records[0], forged]))
    assert not is_placeholder_key(key)


def test_only_what_belongs_to_a_key_is_kept() -> None:
    data = MARKER + PRIMARY + SIG + TRUST + UID + SIG + TRUST + PHOTO + SIG + SUBKEY + SIG + PRIVATE
    key = normalise(data)
    assert key.fingerprint == FPR
    assert key.data == PRIMARY + SIG + UID + SIG + PHOTO + SIG + SUBKEY + SIG
    assert key.user_ids == ("Alice <a@x.org>",)
    assert key.has_user_id
    assert normalise(enarmor(data, "PUBLIC KEY BLOCK").encode(), FPR) == key
    assert "Alice" in repr(key)
    assert "data" not in repr(key)


def test_a_key_without_user_ids() -> None:
    key = normalise(PRIMARY + SIG + SUBKEY + SIG)
    assert (key.has_user_id, key.user_ids) == (False, ())
    assert normalise(PRIMARY + PHOTO + SIG).has_user_id


@pytest.mark.parametrize(
    ("data", "fingerprint"),
    [
        (PRIMARY + UID + SIG, "A" * 40),
        (PRIMARY + UID + SIG, ""),
        (PRIMARY + UID + SIG + SECOND, FPR),
        (SECOND + PRIMARY, FPR),
        (PRIMARY + PRIMARY, FPR),
        (SECRET, None),
        (PRIMARY + UID + SIG + write(7, b"x"), FPR),
        (PRIMARY + UID + SIG + SECRET, FPR),
    ],
)
def test_another_key_several_keys_and_secret_keys_are_refused(
    data: bytes, fingerprint: str | None
) -> None:
    with pytest.raises(KeyserverMismatch):
        normalise(data, fingerprint)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        MARKER,
        UID + PRIMARY,
        SIG + PRIMARY,
        TRUST + PRIMARY,
        PRIMARY[:-1],
        PRIMARY + b"x",
        write(6, b"\x03" + bytes(20)),
    ],
)
def test_what_is_no_key(data: bytes) -> None:
    with pytest.raises(NotOpenPGP):
        normalise(data)


def test_a_block_of_keys_is_split_and_nothing_is_lost() -> None:
    one, two, three = PRIMARY + SIG + UID + TRUST, SECRET + UID + SIG, SECOND
    assert list(split_keys(MARKER + one + two + three)) == [one, two, three]
    assert list(split_keys(enarmor(one + two, "MESSAGE").encode())) == [one, two]
    blocks = enarmor(one, "PUBLIC KEY BLOCK") + "text\n" + enarmor(three, "PUBLIC KEY BLOCK")
    assert list(split_keys(blocks.encode())) == [one, three]


def test_user_ids_stand_behind_the_own_signatures_of_the_primary_key() -> None:
    text = write(13, f"[no user id published] {FPR}".encode())
    assert insert_placeholder(PRIMARY) == PRIMARY + text
    block = PRIMARY + SIG + SIG + SUBKEY + SIG
    assert insert_placeholder(block) == PRIMARY + SIG + SIG + text + SUBKEY + SIG
    held = write(13, b"A") + write(13, b"J\xfc")
    assert insert_placeholder(PRIMARY + SUBKEY, ["A", "J\udcfc"]) == PRIMARY + held + SUBKEY
    with pytest.raises(NotOpenPGP):
        insert_placeholder(SIG)


PARTS = [PRIMARY, SECOND, SECRET, SUBKEY, SIG, UID, PHOTO, TRUST, MARKER, PRIVATE]


@given(st.lists(st.sampled_from(PARTS) | st.binary(max_size=6), max_size=8).map(b"".join))
def test_no_bytes_crash_it_and_what_comes_out_is_clean(data: bytes) -> None:
    try:
        blocks = list(split_keys(data))
        assert data.endswith(b"".join(blocks))
        key = normalise(data)
    except (NotOpenPGP, KeyserverMismatch):
        return
    packets = frame(key.data)
    assert [packet.tag for packet in packets].count(6) == 1
    assert {packet.tag for packet in packets} <= {6, 14, 2, 13, 17}
    again = normalise(insert_placeholder(key.data))
    assert again.fingerprint == key.fingerprint
    assert again.has_user_id
    assert normalise(again.data).data == again.data


@pytest.fixture
def home() -> Iterator[Home]:
    with temporary_home() as home:
        yield home


@pytest.fixture
def other() -> Iterator[Home]:
    with temporary_home() as home:
        yield home


def make_key(home: Home, user_id: str = "Alice <a@x.org>") -> str:
    fingerprint = home.new_key(user_id, "ed25519", "cert")
    home.run("--quick-add-key", fingerprint, "ed25519", "sign")
    home.run("--quick-add-key", fingerprint, "cv25519", "encr")
    return fingerprint


def take(home: Home, data: bytes) -> str:
    """Import a key without user ids; return the status lines."""
    options = ["--allow-non-selfsigned-uid", "--status-fd", "1", "--import"]
    return home.run(*options, stdin=data, check=False).decode()


def test_gpg_itself_refuses_a_key_without_user_ids(home: Home, other: Home) -> None:
    # The reason for all of this; when it fails one day, this room can go.
    fingerprint = make_key(other)
    bare = without_user_ids(other.run("--export", fingerprint))
    said = home.run("--status-fd", "1", "--import", stdin=bare, check=False).decode()
    assert "IMPORT_OK" not in said
    assert home.colons("--list-keys").count("pub:") == 0


def test_a_real_key_without_user_ids_does_everything(home: Home, other: Home) -> None:
    fingerprint = make_key(other)
    whole = other.run("--export", fingerprint)
    bare = without_user_ids(whole)
    key = normalise(enarmor(bare, "PUBLIC KEY BLOCK").encode(), fingerprint)
    assert not key.has_user_id
    assert key.data == bare
    assert f"IMPORT_OK 1 {fingerprint}" in take(home, insert_placeholder(key.data))

    (listed,) = parse_colons(home.colons("--list-keys"))
    assert [user_id.placeholder for user_id in listed.user_ids] == [True]
    assert (listed.email, listed.user_ids[0].name) == ("", "")
    human = home.run("--list-keys").decode()
    assert format_list_keys(human) == format_list_keys(home.colons("-k")) == {fingerprint: ""}

    subkey = next(sub.fingerprint for sub in listed.subkeys if "e" in sub.capabilities)
    options = ["--allow-non-selfsigned-uid", "--trust-model", "always", "--cipher-algo", "AES256"]
    message = home.run(*options, "-r", f"{subkey}!", "--encrypt", stdin=b"secret text")
    assert other.run("--decrypt", stdin=message) == b"secret text"

    signed = other.run("--sign", stdin=b"signed text")
    verify = ["--allow-non-selfsigned-uid", "--status-fd", "1", "--verify"]
    assert f"VALIDSIG {listed.subkeys[0].fingerprint}" in home.run(*verify, stdin=signed).decode()

    kept = ["--export-filter", "keep-uid=uid = nope"]
    assert home.run("--allow-non-selfsigned-uid", *kept, "--export", fingerprint) == bare

    # An update of the key, still without user ids, then one with the real user id.
    held = [user_id.text for user_id in listed.user_ids]
    other.run("--quick-add-key", fingerprint, "cv25519", "encr")
    update = normalise(without_user_ids(other.run("--export", fingerprint)), fingerprint)
    assert f"IMPORT_OK 12 {fingerprint}" in take(home, insert_placeholder(update.data, held))
    (listed,) = parse_colons(home.colons("--list-keys"))
    assert len(listed.subkeys) == 3
    assert [user_id.text for user_id in listed.user_ids] == held
    home.run("--import", stdin=other.run("--export", fingerprint))
    (listed,) = parse_colons(home.colons("--list-keys"))
    assert listed.email == "a@x.org"


def test_gpg_drops_a_subkey_that_a_server_forged(home: Home, other: Home) -> None:
    fingerprint = make_key(other)
    bare = without_user_ids(other.run("--export", fingerprint))
    attackers = other.run("--export", make_key(other, "Mallory <m@x.org>"))
    forged = [p for p in frame(attackers) if p.tag == 14][-1]
    binding = frame(bare)[-1]
    evil = bare + attackers[forged.offset : forged.offset + forged.length]
    evil += bare[binding.offset : binding.offset + binding.length] + write(12, b"\x00\x03")
    key = normalise(evil, fingerprint)
    assert 12 not in {packet.tag for packet in frame(key.data)}
    take(home, insert_placeholder(key.data))
    (listed,) = parse_colons(home.colons("--list-keys"))
    assert key_fingerprint(forged.body) not in {s.fingerprint for s in listed.subkeys}
    assert len(listed.subkeys) == 2


@pytest.mark.not_fast
@pytest.mark.skipif(not DEBIAN_KEYRING.exists(), reason="needs Debian's package debian-keyring")
def test_every_key_of_debian_keyring_is_split_and_named_as_gpg_does() -> None:
    with temporary_home() as home:
        ring = ["--no-default-keyring", "--keyring", str(DEBIAN_KEYRING)]
        listed = [key.fingerprint for key in parse_colons(home.colons(*ring, "--list-keys"))]
        data = home.run(*ring, "--export")
    keys = [normalise(block) for block in split_keys(data)]
    assert [key.fingerprint for key in keys] == listed
    assert all(key.has_user_id for key in keys)
    for key in keys[:100]:
        bare = normalise(without_user_ids(key.data), key.fingerprint)
        assert not bare.has_user_id
        assert insert_placeholder(bare.data, key.user_ids).startswith(
            key.data[: frame(key.data)[0].length]
        )


def test_the_newest_part_that_lives_and_can_encrypt_is_encrypted_to() -> None:
    later = NOW + timedelta(days=1)
    old, new = (
        subkey("e", fingerprint="C" * 40),
        subkey("e", fingerprint="D" * 40, created=later),
    )
    unfit = (
        subkey("s", created=later + timedelta(days=1)),
        subkey("e", created=later + timedelta(days=1), revoked=True),
        subkey("e", created=later + timedelta(days=1), expired=True),
    )
    assert encryption_key(made("c", old, *unfit, new)) == new.fingerprint
    assert encryption_key(made("c", new, old)) == new.fingerprint
    assert encryption_key(made("c", subkey("e", created=None), old)) == old.fingerprint
    assert encryption_key(made("ce")) == "A" * 40
    assert encryption_key(made("c", *unfit)) == ""
