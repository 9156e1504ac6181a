"""What each command of ``python -m tiny_gnupg`` does: arguments in, a report out."""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from tiny_gnupg._home.key_files import is_open
from tiny_gnupg._home.layout import KEYS
from tiny_gnupg._home.sinks import is_sink
from tiny_gnupg._home.whole_files import whole_file, write_all
from tiny_gnupg._network.found_keys import query
from tiny_gnupg._openpgp.faults import LOOKED_AT, no_message
from tiny_gnupg._openpgp.kinds import may_hold_secret_key, message_kind
from tiny_gnupg._process.flow import Source, pieces_of
from tiny_gnupg._process.tasks import in_thread
from tiny_gnupg.cli.terminal import (
    Report,
    UsageError,
    passphrase,
    progress,
    standard_input,
    standard_output,
)
from tiny_gnupg.errors import AmbiguousKey, KeyNotFound, NotOpenPGP
from tiny_gnupg.gnupg import GnuPG
from tiny_gnupg.gnupg.streams import Plaintext
from tiny_gnupg.results import (
    Capability,
    Certification,
    Decryption,
    Key,
    Signature,
    Subkey,
    UserID,
)


def instance(arguments: argparse.Namespace, *, secret: str = "") -> GnuPG:
    """Make the ``GnuPG`` that the arguments describe."""
    network: dict[str, Any] = {"tor_port": arguments.tor_port} if "tor_port" in arguments else {}
    if network and arguments.keyserver:
        network["keyserver"] = arguments.keyserver
    name, email = getattr(arguments, "name", ""), getattr(arguments, "email", "")
    return GnuPG(name, email, secret, homedir=arguments.home, executable=arguments.gpg, **network)


def of_keys(arguments: argparse.Namespace) -> str:
    """Get the passphrase of secret keys; where none in the home has one, nobody is asked."""
    named = arguments.passphrase_fd is not None or arguments.passphrase_env is not None
    files = (Path(instance(arguments).home) / KEYS).glob("*.key")
    return passphrase(arguments) if named or not all(map(is_open, files)) else ""


async def keys(arguments: argparse.Namespace) -> Report:
    """List keys."""
    async with instance(arguments) as gpg:
        found = await gpg.keys(
            arguments.uid,
            secret=arguments.secret,
            expiring=arguments.expiring,
            certifications=arguments.certifications,
        )
    report = show_keys(found)
    return report if found else replace(report, lines=("no keys",), code=4)


def show_keys(found: Sequence[Key]) -> Report:
    """Report keys."""
    return Report({"keys": list(found)}, tuple(line for key in found for line in _key_lines(key)))


def _key_lines(key: Key) -> list[str]:
    able = "".join(letter.value for letter in Capability if key.usable_for(letter))
    lines = [f"{_life(key)}  [{key.validity.value}]  can: {able or '-'}"]
    for user in key.user_ids:
        lines.append(f"    {_state(user)}{user.text}")
        by = (one for one in user.certifications if one.key_id != key.key_id)
        lines += [f"        {_certified(one)}" for one in by]
    for subkey in key.subkeys:
        able = "".join(letter.value for letter in Capability if letter in subkey.capabilities)
        lines.append(f"    {_life(subkey)}  [{subkey.validity.value}]  for: {able or '-'}")
    return lines


def _life(part: Key | Subkey) -> str:
    kind = "secret" if part.secret else "public"
    return f"{part.fingerprint}  {kind}  {_day(part.created)} to {_day(part.expires)}"


def _certified(one: Certification) -> str:
    what = "revoked by" if one.revocation else "certified by"
    name = one.fingerprint or one.key_id
    return (
        f"{one.status.value} {what} {name} {one.user_id} {_day(one.created)}{' local' * one.local}"
    )


def _state(user: UserID) -> str:
    unsigned = not (user.signed or user.placeholder)
    return "(revoked) " * user.revoked + "(not signed) " * unsigned


def _day(when: Any) -> str:
    return f"{when:%Y-%m-%d}" if when else "-"


async def generate(arguments: argparse.Namespace) -> Report:
    """Make an identity's key."""
    if not arguments.name and not arguments.email:
        raise UsageError("a key has a --name or an --email, or both")
    async with instance(arguments, secret=passphrase(arguments, new=True)) as gpg:
        fingerprint = await gpg.gen_key(expires=arguments.expires)
        home = gpg.home
    return Report({"fingerprint": fingerprint, "home": home}, (fingerprint,))


async def import_keys(arguments: argparse.Namespace) -> Report:
    """Import keys from files or standard input."""
    blocks = [await _read(file) for file in arguments.files or ["-"]]
    for block in blocks:
        message_kind(block)  # what is nothing of OpenPGP is told before a passphrase is asked for
    asks = any(map(may_hold_secret_key, blocks))
    results = []
    async with instance(arguments, secret=passphrase(arguments) if asks else "") as gpg:
        for block in blocks:
            results.append(await gpg.text_import(block))
    lines = [fingerprint for result in results for fingerprint in result.fingerprints]
    return Report({"imports": results}, tuple(lines))


async def export(arguments: argparse.Namespace) -> Report:
    """Export a key."""
    secret = of_keys(arguments) if arguments.secret else ""
    async with instance(arguments, secret=secret) as gpg:
        which = {"secret": arguments.secret, "minimal": arguments.minimal}
        block = await gpg.text_export(arguments.uids, **which)
    return await _deliver(arguments, block.encode(), private=arguments.secret)


async def encrypt(arguments: argparse.Namespace) -> Report:
    """Encrypt a file or standard input."""
    _require_no_size_of_a_file(arguments)
    signing = not arguments.no_sign
    beginning(arguments.file)
    async with instance(arguments, secret=of_keys(arguments) if signing else "") as gpg:
        signers = await _signers(gpg, arguments.signers_as) if signing else [""]
        how: dict[str, Any] = {
            "sign": signing,
            "local_user": signers,
            "hidden": arguments.hidden or False,
        }
        if _is_path(arguments.file):
            written = await gpg.encrypt_file(
                arguments.file,
                arguments.recipients,
                arguments.output,
                armor=arguments.armor,
                overwrite=arguments.force,
                progress=progress("encrypting"),
                **how,
            )
            return _written(written)
        armor = arguments.armor or arguments.output is None
        shown = progress("encrypting", shown=arguments.output is None)
        message = gpg.encrypt_stream(
            _given(arguments), arguments.recipients, armor=armor, progress=shown, **how
        )
        async with aclosing(message):
            return await _pour(arguments, message)


async def symmetric(arguments: argparse.Namespace) -> Report:
    """Encrypt a file or standard input to a passphrase."""
    beginning(arguments.file)
    words = passphrase(arguments, new=True)
    async with instance(arguments) as gpg:
        if not _is_path(arguments.file):
            return await _deliver(arguments, await gpg.encrypt_symmetric(await _read("-"), words))
        written = await gpg.encrypt_symmetric_file(
            arguments.file,
            words,
            arguments.output,
            armor=arguments.armor,
            overwrite=arguments.force,
            progress=progress("encrypting"),
        )
        return _written(written)


async def decrypt(arguments: argparse.Namespace) -> Report:
    """Decrypt a file or standard input; every signature has to be good."""
    head = beginning(arguments.file)
    # Told before the data of a detached signature are in the way of what it would become.
    if len(head) <= LOOKED_AT and (other := no_message(head)):
        raise NotOpenPGP(other.why, hint=other.cure)
    words = passphrase(arguments)
    async with instance(arguments, secret=words) as gpg:
        if _is_path(arguments.file):
            found = await gpg.decrypt_verify_file(
                arguments.file,
                arguments.output,
                require_good=True,
                passphrase=words,
                signer=arguments.signers,
                overwrite=arguments.force,
                progress=progress("decrypting"),
            )
            return _written(cast(Path, found.path), *_told(found))
        async with gpg.decrypt_stream(
            standard_input(),
            passphrase=words,
            signer=arguments.signers,
            progress=progress("decrypting", shown=arguments.output is None),
        ) as plain:
            facts, notes = _told(plain)
            return await _pour(arguments, plain, private=True, facts=facts, notes=notes)


def _told(found: Decryption | Plaintext) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what is told of a message: facts, and lines for people."""
    facts = {"encrypted": found.encrypted, "signatures": list(found.signatures)}
    return facts, _signature_lines(found.signatures) or ("not signed",)


async def sign(arguments: argparse.Namespace) -> Report:
    """Sign a file or standard input."""
    _require_no_size_of_a_file(arguments)
    beginning(arguments.file)
    async with instance(arguments, secret=of_keys(arguments)) as gpg:
        signers = await _signers(gpg, arguments.signers_as)
        if _is_path(arguments.file):
            written = await gpg.sign_file(
                arguments.file,
                arguments.output,
                detach=not (arguments.inline or arguments.clear),
                clear=arguments.clear,
                local_user=signers,
                overwrite=arguments.force,
                progress=progress("signing"),
            )
            return _written(written)
        detach = not (arguments.inline or arguments.clear)
        signed = gpg.sign_stream(
            _given(arguments),
            local_user=signers,
            detach=detach,
            clear=arguments.clear,
            armor=True,
            progress=progress("signing", shown=arguments.output is None),
        )
        async with aclosing(signed):
            return await _pour(arguments, signed)


async def verify(arguments: argparse.Namespace) -> Report:
    """Verify a signed file, or a file and its detached signature."""
    if arguments.file == arguments.signature == "-":
        raise UsageError("standard input is the data or the signature, and not both")
    async with instance(arguments) as gpg:
        if _is_path(arguments.file):
            found = await gpg.verify_file(
                arguments.file,
                "/dev/stdin" if arguments.signature == "-" else arguments.signature,
                signer=arguments.signers,
                progress=progress("verifying"),
            )
        else:
            detached = arguments.signature
            found = await gpg.verify_stream(
                standard_input(),
                None if detached is None else await _read(detached),
                signer=arguments.signers,
                progress=progress("verifying"),
            )
    return Report({"signatures": list(found.signatures)}, _signature_lines(found.signatures))


async def _signers(gpg: GnuPG, uids: Sequence[str] | None) -> list[str]:
    return [await signer_of(gpg, uid) for uid in uids or [""]]


async def signer_of(gpg: GnuPG, uid: str, capability: Capability = Capability.SIGN) -> str:
    """Return the fingerprint of the key that signs: the one that is named, or the only one."""
    doing = capability.name.lower()
    own = [key for key in await gpg.keys(uid, secret=True) if key.usable_for(capability)]
    if not own:
        raise KeyNotFound(
            f"no secret key can {doing}{f' for {uid!r}' * bool(uid)}",
            value=uid,
            hint="make one: tiny-gnupg gen-key, or encrypt with --no-sign",
        )
    if len(own) > 1:
        raise AmbiguousKey(
            f"several secret keys can {doing}",
            candidates=[key.fingerprint for key in own],
            hint="name one: --as FINGERPRINT",
        )
    return own[0].fingerprint


def _signature_lines(signatures: Iterable[Signature]) -> tuple[str, ...]:
    return tuple(
        f"{each.status.value} {each.primary_fingerprint or each.key_id} {each.user_id} "
        f"{_day(each.created)}"
        for each in signatures
    )


async def publish(arguments: argparse.Namespace) -> Report:
    """Upload a key to the keyserver, through Tor."""
    async with instance(arguments) as gpg:
        answer = await gpg.network_export(arguments.uid)
    states = [f"{address}: {state}" for address, state in answer.get("status", {}).items()]
    advice = ("follow the link in the mail that the keyserver sends",)
    return Report({"answer": answer}, (*states, *(advice if states else ())))


async def find(arguments: argparse.Namespace) -> Report:
    """Look a key up on the keyserver, through Tor, and import it if asked to."""
    query(arguments.query)  # what no keyserver is asked for is said, not that it has no such key
    async with instance(arguments) as gpg:
        if not arguments.take:
            url = await gpg.search(arguments.query)
            lines = (url or f"the keyserver has no key for {arguments.query}",)
            return Report({"url": url}, lines, code=0 if url else 4)
        result = await gpg.network_import(arguments.query)
    return Report({"import": result}, result.fingerprints)


def _is_path(file: str | None) -> bool:
    return file not in (None, "-")


def _require_no_size_of_a_file(arguments: argparse.Namespace) -> None:
    if arguments.size is not None and _is_path(arguments.file):
        raise UsageError("--size is of standard input: of a file the system tells")


def _given(arguments: argparse.Namespace) -> Source:
    """Return standard input; one of another size than was said fails before its end."""
    whole = standard_input()
    return whole if arguments.size is None else _of_size(whole, arguments.size)


async def _of_size(source: Source, size: int) -> AsyncGenerator[bytes, None]:
    come = 0
    async with aclosing(pieces_of(source)) as pieces:
        async for piece in pieces:
            come += len(piece)
            if come > size:
                raise OSError(f"more than the {size} bytes of --size came on standard input")
            yield piece
    if come < size:
        raise OSError(f"standard input ended after {come} of the {size} bytes of --size")


def beginning(file: str | None) -> bytes:
    """Return how a file begins; one that cannot be read is told before a passphrase is asked for.

    Args:
        file: its path; of what is no regular file nothing is read, for it may come once.

    Raises:
        OSError: it is not there, or not for this user.
    """
    if file is None or file == "-" or not stat.S_ISREG(os.stat(file).st_mode):
        return b""
    with open(file, "rb") as opened:
        return opened.read(LOOKED_AT + 1)


async def _read(file: str) -> bytes:
    if file == "-":
        return b"".join([piece async for piece in pieces_of(standard_input())])
    return await in_thread(Path(file).read_bytes)


async def _pour(
    arguments: argparse.Namespace,
    pieces: AsyncIterable[bytes],
    *,
    private: bool = False,
    facts: dict[str, Any] | None = None,
    notes: tuple[str, ...] = (),
) -> Report:
    """Write what flows to the file that is asked for, whole or not at all; else as it comes."""
    if arguments.output is not None:
        target = Path(arguments.output)
        mode = 0o600 if private else 0o666
        async with whole_file(target, mode=mode, replace=arguments.force) as fd:
            async for piece in pieces:
                await in_thread(write_all, fd, piece)
        return _written(target, facts, notes)
    if arguments.json:
        whole = b"".join([piece async for piece in pieces])
        return Report(facts or {}, data=whole, notes=notes)
    async with standard_output() as write:
        async for piece in pieces:
            await write(piece)
    return Report(facts or {}, notes=notes)


async def _deliver(
    arguments: argparse.Namespace,
    data: bytes,
    *,
    private: bool = False,
    facts: dict[str, Any] | None = None,
    notes: tuple[str, ...] = (),
) -> Report:
    """Write data to the file that is asked for, whole or not at all; else to standard output."""
    if arguments.output is None and arguments.json:
        return Report(facts or {}, data=data, notes=notes)
    if arguments.output is None:
        async with standard_output() as write:
            await write(data)
        return Report(facts or {}, notes=notes)
    target = Path(arguments.output)
    mode = 0o600 if private else 0o666
    async with whole_file(target, mode=mode, replace=arguments.force) as fd:
        await in_thread(write_all, fd, data)
    return _written(target, facts, notes)


def _written(
    path: Path, facts: dict[str, Any] | None = None, notes: tuple[str, ...] = ()
) -> Report:
    """Report a file that was written; of a pipe no line is told, which could end up in it."""
    lines = () if is_sink(path) else (str(path),)
    return Report({"output": str(path), **(facts or {})}, lines, notes=notes)
