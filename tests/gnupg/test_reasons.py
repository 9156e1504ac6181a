"""Why a message or a key is refused: the reason that is so, in each method that could meet it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.features import asks_for_cards, is_librepgp
from tests.instances import ALICE, MakeGnuPG, PlainGpg, alice_at
from tests.openpgp import SEIPD, first_part, literal, new, parts, pkesk, without_user_ids
from tiny_gnupg import (
    BadPassphrase,
    BadSignature,
    DecryptionFailed,
    GnuPG,
    GnuPGError,
    ImportFailed,
    NoSecretKey,
    NotOpenPGP,
    UnsupportedByGnuPG,
    UnusableKey,
)
from tiny_gnupg._openpgp.armor import dearmor, enarmor
from tiny_gnupg._openpgp.fingerprints import public_part
from tiny_gnupg._openpgp.packets import frame

Call = Callable[[], Awaitable[object]]

#: What nobody may be told who was not found to have done it.
ACCUSING = re.compile("changed|damaged|manipulated|ulimit|killed|processed|secret keys read")


async def refused(awaitable: Awaitable[object], kind: type[GnuPGError], why: str) -> GnuPGError:
    with pytest.raises(kind) as caught:
        await awaitable
    error = caught.value
    assert type(error) is kind
    assert re.search(why, error.message), error.message
    assert not ACCUSING.search(error.message), error.message
    assert error.hint
    return error


def opened(gpg: GnuPG, message: bytes, folder: Path) -> Iterator[Awaitable[object]]:
    """Return each way to open a message."""
    path = folder / "message.gpg"
    path.write_bytes(message)
    yield gpg.decrypt(message)
    yield gpg.decrypt_verify(message)
    yield gpg.decrypt_file(path)
    yield gpg.decrypt_verify_file(path, folder / "out")
    yield anext(gpg.decrypt_many([message]))


# -- keys ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A key as plain gpg exports it, with and without its secret part."""

    fingerprint: str
    public: bytes
    secret: bytes


@pytest.fixture
def block(plain_gpg: Callable[..., PlainGpg]) -> Block:
    plain = plain_gpg()
    plain.run("--yes", "--quick-generate-key", "Carol <carol@example.org>", "ed25519", "sign")
    listed = plain.run("--with-colons", "--list-keys").stdout.decode()
    fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line[:4] == "fpr:")
    exported = plain.run("--export-secret-keys").stdout
    return Block(fingerprint, plain.run("--export").stdout, exported)


def first(data: bytes, change: Callable[[bytes], bytes], tag: int) -> bytes:
    """Change the body of the first packet, which is a key's."""
    head, *_ = frame(data)
    return new(tag, change(head.body)) + data[head.length :]


def protected(data: bytes, how: bytes) -> bytes:
    """Protect the secret part of a key in another way."""
    return first(data, lambda body: public_part(body) + how + bytes(60), 5)


IMPORTS: dict[str, tuple[Callable[[Block], bytes], str]] = {
    "AEAD": (
        lambda made: protected(made.secret, b"\xfd\x18\x09\x02\x03\x08saltsalt\x60"),
        "{}: .*AEAD",
    ),
    "Argon2": (lambda made: protected(made.secret, b"\xfe\x09\x04" + bytes(19)), "{}: .*Argon2"),
    "version 3": (lambda made: first(made.public, lambda body: b"\x03" + body[1:], 6), "PGP 2"),
    "version 5": (lambda made: first(made.public, lambda body: b"\x05" + body[1:], 6), "version 5"),
    "version 6": (lambda made: first(made.public, lambda body: b"\x06" + body[1:], 6), "version 6"),
    "Ed448": (
        lambda made: first(made.public, lambda body: body[:5] + b"\x1c" + bytes(57), 6),
        "ED448",
    ),
    "a secret one of Ed448": (
        lambda made: first(made.secret, lambda body: body[:5] + b"\x1c" + bytes(115), 5),
        "ED448",
    ),
    "a secret one without a user id": (
        lambda made: without_user_ids(made.secret),
        "{}: a secret key without a user id",
    ),
    "a certification": (lambda made: first_part(2, made.public), "a signature, not a key"),
    "half of it": (lambda made: made.public[:-10], "ends inside"),
    "a message": (lambda _: literal(), "literal data"),
    "text": (lambda _: b"text", "no OpenPGP key"),
}


@pytest.mark.parametrize("name", IMPORTS)
async def test_an_import_says_the_reason_of_each_key(
    alice: GnuPG, block: Block, name: str, tmp_path: Path
) -> None:
    make, why = IMPORTS[name]
    data = make(block)
    path = tmp_path / "key"
    path.write_bytes(data)
    before = await alice.keys()
    for call in (alice.text_import(data), alice.file_import(path)):
        error = await refused(call, ImportFailed, why.format(block.fingerprint))
        assert error.stderr
    if name != "Ed448" and not (name == "version 5" and is_librepgp()):  # those gpg can show
        await refused(alice.scan(data), NotOpenPGP, why.format(block.fingerprint))
    assert await alice.keys() == before


async def test_a_revocation_certificate_wants_its_key(
    alice: GnuPG, block: Block, plain_gpg: Callable[..., PlainGpg]
) -> None:
    plain = plain_gpg()
    plain.run("--import", stdin=block.secret)
    plain.run("--yes", "--quick-generate-key", "Dave <dave@example.org>", "ed25519", "sign")
    (path,) = (plain.home / "openpgp-revocs.d").glob("*.rev")
    certificate = path.read_text().replace(":-----BEGIN", "-----BEGIN")
    error = await refused(alice.text_import(certificate), ImportFailed, f"revoc.*{path.stem}")
    assert error.hint == "import that key first"
    for call in (
        alice.decrypt(certificate),
        alice.decrypt_verify(certificate),
        alice.verify(certificate),
    ):
        await refused(call, NotOpenPGP, "revocation certificate, not a message")
    await alice.text_import(plain.run("--export", path.stem).stdout)
    await alice.text_import(certificate)
    [key] = await alice.keys(path.stem)
    assert key.revoked


async def test_a_part_of_a_block_is_not_shown_as_the_whole(alice: GnuPG, block: Block) -> None:
    mine = dearmor((await alice.text_export()).encode())
    foreign = IMPORTS["version 6"][0](block)
    [key] = await alice.scan(mine)
    assert await alice.scan(mine + block.public) == (key, *await alice.scan(block.public))
    await refused(alice.scan(mine + block.public[:-10]), NotOpenPGP, "ends inside")
    if not is_librepgp():  # such ones do not read on behind a key that they do not know
        assert await alice.scan(mine + foreign) == (key,)


# -- messages ------------------------------------------------------------------------------


async def test_a_session_key_of_an_algorithm_that_this_gpg_lacks(
    alice: GnuPG, tmp_path: Path
) -> None:
    for number, name in ((25, "X25519"), (26, "X448"), (8, "KYBER")):
        message = new(1, b"\x03" + b"\x11" * 8 + bytes([number]) + bytes(60)) + SEIPD
        for call in opened(alice, message, tmp_path):
            if is_librepgp():
                await refused(call, NoSecretKey, "1111111111111111")
            else:
                await refused(call, UnsupportedByGnuPG, name)


async def test_what_no_gnupg_opens_is_refused_before_it_sees_it(
    alice: GnuPG, tmp_path: Path
) -> None:
    argon2 = new(3, b"\x04\x09\x04" + bytes(40)) + SEIPD
    packed = zlib.compressobj(wbits=-15)
    for message, kind, why in (
        (argon2, UnsupportedByGnuPG, "Argon2"),
        (new(3, b"\x06\x1a" + bytes(40)) + SEIPD, UnsupportedByGnuPG, "version 6"),
        (SEIPD, DecryptionFailed, "no session key"),
        (new(9, bytes(range(40))), DecryptionFailed, "no session key"),
    ):
        for call in opened(alice, message, tmp_path):
            await refused(call, kind, why)
    # Not seen from outside: gpg aborts, and nobody killed it.
    inside = new(8, b"\x01" + packed.compress(argon2) + packed.flush())
    for call in (
        alice.decrypt(inside, passphrase="pw"),
        alice.decrypt_file(tmp_path / "message.gpg", tmp_path / "out", passphrase="pw"),
    ):
        (tmp_path / "message.gpg").write_bytes(inside)
        await refused(call, DecryptionFailed, "broke off by itself|no session key")


async def test_a_message_of_rfc_9580_is_not_damaged(alice: GnuPG, tmp_path: Path) -> None:
    sealed = await alice.encrypt(b"text", sign=False, armor=False)
    (tag, session_key), *_ = parts(sealed)
    assert tag == 1
    aead = session_key + new(18, b"\x02\x09\x02\x06" + bytes(60))
    six = new(1, b"\x06\x00\x19" + bytes(60)) + SEIPD
    signed = new(4, b"\x06\x00\x0a\x1b\x00" + bytes(33)) + literal() + new(2, b"\x06" + bytes(60))
    for message, why in ((aead, "AEAD"), (six, "version 6"), (signed, "version 6")):
        for call in opened(alice, message, tmp_path):
            await refused(call, UnsupportedByGnuPG, why)
    await refused(alice.verify(signed), UnsupportedByGnuPG, "version 6")


async def test_a_secret_key_on_a_card_is_said_to_be_there(
    alice: GnuPG, make_gnupg: MakeGnuPG, tmp_path: Path
) -> None:
    message = await alice.encrypt(b"text", sign=False)
    await alice.aclose()
    for path in Path(alice.home, "private-keys-v1.d").glob("*.key"):
        public, _, _ = path.read_bytes().partition(b"(protected ")
        stub = public.replace(b"(protected-private-key", b"(shadowed-private-key")
        card = b"(shadowed t1-v1 (#D2760001240102000005000012340000# OPENPGP.2))))\n"
        path.write_bytes(stub + card)
    again = make_gnupg(alice_at)
    for call in opened(again, message, tmp_path):
        error = await refused(call, NoSecretKey, "on a card")
        assert "scdaemon" in error.hint
    for call in (again.sign("x", ALICE), again.encrypt("x", ALICE, True, ALICE)):
        await refused(call, NoSecretKey if asks_for_cards() else UnusableKey, "on a card")


@pytest.mark.parametrize("hidden", [False, True])
async def test_a_secret_key_that_is_not_here_is_not_said_to_be_on_a_card(
    alice: GnuPG, make_gnupg: MakeGnuPG, tmp_path: Path, hidden: bool
) -> None:
    """A subkey's secret part may be kept elsewhere, or be another key's (ADSK)."""
    message = await alice.encrypt(b"text", sign=False, hidden=hidden)
    [subkey] = [one for one in (await alice.own()).subkeys if "e" in one.capabilities]
    await alice.aclose()
    Path(alice.home, "private-keys-v1.d", f"{subkey.keygrip}.key").unlink()
    for call in opened(make_gnupg(alice_at), message, tmp_path):
        await refused(call, NoSecretKey, "none of the message's keys is here")


async def test_what_damaged_armor_seems_to_hold_is_not_believed(
    alice: GnuPG, tmp_path: Path
) -> None:
    # A session key of version 6, by its first octets: chance may make that of any message.
    seems = enarmor(bytes([0xC1, 20, 6]) + bytes(19), "MESSAGE")
    damaged = re.sub(r"(?m)^=....$", "=AAAA", seems)
    for call in opened(alice, damaged.encode(), tmp_path):
        await refused(call, NotOpenPGP, "not whole: the armor's checksum is wrong")


ARMORED = ("encrypted", "signed", "clear", "detached", "key")


@pytest.mark.parametrize("form", ["checksum", "line", "end"])
@pytest.mark.parametrize("name", ARMORED)
async def test_damaged_armor_is_said_to_be_that(
    alice: GnuPG, name: str, form: str, tmp_path: Path
) -> None:
    text = {
        "encrypted": await alice.encrypt("text " * 20, sign=False),
        "signed": await alice.sign("text " * 20),
        "clear": await alice.sign("text", clear=True),
        "detached": await alice.sign("text", detach=True),
        "key": await alice.text_export(),
    }[name]
    head, _, body = text.rpartition("\n\n")
    if form == "checksum":
        data = re.sub(r"(?m)^=....$", "=AAAA", body)
    elif form == "line":
        data = body.partition("\n")[2]
    else:
        data = body[: len(body) // 2]
    damaged = f"{head}\n\n{data}"
    path = tmp_path / "damaged.asc"
    path.write_text(damaged)
    (tmp_path / "data").write_text("text")
    decrypting: list[Call] = [
        lambda: alice.decrypt(damaged),
        lambda: alice.decrypt_verify(damaged),
        lambda: alice.decrypt_file(path),
    ]
    verifying: list[Call] = [lambda: alice.verify(damaged), lambda: alice.verify_file(path)]
    calls: dict[str, list[Call]] = {
        "encrypted": decrypting,
        "signed": decrypting + verifying,
        "clear": decrypting + verifying,
        "detached": [
            lambda: alice.verify("text", damaged),
            lambda: alice.verify_file(tmp_path / "data", path),
        ],
        "key": [lambda: alice.text_import(damaged), lambda: alice.scan(damaged)],
    }
    for call in calls[name]:
        with pytest.raises(GnuPGError) as caught:
            await call()
        said = str(caught.value)
        assert re.search("armor|ends inside|no OpenPGP packet|cut off|not whole", said), said
        assert "signature that gpg can read" not in said
    assert not (tmp_path / "damaged").exists()


async def test_what_is_no_message_is_named(alice: GnuPG) -> None:
    key = await alice.text_export()
    detached = await alice.sign(b"data", detach=True)
    certification = first_part(2, dearmor(key.encode()))
    for data, why in (
        (key.encode(), "a key, not a message"),
        (detached, "without its data"),
        (certification, "signature of a key"),
    ):
        for call in (alice.decrypt(data), alice.decrypt_verify(data), alice.verify(data)):
            await refused(call, NotOpenPGP, why)


async def test_a_wrong_passphrase_and_none_are_told_apart(alice: GnuPG) -> None:
    message = await alice.encrypt_symmetric("text", "right")
    await refused(alice.decrypt(message, passphrase="wrong"), BadPassphrase, "does not open")
    assert await alice.decrypt(message, passphrase="right") == "text"
    nobody = pkesk(b"\x22" * 8) + SEIPD
    await refused(alice.decrypt(nobody), NoSecretKey, "2222222222222222")


async def test_of_keys_that_are_cut_off_none_comes_in(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg], tmp_path: Path
) -> None:
    """gpg takes those before the end, and nobody would know of the others."""
    other = plain_gpg()
    made = [other.new_key(f"{name} <{name}@x.org>") for name in ("carol", "dave")]
    whole, before = other.run("--export", *made).stdout, await alice.list_keys()
    (tmp_path / "keys").write_bytes(whole[:-20])
    cut = other.run("--armor", "--export", *made).stdout.splitlines(keepends=True)
    for call in (
        alice.text_import(whole[:-20]),
        alice.text_import(whole[:-20], secret=False),
        alice.text_import(b"".join(cut[: len(cut) // 2 + 4])),
        alice.file_import(tmp_path / "keys"),
    ):
        with pytest.raises(ImportFailed, match="nothing was imported: "):
            await call
        assert await alice.list_keys() == before
    assert (await alice.text_import(whole)).imported == 2


async def test_armor_without_an_end_is_not_called_text_alone(alice: GnuPG, tmp_path: Path) -> None:
    """gpg takes it, so that in memory it is good; of a file, nobody can tell where it ends."""
    signed = (await alice.sign(b"x")).partition(b"-----END")[0]
    assert (await alice.verify(signed)).data == b"x"
    (tmp_path / "file").write_bytes(signed)
    with pytest.raises(BadSignature, match="or its armor has no end"):
        await alice.verify_file(tmp_path / "file")


async def test_armor_needs_no_checksum(alice: GnuPG, tmp_path: Path) -> None:
    """It is optional (RFC 9580, section 6.1); by what the padding is, GnuPG 2.2.40 wants it."""

    def bare(armor: bytes) -> bytes:
        made = re.sub(rb"\n=[^\n]{4}\n-----END", b"\n-----END", armor)
        assert made != armor
        return made

    file, out = tmp_path / "file", tmp_path / "out"
    for size in range(40, 46):
        text = bytes(range(size))
        signed, sealed = bare(await alice.sign(text)), bare(await alice.encrypt(text, ""))
        file.write_bytes(signed)
        assert (await alice.verify(signed)).data == text
        assert (await alice.verify_file(file)).signed_by(alice.fingerprint)
        for message in (signed, sealed):
            file.write_bytes(message)
            assert await alice.decrypt(message) == text
            await alice.decrypt_file(file, out, overwrite=True)
            assert out.read_bytes() == text
            async with alice.decrypt_stream([message]) as plain:
                assert await plain.read() == text
        changed = bytearray(dearmor(sealed))
        changed[-1] ^= 1
        with pytest.raises(DecryptionFailed, match="changed"):
            await alice.decrypt(bare(enarmor(bytes(changed), "MESSAGE").encode()))
