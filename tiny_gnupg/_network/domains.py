"""Domain names, as they are typed and as the network knows them (IDNA 2008).

Python's own codec and IDNA 2003 lead "straße.example" to strasse.example, which may be somebody
else's. What IDNA 2008 does not allow is refused, and never guessed.
"""

from __future__ import annotations

import re
import unicodedata

# A label of letters, digits and hyphens that is no A-label and might not become one.
_LABEL = r"(?!..--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"


_PLAIN = re.compile(rf"(?!.{{254}}){_LABEL}(?:\.{_LABEL})*")


def ascii_domain(name: str) -> str:
    """Return a domain name in the form that is asked for on the network.

    Args:
        name: the name as somebody typed it.

    Returns:
        Its labels in lower case, those beyond ASCII as A-labels (RFC 5890, section 2.3.2.1).

    Raises:
        ValueError: it is no name of a host (RFC 5891; case and width are mapped as RFC 5895 says).
    """
    if _PLAIN.fullmatch(lower := name.lower()):
        return lower
    import idna

    # RFC 5895, section 2: lower case, usual width, composed; idna knows the other full stops.
    mapped = unicodedata.normalize("NFC", "".join(map(_usual_width, lower)))
    try:
        return idna.encode(mapped).decode()
    except idna.IDNAError as error:
        raise ValueError(f"{name!r} is no domain name: {error}") from None


def _usual_width(character: str) -> str:
    wide = unicodedata.east_asian_width(character) in ("F", "H")
    return unicodedata.normalize("NFKC", character) if wide else character
