"""How the demonstration tells its steps: what was done, how long it took, what came of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tiny_gnupg.errors import GnuPGError

Say = Callable[[str], object]


MESSAGE = "Meet me at the old mill, 7 pm. ☂"


class DemoFailed(Exception):
    """Something did not happen as it has to."""


class Steps:
    """Tells each step in one line: its number, what is done, how long it took, what came of it.

    Args:
        say: takes each line.
    """

    def __init__(self, say: Say = print) -> None:
        self.say = say
        self.count = 0

    def chapter(self, title: str) -> None:
        """Begin a chapter."""
        self.say(f"\n{title}")

    @contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """Time a step; what the block puts into the list is shown behind it.

        Of one that takes longer than a second it is said, and then every few seconds, that it
        goes on.
        """
        self.count += 1
        outcome: list[str] = []
        begun = time.perf_counter()
        ended = threading.Event()
        clock = threading.Thread(target=self._count_seconds, args=(title, ended))
        clock.start()
        try:
            yield outcome
        finally:
            ended.set()
            clock.join()
        took = time.perf_counter() - begun
        self.say(f"{self.count:3}. {title:<52}{duration(took):>8}   {'; '.join(outcome)}".rstrip())

    def _count_seconds(self, title: str, ended: threading.Event) -> None:
        begun, wait = time.perf_counter(), 1
        while not ended.wait(wait):
            wait = 3
            self.say(f"{time.perf_counter() - begun:11.1f} s  {title} ...")

    @contextmanager
    def refused(self, title: str) -> Iterator[None]:
        """Time a step that has to be refused.

        Raises:
            DemoFailed: it was not.
        """
        with self.step(title) as outcome:
            try:
                yield
            except GnuPGError as error:
                outcome.append(f"refused, {type(error).__name__}: {error.message}")
                return
            raise DemoFailed(f"{title}: this should have been refused")


def duration(seconds: float) -> str:
    """Write a duration as people read it."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def expect(holds: bool, what: str) -> None:
    """Require that something holds.

    Raises:
        DemoFailed: it does not.
    """
    if not holds:
        raise DemoFailed(f"this does not hold: {what}")
