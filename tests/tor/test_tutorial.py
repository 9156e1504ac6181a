"""The tutorial of tiny_gnupg 0.5.2, call by call, through real Tor to a keyserver."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.instances import MakeGnuPG, cheap
from tests.tor.network import PrivateNetwork
from tests.tor.processes import KeyserverProcess
from tiny_gnupg import GnuPG
from tiny_gnupg._network.keyserver import DEFAULT_KEYSERVER
from tiny_gnupg.errors import KeyNotFound

pytestmark = pytest.mark.tor

ME, FRIEND = "username@user.net", "alice@email.domain"


@pytest.fixture
async def me(make_gnupg: MakeGnuPG, home: Path, tor: PrivateNetwork) -> GnuPG:
    """The tutorial's reader."""
    return make_gnupg(
        lambda at, **more: GnuPG("username", ME, "my passphrase", homedir=at, **more),
        cheap(home),
        tor_port=tor.socks_port,
    )


@pytest.fixture
async def friend(make_gnupg: MakeGnuPG, other_home: Path, tor: PrivateNetwork) -> GnuPG:
    """The tutorial's friend, who has a home of her own."""
    return make_gnupg(
        lambda at, **more: GnuPG("Alice", FRIEND, "her passphrase", homedir=at, **more),
        cheap(other_home),
        tor_port=tor.socks_port,
    )


async def test_the_tutorial_of_0_5_2_runs_as_it_is_written(
    me: GnuPG, friend: GnuPG, keyserver: KeyserverProcess, tmp_path: Path
) -> None:
    await friend.gen_key()
    await friend.network_export(friend.fingerprint)
    keyserver.confirm_all()

    # A key of one's own, and a command of one's own.
    await me.gen_key()
    assert len(me.fingerprint) == 40
    command = me.command("--armor", "--encrypt", "-r", me.fingerprint)
    inputs = me.encode_inputs("Message to myself")
    to_myself = await me.read_output(command, inputs)
    assert await me.decrypt(to_myself) == "Message to myself\n"
    assert await me.list_keys() == {me.fingerprint: ME}
    assert await me.list_keys(ME) == {me.fingerprint: ME}
    assert me.fingerprint[-16:] in await me.raw_list_keys()

    # A friend's key from the keyserver, and a message.
    await me.network_import(uid=FRIEND)
    message = await me.encrypt(message="a secret", uid=FRIEND, sign=True)
    await me.network_export(uid=me.fingerprint)
    assert ME in keyserver.confirm_all()
    await friend.network_import(ME)
    assert await friend.decrypt(message) == "a secret"

    # The network, by hand.
    url = f"{DEFAULT_KEYSERVER}/search?q={ME}"
    async with me.network_get(url) as response:
        page = await response.text()
    assert ME in page
    assert await me.get(url) == page
    payload = {"keytext": await me.text_export(uid=me.fingerprint)}
    async with me.network_post(me.keyserver_export_api, json=payload) as response:
        assert (await response.json())["key_fpr"] == me.fingerprint
    assert me.fingerprint in await me.post(me.keyserver_export_api, json=payload)

    # Signatures.
    assert await friend.decrypt(await me.encrypt("unsigned", FRIEND, sign=False)) == "unsigned"
    signed = await me.sign(target="I wrote this")
    assert (await friend.verify(message=signed)).data == b"I wrote this"
    await me.sign(FRIEND, key=True)
    certified = me.command("--with-colons", "--check-sigs", "--", FRIEND)
    good = f"sig:!::22:{me.fingerprint[-16:]}:"
    assert good in await me.read_output(certified)

    # Keys in files and in texts.
    asc = await friend.file_export(path=tmp_path, uid=friend.email)
    await me.file_import(path=asc)
    assert (await me.file_export(path=tmp_path, uid=ME)).name == f"{me.fingerprint}.asc"
    secret = await me.file_export(path=tmp_path, uid=ME, secret=True)
    assert "PRIVATE KEY" in secret.read_text()
    public = await me.text_export(uid=me.fingerprint)
    assert "PRIVATE KEY" in await me.text_export(me.fingerprint, secret=True)
    await friend.text_import(key=public)

    # The end of a key.
    assert "PUBLIC KEY" in await me.revoke(me.fingerprint)
    await friend.text_import(await me.text_export(me.fingerprint))
    assert await friend.key_trust(me.fingerprint) == "revoked"
    await me.delete(uid=ME)
    with pytest.raises(KeyNotFound):
        await me.key_fingerprint(ME)


@pytest.mark.skipif(not shutil.which("torsocks"), reason="torsocks is not installed")
async def test_gpg_itself_can_be_run_under_torify(
    make_gnupg: MakeGnuPG, home: Path, tor: PrivateNetwork
) -> None:
    gpg = make_gnupg(
        lambda at, **more: GnuPG("username", ME, "my passphrase", True, homedir=at, **more),
        cheap(home),
    )
    await gpg.gen_key()
    assert Path(gpg.command()[0]).name == "torify"
    assert await gpg.decrypt(await gpg.encrypt("by torify", gpg.fingerprint)) == "by torify"
