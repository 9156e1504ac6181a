"""The commands about the life of a key, as scripts use them, and what plain gpg finds then."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import CHECKOUT, PROGRAM
from tests.inprocess import Ended, run_here
from tests.instances import PASSPHRASE, PlainGpg, cheap
from tests.tor.network import free_ports
from tiny_gnupg.cli.main import main

ALICE, BOB = "alice@example.org", "bob@example.org"

Run = Callable[..., Ended]


@pytest.fixture
def cli(alices_home: Path) -> Run:
    """Run a command in Alice's home; the passphrases come from the environment."""

    def run(
        command: str, stdin: bytes = b"", at: Path = alices_home, code: int = 0, **words: str
    ) -> Ended:
        environ = {"WORDS": PASSPHRASE, "NEW": "another one", **words}
        name, *arguments = command.split()
        ended = run_here(partial(main, [name, "--home", str(at), *arguments]), stdin, environ)
        assert ended.returncode == code, (command, ended)
        return ended

    return run


def key(ended: Ended) -> dict[str, Any]:
    """Return the one key that a command told of."""
    [found] = json.loads(ended.stdout)["keys"]
    assert isinstance(found, dict)
    return found


ASK = "--passphrase-env WORDS --json"


def test_a_key_is_renewed_rotated_and_gets_another_passphrase(cli: Run, alices_home: Path) -> None:
    before = key(cli(f"keys {ALICE} --json"))
    renewed = key(cli(f"renew {ALICE} 2040-01-01 {ASK}"))
    assert str(renewed["expires"]).startswith("2040-01-01")
    assert all(str(one["expires"]).startswith("2040-01-01") for one in renewed["subkeys"])
    [encrypting] = [one for one in before["subkeys"] if "ENCRYPT" in one["capabilities"]]
    which = encrypting["fingerprint"]
    alone = key(cli(f"renew {ALICE} 90d --subkey {which} {ASK}"))
    changed = [one["fingerprint"] for one in alone["subkeys"] if "2040" not in one["expires"]]
    assert changed == [which]
    assert ALICE.encode() in cli("keys --expiring 91d").stdout
    assert cli("keys --expiring 80d", code=4).stdout == b"no keys\n"
    rotated = key(cli(f"rotate {ALICE} --usage encrypt --overlap 30d --expires 60d {ASK}"))
    assert len(rotated["subkeys"]) == len(before["subkeys"]) + 1
    shown = cli(f"keys {ALICE}").stdout.decode()
    assert shown.count("for: e") == 2
    cli(f"passphrase {ALICE} --new-passphrase-env NEW {ASK}", WORDS="wrong", code=5)
    cli(f"passphrase {ALICE} --new-passphrase-env NEW {ASK}")
    cli(f"sign {ASK}", b"x", code=5)
    cli(f"sign --as {ALICE} --passphrase-env NEW", b"x")
    refused = cli(
        f"passphrase {ALICE} --new-passphrase-env NONE {ASK}", code=2, WORDS="another one"
    )
    assert b"NONE" in refused.stdout
    plain = PlainGpg(alices_home)
    listed = plain.run("--with-colons", "--list-keys", ALICE).stdout.decode()
    assert listed.count("\nsub:") == len(rotated["subkeys"])


def test_a_key_is_certified_and_trusted(cli: Run, bobs_home: Path, alices_home: Path) -> None:
    told = key(cli(f"certify {BOB} {ASK}"))
    assert told["fingerprint"]
    shown = cli(f"keys {BOB} --certifications").stdout.decode()
    assert "GOODSIG certified by" in shown
    assert f"<{ALICE}>" in shown
    assert key(cli(f"trust {BOB} full --json"))["ownertrust"] == "FULL"
    plain = PlainGpg(alices_home)
    assert b":f:" in plain.run("--with-colons", "--list-keys", BOB).stdout.split(b"\n")[1]
    cli(f"trust {BOB} much", code=2)
    assert b"can certify" in cli(f"certify {BOB} --as nobody@example.org {ASK}", code=4).stdout
    cli(f"certify nobody@example.org {ASK}", code=4)


def test_nothing_is_lost_without_a_yes(
    cli: Run, alices_home: Path, tmp_path: Path, other_home: Path
) -> None:
    fingerprint = str(key(cli(f"keys {ALICE} --json"))["fingerprint"])
    backup = tmp_path / "stick"
    assert cli(f"backup {backup} --passphrase-env WORDS").stdout.decode() == f"{backup}\n"
    cli(f"backup {backup} --passphrase-env WORDS", code=1)
    for command in (f"delete {ALICE}", f"revoke {ALICE} --passphrase-env WORDS"):
        refused = cli(command, code=2)
        assert b"--yes" in refused.stderr
        assert key(cli(f"keys {ALICE} --json"))["validity"] != "REVOKED"
    part = key(cli(f"keys {ALICE} --json"))["subkeys"][0]["fingerprint"]
    gone = key(cli(f"revoke {ALICE} --subkey {part} --reason compromised --yes {ASK}"))
    states = {one["fingerprint"]: one["revoked"] for one in gone["subkeys"]}
    assert [name for name, revoked in states.items() if revoked] == [part]
    left = key(cli(f"delete {ALICE} --subkey {part} --yes --json"))
    assert len(left["subkeys"]) == len(states) - 1
    assert (
        b"delete_subkey" in cli(f"delete {left['subkeys'][0]['fingerprint']} --yes", code=2).stderr
    )
    assert key(cli(f"delete {ALICE} --secret-only --yes --json"))["secret"] is False
    cli(f"revoke {ALICE} --yes {ASK}", code=4)
    assert cli(f"delete {ALICE} --yes").stdout == b""
    cli(f"keys {ALICE}", code=4)
    cheap(other_home)
    for home in (other_home, None):
        at = {} if home is None else {"at": home}
        brought = cli(f"restore {backup} --passphrase-env WORDS", **at).stdout.decode().split()
        assert fingerprint in brought
    assert key(cli(f"revoke {ALICE} --reason superseded --yes {ASK}"))["revoked"] is True
    assert (
        PlainGpg(alices_home)
        .run("--with-colons", "--list-keys", ALICE)
        .stdout.split(b"\n")[1]
        .startswith(b"pub:r:")
    )


def test_a_user_id_is_revoked_alone(cli: Run, alices_home: Path) -> None:
    plain = PlainGpg(alices_home)
    cli(f"revoke {ALICE} --user-id nobody@example.org --yes {ASK}", code=4)
    before = plain.run("--with-colons", "--list-keys", ALICE).stdout
    cli(f"revoke {ALICE} --user-id {ALICE} --yes {ASK}", code=1)  # the last one of a key
    assert plain.run("--with-colons", "--list-keys", ALICE).stdout == before


def test_a_message_to_a_passphrase_and_one_with_a_hidden_recipient(
    cli: Run, tmp_path: Path, bobs_home: Path, plain_gpg: Callable[..., PlainGpg]
) -> None:
    letter = tmp_path / "letter"
    letter.write_bytes(b"text")
    assert cli(f"symmetric {letter} --passphrase-env NEW").stdout.decode() == f"{letter}.gpg\n"
    piped = cli("symmetric --passphrase-env NEW", b"text").stdout
    plain = plain_gpg("another one", bobs_home)
    for message in (Path(f"{letter}.gpg").read_bytes(), piped):
        assert plain.run("--decrypt", stdin=message).stdout == b"text"
        assert cli("decrypt --passphrase-env NEW", message).stdout == b"text"
    made = cli(f"encrypt -r {ALICE} -r {BOB} --hide {BOB} --passphrase-env WORDS", b"text").stdout
    listed = plain.run("--list-packets", "--list-only", stdin=made, check=False).stdout
    assert listed.count(b"keyid 0000000000000000") == 1
    cli(f"encrypt -r {ALICE} --hide {BOB} --passphrase-env WORDS", b"text", code=2)


def test_two_sign_and_several_are_exported(cli: Run, tmp_path: Path) -> None:
    made = cli(f"gen-key --email new@example.org {ASK}")
    other = json.loads(made.stdout)["fingerprint"]
    signed = cli(f"sign --inline --as {ALICE} --as {other} --passphrase-env WORDS", b"x").stdout
    facts = json.loads(cli("verify - --json", signed).stdout)
    assert len(facts["signatures"]) == 2
    block = cli(f"export {ALICE} {other} --minimal --no-passphrase").stdout
    target = cheap(tmp_path / "h")
    imported = cli("import --no-passphrase", block, at=target).stdout.decode().split()
    assert len(imported) == 2


def test_what_needs_the_network_says_that_tor_is_missing(cli: Run) -> None:
    (port,) = free_ports(1)
    for command in (f"wkd {BOB}", f"refresh {BOB}"):
        assert b"start Tor" in cli(f"{command} --tor-port {port}", code=6).stderr


def test_nobody_is_asked_for_a_passphrase_that_no_key_has(cli: Run, other_home: Path) -> None:
    at = cheap(other_home)
    cli("gen-key --email svc@example.org --no-passphrase", at=at)
    signed = cli("sign --inline", b"x", at=at).stdout
    assert b"GOODSIG" in cli("verify -", signed, at=at).stdout
    cli("rotate svc@example.org", at=at)
    block = cli("export --secret svc@example.org", at=at).stdout
    assert b"PRIVATE KEY" in block
    # A key that has one makes the difference.
    cli("gen-key --email other@example.org --passphrase-env WORDS", at=at)
    command = [*PROGRAM, "sign", "--home", str(at)]
    without_a_terminal = subprocess.run(
        command, capture_output=True, cwd=CHECKOUT, start_new_session=True, timeout=60, check=False
    )
    assert b"there is no terminal to ask" in without_a_terminal.stderr
