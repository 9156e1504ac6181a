"""Each method on a key in each state: what it does, what stock gpg finds then, or the error.

A method that refuses has changed nothing; one that does not has done what it says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.instances import PlainGpg, cheap, copied
from tests.leftovers import clean_home
from tiny_gnupg import (
    ExpiredKeySignature,
    GnuPG,
    GnuPGError,
    Key,
    KeyNotFound,
    NoSecretKey,
    RevokedKeySignature,
    Subkey,
    UnusableKey,
)

SVC, PEER = "svc@example.org", "peer@example.org"
STATES = ("good", "expired", "revoked", "disabled", "offline", "public")


def svc_at(home: Path) -> GnuPG:
    return GnuPG("Svc", SVC, homedir=home, protection="gnupg")


@dataclass(frozen=True)
class Ready:
    """Homes that hold the key in each state, a message to it and a signature by it."""

    homes: dict[str, Path]
    fingerprint: str
    message: bytes
    signed: bytes


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    return asyncio.run(_ready(tmp_path_factory.mktemp("states")))


async def _ready(folder: Path) -> Ready:
    homes = {state: folder / state for state in STATES}
    with clean_home() as first, clean_home() as second:
        async with svc_at(cheap(first, "gnupg")) as gpg:
            peer = GnuPG("Peer", PEER, homedir=second, protection="gnupg")
            cheap(second, "gnupg")
            async with peer:
                await peer.gen_key()
                await gpg.text_import(await peer.text_export())
            fingerprint = await gpg.gen_key()
            message, signed = await gpg.encrypt(b"text", sign=False), await gpg.sign(b"text")
            subkeys, public = await gpg.export_subkeys(), await gpg.text_export()
            theirs = await gpg.text_export(PEER)
        copied(first, homes["good"])
    for state in STATES[1:]:
        with clean_home() as home:
            if state in ("offline", "public"):
                cheap(home, "gnupg")
            else:
                copied(homes["good"], home)
            async with svc_at(home) as gpg:
                if state == "expired":
                    await gpg.set_expire(fingerprint, timedelta(seconds=1))
                    await asyncio.sleep(2)
                    assert (await gpg.keys(fingerprint))[0].expired
                elif state == "revoked":
                    await gpg.revoke(fingerprint)
                elif state == "disabled":
                    edit = ("--command-fd", "0", "--edit-key", fingerprint)
                    await gpg.run_command(gpg.command(*edit, manual=True), b"disable\nsave\n")
                else:
                    await gpg.text_import(subkeys if state == "offline" else public)
                    await gpg.text_import(theirs)
            copied(home, homes[state])
    return Ready(homes, fingerprint, message, signed)


Use = Callable[[GnuPG, Ready], Awaitable[object]]
Outcome = type[GnuPGError] | None
U, K = UnusableKey, KeyNotFound
#: What each method raises on a key in each state, in the order above; None: it works.
READING: dict[str, tuple[Use, tuple[Outcome, ...]]] = {
    "encrypt": (
        lambda gpg, it: gpg.encrypt(b"x", it.fingerprint, sign=False),
        (None, U, U, U, None, None),
    ),
    "decrypt": (
        lambda gpg, it: gpg.decrypt(it.message),
        (None, None, None, None, None, NoSecretKey),
    ),
    "sign": (lambda gpg, it: gpg.sign(b"x", it.fingerprint), (None, U, U, None, None, U)),
    "verify": (
        lambda gpg, it: gpg.verify(it.signed, signer=it.fingerprint),
        (None, ExpiredKeySignature, RevokedKeySignature, None, None, None),
    ),
    "export": (lambda gpg, it: gpg.export(it.fingerprint), (None,) * 6),
    "export(secret)": (
        lambda gpg, it: gpg.export(it.fingerprint, secret=True),
        (None, None, None, None, None, K),
    ),
    "export_subkeys": (
        lambda gpg, it: gpg.export_subkeys(it.fingerprint),
        (None, None, None, None, None, K),
    ),
    "key_trust": (lambda gpg, it: gpg.key_trust(it.fingerprint), (None,) * 6),
}


@dataclass(frozen=True)
class Listed:
    """The key, and the peer's, as stock gpg lists them."""

    lines: tuple[str, ...]
    peer: tuple[str, ...]

    @classmethod
    def of(cls, plain: PlainGpg, fingerprint: str) -> Listed:
        how = ("--with-colons", "--with-secret", "--check-sigs")
        both = (
            plain.run(*how, name, check=False).stdout.decode().split("\n")
            for name in (fingerprint, PEER)
        )
        return cls(*(tuple(one for one in each if one[:3] not in ("", "tru")) for each in both))

    def fields(self, kind: str, number: int, of: str = "lines") -> list[str]:
        """Return a field of each record of a kind, by its number in doc/DETAILS."""
        records = (line.split(":") for line in getattr(self, of))
        return [record[number - 1] for record in records if record[0] == kind]


def two_years(listed: Listed) -> bool:
    end = datetime.fromtimestamp(int(listed.fields("pub", 7)[0]), UTC)
    return abs(end - datetime.now(UTC) - timedelta(days=730)) < timedelta(days=2)


def opens(plain: PlainGpg, words: str) -> bool:
    """Return whether a passphrase opens the secret key, for stock gpg."""
    exporting = PlainGpg(plain.home, words).run("--export-secret-keys", SVC, check=False)
    return exporting.returncode == 0 and bool(exporting.stdout)


SOON = "new words"
#: The same, and what stock gpg finds then: of a listing before and after.
Found = Callable[[Listed, Listed, PlainGpg], bool]
CHANGING: dict[str, tuple[Use, Found, tuple[Outcome, ...]]] = {
    "certify": (
        lambda gpg, it: gpg.certify(PEER, it.fingerprint),
        lambda before, after, _: (
            after.fields("pub", 5)[0] in after.fields("sig", 5, "peer")
            and len(after.peer) == len(before.peer) + 1
        ),
        (None, U, U, None, U, U),
    ),
    "set_expire": (
        lambda gpg, it: gpg.set_expire(it.fingerprint, "2y"),
        lambda _, after, __: two_years(after) and after.fields("pub", 2)[0] != "e",
        (None, None, U, None, U, K),
    ),
    "add_subkey": (
        lambda gpg, it: gpg.add_subkey(it.fingerprint, "sign"),
        lambda before, after, _: len(after.fields("sub", 1)) == len(before.fields("sub", 1)) + 1,
        (None, None, U, None, U, K),
    ),
    "rotate": (
        lambda gpg, it: gpg.rotate(it.fingerprint),
        lambda before, after, _: len(after.fields("sub", 1)) == len(before.fields("sub", 1)) + 2,
        (None, None, U, None, U, K),
    ),
    "add_uid": (
        lambda gpg, it: gpg.add_uid(it.fingerprint, "", "new@example.org"),
        lambda _, after, __: "<new@example.org>" in after.fields("uid", 10),
        (None, None, U, None, U, K),
    ),
    "change_passphrase": (
        lambda gpg, it: gpg.change_passphrase(it.fingerprint, SOON),
        lambda _, __, plain: opens(plain, SOON) and not opens(plain, "another"),
        (None, None, None, None, None, K),
    ),
    "trust": (
        lambda gpg, it: gpg.trust(it.fingerprint, 3),
        lambda _, after, __: after.fields("pub", 9)[0] == "m",
        (None,) * 6,
    ),
    "revoke": (
        lambda gpg, it: gpg.revoke(it.fingerprint),
        lambda _, after, __: after.fields("pub", 2)[0] == "r",
        (None, None, None, None, U, K),
    ),
    "delete(secret_only)": (
        lambda gpg, it: gpg.delete(it.fingerprint, secret_only=True),
        lambda before, after, _: (
            after.fields("pub", 5) == before.fields("pub", 5)
            and "+" not in after.fields("pub", 15) + after.fields("sub", 15)
        ),
        (None, None, None, None, None, K),
    ),
    "delete": (
        lambda gpg, it: gpg.delete(it.fingerprint),
        lambda before, after, _: bool(before.lines) and not after.lines,
        (None,) * 6,
    ),
}


async def agree(gpg: GnuPG, listed: Listed) -> None:
    """See that our listing and stock gpg's tell the same state of each key and subkey."""
    keys = await gpg.keys(SVC)
    parts: list[Key | Subkey] = [*keys, *(subkey for key in keys for subkey in key.subkeys)]
    ours = {part.key_id: part for part in parts}
    for kind in ("pub", "sub"):
        ids, states = listed.fields(kind, 5), listed.fields(kind, 2)
        for key_id, state, able in zip(ids, states, listed.fields(kind, 12), strict=True):
            part = ours.pop(key_id)
            assert part.revoked == (state == "r")
            assert part.revoked or part.expired == (state == "e")
            assert getattr(part, "disabled", False) == ("D" in able)
    assert not ours


async def _outcome(call: Awaitable[object], expected: Outcome, what: str) -> None:
    if expected is None:
        await call
        return
    with pytest.raises(GnuPGError) as caught:
        await call
    assert type(caught.value) is expected, what
    assert caught.value.hint, what


@pytest.mark.parametrize("state", STATES)
async def test_what_reads_changes_nothing(ready: Ready, state: str) -> None:
    with clean_home() as home:
        plain = PlainGpg(copied(ready.homes[state], home))
        before = Listed.of(plain, ready.fingerprint)
        async with svc_at(home) as gpg:
            await agree(gpg, before)
            for name, (use, outcomes) in READING.items():
                await _outcome(use(gpg, ready), outcomes[STATES.index(state)], name)
            assert Listed.of(plain, ready.fingerprint) == before


@pytest.mark.parametrize("state", STATES)
async def test_what_changes_does_what_it_says_or_nothing(ready: Ready, state: str) -> None:
    for name, (use, found, outcomes) in CHANGING.items():
        expected = outcomes[STATES.index(state)]
        with clean_home() as home:
            plain = PlainGpg(copied(ready.homes[state], home))
            async with svc_at(home) as gpg:
                before = Listed.of(plain, ready.fingerprint)
                await _outcome(use(gpg, ready), expected, name)
                after = Listed.of(plain, ready.fingerprint)
                assert after == before if expected else found(before, after, plain), name
                await agree(gpg, after)
