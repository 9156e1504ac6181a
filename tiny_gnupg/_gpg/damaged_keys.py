"""Key files that gpg-agent wrote so that it cannot read them, and what they were meant to be.

The agent keeps a key as text (common/name-value.c; Libgcrypt's src/sexp.c). There, bytes that look
like text stand as a quoted string or a bare word, and others in hex. Its random salts and nonces
look like text now and then; then the text of the whole key is tidied up, those strings with it:

1. A blank behind another one, or behind a parenthesis, is dropped (``nvc_set_private_key``). The
   agent then says "Corrupted protection", or "Bad passphrase" where a key came in with its own
   protection. Versions up to 2.4.9 do so: with one protected key in 17,000. How long each string
   has to be is known, and so where blanks may be missing; in nine of ten there is but one place.
2. Where a byte is zero, and all others are letters, digits or some signs, the text ends there, and
   the rest is never written: "Unmatched parentheses in S-expression". Libgcrypt 1.11 does so no
   more; before it, that meets one key in 370,000. Nobody can mend it.

A string is mended by writing it in hex, which nobody tidies up. What of it is done when, is told
in the page on security.
"""

from __future__ import annotations

import re
from itertools import combinations_with_replacement, pairwise, product

#: A word of an S-expression as Libgcrypt prints it: in quotes, in hex, or bare.
_WORD = rb'"(?:[^"\\]|\\.)*"|#[0-9A-Fa-f\s]*#|[A-Za-z./_:*+=-][\w./:*+=-]*'


#: What stands for a byte in quotes.
_ESCAPED = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)


_LETTERS = {b"b": b"\b", b"t": b"\t", b"v": b"\v", b"n": b"\n", b"f": b"\f", b"r": b"\r"}


#: Where random bytes stand in a key of the agent's own, and in one that is protected the way it
#: came in (agent/keyformat.txt; agent/cvt-openpgp.c).
_RANDOM = (
    re.compile(
        rb"\(protected\s*(?P<method>W)\s*\(\(sha1\s*(?P<salt>W)\s*(?:W)\s*\)\s*(?P<iv>W)".replace(
            b"W", _WORD
        ),
        re.DOTALL,
    ),
    re.compile(
        rb"\(protection\s*(?:W)\s*(?P<method>W)\s*(?P<iv>W)\s*(?:W)\s*(?:W)\s*(?P<salt>W)".replace(
            b"W", _WORD
        ),
        re.DOTALL,
    ),
)


#: Lengths of what stands in ``iv``, by what is in the method's name; of the others it is 16.
_IV_LENGTHS = {b"ocb": 12, b"idea": 8, b"3des": 8, b"cast5": 8, b"blowfish": 8}


#: Behind these, blanks are dropped.
_BEFORE_BLANKS = b" ()"


def readings(data: bytes) -> list[bytes]:
    """Return what a key file may have been, each as a file that the agent reads as it is meant.

    Args:
        data: the file's content.

    Returns:
        ``[data]`` where it is whole, or not damaged in a way known here; several where blanks may
        be missing in several places, and only the passphrase can tell; none where a part of it was
        never written.
    """
    found = re.search(rb"^Key:(.*\n?(?:[ \t].*\n?|\n)*)", data, re.MULTILINE | re.IGNORECASE)
    # What begins with a list is in the old format, which is never tidied up.
    if data.startswith(b"(") or found is None:
        return [data]
    text = _unfolded(found[1])
    if _ends_early(text):
        return []
    short = _shortened(text)
    if not short:
        return [data]
    before, after = data[: found.start(1)] + b" ", b"\n" + data[found.end(1) :]
    choices = product(*([(span, value) for value in values] for span, values in short.items()))
    return [before + _replaced(text, dict(choice)) + after for choice in choices]


def _unfolded(raw: bytes) -> bytes:
    """Return a value in one line (name-value.c: ``continuation_length``)."""
    lines = raw.removesuffix(b"\n").split(b"\n")
    return b"".join(re.sub(rb"\A\s", b"", line).rstrip() or b"\n" for line in lines)


def _ends_early(text: bytes) -> bool:
    """Return whether an S-expression ends within a list."""
    lists = re.sub(_WORD, b"", text, flags=re.DOTALL)
    return not lists.strip(b"() \n") and lists.count(b"(") > lists.count(b")")


def _shortened(text: bytes) -> dict[tuple[int, int], list[bytes]]:
    """Return where words are too short and may lack blanks, and what they may have been."""
    short = {}
    for found in (match for pattern in _RANDOM for match in pattern.finditer(text)):
        method = found["method"].lower()
        iv = next((length for name, length in _IV_LENGTHS.items() if name in method), 16)
        for name, length in {"salt": 8, "iv": iv}.items():
            value = _value(found[name])
            if len(value) < length and any(byte in _BEFORE_BLANKS for byte in value):
                short[found.span(name)] = _with_blanks(value, length)
    return short


def _value(word: bytes) -> bytes:
    if word.startswith(b'"'):
        return _ESCAPED.sub(_unescaped, word[1:-1])
    return bytes.fromhex(word[1:-1].decode()) if word.startswith(b"#") else word


def _unescaped(escaped: re.Match[bytes]) -> bytes:
    if escaped[1]:
        return bytes.fromhex(escaped[1].decode())
    return _LETTERS.get(escaped[2], escaped[2])


def _with_blanks(value: bytes, length: int) -> list[bytes]:
    """Return all the strings of a length that become this one when they are tidied up."""
    places = [place for place, byte in enumerate(value, 1) if byte in _BEFORE_BLANKS]
    made = []
    for chosen in combinations_with_replacement(places, length - len(value)):
        ends = [0, *chosen, len(value)]
        made.append(b" ".join(value[start:end] for start, end in pairwise(ends)))
    return made


def _replaced(text: bytes, values: dict[tuple[int, int], bytes]) -> bytes:
    for (start, end), value in sorted(values.items(), reverse=True):
        text = text[:start] + b"#%b#" % value.hex().upper().encode() + text[end:]
    return text
