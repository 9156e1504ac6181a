"""The command line as tests type it: in this process, or on a terminal of its own."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.inprocess import Ended

CHECKOUT = Path(__file__).parents[1]
SECRET = "correct horse"

#: Starts the command line as a process of its own, which uses homes of the tests.
PROGRAM = (sys.executable, "-m", "tests.programs.command_line")

Run = Callable[..., Ended]


def done(result: Ended | subprocess.CompletedProcess[bytes], code: int = 0) -> bytes:
    """Require an exit code; return the output."""
    assert result.returncode == code, (result.stdout, result.stderr)
    return result.stdout


def at_a_terminal(*arguments: str, typed: Sequence[str], code: int = 0) -> str:
    """Run a command on a terminal of its own, and type an answer each time it asks.

    Args:
        arguments: the command line.
        typed: the answers; what ends in a colon asks.
        code: how it has to end.

    Returns:
        What was shown.
    """
    try:
        terminal, theirs = pty.openpty()
    except OSError:
        pytest.skip("NOT TESTED: this system gives no pseudo-terminals")
    # Its controlling terminal, which is where a passphrase is asked for; Python itself could make
    # it one only by a fork, which it warns of where threads run.
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *PROGRAM, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=CHECKOUT,
    )
    os.close(theirs)
    shown, asked = "", 0
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    shown += os.read(terminal, 65536).decode(errors="replace")
                except OSError:
                    break
            if shown.count(": ") > asked and asked < len(typed):
                os.write(terminal, typed[asked].encode())
                asked += 1
    finally:
        os.close(terminal)
        process.wait(10)
    assert process.returncode == code, shown
    return shown
