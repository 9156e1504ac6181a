"""Secret keys that enter and leave a home whose passphrases are stretched."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.instances import ALICE, MakeGnuPG, PlainGpg, alice_at, cheap
from tiny_gnupg import BadPassphrase, GnuPG, ImportFailed
from tiny_gnupg._home.key_files import is_untouched, keygrips

MakePlain = Callable[..., PlainGpg]
OLD = "old@example.org"


def untouched(home: Path) -> bool:
    """Return whether a key of the home is still protected as it came in."""
    return any(map(is_untouched, (home / "private-keys-v1.d").glob("*.key")))


def sealed(passphrase: str, plain_gpg: MakePlain, name: str = OLD) -> tuple[str, str]:
    """Make a signing key elsewhere; return its fingerprint and its secret block."""
    gpg = plain_gpg(passphrase)
    fingerprint = gpg.new_key(name, algorithm="ed25519", usage="sign,cert")
    return fingerprint, gpg.run("--armor", "--export-secret-keys", fingerprint).stdout.decode()


# -- out -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("measured")
async def test_what_leaves_opens_in_any_tool_with_the_users_own_words(
    alice: GnuPG, plain_gpg: MakePlain
) -> None:
    block = await alice.text_export(secret=True)
    message = await alice.encrypt("for the owner")
    elsewhere = plain_gpg(alice.passphrase)
    elsewhere.run("--import", stdin=block)
    assert elsewhere.run("--decrypt", stdin=message).stdout == b"for the owner"
    signed = elsewhere.run("--armor", "--sign", stdin="signed elsewhere").stdout.decode()
    assert await alice.decrypt(signed) == "signed elsewhere"
    wrong = PlainGpg(elsewhere.home, await alice.agent_passphrase())
    elsewhere.end_agent()
    assert wrong.run("--sign", stdin="x", check=False).returncode == 2
    # Out there nothing has stretched it before: the count is gpg's own, of this machine.
    printed = elsewhere.run("--list-packets", stdin=block).stdout.decode()
    counts = [int(count) for count in re.findall(r"protect count: (\d+)", printed)]
    assert len(counts) == 4
    assert min(counts) >= 10 * 65536
    # And in here it is as it was.
    assert await alice.decrypt(message) == "for the owner"


async def test_a_wrong_passphrase_exports_nothing(alices_home: Path, tmp_path: Path) -> None:
    async with alice_at(alices_home, passphrase="wrong") as wrong:
        with pytest.raises(BadPassphrase):
            await wrong.text_export(ALICE, secret=True)
        with pytest.raises(BadPassphrase):
            await wrong.file_export(tmp_path, ALICE, secret=True)
    assert list(tmp_path.iterdir()) == []


async def test_a_cancelled_export_leaves_no_copy_of_the_key(alice: GnuPG, home: Path) -> None:
    state = home / "tiny_gnupg.d"
    for there in ("scratch.*", "scratch.*/private-keys-v1.d/*.key", "scratch.*/pubring.kbx"):
        task = asyncio.ensure_future(alice.text_export(secret=True))
        while not task.done() and not list(state.glob(there)):  # noqa: ASYNC110
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert list(state.glob("scratch.*")) == []


async def test_a_key_without_a_passphrase_leaves_without_one(
    home: Path, make_gnupg: MakeGnuPG, plain_gpg: MakePlain
) -> None:
    gpg = make_gnupg(passphrase="")
    fingerprint = await gpg.gen_key()
    elsewhere = plain_gpg("")
    elsewhere.run("--import", stdin=await gpg.text_export(secret=True))
    assert b"SIGNED" in elsewhere.run("--clearsign", "-u", fingerprint, stdin="x").stdout


# -- in ------------------------------------------------------------------------------------


async def test_what_comes_in_under_the_users_words_is_taken_over_at_once(
    alice: GnuPG, home: Path, plain_gpg: MakePlain, make_gnupg: MakeGnuPG
) -> None:
    fingerprint, block = sealed(alice.passphrase, plain_gpg)
    result = await alice.text_import(block)
    assert (result.fingerprints, result.secret_imported) == ((fingerprint,), 1)
    assert not untouched(home)
    assert "MESSAGE" in await alice.sign("x", fingerprint)
    with pytest.raises(BadPassphrase):
        await make_gnupg(passphrase="wrong").sign("x", fingerprint)
    again = await alice.text_import(block)
    assert (again.secret_imported, again.unchanged) == (0, 1)
    assert "MESSAGE" in await alice.sign("x", fingerprint)


@pytest.mark.parametrize("use", ["sign", "add_uid", "set_expire", "text_export", "change"])
async def test_what_comes_in_under_other_words_is_taken_over_at_their_first_use(
    alice: GnuPG, home: Path, plain_gpg: MakePlain, make_gnupg: MakeGnuPG, use: str
) -> None:
    fingerprint, block = sealed("of its own", plain_gpg)
    assert (await alice.text_import(block)).secret_imported == 1
    assert untouched(home)
    with pytest.raises(BadPassphrase):
        await alice.sign("x", fingerprint)
    assert untouched(home)
    owner = make_gnupg(passphrase="of its own")
    uses: dict[str, Callable[[], Awaitable[object]]] = {
        "sign": lambda: owner.sign("x", fingerprint),
        "add_uid": lambda: owner.add_uid(fingerprint, "New", "new@example.org"),
        "set_expire": lambda: owner.set_expire(fingerprint, "1y"),
        "text_export": lambda: owner.text_export(fingerprint, secret=True),
        "change": lambda: owner.change_passphrase(fingerprint, "of its own"),
    }
    await uses[use]()
    assert "MESSAGE" in await owner.sign("x", fingerprint)
    assert not untouched(home)
    assert "MESSAGE" in await alice.sign("x")


@pytest.mark.parametrize("use", ["revoke", "add_subkeys", "certify"])
async def test_a_key_under_other_words_can_be_used_for_anything_first(
    alice: GnuPG, plain_gpg: MakePlain, make_gnupg: MakeGnuPG, use: str
) -> None:
    fingerprint, block = sealed("of its own", plain_gpg)
    await alice.text_import(block)
    owner = make_gnupg(passphrase="of its own")
    uses: dict[str, Callable[[], Awaitable[object]]] = {
        "revoke": lambda: owner.revoke(fingerprint),
        "add_subkeys": lambda: owner.add_subkeys(fingerprint),
        "certify": lambda: owner.sign(ALICE, fingerprint, key=True),
    }
    await uses[use]()
    assert await owner.key_trust(fingerprint) == ("revoked" if use == "revoke" else "unknown")


async def test_several_keys_in_one_block_each_keep_their_words(
    alice: GnuPG, plain_gpg: MakePlain, make_gnupg: MakeGnuPG
) -> None:
    first, one = sealed(alice.passphrase, plain_gpg, "one@example.org")
    second, two = sealed("another", plain_gpg, "two@example.org")
    result = await alice.text_import(one + two)
    assert set(result.fingerprints) == {first, second}
    assert result.secret_imported == 2
    assert "MESSAGE" in await alice.sign("x", first)
    assert "MESSAGE" in await make_gnupg(passphrase="another").sign("x", second)


async def test_a_key_without_a_passphrase_comes_in(alice: GnuPG, plain_gpg: MakePlain) -> None:
    fingerprint, block = sealed("", plain_gpg)
    assert (await alice.text_import(block)).secret_imported == 1
    assert "MESSAGE" in await alice.sign("x", fingerprint)


async def test_subkeys_without_their_primary_key_come_in_and_leave(
    home: Path, make_gnupg: MakeGnuPG, plain_gpg: MakePlain
) -> None:
    elsewhere = plain_gpg("laptop")
    fingerprint = elsewhere.new_key(OLD, algorithm="ed25519", usage="cert")
    elsewhere.run("--quick-add-key", fingerprint, "ed25519", "sign", "never")
    block = elsewhere.run("--armor", "--export-secret-subkeys", fingerprint).stdout
    gpg = make_gnupg(at=cheap(home), passphrase="laptop")
    assert (await gpg.text_import(block)).fingerprints == (fingerprint,)
    [key] = await gpg.keys()
    assert [sub.secret for sub in key.subkeys] == [True]
    assert not untouched(home)
    signed = await gpg.sign("x", fingerprint)
    again = plain_gpg("laptop")
    again.run("--import", stdin=await gpg.text_export(fingerprint, secret=True))
    assert b"x" in again.run("--decrypt", stdin=signed).stdout
    assert b"SIGNED" in again.run("--clearsign", stdin="x").stdout


async def test_a_piece_of_a_block_imports_nothing_and_leaves_nothing(
    alice: GnuPG, home: Path, plain_gpg: MakePlain
) -> None:
    _, block = sealed("", plain_gpg)
    before = sorted(path.name for path in (home / "private-keys-v1.d").iterdir())
    with pytest.raises(ImportFailed):
        await alice.text_import("\n".join(block.splitlines()[:3]))  # within the first packet
    assert sorted(path.name for path in (home / "private-keys-v1.d").iterdir()) == before
    assert len(await alice.list_keys()) == 2


@pytest.mark.parametrize("part", range(4))
async def test_nothing_is_changed_of_a_key_with_two_passphrases(
    alice: GnuPG, home: Path, other_home: Path, part: int
) -> None:
    """gpg calls it a success where the last part that it tries changes, whatever of the others."""
    [key] = await alice.keys(ALICE)
    path = home / "private-keys-v1.d" / f"{keygrips(key)[part]}.key"
    kept = path.read_bytes()
    old = alice.passphrase
    await alice.change_passphrase("", "new")
    path.write_bytes(kept)
    before = {one.name: one.read_bytes() for one in path.parent.iterdir()}
    for passphrase in ("new", old):
        alice.passphrase = passphrase
        with pytest.raises(BadPassphrase):
            await alice.change_passphrase("", "newer")
        assert {one.name: one.read_bytes() for one in path.parent.iterdir()} == before
        async with alice_at(cheap(other_home), passphrase=passphrase) as again:
            with pytest.raises(BadPassphrase):
                await again.restore(home)
            assert await again.keys() == ()


# -- a home that keeps gpg's own way -------------------------------------------------------


async def test_in_gnupgs_own_way_a_key_stays_under_the_users_words(
    home: Path, make_gnupg: MakeGnuPG, plain_gpg: MakePlain
) -> None:
    fingerprint, block = sealed("the words", plain_gpg)
    gpg = make_gnupg(at=home / "new", passphrase="the words", protection="gnupg")
    assert await gpg.agent_passphrase() == "the words"
    await gpg.text_import(block)
    assert "MESSAGE" in await gpg.sign("x", fingerprint)
    with pytest.raises(BadPassphrase):
        await make_gnupg(at=home / "new", passphrase="wrong").sign("x", fingerprint)
    back = await gpg.text_export(fingerprint, secret=True)
    other = plain_gpg("the words")
    other.run("--import", stdin=back)
    assert b"SIGNED" in other.run("--clearsign", stdin="x").stdout
    await gpg.change_passphrase(fingerprint, "newer words")
    newer = make_gnupg(at=home / "new", passphrase="newer words")
    assert "MESSAGE" in await newer.sign("x", fingerprint)


# -- words that are easily lost on the way -------------------------------------------------

WORDS = (" blanks ", "tab\there", "ünï 𝄞 ", "%41%0A", '"q" \\n', "x" * 200)


@pytest.mark.parametrize("words", WORDS)
async def test_any_words_go_in_as_they_are(
    home: Path, make_gnupg: MakeGnuPG, plain_gpg: MakePlain, words: str
) -> None:
    gpg = make_gnupg(at=cheap(home), passphrase=words)
    fingerprint, block = sealed(words, plain_gpg)
    await gpg.text_import(block)
    assert not untouched(home)
    assert "MESSAGE" in await gpg.sign("x", fingerprint)


async def test_any_words_go_out_as_they_are(
    home: Path, make_gnupg: MakeGnuPG, plain_gpg: MakePlain
) -> None:
    words = "".join(WORDS[:-1])
    gpg = make_gnupg(at=cheap(home), passphrase=words)
    fingerprint, block = sealed(words, plain_gpg)
    await gpg.text_import(block)
    elsewhere = plain_gpg(words)
    elsewhere.run("--import", stdin=await gpg.text_export(fingerprint, secret=True))
    assert b"SIGNED" in elsewhere.run("--clearsign", stdin="x").stdout


async def test_what_comes_by_a_pipe_is_signed_whole(
    alice: GnuPG, plain_gpg: MakePlain, make_gnupg: MakeGnuPG, tmp_path: Path
) -> None:
    # To take such a key over is a second try elsewhere, and a pipe can be read only once.
    fingerprint, block = sealed("of its own", plain_gpg)
    await alice.text_import(block)

    async def sign(gpg: GnuPG) -> bytes:
        reader, writer = os.pipe()
        try:
            os.write(writer, b"all of it")
            os.close(writer)
            made = await gpg.sign_file(
                f"/dev/fd/{reader}", tmp_path / "signed", detach=False, local_user=fingerprint
            )
        finally:
            os.close(reader)
        return made.read_bytes()

    with pytest.raises(BadPassphrase):
        await sign(alice)
    assert not (tmp_path / "signed").exists()
    signed = await sign(make_gnupg(passphrase="of its own"))
    assert (await alice.decrypt_verify(signed)).require_good().data == b"all of it"
