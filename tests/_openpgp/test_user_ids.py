"""What a user id says: its address as gpg finds it, and the rest by custom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_gnupg._openpgp.user_ids import address, same_address, split_user_id


@pytest.mark.parametrize(
    ("text", "name", "comment", "email"),
    [
        ("Bob <b@x.org>", "Bob", "", "b@x.org"),
        ("Bob (work) <b@x.org>", "Bob", "work", "b@x.org"),
        ("Bob (a) (b (c)) <b@x.org>", "Bob (a)", "b (c)", "b@x.org"),
        ("Bob <b@x.org> (work)", "Bob", "work", "b@x.org"),
        ("(work) <b@x.org>", "", "work", "b@x.org"),
        ("<b@x.org>", "", "", "b@x.org"),
        ("b@x.org", "", "", "b@x.org"),
        ("B@X.org", "", "", "B@X.org"),
        ("Bob", "Bob", "", ""),
        ("Bob (work)", "Bob", "work", ""),
        ("Bob work)", "Bob work)", "", ""),
        ("", "", "", ""),
        ("Bob <b at x.org>", "Bob <b at x.org>", "", ""),
        ("Bob b@x.org", "Bob b@x.org", "", ""),
        ("Bob <a@x.org> <b@x.org>", "Bob <b@x.org>", "", "a@x.org"),
    ],
)
def test_user_ids_are_split_by_custom(text: str, name: str, comment: str, email: str) -> None:
    assert split_user_id(text) == (name, comment, email)


@pytest.mark.parametrize(
    "text",
    [
        "Bob <b@x.org",
        "Bob <@x.org>",
        "Bob <b@>",
        "Bob <b@x@y.org>",
        "Bob <b@x.org.>",
        "Bob <b@x..org>",
        "Bob < b@x.org>",
        "Bob <b\n@x.org>",
        "Bob <b\x7f@x.org>",
        "Bob <<b@x.org>>",
        "b b@x.org",
        "b@x.org.",
        "b(@x.org",
        "b@x/org",
        "",
    ],
)
def test_what_is_no_address(text: str) -> None:
    assert address(text) == ""


@pytest.mark.parametrize(
    "text", ["a+b=c@x.org", "j\u00fc@\u00fc.de", "a_b.c-d@x-y.org", "\udcfc@x"]
)
def test_bare_addresses(text: str) -> None:
    assert address(text) == text
    assert address(f"Name <{text}>") == text


@given(st.text(max_size=40), st.text(max_size=40))
def test_splitting_a_user_id_loses_no_address(before: str, after: str) -> None:
    text = f"{before}<a@b>{after}"
    name, comment, email = split_user_id(text)
    assert email == ("a@b" if "<" not in before else address(text))
    assert name.strip() == name
    left = "".join((text.replace(f"<{email}>", "", 1) if email else text).split())
    for part in (name, comment):
        assert "".join(part.split()) in left, "nothing is made up"


def test_addresses_are_compared_as_gpg_does() -> None:
    assert same_address("Bob@X.org", "bob@x.ORG")
    assert not same_address("böb@x.org", "BÖB@x.org")
    assert not same_address("bob@x.org", "bob@x.org.evil")
