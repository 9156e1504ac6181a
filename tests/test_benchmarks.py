"""The benchmarks run, with the smallest sizes, and say what they measured. No time is judged."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import peers
from benchmarks.__main__ import main
from benchmarks.load import Outcome, Traces
from benchmarks.plot import bars
from benchmarks.reach import Row
from tiny_gnupg._process.find_gpg import find_executable

#: Some of what is measured runs in processes of its own.
pytestmark = pytest.mark.usefixtures("shipped")


@pytest.fixture
def figures(tmp_path: Path) -> Path:
    return tmp_path / "figures.json"


def test_the_table_names_every_row_and_each_missing_peer(
    figures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One Python that lacks the peer, and one that is not there at all.
    pythons = {"tiny_gnupg 0.5.2": (tmp_path / "none",), "gpgme": (Path(sys.executable),)}
    monkeypatch.setattr(peers, "PYTHONS", pythons)
    plot = tmp_path / "plot.svg"
    main(["table", "--quick", "--rounds", "1", "--json", str(figures), "--svg", str(plot)])
    said: dict[str, Any] = json.loads(figures.read_text())
    shown = capsys.readouterr().out
    assert said["machine"]["tiny_gnupg"]
    assert set(said["operations"]) >= {"encrypt", "decrypt", "sign", "verify", "list_keys"}
    rows = {row["what"]: row for row in said["rows"]}
    assert all(what in shown for what in rows)
    assert all(row["measured"] is not None or row["note"] for row in rows.values())
    assert rows["gpg processes of a method"]["measured"] == 1
    assert rows["the network's modules loaded by it"]["measured"] == 0
    assert {*said["peers"], *said["missing"]} == set(pythons)
    for name, why in said["missing"].items():
        assert f"MISSING PEER: {name}: {why}" in shown
    assert "tiny_gnupg" in "".join(ElementTree.parse(plot).getroot().itertext())  # noqa: S314


def test_each_kind_of_stream_is_measured(figures: Path) -> None:
    main(["streams", "--quick", "--json", str(figures)])
    said = json.loads(figures.read_text())["rows"]
    rows = {re.split(r"\W", row["what"])[0]: row["measured"] for row in said}
    assert set(rows) >= {"encrypt_stream", "sign_stream", "verify_stream", "decrypt_stream"}
    assert all(rows.values())


def test_a_load_leaves_nothing(figures: Path) -> None:
    assert main(["load", "--quick", "--in-flight", "20", "--json", str(figures)]) == 0
    load = json.loads(figures.read_text())["load"]
    assert load["operations"] == sum(load["kinds"].values()) == 200
    assert load["errors"] == load["left"] == []


def test_gpgs_are_measured_side_by_side(figures: Path) -> None:
    name = str(find_executable())
    main(["gpgs", "--rounds", "1", "--gpg", name, "--json", str(figures)])
    for times in json.loads(figures.read_text())["gpgs"].values():
        assert set(times) == {name, f"{name}, bare"}


def test_growth_and_profile_say_their_figures(figures: Path) -> None:
    main(["growth", "--quick", "--json", str(figures)])
    points = json.loads(figures.read_text())["growth"]
    assert {point["what"] for point in points} >= {"list_keys, keys", "encrypt, callers"}
    assert next(point for point in points if point["size"] == 10)["ours"] > 0
    main(["profile", "--quick", "--json", str(figures)])
    said = json.loads(figures.read_text())
    assert 0 < said["profile"]["start"] < said["profile"]["whole"]
    assert "aiohttp" not in said["imports"]["loaded"]


@pytest.mark.parametrize(
    ("measured", "at_most", "reached"),
    [(1.0, True, True), (1.2, True, False), (1.2, False, True), (1.0, False, False)],
)
def test_a_row_is_reached_on_the_right_side_of_its_bound(
    measured: float, at_most: bool, reached: bool
) -> None:
    assert Row("row", measured, 1.1, at_most=at_most).reached is reached


def test_what_was_not_measured_is_not_called_reached() -> None:
    assert Row("row", None, 1.1).reached is None


def test_what_a_load_leaves_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Tests that run beside this one have files of their own in /tmp.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = Traces.now()
    with (tmp_path / "file").open("w"):
        left = Traces.now().left_since(before)
    assert left == ["1 descriptors"]
    assert not Outcome(left=left).clean


def test_the_plot_escapes_what_it_names() -> None:
    drawn = bars("<title> & more", {"a<b": {"x": 0.001, "y": 0.5}}, "&")
    assert "<title> & more" in "".join(ElementTree.fromstring(drawn).itertext())  # noqa: S314
