"""Who a message is encrypted to: keys by their names, each found once and able to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from tiny_gnupg._gpg import commands, outcome
from tiny_gnupg._gpg.arguments import (
    LONGEST_PASSPHRASE,
    Uids,
    check_uids,
    checked_trust,
    optional_passphrase,
    passphrase_answers,
)
from tiny_gnupg._gpg.key_names import (
    TRUSTED,
    NameForm,
    classify,
    exact_name,
    is_exact,
    validity_of,
)
from tiny_gnupg._gpg.key_states import encryption_key, is_placeholder_key
from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg._home.key_files import any_disabled
from tiny_gnupg._operations.engine import Call
from tiny_gnupg._operations.keyring import the_one
from tiny_gnupg._process.find_gpg import probe
from tiny_gnupg.errors import GnuPGError, KeyNotFound, UnusableKey
from tiny_gnupg.gnupg.access import Access, _wants
from tiny_gnupg.results import Capability, Key


@dataclass(frozen=True, slots=True)
class Sealing:
    """How a message is to be encrypted.

    Args:
        uids: who can read it; none: who has the passphrase alone.
        hidden: those of them whom it does not name.
        signers: whose keys sign it.
        passphrase: what opens it, too; ``b""`` for nothing.
        form: more for ``commands.encrypt``.
    """

    uids: Sequence[str]
    hidden: Collection[str]
    signers: Sequence[str]
    passphrase: bytes
    form: Mapping[str, Any]

    def options(self, names: Sequence[str], placeholders: bool) -> list[str]:
        """Return gpg's options, where these are the recipients' names for it."""
        pairs = zip(self.uids, names, strict=True)
        return commands.encrypt(
            names,
            placeholders,
            hidden=[name for uid, name in pairs if uid in self.hidden],
            signers=self.signers,
            symmetric=bool(self.passphrase),
            **self.form,
        )


class Recipients(Access):
    """Who a message is encrypted to."""

    async def _sealing(
        self,
        uid: Uids,
        signers: Uids | None,
        *,
        to_keys: bool = True,
        hidden: bool | Uids = False,
        trust: str | None = None,
        passphrase: str | None = None,
        **form: bool,
    ) -> Sealing:
        """Find out how a message is to be encrypted.

        Args:
            uid: to whom.
            to_keys: False: to the passphrase alone.
            signers: whose keys sign it; None: nobody's.
            hidden, trust, passphrase: as for ``encrypt``.
            form: its ``armor``, ``compress`` and ``ocb``.
        """
        if form.get("ocb"):
            (await probe(self._engine.executable)).require("ocb")
        secret, model = optional_passphrase(passphrase).encode(), checked_trust(trust)
        if not secret and (passphrase is not None or not to_keys):
            raise ValueError("name the passphrase that shall open the message; it cannot be empty")
        if signers is not None and len(secret) > LONGEST_PASSPHRASE:
            # It goes to gpg as an answer then, beside that of the keys, and gpg takes it for wrong.
            raise ValueError(
                f"a passphrase of more than {LONGEST_PASSPHRASE} bytes opens no message that is "
                "signed: take a shorter one, or sign=False"
            )
        uids = check_uids(uid) if to_keys else []
        if trust == "web":
            await self._require_trusted(uids)
        unnamed = await self._hidden(uids, hidden)
        named = [] if signers is None else await self._names(signers, "signer")
        return Sealing(uids, unnamed, named, secret, {"trust": model, **form})

    async def _hidden(self, uids: Sequence[str], hidden: bool | Uids) -> Collection[str]:
        """Return those recipients that the message does not name, by whatever name they are here.

        Raises:
            ValueError: one that shall be hidden is no recipient.
        """
        if isinstance(hidden, bool):
            return uids if hidden else ()
        names = {uid: (await self._able(uid)).fingerprint for uid in uids}
        asked = {uid: (await self._able(uid)).fingerprint for uid in check_uids(hidden)}
        for uid, name in asked.items():
            if name not in names.values():
                raise ValueError(f"{uid} shall be hidden, and is no recipient")
        return [uid for uid in uids if names[uid] in asked.values()]

    async def _able(self, uid: str) -> Key:
        if not uid or classify(uid).kind is NameForm.FINGERPRINT:
            return await self._key(uid)
        return await self._table.usable(uid, Capability.ENCRYPT)

    async def _encrypt(self, call: Call, sealing: Sealing) -> Reply:
        """Encrypt what goes in."""
        signers, secret = sealing.signers, sealing.passphrase
        of_keys = await self._agent_passphrase() if signers else None
        if of_keys is not None and secret:
            call = replace(call, answer=passphrase_answers(of_keys, secret))
        else:
            call = replace(call, passphrase=secret or of_keys)
        recipients, placeholders = await self._recipients(sealing.uids)
        call = replace(call, options=sealing.options(recipients, placeholders))
        judge = _wants("END_ENCRYPTION", "encrypt", ", ".join(recipients), len(signers))
        naming = partial(self._name_placeholder_recipients, sealing)
        if not signers:
            return await self._run(call, judge, naming)
        return await self._run(call, judge, self._take_over_keys, naming, self._explain(signers))

    async def _name_placeholder_recipients(
        self,
        sealing: Sealing,
        call: Call,
        reply: Reply | None,
        error: GnuPGError | None,
    ) -> Call | None:
        """Remedy: name recipients without user ids by their subkeys.

        gpg refuses a key without user ids, in the words that it has for one that is not there or
        cannot be used. Where a fingerprint was a subkey's, the look-up sees that no other key has
        it too.
        """
        uids = sealing.uids
        terms = [classify(uid) for uid in uids if uid and not is_exact(uid)]
        named = {term.value for term in terms if term.kind is NameForm.FINGERPRINT}
        if isinstance(error, KeyNotFound | UnusableKey):
            another_try = await self._look_up(uids)
            await self._require_usable(uids, reply)
        elif error is None and (reply is None or not named <= outcome.keys_considered(reply)):
            another_try = await self._look_up(uids)
        else:
            another_try = False
        if not another_try:
            return None
        return replace(call, options=sealing.options(*await self._recipients(uids, sure=True)))

    async def _require_usable(self, uids: Iterable[str], reply: Reply | None) -> None:
        """Say what is wrong with a recipient's key that gpg refused, where something is."""
        for uid in uids:
            name = uid or await self._own()
            await self._require_able(name, Capability.ENCRYPT, "encrypt to", reply)

    async def _require_trusted(self, uids: Iterable[str]) -> None:
        """Let recipients pass whose user ids are held to be theirs.

        gpg is given the key, and would take any of its user ids for that; its owner can claim each.
        """
        for uid in filter(None, uids):
            if classify(uid).kind in (NameForm.FINGERPRINT, NameForm.KEY_ID):
                continue
            key = await self._table.usable(uid, Capability.ENCRYPT)
            found = validity_of(key, uid)
            if found not in TRUSTED:
                raise UnusableKey(
                    f"cannot encrypt to {key.fingerprint}: that it is {uid}'s is {found.value}",
                    hint="compare its fingerprint with its owner, then certify it",
                )

    async def _look_up(self, uids: Iterable[str]) -> bool:
        """Look up the recipients that were not yet; return whether one of those has no user ids.

        Raises:
            AmbiguousKey: a fingerprint is that of a subkey which several keys have; gpg would take
                the first of them, and that may be a stranger's which has adopted it.
        """
        found: list[Key] = []
        for uid in uids:
            if not uid or self._table.known(uid) is not None:
                continue
            keys = await self._table.find(uid)
            if classify(uid).kind is NameForm.FINGERPRINT and not is_exact(uid) and keys:
                the_one(keys, uid)
            found += keys
        return any(map(is_placeholder_key, found))

    async def _recipients(
        self, uids: Iterable[str], *, sure: bool = False
    ) -> tuple[list[str], bool]:
        """Return what gpg is to encrypt to, and whether one of these has no user ids.

        A fingerprint that is not known counts as one of a key with user ids, unless ``sure``: then
        it is looked up.
        """
        if any_disabled(self._engine.home.path):
            # By an address they are no candidates; by a fingerprint gpg would take them.
            named = [uid for uid in uids if classify(uid).kind is NameForm.FINGERPRINT or not uid]
            await self._require_usable(named, None)
        found = [await self._recipient(one, sure) for one in uids]
        return [name for name, _ in found], any(placeholder for _, placeholder in found)

    async def _recipient(self, uid: str, sure: bool) -> tuple[str, bool]:
        """Return a fingerprint, with ``!`` for exactly that part; and whether it has no user id."""
        if not uid:
            return await self._own(), False
        kind, value = classify(uid)
        if kind is NameForm.FINGERPRINT:
            key = self._table.known(uid)
            if key is None and sure:
                # Somebody wrote the keyring, or the second is over in which the key was made.
                found = await self._table.find(uid)
                key = found[0] if len(found) == 1 else None
        else:
            key = await self._table.usable(uid, Capability.ENCRYPT)
            value = key.fingerprint
        placeholder = key is not None and is_placeholder_key(key)
        if is_exact(uid):
            return exact_name(key, uid) if key else f"{value}!", placeholder
        if key is None or not placeholder:
            return value, False
        subkey = encryption_key(key)
        if not subkey:
            await self._require_able(key.fingerprint, Capability.ENCRYPT, "encrypt to")
        return f"{subkey}!", True
