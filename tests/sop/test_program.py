"""Our Stateless OpenPGP program and those of others: what one writes, the other reads."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import sop

from tests.inprocess import Ended, run_here
from tests.openpgp import SEIPD, new
from tiny_gnupg import __version__
from tiny_gnupg._process.find_gpg import find_executable
from tiny_gnupg.sop.program import TinySop

OURS = "tiny-gnupg-sop"
PEERS = ("sqop", "gosop", "pgpainless-cli")
DATA = "Grüße\n\t世界\r\n".encode() + bytes(range(256))
# Paths begin with ./ because gosop stumbles over names of fewer than five characters.
TEXT = "Grüße, 世界\n- a dash\n\nthe end".encode()
CHECKOUT = Path(__file__).parents[2]
PAIRS = [(OURS, OURS), *((OURS, peer) for peer in PEERS), *((peer, OURS) for peer in PEERS)]


class Failed(AssertionError):
    """A program ended with another exit code than 0; the first argument is the code."""


@dataclass(frozen=True)
class Program:
    """A program with the interface, and a folder for its inputs."""

    name: str
    folder: Path

    def __call__(self, *arguments: str, stdin: bytes = b"", **files: bytes) -> bytes:
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        done = (
            self._run_ours(arguments, stdin) if self.name == OURS else self._run(arguments, stdin)
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace")
            raise Failed(done.returncode, f"{self.name} {arguments}: {said}")
        return done.stdout

    def _run_ours(self, arguments: Sequence[str], stdin: bytes) -> Ended:
        with contextlib.chdir(self.folder):
            return run_here(lambda: TinySop().dispatch(arguments), stdin)

    def _run(self, arguments: Sequence[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
        if shutil.which(self.name) is None:
            pytest.skip(f"{self.name} is not installed")
        return subprocess.run(
            [self.name, *arguments],
            input=stdin,
            capture_output=True,
            cwd=self.folder,
            timeout=60,
            check=False,
        )


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Program]:
    """Return a program by its name."""
    numbers = itertools.count()

    def make(name: str) -> Program:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return Program(name, folder)

    return make


@pytest.fixture
def ours(program: Callable[[str], Program]) -> Program:
    """Our own program."""
    return program(OURS)


_made: dict[str, tuple[bytes, bytes]] = {}


def key_of(program: Program) -> tuple[bytes, bytes]:
    """Return the secret key and the certificate that a program made, once a run."""
    if program.name not in _made:
        secret = program("generate-key", f"{program.name} <sop@example.org>")
        _made[program.name] = secret, program("extract-cert", stdin=secret)
    return _made[program.name]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_what_one_encrypts_and_signs_the_other_decrypts_and_verifies(
    one: str, other: str, program: Callable[[str], Program]
) -> None:
    writer, reader = program(one), program(other)
    (key, cert), (secret, public) = key_of(writer), key_of(reader)
    # gosop decrypts into text, and what is none comes out changed.
    data = TEXT if other == "gosop" else DATA

    message = writer(
        *("encrypt", "--sign-with=./key", "./public"), stdin=data, key=key, public=public
    )
    out = "--verify-out" if other == "gosop" else "--verifications-out"
    arguments = ["decrypt", "--verify-with=./cert", f"{out}=./good", "./secret"]
    plain = reader(*arguments, stdin=message, cert=cert, secret=secret)

    assert plain == data
    assert (reader.folder / "good").read_text().count("\n") == 1


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_what_one_signs_the_other_verifies(
    one: str, other: str, program: Callable[[str], Program]
) -> None:
    writer, reader = program(one), program(other)
    key, cert = key_of(writer)

    signature = writer("sign", "./key", stdin=DATA, key=key)

    good = reader("verify", "./sig", "./cert", stdin=DATA, sig=signature, cert=cert)
    assert good.count(b"\n") == 1
    with pytest.raises(Failed):
        reader("verify", "./sig", "./cert", stdin=DATA + b"x")


def test_a_clear_signed_text_comes_back_as_it_was(ours: Program) -> None:
    key, cert = key_of(ours)

    signed = ours("inline-sign", "--as=clearsigned", "key", stdin=TEXT, key=key)

    assert ours("inline-verify", "cert", stdin=signed, cert=cert) == TEXT
    assert ours("inline-detach", "--signatures-out=sigs", stdin=signed) == TEXT
    assert b"BEGIN PGP SIGNATURE" in (ours.folder / "sigs").read_bytes()


@pytest.mark.parametrize("form", ["inline-sign --as=clearsigned", "sign --as=text"])
def test_a_line_that_gpg_would_sign_a_part_of_is_refused(ours: Program, form: str) -> None:
    key, _ = key_of(ours)
    with pytest.raises(Failed) as error:
        ours(*form.split(), "key", stdin=b"x" * 30_000, key=key)
    assert error.value.args[0] == 41  # expected a different type of input


def test_a_signature_of_somebody_else_is_no_signature(ours: Program) -> None:
    key, _ = key_of(ours)
    stranger = ours("extract-cert", stdin=ours("generate-key", "Mallory"))
    signed = ours("inline-sign", "key", stdin=TEXT, key=key)

    with pytest.raises(Failed) as error:
        ours("inline-verify", "cert", stdin=signed, cert=stranger)

    assert error.value.args[0] == 3


def test_a_signature_outside_of_the_times_is_no_signature(ours: Program) -> None:
    key, cert = key_of(ours)
    signature = ours("sign", "key", stdin=TEXT, key=key)

    with pytest.raises(Failed) as error:
        ours(
            *("verify", "--not-after=2001-01-01T00:00:00Z", "sig", "cert"),
            stdin=TEXT,
            sig=signature,
            cert=cert,
        )

    assert error.value.args[0] == 3


def test_a_locked_key_opens_with_its_password_alone(ours: Program) -> None:
    locked = ours("generate-key", "--with-key-password=word", "Locked", word=b"open sesame\n")
    cert = ours("extract-cert", stdin=locked)
    message = ours("encrypt", "cert", stdin=DATA, cert=cert)

    opened = ours("decrypt", "--with-key-password=word", "key", stdin=message, key=locked)
    with pytest.raises(Failed) as error:
        ours("decrypt", "key", stdin=message)

    assert opened == DATA
    assert error.value.args[0] == 67


def test_a_message_to_a_password_opens_with_it_alone(ours: Program) -> None:
    message = ours("encrypt", "--with-password=word", stdin=DATA, word=b"xyzzy")

    assert ours("decrypt", "--with-password=word", stdin=message) == DATA
    with pytest.raises(Failed) as error:
        ours("decrypt", "--with-password=word", stdin=message, word=b"plugh")
    assert error.value.args[0] == 29


@pytest.mark.parametrize("other", [OURS, "sqop"])
def test_a_session_key_that_one_tells_opens_the_message_for_the_other(
    other: str, program: Callable[[str], Program]
) -> None:
    ours, peer = program(OURS), program(other)
    key, cert = key_of(ours)
    for one, two in ((ours, peer), (peer, ours)):
        message = ours("encrypt", "--sign-with=key", "cert", stdin=DATA, key=key, cert=cert)
        assert one("decrypt", "--session-key-out=./out", "./key", stdin=message, key=key) == DATA
        told = (one.folder / "out").read_bytes()
        (one.folder / "out").unlink()
        assert two("decrypt", "--with-session-key=./it", stdin=message, it=told) == DATA
        with pytest.raises(Failed) as error:
            ours("decrypt", "--with-session-key=./it", stdin=message, it=b"9:" + b"00" * 32)
        assert error.value.args[0] == 29


def test_a_message_opens_by_key_and_by_password_and_several_sign_it(ours: Program) -> None:
    key, cert = key_of(ours)
    other = ours("generate-key", "Other <other@example.org>")
    public = ours("extract-cert", stdin=other)
    how = ("--with-password=word", "--sign-with=key", "--sign-with=other", "cert")
    message = ours("encrypt", *how, stdin=DATA, word=b"x", key=key, other=other, cert=cert)
    by = ("--verify-with=cert", "--verify-with=public", "--verifications-out=./v")
    for opening in ("key", "--with-password=word"):
        assert ours("decrypt", *by, opening, stdin=message, public=public) == DATA
        assert len((ours.folder / "v").read_bytes().splitlines()) == 2
        (ours.folder / "v").unlink()


def test_armor_comes_off_and_goes_on_again(ours: Program) -> None:
    _, cert = key_of(ours)

    binary = ours("dearmor", stdin=cert)

    assert binary[0] & 0x80
    assert ours("dearmor", stdin=ours("armor", stdin=binary)) == binary


@pytest.mark.parametrize(
    ("code", "arguments", "stdin"),
    [
        (41, ("extract-cert",), b"nonsense"),
        (41, ("dearmor",), b"nonsense"),
        (19, ("encrypt",), b""),
        (19, ("generate-key",), b""),
        (37, ("encrypt", "--with-password=cert", "--with-password=./cert", "cert"), b""),
        (19, ("decrypt",), b""),
        (53, ("encrypt", "--as=text", "cert"), b"\xff"),
        (79, ("sign", "cert"), b""),
        (29, ("decrypt", "cert"), new(3, b"\x04\x09\x04" + bytes(40)) + SEIPD),
        (29, ("decrypt", "cert"), new(1, b"\x03" + bytes(8) + b"\x19" + bytes(60)) + SEIPD),
    ],
)
def test_what_is_refused_has_the_drafts_exit_code(
    code: int, arguments: tuple[str, ...], stdin: bytes, ours: Program
) -> None:
    _, cert = key_of(ours)

    with pytest.raises(Failed) as error:
        ours(*arguments, stdin=stdin, cert=cert)

    assert error.value.args[0] == code, error.value.args[1]


def test_no_home_is_left_behind(ours: Program, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    command = [sys.executable, "-m", "tiny_gnupg.sop.program", "generate-key", "Alice"]
    environ = os.environ | {"PYTHONPATH": str(CHECKOUT), "TMPDIR": str(folder)}

    made = subprocess.run(command, capture_output=True, env=environ, timeout=60, check=True)

    assert b"PRIVATE KEY BLOCK" in made.stdout
    assert list(folder.iterdir()) == []


def test_version_and_profiles_are_told(ours: Program) -> None:
    assert __version__.encode() in ours("version")
    assert b"GnuPG" in ours("version", "--backend")
    assert b"default" in ours("list-profiles", "generate-key")


def test_several_sign_at_once_in_text_mode(ours: Program) -> None:
    key, cert = key_of(ours)
    other = ours("generate-key", "Second <second@example.org>", "Another name")
    signature = ours("sign", "--as=text", "--micalg-out=hash", "a", "b", stdin=TEXT, a=key, b=other)

    certs = {"a": cert, "b": ours("extract-cert", "--no-armor", stdin=other)}
    good = ours("verify", "sig", "a", "b", stdin=TEXT, sig=signature, **certs)

    assert good.count(b"\n") == 2
    assert (ours.folder / "hash").read_bytes() == b"pgp-sha512"


def test_without_its_framework_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['sop'] = None; import tiny_gnupg.sop.program"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=CHECKOUT
    )
    assert done.stderr.splitlines()[-1].endswith("pip install 'tiny_gnupg[sop]'")


def test_a_signature_that_was_not_looked_at_is_not_called_none(
    ours: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gpg that the system ends says nothing of a signature."""
    key, cert = key_of(ours)
    signature = ours("sign", "key", stdin=DATA, key=key)
    gpg = tmp_path / "gpg"
    gpg.write_text(
        '#!/bin/bash\n[[ " $* " == *" --verify "* ]] && kill -9 $$\n'
        f'exec "{find_executable()}" "$@"\n'
    )
    gpg.chmod(0o755)
    monkeypatch.setenv("TINY_GNUPG_GPG", str(gpg))
    with pytest.raises(Failed) as caught:
        ours("verify", "sig", "cert", stdin=DATA, sig=signature, cert=cert)
    assert caught.value.args[0] != sop.SOPNoSignature.exit_code
    monkeypatch.delenv("TINY_GNUPG_GPG")
    assert ours("verify", "sig", "cert", stdin=DATA, sig=signature, cert=cert)


def test_a_key_that_does_not_sign_is_told_from_one_that_is_protected(ours: Program) -> None:
    key, cert = key_of(ours)
    word = {"word": b"secret"}
    other = ours("generate-key", "--with-key-password=word", "Second <second@example.org>", **word)
    files = {"key": key, "cert": cert, "other": other, "wrong": b"wrong", **word}
    for password, code in ((None, 67), ("wrong", 67)):
        given = [f"--with-key-password={password}"] if password else []
        for call in (
            ("sign", *given, "other"),
            ("sign", *given, "key", "other"),
            ("inline-sign", *given, "other"),
            ("encrypt", *given, "--sign-with=other", "cert"),
        ):
            with pytest.raises(Failed) as caught:
                ours(*call, stdin=DATA, **files)
            assert caught.value.args[0] == code, call
    for call in (("sign", "cert"), ("encrypt", "--sign-with=cert", "cert")):
        with pytest.raises(Failed) as caught:
            ours(*call, stdin=DATA, **files)
        assert caught.value.args[0] == sop.SOPKeyCannotSign().exit_code
    for both in (("key", "other"), ("other", "key")):
        signature = ours("sign", "--with-key-password=word", *both, stdin=DATA, **files)
        certs = {"one": cert, "two": ours("extract-cert", stdin=other)}
        good = ours("verify", "sig", "one", "two", stdin=DATA, sig=signature, **certs)
        assert good.count(b"\n") == 2
