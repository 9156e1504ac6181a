"""How the text that a caller gives names a key.

Pure: text and ``Key`` in, ``Key`` out; nothing here runs a program or touches a file.

The rules:

1. 40 or 64 hex digits are a fingerprint, 16 are a key id; ``0x`` may stand before them, and spaces
   inside a fingerprint, as gpg prints it. Either may be a subkey's, and then names its key; with a
   ``!`` behind it, exactly that part of the key is used where a key is used.
2. An e-mail address, bare or in angle brackets, is matched WHOLE: ``bob@x.org`` never finds
   ``notbob@x.org``. gpg itself takes a bare address for a part of one.
3. Any other text is looked for inside the user ids.
4. Case does not matter, for ASCII letters only, as gpg compares.
5. A user id that the key's owner did not sign is none: anybody can add one to a key. Only our own
   placeholder is unsigned and found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from tiny_gnupg._gpg.key_states import parts_of
from tiny_gnupg._openpgp.user_ids import address, lower, same_address
from tiny_gnupg.results import Key, UserID, Validity


class NameForm(StrEnum):
    """What a text that names a key is."""

    FINGERPRINT = "fingerprint"
    KEY_ID = "key id"
    EMAIL = "e-mail"
    TEXT = "text"


class Term(NamedTuple):
    """What names a key: its kind, and its value in the one form that is compared."""

    kind: NameForm
    value: str


_FINGERPRINT = re.compile(r"(?:0x)?([0-9a-f]{40}|[0-9a-f]{64})!?", re.IGNORECASE)


_SHORT_KEY_ID = re.compile(r"(?:0x)?[0-9a-f]{8}!?", re.IGNORECASE)


_KEY_ID = re.compile(r"(?:0x)?([0-9a-f]{16})!?", re.IGNORECASE)


@lru_cache(256)  # each call asks for the same few names, some of them several times
def classify(uid: str) -> Term:
    """Return what a text that names a key is.

    Args:
        uid: the text.

    Returns:
        Its kind, and the fingerprint or key id in upper case without spaces, ``0x`` and ``!``, the
        address without brackets, or the text as it is.
    """
    if match := _FINGERPRINT.fullmatch(uid.replace(" ", "")):
        return Term(NameForm.FINGERPRINT, match[1].upper())
    if match := _KEY_ID.fullmatch(uid):
        return Term(NameForm.KEY_ID, match[1].upper())
    email = address(uid)
    if email and uid in (email, f"<{email}>"):
        return Term(NameForm.EMAIL, email)
    return Term(NameForm.TEXT, uid)


def advice(uid: str) -> str:
    """Return what to say of a text that found no key, and that gpg takes for more than text.

    Eight digits are a key id for gpg, and anybody can make a key that has the same ones; a prefix
    asks it for another kind of search (its manual, "How to specify a user ID").
    """
    if _SHORT_KEY_ID.fullmatch(uid):
        return "8 digits are no key id here, as another key can have them: give all 40"
    if uid[:1] in tuple("=*&+#^"):
        return "gpg's prefixes are no part of a name here: give an address or a fingerprint"
    return ""


def is_exact(uid: str) -> bool:
    """Return whether a text names exactly one part of a key, by a ``!`` behind it."""
    return uid.endswith("!") and classify(uid).kind in (NameForm.FINGERPRINT, NameForm.KEY_ID)


def exact_name(key: Key, uid: str) -> str:
    """Return the name by which gpg takes exactly that part of a key which an exact text names."""
    value = classify(uid).value
    return next(
        f"{part.fingerprint}!" for part in parts_of(key) if value in (part.fingerprint, part.key_id)
    )


_FORMS = {
    NameForm.FINGERPRINT: "{}",
    NameForm.KEY_ID: "0x{}",
    NameForm.EMAIL: "<{}>",
    NameForm.TEXT: "*{}",
}


def search_term(uid: str) -> str:
    """Write a text that names a key so that gpg takes it for what ``classify`` does.

    Args:
        uid: the text.

    Returns:
        The argument for gpg, to stand behind ``--``. ``<`` asks for the whole address, ``*`` for
        a part of a user id (gpg's manual, "How to specify a user ID"); without them gpg would
        guess, and takes ``DEADBEEF`` or ``@x`` for something else than text. Blanks at the end are
        left out: with them 2.2.40 finds nothing, or what does not fit; ``matching`` looks for them.
    """
    kind, value = classify(uid)
    return _FORMS[kind].format(value.rstrip() or value)


def matching(keys: Iterable[Key], uid: str, *, revoked: bool = True) -> tuple[Key, ...]:
    """Pick the keys that a text names.

    An address or other text is first looked for in the user ids that are not revoked. Where no key
    has it there, the revoked ones are looked at too: an owner who gave up an address can still be
    listed or deleted by it, but is never preferred to, or confused with, who has it now.

    Args:
        keys: the keys to pick from.
        uid: the text.
        revoked: whether the revoked user ids are looked at at all; say False for encryption.

    Returns:
        The keys that fit, in their order; none, one or several.
    """
    kind, value = classify(uid)
    keys = tuple(keys)
    if kind is NameForm.FINGERPRINT:
        return tuple(key for key in keys if value in _each(key, "fingerprint"))
    if kind is NameForm.KEY_ID:
        return tuple(key for key in keys if value in _each(key, "key_id"))
    fits = _fitting(kind, value)
    found = tuple(key for key in keys if any(fits(u) and not u.revoked for u in _own(key)))
    if found or not revoked:
        return found
    return tuple(key for key in keys if any(fits(u) for u in _own(key)))


def user_ids_of(key: Key, uid: str) -> tuple[UserID, ...]:
    """Return the user ids of a key that a text names, of those that are not revoked.

    Args:
        key: the key.
        uid: the text; a fingerprint, a key id and the empty text name all of them.
    """
    kind, value = classify(uid)
    whole = not uid or kind in (NameForm.FINGERPRINT, NameForm.KEY_ID)
    fits = (lambda _: True) if whole else _fitting(kind, value)
    return tuple(one for one in _own(key) if not one.revoked and fits(one))


#: What gpg may hold a user id to be, from the least on; TRUSTED are those that it encrypts to.
_LEVELS = (
    *(Validity.INVALID, Validity.UNKNOWN, Validity.UNDEFINED, Validity.NEVER),
    *(Validity.MARGINAL, Validity.FULL, Validity.ULTIMATE),
)


TRUSTED = _LEVELS[-3:]


def validity_of(key: Key, uid: str) -> Validity:
    """Return how far gpg holds a key to be the one that a text names.

    An address or other text is claimed by those user ids alone that it fits; the best one counts.
    """
    if classify(uid).kind in (NameForm.FINGERPRINT, NameForm.KEY_ID) or key.validity not in _LEVELS:
        return key.validity
    found = (one.validity for one in user_ids_of(key, uid) if one.validity in _LEVELS)
    return max(found, key=_LEVELS.index, default=Validity.UNKNOWN)


def _own(key: Key) -> Iterator[UserID]:
    return (user_id for user_id in key.user_ids if user_id.signed or user_id.placeholder)


def _each(key: Key, name: str) -> set[str]:
    return {getattr(part, name) for part in parts_of(key)}


def _fitting(kind: NameForm, value: str) -> Callable[[UserID], bool]:
    if kind is NameForm.EMAIL:
        return lambda user_id: same_address(user_id.email, value)
    wanted = lower(value)
    return lambda user_id: wanted in lower(user_id.text)
