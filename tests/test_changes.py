"""CHANGES.rst keeps its form, and tells of the version that this is."""

from __future__ import annotations

import re
from pathlib import Path

from tiny_gnupg import GnuPG, __version__

TEXT = (Path(__file__).parents[1] / "CHANGES.rst").read_text()
VERSION = re.compile(r"^(\d\S*)\n-+$", re.MULTILINE)


def test_the_newest_version_is_this_one() -> None:
    assert VERSION.findall(TEXT)[0] == __version__


def test_security_comes_first_in_each_version() -> None:
    for section in VERSION.split(TEXT)[2::2]:
        headings = re.findall(r"^(\w+)\n~+$", section, re.MULTILINE)
        assert "Security" not in headings[1:]


def test_each_method_that_is_named_is_there() -> None:
    others = {"run", "with_passphrase", "max_output", "timeout", "repr", "datetime", "timedelta"}
    named = set(re.findall(r"``([a-z_]+)``", TEXT)) - others

    assert len(named) > 20
    assert [name for name in named if not hasattr(GnuPG, name)] == []
