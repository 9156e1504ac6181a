"""Secret keys that enter or leave a home whose passphrases are stretched.

Outside, a key opens with its user's own passphrase and gpg's own calibrated protection; inside,
with the stretched one. (That of keys of tiny_gnupg 0.9.0 is a hash of their user's.) The passphrase
is changed by gpg itself, in a home made for the moment: the key files are copied there,
``--change-passphrase`` runs there, and what comes of it is taken from there. The files of the home
itself are only ever replaced whole, and those of one key all together: whoever is stopped there
leaves a key with its old passphrase or with its new one.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import product
from pathlib import Path

from tiny_gnupg._gpg import commands, imports, outcome
from tiny_gnupg._gpg.damaged_keys import readings
from tiny_gnupg._gpg.listings import parse_colons
from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg._gpg.status import ErrorCode
from tiny_gnupg._home.home import Home
from tiny_gnupg._home.key_changes import swap_keys
from tiny_gnupg._home.key_files import (
    copy_keys,
    is_protected,
    is_untouched,
    key_files,
    keygrips,
    mend,
)
from tiny_gnupg._home.layout import KEYS
from tiny_gnupg._home.protection import Scheme
from tiny_gnupg._home.stretching import of_0_9
from tiny_gnupg._openpgp.secret_numbers import with_true_counts
from tiny_gnupg._operations.engine import Call, Engine
from tiny_gnupg._process.removal import removed_at_the_end
from tiny_gnupg._process.tasks import in_thread, uninterrupted
from tiny_gnupg.errors import AgentUnavailable, BadPassphrase, GnuPGError, ImportFailed
from tiny_gnupg.results import ImportResult, Key

#: How often a scratch home is removed where an agent comes up in it meanwhile, and the seconds
#: between.
CLEARINGS, PAUSE = 40, 0.05


#: How often something is done that the agent may spoil (``_gpg.damaged_keys``): twice in a row it
#: does once in 280 million.
TRIES = 3


@asynccontextmanager
async def scratch(engine: Engine, kind: Scheme) -> AsyncIterator[Engine]:
    """Make a home for the block, inside the home of ``engine``; nothing of it is left after.

    Args:
        engine: whose home it is made in.
        kind: ``scrypt`` for the agent's low count, ``gnupg`` for gpg's calibrated one.
    """
    await engine.open()
    path = engine.home.state / f"scratch.{secrets.token_hex(6)}"
    aside = Engine(
        engine.executable, Home.at(path), engine.options, kind=kind, timeout=engine.timeout
    )
    async with removed_at_the_end(path):
        try:
            await uninterrupted(aside.open())
            yield aside
        finally:
            await uninterrupted(_clear(aside))


async def _clear(aside: Engine) -> None:
    aside.home.agent.kill()
    await aside.close()
    Home.drop(aside.home)
    for _ in range(CLEARINGS):
        await in_thread(shutil.rmtree, aside.home.path, ignore_errors=True)
        if not aside.home.path.exists():
            return
        # An agent that a cancelled gpg was just starting is coming up, with its sockets.
        await asyncio.sleep(PAUSE)
        await in_thread(aside.home.end_agent)


async def change_passphrase(engine: Engine, key: Key, old: bytes, new: bytes) -> list[Path]:
    """Change the passphrase of a secret key and its subkeys in the home of ``engine``.

    The home is a scratch one: a key file is changed where it lies, and stays as it was where it is
    not changed.

    Args:
        engine: where.
        key: which.
        old: the passphrase now, as the agent expects it.
        new: the passphrase from now on.

    Returns:
        The files of those of its parts that have another passphrase, which stay as they were.

    Raises:
        BadPassphrase: ``old`` does not open it.
        GnuPGError: gpg cannot do it.
    """
    files = key_files(engine.home.path, keygrips(key))
    # Where a file is damaged and may have been one of several, the right one opens.
    *others, last = (dict(zip(files, one, strict=True)) for one in product(*map(_possible, files)))
    for contents in others:
        with suppress(GnuPGError):
            if not await _change_passphrase(engine, key, old, new, contents):
                return []
    return await _change_passphrase(engine, key, old, new, last)


def _possible(path: Path) -> list[bytes]:
    """Return what a key file may have been; as it is comes last where that cannot be told."""
    data = path.read_bytes()
    found = readings(data)
    return found if len(found) == 1 else [*found, data]


async def change_users_passphrase(engine: Engine, key: Key, own: bytes, new: bytes) -> list[Path]:
    """Change the passphrase of a key that its user protected, maybe by tiny_gnupg 0.9.0.

    Args:
        engine: see ``change_passphrase``.
        key: which.
        own: the user's own passphrase.
        new: the passphrase from now on.

    Returns:
        As ``change_passphrase``.

    Raises:
        BadPassphrase: neither it nor what 0.9.0 made of it opens the key.
    """
    try:
        return await change_passphrase(engine, key, own, new)
    except BadPassphrase:
        older = await in_thread(of_0_9, own)
        if not older:
            raise
    return await change_passphrase(engine, key, older, new)


async def _change_passphrase(
    engine: Engine, key: Key, old: bytes, new: bytes, before: dict[Path, bytes]
) -> list[Path]:
    """Change the passphrase of what is in key files, and again where the agent damages one."""
    for _ in range(TRIES):
        for path, content in before.items():
            path.write_bytes(content)
        protected = [path for path in before if is_protected(path)]
        reply = await _ask_for_change(engine, key, [old, new, new] if protected else [new, new])
        if agent := outcome.agent_failure(reply, "change the passphrase"):
            raise agent
        changed = [path for path in before if path.read_bytes() != before[path]]
        # Not the exit code: for gpg 2.4 it is a failure that the primary's secret is not there. And
        # what gpg says is of the last subkey, whose secret may be the one that is not there.
        if ErrorCode.NO_SECKEY in reply.codes():
            if len(before) == len(keygrips(key)):  # all are here, so that cannot be
                raise AgentUnavailable(
                    "cannot change the passphrase: gpg-agent did not find the keys", reply=reply
                )
            if protected and not changed:
                raise BadPassphrase(f"the passphrase does not open {key.fingerprint}", reply=reply)
        elif reply.has("ERROR") or not reply.has("SUCCESS"):
            raise outcome.failure(reply, "change the passphrase", key.fingerprint)
        if all(map(mend, changed)):
            return [path for path in protected if path not in changed]
    raise outcome.failure(reply, "change the passphrase", key.fingerprint)


async def _ask_for_change(engine: Engine, key: Key, replies: list[bytes]) -> Reply:
    def answer(line: str) -> bytes | None:
        if line.startswith("GET_HIDDEN"):
            return (replies.pop(0) if len(replies) > 1 else replies[0]) + b"\n"
        return b"y\n" if line.startswith("GET_BOOL") else None

    return await engine.run_locked(
        Call(commands.change_passphrase(key.fingerprint), answer=answer, attended=True)
    )


async def replace_passphrase(engine: Engine, key: Key, old: bytes, new: bytes) -> None:
    """Change the passphrase of a key of ``engine``'s home; its files are replaced whole.

    Raises:
        BadPassphrase: ``old`` does not open it; nothing was changed.
    """
    kind = engine.home.protection.kind
    async with scratch(engine, kind) as aside, engine.locked(writing=True):
        await bring_over(engine, aside, [key])
        if await change_passphrase(aside, key, old, new):
            raise BadPassphrase(f"a part of {key.fingerprint} has another passphrase")
        changed = key_files(aside.home.path, keygrips(key))
        await uninterrupted(in_thread(swap_keys, changed, engine.home.path))


async def require_opened(engine: Engine, key: Key, passphrase: bytes) -> None:
    """Let a passphrase pass that opens all of a key that is here, by a change in a scratch home.

    Raises:
        BadPassphrase: it does not.
    """
    async with scratch(engine, engine.home.protection.kind) as aside:
        async with engine.locked(writing=False):
            await bring_over(engine, aside, [key])
        if await change_passphrase(aside, key, passphrase, passphrase):
            raise BadPassphrase(f"a part of {key.fingerprint} has another passphrase")


async def export_secret(
    engine: Engine,
    keys: Iterable[Key],
    inner: bytes,
    outer: bytes,
    names: Sequence[str] = (),
    *,
    subkeys: bool = False,
    minimal: bool = False,
) -> bytes:
    """Export secret keys, protected by the user's own passphrase the way gpg itself does it.

    Args:
        engine: whose keys.
        keys: which.
        inner: the passphrase as the agent of the home expects it.
        outer: the user's own.
        names: which parts of them; default: all.
        subkeys: leave out the secret parts of the primary keys.
        minimal: leave out what others signed.

    Returns:
        An armored block.

    Raises:
        BadPassphrase: the passphrase does not open a key.
    """
    options = {"subkeys": subkeys, "minimal": minimal}
    block = await _export_secret(engine, list(keys), inner, outer, names, **options)
    return await in_thread(with_true_counts, block, outer)


async def _export_secret(
    engine: Engine,
    found: Sequence[Key],
    inner: bytes,
    outer: bytes,
    names: Sequence[str],
    *,
    subkeys: bool,
    minimal: bool,
) -> bytes:
    fingerprints = names or [key.fingerprint for key in found]
    options = commands.export_secret(fingerprints, subkeys=subkeys, minimal=minimal)
    call = Call(options, passphrase=outer)
    if inner == outer:
        return exported(await engine.run(call), fingerprints)
    async with scratch(engine, "gnupg") as aside:
        async with engine.locked(writing=False):
            await bring_over(engine, aside, found)
        refused: BadPassphrase | None = None
        for key in found:
            try:
                await change_passphrase(aside, key, inner, outer)
            except BadPassphrase as error:
                # One that came in with a passphrase of its own and was not taken over; where
                # that is the user's, the export below opens it, and else says what is wrong.
                refused = error
        try:
            return exported(await aside.run_locked(call), fingerprints)
        except BadPassphrase as error:
            raise error from refused


def exported(reply: Reply, fingerprints: Iterable[str]) -> bytes:
    """Return what was exported, where that is all that was asked for.

    Raises:
        GnuPGError: something is missing.
    """
    named = ", ".join(fingerprints)
    if reply.returncode != 0 or not reply.stdout or reply.has("ERROR"):
        raise outcome.failure(reply, "export", named)
    return reply.stdout


async def bring_over(engine: Engine, aside: Engine, keys: Iterable[Key]) -> None:
    """Copy keys into a scratch home: the files of the secret parts, and the public parts."""
    found = list(keys)
    fingerprints = [key.fingerprint for key in found]
    public = exported(await engine.run_locked(Call(commands.export(fingerprints))), fingerprints)
    files = [path for key in found for path in key_files(engine.home.path, keygrips(key))]
    copy_keys(files, aside.home.path)
    imports.imported(await aside.run(Call(commands.import_keys(), stdin=public, writing=True)))


async def import_secret(engine: Engine, block: bytes, inner: bytes, outer: bytes) -> ImportResult:
    """Import a block with secret keys, and take over those that the user's passphrase opens.

    Public keys without user ids that stand behind them come in, too.

    Args:
        engine: into whose home.
        block: the keys.
        inner: the passphrase as the agent of the home shall expect it.
        outer: the user's own.

    Returns:
        What was imported.

    Raises:
        ImportFailed: nothing was.
    """
    async with scratch(engine, "scrypt") as aside:
        reply = await aside.run(Call(commands.import_keys(), stdin=block, writing=True))
        result = imports.imported(reply)
        await in_thread(require_kept, aside)
        listing = await aside.run(Call(commands.list_keys(mark=False)))
        outcome.require_listing(listing)
        found = parse_colons(listing.stdout)
        for key in found:
            await _take_over_there(aside, key, inner, outer)
        fingerprints = [key.fingerprint for key in found]
        public = exported(await aside.run(Call(commands.export(fingerprints))), fingerprints)
        placeholder_keys = await in_thread(imports.left_out, reply, block)
        files = list((aside.home.path / KEYS).glob("*.key"))
        async with engine.locked(writing=True):
            merged = [await engine.run_locked(Call(commands.import_keys(), stdin=public))]
            if placeholder_keys:
                options = commands.import_keys(placeholders=True)
                merged.append(await engine.run_locked(Call(options, stdin=placeholder_keys)))
            copied = await uninterrupted(in_thread(copy_keys, files, engine.home.path))
    new = result.secret_imported if copied else 0
    brought = with_secret(imports.imported(*merged), result.counts.get("sec_read", 0), new)
    # How many keys there were, and how many of them without user ids, is what the block itself had.
    nameless = max(result.no_user_id, brought.no_user_id)
    had = {"count": result.counts["count"], "no_user_id": nameless}
    return replace(brought, no_user_id=nameless, counts={**brought.counts, **had})


def require_kept(aside: Engine) -> None:
    """Let an import into a scratch home pass where the agent kept its secret keys whole.

    Raises:
        ImportFailed: it wrote only a part of one.
    """
    lost = [
        path for path in (aside.home.path / KEYS).glob("*.key") if not readings(path.read_bytes())
    ]
    if lost:
        raise ImportFailed(
            "gpg-agent cannot keep a secret key of these as it is protected",
            hint="export it once more where it comes from: that is by chance",
        )


def with_secret(result: ImportResult, read: int, new: int) -> ImportResult:
    """Return the result of an import whose secret keys were brought in beside it."""
    counts = dict(result.counts) | {"sec_read": read, "sec_imported": new, "sec_dups": read - new}
    return replace(result, secret_imported=new, counts=counts)


async def _take_over_there(aside: Engine, key: Key, inner: bytes, outer: bytes) -> bool:
    """Change a key in a scratch home to the stretched passphrase, where the user's opens it."""
    files = key_files(aside.home.path, keygrips(key))
    if not any(map(is_protected, files)):
        return False
    try:
        await change_users_passphrase(aside, key, outer, inner)
    except GnuPGError:
        return False
    return True


async def take_over(engine: Engine, keys: Iterable[Key], inner: bytes, outer: bytes) -> bool:
    """Take over keys that came in with a passphrase that was not known then, and now is.

    In a home with gpg's own protection these are those of tiny_gnupg 0.9.0.

    Args:
        engine: whose keys.
        keys: all secret keys that may be meant.
        inner: the passphrase as the agent of the home shall expect it.
        outer: the user's own.

    Returns:
        True where at least one key was taken over.
    """
    taken, kind = False, engine.home.protection.kind
    older = await in_thread(of_0_9, outer) if kind == "gnupg" else b""
    for key in keys:
        files = key_files(engine.home.path, keygrips(key))
        if older:
            call = Call(commands.try_passphrase(key.fingerprint), passphrase=older)
            comes_in = (await engine.run(call)).has("SUCCESS")
        else:
            comes_in = any(map(is_untouched, files))
        if not comes_in:
            continue
        async with scratch(engine, kind) as aside, engine.locked(writing=True):
            await bring_over(engine, aside, [key])
            if await _take_over_there(aside, key, inner, outer):
                changed = key_files(aside.home.path, keygrips(key))
                await uninterrupted(in_thread(swap_keys, changed, engine.home.path))
                taken = True
    return taken
