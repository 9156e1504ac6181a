"""Which gpg is found, in which order, and what is said where there is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_gnupg
from tiny_gnupg._process import find_gpg
from tiny_gnupg._process.find_gpg import (
    FEATURES,
    Version,
    agent_program,
    find_executable,
    package_home,
    parse_version,
    probe,
    probe_now,
)
from tiny_gnupg.errors import BinaryNotFound, CommandFailed

PACKAGE = Path(tiny_gnupg.__file__).parent
ELF_MACHINE = slice(18, 20)
ANOTHER_MACHINE = b"\xf7\x00"  # eBPF: a machine that no gpg is built for


@pytest.fixture(scope="module")
def gpg() -> Path:
    return find_executable()


@pytest.fixture
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINY_GNUPG_GPG", raising=False)


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Path]:
    """Makes a shell script that plays a program found under the name of gpg."""

    def make(*lines: str, name: str = "gpg", folder: Path = tmp_path) -> Path:
        path = folder / name
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        path.chmod(0o755)
        return path

    return make


# --- Versions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("gpg (GnuPG) 2.2.40\nlibgcrypt 1.10.1\n", (2, 2, 40)),
        ("gpg (GnuPG/MacGPG2) 2.2.41\n", (2, 2, 41)),
        ("gpg (GnuPG) 2.5.0-beta12\n", (2, 5, 0)),
        ("gpg (GnuPG) 2.4.8-unknown\n", (2, 4, 8)),
        ("gpg (GnuPG) 2.6\n", (2, 6, 0)),
        ("gpg (GnuPG) 1.4.23\n", (1, 4, 23)),
    ],
)
def test_versions_are_read_with_whatever_vendors_append(
    text: str, version: tuple[int, int, int]
) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gpg-agent (GnuPG) 2.2.40\n",
        "gpgv (GnuPG) 2.2.40\n",
        "git version 2.39.5\n",
        "gpg (GnuPG) two\n",
        "gpg (GnuPG) 2\n",
        "a line before\ngpg (GnuPG) 2.2.40\n",
        "gpg (GnuPG) 20250101.1.1\n",
    ],
)
def test_what_another_program_prints_is_no_version_of_gpg(text: str) -> None:
    with pytest.raises(ValueError, match="no gpg prints this"):
        parse_version(text)


@given(st.tuples(*[st.integers(0, 9999)] * 3), st.sampled_from(["", "-beta7", " ", "\n"]))
def test_any_version_comes_back_as_it_was_printed(numbers: tuple[int, int, int], tail: str) -> None:
    version = Version(*numbers)
    assert parse_version(f"gpg (GnuPG) {version}{tail}") == version


@given(st.text() | st.from_regex(r"gpg2? \(GnuPG[^)]*\) .*"))
def test_no_text_makes_the_parser_fail_otherwise_than_with_ValueError(text: str) -> None:
    with suppress(ValueError):
        assert min(parse_version(text)) >= 0


# --- Where it is looked for ---------------------------------------------------------------------


@pytest.fixture
def found_by(tmp_path: Path, gpg: Path) -> Callable[..., Path | str]:
    """Asks a copy of the package, laid out as a machine may have it, for its gpg."""
    ask = (
        "from tiny_gnupg._process.find_gpg import find_executable\n"
        "from tiny_gnupg.errors import BinaryNotFound\n"
        "try: print(find_executable())\n"
        "except BinaryNotFound as error: print(error)\n"
    )

    def run(folder: Path, **variables: str) -> Path | str:
        environment = {"PATH": "", **variables, "PYTHONPATH": str(folder)}
        done = subprocess.run(
            [sys.executable, "-c", ask],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        words = done.stdout.strip()
        return Path(words) if words.startswith("/") else words

    return run


def lay_package(folder: Path) -> Path:
    shutil.copytree(PACKAGE, folder / "tiny_gnupg", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def lay_bundle(gpghome: Path, gpg: Path, *, glibc: str = "2.0") -> Path:
    """Puts a gpg into a folder as scripts/stage-gpg does."""
    gpghome.mkdir(parents=True)
    shutil.copy(gpg, gpghome / "gpg2")
    (gpghome / "STAGED.json").write_text(json.dumps({"glibc": glibc}))
    return gpghome / "gpg2"


@pytest.mark.parametrize("glibc", ["2.0", "static"])
def test_an_installed_package_takes_the_gpg_that_it_brought(
    glibc: str, tmp_path: Path, gpg: Path, found_by: Callable[..., Path | str]
) -> None:
    site = lay_package(tmp_path / "site-packages")
    bundled = lay_bundle(site / "tiny_gnupg/gpghome", gpg, glibc=glibc)
    assert found_by(site) == bundled


def test_a_checkout_takes_the_gpg_that_was_staged_in_it(
    tmp_path: Path, gpg: Path, found_by: Callable[..., Path | str]
) -> None:
    checkout = lay_package(tmp_path / "checkout")
    bundled = lay_bundle(checkout / "gpghome", gpg)
    (checkout / "setup.py").touch()
    assert found_by(checkout) == bundled


def test_a_strangers_gpghome_in_site_packages_is_not_taken(
    tmp_path: Path, gpg: Path, found_by: Callable[..., Path | str]
) -> None:
    site = lay_package(tmp_path / "site-packages")
    lay_bundle(site / "gpghome", gpg)
    assert "there is no gpg on this machine" in str(found_by(site))


@pytest.mark.parametrize("glibc", ["99.0", "", "2.x", None, 2.36])
def test_a_bundle_that_needs_a_newer_C_library_or_does_not_say_is_passed_over(
    glibc: str, tmp_path: Path, gpg: Path, found_by: Callable[..., Path | str]
) -> None:
    site = lay_package(tmp_path / "site-packages")
    lay_bundle(site / "tiny_gnupg/gpghome", gpg, glibc=glibc)
    assert "there is no gpg on this machine" in str(found_by(site))


def test_a_bundle_of_another_architecture_is_passed_over(
    tmp_path: Path, gpg: Path, found_by: Callable[..., Path | str]
) -> None:
    site = lay_package(tmp_path / "site-packages")
    bundled = lay_bundle(site / "tiny_gnupg/gpghome", gpg)
    data = bytearray(bundled.read_bytes())
    data[ELF_MACHINE] = ANOTHER_MACHINE
    bundled.write_bytes(data)
    assert "there is no gpg on this machine" in str(found_by(site))


def test_the_order_is_variable_then_bundle_then_gpg2_then_gpg(
    tmp_path: Path,
    gpg: Path,
    program: Callable[..., Path],
    found_by: Callable[..., Path | str],
) -> None:
    site = lay_package(tmp_path / "site-packages")
    bundled = lay_bundle(site / "tiny_gnupg/gpghome", gpg)
    named = program(name="mine")
    on_path = tmp_path / "bin"
    plain, two = program(name="gpg", folder=on_path), program(name="gpg2", folder=on_path)
    path = str(on_path)
    assert found_by(site, PATH=path, TINY_GNUPG_GPG=str(named)) == named
    assert found_by(site, PATH=path, TINY_GNUPG_GPG="") == bundled
    bundled.unlink()
    assert found_by(site, PATH=path) == two
    two.chmod(0o644)
    assert found_by(site, PATH=path) == plain


def test_no_gpg_that_merely_lies_in_the_current_folder_is_taken(
    tmp_path: Path, program: Callable[..., Path], found_by: Callable[..., Path | str]
) -> None:
    site = lay_package(tmp_path / "site-packages")
    program(name="gpg")
    for path in ("", ".", ":", "./"):
        assert "there is no gpg on this machine" in str(found_by(site, PATH=path))


def test_where_there_is_none_the_error_says_what_to_install(
    tmp_path: Path, found_by: Callable[..., Path | str]
) -> None:
    words = str(found_by(lay_package(tmp_path / "site-packages")))
    assert BinaryNotFound("none").hint in words
    ways = ("apt install gnupg", "dnf install gnupg2", "brew install gnupg", "scripts/stage-gpg")
    for command in ways:
        assert command in words
    assert "\n" not in words


# --- What a person names ------------------------------------------------------------------------


def test_a_named_path_becomes_absolute_and_keeps_its_links(
    tmp_path: Path, gpg: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(gpg)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_executable("./link") == tmp_path / "link"
    assert find_executable(Path("..", tmp_path.name, "link")) == tmp_path / "link"
    assert find_executable("~/link") == tmp_path / "link"


def test_a_name_alone_is_looked_for_on_PATH(
    tmp_path: Path, program: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program(name="gpg-of-mine")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_executable("gpg-of-mine") == path


@pytest.mark.usefixtures("no_variable")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no-such-gpg", "no no-such-gpg on PATH"),
        ("./no-such-gpg", "is not there"),
        ("/", "is not an executable file"),
        ("/etc/passwd", "is not an executable file"),
        ("/bin/sh\0", "is not there"),
    ],
)
def test_a_named_gpg_that_is_none_is_refused_and_not_replaced(
    name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BinaryNotFound, match=words):
        find_executable(name)
    if "\0" not in name:
        monkeypatch.setenv("TINY_GNUPG_GPG", name)
        with pytest.raises(BinaryNotFound, match=words):
            find_executable()


# --- The agent ----------------------------------------------------------------------------------


def test_a_bundled_gpg_has_an_agent_of_its_own_and_no_other_gpg_has(
    tmp_path: Path, gpg: Path, program: Callable[..., Path]
) -> None:
    bundled = lay_bundle(tmp_path / "gpghome", gpg)
    assert agent_program(bundled) is None
    agent = program(name="gpg-agent", folder=bundled.parent)
    assert agent_program(bundled) == agent
    (tmp_path / "link").symlink_to(bundled)
    assert agent_program(tmp_path / "link") == agent
    (bundled.parent / "STAGED.json").unlink()
    assert agent_program(bundled) is None


def test_the_package_home_holds_the_configuration() -> None:
    names = {path.name for path in package_home().iterdir()}
    assert {"gpg2.conf", "gpg-agent.conf", "common.conf"} <= names


# --- Probing ------------------------------------------------------------------------------------


async def test_the_real_gpg_tells_its_version_and_knows_what_it_says_it_knows(gpg: Path) -> None:
    shown = subprocess.run([gpg, "--version"], capture_output=True, text=True, check=True)
    features = await probe(gpg)
    assert str(features.version) in shown.stdout.splitlines()[0]
    tried = subprocess.run([gpg, "--proc-all-sigs", "--version"], capture_output=True, check=False)
    assert features.proc_all_sigs == (tried.returncode == 0)
    assert features.keyboxd == (features.version >= (2, 4, 1))
    for name, option in (("ocb", "--force-ocb"), ("adsk", "--quick-add-adsk")):
        tried = subprocess.run([gpg, option, "--version"], capture_output=True, check=False)
        assert (name in features.names) == (tried.returncode == 0)
    assert features.names <= set(FEATURES)
    for name, (_, since) in FEATURES.items():
        first = tuple(map(int, since.split(".")))
        assert name not in features.names or features.version >= first


async def test_it_is_asked_without_a_wait_where_nothing_is_known(
    tmp_path: Path, gpg: Path, program: Callable[..., Path]
) -> None:
    path = program(f'echo "$@" >>{tmp_path}/log', f'exec {gpg} "$@"')
    features = probe_now(path)
    asked = (tmp_path / "log").read_text()
    assert asked.count("--version") == 1
    assert probe_now(path) is features is await probe(path)
    assert (tmp_path / "log").read_text() == asked
    path.unlink()
    with pytest.raises(BinaryNotFound, match="is not there"):
        probe_now(path)
    with pytest.raises(BinaryNotFound, match="is not a gpg"):
        probe_now("/bin/true")


async def test_a_gpg_is_asked_once_and_again_after_it_was_replaced(
    tmp_path: Path, gpg: Path, program: Callable[..., Path]
) -> None:
    def asked() -> int:
        return (tmp_path / "log").read_text().count("--version")

    path = program(f'echo "$@" >>{tmp_path}/log', f'exec {gpg} "$@"')
    first = await probe(path)
    assert await probe(path) == first
    assert asked() == 1
    replaced = program(f'echo "$@" >>{tmp_path}/log', "echo 'gpg (GnuPG) 2.2.99'", name="new")
    replaced.rename(path)
    assert (await probe(path)).version == (2, 2, 99)
    assert asked() == 2


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["echo 'gpg (GnuPG) 1.4.23'"], r"is GnuPG 1\.4\.23, which is too old"),
        (["echo 'gpg (GnuPG) 2.1.23'"], r"is GnuPG 2\.1\.23, which is too old"),
        (["echo 'gpg-agent (GnuPG) 2.2.40'"], "is not a gpg"),
        (["true"], "is not a gpg"),
        (["printf '\\377\\376\\000'"], "is not a gpg"),
        (["echo libgcrypt.so.20: no such file >&2", "exit 127"], "does not run on this machine"),
        (["exec yes 'gpg (GnuPG) 2.2.40'"], "is not a gpg: more than"),
    ],
)
async def test_what_is_no_usable_gpg_is_named_with_its_reason(
    lines: list[str], words: str, program: Callable[..., Path]
) -> None:
    path = program(*lines)
    with pytest.raises(BinaryNotFound, match=words) as caught:
        await probe(path)
    assert str(path) in str(caught.value)
    assert "apt install gnupg" in str(caught.value)


#: How a program ends, and its exit code.
CODES = {"kill -9 $$": -9, "kill -15 $$": -15, "exit 2": 2}


@pytest.mark.parametrize(
    ("option", "how"),
    [
        *product(["--version", "--dump-options", "--list-config"], ["kill -9 $$", "kill -15 $$"]),
        *product(["--dump-options", "--list-config"], ["exit 2"]),  # without a version: no gpg
    ],
)
async def test_a_gpg_that_did_not_come_to_tell_what_it_can_do_is_asked_again(
    tmp_path: Path, gpg: Path, program: Callable[..., Path], option: str, how: str
) -> None:
    # One that is newer than what it is, so that it is asked for all.
    told = """case "$*" in *--version) echo 'gpg (GnuPG) 2.4.7'; exit;; esac"""
    fail = f'case "$*" in *{option}) [ -e {tmp_path}/well ] || {how};; esac'
    path = program(fail, told, f'exec {gpg} "$@"')
    for _ in range(2):
        with pytest.raises(CommandFailed, match="when it was asked what it can do") as caught:
            await probe(path)
        assert caught.value.returncode == CODES[how]
    (tmp_path / "well").touch()
    assert (await probe(path)).version == (2, 4, 7)


async def test_what_a_broken_gpg_told_people_is_kept(program: Callable[..., Path]) -> None:
    path = program("echo libgcrypt.so.20: no such file >&2", "exit 127")
    with pytest.raises(BinaryNotFound) as caught:
        await probe(path)
    assert caught.value.returncode == 127
    assert "libgcrypt.so.20" in caught.value.stderr


async def test_a_program_that_never_answers_is_ended(
    tmp_path: Path, program: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find_gpg, "ANSWER_TIMEOUT", 0.3)
    path = program(f"echo $$ >{tmp_path}/pid", "exec sleep 60")
    with pytest.raises(BinaryNotFound, match="is not a gpg: no end after"):
        await probe(path)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_a_file_that_the_system_cannot_run_is_no_gpg(tmp_path: Path) -> None:
    path = tmp_path / "gpg2"
    path.write_bytes(b"\x7fELF and nothing else")
    path.chmod(0o755)
    with pytest.raises(BinaryNotFound, match="does not run"):
        await probe(path)
    with pytest.raises(BinaryNotFound, match="is not there"):
        await probe(tmp_path / "missing")
