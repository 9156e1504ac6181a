"""Changes of a key in several steps: all of them are made, or none.

1. The steps are taken in a scratch home, on a copy of the key, or without one where a new key is
   made. Whatever fails there, is cancelled or killed, leaves nothing behind.
2. What came of them is brought home in one step, gpg's import of the public key, which adds to what
   is there. The secret parts of new keys lie ready before (``_home.key_changes``), and are the
   agent's once that was done.
3. Where the agent damaged a key file meanwhile (``_gpg.damaged_keys``), or somebody gave the key
   another passphrase, it is all done once more, in another scratch home.
4. To delete is to have gpg write its keyring, once, and then to remove the secret parts: gpg itself
   removes those one by one before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tiny_gnupg._gpg import commands, imports, outcome
from tiny_gnupg._gpg.damaged_keys import readings
from tiny_gnupg._gpg.key_states import parts_of
from tiny_gnupg._home.key_changes import finish_coming, finish_going, lay_coming, lay_going
from tiny_gnupg._home.key_files import key_files, keygrips, mend
from tiny_gnupg._home.layout import KEYS, REVOCATIONS
from tiny_gnupg._openpgp.fingerprints import key_fingerprint
from tiny_gnupg._openpgp.packets import PUBLIC_KEY, PUBLIC_SUBKEY, walk
from tiny_gnupg._operations.engine import Call, Engine
from tiny_gnupg._operations.keyring import keys_of, ownertrust
from tiny_gnupg._operations.secret_keys import TRIES, bring_over, scratch
from tiny_gnupg._process.tasks import in_thread, uninterrupted
from tiny_gnupg.errors import CommandFailed, GnuPGError, HomeUnusable, KeyNotFound
from tiny_gnupg.results import Key, Subkey

T = TypeVar("T")


#: Takes the steps, by ``run_locked`` of the scratch home that it is given.
Steps = Callable[[Engine], Awaitable[T]]


async def change(engine: Engine, steps: Steps[T], key: Key | None = None) -> T:
    """Take the steps of a change, and bring home what came of them.

    Args:
        engine: whose home.
        steps: what is done.
        key: the key that it is done to; None: it makes a new one.

    Returns:
        What ``steps`` gave.

    Raises:
        GnuPGError: as ``steps``; nothing was changed.
    """
    for left in reversed(range(TRIES)):
        async with scratch(engine, engine.home.protection.kind) as aside:
            held: dict[str, bytes] = {}
            if key is not None:
                async with engine.locked(writing=False):
                    await bring_over(engine, aside, [key])
                    held = await in_thread(_contents, engine, key)
            before = await _public_parts(aside)
            try:
                made = await steps(aside)
            except GnuPGError:
                if left and await in_thread(_any_damaged, aside):
                    continue
                raise
            if await in_thread(_mended, aside) and await _bring_home(
                engine, aside, key, held, before
            ):
                return made
    raise CommandFailed("gpg-agent damages what it writes, or others change the key all the time")


def _contents(engine: Engine, key: Key) -> dict[str, bytes]:
    """Return what the agent keeps of a key."""
    files = key_files(engine.home.path, keygrips(key))
    return {path.name: path.read_bytes() for path in files}


def _any_damaged(aside: Engine) -> bool:
    contents = [path.read_bytes() for path in (aside.home.path / KEYS).glob("*.key")]
    return any(readings(content) != [content] for content in contents)


def _mended(aside: Engine) -> bool:
    """Return whether the key files of a scratch home are whole, after they were mended."""
    return all(map(mend, (aside.home.path / KEYS).glob("*.key")))


async def _export(engine: Engine, *fingerprints: str) -> bytes:
    reply = await engine.run_locked(Call(commands.export(fingerprints, armor=False)))
    return outcome.require_success(reply, "export").stdout


async def _public_parts(engine: Engine, *fingerprints: str) -> list[bytes]:
    """Return the contents of the packets of primary keys and subkeys."""
    return _parts(await _export(engine, *fingerprints))


def _parts(block: bytes) -> list[bytes]:
    return [frame.body for frame in walk(block) if frame.tag in (PUBLIC_KEY, PUBLIC_SUBKEY)]


async def _bring_home(
    engine: Engine, aside: Engine, key: Key | None, held: dict[str, bytes], before: list[bytes]
) -> bool:
    """Bring the key of a scratch home into that of ``engine``; False: it was changed meanwhile."""
    public = await _export(aside)
    new = [part for part in _parts(public) if part not in before]
    trust = b"" if key else await ownertrust(aside)

    async def merge() -> None:
        if new:
            with _written(engine):
                await in_thread(lay_coming, _new_files(aside, held), engine.home.path, new[-1])
        imports.imported(await engine.run_locked(Call(commands.import_keys(), stdin=public)))
        if new:
            await in_thread(finish_coming, engine.home.path)
        if trust:
            # Not before: gpg would not look at the key's trust when it comes.
            reply = await engine.run_locked(Call(commands.import_ownertrust(), stdin=trust))
            outcome.require_success(reply, "set the trust")

    async with engine.locked(writing=True):
        if key is not None and await in_thread(_contents, engine, key) != held:
            return False
        await uninterrupted(merge())
    return True


def _new_files(aside: Engine, held: dict[str, bytes]) -> list[Path]:
    """Return the new files of a scratch home: secret keys, and certificates to revoke them."""
    keys = [path for path in (aside.home.path / KEYS).glob("*.key") if path.name not in held]
    return [*keys, *(aside.home.path / REVOCATIONS).glob("*.rev")]


# -- the end -------------------------------------------------------------------------------


async def delete(engine: Engine, key: Key) -> None:
    """Delete a key: its public part, and its secret ones where they are no other key's too.

    Raises:
        GnuPGError: gpg cannot do it; nothing was deleted.
    """
    async with engine.locked(writing=True):
        files = await _files_of(engine, key, parts_of(key))
        packets = await _public_parts(engine, key.fingerprint)
        if not packets:
            raise KeyNotFound(value=key.fingerprint)
        call = Call(commands.delete(key.fingerprint))
        await uninterrupted(_delete(engine, key, call, files, packets[0]))


async def delete_subkey(engine: Engine, key: Key, subkey: Subkey) -> None:
    """Delete one subkey of a key, and its secret part where it is no other key's too.

    Raises:
        GnuPGError: gpg cannot do it; nothing was deleted.
    """
    async with engine.locked(writing=True):
        files = await _files_of(engine, key, [subkey])
        parts = await _public_parts(engine, key.fingerprint)
        packets = [one for one in parts if key_fingerprint(one) == subkey.fingerprint]
        if not packets:
            raise KeyNotFound(value=subkey.fingerprint)
        options = commands.edit(key.fingerprint, f"key {subkey.fingerprint}", "delkey")
        call = Call(options, answer=yes, attended=True)
        await uninterrupted(_delete(engine, key, call, files, packets[0]))


async def _delete(engine: Engine, key: Key, call: Call, files: list[Path], packet: bytes) -> None:
    if files:
        with _written(engine):
            await in_thread(lay_going, files, engine.home.path, packet)
    reply = await engine.run_locked(call)
    if packet in await _public_parts(engine, key.fingerprint):
        if reply.has("DELETE_PROBLEM"):  # not that there is no such key
            raise CommandFailed(f"gpg cannot delete: {reply.last_words()}", reply=reply)
        raise outcome.failure(reply, "delete", key.fingerprint)
    if files:
        await in_thread(finish_going, engine.home.path)


async def delete_secret(engine: Engine, key: Key) -> None:
    """Delete the secret parts of a key, where they are no other key's too."""
    async with engine.locked(writing=True):
        files = await _files_of(engine, key, parts_of(key))
        with _written(engine):
            await uninterrupted(in_thread(_remove, files, engine.home.path))


def _remove(files: list[Path], home: Path) -> None:
    lay_going(files, home)
    finish_going(home)


async def _files_of(engine: Engine, key: Key, parts: Sequence[Key | Subkey]) -> list[Path]:
    """Return the files of the secret parts of a key that no other key, or part of it, has too."""
    grips = {part.keygrip for part in parts if part.keygrip}
    terms = [f"&{grip}" for grip in grips]
    gone = {(key.fingerprint, part.fingerprint) for part in parts}
    shared: set[str] = set()
    for one in await keys_of(await engine.run_locked(Call(commands.list_keys(terms)))):
        kept = (part for part in parts_of(one) if (one.fingerprint, part.fingerprint) not in gone)
        shared.update(part.keygrip for part in kept)
    return await in_thread(key_files, engine.home.path, sorted(grips - shared))


@contextmanager
def _written(engine: Engine) -> Iterator[None]:
    """Name the error of a home that cannot be written."""
    try:
        yield
    except OSError as error:
        raise HomeUnusable(
            f"cannot write the secret keys in {engine.home.path}: {error.strerror}",
            hint="make room, or make the homedir writable; nothing was changed",
        ) from error


def yes(line: str) -> bytes | None:
    """Reply yes to gpg's questions whether to."""
    return b"y\n" if line.startswith("GET_BOOL") else None
