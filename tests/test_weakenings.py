"""The weakenings of the attacks' tests still fit the code; that each is noticed takes minutes."""

from __future__ import annotations

import re

import pytest

from tests.attacks.weaken import ROOT, WEAKENINGS, Weakening, place


@pytest.mark.parametrize("one", WEAKENINGS, ids=[one.name for one in WEAKENINGS])
def test_a_weakening_finds_what_it_replaces(one: Weakening) -> None:
    assert (ROOT / one.test).exists()
    for old, new in one.edits:
        assert place(ROOT, old)
        assert new != old


def test_each_class_of_attack_that_is_told_of_has_a_test_and_a_weakening() -> None:
    text = (ROOT / "docs" / "security.rst").read_text()
    told = re.findall(r"^(\d+) .*``([a-z_]+)``$", text, re.MULTILINE)
    assert len(told) >= 25
    assert {(one.row, one.test) for one in WEAKENINGS} == {
        (int(number), f"tests/attacks/test_{name}.py") for number, name in told
    }
    tests = {path.name for path in (ROOT / "tests" / "attacks").glob("test_*.py")}
    assert tests == {f"test_{name}.py" for _, name in told}
