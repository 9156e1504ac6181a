"""Between the command line and a person: passphrases, progress, and what is shown.

1. A passphrase comes from a prompt, a file descriptor or an environment variable that is NAMED;
   never from an argument, which every user of the machine can read.
2. Standard output holds the result and nothing else; progress, errors and who signed what was
   decrypted go to standard error, progress only where that is a terminal.
3. What came from a key or a message is shown with its control characters escaped.
4. A message that speaks of Python's arguments is said in the command line's words.
"""

from __future__ import annotations

import argparse
import base64
import getpass
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from tiny_gnupg._home.sinks import opened
from tiny_gnupg._process.tasks import in_thread
from tiny_gnupg.errors import AmbiguousKey, GnuPGError, one_line

#: Seconds that pass before progress is shown: what is quicker needs none.
FIRST_PROGRESS = 0.5

#: Seconds between two lines of what flows in.
TICK = 0.1


#: What ``-o -`` names.
STDOUT = "/dev/stdout"


#: How a person is told what the library says to programs.
WORDS = {
    "executable=": "--gpg",
    "homedir=": "--home",
    "output=": "--output",
    "tor_port": "--tor-port",
    ", or isolate=False": "",
    ", or lower limit=": "",
    "pass it as passphrase=": "give the message's own passphrase",
    "pass the message's own, passphrase=...": "give the message's own passphrase",
    ", as text or as bytes": "",
    "use decrypt or decrypt_verify": "tiny-gnupg decrypt shows them",
    "a lone surrogate, which has no UTF-8": "bytes that are no UTF-8",
    "pass a signed message alone": "the data comes first: tiny-gnupg verify DATA SIGNATURE",
    "use text_import": "tiny-gnupg import FILE takes it",
    "use verify(data, signature)": "give the data first: tiny-gnupg verify DATA SIGNATURE",
    "await gen_key()": "tiny-gnupg gen-key makes one",
    "await add_subkeys": "in Python, await gpg.add_subkeys",
}


#: Which command does what a message says to call.
COMMANDS = {
    r"^username (?=holds|begins)": "--name ",
    r"^email (?=holds|begins)": "--email ",
    r"^(expiring|overlap) (?=is |needs )": r"--\1 ",
    r"await set_expire\('(\w+)', '(\w+)'\)": r"tiny-gnupg renew \1 \2",
    r"await set_expire\('(\w+)', '(\w+)', subkeys=\['(\w+)'\]\)": (
        r"tiny-gnupg renew \1 \2 --subkey \3"
    ),
    r"\brestore\('([^']+)'\)": r"tiny-gnupg restore '\1'",
}


#: The longest passphrase that is read from a file descriptor, in bytes.
LONGEST = 2**16


class UsageError(Exception):
    """The arguments do not fit together; the text says how they would."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a command has to say.

    ``facts`` is what ``--json`` writes; ``lines`` is what people read instead, and ``notes`` what
    they read beside it, on standard error. ``data`` goes to standard output as it is; with
    ``--json`` it is one more fact.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    data: str | bytes | None = None
    code: int = 0
    notes: tuple[str, ...] = ()


def passphrase(arguments: argparse.Namespace, *, new: bool = False, which: str = "") -> str:
    """Get the passphrase the way the arguments ask for.

    Args:
        arguments: with ``passphrase_fd``, ``passphrase_env`` and ``no_passphrase``.
        new: it is one to be set, so a person types it twice.
        which: stands before ``passphrase`` in these names.

    Raises:
        UsageError: there is no such descriptor or variable, or no terminal to ask on.
    """
    given = vars(arguments)
    if given[f"no_{which}passphrase"]:
        return ""
    if (number := given[f"{which}passphrase_fd"]) is not None:
        return _from_descriptor(number)
    if (name := given[f"{which}passphrase_env"]) is not None:
        if name not in os.environ:
            raise UsageError(f"there is no environment variable {name}")
        return os.environ[name]
    return _from_person(new=new, which=which)


def _from_descriptor(number: int) -> str:
    try:
        with os.fdopen(number, "rb", closefd=False) as file:
            line = file.readline(LONGEST)
    except OSError as error:
        raise UsageError(f"cannot read file descriptor {number}: {error.strerror}") from None
    with suppress(UnicodeDecodeError):  # that error would hold it, also in another's context
        return line.rstrip(b"\r\n").decode()
    raise UsageError("the passphrase is not UTF-8")


def _from_person(*, new: bool, which: str) -> str:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        # getpass would read it from standard input then, where the message is.
        name = f"{which.replace('_', '-')}passphrase"
        raise UsageError(
            f"there is no terminal to ask for the {name.replace('-', ' ')}: give --{name}-fd N or "
            f"--{name}-env NAME, or --no-{name} for keys that have none"
        ) from None
    typed = getpass.getpass(f"{which.replace('_', ' ')}passphrase: ".capitalize())
    if new and getpass.getpass("Once more: ") != typed:
        raise UsageError("the two passphrases differ")
    return typed


class _Bar:
    """The line that shows how far something is, on standard error."""

    WIDTH = 70

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._begun = time.monotonic()
        self._last = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Draw it, if it is time to; of what flows in, nobody knows the ``total``."""
        now = time.monotonic()
        took = now - self._begun
        if took < FIRST_PROGRESS or now - self._last < TICK:
            return
        self._last = now
        how_far = f"{done / 2**20:.0f} MiB"
        if total:
            how_far = f"[{'#' * (20 * done // total):<20}] {100 * done // total:3} %"
        self._write(f"{self._doing} {how_far}  {done / took / 2**20:.0f} MiB/s")

    def clear(self) -> None:
        """Take the line away, so that what is written next has one of its own."""
        if self._last:
            self._write("")
            self._last = 0.0

    def _write(self, line: str) -> None:
        sys.stderr.write(f"\r{line:<{self.WIDTH}}\r")
        sys.stderr.flush()


#: The bar of the command that runs.
_bar: _Bar | None = None


def progress(doing: str, *, shown: bool = False) -> Callable[[int, int], None] | None:
    """Return what draws a bar of progress.

    Args:
        doing: what goes on, in a word.
        shown: the result itself goes to standard output, piece by piece.

    Returns:
        Nothing where standard error is no terminal, or the result would be written into the bar.
    """
    global _bar
    if not sys.stderr.isatty() or (shown and sys.stdout.isatty()):
        return None
    _bar = _Bar(doing)
    return _bar


def end_progress() -> None:
    """Take the bar away where one is drawn."""
    if _bar is not None:
        _bar.clear()


def standard_input() -> BinaryIO:
    """Return standard input; who has to type it is told so."""
    if sys.stdin is None:
        raise UsageError("standard input is closed")
    if sys.stdin.isatty():
        _say("tiny-gnupg: reading what you type, up to Ctrl-D on a line of its own", sys.stderr)
    return sys.stdin.buffer


@asynccontextmanager
async def standard_output() -> AsyncIterator[Callable[[bytes], Awaitable[object]]]:
    """Return what writes to standard output, also where that takes only a part at a time."""
    try:
        sys.stdout.fileno()
    except OSError:  # it is no file of the system's
        yield lambda data: in_thread(sys.stdout.buffer.write, data)
        return
    async with opened(Path(STDOUT)) as write:
        yield write


def show(report: Report, *, as_json: bool) -> None:
    """Write a report to standard output, and what stands beside it to standard error."""
    end_progress()
    for note in () if as_json else report.notes:
        _say(note, sys.stderr)
    if as_json:
        facts = report.facts | ({} if report.data is None else _as_fact(report.data))
        _show_json(facts)
    elif report.data is not None:
        sys.stdout.flush()
        data = report.data.encode() if isinstance(report.data, str) else report.data
        sys.stdout.buffer.write(data)
    else:
        for line in report.lines:
            _say(line, sys.stdout)
    sys.stdout.flush()


def _say(line: str, file: TextIO) -> None:
    """Print one line; what the terminal's encoding lacks is shown as an escape."""
    octets = one_line(line).encode(file.encoding, "backslashreplace")
    print(octets.decode(file.encoding), file=file)


def _show_json(facts: Mapping[str, Any]) -> None:
    """Write JSON that any program reads: ASCII alone, whatever a key is called."""
    sys.stdout.write(json.dumps(_plain(facts), indent=2) + "\n")


def show_error(error: Exception, *, as_json: bool) -> None:
    """Return what went wrong: a sentence on standard error, or an object on standard output."""
    end_progress()
    said = _sentence(error)
    candidates = error.candidates if isinstance(error, AmbiguousKey) else ()
    if not as_json:
        _say(f"tiny-gnupg: {in_words(said)}", sys.stderr)
        for candidate in candidates:
            _say(f"  {candidate}", sys.stderr)
        return
    facts: dict[str, Any] = {"error": type(error).__name__, "message": in_words(said)}
    if isinstance(error, GnuPGError):
        facts |= {"message": in_words(error.message), "hint": in_words(error.hint)}
    if candidates:
        facts["candidates"] = candidates
    _show_json(facts)
    sys.stdout.flush()


def in_words(text: str) -> str:
    """Return a message of the library's in the words of the command line."""
    for call, command in COMMANDS.items():
        text = re.sub(call, command, text)
    for ours, theirs in WORDS.items():
        text = text.replace(ours, theirs)
    return text


def _sentence(error: Exception) -> str:
    """Say what an error says, and of the system's own no number."""
    if isinstance(error, GnuPGError) or not isinstance(error, OSError) or error.filename is None:
        return str(error)
    said = f"{error.filename}: {error.strerror}"
    replaceable = os.path.isfile(error.filename) and not os.path.islink(error.filename)
    if isinstance(error, FileExistsError) and replaceable:
        said += " (--force replaces it)"
    return said


def _as_fact(data: str | bytes) -> dict[str, str]:
    """Write data into JSON: as text where it is UTF-8, else in base64."""
    try:
        return {"text": data if isinstance(data, str) else data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}  # type: ignore[arg-type]


def _plain(value: object) -> Any:
    """Return a value as JSON can hold it; enums by their names, times as ISO 8601."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, str):
        return _readable(value)
    if isinstance(value, bytes):
        return _as_fact(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {_readable(str(name)): _plain(each) for name, each in value.items()}
    if isinstance(value, frozenset):
        return sorted(_plain(each) for each in value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _readable(text: str) -> str:
    """Return text with what is no UTF-8 written as an escape: JSON has no lone surrogates."""
    try:
        octets = text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        octets = text.encode(errors="backslashreplace")
    return octets.decode(errors="backslashreplace")
