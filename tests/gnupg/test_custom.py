"""Commands of a caller's own, and how the class is grouped for whoever reads its help."""

from __future__ import annotations

import pydoc
from pathlib import Path

import pytest

from tests.instances import BOB, MakeGnuPG
from tiny_gnupg import CommandFailed, GnuPG


async def test_all_of_an_answer_is_given_whatever_the_exit_code(alice: GnuPG) -> None:
    done = await alice.run_command(alice.command("--export", BOB))
    assert done.returncode == 0
    assert done.stdout[:1] == b"\x98"
    assert b"\x98" not in repr(done).encode("latin-1")
    done = await alice.run_command(alice.command("--verify"), b"no signature")
    assert done.returncode == 2
    assert "NODATA 1" in done.status
    assert "no valid OpenPGP data" in done.stderr
    assert done.stdout == b""
    with pytest.raises(CommandFailed):
        await alice.read_output(alice.command("--verify"), "no signature")


async def test_what_a_command_changes_is_looked_up_again(alice: GnuPG) -> None:
    assert await alice.key_trust(BOB) == "unknown"
    await alice.run_command(alice.command("--import-ownertrust"), b"")
    command = alice.command("--batch", "--yes", "--delete-keys", "--", f"={'Bob'} <{BOB}>")
    assert (await alice.run_command(command)).returncode == 0
    assert await alice.keys(BOB) == ()


@pytest.mark.parametrize(
    "export", ["--export-secret-keys", "--export-secret-subkeys", "--export-secret-k"]
)
@pytest.mark.parametrize("with_passphrase", [False, True])
async def test_secret_keys_that_nobody_could_open_do_not_leave(
    alice: GnuPG, export: str, with_passphrase: bool
) -> None:
    command = alice.command("--armor", export, with_passphrase=with_passphrase)
    inputs = alice.encode_inputs(await alice.agent_passphrase())
    for run in (alice.run_command, alice.read_output):
        with pytest.raises(ValueError, match=r"text_export\(secret=True\)"):
            await run(command, inputs)


async def test_in_gnupgs_own_way_they_leave(home: Path, make_gnupg: MakeGnuPG) -> None:
    gpg = make_gnupg(passphrase="", protection="gnupg")
    await gpg.gen_key()
    command = gpg.command("--armor", "--export-secret-keys", with_passphrase=True)
    assert "PRIVATE KEY" in await gpg.read_output(command, "\n")
    command = gpg.command("--armor", "--export", "--", "--export-secret-keys")
    assert (await gpg.run_command(command)).stdout == b""


def test_the_help_is_grouped_by_part() -> None:
    text = pydoc.plain(pydoc.render_doc(GnuPG))
    for part in ("messages.Messages", "keys.Keys", "files.Files", "online.Online", "legacy.Legacy"):
        assert f"inherited from tiny_gnupg.gnupg.{part}:" in text
