"""Several signers, a passphrase beside recipients, and recipients of whom some are hidden."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, MakeGnuPG, PlainGpg, alice_at, gpg_behind
from tests.openpgp import without_user_ids
from tiny_gnupg import BadPassphrase, GnuPG, KeyNotFound, UnusableKey, mail
from tiny_gnupg._openpgp.armor import dearmor

TEXT = b"what two signed"
NEW = "alice@example.net"
WORDS = "open sesame é"


async def other_key(alice: GnuPG, home: Path) -> str:
    """Make another key of Alice's, as in a transition."""
    async with alice_at(home) as other:
        other.email = NEW
        return await other.gen_key()


async def _joined(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


def _source(folder: Path) -> Path:
    path = folder / "text"
    path.write_bytes(TEXT)
    return path


Make = Callable[[GnuPG, list[str], Path], Awaitable[bytes]]


async def _sign_file(gpg: GnuPG, by: list[str], folder: Path) -> bytes:
    made = await gpg.sign_file(_source(folder), detach=False, local_user=by)
    return made.read_bytes()


async def _encrypt_file(gpg: GnuPG, by: list[str], folder: Path) -> bytes:
    return (await gpg.encrypt_file(_source(folder), local_user=by)).read_bytes()


async def _encrypt_symmetric_file(gpg: GnuPG, by: list[str], folder: Path) -> bytes:
    source = _source(folder)
    made = await gpg.encrypt_symmetric_file(source, WORDS, sign=True, local_user=by, armor=True)
    assert made == folder / "text.asc"
    return made.read_bytes()


async def _encrypt_many(gpg: GnuPG, by: list[str], _: Path) -> bytes:
    made = [one async for one in gpg.encrypt_many([TEXT] * 2, sign=True, local_user=iter(by))]
    assert len(made) == 2
    return made[1]


SIGNING: dict[str, Make] = {
    "sign": lambda gpg, by, _: gpg.sign(TEXT, by),
    "sign_file": _sign_file,
    "sign_stream": lambda gpg, by, _: _joined(gpg.sign_stream([TEXT], local_user=by)),
    "encrypt": lambda gpg, by, _: gpg.encrypt(TEXT, local_user=by),
    "encrypt_file": _encrypt_file,
    "encrypt_stream": lambda gpg, by, _: _joined(gpg.encrypt_stream([TEXT], local_user=by)),
    "encrypt_many": _encrypt_many,
    "auto_encrypt": lambda gpg, by, _: gpg.auto_encrypt(TEXT, local_user=by),
    "encrypt_symmetric": lambda gpg, by, _: gpg.encrypt_symmetric(
        TEXT, WORDS, sign=True, local_user=by
    ),
    "encrypt_symmetric_file": _encrypt_symmetric_file,
}


@pytest.mark.usefixtures("both_ways")
async def test_each_of_several_signers_signs_once_however_it_is_named(
    alice: GnuPG, bob: GnuPG, alices_home: Path, tmp_path: Path, plain_gpg: Callable[..., PlainGpg]
) -> None:
    first, second = alice.fingerprint, await other_key(alice, alices_home)
    await bob.text_import(await alice.text_export(second))
    names = [ALICE, NEW, first, second, (await alice.keys(first))[0].subkeys[0].fingerprint]
    for name, make in SIGNING.items():
        folder = tmp_path / name
        folder.mkdir()
        message = await make(alice, names, folder)
        reader = alice if "encrypt" in name else bob
        words = WORDS if "symmetric" in name else None
        found = (await reader.decrypt_verify(message, passphrase=words)).require_signed()
        assert found.data == TEXT, name
        assert sorted(one.primary_fingerprint for one in found.signatures) == sorted(
            [first, second]
        ), name
    stranger = plain_gpg()
    for fingerprint in (first, second):
        stranger.run("--import", stdin=await alice.text_export(fingerprint))
    for form in ({"detach": True}, {"clear": True}):
        signed = await alice.sign(TEXT + b"\n", [first, second], **form)
        found_by_alice = (
            await bob.verify(TEXT + b"\n", signed) if "detach" in form else await bob.verify(signed)
        )
        assert found_by_alice.signed_by(first)
        assert found_by_alice.signed_by(second)
        (tmp_path / "sig").write_bytes(signed)
        data = ["-"] if "detach" in form else []
        said = stranger.run(
            *("--status-fd", "1", "--verify"), str(tmp_path / "sig"), *data, stdin=TEXT + b"\n"
        ).stdout
        assert said.count(b"GOODSIG") == said.count(b"VALIDSIG") == 2, "as plain gpg has it"


async def test_where_one_cannot_sign_nobody_does(
    alice: GnuPG, alices_home: Path, tmp_path: Path
) -> None:
    second = await other_key(alice, alices_home)
    cases: list[tuple[str, type[Exception]]] = [(BOB, UnusableKey), ("F" * 40, KeyNotFound)]
    for uid, error in cases:
        with pytest.raises(error):
            await alice.sign(TEXT, [alice.fingerprint, uid])
    await alice.revoke(second)
    for name, make in SIGNING.items():
        folder = tmp_path / name
        folder.mkdir()
        for order in ([second, ALICE], [ALICE, second]):
            with pytest.raises(UnusableKey, match="revoked"):
                await make(alice, order, folder)
        assert [path.name for path in folder.iterdir()] in ([], ["text"]), "nothing half"
    for nobody in ([], [""], ["", ALICE]):
        with pytest.raises(ValueError, match="signer"):
            await alice.sign(TEXT, nobody)
    with pytest.raises(TypeError):
        await alice.sign(BOB, [ALICE, second], key=True)


async def test_a_mail_carries_the_signatures_of_both(alice: GnuPG, alices_home: Path) -> None:
    second = await other_key(alice, alices_home)
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = ALICE, ALICE, "moving"
    letter.set_content("my new key")
    signed = await mail.sign(alice, letter, local_user=[ALICE, second])
    assert signed.get_param("micalg") == "pgp-sha512"
    sealed = await mail.encrypt(alice, letter, local_user=[ALICE, second])
    for opened in (await mail.verify(alice, signed), await mail.decrypt(alice, sealed)):
        assert {one.primary_fingerprint for one in opened.signatures} == {
            alice.fingerprint,
            second,
        }


ENCRYPTING: dict[str, Callable[..., Awaitable[bytes]]] = {
    "encrypt": lambda gpg, _, **how: gpg.encrypt(TEXT, BOB, **how),
    "encrypt_stream": lambda gpg, _, **how: _joined(gpg.encrypt_stream([TEXT], BOB, **how)),
    "encrypt_file": lambda gpg, folder, **how: _read(
        gpg.encrypt_file(_source(folder), BOB, overwrite=True, **how)
    ),
    "auto_encrypt": lambda gpg, _, **how: gpg.auto_encrypt(TEXT, BOB, **how),
}


async def _read(made: Awaitable[Path]) -> bytes:
    return (await made).read_bytes()


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("method", ENCRYPTING)
async def test_the_key_opens_it_and_so_does_the_passphrase(
    alice: GnuPG, bob: GnuPG, tmp_path: Path, plain_gpg: Callable[..., PlainGpg], method: str
) -> None:
    stranger = plain_gpg(WORDS)
    stranger.run("--import", stdin=await alice.text_export())
    for sign in (True, False):
        message = await ENCRYPTING[method](alice, tmp_path, sign=sign, passphrase=WORDS)
        found = await bob.decrypt_verify(message)
        assert (found.data, found.symmetric, len(found.recipients)) == (TEXT, True, 1)
        assert len(found.signatures) == sign
        assert await alice.decrypt(message, passphrase=WORDS) == TEXT
        with pytest.raises(BadPassphrase):
            await alice.decrypt(message)  # the instance's own is not tried on it
        opened = stranger.run("--status-fd", "2", "--decrypt", stdin=message)
        assert opened.stdout == TEXT
        assert (b"GOODSIG" in opened.stderr) is sign
    for bad in ("", "two\nlines"):
        with pytest.raises(ValueError, match="passphrase"):
            await ENCRYPTING[method](alice, tmp_path, passphrase=bad)


async def test_a_wrong_passphrase_of_ones_keys_is_told_beside_that_of_the_message(
    alices_home: Path,
) -> None:
    async with alice_at(alices_home, passphrase="wrong") as gpg:
        await gpg.set_fingerprint(ALICE)
        for call in (
            gpg.encrypt(TEXT, BOB, passphrase=WORDS),
            gpg.encrypt_symmetric(TEXT, WORDS, sign=True),
        ):
            with pytest.raises(BadPassphrase):
                await call


@pytest.mark.parametrize("method", ENCRYPTING)
async def test_only_those_are_hidden_that_shall_be(
    alice: GnuPG, bob: GnuPG, tmp_path: Path, plain_gpg: Callable[..., PlainGpg], method: str
) -> None:
    [key] = await alice.keys(BOB)
    part = next(one for one in key.subkeys if "e" in one.capabilities)
    for hidden in (
        BOB,
        key,
        [key.fingerprint],
        part.fingerprint,
        f"{part.fingerprint}!",
        part.key_id,
    ):
        message = await ENCRYPTING[method](alice, tmp_path, hidden=hidden)
        assert (await bob.decrypt_verify(message)).recipients == ("0" * 16,)
    for uids in ([ALICE, BOB], [BOB, alice.fingerprint, key.fingerprint, part.fingerprint]):
        message = await alice.encrypt(TEXT, uids, hidden=[BOB])
        found = await bob.decrypt_verify(message)
        assert sorted(found.recipients)[0] == "0" * 16
        assert part.key_id not in found.recipients, "named twice, and hidden as both"
        assert len(found.recipients) == 2
        assert await alice.decrypt(message) == TEXT
        dump = plain_gpg().run("--list-packets", "--list-only", stdin=message, check=False).stdout
        assert part.key_id.encode() not in dump.upper()
    for nobody in (ALICE, [BOB, ALICE], ""):
        with pytest.raises(ValueError, match="no recipient"):
            await ENCRYPTING[method](alice, tmp_path, hidden=nobody)
    with pytest.raises(KeyNotFound):
        await ENCRYPTING[method](alice, tmp_path, hidden="carol@example.org")


async def test_a_file_to_a_passphrase_opens_by_it_alone(
    alice: GnuPG, bob: GnuPG, tmp_path: Path, plain_gpg: Callable[..., PlainGpg]
) -> None:
    made = await alice.encrypt_symmetric_file(_source(tmp_path), WORDS)
    assert made == tmp_path / "text.gpg"
    assert plain_gpg(WORDS).run("--decrypt", str(made)).stdout == TEXT
    plain = await bob.decrypt_file(made, tmp_path / "plain", passphrase=WORDS)
    assert plain.read_bytes() == TEXT
    with pytest.raises(BadPassphrase):
        await bob.decrypt_file(made, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(FileExistsError):
        await alice.encrypt_symmetric_file(tmp_path / "text", WORDS)
    for none in (None, ""):
        with pytest.raises(ValueError, match="passphrase"):
            await alice.encrypt_symmetric_file(tmp_path / "text", none, overwrite=True)


async def test_a_key_without_user_ids_takes_messages_while_others_write_the_keyring(
    alice: GnuPG, bob: GnuPG, make_gnupg: MakeGnuPG, tmp_path: Path
) -> None:
    """What was looked up of a key counts no more before the next gpg runs."""
    uid = (await alice.keys(BOB))[0].fingerprint
    bare = without_user_ids(dearmor((await alice.text_export(BOB)).encode()))
    await alice.delete(BOB)
    await alice.text_import(bare)
    touch = f"touch {alice.home}/pubring.kbx"
    touching = gpg_behind(tmp_path / "gpg", f'case "$*" in *--list-keys*) {touch};; esac')
    busy = make_gnupg(alice_at, executable=touching)
    for name in (uid, f"{(await bob.own()).subkeys[-1].fingerprint}!"):
        assert await bob.decrypt(await busy.encrypt(TEXT, name, sign=False)) == TEXT
