"""Text in, text out; bytes in, bytes out; and nothing between that is nearly the same."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_gnupg.errors import NotText
from tiny_gnupg.gnupg import text
from tiny_gnupg.gnupg.text import as_text, like

#: Characters of every length in UTF-8, and those that other decoders drop or change.
PARTS = ["a", "é", "\u2028", "\ufeff", "𝄞", "\0", "\r\n", "\ud7ff\ue000", "\U0010ffff", " \t\n"]
TEXTS = st.lists(st.sampled_from(PARTS) | st.text(max_size=9), max_size=60).map("".join)


def decoded(data: bytes, piece: int) -> str:
    """Decode as ``as_text`` does, in pieces of so many bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "PIECE", piece)
        return asyncio.run(as_text(data))


@given(TEXTS, st.integers(1, 9))
def test_text_is_the_same_however_it_is_cut(original: str, piece: int) -> None:
    assert decoded(original.encode(), piece) == original


@given(st.binary(max_size=60), st.integers(1, 9))
def test_what_is_no_text_is_said_at_its_place(data: bytes, piece: int) -> None:
    lenient = data.decode(errors="surrogateescape")
    good = re.split("[\udc80-\udcff]", lenient, maxsplit=1)[0]
    if good == lenient:
        assert decoded(data, piece) == lenient
        return
    with pytest.raises(NotText, match=f"byte {len(good.encode())} ") as caught:
        decoded(data, piece)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@pytest.mark.parametrize(
    "data",
    [b"\xff", b"ok\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"a" * 100 + b"\x80"],
    ids=["no lead", "cut off", "surrogate", "overlong", "beyond", "no start"],
)
def test_no_byte_is_replaced(data: bytes) -> None:
    for piece in (1, 2, 3, 1000):
        with pytest.raises(NotText, match="pass the message as bytes"):
            decoded(data, piece)


async def test_the_loop_turns_while_a_long_text_is_read() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    original = "é𝄞 " * text.PIECE
    assert await as_text(original.encode()) == original
    counting.cancel()
    assert turns >= 6, "a text of seven pieces has six places between them"


async def test_data_comes_in_the_type_of_the_message() -> None:
    assert await like("", "é".encode()) == "é"
    assert await like(b"", b"\xff") == b"\xff"
    assert await like("", b"") == ""
    assert await like(b"", b"") == b""
    with pytest.raises(NotText):
        await like("", b"\xff")
