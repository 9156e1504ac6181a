"""How a text names a key: whole addresses, fingerprints, key ids, parts of user ids."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.homes import Home, temporary_home
from tests.others import VECTORS, needs_vectors
from tiny_gnupg._gpg.key_names import NameForm, Term, classify, matching, search_term
from tiny_gnupg._gpg.listings import parse_colons
from tiny_gnupg._openpgp.placeholders import PLACEHOLDER
from tiny_gnupg.results import Key

FPR = "0123456789ABCDEF0123456789ABCDEF01234567"


@pytest.mark.parametrize(
    ("uid", "kind", "value", "term"),
    [
        (FPR, NameForm.FINGERPRINT, FPR, FPR),
        (FPR.lower(), NameForm.FINGERPRINT, FPR, FPR),
        (f"0x{FPR}", NameForm.FINGERPRINT, FPR, FPR),
        (
            "0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567",
            NameForm.FINGERPRINT,
            "0123456789ABCDEF" * 2 + "01234567",
            "0123456789ABCDEF" * 2 + "01234567",
        ),
        ("ab" * 32, NameForm.FINGERPRINT, "AB" * 32, "AB" * 32),
        ("0123456789abcdef", NameForm.KEY_ID, FPR[:16], f"0x{FPR[:16]}"),
        ("0x0123456789abcdef", NameForm.KEY_ID, FPR[:16], f"0x{FPR[:16]}"),
        ("bob@x.org", NameForm.EMAIL, "bob@x.org", "<bob@x.org>"),
        ("<Bob@x.org>", NameForm.EMAIL, "Bob@x.org", "<Bob@x.org>"),
        ("Bob", NameForm.TEXT, "Bob", "*Bob"),
        ("Bob <bob@x.org>", NameForm.TEXT, "Bob <bob@x.org>", "*Bob <bob@x.org>"),
        ("@x.org", NameForm.TEXT, "@x.org", "*@x.org"),
        ("DEADBEEF", NameForm.TEXT, "DEADBEEF", "*DEADBEEF"),
        ("=Bob", NameForm.TEXT, "=Bob", "*=Bob"),
        ("--version", NameForm.TEXT, "--version", "*--version"),
        ("<bob@x.org> ", NameForm.TEXT, "<bob@x.org> ", "*<bob@x.org>"),
        ("", NameForm.TEXT, "", "*"),
        ("A" * 39, NameForm.TEXT, "A" * 39, "*" + "A" * 39),
        ("\ud800", NameForm.TEXT, "\ud800", "*\ud800"),
    ],
)
def test_what_a_text_is(uid: str, kind: NameForm, value: str, term: str) -> None:
    assert classify(uid) == Term(kind, value)
    assert search_term(uid) == term


def listing(*user_ids: str, fingerprint: str = FPR, subkey: str = "F" * 40) -> Key:
    records = [f"pub:u:::{fingerprint[-16:]}:", f"fpr:::::::::{fingerprint}:"]
    records += [
        {"-": "uid:r::::::::", "?": "uid:-::::::::"}.get(u[0], "uid:u::::1::::") + u.lstrip("-?")
        for u in user_ids
    ]
    records += [f"sub:u:::{subkey[-16:]}:", f"fpr:::::::::{subkey}:"]
    return parse_colons("\n".join(records))[0]


BOB = listing("Bob <bob@x.org>", "Bobby <Bobby@X.org>")
NOTBOB = listing("notbob@x.org", "Not <notbob@x.org>", fingerprint="B" * 40, subkey="C" * 40)
FORMER = listing("Kim <kim@x.org>", "-Kim <bob@x.org>", fingerprint="D" * 40, subkey="E" * 40)
ALL = (BOB, NOTBOB, FORMER)


def test_an_address_is_matched_whole_and_in_any_case() -> None:
    assert matching(ALL, "bob@x.org") == (BOB,)
    assert matching(ALL, "BOB@x.ORG") == (BOB,)
    assert matching(ALL, "<bobby@x.org>") == (BOB,)
    assert matching(ALL, "ob@x.org") == ()


def test_a_revoked_address_never_competes_with_one_in_use() -> None:
    assert matching([FORMER], "bob@x.org") == (FORMER,)
    assert matching([FORMER], "bob@x.org", revoked=False) == ()
    assert matching([FORMER, BOB], "bob@x.org") == (BOB,)


def test_an_address_that_nobody_signed_is_none() -> None:
    forged = listing("?Bob <bob@x.org>", "Mallory <m@x.org>", fingerprint="A" * 40)
    for uid in ("bob@x.org", "Bob <", "Bob"):
        assert matching([forged], uid) == ()
        assert matching([forged, BOB], uid) == (BOB,)
    assert matching([forged], "m@x.org") == (forged,)
    stand_in = listing(f"?{PLACEHOLDER.format(fingerprint=FPR)}")
    assert matching([stand_in], "no user id published") == (stand_in,)


def test_fingerprints_and_key_ids_of_subkeys_find_their_key() -> None:
    assert matching(ALL, FPR) == (BOB,)
    assert matching(ALL, "0x" + "f" * 40) == (BOB,)
    assert matching(ALL, "C" * 16) == (NOTBOB,)
    assert matching(ALL, "9" * 40) == ()
    assert matching(ALL, "9" * 16) == ()


def test_other_text_is_looked_for_inside_user_ids() -> None:
    assert matching(ALL, "bob") == (BOB, NOTBOB)
    assert matching(ALL, "@X.") == ALL
    assert matching(ALL, "Kim <") == (FORMER,)
    assert matching(ALL, "nobody") == ()


def test_case_is_folded_for_ascii_only_as_gpg_does() -> None:
    key = listing("J\u00dcRGEN")
    assert matching([key], "j\u00dcrgen") == (key,)
    assert matching([key], "j\u00fcrgen") == ()


@given(st.text())
def test_no_text_crashes_the_selection(uid: str) -> None:
    kind, value = classify(uid)
    assert classify(value) == Term(kind, value)
    assert set(matching(ALL, uid)) <= set(ALL)
    assert search_term(uid)[:1] not in ("-", "")


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with temporary_home() as home:
        for user_id in ("Bob <bob@x.org>", "notbob@x.org", "Bobby <BOBBY@x.org>", "J\u00dcrgen"):
            home.new_key(user_id)
        yield home


@pytest.mark.parametrize(
    "uid",
    [
        "bob@x.org",
        "<bob@x.org>",
        "bobby@X.org",
        "ob@x.org",
        "bob",
        "@x.org",
        "--version",
        "=Bob",
        "-",
        "j\u00dc",
        "j\u00fc",
        "*",
        "^",
        "x" * 300,
    ],
)
def test_real_gpg_finds_what_we_match(home: Home, uid: str) -> None:
    everything = parse_colons(home.colons("--list-keys"))
    found = home.run("--with-colons", "--list-keys", "--", search_term(uid), check=False)
    wanted = sorted(key.fingerprint for key in matching(everything, uid))
    assert sorted(key.fingerprint for key in parse_colons(found)) == wanted


def test_real_fingerprints_and_key_ids(home: Home) -> None:
    everything = parse_colons(home.colons("--list-keys"))
    for key in everything:
        for uid in (key.fingerprint, key.key_id, key.fingerprint.lower(), f"0x{key.key_id}"):
            found = parse_colons(home.colons("--list-keys", "--", search_term(uid)))
            assert [k.fingerprint for k in found] == [key.fingerprint]
            assert matching(everything, uid) == (key,)


@needs_vectors
def test_two_keys_of_one_64_bit_key_id(home: Home) -> None:
    with temporary_home() as other:
        for number in (1, 2):
            path = VECTORS / "gnupg" / f"dda252ebb8ebe1af-{number}.asc"
            other.run("--import", str(path), check=False)
        keys = parse_colons(other.colons("--list-keys"))
    assert len(keys) == 2
    assert len(matching(keys, "dda252ebb8ebe1af")) == 2
    for key in keys:
        assert matching(keys, key.fingerprint) == (key,)
