"""The types that callers see: a program that uses every public name passes ``mypy --strict``."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tiny_gnupg
from tiny_gnupg import GnuPG

SAMPLE = Path(__file__).with_name("typing_sample.py")
ROOT = SAMPLE.parent.parent


def mypy(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--warn-unreachable", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_sample_passes_the_strict_type_checker() -> None:
    done = mypy(SAMPLE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_type_checker_refuses_what_is_wrong(tmp_path: Path) -> None:
    # Else the test above would pass with types that allow everything.
    wrong = tmp_path / "wrong.py"
    source = SAMPLE.read_text(encoding="utf-8")
    ignored = source.count("# type: ignore")
    assert ignored > 5
    wrong.write_text(source.replace("# type: ignore", "# "))
    assert mypy(wrong).stdout.count("error:") == ignored


def used() -> tuple[set[str], set[str]]:
    """Return the names that the sample imports, and the attributes that it asks for."""
    tree = ast.parse(SAMPLE.read_text(encoding="utf-8"))
    imports = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "tiny_gnupg"
        for alias in node.names
    }
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return imports, attributes


def test_the_sample_uses_every_public_name() -> None:
    imports, attributes = used()
    assert imports | attributes >= set(tiny_gnupg.__all__)
    assert attributes >= {name for name in dir(GnuPG) if not name.startswith("_")}


@pytest.mark.parametrize(
    "name",
    [
        "Decryption",
        "ImportResult",
        "Key",
        "Packet",
        "Plaintext",
        "Signature",
        "Subkey",
        "UserID",
        "Verification",
    ],
)
def test_the_sample_uses_every_field_of_a_result(name: str) -> None:
    public = {
        field
        for field, _ in inspect.getmembers(getattr(tiny_gnupg, name))
        if not field.startswith("_")
    }
    _, attributes = used()
    assert attributes >= public
