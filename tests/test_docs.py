"""The reference builds without a warning, and holds the rules of every module."""

from __future__ import annotations

import ast
import contextlib
import html
import inspect
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tiny_gnupg
from tiny_gnupg import GnuPG
from tiny_gnupg.cli.main import EXAMPLES, main

CHECKOUT = Path(__file__).parents[1]


#: Builds the pages twice of one reading: first in full, where a warning is an error, then as man.
BUILDS = """
import sys
from sphinx.cmd.build import main
docs, trees, html, man = sys.argv[1:]
first = main(["-q", "-W", "--keep-going", "-E", "-d", trees, docs, html])
sys.exit(first or main(["-q", "-W", "--keep-going", "-b", "man", "-d", trees, docs, man]))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what was built: ``html`` and ``man``."""
    folder = tmp_path_factory.mktemp("built")
    folders = [folder / name for name in ("doctrees", "html", "man")]
    done = subprocess.run(
        [sys.executable, "-c", BUILDS, CHECKOUT / "docs", *folders],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def test_the_reference_builds_without_a_warning(built: Path) -> None:
    page = (built / "html" / "reference.html").read_text()
    shown = set(re.findall(r'id="tiny_gnupg\.GnuPG\.(\w+)"', page))
    assert shown == {name for name in dir(GnuPG) if not name.startswith("_")}
    pages = [(built / "html" / f"{name}.html").read_text() for name in ("errors", "results")]
    described = re.findall(r'id="tiny_gnupg\.(?:errors|results)\.(\w+)"', "".join(pages))
    elsewhere = {"GnuPG", "Plaintext", "run", "__version__"}
    assert sorted(described) == sorted(set(tiny_gnupg.__all__) - elsewhere)
    assert all(f'id="tiny_gnupg.{name}"' in page for name in elsewhere - {"__version__"})
    _require_each_command_in((built / "html" / "command_line.html").read_text())


def test_the_manual_page_has_each_command(built: Path) -> None:
    page = (built / "man" / "tiny-gnupg.1").read_text()
    headings = set(re.findall(r"^\.SH (.+)$", page, re.MULTILINE))
    assert {name.upper() for name in EXAMPLES} <= {text.strip('"').upper() for text in headings}
    assert all(example.replace("-", r"\-") in page for example in EXAMPLES["encrypt"])


def _require_each_command_in(page: str) -> None:
    """Compare the page with what the program itself says to ``--help``."""
    anchors = set(re.findall(r'id="cmdoption-tiny-gnupg-(\S+)"', page))
    text = html.unescape(re.sub(r"<[^>]+>", "", page))
    for name, examples in EXAMPLES.items():
        with contextlib.redirect_stdout(io.StringIO()) as said, pytest.raises(SystemExit):
            main([name, "--help"])
        options = set(
            re.findall(r"(?<![\w-])--?([a-z][\w-]*)", said.getvalue().split("examples:")[0])
        )
        assert len(options) > 4
        assert [one for one in options if not {one, f"{name}-{one}"} & anchors] == []
        assert [one for one in examples if f"$ tiny-gnupg {one}\n" not in text] == []


def test_the_rules_of_every_module_are_in_the_reference() -> None:
    pages = "".join(path.read_text() for path in (CHECKOUT / "docs").glob("*.rst"))
    shown = set(re.findall(r"^\.\. automodule:: tiny_gnupg\.([\w.]+)$", pages, re.MULTILINE))
    package = CHECKOUT / "tiny_gnupg"
    rules = {
        ".".join(path.relative_to(package).with_suffix("").parts).removesuffix(".__init__")
        for path in package.rglob("*.py")
        if re.search(r"^1\. ", ast.get_docstring(ast.parse(path.read_text())) or "", re.MULTILINE)
    }
    assert len(rules) > 20
    assert rules <= shown


def test_every_public_method_has_a_docstring_that_is_a_sentence() -> None:
    public = {
        name: member
        for part in GnuPG.__mro__[:-1]
        for name, member in vars(part).items()
        if not name.startswith("_")
    }

    assert len(public) > 50
    for name, member in public.items():
        first = (inspect.getdoc(member) or "").split("\n\n")[0]
        assert first, name
        assert first.endswith((".", "``", '"')), (name, first)
