"""The weakenings of the attacks' tests still fit the code; that each is noticed takes minutes."""

from __future__ import annotations

import pytest

from tests.attacks.weaken import ROOT, WEAKENINGS, Weakening


@pytest.mark.parametrize("one", WEAKENINGS, ids=[one.name for one in WEAKENINGS])
def test_a_weakening_finds_what_it_replaces(one: Weakening) -> None:
    assert (ROOT / one.test).exists()
    for name, old, new in one.edits:
        assert old in (ROOT / name).read_text(), name
        assert new != old
