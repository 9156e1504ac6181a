"""A name beyond ASCII that an older rule writes as somebody else's domain (IDNA 2003)."""

from __future__ import annotations

import pytest

from tests.attacks.conftest import Hostile
from tiny_gnupg import GnuPGError, NotOnKeyserver

#: What is typed, and what is asked; IDNA 2003 makes strasse.example and another letter of them.
NAMES = {
    "stra\u00dfe.example": "xn--strae-oqa.example",
    "STRA\u1e9eE.example": "xn--strae-oqa.example",
    "\u03c2.example": "xn--3xa.example",
    "xn--strae-oqa.example": "xn--strae-oqa.example",
}


@pytest.mark.parametrize("typed", NAMES)
async def test_a_directory_is_asked_under_the_name_that_was_typed(
    hostile: Hostile, typed: str
) -> None:
    alice = await hostile.alice("x")
    with pytest.raises(GnuPGError):
        await alice.wkd_import(f"bob@{typed}")
    assert {asked.host for asked in hostile.proxy.asked} == {
        NAMES[typed],
        f"openpgpkey.{NAMES[typed]}",
    }


@pytest.mark.parametrize("typed", NAMES)
@pytest.mark.parametrize("scheme", ["http", "https", "hkp", "hkps"])
async def test_a_keyserver_is_asked_under_the_name_that_was_typed(
    hostile: Hostile, typed: str, scheme: str
) -> None:
    alice = await hostile.alice("x")
    alice.set_network_variables(keyserver=f"{scheme}://{typed}")
    for call in (alice.search, alice.network_import, alice.raw_search):
        with pytest.raises(GnuPGError):
            await call("bob@example.org")
    with pytest.raises(GnuPGError):
        await alice.network_export()
    assert {asked.host for asked in hostile.proxy.asked} == {NAMES[typed]}


@pytest.mark.parametrize("domain", ["\u2603.example", "exam\u00adple.org", "a_b.org", "xn--a.org"])
async def test_nobody_is_asked_for_what_the_rule_does_not_allow(
    hostile: Hostile, domain: str
) -> None:
    alice = await hostile.alice("x")
    with pytest.raises(NotOnKeyserver):
        await alice.wkd_import(f"bob@{domain}")
    with pytest.raises(ValueError, match="domain name"):
        alice.set_network_variables(keyserver=f"https://{domain}")
    assert hostile.proxy.asked == []
