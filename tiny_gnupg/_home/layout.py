"""The names of a home's files, once: GnuPG's (gpg's manual, "FILES"), and this library's own."""

from __future__ import annotations

import os
from pathlib import Path

#: The public keys, of GnuPG 2.1 and newer, and of older ones.
KEYBOX, OLD_KEYRING = "pubring.kbx", "pubring.gpg"
KEYRINGS = (KEYBOX, OLD_KEYRING)


#: The public keys where keyboxd keeps them (GnuPG 2.4), and what was not merged into that yet.
DATABASE = os.path.join("public-keys.d", "pubring.db")
DATABASES = (DATABASE, f"{DATABASE}-wal")
DATABASE_LOCK = f"{DATABASE}.lock"


#: Who is trusted, by ownertrust and by first use.
TRUST, FIRST_USE = "trustdb.gpg", "tofu.db"
TRUST_LOCK = f"{TRUST}.lock"


#: The secret keys: the agent's, and those of GnuPG 2.0 and older.
KEYS, OLD_SECRET_KEYRING = "private-keys-v1.d", "secring.gpg"


#: The certificates to revoke own keys with.
REVOCATIONS = "openpgp-revocs.d"


#: What a home holds where keys are, or were, kept in it.
TRACES = (*KEYRINGS, OLD_SECRET_KEYRING, os.path.dirname(DATABASE), KEYS)


#: The options that all programs of GnuPG 2.4 read, the agent's, and gpg's own.
COMMON, AGENT, OPTIONS = "common.conf", "gpg-agent.conf", "gpg.conf"


#: The folder of this library, and in it how passphrases guard the keys, the lock files, and a
#: file whose time is that at which the secret keys were looked at (see ``repair``).
STATE = "tiny_gnupg.d"
PROTECTION = "protection.json"
SEEN = "keys.seen"
KEYRING_LOCK, GATE_LOCK, AGENT_LOCK = "keyring.lock", "gate.lock", "agent.lock"


#: And notes: where the short link to a home with a long path is, and what was moved from where.
SHORT_PATH, MOVED_FROM = "short_path", "moved_from.json"


#: The folder of notes of which key is whose own (see ``own_keys``).
OWN = "own"


#: Folders, beside the secret keys, of those that replace others, that are to come, and that are to
#: go (see ``key_changes``).
SWAP, COMING, GOING = ".swap", ".coming", ".going"


def holds_keys(home: Path) -> bool:
    """Return whether keys are, or were, kept in a directory."""
    return any(os.path.lexists(home / trace) for trace in TRACES)


def is_kept_by_keyboxd(home: Path) -> bool:
    """Return whether gpg looks for a home's public keys in keyboxd (gpg's manual, use-keyboxd).

    A keyring of before the change to keyboxd stays where it was, and gpg looks at it no more.
    """
    try:
        if (home / DATABASE).parent.exists() and not any(
            (home / name).exists() for name in KEYRINGS
        ):
            return True
        lines = (home / COMMON).read_text(errors="replace").splitlines()
    except OSError:  # whoever opens the home is told
        return False
    return any(line.split("#")[0].strip() == "use-keyboxd" for line in lines)


def is_somebodys(home: Path) -> bool:
    """Return whether a home was there before this library came, and is used by others too."""
    return not (home / STATE / PROTECTION).exists() or (home / STATE / AGENT).exists()
