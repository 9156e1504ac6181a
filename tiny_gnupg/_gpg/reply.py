"""All that one gpg answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tiny_gnupg._gpg.status import Status, describe, gpg_error_code

#: Signals by which a program ends itself: SIGILL, SIGABRT, SIGBUS, SIGFPE and SIGSEGV, by their
#: numbers on Linux.
_OWN_SIGNALS = frozenset({4, 6, 7, 8, 11})


#: Why no agent served a gpg: there was none, or it was there and went.
AGENT_MISSING, AGENT_ENDED = "gpg-agent does not start", "gpg-agent ended meanwhile"

#: Why neither gpg nor its agent found anything: their path of the home led nowhere for a moment.
PATH_GONE = "the short link to the homedir was taken away meanwhile"


#: What a call may be run once more for.
PASSING = (AGENT_ENDED, PATH_GONE)


@dataclass(frozen=True, slots=True)
class Reply:
    """All that one gpg answered.

    An error that it is passed to (``reply=``) keeps what it told, and not its output: that may be
    a plaintext which nobody found good, or half a secret key.

    ``obstacle`` is what keeps the home from being written, in the system's words, where a gpg
    failed and something does: gpg has no status line for that in most of its commands. ``agent``
    is why no agent served it, where one was needed and it matters: for gpg, secret keys that it
    cannot ask for are not there.
    """

    returncode: int
    stdout: bytes
    stderr: str
    status: tuple[Status, ...]
    command: str
    obstacle: str = ""
    agent: str = ""

    @property
    def crashed(self) -> str:
        """How gpg ended itself, by an assertion or a bad access: this input is too much for it."""
        signal = -self.returncode
        return f"gpg broke off by itself (signal {signal})" if signal in _OWN_SIGNALS else ""

    def find(self, *keywords: str) -> Iterator[Status]:
        """Return the status lines with one of these keywords, in their order."""
        return (status for status in self.status if status.keyword in keywords)

    def has(self, *keywords: str) -> bool:
        """Return whether there is such a line."""
        return any(True for _ in self.find(*keywords))

    def fields(self, keyword: str) -> list[dict[str, str]]:
        """Return the arguments of each line with this keyword, under their names."""
        return [describe(status) for status in self.find(keyword)]

    def codes(self) -> set[int]:
        """Return the error codes of all ``ERROR`` and ``FAILURE`` lines."""
        return {
            gpg_error_code(status.args[1])
            for status in self.find("ERROR", "FAILURE")
            if len(status.args) > 1
        }

    def last_words(self) -> str:
        """Return the last line that gpg told people."""
        last = next((line for line in reversed(self.stderr.splitlines()) if line), "")
        return last.removeprefix("gpg: ")

    @property
    def lines(self) -> tuple[str, ...]:
        """The status lines as gpg wrote them, without their prefix."""
        return tuple(status.line for status in self.status)
