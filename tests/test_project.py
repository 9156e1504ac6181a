"""What the pages of a code host, an index of packages and a builder of documentation read here."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
OURS = re.compile(re.escape(PROJECT["urls"]["Homepage"]) + r"/(?:blob|tree)/main/([\w./-]*\w)")
#: Where people and services find a way to our own files.
PAGES = ["README.rst", "pyproject.toml", ".github/ISSUE_TEMPLATE/config.yml", "CODE_OF_CONDUCT.md"]


def read(name: str) -> Any:
    return yaml.safe_load((CHECKOUT / name).read_text())


def test_each_link_to_our_own_files_leads_to_one() -> None:
    named = {found for page in PAGES for found in OURS.findall((CHECKOUT / page).read_text())}
    assert {"docs", "SECURITY.md", "CONTRIBUTING.rst", "CHANGES.rst"} <= named
    assert [name for name in named if not (CHECKOUT / name).exists()] == []


def test_the_workflow_runs_what_every_change_has_to_pass_on_each_python() -> None:
    jobs = read(".github/workflows/ci.yml")["jobs"]
    for job in jobs.values():
        assert ".ci/run" in [step.get("run") for step in job["steps"]]
    classifier = re.compile(r"Programming Language :: Python :: (3\.\d+)")
    supported = [found[1] for line in PROJECT["classifiers"] if (found := classifier.match(line))]
    assert jobs["python"]["strategy"]["matrix"]["python"] == supported
    assert jobs["debian"]["strategy"]["matrix"]["suite"] == ["bookworm", "trixie"]


def test_each_hook_is_a_script_of_ours() -> None:
    [repository] = read(".pre-commit-config.yaml")["repos"]
    for hook in repository["hooks"]:
        assert os.access(CHECKOUT / hook["entry"].split()[0], os.X_OK)


def test_the_service_builds_the_documentation_that_is_here() -> None:
    settings = read(".readthedocs.yaml")
    assert (CHECKOUT / settings["sphinx"]["configuration"]).is_file()
    assert settings["sphinx"]["fail_on_warning"] is True


@pytest.mark.parametrize("name", ["bug", "wish"])
def test_an_issue_asks_for_what_is_needed_to_help(name: str) -> None:
    form = read(f".github/ISSUE_TEMPLATE/{name}.yml")
    asked = [field for field in form["body"] if field["type"] != "markdown"]
    assert [field["id"] for field in asked if field["validations"]["required"]] != []
    assert len({field["id"] for field in asked}) == len(asked)
