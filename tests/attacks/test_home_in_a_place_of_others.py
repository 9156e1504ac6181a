"""A directory of another user's, or one that was named by mistake, taken for a home.

Root made keys in a folder whose owner then had them; ``--home .`` made a web server's 0700. And the
folder of short links, whose name everybody could foresee, was somebody else's first.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.instances import MakeGnuPG, alice_at, copied
from tests.leftovers import clean_home, links_to
from tiny_gnupg import HomeUnusable
from tiny_gnupg._home.directory import admit
from tiny_gnupg._home.short_paths import remove_short_link, run_directory, short_path

#: A user who is not us.
SOMEBODY = 54321
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="NOT TESTED: other users' files need root"
)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("name", ["index.html", ".bashrc", "src", "gpg2", "notes.conf.txt"])
async def test_a_directory_that_holds_things_stays_as_it_is(
    home: Path, make_gnupg: MakeGnuPG, name: str
) -> None:
    """``--home .`` in the wrong place closed a web server's directory."""
    home.chmod(0o755)
    (home / name).touch()
    (home / "gpg-agent.conf").touch()
    gpg = make_gnupg()
    for call in (gpg.list_keys(), gpg.gen_key(), gpg.text_import(""), gpg.text_export()):
        with pytest.raises(HomeUnusable, match=name):
            await call
    assert mode(home) == 0o755
    assert sorted(os.listdir(home)) == sorted([name, "gpg-agent.conf"])


def test_nor_does_the_command_line_close_it(home: Path) -> None:
    home.chmod(0o755)
    (home / "index.html").touch()
    for command in ("keys", "gen-key", "doctor"):
        line = [sys.executable, "-m", "tiny_gnupg", command, "--home", str(home)]
        more = ["--offline"] if command == "doctor" else []
        done = subprocess.run([*line, *more], capture_output=True, text=True, check=False)
        assert done.returncode, command
        assert (mode(home), os.listdir(home)) == (0o755, ["index.html"]), command


@pytest.mark.parametrize("name", ["lost+found", "S.gpg-agent", "gpg.conf", ".#lk0x0.host.7"])
def test_what_is_gpgs_or_the_file_systems_is_in_nobodys_way(tmp_path: Path, name: str) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / name).touch()
    admit(tmp_path)
    assert mode(tmp_path) == 0o700


@pytest.mark.parametrize("sign", ["pubring.kbx", "private-keys-v1.d", "tiny_gnupg.d"])
def test_a_home_may_hold_other_things_too(tmp_path: Path, sign: str) -> None:
    (tmp_path / sign).mkdir()
    (tmp_path / "notes").touch()
    admit(tmp_path)


@needs_root
@pytest.mark.parametrize("held", [False, True])
async def test_a_home_of_another_user_is_refused(
    home: Path, make_gnupg: MakeGnuPG, held: bool
) -> None:
    """Its owner would have the secret keys; root could write there, and must not."""
    if held:
        (home / "pubring.kbx").touch()
    os.chown(home, SOMEBODY, SOMEBODY)
    before = os.listdir(home)
    gpg = make_gnupg()
    for call in (gpg.list_keys(), gpg.gen_key(), gpg.text_import("")):
        with pytest.raises(HomeUnusable, match=f"user {SOMEBODY}"):
            await call
    assert os.listdir(home) == before
    os.chown(home, 0, 0)


def test_a_file_system_without_permissions_is_said_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(fd: int, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    tmp_path.chmod(0o755)
    with caplog.at_level(logging.WARNING, "tiny_gnupg"):
        admit(tmp_path)
    assert "no permissions" in caplog.text


LONG = Path("long" * 30)


@needs_root
@pytest.mark.skipif(
    run_directory(Path("/")) is not None,
    reason="NOT TESTED: with /run/user/UID no home needs a short link",
)
async def test_no_name_can_be_taken_first(keys: Path) -> None:
    """Another user who made ``/tmp/tiny_gnupg-UID`` shut every home with a long path."""
    foreseen = Path("/tmp", f"tiny_gnupg-{os.getuid()}")
    foreseen.mkdir()
    os.chown(foreseen, SOMEBODY, SOMEBODY)
    try:
        with clean_home(LONG) as home:
            async with alice_at(copied(keys / "alice", home)) as gpg:
                assert "MESSAGE" in await gpg.sign("x")
                (link,) = links_to(home)
                assert link.parent != foreseen
    finally:
        foreseen.rmdir()


@needs_root
@pytest.mark.skipif(
    run_directory(Path("/")) is not None,
    reason="NOT TESTED: with /run/user/UID no home needs a short link",
)
def test_nor_the_name_that_a_home_remembers(tmp_path: Path) -> None:
    """It was cleared away, and somebody who had seen it made a directory of that name."""
    home = tmp_path / LONG
    home.mkdir()
    seen = short_path(home)
    shutil.rmtree(seen.parent)
    seen.parent.mkdir()
    seen.symlink_to("/etc")
    os.chown(seen.parent, SOMEBODY, SOMEBODY)
    link = short_path(home)
    try:
        assert link.parent != seen.parent
        assert Path(os.readlink(link)) == home
        assert os.readlink(seen) == "/etc", "what is another's stays"
    finally:
        shutil.rmtree(seen.parent)
        remove_short_link(home, link)
