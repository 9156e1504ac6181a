"""What a process may meet: a clock that jumps, no /run/user, a long path, low limits."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.command_line import CHECKOUT
from tests.instances import ALICE, BOB, PASSPHRASE, alice_at, copied, gpg_behind
from tests.leftovers import clean_home, links_to
from tiny_gnupg import (
    AgentUnavailable,
    CommandFailed,
    GnuPG,
    GnuPGError,
    HomeUnusable,
    UnusableKey,
)
from tiny_gnupg._gpg import commands
from tiny_gnupg._process.find_gpg import find_executable, package_home

LIFE = """
import asyncio, sys
from pathlib import Path
from tests.instances import alice_at
from tiny_gnupg import GnuPGError

if len(sys.argv) > 3:
    import concurrent.futures.thread, os, resource
    resource.setrlimit(resource.RLIMIT_NPROC, (int(sys.argv[4]),) * 2)
    os.setgroups([])
    os.setgid(int(sys.argv[3]))
    os.setuid(int(sys.argv[3]))

async def main():
    async with alice_at(Path(sys.argv[1]), timeout=30) as gpg:
        await gpg.set_fingerprint(gpg.email)
        for attempt in range(int(sys.argv[2])):
            message = await gpg.encrypt("text")
            assert await gpg.decrypt(message) == "text"
        found = await asyncio.gather(
            *(gpg.decrypt(message) for _ in range(40)), return_exceptions=True)
        bad = [end for end in found if end != "text"]
        assert all(isinstance(end, GnuPGError) for end in bad), bad
        assert await gpg.decrypt(message) == "text"
        print("ends:", len(found) - len(bad), len(bad))

asyncio.run(main())
"""


def run_life(home: Path, *before: str, user: tuple[int, int] | None = None, **more: object) -> str:
    """Use a home in a process of its own; ``user``: as whom, and with how many processes."""
    done = subprocess.run(
        [*before, sys.executable, "-c", LIFE, str(home), "1", *map(str, user or ())],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **more,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def at_time(folder: Path, moment: str) -> Path:
    """Make options with which gpg takes another moment for now."""
    options = folder / f"{moment}.conf"
    text = (package_home() / "gpg2.conf").read_text()
    options.write_text(f"{text}\nfaked-system-time {moment}\n")
    return options


@pytest.mark.parametrize("moment", ["20200101T000000", "20271001T000000"])
async def test_the_clock_jumps(alice: GnuPG, tmp_path: Path, moment: str) -> None:
    """Years back, before the key was made, and forth: old messages open, and nothing is lost."""
    message, held = await alice.encrypt("text", sign=False), await alice.list_keys()
    async with alice_at(Path(alice.home), options=at_time(tmp_path, moment)) as jumped:
        assert await jumped.decrypt_verify(message)
        # To gpg no signature is good before its key was made, so no address is then anybody's.
        before = moment.startswith("2020")
        assert await jumped.list_keys() == (dict.fromkeys(held, "") if before else held)
        try:
            await jumped.encrypt("text", alice.fingerprint)
        except GnuPGError:
            assert before
        await jumped.trust(alice.fingerprint, 4)
    assert await alice.list_keys() == held
    assert await alice.decrypt(await alice.encrypt("now")) == "now"


async def test_the_clock_jumps_over_the_end_of_a_key(alice: GnuPG, tmp_path: Path) -> None:
    options = at_time(tmp_path, "20400101T000000")
    async with alice_at(Path(alice.home), options=options) as jumped:
        with pytest.raises(UnusableKey):
            await jumped.encrypt("text", alice.fingerprint, sign=False)
        assert len(await jumped.list_keys()) == 2
    assert await alice.decrypt(await alice.encrypt("now")) == "now"


@pytest.mark.parametrize("offset", ["-12h", "+200d"])
def test_every_programs_clock_jumps(alices_home: Path, offset: str) -> None:
    """libfaketime moves the clock of Python, gpg and the agent alike."""
    if shutil.which("faketime") is None:
        pytest.skip("NOT TESTED: apt install faketime")
    run_life(alices_home, "faketime", "-f", offset)
    run_life(alices_home)


async def test_a_passphrase_is_changed_however_many_seconds_that_takes(
    alices_home: Path, tmp_path: Path
) -> None:
    """With a clock 500 times as fast, seconds pass between any two steps of gpg and its agent."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        pytest.skip("NOT TESTED: apt install faketime")
    clock = f"export LD_PRELOAD={library} FAKETIME='+0 x500' DONT_FAKE_MONOTONIC=1"
    only_aside = f'case " $* " in *scratch.*) {clock};; esac'
    hurried = gpg_behind(tmp_path / "gpg", only_aside)
    async with alice_at(alices_home, executable=hurried) as alice:
        for turn in range(8):
            await alice.change_passphrase("", f"passphrase {turn}")


@pytest.mark.parametrize("length", [86, 87, 107, 108, 200, 250])
def test_a_long_path(keys: Path, length: int) -> None:
    """A socket's path has 107 bytes; below a home with a longer one it could not be made."""
    with clean_home(long_path(length)) as home:
        home.mkdir(parents=True)
        copied(keys / "alice", home)
        assert len(str(home)) == length
        run_life(home)


def long_path(length: int) -> Path:
    """Return a path that, below a directory like ``/tmp/tgabcdefgh``, has a length in all."""
    rest = length - len("/tmp/tgabcdefgh/")
    parts = []
    while rest > 120:
        parts.append("d" * 99)
        rest -= 100
    return Path(*parts, "d" * rest)


async def test_a_short_link_that_is_taken_away_again_and_again(
    keys: Path, strangers: dict[str, str]
) -> None:
    """What cleans /tmp may come at any moment: an answer is right, or says what is so."""
    ends: Counter[str] = Counter()
    with clean_home(Path("long" * 30)) as home:
        copied(keys / "alice", home)
        async with alice_at(home) as gpg:
            message, signed = await gpg.encrypt("text"), await gpg.sign("text")
            before = await gpg.keys()
            over = threading.Event()
            taking = threading.Thread(target=take_links, args=(home, over))
            taking.start()
            calls: dict[str, Callable[[], Awaitable[object]]] = {
                "keys": gpg.keys,
                "secret keys": lambda: gpg.keys(secret=True),
                "decrypt": lambda: gpg.decrypt(message),
                "verify": lambda: gpg.verify(signed),
                "sign": lambda: gpg.sign("text"),
                "encrypt": lambda: gpg.encrypt("text", BOB),
                "trust": lambda: gpg.trust("", 5),
                "certify": lambda: gpg.certify(BOB),
                "set_expire": lambda: gpg.set_expire("", "2y"),
                "change_passphrase": lambda: gpg.change_passphrase("", PASSPHRASE),
                "import": lambda: gpg.text_import(next(iter(strangers.values()))),
            }
            try:
                for _ in range(3):
                    for call in calls.values():
                        try:
                            await call()
                        except (AgentUnavailable, CommandFailed, HomeUnusable) as error:
                            ends[type(error).__name__] += 1
                        else:
                            ends["done"] += 1
            finally:
                over.set()
                await asyncio.to_thread(taking.join)
            assert await gpg.decrypt(message) == "text"
            assert {key.fingerprint for key in before} <= set(await gpg.list_keys())
    assert ends["done"] >= 1, ends


LISTS = {
    "keys": lambda gpg: gpg.keys(secret=True),
    "own": lambda gpg: gpg.own(),
    "sign": lambda gpg: gpg.sign("text", ALICE),
    "export": lambda gpg: gpg.text_export(secret=True),
    "ensure_key": lambda gpg: gpg.ensure_key(),
    "backup": lambda gpg: gpg.backup(Path(gpg.home) / "backup"),
}


@pytest.mark.parametrize("call", LISTS.values(), ids=LISTS)
async def test_keys_that_the_agent_does_not_see_for_a_moment(
    alices_home: Path, tmp_path: Path, call: Callable[[GnuPG], Awaitable[object]]
) -> None:
    """As while a link is made again: it says that no key is here, and then they are."""
    keys, away, moment = alices_home / "private-keys-v1.d", tmp_path / "away", tmp_path / "moment"
    hiding = f'mv {keys} {away}; {find_executable()} "$@"; code=$?; mv {away} {keys}; exit $code'
    lists = f'case " $* " in *--with-secret*|*--list-secret-keys*) rm {moment}; {hiding};; esac'
    wrapper = gpg_behind(tmp_path / "gpg", f"[ ! -e {moment} ] || {lists}")
    async with alice_at(alices_home, executable=wrapper) as gpg:
        moment.touch()
        found = await call(gpg)
        assert found
        assert not moment.exists(), "nothing was hidden"
        assert len(await gpg.keys(secret=True)) == 1
        assert await gpg.sign("text")


@pytest.mark.parametrize("arguments", [["--passwd"], ["--dry-run", "--change-passphrase"]])
def test_a_success_without_keys_is_looked_at(arguments: list[str]) -> None:
    """Where the agent sees none of a key's files any more, gpg changes nothing and says SUCCESS."""
    assert commands.tells_of_secret_keys(["gpg", *arguments, "--", "name"])
    assert not commands.tells_of_secret_keys(["gpg", "--list-keys", "--", *arguments])


def take_links(home: Path, over: threading.Event) -> None:
    while not over.wait(0.01):
        for link in links_to(home):
            link.unlink(missing_ok=True)


@pytest.mark.parametrize("there", [True, False])
def test_with_and_without_a_run_directory(alices_home: Path, there: bool) -> None:
    """GnuPG puts its sockets below ``/run/user/<uid>`` where that is, and else into the home."""
    if shutil.which("unshare") is None or os.getuid() != 0:
        pytest.skip("NOT TESTED: to hide or show /run/user/<uid> alone needs root")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: there is no mount namespace to be had here (a chroot?)")
    base = "/run/user"
    mine = f"mkdir -m 700 {base}/0" if there else "true"
    script = f'mkdir -p {base}; mount -t tmpfs tmpfs {base} && {mine} && exec "$@"'
    run_life(alices_home, "unshare", "--mount", "sh", "-c", script, "sh")


@pytest.mark.parametrize("descriptors", [20, 32, 64, 256])
def test_few_descriptors(alices_home: Path, descriptors: int) -> None:
    """What finds no room says so; the next one works."""
    told = run_life(alices_home, preexec_fn=limited("RLIMIT_NOFILE", descriptors))
    assert int(told.split()[1]) > 0 or descriptors < 32


def test_few_processes(keys: Path) -> None:
    """Processes are limited for each user, and not for root: this runs as another one."""
    if os.getuid() != 0:
        pytest.skip("NOT TESTED: to run as a user with no other processes needs root")
    nobody = 31337
    trial = ["test", "-x", str(find_executable())]
    if subprocess.run(trial, user=nobody, group=nobody, check=False).returncode:
        pytest.skip("NOT TESTED: other users cannot run the gpg in this checkout")
    with clean_home() as home:
        copied(keys / "alice", home)
        for path in (home, *home.rglob("*")):
            os.chown(path, nobody, nobody)
        told = run_life(home, user=(nobody, 8))
        assert int(told.split()[1]) > 0


def limited(name: str, value: int) -> Callable[[], None]:
    """Set a limit in the child, before its program starts."""
    import resource

    def limit() -> None:
        resource.setrlimit(getattr(resource, name), (value, value))

    return limit


async def test_an_environment_of_nothing(alice: GnuPG, monkeypatch: pytest.MonkeyPatch) -> None:
    """cron starts programs with next to no environment."""
    for name in list(os.environ):
        monkeypatch.delenv(name)
    assert await alice.decrypt(await alice.encrypt("é")) == "é"
    assert list(await alice.list_keys(ALICE)) == [alice.fingerprint]


async def test_a_working_directory_that_is_gone(
    alice: GnuPG, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert await alice.decrypt(await alice.encrypt("text")) == "text"
    monkeypatch.chdir("/")


NAMED = """
import asyncio
from pathlib import Path
from tiny_gnupg import GnuPG
from tests.instances import cheap

async def main():
    home = Path("h\\udcc3\\udcb6me")
    cheap(home)
    async with GnuPG("Zo\\xeb \\u2603", "zoe@example.org", homedir=home) as gpg:
        made = await gpg.gen_key()
        [key] = await gpg.keys("Zo\\xeb")
        print(key.fingerprint == made, ascii(key.user_ids[0].text))

asyncio.run(main())
"""


def test_names_are_utf_8_and_paths_what_they_are_in_every_locale() -> None:
    with clean_home() as folder:
        folder.mkdir(exist_ok=True)
        plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        done = subprocess.run(
            [sys.executable, "-c", NAMED],
            cwd=folder,
            env=os.environ | plain | {"PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert [path.name for path in folder.iterdir()] == ["höme"]

    assert (done.stdout, done.stderr) == ("True 'Zo\\xeb \\u2603 <zoe@example.org>'\n", "")
