"""Messages in files."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from tiny_gnupg._gpg import commands, outcome, plaintexts, signatures
from tiny_gnupg._gpg.arguments import Signer, Uids
from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg._home.whole_files import (
    Progress,
    plain_name,
    read_again,
    read_file,
    reading,
    whole_file,
)
from tiny_gnupg._openpgp.armor import stands_alone
from tiny_gnupg._openpgp.kinds import MessageKind
from tiny_gnupg._operations.engine import Call
from tiny_gnupg._process.pipes import CHUNK, Descriptor
from tiny_gnupg._process.program import OUTPUT, SECOND
from tiny_gnupg._process.tasks import in_thread
from tiny_gnupg.gnupg import reasons
from tiny_gnupg.gnupg.inputs import _HEAD, _kind_of, _require_clear
from tiny_gnupg.gnupg.messages import Messages, _by_session_key
from tiny_gnupg.gnupg.recipients import Sealing
from tiny_gnupg.results import Decryption, Verification

#: Bytes of a line that are read at once.
_LINE = 2**16


class Files(Messages):
    """Messages in files."""

    async def encrypt_file(
        self,
        source: str | os.PathLike[str],
        uid: Uids = "",
        output: str | os.PathLike[str] | None = None,
        *,
        sign: bool = True,
        local_user: Uids = "",
        armor: bool = False,
        hidden: bool | Uids = False,
        trust: str | None = None,
        compress: bool = True,
        ocb: bool = False,
        passphrase: str | None = None,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Path:
        """Encrypt a file; memory does not grow with it, and the output appears whole or not at all.

        Args:
            source: the file's path.
            uid: the recipient, or several; the empty text is this instance's own key.
            output: the path to write; default: ``source`` with ``.gpg``, or ``.asc`` where armored.
            sign: sign it too.
            local_user, armor, hidden, trust, compress, ocb, passphrase: as for ``encrypt``.
            overwrite: replace a file that is there; a pipe or device is written to, never replaced.
            progress: called with the bytes done and all bytes, ten times a second.

        Returns:
            The path that was written.

        Raises:
            FileExistsError: the output is there and ``overwrite`` is not set, or it is a symlink.
            GnuPGError: as ``encrypt``.
        """
        sealing = await self._sealing(
            uid,
            local_user if sign else None,
            hidden=hidden,
            trust=trust,
            passphrase=passphrase,
            armor=armor,
            compress=compress,
            ocb=ocb,
        )
        return await self._encrypt_between(source, output, sealing, overwrite, progress)

    async def encrypt_symmetric_file(
        self,
        source: str | os.PathLike[str],
        passphrase: str | None = None,
        output: str | os.PathLike[str] | None = None,
        *,
        sign: bool = False,
        local_user: Uids = "",
        armor: bool = False,
        compress: bool = True,
        ocb: bool = False,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Path:
        """Encrypt a file to a passphrase, so that any tool can open it with it.

        Args:
            source: the file's path.
            passphrase: as for ``encrypt_symmetric``, like ``sign`` and ``local_user``.
            output, armor, compress, ocb, overwrite, progress: as for ``encrypt_file``.

        Returns:
            The path that was written.

        Raises:
            FileExistsError: the output is there and ``overwrite`` is not set, or it is a symlink.
            ValueError, GnuPGError: as ``encrypt_symmetric``.
        """
        signers = local_user if sign else None
        sealing = await self._sealing(
            "",
            signers,
            to_keys=False,
            passphrase=passphrase,
            armor=armor,
            compress=compress,
            ocb=ocb,
        )
        return await self._encrypt_between(source, output, sealing, overwrite, progress)

    async def _encrypt_between(
        self,
        source: str | os.PathLike[str],
        output: str | os.PathLike[str] | None,
        sealing: Sealing,
        overwrite: bool,
        progress: Progress | None,
    ) -> Path:
        ending = ".asc" if sealing.form["armor"] else ".gpg"
        target = Path(f"{os.fspath(source)}{ending}") if output is None else Path(output)
        async with _between(source, target, overwrite, progress) as call:
            await self._encrypt(call, sealing)
        return target

    async def decrypt_file(
        self,
        source: str | os.PathLike[str],
        output: str | os.PathLike[str] | None = None,
        *,
        passphrase: str | None = None,
        signer: Signer = None,
        overwrite: bool = False,
        max_output: int | None = None,
        progress: Progress | None = None,
    ) -> Path:
        """Decrypt a file; where it is signed, every signature must be good.

        The output appears whole, after everything was found good, or not at all. It is its owner's
        alone (0600).

        Args:
            source: the file's path.
            output: the path to write; default: ``source`` without ``.gpg``, ``.pgp`` or ``.asc``.
            passphrase: as for ``decrypt``.
            signer: as for ``decrypt``.
            overwrite: replace a file that is there; a pipe or device is written to, never replaced.
            max_output: bytes that may come out; None is without bound.
            progress: called with the bytes done and all bytes, ten times a second.

        Returns:
            The path that was written.

        Raises:
            FileExistsError: the output is there and ``overwrite`` is not set, or it is a symlink.
            OutputTooLarge: more than ``max_output`` bytes came out.
            GnuPGError: as ``decrypt``.
        """
        target = plain_name(Path(source)) if output is None else Path(output)
        await self.decrypt_verify_file(
            source,
            target,
            require_good=True,
            passphrase=passphrase,
            signer=signer,
            overwrite=overwrite,
            max_output=max_output,
            progress=progress,
        )
        return target

    async def decrypt_verify_file(
        self,
        source: str | os.PathLike[str],
        output: str | os.PathLike[str] | None = None,
        *,
        require_good: bool = False,
        passphrase: str | None = None,
        signer: Signer = None,
        show_session_key: bool = False,
        override_session_key: str | None = None,
        overwrite: bool = False,
        max_output: int | None = None,
        progress: Progress | None = None,
    ) -> Decryption:
        """Decrypt a file, and report its signatures whatever their state.

        The output appears whole, after the decryption itself succeeded, or not at all. It is its
        owner's alone (0600).

        Args:
            source: the file's path.
            output: as for ``decrypt_file``.
            require_good: let the output appear only where every signature is good, or there is
                none, and raise as ``decrypt_file`` does where one is not.
            passphrase, overwrite, max_output, progress: as for ``decrypt_file``.
            signer, show_session_key, override_session_key: as for ``decrypt_verify``.

        Returns:
            The path that was written, in ``path``, and every signature; ``require_good()`` raises
            as ``decrypt_file`` would. The plaintext stays in its file.

        Raises:
            GnuPGError: as ``decrypt_file``, save for signatures.
        """
        target = plain_name(Path(source)) if output is None else Path(output)
        signers = await self._pin(signer)
        async with (
            reading(Path(source), progress) as given,
            whole_file(target, mode=0o600, replace=overwrite) as stdout,
        ):
            found = await self._decrypt_between(
                given,
                stdout,
                signers,
                require_good=require_good,
                passphrase=passphrase,
                max_output=max_output,
                session_key=_by_session_key(show_session_key, override_session_key),
            )
        return replace(found, path=target)

    async def _decrypt_between(
        self,
        given: int,
        stdout: int,
        signers: frozenset[str],
        *,
        require_good: bool,
        passphrase: str | None,
        max_output: int | None,
        session_key: tuple[Sequence[str], bytes | None] = ((), None),
    ) -> Decryption:
        """Decrypt from one descriptor into another, that of a file; raise where that is not good.

        Args:
            given: open for reading.
            stdout: a file that nobody reads before this has ended well.
            signers: who must have signed.
            require_good: as for ``decrypt_verify_file``, like ``passphrase`` and ``max_output``.
            session_key: as ``_by_session_key`` gives it.
        """
        async with read_again(given) as stdin:
            head = os.pread(stdin, _HEAD, 0)
            kind = await _kind_of(head)

            def judge(reply: Reply) -> Decryption:
                size = os.fstat(stdout).st_size
                return _judged(reply, kind, size, signers, require_good, max_output)

            how, second = session_key
            options = [*how, *commands.decrypt(OUTPUT, max_output)]
            call = Call(options, stdin=Descriptor(stdin), second=second, stdout=stdout)
            return await self._open(call, judge, kind, passphrase)

    async def sign_file(
        self,
        source: str | os.PathLike[str],
        output: str | os.PathLike[str] | None = None,
        *,
        detach: bool = True,
        clear: bool = False,
        local_user: Uids = "",
        armor: bool = True,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Path:
        """Sign a file.

        Args:
            source: the file's path.
            output: the path to write; default: ``source`` with ``.asc``, or, without armor,
                ``.sig`` for a detached signature and ``.gpg`` for a signed file.
            detach: write the signature alone.
            clear: leave the text readable, see ``sign``; excludes ``detach``.
            local_user: whose key signs, or several, as for ``encrypt``.
            armor: write text.
            overwrite: replace a file that is there; a pipe or device is written to, never replaced.
            progress: called with the bytes done and all bytes, ten times a second.

        Returns:
            The path that was written.

        Raises:
            FileExistsError: the output is there and ``overwrite`` is not set, or it is a symlink.
            GnuPGError, ValueError: as ``sign``.
        """
        signers = await self._names(local_user, "signer")
        detach = detach and not clear
        options = commands.sign(signers, detach=detach, clear=clear, armor=armor)
        ending = ".asc" if armor or clear else ".sig" if detach else ".gpg"
        target = Path(f"{os.fspath(source)}{ending}") if output is None else Path(output)
        async with _between(source, target, overwrite, progress) as call:
            if not clear:
                await self._sign(replace(call, options=options), signers)
                return target
            async with read_again(cast(Descriptor, call.stdin)) as text:
                await self._engine.work(_require_clear, _pieces(text))
                await self._sign(replace(call, options=options, stdin=Descriptor(text)), signers)
        return target

    async def verify_file(
        self,
        source: str | os.PathLike[str],
        signature: str | os.PathLike[str] | None = None,
        *,
        signer: Signer = None,
        progress: Progress | None = None,
    ) -> Verification:
        """Verify a signed file, or a file and its detached signature.

        Args:
            source: the signed file; with ``signature`` the file it covers.
            signature: the path of a detached signature.
            signer: as for ``verify``.
            progress: called with the bytes done and all bytes, ten times a second.

        Returns:
            The signatures, all good; the data stays in its file.

        Raises:
            GnuPGError: as ``verify``.
        """
        async with reading(Path(source), progress) as data:
            if signature is None:
                async with read_again(data) as file:
                    return await self._verify_in(file, signer)
            detached = await read_file(Path(signature), _HEAD)
            async with reasons.of_message(detached):
                self._require_detached(await _kind_of(detached))
            options = commands.verify_detached(SECOND)
            call = Call(options, stdin=Descriptor(data), second=detached)
            return await self._verify(call, signer, b"")

    async def _verify_in(self, file: int, signer: Signer) -> Verification:
        """Verify a file that holds a signed message and nothing else."""
        self._require_visible(await _kind_at(file))
        call = Call(commands.verify_only(), stdin=Descriptor(file))
        found = await self._verify(call, signer, b"")
        if not await in_thread(_stands_alone, file):
            raise signatures.surrounded(found.signatures)
        return found


def _judged(
    reply: Reply,
    kind: MessageKind,
    size: int,
    signers: frozenset[str],
    require_good: bool,
    max_output: int | None,
) -> Decryption:
    """Judge a decryption whose plaintext, of some size, went elsewhere."""
    outcome.require_within(reply, size, max_output)
    found = plaintexts.decryption(reply, signers)
    if require_good:
        found.require_good()
    if not kind.clear_signed:
        signatures.require_unaltered(reply, found.signatures, size)
    return replace(found, symmetric=found.symmetric or kind.symmetric)


def _stands_alone(fd: int) -> bool:
    with open(fd, "rb", closefd=False) as file:
        file.seek(0)
        return stands_alone(iter(lambda: file.readline(_LINE), b""))


def _pieces(fd: int) -> Iterator[bytes]:
    """Read a file without moving its position."""
    place = 0
    while piece := os.pread(fd, CHUNK, place):
        yield piece
        place += len(piece)


async def _kind_at(fd: int) -> MessageKind:
    """Return what a file is, going by its beginning."""
    return await _kind_of(os.pread(fd, _HEAD, 0))


@asynccontextmanager
async def _between(
    source: str | os.PathLike[str],
    target: Path,
    overwrite: bool,
    progress: Progress | None,
) -> AsyncIterator[Call]:
    """Open the files of a call: what gpg reads, and what it writes."""
    async with (
        reading(Path(source), progress) as stdin,
        whole_file(target, replace=overwrite) as stdout,
    ):
        yield Call(stdin=Descriptor(stdin), stdout=stdout)
