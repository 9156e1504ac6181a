"""Session keys: told on request, used instead of a key, and never told by accident."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, PlainGpg
from tests.leftovers import clean_home
from tiny_gnupg import Decryption, DecryptionFailed, GnuPG, GnuPGError, KeyNotFound

TEXT = "one message, and no key"


@pytest.fixture
async def court() -> AsyncIterator[GnuPG]:
    """Somebody without any key."""
    with clean_home() as home:
        async with GnuPG(homedir=home, protection="gnupg") as gpg:
            yield gpg


How = str | bool | None
Read = Callable[..., Awaitable[Decryption]]


async def _file(gpg: GnuPG, folder: Path, message: str, **how: How) -> Decryption:
    source = folder / "x.asc"
    source.write_text(message)
    more: dict[str, object] = {**how, "overwrite": True}
    found = await gpg.decrypt_verify_file(source, folder / "plain", **more)  # type: ignore[arg-type]
    assert (folder / "plain").read_text() == TEXT
    return found


async def _memory(gpg: GnuPG, _: Path, message: str, **how: How) -> Decryption:
    found = await gpg.decrypt_verify(message, **how)  # type: ignore[arg-type]
    assert found.text == TEXT
    return found


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("read", [_memory, _file])
async def test_what_is_told_opens_that_message_elsewhere_too(
    alice: GnuPG,
    bob: GnuPG,
    court: GnuPG,
    tmp_path: Path,
    plain_gpg: Callable[..., PlainGpg],
    read: Read,
) -> None:
    message = await alice.encrypt(TEXT, BOB)
    assert (await read(bob, tmp_path, message)).session_key == ""
    found = await read(bob, tmp_path, message, show_session_key=True)
    key = found.session_key
    assert key.startswith("9:")
    assert len(key) == len("9:") + 64
    assert key not in repr(found)
    opened = plain_gpg().run("--override-session-key", key, "--decrypt", stdin=message, check=False)
    assert opened.stdout == TEXT.encode(), "as plain gpg takes it"
    said = bob.command("--show-session-key", "--decrypt", with_passphrase=True)
    told = await bob.run_command(
        said, (await bob.agent_passphrase()).encode() + b"\n" + message.encode()
    )
    assert f"SESSION_KEY {key}" in told.status, "as gpg tells it"
    # The signature is judged as ever.
    elsewhere = await read(court, tmp_path, message, override_session_key=key)
    assert (elsewhere.encrypted, elsewhere.passphrase_used) == (True, False)
    with pytest.raises(KeyNotFound):
        elsewhere.require_good()
    await court.text_import(await alice.text_export())
    both = await read(court, tmp_path, message, override_session_key=key, show_session_key=True)
    assert both.require_signed().session_key == key
    assert both.signed_by(alice.fingerprint)


async def test_another_session_key_opens_nothing(
    alice: GnuPG, court: GnuPG, tmp_path: Path
) -> None:
    message = await alice.encrypt(TEXT, ALICE)
    for key in ("9:" + "00" * 32, "7:" + "11" * 16):
        for read in (_memory, _file):
            with pytest.raises(DecryptionFailed):
                await read(court, tmp_path, message, override_session_key=key)
    assert not (tmp_path / "plain").exists()
    for none in ("", "9", "9:", "9:0", "9:zz", "9:00\n9:00", "--version", "aes:00"):
        with pytest.raises(ValueError, match="session key"):
            await court.decrypt_verify(message, override_session_key=none)


async def test_whether_a_passphrase_opened_it_is_told(
    alice: GnuPG, bob: GnuPG, court: GnuPG, tmp_path: Path
) -> None:
    words = "open sesame"
    locked = await alice.encrypt_symmetric(TEXT, words, sign=True)
    either = await alice.encrypt(TEXT, BOB, passphrase=words)
    for read in (_memory, _file):
        for message, reader, given in (
            (await alice.encrypt(TEXT, BOB), bob, None),
            (locked, bob, words),
            (either, bob, None),
            (either, court, words),
        ):
            found = await read(reader, tmp_path, message, passphrase=given)
            assert found.passphrase_used is (given is not None)
        # Where either would open it, 2.2 takes the key and 2.4 the passphrase.
        assert (await read(bob, tmp_path, either, passphrase=words)).symmetric
        found = await read(court, tmp_path, locked, passphrase=words, show_session_key=True)
        again = await read(court, tmp_path, locked, override_session_key=found.session_key)
        assert (again.passphrase_used, again.symmetric) == (False, True)


async def test_text_of_which_gpg_drops_octets_comes_whole_by_a_session_key(
    alice: GnuPG, court: GnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    sender = plain_gpg()
    own = sender.new_key("Erin <erin@example.net>", algorithm="future-default")
    sender.run("--import", stdin=await alice.text_export())
    to_alice = ("--trust-model", "always", "-r", ALICE, "--textmode", "--sign", "--encrypt")
    message = sender.run(*to_alice, stdin=b"one\rtwo\r\n").stdout
    for gpg in (alice, court):
        await gpg.text_import(sender.run("--export", own).stdout)
    found = (await alice.decrypt_verify(message, show_session_key=True)).require_signed()
    again = await court.decrypt_verify(message, override_session_key=found.session_key)
    assert again.require_signed().data == found.data
    assert b"one\rtwo" in again.data


async def test_no_error_tells_a_session_key(alice: GnuPG, bob: GnuPG, tmp_path: Path) -> None:
    message = await alice.encrypt(TEXT, BOB)
    await bob.delete(alice.fingerprint)
    key = (await bob.decrypt_verify(message, show_session_key=True)).session_key
    for read in (_memory, _file):
        found = await read(bob, tmp_path, message, show_session_key=True)
        assert found.session_key == key
        with pytest.raises(GnuPGError) as caught:
            found.require_good()
        told = [caught.value.diagnostics(), *caught.value.status, caught.value.stderr]
        assert not any(key[2:] in one.upper() for one in told)
        assert any("..." in one for one in told)
