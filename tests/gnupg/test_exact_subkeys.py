"""A ``!`` behind a fingerprint or key id: exactly that part of the key, wherever one is used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.instances import MakeGnuPG, PlainGpg, cheap
from tiny_gnupg import Capability, GnuPG, Key, KeyNotFound, UnusableKey


def names(key: Key, capability: Capability) -> list[str]:
    """Return the fingerprints of a key's subkeys with a capability."""
    return [part.fingerprint for part in key.subkeys if capability in part.capabilities]


@pytest.fixture
async def two(alice: GnuPG, bob: GnuPG) -> Key:
    """Alice's key with two subkeys of each kind, as Bob knows it too."""
    await alice.add_subkeys()
    await bob.text_import(await alice.text_export())
    [key] = await alice.keys(alice.fingerprint)
    return key


async def test_two_subkeys_of_one_key_are_two_recipients(
    bob: GnuPG, two: Key, tmp_path: Path
) -> None:
    exact = names(two, Capability.ENCRYPT)
    ids = sorted(name[-16:] for name in exact)
    (tmp_path / "source").write_text("x")
    for form in ("{}!", "0x{}!", "{} !"):
        uids = [form.format(name) for name in exact]
        found = await bob.packets(await bob.encrypt("x", uids, sign=False))
        assert sorted(one.fields["keyid"] for one in found if one.tag == 1) == ids
    uids = [f"{name[-16:].lower()}!" for name in exact]
    sealed = [
        await bob.encrypt(b"x", uids),
        await bob.auto_encrypt(b"x", uids),
        (await bob.encrypt_file(tmp_path / "source", uids)).read_bytes(),
        *[one async for one in bob.encrypt_many([b"x"], uids)],
    ]
    for message in sealed:
        found = await bob.packets(message)
        assert sorted(one.fields["keyid"] for one in found if one.tag == 1) == ids


async def test_exactly_that_subkey_is_encrypted_to(alice: GnuPG, bob: GnuPG, two: Key) -> None:
    for name in names(two, Capability.ENCRYPT):
        for uid in (f"{name}!", f"{name[-16:]}!"):
            found = await alice.decrypt_verify(await bob.encrypt("x", uid))
            assert found.recipients == (name[-16:],)


async def through_streams(gpg: GnuPG, uid: str) -> bytes:
    return b"".join([piece async for piece in gpg.encrypt_stream([b"x"], uid, sign=False)])


async def through_a_pipe(gpg: GnuPG, uid: str, folder: Path) -> bytes:
    ends = os.pipe()
    try:
        os.write(ends[1], b"x")
        os.close(ends[1])
        made = await gpg.encrypt_file(f"/dev/fd/{ends[0]}", uid, folder / "sealed", sign=False)
        return made.read_bytes()
    finally:
        os.close(ends[0])


async def test_what_comes_once_is_refused_in_the_same_words(
    alice: GnuPG, two: Key, tmp_path: Path
) -> None:
    """gpg says of a key that cannot encrypt what it says of one that is not there."""
    [signing, _] = names(two, Capability.SIGN)
    exact = [f"{signing}!", f"{two.fingerprint}!"]
    for name in names(two, Capability.ENCRYPT):
        await alice.revoke_subkey("", name)
    for uid in (*exact, two.fingerprint, f"{names(two, Capability.ENCRYPT)[0]}!"):
        said = []
        for work in (
            alice.encrypt("x", uid, sign=False),
            through_streams(alice, uid),
            through_a_pipe(alice, uid, tmp_path),
        ):
            with pytest.raises(UnusableKey) as caught:
                await work
            said.append((str(caught.value), caught.value.hint))
        assert len({*said}) == 1, said
    for work in (through_streams(alice, "A" * 40), through_a_pipe(alice, "A" * 40, tmp_path)):
        with pytest.raises(KeyNotFound):
            await work


async def test_exactly_that_subkey_signs(
    alice: GnuPG, bob: GnuPG, two: Key, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_text("x")
    for name in names(two, Capability.SIGN):
        for uid in (f"{name}!", f"{name[-16:]}!"):
            signed = [
                (await bob.verify(await alice.sign("x", uid))).signatures,
                (await bob.verify("x", await alice.sign("x", uid, detach=True))).signatures,
                (await bob.verify(await alice.sign("x", uid, clear=True))).signatures,
                (
                    await bob.verify_file(
                        source, await alice.sign_file(source, local_user=uid, overwrite=True)
                    )
                ).signatures,
                (
                    await bob.decrypt_verify(await alice.encrypt("x", bob.email, local_user=uid))
                ).signatures,
            ]
            assert [[one.fingerprint for one in found] for found in signed] == [[name]] * 5


@pytest.mark.parametrize("secret", [False, True])
async def test_exactly_that_subkey_is_exported(
    alice: GnuPG, two: Key, tmp_path: Path, secret: bool
) -> None:
    for part in two.subkeys:
        for uid in (f"{part.fingerprint}!", f"{part.key_id}!"):
            path = await alice.file_export(tmp_path, uid, secret=secret)
            assert path.name == f"{two.fingerprint}.asc"
            for block in (await alice.text_export(uid, secret=secret), path.read_text()):
                [key] = await alice.scan(block)
                assert key.fingerprint == two.fingerprint
                assert [one.fingerprint for one in key.subkeys] == [part.fingerprint]
                assert key.secret is secret
    [whole] = await alice.scan(await alice.text_export(secret=secret))
    assert len(whole.subkeys) == len(two.subkeys)


async def test_where_a_key_is_meant_it_names_the_key(alice: GnuPG, two: Key) -> None:
    for part in two.subkeys:
        for uid in (f"{part.fingerprint}!", f"{part.key_id}!"):
            assert await alice.keys(uid) == (two,)
            assert await alice.key_fingerprint(uid) == two.fingerprint
    with pytest.raises(KeyNotFound):
        await alice.encrypt("x", "!")
    with pytest.raises(KeyNotFound):
        await alice.encrypt("x", f"{'0' * 40}!")


async def test_a_part_that_cannot_do_it_is_named(alice: GnuPG, bob: GnuPG, two: Key) -> None:
    signing, encrypting = names(two, Capability.SIGN)[0], names(two, Capability.ENCRYPT)[0]
    for uid in (f"{signing}!", f"{signing[-16:]}!", f"{two.fingerprint}!"):
        with pytest.raises(UnusableKey, match="cannot encrypt"):
            await bob.encrypt("x", uid, sign=False)
    for uid in (f"{encrypting}!", f"{encrypting[-16:]}!", f"{two.fingerprint}!"):
        with pytest.raises(UnusableKey, match="cannot sign"):
            await alice.sign("x", uid)


async def test_an_expired_part_is_named_beside_one_that_is_alive(
    home: Path, make_gnupg: MakeGnuPG
) -> None:
    plain, past = PlainGpg(home), "--faked-system-time=20200101T000000!"
    cheap(home)
    plain.run(past, "--quick-generate-key", "Svc <svc@example.org>", "ed25519", "cert", "never")
    listed = plain.run("--with-colons", "-k").stdout.decode().split("\nfpr:")[1]
    fingerprint = listed.lstrip(":").split(":")[0]
    for usage, algorithm in (("sign", "ed25519"), ("encr", "cv25519")):
        plain.run(past, "--quick-add-key", fingerprint, algorithm, usage, "1d")
        plain.run("--quick-add-key", fingerprint, algorithm, usage, "never")
    gpg = make_gnupg(passphrase="")
    [key] = await gpg.keys(fingerprint)
    dead = [part for part in key.subkeys if part.expired]
    assert len(dead) == 2
    for part in dead:
        for uid in (f"{part.fingerprint}!", f"{part.key_id}!"):
            told = f"its subkey {part.fingerprint} expired on 2020-01-02"
            signs = Capability.SIGN in part.capabilities
            use = gpg.sign("x", uid) if signs else gpg.encrypt("x", uid, sign=False)
            with pytest.raises(UnusableKey, match=told):
                await use
    assert "MESSAGE" in await gpg.sign("x", fingerprint)
    assert await gpg.decrypt(await gpg.encrypt("x", fingerprint, sign=False)) == "x"
