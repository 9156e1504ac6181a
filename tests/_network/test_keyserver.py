"""What keyservers are asked and what their answers must be: pure parts, and over a plain proxy.

The same servers are asked through real Tor in tests/tor; here the proxy is one of ours, so that
these tests run wherever gpg does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from tests.homes import DEBIAN_KEYRING, temporary_home
from tests.keys import NOW, user_id
from tests.keys import key as a_key
from tests.tor import openpgp
from tests.tor.liar import POSTS
from tests.tor.material import MISMATCHES, MadeKey, lies, make_key
from tests.tor.processes import (
    KeyserverProcess,
    find,
    keyserver_server,
    server,
    sks,
)
from tests.tor.socks import RecordingProxy, listening
from tiny_gnupg._gpg.key_names import NameForm, Term
from tiny_gnupg._network import keyserver
from tiny_gnupg._network.found_keys import MOST_PACKETS, FoundKey, found_key, found_keys, query
from tiny_gnupg._network.keyserver import DEFAULT_KEYSERVER, Interface, Keyserver
from tiny_gnupg._network.tor import Network, NetworkSettings
from tiny_gnupg._openpgp.zbase32 import z_base_32
from tiny_gnupg.errors import (
    GnuPGError,
    KeyserverError,
    KeyserverMismatch,
    NotOnKeyserver,
    TorUnavailable,
)
from tiny_gnupg.results import Key

ONION = DEFAULT_KEYSERVER.removeprefix("http://")
FINGERPRINT = "0123456789ABCDEF0123456789ABCDEF01234567"


@pytest.fixture(scope="module")
def made() -> tuple[MadeKey, MadeKey]:
    with temporary_home() as home:
        return make_key(home, "alice@example.org"), make_key(home, "mallory@example.org")


@pytest.fixture(scope="module")
def process() -> Iterator[KeyserverProcess]:
    with keyserver_server() as running:
        yield running


@pytest.fixture
def vks(process: KeyserverProcess) -> KeyserverProcess:
    process.lever("forget", {})
    return process


@contextlib.asynccontextmanager
async def network_to(port: int, **settings: Any) -> AsyncIterator[Network]:
    """Return a Network for which the default keyserver's name leads to a loopback port."""
    names = {ONION: port, "example.org": port, "openpgpkey.example.org": port}
    chosen: dict[str, Any] = {"backoff": 0.01, **settings}
    async with (
        RecordingProxy(names) as proxy,
        Network(NetworkSettings(tor_port=proxy.port, **chosen)) as network,
    ):
        yield network


# --- URLs ----------------------------------------------------------------------------------------


def test_the_urls_of_the_default_server_are_those_of_0_5_2() -> None:
    ours = Keyserver.of()
    base = f"http://{ONION}:80/"
    assert ours.url == base
    assert ours.upload_url == base + "vks/v1/upload"
    assert ours.verify_url == base + "vks/v1/request-verify"
    assert ours.search_url == base + "search?q="
    assert dataclasses.replace(ours, port=8080).upload_url == f"http://{ONION}:8080/vks/v1/upload"
    assert ours.key_url(FINGERPRINT) == f"{base}vks/v1/by-fingerprint/{FINGERPRINT}"


@pytest.mark.parametrize(
    ("url", "port", "base", "interface"),
    [
        ("http://a.onion", None, "http://a.onion:80/", Interface.VKS),
        ("https://keys.example.org/", None, "https://keys.example.org:443/", Interface.VKS),
        ("http://a.onion:81", None, "http://a.onion:81/", Interface.VKS),
        ("http://a.onion:81", 82, "http://a.onion:82/", Interface.VKS),
        ("http://a.onion/under/", None, "http://a.onion:80/under/", Interface.VKS),
        ("hkp://a.onion", None, "http://a.onion:11371/", Interface.HKP),
        ("hkps://keys.example.org", None, "https://keys.example.org:443/", Interface.HKP),
        ("http://[::1]:8", None, "http://[::1]:8/", Interface.VKS),
        ("HTTP://A.onion", None, "http://a.onion:80/", Interface.VKS),
    ],
)
def test_a_keyserver_is_read_from_its_url(
    url: str, port: int | None, base: str, interface: Interface
) -> None:
    read = Keyserver.of(url, port)
    assert (read.url, read.interface) == (base, interface)


@pytest.mark.parametrize(
    "url",
    ["", "a.onion", "ftp://a.onion", "http://", "http://u:p@a.onion", "http://a/?q", "http://a/#f"],
)
def test_what_is_no_keyservers_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="keyserver"):
        Keyserver.of(url)


@pytest.mark.parametrize("scheme", ["http", "https", "hkp", "hkps"])
def test_a_keyservers_host_is_that_of_idna_2008_or_refused(scheme: str) -> None:
    assert Keyserver.of(f"{scheme}://straße.example").host == "xn--strae-oqa.example"
    for host in ("☃.example", "a_b.example", "a..b", "x" * 64 + ".org", "a b.org", "[::x]"):
        with pytest.raises(ValueError, match=r"domain name|IPv6"):
            Keyserver.of(f"{scheme}://{host}")
    for port in (0, -1, 65536):
        with pytest.raises(ValueError, match="port"):
            Keyserver.of(f"{scheme}://a.onion", port)
    with pytest.raises(ValueError, match="port"):
        Keyserver.of(f"{scheme}://a.onion:0")


def test_hkp_is_asked_in_its_own_way() -> None:
    hkp = Keyserver.of("hkp://a.onion")
    assert hkp.upload_url == "http://a.onion:11371/pks/add"
    assert URL(hkp.key_url(FINGERPRINT)).query == {
        "op": "get",
        "options": "mr",
        "search": f"0x{FINGERPRINT}",
    }
    by_email = URL(hkp.look_up_url(query("a+b@x.org"))).query
    assert by_email == {"op": "get", "options": "mr", "exact": "on", "search": "a+b@x.org"}


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        (FINGERPRINT, NameForm.FINGERPRINT, FINGERPRINT),
        (f"0x{FINGERPRINT.lower()}", NameForm.FINGERPRINT, FINGERPRINT),
        ("0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567", NameForm.FINGERPRINT, FINGERPRINT),
        (FINGERPRINT[-16:], NameForm.KEY_ID, FINGERPRINT[-16:]),
        ("bob@x.org", NameForm.EMAIL, "bob@x.org"),
        ("<bob@x.org>", NameForm.EMAIL, "bob@x.org"),
    ],
)
def test_what_can_be_looked_up(text: str, kind: NameForm, value: str) -> None:
    assert query(text) == Term(kind, value)


@pytest.mark.parametrize(
    "text", ["", "nonsense", "DEADBEEF", "bob", "@x.org", "bob@", "a b@x.org", "--x", "A" * 64]
)
def test_nothing_else_is_asked_of_any_server(text: str) -> None:
    with pytest.raises(NotOnKeyserver) as caught:
        query(text)
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.value == text


@given(local=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_an_address_never_leaves_its_place_in_the_url(local: str) -> None:
    url = URL(Keyserver.of().look_up_url(Term(NameForm.EMAIL, f"{local}@x.org")))
    assert url.raw_parts[:4] == ("/", "vks", "v1", "by-email")
    assert len(url.raw_parts) == 5
    assert url.raw_query_string == url.raw_fragment == ""
    assert url.host == ONION


# --- Web Key Directory ---------------------------------------------------------------------------


def test_wkd_urls_are_those_of_the_drafts_example() -> None:
    # draft-koch-openpgp-webkey-service, section 3.1.
    name = "hu/iy9q119eutrkn8s1mk4r39qejnbu3n5q?l=Joe.Doe"
    assert keyserver.wkd_urls("Joe.Doe@Example.ORG") == (
        f"https://openpgpkey.example.org/.well-known/openpgpkey/example.org/{name}",
        f"https://example.org/.well-known/openpgpkey/{name}",
    )


def test_wkd_knows_only_ascii_letters_case_and_writes_domains_for_the_network() -> None:
    advanced, direct = keyserver.wkd_urls("ÄB@BÜCHER.example")
    local = hashlib.sha1("Äb".encode(), usedforsecurity=False).digest()
    assert z_base_32(local) in advanced
    assert direct.startswith("https://xn--bcher-kva.example/")


@pytest.mark.parametrize(
    ("domain", "asked"),
    [
        ("straße.example", "xn--strae-oqa.example"),
        ("STRAẞE.example", "xn--strae-oqa.example"),
        ("xn--strae-oqa.example", "xn--strae-oqa.example"),
        ("ς.example", "xn--3xa.example"),
    ],
)
def test_wkd_asks_the_domain_that_was_named_and_no_other(domain: str, asked: str) -> None:
    # IDNA 2003 leads them to strasse.example, and the last one to another letter.
    advanced, direct = keyserver.wkd_urls(f"bob@{domain}")
    assert URL(advanced).raw_host == f"openpgpkey.{asked}"
    assert f"/openpgpkey/{asked}/hu/" in advanced
    assert URL(direct).raw_host == asked


@pytest.mark.parametrize(
    "email",
    [
        *("", "bob", "bob@", "@x", "b@x/y", "b@x:8", "b@x?y", "b@.x..y", "b@" + "x" * 80, "<b@x>"),
        *("b@☃.example", "b@a_b.example", "b@exam\xadple.org", "b@-x.org", "b@xn--a.org", "b@x y"),
    ],
)
def test_wkd_asks_nobody_for_what_is_no_address(email: str) -> None:
    with pytest.raises(NotOnKeyserver):
        keyserver.wkd_urls(email)


# --- the check of a key --------------------------------------------------------------------------


def test_a_key_is_found_by_each_of_its_names_and_given_byte_for_byte(
    made: tuple[MadeKey, MadeKey],
) -> None:
    key, _ = made
    names = [key.fingerprint, *key.subkey_fingerprints]
    for name in (*names, *(each[-16:] for each in names), key.email, key.email.upper()):
        for body in (key.armored.encode(), key.public):
            found = found_key(query(name), body)
            assert found.data == key.public
            assert (found.fingerprint, list(found.subkeys)) == (names[0], names[1:])
            assert found.user_ids == (f"Test <{key.email}>",)


def test_a_key_without_user_ids_is_found_by_fingerprint_but_never_by_address(
    made: tuple[MadeKey, MadeKey],
) -> None:
    key, _ = made
    found = found_key(query(key.fingerprint), key.bare)
    assert (found.data, found.user_ids) == (key.bare, ())
    with pytest.raises(KeyserverMismatch):
        found_key(query(key.email), key.bare)


def test_every_lie_is_a_typed_error_by_whatever_name_was_asked(
    made: tuple[MadeKey, MadeKey],
) -> None:
    key, other = made
    for name, body in lies(key, other).items():
        expected = KeyserverMismatch if name in MISMATCHES else KeyserverError
        for asked in (key.fingerprint, key.fingerprint[-16:], key.email):
            with pytest.raises(GnuPGError) as caught:
                found_key(query(asked), body)
            assert type(caught.value) is expected, name


def test_an_address_is_matched_whole(made: tuple[MadeKey, MadeKey]) -> None:
    key, _ = made
    for near in (
        "lice@example.org",
        "alice@example.or",
        "alice@example.org.evil",
        "xalice@example.org",
    ):
        with pytest.raises(KeyserverMismatch):
            found_key(query(near), key.public)


@pytest.mark.skipif(not DEBIAN_KEYRING.exists(), reason="debian-keyring is not installed")
def test_real_keys_of_many_makers_pass() -> None:
    for packets in openpgp.split_keys(DEBIAN_KEYRING.read_bytes()):
        data = b"".join(packet.raw for packet in packets)
        found = found_key(query(openpgp.fingerprint(packets[0])), data)
        assert found.data == data


def test_every_truncation_is_an_error_or_a_whole_beginning_of_the_key(
    made: tuple[MadeKey, MadeKey],
) -> None:
    key, _ = made
    ends, place = set(), 0
    for packet in key.packets:
        place += len(packet.raw)
        ends.add(place)
    for length in range(len(key.public)):
        with contextlib.suppress(KeyserverError, KeyserverMismatch):
            assert (
                found_key(query(key.fingerprint), key.public[:length]).data == key.public[:length]
            )
            assert length in ends
    text = key.armored.encode()
    for length in range(len(text) - 30):
        with pytest.raises(KeyserverError):
            found_key(query(key.fingerprint), text[:length])


@given(data=st.binary(max_size=300))
def test_no_bytes_at_all_break_the_check(data: bytes) -> None:
    for term in (query(FINGERPRINT), query("a@x.org")):
        with pytest.raises((KeyserverError, KeyserverMismatch)):
            found_key(term, data)


@given(place=st.integers(min_value=0), bit=st.integers(0, 7))
def test_no_flipped_bit_passes_for_another_fingerprint(
    made: tuple[MadeKey, MadeKey], place: int, bit: int
) -> None:
    key, _ = made
    flipped = bytearray(key.public)
    flipped[place % len(flipped)] ^= 1 << bit
    with contextlib.suppress(KeyserverError, KeyserverMismatch):
        found = found_key(query(key.fingerprint), bytes(flipped))
        # The primary key packet has a header of two octets.
        assert place % len(flipped) > 2 + len(key.packets[0].body) - 1
        assert found.fingerprint == key.fingerprint


def test_a_flood_of_packets_is_refused_while_it_is_counted(made: tuple[MadeKey, MadeKey]) -> None:
    key, _ = made
    signature = next(each for each in key.packets if each.tag == openpgp.SIGNATURE)
    many = key.public + signature.raw * (MOST_PACKETS + 1)
    with pytest.raises(KeyserverError, match="packets"):
        found_key(query(key.fingerprint), many)
    few = key.public + signature.raw * 1000
    assert found_key(query(key.fingerprint), few).data == few


def test_markers_and_padding_are_minded_by_nobody_but_make_no_key(
    made: tuple[MadeKey, MadeKey],
) -> None:
    key, _ = made
    marker = openpgp.packet(10, b"PGP")
    first, *others = (each.raw for each in key.packets)
    padded = first + b"".join(marker + each + openpgp.packet(21, bytes(9)) for each in others)
    assert found_key(query(key.fingerprint), padded).user_ids == (f"Test <{key.email}>",)
    with pytest.raises(KeyserverError, match="no data"):
        found_key(query(key.fingerprint), marker)


def test_a_key_of_another_version_is_told() -> None:
    # RFC 9580, section 5.5.2: version, creation time, Ed25519, octets of what follows, the key.
    body = b"\x06" + bytes(4) + b"\x1b" + (32).to_bytes(4) + bytes(32)
    with pytest.raises(KeyserverError, match="version"):
        found_key(query(FINGERPRINT), openpgp.packet(openpgp.PUBLIC_KEY, body))


def test_a_directory_may_send_several_keys_of_the_one_address(
    made: tuple[MadeKey, MadeKey],
) -> None:
    key, other = made
    with temporary_home() as home:
        older = make_key(home, key.email)
    both = found_keys(query(key.email), key.public + older.public)
    assert [each.data for each in both] == [key.public, older.public]
    with pytest.raises(KeyserverMismatch):
        found_keys(query(key.email), key.public + other.public)


def listed(fingerprint: str, *emails: str, revoked: bool = False, unsigned: bool = False) -> Key:
    """A key as gpg might list it."""
    user_ids = tuple(user_id(email, revoked, None if unsigned else NOW) for email in emails)
    return a_key("c", fingerprint=fingerprint, key_id=fingerprint[-16:], user_ids=user_ids)


def test_what_gpg_does_not_accept_of_a_key_does_not_count() -> None:
    subkey = "F" * 40
    found = FoundKey(query(subkey), FINGERPRINT, (subkey,), ("<a@x.org>",), b"")
    with pytest.raises(KeyserverMismatch, match="bound"):
        found.confirm([listed(FINGERPRINT, "a@x.org")])
    by_email = dataclasses.replace(found, term=query("a@x.org"))
    by_email.confirm([listed(FINGERPRINT, "a@x.org")])
    for keys in ([], [listed(subkey, "a@x.org")], [listed(FINGERPRINT, "a@x.org")] * 2):
        with pytest.raises(KeyserverMismatch, match="gpg"):
            by_email.confirm(keys)
    strangers = listed(FINGERPRINT, "aa@x.org", "a@x.org.evil")
    for key in (listed(FINGERPRINT), strangers, listed(FINGERPRINT, "a@x.org", unsigned=True)):
        with pytest.raises(KeyserverMismatch, match="bound"):
            by_email.confirm([key])


def test_a_revoked_user_id_still_names_its_key() -> None:
    found = FoundKey(query("a@x.org"), FINGERPRINT, (), ("<a@x.org>",), b"")
    found.confirm([listed(FINGERPRINT, "a@x.org", revoked=True)])


# --- the answers to an upload --------------------------------------------------------------------


def test_an_upload_answer_is_read_and_what_waits_is_asked_to_be_confirmed() -> None:
    text = (
        f'{{"token": "t", "key_fpr": "{FINGERPRINT.lower()}", "status":'
        ' {"a@x": "unpublished", "b@x": "published", "c@x": "pending"}}'
    )
    read = keyserver.upload_answer(text, FINGERPRINT)
    assert keyserver.verify_payload(read) == {"token": "t", "addresses": ["a@x", "c@x"]}
    assert keyserver.verify_payload(read, ["A@x", "b@x"], ["de_DE"]) == {
        "token": "t",
        "addresses": ["a@x"],
        "locale": ["de_DE"],
    }
    assert keyserver.verify_payload(read, ["b@x"]) is None
    assert keyserver.verify_payload({"token": "t", "status": {}}) is None


@pytest.mark.parametrize("name", POSTS)
def test_a_wrong_upload_answer_is_a_typed_error(name: str) -> None:
    expected = KeyserverMismatch if name == "another-key" else KeyserverError
    with pytest.raises(expected):
        keyserver.upload_answer(POSTS[name].decode(), FINGERPRINT)


@given(st.text(max_size=50) | st.sampled_from(["{}", "[]", "null", "1", '{"token":"t"}']))
def test_no_text_breaks_the_reading_of_an_upload_answer(text: str) -> None:
    with pytest.raises((KeyserverError, KeyserverMismatch)):
        keyserver.upload_answer(text, FINGERPRINT)


# --- a whole keyserver ---------------------------------------------------------------------------


async def test_an_upload_is_served_without_user_ids_until_its_address_is_confirmed(
    vks: KeyserverProcess, made: tuple[MadeKey, MadeKey]
) -> None:
    key, _ = made
    server_ = Keyserver.of()
    async with network_to(vks.port) as network:
        with pytest.raises(NotOnKeyserver):
            await keyserver.look_up(network, server_, key.fingerprint)
        answer = await keyserver.publish(network, server_, key.armored, key.fingerprint)
        assert answer["status"] == {key.email: "pending"}
        bare = await keyserver.look_up(network, server_, key.fingerprint)
        assert (bare.data, bare.user_ids) == (key.bare, ())
        with pytest.raises(NotOnKeyserver) as caught:
            await keyserver.look_up(network, server_, key.email)
        assert caught.value.value == key.email
        assert await keyserver.search(network, server_, key.email) == ""
        assert vks.confirm_all() == [key.email]
        for name in (key.email, key.fingerprint[-16:], key.subkey_fingerprints[1]):
            assert (await keyserver.look_up(network, server_, name)).data == key.public
            assert await keyserver.search(network, server_, name) == server_.key_url(
                key.fingerprint
            )
        again = await keyserver.publish(network, server_, key.armored, key.fingerprint)
        assert again["status"] == {key.email: "published"}
        assert "BEGIN PGP PUBLIC KEY" in await keyserver.raw_search(network, server_, key.email)
        assert "No key" in await keyserver.raw_search(network, server_, "nobody@x.org")


async def test_odd_addresses_reach_the_server_as_they_are(vks: KeyserverProcess) -> None:
    async with network_to(vks.port) as network:
        for address in ("a+b@x.org", "<a/b%2f@x.org>", "<ü?#&@x.org>", "<../..@x.org>"):
            with pytest.raises(NotOnKeyserver):
                await keyserver.look_up(network, Keyserver.of(), address)
    lines = [asked["line"].split(" ")[1] for asked in vks.lever("requests")]
    folder = "/vks/v1/by-email/"
    assert [URL(line, encoded=True).path for line in lines[:1]] == [folder + "a+b@x.org"]
    assert all(line.startswith(folder) and line.count("/") == 4 for line in lines)


async def test_the_servers_own_words_come_with_its_refusals(
    vks: KeyserverProcess, made: tuple[MadeKey, MadeKey]
) -> None:
    key, _ = made
    server_ = Keyserver.of()
    async with network_to(vks.port) as network:
        with pytest.raises(KeyserverError, match="Parsing of key data failed") as caught:
            await keyserver.upload(network, server_, "no key")
        assert caught.value.http_status == 400
        with pytest.raises(KeyserverError, match="token is invalid"):
            await keyserver.request_verify(network, server_, '{"token": "x", "addresses": []}')
        with pytest.raises(KeyserverError) as caught:
            await keyserver.upload(network, server_, "x" * keyserver.MOST_UPLOADED)
        assert caught.value.http_status == 400
        with pytest.raises(KeyserverError, match="characters"):
            await keyserver.upload(network, server_, "x" * (keyserver.MOST_UPLOADED + 1))
        answer = await network.fetch("POST", server_.upload_url, data=io.BytesIO(bytes(2**20 + 1)))
        assert answer.status == 413
        vks.lever("settings", {"maintenance": "back soon"})
        with pytest.raises(KeyserverError, match="back soon") as caught:
            await keyserver.look_up(network, server_, key.fingerprint)
        assert caught.value.http_status == 503


async def test_asking_too_often_is_told_after_the_last_try(
    vks: KeyserverProcess, made: tuple[MadeKey, MadeKey]
) -> None:
    key, _ = made
    vks.lever("settings", {"key": [0.001, 2]})
    async with network_to(vks.port) as network:
        for _ in range(2):
            with pytest.raises(NotOnKeyserver):
                await keyserver.look_up(network, Keyserver.of(), key.fingerprint)
        with pytest.raises(KeyserverError, match="Too many requests") as caught:
            await keyserver.look_up(network, Keyserver.of(), key.fingerprint)
    assert (caught.value.http_status, caught.value.retry_after) == (429, None)
    assert len(vks.lever("requests")) == 2 + 3


async def test_a_revoked_key_has_no_addresses_to_confirm(vks: KeyserverProcess) -> None:
    with temporary_home() as home:
        key = make_key(home, "carol@example.org")
        certificate = home.path / "openpgp-revocs.d" / f"{key.fingerprint}.rev"
        home.run("--import", stdin=certificate.read_bytes().replace(b":-----BEGIN", b"-----BEGIN"))
        revoked = home.run("--armor", "--export", key.fingerprint).decode()
    async with network_to(vks.port) as network:
        answer = await keyserver.publish(network, Keyserver.of(), revoked, key.fingerprint)
        assert answer["status"] == {}
        found = await keyserver.look_up(network, Keyserver.of(), key.fingerprint)
    assert any(
        each.tag == openpgp.SIGNATURE and each.signature_type == openpgp.KEY_REVOCATION
        for each in openpgp.packets(found.data)
    )


async def test_with_tor_down_every_call_says_so(made: tuple[MadeKey, MadeKey]) -> None:
    key, _ = made
    server_ = Keyserver.of()
    async with RecordingProxy() as proxy:
        settings = NetworkSettings(tor_port=proxy.port)
    async with Network(settings) as network:
        for call in (
            keyserver.look_up(network, server_, key.fingerprint),
            keyserver.search(network, server_, key.email),
            keyserver.publish(network, server_, key.armored, key.fingerprint),
            keyserver.wkd_look_up(network, key.email),
        ):
            with pytest.raises(TorUnavailable, match="start Tor"):
                await call


# --- a keyserver that lies -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def liar_port(
    made: tuple[MadeKey, MadeKey], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("lies")
    for name, body in lies(*made).items():
        (folder / name).write_bytes(body)
    with server("tests.tor.liar", str(folder)) as port:
        yield port


@pytest.mark.parametrize(
    "lie", ["redirect", "not-http", "endless-headers", "silent", "huge", "endless", "slow"]
)
async def test_a_server_that_misbehaves_is_a_keyserver_error(
    liar_port: int, made: tuple[MadeKey, MadeKey], lie: str
) -> None:
    late = lie in ("silent", "slow")
    async with network_to(liar_port, total_timeout=1.0 if late else 30.0) as network:
        with pytest.raises(KeyserverError):
            await keyserver.look_up(network, Keyserver.of(f"http://{ONION}/{lie}"), made[0].email)


@pytest.mark.parametrize("name", POSTS)
async def test_a_lie_about_an_upload_is_a_typed_error(
    liar_port: int, made: tuple[MadeKey, MadeKey], name: str
) -> None:
    key, _ = made
    async with network_to(liar_port) as network:
        with pytest.raises((KeyserverError, KeyserverMismatch)):
            await keyserver.publish(
                network, Keyserver.of(f"http://{ONION}/{name}"), key.armored, key.fingerprint
            )


# --- other servers -------------------------------------------------------------------------------


@pytest.mark.skipif(not find("sks"), reason="sks is not installed")
async def test_a_real_hkp_server_takes_a_key_and_gives_it_back(
    made: tuple[MadeKey, MadeKey],
) -> None:
    key, _ = made
    hkp = Keyserver.of(f"hkp://{ONION}")
    with sks() as port:
        async with network_to(port) as network:
            with pytest.raises(NotOnKeyserver):
                await keyserver.look_up(network, hkp, key.fingerprint)
            answer = await keyserver.publish(network, hkp, key.armored, key.fingerprint)
            assert answer == {"key_fpr": key.fingerprint, "status": {}}
            for name in (key.fingerprint, key.fingerprint[-16:], key.email):
                found = await keyserver.look_up(network, hkp, name)
                assert found.fingerprint == key.fingerprint
                assert sorted(openpgp.packets(found.data)) == sorted(key.packets)
            with pytest.raises(KeyserverError, match="confirms no addresses"):
                await keyserver.request_verify(network, hkp, {})


async def test_wkd_falls_back_to_the_direct_method(
    made: tuple[MadeKey, MadeKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _ = made
    asked: list[str] = []

    async def directory(reader: Any, writer: Any) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        host = next(line[6:] for line in head.splitlines() if line.startswith("Host: "))
        asked.append(host)
        body = b"" if host.startswith("openpgpkey.") else key.public
        status = "200 OK" if body else "404 Not Found"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    # Over http here, because TLS is tested through real Tor; the rest of the way is the same.
    urls = keyserver.wkd_urls(key.email)
    plain = tuple(url.replace("https://", "http://") for url in urls)
    monkeypatch.setattr(keyserver, "wkd_urls", lambda email: plain)
    async with listening(directory) as port, network_to(port) as network:
        (found,) = await keyserver.wkd_look_up(network, key.email)
    assert found.data == key.public
    assert asked == ["openpgpkey.example.org", "example.org"]
