"""What callers pass: of each kind of argument, what is none is refused, in every method."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.instances import ALICE, BOB, MakeGnuPG
from tiny_gnupg import GnuPG

Take = Callable[[GnuPG, Any], Awaitable[object]]


async def all_of(results: Any) -> list[Any]:
    return [one async for one in results]


def other_than_none(data: Any) -> Any:
    return object() if data is None else data


#: Each method that takes data.
DATA: dict[str, Take] = {
    "encrypt": lambda gpg, data: gpg.encrypt(data, BOB),
    "encrypt(sign=False)": lambda gpg, data: gpg.encrypt(data, BOB, sign=False),
    "encrypt_symmetric": lambda gpg, data: gpg.encrypt_symmetric(data, "words"),
    "decrypt": lambda gpg, data: gpg.decrypt(data),
    "decrypt_verify": lambda gpg, data: gpg.decrypt_verify(data),
    "sign": lambda gpg, data: gpg.sign(data),
    "sign(detach)": lambda gpg, data: gpg.sign(data, detach=True),
    "sign(clear)": lambda gpg, data: gpg.sign(data, clear=True),
    "verify": lambda gpg, data: gpg.verify(data),
    "verify(data, ...)": lambda gpg, data: gpg.verify(data, b"x"),
    "verify(..., signature)": lambda gpg, data: gpg.verify(b"x", other_than_none(data)),
    "auto_encrypt": lambda gpg, data: gpg.auto_encrypt(data, BOB),
    "auto_decrypt": lambda gpg, data: gpg.auto_decrypt(data),
    "auto_verify": lambda gpg, data: gpg.auto_verify(data),
    "encrypt_many": lambda gpg, data: all_of(gpg.encrypt_many([data], BOB)),
    "encrypt_many(sign)": lambda gpg, data: all_of(gpg.encrypt_many([data], BOB, sign=True)),
    "decrypt_many": lambda gpg, data: all_of(gpg.decrypt_many([data])),
    "verify_many": lambda gpg, data: all_of(gpg.verify_many([data])),
    "packets": lambda gpg, data: gpg.packets(data),
    "raw_packets": lambda gpg, data: gpg.raw_packets(data),
    "list_packets": lambda gpg, data: gpg.list_packets(data),
    "packet_fingerprint": lambda gpg, data: gpg.packet_fingerprint(data),
    "text_import": lambda gpg, data: gpg.text_import(data),
    "scan": lambda gpg, data: gpg.scan(data),
    "read_output": lambda gpg, data: gpg.read_output(gpg.command("--list-packets"), data),
    "run_command": lambda gpg, data: gpg.run_command(gpg.command("--list-packets"), data),
}
#: Each method that takes the path of a file that it reads.
PATHS: dict[str, Take] = {
    "encrypt_file": lambda gpg, path: gpg.encrypt_file(path, BOB, "out"),
    "decrypt_file": lambda gpg, path: gpg.decrypt_file(path, "out"),
    "decrypt_verify_file": lambda gpg, path: gpg.decrypt_verify_file(path, "out"),
    "sign_file": lambda gpg, path: gpg.sign_file(path, "out"),
    "verify_file": lambda gpg, path: gpg.verify_file(path),
    "verify_file(..., signature)": lambda gpg, path: gpg.verify_file(__file__, path),
    "file_import": lambda gpg, path: gpg.file_import(path),
    "restore": lambda gpg, path: gpg.restore(path),
}


@pytest.mark.parametrize("take", DATA.values(), ids=DATA)
async def test_what_is_no_data_is_refused(alice: GnuPG, tmp_path: Path, take: Take) -> None:
    secret = tmp_path / "secret"
    secret.write_text("what the process has open")
    with secret.open() as file:
        for data in (file.fileno(), 0, False, None, [], [b"x"], 1.5, file, secret):
            with pytest.raises(TypeError, match="is text or bytes, not"):
                await take(alice, data)
        assert file.tell() == 0


@pytest.mark.parametrize("take", PATHS.values(), ids=PATHS)
async def test_a_number_is_no_path(
    alice: GnuPG, tmp_path: Path, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open(__file__) as file:
        for path in (file.fileno(), 0, True, None):
            with pytest.raises(TypeError):
                await take(alice, path)
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 0
    assert os.listdir(tmp_path) == []


async def test_a_bad_item_is_told_at_its_place(alice: GnuPG) -> None:
    items: list[Any] = ["one", 7, "three"]
    sealed = await all_of(alice.encrypt_many(items, BOB, return_exceptions=True))
    assert [type(one) for one in sealed] == [str, TypeError, str]


async def test_one_message_is_not_several(alice: GnuPG) -> None:
    """Of a text, each character would become a message of its own."""
    signed = await alice.sign("x")
    one: Any
    for one in (signed, signed.encode(), bytearray(b"x"), memoryview(b"x")):
        for results in (
            alice.encrypt_many(one, BOB),
            alice.encrypt_many(one, BOB, sign=True),
            alice.decrypt_many(one, return_exceptions=True),
            alice.verify_many(one),
        ):
            with pytest.raises(TypeError, match="several messages"):
                await all_of(results)


@pytest.mark.parametrize("uid", ["bob\ud800@example.org", "\udfff", "bob@example.org\0"])
async def test_what_no_program_can_be_told_names_no_key(alice: GnuPG, uid: str) -> None:
    calls: list[Awaitable[object]] = [
        alice.keys(uid),
        alice.encrypt("x", uid),
        alice.sign("x", uid),
        alice.verify("x", signer=uid),
        alice.text_export(uid),
        alice.delete(uid),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="a uid") as caught:
            await call
        assert type(caught.value) is ValueError


async def test_a_command_is_a_list(alice: GnuPG) -> None:
    wrong: Any
    for wrong in ("gpg", b"gpg", [], (), ""):
        for call in (alice.run_command, alice.read_output):
            with pytest.raises(TypeError, match="a list of arguments"):
                await call(wrong)


@pytest.mark.parametrize("form", [bytearray, memoryview])
async def test_what_is_like_bytes_is_bytes(alice: GnuPG, bob: GnuPG, form: Any) -> None:
    message: Any = await alice.encrypt(form(b"octets"), BOB)
    assert await bob.decrypt(form(message)) == b"octets"
    signature: Any = await alice.sign(form(b"octets"), detach=True)
    assert len((await bob.verify(form(b"octets"), form(signature))).signatures) == 1
    [sealed] = await all_of(alice.encrypt_many([form(b"octets")], BOB))
    assert await all_of(bob.decrypt_many([form(sealed)])) == [b"octets"]
    assert len(await alice.packets(form(message))) == len(await alice.packets(message))


#: Each method that takes a uid, and what it gives is compared with what the fingerprint gives.
UIDS: dict[str, Take] = {
    "keys": lambda gpg, uid: gpg.keys(uid),
    "list_keys": lambda gpg, uid: gpg.list_keys(uid),
    "raw_list_keys": lambda gpg, uid: gpg.raw_list_keys(uid),
    "key_fingerprint": lambda gpg, uid: gpg.key_fingerprint(uid),
    "key_email": lambda gpg, uid: gpg.key_email(uid),
    "key_trust": lambda gpg, uid: gpg.key_trust(uid),
    "text_export": lambda gpg, uid: gpg.text_export(uid),
    "file_export": lambda gpg, uid: gpg.file_export(Path(gpg.home).parent, uid),
    "certify": lambda gpg, uid: gpg.certify(uid),
    "sign(key)": lambda gpg, uid: gpg.sign(uid, key=True),
    "trust": lambda gpg, uid: gpg.trust(uid, 4),
    "delete": lambda gpg, uid: gpg.delete(uid),
}


OTHERS: dict[str, Take] = {
    "encrypt": lambda gpg, uid: gpg.encrypt("x", uid),
    "sign(local_user)": lambda gpg, uid: gpg.sign("x", uid),
}


async def test_a_key_is_a_uid(alice: GnuPG, bob: GnuPG) -> None:
    [key] = await alice.keys(BOB)
    exported = Path(alice.home).parent / f"{key.fingerprint}.asc"
    try:
        for name, take in UIDS.items():
            if name != "delete":
                assert await take(alice, key) == await take(alice, key.fingerprint), name
    finally:
        exported.unlink(missing_ok=True)
    uids: list[Any] = [key, [key], [ALICE, key], (one for one in (key,))]
    for uid in uids:
        assert await bob.decrypt(await alice.encrypt("x", uid)) == "x"
    [sealed] = [one async for one in alice.encrypt_many(["x"], key)]
    assert await bob.decrypt(sealed) == "x"
    [own] = await alice.keys(ALICE)
    assert await bob.decrypt(await alice.encrypt("x", key, local_user=own)) == "x"
    assert "MESSAGE" in await alice.sign("x", own)
    await alice.set_expire(own, "1y")
    await alice.delete(key)
    assert await alice.keys(key) == ()


@pytest.mark.parametrize("uid", [7, None, b"bob@example.org", 1.5])
@pytest.mark.parametrize("take", (UIDS | OTHERS).values(), ids=UIDS | OTHERS)
async def test_what_names_no_key_is_refused(alice: GnuPG, take: Take, uid: object) -> None:
    with pytest.raises(TypeError):
        await take(alice, uid)
    assert len(await alice.keys()) == 2


async def test_nobody_is_no_recipient_beside_a_passphrase(alice: GnuPG, tmp_path: Path) -> None:
    """A variable that was never set does not make a message that no key opens."""
    (tmp_path / "source").write_bytes(b"x")
    nobody: Any = None
    for call in (
        alice.encrypt("x", nobody, passphrase="words"),
        alice.encrypt_file(tmp_path / "source", nobody, passphrase="words"),
        all_of(alice.encrypt_stream([b"x"], nobody, passphrase="words")),
    ):
        with pytest.raises(TypeError):
            await call


@pytest.mark.parametrize("uids", [[""], ["", BOB], [BOB, ""], ("", "")])
async def test_an_empty_text_among_recipients_is_nobody(
    alice: GnuPG, tmp_path: Path, uids: list[str]
) -> None:
    source = tmp_path / "letter"
    source.write_text("x")
    for call in (
        alice.encrypt("x", uids),
        alice.encrypt("x", iter(uids)),
        alice.encrypt_file(source, uids),
        alice.auto_encrypt("x", uids),
        all_of(alice.encrypt_many(["x"], uids)),
        all_of(alice.encrypt_many(["x"], uids, sign=True)),
    ):
        with pytest.raises(ValueError, match="names nobody"):
            await call
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("name", ["executable", "options"])
def test_what_an_instance_was_made_with_cannot_be_set(alice: GnuPG, name: str) -> None:
    kept = getattr(alice, name)
    with pytest.raises(AttributeError):
        setattr(alice, name, "/usr/bin/other")
    assert getattr(alice, name) == kept


@pytest.mark.parametrize("text", ["x@x.org ", " x@x.org", "\u00a0x@x.org", "x@x.org\u3000", " "])
async def test_blanks_around_a_name_or_an_address_are_refused(alice: GnuPG, text: str) -> None:
    make: Callable[..., GnuPG] = GnuPG
    for name in ("email", "username"):
        with pytest.raises(ValueError, match="holds a blank"):
            make(**{name: text})
        with pytest.raises(ValueError, match="holds a blank"):
            setattr(alice, name, text)
    with pytest.raises(ValueError, match="holds a blank"):
        await alice.add_uid("", "New", text)
    with pytest.raises(ValueError, match="holds a blank"):
        await alice.add_uid("", text, "new@x.org")
    with pytest.raises(ValueError, match="holds a blank"):
        GnuPG(email="of two words@x.org")


@pytest.mark.parametrize("unit", ["x", "ü"])
async def test_a_passphrase_that_the_agent_cannot_carry_is_refused(
    alice: GnuPG, home: Path, make_gnupg: MakeGnuPG, unit: str
) -> None:
    most = unit * (255 // len(unit.encode()))
    for call in (lambda text: GnuPG(passphrase=text), partial(setattr, alice, "passphrase")):
        with pytest.raises(ValueError, match="more than 255 bytes"):
            call(most + unit)
    with pytest.raises(ValueError, match="more than 255 bytes"):
        await alice.change_passphrase("", most + unit)
    # And the longest one goes all the way.
    await alice.change_passphrase("", most)
    block = await alice.text_export(secret=True)
    other = make_gnupg(at=home / "other", passphrase=most)
    await other.text_import(block)
    assert "MESSAGE" in await other.sign("x")
    # A message's own passphrase is not the agent's.
    message = await alice.encrypt_symmetric("x", 2 * most)
    assert await other.decrypt(message, passphrase=2 * most) == "x"


async def test_moments_and_spans_are_expiries(alice: GnuPG) -> None:
    end = datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)
    await alice.set_expire("", end)
    [key] = await alice.keys(ALICE)
    assert {key.expires, *(part.expires for part in key.subkeys)} == {end}
    before = datetime.now(UTC)
    await alice.set_expire("", timedelta(days=10, hours=1))
    [key] = await alice.keys(ALICE)
    assert key.expires is not None
    assert key.expires - before >= timedelta(days=10, minutes=59)
    last = datetime(2106, 2, 6, 23, tzinfo=UTC)
    ends: tuple[datetime | str, ...] = (last, "2106-02-06")
    for expires in ends:
        await alice.set_expire("", expires)
        [late] = await alice.keys(ALICE)
        assert late.expires is not None
        assert late.expires.date() == last.date()


BEYOND = ["100y", "99999d", "seconds=9999999999", "2106-02-07", "2200-01-01", "21060207T000000"]


@pytest.mark.parametrize(
    "expires", [*BEYOND, datetime(2107, 1, 1, tzinfo=UTC), timedelta(days=40000), timedelta.max]
)
async def test_what_ends_beyond_the_32_bits_is_refused(alice: GnuPG, expires: Any) -> None:
    before = await alice.keys(ALICE)
    for call in (
        alice.set_expire("", expires),
        alice.gen_key(expires=expires),
        alice.add_subkeys(expires=expires),
    ):
        with pytest.raises(ValueError, match="beyond 2106-02-06"):
            await call
    assert await alice.keys(ALICE) == before


#: What takes other text than a message or a uid, and is given what is none.
TEXTS: dict[str, Take] = {
    "decrypt(passphrase)": lambda gpg, text: gpg.decrypt(b"x", passphrase=text),
    "decrypt_file(passphrase)": lambda gpg, text: gpg.decrypt_file(
        __file__, "out", passphrase=text
    ),
    "encrypt_symmetric": lambda gpg, text: gpg.encrypt_symmetric("x", text),
    "search": lambda gpg, text: gpg.search(text),
    "raw_search": lambda gpg, text: gpg.raw_search(text),
    "network_import": lambda gpg, text: gpg.network_import(text),
    "wkd_import": lambda gpg, text: gpg.wkd_import(text),
    "read_output": lambda gpg, text: gpg.read_output(["gpg", text]),
    "run_command": lambda gpg, text: gpg.run_command([*gpg.command(), text]),
    "add_uid(name)": lambda gpg, text: gpg.add_uid("", text, BOB),
    "add_uid(email)": lambda gpg, text: gpg.add_uid("", "Bob", text),
    "revoke_uid": lambda gpg, text: gpg.revoke_uid("", text),
    "change_passphrase": lambda gpg, text: gpg.change_passphrase("", text),
}


@pytest.mark.parametrize("take", TEXTS.values(), ids=TEXTS)
async def test_what_is_no_text_is_refused(
    alice: GnuPG, take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    texts: list[Any] = [7, 0, False, [], b"", b"x", 1.5]
    for text in texts:
        with pytest.raises(TypeError):
            await take(alice, text)


def test_what_is_no_path_is_no_homedir() -> None:
    paths: list[Any] = [0, False, [], 1.5]
    for path in paths:
        with pytest.raises(TypeError):
            GnuPG(homedir=path)
