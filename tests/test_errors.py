"""The error tree: what each also is, what it tells a person, and what it never shows."""

from __future__ import annotations

import builtins
import copy
import pickle
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_gnupg.errors
from tests.replies import reply
from tiny_gnupg.errors import (
    AmbiguousKey,
    BadPassphrase,
    CommandFailed,
    DecryptionFailed,
    GnuPGError,
    KeyNotFound,
    KeyserverError,
    NoSecretKey,
    NotOnKeyserver,
    NotOpenPGP,
    NotSigned,
    NotText,
    SignatureError,
    UnsupportedByGnuPG,
    WrongSigner,
    one_line,
    printable,
)


def every_error(root: type[GnuPGError] = GnuPGError) -> list[type[GnuPGError]]:
    return [root, *(error for kind in root.__subclasses__() for error in every_error(kind))]


def drawn() -> dict[str, tuple[str, list[str]]]:
    """Read the tree in the docstring: each error's parent and the builtins beside it."""
    found: dict[str, tuple[str, list[str]]] = {"GnuPGError": ("Exception", [])}
    above = ["GnuPGError"]
    for line in (tiny_gnupg.errors.__doc__ or "").splitlines():
        if match := re.match(r"    ([│ ]*)[├└]── (\w+) *(.*)", line):
            del above[1 + len(match[1]) // 4 :]
            words = re.findall(r"[\w.]+", match[3])
            builtin = [word for word in words if issubclass(named(word), Exception)]
            found[match[2]] = (above[-1], builtin)
            above.append(match[2])
    return found


def named(word: str) -> type:
    if word == "subprocess.CalledProcessError":
        return subprocess.CalledProcessError
    found = getattr(builtins, word, None)
    return found if isinstance(found, type) else object


def test_the_drawn_tree_is_the_real_one() -> None:
    tree = drawn()
    assert len(tree) > 20
    assert set(tree) == {error.__name__ for error in every_error()}
    for error in every_error():
        parent, builtin = tree[error.__name__]
        bases = {base.__name__ for base in error.__bases__}
        assert parent in bases
        assert all(issubclass(error, named(word)) for word in builtin), error
        beside = bases - {parent}
        assert beside == {named(word).__name__ for word in builtin}, error


@pytest.mark.parametrize("kind", every_error())
def test_every_error_tells_what_happened_and_survives_the_way_home(kind: type[GnuPGError]) -> None:
    error = kind(
        "it broke",
        hint="mend it",
        status=["NODATA 1", "FAILURE gpg 2"],
        returncode=2,
        stderr="gpg: no\ngpg: really",
        command="gpg --list-keys",
    )
    assert str(error) == "it broke (mend it)"
    assert error.args == ("it broke",)
    assert error.diagnostics() == (
        f"{kind.__name__}: it broke\nwhat to do: mend it\ncommand: gpg --list-keys\nexit code: 2\n"
        "status: NODATA 1\nstatus: FAILURE gpg 2\ngpg: no\ngpg: really"
    )
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301
        assert type(other) is kind
        assert other.diagnostics() == error.diagnostics()
        assert (other.status, other.returncode, other.args) == (
            error.status,
            error.returncode,
            error.args,
        )
    with pytest.raises(kind, match="it broke"):
        raise error


@pytest.mark.parametrize("kind", every_error())
def test_an_error_keeps_what_a_reply_told_but_not_its_output(kind: type[GnuPGError]) -> None:
    answer = reply("NODATA 1", "FAILURE gpg 2", code=2, out=b"a plaintext")
    error = kind("it broke", reply=answer)
    assert error.status == ("NODATA 1", "FAILURE gpg 2")
    assert (error.returncode, error.command) == (2, "gpg")
    assert error.stderr == "gpg: what it tells people"
    assert b"a plaintext" not in pickle.dumps(error)


@pytest.mark.parametrize("kind", every_error())
def test_an_error_without_details_is_named(kind: type[GnuPGError]) -> None:
    error = kind()
    assert error.message
    assert error.diagnostics().startswith(f"{kind.__name__}: ")
    assert (error.status, error.returncode, error.stderr, error.command) == ((), None, "", "")
    assert "exit code" not in error.diagnostics()


def test_values_of_their_own() -> None:
    assert KeyNotFound(value="bob@x.org").value == "bob@x.org"
    assert "bob@x.org" in str(KeyNotFound(value="bob@x.org"))
    assert NotOnKeyserver(value="A" * 40).value == "A" * 40
    assert NotSigned("no", value="A" * 16).value == "A" * 16
    assert AmbiguousKey("two", candidates=["A", "B"]).candidates == ("A", "B")
    assert WrongSigner("no", value="A" * 40).value == "A" * 40
    for kind in (SignatureError, KeyNotFound, UnsupportedByGnuPG):
        assert kind("bad", signatures=iter([1, 2])).signatures == (1, 2)
        assert kind().signatures == ()
    answer = KeyserverError("slow down", http_status=429, retry_after=30.0)
    assert (answer.http_status, answer.retry_after) == (429, 30.0)
    failed = CommandFailed("no", returncode=2, command="gpg -k", output=b"out", stderr="err")
    assert (failed.returncode, failed.cmd, failed.output) == (2, "gpg -k", b"out")
    assert (failed.stdout, failed.stderr) == (b"out", "err")
    copied = pickle.loads(pickle.dumps(KeyserverError("x", http_status=500)))  # noqa: S301
    assert copied.http_status == 500


@pytest.mark.parametrize("kind", every_error(SignatureError) + every_error(DecryptionFailed))
def test_no_handler_of_files_swallows_a_forgery(kind: type[GnuPGError]) -> None:
    for error in (kind, BadPassphrase, KeyNotFound, UnsupportedByGnuPG):
        assert not issubclass(error, OSError | ValueError | TypeError | RuntimeError)


def test_what_is_not_here_is_a_lookup_error() -> None:
    for error in (KeyNotFound, NoSecretKey, AmbiguousKey):
        assert issubclass(error, LookupError)


def test_what_is_true_of_an_error_catches_it() -> None:
    with pytest.raises(KeyError):
        raise KeyNotFound(value="x")
    with pytest.raises(LookupError):
        raise AmbiguousKey
    with pytest.raises(subprocess.CalledProcessError):
        raise CommandFailed(returncode=2)
    with pytest.raises(TypeError):
        raise NotOpenPGP
    with pytest.raises(FileNotFoundError):
        raise NotOnKeyserver


def test_text_that_is_not_utf8_is_not_shown() -> None:
    error = NotText.at(7)
    assert "byte 7" in str(error)
    assert "bytes" in error.hint


def test_text_that_has_no_utf8_is_not_shown() -> None:
    assert NotText.encoded("é") == "é".encode()
    with pytest.raises(NotText, match="character 12 ") as caught:
        NotText.encoded("se\ud800", 10)
    assert "bytes" in caught.value.hint
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


EVIL = "Bob \x1b[31m\x07\nstatus: GOODSIG\r\x85\u2028\u202e\udcff"


def test_terminal_escapes_and_line_ends_in_a_user_id_reach_no_terminal() -> None:
    error = KeyNotFound(
        EVIL,
        value=EVIL,
        hint=EVIL,
        status=[f"GOODSIG {EVIL}"],
        stderr=EVIL,
        command=f"gpg '{EVIL}'",
    )
    shown = [str(error), error.diagnostics(), *map(str, error.args), str(KeyNotFound(value=EVIL))]
    for text in shown:
        assert all(char.isprintable() or char == "\n" for char in text)
        assert "\nstatus: GOODSIG\\r" not in text
    lines = error.diagnostics().splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "KeyNotFound",
        "what to do",
        "command",
        "status",
        "gpg",
        "gpg",
    ]
    assert error.value == EVIL


def test_a_message_is_no_longer_than_people_read() -> None:
    error = KeyNotFound(value="y" * 10**6)
    assert error.value == "y" * 10**6
    assert len(str(error)) < 2100
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (again.message, again.value) == (error.message, error.value)
    assert str(GnuPGError("y" * 2000)) == "y" * 2000


@given(st.text(), st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
def test_no_control_character_is_shown(text: str, controls: str) -> None:
    shown = one_line(text + controls)
    assert shown.isprintable()
    assert printable(text + controls).replace("\n", "\\n") == shown
    shown.encode()


@given(st.text(st.characters(categories=["L", "N", "P"])))
def test_what_can_be_shown_is_left_alone(text: str) -> None:
    assert printable(text) == one_line(text) == text
