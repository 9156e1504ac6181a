"""How passphrases guard keys: the stretching, the marker, and what it is for."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.instances import MakeGnuPG, PlainGpg, alice_at, cheap
from tests.namespaces import CHECKOUT
from tiny_gnupg import BadPassphrase, CommandFailed, GnuPG, HomeUnusable
from tiny_gnupg._home.home import Home
from tiny_gnupg._home.protection import LOW_COUNT, Protection

RUNS = 7


def test_stretching_is_scrypt() -> None:
    # RFC 7914, section 12: the first half of a vector for 64 bytes.
    protection = Protection("scrypt", b"SodiumChloride".hex(), n=16384, r=8, p=1)
    assert protection.stretch("pleaseletmein") == base64.urlsafe_b64encode(
        bytes.fromhex("7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2")
    ).rstrip(b"=")


#: A use of a new home, and of a passphrase of a message, in a process that knows no tests.
OUTSIDE = """
import asyncio, sys
from tiny_gnupg import GnuPG
async def main():
    async with GnuPG(passphrase="own", homedir=sys.argv[1]) as gpg:
        await gpg.unlock()
        print(await gpg.encrypt_symmetric("text", "words"))
asyncio.run(main())
"""


def test_outside_of_the_tests_a_home_and_a_message_get_the_full_cost(
    home: Path, plain_gpg: Callable[..., PlainGpg]
) -> None:
    command = [sys.executable, "-c", OUTSIDE, str(home)]
    message = subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.PIPE, check=True).stdout
    marker = json.loads((home / "tiny_gnupg.d" / "protection.json").read_text())
    assert (marker["kind"], marker["n"], marker["r"], marker["p"]) == ("scrypt", 2**17, 8, 1)
    packets = plain_gpg().run("--list-packets", "--list-only", stdin=message).stdout.decode()
    # OpenPGP's highest: RFC 9580, section 3.7.1.3.
    assert "count 65011712 (255)" in packets


def test_a_new_home_gets_a_salt_of_its_own() -> None:
    first, second = Protection.new("scrypt"), Protection.new("scrypt")
    assert len(bytes.fromhex(first.salt)) == 32
    assert first.salt != second.salt


PASSPHRASES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=50)


@given(PASSPHRASES)
def test_gnupgs_own_way_leaves_a_passphrase_as_it_is(text: str) -> None:
    assert Protection.new("gnupg").stretch(text) == text.encode()


@given(PASSPHRASES)
def test_what_the_agent_gets_is_one_line(text: str) -> None:
    stretched = Protection("scrypt", "00" * 32, n=2**4).stretch(text)
    assert re.fullmatch(rb"[A-Za-z0-9_-]{43}", stretched)
    assert stretched != Protection("scrypt", "01" * 32, n=2**4).stretch(text)


def test_an_empty_passphrase_stays_empty() -> None:
    assert Protection.new("scrypt").stretch("") == b""


def test_a_marker_is_written_once_and_read_back(tmp_path: Path) -> None:
    marker = tmp_path / "protection.json"
    found = [Protection.new("scrypt") for _ in range(8)]
    writers = [threading.Thread(target=one.write, args=(marker,)) for one in found]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert Protection.read(marker) in found
    assert os.listdir(tmp_path) == [marker.name]
    assert marker.stat().st_mode & 0o777 == 0o600


def test_a_missing_marker_is_no_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        Protection.read(tmp_path / "protection.json")
    assert not isinstance(caught.value, HomeUnusable)


async def test_a_home_that_was_copied_without_our_folder_opens(
    alices_home: Path, make_gnupg: MakeGnuPG, other_home: Path
) -> None:
    """As people copy one: keyring, trust, secret keys."""
    message = await make_gnupg().encrypt("kept")
    for name in ("pubring.kbx", "trustdb.gpg"):
        shutil.copy(alices_home / name, other_home)
    shutil.copytree(alices_home / "private-keys-v1.d", other_home / "private-keys-v1.d")
    moved = make_gnupg(at=other_home)
    assert await moved.decrypt(message) == "kept"
    assert counts_of(other_home) == {LOW_COUNT}
    assert "s2k-count" in (other_home / "gpg-agent.conf").read_text(), "it is a home of ours"


async def test_what_is_restored_from_such_a_copy_opens(
    alices_home: Path, make_gnupg: MakeGnuPG, other_home: Path, tmp_path: Path
) -> None:
    message = await make_gnupg().encrypt("kept")
    for name in ("pubring.kbx", "trustdb.gpg"):
        shutil.copy(alices_home / name, tmp_path)
    shutil.copytree(alices_home / "private-keys-v1.d", tmp_path / "private-keys-v1.d")
    restored = make_gnupg(at=cheap(other_home))
    assert (await restored.restore(tmp_path)).secret_imported == 1
    assert await restored.decrypt(message) == "kept"


async def test_key_files_of_a_home_of_ours_without_its_salt_name_what_is_missing(
    alices_home: Path, make_gnupg: MakeGnuPG, other_home: Path
) -> None:
    await make_gnupg().list_keys()
    shutil.copy(alices_home / "pubring.kbx", other_home)
    (other_home / "private-keys-v1.d").mkdir(mode=0o700)
    for path in (alices_home / "private-keys-v1.d").glob("*.key"):
        shutil.copy(path, other_home / "private-keys-v1.d")
    with pytest.raises(HomeUnusable, match=r"protection\.json"):
        await make_gnupg(at=other_home).sign("x")
    assert not (other_home / "tiny_gnupg.d").exists()
    marker = alices_home / "tiny_gnupg.d" / "protection.json"
    shutil.copy(marker, other_home / "private-keys-v1.d")
    assert "MESSAGE" in await make_gnupg(at=other_home).sign("x")


async def test_a_home_of_before_gets_its_copy_of_the_salt(
    alices_home: Path, make_gnupg: MakeGnuPG
) -> None:
    copy = alices_home / "private-keys-v1.d" / "protection.json"
    await make_gnupg().list_keys()
    copy.unlink()
    async with alice_at(alices_home) as again:
        Home.drop(again._engine.home)
    await make_gnupg().list_keys()
    assert copy.read_bytes() == (alices_home / "tiny_gnupg.d" / "protection.json").read_bytes()
    assert copy.stat().st_mode & 0o777 == 0o600


#: ``(openpgp-s2k3-ocb-aes ((sha1 SALT COUNT) …`` of agent/keyformat.txt, in both of its writings:
#: lengths before strings (GnuPG 2.2), and lines of text folded with a blank (2.4).
COUNT = re.compile(rb'sha1(?:8:.{8}[56789]:| .{8,60}?[ #"])(\d{5,9})"?\)', re.DOTALL)


def counts_of(home: Path) -> set[int]:
    """Return the counts with which the agent hashed the passphrases of a home's keys."""
    files = [path.read_bytes() for path in (home / "private-keys-v1.d").glob("*.key")]
    found = [COUNT.search(file) or COUNT.search(file.replace(b"\n ", b"")) for file in files]
    assert all(found), "each key is protected"
    return {int(match[1]) for match in found if match}


async def test_keys_rest_under_the_stretched_passphrase(
    alice: GnuPG, home: Path, make_gnupg: MakeGnuPG
) -> None:
    assert counts_of(home) == {LOW_COUNT}
    stretched = await alice.agent_passphrase()
    assert stretched != alice.passphrase
    with pytest.raises(BadPassphrase):
        await make_gnupg(passphrase=stretched).sign("x")
    # Somebody who knows only the user's own words cannot use the files without the marker.
    command = alice.command("--armor", "--sign", with_passphrase=True)
    with pytest.raises(CommandFailed):
        await alice.read_output(command, alice.encode_inputs(alice.passphrase, "x"))
    signed = await alice.read_output(command, alice.encode_inputs(stretched, "x"))
    assert (await alice.verify(signed)).data == b"x\n"


async def test_scrypt_is_computed_once_for_a_crowd(
    alices_home: Path, make_gnupg: MakeGnuPG, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    stretch = Protection.stretch

    def counted(self: Protection, passphrase: str) -> bytes:
        computed.append(threading.current_thread())
        return stretch(self, passphrase)

    monkeypatch.setattr(Protection, "stretch", counted)
    gpg = make_gnupg(alice_at, alices_home)
    await asyncio.gather(*(gpg.agent_passphrase() for _ in range(50)))
    assert len(computed) == 1
    assert computed[0] is not threading.main_thread()
