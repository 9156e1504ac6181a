"""PGP/MIME right on the first try: made here, sent by a real SMTP server, read here and by gpg."""

from __future__ import annotations

import asyncio
import email.policy
import re
import smtplib
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP

from tests.instances import ALICE, BOB, MakeGnuPG, PlainGpg
from tiny_gnupg import (
    BadSignature,
    GnuPG,
    GnuPGError,
    KeyNotFound,
    NotSigned,
    UnusableKey,
    WrongSigner,
    mail,
)

TEXT = "Grüße, Bob!\n\nFrom here on \nblanks:  \n-- \nAlice\n"
SUBJECT = "Überraschung"


@pytest.fixture
def letter() -> EmailMessage:
    """A mail that holds all that servers spoil, and an attachment of every byte."""
    made = EmailMessage()
    made["From"] = f"Alice Å <{ALICE}>"
    made["To"] = f"Bob <{BOB}>"
    made["Subject"] = SUBJECT
    made["X-Mailer"] = "a test"
    made.set_content(TEXT)
    made.add_alternative("<p>Grüße </p>\n", subtype="html")
    made.add_attachment(
        bytes(range(256)), maintype="application", subtype="octet-stream", filename="all.bin"
    )
    return made


async def sent(message: EmailMessage) -> bytes:
    """Send a mail through a server on loopback, and return what the server got."""

    class Inbox:
        got = b""

        async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
            self.got = envelope.original_content
            return "250 OK"

    inbox = Inbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(inbox), "127.0.0.1", 0)

    def send() -> None:
        with smtplib.SMTP(*server.sockets[0].getsockname()) as client:
            client.send_message(message)

    async with server:
        await asyncio.to_thread(send)
    return inbox.got


def texts(message: EmailMessage) -> list[str]:
    parts = [part for part in message.walk() if part.get_content_maintype() == "text"]
    return [part.get_content().replace("\r\n", "\n") for part in parts]


def same_content(opened: mail.OpenedMail, letter: EmailMessage) -> bool:
    attached = [part.get_content() for part in opened.message.iter_attachments()]
    assert attached == [bytes(range(256))]
    return texts(opened.message) == texts(letter)


async def test_a_signed_mail_is_good_behind_a_server(
    alice: GnuPG, bob: GnuPG, letter: EmailMessage
) -> None:
    before = letter.as_bytes()
    got = await sent(await mail.sign(alice, letter))
    opened = await mail.verify(bob, got)
    assert letter.as_bytes() == before
    assert same_content(opened, letter)
    assert (opened.encrypted, opened.whole) == (False, True)
    assert [one.primary_fingerprint for one in opened.signatures] == [alice.fingerprint]
    assert opened.message["subject"] == SUBJECT
    assert opened.message["x-mailer"] is None


@pytest.mark.parametrize("form", ["bytes", "LF bytes", "parsed", "parsed by another policy", "own"])
async def test_it_is_good_in_each_form_in_which_a_mail_is_held(
    alice: GnuPG, bob: GnuPG, letter: EmailMessage, form: str
) -> None:
    made = await mail.sign(alice, letter)
    got = made.as_bytes(policy=email.policy.SMTP)
    stored = got.replace(b"\r\n", b"\n")
    forms: dict[str, Any] = {
        "bytes": got,
        "LF bytes": stored,
        "parsed": message_from_bytes(got, policy=email.policy.default),
        "parsed by another policy": message_from_bytes(stored, policy=email.policy.SMTPUTF8),
        "own": made,
    }
    assert same_content(await mail.verify(bob, forms[form]), letter)


async def test_what_is_signed_is_canonical_and_micalg_names_its_digest(
    alice: GnuPG, letter: EmailMessage
) -> None:
    got = (await mail.sign(alice, letter)).as_bytes()
    read: Any = message_from_bytes(got, policy=email.policy.default)
    boundary = b"--" + read.get_boundary().encode() + b"\r\n"
    covered = got.split(boundary)[1].removesuffix(b"\r\n")
    assert covered.isascii()
    assert not re.search(rb"[ \t]\r?\n|(?m:^From )|[^\r]\n", covered)
    assert max(map(len, covered.split(b"\r\n"))) <= 78
    signature = read.get_payload(1).get_payload(decode=True)
    (found,) = (await alice.verify(covered, signature)).signatures
    assert found.hash is not None
    assert read["content-type"].params["micalg"] == f"pgp-{found.hash.name.lower()}"
    assert read["content-type"].params["protocol"] == "application/pgp-signature"


async def test_plain_gpg_verifies_what_we_signed_and_reads_what_we_encrypted(
    alice: GnuPG, letter: EmailMessage, plain_gpg: Any, tmp_path: Path
) -> None:
    plain: PlainGpg = plain_gpg()
    plain.run("--import", stdin=(await alice.text_export()).encode())
    other = plain.new_key(f"Bob <{BOB}>")
    await alice.text_import(plain.run("--armor", "--export", other).stdout.decode())
    got = await sent(await mail.encrypt(alice, letter, [other]))
    read: Any = message_from_bytes(got, policy=email.policy.default)
    (tmp_path / "sealed").write_bytes(read.get_payload(1).get_payload(decode=True))
    opened = plain.run("--decrypt", str(tmp_path / "sealed"))
    assert b"Good signature" in opened.stderr
    inside: Any = message_from_bytes(opened.stdout, policy=email.policy.default)
    assert texts(inside) == texts(letter)


async def test_an_encrypted_mail_hides_its_subject_and_comes_back_whole(
    alice: GnuPG, bob: GnuPG, letter: EmailMessage
) -> None:
    got = await sent(await mail.encrypt(alice, letter))
    assert SUBJECT.encode() not in got
    assert message_from_bytes(got, policy=email.policy.default)["subject"] == "..."
    opened = await mail.decrypt(bob, got)
    assert same_content(opened, letter)
    assert opened.message["subject"] == SUBJECT
    assert (opened.encrypted, opened.whole) == (True, True)
    assert opened.require_signed() is opened
    assert "Grüße" not in repr(opened)


async def test_an_encrypted_mail_that_nobody_signed_says_so(
    alice: GnuPG, bob: GnuPG, letter: EmailMessage
) -> None:
    got = (await mail.encrypt(alice, letter, sign=False)).as_bytes()
    opened = await mail.decrypt(bob, got)
    assert opened.signatures == ()
    with pytest.raises(NotSigned):
        opened.require_signed()
    with pytest.raises(NotSigned):
        await mail.decrypt(bob, got, signer=ALICE)


@pytest.mark.parametrize("how", ["sign", "encrypt"])
async def test_who_signed_must_be_whom_From_names(
    alice: GnuPG, bob: GnuPG, letter: EmailMessage, how: str
) -> None:
    letter.replace_header("From", "Carol <carol@example.org>")
    if how == "sign":
        got, read = await mail.sign(alice, letter), mail.verify
    else:
        got, read = await mail.encrypt(alice, letter), mail.decrypt
    with pytest.raises(WrongSigner) as caught:
        await read(bob, got)
    assert caught.value.value == alice.fingerprint
    assert len(caught.value.signatures) == 1
    assert (await read(bob, got, signer=ALICE)).signatures
    assert (await read(bob, got, signer=[BOB, alice.fingerprint])).signatures
    with pytest.raises(WrongSigner):
        await read(bob, got, signer=BOB)


async def test_a_signer_is_named_as_for_verify(
    alice: GnuPG, bob: GnuPG, letter: EmailMessage
) -> None:
    """Text is not looked for in user ids, and the empty text is oneself, not anybody."""
    signed, sealed = await mail.sign(alice, letter), await mail.encrypt(alice, letter)
    (key,) = await bob.keys(ALICE)
    for read, got in ((mail.verify, signed), (mail.decrypt, sealed)):
        assert (await read(bob, got, signer=key)).signatures
        assert (await read(bob, got, signer=(one for one in (BOB, ALICE)))).signatures
        with pytest.raises(WrongSigner):
            await read(bob, got, signer="")
        for nobody in ("example", [], [""]):
            with pytest.raises(ValueError, match="signer"):
                await read(bob, got, signer=nobody)
        with pytest.raises(KeyNotFound):
            await read(bob, got, signer="nobody@example.org")


async def test_From_names_whoever_has_the_address_now(
    alice: GnuPG, bob: GnuPG, letter: EmailMessage
) -> None:
    """Neither who gave it up, nor whose user id has a part of it."""
    await alice.add_uid("", "Carol", "carol@example.org")
    await alice.revoke_uid("", "carol@example.org")
    await bob.text_import(await alice.text_export())
    letter.replace_header("From", "carol@example.org")
    for read, got in (
        (mail.verify, await mail.sign(alice, letter)),
        (mail.decrypt, await mail.encrypt(alice, letter)),
    ):
        with pytest.raises(WrongSigner, match="not by carol"):
            await read(bob, got)
    letter.replace_header("From", "example")
    with pytest.raises(ValueError, match="one address"):
        await mail.verify(bob, await mail.sign(alice, letter))


async def test_what_is_no_mail_is_a_type_error(alice: GnuPG) -> None:
    """``bytes(7)`` would be seven octets."""
    wrong: Any
    for wrong in (7, None, "From: x", [b"x"]):
        with pytest.raises(TypeError, match="mail"):
            mail.autocrypt_key(wrong)
        for work in (mail.verify, mail.decrypt, mail.sign, mail.encrypt):
            with pytest.raises(TypeError, match="mail"):
                await work(alice, wrong)


async def test_a_From_outside_that_was_changed_does_not_count(
    alice: GnuPG, bob: GnuPG, letter: EmailMessage
) -> None:
    """What the signature covers names the sender, and is what comes back."""
    made = await mail.sign(alice, letter)
    made.replace_header("From", f"Bob <{BOB}>")
    made.replace_header("Subject", "You owe me ten")
    opened = await mail.verify(bob, made.as_bytes())
    assert (opened.message["from"], opened.message["subject"]) == (letter["from"], SUBJECT)


@pytest.mark.parametrize("name", ["Subject", "Cc", "Reply-To", "Date", "Message-ID"])
async def test_a_header_without_a_value_breaks_no_signature(
    alice: GnuPG, bob: GnuPG, letter: EmailMessage, name: str
) -> None:
    for value in ("", "  "):
        del letter[name]
        letter[name] = value
        signed = await mail.sign(alice, letter)
        for got in (await sent(signed), signed.as_bytes(), signed):
            opened = await mail.verify(bob, got)
            assert opened.whole
            assert not opened.message[name]
        sealed = await sent(await mail.encrypt(alice, letter, [BOB]))
        assert not (await mail.decrypt(bob, sealed)).message[name]


async def test_a_changed_mail_is_refused(alice: GnuPG, bob: GnuPG, letter: EmailMessage) -> None:
    got = (await mail.sign(alice, letter)).as_bytes()
    with pytest.raises(BadSignature):
        await mail.verify(bob, got.replace(b"blanks", b"blinks"))
    sealed = (await mail.encrypt(alice, letter)).as_bytes()
    lines = sealed.split(b"\r\n")
    lines[-8] = lines[-8][::-1]
    with pytest.raises(GnuPGError):
        await mail.decrypt(bob, b"\r\n".join(lines))


async def test_bcc_never_travels(alice: GnuPG, bob: GnuPG, letter: EmailMessage) -> None:
    letter["Bcc"] = "secret@example.org"
    with pytest.raises(ValueError, match="Bcc"):
        await mail.encrypt(alice, letter)
    sealed = await mail.encrypt(alice, letter, BOB)
    assert b"secret@" not in (await mail.sign(alice, letter)).as_bytes() + sealed.as_bytes()
    assert (await mail.decrypt(bob, sealed)).message["bcc"] is None


async def test_what_has_no_recipient_or_nothing_to_open_is_said(
    alice: GnuPG, letter: EmailMessage
) -> None:
    del letter["to"]
    with pytest.raises(ValueError, match="recipient"):
        await mail.encrypt(alice, letter)
    with pytest.raises(ValueError, match="nothing encrypted"):
        await mail.decrypt(alice, letter)
    with pytest.raises(NotSigned):
        await mail.verify(alice, letter)
    with pytest.raises(NotSigned, match="no signature"):
        await mail.verify(alice, await mail.encrypt(alice, letter, ALICE))
    with pytest.raises(KeyNotFound):
        await mail.encrypt(alice, letter, "nobody@example.org")


# -- what other programs make ------------------------------------------------------------------


def thunderbird(part: bytes, signature: str) -> bytes:
    """A preamble, a description, and Autocrypt's key beside the signature."""
    return (
        (
            f"From: Alice <{ALICE}>\r\nTo: {BOB}\r\nSubject: hello\r\n"
            "Content-Type: multipart/signed; micalg=pgp-sha256;\r\n"
            ' protocol="application/pgp-signature";\r\n'
            ' boundary="------------i0QUXF0000000000000000"\r\n\r\n'
            "This is an OpenPGP/MIME signed message (RFC 4880 and 3156)\r\n"
            "--------------i0QUXF0000000000000000\r\n"
        ).encode()
        + part
        + (
            "\r\n--------------i0QUXF0000000000000000\r\n"
            'Content-Type: application/pgp-signature; name="OpenPGP_signature.asc"\r\n'
            "Content-Description: OpenPGP digital signature\r\n"
            'Content-Disposition: attachment; filename="OpenPGP_signature"\r\n\r\n'
            f"{signature}\r\n--------------i0QUXF0000000000000000--\r\n"
        ).encode()
    )


def apple(part: bytes, signature: str) -> bytes:
    """Another order of the parameters, folded, and no word but them."""
    return (
        (
            f"From: Alice <{ALICE}>\nTo: {BOB}\nSubject: hello\n"
            'Content-Type: multipart/signed;\n\tboundary="Apple-Mail=_81C3";\n'
            '\tprotocol="application/pgp-signature";\n\tmicalg=pgp-sha512\n\n\n--Apple-Mail=_81C3\n'
        ).encode()
        + part.replace(b"\r\n", b"\n")
        + (
            "\n--Apple-Mail=_81C3\nContent-Transfer-Encoding: 7bit\n"
            "Content-Disposition: attachment;\n\tfilename=signature.asc\n"
            "Content-Type: application/pgp-signature;\n\tname=signature.asc\n"
            "Content-Description: Message signed with OpenPGP\n\n"
            f"{signature}\n--Apple-Mail=_81C3--\n"
        ).encode()
    )


def mutt(part: bytes, signature: str) -> bytes:
    """Inline dispositions, a boundary without quotes, an epilogue."""
    return (
        (
            f"From: Alice <{ALICE}>\r\nTo: {BOB}\r\nSubject: hello\r\n"
            "Content-Type: multipart/signed; micalg=pgp-sha256;\r\n"
            '\tprotocol="application/pgp-signature"; boundary=uQr8t48UFsdbeI+V\r\n'
            "Content-Disposition: inline\r\n\r\n\r\n--uQr8t48UFsdbeI+V\r\n"
        ).encode()
        + part
        + (
            "\r\n--uQr8t48UFsdbeI+V\r\n"
            "Content-Type: application/pgp-signature; name=signature.asc\r\n"
            f"\r\n{signature}\r\n--uQr8t48UFsdbeI+V--\r\nan epilogue\r\n"
        ).encode()
    )


PARTS = {
    "quoted-printable": "Content-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n",
    "base64": "Content-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\nR3LDvMOfZQ0K\r\n",
    "without a header": "\r\nGrusse\r\n",
    "with blanks": "Content-Type: text/plain\r\n\r\nGrusse\r\n\r\n-- \r\nAlice\r\n",
    "nested": 'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nGrusse\r\n--b--\r\n',
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("program", [thunderbird, apple, mutt])
async def test_what_other_programs_sign(alice: GnuPG, bob: GnuPG, program: Any, part: str) -> None:
    octets = part.encode()
    signature = (await alice.sign(octets, detach=True)).decode()
    opened = await mail.verify(bob, program(octets, signature))
    assert opened.whole
    assert re.match("Gr(ü|u)(ß|ss)e", texts(opened.message)[0])
    assert opened.message["subject"] is None  # it was not covered
    changed = octets.replace(b"\r\nG", b"\r\nT", 1).replace(b"R3LD", b"R3MD")
    with pytest.raises(GnuPGError):
        await mail.verify(bob, program(changed, signature))


async def test_what_a_mailing_list_put_around_is_not_covered(alice: GnuPG, bob: GnuPG) -> None:
    octets = PARTS["quoted-printable"].encode()
    signature = (await alice.sign(octets, detach=True)).decode()
    head, _, body = mutt(octets, signature).partition(b"\r\nContent-Type: ")
    listed = (
        head
        + b'\r\nContent-Type: multipart/mixed; boundary="list"\r\n\r\n--list\r\nContent-Type: '
        + body
        + b"\r\n--list\r\n\r\nsend money to Mallory\r\n--list--\r\n"
    )
    opened = await mail.verify(bob, listed)
    assert not opened.whole
    assert texts(opened.message) == ["Grüße\n"]
    assert b"Mallory" not in opened.message.as_bytes()


@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
async def test_inline_pgp(alice: GnuPG, bob: GnuPG, encoding: str) -> None:
    for made, read in (
        (await alice.sign(TEXT, clear=True), mail.verify),
        (await alice.encrypt(TEXT, BOB), mail.decrypt),
    ):
        message = EmailMessage()
        message["From"] = ALICE
        message.set_content(f"> a quote\n\n{made}", cte=encoding)
        opened = await read(bob, message.as_bytes())
        assert not opened.whole
        assert [line.rstrip() for line in opened.message.get_content().splitlines()] == [
            line.rstrip() for line in TEXT.splitlines()
        ]
        message.set_content(made, cte=encoding)
        assert (await read(bob, message)).whole


async def test_a_signed_part_inside_an_encrypted_one(alice: GnuPG, bob: GnuPG) -> None:
    """RFC 3156, section 6.1, and how Exchange passes it on: as multipart/mixed."""
    octets = PARTS["base64"].encode()
    inside = mutt(octets, (await alice.sign(octets, detach=True)).decode())
    inside = inside[inside.index(b"Content-Type") :]
    sealed = (await alice.encrypt(inside, BOB, sign=False)).decode()
    for kind, whole in (("encrypted", True), ("mixed", False)):
        message = (
            f"From: {ALICE}\r\nContent-Type: multipart/{kind}; boundary=x;"
            ' protocol="application/pgp-encrypted"\r\n\r\n--x\r\n'
            "Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n--x\r\n"
            f"Content-Type: application/octet-stream\r\n\r\n{sealed}\r\n--x--\r\n"
        ).encode()
        opened = await mail.decrypt(bob, message)
        assert texts(opened.message) == ["Grüße\n"]
        assert [one.primary_fingerprint for one in opened.signatures] == [alice.fingerprint]
        assert opened.whole == whole


# -- Autocrypt ---------------------------------------------------------------------------------


async def test_an_autocrypt_header_carries_a_key_that_works(
    alice: GnuPG, letter: EmailMessage, other_home: Path
) -> None:
    await alice.add_uid("", "Alice at work", "alice@work.example")
    letter["Autocrypt"] = await mail.autocrypt(alice)
    key = mail.autocrypt_key(await sent(letter))
    assert key is not None
    assert len(key) < 600
    async with GnuPG(homedir=other_home) as stranger:
        await stranger.text_import(key)
        (found,) = await stranger.keys()
        assert [user_id.email for user_id in found.user_ids] == [ALICE]
        assert await alice.decrypt(await stranger.encrypt("hello", ALICE, sign=False)) == "hello"


async def test_an_autocrypt_header_is_of_the_address_that_was_named(make_gnupg: MakeGnuPG) -> None:
    async with make_gnupg(lambda home, **_: GnuPG("Alice", homedir=home)) as gpg:
        await gpg.gen_key()
        with pytest.raises(UnusableKey, match="no address"):
            await mail.autocrypt(gpg)
        for email in ("home@example.org", "work@example.org", "old@example.org"):
            await gpg.add_uid("", "Alice", email)
        await gpg.revoke_uid("", "old@example.org")
        assert (await mail.autocrypt(gpg)).startswith(f"addr={await gpg.key_email()};")
        assert (await mail.autocrypt(gpg, "Work@example.org")).startswith("addr=work@example.org;")
        gpg.email = "home@example.org"
        assert (await mail.autocrypt(gpg)).startswith("addr=home@example.org;")
        with pytest.raises(UnusableKey, match="no address old"):
            await mail.autocrypt(gpg, "old@example.org")
        await gpg.revoke()
        with pytest.raises(UnusableKey, match="revoked"):
            await mail.autocrypt(gpg)


@pytest.mark.parametrize(
    ("value", "sender"),
    [
        ("addr=mallory@example.org; keydata=AAAA", ALICE),
        (f"addr={ALICE}; unknown=1; keydata=AAAA", ALICE),
        (f"addr={ALICE}; keydata=", ALICE),
        (f"addr={ALICE}; keydata=!!!", ALICE),
        (f"addr={ALICE}", ALICE),
        (f"addr={ALICE}; keydata=AAAA", f"{ALICE}, {BOB}"),
    ],
)
def test_an_autocrypt_header_that_is_to_be_ignored(value: str, sender: str) -> None:
    message = EmailMessage()
    message["From"] = sender
    assert mail.autocrypt_key(message) is None
    message["Autocrypt"] = value
    assert mail.autocrypt_key(message) is None


def test_two_autocrypt_headers_are_ignored_and_an_uncritical_attribute_is_not() -> None:
    message = EmailMessage()
    message["From"] = ALICE
    message["Autocrypt"] = f"addr={ALICE.upper()}; _new=1; prefer-encrypt=mutual; keydata=AA AA"
    assert mail.autocrypt_key(message) == b"\0\0\0"
    message["Autocrypt"] = f"addr={ALICE}; keydata=AAAA"
    assert mail.autocrypt_key(message) is None
