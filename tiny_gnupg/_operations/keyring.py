"""The keys that were looked up, kept until the keyring changes.

No look-up runs before an operation that could do without it: a fingerprint goes to gpg as it is,
and anything else is listed once. What was found is dropped when the keyring's files change, by
whoever changed them, when a writer of this instance ran, or a key that was found expires.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from tiny_gnupg._gpg import commands, outcome
from tiny_gnupg._gpg.arguments import check_uid
from tiny_gnupg._gpg.key_names import NameForm, Term, advice, classify, matching, search_term
from tiny_gnupg._gpg.key_states import has_secret, is_placeholder_key, lasts_until, trouble
from tiny_gnupg._gpg.listings import Listing, parse_colons
from tiny_gnupg._gpg.reply import PASSING, Reply
from tiny_gnupg._home.key_files import keygrips
from tiny_gnupg._home.layout import KEYS, TRUST
from tiny_gnupg._openpgp.placeholders import PLACEHOLDER
from tiny_gnupg._openpgp.user_ids import same_address
from tiny_gnupg._operations.engine import Call, Engine
from tiny_gnupg._process.tasks import in_thread, running_loop
from tiny_gnupg.errors import AgentUnavailable, AmbiguousKey, KeyNotFound, UnusableKey
from tiny_gnupg.results import Capability, Key, Subkey, UserID

#: What finds the keys of the keyring that have our placeholder.
PLACEHOLDERS = search_term(PLACEHOLDER.format(fingerprint=""))


#: Bytes of a listing that are read in a thread.
LARGE = 2**16


class KeyTable:
    """What the look-ups of one instance found."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._found: dict[Term, tuple[Key, ...]] = {}
        self._stamp: object = None
        #: Between these moments keys are in the state in which they were found.
        self._since, self._until = 0.0, float("inf")
        self._asking: weakref.WeakValueDictionary[object, asyncio.Lock]
        self._asking = weakref.WeakValueDictionary()

    def forget(self) -> None:
        """Drop everything: a writer ran."""
        self._found.clear()
        self._since, self._until = 0.0, float("inf")

    def _holds(self) -> bool:
        """Return whether the keyring is as it was, and no key has expired since, or lives again."""
        same = self._engine.home.stamp() == self._stamp
        return same and self._since <= time.time() < self._until

    async def find(self, uid: str, *, secret: bool = False) -> tuple[Key, ...]:
        """Return the keys that a uid names, none, one or several.

        Args:
            uid: what names them; never empty.
            secret: it matters which secret keys are here. Else they are looked up also where no
                agent can tell that, and what was found then is not kept.

        Raises:
            GnuPGError: gpg cannot list keys.
        """
        term = classify(check_uid(uid))
        # Callers at the same time wait for one look-up instead of making one each.
        asked = (running_loop(), term)
        async with self._asking.setdefault(asked, asyncio.Lock()):
            if not self._holds():
                self.forget()
                self._stamp = self._engine.home.stamp()
            if term not in self._found:
                now = datetime.now(UTC)
                try:
                    found = await list_keys(self._engine, [search_term(uid)])
                except AgentUnavailable:
                    if secret:
                        raise
                    found = await list_keys(self._engine, [search_term(uid)], mark=False)
                    return matching(found, uid)
                found = matching(found, uid)
                if _misses(self._engine, found):
                    return found  # what the agent cannot read now, it may read again
                self._found[term] = found
                self._since = max(self._since, now.timestamp())
                self._until = min(self._until, lasts_until(found, now))
                for key in found:
                    # What was found by its address is next asked for by its fingerprint.
                    self._found.setdefault(Term(NameForm.FINGERPRINT, key.fingerprint), (key,))
            return self._found[term]

    def known(self, uid: str) -> Key | None:
        """Return the one key that a uid names, where that was looked up already."""
        found = self._found.get(classify(uid), ())
        if len(found) != 1 or not self._holds():
            return None
        return found[0]

    async def one(self, uid: str, *, secret: bool = False) -> Key:
        """Return the one key that a uid names; see ``find``.

        Raises:
            KeyNotFound: there is none.
            AmbiguousKey: there are several.
        """
        return the_one(await self.find(uid, secret=secret), uid)

    async def usable(self, uid: str, capability: Capability) -> Key:
        """Return the one key that a uid names and that can be used now.

        Raises:
            KeyNotFound: there is none.
            UnusableKey: none of them can be used.
            AmbiguousKey: several can.
        """
        keys = matching(await self.find(uid), uid, revoked=False)
        if not keys:
            raise KeyNotFound(value=uid, hint=advice(uid))
        usable = [key for key in keys if key.usable_for(capability)]
        if not usable:
            troubles = {key.fingerprint: trouble(key, capability) for key in keys}
            whys = [f"{name}: {found.what}" for name, found in troubles.items() if found]
            cures = dict.fromkeys(found.cure for found in troubles.values() if found)
            raise UnusableKey(
                f"no key for {uid!r} can {capability.name.lower()} now; {', '.join(whys)}",
                hint="; ".join(cures),
            )
        return the_one(usable, uid)


async def list_keys(
    engine: Engine,
    terms: Sequence[str] = (),
    *,
    secret: bool = False,
    mark: bool = True,
    certifications: bool = False,
) -> tuple[Key, ...]:
    """List keys of the keyring.

    Of a key that has no user id but our placeholder, gpg says that it is invalid in all its parts,
    and so not that it is revoked or has expired. Those are listed once more, as what they are.

    Args:
        engine: whose keyring.
        terms: which keys, as ``selection.search_term`` writes it; none means all.
        secret: only those whose secret part is there.
        mark: mark those.
        certifications: with what keys say of their user ids.

    Raises:
        GnuPGError: gpg cannot list keys.
    """
    options = commands.list_keys(terms, secret=secret, mark=mark, certifications=certifications)
    found = await listed(engine, options)
    if (secret or mark) and _misses(engine, found, secret=secret):
        # Where its path of the home leads nowhere for a moment, the agent says that of each key.
        found = await listed(engine, commands.list_keys(terms, certifications=certifications))
        found = tuple(filter(has_secret, found)) if secret else found
    placeholder_keys = [key.fingerprint for key in found if is_placeholder_key(key)]
    if not placeholder_keys:
        return found
    options = commands.list_keys(placeholder_keys, secret=secret, placeholders=True, mark=mark)
    known = {key.fingerprint: key for key in await listed(engine, options)}
    return tuple(known.get(key.fingerprint, key) for key in found)


def _misses(engine: Engine, found: Iterable[Key], *, secret: bool = False) -> bool:
    """Return whether a listing may say of a key that its secret part is not here, and it is."""
    files = {path.stem for path in (engine.home.path / KEYS).glob("*.key")}
    if secret:
        return bool(files.difference(*map(keygrips, found)))
    return any(files.intersection(keygrips(key)) for key in found if not has_secret(key))


async def listed(engine: Engine, options: Sequence[str]) -> tuple[Key, ...]:
    """Run a colon listing of the keyring, and return its keys; see ``run_listing``."""
    listing = Listing()
    await run_listing(engine, options, listing)
    return listing.end()


async def run_listing(
    engine: Engine, options: Sequence[str], listing: Listing | None = None
) -> Reply:
    """Run a listing of the keyring, and give it where it is whole.

    Where a full or read-only disk is what gpg failed of, it may have been by its lock file alone,
    and is listed again without one.

    Args:
        engine: whose keyring.
        options: gpg's.
        listing: reads it while it comes, so that a long one does not hold up the event loop.

    Raises:
        GnuPGError: gpg could not list keys.
    """
    call = Call(options, hear=None if listing is None else listing.feed)
    reply = await engine.run(call)
    if reply.agent in PASSING:
        if listing is not None:
            listing.begin()
        reply = await engine.run(call)  # with a new one
    if reply.returncode > 0 and reply.obstacle:
        if listing is not None:
            listing.begin()
        reply = await engine.run(replace(call, options=[*commands.WITHOUT_WRITING, *options]))
    outcome.require_listing(reply)
    return reply


async def keys_of(reply: Reply) -> tuple[Key, ...]:
    """Read a listing; that there is no such key is an empty one.

    Raises:
        GnuPGError: gpg could not list keys.
    """
    outcome.require_listing(reply)
    return await read_keys(reply)


async def read_keys(reply: Reply) -> tuple[Key, ...]:
    """Read a listing that was found whole."""
    # A long one is read in a thread, so that it does not hold up the event loop.
    large = len(reply.stdout) > LARGE
    return await in_thread(parse_colons, reply.stdout) if large else parse_colons(reply.stdout)


async def ownertrust(engine: Engine) -> bytes:
    """Return who is trusted, as gpg exports it; the home's lock is held, or nobody else's.

    Raises:
        GnuPGError: gpg cannot tell.
    """
    if not (engine.home.path / TRUST).exists():  # gpg would end as it does where it is damaged
        return b""
    reply = await engine.run_locked(Call(commands.export_ownertrust()))
    return outcome.require_success(reply, "export the ownertrust").stdout


def the_one(keys: Iterable[Key], uid: str) -> Key:
    """Return the only one of some keys.

    Raises:
        KeyNotFound: there is none.
        AmbiguousKey: there are several.
    """
    found = tuple(keys)
    if not found:
        raise KeyNotFound(value=uid, hint=advice(uid))
    if len(found) > 1:
        fingerprints = [key.fingerprint for key in found]
        raise AmbiguousKey(
            f"{uid!r} names {len(found)} keys: {', '.join(fingerprints)}", candidates=fingerprints
        )
    return found[0]


def the_user_id(key: Key, which: str) -> UserID:
    """Return the user id of a key that a text names.

    Args:
        key: the key.
        which: the user id's whole text, or its address.

    Raises:
        TypeError: that is no text.
        ValueError: it is empty.
        KeyNotFound: it has none such that is not revoked.
        AmbiguousKey: it has several.
    """
    if not isinstance(which, str):
        raise TypeError(f"a user id is text, not {type(which).__name__}")
    if not which:
        raise ValueError("an empty text names no user id: say its whole text, or its address")
    kind, address = classify(which)
    wanted = address if kind is NameForm.EMAIL else ""
    alive = [one for one in key.user_ids if not one.revoked]
    fits = [one for one in alive if one.text == which]
    fits = fits or [one for one in alive if wanted and same_address(one.email, wanted)]
    if not fits:
        raise KeyNotFound(
            f"{key.fingerprint} has no user id {which!r} that is not revoked",
            value=which,
            hint="keys(...) shows those that it has",
        )
    if len(fits) > 1:
        raise AmbiguousKey(
            f"{which!r} names {len(fits)} user ids of {key.fingerprint}",
            hint="pass the whole text of the one you mean",
            candidates=[one.text for one in fits],
        )
    return fits[0]


def unusable(
    key: Key, capability: Capability, doing: str, reply: Reply | None = None, only: str = ""
) -> UnusableKey | None:
    """Name the error of a key that cannot be used for something now; None where it can.

    Args:
        key: the key.
        capability: what for.
        doing: the same in words, as in ``cannot <doing>``.
        reply: gpg's answer, where it refused the key.
        only: the one part of the key that is to be used.
    """
    found = trouble(key, capability, only)
    if found is None:
        return None
    what, cure = found
    return UnusableKey(f"cannot {doing} {key.fingerprint}: {what}", hint=cure, reply=reply)


def the_subkey(key: Key, which: str | Subkey) -> Subkey:
    """Return the subkey of a key that its name, or itself, names.

    Args:
        key: the key.
        which: the subkey, or its fingerprint or key id, with or without a ``!`` behind it.

    Raises:
        ValueError: it names the primary key, or is no such name.
        KeyNotFound: the key has no such subkey.
    """
    text = which.fingerprint if isinstance(which, Subkey) else check_uid(which)
    kind, value = classify(text)
    if kind not in (NameForm.FINGERPRINT, NameForm.KEY_ID):
        raise ValueError(f"a subkey is named by its fingerprint or key id, not {which!r}")
    if value in (key.fingerprint, key.key_id):
        raise ValueError(f"{value} is the primary key, and no subkey of it")
    for subkey in key.subkeys:
        if value in (subkey.fingerprint, subkey.key_id):
            return subkey
    raise KeyNotFound(
        f"{key.fingerprint} has no subkey {value}",
        value=value,
        hint="keys(...) shows those that it has",
    )


def refuse_subkey(key: Key, uid: str, method: str) -> None:
    """Refuse the name of a subkey where the whole key would be taken for meant.

    Args:
        key: the key that was found.
        uid: what it was found by.
        method: what is there for a subkey.

    Raises:
        ValueError: as it says.
    """
    _, value = classify(uid)
    if any(value in (one.fingerprint, one.key_id) for one in key.subkeys):
        raise ValueError(f"{uid} is a subkey of {key.fingerprint}: use {method}")
