"""The peers, each in the Python that has it, and asked for one call at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROGRAM = Path(__file__).with_name("peer.py")

#: The Pythons that may have a peer, by its name: those that scripts/benchmark makes, the system's
#: own, and this one.
PYTHONS = {
    "python-gnupg": (ROOT / ".venv-peers/bin/python", Path(sys.executable)),
    "gpgme": (Path("/usr/bin/python3"), Path(sys.executable)),
    "gpgme, PyPI's gpg": (ROOT / ".venv-gpg/bin/python",),
    "PySequoia": (ROOT / ".venv-peers/bin/python", Path(sys.executable)),
    "rpgp-py": (ROOT / ".venv-peers/bin/python", Path(sys.executable)),
    "tiny_gnupg 0.5.2": (ROOT / ".venv-0.5.2/bin/python",),
}


@dataclass
class Peer:
    """A peer that runs."""

    name: str
    version: str
    calls: list[str]
    process: subprocess.Popen[str]
    failed: dict[str, str] = field(default_factory=dict)

    def measure(self, call: str) -> float | None:
        """Let it do one call, and give the seconds that took; None where it cannot do it."""
        if call not in self.calls or call in self.failed:
            return None
        answer = _ask(self.process, {"call": call})
        if "failed" in answer:
            self.failed[call] = str(answer["failed"])
            return None
        return float(answer["seconds"])  # type: ignore[arg-type]


@contextmanager
def running_peers(setting: Mapping[str, str]) -> Iterator[tuple[list[Peer], dict[str, str]]]:
    """Start every peer that is there.

    Args:
        setting: the home and the messages (see ``peer.Setting``).

    Yields:
        Those that run; and why each of the others does not.
    """
    with ExitStack() as stack:
        peers, missing = [], {}
        for name, pythons in PYTHONS.items():
            found = _start(name, pythons, setting, stack)
            if isinstance(found, Peer):
                peers.append(found)
            else:
                missing[name] = found
        yield peers, missing


def _start(
    name: str, pythons: tuple[Path, ...], setting: Mapping[str, str], stack: ExitStack
) -> Peer | str:
    why = "not installed: scripts/benchmark does that"
    for python in filter(Path.exists, pythons):
        process = subprocess.Popen(
            [python, "-W", "ignore", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            text=True,
        )
        stack.enter_context(process)
        answer = _ask(process, {"peer": name, "setting": dict(setting)})
        if "version" in answer:
            stack.callback(_end, process)
            return Peer(name, str(answer["version"]), answer["calls"], process)  # type: ignore[arg-type]
        _end(process)
        why = str(answer.get("missing", why))
    return why


def _ask(process: subprocess.Popen[str], request: object) -> dict[str, object]:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        print(json.dumps(request), file=process.stdin, flush=True)
        answer: dict[str, object] = json.loads(
            process.stdout.readline() or '{"failed": "it ended"}'
        )
    except BrokenPipeError:
        return {"failed": "it ended"}
    return answer


def _end(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
