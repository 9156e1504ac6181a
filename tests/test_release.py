"""``scripts/package``: which Pythons it finds, and what it tells."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts.release.__main__ import draw
from scripts.release.environments import Outcome
from scripts.release.pythons import Python, ask_python, candidates, choose_pythons, debian_python
from scripts.release.running import Failure

RUNNING = sys.version_info[:2]


def write_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_python_is_found_once_and_below_its_environment() -> None:
    me = ask_python(Path(sys.executable))
    assert me is not None
    assert me.version == sys.version_info[:3]
    assert not me.path.is_relative_to(sys.prefix)
    assert ask_python(me.path) == me


def test_pythons_are_looked_for_on_path_and_with_pyenv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:relative")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    shim = write_program(tmp_path / "bin/python3.12", "exit 127")
    own = write_program(tmp_path / "pyenv/versions/3.12.9/bin/python3.12", "exit 0")
    write_program(tmp_path / "pyenv/versions/3.10.1/bin/python3.10", "exit 0")
    (tmp_path / "bin/python3.13").write_text("not a program")

    assert list(candidates([(3, 12), (3, 13)])) == [Path(sys.executable), shim, own]
    assert ask_python(shim) is None
    assert ask_python(own) is None


def test_what_PYTHONS_names_is_taken_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONS", sys.executable)
    assert choose_pythons([RUNNING, (3, 99)], tmp_path) == ([ask_python(Path(sys.executable))], {})
    with pytest.raises(Failure, match="of a supported version"):
        choose_pythons([(3, 99)], tmp_path)
    monkeypatch.setenv("PYTHONS", "/bin/false")
    with pytest.raises(Failure, match="PYTHONS: /bin/false is no Python"):
        choose_pythons([RUNNING], tmp_path)


def test_a_python_that_is_not_to_be_had_is_told_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    pythons, missing = choose_pythons([RUNNING, (3, 99)], tmp_path)

    assert ask_python(Path(sys.executable)) in pythons
    assert missing == {"3.99": "this machine has no Debian archive to get it from"}


def test_a_python_that_was_got_before_is_taken_where_it_runs(tmp_path: Path) -> None:
    path = tmp_path / "usr/bin/python3.99"
    write_program(path, f"""echo '[[3, 99, 0], "{path}"]'""")
    assert debian_python("3.99", tmp_path) == Python((3, 99, 0), path)


def test_the_table_has_a_line_for_each_python_and_then_what_failed() -> None:
    old, new = (Python((3, minor, 1), Path(f"/usr/bin/python3.{minor}")) for minor in (9, 12))
    outcomes = {
        (old, "sdist"): Outcome(3.4),
        (old, "wheel"): Outcome(12.3),
        (new, "sdist"): Outcome(1.0, "pip said no\n"),
        (new, "wheel"): Outcome(2.6),
    }

    assert "\n".join(draw(outcomes)) == (
        "Python                        sdist      wheel\n"
        "3.9.1 (/usr/bin/python3.9)    yes (3 s)  yes (12 s)\n"
        "3.12.1 (/usr/bin/python3.12)  NO         yes (3 s)\n"
        "\n"
        "sdist with Python 3.12.1 (/usr/bin/python3.12):\n"
        "pip said no"
    )
