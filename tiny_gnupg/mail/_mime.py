"""MIME entities as bytes: made canonical to be signed, and cut out as they came to be verified."""

from __future__ import annotations

import quopri
import re
import secrets
from base64 import encodebytes
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from email.parser import BytesHeaderParser
from email.utils import getaddresses

from tiny_gnupg._gpg.arguments import checked_data

#: Seven bits and CRLF: what mail servers leave as it is.
CANONICAL = policy.SMTP.clone(cte_type="7bit", max_line_length=76)
#: As it came: no header is folded anew.
AS_IT_IS = policy.SMTP.clone(refold_source="none")
#: The headers that travel inside, too.
PROTECTED = frozenset(
    {"from", "to", "cc", "reply-to", "subject", "date", "message-id", "in-reply-to", "references"}
)
#: Entities deep in which a signed or an encrypted one is looked for.
DEEPEST = 8
#: What servers change on the way: white space at the end of a line, and mailboxes' separators.
_FRAGILE = re.compile(rb"[ \t]\r?$|^From |[^\x00-\x7f]|[^\n]{999}", re.MULTILINE)
_SEPARATOR = re.compile(rb"^From ", re.MULTILINE)
_LINE = r"^-----{} PGP {}-----[ \t\r]*$"
#: How what is inline begins and ends.
_INLINE = {
    kind: (
        re.compile(_LINE.format("BEGIN", begin), re.MULTILINE),
        re.compile(_LINE.format("END", end), re.MULTILINE),
    )
    for kind, begin, end in (
        ("encrypted", "MESSAGE", "MESSAGE"),
        ("signed", "SIGNED MESSAGE", "SIGNATURE"),
    )
}
#: Octets of a header that is read: of longer ones, made for that, Python takes minutes.
LONGEST = 2000
#: A header about the content that is longer, in any of the entities that are in each other.
_TOO_LONG = re.compile(
    rb"(?:^|\r)content-[a-z-]{1,40}:(?:[^\r\n]|\r?\n[ \t]|\r[ \t]){%d}" % LONGEST,
    re.MULTILINE | re.IGNORECASE,
)


def is_of_content(name: str) -> bool:
    """Return whether a header is about the content of an entity, and goes where that goes."""
    return name.lower().startswith("content-") or name.lower() == "mime-version"


def parsed(entity: bytes) -> EmailMessage:
    """Parse an entity, so that it comes out as it came in."""
    return message_from_bytes(entity, policy=AS_IT_IS)


def raw(mail: Message | bytes) -> bytes:
    """Return a mail as it came.

    Raises:
        TypeError: it is neither a message of ``email`` nor like bytes.
    """
    if isinstance(mail, EmailMessage):
        return mail.as_bytes(policy=AS_IT_IS)
    if isinstance(mail, Message):
        return mail.as_bytes()
    octets = checked_data("mail", mail)
    if isinstance(octets, str):
        raise TypeError("a mail is an EmailMessage or bytes, as it came: text may have lost some")
    return octets


def head(mail: bytes) -> EmailMessage:
    """Parse the headers alone; see ``_bounded``."""
    start, _ = _split(_bounded(mail))
    made: EmailMessage = BytesHeaderParser(policy=AS_IT_IS).parsebytes(start)
    return made


def values(mail: EmailMessage, name: str) -> list[str]:
    """Return the values of a header of somebody's mail as they came."""
    return [str(value) for each, value in mail.raw_items() if each.lower() == name]


def addresses(mail: EmailMessage, *names: str) -> list[str]:
    """Return the addresses in some headers, each once; one that cannot be read has none."""
    values = [value for name in names for value in _values(mail, name)]
    return list(dict.fromkeys(address for _, address in getaddresses(values) if address))


def sender(mail: EmailMessage) -> list[str]:
    """Return the addresses in the header ``From`` of somebody's mail."""
    short = all(len(value) <= LONGEST for value in values(mail, "from"))
    return addresses(mail, "from") if short else []


def _values(mail: EmailMessage, name: str) -> list[str]:
    """Return the values of a header; the standard library's parser breaks off at some."""
    with suppress(IndexError, AttributeError, RecursionError):
        return [str(value) for value in mail.get_all(name, [])]
    return []


def _bounded(entity: bytes) -> bytes:
    """Return an entity, where Python's parser reads it in bounded work.

    Raises:
        ValueError: a header about the content is longer than any honest one, or there are more
            parts.
    """
    if entity.count(b"\n--") > 4096 + len(entity) // 256:
        raise ValueError("the mail has too many parts")
    if _TOO_LONG.search(entity):
        raise ValueError("a header of the mail is too long")
    return entity


def _read(entity: bytes) -> Message:
    """Parse an entity that anybody sent, by the parser that makes nothing of headers."""
    start, body = _split(_bounded(entity))
    made = BytesHeaderParser().parsebytes(start)
    made.set_payload(body.decode("ascii", "surrogateescape"))
    return made


def envelope(mail: EmailMessage, content_type: str, **parameters: str) -> EmailMessage:
    """Return a mail with the same headers, and a multipart content that is yet to come."""
    outer = EmailMessage(policy=AS_IT_IS)
    for name, value in mail.items():
        if not is_of_content(name) and name.lower() != "bcc":
            outer[name] = value
    outer["MIME-Version"] = "1.0"
    parameters["boundary"] = f"=-{secrets.token_hex(16)}"
    said = "".join(f'; {name}="{value}"' for name, value in parameters.items())
    outer["Content-Type"] = content_type + said
    return outer


def leaf(content_type: str, content: bytes, disposition: str = "") -> EmailMessage:
    """Return a part that is seven-bit text already."""
    made = EmailMessage(policy=AS_IT_IS)
    made["Content-Type"] = content_type
    if disposition:
        made["Content-Disposition"] = disposition
    made.set_payload(content.decode("ascii"))
    return made


def canonical(mail: EmailMessage) -> bytes:
    """Return a mail's content as one entity in canonical form, with the headers it protects.

    That is: CRLF, seven bits, no line that ends in white space or begins with ``From ``
    (RFC 3156, sections 3 and 5). ``Bcc`` is never in it.

    Raises:
        TypeError: it is no message of ``email``.
        ValueError: a header of it cannot be read.
    """
    if not isinstance(mail, Message):
        raise TypeError(f"a mail to be sent is an EmailMessage, not {type(mail).__name__}")
    unread = [name for name in mail if not _values(mail, name)]
    with suppress(UnicodeError):  # that error would hold what is in the header
        if not unread:
            return _canonical(mail)
    raise ValueError(f"a header of the mail cannot be read: {next(iter(unread), 'Content-Type')}")


def _canonical(mail: EmailMessage) -> bytes:
    content: EmailMessage = message_from_bytes(
        mail.as_bytes(policy=policy.SMTP), policy=policy.SMTP
    )
    if content["content-type"] is None:
        content["Content-Type"] = 'text/plain; charset="us-ascii"'
    # One without a value would end in a blank, which the way to the reader may take.
    inside = [
        (name, str(value))
        for name, value in content.items()
        if name.lower() in PROTECTED and str(value).strip()
    ]
    for name in {name for name in content if not name.lower().startswith("content-")}:
        del content[name]
    for name, value in inside:
        content[name] = value
    content.set_param("protected-headers", "v1", header="Content-Type")
    for part in content.walk():
        if not part.is_multipart():
            _harden(part)
    return content.as_bytes(policy=CANONICAL)


def _harden(part: EmailMessage) -> None:
    """Encode a part that a server might change on its way."""
    encoding = str(part.get("content-transfer-encoding", "7bit")).lower()
    content = part.get_payload(decode=True)
    octets = content if isinstance(content, bytes) else b""
    shown = str(part.get_payload()).encode() if encoding == "quoted-printable" else octets
    if encoding == "base64" or not _FRAGILE.search(shown):
        return
    del part["content-transfer-encoding"]
    if part.get_content_maintype() == "text":
        part["Content-Transfer-Encoding"] = "quoted-printable"
        lines = quopri.encodestring(re.sub(rb"\r?\n", b"\n", octets))
        part.set_payload(_SEPARATOR.sub(b"=46rom ", lines).decode("ascii"))
    else:
        part["Content-Transfer-Encoding"] = "base64"
        part.set_payload(encodebytes(octets).decode("ascii"))


@dataclass(frozen=True, slots=True)
class Found:
    """A part that is signed or encrypted.

    Attributes:
        kind: ``signed`` or ``encrypted``.
        data: what is covered by a signature, or the encrypted message.
        signature: a detached signature; None where the signature is in the data.
        inline: whether it was in a text, without MIME.
        whole: whether it is all of the mail.
    """

    kind: str
    data: bytes
    signature: bytes | None
    inline: bool
    whole: bool


def find(entity: bytes, *, whole: bool = True, depth: int = 0) -> Found | None:
    """Return the first part of a mail that is signed or encrypted, as it came; or None.

    Raises:
        ValueError: a header about the content is too long.
    """
    read = _read(entity)
    kind = read.get_content_type()
    if not kind.startswith("multipart/"):
        return _inline(entity, whole) if kind == "text/plain" else None
    children = list(_children(entity, str(read.get_boundary(""))))
    types = [_read(child).get_content_type() for child in children]
    if kind == "multipart/signed" and types[1:] == ["application/pgp-signature"]:
        covered = re.sub(rb"\r?\n", b"\r\n", children[0])
        return Found("signed", covered, _payload(children[1]), inline=False, whole=whole)
    if "application/pgp-encrypted" in types[:-1]:
        # Where a server made multipart/mixed of it, too.
        place = types.index("application/pgp-encrypted") + 1
        alone = whole and kind == "multipart/encrypted" and len(types) == 2
        return Found("encrypted", _payload(children[place]), None, inline=False, whole=alone)
    if depth == DEEPEST:
        return None
    alone = whole and len(children) == 1
    deeper = (find(child, whole=alone, depth=depth + 1) for child in children)
    return next((found for found in deeper if found), None)


def _inline(entity: bytes, whole: bool) -> Found | None:
    text = _payload(entity).decode(errors="replace")
    places = []
    for kind, (begin, end) in _INLINE.items():
        first = begin.search(text)
        last = end.search(text, first.end()) if first else None
        if first and last:
            places.append((first.start(), last.end(), kind))
    if not places:
        return None
    start, stop, kind = min(places)
    around = text[:start] + text[stop:]
    return Found(kind, text[start:stop].encode() + b"\n", None, True, whole and not around.strip())


def _split(entity: bytes) -> tuple[bytes, bytes]:
    """Split an entity into its headers and its body; the empty line between is of neither."""
    end = re.search(rb"(?:\A|\r?\n)\r?\n", entity)
    return (entity[: end.start()], entity[end.end() :]) if end else (entity, b"")


def _payload(entity: bytes) -> bytes:
    content = _read(entity).get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _children(entity: bytes, boundary: str) -> Iterator[bytes]:
    """Cut a multipart entity at its boundary (RFC 2046, section 5.1.1), each part as it came."""
    if not boundary:
        return
    line = re.compile(
        rb"(?:\A|\r?\n)--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?:\r?\n|\Z)"
    )
    text = b"\n" + _split(entity)[1]
    start: int | None = None
    place = 0
    while match := line.search(text, place):
        if start is not None:
            yield text[start : match.start()]
        if match[1]:
            return
        start = match.end()
        # The line end before the next boundary may be the one that ends this one.
        place = max(match.end() - 2, match.start() + 1)


def content(entity: bytes) -> EmailMessage:
    """Return a covered entity as a mail: its content, and the headers that it protects."""
    parameters = {name.lower() for name, _ in _read(entity).get_params([])}
    read: EmailMessage = message_from_bytes(entity, policy=policy.default)
    kept = PROTECTED if {"protected-headers", "hp"} & parameters else frozenset()
    for name in {name for name in read if not is_of_content(name)}:
        if name.lower() not in kept:
            del read[name]
    return read
