"""A pytest plugin of scripts/test: says at the end how many tests did not run, and why."""

from __future__ import annotations

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the tests that were left out or given up, by reason."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[told.removeprefix("Skipped: ")] += 1
    for report in terminalreporter.stats.get("xfailed", []):
        reasons[f"expected to fail: {report.wasxfail or 'no reason given'}"] += 1
    if left_out := len(terminalreporter.stats.get("deselected", [])):
        reasons["left out by this call's own arguments"] += left_out
    terminalreporter.section(f"tests that did not run: {reasons.total()}")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count} x {reason}")
