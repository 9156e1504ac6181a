"""The home of who names none: no upgrade, uninstall or cleared environment takes a key."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, PASSPHRASE, MakeGnuPG, copied
from tests.leftovers import clean_home, forget
from tests.namespaces import CHECKOUT
from tests.proc import agent_of
from tests.programs.stopped import killed_before
from tiny_gnupg import GnuPG, HomeUnusable
from tiny_gnupg._home import default_home
from tiny_gnupg._home.default_home import DefaultHome, default_homedir
from tiny_gnupg._home.home import Home
from tiny_gnupg._process import find_gpg
from tiny_gnupg._process.find_gpg import package_home

SOMEBODY = 54321
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="NOT TESTED: other users' files need root"
)


@pytest.fixture
def user(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home directory, and no word on where the keys are."""
    for name in ("TINY_GNUPG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    user = home / "user"
    user.mkdir()
    monkeypatch.setenv("HOME", str(user))
    return user


@pytest.fixture
def data(user: Path) -> Path:
    """Where the keys of the user last."""
    return user / ".local" / "share" / "tiny_gnupg" / "gpghome"


@pytest.fixture
def package(home: Path) -> Iterator[Path]:
    """An installed package's own folder."""
    yield installed(home / "venv")
    forget(home)


def installed(environment: Path) -> Path:
    """Make a package's ``gpghome`` with what ships in it, and no gpg: the machine's is taken."""
    made = environment / "lib" / "gpghome"
    made.mkdir(parents=True)
    for shipped in package_home().glob("*.conf"):
        shutil.copy(shipped, made)
    return made


def default(package: Path, monkeypatch: pytest.MonkeyPatch) -> GnuPG:
    """Return Alice who names no home, in an environment."""
    gpg = find_gpg.find_executable()
    with monkeypatch.context() as patch:
        patch.setattr(find_gpg, "package_home", lambda: package)
        return GnuPG("Alice", ALICE, PASSPHRASE, executable=gpg)


# -- where it is ---------------------------------------------------------------------------


async def test_the_name_is_the_packages_and_the_place_is_the_users(
    package: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with default(package, monkeypatch) as gpg:
        assert not data.exists() or not (package / "gpghome").exists() or await gpg.keys() == ()
        assert gpg.home == str(package / "gpghome")
        assert Path(gpg.home).is_symlink()
        assert Path(os.path.realpath(gpg.home)) == data
        assert data.stat().st_mode & 0o777 == 0o700
        assert (data / "tiny_gnupg.d" / "protection.json").exists()
    assert sorted(os.listdir(package)) == [
        *("common.conf", "gpg-agent.conf", "gpg2.conf", "gpghome")
    ]


def test_to_construct_an_instance_makes_nothing(
    package: Path, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(os.listdir(package))
    default(package, monkeypatch)
    assert (sorted(os.listdir(package)), os.listdir(user)) == (before, [])


async def test_keys_outlive_their_environment_and_all_environments_share_them(
    keys: Path, home: Path, package: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(keys / "alice", data)
    async with default(package, monkeypatch) as gpg:
        message = await gpg.encrypt("kept")
    shutil.rmtree(package.parent.parent)
    again = installed(home / "venv")
    other = installed(home / "another")
    async with default(again, monkeypatch) as one, default(other, monkeypatch) as two:
        assert await one.decrypt(message) == await two.decrypt(message) == "kept"
        assert one._engine.home is two._engine.home


async def test_a_package_that_cannot_be_written_has_no_link(
    package: Path, data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode, **more: path != package and real(path, mode, **more)
    )
    with caplog.at_level(logging.INFO, "tiny_gnupg"):
        async with default(package, monkeypatch) as gpg:
            assert await gpg.keys() == ()
            assert gpg.home == str(data)
    assert str(data) in caplog.text
    assert not os.path.lexists(package / "gpghome")


@needs_root
def test_of_two_users_each_has_a_home(home: Path, package: Path, user: Path) -> None:
    """Root installs the package and uses it; the link is root's, and of no use to others."""
    mine = default_homedir(package)
    mine.path.mkdir(parents=True)
    mine.settle()
    home.chmod(0o755)
    others = home / "other"
    others.mkdir()
    os.chown(others, SOMEBODY, SOMEBODY)
    program = (
        "import os, sys, platformdirs; from pathlib import Path;"
        "from tiny_gnupg._home.default_home import default_homedir;"
        f"os.setgroups([]); os.setgid({SOMEBODY}); os.setuid({SOMEBODY});"
        f"found = default_homedir(Path({str(package)!r})); found.settle(); print(found.path)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=CHECKOUT,
        env={**os.environ, "HOME": str(others)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == str(others / ".local/share/tiny_gnupg/gpghome"), done.stderr
    assert os.path.realpath(package / "gpghome") == str(mine.path)


@needs_root
@pytest.mark.parametrize("what", ["the link's end", "a real home"])
def test_what_is_another_users_in_the_package_stays(
    home: Path, package: Path, data: Path, keys: Path, what: str
) -> None:
    theirs = package / "gpghome" if what == "a real home" else home / "theirs"
    copied(keys / "bob", theirs)
    for path in (theirs, *theirs.rglob("*")):
        os.chown(path, SOMEBODY, SOMEBODY)
    if what == "the link's end":
        (package / "gpghome").symlink_to(theirs)
    found = default_homedir(package)
    assert found == DefaultHome(data, data, package)
    found.settle()
    assert not data.exists()
    assert (theirs / "pubring.kbx").exists()
    assert os.path.realpath(package / "gpghome") == str(theirs)


def test_a_link_that_is_there_counts(
    home: Path, package: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cron knows no XDG_DATA_HOME: the same environment has the same keys all the same."""
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "elsewhere"))
    first = default_homedir(package)
    first.path.mkdir(parents=True)
    first.settle()
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_homedir(package).path == first.path == home / "elsewhere/tiny_gnupg/gpghome"
    shutil.rmtree(home / "elsewhere")
    again = default_homedir(package)
    assert again.path == data
    data.mkdir(parents=True)
    again.settle()
    assert os.path.realpath(package / "gpghome") == str(data)


def test_who_has_no_home_directory_is_told_what_to_set(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TINY_GNUPG_HOME", "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4000000000)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    with pytest.raises(HomeUnusable, match=r"HOME.*TINY_GNUPG_HOME"):
        default_homedir(package)
    with pytest.raises(HomeUnusable):
        default(package, monkeypatch)
    monkeypatch.setenv("TINY_GNUPG_HOME", "/elsewhere")
    assert default_homedir(package).path == Path("/elsewhere")
    assert default(package, monkeypatch).home == "/elsewhere"


@needs_root
def test_sudo_with_the_users_own_home_directory_makes_nothing_in_it(
    package: Path, user: Path
) -> None:
    os.chown(user, SOMEBODY, SOMEBODY)
    with pytest.raises(HomeUnusable, match="sudo -H"):
        default_homedir(package).settle()
    assert os.listdir(user) == []


# -- a home that lies in the package already -----------------------------------------------


@pytest.fixture(params=["0.5.2's", "ours of before"])
def old(request: pytest.FixtureRequest, package: Path, keys: Path) -> Path:
    """A home with keys that lies in the package."""
    place = package if request.param == "0.5.2's" else package / "gpghome"
    copied(keys / "alice", place)
    if request.param == "0.5.2's":
        shutil.rmtree(place / "tiny_gnupg.d")
    (place / "S.gpg-agent").touch()
    (place / "pubring.kbx.lock").touch()
    return place


async def test_an_old_home_is_moved_once_with_one_line(
    old: Path,
    package: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "tiny_gnupg"):
        async with default(package, monkeypatch) as gpg:
            assert set((await gpg.list_keys()).values()) == {ALICE, BOB}
            assert gpg.home == str(package / "gpghome")
            assert await gpg.decrypt(await gpg.encrypt("x")) == "x"
        async with default(package, monkeypatch) as gpg:
            assert len(await gpg.keys(secret=True)) == 1
    lines = [record.getMessage() for record in caplog.records]
    assert len([line for line in lines if str(old) in line and str(data) in line]) == 1
    assert os.path.realpath(package / "gpghome") == str(data)
    assert not (package / "pubring.kbx").exists()
    assert {path.name for path in package.glob("*.conf")} == {
        *("gpg2.conf", "gpg-agent.conf", "common.conf")
    }
    assert not (data / "tiny_gnupg.d" / "moved_from.json").exists()
    for path in (data, *data.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def contents(home: Path) -> dict[str, bytes]:
    """Return what lies in a home, without what is not kept."""
    found = {}
    for path in home.rglob("*"):
        if path.is_file() and not path.name.endswith((".lock", ".json")) and path.suffix != ".conf":
            found[str(path.relative_to(home))] = path.read_bytes()
    found.pop("S.gpg-agent", None)
    return found


def settled(package: Path, top: Path, step: int) -> bool:
    """Settle in a process that is killed before a step; return whether it came to the end."""
    child = os.fork()
    if child == 0:
        try:
            killed_before(step, top)
            default_homedir(package).settle()
            os._exit(0)
        finally:
            os._exit(1)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended in (0, -signal.SIGKILL)
    return ended == 0


# Python 3.12 warns of a fork beside other threads.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_it_is_moved_whole_or_not_at_all(old: Path, package: Path, data: Path, home: Path) -> None:
    """Killed before each step, and carried on: at no time a key is in neither place."""
    before = contents(old)
    spare = home / "spare"
    shutil.copytree(package, spare, symlinks=True)
    step = ends = 0
    while True:
        step += 1
        shutil.rmtree(package)
        shutil.rmtree(data.parent, ignore_errors=True)
        shutil.copytree(spare, package, symlinks=True)
        if settled(package, home, step):
            break
        kept = contents(old) if old.exists() else {}
        there = contents(data) if data.exists() else {}
        assert before.items() <= (kept | there).items(), f"step {step}"
        assert not there or before.items() <= there.items(), f"half a home at step {step}"
        ends += bool(there)
        default_homedir(package).settle()
        assert before.items() <= contents(data).items(), f"step {step}"
        assert not (package / "pubring.kbx").exists()
        assert os.path.realpath(package / "gpghome") == str(data)
    assert 10 < ends < step


def test_many_at_once_move_it_once(old: Path, package: Path, data: Path) -> None:
    before, errors = contents(old), []

    def settle() -> None:
        try:
            default_homedir(package).settle()
        except HomeUnusable as error:
            errors.append(error)

    threads = [threading.Thread(target=settle) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert before.items() <= contents(data).items()


async def test_two_homes_with_keys_are_both_kept_and_named(
    old: Path, package: Path, data: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(keys / "bob", data)
    before = contents(old), contents(data)
    with pytest.raises(HomeUnusable) as caught:
        await default(package, monkeypatch).keys()
    for told in (f"{old},", str(data), "restore(", "TINY_GNUPG_HOME"):
        assert told in str(caught.value)
    assert (contents(old), contents(data)) == before


async def test_a_home_without_a_key_is_in_nobodys_way(
    home: Path,
    old: Path,
    package: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another environment was used first, and only looked."""
    async with default(installed(home / "another"), monkeypatch) as gpg:
        assert await gpg.keys() == ()
    async with default(package, monkeypatch) as gpg:
        assert len(await gpg.keys(secret=True)) == 1
    assert len(list(data.parent.glob("gpghome.empty.*"))) == 1


async def test_a_folder_without_a_key_makes_way_for_the_link(
    package: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (package / "gpghome" / "tiny_gnupg.d").mkdir(parents=True)
    (package / "gpghome" / "notes").write_text("mine")
    async with default(package, monkeypatch) as gpg:
        assert await gpg.keys() == ()
    assert os.path.realpath(package / "gpghome") == str(data)
    (aside,) = package.glob("gpghome.empty.*")
    assert (aside / "notes").read_text() == "mine"


async def test_a_home_that_is_in_use_is_not_moved(
    package: Path, data: Path, keys: Path, monkeypatch: pytest.MonkeyPatch, make_gnupg: MakeGnuPG
) -> None:
    old = copied(keys / "alice", package / "gpghome")
    user = make_gnupg(at=old)
    await user.sign("x")
    with pytest.raises(HomeUnusable, match="in use"):
        await default(package, monkeypatch).keys()
    assert agent_of(old) is not None
    await user.aclose()
    Home.drop(user._engine.home)
    async with default(package, monkeypatch) as gpg:
        assert len(await gpg.keys(secret=True)) == 1


def test_what_cannot_be_taken_away_is_copied_once(
    package: Path, data: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.5.2's keys in a package that is read-only now."""
    copied(keys / "alice", package)

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system", str(path))

    before = contents(package)
    with monkeypatch.context() as patch:
        real = Path.unlink

        def unlink(path: Path, missing_ok: bool = False) -> None:
            (refuse if path.is_relative_to(package) else real)(path, missing_ok)

        patch.setattr(Path, "unlink", unlink)
        for _ in range(2):
            default_homedir(package).settle()
            assert before.items() <= contents(data).items()
    assert contents(package) == before
    (package / "private-keys-v1.d" / f"{'A' * 40}.key").write_bytes(b"new here")
    with pytest.raises(HomeUnusable, match="two homes"):
        default_homedir(package).settle()


def test_it_is_moved_to_another_file_system(
    package: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == package.stat().st_dev:
        pytest.skip("NOT TESTED: there is no second file system at /dev/shm")
    before = contents(copied(keys / "alice", package / "gpghome"))
    with clean_home() as elsewhere:
        place = shared / elsewhere.name
        monkeypatch.setenv("XDG_DATA_HOME", str(place))
        try:
            default_homedir(package).settle()
            assert before.items() <= contents(package / "gpghome").items()
            assert os.path.realpath(package / "gpghome") == str(place / "tiny_gnupg" / "gpghome")
        finally:
            shutil.rmtree(place, ignore_errors=True)


def test_a_full_disk_leaves_it_where_it_is(
    old: Path, package: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(old)

    def no_room(target: Path, octets: bytes, **more: object) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(default_home, "write_whole", no_room)
    with pytest.raises(HomeUnusable, match="No space left"):
        default_homedir(package).settle()
    assert contents(old) == before
    assert [path.name for path in data.parent.iterdir()] == ["move.lock"]
