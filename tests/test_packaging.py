"""What the builds carry and what they must not: real sdists and wheels, built from a used tree."""

from __future__ import annotations

import email
import email.message
import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiny_gnupg.version import __version__

ROOT = Path(__file__).resolve().parent.parent
GPGHOME = ROOT / "gpghome"
CONFIGURATION = {"gpg2.conf", "gpg-agent.conf", "common.conf"}
PROGRAMS = {"gpg2", "gpg-agent", "gpgconf", "gpg-connect-agent", "gpgv"}
SECRET = f"the secret key of somebody who develops in their own homedir {secrets.token_hex()}"
C_LIBRARY = re.compile(r"(ld-linux.*|libc|libm|libpthread|libdl|librt|linux-vdso)\.so")

#: The checkout may belong to another user than the one who tests it.
GIT = ("git", "-c", "safe.directory=*")

pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="builds are tested in a git checkout only"
)
needs_bundle = pytest.mark.skipif(
    not (GPGHOME / "STAGED.json").is_file(), reason="no gpg is staged: run scripts/stage-gpg"
)


def run(*argv: str | Path, cwd: Path | None = None, check: bool = True, **variables: str) -> str:
    """Give what a program printed, on both channels."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout
    return done.stdout


def build(tree: Path, kind: str) -> Path:
    """Build one distribution from a tree, and give the file."""
    into, scratch = tree / f"dist-{kind}", tree / "scratch"
    scratch.mkdir(exist_ok=True)
    command = (sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "-o", into, tree)
    run(*command, TMPDIR=str(scratch))
    (built,) = into.iterdir()
    return built


def staged_files() -> dict[str, dict[str, str]]:
    manifest: dict[str, dict[str, dict[str, str]]]
    manifest = json.loads((GPGHOME / "STAGED.json").read_text())
    return manifest["files"]


def lay_tree(tree: Path) -> Path:
    """Copy the checkout: what git knows or would add, and what is staged."""
    listed = run(*GIT, "ls-files", "-co", "--exclude-standard", "-z", cwd=ROOT).split("\0")
    staged = ["STAGED.json", *staged_files()] if (GPGHOME / "STAGED.json").is_file() else []
    for name in [*listed, *(f"gpghome/{name}" for name in staged)]:
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    return tree


def use_tree(tree: Path) -> Path:
    """Leave in a tree what work leaves: a developer's keyring, and an older build."""
    for name in (
        "gpghome/private-keys-v1.d/0123456789ABCDEF0123456789ABCDEF01234567.key",
        "gpghome/openpgp-revocs.d/0123456789ABCDEF0123456789ABCDEF01234567.rev",
        "gpghome/tiny_gnupg.d/protection.json",
        "gpghome/secring.gpg",
        "gpghome/gpghome/private-keys-v1.d/0123456789ABCDEF0123456789ABCDEF01234567.key",
        "gpghome/lib/libleftover.so.1",
        "gpghome/licenses/leftover.txt",
        "build/lib/tiny_gnupg/leftover.py",
        "build/lib/tiny_gnupg/gpghome/secring.gpg",
        "build/bdist.linux-x86_64/wheel/tiny_gnupg/leftover.py",
    ):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(SECRET)
    (tree / "tiny_gnupg.egg-info").mkdir()
    (tree / "tiny_gnupg.egg-info/SOURCES.txt").write_text("setup.py\ngpghome/secring.gpg\n")
    return tree


@pytest.fixture(scope="module")
def workplace() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tgp", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def tree(workplace: Path) -> Path:
    return use_tree(lay_tree(workplace / "tree"))


@pytest.fixture(scope="module")
def sdist(tree: Path) -> dict[str, bytes]:
    with tarfile.open(build(tree, "sdist")) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        return {
            member.name.partition("/")[2]: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in members
        }


@pytest.fixture(scope="module")
def platform_wheel(tree: Path) -> Path:
    return build(tree, "wheel")


@pytest.fixture(scope="module")
def pure_wheel(workplace: Path) -> Path:
    """A wheel from a tree where nothing is staged, and programs lie about all the same."""
    tree = use_tree(lay_tree(workplace / "pure"))
    (tree / "gpghome/STAGED.json").unlink(missing_ok=True)
    return build(tree, "wheel")


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata(files: dict[str, bytes], name: str) -> email.message.Message:
    (found,) = (path for path in files if path.endswith(f".dist-info/{name}"))
    return email.message_from_string(files[found].decode())


def elf_files(files: dict[str, bytes]) -> set[str]:
    return {name for name, data in files.items() if data.startswith(b"\x7fELF")}


def modules() -> set[str]:
    return {f"tiny_gnupg/{path.name}" for path in (ROOT / "tiny_gnupg").glob("*.py")}


# --- Nothing that does not belong there ---------------------------------------------------------


def test_git_holds_no_program_and_ignores_what_is_staged() -> None:
    names = run(*GIT, "ls-files", "-z", cwd=ROOT).split("\0")
    files = [ROOT / name for name in names if name and (ROOT / name).is_file()]
    assert files
    assert [path for path in files if path.read_bytes().startswith(b"\x7fELF")] == []
    for name in (*PROGRAMS, "lib/libgcrypt.so.20", "licenses/gpg.txt", "STAGED.json"):
        run(*GIT, "check-ignore", f"gpghome/{name}", cwd=ROOT)
    for name in ("private-keys-v1.d/0.key", "pubring.kbx", "trustdb.gpg", "tiny_gnupg.d/x"):
        run(*GIT, "check-ignore", f"gpghome/{name}", cwd=ROOT)


def test_the_sdist_holds_the_sources_and_no_program(sdist: dict[str, bytes]) -> None:
    assert elf_files(sdist) == set()
    in_gpghome = {name for name in sdist if name.startswith("gpghome/")}
    assert in_gpghome == {f"gpghome/{name}" for name in CONFIGURATION}
    assert modules() | {"tiny_gnupg/py.typed"} <= set(sdist)
    wanted = {"LICENSE", "README.rst", "CHANGES.rst", "setup.py", "pyproject.toml"}
    assert wanted | {"scripts/stage-gpg", "tests/test_packaging.py", ".ci/run"} <= set(sdist)
    assert not any("__pycache__" in name for name in sdist)


def test_no_key_that_lies_in_gpghome_gets_into_any_build(
    sdist: dict[str, bytes], pure_wheel: Path, platform_wheel: Path
) -> None:
    for files in (sdist, contents(pure_wheel), contents(platform_wheel)):
        assert [name for name, data in files.items() if SECRET.encode() in data] == []
        assert [
            name
            for name in files
            if "leftover" in name.replace("tests/leftovers.py", "") or "secring" in name
        ] == []


def test_a_build_leaves_no_folder_behind_and_nothing_in_the_tree(
    tree: Path, platform_wheel: Path
) -> None:
    assert platform_wheel.is_file()
    assert {path.name for path in (tree / "build").rglob("*.py")} == {"leftover.py"}
    assert list((tree / "scratch").iterdir()) == []


# --- The pure wheel -----------------------------------------------------------------------------


def test_without_a_staged_gpg_the_wheel_is_for_every_platform(pure_wheel: Path) -> None:
    files = contents(pure_wheel)
    assert pure_wheel.name == f"tiny_gnupg-{__version__}-py3-none-any.whl"
    assert metadata(files, "WHEEL").get_all("Tag") == ["py3-none-any"]
    assert metadata(files, "WHEEL")["Root-Is-Purelib"] == "true"
    assert elf_files(files) == set()
    package = {name for name in files if ".dist-info/" not in name}
    assert package == {
        *modules(),
        "tiny_gnupg/py.typed",
        *(f"tiny_gnupg/gpghome/{name}" for name in CONFIGURATION),
    }


def test_the_metadata_says_licence_version_and_what_is_needed(pure_wheel: Path) -> None:
    files = contents(pure_wheel)
    said = metadata(files, "METADATA")
    assert said["Version"] == __version__
    assert said["License-Expression"] == "GPL-3.0-or-later"
    assert set(said["Requires-Python"].split(",")) == {">=3.11", "<3.15"}
    needed = [line for line in said.get_all("Requires-Dist", []) if "extra ==" not in line]
    names = {re.split(r"[<>=~!; ]", line)[0] for line in needed}
    assert names == {"aiofiles", "aiohttp", "aiohttp-socks", "platformdirs"}
    (licence,) = (data for name, data in files.items() if name.endswith("licenses/LICENSE"))
    assert b"GNU GENERAL PUBLIC LICENSE\n                       Version 3" in licence
    (scripts,) = (data for name, data in files.items() if name.endswith("entry_points.txt"))
    assert b"tiny-gnupg = tiny_gnupg.__main__:main" in scripts


# --- The platform wheel -------------------------------------------------------------------------


@needs_bundle
def test_with_a_staged_gpg_the_wheel_holds_what_the_manifest_names_and_no_more(
    platform_wheel: Path,
) -> None:
    files = contents(platform_wheel)
    bundle = {name.partition("gpghome/")[2]: name for name in files if "/gpghome/" in name}
    assert set(bundle) == {*staged_files(), *CONFIGURATION, "STAGED.json"}
    for name, file in staged_files().items():
        assert hashlib.sha256(files[bundle[name]]).hexdigest() == file["sha256"]
    assert {name.rpartition("/")[2] for name in elf_files(files)} >= PROGRAMS
    assert metadata(files, "WHEEL")["Root-Is-Purelib"] == "false"


@needs_bundle
def test_versions_licences_and_sources_travel_with_the_programs(platform_wheel: Path) -> None:
    files = contents(platform_wheel)
    manifest = json.loads(files["tiny_gnupg/gpghome/STAGED.json"])
    packages = {package["name"]: package for package in manifest["packages"]}
    for name, file in manifest["files"].items():
        if not name.startswith("licenses/"):
            assert file["package"] in packages
    for package in packages.values():
        assert package["version"]
        assert package["licence"]
        assert package["source"] in package["source_code"]
        assert package["source_version"] in package["source_code"]
        text = files[f"tiny_gnupg/gpghome/{package['licence_text']}"]
        assert re.search(rb"(?i)licen[cs]e|public.domain", text)
    texts = b"".join(data for name, data in files.items() if "/licenses/common-" in name)
    assert b"GNU GENERAL PUBLIC LICENSE" in texts
    assert b"GNU LESSER GENERAL PUBLIC LICENSE" in texts


@needs_bundle
def test_the_wheels_tag_asks_for_the_C_library_that_the_loader_says_is_needed(
    platform_wheel: Path,
) -> None:
    needed: set[tuple[int, ...]] = set()
    programs = [name for name in staged_files() if not name.startswith("licenses/")]
    for name in programs:
        told = run("ldd", "-v", GPGHOME / name)
        own = told.partition("Version information:")[2]
        # Only what our own files ask for; the C library's parts ask each other for more.
        for block in re.split(r"\n\t(?=\S)", own):
            if block.strip().startswith(str(GPGHOME)):
                needed.update(
                    tuple(map(int, version.split(".")))
                    for version in re.findall(r"\(GLIBC_([\d.]+)\)", block)
                )
    floor = "_".join(map(str, max(needed)[:2]))
    machine = json.loads((GPGHOME / "STAGED.json").read_text())["machine"]
    assert platform_wheel.name.endswith(f"-py3-none-manylinux_{floor}_{machine}.whl")


@pytest.fixture(scope="module")
def installed(workplace: Path, platform_wheel: Path) -> Path:
    """The gpghome of a fresh environment that the platform wheel was installed into."""
    venv = workplace / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    pip = (sys.executable, "-m", "pip", "-q", "--disable-pip-version-check")
    run(*pip, "--python", venv / "bin/python", "install", "--no-deps", "--no-index", platform_wheel)
    (gpghome,) = venv.glob("lib/python*/site-packages/tiny_gnupg/gpghome")
    return gpghome


@needs_bundle
def test_the_installed_programs_run_with_nothing_of_the_machine_but_its_C_library(
    installed: Path, tmp_path: Path
) -> None:
    for library in (installed / "lib").iterdir():  # a search path meant for another program
        (tmp_path / library.name).write_bytes(b"no library")
    elsewhere = str(tmp_path)
    version = json.loads((installed / "STAGED.json").read_text())["gnupg"]
    for program in PROGRAMS:
        assert version in run(installed / program, "--version", PATH="", LD_LIBRARY_PATH=elsewhere)
        loaded = run(
            installed / program, LD_TRACE_LOADED_OBJECTS="1", PATH="", LD_LIBRARY_PATH=elsewhere
        )
        for soname, path in re.findall(r"(\S+) => (\S+)", loaded):
            ours = Path(path).is_relative_to(installed / "lib")
            assert ours != bool(C_LIBRARY.match(soname)), loaded


@needs_bundle
def test_the_installed_gpg_makes_a_key_and_a_message_without_any_other_gpg(
    installed: Path,
) -> None:
    home = Path(tempfile.mkdtemp(prefix="tg", dir="/tmp"))
    agent = f"--agent-program={installed}/gpg-agent"
    conf = f"--options={installed}/gpg2.conf"
    shutil.copy(installed / "gpg-agent.conf", home)
    gpg = (installed / "gpg2", f"--homedir={home}", agent, conf, "--batch", "--no-tty", "--yes")
    unlock = ("--pinentry-mode=loopback", "--passphrase=open")
    try:
        run(*gpg, *unlock, "--quick-gen-key", "a@b.example", "future-default", PATH="")
        (home / "plain").write_text("to myself")
        sent = home / "sent"
        run(*gpg, *unlock, "-o", sent, "-r", "a@b.example", "-se", home / "plain", PATH="")
        run(*gpg, *unlock, "-o", home / "back", "-d", sent, PATH="")
        assert (home / "back").read_text() == "to myself"
    finally:
        connect = (installed / "gpg-connect-agent", f"--homedir={home}", "--no-autostart")
        run(*connect, "KILLAGENT", "/bye", PATH="")
        shutil.rmtree(home)


@needs_bundle
def test_the_installed_package_takes_its_own_gpg_and_not_a_strangers(installed: Path) -> None:
    site = installed.parent.parent
    shutil.copytree(installed, site / "gpghome", symlinks=True)
    ask = "from tiny_gnupg.binary import find_executable as find; print(find())"
    own = run(sys.executable, "-P", "-c", ask, PYTHONPATH=str(site), PATH="", TINY_GNUPG_GPG="")
    assert Path(own.strip()) == installed / "gpg2"


# --- Staging ------------------------------------------------------------------------------------


@needs_bundle
def test_no_wheel_is_built_of_programs_that_were_changed_after_staging(workplace: Path) -> None:
    tree = lay_tree(workplace / "changed")
    with (tree / "gpghome/gpgv").open("ab") as file:
        file.write(b"one byte more")
    told = run(sys.executable, "setup.py", "--version", cwd=tree, check=False)
    assert "gpghome/gpgv is not what was staged: run scripts/stage-gpg --force" in told
    assert __version__ not in told


@needs_bundle
def test_staging_again_changes_nothing_and_sees_what_is_damaged(tmp_path: Path) -> None:
    stage = (sys.executable, ROOT / "scripts/stage-gpg", "--into", tmp_path)
    for name in ["STAGED.json", *staged_files()]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(GPGHOME / name, tmp_path / name)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert "already staged" in run(*stage)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    (tmp_path / "gpg2").write_bytes(b"damaged")
    # Nothing to stage from is within reach here: what is asserted is that it was tried, that the
    # reasons are told, and that a run which fails leaves everything as it was.
    told = run(*stage, check=False, PATH="/nonexistent")
    assert "no GnuPG was staged\n  packages: there is no apt here\n  host: gpg2 or gpg" in told
    assert set(tmp_path.rglob("*")) == set(before)
    assert (tmp_path / "gpg2").read_bytes() == b"damaged"


# --- Running the tests --------------------------------------------------------------------------


def test_tests_that_did_not_run_are_counted_with_their_reasons(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "def test_runs(): pass\n"
        "@pytest.mark.skip(reason='there is no tor')\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_skipped(n): pass\n"
        "@pytest.mark.xfail(reason='a known defect')\n"
        "def test_fails(): assert False\n"
        "def test_other(): pass\n"
    )
    told = run(
        *(sys.executable, "-m", "pytest", "-p", "not_run", "-p", "no:cacheprovider"),
        *("-c", os.devnull, "--rootdir", tmp_path, "-k", "not other", tmp_path),
        PYTHONPATH=str(ROOT / "scripts"),
    )
    assert "tests that did not run: 4" in told
    assert "2 x there is no tor" in told
    assert "1 x expected to fail: a known defect" in told
    assert "1 x left out by this call's own arguments" in told
