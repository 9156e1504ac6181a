"""The demonstration does what it tells, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import re
import tempfile
import threading
from functools import partial
from pathlib import Path

import pytest

from examples.demo.steps import DemoFailed, Steps
from examples.demo.story import demo
from tests.inprocess import run_here
from tests.leftovers import clean_home
from tests.tor.network import missing_programs

STEP = re.compile(r"^ *(\d+)\. .* +([\d.]+ m?s)\b", re.MULTILINE)
#: What a person has to see happen.
SHOWN = (
    *("makes a key", "public key", "encrypts to Bob", "decrypts and verifies"),
    *("DecryptionFailed", "BadSignature", "NoSecretKey", "BadPassphrase", "UnusableKey"),
    *("exports her secret key", "revokes", "deletes"),
)
THROUGH_TOR = ("publishes her key", "by fingerprint", "by its address", "NotOnKeyserver")


def test_the_demonstration_shows_the_whole_life_of_two_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With tor installed, all of it; without, it says what is left out."""
    with clean_home() as folder:
        folder.mkdir(exist_ok=True)
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        done = run_here(partial(asyncio.run, demo()))
        left = list(folder.iterdir())

    shown = done.stdout.decode()
    assert (done.returncode, done.stderr, left) == (0, b"", [])
    expected = (*SHOWN, "not installed: tor") if missing_programs() else (*SHOWN, *THROUGH_TOR)
    assert [words for words in expected if words not in shown] == []
    numbers = [int(number) for number, _ in STEP.findall(shown)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 19


def test_what_should_be_refused_and_is_not_fails() -> None:
    lines: list[str] = []
    steps = Steps(lines.append)

    with pytest.raises(DemoFailed, match="should have been refused"), steps.refused("a forgery"):
        pass


async def test_a_failing_demonstration_leaves_no_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lines: list[str] = []

    def stop_at_the_message(line: str) -> None:
        lines.append(line)
        if "A message" in line:
            raise DemoFailed("enough")

    with pytest.raises(DemoFailed, match="enough"):
        await demo(stop_at_the_message, network=False)

    assert lines
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_takes_long_says_that_it_goes_on() -> None:
    lines: list[str] = []
    waiting = threading.Event()

    def say(line: str) -> None:
        lines.append(line)
        waiting.set()

    with Steps(say).step("Somebody waits"):
        assert waiting.wait(60)

    assert [line.split()[1:] for line in lines[:1]] == [["s", "Somebody", "waits", "..."]]
    assert STEP.fullmatch(lines[-1])
