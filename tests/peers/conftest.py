"""Prints, at the end of a run, what the tests of this folder found out about other programs."""

from __future__ import annotations

import pytest

from tests.peers.programs import PEERS, TABLE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of interoperation; a blank cell was not tried."""
    if not TABLE:
        return
    names = [peer.name for peer in PEERS]
    terminalreporter.section("interoperation with other OpenPGP programs")
    width = max(map(len, TABLE))
    terminalreporter.line(" | ".join([" " * width, *names]))
    for operation, cells in TABLE.items():
        row = [cells.get(name, "").center(len(name)) for name in names]
        terminalreporter.line(" | ".join([operation.ljust(width), *row]))
    tried = {name for cells in TABLE.values() for name in cells}
    for peer in PEERS:
        if peer.name not in tried:
            terminalreporter.line(f"NOT TRIED: {peer.name} is not here ({peer.install})")
        elif peer.note:
            terminalreporter.line(f"note: {peer.note}")
