"""What every method stands on: the key that a uid names, the passphrase, and gpg run with both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from tiny_gnupg._gpg import commands, outcome, signatures
from tiny_gnupg._gpg.arguments import (
    Signer,
    Uid,
    Uids,
    check_key_name,
    check_signers,
    check_uid,
    check_uids,
)
from tiny_gnupg._gpg.key_names import NameForm, classify, exact_name, is_exact, matching
from tiny_gnupg._gpg.key_states import has_secret, is_placeholder_key, parts_of
from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg._home.key_files import any_untouched, is_open, key_files, keygrips
from tiny_gnupg._home.layout import DATABASE
from tiny_gnupg._home.own_keys import note
from tiny_gnupg._home.whole_files import comes_once, rewind
from tiny_gnupg._operations import secret_keys
from tiny_gnupg._operations.engine import Call
from tiny_gnupg._operations.keyring import (
    PLACEHOLDERS,
    list_keys,
    run_listing,
    the_one,
    unusable,
)
from tiny_gnupg._process.tasks import in_thread
from tiny_gnupg.errors import (
    AgentUnavailable,
    BadPassphrase,
    CommandFailed,
    GnuPGError,
    GnuPGTimeout,
    HomeUnusable,
    ImportFailed,
    KeyNotFound,
    MemoryExhausted,
    NoSecretKey,
    UnusableKey,
)
from tiny_gnupg.gnupg.identity import Identity
from tiny_gnupg.results import Capability, Key

T = TypeVar("T")


#: Reads an answer, and gives what was asked for or raises the error that says why not.
Judge = Callable[[Reply], T]


#: What may help where an answer is not good: it gets the call, gpg's answer and its error (None
#: where the judge found none), and gives the call to be made instead, or None. An answer of None
#: asks for what can be done before there is one.
Remedy = Callable[[Call, Reply | None, GnuPGError | None], Awaitable[Call | None]]


class Access(Identity):
    """The key that a uid names, the passphrase, and gpg run with both."""

    async def set_fingerprint(self, uid: Uid) -> None:
        """Make the key that ``uid`` names this instance's own.

        Raises:
            KeyNotFound: there is none.
            AmbiguousKey: there are several.
        """
        self.fingerprint, self._noted = (await self._key(uid)).fingerprint, ""

    async def _export(self, *names: str, secret: bool = False, minimal: bool = False) -> bytes:
        if not secret:
            reply = await self._engine.run(Call(commands.export(names, minimal=minimal)))
            if reply.returncode == 0 and not reply.stdout:
                raise KeyNotFound(value=", ".join(names), reply=reply)
            return secret_keys.exported(reply, names)
        keys = [await self._secret_key(name) for name in names]
        return await self._export_secret(keys, names, minimal=minimal)

    async def _export_secret(
        self,
        keys: Sequence[Key],
        names: Sequence[str],
        *,
        subkeys: bool = False,
        minimal: bool = False,
    ) -> bytes:
        inner, outer = await self._agent_passphrase(), self.passphrase.encode()
        return await self._with_keys(
            lambda: secret_keys.export_secret(
                self._engine, keys, inner, outer, names, subkeys=subkeys, minimal=minimal
            )
        )

    async def _with_keys(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do what needs secret keys, and once more where they came in and were not taken over."""
        try:
            return await work()
        except BadPassphrase:
            if not await self._take_over():
                raise
        return await work()

    async def _reply(self, call: Call) -> Reply:
        """Run gpg once; what was looked up before it wrote counts no more."""
        try:
            return await self._engine.run(call)
        finally:
            if call.writing:
                self._table.forget()

    async def _run(self, call: Call, judge: Judge[T], *remedies: Remedy) -> T:
        """Run a call and judge its answer; where that is not good, mend the call and run it again.

        The remedies are asked in their order after each run, and each may change the call once, so
        that gpg runs at most once more than there are remedies. An input that comes once can be
        run once: what each remedy would do is done before, and it still may know a better error.

        Args:
            call: what to run; what it gives in memory is bounded by this instance's bound.
            judge: reads the answer.
            remedies: what may help; see ``Remedy``.

        Raises:
            GnuPGError: as the judge names it, or a remedy that knows better.
        """
        call = replace(call, max_output=self.max_output)
        left, once = list(remedies), comes_once(call.stdin)
        for remedy in left if once else ():
            call = await remedy(call, None, None) or call
        while True:
            reply = await self._reply(call)
            try:
                result = judge(reply)
            except GnuPGError as error:
                mended = await _mended(left, call, reply, error)
                while once and mended is not None:
                    mended = await _mended(left, call, reply, error)
                if mended is None:
                    await self._require_keyboxd(error)
                    raise
            else:
                mended = None if once else await _mended(left, call, reply, None)
                if mended is None:
                    return result
            call = mended
            rewind(call.stdin, call.stdout)

    async def _require_keyboxd(self, error: GnuPGError) -> None:
        """Let an error pass that says that a key is not here or came not in, where that is so.

        A gpg whose keyboxd does not answer says of each key that it is not here, save in a listing.

        Raises:
            GnuPGError: gpg cannot list keys.
        """
        missing = isinstance(error, KeyNotFound | NoSecretKey | ImportFailed)
        if missing and (self._engine.home.path / DATABASE).parent.exists():
            await run_listing(self._engine, commands.list_keys(["0" * 40]))

    async def _take_over_keys(
        self, call: Call, reply: Reply | None, error: GnuPGError | None
    ) -> Call | None:
        """Remedy: take over keys that came in under this instance's passphrase and were not yet."""
        if reply is not None and not isinstance(error, BadPassphrase):
            return None
        return call if await self._take_over() else None

    async def _allow_placeholders(
        self, call: Call, reply: Reply | None, _: GnuPGError | None
    ) -> Call | None:
        """Remedy: have gpg take the key of a signer that has no user ids."""
        if reply is None:
            needed = any(map(is_placeholder_key, await list_keys(self._engine, [PLACEHOLDERS])))
        else:
            needed = signatures.has_unreadable_signer(reply)
        if not needed:
            return None
        return replace(call, options=[*commands.UNSIGNED_USER_IDS, *call.options])

    def _explain(
        self,
        signers: Iterable[str],
        capability: Capability = Capability.SIGN,
        doing: str = "sign with",
    ) -> Remedy:
        """Return what says why gpg cannot sign with a key: no remedy, but it knows better."""

        async def explain(_: Call, reply: Reply | None, error: GnuPGError | None) -> None:
            if reply is None or isinstance(error, KeyNotFound | UnusableKey | CommandFailed):
                for signer in signers:
                    await self._require_able(signer, capability, doing, reply)

        return explain

    async def _require_able(
        self, uid: str, capability: Capability, doing: str, reply: Reply | None = None
    ) -> None:
        """Say what is wrong with a key, where something is: see ``keyring.unusable``."""
        for key in await self._table.find(uid, secret=True):
            only = exact_name(key, uid).rstrip("!") if is_exact(uid) else ""
            refused = unusable(key, capability, doing, reply, only)
            if refused is not None:
                if capability is not Capability.ENCRYPT:
                    self._require_readable(key)
                raise refused

    async def _try_passphrase(self, fingerprint: str) -> None:
        """See that the passphrase opens a key, before a command that has no status line for that.

        Raises:
            BadPassphrase: it does not.
        """
        passphrase = await self._agent_passphrase()
        call = Call(commands.try_passphrase(fingerprint), passphrase=passphrase)
        judge = _wants("SUCCESS", "use the key", fingerprint)
        try:
            await self._run(call, judge, self._take_over_keys)
        except (CommandFailed, KeyNotFound):
            # What gpg says is of the last subkey, whose secret part may be the one that is missing;
            # for gpg 2.4 it is a failure that any is.
            key = await self._table.one(fingerprint, secret=True)
            if not has_secret(key):
                raise
            await self._with_keys(lambda: secret_keys.require_opened(self._engine, key, passphrase))

    async def _edit(
        self, options: Sequence[str], doing: str, fingerprint: str, *more: Remedy
    ) -> None:
        """Run a command that changes a key by means of its secret part, or another's."""
        call = Call(options, passphrase=await self._agent_passphrase(), writing=True)
        await self._run(call, _succeeds(doing, fingerprint), self._take_over_keys, *more)

    async def _take_over(self) -> bool:
        """Take over keys that came in under this instance's passphrase; return whether any did."""
        if not self.passphrase:
            return False
        stretches = await self._stretches()
        if stretches and not await in_thread(any_untouched, self._engine.home.path):
            return False
        # With gpg's own protection every key may be meant, and each is asked about.
        own = bool(self.email) and not stretches
        keys = await (
            self._table.find(self.email, secret=True)
            if own
            else list_keys(self._engine, secret=True)
        )
        inner, outer = await self._agent_passphrase(), self.passphrase.encode()
        return await secret_keys.take_over(self._engine, keys, inner, outer)

    async def _stretches(self) -> bool:
        await self._engine.open()
        return self._engine.home.protection.kind == "scrypt"

    async def _agent_passphrase(self, passphrase: str | None = None) -> bytes:
        """Return a passphrase, by default this instance's, as the agent of the home expects it."""
        await self._engine.open()
        text = self.passphrase if passphrase is None else passphrase
        return await self._stretcher.stretched(self._engine.home.protection, text)

    async def _own(self) -> str:
        """Return the fingerprint of this instance's own key, in whatever state it is.

        It is the one that was set, made or noted; else that with this instance's address which its
        passphrase opens: a secret key of a stranger's that came in is nobody's own.
        """
        if self.fingerprint and self.fingerprint != self._noted:
            return self.fingerprint
        if self._noted:
            held = await self._table.find(self._noted, secret=True)
            self._require_readable(*held)
            self.fingerprint, self._noted = self._noted if any(map(has_secret, held)) else "", ""
            if self.fingerprint:
                return self.fingerprint
        if not self.email:
            raise KeyNotFound("this instance has no key of its own", hint="await gen_key()")
        held = await self._table.find(self.email, secret=True)
        found = [key for key in held if has_secret(key)]
        if not found:
            self._require_readable(*held)
            raise KeyNotFound(
                f"{self.email} has no secret key here", value=self.email, hint="await gen_key()"
            )
        opened = await self._opened(found)
        # One that has expired is there all the same: it can be renewed.
        kept = [key for key in opened if not key.revoked] or opened
        alive = [key for key in kept if not key.expired and not key.disabled] or kept
        self.fingerprint = the_one(alive, self.email).fingerprint
        await in_thread(note, self._engine.home.path, self._who, self.fingerprint)
        return self.fingerprint

    def _require_readable(self, *keys: Key) -> None:
        """Let keys pass whose secret parts are either here as gpg sees them, or not here at all.

        Of a file that its agent cannot read, gpg says what it says of one that is not there.

        Raises:
            HomeUnusable: there is such a file.
        """
        for part in (part for key in keys for part in parts_of(key)):
            grips = [] if part.secret or not part.keygrip else [part.keygrip]
            for file in key_files(self._engine.home.path, grips):
                raise HomeUnusable(
                    f"gpg-agent cannot read {file}, the secret part of {part.fingerprint}",
                    hint="restore that file from a backup, before you make another key",
                )

    async def _opened(self, secret: Sequence[Key]) -> list[Key]:
        """Return those of some secret keys that this instance's passphrase opens.

        Raises:
            BadPassphrase: it opens none.
            KeyNotFound: none has a passphrase, and this instance has one.
        """
        home, opened, failure = self._engine.home.path, [], None
        for key in secret:
            files = key_files(home, keygrips(key))
            guarded = not files or not all(map(is_open, files))
            try:
                if guarded:
                    await self._try_passphrase(key.fingerprint)
            except BadPassphrase as error:
                failure = error
            except (AgentUnavailable, GnuPGTimeout, HomeUnusable, MemoryExhausted):
                raise
            except GnuPGError as error:
                if error.returncode is not None and error.returncode < 0:
                    raise
                opened.append(key)  # what says nothing of the passphrase, as an offline primary
            else:
                opened += [key] if guarded or not self.passphrase else []
        if opened:
            return opened
        raise failure or KeyNotFound(
            f"the secret key of {self.email} here has no passphrase, and this instance has one",
            value=self.email,
            hint="set_fingerprint takes it for this instance's own; gen_key() makes one",
        )

    async def _named(self, uid: Uid) -> str:
        """Return the fingerprint that a uid names, with ``!`` where it is exactly that part.

        A fingerprint costs no look-up.
        """
        text = check_key_name(uid)
        if not text:
            return await self._own()
        kind, value = classify(text)
        if kind is NameForm.FINGERPRINT:
            return f"{value}!" if is_exact(text) else value
        key = await self._table.one(text)
        return exact_name(key, text) if is_exact(text) else key.fingerprint

    async def _pin(self, signer: Signer) -> frozenset[str]:
        """Return the fingerprints of those who must have signed; none: it may be anybody.

        Raises:
            TypeError, ValueError: as ``check_signers`` does.
            KeyNotFound: nobody here has such an address.
        """
        found: set[str] = set()
        for name in [] if signer is None else check_signers(signer):
            if not name:
                found.add(await self._own())
            elif classify(name).kind is NameForm.FINGERPRINT:
                found.add(await self._named(name))
            else:
                keys = matching(await self._table.find(name), name, revoked=False)
                if not keys:
                    raise KeyNotFound(f"no key here is {name}'s, who must have signed", value=name)
                found.update(key.fingerprint for key in keys)
        return frozenset(found)

    async def _key(self, uid: Uid) -> Key:
        return await self._table.one(check_key_name(uid) or await self._own())

    async def _secret_key(self, uid: Uid) -> Key:
        """Return the one key that a uid names, where its secret part is here."""
        key = await self._table.one(check_uid(uid) or await self._own(), secret=True)
        if not has_secret(key):
            self._require_readable(key)
            named = check_uid(uid) or key.fingerprint
            raise KeyNotFound(f"no secret key for {named}", value=key.fingerprint)
        return key

    async def _secret_primary(self, uid: Uid) -> Key:
        """Return the one key that a uid names, where the secret part of its primary key is here."""
        key = await self._secret_key(uid)
        if not key.secret:
            self._require_readable(key)
            raise UnusableKey(
                f"the secret part of the primary key {key.fingerprint} is not here",
                hint="do it where that is, and import what comes of it",
            )
        return key

    async def _changeable(self, uid: Uid) -> Key:
        """Return the one key that a uid names, where it is not revoked and can sign its changes."""
        key = await self._secret_primary(uid)
        refused = unusable(key, Capability.CERTIFY, "change") if key.revoked else None
        if refused is not None:
            raise refused
        return key

    async def _names(self, uid: Uids, what: str) -> list[str]:
        """Return the names of one key or several, each once, as ``_named`` does.

        Several are looked up: gpg passes over one that is not here, or that is named twice.

        Args:
            uid: what a caller gave.
            what: what these keys are, in the singular.
        """
        uids = check_uids(uid, what)
        if len(uids) == 1:
            return [await self._named(uids[0])]
        keys = [(await self._table.one(uid), uid) for uid in uids]
        names = [exact_name(key, uid) if is_exact(uid) else key.fingerprint for key, uid in keys]
        return list(dict.fromkeys(names))


async def _mended(
    remedies: list[Remedy], call: Call, reply: Reply, error: GnuPGError | None
) -> Call | None:
    """Return the call as the first remedy that knows how has mended it; that one is used up."""
    for remedy in remedies:
        mended = await remedy(call, reply, error)
        if mended is not None:
            remedies.remove(remedy)
            return mended
    return None


def _wants(keyword: str, doing: str, value: str = "", signatures: int = 0) -> Judge[Reply]:
    return lambda reply: outcome.require_keyword(
        reply, keyword, doing, value, signatures=signatures
    )


def _succeeds(doing: str, value: str) -> Judge[Reply]:
    return lambda reply: outcome.require_success(reply, doing, value)
