"""Which key of a home is whose own, as a note of this library beside the keys.

An instance finds its own key by its address. Whoever has it take in a secret key with that address
could make that ambiguous, or, in a home without one, become what the instance signs by; so what was
found once is kept. A note that is gone costs one look at the keys, no more.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from pathlib import Path

from tiny_gnupg._home.layout import OWN, STATE
from tiny_gnupg._home.whole_files import read_regular, write_whole

_FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")


def noted(home: Path, who: str) -> str:
    """Return the fingerprint of an identity's own key, or ``""`` where none was noted.

    Args:
        home: the homedir.
        who: the identity's address, or its name where it has none.
    """
    with suppress(OSError, ValueError):
        found = read_regular(_note(home, who), 64).decode()
        return found if _FINGERPRINT.fullmatch(found) else ""
    return ""


def note(home: Path, who: str, fingerprint: str) -> None:
    """Keep the fingerprint of an identity's own key; where it cannot be, it is looked for again."""
    path = _note(home, who)
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_whole(path, fingerprint.encode(), replace=True)


def drop_note(home: Path, who: str) -> None:
    """Forget which key is an identity's own."""
    with suppress(OSError):
        _note(home, who).unlink()


def _note(home: Path, who: str) -> Path:
    # Any text can be an address; a hash of it can be a file's name.
    name = hashlib.sha256(who.encode(errors="surrogatepass")).hexdigest()[:32]
    return home / STATE / OWN / name
