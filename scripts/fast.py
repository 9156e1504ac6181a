"""A pytest plugin of ``scripts/test --fast``: leaves out what needs a gpg, or long.

A test that starts a gpg all the same fails, so that this stays what it says.
"""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import settings

#: The fixtures that make a home by a gpg; what others make is made with these.
HOMES = {"home", "other_home", "gpg_home", "plain_gpg", "signed", "keys"}


def pytest_configure() -> None:
    """See to it that no gpg is started, and that hypothesis is soon content."""
    settings.register_profile("fast", max_examples=20, deadline=None)
    settings.load_profile("fast")
    sys.addaudithook(_refuse_gpg)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not fast, and count it."""
    fast: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        needed = HOMES & set(getattr(item, "fixturenames", ()))
        (others if needed or item.get_closest_marker("not_fast") else fast).append(item)
    items[:] = fast
    config.hook.pytest_deselected(items=others)


def _refuse_gpg(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("subprocess.Popen", "os.posix_spawn", "os.exec"):
        name = os.path.basename(os.fsdecode(arguments[0]))  # type: ignore[arg-type]
        if name.startswith("gpg"):
            raise RuntimeError(f"a test of the fast ones has started {name}")
