"""A passphrase in an argument list, an environment, a log, a repr, an error or a file."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.instances import PASSPHRASE, alice_at
from tests.proc import users_of
from tiny_gnupg import BadPassphrase, GnuPG, GnuPGError
from tiny_gnupg._process.find_gpg import agent_program, find_executable

PLAINTEXT = "the plaintext of nobody else's business"
OTHER = "another passphrase, of a message"


@pytest.fixture
def witness(tmp_path: Path) -> tuple[Path, Path]:
    """A gpg that writes down its arguments and its environment, and then goes on as usual."""
    gpg, record = find_executable(), tmp_path / "record"
    agent = agent_program(gpg)
    options = f"--agent-program '{agent}'" if agent else ""
    program = tmp_path / "gpg"
    program.write_text(
        f"#!/bin/sh\ncat /proc/$$/cmdline /proc/$$/environ >> '{record}'\n"
        f"exec '{gpg}' {options} \"$@\"\n"
    )
    program.chmod(0o700)
    return program, record


async def live(gpg: GnuPG, folder: Path) -> list[GnuPGError]:
    """Use an instance for everything that takes a secret; return the errors that came."""
    message = await gpg.encrypt(PLAINTEXT)
    assert await gpg.decrypt(message) == PLAINTEXT
    signed = await gpg.sign(PLAINTEXT)
    await gpg.verify(signed)
    sealed = await gpg.encrypt_symmetric(PLAINTEXT, OTHER)
    assert await gpg.decrypt(sealed, passphrase=OTHER) == PLAINTEXT
    await gpg.file_export(folder, secret=True)
    (folder / "message").write_text(message)
    await gpg.add_uid("", "Alice", "other@example.org")
    await gpg.set_expire("", "2y")
    await gpg.revoke()
    errors = []
    changed = sealed.replace("\n\n", "\n\nAAAA", 1)
    calls: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: gpg.decrypt(sealed, passphrase=OTHER + "!"),
        lambda: gpg.decrypt(changed, passphrase=OTHER),
        lambda: gpg.sign(PLAINTEXT),
        lambda: gpg.decrypt(PLAINTEXT),
    )
    for call in calls:
        with pytest.raises(GnuPGError) as caught:
            await call()
        errors.append(caught.value)
    return errors


def forms(*secrets: str) -> list[bytes]:
    """Return the bytes in which secrets could be found: as text, escaped, quoted."""
    found = [text.encode() for text in secrets]
    found += [repr(text)[1:-1].encode() for text in secrets]
    return found + [text.encode("latin-1", "ignore") for text in secrets]


async def test_nowhere(
    alice: GnuPG, witness: tuple[Path, Path], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    program, record = witness
    caplog.set_level("DEBUG")
    folder = tmp_path / "folder"
    folder.mkdir()
    async with alice_at(Path(alice.home), executable=program) as gpg:
        await gpg.set_fingerprint(alice.email)
        stretched = await gpg.agent_passphrase()
        errors = await live(gpg, folder)
        processes = list(what_processes_know(Path(alice.home)))
        shown = [repr(gpg), str(gpg), *map(str, gpg.command(with_passphrase=True))]
    wanted = forms(PASSPHRASE, stretched, OTHER)
    assert stretched != PASSPHRASE
    assert record.stat().st_size > 1000
    assert processes
    assert caplog.records
    for error in errors:
        shown += [error.diagnostics(), repr(error), *traceback.format_exception(error)]
        shown.append(repr(pickle.loads(pickle.dumps(error)).__dict__))  # noqa: S301
        assert PLAINTEXT not in shown[-1]
    places = {
        "argument lists and environments": record.read_bytes(),
        "agent": b"\n".join(processes),
        "log": "\n".join(map(record_text, caplog.records)).encode(),
        "errors and reprs": "\n".join(shown).encode(),
        **{str(path): path.read_bytes() for path in files(Path(alice.home), folder)},
    }
    assert [
        (place, form) for place, text in places.items() for form in wanted if form in text
    ] == []
    assert PLAINTEXT.encode() not in places["log"]
    assert not any(PLAINTEXT.encode() in path.read_bytes() for path in files(Path(alice.home)))


def record_text(record: object) -> str:
    return repr(vars(record))


def files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file())


def what_processes_know(home: Path) -> Iterator[bytes]:
    """Return the arguments and the environment of the agent of a home."""
    for pid, line in users_of(home).items():
        with suppress(OSError):  # it has just ended
            yield b" ".join(line) + Path(f"/proc/{pid}/environ").read_bytes()


async def test_a_child_gets_no_environment_of_ours(
    alice: GnuPG, witness: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent lives on for a long time, and its environment can be read."""
    program, record = witness
    monkeypatch.setenv("MY_APPLICATION_TOKEN", "token of an application")
    monkeypatch.setenv("GNUPGHOME", "/elsewhere")
    monkeypatch.setenv("GPG_AGENT_INFO", "/elsewhere:1:1")
    async with alice_at(Path(alice.home), executable=program) as gpg:
        await gpg.sign(PLAINTEXT, alice.fingerprint)
    seen = record.read_bytes()
    assert b"HOME=" in seen
    for name in (b"MY_APPLICATION_TOKEN", b"GNUPGHOME", b"GPG_AGENT_INFO"):
        assert name not in seen


async def test_a_wrong_passphrase_is_not_in_its_error(alice: GnuPG) -> None:
    message = await alice.encrypt("text")
    async with alice_at(Path(alice.home), passphrase="a wrong one") as other:
        with pytest.raises(BadPassphrase) as caught:
            await other.decrypt(message)
    told = caught.value.diagnostics() + repr(vars(caught.value))
    assert "a wrong one" not in told


def test_a_refused_passphrase_is_not_in_its_error(home: Path) -> None:
    for passphrase in ("secret\nsecond", "secret\udcff", "secret\0"):
        with pytest.raises(ValueError, match="passphrase") as caught:
            alice_at(home, passphrase=passphrase)
        told = "".join(traceback.format_exception_only(caught.value))
        chain = (caught.value, caught.value.__cause__, caught.value.__context__)
        assert "secret" not in told + repr(chain)
