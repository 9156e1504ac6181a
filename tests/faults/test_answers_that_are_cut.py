"""A gpg that ends before its end: what it has told by then is a part, and counts as nothing."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, MakeGnuPG, alice_at
from tiny_gnupg import BadPassphrase, CommandFailed, GnuPG, GnuPGError, KeyNotFound, UnusableKey

Call = Callable[[GnuPG, "Material"], Awaitable[object]]


class Material:
    """What the calls are about, made before gpg is cut."""

    key: str
    signed: str
    detached: bytes
    encrypted: str
    subkey: str
    place: Path
    saved: Path


async def _all(gpg: GnuPG, material: Material) -> object:
    return await anext(gpg.encrypt_many(["text"], BOB))


#: Each call, and what is cut: a part of gpg's command line.
CUT: dict[str, tuple[str, Call]] = {
    "keys": ("--list-keys", lambda gpg, _: gpg.keys()),
    "keys of one": ("--list-keys", lambda gpg, _: gpg.keys(BOB)),
    "secret keys": ("--list-secret-keys", lambda gpg, _: gpg.keys(secret=True)),
    "list_keys": ("--list-keys", lambda gpg, _: gpg.list_keys()),
    "list_keys of one": ("--list-keys", lambda gpg, _: gpg.list_keys(BOB)),
    "list secret keys": ("--list-secret-keys", lambda gpg, _: gpg.list_keys(secret=True)),
    "raw_list_keys": ("--list-keys", lambda gpg, _: gpg.raw_list_keys()),
    "key_fingerprint": ("--list-keys", lambda gpg, _: gpg.key_fingerprint(BOB)),
    "key_trust": ("--list-keys", lambda gpg, _: gpg.key_trust(BOB)),
    "set_fingerprint": ("--list-keys", lambda gpg, _: gpg.set_fingerprint(ALICE)),
    "scan": ("--import", lambda gpg, made: gpg.scan(made.key)),
    "text_import": ("--import", lambda gpg, made: gpg.text_import(made.key)),
    "packets": ("--list-packets", lambda gpg, made: gpg.packets(made.signed)),
    "raw_packets": ("--list-packets", lambda gpg, made: gpg.raw_packets(made.signed)),
    "text_export": ("--export", lambda gpg, _: gpg.text_export(BOB)),
    "export of a fingerprint": ("--export", lambda gpg, _: gpg.text_export(gpg.fingerprint)),
    "encrypt, looking up": ("--list-keys", lambda gpg, _: gpg.encrypt("x", BOB, sign=False)),
    "encrypt": ("--encrypt", lambda gpg, _: gpg.encrypt("x", gpg.fingerprint, sign=False)),
    "encrypt_many": ("--list-keys", _all),
    "certify, looking up": ("--list-keys", lambda gpg, _: gpg.sign(BOB, key=True)),
    "verify": ("--verify", lambda gpg, made: gpg.verify(made.signed)),
    "verify detached": ("--verify", lambda gpg, made: gpg.verify(b"data", made.detached)),
    "decrypt": ("--decrypt", lambda gpg, made: gpg.decrypt(made.encrypted)),
    "delete, looking up": ("--list-keys", lambda gpg, _: gpg.delete(BOB)),
    "delete": ("--export", lambda gpg, _: gpg.delete(BOB)),
    "delete, listing what is shared": ("--list-keys", lambda gpg, _: gpg.delete(ALICE)),
    "delete_subkey": ("--export", lambda gpg, made: gpg.delete_subkey("", made.subkey)),
    "add_subkey": ("--export", lambda gpg, _: gpg.add_subkey()),
    "add_subkeys": ("--export", lambda gpg, _: gpg.add_subkeys()),
    "rotate": ("--export", lambda gpg, _: gpg.rotate()),
    "revoke_subkey": ("--export", lambda gpg, made: gpg.revoke_subkey("", made.subkey)),
    "change_passphrase": ("--export", lambda gpg, _: gpg.change_passphrase("", gpg.passphrase)),
    "secret export": ("--export", lambda gpg, _: gpg.text_export(secret=True)),
    "backup": ("--export-ownertrust", lambda gpg, made: gpg.backup(made.place / "backup")),
    "restore": ("--export-ownertrust", lambda gpg, made: gpg.restore(made.saved)),
    "restore of keys": ("--export", lambda gpg, made: gpg.restore(made.saved)),
    "restore of trust": ("--import-ownertrust", lambda gpg, made: gpg.restore(made.saved)),
}

#: How gpg ends: killed by the system, or by an error of its own that has no status line.
ENDS = {"killed": "kill -9 $$", "failed": "exit 2"}


@pytest.fixture
async def cut(alice: GnuPG, make_gnupg: MakeGnuPG, tmp_path: Path) -> tuple[GnuPG, Path, Material]:
    """Alice with a gpg that is cut where its command line holds what a file says."""
    made = Material()
    made.key = await alice.text_export(BOB) + await alice.text_export()
    made.signed = await alice.sign("text")
    made.detached = await alice.sign(b"data", detach=True)
    made.encrypted = await alice.encrypt("text", sign=False)
    made.subkey = (await alice.own()).subkeys[1].fingerprint
    made.place, made.saved = tmp_path, Path(alice.home)
    wrapper, pattern = tmp_path / "gpg", tmp_path / "pattern"
    gpg = alice.executable
    wrapper.write_text(
        "#!/bin/bash\n"
        f'if read -r option end < "{pattern}" 2> /dev/null && [[ " $* " == *" $option "* ]]; then\n'
        f'    "{gpg}" "$@" | head -c 300\n'
        '    eval "$end"\n'
        "fi\n"
        f'exec "{gpg}" "$@"\n'
    )
    wrapper.chmod(0o755)
    other = make_gnupg(alice_at, executable=wrapper)
    await other.agent_passphrase()
    other.fingerprint = alice.fingerprint
    return other, pattern, made


#: Of data that is read, an exit code says what was in it as well.
READING = ("--verify", "--decrypt", "--import", "--list-packets")
WAYS = [
    (name, end)
    for name, (option, _) in CUT.items()
    for end in ENDS
    if end == "killed" or option not in READING
]


@pytest.mark.parametrize(("name", "end"), WAYS)
async def test_a_part_is_never_given_as_the_whole(
    cut: tuple[GnuPG, Path, Material], name: str, end: str
) -> None:
    gpg, pattern, made = cut
    option, call = CUT[name]
    pattern.write_text(f"{option} {ENDS[end]}\n")
    with pytest.raises(GnuPGError) as caught:
        await call(gpg, made)
    assert not isinstance(caught.value, KeyNotFound | UnusableKey)
    if end == "killed":
        assert type(caught.value) is CommandFailed
        assert "signal 9" in str(caught.value)
    pattern.unlink()
    # Nothing of it is remembered.
    await call(gpg, made)


async def test_that_there_is_no_such_key_is_no_fault(cut: tuple[GnuPG, Path, Material]) -> None:
    gpg, _, _ = cut
    assert await gpg.keys("nobody@example.org") == ()
    assert await gpg.list_keys("nobody@example.org", secret=True) == {}
    assert await gpg.raw_list_keys("F" * 40) == ""
    with pytest.raises(KeyNotFound):
        await gpg.text_export("F" * 40)


async def test_an_answer_that_is_cut_settles_not_whose_a_key_is(
    cut: tuple[GnuPG, Path, Material], make_gnupg: MakeGnuPG
) -> None:
    """A key is one's own that the passphrase opens, and not one that nobody could try it on."""
    gpg, pattern, _ = cut
    note = Path(gpg.home) / "tiny_gnupg.d" / "own"
    shutil.rmtree(note, ignore_errors=True)
    stranger = make_gnupg(alice_at, executable=gpg.executable, passphrase="another")
    pattern.write_text(f"--change-passphrase {ENDS['killed']}\n")
    for _ in range(2):
        with pytest.raises(CommandFailed, match="signal 9"):
            await stranger.own()
    pattern.unlink()
    with pytest.raises(BadPassphrase):
        await stranger.own()
    assert stranger.fingerprint == ""
