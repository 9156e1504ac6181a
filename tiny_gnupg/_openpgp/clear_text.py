"""Text that is signed so that it stays readable (RFC 9580, section 7): what of it GnuPG can sign.

Pure: bytes in, words out; nothing here runs a program or touches a file. What gpg makes of a text
is measured on 2.2.40 and 2.4.7; it exits with 0 in each of these cases.

The rules:

1. Of a line gpg takes 19,993 octets, its end aside, and drops the rest; so does it when it
   verifies, where the signature then is bad.
2. Blanks at a line's end are not signed, and not given back; a last line end is added. That is
   OpenPGP's own, and passes.
3. Behind such blanks gpg also drops CR and NUL, which may be more than how a line ends.
"""

from __future__ import annotations

from collections.abc import Iterable

#: Octets of a line that each GnuPG takes whole, with some left over.
LONGEST_LINE = 19_990


def fault(pieces: Iterable[bytes]) -> str:
    """Return what keeps GnuPG from signing a text as it stands, in words; ``""`` for nothing.

    Args:
        pieces: the text, cut anywhere.
    """
    rest, number = b"", 1
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if why := _fault(line):
                return f"line {number} {why}"
            number += 1
        if len(rest) > LONGEST_LINE + 1:
            break
    why = _fault(rest)
    return f"line {number} {why}" if why else ""


def is_too_long(text: bytes) -> bool:
    """Return whether a line is longer than GnuPG reads it."""
    return max(map(len, text.split(b"\n"))) > LONGEST_LINE


def _fault(line: bytes) -> str:
    line = line.removesuffix(b"\r")
    if len(line) > LONGEST_LINE:
        return f"has more than {LONGEST_LINE} bytes, of which gpg would sign a part"
    if line.rstrip(b" \t") != line.rstrip(b" \t\r\0"):
        return "ends in a CR or NUL that gpg would drop"
    return ""
