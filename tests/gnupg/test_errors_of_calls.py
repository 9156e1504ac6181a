"""What goes wrong is said: the typed error, what to do, nothing lost, and no process left."""

from __future__ import annotations

import resource
import signal
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.instances import ALICE, BOB, MakeGnuPG, copied, gpg_behind
from tests.namespaces import run_in_private
from tiny_gnupg import (
    BadPassphrase,
    BinaryNotFound,
    CommandFailed,
    GnuPG,
    GnuPGError,
    HomeUnusable,
    KeyNotFound,
    UnusableKey,
)

Call = Callable[[GnuPG], Awaitable[object]]
NOBODY = "0123456789ABCDEF0123456789ABCDEF01234567"


def said(error: GnuPGError) -> str:
    """Return what a person is told, which must hold something to do."""
    told = error.diagnostics()
    assert "what to do: " in told
    assert str(error).endswith(f"({error.hint})")
    return told


# -- the passphrase ------------------------------------------------------------------------

WITH_A_PASSPHRASE: dict[str, Call] = {
    "sign": lambda gpg: gpg.sign("x", ALICE),
    "encrypt": lambda gpg: gpg.encrypt("x", BOB, True, ALICE),
    "certify": lambda gpg: gpg.sign(BOB, ALICE, key=True),
    "add_subkeys": lambda gpg: gpg.add_subkeys(ALICE),
    "add_uid": lambda gpg: gpg.add_uid(ALICE, "x", "x@example.org"),
    "set_expire": lambda gpg: gpg.set_expire(ALICE, "1y"),
    "revoke": lambda gpg: gpg.revoke(ALICE),
    "change_passphrase": lambda gpg: gpg.change_passphrase(ALICE, "new"),
    "text_export": lambda gpg: gpg.text_export(ALICE, secret=True),
}


@pytest.mark.parametrize("passphrase", ["wrong", ""])
@pytest.mark.parametrize("call", WITH_A_PASSPHRASE.values(), ids=WITH_A_PASSPHRASE)
async def test_a_wrong_passphrase_is_called_one_and_changes_nothing(
    alice: GnuPG, make_gnupg: MakeGnuPG, call: Call, passphrase: str
) -> None:
    before = await alice.keys()
    await alice.sign("so that an agent could remember the right one")
    with pytest.raises(BadPassphrase) as caught:
        await call(make_gnupg(passphrase=passphrase))
    assert "nothing was changed" in said(caught.value)
    assert not isinstance(caught.value, OSError)
    assert alice.passphrase not in caught.value.diagnostics()
    assert await alice.keys() == before
    assert "MESSAGE" in await alice.sign("still mine")


async def test_a_message_is_not_opened_by_a_wrong_passphrase(
    alice: GnuPG, make_gnupg: MakeGnuPG
) -> None:
    message = await alice.encrypt("secret words")
    with pytest.raises(BadPassphrase) as caught:
        await make_gnupg(passphrase="wrong").decrypt(message)
    assert "secret words" not in said(caught.value)


# -- keys that are not there ---------------------------------------------------------------

WITH_A_KEY: dict[str, Callable[[GnuPG, str], Awaitable[object]]] = {
    "encrypt": lambda gpg, uid: gpg.encrypt("x", uid),
    "encrypt to several": lambda gpg, uid: gpg.encrypt("x", [BOB, uid]),
    "encrypt as": lambda gpg, uid: gpg.encrypt("x", BOB, local_user=uid),
    "sign": lambda gpg, uid: gpg.sign("x", uid),
    "certify": lambda gpg, uid: gpg.sign(uid, key=True),
    "certify as": lambda gpg, uid: gpg.sign(BOB, uid, key=True),
    "delete": lambda gpg, uid: gpg.delete(uid),
    "revoke": lambda gpg, uid: gpg.revoke(uid),
    "trust": lambda gpg, uid: gpg.trust(uid, 3),
    "key_trust": lambda gpg, uid: gpg.key_trust(uid),
    "key_email": lambda gpg, uid: gpg.key_email(uid),
    "key_fingerprint": lambda gpg, uid: gpg.key_fingerprint(uid),
    "set_fingerprint": lambda gpg, uid: gpg.set_fingerprint(uid),
    "set_expire": lambda gpg, uid: gpg.set_expire(uid, "1y"),
    "add_subkeys": lambda gpg, uid: gpg.add_subkeys(uid),
    "add_uid": lambda gpg, uid: gpg.add_uid(uid, "x", "x@example.org"),
    "revoke_uid": lambda gpg, uid: gpg.revoke_uid(uid, ALICE),
    "change_passphrase": lambda gpg, uid: gpg.change_passphrase(uid, "x"),
    "text_export": lambda gpg, uid: gpg.text_export(uid),
    "text_export secret": lambda gpg, uid: gpg.text_export(uid, secret=True),
    "file_export": lambda gpg, uid: gpg.file_export("/tmp", uid),
}


@pytest.mark.parametrize("uid", [NOBODY, NOBODY[-16:], "nobody@example.org", "No Body"])
@pytest.mark.parametrize("call", WITH_A_KEY.values(), ids=WITH_A_KEY)
async def test_a_missing_key_is_named(
    alice: GnuPG, call: Callable[[GnuPG, str], Awaitable[object]], uid: str
) -> None:
    with pytest.raises(KeyNotFound) as caught:
        await call(alice, uid)
    assert uid in said(caught.value)
    assert uid in caught.value.value
    assert isinstance(caught.value, LookupError)


NEEDS_ITS_OWN: dict[str, Call] = {
    "delete": lambda gpg: gpg.delete(),
    "revoke": lambda gpg: gpg.revoke(),
    "trust": lambda gpg: gpg.trust(),
    "set_expire": lambda gpg: gpg.set_expire("", "1y"),
    "add_subkeys": lambda gpg: gpg.add_subkeys(),
    "change_passphrase": lambda gpg: gpg.change_passphrase("", "x"),
    "sign": lambda gpg: gpg.sign("x"),
    "encrypt": lambda gpg: gpg.encrypt("x"),
    "text_export": lambda gpg: gpg.text_export(),
}


@pytest.mark.parametrize("uid", ["{short}", "0x{short}", "=Alice", "*lice", "&" + "A" * 40])
async def test_a_name_that_gpg_alone_would_take_is_explained(alice: GnuPG, uid: str) -> None:
    name = uid.format(short=alice.fingerprint[-8:].lower())
    for call in (alice.key_fingerprint(name), alice.encrypt("x", name), alice.trust(name)):
        with pytest.raises(KeyNotFound) as failure:
            await call
        assert failure.value.value == name
        assert "fingerprint" in failure.value.hint or "all 40" in failure.value.hint


@pytest.mark.parametrize("call", NEEDS_ITS_OWN.values(), ids=NEEDS_ITS_OWN)
async def test_without_a_key_of_its_own_an_empty_uid_is_refused(
    alice: GnuPG, home: Path, call: Call
) -> None:
    for who in (GnuPG(homedir=home), GnuPG("Carol", "carol@example.org", "x", homedir=home)):
        async with who:
            with pytest.raises(KeyNotFound) as caught:
                await call(who)
            assert "gen_key" in said(caught.value)
    assert len(await alice.list_keys()) == 2


async def test_a_public_key_alone_signs_nothing(alice: GnuPG) -> None:
    for call in (alice.sign("x", BOB), alice.revoke(BOB), alice.text_export(BOB, secret=True)):
        with pytest.raises((KeyNotFound, UnusableKey)):
            await call


# -- the program ---------------------------------------------------------------------------


def test_a_missing_gpg_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("/nowhere/gpg", "no-such-gpg"):
        with pytest.raises(BinaryNotFound, match="install GnuPG") as caught:
            GnuPG(executable=place)
        assert isinstance(caught.value, FileNotFoundError)
        assert place in said(caught.value)
    monkeypatch.setenv("TINY_GNUPG_GPG", "/nowhere/else")
    with pytest.raises(BinaryNotFound, match="/nowhere/else"):
        GnuPG()


PRETENDERS = {
    "says another name": "#!/bin/sh\necho 'bash (GNU bash) 5.2'\n",
    "says nothing": "#!/bin/sh\n",
    "fails": "#!/bin/sh\nexit 3\n",
    "has no interpreter": "#!/nowhere/sh\n",
    "is no program": "this is text\n",
    "is too old": "#!/bin/sh\necho 'gpg (GnuPG) 1.4.23'\n",
    "says too much": "#!/bin/sh\nexec cat /dev/zero\n",
    "is killed": "#!/bin/sh\nkill -9 $$\n",
}


@pytest.mark.parametrize("text", PRETENDERS.values(), ids=PRETENDERS)
async def test_a_gpg_that_is_none_is_not_used(
    alices_home: Path, make_gnupg: MakeGnuPG, tmp_path: Path, text: str
) -> None:
    pretender = tmp_path / "gpg"
    pretender.write_text(text)
    pretender.chmod(0o755)
    gpg = make_gnupg(executable=pretender)
    for call in (gpg.list_keys(), gpg.sign("x"), gpg.gen_key()):
        # One that was killed may be a gpg: that could not be found out.
        with pytest.raises(CommandFailed if "kill" in text else BinaryNotFound) as caught:
            await call
        assert str(pretender) in said(caught.value)


async def test_a_gpg_that_vanishes_is_missed(
    alices_home: Path, make_gnupg: MakeGnuPG, tmp_path: Path
) -> None:
    wrapper = gpg_behind(tmp_path / "gpg")
    gpg = make_gnupg(executable=wrapper)
    assert len(await gpg.list_keys()) == 2
    wrapper.unlink()
    with pytest.raises(BinaryNotFound, match="No such file"):
        await gpg.list_keys()


def test_a_missing_torify_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    executable = GnuPG().executable
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FileNotFoundError, match="apt install torsocks"):
        GnuPG(torify=True, executable=executable)


# -- the home ------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["below a file", "a file", "/proc/tiny_gnupg", "/dev/null/x"])
async def test_an_unusable_homedir_is_called_one(
    make_gnupg: MakeGnuPG, tmp_path: Path, where: str
) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    path = {"below a file": file / "home", "a file": file}.get(where, Path(where))
    gpg = make_gnupg(at=path)
    for call in (
        gpg.list_keys(),
        gpg.gen_key(),
        gpg.agent_passphrase(),
        gpg.encrypt_symmetric("x", "y"),
    ):
        with pytest.raises(HomeUnusable, match="that you own and can write to") as caught:
            await call
        assert str(path) in said(caught.value)
        assert isinstance(caught.value, PermissionError)
    assert file.read_text() == "precious"
    assert stat.S_IMODE(file.stat().st_mode) != 0o700


def test_a_full_disk_and_a_read_only_one_lose_nothing(home: Path, keys: Path) -> None:
    disk = home / "disk"
    disk.mkdir()
    ready = copied(keys / "alice", home / "ready")
    printed = run_in_private("disks", disk, ready, mounts={str(disk): "mode=700,size=1m"})
    assert "full: nothing lost" in printed
    assert "read-only: said so" in printed


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """Let no file grow further: what a full disk is to programs, and any user can have it."""
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


async def test_files_that_cannot_grow_lose_nothing(
    alice: GnuPG, bob: GnuPG, tmp_path: Path
) -> None:
    await bob.add_uid("", "One more", "more@example.org")
    key = await bob.text_export()
    before = await alice.keys()
    with files_no_longer_than(Path(alice.home, "pubring.kbx").stat().st_size):
        for call in (alice.text_import(key), alice.add_uid("", "x", "x@example.org")):
            with pytest.raises((HomeUnusable, CommandFailed)):
                await call
        with pytest.raises((GnuPGError, OSError)):
            await alice.gen_key()
    with files_no_longer_than(100):
        with pytest.raises(OSError, match="too large"):
            await alice.file_export(tmp_path)
        with pytest.raises((GnuPGError, OSError)):
            await alice.change_passphrase("", "new")
    assert await alice.keys() == before
    assert list(tmp_path.iterdir()) == []
    assert "MESSAGE" in await alice.sign("still here")
    assert (await alice.text_import(key)).updated == 1


# -- names and other arguments -------------------------------------------------------------


NAMES = ("a\nb", "a\0b", "a\x1b[31m", "%no-protection", "a\u2028b", "\x7f")


@pytest.mark.parametrize("name", NAMES)
async def test_control_characters_in_names_reach_nobody(alice: GnuPG, name: str) -> None:
    with pytest.raises(ValueError, match="username"):
        GnuPG(name)
    with pytest.raises(ValueError, match="email"):
        GnuPG(email=name)
    with pytest.raises(ValueError, match="name"):
        await alice.add_uid("", name, "x@example.org")
    [key] = await alice.keys(ALICE)
    assert len(key.user_ids) == 1


@pytest.mark.parametrize("passphrase", ["a\nb", "a\r", "a\0b", "\ud800"])
async def test_a_passphrase_is_one_line_of_text(alice: GnuPG, passphrase: str) -> None:
    with pytest.raises(ValueError, match="passphrase") as caught:
        GnuPG(passphrase=passphrase)
    assert passphrase not in str(caught.value)
    for call in (
        alice.encrypt_symmetric("x", passphrase),
        alice.change_passphrase("", passphrase),
        alice.decrypt("x", passphrase=passphrase),
    ):
        with pytest.raises(ValueError, match="passphrase") as caught:
            await call
        assert passphrase not in str(caught.value)


@pytest.mark.parametrize("uid", ["a\0b", "\ud800"])
async def test_a_uid_that_no_argument_can_hold(alice: GnuPG, uid: str) -> None:
    for call in (alice.keys(uid), alice.encrypt("x", uid), alice.delete(uid), alice.sign("x", uid)):
        with pytest.raises(ValueError):  # noqa: PT011 - what is wrong differs
            await call


STRANGE = ("--version", "-", "--", "-e", "@", "*", "=", "<", "#", "&", " ", ".", "0x", "!", "a*")


@pytest.mark.parametrize("uid", STRANGE)
async def test_a_uid_is_never_an_option_nor_everybody(alice: GnuPG, uid: str) -> None:
    texts = {key.fingerprint: key.user_ids[0].text.lower() for key in await alice.keys()}
    assert set(await alice.list_keys(uid)) == {f for f, text in texts.items() if uid in text}
    for method in (alice.delete, alice.text_export):
        with pytest.raises((LookupError, ValueError)):  # KeyNotFound, AmbiguousKey, no address
            await method(uid)
    assert len(await alice.list_keys()) == 2


async def test_wrong_types_are_refused(alice: GnuPG) -> None:
    them: Any = alice
    for method in (them.keys, them.delete, them.trust, them.key_email, them.text_export):
        with pytest.raises(TypeError, match="a uid is text"):
            await method(7)
    with pytest.raises(TypeError):
        await them.encrypt("x", 7)
    with pytest.raises(ValueError, match="no recipient"):
        await alice.encrypt("x", [])
    with pytest.raises(ValueError, match="trust"):
        await alice.encrypt("x", trust="blind")
    with pytest.raises(ValueError, match="exclude"):
        await alice.sign("x", detach=True, clear=True)
    with pytest.raises(ValueError, match="key=True"):
        await alice.sign("x", local=True)
    with pytest.raises(ValueError, match="expires"):
        await alice.gen_key(expires="soon")
    with pytest.raises(ValueError, match="username or an email"):
        await GnuPG(homedir=alice.home).gen_key()
    with pytest.raises(ValueError, match="protection"):
        GnuPG(protection="rot13")  # type: ignore[arg-type]
    for limit in (0, -1):
        with pytest.raises(ValueError, match="limit is a number of processes"):
            GnuPG(limit=limit)
    with pytest.raises(ValueError, match="cannot be empty"):
        await alice.encrypt_symmetric("x", "")
    with pytest.raises(ValueError, match="reason"):
        await alice.revoke(reason=4)
    with pytest.raises(ValueError, match="mode"):
        await alice.file_export("/tmp", mode="r")


async def test_a_missing_file_is_said_to_be_missing(alice: GnuPG, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await alice.file_import(tmp_path / "nothing.asc")
    with pytest.raises(FileNotFoundError):
        await alice.file_export(tmp_path / "no directory")
    with pytest.raises(FileNotFoundError):
        await alice.encrypt_file(tmp_path / "nothing", BOB)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"timeout": 0}, {"timeout": -1}, {"max_output": -1}])
def test_a_bound_that_nothing_keeps_is_refused(home: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GnuPG(homedir=home, **wrong)


def test_a_file_of_options_that_is_not_there_is_told_at_once(home: Path) -> None:
    """Of a signed message, it would be 'no signature that gpg can read'."""
    with pytest.raises(FileNotFoundError, match="gpg's options") as caught:
        GnuPG(homedir=home, options=home / "nowhere.conf")
    assert caught.value.filename == str(home / "nowhere.conf")


def test_a_number_is_no_directory_whose_permissions_change(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "file").chmod(0o640)
    with open(tmp_path / "file", "rb") as file:
        number: Any = file.fileno()
        with pytest.raises(TypeError):
            GnuPG(homedir=home).set_home_permissions(number)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
