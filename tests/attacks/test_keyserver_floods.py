"""Answers that are huge, endless or slow; keys with thousands of signatures (CVE-2019-13050)."""

from __future__ import annotations

import resource
from collections.abc import Callable

import pytest

from tests.attacks.conftest import LIAR, Hostile
from tests.instances import PlainGpg
from tests.tor.material import MadeKey
from tiny_gnupg import NetworkError

#: Bytes of an answer that are read, and what a request may cost over that.
LARGEST, SPARE = 2**20, 2**24


def memory() -> int:
    """Return the most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("name", ["huge", "endless", "endless-headers", "not-http"])
async def test_an_answer_without_end(
    hostile: Hostile, made_keys: tuple[MadeKey, MadeKey], name: str
) -> None:
    alice = await hostile.alice(name, max_answer=LARGEST)
    before = memory()
    with pytest.raises(NetworkError) as caught:
        await alice.network_import(made_keys[0].fingerprint)
    assert str(caught.value)
    assert memory() - before < LARGEST + SPARE


@pytest.mark.parametrize("name", ["slow", "silent"])
async def test_an_answer_that_takes_its_time(
    hostile: Hostile, made_keys: tuple[MadeKey, MadeKey], name: str
) -> None:
    """One byte a second is an answer all the time, and none in the end."""
    alice = await hostile.alice(name, total_timeout=1.5)
    with pytest.raises(NetworkError, match="time"):
        await alice.network_import(made_keys[0].fingerprint)


async def test_a_tls_handshake_that_never_ends(hostile: Hostile) -> None:
    """The server takes the connection, and waits for what no client of TLS says."""
    alice = await hostile.alice("silent", total_timeout=1.0)
    for call in (
        lambda: alice.get(f"https://{LIAR}/"),
        lambda: alice.wkd_import("carol@evil.example"),
    ):
        with pytest.raises(NetworkError):
            await call()


async def test_a_key_with_signatures_of_others(
    hostile: Hostile, plain_gpg: Callable[..., PlainGpg]
) -> None:
    """Anybody can add thousands to a key on a server; none of them enters the keyring."""
    plain = plain_gpg()
    carol = plain.new_key("Carol <carol@example.org>", algorithm="ed25519", usage="sign,cert")
    for number in range(3):
        other = plain.new_key(f"S{number} <s{number}@example.org>", algorithm="ed25519")
        plain.run("--yes", "-u", other, "--quick-sign-key", carol)
    (hostile.folder / "flooded").write_bytes(plain.run("--armor", "--export", carol).stdout)
    alice = await hostile.alice("flooded")
    await alice.network_import(carol)
    (key,) = await alice.keys(carol)
    listed = await alice.read_output(alice.command("--with-colons", "--list-sigs", "--", carol))
    signers = {line.split(":")[4] for line in listed.splitlines() if line.startswith("sig:")}
    assert signers == {key.key_id}
