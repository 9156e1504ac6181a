"""A whole home in a directory that any OpenPGP program can read, and back.

A backup holds ``public.gpg`` (all keys, with local signatures), ``secret.asc`` (all secret keys,
protected by the user's own passphrase in gpg's own way), ``ownertrust.txt`` and
``openpgp-revocs.d``. It appears whole or not at all. What is restored may be such a directory, or
(a copy of) a home: one of this library's, or any ``~/.gnupg``; it is only read.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from pathlib import Path

from tiny_gnupg._gpg import commands, imports, outcome
from tiny_gnupg._home.key_files import copy_keys
from tiny_gnupg._home.layout import (
    COMING,
    GOING,
    KEYRINGS,
    KEYS,
    OLD_SECRET_KEYRING,
    REVOCATIONS,
    SWAP,
    is_kept_by_keyboxd,
)
from tiny_gnupg._home.layout import TRUST as TRUSTDB
from tiny_gnupg._home.protection import Protection
from tiny_gnupg._home.repair import heal
from tiny_gnupg._home.stretching import Stretcher
from tiny_gnupg._home.whole_files import read_regular, write_whole
from tiny_gnupg._openpgp.back_signatures import let_in
from tiny_gnupg._operations import secret_keys
from tiny_gnupg._operations.engine import Call, Engine
from tiny_gnupg._operations.keyring import keys_of, list_keys, ownertrust
from tiny_gnupg._process.tasks import in_thread, uninterrupted
from tiny_gnupg.errors import BadPassphrase, HomeUnusable, ImportFailed
from tiny_gnupg.results import ImportResult

PUBLIC, SECRET, TRUST = "public.gpg", "secret.asc", "ownertrust.txt"


#: What a home's keys are in (GnuPG 2.1 and newer, and the secret keys of older ones).
HOLDERS = (*KEYRINGS, TRUSTDB, OLD_SECRET_KEYRING, KEYS, REVOCATIONS)


#: Bytes that one file of a backup or of a home may have, and one of a folder in it; and how many
#: such files there may be: what somebody else hands over must not fill the disk.
MOST, MOST_OF_ONE, MOST_FILES = 2**30, 2**18, 2**14


async def backup(engine: Engine, path: Path, inner: bytes, outer: bytes) -> None:
    """Write all of a home into a new directory.

    Args:
        engine: whose home.
        path: the directory; it must not be there yet.
        inner: the passphrase as the agent of the home expects it.
        outer: the user's own.

    Raises:
        FileExistsError: the directory is there.
        BadPassphrase: the passphrase does not open each secret key; nothing is written.
    """
    _require_new(path)
    public = await engine.run(Call(commands.export_backup()))
    outcome.require_success(public, "export all keys")
    async with engine.locked(writing=False):
        files = {PUBLIC: public.stdout, TRUST: await ownertrust(engine)}
    owned = await list_keys(engine, secret=True)
    if owned:
        files[SECRET] = await secret_keys.export_secret(engine, owned, inner, outer)
    await in_thread(_write, path, files, engine.home.path / REVOCATIONS)


def _require_new(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise FileExistsError(
            errno.EEXIST, "a backup goes into a new directory, and there is one", str(path)
        )


def _write(path: Path, files: dict[str, bytes], revocations: Path) -> None:
    """Write the directory under another name, and give it its own at the end."""
    draft = path.with_name(f".tiny_gnupg.{secrets.token_hex(8)}")
    draft.mkdir(mode=0o700, parents=True)
    try:
        for name, data in files.items():
            write_whole(draft / name, data)
        _copy_files(revocations, draft / REVOCATIONS)
        draft.rename(path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


async def restore(engine: Engine, path: Path, inner: bytes, passphrase: str) -> ImportResult:
    """Bring the keys of a backup, or of a home, into the home of ``engine``.

    What is there already stays, and gains what is new.

    Args:
        engine: into whose home.
        path: the backup, or the homedir; it is only read.
        inner: the passphrase as the agent of the home shall expect it.
        passphrase: the user's own.

    Returns:
        What was imported.

    Raises:
        ImportFailed: there is nothing to restore.
        BadPassphrase: the passphrase does not open each secret key; no secret key was restored.
        HomeUnusable: the directory cannot be read, or keeps its keys in a daemon's database.
    """
    is_backup = _is_backup(path)
    # Of the same kind, so that what comes of the keys there is protected as it shall be here.
    async with secret_keys.scratch(engine, engine.home.protection.kind) as aside:
        if is_backup:
            await _load(aside, path)
            old = passphrase.encode()
        else:
            old = await _copy(aside, path, passphrase)
        return await _move(aside, engine, old, inner)


def _is_backup(path: Path) -> bool:
    """Tell a backup from a homedir, and either from anything else."""
    if not path.is_dir() or not os.access(path, os.R_OK | os.X_OK):
        raise HomeUnusable(f"cannot read {path}", hint="name a backup, or a homedir")
    if (path / PUBLIC).exists():
        return True
    if is_kept_by_keyboxd(path):
        raise HomeUnusable(
            f"{path} keeps its public keys in keyboxd's database",
            hint="export them there with --export-options backup, and use text_import",
        )
    if any((path / name).exists() for name in KEYRINGS):
        return False
    raise ImportFailed(
        f"{path} is neither a backup nor a homedir with keys", hint="name one of them"
    )


async def _load(aside: Engine, path: Path) -> None:
    """Import a backup into a scratch home."""
    public = await in_thread(_read, path / PUBLIC)
    async with aside.locked(writing=True):
        await _import_public(aside, public)
    if SECRET in os.listdir(path):
        await _import(aside, path / SECRET)
    if TRUST in os.listdir(path):
        trust = await in_thread(_read, path / TRUST)
        reply = await aside.run(Call(commands.import_ownertrust(), stdin=trust, writing=True))
        outcome.require_success(reply, "read the ownertrust")
    await in_thread(_copy_files, path / REVOCATIONS, aside.home.path / REVOCATIONS)


async def _import(aside: Engine, source: Path) -> None:
    block = await in_thread(_read, source)
    imports.imported(await aside.run(Call(commands.import_keys(), stdin=block, writing=True)))
    await in_thread(secret_keys.require_kept, aside)


async def _import_public(engine: Engine, block: bytes) -> ImportResult:
    """Import what a backup holds of all public keys, where the home's lock is held."""
    replies = [await engine.run_locked(Call(commands.import_backup(), stdin=block))]
    placeholder_keys = await in_thread(imports.left_out, replies[0], block)
    if placeholder_keys:
        replies.append(
            await engine.run_locked(
                Call(commands.import_keys(placeholders=True), stdin=placeholder_keys)
            )
        )
    return imports.imported(*replies)


async def _copy(aside: Engine, path: Path, passphrase: str) -> bytes:
    """Copy a home into a scratch home; return the passphrase as its agent expects it."""
    await in_thread(_copy_holders, path, aside.home.path)
    try:
        protection = await in_thread(Protection.of, path)
    except FileNotFoundError:
        return passphrase.encode()
    return await Stretcher().stretched(protection, passphrase)


def _copy_holders(source: Path, target: Path) -> None:
    for name in HOLDERS:
        if os.path.isdir(source / name):
            _copy_files(source / name, target / name)
        elif os.path.lexists(source / name):
            write_whole(target / name, _read(source / name), replace=True)
    for folder in (SWAP, COMING, GOING):
        if os.path.isdir(source / KEYS / folder):
            _copy_files(source / KEYS / folder, target / KEYS / folder)
    heal(target)  # somebody may have been stopped there in a change of a passphrase


def _copy_files(source: Path, target: Path) -> None:
    """Copy the files of a folder into another one, where that has them not yet.

    Raises:
        HomeUnusable: there is a symbolic link, or what no such folder holds.
    """
    if source.is_symlink():
        raise _no_file(source, "it is a symbolic link")
    if not source.is_dir():
        return
    target.mkdir(mode=0o700, exist_ok=True)
    names = [entry.name for entry in os.scandir(source) if not entry.is_dir(follow_symlinks=False)]
    if len(names) > MOST_FILES:
        raise _no_file(source, f"it holds {len(names)} files")
    for name in names:
        if not os.path.lexists(target / name):
            write_whole(target / name, _read(source / name, MOST_OF_ONE))


def _read(source: Path, most: int = MOST) -> bytes:
    try:
        return read_regular(source, most)
    except OSError as error:
        raise _no_file(source, error.strerror or str(error)) from error


def _no_file(source: Path, reason: str) -> HomeUnusable:
    return HomeUnusable(
        f"cannot take {source} over: {reason}",
        hint="only files of a usual size are; see who put that there, and take it away",
    )


async def _move(aside: Engine, engine: Engine, old: bytes, new: bytes) -> ImportResult:
    """Bring all keys of a scratch home into the home of ``engine``, under its passphrase."""
    owned = await keys_of(await aside.run(Call(commands.list_keys(secret=True))))
    for key in owned:
        try:
            unopened = await secret_keys.change_users_passphrase(aside, key, old, new)
        except BadPassphrase as error:
            raise BadPassphrase(f"the passphrase does not open {key.fingerprint}") from error
        if unopened:
            raise BadPassphrase(f"the passphrase does not open all parts of {key.fingerprint}")
    public = outcome.require_success(await aside.run(Call(commands.export_backup())), "restore")
    trust = await ownertrust(aside)
    own = {subkey.fingerprint for key in owned for subkey in key.subkeys if subkey.secret}
    block = await in_thread(let_in, public.stdout, own=own)
    files = list((aside.home.path / KEYS).glob("*.key"))
    async with engine.locked(writing=True):
        held = await ownertrust(engine)
        result = await _import_public(engine, block)
        copied = await uninterrupted(in_thread(copy_keys, files, engine.home.path))
        new_trust = _without(trust, held)
        reply = await engine.run_locked(Call(commands.import_ownertrust(), stdin=new_trust))
        outcome.require_success(reply, "restore the ownertrust")
        certificates = aside.home.path / REVOCATIONS, engine.home.path / REVOCATIONS
        await in_thread(_copy_files, *certificates)
    return secret_keys.with_secret(result, len(owned), len(owned) if copied else 0)


def _without(trust: bytes, held: bytes) -> bytes:
    """Return the lines of an ownertrust listing about keys that another one says nothing of."""
    known = {line.partition(b":")[0] for line in held.splitlines()}
    lines = trust.splitlines(keepends=True)
    return b"".join(line for line in lines if line.partition(b":")[0] not in known)
