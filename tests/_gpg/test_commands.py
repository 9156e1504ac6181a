"""Argument lists: whatever a caller passes in can never be taken for an option."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_gnupg._gpg import commands
from tiny_gnupg._gpg.commands import Base

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
UID = st.one_of(TEXT, st.sampled_from(["--version", "-", "--", "-e", "--output=/etc/passwd", ""]))
BASE = Base("/gpg", "/home", "/options", agent="/agent")

#: Commands that take one text from outside, and whether it is an option's own argument.
TAKES = {
    "delete": commands.delete,
    "export": lambda uid: commands.export([uid]),
    "export_secret": lambda uid: commands.export_secret([uid]),
    "list_keys": lambda uid: commands.list_keys([uid]),
    "generate": lambda uid: commands.generate(uid, "ed25519", "1y"),
    "add_subkey": lambda uid: commands.add_subkey(uid, "ed25519", "sign", "1y"),
    "set_expire": lambda uid: commands.set_expire(uid, "1y"),
    "add_user_id": lambda uid: commands.add_user_id(uid, uid),
    "revoke_user_id": lambda uid: commands.revoke_user_id(uid, uid),
    "certify": lambda uid: commands.certify(uid, "local", local=False),
    "change_passphrase": commands.change_passphrase,
    "try_passphrase": commands.try_passphrase,
    "generate_revocation": commands.generate_revocation,
}


@pytest.mark.parametrize("build", TAKES.values(), ids=TAKES)
@given(UID)
def test_what_comes_from_outside_stands_behind_the_dashes(build: object, uid: str) -> None:
    argv = BASE.command(build(uid))  # type: ignore[operator]
    own = BASE.command(build("harmless"))  # type: ignore[operator]
    end = own.index("--")
    assert argv[: end + 1] == own[: end + 1], "nothing of it is before the dashes"
    assert uid in argv[end + 1 :]


@given(UID, UID)
def test_recipients_and_signers_are_arguments_of_their_options(uid: str, signer: str) -> None:
    for hidden, option in ((False, "--recipient"), (True, "--hidden-recipient")):
        argv = commands.encrypt([uid], signers=[signer or "x"], hidden=[uid] if hidden else [])
        assert argv[argv.index(option) + 1] == uid
        assert argv[argv.index("--local-user") + 1] == (signer or "x")
        assert argv.count(option) == 1


def test_the_house_options_come_first_and_always() -> None:
    argv = BASE.command(["--armor"])
    assert argv[:5] == ["/gpg", "--homedir", "/home", "--options", "/options"]
    assert argv[-1] == "--armor"
    assert set(commands.ALWAYS) < set(argv)
    assert set(commands.UNATTENDED) < set(argv)
    assert not set(commands.UNATTENDED) & set(BASE.command(attended=True))
    assert BASE.slot == 1
    assert argv[argv.index("--agent-program") + 1] == "/agent"


def test_torify_is_a_prefix() -> None:
    base = Base("/gpg", "/home", "/options", torify="/usr/bin/torify")
    assert base.command()[:2] == ["/usr/bin/torify", "/gpg"]
    assert base.slot == 2
    assert "--agent-program" not in base.command()


@pytest.mark.parametrize(
    ("argv", "reads"),
    [
        (["--encrypt"], True),
        (["--with-colons", "--list-keys"], True),
        (["--import"], False),
        (["--edit-key", "x"], False),
        (["--quick-add-uid"], False),
        ([], False),
    ],
)
def test_what_only_reads_is_known_and_anything_else_counts_as_writing(
    argv: list[str], reads: bool
) -> None:
    assert commands.reads_only(argv) is reads


def test_a_key_named_like_a_reading_command_does_not_make_a_writer_a_reader() -> None:
    assert not commands.reads_only(["--delete-keys", "--", "--list-keys"])
