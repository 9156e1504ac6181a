"""The results: enums that take numbers of tomorrow, and what the dataclasses say of themselves."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.keys import key, subkey, user_id
from tiny_gnupg import results
from tiny_gnupg.errors import BadSignature, NotSigned, NotText
from tiny_gnupg.results import (
    Capability,
    Decryption,
    HashAlgorithm,
    PublicKeyAlgorithm,
    Signature,
    SignatureStatus,
    SymmetricAlgorithm,
    Validity,
    Verification,
)

NUMBERS: list[Any] = [PublicKeyAlgorithm, HashAlgorithm, SymmetricAlgorithm]


@pytest.mark.parametrize("kind", NUMBERS)
def test_a_number_that_the_table_does_not_hold_is_kept(kind: Any) -> None:
    unknown = kind(123)
    assert (unknown.value, unknown.name, int(unknown)) == (123, "UNKNOWN_123", 123)
    assert unknown == kind(123) == 123
    assert len({unknown, kind(123)}) == 1
    assert isinstance(unknown, kind)
    assert unknown not in list(kind)
    for again in (pickle.loads(pickle.dumps(unknown)), copy.deepcopy(unknown)):  # noqa: S301
        assert (again, again.name) == (unknown, "UNKNOWN_123")
    for nonsense in (-1, "x", None, 1.5):
        with pytest.raises(ValueError, match=r"is not a valid"):
            kind(nonsense)


def test_numbers_of_rfc_9580() -> None:
    assert PublicKeyAlgorithm(22) is PublicKeyAlgorithm.EDDSA
    assert HashAlgorithm(10) is HashAlgorithm.SHA512
    assert SymmetricAlgorithm(9) is SymmetricAlgorithm.AES256


@pytest.mark.parametrize("wanted", ["e", Capability.ENCRYPT])
def test_a_key_is_usable_where_it_or_a_subkey_can_do_it_and_is_alive(
    wanted: str | Capability,
) -> None:
    encrypt = subkey("e")
    assert key("c", encrypt).usable_for(wanted)
    assert key("ce").usable_for(wanted)
    assert not key("cs").usable_for(wanted)
    assert not key("c", subkey("sa")).usable_for(wanted)
    dead: list[dict[str, Any]] = [
        {"revoked": True},
        {"expired": True},
        {"validity": Validity.INVALID},
    ]
    for state in dead:
        assert not key("c", subkey("e", **state)).usable_for(wanted)
        assert key("c", subkey("e", **state), encrypt).usable_for(wanted)
        assert not key("ce", encrypt, **state).usable_for(wanted)
    assert not key("ce", encrypt, disabled=True).usable_for(wanted)


def test_asking_for_no_capability_is_an_error() -> None:
    with pytest.raises(ValueError, match="is not a valid"):
        key("e").usable_for("encrypt")


def test_the_address_of_a_key() -> None:
    assert key("c").email == ""
    ids = (user_id("old@x.org", revoked=True), user_id(""), user_id("a@x.org"), user_id("b@x.org"))
    assert key("c", user_ids=ids).email == "a@x.org"
    assert key("c", user_ids=ids[:2]).email == ""
    two = (user_id("forged@x.org", created=None), user_id("a@x.org"))
    assert [one.signed for one in two] == [False, True]
    assert key("c", user_ids=two).email == "a@x.org"
    assert key("c", user_ids=two[:1]).email == ""
    assert user_id("old@x.org", revoked=True, created=None).signed


@pytest.mark.parametrize("status", SignatureStatus)
def test_only_goodsig_is_good(status: SignatureStatus) -> None:
    signature = Signature(status, "", "", "", "", None, None, None, None, None)
    assert signature.good is (status == "GOODSIG")


def decryption(data: bytes, **more: Any) -> Decryption:
    return Decryption(data, True, (), (), "", SymmetricAlgorithm.AES256, False, **more)


@given(st.text())
def test_text_of_a_plaintext_is_exact(text: str) -> None:
    assert decryption(text.encode()).text == text


def test_a_plaintext_that_is_not_utf8_is_no_text() -> None:
    with pytest.raises(NotText, match="byte 1") as caught:
        _ = decryption(b"a\xff").text
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_require_good_gives_it_back_or_raises_what_decrypt_would() -> None:
    good = decryption(b"x")
    assert good.require_good() is good
    bad = decryption(b"x", failure=BadSignature("no"))
    with pytest.raises(BadSignature, match="no"):
        bad.require_good()
    assert bad == good
    assert "failure" not in repr(bad)


def signed(status: SignatureStatus, fingerprint: str = "A" * 40, primary: str = "") -> Signature:
    return Signature(status, fingerprint, primary, "", "", None, None, None, None, None)


def test_require_signed_wants_a_signature_and_every_one_good() -> None:
    with pytest.raises(NotSigned):
        decryption(b"x").require_signed()
    with pytest.raises(NotSigned):
        Verification(b"x", ()).require_signed()
    good = Verification(b"x", (signed(SignatureStatus.GOODSIG),))
    assert good.require_signed() is good
    bad = replace(good, failure=BadSignature("no"))
    with pytest.raises(BadSignature):
        bad.require_signed()
    opened = replace(decryption(b"x"), signatures=good.signatures)
    assert opened.require_signed() is opened


def test_signed_by_a_key_is_a_good_signature_of_its_primary_or_subkey() -> None:
    found = Verification(
        b"x",
        (
            signed(SignatureStatus.GOODSIG, "A" * 40, "B" * 40),
            signed(SignatureStatus.EXPKEYSIG, "C" * 40),
            signed(SignatureStatus.GOODSIG, "", ""),
        ),
    )
    assert found.signed_by("A" * 40)
    assert found.signed_by("B" * 40)
    assert found.signed_by(" ".join(["bbbb"] * 10))
    assert found.signed_by("0x" + "b" * 40)
    assert found.signed_by(replace(key("c"), fingerprint="A" * 40))
    assert not found.signed_by("C" * 40)
    assert not found.signed_by("D" * 40)
    assert not Verification(b"x", ()).signed_by("A" * 40)
    for nobody in ("", "A" * 16, "alice@example.org", "A" * 39, "A" * 41, "G" * 40):
        with pytest.raises(ValueError, match="fingerprint"):
            found.signed_by(nobody)
    for wrong in (None, 7, b"A" * 40):
        with pytest.raises(TypeError, match="text or a Key"):
            found.signed_by(cast(Any, wrong))


def test_no_repr_shows_what_was_signed_or_encrypted() -> None:
    secret = decryption(b"the plaintext", failure=BadSignature("no"))
    for result in (replace(secret, filename="the plaintext"), Verification(b"the plaintext", ())):
        assert "plaintext" not in repr(result)
        assert "signatures=()" in repr(result)


DATACLASSES = [kind for kind in vars(results).values() if dataclasses.is_dataclass(kind)]


def test_there_are_results() -> None:
    assert {"Key", "Subkey", "UserID", "Packet", "ImportResult"} <= {
        kind.__name__ for kind in DATACLASSES if isinstance(kind, type)
    }


@pytest.mark.parametrize("kind", DATACLASSES)
def test_results_are_frozen_and_have_slots(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen
    assert "__slots__" in vars(kind)
    blank = kind(*[None for field in dataclasses.fields(kind)])
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(blank, dataclasses.fields(kind)[0].name, 1)
    with pytest.raises((AttributeError, TypeError)):
        blank.something_else = 1
    assert pickle.loads(pickle.dumps(blank)) == blank  # noqa: S301
