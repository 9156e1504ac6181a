"""Plaintext in what is logged, shown or sent home when something fails: errors and reprs."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Awaitable
from typing import cast

import pytest

from tiny_gnupg import GnuPG, NotText

#: No attack succeeds where a gpg waited for the message, or the message flows.
pytestmark = pytest.mark.usefixtures("every_way")

SECRET = "TOP SECRET"
HALF = f"{SECRET} \udc80"


async def told(awaitable: Awaitable[object]) -> str:
    """Return all that an error and those behind it hold."""
    with pytest.raises(NotText) as caught:
        await awaitable
    chain: list[BaseException] = []
    error: BaseException | None = caught.value
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    assert not any(isinstance(one, UnicodeError) for one in chain)
    shown = "".join(traceback.format_exception(caught.value))
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args  # noqa: S301
    return shown + "".join(repr(vars(one)) + repr(one) for one in chain)


async def test_text_that_has_no_utf8(alice: GnuPG) -> None:
    for call in (
        alice.encrypt(HALF, sign=False),
        alice.encrypt("x" * 300_000 + HALF, sign=False),
        alice.encrypt(HALF),
        alice.encrypt_symmetric(HALF, "pw"),
        alice.sign(HALF),
        alice.sign(HALF, detach=True),
        alice.sign(HALF, clear=True),
        alice.verify(HALF, await alice.sign("x", detach=True)),
        anext(alice.encrypt_many([HALF], alice.fingerprint)),
        anext(alice.encrypt_many([HALF], alice.fingerprint, sign=True)),
        alice.read_output(alice.command("--encrypt", "-r", alice.fingerprint), HALF),
    ):
        # The line of this test that fails is part of what a traceback shows.
        assert SECRET not in await told(cast("Awaitable[object]", call))


async def test_a_plaintext_that_is_no_text(alice: GnuPG) -> None:
    data = SECRET.encode() + b" \xff"
    message = (await alice.encrypt(data, sign=False)).decode()
    signed = (await alice.sign(data)).decode()
    found = await alice.decrypt_verify(message)

    async def text() -> str:
        return found.text

    for call in (
        alice.decrypt(message),
        alice.decrypt(signed),
        anext(alice.decrypt_many([message])),
        text(),
    ):
        assert SECRET not in await told(cast("Awaitable[object]", call))
    verified = await alice.verify(signed)
    assert found.data == data == verified.data
    assert SECRET not in repr(found) + repr(verified)
