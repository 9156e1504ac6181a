"""gpg itself asks the network for keys, of signers and of addresses, unless it is told not to."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.instances import PlainGpg, copied

LIFE = """
import asyncio, sys
from pathlib import Path
from tests.instances import alice_at
from tiny_gnupg import GnuPGError

async def main():
    home, foreign, folder = map(Path, sys.argv[1:])
    key, signed, detached = (path.read_bytes() for path in sorted(foreign.iterdir()))
    async with alice_at(home, timeout=60) as gpg:
        await gpg.set_fingerprint(gpg.email)
        message = await gpg.encrypt("text")
        (folder / "file").write_text(message)
        for call in (
            lambda: gpg.decrypt(message), lambda: gpg.decrypt(signed), lambda: gpg.verify(signed),
            lambda: gpg.decrypt_verify(signed), lambda: gpg.verify(b"text", detached),
            lambda: gpg.decrypt_file(folder / "file", folder / "out"),
            lambda: gpg.encrypt("text", "nobody@gnupg.org"),
            lambda: gpg.encrypt("text", "A" * 40), lambda: gpg.encrypt("text", "A" * 16),
            lambda: gpg.encrypt("text", trust="web"),
            lambda: gpg.raw_packets(signed), lambda: gpg.packets(message), lambda: gpg.scan(key),
            lambda: gpg.text_import(key), lambda: gpg.verify(signed), lambda: gpg.keys(),
            lambda: gpg.raw_list_keys(), lambda: gpg.list_keys(secret=True),
            lambda: gpg.sign("text"), lambda: gpg.sign("bob@example.org", key=True),
            lambda: gpg.trust("bob@example.org", 4), lambda: gpg.key_trust("bob@example.org"),
            lambda: gpg.text_export(),
            lambda: gpg.set_expire("", "1y"), lambda: gpg.add_uid("", "A", "a@gnupg.org"),
            lambda: gpg.encrypt_symmetric("text", "x"), lambda: gpg.revoke(), lambda: gpg.gen_key(),
            lambda: gpg.reset_daemon(), lambda: gpg.delete("bob@example.org"),
        ):
            try:
                await call()
                print("done")
            except GnuPGError as error:
                print(type(error).__name__)

asyncio.run(main())
"""
SERVER = "hkps://keys.openpgp.org"


@pytest.fixture
def foreign(tmp_path: Path, plain_gpg: Callable[..., PlainGpg]) -> Path:
    """Signatures by a key that is not here, and that says where it is to be had."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    plain = plain_gpg()
    key = plain.new_key("Carol <carol@gnupg.org>", algorithm="ed25519", usage="sign")
    hints = ("--sig-keyserver-url", SERVER, "--sender", "carol@gnupg.org", "-u", key)
    (folder / "1").write_bytes(plain.run("--export", key).stdout)
    (folder / "2").write_bytes(plain.run(*hints, "--sign", stdin=b"text").stdout)
    (folder / "3").write_bytes(plain.run(*hints, "--detach-sign", stdin=b"text").stdout)
    return folder


def traced(arguments: list[str], record: Path) -> list[str]:
    """Run a program, and give each connection that it or one of its children tried to open."""
    strace = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-e",
        "trace=connect,sendto",
        "-o",
        str(record),
    ]
    done = subprocess.run([*strace, *arguments], capture_output=True, text=True, check=False)
    if "ptrace" in done.stderr.lower() and "not permitted" in done.stderr:
        pytest.skip("NOT TESTED: this machine lets nobody trace a program")
    assert done.returncode == 0, done.stderr
    calls = re.findall(r"(?:connect|sendto)\(.*?(\{sa_family=[^}]*\})", record.read_text())
    assert calls
    return calls


def test_nothing_but_the_agents_socket_is_reached(
    alices_home: Path, foreign: Path, tmp_path: Path
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("NOT TESTED: apt install strace")
    work = tmp_path / "work"
    work.mkdir()
    life = [sys.executable, "-c", LIFE, str(alices_home), str(foreign), str(work)]
    for call in traced(life, tmp_path / "record"):
        assert re.fullmatch(
            r'\{sa_family=AF_UNIX, sun_path="[^"]*S\.(gpg-agent|keyboxd)"\}', call
        ), call


def test_without_any_network_all_is_the_same(
    keys: Path, alices_home: Path, other_home: Path, foreign: Path, tmp_path: Path
) -> None:
    """In a network namespace with nothing in it, not even loopback."""
    probe = subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("NOT TESTED: an empty network namespace needs root")
    without = lived(["unshare", "-n"], alices_home, foreign, tmp_path / "without")
    with_it = lived([], copied(keys / "alice", other_home), foreign, tmp_path / "with")
    assert without == with_it
    assert without.count("done") > 20
    assert set(without) == {"done", "KeyNotFound"}, "what is not here is not fetched"


def lived(prefix: list[str], home: Path, foreign: Path, work: Path) -> list[str]:
    """Live a life in a home, and give how each of its calls ended."""
    work.mkdir()
    life = [*prefix, sys.executable, "-c", LIFE, str(home), str(foreign), str(work)]
    done = subprocess.run(life, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
