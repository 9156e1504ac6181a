"""Keys that come without user ids: what makes gpg take them.

Pure: bytes in, bytes out; nothing here runs a program or touches a file.
"""

from __future__ import annotations

PLACEHOLDER = "[no user id published] {fingerprint}"
"""The user id that stands in where a keyserver withholds a key's own."""


def is_placeholder(text: str, fingerprint: str) -> bool:
    """Tell whether ``text`` is the stand-in user id of the key ``fingerprint``."""
    return text == PLACEHOLDER.format(fingerprint=fingerprint)
