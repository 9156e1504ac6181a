"""Messages in all their forms, what is said of each signature, and each error as it comes out."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.instances import ALICE, BOB, PASSPHRASE, PlainGpg, alice_at
from tests.leftovers import clean_home
from tests.signed import DATA, ERRORS, Signatures
from tiny_gnupg import (
    AmbiguousKey,
    BadPassphrase,
    BadSignature,
    CommandFailed,
    DecryptionFailed,
    GnuPG,
    GnuPGError,
    GnuPGTimeout,
    HashAlgorithm,
    ImportFailed,
    KeyNotFound,
    NoSecretKey,
    NotOpenPGP,
    NotSigned,
    NotText,
    OutputTooLarge,
    PublicKeyAlgorithm,
    SignatureStatus,
    SymmetricAlgorithm,
    UnusableKey,
    Validity,
)

PLAINTEXT = "the plaintext that no error may show"


@dataclass(frozen=True)
class Crowd:
    """Ten people with a secret key each, in one home of plain gpg."""

    gpg: PlainGpg
    keys: dict[str, str]

    @property
    def public(self) -> bytes:
        return self.gpg.run("--export").stdout

    def decrypt(self, message: bytes | str, *only: str) -> subprocess.CompletedProcess[bytes]:
        """Decrypt with the key of one of them alone."""
        trying = [part for key in only for part in ("--try-secret-key", key)]
        return self.gpg.run(*trying, "--status-fd", "2", "--decrypt", stdin=message, check=False)


@pytest.fixture(scope="module")
def crowd() -> Iterator[Crowd]:
    with clean_home() as home:
        gpg = PlainGpg(home)
        emails = [f"member{number}@example.net" for number in range(10)]
        keys = {email: gpg.new_key(f"Member <{email}>") for email in emails}
        yield Crowd(gpg, keys)
        gpg.end_agent()


# -- recipients ----------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [False, True])
async def test_many_recipients_open_one_message(alice: GnuPG, crowd: Crowd, hidden: bool) -> None:
    await alice.text_import(crowd.public)
    emails = list(crowd.keys)
    ways: list[list[str]] = [emails, [*emails, *emails], list(crowd.keys.values())]
    for uids in (*ways, tuple(emails), dict.fromkeys(emails), (email for email in emails)):
        message = await alice.encrypt("for ten", uids, hidden=hidden)
        opened = crowd.decrypt(message)
        assert opened.stdout == b"for ten"
        named = [line for line in opened.stderr.decode().split("\n") if "ENC_TO" in line]
        assert len(named) == 10
        assert all(("0" * 16 in line) is hidden for line in named)
    with pytest.raises(NoSecretKey):
        await alice.decrypt(message)


async def test_a_message_is_also_for_oneself_where_that_is_asked(alice: GnuPG, bob: GnuPG) -> None:
    # gpg ends with an error where it tried a key on the part of another.
    for uids in ([ALICE, BOB], [BOB, ALICE]):
        message = await alice.encrypt("note", uids, hidden=True)
        assert await alice.decrypt(message) == await bob.decrypt(message) == "note"
        found = await alice.decrypt_verify(message)
        assert found.recipients == ("0" * 16, "0" * 16)
        message = message.replace(
            message[200:204], "AAAA" if message[200:204] != "AAAA" else "AAAB"
        )
        for gpg in (alice, bob):
            with pytest.raises(GnuPGError):
                await gpg.decrypt(message)
    with pytest.raises(NoSecretKey):
        await alice.decrypt(await alice.encrypt("note", BOB, hidden=True))


async def test_one_bad_recipient_stops_the_message(alice: GnuPG, crowd: Crowd) -> None:
    await alice.text_import(crowd.public)
    for position in (0, 5, 10):
        uids = list(crowd.keys)
        uids.insert(position, "nobody@example.org")
        with pytest.raises(KeyNotFound) as caught:
            await alice.encrypt("x", uids)
        assert caught.value.value == "nobody@example.org"


# -- forms ---------------------------------------------------------------------------------


async def test_what_comes_out_has_the_type_that_went_in(alice: GnuPG) -> None:
    messages: tuple[Any, ...] = ("text é", b"bytes \xff")
    for message in messages:
        for armor in (True, False):
            for encrypted in (
                await alice.encrypt(message, armor=armor),
                await alice.encrypt_symmetric(message, "pw", armor=armor),
            ):
                assert type(encrypted) is (type(message) if armor else bytes)
                head = encrypted[:5] if isinstance(encrypted, bytes) else encrypted[:5].encode()
                assert (head == b"-----") is armor
                back = await alice.decrypt(encrypted, passphrase="pw")
                assert back == (
                    message.encode()
                    if isinstance(encrypted, bytes) and isinstance(message, str)
                    else message
                )
        for signed in (await alice.sign(message), await alice.sign(message, detach=True)):
            assert type(signed) is type(message)


async def test_compression_can_be_left_out(alice: GnuPG) -> None:
    message = b"\0" * 100_000
    small = await alice.encrypt(message, armor=False)
    large = await alice.encrypt(message, armor=False, compress=False)
    assert len(small) < 2_000 < 100_000 < len(large)
    assert await alice.decrypt(small) == await alice.decrypt(large) == message


async def test_armor_survives_what_mail_does_to_it(alice: GnuPG) -> None:
    message = await alice.encrypt("through the mail")
    for altered in (
        message.replace("\n", "\r\n"),
        "Dear Alice,\n\n" + message + "\nregards\n",
        message.replace("\n\n", "\nComment: hello\n\n", 1),
        "".join(line + "  \n" for line in message.splitlines()),
    ):
        assert await alice.decrypt(altered) == "through the mail"


async def test_twenty_at_once_are_not_mixed_up(alice: GnuPG, bob: GnuPG) -> None:
    texts = [f"message {number} " * number for number in range(20)]
    sent = await asyncio.gather(*(alice.encrypt(text, BOB) for text in texts))
    assert await asyncio.gather(*map(bob.decrypt, sent)) == texts


# -- to a passphrase -----------------------------------------------------------------------


async def test_a_message_to_a_key_and_a_passphrase_opens_with_either(
    alice: GnuPG, bob: GnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    gpg = plain_gpg("shared")
    gpg.run("--import", stdin=await alice.text_export())
    both = ("--trust-model", "always", "-r", alice.fingerprint, "--symmetric", "--encrypt")
    message = gpg.run(*both, stdin=b"either").stdout
    for passphrase in ("shared", "wrong", None):
        found = await alice.decrypt_verify(message, passphrase=passphrase)
        assert (found.data, found.symmetric, found.encrypted) == (b"either", True, True)
    assert await bob.decrypt(message, passphrase="shared") == b"either"
    for passphrase in ("wrong", None):
        with pytest.raises((BadPassphrase, DecryptionFailed)):
            await bob.decrypt(message, passphrase=passphrase)


async def test_a_passphrase_is_any_line_of_text(alice: GnuPG) -> None:
    for passphrase in (" leading and trailing ", "ünïcode 𝄞", "--version", "x" * 200, "'\"\\%0a"):
        message = await alice.encrypt_symmetric(b"x", passphrase)
        found = await alice.decrypt_verify(message, passphrase=passphrase)
        assert (found.data, found.symmetric, found.recipients) == (b"x", True, ())
        assert found.cipher is SymmetricAlgorithm.AES256
        with pytest.raises((BadPassphrase, DecryptionFailed)):
            await alice.decrypt(message, passphrase=passphrase.strip() + "x")


# -- signatures ----------------------------------------------------------------------------


async def test_all_that_a_signature_says_is_told(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    gpg = plain_gpg()
    own = gpg.new_key("Erin <erin@example.net>")
    await alice.text_import(gpg.run("--export", own).stdout)
    await alice.trust(own, 5)
    said = (
        "--sig-notation",
        "a@example.net=first é",
        "--sig-notation",
        "b@example.net=" + "2" * 999,
    )
    how = ("--digest-algo", "SHA384", "--default-sig-expire", "10d")
    signed = gpg.run(*said, *how, "--sign", stdin=b"data").stdout
    [one] = (await alice.verify(signed)).signatures
    assert one.status is SignatureStatus.GOODSIG
    assert one.good
    assert (one.fingerprint, one.primary_fingerprint, one.key_id) == (own, own, own[-16:])
    assert one.user_id == "Erin <erin@example.net>"
    assert (one.hash, one.algorithm) == (HashAlgorithm.SHA384, PublicKeyAlgorithm.EDDSA)
    assert one.trust is Validity.ULTIMATE
    assert one.notations == (("a@example.net", "first é"), ("b@example.net", "2" * 999))
    assert one.created is not None
    assert one.expires is not None
    assert abs(one.created - datetime.now(UTC)) < timedelta(minutes=5)
    assert one.expires - one.created == timedelta(days=10)
    await alice.trust(own, 1)
    [one] = (await alice.verify(signed)).signatures
    assert one.good
    assert one.trust is Validity.UNDEFINED


async def test_several_signers_are_told_apart(alice: GnuPG, crowd: Crowd) -> None:
    await alice.text_import(crowd.public)
    signers = list(crowd.keys.values())[:4]
    users = [part for signer in signers for part in ("-u", signer)]
    for how, recipient in (
        ("--sign", ()),
        ("--sign", ("-e", "-r", crowd.keys["member9@example.net"])),
    ):
        message = crowd.gpg.run(
            *users, "--trust-model", "always", *recipient, how, stdin=b"x"
        ).stdout
        if not recipient:
            found = await alice.verify(message)
            assert {one.primary_fingerprint for one in found.signatures} == set(signers)
            assert all(one.good for one in found.signatures)
    detached = crowd.gpg.run(*users, "--detach-sign", stdin=b"data").stdout
    apart = [crowd.gpg.run("-u", one, "--armor", "-b", stdin=b"data").stdout for one in signers]
    assert len((await alice.verify(b"data", detached)).signatures) == 4
    for signature, signer in zip(apart, signers, strict=True):
        [one] = (await alice.verify(b"data", signature)).signatures
        assert one.primary_fingerprint == signer
    await alice.delete(signers[2])
    with pytest.raises(KeyNotFound) as caught:
        await alice.verify(b"data", detached)
    assert caught.value.value == signers[2]
    one_pass = await alice.decrypt_verify(crowd.gpg.run(*users, "--sign", stdin=b"x").stdout)
    states = [one.status for one in one_pass.signatures]
    assert states.count(SignatureStatus.GOODSIG) == 3
    assert states.count(SignatureStatus.NO_PUBKEY) == 1
    with pytest.raises(KeyNotFound):
        one_pass.require_good()


async def test_a_detached_signature_covers_text_and_bytes_alike(alice: GnuPG, bob: GnuPG) -> None:
    texts: tuple[Any, ...] = ("text é\r\n", "text é\r\n".encode(), "", b"")
    for data in texts:
        signature = await alice.sign(data, detach=True)
        other = data.encode() if isinstance(data, str) else data.decode()
        for covered in (data, other):
            for form in (
                signature,
                bytes(signature, "ascii") if isinstance(signature, str) else signature.decode(),
            ):
                found = await bob.verify(covered, form)
                assert found.data == (covered.encode() if isinstance(covered, str) else covered)
                assert found.signatures[0].primary_fingerprint == alice.fingerprint
        with pytest.raises(BadSignature):
            await bob.verify(b"text \xc3\xa9\n", signature)


async def test_clear_signed_text_stays_readable(alice: GnuPG, bob: GnuPG) -> None:
    text = "- a dash\n-----BEGIN PGP SIGNATURE-----\nFrom here\n\n  indented é\n"
    signed = await alice.sign(text, clear=True)
    assert "  indented é" in signed
    found = await bob.verify(signed)
    assert found.data.decode() == text
    assert await bob.decrypt(signed) == text
    for changed in (signed.replace("From", "from"), signed.replace("a dash", "a  dash")):
        with pytest.raises(BadSignature):
            await bob.verify(changed)
    # Blanks at line ends are not covered by it, as every program of this kind has it.
    assert (await bob.verify(signed.replace("here\n", "here  \n"))).signatures[0].good


async def test_any_key_of_the_home_signs(alice: GnuPG, home: Path) -> None:
    async with GnuPG("Work", "work@example.org", PASSPHRASE, homedir=home) as work:
        other = await work.gen_key()
    for local_user in ("work@example.org", other, other[-16:]):
        for message in (
            await alice.sign("x", local_user),
            await alice.encrypt("x", "", True, local_user),
        ):
            [one] = (await alice.decrypt_verify(message)).signatures
            assert one.primary_fingerprint == other
    [one] = (await alice.decrypt_verify(await alice.sign("x"))).signatures
    assert one.primary_fingerprint == alice.fingerprint


# -- what a decryption tells ---------------------------------------------------------------


async def test_all_that_a_decryption_tells(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg]
) -> None:
    gpg = plain_gpg()
    gpg.run("--import", stdin=await alice.text_export())
    to = ("--trust-model", "always", "-r", alice.fingerprint, "--encrypt")
    message = gpg.run(
        *to, "--set-filename", "réport (1).txt", "--cipher-algo", "TWOFISH", stdin=b"\xff"
    )
    found = await alice.decrypt_verify(message.stdout)
    [key] = await alice.keys(ALICE)
    assert found.filename == "réport (1).txt"
    assert found.cipher is SymmetricAlgorithm.TWOFISH
    assert found.recipients == (key.subkeys[2].key_id,)
    assert (found.data, found.encrypted, found.symmetric, found.signatures) == (
        b"\xff",
        True,
        False,
        (),
    )
    assert found.require_good() is found
    with pytest.raises(NotText, match="byte 0"):
        _ = found.text
    signed = await alice.decrypt_verify(await alice.sign(b"\xff"))
    assert (signed.encrypted, signed.recipients, signed.cipher) == (False, (), None)
    assert signed.require_good().data == b"\xff"


# -- errors --------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    alice: GnuPG
    bob: GnuPG
    signed: Signatures

    async def verify(self, name: str) -> object:
        await self.alice.text_import(self.signed.keys)
        return await self.alice.verify(DATA, self.signed.detached[name])

    async def revoked(self) -> str:
        await self.alice.text_import(await self.bob.revoke())
        return self.bob.fingerprint


@pytest.fixture
def world(alice: GnuPG, bob: GnuPG, signed: Signatures) -> World:
    return World(alice, bob, signed)


async def damaged(world: World) -> object:
    message = bytearray(
        await world.alice.encrypt(PLAINTEXT.encode() * 99, armor=False, compress=False)
    )
    message[-900] ^= 1
    return await world.alice.decrypt(bytes(message))


async def not_mine(world: World) -> object:
    return await world.alice.decrypt(await world.alice.encrypt(PLAINTEXT, BOB))


async def not_text(world: World) -> object:
    encrypted = await world.alice.encrypt(PLAINTEXT.encode() + b"\xff")
    return await world.alice.decrypt(encrypted.decode())


async def wrong_passphrase(world: World) -> object:
    message = await world.alice.encrypt_symmetric(PLAINTEXT, "right")
    return await world.alice.decrypt(message, passphrase="not the right one")


async def two_keys(world: World) -> object:
    await world.alice.gen_key()
    return await world.alice.encrypt(PLAINTEXT, ALICE)


async def late(world: World) -> object:
    async with alice_at(Path(world.alice.home), timeout=0.0001) as gpg:
        return await gpg.encrypt(PLAINTEXT, world.alice.fingerprint)


async def large(world: World) -> object:
    async with alice_at(Path(world.alice.home), max_output=100) as gpg:
        return await gpg.encrypt(os.urandom(1000), sign=False)


async def unsigned(world: World) -> object:
    return await world.alice.verify(await world.alice.encrypt(PLAINTEXT))


async def unusable(world: World) -> object:
    return await world.alice.encrypt(PLAINTEXT, await world.revoked())


async def unusable_address(world: World) -> object:
    await world.revoked()
    return await world.alice.encrypt(PLAINTEXT, BOB)


Make = Callable[[World], Awaitable[object]]
GPG, NONE = True, False
#: What is called, its error, the builtin that it is too, and whether a gpg answered.
CALLS: dict[str, tuple[Make, type[GnuPGError], type[Exception], bool]] = {
    "damaged": (damaged, DecryptionFailed, GnuPGError, GPG),
    "not mine": (not_mine, NoSecretKey, LookupError, GPG),
    "not text": (not_text, NotText, ValueError, NONE),
    "wrong passphrase": (wrong_passphrase, BadPassphrase, GnuPGError, GPG),
    "no message": (lambda w: w.alice.decrypt(PLAINTEXT), NotOpenPGP, TypeError, GPG),
    "no key": (lambda w: w.alice.text_import(PLAINTEXT), ImportFailed, ValueError, GPG),
    "unsigned": (unsigned, NotSigned, GnuPGError, NONE),
    "unknown": (lambda w: w.alice.encrypt(PLAINTEXT, "0" * 40), KeyNotFound, KeyError, GPG),
    "two keys": (two_keys, AmbiguousKey, LookupError, NONE),
    "unusable": (unusable, UnusableKey, GnuPGError, GPG),
    "unusable address": (unusable_address, UnusableKey, GnuPGError, NONE),
    "late": (late, GnuPGTimeout, TimeoutError, NONE),
    "large": (large, OutputTooLarge, ValueError, NONE),
    "odd command": (
        lambda w: w.alice.read_output(w.alice.command("--no-such-thing")),
        *(CommandFailed, subprocess.CalledProcessError, GPG),
    ),
    **{
        name: (lambda w, name=name: w.verify(name), error, base, GPG)  # type: ignore[misc]
        for name, error in ERRORS.items()
        for base in [KeyError if error is KeyNotFound else GnuPGError]
    },
}


@pytest.mark.parametrize("name", CALLS)
async def test_an_error_tells_what_happened_and_what_to_do(world: World, name: str) -> None:
    make, kind, builtin, from_gpg = CALLS[name]
    with pytest.raises(GnuPGError) as caught:
        await make(world)
    error = caught.value
    assert type(error) is kind
    assert isinstance(error, builtin)
    told = error.diagnostics()
    first, second, *rest = told.splitlines()
    assert first == f"{kind.__name__}: {error.message}"
    assert second == f"what to do: {error.hint}"
    assert error.hint
    if from_gpg:
        assert error.returncode is not None
        assert error.status
        assert error.stderr
        assert f"command: {error.command}" in rest
        assert f"exit code: {error.returncode}" in rest
        assert f"status: {error.status[0]}" in rest
        assert any(line.startswith("gpg: ") for line in rest)
    for secret in (PLAINTEXT, PASSPHRASE, "not the right one", "right\n"):
        assert secret not in told
        assert secret not in str(error) + repr(error)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(again), again.diagnostics()) == (kind, told)


async def test_require_good_raises_what_decrypt_does(world: World) -> None:
    await world.alice.text_import(world.signed.keys)
    for name, message in world.signed.inline.items():
        found = await world.alice.decrypt_verify(message)
        assert found.data == DATA
        assert [one.good for one in found.signatures].count(True) == name.count("good")
        with pytest.raises(GnuPGError) as kept:
            found.require_good()
        with pytest.raises(GnuPGError) as raised:
            await world.alice.decrypt(message)
        assert type(kept.value) is type(raised.value) is not GnuPGError
        assert kept.value.signatures == found.signatures
