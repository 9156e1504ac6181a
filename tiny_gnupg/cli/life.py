"""What the commands about the life of a key do: each changes one, and shows it as it is then."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from typing import Any

from tiny_gnupg.cli.commands import beginning, instance, of_keys, show_keys, signer_of
from tiny_gnupg.cli.terminal import Report, UsageError, passphrase
from tiny_gnupg.gnupg import GnuPG
from tiny_gnupg.results import Capability, ImportResult

#: Ownertrust in gpg's words, by the level that ``GnuPG.trust`` takes less one.
LEVELS = ("undefined", "never", "marginal", "full", "ultimate")

#: Why a key is revoked, by gpg's numbers.
REASONS = ("none", "compromised", "superseded", "unused")

Change = Callable[[GnuPG, argparse.Namespace], Awaitable[object]]
Run = Callable[[argparse.Namespace], Awaitable[Report]]


def _changing(change: Change, *, secret: bool = True, last: bool = False) -> Run:
    """Return a command that changes the key ``uid``.

    Args:
        change: what it does.
        secret: that needs the passphrase of a secret key.
        last: it cannot be undone.
    """

    async def run(arguments: argparse.Namespace) -> Report:
        if last and not arguments.yes:
            named = f"tiny-gnupg keys {arguments.uid}"
            raise UsageError(
                f"this cannot be undone: see what it means by '{named}', then say --yes"
            )
        async with instance(arguments, secret=of_keys(arguments) if secret else "") as gpg:
            await change(gpg, arguments)
            return show_keys(await gpg.keys(arguments.uid))

    return run


async def _delete(gpg: GnuPG, arguments: argparse.Namespace) -> None:
    if arguments.subkey:
        await gpg.delete_subkey(arguments.uid, arguments.subkey)
    else:
        await gpg.delete(arguments.uid, secret_only=arguments.secret_only)


async def _certify(gpg: GnuPG, arguments: argparse.Namespace) -> None:
    signer = await signer_of(gpg, arguments.signer, Capability.CERTIFY)
    await gpg.certify(arguments.uid, signer, local=arguments.local)


async def _trust(gpg: GnuPG, arguments: argparse.Namespace) -> None:
    await gpg.trust(arguments.uid, 1 + LEVELS.index(arguments.level))


async def _revoke(gpg: GnuPG, arguments: argparse.Namespace) -> None:
    why: dict[str, Any] = {"reason": REASONS.index(arguments.reason), "text": arguments.text}
    if arguments.subkey:
        await gpg.revoke_subkey(arguments.uid, arguments.subkey, **why)
    elif arguments.user_id:
        await gpg.revoke_uid(arguments.uid, arguments.user_id)
    else:
        await gpg.revoke(arguments.uid, **why)


async def _renew(gpg: GnuPG, arguments: argparse.Namespace) -> None:
    await gpg.set_expire(arguments.uid, arguments.expires, subkeys=arguments.subkeys or True)


async def _rotate(gpg: GnuPG, arguments: argparse.Namespace) -> None:
    usages = arguments.usages or ("sign", "encrypt")
    how = {"expires": arguments.expires, "overlap": arguments.overlap}
    await gpg.rotate(arguments.uid, usages=usages, **how)


async def _change_passphrase(gpg: GnuPG, arguments: argparse.Namespace) -> None:
    await gpg.change_passphrase(arguments.uid, passphrase(arguments, new=True, which="new_"))


delete = _changing(_delete, secret=False, last=True)
certify = _changing(_certify)
trust = _changing(_trust, secret=False)
revoke = _changing(_revoke, last=True)
renew = _changing(_renew)
rotate = _changing(_rotate)
change_passphrase = _changing(_change_passphrase)


async def backup(arguments: argparse.Namespace) -> Report:
    """Write the whole home into a new directory."""
    async with instance(arguments, secret=of_keys(arguments)) as gpg:
        path = str(await gpg.backup(arguments.directory))
    return Report({"output": path}, (path,))


async def restore(arguments: argparse.Namespace) -> Report:
    """Bring the keys of a backup, or of another home, into this home."""
    beginning(arguments.directory)
    async with instance(arguments, secret=passphrase(arguments)) as gpg:
        return _imported(await gpg.restore(arguments.directory))


async def wkd(arguments: argparse.Namespace) -> Report:
    """Import the key of an address from its domain's Web Key Directory, through Tor."""
    async with instance(arguments) as gpg:
        return _imported(await gpg.wkd_import(arguments.email))


async def refresh(arguments: argparse.Namespace) -> Report:
    """Fetch updates of keys, through Tor."""
    async with instance(arguments) as gpg:
        found = await gpg.refresh(arguments.uid)
    return Report({"fingerprints": list(found)}, found)


def _imported(result: ImportResult) -> Report:
    return Report({"import": result}, result.fingerprints)
