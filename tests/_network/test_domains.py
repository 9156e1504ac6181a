"""Names of hosts as people type them, and as the network is asked for them."""

from __future__ import annotations

import idna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_gnupg._network.domains import ascii_domain


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("Example.ORG", "example.org"),
        ("straße.example", "xn--strae-oqa.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        # RFC 5895, section 2: case, width, composition and the ideographic full stop.
        ("\uff45xampl\uff25\u3002\uff43om", "example.com"),
        ("example\uff0ecom", "example.com"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("faß.de", "xn--fa-hia.de"),
        ("localhost", "localhost"),
        ("x.onion", "x.onion"),
        ("example.org.", "example.org."),
        ("xn--strae-oqa.example", "xn--strae-oqa.example"),
    ],
)
def test_a_name_is_mapped_as_the_rfc_says(typed: str, asked: str) -> None:
    assert ascii_domain(typed) == asked
    assert ascii_domain(asked) == asked


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "a..b", ".a", "-a.org", "a-.org", "ab--cd.org", "x" * 64, "x." * 127 + "x"),
        *("☃.net", "a_b.org", "exam\xadple.org", "a b.org", "a\n", "a\tb", "²b.org", "a@b", "a/b"),
        *("xn--a.org", "xn--\xad.org", "٣a.org", "\u0308a.org", "a:b", "[::1]", "a%b", "℡.org"),
    ],
)
def test_what_idna_2008_does_not_allow_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no domain name"):
        ascii_domain(name)


@given(st.text(max_size=30) | st.text("abAB09-.xnß", max_size=30))
def test_what_passes_is_what_idna_says_too(name: str) -> None:
    try:
        asked = ascii_domain(name)
    except ValueError:
        return
    assert asked.isascii()
    assert idna.encode(asked).decode() == asked
