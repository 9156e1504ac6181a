"""The path that gpg is given for a home: a link where the home's own is too long for a socket."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from tests.instances import alice_at, cheap, copied
from tests.leftovers import clean_home, links_to
from tests.namespaces import run_in_private
from tiny_gnupg._home.short_paths import remove_short_link, run_directory, short_path

LONG = Path("long" * 30)

without_run_user = pytest.mark.skipif(
    run_directory(Path("/")) is not None,
    reason="NOT TESTED: with /run/user/UID no home needs a short link",
)


@pytest.mark.parametrize("run_user", ["with", "without"])
def test_a_homedir_of_200_characters_works(home: Path, run_user: str) -> None:
    top = home / ("x" * 90)
    homedir = top / ("y" * (199 - len(str(top))))
    printed = run_in_private("whole_life", homedir, run_user, mounts={"/run": "mode=755"})
    assert printed == f"200 characters {run_user} /run/user\n"


async def test_a_long_homedir_leaves_no_link_behind() -> None:
    with clean_home(LONG) as home:
        async with alice_at(cheap(home)) as gpg:
            await gpg.gen_key()
            assert await gpg.decrypt(await gpg.encrypt("x")) == "x"


@without_run_user
def test_a_link_that_is_taken_away_at_once_is_made_again_by_its_name() -> None:
    """The agent that runs knows the home by no other, and would see none of its keys."""
    with clean_home(LONG) as home:
        home.mkdir(parents=True)
        link, over = short_path(home), threading.Event()

        def take() -> None:
            while not over.wait(0.0001):
                shutil.rmtree(link.parent, ignore_errors=True)

        taking = threading.Thread(target=take)
        taking.start()
        try:
            assert {short_path(home) for _ in range(3000)} == {link}
        finally:
            over.set()
            taking.join()
        remove_short_link(home, short_path(home))


@without_run_user
async def test_all_users_of_a_home_share_one_link(keys: Path) -> None:
    with clean_home(LONG) as home:
        copied(keys / "alice", home)
        async with alice_at(home) as first, alice_at(home) as second:
            await first.sign("x")
            await second.sign("x")
            (link,) = links_to(home)
            assert Path(first._engine.base.homedir) == Path(second._engine.base.homedir) == link
            assert link.parent.stat().st_mode & 0o777 == 0o700
            assert short_path(home) == link, "and those of another process, too"


@without_run_user
def test_a_link_that_is_gone_is_made_again(tmp_path: Path) -> None:
    home = tmp_path / LONG
    home.mkdir()
    link = short_path(home)
    link.unlink()
    assert short_path(home) == link
    shutil.rmtree(link.parent)
    assert short_path(home) == link
    assert Path(os.readlink(link)) == home
    remove_short_link(home, link)
    assert not link.parent.exists()


@without_run_user
def test_a_copy_of_a_home_has_a_link_of_its_own(tmp_path: Path) -> None:
    home, copy = tmp_path / LONG / "a", tmp_path / LONG / "b"
    home.mkdir(parents=True)
    first = short_path(home)
    shutil.copytree(home, copy)
    second = short_path(copy)
    assert (Path(os.readlink(first)), Path(os.readlink(second))) == (home, copy)
    shutil.rmtree(home)
    home = copy.rename(tmp_path / LONG / "moved")
    third = short_path(home)
    assert Path(os.readlink(third)) == home
    assert not second.exists(), "the one that leads nowhere is gone"
    remove_short_link(home, third)
    shutil.rmtree(first.parent)


@without_run_user
def test_a_runtime_directory_that_is_ours_alone_is_taken_first(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, long = home / "runtime", home / LONG
    runtime.mkdir()
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    for mode, taken in ((0o700, True), (0o755, False)):
        runtime.chmod(mode)
        link = short_path(long)
        assert link.is_relative_to(runtime) == taken
        remove_short_link(long, link)


@without_run_user
@pytest.mark.parametrize("value", ["", "relative", "/nonexistent", "/etc/passwd", "/" + "x" * 99])
def test_a_runtime_directory_that_is_none_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    home = tmp_path / LONG
    home.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", value)
    link = short_path(home)
    assert link.is_relative_to("/tmp")
    remove_short_link(home, link)
