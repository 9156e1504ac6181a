"""The scripts: whose environment they use, and which tests are fast."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
TESTS = """
import subprocess
import pytest

def test_plain():
    pass

def test_in_a_home(tmp_path, home):
    raise AssertionError("it needs a gpg")

@pytest.fixture
def home():
    pass

@pytest.mark.not_fast
def test_marked():
    raise AssertionError("it takes long")

def test_hidden():
    subprocess.run(["gpg", "--version"])
"""


def test_what_needs_a_gpg_is_left_out_or_fails(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "fast", "-p", "no:cacheprovider", tmp_path],
        env=os.environ
        | {"PYTHONPATH": str(CHECKOUT / "scripts"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert "1 failed, 1 passed, 2 deselected" in done.stdout
    assert "RuntimeError: a test of the fast ones has started gpg" in done.stdout


def test_an_environment_that_a_user_made_is_never_theirs(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(CHECKOUT / "scripts" / "_setup.sh", tmp_path / "scripts")
    program = tmp_path / "scripts" / "any"
    program.write_text('. "$(dirname -- "$0")/_setup.sh"\nprintf %s "${venv##*/}"\n')

    def chosen() -> str:
        return subprocess.run(["sh", program], capture_output=True, text=True, check=True).stdout

    assert chosen() == ".venv"
    (tmp_path / ".venv").mkdir()
    assert chosen() == ".venv-scripts"
    (tmp_path / ".venv" / ".made-by-scripts").touch()
    assert chosen() == ".venv"
