"""Escape sequences in names must not reach a terminal by way of an error or a listing."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest

from tests.instances import PlainGpg
from tiny_gnupg import GnuPG, GnuPGError

ESCAPES = "\x1b[2J\x1b]0;owned\x07 \u202egnp.exe \x9b31m\r forged line"
NAME = f"Mallory {ESCAPES}\ngpg: Good signature from Bob <mallory@example.org>"


def harmless(text: str) -> bool:
    """Return whether a terminal would show each character as it stands, and no line is forged."""
    return all(char.isprintable() or char in "\n\t" for char in text)


async def with_mallory(gpg: GnuPG, plain: PlainGpg) -> str:
    fingerprint = plain.new_key(NAME, algorithm="ed25519", usage="sign")
    await gpg.text_import(plain.run("--export").stdout)
    return fingerprint


async def test_in_errors(alice: GnuPG, plain_gpg: Callable[..., PlainGpg]) -> None:
    plain = plain_gpg()
    mallory = await with_mallory(alice, plain)
    signed = plain.run("--detach-sign", stdin=b"text").stdout
    await alice.trust(mallory, 2)
    calls = (
        lambda: alice.encrypt("text", mallory),
        lambda: alice.encrypt("text", f"no {ESCAPES}"),
        lambda: alice.verify(b"other text", signed),
        lambda: alice.sign("text", mallory),
        lambda: alice.revoke_uid("", NAME),
        lambda: alice.read_output(alice.command(f"--{ESCAPES}")),
        lambda: alice.text_import(NAME),
    )
    for call in calls:
        with pytest.raises(GnuPGError) as caught:
            await call()
        error = caught.value
        shown = [str(error), error.diagnostics(), error.stderr, *traceback.format_exception(error)]
        shown.append(repr(error))
        assert all(map(harmless, shown)), shown
        assert not any(line.startswith("gpg: Good signature") for line in shown[0].splitlines())


async def test_in_listings(alice: GnuPG, plain_gpg: Callable[..., PlainGpg]) -> None:
    mallory = await with_mallory(alice, plain_gpg())
    listing = await alice.raw_list_keys(mallory)
    assert "Mallory" in listing
    assert harmless(listing)
    (key,) = await alice.keys(mallory)
    assert harmless(repr(key))
    assert harmless(repr(await alice.list_keys(mallory)))
    assert all(harmless(address) for address in (await alice.list_keys(mallory)).values())


async def test_in_packets(alice: GnuPG, plain_gpg: Callable[..., PlainGpg]) -> None:
    plain = plain_gpg()
    await with_mallory(alice, plain)
    block = plain.run("--export").stdout
    assert harmless(await alice.raw_packets(block))
    assert harmless(repr(await alice.packets(block)))
    stored = plain.run("--set-filename", ESCAPES, "--store", stdin=b"text").stdout
    assert harmless(await alice.raw_packets(stored))


async def test_in_the_log(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await with_mallory(alice, plain_gpg())
    with pytest.raises(GnuPGError):
        await alice.encrypt("text", f"no {ESCAPES}")
    assert caplog.messages
    assert all(map(harmless, caplog.messages))
