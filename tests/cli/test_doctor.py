"""The doctor finds what is wrong, and says what to do about each."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from tests.tor.network import free_ports
from tests.tor.processes import keyserver_server
from tests.tor.socks import RecordingProxy
from tiny_gnupg._home.layout import AGENT, STATE
from tiny_gnupg._process.find_gpg import FEATURES, Features, Version, find_executable, probe
from tiny_gnupg.cli.doctor import Finding, examine, release_notes
from tiny_gnupg.cli.terminal import Report


async def examined(home: Path, **more: Any) -> Report:
    """Let the doctor look at a home."""
    settings = {"home": str(home), "gpg": None, "keyserver": None, "tor_port": 9050}
    return await examine(argparse.Namespace(**settings | {"offline": True} | more))


def finding(report: Report, subject: str) -> Finding:
    """Return what was found of a subject."""
    (found,) = [one for one in report.facts["findings"] if one.subject == subject]
    assert isinstance(found, Finding)
    return found


async def test_a_good_home_is_well(home: Path) -> None:
    report = await examined(home)

    assert report.code == 0
    assert [one.subject for one in report.facts["findings"]] == ["gpg", "home", "agent"]
    assert all(line.startswith("ok") or " note: " in line for line in report.lines)


HAS_2_3 = {"ed448", "ocb"}
HAS_2_4 = {*HAS_2_3, "adsk", "keyboxd"}


@pytest.mark.parametrize(
    ("version", "names", "expected"),
    [
        ((2, 2, 40), set(), ["end of life", "CVE-2025-68973", "ed448", "OCB", "keyboxd", "Kyber"]),
        ((2, 2, 51), set(), ["end of life", "ed448", "OCB", "keyboxd", "Kyber"]),
        ((2, 3, 8), HAS_2_3, ["end of life", "CVE-2025-68973", "keyboxd", "Kyber"]),
        ((2, 4, 7), HAS_2_4, ["end of life", "CVE-2025-68973", "Kyber"]),
        ((2, 4, 9), HAS_2_4, ["end of life", "Kyber"]),
        ((2, 5, 20), {*HAS_2_4, "kyber"}, []),
    ],
)
def test_what_there_is_to_know_of_a_release_is_told(
    version: tuple[int, int, int], names: set[str], expected: list[str]
) -> None:
    features = Features(Version(*version), frozenset(names))
    told = " ".join(release_notes(features, "1-1 of a distribution"))
    words = ("end of life", "CVE-2025-68973", "ed448", "OCB", "keyboxd", "Kyber")
    assert [one for one in words if one in told] == expected
    assert ("stage-gpg --force" in told) == ("end of life" in expected)


async def test_notes_of_a_release_are_shown_and_are_no_fault(home: Path) -> None:
    report = await examined(home)
    features = await probe(find_executable())
    found = finding(report, "gpg")

    assert found.found.startswith(str(features.version))
    assert found.notes[:1] == release_notes(features, "")[:1]
    lacks = " ".join(note for note in found.notes if note.startswith("it lacks"))
    for name, (what, _) in FEATURES.items():
        assert (what in lacks) == (name not in features.names)
    assert report.code == 0
    shown = [line.split("note: ")[1] for line in report.lines if "note: " in line]
    assert shown == list(found.notes)


async def test_a_gpg_that_is_not_there_is_found(home: Path) -> None:
    report = await examined(home, gpg="/nonexistent/gpg")

    assert report.code == 1
    assert "install" in finding(report, "gpg").advice


async def test_a_program_that_is_no_gpg_is_found(home: Path) -> None:
    assert (await examined(home, gpg="/bin/true")).code == 1


async def test_a_home_that_cannot_be_made_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    report = await examined(tmp_path / "file" / "home")

    assert report.code == 1
    assert finding(report, "home").advice


@pytest.mark.parametrize("name", ["pubring.kbx", "trustdb.gpg", "public-keys.d/pubring.db"])
async def test_a_lock_that_stops_every_writer_is_found(home: Path, name: str) -> None:
    await examined(home)
    (home / STATE / AGENT).touch()  # the home was somebody's
    lock = home / f"{name}.lock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text("         7\nanother.machine.example\n")
    report = await examined(home)

    assert report.code == 1
    found = finding(report, "lock")
    assert found.found == f"{lock} is held by process 7 on another.machine.example"
    assert str(lock) in found.advice
    lock.unlink()
    assert (await examined(home)).code == 0


async def test_a_tor_that_does_not_run_is_found_and_told_from_the_keyserver(home: Path) -> None:
    (port,) = free_ports(1)
    report = await examined(home, offline=False, tor_port=port)

    assert report.code == 1
    assert "start Tor" in finding(report, "Tor").advice
    assert "keyserver" not in [one.subject for one in report.facts["findings"]]


@pytest.mark.parametrize(("maintenance", "code"), [("", 0), ("closed", 1)])
async def test_a_keyserver_that_is_closed_is_told_from_tor(
    home: Path, maintenance: str, code: int
) -> None:
    with keyserver_server() as keyserver:
        keyserver.lever("settings", {"maintenance": maintenance})
        async with RecordingProxy({"keys.example": keyserver.port}) as proxy:
            report = await examined(
                home, offline=False, tor_port=proxy.port, keyserver="http://keys.example"
            )

    assert report.code == code
    assert not finding(report, "Tor").advice
    assert bool(finding(report, "keyserver").advice) == bool(code)
