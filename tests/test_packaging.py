"""What the builds carry and what they must not, and that they work: real sdists and wheels, built
from a used tree, installed into environments of the Python that runs this.

``scripts/package`` does that with each Python; the code that builds, checks and tries is the same.
"""

from __future__ import annotations

import base64
import csv
import email
import email.message
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.namespaces import mount_namespace
from scripts.release import running
from scripts.release.building import (
    GIT,
    GPGHOME,
    ROOT,
    build,
    check,
    lay_tree,
    source_files,
    staged_files,
    supported,
    unpack,
)
from scripts.release.environments import Environment, installed_gpg, without_gpg
from scripts.release.pythons import ask_python
from scripts.release.running import Failure
from tiny_gnupg.version import __version__

CONFIGURATION = {"gpg2.conf", "gpg-agent.conf", "common.conf"}
PROGRAMS = {"gpg2", "gpg-agent", "gpgconf", "gpg-connect-agent", "gpgv"}
SECRET = f"the secret key of somebody who develops in their own homedir {secrets.token_hex()}"
C_LIBRARY = re.compile(r"(ld-linux.*|libc|libm|libpthread|libdl|librt|linux-vdso)\.so")

pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists() or shutil.which("git") is None,
    reason="NOT TESTED: builds are tested in a git checkout only, and with git",
)
BUILT = ROOT / "build/gpg/built"
needs_bundle = pytest.mark.skipif(
    not (GPGHOME / "STAGED.json").is_file(), reason="no gpg is staged: run scripts/stage-gpg"
)


def run(*argv: str | Path, cwd: Path | None = None, check: bool = True, **variables: str) -> str:
    """Return what a program printed, on both channels."""
    try:
        return running.run(*argv, cwd=cwd, env={**os.environ, **variables})
    except Failure as failure:
        if check:
            raise
        return str(failure)


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


def build_in(tree: Path, kind: str) -> Path:
    """Build a file of a tree; its scratch files come into the tree's folder ``scratch``."""
    for folder in ("dist", "scratch"):
        (tree / folder).mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tree / "scratch"))
        return build(tree, kind, tree / "dist")


@pytest.fixture(scope="module")
def sdist_file(tree: Path) -> Path:
    return build_in(tree, "sdist")


@pytest.fixture(scope="module")
def sdist(sdist_file: Path) -> dict[str, bytes]:
    with tarfile.open(sdist_file) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        return {
            member.name.partition("/")[2]: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in members
        }


@pytest.fixture(scope="module")
def platform_wheel(tree: Path) -> Path:
    return build_in(tree, "wheel")


@pytest.fixture(scope="module")
def pure_wheel(workplace: Path) -> Path:
    """A wheel from a tree where nothing is staged, and programs lie about all the same."""
    tree = use_tree(lay_tree(workplace / "pure"))
    (tree / "gpghome/STAGED.json").unlink(missing_ok=True)
    return build_in(tree, "wheel")


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata(files: dict[str, bytes], name: str) -> email.message.Message:
    (found,) = (path for path in files if path.endswith(f".dist-info/{name}"))
    return email.message_from_string(files[found].decode())


def elf_files(files: dict[str, bytes]) -> set[str]:
    return {name for name, data in files.items() if data.startswith(b"\x7fELF")}


def modules() -> set[str]:
    package = ROOT / "tiny_gnupg"
    return {path.relative_to(ROOT).as_posix() for path in package.rglob("*.py")}


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


def test_the_sdist_holds_all_that_git_holds(sdist: dict[str, bytes]) -> None:
    written = {"PKG-INFO", "setup.cfg"}
    written |= {name for name in sdist if name.startswith("tiny_gnupg.egg-info/")}
    assert {name: sdist[name] for name in set(sdist) - written} == {
        name: (ROOT / name).read_bytes() for name in set(source_files()) - {".gitignore"}
    }


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


def test_no_build_knows_where_it_was_made(
    tree: Path, sdist: dict[str, bytes], pure_wheel: Path, platform_wheel: Path
) -> None:
    places = [f"{place}/".encode() for place in (tree.parent, ROOT, sys.prefix)]
    for files in (sdist, contents(pure_wheel), contents(platform_wheel)):
        assert [
            name for name, data in files.items() if any(place in data for place in places)
        ] == []


def test_what_knows_packages_finds_nothing(
    sdist_file: Path, pure_wheel: Path, platform_wheel: Path
) -> None:
    check([sdist_file, pure_wheel, platform_wheel])


@pytest.mark.parametrize(
    ("metadata", "extra", "found"),
    [
        (b"\n**a README that does not render\n", "", "syntax errors in markup"),
        (b"", "tests/__pycache__/test_it.cpython-311.pyc", "W001"),
    ],
)
def test_what_is_not_in_order_is_found(
    pure_wheel: Path, tmp_path: Path, metadata: bytes, extra: str, found: str
) -> None:
    wheel = tmp_path / pure_wheel.name
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in contents(pure_wheel).items():
            added = {"METADATA": metadata, "RECORD": f"{extra},,\n".encode() if extra else b""}
            archive.writestr(name, data + added.get(name.rpartition("/")[2], b""))
        if extra:
            archive.writestr(extra, b"")
    with pytest.raises(Failure, match=found):
        check([wheel])


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


def test_the_sdist_gives_the_same_wheel_to_the_byte(
    sdist_file: Path, pure_wheel: Path, workplace: Path
) -> None:
    again = build_in(unpack(sdist_file, workplace / "unpacked"), "wheel")
    assert again.name == pure_wheel.name
    assert contents(again) == contents(pure_wheel)
    assert again.read_bytes() == pure_wheel.read_bytes()


def test_the_record_names_each_file_with_its_sum(pure_wheel: Path, platform_wheel: Path) -> None:
    for files in (contents(pure_wheel), contents(platform_wheel)):
        (record,) = (name for name in files if name.endswith(".dist-info/RECORD"))
        rows = {name: told for name, *told in csv.reader(files[record].decode().splitlines())}
        assert rows == {
            name: [record_sum(data), str(len(data))] if name != record else ["", ""]
            for name, data in files.items()
        }


def record_sum(data: bytes) -> str:
    """Write a SHA-256 as PEP 376 has it."""
    found = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return f"sha256={found.decode().rstrip('=')}"


def test_the_metadata_says_licence_version_and_what_is_needed(pure_wheel: Path) -> None:
    files = contents(pure_wheel)
    said = metadata(files, "METADATA")
    assert said["Version"] == __version__
    assert said["License-Expression"] == "GPL-3.0-or-later"
    assert set(said["Requires-Python"].split(",")) == {">=3.11", "<3.15"}
    assert supported(pure_wheel) == [(3, minor) for minor in range(11, 15)]
    assert said["Description-Content-Type"] == "text/x-rst"
    assert str(said.get_payload()).strip() == (ROOT / "README.rst").read_text().strip()
    needed = [line for line in said.get_all("Requires-Dist", []) if "extra ==" not in line]
    names = {re.split(r"[<>=~!; ]", line)[0] for line in needed}
    assert names == {"aiofiles", "aiohttp", "aiohttp-socks", "idna", "platformdirs"}
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


# -- the static gpg2 ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built_wheel(workplace: Path) -> Path:
    """A wheel with the gpg2 that scripts/build-gpg built; skipped where there is none."""
    if not (BUILT / "BUILT.json").is_file():
        pytest.skip("NOT TESTED: no gpg was built (scripts/build-gpg)")
    tree = lay_tree(workplace / "static")
    (tree / "build/gpg").mkdir(parents=True)
    (tree / "build/gpg/built").symlink_to(BUILT)
    run(sys.executable, tree / "scripts/stage-gpg", "--force", "--from", "source", cwd=tree)
    return build_in(tree, "wheel")


@pytest.fixture(scope="module")
def bare_root(workplace: Path, built_wheel: Path) -> Path:
    """A root with what the wheel brings of gpg, three devices' worth of a system, and no more."""
    root = workplace / "root"
    for folder in ("dev", "tmp", "home"):
        (root / folder).mkdir(mode=0o700, parents=True)
    with zipfile.ZipFile(built_wheel) as archive:
        for name in PROGRAMS:
            (root / name).write_bytes(archive.read(f"tiny_gnupg/gpghome/{name}"))
            (root / name).chmod(0o755)
    return root


def test_a_wheel_of_the_static_gpg_is_for_every_linux(built_wheel: Path) -> None:
    machine = platform.machine()
    tags = f"-py3-none-manylinux_2_17_{machine}.musllinux_1_1_{machine}.whl"
    assert built_wheel.name.endswith(tags)
    check([built_wheel])
    files = contents(built_wheel)
    manifest = json.loads(files["tiny_gnupg/gpghome/STAGED.json"])
    assert (manifest["from"], manifest["machine"], manifest["glibc"]) == (
        "source",
        machine,
        "static",
    )
    sources = {package["source"] for package in manifest["packages"]}
    assert sources >= {"gnupg2", "libgcrypt20", "libgpg-error", "libassuan", "npth", "glibc"}
    for package in manifest["packages"]:
        assert package["source_version"] in package["source_code"]
        assert files[f"tiny_gnupg/gpghome/{package['licence_text']}"].strip()


def test_the_static_programs_ask_for_nothing_and_are_hardened(bare_root: Path) -> None:
    for name in PROGRAMS:
        told = run("readelf", "--wide", "--dynamic", "--program-headers", bare_root / name)
        assert "NEEDED" not in told, name
        assert "INTERP" not in told, name
        assert "GNU_RELRO" in told, name
        assert re.search(r"Flags: NOW PIE", told), name
        assert re.search(r"GNU_STACK .* RW ", told), name
        assert b"stack smashing detected" in (bare_root / name).read_bytes(), name


def test_a_message_lives_in_a_root_that_holds_nothing_else(bare_root: Path) -> None:
    if os.geteuid() or not mount_namespace():
        pytest.skip("this machine gives us no root of our own (run as root)")
    script = "\n".join(
        [
            'mount -t tmpfs none "$1/dev" && mknod "$1/dev/null" c 1 3 && chmod 666 "$1/dev/null"',
            'in="chroot $1"',
            'gpg="$in /gpg2 --homedir /home --agent-program /gpg-agent --batch --passphrase x"',
            'gpg="$gpg --pinentry-mode loopback --no-tty"',
            '$gpg --quick-gen-key "Ada <ada@example.org>" future-default default never || exit 1',
            'gpg="$gpg --trust-model always -r ada@example.org"',
            'echo text | $gpg --sign --encrypt >"$1/tmp/message" || exit 2',
            "$gpg --decrypt /tmp/message || exit 3",
            "$in /gpg-connect-agent --homedir /home --no-autostart KILLAGENT /bye || exit 4",
            "$in /gpgconf --homedir /home --list-dirs sysconfdir",
        ]
    )
    told = run(*mount_namespace(), "sh", "-c", script, "sh", bare_root)
    assert "text\n" in told
    assert 'Good signature from "Ada <ada@example.org>"' in told
    assert told.splitlines()[-1] == "/etc/tiny_gnupg/gnupg"


def new_environment(folder: Path, wheel: Path) -> Environment:
    """Install a wheel into an environment that holds just what the wheel asks for.

    What it needs comes from the environment of the tests, without the network: pip refuses where
    a requirement that the wheel states is not met.
    """
    python = ask_python(Path(sys.executable))
    assert python is not None
    environment = Environment(folder, python)
    for needed in closure(distribution("tiny_gnupg")):
        tops = {file.parts[0] for file in needed.files or ()} - {"..", "__pycache__"}
        for top in tops:
            (environment.packages / top).symlink_to(str(needed.locate_file(top)))
    environment.install(wheel, "--no-index")
    return environment


def closure(package: Distribution) -> list[Distribution]:
    """Return all that a package needs, and what that needs, and so on, without the package."""
    found: dict[str, Distribution] = {}
    waiting = [package]
    while waiting:
        for line in waiting.pop().requires or ():
            needed = Requirement(line)
            name = canonicalize_name(needed.name)
            wanted = needed.marker is None or needed.marker.evaluate({"extra": ""})
            if wanted and name not in found:
                found[name] = distribution(name)
                waiting.append(found[name])
    return list(found.values())


@pytest.fixture(scope="module")
def environment(workplace: Path, platform_wheel: Path) -> Environment:
    """A fresh environment with the platform wheel."""
    return new_environment(workplace / "env", platform_wheel)


@pytest.fixture(scope="module")
def installed(environment: Environment) -> Path:
    """The gpghome of the installed platform wheel."""
    return environment.packages / "tiny_gnupg" / "gpghome"


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
def test_the_installed_platform_wheel_works_without_any_other_gpg(
    environment: Environment,
) -> None:
    environment.use(bundled=True)


@needs_bundle
def test_what_is_missing_of_the_bundle_is_not_taken_from_the_machine(
    installed: Path, environment: Environment
) -> None:
    if not without_gpg():
        pytest.skip("this kernel gives us no mount namespace (run as root)")
    agent = installed / "gpg-agent"
    agent.rename(agent.with_name("moved"))
    try:
        with pytest.raises(Failure, match="gpg-agent"):
            environment.use(bundled=True)
    finally:
        agent.with_name("moved").rename(agent)


def test_the_installed_pure_wheel_works_with_the_machines_gpg(
    workplace: Path, pure_wheel: Path
) -> None:
    try:
        installed_gpg()
    except Failure as failure:
        pytest.skip(str(failure))
    new_environment(workplace / "pure-env", pure_wheel).use(bundled=False)


@needs_bundle
def test_the_installed_package_takes_its_own_gpg_and_not_a_strangers(installed: Path) -> None:
    site = installed.parent.parent
    shutil.copytree(installed, site / "gpghome", symlinks=True)
    ask = "from tiny_gnupg._process.find_gpg import find_executable as find; print(find())"
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
    for source, reason in (("packages", "there is no apt here"), ("host", "gpg2 or gpg")):
        told = run(*stage, "--from", source, check=False, PATH="/nonexistent")
        assert f"no GnuPG was staged\n  {source}: {reason}" in told
    assert set(tmp_path.rglob("*")) == set(before)
    assert (tmp_path / "gpg2").read_bytes() == b"damaged"


# --- Running the tests --------------------------------------------------------------------------


@pytest.mark.parametrize("processes", ["0", "2"])
def test_tests_that_did_not_run_are_counted_with_their_reasons(
    tmp_path: Path, processes: str
) -> None:
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
        *(sys.executable, "-m", "pytest", "-p", "not_run", "-p", "xdist", "-p", "no:cacheprovider"),
        *("--numprocesses", processes),
        *("-c", os.devnull, "--rootdir", tmp_path, "-k", "not other", tmp_path),
        PYTHONPATH=str(ROOT / "scripts"),
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
    )
    assert "tests that did not run: 4" in told
    assert "2 x there is no tor" in told
    assert "1 x expected to fail: a known defect" in told
    assert "1 x left out by this call's own arguments" in told


# --- Keys outlive the package -------------------------------------------------------------------


def test_a_key_outlives_all_that_happens_to_the_package(
    pure_wheel: Path, workplace: Path, home: Path
) -> None:
    newer = lay_tree(workplace / "newer")
    (newer / "gpghome/STAGED.json").unlink(missing_ok=True)
    (newer / "tiny_gnupg/version.py").write_text('__version__ = "99.0"\n')
    user = home / "user"
    user.mkdir()
    environment = new_environment(home / "env", pure_wheel)

    def typed(*words: str, stdin: str = "", prefix: Sequence[str] = ()) -> str:
        """Run the installed command as a user who names no home."""
        program = str(environment.python.with_name("tiny-gnupg"))
        done = subprocess.run(
            [*prefix, program, *words],
            input=stdin,
            env={"HOME": str(user), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    fingerprint = typed("gen-key", "--name", "Alice", "--no-passphrase").strip()
    message = typed("encrypt", "--no-sign", "-r", fingerprint, stdin="kept")
    lies = (
        f"{user}/.local/share/tiny_gnupg/gpghome (its name in the package is {environment.packages}"
    )

    def require_key(*prefix: str) -> None:
        assert typed("decrypt", "--no-passphrase", stdin=message, prefix=prefix) == "kept"
        assert lies in typed("doctor", "--offline", prefix=prefix)
        inside = {name for _, _, names in os.walk(environment.folder) for name in names}
        assert [name for name in inside if name.endswith(".key")] == []

    require_key()
    environment.install(pure_wheel, "--no-index", "--force-reinstall", "--no-deps")
    require_key()
    environment.install(build_in(newer, "wheel"), "--no-index")
    assert typed("--version") == "tiny_gnupg 99.0\n"
    require_key()
    environment.uninstall("tiny_gnupg")
    assert not environment.python.with_name("tiny-gnupg").exists()
    environment.install(pure_wheel, "--no-index")
    require_key()
    shutil.rmtree(environment.folder)
    environment = new_environment(home / "env", pure_wheel)
    require_key()
    if namespace := mount_namespace():
        read_only = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
        require_key(*namespace, "sh", "-c", read_only, "sh", str(environment.folder))
