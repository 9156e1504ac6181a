"""gpg's listings: every field of a colon listing, and the same dict from both forms."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.homes import DEBIAN_KEYRING, Home, temporary_home
from tiny_gnupg._gpg.listings import Listing, format_list_keys, parse_colons, unescape_c
from tiny_gnupg.results import Capability, Key, OwnerTrust, PublicKeyAlgorithm, Subkey, Validity

EXAMPLE = """\
tru::1:1795244779:1889852765:3:1:5
sec:u:255:22:C9A4926D42606819:1795244765:1889852765::u:::cESC:::+::ed25519:::0:
fpr:::::::::C41C16DE887830B8E2AA90FCC9A4926D42606819:
grp:::::::::6AA29374C8DBB292FF1A5E57FFAAEF6BF8BBFA57:
uid:u::::1795244775::4B6DCF96D71F8EBB51E9B3AB740407E58F80EAA2::J\u00fc (a\\x3a b) <j@x.org>:::
sig:!::22:C9A4926D42606819:1795244775::::J\u00fc <j@x.org>:13x:::::10:
uid:r::::::0F35A44E5F835FD8CEA43B8759B8AC6D18710CA7::old <old@x.org>::::::::::0:
uat:u::::1795244775::1111111111111111111111111111111111111111::1 2345::::::::::0:
ssb:u:255:18:343CA96A5046A5FB:1795244768:1826780768:::::e:::#::cv25519::
fpr:::::::::83B450DE3DD078CCE8510AEF343CA96A5046A5FB:
grp:::::::::C4BD98FCA69D7D38D4113CAF99260FF158EF7C2D:
ssb:e:2048:1:8A0B81B57ECE5C16:1795244770::::::sa:::D2760001240102010006012345670000:::
fpr:::::::::D3EAF0DCFAFFAB09596A3B888A0B81B57ECE5C16:
fp2:::::::::00:
"""
BEFORE = datetime(2026, 12, 1, tzinfo=UTC)


def one(text: str, **arguments: datetime) -> Key:
    (key,) = parse_colons(text, **arguments)
    return key


def test_every_field_of_a_secret_key_listing() -> None:
    key = one(EXAMPLE, now=BEFORE)
    assert key.fingerprint == "C41C16DE887830B8E2AA90FCC9A4926D42606819"
    assert key.key_id == "C9A4926D42606819"
    assert (key.algorithm, key.curve, key.bits) == (PublicKeyAlgorithm.EDDSA, "ed25519", 255)
    assert key.created == datetime(2026, 11, 21, 7, 6, 5, tzinfo=UTC)
    assert key.expires == datetime(2029, 11, 20, 7, 6, 5, tzinfo=UTC)
    assert (key.validity, key.ownertrust) == (Validity.ULTIMATE, OwnerTrust.ULTIMATE)
    assert key.capabilities == {Capability.CERTIFY}
    assert (key.revoked, key.expired, key.disabled) == (False, False, False)
    assert (key.secret, key.card) == (True, "")
    assert key.keygrip == "6AA29374C8DBB292FF1A5E57FFAAEF6BF8BBFA57"
    assert key.email == "j@x.org"


def test_user_ids_and_attributes() -> None:
    first, revoked, photo = one(EXAMPLE, now=BEFORE).user_ids
    assert first.text == "J\u00fc (a: b) <j@x.org>"
    assert (first.name, first.comment, first.email) == ("J\u00fc", "a: b", "j@x.org")
    assert first.hash == "4B6DCF96D71F8EBB51E9B3AB740407E58F80EAA2"
    assert first.created == datetime(2026, 11, 21, 7, 6, 15, tzinfo=UTC)
    assert (first.validity, first.revoked) == (Validity.ULTIMATE, False)
    assert (revoked.validity, revoked.revoked, revoked.created) == (Validity.REVOKED, True, None)
    assert (photo.attribute, photo.text, photo.email, photo.name) == (True, "1 2345", "", "")


def test_subkeys_keep_their_own_fingerprint_keygrip_card_and_stub() -> None:
    stub, card = one(EXAMPLE, now=BEFORE).subkeys
    assert stub.fingerprint == "83B450DE3DD078CCE8510AEF343CA96A5046A5FB"
    assert stub.keygrip == "C4BD98FCA69D7D38D4113CAF99260FF158EF7C2D"
    assert (stub.secret, stub.card) == (False, "")
    assert stub.capabilities == {Capability.ENCRYPT}
    assert (card.secret, card.card) == (True, "D2760001240102010006012345670000")
    assert (card.algorithm, card.bits, card.curve) == (PublicKeyAlgorithm.RSA, 2048, "")
    assert card.capabilities == {Capability.SIGN, Capability.AUTHENTICATE}
    assert (card.validity, card.expired, card.expires) == (Validity.EXPIRED, True, None)
    assert card.keygrip == ""


def test_a_key_expires_by_the_clock_even_where_gpg_has_not_said_so() -> None:
    assert one(EXAMPLE, now=datetime(2029, 11, 20, 7, 6, 5, tzinfo=UTC)).expired
    assert one(EXAMPLE, now=datetime(2029, 11, 20, 7, 6, 4, tzinfo=UTC)).expired is False
    assert one("pub:-:::::1:\n").expired


@pytest.mark.parametrize(
    ("letter", "validity"),
    [
        ("o", Validity.UNKNOWN),
        ("i", Validity.INVALID),
        ("d", Validity.DISABLED),
        ("r", Validity.REVOKED),
        ("e", Validity.EXPIRED),
        ("-", Validity.UNKNOWN),
        ("", Validity.UNKNOWN),
        ("q", Validity.UNDEFINED),
        ("n", Validity.NEVER),
        ("m", Validity.MARGINAL),
        ("f", Validity.FULL),
        ("u", Validity.ULTIMATE),
        ("w", Validity.WELL_KNOWN),
        ("s", Validity.SPECIAL),
        ("u2", Validity.ULTIMATE),
        ("Z", Validity.UNKNOWN),
    ],
)
def test_validity_letters(letter: str, validity: Validity) -> None:
    key = one(f"pub:{letter}:::::::\n")
    assert key.validity is validity
    assert key.revoked is (letter == "r")
    assert key.expired is (letter == "e")
    assert key.disabled is (letter == "d")


def test_disabled_flag_of_field_12() -> None:
    key = one("pub:u::::::::::scESCD:\n")
    assert key.disabled
    assert key.capabilities == {Capability.SIGN, Capability.CERTIFY}
    assert not key.usable_for("s")


def test_capability_letters_that_gpg_may_add_are_unknown_not_an_error() -> None:
    assert one("pub:u::::::::::argtz?:\n").capabilities == {
        Capability.AUTHENTICATE,
        Capability.RESTRICTED_ENCRYPT,
        Capability.GROUP,
        Capability.TIMESTAMP,
        Capability.UNKNOWN,
    }


@pytest.mark.parametrize("letter", ["q", "n", "m", "f", "u", "-", "", "o"])
def test_ownertrust_letters(letter: str) -> None:
    words = {"q": "undefined", "n": "never", "m": "marginal", "f": "full", "u": "ultimate"}
    assert one(f"pub:u:::::::{letter}:\n").ownertrust == words.get(letter, "unknown")


@pytest.mark.parametrize(
    ("record", "field", "secret", "card"),
    [
        ("pub", "", False, ""),
        ("pub", "+", True, ""),
        ("pub", "#", False, ""),
        ("pub", "D276", True, "D276"),
        ("sec", "", True, ""),
        ("sec", "+", True, ""),
        ("sec", "#", False, ""),
        ("sec", "D276", True, "D276"),
        ("crs", "", True, ""),
        ("crt", "", False, ""),
    ],
)
def test_field_15_tells_stub_card_and_secret(
    record: str, field: str, secret: bool, card: str
) -> None:
    key = one(f"{record}:u:::::::::::::{field}:\n")
    assert (key.secret, key.card) == (secret, card)


def test_dates_in_both_forms_and_nonsense() -> None:
    assert one("pub:-::::19660205T091500:\n").created == datetime(1966, 2, 5, 9, 15, tzinfo=UTC)
    for nonsense in ["", "x", "1T", "99999999999999999999", "1" * 5000, "-99999999999999"]:
        key = one(f"pub:-:{nonsense}:{nonsense}::{nonsense}:{nonsense}:\n")
        assert (key.created, key.expires, key.bits) == (None, None, 0)


def test_fingerprints_of_64_digits() -> None:
    assert one(f"pub:-:\nfpr:::::::::{'ab' * 32}:\n").fingerprint == "AB" * 32


def test_records_before_the_first_key_belong_to_none() -> None:
    text = f"fpr:::::::::{'A' * 40}:\nuid:u::::::::x:\nsub:u:\nnew:1:2\npub:u:\n"
    key = one(text)
    assert (key.fingerprint, key.user_ids, key.subkeys) == ("", (), ())
    assert format_list_keys(text) == {}


@pytest.mark.parametrize("end", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_no_other_line_break_in_a_user_id_begins_a_record(end: str) -> None:
    fpr = "A" * 40
    text = f"pub:u:\nfpr:::::::::{fpr}:\nuid:u::::::::x{end}pub\\x3au:\n"
    assert len(parse_colons(text)) == 1
    assert len(one(text).user_ids) == 1
    human = f"pub   rsa1024 2020-01-01 [SC]\n      {fpr}\nuid  [ultimate] x{end}pub   rsa1\n"
    assert list(format_list_keys(human)) == [fpr]


def test_bytes_that_are_not_utf8_are_kept() -> None:
    (key,) = parse_colons(b"pub:u:\nuid:u::::1::::J\xfc <j@x.org>:\n")
    assert key.user_ids[0].text.encode(errors="surrogateescape") == b"J\xfc <j@x.org>"
    assert key.email == "j@x.org"


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [
        (r"a\x3ab", "a:b"),
        (r"\x5cn", r"\n"),
        (r"a\nb\r\t\v\f\b\0", "a\nb\r\t\v\f\b\0"),
        (r"\xc3\xbc", "\u00fc"),
        (r"\xc3", "\udcc3"),
        (r"\x1b[31m", "\x1b[31m"),
        (r"\xzz \q", r"\xzz \q"),
        ("\ud800\\x41", "\ud800A"),
    ],
)
def test_c_escapes(escaped: str, plain: str) -> None:
    assert unescape_c(escaped) == plain


@given(st.binary())
def test_any_bytes_survive_c_escaping(raw: bytes) -> None:
    escaped = "".join(f"\\x{byte:02x}" for byte in raw)
    assert unescape_c(escaped).encode(errors="surrogateescape") == raw


HUMAN = f"""\
/home/pub:u/pubring.kbx
-----------------------
pub   ed25519/0xAAAAAAAAAAAAAAAA 2020-01-01 [C] [expires: 2029-11-20]
      Key fingerprint = AAAA AAAA AAAA AAAA AAAA  AAAA AAAA AAAA AAAA AAAA
      Keygrip = {"9" * 40}
uid                   [ unknown] sec   {"E" * 40}
uid                   [ultimate] Name <a@x.org>
uid                   [ultimate] Name <second@x.org>
sub   cv25519/0x343CA96A5046A5FB 2026-11-21 [E] [expires: 2027-11-21]
      Key fingerprint = 83B4 50DE 3DD0 78CC E851  0AEF 343C A96A 5046 A5FB

pub   rsa4096 2020-01-01 [SC] [revoked: 2021-01-01]
      {"B" * 40}
uid           [ revoked] Name <b@x.org>

pub   rsa4096 2020-01-01 [SC]
      {"C" * 40}
uid           [ revoked] Gone <gone@x.org>
uid           [  full  ] Name <c@x.org>
uid           [ unknown] [jpeg image of size 1234]

sec#  rsa4096 2020-01-01 [SC]
      {"D" * 40}
uid                      [brackets] <d@x.org>

sec>  rsa4096 2020-01-01 [SC]
      {"0" * 64}
"""


def test_human_listing() -> None:
    assert format_list_keys(HUMAN) == {
        "A" * 40: "a@x.org",
        "B" * 40: "b@x.org",
        "C" * 40: "c@x.org",
        "D" * 40: "d@x.org",
        "0" * 64: "",
    }
    assert format_list_keys(HUMAN, secret=True) == {"D" * 40: "d@x.org", "0" * 64: ""}


def test_an_address_without_a_date_is_nobodys() -> None:
    # GnuPG 2.4.7 lists what somebody added to another's key in this way.
    text = "pub:-:\nfpr:::::::::{0}:\nuid:{1}::::::::Victim <v@x.org>:\nuid:{1}::::1::::m@x.org:\n"
    for validity in "-e":
        listing = text.format("A" * 40, validity)
        key = one(listing)
        assert [user_id.signed for user_id in key.user_ids] == [False, True]
        assert key.email == "m@x.org"
        assert format_list_keys(listing) == {"A" * 40: "m@x.org"}


def test_a_secret_listing_leaves_public_keys_out() -> None:
    fpr = "C41C16DE887830B8E2AA90FCC9A4926D42606819"
    public = f"pub:u:\nfpr:::::::::{'B' * 40}:\n"
    marked = f"pub:u:::::::::::::+:\nfpr:::::::::{'D' * 40}:\n"
    assert list(format_list_keys(EXAMPLE + public + marked)) == [fpr, "B" * 40, "D" * 40]
    assert list(format_list_keys(EXAMPLE + public + marked, True)) == [fpr, "D" * 40]


def test_empty_listing() -> None:
    assert parse_colons("") == ()
    assert format_list_keys("") == {}


KINDS = ("pub", "sec", "sub", "ssb", "uid", "uat", "fpr", "grp")
VALUES = ("", "u", "r", "e", "+", "#", "1", "19660205T091500", "scESCD", "A" * 40)
TEXTS = ("Name <a@b>", "\\x3a", "\udcff", "(")
RECORDS = st.lists(
    st.lists(st.sampled_from([*KINDS, *VALUES, *TEXTS]) | st.text(max_size=5), max_size=20).map(
        ":".join
    ),
    max_size=12,
).map("\n".join)


@given(RECORDS, st.lists(st.integers(1, 40)))
def test_a_listing_gives_the_same_in_whatever_pieces_it_comes(text: str, cuts: list[int]) -> None:
    pieces, whole = Listing(now=BEFORE), text.encode(errors="surrogateescape")
    pieces.feed(b"pub:u:\nfpr:::::::::")  # of a gpg that was stopped, and run once more
    pieces.begin()
    for cut in [*cuts, len(whole)]:
        pieces.feed(whole[:cut])
        whole = whole[cut:]
    assert pieces.end() == parse_colons(text, now=BEFORE)


@given(st.binary() | st.text() | RECORDS)
def test_no_text_crashes_the_parsers(text: str | bytes) -> None:
    for key in parse_colons(text):
        assert key.email in {"", *(user_id.email for user_id in key.user_ids)}
    if isinstance(text, str):
        format_list_keys(text)
        format_list_keys(text, secret=True)


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with temporary_home() as home:
        yield home


@pytest.fixture(scope="module")
def odd_key(home: Home) -> str:
    """A key of many user ids that could be taken for something else."""
    fingerprint = home.new_key("J\u00fcrgen (a: b) <j@x.org>")
    home.run("--quick-add-key", fingerprint, "cv25519", "encr", "1y")
    for user_id in [
        "pub   rsa4096 2020-01-01 [SC]",
        "pub:u:4096",
        f"      {'E' * 40}",
        "fpr:::::::::EE:",
        "new\nline\tand\x1b[31m <n@x.org>",
        "[ revoked] <brackets@x.org>",
        "back\\slash \\x3a <s@x.org>",
        "gone <gone@x.org>",
        "first@x.org",
    ]:
        home.run("--quick-add-uid", fingerprint, user_id)
    home.run("--quick-revoke-uid", fingerprint, "gone <gone@x.org>")
    home.run("--quick-set-primary-uid", fingerprint, "first@x.org")
    return fingerprint


def test_real_odd_user_ids_come_back_whole(home: Home, odd_key: str) -> None:
    (key,) = parse_colons(home.colons("--list-keys", odd_key))
    assert key.fingerprint == odd_key
    texts = [user_id.text for user_id in key.user_ids]
    assert texts[0] == "first@x.org"
    assert set(texts[1:]) == {
        "J\u00fcrgen (a: b) <j@x.org>",
        "pub   rsa4096 2020-01-01 [SC]",
        "pub:u:4096",
        f"      {'E' * 40}".strip(),
        "fpr:::::::::EE:",
        "new\nline\tand\x1b[31m <n@x.org>",
        "[ revoked] <brackets@x.org>",
        "back\\slash \\x3a <s@x.org>",
        "gone <gone@x.org>",
    }
    assert [u.email for u in key.user_ids if u.revoked] == ["gone@x.org"]


def test_real_secret_listing_has_secret_parts_and_keygrips(home: Home, odd_key: str) -> None:
    for command in (["--list-secret-keys"], ["--list-keys", "--with-secret"]):
        (key,) = parse_colons(home.colons(*command, "--with-keygrip", "--", odd_key))
        assert key.secret
        assert len(key.keygrip) == 40
        assert [subkey.secret for subkey in key.subkeys] == [True]
        assert key.subkeys[0].keygrip != key.keygrip
        assert key.subkeys[0].curve == "cv25519"
        assert key.subkeys[0].expires is not None
        assert key.created is not None
        assert abs(datetime.now(UTC) - key.created) < timedelta(hours=1)
    (key,) = parse_colons(home.colons("--list-keys", "--", odd_key))
    assert not key.secret


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--keyid-format", "0xlong", "--with-fingerprint", "--with-keygrip"),
        ("--keyid-format", "none", "--with-subkey-fingerprint"),
        ("--fingerprint", "--fingerprint"),
        ("--list-options", "show-unusable-uids"),
        ("--list-options", "no-show-uid-validity"),
    ],
)
def test_both_listings_of_real_keys_give_one_dict(
    home: Home, odd_key: str, options: tuple[str, ...]
) -> None:
    public = home.run(*options, "--list-keys").decode()
    secret = home.run(*options, "--list-secret-keys").decode()
    assert format_list_keys(public) == format_list_keys(home.colons("--list-keys"))
    assert format_list_keys(secret, True) == format_list_keys(home.colons("-K"), True)
    assert format_list_keys(public)[odd_key] == "first@x.org"


def test_a_revoked_key_keeps_its_address_in_both_listings(home: Home) -> None:
    fingerprint = home.new_key("Re Voked <r@x.org>")
    home.run("--quick-add-uid", fingerprint, "Gone <g@x.org>")
    home.run("--quick-revoke-uid", fingerprint, "Gone <g@x.org>")
    certificate = (home.path / "openpgp-revocs.d" / f"{fingerprint}.rev").read_text()
    home.run("--import", stdin=certificate.replace(":-----BEGIN", "-----BEGIN").encode())
    colons = home.colons("--list-keys", "--", fingerprint)
    (key,) = parse_colons(colons)
    assert key.revoked
    assert {u.email: u.revoked for u in key.user_ids} == {"r@x.org": False, "g@x.org": True}
    human = home.run("--list-keys", "--", fingerprint).decode()
    assert format_list_keys(colons) == format_list_keys(human) == {fingerprint: "r@x.org"}


def test_a_key_block_that_is_only_shown(home: Home, odd_key: str) -> None:
    shown = ["--with-colons", "--import-options", "show-only", "--import"]
    (public,) = parse_colons(home.run(*shown, stdin=home.run("--export", odd_key)))
    assert (public.fingerprint, public.secret) == (odd_key, False)
    (secret,) = parse_colons(home.run(*shown, stdin=home.run("--export-secret-keys", odd_key)))
    assert (secret.fingerprint, secret.secret) == (odd_key, True)


@pytest.mark.skipif(not DEBIAN_KEYRING.exists(), reason="needs Debian's package debian-keyring")
def test_debian_keyring_agrees_with_an_independent_reading(home: Home) -> None:
    ring = ["--no-default-keyring", "--keyring", str(DEBIAN_KEYRING)]
    raw = home.run(*ring, "--with-colons", "--with-keygrip", "--list-keys")
    keys = parse_colons(raw)
    rows = [line.split(b":") for line in raw.splitlines()]

    def column(kinds: set[bytes], place: int) -> list[str]:
        return [row[place].decode() for row in rows if row[0] in kinds]

    def unquoted(text: str) -> str:
        return text.encode("unicode_escape").replace(b"\\\\", b"\\").decode("unicode_escape")

    def seconds(moment: datetime | None) -> str:
        return str(int(moment.timestamp())) if moment else ""

    parts: list[Key | Subkey] = []
    for key in keys:
        parts += [key, *key.subkeys]
    both = {b"pub", b"sub"}
    assert len(keys) == len(column({b"pub"}, 0)) > 500
    assert [part.fingerprint for part in parts] == column({b"fpr"}, 9)
    assert [part.keygrip for part in parts] == column({b"grp"}, 9)
    assert [part.key_id for part in parts] == column(both, 4)
    assert [str(int(part.algorithm)) for part in parts] == column(both, 3)
    assert [str(part.bits) for part in parts] == column(both, 2)
    assert [part.curve for part in parts] == column(both, 16)
    assert [seconds(part.created) for part in parts] == column(both, 5)
    assert [seconds(part.expires) for part in parts] == column(both, 6)
    assert [part.revoked for part in parts] == [v == "r" for v in column(both, 1)]
    # gpg gives "r" to a key that is revoked and past its date; we say both.
    dates = zip(column(both, 1), column(both, 6), strict=True)
    now = datetime.now(UTC).timestamp()
    assert [part.expired for part in parts] == [
        v == "e" or (bool(date) and int(date) <= now) for v, date in dates
    ]
    assert ["".join(sorted(part.capabilities)) for part in parts] == [
        "".join(sorted(letter for letter in letters if letter.islower()))
        for letters in column(both, 11)
    ]
    assert [key.disabled for key in keys] == ["D" in letters for letters in column({b"pub"}, 11)]
    user_ids = [user_id for key in keys for user_id in key.user_ids]
    assert [user_id.text for user_id in user_ids] == [
        unquoted(text) for text in column({b"uid", b"uat"}, 9)
    ]
    assert [user_id.hash for user_id in user_ids] == column({b"uid", b"uat"}, 7)
    assert [seconds(user_id.created) for user_id in user_ids] == column({b"uid", b"uat"}, 5)
    assert [u.revoked for u in user_ids] == [v == "r" for v in column({b"uid", b"uat"}, 1)]
    assert sum(not u.text.isascii() for u in user_ids) > 100


@pytest.mark.skipif(not DEBIAN_KEYRING.exists(), reason="needs Debian's package debian-keyring")
def test_debian_keyring_gives_one_dict_from_both_listings(home: Home) -> None:
    ring = ["--no-default-keyring", "--keyring", str(DEBIAN_KEYRING)]
    colons = home.run(*ring, "--with-colons", "--list-keys").decode(errors="surrogateescape")
    human = home.run(*ring, "--list-keys").decode(errors="surrogateescape")
    assert format_list_keys(human) == format_list_keys(colons)
    assert len(format_list_keys(human)) > 500
