"""How many gpg processes each method starts: counted, not believed.

The executable is a small program that writes a line to a log and then becomes the real gpg.
"""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.features import is_librepgp
from tests.instances import BOB, MakeGnuPG, PlainGpg, alice_at
from tests.openpgp import without_user_ids
from tiny_gnupg import GnuPG
from tiny_gnupg._openpgp.armor import dearmor
from tiny_gnupg._process.find_gpg import agent_program, find_executable


@dataclass
class Workbench:
    """What a method can be tried on: Alice, and things that were made for her before."""

    gpg: GnuPG
    bob: str
    bobs_key: str
    old: str
    secret_key: str
    folder: Path
    encrypted: str
    signed: str
    signature: str
    symmetric: str


Try = Callable[[Workbench], Awaitable[object]]

#: Methods that are one gpg command.
ONE: list[tuple[str, Try]] = [
    ("encrypt(message, fingerprint)", lambda w: w.gpg.encrypt("x", w.bob)),
    ("encrypt(message, sign=False)", lambda w: w.gpg.encrypt("x", w.bob, sign=False)),
    (
        "encrypt(message, [two recipients])",
        lambda w: w.gpg.encrypt("x", [w.bob, w.gpg.fingerprint]),
    ),
    ("encrypt_symmetric(message)", lambda w: w.gpg.encrypt_symmetric("x", "y")),
    ("decrypt(message)", lambda w: w.gpg.decrypt(w.encrypted)),
    ("decrypt(signed message)", lambda w: w.gpg.decrypt(w.signed)),
    ("decrypt(symmetric message)", lambda w: w.gpg.decrypt(w.symmetric, passphrase="y")),
    ("decrypt_verify(message)", lambda w: w.gpg.decrypt_verify(w.encrypted)),
    ("sign(message)", lambda w: w.gpg.sign("x")),
    ("sign(message, detach=True)", lambda w: w.gpg.sign("x", detach=True)),
    ("sign(message, clear=True)", lambda w: w.gpg.sign("x", clear=True)),
    ("verify(message)", lambda w: w.gpg.verify(w.signed)),
    ("verify(data, signature)", lambda w: w.gpg.verify("x", w.signature)),
    ("auto_decrypt(message)", lambda w: w.gpg.auto_decrypt(w.encrypted)),
    ("auto_verify(message)", lambda w: w.gpg.auto_verify(w.signed)),
    ("encrypt_file(path)", lambda w: w.gpg.encrypt_file(w.folder / "in", w.bob)),
    ("decrypt_file(path)", lambda w: w.gpg.decrypt_file(w.folder / "enc.gpg", w.folder / "out")),
    (
        "decrypt_verify_file(path)",
        lambda w: w.gpg.decrypt_verify_file(w.folder / "enc.gpg", w.folder / "verified"),
    ),
    ("sign_file(path)", lambda w: w.gpg.sign_file(w.folder / "in")),
    ("verify_file(path)", lambda w: w.gpg.verify_file(w.folder / "in", w.folder / "kept.sig")),
    ("keys()", lambda w: w.gpg.keys()),
    ("list_keys()", lambda w: w.gpg.list_keys()),
    ("list_keys(email)", lambda w: w.gpg.list_keys(BOB)),
    ("raw_list_keys()", lambda w: w.gpg.raw_list_keys()),
    ("key_trust(fingerprint)", lambda w: w.gpg.key_trust(w.bob)),
    ("key_fingerprint(email)", lambda w: w.gpg.key_fingerprint(BOB)),
    ("key_email(fingerprint)", lambda w: w.gpg.key_email(w.bob)),
    ("set_fingerprint(fingerprint)", lambda w: w.gpg.set_fingerprint(w.gpg.fingerprint)),
    ("text_import(key)", lambda w: w.gpg.text_import(w.bobs_key)),
    ("file_import(path)", lambda w: w.gpg.file_import(w.folder / "bob.asc")),
    ("text_export(fingerprint)", lambda w: w.gpg.text_export(w.bob)),
    ("scan(key)", lambda w: w.gpg.scan(w.bobs_key)),
    ("raw_packets(message)", lambda w: w.gpg.raw_packets(w.encrypted)),
    ("list_packets(message)", lambda w: w.gpg.list_packets(w.encrypted)),
    ("packets(message)", lambda w: w.gpg.packets(w.encrypted)),
    ("run_command(command)", lambda w: w.gpg.run_command(w.gpg.command("--list-config"))),
    ("read_output(command)", lambda w: w.gpg.read_output(w.gpg.command("--list-config"))),
]
#: The others: how many, and why.
LOOK_UP = "one look-up, kept until the keyring changes"
ASIDE = "whole or not at all: it is done aside (export, import), and brought home (export, import)"
ALONE = "gpg writes the keyring once, without the key"
TRIED = "the passphrase is tried, as gpg has no status line for a wrong one here"
OTHERS: list[tuple[str, int, str, Try]] = [
    (
        "packet_fingerprint(message)",
        0,
        "read from the bytes",
        lambda w: w.gpg.packet_fingerprint(w.encrypted),
    ),
    ("agent_passphrase()", 0, "no question for gpg", lambda w: w.gpg.agent_passphrase()),
    ("encrypt(message, email)", 2, LOOK_UP, lambda w: w.gpg.encrypt("x", BOB)),
    (
        "encrypt(message, email) again",
        1,
        "what was looked up is kept",
        lambda w: w.gpg.encrypt("x", BOB),
    ),
    ("auto_encrypt(message, uid)", 2, LOOK_UP, lambda w: w.gpg.auto_encrypt("x", w.bob)),
    (
        "delete(fingerprint)",
        5,
        f"{LOOK_UP}; {ALONE}, and its secret files after it",
        lambda w: w.gpg.delete(w.bob),
    ),
    (
        "file_export(folder, fingerprint)",
        2,
        f"{LOOK_UP}: the file is named after the primary key",
        lambda w: w.gpg.file_export(w.folder, w.bob),
    ),
    (
        "trust(fingerprint, level)",
        2,
        f"{LOOK_UP}: gpg takes a trust for no key",
        lambda w: w.gpg.trust(w.bob, 4),
    ),
    (
        "add_uid(uid, name, email)",
        2,
        f"{LOOK_UP}: gpg has no status line for a secret key that is missing",
        lambda w: w.gpg.add_uid("", "A", "a@b.example"),
    ),
    (
        "revoke_uid(uid, email)",
        2,
        f"{LOOK_UP}: gpg wants the whole user id",
        lambda w: w.gpg.revoke_uid("", "a@b.example"),
    ),
    (
        "set_expire(uid, expires)",
        9,
        f"{LOOK_UP}; {ASIDE}; gpg sets primary key and subkeys by two commands",
        lambda w: w.gpg.set_expire("", "1y"),
    ),
    (
        "set_expire(uid, expires, subkeys=False)",
        2,
        LOOK_UP,
        lambda w: w.gpg.set_expire("", "1y", subkeys=False),
    ),
    (
        "sign(uid, key=True)",
        4,
        f"{LOOK_UP}; it certifies, looks at what came of it, and exports what it gives back",
        lambda w: w.gpg.sign(w.bob, key=True),
    ),
    (
        "add_subkeys()",
        10,
        f"{LOOK_UP}; {ASIDE}; gpg adds one subkey a command",
        lambda w: w.gpg.add_subkeys(),
    ),
    (
        "change_passphrase(uid, new)",
        4,
        f"{LOOK_UP}; it is done aside (export, import, change), files are replaced whole",
        lambda w: w.gpg.change_passphrase("", w.gpg.passphrase),
    ),
    (
        "text_import(secret key)",
        4,
        "aside: import, list, export (and a change for each passphrase); then imported",
        lambda w: w.gpg.text_import(w.secret_key),
    ),
    (
        "text_export(fingerprint, secret=True)",
        5,
        f"{LOOK_UP}; its passphrase is changed aside (export, import, change), then it is exported",
        lambda w: w.gpg.text_export(w.old, secret=True),
    ),
    (
        "text_export(email, secret=True)",
        5,
        "the same: what the address found is known by its fingerprint, too",
        lambda w: w.gpg.text_export("old@example.org", secret=True),
    ),
    (
        "gen_key()",
        10,
        f"{ASIDE}; a primary key and three subkeys: gpg has one command for each",
        lambda w: w.gpg.gen_key(),
    ),
    (
        "revoke()",
        6,
        f"{LOOK_UP}; {TRIED}; it makes the certificate, imports it, looks, and exports",
        lambda w: w.gpg.revoke(),
    ),
]


def _logging_gpg(folder: Path) -> tuple[Path, Callable[[], list[str]]]:
    """Return a gpg that logs its arguments, and what takes the lines from the log."""
    log, wrapper = folder / "log", folder / "counted-gpg"
    log.touch()
    gpg = find_executable()
    agent = agent_program(gpg)
    chosen = f" --agent-program {shlex.quote(str(agent))}" if agent else ""
    wrapper.write_text(
        "#!/bin/sh\n"
        # Not what starts the agent, once for each home: gpg itself would do it, or for the bundled
        # one this library without any gpg.
        'case " $* " in *" --card-status "*) ;; *) '
        f'printf "%s\\n" "$*" >>{shlex.quote(str(log))};; esac\n'
        f'exec {shlex.quote(str(gpg))}{chosen} "$@"\n'
    )
    wrapper.chmod(0o755)

    def lines() -> list[str]:
        found = log.read_text().splitlines()
        log.write_text("")
        return found

    return wrapper, lines


@pytest.fixture
async def bench(
    alice: GnuPG,
    bob: GnuPG,
    tmp_path: Path,
    make_gnupg: MakeGnuPG,
    plain_gpg: Callable[..., PlainGpg],
) -> tuple[Workbench, Callable[[], int]]:
    """A workbench whose gpg is logged, and what counts the lines since it was asked last."""
    wrapper, lines = _logging_gpg(tmp_path)
    counted = make_gnupg(alice_at, executable=wrapper, warm=False)
    await counted.set_fingerprint(alice.fingerprint)
    # Without a passphrase: gpg's calibrated protection would take seconds.
    elsewhere = plain_gpg()
    other = elsewhere.new_key("Old <old@example.org>", algorithm="ed25519", usage="sign")
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "in").write_text("x")
    (folder / "bob.asc").write_text(await bob.text_export())
    (folder / "kept.sig").write_bytes(await alice.sign(b"x", detach=True))
    (folder / "enc.gpg").write_bytes(await alice.encrypt(b"x", armor=False))
    workbench = Workbench(
        gpg=counted,
        bob=bob.fingerprint,
        bobs_key=await bob.text_export(),
        old=other,
        secret_key=elsewhere.run("--armor", "--export-secret-keys", other).stdout.decode(),
        folder=folder,
        encrypted=await alice.encrypt("x"),
        signed=await alice.sign("x"),
        signature=await alice.sign("x", detach=True),
        symmetric=await alice.encrypt_symmetric("x", "y"),
    )

    return workbench, lambda: len(lines())


async def test_each_method_starts_as_many_processes_as_the_table_says(
    bench: tuple[Workbench, Callable[[], int]], figures: Callable[[str], None]
) -> None:
    workbench, count = bench
    opening = count()
    figures("gpg processes a method (by a log that each one writes to)")
    figures(f"  {opening:2}  the first call of all: what this gpg is, and the call itself")
    found, expected = {}, {}
    for name, wanted, reason, attempt in _table():
        if "again" not in name:
            workbench.gpg._table.forget()
        await attempt(workbench)
        found[name], expected[name] = count(), wanted
        figures(f"  {found[name]:2}  {name:42}{reason}".rstrip())
        if name.startswith("delete"):
            await workbench.gpg.text_import(workbench.bobs_key)
            count()
    assert found == expected
    assert opening == 2 + 2 * is_librepgp()


def _table() -> list[tuple[str, int, str, Try]]:
    return [*((name, 1, "", attempt) for name, attempt in ONE), *OTHERS]


async def test_a_thousand_look_ups_of_one_key_are_one_process(
    bench: tuple[Workbench, Callable[[], int]],
) -> None:
    workbench, count = bench
    count()
    workbench.gpg._table.forget()
    emails = await asyncio.gather(*(workbench.gpg.key_email(BOB) for _ in range(1000)))
    assert set(emails) == {BOB}
    assert count() == 1


async def test_what_another_program_changed_is_looked_up_again(
    bench: tuple[Workbench, Callable[[], int]], alice: GnuPG
) -> None:
    workbench, count = bench
    assert await workbench.gpg.key_email(BOB) == BOB
    count()
    await alice.sign(BOB, key=True)
    assert await workbench.gpg.key_trust(BOB) == "full"
    assert count() == 1


@dataclass
class Ailing:
    """Alice with all that a call can stumble on, and what counts the runs of one command."""

    gpg: GnuPG
    bob: str
    untouched: str
    other: str
    sealed: str
    passphrase: str
    signed: str
    folder: Path
    runs: Callable[[str], int]


@pytest.fixture
async def ailing(
    alice: GnuPG,
    bob: GnuPG,
    tmp_path: Path,
    make_gnupg: MakeGnuPG,
    plain_gpg: Callable[..., PlainGpg],
) -> Ailing:
    """Bob has no user ids here; a key came in before its passphrase was known; one has another."""
    ours, theirs = "of the old laptop", "of nobody here"
    blocks, keys = [], []
    for passphrase in (ours, theirs):
        elsewhere = plain_gpg(passphrase)
        keys.append(elsewhere.new_key("Old <old@x.org>", algorithm="ed25519", usage="sign,cert"))
        elsewhere.run("--quick-add-key", keys[-1], "cv25519", "encr")
        blocks.append(elsewhere.run("--export-secret-keys", keys[-1]).stdout)
    await alice.delete(bob.fingerprint)
    await alice.text_import(without_user_ids(dearmor((await bob.text_export()).encode())))
    for block in blocks:
        await alice.text_import(block)
        await bob.text_import(block)
    # By a plain gpg, as no method of ours writes to a key and to a passphrase; that is Bob's here.
    plain = plain_gpg(await bob.agent_passphrase(), Path(bob.home))
    how = ("--trust-model", "always", "--armor", "--symmetric", "--encrypt", "--recipient", keys[1])
    sealed = plain.run(*how, "--sign", "--local-user", bob.fingerprint, stdin="in all ways").stdout
    wrapper, lines = _logging_gpg(tmp_path)
    gpg = make_gnupg(alice_at, passphrase=ours, executable=wrapper, warm=False)
    await gpg.keys()
    lines()

    def runs(command: str) -> int:
        return sum(f" {command}" in line and "/scratch." not in line for line in lines())

    return Ailing(
        gpg=gpg,
        bob=bob.fingerprint,
        untouched=keys[0],
        other=keys[1],
        sealed=sealed.decode(),
        passphrase=plain.passphrase,
        signed=await bob.sign("by Bob"),
        folder=tmp_path,
        runs=runs,
    )


async def test_a_key_is_taken_over_and_the_call_runs_twice(ailing: Ailing) -> None:
    assert "MESSAGE" in await ailing.gpg.sign("x", ailing.untouched)
    assert ailing.runs("--sign") == 2
    assert "MESSAGE" in await ailing.gpg.sign("x", ailing.untouched)
    assert ailing.runs("--sign") == 1


async def test_a_signer_without_user_ids_is_allowed_and_the_call_runs_twice(ailing: Ailing) -> None:
    assert (await ailing.gpg.verify(ailing.signed)).data == b"by Bob"
    assert ailing.runs("--verify") == 2
    assert await ailing.gpg.decrypt(ailing.signed) == "by Bob"
    assert ailing.runs("--decrypt") == 2


async def test_a_recipient_without_user_ids_is_named_and_the_call_runs_twice(
    ailing: Ailing, bob: GnuPG
) -> None:
    message = await ailing.gpg.encrypt("for Bob", ailing.bob, sign=False)
    assert ailing.runs("--encrypt") == 2
    assert await bob.decrypt(message) == "for Bob"
    message = await ailing.gpg.encrypt("for Bob", ailing.bob, sign=False)
    assert ailing.runs("--encrypt") == 1
    assert await bob.decrypt(message) == "for Bob"


async def test_two_remedies_are_three_runs(ailing: Ailing, bob: GnuPG) -> None:
    message = await ailing.gpg.encrypt("for Bob", ailing.bob, local_user=ailing.untouched)
    assert ailing.runs("--encrypt") == 3
    assert await bob.decrypt(message) == "for Bob"


async def test_a_message_to_a_key_and_to_a_passphrase_takes_what_it_asks_for(
    ailing: Ailing,
) -> None:
    found = await ailing.gpg.decrypt_verify(ailing.sealed, passphrase=ailing.passphrase)
    assert found.require_good().data == b"in all ways"
    assert ailing.runs("--decrypt") == 2


async def test_all_remedies_together_are_four_runs(
    ailing: Ailing, bob: GnuPG, make_gnupg: MakeGnuPG
) -> None:
    words = "of nobody here"
    assert "MESSAGE" in await make_gnupg(alice_at, passphrase=words).sign("x", ailing.other)
    message = await bob.encrypt("to the other key", ailing.other)
    # A key is taken over, which is not the one; the words that are given open it; its signer is
    # one without user ids.
    assert await ailing.gpg.decrypt(message, passphrase=words) == "to the other key"
    assert ailing.runs("--decrypt") == 4


@pytest.mark.parametrize("also", [False, True])
async def test_what_comes_once_runs_once_with_all_that_a_remedy_would_do(
    ailing: Ailing, bob: GnuPG, also: bool
) -> None:
    pipe, target = ailing.folder / "pipe", ailing.folder / "out.gpg"
    os.mkfifo(pipe)
    writing = asyncio.to_thread(pipe.write_bytes, b"for Bob")
    signer = ailing.untouched if also else ""
    sealing = ailing.gpg.encrypt_file(pipe, ailing.bob, target, sign=also, local_user=signer)
    await asyncio.gather(writing, sealing)
    assert ailing.runs("--encrypt") == 1
    assert await bob.decrypt(target.read_bytes()) == b"for Bob"
