"""``GnuPG``: the one public door.

Each method checks its arguments, builds a command, runs it, and reads the answer. What to say is
in ``command``, how it is said in ``engine`` and ``process``, and what an answer means in
``outcome``, ``signatures`` and ``intake``. Success returns, failure raises.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import shutil
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, AnyStr, Literal, NamedTuple, Self, TypeVar, overload

import aiofiles

from . import backup, binary, command, custody, intake, keyserver, outcome, signatures
from .arguments import (
    checked_expiry,
    checked_name,
    checked_passphrase,
    checked_reason,
    checked_secret,
    checked_trust,
    revocation_answers,
    user_id_of,
)
from .bulk import Job, Messages, binary_of, do_many, plain_of
from .engine import Engine
from .errors import (
    AmbiguousKey,
    BadPassphrase,
    CommandFailed,
    GnuPGError,
    KeyNotFound,
    KeyserverMismatch,
    NoSecretKey,
    NotOnKeyserver,
    NotOpenPGP,
    NotSigned,
    UnusableKey,
    printable,
)
from .files import Progress, comes_once, plain_name, reading, refuse, rewind, whole_file, write_all
from .home import Home, default_homedir
from .keyserver import DEFAULT_KEYSERVER, DEFAULT_SEARCH, Keyserver
from .keytable import (
    KeyTable,
    check_uid,
    keys_of,
    list_keys,
    require_listing,
    the_one,
    the_user_id,
    why_unusable,
)
from .listing import Addresses, format_list_keys
from .packet_text import describe, list_packet_lines
from .packets import MessageKind, issuer, message_kind
from .pipes import Data
from .process import OUTPUT, SECOND, cancel_all, uninterrupted
from .protection import KINDS, Kind
from .results import Capability, Decryption, ImportResult, Key, Packet, Verification
from .selection import Kind as TermKind
from .selection import classify, matching, search_term
from .text import as_text, like
from .tor import Network, NetworkSettings
from .uidless import encryption_key, insert_placeholder, is_bare, with_stand_ins

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from aiohttp_socks import ProxyConnector

    from .lookups import FoundKey

log = logging.getLogger("tiny_gnupg")

#: Keys that ``refresh`` asks for at once; each builds a circuit of its own.
REFRESHED_AT_ONCE = 4

T = TypeVar("T")


class _Bounds(NamedTuple):
    """What an instance asks of each home that it uses."""

    protection: Kind | None
    timeout: float | None
    limit: int | None


class GnuPG:
    """A GnuPG home and an identity in it.

    Args:
        username: the name of the identity.
        email: its address.
        passphrase: what protects its secret keys; the empty one leaves them unprotected.
        torify: prefix each gpg command with ``torify``.
        homedir: where keyring, trust and agent live; default: ``TINY_GNUPG_HOME``, the package's
            own ``gpghome`` if it is writable (a folder in it, so that other users keep the gpg that
            lies there, unless keys of 0.5.2 do too), else the per-user data directory.
        executable: the gpg to run; default: ``TINY_GNUPG_GPG``, the bundled one, ``gpg2`` or
            ``gpg`` on ``PATH``.
        options: the file of gpg's options; default: the shipped ``gpg2.conf``.
        protection: ``"scrypt"`` or ``"gnupg"``; default: what the home says.
        tor_host: where Tor's SOCKS5 port listens.
        tor_port: its number.
        isolate: give this instance Tor circuits of its own.
        keyserver: base URL; default: the v3 onion service of keys.openpgp.org.
        timeout: seconds for one gpg run; None waits for ever.
        limit: how many gpg processes run at once; None takes twice the number of cores.
        max_output: bytes that one call in memory may produce; None is without bound.

    Raises:
        ValueError: control characters in an argument, a leading ``%`` in a name, or a value that
            is none of those above.
        BinaryNotFound: there is no gpg.
        FileNotFoundError: ``torify`` is not installed.
    """

    def __init__(
        self,
        username: str = "",
        email: str = "",
        passphrase: str = "",
        torify: bool = False,
        *,
        homedir: str | os.PathLike[str] | None = None,
        executable: str | os.PathLike[str] | None = None,
        options: str | os.PathLike[str] | None = None,
        protection: Kind | None = None,
        tor_host: str = "127.0.0.1",
        tor_port: int = 9050,
        isolate: bool = True,
        keyserver: str | None = None,
        timeout: float | None = None,
        limit: int | None = None,
        max_output: int | None = 512 * 2**20,
    ) -> None:
        self.username = username
        self.email = email
        self.passphrase = passphrase
        self.fingerprint = ""
        self.max_output = max_output
        if protection is not None and protection not in KINDS:
            raise ValueError(f"protection is one of {', '.join(KINDS)}, not {protection!r}")
        if limit is not None and limit < 1:
            raise ValueError(f"limit is a number of processes, 1 or more, not {limit!r}")
        self._bounds = _Bounds(protection, timeout, limit)
        self._stretched: dict[tuple[int, str, str], Future[bytes]] = {}
        self.executable = str(binary.find_executable(os.fspath(executable) if executable else None))
        self.options = os.path.abspath(options or binary.package_home() / "gpg2.conf")
        self._torify = ""
        #: Those of earlier homedirs too: ``aclose`` leaves them all.
        self._engines: list[Engine] = []
        self._keyserver = Keyserver.of(keyserver or DEFAULT_KEYSERVER)
        self._network = Network(
            NetworkSettings(tor_host=tor_host, tor_port=tor_port, isolate=isolate)
        )
        self.set_homedir(homedir)
        self.set_base_command(torify)

    def __setattr__(self, name: str, value: Any) -> None:
        # The identity is checked whenever it is set: a passphrase of two lines would count as its
        # first one, and a name of two lines would be more than a name.
        check = _CHECKED.get(name)
        super().__setattr__(name, check(value) if check else value)

    def __repr__(self) -> str:
        who = f"email={self.email!r}, fingerprint={self.fingerprint!r}"
        return f"{type(self).__name__}(homedir={self.home!r}, {who})"

    async def __aenter__(self) -> Self:
        await self._engine.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close what this instance opened: its network session, and an agent that nobody else uses.

        It may be used again after that; it then opens anew what it needs.
        """
        await self._network.aclose()
        for engine in self._engines:
            await engine.close()
        self._engines = [self._engine]

    # -- the home and its commands ---------------------------------------------------------

    @property
    def home(self) -> str:
        """The homedir."""
        return str(self._engine.home.path)

    def set_homedir(self, path: str | os.PathLike[str] | None = None) -> None:
        """Use another homedir from now on.

        Args:
            path: the directory; None takes the default one.
        """
        homedir = self.format_homedir(path) if path else default_homedir(binary.package_home())
        self.fingerprint = ""
        self._engine = Engine(
            Path(self.executable),
            Home.at(Path(homedir)),
            Path(self.options),
            kind=self._bounds.protection,
            torify=self._torify,
            timeout=self._bounds.timeout,
            limit=self._bounds.limit,
        )
        self._engines.append(self._engine)
        self._table = KeyTable(self._engine)

    def format_homedir(self, path: str | os.PathLike[str]) -> str:
        """Give a homedir as an absolute path, ``~`` resolved."""
        return os.path.abspath(os.path.expanduser(os.fspath(path)))

    def set_home_permissions(self, home: str | os.PathLike[str]) -> None:
        """Make a directory its owner's alone (0700); a failure is logged, not raised."""
        try:
            os.chmod(home, 0o700)
        except OSError as error:
            log.warning("cannot set the permissions of %s: %s", os.fspath(home), error.strerror)

    def set_base_command(self, torify: bool = False) -> None:
        """Say whether gpg commands are prefixed with ``torify``.

        Raises:
            FileNotFoundError: it is not installed.
        """
        found = shutil.which("torify") if torify else ""
        # Without torsocks, the torify that comes with Tor runs nothing, and says it went well.
        if found is None or (torify and shutil.which("torsocks") is None):
            raise FileNotFoundError("torify needs torsocks (Debian: apt install torsocks)")
        self._torify = self._engine.torify = found

    async def set_fingerprint(self, uid: str) -> None:
        """Make the key that ``uid`` names this instance's own.

        Raises:
            KeyNotFound: there is none.
            AmbiguousKey: there are several.
        """
        self.fingerprint = (await self._table.one(uid)).fingerprint

    async def reset_daemon(self) -> None:
        """End this home's gpg-agent; the next command that needs it starts a new one."""
        async with self._engine.locked(writing=True):
            await asyncio.to_thread(self._engine.home.end_agent)

    def command(
        self, *options: str, with_passphrase: bool = False, manual: bool = False
    ) -> list[str]:
        """Build a command of your own.

        Args:
            options: what gpg shall do.
            with_passphrase: read the passphrase from the first line of the input.
            manual: let gpg ask questions.

        Returns:
            The argument list: the executable, the house's options, then yours.
        """
        asking = ["--passphrase-fd", "0", *command.LOOPBACK] if with_passphrase else []
        return self._engine.base.command([*asking, *options], attended=manual)

    def shell_command(self, command: Sequence[str]) -> str:
        """Give a command as one shlex-quoted line, to paste into a shell, log or show."""
        return shlex.join(command)

    def encode_inputs(self, *inputs: str) -> bytes:
        """Give the inputs as UTF-8, each on a line of its own."""
        return ("\n".join(map(str, inputs)) + "\n").encode()

    async def unlock(self) -> str:
        """Give the passphrase as gpg-agent expects it in this home.

        It is the first input of a command made ``with_passphrase``. In a home with gpg's own
        protection it is the user's own text.
        """
        return (await self._secret()).decode()

    async def read_output(self, command: Sequence[str], inputs: bytes | str = b"") -> str:
        """Run a command and give its output as text.

        Args:
            command: as ``command`` gives it.
            inputs: as ``encode_inputs`` gives them.

        Raises:
            CommandFailed: it ended with another exit code than 0; also where a method of this
                class would raise an error of another kind.
            NotText: the output is not UTF-8.
        """
        await self._engine.open()
        base = self._engine.base
        ours = list(command[: base.slot]) == base.command()[: base.slot]
        if ours and "--no-tty" not in command:
            # A child has no terminal; without this, gpg ends instead of reading --command-fd.
            command = [*command[: base.slot], "--no-tty", *command[base.slot :]]
        async with self._engine.locked(writing=not _reads_only(command)):
            reply = await self._engine.run_command(
                command, slot=base.slot if ours else None, stdin=inputs, max_output=self.max_output
            )
        if reply.returncode != 0:
            raise CommandFailed("the command failed", output=reply.stdout, **reply.details())
        return await as_text(reply.stdout)

    # -- keys ------------------------------------------------------------------------------

    async def gen_key(self, *, expires: str = "3y") -> str:
        """Make this identity's key: a certifying ed25519 primary key, and three subkeys.

        The subkeys sign (ed25519), authenticate (ed25519) and encrypt (cv25519).

        Args:
            expires: when all four expire: ``3y``, ``6m``, ``2w``, ``90d``, a date
                (``2030-12-31``), or ``0`` for never.

        Returns:
            The fingerprint, which is now this instance's own.

        Raises:
            ValueError: the identity has neither name nor address, or ``expires`` is no such text.
        """
        user_id = user_id_of(self.username, self.email)
        checked_expiry(expires)
        passphrase = await self._secret()
        made: list[str] = []

        async def make() -> None:
            options = command.generate(user_id, expires)
            reply = await self._engine.run_locked(options, passphrase=passphrase)
            made.append(outcome.created_key(reply, "make a key"))
            await self._add_trio(made[0], expires, passphrase)

        async with self._engine.locked(writing=True):
            try:
                # A gpg stopped half-way leaves secret keys in the agent that no public key names.
                await uninterrupted(make())
            except BaseException:
                # Half a key is none: not even a cancellation leaves one behind.
                for fingerprint in made:
                    await uninterrupted(self._remove(fingerprint))
                raise
        self._table.forget()
        self.fingerprint = made[0]
        return made[0]

    async def _remove(self, fingerprint: str) -> None:
        await self._engine.run_locked(command.delete(fingerprint))

    async def _add_trio(self, fingerprint: str, expires: str, passphrase: bytes) -> None:
        for algorithm, usage in command.SUBKEYS:
            reply = await self._engine.run_locked(
                command.add_subkey(fingerprint, algorithm, usage, expires), passphrase=passphrase
            )
            outcome.created_key(reply, f"add a subkey to {fingerprint}")

    async def add_subkeys(self, uid: str = "", *, expires: str = "3y") -> None:
        """Add the three subkeys that ``gen_key`` makes to another key.

        Args:
            uid: the key; the empty text is this instance's own.
            expires: as for ``gen_key``.

        Raises:
            BadPassphrase: the passphrase does not open the key.
        """
        checked_expiry(expires)
        fingerprint = await self._own_secret(uid)
        await self._try_passphrase(fingerprint)
        passphrase = await self._secret()
        async with self._engine.locked(writing=True):
            await self._add_trio(fingerprint, expires, passphrase)
        self._table.forget()

    async def delete(self, uid: str = "") -> None:
        """Delete a key, secret part and public part, without a question.

        Args:
            uid: the key; the empty text is this instance's own.

        Raises:
            KeyNotFound: there is none.
            AmbiguousKey: there are several.
        """
        fingerprint = (await self._key(uid)).fingerprint
        reply = await self._write(command.delete(fingerprint))
        outcome.require_success(reply, "delete", fingerprint)
        if fingerprint == self.fingerprint:
            self.fingerprint = ""

    async def revoke(self, uid: str = "", *, reason: int = 0, text: str = "") -> str:
        """Revoke a key: make the revocation certificate, and import it.

        Args:
            uid: the key; the empty text is this instance's own.
            reason: 0 none, 1 compromised, 2 superseded, 3 no longer used (gpg's numbers).
            text: a description for others to read.

        Returns:
            The revoked public key, armored.

        Raises:
            ValueError: another reason, or control characters in the text.
            BadPassphrase: the passphrase does not open the key.
        """
        checked_reason(reason, text)
        fingerprint = await self._own_secret(uid)
        await self._try_passphrase(fingerprint)
        made = await self._write(
            command.generate_revocation(fingerprint),
            passphrase=await self._secret(),
            answer=revocation_answers(reason, text),
            attended=True,
        )
        outcome.require_success(made, "revoke", fingerprint)
        if not made.stdout:
            raise outcome.failure(made, "revoke", fingerprint)
        imported = await self._write(command.import_keys(), stdin=made.stdout)
        outcome.require_success(imported, "revoke", fingerprint)
        if not (await self._table.one(fingerprint)).revoked:
            raise outcome.failure(imported, "revoke", fingerprint)
        return await self.text_export(fingerprint)

    async def trust(self, uid: str = "", level: int = 5) -> None:
        """Set the ownertrust of a key.

        Args:
            uid: the key; the empty text is this instance's own.
            level: 1 undefined, 2 never, 3 marginal, 4 full, 5 ultimate (as gpg numbers them).

        Raises:
            KeyNotFound: there is no such key.
            ValueError: another level.
        """
        if isinstance(level, bool) or level not in command.OWNERTRUST:
            raise ValueError(f"a trust level is 1, 2, 3, 4 or 5, not {level!r}")
        # Looked up, because gpg takes an ownertrust for a key that is not there, too.
        fingerprint = (await self._key(uid)).fingerprint
        options, stdin = command.ownertrust(fingerprint, level)
        outcome.require_success(await self._write(options, stdin=stdin), "set the trust")

    async def key_trust(self, uid: str = "") -> str:
        """Give the validity word that gpg shows in brackets, ``ultimate`` or ``revoked`` e.g.

        Raises:
            KeyNotFound: there is none.
            AmbiguousKey: there are several.
        """
        return (await self._key(uid)).validity.value

    async def set_expire(self, uid: str, expires: str, *, subkeys: bool = True) -> None:
        """Set when a key expires.

        Args:
            uid: the key; the empty text is this instance's own.
            expires: as for ``gen_key``.
            subkeys: set that of all subkeys too, save revoked ones.

        Raises:
            ValueError: ``expires`` is no such text.
            KeyNotFound: there is no such key, or its secret part is not here.
            BadPassphrase: the passphrase does not open the key.
        """
        checked_expiry(expires)
        key = await self._secret_key(uid)
        # By name, because gpg's "*" leaves those out that have expired.
        alive = [subkey.fingerprint for subkey in key.subkeys if not subkey.revoked]
        judge = _succeeds("set the expiry", key.fingerprint)
        for which in ([], alive) if subkeys and alive else ([],):
            options = command.set_expire(key.fingerprint, expires, which)
            await self._with_key(options, judge, writing=True)

    async def change_passphrase(self, uid: str, new: str) -> None:
        """Change the passphrase of a secret key and its subkeys.

        The instance goes on with the new one where the key is its own.

        Args:
            uid: the key; the empty text is this instance's own.
            new: the passphrase from now on; the empty one leaves the key unprotected.

        Raises:
            ValueError: ``new`` holds NUL, CR or LF.
            KeyNotFound: there is no such key, or its secret part is not here.
            BadPassphrase: this instance's passphrase does not open the key; nothing was changed.
        """
        checked_passphrase(new)
        fingerprint = await self._own_secret(uid)
        key = await self._table.one(fingerprint)
        with suppress(KeyNotFound, AmbiguousKey):
            await self._own()
        old, inner = await self._secret(), await self._secret(new)
        try:
            await custody.replace_passphrase(self._engine, key, old, inner)
        except BadPassphrase:
            if not await self._take_over():
                raise
            await custody.replace_passphrase(self._engine, key, old, inner)
        if fingerprint == self.fingerprint:
            self.passphrase = new

    async def add_uid(self, uid: str, name: str, email: str) -> None:
        """Add a user id to a key.

        Args:
            uid: the key; the empty text is this instance's own.
            name: the user id's name.
            email: its address.

        Raises:
            ValueError: both are empty, or hold control characters.
            KeyNotFound: there is no such key, or its secret part is not here.
            BadPassphrase: the passphrase does not open the key.
            CommandFailed: the key has this user id already.
        """
        user_id = user_id_of(checked_name("name", name), checked_name("email", email))
        fingerprint = await self._own_secret(uid)
        options = command.add_user_id(fingerprint, user_id)
        await self._with_key(options, _succeeds("add a user id", fingerprint), writing=True)

    async def revoke_uid(self, uid: str, which: str) -> None:
        """Revoke one user id of a key.

        Args:
            uid: the key; the empty text is this instance's own.
            which: the user id's whole text, or its address.

        Raises:
            KeyNotFound: the key has no such user id, or its secret part is not here.
            AmbiguousKey: it has several.
            BadPassphrase: the passphrase does not open the key.
            CommandFailed: it is the last user id that the key has.
        """
        fingerprint = await self._own_secret(uid)
        key = await self._table.one(fingerprint)
        options = command.revoke_user_id(fingerprint, the_user_id(key, which).text)
        await self._with_key(options, _succeeds("revoke a user id", fingerprint), writing=True)

    async def keys(self, uid: str = "", *, secret: bool = False) -> tuple[Key, ...]:
        """List keys, typed.

        Args:
            uid: which; the empty text is all of them.
            secret: only those whose secret part is there.

        Returns:
            The keys; none where nothing fits.
        """
        terms = [search_term(check_uid(uid))] if uid else []
        found = await list_keys(self._engine, terms, secret=secret)
        return matching(found, uid) if uid else found

    async def list_keys(self, uid: str = "", secret: bool = False) -> dict[str, str]:
        """List keys by fingerprint and address, with one gpg process whatever their number.

        Args:
            uid: which; the empty text is all of them.
            secret: only those whose secret part is there.

        Returns:
            The address of each key's first user id that is signed, not revoked and has one, else
            ``""``.
        """
        if uid:
            return {key.fingerprint: key.email for key in await self.keys(uid, secret=secret)}
        listed = Addresses(secret)
        options = command.list_addresses(secret=secret)
        require_listing(await self._engine.run(options, hear=listed.feed))
        listed.end()
        return listed.found

    async def raw_list_keys(self, uid: str = "", secret: bool = False) -> str:
        """Give gpg's own listing, as it prints it.

        Args:
            uid: which; the empty text is all of them.
            secret: only those whose secret part is there.
        """
        terms = [search_term(check_uid(uid))] if uid else []
        reply = await self._engine.run(command.list_keys(terms, secret=secret, colons=False))
        require_listing(reply)
        # gpg itself escapes ASCII's control characters, and no others.
        return printable(reply.stdout.decode(errors="replace"))

    def format_list_keys(self, text: str, secret: bool = False) -> dict[str, str]:
        """Read fingerprints and addresses from a listing, gpg's human one or the colon one."""
        return format_list_keys(text, secret)

    async def key_fingerprint(self, uid: str = "") -> str:
        """Give the fingerprint of the one key that ``uid`` names.

        Raises:
            KeyNotFound: there is none.
            AmbiguousKey: there are several.
        """
        return (await self._key(uid)).fingerprint

    async def key_email(self, uid: str = "") -> str:
        """Give the address of the one key that ``uid`` names.

        Raises:
            KeyNotFound: there is none.
            AmbiguousKey: there are several.
        """
        return (await self._key(uid)).email

    # -- messages --------------------------------------------------------------------------

    @overload
    async def encrypt(
        self,
        message: AnyStr = ...,
        uid: str | Iterable[str] = ...,
        sign: bool = ...,
        local_user: str = ...,
        *,
        armor: Literal[True] = ...,
        hidden: bool = ...,
        trust: str | None = ...,
        compress: bool = ...,
    ) -> AnyStr: ...

    @overload
    async def encrypt(
        self,
        message: AnyStr = ...,
        uid: str | Iterable[str] = ...,
        sign: bool = ...,
        local_user: str = ...,
        *,
        armor: Literal[False],
        hidden: bool = ...,
        trust: str | None = ...,
        compress: bool = ...,
    ) -> bytes: ...

    @overload
    async def encrypt(
        self,
        message: AnyStr,
        uid: str | Iterable[str] = ...,
        sign: bool = ...,
        local_user: str = ...,
        *,
        armor: bool,
        hidden: bool = ...,
        trust: str | None = ...,
        compress: bool = ...,
    ) -> AnyStr | bytes: ...

    async def encrypt(
        self,
        message: AnyStr = "",  # type: ignore[assignment]
        uid: str | Iterable[str] = "",
        sign: bool = True,
        local_user: str = "",
        *,
        armor: bool = True,
        hidden: bool = False,
        trust: str | None = None,
        compress: bool = True,
    ) -> AnyStr | bytes:
        """Encrypt a message, and sign it.

        Args:
            message: text or bytes.
            uid: the recipient, or several; the empty text is this instance's own key.
            sign: sign it too.
            local_user: whose key signs; the empty text is this instance's own.
            armor: give text; without it the result is bytes, whatever the message is.
            hidden: do not write the recipients into the message.
            trust: ``"web"`` asks for gpg's own check of a recipient's validity; None takes each.
            compress: try to make it smaller; without it, data that is compressed already goes
                several times faster.

        Returns:
            The encrypted message.

        Raises:
            KeyNotFound: a recipient's key, or the signing key, is not here.
            UnusableKey: a recipient's key is revoked, expired, disabled or cannot encrypt.
            AmbiguousKey: an address has several keys.
            BadPassphrase: the passphrase does not open the signing key.
            ValueError: there is no recipient, or ``trust`` is another word.
        """
        form = {"armor": armor, "hidden": hidden, "compress": compress}
        reply = await self._encrypt(
            uid, local_user if sign else None, trust=trust, form=form, stdin=message
        )
        return await like(message, reply.stdout) if armor else reply.stdout

    async def _encrypt(
        self,
        uid: str | Iterable[str],
        local_user: str | None,
        *,
        trust: str | None,
        form: dict[str, bool],
        **channels: Any,
    ) -> outcome.Reply:
        """Encrypt to recipients, and sign unless ``local_user`` is None."""
        uids = _each(uid)
        model = checked_trust(trust)
        signer = "" if local_user is None else await self._signer(local_user)
        if comes_once(channels.get("stdin")):
            await self._look_up(uids)  # so that the first try is the right one

        async def once() -> outcome.Reply:
            recipients = [await self._recipient(one) for one in uids]
            options = command.encrypt(recipients, local_user=signer, trust=model, **form)
            judge = _wants("END_ENCRYPTION", "encrypt", ", ".join(recipients))
            return await self._with_key(options, judge, asking=bool(signer), **channels)

        try:
            reply = await once()
        except (KeyNotFound, UnusableKey) as error:
            if not await self._explain(error, uids):
                raise
        else:
            # gpg 2.4 as Debian builds it takes a key without user ids as it is, with AES128 for it.
            if outcome.used_aes256(reply) or not await self._look_up(uids):
                return reply
        return await once()

    async def _explain(self, error: GnuPGError, uids: Sequence[str]) -> bool:
        """Look closer at recipients that gpg refused; tell whether it is worth another try.

        gpg says the same of a key that is not there and of one that cannot be used, and a key
        without user ids has to be named in another way than it was.
        """
        another_try = await self._look_up(uids)
        for uid in filter(None, uids):
            for key in await self._table.find(uid):
                if not key.usable_for(Capability.ENCRYPT):
                    raise _unusable(key, error)
        return another_try

    async def _look_up(self, uids: Iterable[str]) -> bool:
        """Look up the recipients that were not yet; tell whether one of those has no user ids."""
        unknown = [uid for uid in uids if uid and self._table.known(uid) is None]
        found = [key for uid in unknown for key in await self._table.find(uid)]
        return any(map(is_bare, found))

    @overload
    async def encrypt_symmetric(
        self, message: AnyStr, passphrase: str | None = ..., *, armor: Literal[True] = ...
    ) -> AnyStr: ...

    @overload
    async def encrypt_symmetric(
        self, message: AnyStr, passphrase: str | None = ..., *, armor: Literal[False]
    ) -> bytes: ...

    @overload
    async def encrypt_symmetric(
        self, message: AnyStr, passphrase: str | None = ..., *, armor: bool
    ) -> AnyStr | bytes: ...

    async def encrypt_symmetric(
        self, message: AnyStr, passphrase: str | None = None, *, armor: bool = True
    ) -> AnyStr | bytes:
        """Encrypt a message to a passphrase, so that any tool can open it with it.

        Args:
            message: text or bytes.
            passphrase: default: this instance's own text.
            armor: give text; without it the result is bytes.

        Raises:
            ValueError: the passphrase is empty, or holds NUL, CR or LF.
        """
        secret = self.passphrase if passphrase is None else checked_passphrase(passphrase)
        if not secret:
            raise ValueError("a message cannot be encrypted to an empty passphrase")
        options = command.encrypt_symmetric(armor=armor)
        reply = await self._gpg(options, stdin=message, passphrase=secret.encode())
        outcome.require_keyword(reply, "END_ENCRYPTION", "encrypt")
        return await like(message, reply.stdout) if armor else reply.stdout

    async def decrypt(self, message: AnyStr, *, passphrase: str | None = None) -> AnyStr:
        """Decrypt a message; where it is signed, every signature must be good.

        A signed message that is not encrypted is verified and given back.

        Args:
            message: text or bytes.
            passphrase: for messages encrypted to one; default: this instance's own text.

        Returns:
            The plaintext.

        Raises:
            NoSecretKey: none of the recipients' keys is here.
            BadPassphrase: the passphrase opens neither key nor message.
            DecryptionFailed: the message is damaged.
            KeyNotFound: the key of a signature is not here; ``.value`` names it.
            SignatureError: a signature is not good.
            NotText: the message is text, and the plaintext is not UTF-8.
            NotOpenPGP: the data is none.
        """
        found = (await self.decrypt_verify(message, passphrase=passphrase)).require_good()
        return await like(message, found.data)

    async def decrypt_verify(
        self, message: str | bytes, *, passphrase: str | None = None
    ) -> Decryption:
        """Decrypt a message, and report its signatures whatever their state.

        Args:
            message: text or bytes.
            passphrase: for messages encrypted to one; default: this instance's own text.

        Returns:
            The plaintext and every signature; ``require_good()`` raises as ``decrypt`` would.

        Raises:
            GnuPGError: as ``decrypt``, save for signatures.
        """
        raw = (self.passphrase if passphrase is None else checked_passphrase(passphrase)).encode()
        kind = await _kind_of(message)
        options = command.decrypt(OUTPUT)
        found = await self._open(options, signatures.decryption, kind, raw, stdin=message)
        # Where a key opens a message, gpg does not say that a passphrase could too.
        return replace(found, symmetric=found.symmetric or kind.symmetric)

    async def _open(
        self,
        options: Sequence[str],
        judge: Callable[[outcome.Reply], T],
        kind: MessageKind,
        raw: bytes,
        **channels: Any,
    ) -> T:
        """Decrypt with the passphrase that a message takes: that of the keys, or its own."""
        if kind.recipients or not kind.symmetric:
            try:
                return await self._with_key(options, judge, **channels)
            except (BadPassphrase, NoSecretKey):
                if not kind.symmetric:
                    raise
        return judge(await self._gpg(options, passphrase=raw, **channels))

    async def sign(
        self,
        target: AnyStr = "",  # type: ignore[assignment]
        local_user: str = "",
        *,
        key: bool = False,
        detach: bool = False,
        clear: bool = False,
        local: bool = False,
    ) -> AnyStr:
        """Sign a message, or certify a key.

        Args:
            target: the message, text or bytes; with ``key`` the uid of the key.
            local_user: whose key signs; the empty text is this instance's own.
            key: certify the key that ``target`` names, all its user ids.
            detach: give the signature alone.
            clear: leave the message readable (text only; line ends may change).
            local: a certification that never leaves this keyring.

        Returns:
            The signed message, the signature, or, for a certification, the certified public key.

        Raises:
            TypeError: ``key`` is no bool.
            ValueError: options that exclude each other.
            KeyNotFound: the signing key, or the key to certify, is not here.
            UnusableKey: the key to certify has no user id.
            BadPassphrase: the passphrase does not open the signing key.
        """
        if not isinstance(key, bool):
            raise TypeError("key says whether target names a key: True or False")
        if key:
            return await self._certify(target, local_user, local)
        if (detach and clear) or local:
            raise ValueError("detach and clear exclude each other; local needs key=True")
        signer = await self._signer(local_user)
        options = command.sign(signer, detach=detach, clear=clear)
        judge = _wants("SIG_CREATED", "sign", signer)
        reply = await self._with_key(options, judge, stdin=target)
        return await like(target, reply.stdout)

    async def _certify(self, target: AnyStr, local_user: str, local: bool) -> AnyStr:
        # Looked up, because of a key that is not there, or has no user id, gpg says nothing.
        key = await self._key(target)  # type: ignore[arg-type]
        if is_bare(key):
            raise UnusableKey(
                f"{key.fingerprint} has no user id that could be certified",
                hint="import it with its user ids first",
            )
        fingerprint = key.fingerprint
        signer = await self._signer(local_user)
        options = command.certify(fingerprint, signer, local=local)
        judge = _succeeds("certify", fingerprint)
        await self._with_key(options, judge, writing=True)
        return await like(target, await self._export(fingerprint, secret=False))

    async def verify(
        self, message: str | bytes = "", signature: str | bytes | None = None
    ) -> Verification:
        """Verify a signed message, or a detached signature and its data.

        Args:
            message: the signed message; with ``signature`` the data it covers.
            signature: a detached signature.

        Returns:
            The covered bytes and the signatures: at least one, and all good.

        Raises:
            NotSigned: there is no signature.
            SignatureError: one is not good.
            KeyNotFound: the key of one is not here; ``.value`` names it.
            NotOpenPGP: the data is none.
        """
        if signature is not None:
            self._require_detached(await _kind_of(signature))
            options = command.verify_detached(SECOND)
            reply = await self._gpg(options, stdin=message, second=signature)
            return signatures.verification(reply, _octets(message))
        self._require_visible(await _kind_of(message))
        return signatures.verification(await self._gpg(command.verify(), stdin=message))

    @staticmethod
    def _require_visible(kind: MessageKind) -> None:
        if kind.encrypted:
            raise NotSigned(
                "the message is encrypted: its signatures, if it has any, are inside",
                hint="use decrypt or decrypt_verify",
                value=next(iter(kind.recipients), ""),
            )

    @staticmethod
    def _require_detached(kind: MessageKind) -> None:
        # gpg takes a signed message in this place too, and then ignores the data.
        if not kind.is_detached_signature:
            raise NotSigned("this is no detached signature", hint="pass a signed message alone")

    # -- files -----------------------------------------------------------------------------

    async def encrypt_file(
        self,
        source: str | os.PathLike[str],
        uid: str | Iterable[str] = "",
        output: str | os.PathLike[str] | None = None,
        *,
        sign: bool = True,
        local_user: str = "",
        armor: bool = False,
        hidden: bool = False,
        trust: str | None = None,
        compress: bool = True,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Path:
        """Encrypt a file; memory does not grow with it, and the output appears whole or not at all.

        Args:
            source: the file's path.
            uid: the recipient, or several; the empty text is this instance's own key.
            output: the path to write; default: ``source`` with ``.gpg``, or ``.asc`` where armored.
            sign: sign it too.
            local_user: as for ``encrypt``, like ``armor``, ``hidden``, ``trust`` and ``compress``.
            armor: see ``encrypt``.
            hidden: see ``encrypt``.
            trust: see ``encrypt``.
            compress: see ``encrypt``.
            overwrite: replace a file that is there.
            progress: called with the bytes done and all bytes, ten times a second.

        Returns:
            The path that was written.

        Raises:
            FileExistsError: the output is there and ``overwrite`` is not set, or it is a symlink.
            GnuPGError: as ``encrypt``.
        """
        form = {"armor": armor, "hidden": hidden, "compress": compress}
        ending = ".asc" if armor else ".gpg"
        target = Path(output) if output else Path(f"{os.fspath(source)}{ending}")
        async with _between(source, target, overwrite, progress) as pipes:
            await self._encrypt(uid, local_user if sign else None, trust=trust, form=form, **pipes)
        return target

    async def decrypt_file(
        self,
        source: str | os.PathLike[str],
        output: str | os.PathLike[str] | None = None,
        *,
        passphrase: str | None = None,
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
            passphrase: for files encrypted to one; default: this instance's own text.
            overwrite: replace a file that is there.
            max_output: bytes that may come out; None is without bound.
            progress: called with the bytes done and all bytes, ten times a second.

        Returns:
            The path that was written.

        Raises:
            FileExistsError: the output is there and ``overwrite`` is not set, or it is a symlink.
            OutputTooLarge: more than ``max_output`` bytes came out.
            GnuPGError: as ``decrypt``.
        """
        target = Path(output) if output else plain_name(Path(source))
        await self.decrypt_verify_file(
            source,
            target,
            require_good=True,
            passphrase=passphrase,
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
            passphrase: as for ``decrypt_file``, like ``overwrite``, ``max_output``, ``progress``.
            overwrite: see ``decrypt_file``.
            max_output: see ``decrypt_file``.
            progress: see ``decrypt_file``.

        Returns:
            The path that was written, in ``path``, and every signature; ``require_good()`` raises
            as ``decrypt_file`` would. The plaintext stays in its file.

        Raises:
            GnuPGError: as ``decrypt_file``, save for signatures.
        """
        raw = (self.passphrase if passphrase is None else checked_passphrase(passphrase)).encode()
        target = Path(output) if output else plain_name(Path(source))
        options = command.decrypt(OUTPUT, max_output)

        async with _between(source, target, overwrite, progress, mode=0o600) as pipes:

            def judge(reply: outcome.Reply) -> Decryption:
                outcome.require_within(reply, os.fstat(pipes["stdout"]).st_size, max_output)
                found = signatures.decryption(reply)
                return found.require_good() if require_good else found

            kind = await _kind_of(os.pread(pipes["stdin"], _HEAD, 0))
            found = await self._open(options, judge, kind, raw, **pipes)
        return replace(found, symmetric=found.symmetric or kind.symmetric, path=target)

    async def sign_file(
        self,
        source: str | os.PathLike[str],
        output: str | os.PathLike[str] | None = None,
        *,
        detach: bool = True,
        clear: bool = False,
        local_user: str = "",
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
            clear: leave the text readable; excludes ``detach``.
            local_user: whose key signs; the empty text is this instance's own.
            armor: write text.
            overwrite: replace a file that is there.
            progress: called with the bytes done and all bytes, ten times a second.

        Returns:
            The path that was written.

        Raises:
            FileExistsError: the output is there and ``overwrite`` is not set, or it is a symlink.
            GnuPGError: as ``sign``.
        """
        signer = await self._signer(local_user)
        detach = detach and not clear
        options = command.sign(signer, detach=detach, clear=clear, armor=armor)
        ending = ".asc" if armor or clear else ".sig" if detach else ".gpg"
        target = Path(output) if output else Path(f"{os.fspath(source)}{ending}")
        async with _between(source, target, overwrite, progress) as pipes:
            await self._with_key(options, _wants("SIG_CREATED", "sign", signer), **pipes)
        return target

    async def verify_file(
        self,
        source: str | os.PathLike[str],
        signature: str | os.PathLike[str] | None = None,
        *,
        progress: Progress | None = None,
    ) -> Verification:
        """Verify a signed file, or a file and its detached signature.

        Args:
            source: the signed file; with ``signature`` the file it covers.
            signature: the path of a detached signature.
            progress: called with the bytes done and all bytes, ten times a second.

        Returns:
            The signatures, all good; the data stays in its file.

        Raises:
            GnuPGError: as ``verify``.
        """
        async with reading(Path(source), progress) as data:
            if signature is None:
                self._require_visible(await _kind_of(os.pread(data, _HEAD, 0)))
                reply = await self._gpg(command.verify_only(), stdin=data)
                return signatures.verification(reply, b"")
            async with aiofiles.open(signature, "rb") as file:
                detached = await file.read(_HEAD)
            self._require_detached(await _kind_of(detached))
            options = command.verify_detached(SECOND)
            reply = await self._gpg(options, stdin=data, second=detached)
            return signatures.verification(reply, b"")

    # -- many messages ---------------------------------------------------------------------

    @overload
    def encrypt_many(
        self,
        messages: Messages[AnyStr],
        uid: str | Iterable[str] = ...,
        *,
        sign: bool = ...,
        local_user: str = ...,
        return_exceptions: Literal[False] = ...,
    ) -> AsyncGenerator[AnyStr, None]: ...

    @overload
    def encrypt_many(
        self,
        messages: Messages[AnyStr],
        uid: str | Iterable[str] = ...,
        *,
        sign: bool = ...,
        local_user: str = ...,
        return_exceptions: bool,
    ) -> AsyncGenerator[AnyStr | Exception, None]: ...

    def encrypt_many(
        self,
        messages: Messages[AnyStr],
        uid: str | Iterable[str] = "",
        *,
        sign: bool = False,
        local_user: str = "",
        return_exceptions: bool = False,
    ) -> AsyncGenerator[AnyStr | Exception, None]:
        """Encrypt many messages to the same recipients, by gpgs that are kept alive.

        Args:
            messages: text or bytes, from a plain or an asynchronous iterable; they are taken as
                there is room, and each result is like its message.
            uid: as for ``encrypt``.
            sign: sign them too; a kept-alive gpg cannot, so that each message then is an
                ordinary call, several at a time.
            local_user: as for ``encrypt``.
            return_exceptions: yield the exception of a bad message at its place, and go on.

        Returns:
            An asynchronous iterator over the encrypted messages, in their order. Whoever stops
            early may ``aclose`` it.

        Raises:
            GnuPGError: as ``encrypt``, at the place of the message.
        """
        uids = uid if isinstance(uid, str) else tuple(uid)

        async def prepare() -> tuple[list[str], None]:
            each = _each(uids)
            await self._look_up(each)  # once for all messages
            return command.encrypt([await self._recipient(one) for one in each]), None

        async def read(message: AnyStr) -> bytes | None:
            return None if sign else plain_of(message)

        async def judge(reply: outcome.Reply, message: AnyStr) -> AnyStr:
            outcome.require_keyword(reply, "END_ENCRYPTION", "encrypt")
            return await like(message, reply.stdout)

        async def ordinary(message: AnyStr) -> AnyStr:
            return await self.encrypt(message, uids, sign, local_user)

        job = Job(prepare, read, judge, ordinary, self.max_output)
        return do_many(self._engine, job, messages, return_exceptions=return_exceptions)

    @overload
    def decrypt_many(
        self, messages: Messages[AnyStr], *, return_exceptions: Literal[False] = ...
    ) -> AsyncGenerator[AnyStr, None]: ...

    @overload
    def decrypt_many(
        self, messages: Messages[AnyStr], *, return_exceptions: bool
    ) -> AsyncGenerator[AnyStr | Exception, None]: ...

    def decrypt_many(
        self, messages: Messages[AnyStr], *, return_exceptions: bool = False
    ) -> AsyncGenerator[AnyStr | Exception, None]:
        """Decrypt many messages, by gpgs that are kept alive.

        Args:
            messages: as for ``encrypt_many``.
            return_exceptions: yield the exception of a bad message at its place, and go on.

        Returns:
            An asynchronous iterator over the plaintexts, in the order of the messages.

        Raises:
            GnuPGError: as ``decrypt``, at the place of the message.
        """

        async def prepare() -> tuple[list[str], bytes]:
            return command.decrypt(), await self._secret()

        async def read(message: AnyStr) -> bytes | None:
            return binary_of(message)

        async def judge(reply: outcome.Reply, message: AnyStr) -> AnyStr:
            return await like(message, signatures.decryption(reply).require_good().data)

        job = Job(prepare, read, judge, self.decrypt, self.max_output)
        return do_many(self._engine, job, messages, return_exceptions=return_exceptions)

    @overload
    def verify_many(
        self, messages: Messages[AnyStr], *, return_exceptions: Literal[False] = ...
    ) -> AsyncGenerator[Verification, None]: ...

    @overload
    def verify_many(
        self, messages: Messages[AnyStr], *, return_exceptions: bool
    ) -> AsyncGenerator[Verification | Exception, None]: ...

    def verify_many(
        self, messages: Messages[AnyStr], *, return_exceptions: bool = False
    ) -> AsyncGenerator[Verification | Exception, None]:
        """Verify many signed messages, by gpgs that are kept alive.

        Args:
            messages: as for ``encrypt_many``; of clear-signed ones each is an ordinary call.
            return_exceptions: yield the exception of a bad message at its place, and go on.

        Returns:
            An asynchronous iterator over what ``verify`` gives, in the order of the messages.

        Raises:
            GnuPGError: as ``verify``, at the place of the message.
        """

        async def prepare() -> tuple[list[str], None]:
            # Of many files, --verify gives no data; --decrypt verifies what is only signed.
            return command.decrypt(), None

        async def read(message: AnyStr) -> bytes | None:
            kind = await _kind_of(message)
            return binary_of(message) if kind.signed and not kind.encrypted else None

        async def judge(reply: outcome.Reply, message: AnyStr) -> Verification:
            if reply.has("BEGIN_DECRYPTION"):
                raise NotSigned("what is encrypted inside a signed message is not its data")
            return signatures.verification(reply)

        job = Job(prepare, read, judge, self.verify, self.max_output)
        return do_many(self._engine, job, messages, return_exceptions=return_exceptions)

    # -- packets ---------------------------------------------------------------------------

    async def raw_packets(self, target: str | bytes) -> str:
        """Give gpg's ``--list-packets`` text; no secret key is ever used for it.

        Raises:
            NotOpenPGP: the data is none.
        """
        reply = await self._gpg(command.list_packets(), stdin=target)
        if not reply.stdout:
            raise outcome.unreadable(reply, "list packets")
        return reply.stdout.decode(errors="replace")

    async def list_packets(self, target: str | bytes) -> list[list[str]]:
        """Give gpg's ``--list-packets`` text as a list with one list of lines a packet."""
        return list_packet_lines(await self.raw_packets(target))

    async def packets(self, target: str | bytes) -> tuple[Packet, ...]:
        """Give the packets of OpenPGP data: where they stand, and what gpg reads in them."""
        return describe(_octets(target), await self.raw_packets(target))

    async def packet_fingerprint(self, target: str | bytes) -> str:
        """Give whose key some OpenPGP data belongs to.

        Args:
            target: a key, a signature, a signed or an encrypted message.

        Returns:
            A key's own fingerprint, a signature's issuer, an encrypted message's recipient: 40
            hex digits, or 16 where only a key id is in the clear.

        Raises:
            NotOpenPGP: the data is none, or names nobody.
        """
        found = await asyncio.to_thread(issuer, _octets(target))
        if not found:
            raise NotOpenPGP("the data names no key")
        return found

    # -- import, export --------------------------------------------------------------------

    async def text_import(self, key: str | bytes) -> ImportResult:
        """Import keys.

        Args:
            key: armored text, or bytes of either form.

        Returns:
            What was imported.

        Raises:
            ImportFailed: nothing was.
        """
        if (await _kind_of(key)).is_secret_key and await self._stretches():
            result = await custody.import_secret(
                self._engine, _octets(key), await self._secret(), self.passphrase.encode()
            )
            self._table.forget()
            await self._drop_stand_ins(result.fingerprints if result.updated else ())
            return result
        return await self._import(key)

    async def _import(self, key: str | bytes, *, found: bool = False) -> ImportResult:
        """Import public keys, those without user ids among them."""
        replies = [await self._write(command.import_keys(found=found), stdin=key)]
        bare = await asyncio.to_thread(intake.left_out, replies[0], _octets(key))
        if bare:
            options = command.import_keys(found=found, bare=True)
            replies.append(await self._write(options, stdin=bare))
        result = intake.imported(*replies)
        await self._drop_stand_ins([key for one in replies for key in intake.gained_user_ids(one)])
        return result

    async def _drop_stand_ins(self, fingerprints: Sequence[str]) -> None:
        """Drop the stand-in user id of each of these keys that has a real one."""
        if not fingerprints:
            return
        keys = await list_keys(self._engine, fingerprints)
        for key in (one for one in keys if not is_bare(one)):
            for user_id in (one for one in key.user_ids if one.placeholder):
                options = command.drop_user_id(key.fingerprint, user_id.hash)
                reply = await self._write(options, answer=_yes, attended=True)
                outcome.require_success(reply, "drop the stand-in of", key.fingerprint)

    async def file_import(self, path: str | os.PathLike[str], mode: str = "r") -> ImportResult:
        """Import keys from a file.

        Args:
            path: the file.
            mode: ``r`` or ``rb``; both read what is there, armored or not.

        Raises:
            ImportFailed: nothing was imported.
            ValueError: another mode.
            OSError: the file cannot be read.
        """
        if mode not in ("r", "rb", "r+", "rb+", "r+b"):
            raise ValueError(f"a key file is read: mode is 'r' or 'rb', not {mode!r}")
        async with aiofiles.open(path, "rb") as file:
            return await self.text_import(await file.read())

    async def text_export(self, uid: str = "", *, secret: bool = False) -> str:
        """Export a key, armored.

        Args:
            uid: the key; the empty text is this instance's own.
            secret: export the secret key too, protected by the user's own passphrase in gpg's
                own way, so that any other tool opens it.

        Raises:
            TypeError: ``secret`` is no bool (it is a ``ValueError`` too).
            KeyNotFound: there is no such key.
            BadPassphrase: the passphrase does not open the key.
        """
        checked_secret(secret)
        return (await self._export(await self._named(uid), secret)).decode()

    async def _export(self, fingerprint: str, secret: bool) -> bytes:
        if not secret:
            reply = await self._engine.run(command.export([fingerprint]))
            if not reply.stdout:
                raise KeyNotFound(value=fingerprint, **reply.details())
            return custody.exported(reply, [fingerprint])
        inner, outer = await self._secret(), self.passphrase.encode()
        if inner != outer:
            key = await self._secret_key(fingerprint)
            return await custody.export_secret(self._engine, [key], inner, outer)
        reply = await self._engine.run(command.export_secret([fingerprint]), passphrase=inner)
        if reply.returncode == 0 and not reply.stdout:
            raise KeyNotFound(f"no secret key for {fingerprint}", value=fingerprint)
        return custody.exported(reply, [fingerprint])

    async def file_export(
        self,
        path: str | os.PathLike[str],
        uid: str = "",
        mode: str = "w+",
        *,
        secret: bool = False,
    ) -> Path:
        """Export a key to ``<fingerprint>.asc`` in a directory.

        The file appears whole or not at all, is its owner's alone where it holds a secret key,
        and is never written through a symbolic link.

        Args:
            path: the directory.
            uid: the key; the empty text is this instance's own.
            mode: ``w`` or ``w+`` replaces a file that is there, ``x`` does not.
            secret: as for ``text_export``.

        Returns:
            The file's path.

        Raises:
            FileExistsError: there is such a file and mode is ``x``, or a symbolic link.
        """
        if mode not in ("w", "w+", "x", "x+"):
            raise ValueError(f"mode is 'w' to replace a file, or 'x', not {mode!r}")
        checked_secret(secret)
        fingerprint = (await self._key(uid)).fingerprint
        target = Path(path) / f"{fingerprint}.asc"
        refuse(target, replace="w" in mode)
        block = await self._export(fingerprint, secret)
        permissions = 0o600 if secret else 0o666
        async with whole_file(target, mode=permissions, replace="w" in mode) as fd:
            await uninterrupted(asyncio.to_thread(write_all, fd, block))
        return target

    async def scan(self, key: str | bytes) -> tuple[Key, ...]:
        """Give the keys in a key block, without importing it.

        What is not signed as it must be (a subkey, a user id) is not shown. A key that has no user
        id is shown with the stand-in that it would get; one whose user ids are all forged has none,
        and is invalid.

        Raises:
            NotOpenPGP: there is no key in it.
        """
        reply = await self._engine.run(command.show_keys(), stdin=key)
        if not reply.stdout:
            raise outcome.unreadable(reply, "read keys")
        # Builds of GnuPG 2.4 list user ids that nobody signed.
        found = tuple(
            replace(one, user_ids=tuple(each for each in one.user_ids if each.signed))
            for one in await keys_of(reply)
        )
        if not found:
            raise NotOpenPGP("there is no key in this", **reply.details())
        if all(one.user_ids for one in found):
            return found
        bare = await asyncio.to_thread(with_stand_ins, _octets(key))
        if not bare:
            return found
        reply = await self._engine.run(command.show_keys(bare=True), stdin=bare)
        shown = {one.fingerprint: one for one in await keys_of(reply)}
        return tuple(shown.get(one.fingerprint, one) for one in found)

    async def backup(self, path: str | os.PathLike[str]) -> Path:
        """Write the whole home into a new directory that any OpenPGP program can read.

        It holds all public keys, all secret keys protected by the user's own passphrase in gpg's
        own way, the ownertrust and the revocation certificates; it appears whole or not at all.

        Args:
            path: the directory; it must not be there yet.

        Returns:
            Its path.

        Raises:
            FileExistsError: it is there.
            BadPassphrase: this instance's passphrase does not open each secret key of the home.
        """
        target = Path(path)
        await backup.backup(self._engine, target, await self._secret(), self.passphrase.encode())
        return target

    async def restore(self, path: str | os.PathLike[str]) -> ImportResult:
        """Bring the keys of a backup, or of (a copy of) another home, into this home.

        What is here already stays. The other home may be one of tiny_gnupg 0.5.2 or any
        ``~/.gnupg``; it is only read.

        Args:
            path: the backup, or the homedir.

        Returns:
            What was imported.

        Raises:
            ImportFailed: there is nothing to restore.
            BadPassphrase: this instance's passphrase does not open each secret key; none came in.
            HomeUnusable: the directory cannot be read.
        """
        try:
            result = await backup.restore(
                self._engine, Path(path), await self._secret(), self.passphrase
            )
        finally:
            self._table.forget()
        await self._drop_stand_ins(result.fingerprints if result.updated else ())
        return result

    # -- network ---------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The keyserver's port; the URLs below follow it."""
        return self._keyserver.port

    @port.setter
    def port(self, port: int) -> None:
        self._keyserver = replace(self._keyserver, port=port)

    @property
    def tor_port(self) -> int:
        """The port of Tor's SOCKS5 proxy: 9050, or 9150 for Tor Browser's."""
        return self._network.settings.tor_port

    @tor_port.setter
    def tor_port(self, tor_port: int) -> None:
        # The session on the old port closes itself when nobody holds it any more.
        self._network = Network(replace(self._network.settings, tor_port=tor_port))

    @property
    def keyserver(self) -> str:
        """The keyserver's base URL."""
        return self._keyserver.url

    @property
    def keyserver_export_api(self) -> str:
        """Where keys are uploaded to."""
        return self._keyserver.upload_url

    @property
    def keyserver_verify_api(self) -> str:
        """Where the mails are asked for that confirm a key's addresses."""
        return self._keyserver.verify_url

    @property
    def searchserver(self) -> str:
        """The page for people who search, to be completed by what they search."""
        return self._keyserver.search_url

    def set_network_variables(
        self,
        port: int | None = None,
        tor_port: int | None = None,
        keyserver: str | None = None,
        search: str | None = None,
        **settings: Any,
    ) -> None:
        """Say how the network is reached; what is left out becomes the default.

        Args:
            port: the keyserver's; default: what its URL says, 80 for http.
            tor_port: Tor's SOCKS5 port; default 9050.
            keyserver: base URL, http(s) for VKS or hkp(s) for HKP.
            search: what leads from it to the page where people search.
            settings: any of ``tor.NetworkSettings``: ``connect_timeout`` (120 s),
                ``total_timeout`` (180 s), ``max_answer`` (8 MiB), ``tries`` (3) and others.

        Raises:
            ValueError: a value out of its range, or no keyserver's URL.
        """
        url = keyserver or DEFAULT_KEYSERVER
        self._keyserver = Keyserver.of(url, port, search or DEFAULT_SEARCH)
        given = {"tor_port": tor_port or 9050, **settings}
        self._network = Network(replace(self._network.settings, **given))

    @property
    def Connector(self) -> ProxyConnector:
        """The ``aiohttp_socks.ProxyConnector`` under ``Session``; within a running loop."""
        return self._network.Connector

    @property
    def Session(self) -> ClientSession:
        """The ``aiohttp.ClientSession`` that all requests share; within a running loop."""
        return self._network.Session

    def network_get(self, url: str, **options: Any) -> AbstractAsyncContextManager[ClientResponse]:
        """Send a GET request through Tor: ``async with gpg.network_get(url) as response``.

        Args:
            url: http or https.
            options: whatever ``aiohttp.ClientSession.get`` takes.

        Raises:
            TorUnavailable: Tor does not answer, or does not reach the service.
            NetworkError: the request failed otherwise.
        """
        return self._network.network_get(url, **options)

    def network_post(self, url: str, **options: Any) -> AbstractAsyncContextManager[ClientResponse]:
        """Send a POST request through Tor; see ``network_get``."""
        return self._network.network_post(url, **options)

    async def get(self, url: str, **options: Any) -> str:
        """Give the text of the answer to a GET request; see ``network_get``."""
        return await self._network.get(url, **options)

    async def post(self, url: str, **options: Any) -> str:
        """Give the text of the answer to a POST request; see ``network_get``."""
        return await self._network.post(url, **options)

    async def search(self, query: str) -> str:
        """Look a key up on the keyserver.

        Args:
            query: a fingerprint, a key id or an address.

        Returns:
            The key's URL, or ``""`` where the server does not have it.

        Raises:
            KeyserverError: the server refuses.
            KeyserverMismatch: it answers with another key.
            TorUnavailable: Tor does not reach it.
        """
        return await keyserver.search(self._network, self._keyserver, query)

    async def raw_search(self, query: str) -> str:
        """Give the keyserver's whole answer to a look-up, whatever it is."""
        return await keyserver.raw_search(self._network, self._keyserver, query)

    async def network_import(self, uid: str) -> ImportResult:
        """Find a key on the keyserver, check that it is the one, and import it.

        Args:
            uid: a fingerprint, a key id or an address.

        Returns:
            What was imported.

        Raises:
            NotOnKeyserver: the server does not have it, or nothing can be looked up by such text.
            KeyserverMismatch: it answered with another key; nothing was imported.
            KeyserverError: it refuses, or answers with no key.
            TorUnavailable: Tor does not reach it.
        """
        return await self._import_found(
            await keyserver.look_up(self._network, self._keyserver, uid)
        )

    async def _import_found(self, *found: FoundKey) -> ImportResult:
        """Import what a server sent, where gpg too holds each key to be what was looked up."""
        for one in found:
            bare = not one.user_ids
            block = insert_placeholder(one.data) if bare else one.data
            reply = await self._engine.run(command.show_keys(bare=bare), stdin=block)
            one.confirm(await keys_of(reply))
        return await self._import(b"".join(one.data for one in found), found=True)

    async def wkd_import(self, email: str) -> ImportResult:
        """Import the key of an address from the Web Key Directory of its domain.

        Returns:
            What was imported: the key, and the address's revoked ones where the directory has them.

        Raises:
            NotOnKeyserver: the directory does not have it.
            KeyserverMismatch: it answered with another key, too; nothing was imported.
            TorUnavailable: Tor does not reach it.
        """
        return await self._import_found(*await keyserver.wkd_look_up(self._network, email))

    async def refresh(self, uid: str = "") -> tuple[str, ...]:
        """Fetch updates of keys that are here, each over a circuit of its own.

        Args:
            uid: which; the empty text is all of them.

        Returns:
            The fingerprints of those that the keyserver has.

        Raises:
            KeyNotFound: no such key is here.
            NotOnKeyserver: the one key that was named is not on the server.
            KeyserverMismatch: the server answered with another key; all others were updated.
            KeyserverError: it refuses.
            TorUnavailable: Tor does not reach it.
        """
        if uid:
            fingerprint = (await self._key(uid)).fingerprint
            await self._refresh(fingerprint)
            return (fingerprint,)
        turns = asyncio.Semaphore(REFRESHED_AT_ONCE)
        lies: list[KeyserverMismatch] = []

        async def update(fingerprint: str) -> str:
            async with turns:
                try:
                    await self._refresh(fingerprint)
                except NotOnKeyserver:
                    return ""
                except KeyserverMismatch as lie:  # no reason for the other keys to stay old
                    lies.append(lie)
            return fingerprint

        updates = [asyncio.ensure_future(update(one)) for one in await self.list_keys()]
        try:
            found = tuple(filter(None, await asyncio.gather(*updates)))
        finally:
            await uninterrupted(cancel_all(*updates))
        if lies:
            raise lies[0]
        return found

    async def _refresh(self, fingerprint: str) -> None:
        async with self._network.isolated() as network:
            found = await keyserver.look_up(network, self._keyserver, fingerprint)
        await self._import_found(found)

    async def network_export(self, uid: str = "") -> dict[str, Any]:
        """Upload a key to the keyserver, and ask for the mails that confirm its addresses.

        Args:
            uid: the key; the empty text is this instance's own.

        Returns:
            The server's answer: ``key_fpr``, and ``status`` with each address and its state.

        Raises:
            KeyserverError: the server refuses.
            TorUnavailable: Tor does not reach it.
        """
        fingerprint = await self._named(uid)
        key = await self.text_export(fingerprint)
        return await keyserver.publish(self._network, self._keyserver, key, fingerprint)

    async def raw_api_export(self, uid: str = "") -> str:
        """Upload a key to the keyserver, and give its whole answer: JSON with a ``token``."""
        key = await self.text_export(uid)
        return await keyserver.upload(self._network, self._keyserver, key)

    async def raw_api_verify(self, payload: str | Mapping[str, Any]) -> str:
        """Ask for the mails that confirm addresses, and give the server's whole answer.

        Args:
            payload: ``token`` and ``addresses``, as JSON text or as a mapping.
        """
        return await keyserver.request_verify(self._network, self._keyserver, payload)

    @overload
    async def auto_encrypt(
        self,
        message: AnyStr = ...,
        uid: str | Iterable[str] = ...,
        sign: bool = ...,
        local_user: str = ...,
        *,
        armor: Literal[True] = ...,
        **options: Any,
    ) -> AnyStr: ...

    @overload
    async def auto_encrypt(
        self,
        message: AnyStr = ...,
        uid: str | Iterable[str] = ...,
        sign: bool = ...,
        local_user: str = ...,
        *,
        armor: Literal[False],
        **options: Any,
    ) -> bytes: ...

    @overload
    async def auto_encrypt(
        self,
        message: AnyStr,
        uid: str | Iterable[str] = ...,
        sign: bool = ...,
        local_user: str = ...,
        *,
        armor: bool,
        **options: Any,
    ) -> AnyStr | bytes: ...

    async def auto_encrypt(
        self,
        message: AnyStr = "",  # type: ignore[assignment]
        uid: str | Iterable[str] = "",
        sign: bool = True,
        local_user: str = "",
        **options: Any,
    ) -> AnyStr | bytes:
        """Encrypt as ``encrypt`` does, after a look-up of recipients whose keys are not here.

        Raises:
            NotOnKeyserver: a recipient's key is nowhere; ``.value`` names it.
        """
        recipients = _each(uid)
        for one in recipients:
            if one and not await self._table.find(one):
                await self.network_import(one)
        sealed: AnyStr | bytes = await self.encrypt(
            message, recipients, sign, local_user, **options
        )
        return sealed

    async def auto_decrypt(self, message: AnyStr, *, passphrase: str | None = None) -> AnyStr:
        """Decrypt as ``decrypt`` does, after a look-up of a signer's key that is not here.

        Raises:
            NotOnKeyserver: the signer's key is nowhere; ``.value`` names it.
        """
        try:
            return await self.decrypt(message, passphrase=passphrase)
        except KeyNotFound as error:
            await self.network_import(error.value)
        return await self.decrypt(message, passphrase=passphrase)

    async def auto_verify(
        self, message: str | bytes = "", signature: str | bytes | None = None
    ) -> Verification:
        """Verify as ``verify`` does, after a look-up of a signer's key that is not here.

        Raises:
            NotOnKeyserver: the signer's key is nowhere; ``.value`` names it.
        """
        try:
            return await self.verify(message, signature)
        except KeyNotFound as error:
            await self.network_import(error.value)
        return await self.verify(message, signature)

    # -- how the methods go about it -------------------------------------------------------

    async def _write(self, options: Sequence[str], **channels: Any) -> outcome.Reply:
        """Run a command that may change the keyring."""
        try:
            return await self._engine.run(options, writing=True, **channels)
        finally:
            self._table.forget()

    async def _gpg(
        self,
        options: Sequence[str],
        *,
        stdin: Data | int | None = None,
        stdout: int | None = None,
        **channels: Any,
    ) -> outcome.Reply:
        """Run a command on a message, and once more where a signer's key has no user ids."""

        async def once(options: Sequence[str]) -> outcome.Reply:
            rewind(stdin, stdout)
            return await self._engine.run(
                options, stdin=stdin, stdout=stdout, max_output=self.max_output, **channels
            )

        reply = await once(options)
        if signatures.has_unreadable_signer(reply) and not comes_once(stdin):
            return await once([*command.UNSIGNED_USER_IDS, *options])
        return reply

    async def _with_key(
        self,
        options: Sequence[str],
        judge: Callable[[outcome.Reply], T],
        *,
        writing: bool = False,
        asking: bool = True,
        **channels: Any,
    ) -> T:
        """Run a command that may use secret keys, and judge its answer.

        Where the passphrase does not fit, it may be that of a key which came in under it and was
        not taken over yet; that is done then, and the command is run once more.
        """

        async def once() -> T:
            passphrase = await self._secret() if asking else None
            return judge(
                await self._gpg(options, writing=writing, passphrase=passphrase, **channels)
            )

        only_try = comes_once(channels.get("stdin"))
        if only_try and asking:
            await self._take_over()
        try:
            return await once()
        except BadPassphrase:
            if only_try or not await self._take_over():
                raise
        finally:
            if writing:
                self._table.forget()
        return await once()

    async def _try_passphrase(self, fingerprint: str) -> None:
        """See that the passphrase opens a key, before a command that has no status line for that.

        Raises:
            BadPassphrase: it does not.
        """
        judge = _wants("SUCCESS", "use the key", fingerprint)
        await self._with_key(command.try_passphrase(fingerprint), judge)

    async def _take_over(self) -> bool:
        """Take over keys that came in under this instance's passphrase; tell whether any did."""
        if not self.passphrase or not await self._stretches():
            return False
        if not await asyncio.to_thread(custody.any_untouched, self._engine.home):
            return False
        keys = await self.keys(secret=True)
        inner, outer = await self._secret(), self.passphrase.encode()
        return await custody.take_over(self._engine, keys, inner, outer)

    async def _stretches(self) -> bool:
        await self._engine.open()
        return self._engine.home.protection.kind == "scrypt"

    async def _secret(self, passphrase: str | None = None) -> bytes:
        """Give a passphrase, by default this instance's, as the agent of the home expects it."""
        await self._engine.open()
        text = self.passphrase if passphrase is None else passphrase
        protection = self._engine.home.protection
        if protection.kind == "gnupg" or not text:
            return text.encode()
        # It takes a third of a second: all callers wait for the one thread that works it out.
        asked = (os.getpid(), text, protection.salt)
        if asked not in self._stretched:
            pool = ThreadPoolExecutor(1, "tiny_gnupg-scrypt")
            self._stretched[asked] = pool.submit(protection.stretch, text)
            pool.shutdown(wait=False)
        stretched = self._stretched[asked]
        if stretched.done():
            return stretched.result()
        return await asyncio.shield(asyncio.wrap_future(stretched))

    async def _own(self) -> str:
        """Give the fingerprint of this instance's own key."""
        if not self.fingerprint:
            if not self.email:
                raise KeyNotFound("this instance has no key of its own", hint="await gen_key()")
            found = await self._table.find(self.email)
            secret = [key for key in found if key.secret and not key.revoked and not key.expired]
            if not secret:
                raise KeyNotFound(
                    f"{self.email} has no secret key here", value=self.email, hint="await gen_key()"
                )
            self.fingerprint = the_one(secret, self.email).fingerprint
        return self.fingerprint

    async def _named(self, uid: str) -> str:
        """Give the fingerprint that a uid names; a fingerprint costs no look-up."""
        if not check_uid(uid):
            return await self._own()
        kind, value = classify(uid)
        if kind is TermKind.FINGERPRINT:
            return value
        return (await self._table.one(uid)).fingerprint

    async def _key(self, uid: str) -> Key:
        return await self._table.one(uid or await self._own())

    async def _secret_key(self, uid: str) -> Key:
        """Give the one key that a uid names, where its secret part is here."""
        key = await self._key(uid)
        if not key.secret and not any(subkey.secret for subkey in key.subkeys):
            raise KeyNotFound(f"no secret key for {uid or key.fingerprint}", value=key.fingerprint)
        return key

    async def _own_secret(self, uid: str) -> str:
        return (await self._secret_key(uid)).fingerprint

    async def _signer(self, local_user: str) -> str:
        return await self._named(local_user) if local_user else await self._own()

    async def _recipient(self, uid: str) -> str:
        """Give what gpg is to encrypt to: a fingerprint, and behind that of a subkey a ``!``."""
        if not check_uid(uid):
            return await self._own()
        kind, value = classify(uid)
        if kind is TermKind.FINGERPRINT:
            key = self._table.known(uid)
        else:
            key = await self._table.usable(uid, Capability.ENCRYPT)
            value = key.fingerprint
        if key is None or not is_bare(key):
            return value
        subkey = encryption_key(key)
        if not subkey:
            raise _unusable(key)
        return f"{subkey}!"


#: What is checked whenever it is set.
_CHECKED: dict[str, Callable[[str], str]] = {
    "username": partial(checked_name, "username"),
    "email": partial(checked_name, "email"),
    "passphrase": checked_passphrase,
}

# ``command`` names a method and an argument of the class above, too.
_reads_only = command.reads_only


def _each(uid: str | Iterable[str]) -> list[str]:
    """Give the recipients, each once."""
    uids = [uid] if isinstance(uid, str) else list(dict.fromkeys(uid))
    if not uids:
        raise ValueError("there is no recipient")
    return uids


@asynccontextmanager
async def _between(
    source: str | os.PathLike[str],
    target: Path,
    overwrite: bool,
    progress: Progress | None,
    *,
    mode: int = 0o666,
) -> AsyncIterator[dict[str, Any]]:
    """Open the files of a run: what gpg reads, and what it writes."""
    async with (
        reading(Path(source), progress) as stdin,
        whole_file(target, mode=mode, replace=overwrite) as stdout,
    ):
        yield {"stdin": stdin, "stdout": stdout}


def _wants(keyword: str, doing: str, value: str) -> Callable[[outcome.Reply], outcome.Reply]:
    return lambda reply: outcome.require_keyword(reply, keyword, doing, value)


def _succeeds(doing: str, value: str) -> Callable[[outcome.Reply], outcome.Reply]:
    return lambda reply: outcome.require_success(reply, doing, value)


def _yes(line: str) -> bytes | None:
    return b"y\n" if line.startswith("GET_BOOL") else None


def _unusable(key: Key, error: GnuPGError | None = None) -> UnusableKey:
    """Name the error of a recipient's key that cannot be used, as gpg refused it or before that."""
    said = {} if error is None else {name: getattr(error, name) for name in _DETAILS}
    return UnusableKey(
        f"cannot encrypt with {key.fingerprint}: it {why_unusable(key)}",
        hint="ask its owner for a newer one, or refresh it",
        **said,
    )


#: What each error from a gpg run carries.
_DETAILS = ("status", "returncode", "stderr", "command")

#: Characters that are enough to tell what a message is; bytes at which that is done in a thread.
_HEAD, _LONG = 2**20, 2**16


async def _kind_of(data: str | bytes) -> MessageKind:
    """Tell what some data is; where we cannot, gpg will say that it is none."""
    octets = _octets(data[:_HEAD]) if isinstance(data, str) else data
    try:
        if len(octets) < _LONG:
            return message_kind(octets)
        return await asyncio.to_thread(message_kind, octets)
    except NotOpenPGP:
        return MessageKind()


def _octets(data: str | bytes) -> bytes:
    return data.encode(errors="replace") if isinstance(data, str) else data
