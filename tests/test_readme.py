"""README.rst, the tutorial, the how-to pages and the reference: each block, as a reader runs it.

The programs are real, the network is a keyserver on loopback behind a SOCKS proxy.

Every block is either run here or named in ``INSTALLING``; a block of another kind is an error.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import tiny_gnupg
from tests.instances import copied
from tests.leftovers import clean_home
from tests.tor.processes import KeyserverProcess, keyserver_server
from tests.tor.socks import RecordingProxy
from tiny_gnupg._network.keyserver import DEFAULT_KEYSERVER

README = Path(__file__).parents[1] / "README.rst"
DOCS = README.parent / "docs"
HOW_TO = sorted((DOCS / "howto").glob("*.rst"))
REFERENCE = DOCS / "reference.rst"
NETWORK = {DOCS / "howto" / "network.rst", REFERENCE}
RUN = [README, DOCS / "tutorial.rst", *HOW_TO, REFERENCE]
#: The other pages with blocks: what they show is tested elsewhere.
SHOWN = {"homes.rst", "threads.rst"}
BLOCK = re.compile(r"^\.\. code-block:: (\w+)\n\n((?:   .*\n|\n)+)", re.MULTILINE)
#: What tests/test_packaging.py does, with the wheels that it builds.
INSTALLING = {"python3 -m venv .venv", ". .venv/bin/activate", "python -m pip install ."}
DEFAULT_TOR_PORT = "tor_port=9050"
CONFIRMED = "# (Alice has followed the link.)"


def blocks(language: str, page: Path = README) -> list[tuple[int, str]]:
    """Return the blocks of a language: the line each begins at, and its text."""
    text = page.read_text()
    return [
        (text[: found.start(2)].count("\n") + 1, textwrap.dedent(found[2]))
        for found in BLOCK.finditer(text)
        if found[1] == language
    ]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder with a short path to work in, of which nothing may be left running."""
    with clean_home() as path:
        path.mkdir(exist_ok=True)
        monkeypatch.chdir(path)
        monkeypatch.delenv("TINY_GNUPG_HOME", raising=False)
        yield path


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the quick start leaves: two homes that know each other."""
    kept = tmp_path_factory.mktemp("started")
    with clean_home() as path:
        path.mkdir(exist_ok=True)
        _quick_start(path)
        for name in ("alice", "bob"):
            copied(path / name, kept / name)
    return kept


def test_each_block_is_of_a_kind_that_is_run() -> None:
    for page in RUN:
        known = len(blocks("python", page)) + len(
            blocks("console" if page == README else "sh", page)
        )
        assert page.read_text().count(".. code-block::") == known > 0
    others = {page.name for page in DOCS.glob("*.rst") if "code-block::" in page.read_text()}
    assert others == {"tutorial.rst", REFERENCE.name, *SHOWN}


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 150


def test_the_quick_start_is_a_short_program_that_runs(folder: Path) -> None:
    for _ in ("at first", "once more"):
        assert _quick_start(folder) == "Meet me at the mill.\n"
    assert len((folder / "first.py").read_text().strip().splitlines()) <= 12


def _quick_start(folder: Path) -> str:
    _, program = blocks("python")[0]
    (folder / "first.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "first.py"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(README.parent)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("page", RUN, ids=[page.stem for page in RUN])
async def test_the_python_blocks_run_in_their_order(
    folder: Path, started: Path, page: Path
) -> None:
    names: dict[str, Any] = {"__name__": "readme"}
    copied(started, folder)
    with keyserver_server() as keyserver:
        async with _proxy(keyserver, used=page in NETWORK) as port:
            for line, source in blocks("python", page)[page == README :]:
                if CONFIRMED in source:
                    assert keyserver.confirm_all() == ["alice@example.org"]
                source = source.replace(DEFAULT_TOR_PORT, f"tor_port={port}")
                await _execute(source, line, names, page)


@asynccontextmanager
async def _proxy(keyserver: KeyserverProcess, *, used: bool) -> AsyncIterator[int]:
    host = DEFAULT_KEYSERVER.removeprefix("http://")
    async with RecordingProxy({host: keyserver.port}) as proxy:
        yield proxy.port
        assert {asked.host for asked in proxy.asked} == ({host} if used else set())


async def _execute(source: str, line: int, names: dict[str, Any], page: Path) -> None:
    # Lines of an error are those of the page.
    source = "\n" * (line - 1) + source
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(source, str(page), "exec", flags=flags)
    made = eval(code, names)  # noqa: S307  the project's own README
    if inspect.isawaitable(made):
        await made


def test_the_commands_run(folder: Path) -> None:
    lines = [line for _, block in blocks("console") for line in block.splitlines() if line]
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    assert len(commands) == len(lines)
    assert set(commands) > INSTALLING

    for command in commands:
        if command in INSTALLING:
            continue
        ours = f"{shlex.quote(sys.executable)} -m tiny_gnupg"
        done = subprocess.run(
            ["/bin/sh", "-c", re.sub(r"^tiny-gnupg\b", ours, command)],
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": str(README.parent)},
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    assert (folder / "letter.again").read_text() == "hello\n"


def test_the_pipes_of_a_shell_run_and_keep_nothing_of_a_writer_that_died(
    folder: Path, started: Path
) -> None:
    copied(started, folder)
    (_, piped), (_, sized) = blocks("sh", DOCS / "howto" / "streams.rst")
    assert "--size 734003200" in sized
    sized = sized.replace("734003200", "5").replace("/dev/tape", "tape")
    for script, code, left in (
        (f"dump() ( echo all )\n{piped}", 0, {"dump.gpg"}),
        (f"dump() ( echo half; exit 3 )\n{piped}", 3, set()),
        (f"echo tape > tape\n{sized}", 0, {"tape.gpg"}),
        (f"echo cut > tape\n{sized}", 1, {"tape.gpg"}),
    ):
        for path in folder.glob("*.gpg*"):
            path.unlink()
        ours = f"{shlex.quote(sys.executable)} -m tiny_gnupg encrypt --home alice"
        done = subprocess.run(
            ["bash", "-c", script.replace("tiny-gnupg encrypt", f"{ours} --passphrase-env WORDS")],
            env=os.environ | {"PYTHONPATH": str(README.parent), "WORDS": "correct horse"},
            check=False,
        )
        assert done.returncode == code
        assert {path.name for path in folder.glob("*.gpg")} == left


def test_every_name_in_the_tables_is_there() -> None:
    pages = [README, *DOCS.rglob("*.rst")]
    ours = re.findall(r"await gpg\.(\w+)\(", "".join(page.read_text() for page in pages))

    assert len(ours) > 15
    assert [name for name in ours if not hasattr(tiny_gnupg.GnuPG, name)] == []
