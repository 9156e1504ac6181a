"""A pytest plugin of scripts/test: says at the end how many tests did not run, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

_LEFT_OUT = pytest.StashKey[int]()
#: What a process of a run on several (pytest-xdist) tells the one that leads them.
_TOLD = "left_out"


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count."""
    config.stash[_LEFT_OUT] = 0


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Count what the call's own arguments leave out."""
    config = items[0].config
    config.stash[_LEFT_OUT] += len(items)
    if hasattr(config, "workeroutput"):
        config.workeroutput[_TOLD] = config.stash[_LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear what a process has counted: each of them leaves out the same."""
    told = getattr(node, "workeroutput", {})
    node.config.stash[_LEFT_OUT] = max(node.config.stash[_LEFT_OUT], told.get(_TOLD, 0))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Count the tests that were left out or given up, by reason."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[told.removeprefix("Skipped: ")] += 1
    for report in terminalreporter.stats.get("xfailed", []):
        reasons[f"expected to fail: {report.wasxfail or 'no reason given'}"] += 1
    if left_out := config.stash[_LEFT_OUT]:
        reasons["left out by this call's own arguments"] = left_out
    terminalreporter.section(f"tests that did not run: {reasons.total()}")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count} x {reason}")
