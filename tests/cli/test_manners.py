"""How the command line speaks: exit codes, its own words, channels and locales."""

from __future__ import annotations

import ast
import json
import os
import re
import select
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import tiny_gnupg
from tests.command_line import CHECKOUT, PROGRAM, Run, done
from tiny_gnupg.cli.main import parser
from tiny_gnupg.cli.terminal import WORDS, in_words

PACKAGE = Path(tiny_gnupg.__file__).parent
#: An argument or a call of Python's, in a sentence.
PYTHONS = re.compile(
    r"\b[a-z_]+=(?=$|[\s,;)]|\.\.)|\bawait (?!gpg\.)|\bverify\(|\b(?:tor_port|text_import)\b"
)
#: What no command leads to: other interfaces of the package, and settings that it does not take.
ELSEWHERE = {"sop", "mail", "cli", "custom.py", "sync.py", "tasks.py"}
UNREACHED = ("leave out protection=, or say ", ", fingerprint=", "scrypt with n=", ", r=", ", p=")


def sentences() -> list[str]:
    """Return what the library may say to a person: its texts with a blank, and no docstring."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        if ELSEWHERE & set(path.relative_to(PACKAGE).parts):
            continue
        tree = ast.parse(path.read_text())
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        found += [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            if id(node) not in docstrings and " " in node.value
        ]
    return found


def test_no_message_speaks_of_pythons_arguments() -> None:
    said = [text for text in sentences() if PYTHONS.search(text) and text not in UNREACHED]

    assert len(said) > 10
    calls = [text for text in said if text.endswith("await set_expire(")]
    assert [text for text in said if PYTHONS.search(in_words(text))] == calls


@pytest.mark.parametrize(
    ("call", "command"),
    [
        ("await set_expire('AB12', '2y') renews it", "renew AB12 2y"),
        (
            "await set_expire('AB12', '2y', subkeys=['CD34']) renews it",
            "renew AB12 2y --subkey CD34",
        ),
        ("restore('/a b/gpghome') in the second one brings its keys", "restore '/a b/gpghome'"),
    ],
)
def test_a_call_is_told_as_the_command_that_makes_it(call: str, command: str) -> None:
    told = in_words(call)

    assert told.startswith(f"tiny-gnupg {command} ")
    assert parser().parse_args(shlex.split(command)).run


def test_each_word_that_is_changed_is_one_that_the_library_says() -> None:
    said = "\n".join(sentences())

    assert [word for word in WORDS if word not in said] == []


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["gen-key", "--name", "Al", "--expires", "soon"], "expires is like 3y"),
        (["keys", "--expiring", "soon"], "--expiring is like 3y"),
        (["rotate", "alice@example.org", "--overlap", "soon"], "--overlap is like 3y"),
        (["gen-key", "--name", "a\nb"], "--name holds a tab or line end"),
        (["gen-key", "--name", "Zo\udceb"], "--name holds bytes that are no UTF-8"),
        (["find", "--tor-port", "99999", "alice@example.org"], "--tor-port is no TCP port"),
        (["find", "--keyserver", "nonsense", "alice@example.org"], "no keyserver's URL"),
        (["decrypt", "{file}"], "ends in none of .gpg, .pgp, .asc: say --output"),
        (["decrypt", "--signer", "alice", "-o", "-", "{file}"], "whole address"),
        (["decrypt", "--json", "-o", "-", "{file}"], "--json writes to standard output"),
    ],
)
def test_wrong_use_ends_with_2_and_says_what_is_right(
    cli: Run, tmp_path: Path, command: list[str], told: str
) -> None:
    file = tmp_path / "file"
    file.write_text("-----BEGIN PGP MESSAGE-----")

    result = cli(*(word.format(file=file) for word in command))

    assert done(result, 2) == b""
    assert told in result.stderr.decode()
    assert list(tmp_path.iterdir()) == [file]


def test_bash_completes_commands_options_and_choices(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "script").write_bytes(done(cli("completion")))
    for typed, wanted in {
        "tiny-gnupg re": {"renew", "revoke", "restore", "refresh"},
        "tiny-gnupg revoke --rea": {"--reason"},
        "tiny-gnupg revoke --reason comp": {"compromised"},
        "tiny-gnupg encrypt --rec": {"--recipient"},
        "tiny-gnupg sign letter": set(),
    }.items():
        words = typed.split()
        line = (
            f"source {tmp_path}/script; COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; "
            'COMPREPLY=(); _tiny_gnupg; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        shown = subprocess.run(["bash", "-c", line], capture_output=True, check=True, text=True)
        assert set(shown.stdout.split()) == wanted


def test_a_file_that_is_not_there_is_named(cli: Run, tmp_path: Path) -> None:
    for command in ("decrypt", "import", "verify"):
        result = cli(command, str(tmp_path / "missing"))

        assert done(result, 1) == b""
        assert (
            result.stderr.decode() == f"tiny-gnupg: {tmp_path}/missing: No such file or directory\n"
        )


def test_what_nothing_is_found_by_is_no_key_that_is_not_there(cli: Run) -> None:
    for query in ("", "nonsense"):
        result = cli("find", query)

        assert done(result, 4) == b""
        assert b"no key for" not in result.stderr


def test_of_several_keys_each_is_listed(cli: Run, fingerprint: str) -> None:
    other = done(cli("gen-key", "--email", "alice@example.org")).decode().strip()

    for command in (
        ["sign"],
        ["encrypt", "-r", "alice@example.org"],
        ["export", "alice@example.org"],
    ):
        told = cli(*command, stdin=b"x")
        facts = json.loads(done(cli(*command, "--json", stdin=b"x"), 4))

        assert done(told, 4) == b""
        assert set(told.stderr.decode().splitlines()[1:]) == {f"  {fingerprint}", f"  {other}"}
        assert set(facts["candidates"]) == {fingerprint, other}


def test_a_detached_signature_alone_is_told_from_a_bad_one(
    cli: Run, fingerprint: str, tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("x")
    done(cli("sign", str(tmp_path / "data")))

    for command in ("verify", "decrypt"):  # which would write the data again
        result = cli(command, str(tmp_path / "data.asc"))

        assert done(result, 1) == b""
        assert b"give the data first: tiny-gnupg verify DATA SIGNATURE" in result.stderr

    swapped = cli("verify", str(tmp_path / "data.asc"), str(tmp_path / "data"))
    assert done(swapped, 3) == b""
    assert b"the data comes first: tiny-gnupg verify DATA SIGNATURE" in swapped.stderr


def test_a_file_that_is_not_there_is_told_before_a_passphrase_is_asked_for(
    home: Path, tmp_path: Path
) -> None:
    for command in ("encrypt -r alice@example.org", "symmetric", "decrypt", "sign", "restore"):
        result = shell(f"setsid --wait $T {command} {tmp_path}/missing", home)

        assert done(result, 1) == b""
        assert result.stderr.startswith(f"tiny-gnupg: {tmp_path}/missing: No such".encode())


def test_who_is_asked_for_what_is_told_its_own_options(home: Path) -> None:
    told = shell("setsid --wait $T passphrase alice@example.org", home)

    assert done(told, 2) == b""
    assert b"--new-passphrase-fd N or --new-passphrase-env NAME" in told.stderr


def test_nothing_is_said_to_replace_a_directory(cli: Run, tmp_path: Path) -> None:
    told = cli("backup", str(tmp_path))

    assert done(told, 1) == b""
    assert b"a backup goes into a new directory" in told.stderr
    assert b"--force" not in told.stderr


def shell(line: str, home: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Let a shell run a line, where ``$T`` is the program, in a home."""
    program = " ".join(PROGRAM)
    more = {"T": program, "TINY_GNUPG_HOME": str(home), "PYTHONPATH": str(CHECKOUT), **variables}
    return subprocess.run(
        ["sh", "-c", line], capture_output=True, timeout=60, env=os.environ | more, check=False
    )


def test_a_dash_is_standard_output_be_it_a_pipe_or_a_file(
    cli: Run, fingerprint: str, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "plain").write_bytes(b"\xff\x00 hello")
    encrypt = f"$T encrypt --no-sign -r {fingerprint} -o - plain"
    line = (
        f"cd {tmp_path} && echo before > sealed && {encrypt} >> sealed && {encrypt} | cat > piped"
    )

    assert shell(line, home).stderr == b""

    sealed = (tmp_path / "sealed").read_bytes()
    assert sealed.startswith(b"before\n")
    for message in (sealed.removeprefix(b"before\n"), (tmp_path / "piped").read_bytes()):
        assert done(cli("decrypt", stdin=message)) == b"\xff\x00 hello"


def test_a_reader_that_has_gone_is_no_error_that_is_told(
    cli: Run, fingerprint: str, home: Path
) -> None:
    for command in ("keys", "keys --json", f"export {fingerprint}"):
        # The reader goes before anything is written.
        result = shell(f"{{ sleep 0.2; $T {command} --home {home}; }} | true", home)

        assert result.stderr == b""


@pytest.mark.parametrize(
    "locale",
    [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "ascii"}],
)
def test_a_terminal_that_lacks_a_character_gets_an_escape(
    cli: Run, home: Path, tmp_path: Path, locale: dict[str, str]
) -> None:
    done(cli("gen-key", "--name", "Zoë", "--email", "zoe@example.org"))
    named = os.fsdecode(b"\xff\xc3\xab.txt")
    (tmp_path / named).write_text("x")

    listed = shell("$T keys", home, **locale)
    sealed = shell(
        f"cd {tmp_path} && $T encrypt --no-sign -r zoe@example.org *.txt", home, **locale
    )

    assert (listed.stderr, sealed.stderr) == (b"", b"")
    assert re.search(rb"    Zo(\\xeb|\xc3\xab) <zoe@example.org>\n", listed.stdout)
    assert (tmp_path / f"{named}.gpg").is_file()


def started(home: Path, *arguments: str, **channels: Any) -> subprocess.Popen[bytes]:
    """Start a command in a home whose keys need no passphrase."""
    return subprocess.Popen(
        [*PROGRAM, arguments[0], "--home", str(home), *arguments[1:]], **channels
    )


SEALING = ("encrypt", "-r", "alice@example.org", "--no-sign")


def unwaiting(fd: int) -> int:
    """Let who reads or writes here never wait; return it."""
    os.set_blocking(fd, False)
    return fd


@pytest.mark.parametrize("output", [(), ("-o", "-")])
def test_channels_that_never_wait_lose_nothing(
    cli: Run, fingerprint: str, home: Path, output: tuple[str, ...]
) -> None:
    text = os.urandom(300_000)
    given, taken = os.pipe(), os.pipe()
    with started(home, *SEALING, *output, stdin=unwaiting(given[0]), stdout=unwaiting(taken[1])):
        for fd in (given[0], taken[1]):
            os.close(fd)
        with open(given[1], "wb", buffering=0) as source:
            for start in range(0, len(text), 50_000):
                time.sleep(0.3)  # it has read all that there is
                source.write(text[start : start + 50_000])
        time.sleep(0.5)  # it has written all that fits
        with open(taken[0], "rb") as sink:
            message = sink.read()
    assert done(cli("decrypt", stdin=message)) == text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_end_waits_neither_for_the_writer_nor_for_the_reader(
    cli: Run, fingerprint: str, home: Path, number: signal.Signals
) -> None:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with started(home, *SEALING, **pipes) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(os.urandom(300_000))  # more than fits into what nobody reads
        program.stdin.flush()
        select.select([program.stdout], [], [])
        program.send_signal(number)
        code = program.wait(60)
        message = program.stdout.read()
        program.stdin.close()
    assert code == (130 if number is signal.SIGINT else -number)
    assert message.startswith(b"-----BEGIN PGP MESSAGE-----")
    assert done(cli("decrypt", stdin=message), 5) == b""


@pytest.mark.parametrize("command", [SEALING, ("sign",), ("sign", "--inline")])
def test_a_writer_that_died_is_told_by_the_size(
    cli: Run, fingerprint: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    text = os.urandom(100_000)
    for size, why in ((100_001, b"ended after 100000 of"), (99_999, b"more than the 99999")):
        for output in ((), ("-o", str(tmp_path / "none"))):
            ended = cli(*command, "--size", str(size), *output, stdin=text)
            assert ended.returncode == 1
            assert why in ended.stderr
            assert cli("decrypt", stdin=ended.stdout).returncode
    assert not list(tmp_path.iterdir())
    made = done(cli(*command, "--size", "100000", stdin=text))
    if command != ("sign",):
        assert done(cli("decrypt", stdin=made)) == text
    wrong = cli(*command, "--size", "1", str(tmp_path), stdin=text)
    assert wrong.returncode == 2


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_a_channel_that_is_closed_is_told(
    cli: Run, fingerprint: str, home: Path, closed: str
) -> None:
    line = shlex.join([*PROGRAM, SEALING[0], "--home", str(home), *SEALING[1:], "-"])
    ended = subprocess.run(
        ["bash", "-c", f"{line} {closed}"], stdin=subprocess.DEVNULL, capture_output=True
    )
    assert ended.returncode == 2
    assert b"put is closed" in ended.stderr
    assert b"Traceback" not in ended.stderr
