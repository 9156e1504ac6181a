"""The command line, as scripts and people use it.

What depends on channels of its own (a terminal, a descriptor) runs as a process, the rest here.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.command_line import CHECKOUT, PROGRAM, SECRET, Run, at_a_terminal, done
from tests.inprocess import run_here
from tests.instances import PlainGpg
from tests.tor.network import free_ports
from tests.tor.processes import keyserver_server
from tests.tor.socks import RecordingProxy
from tiny_gnupg import __version__
from tiny_gnupg._openpgp.armor import dearmor
from tiny_gnupg._openpgp.packets import USER_ID, write
from tiny_gnupg.cli.main import EXAMPLES, main, parser
from tiny_gnupg.cli.terminal import _plain
from tiny_gnupg.results import Signature, SignatureStatus


@pytest.mark.parametrize("command", [[], *([name] for name in EXAMPLES)])
def test_help_is_there_for_all_and_offers_no_passphrase_argument(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([*command, "--help"])

    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert len(text) > 200
    assert "--passphrase " not in text


@pytest.mark.parametrize("example", [one for each in EXAMPLES.values() for one in each])
def test_each_example_of_the_help_can_be_typed(example: str) -> None:
    command = shlex.split(example.partition(" <")[0])

    assert parser().parse_args(command).run


def test_a_message_goes_through_pipes_and_comes_back(cli: Run, fingerprint: str) -> None:
    message = bytes(range(256))

    secret = done(cli("encrypt", "-r", "alice@example.org", stdin=message))
    result = cli("decrypt", stdin=secret)

    assert secret.startswith(b"-----BEGIN PGP MESSAGE-----")
    assert done(result) == message
    assert b"GOODSIG " + fingerprint.encode() in result.stderr


def test_files_are_encrypted_and_never_written_over(
    cli: Run, fingerprint: str, tmp_path: Path
) -> None:
    plain, back = tmp_path / "plain", tmp_path / "back"
    plain.write_bytes(b"data" * 1000)

    assert done(cli("encrypt", "-r", fingerprint, str(plain))).decode() == f"{plain}.gpg\n"
    opened = cli("decrypt", "-o", str(back), f"{plain}.gpg")
    assert done(opened).decode() == f"{back}\n"
    assert b"GOODSIG " + fingerprint.encode() in opened.stderr
    refused = cli("decrypt", "-o", str(back), f"{plain}.gpg")

    assert back.read_bytes() == plain.read_bytes()
    assert back.stat().st_mode & 0o777 == 0o600
    assert done(refused, 1) == b""
    told = f"tiny-gnupg: {back}: there is such a file already (--force replaces it)\n"
    assert refused.stderr.decode() == told
    again = cli("decrypt", "--force", "--json", "-o", str(back), f"{plain}.gpg")
    facts = json.loads(done(again))
    assert (facts["output"], facts["encrypted"], again.stderr) == (str(back), True, b"")
    assert [one["primary_fingerprint"] for one in facts["signatures"]] == [fingerprint]
    done(cli("encrypt", "--no-sign", "--force", "-r", fingerprint, str(plain)))
    unsigned = cli("decrypt", "--force", "-o", str(back), f"{plain}.gpg")
    assert (done(unsigned).decode(), unsigned.stderr) == (f"{back}\n", b"not signed\n")


def test_signatures_are_told_by_exit_code(cli: Run, fingerprint: str, tmp_path: Path) -> None:
    data, signature = tmp_path / "data", tmp_path / "data.asc"
    data.write_text("I owe you ten.")
    done(cli("sign", str(data)))

    facts = json.loads(done(cli("verify", "--json", str(data), str(signature))))
    assert facts["signatures"][0]["primary_fingerprint"] == fingerprint
    assert facts["signatures"][0]["hash"] == "SHA512"
    data.write_text("I owe you a hundred.")
    error = json.loads(done(cli("verify", "--json", str(data), str(signature)), 3))
    assert error["error"] == "BadSignature"


@pytest.mark.parametrize("form", ["--inline", "--clear"])
def test_a_signed_text_is_verified_from_a_pipe(cli: Run, fingerprint: str, form: str) -> None:
    signed = done(cli("sign", form, stdin=b"hello\n"))

    assert fingerprint.encode() in done(cli("verify", "-", stdin=signed))


def test_a_text_that_gpg_would_sign_a_part_of_is_refused(
    cli: Run, fingerprint: str, tmp_path: Path
) -> None:
    text = tmp_path / "text"
    text.write_bytes(b"x" * 30_000)
    for result in (
        cli("sign", "--clear", stdin=text.read_bytes()),
        cli("sign", "--clear", str(text)),
    ):
        assert b"cannot be clear-signed" in result.stderr
        assert (result.returncode, result.stdout) == (2, b"")
    assert list(tmp_path.iterdir()) == [text]


def test_a_key_goes_to_another_home(cli: Run, fingerprint: str, other_home: Path) -> None:
    secret = done(cli("export", "--secret", fingerprint))
    message = done(cli("encrypt", "-r", fingerprint, stdin=b"to my other computer"))

    assert done(cli("import", stdin=secret, at=other_home)).decode().strip() == fingerprint
    assert done(cli("decrypt", stdin=message, at=other_home)) == b"to my other computer"
    listed = json.loads(done(cli("keys", "--json", "--secret", at=other_home)))
    assert [key["fingerprint"] for key in listed["keys"]] == [fingerprint]


def test_a_user_id_that_nobody_signed_is_shown_as_one(
    cli: Run, fingerprint: str, home: Path
) -> None:
    block = done(cli("export", fingerprint)).decode()
    added = dearmor(block.encode()) + write(USER_ID, b"Victim <victim@example.org>")
    PlainGpg(home).run("--allow-non-selfsigned-uid", "--import", stdin=added)

    shown = done(cli("keys", fingerprint)).decode().splitlines()[1:]

    assert sorted(line.strip() for line in shown if "@" in line) == [
        "(not signed) Victim <victim@example.org>",
        "Alice <alice@example.org>",
    ]


def test_errors_have_codes_and_say_what_to_do(cli: Run, fingerprint: str) -> None:
    message = done(cli("encrypt", "-r", fingerprint, stdin=b"x"))
    missing = cli("encrypt", "-r", "nobody@example.org", stdin=b"x")
    wrong = cli("decrypt", stdin=message, secret="a guess")

    assert done(missing, 4) == b""
    assert b"import the key first" in missing.stderr
    assert done(wrong, 5) == b""
    assert b"Traceback" not in missing.stderr + wrong.stderr
    assert done(cli("keys", "nobody@example.org"), 4) == b"no keys\n"
    assert done(cli("encrypt", stdin=b"x"), 2) == b""
    assert done(cli("keys", "--gpg", "/nonexistent"), 7) == b""


def test_a_passphrase_comes_by_a_descriptor(cli: Run, fingerprint: str) -> None:
    message = done(cli("encrypt", "-r", fingerprint, stdin=b"hello"))
    reader, writer = os.pipe()
    os.write(writer, SECRET.encode() + b"\n")
    os.close(writer)
    home = cli("doctor", "--offline", "--json")
    where = json.loads(done(home))["findings"][1]["found"].split(",")[0]
    try:
        plain = subprocess.run(
            [*PROGRAM, "decrypt", "--passphrase-fd", str(reader), "--home", where],
            input=message,
            capture_output=True,
            cwd=CHECKOUT,
            pass_fds=[reader],
            timeout=60,
            check=False,
        )
    finally:
        os.close(reader)

    assert done(plain) == b"hello"


def test_without_a_terminal_nobody_is_asked(fingerprint: str, home: Path) -> None:
    # A session of its own has no terminal; the message on standard input stays a message.
    command = [*PROGRAM, "sign", "--home", str(home)]
    result = subprocess.run(
        command,
        input=b"not a passphrase\n",
        capture_output=True,
        cwd=CHECKOUT,
        start_new_session=True,
        timeout=60,
        check=False,
    )

    assert done(result, 2) == b""
    assert b"--passphrase-fd" in result.stderr


def test_on_a_terminal_a_person_is_asked_and_sees_progress(home: Path, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        for _ in range(4):
            file.write(os.urandom(2**20))
    where = ["--home", str(home)]

    made = at_a_terminal("gen-key", *where, "--name", "Alice", typed=[f"{SECRET}\n"] * 2)
    sealed = at_a_terminal("encrypt", *where, "-r", "Alice", str(big), typed=[f"{SECRET}\n"])
    message = tmp_path / "big.gpg"
    os.truncate(message, message.stat().st_size - 100)
    refused = at_a_terminal(
        "decrypt", *where, "-o", str(tmp_path / "b"), str(message), typed=[f"{SECRET}\n"], code=5
    )

    assert SECRET not in made + sealed + refused
    assert "Once more" in made
    assert "encrypting [" in sealed
    assert "decrypting [" in refused
    # The bar is taken away before the error is told, and nothing is coloured.
    assert re.search(r"\r {70}\rtiny-gnupg: \S", refused)
    assert "\x1b" not in made + sealed + refused


def test_who_has_to_type_the_message_is_told_so(cli: Run, fingerprint: str, home: Path) -> None:
    arguments = ["encrypt", "--home", str(home), "--no-sign", "-r", fingerprint]
    shown = at_a_terminal(*arguments, typed=["hello\n\x04"])

    assert "reading what you type, up to Ctrl-D" in shown
    assert "-----BEGIN PGP MESSAGE-----" in shown


async def test_a_key_is_published_and_found(cli: Run, fingerprint: str, other_home: Path) -> None:
    with keyserver_server() as keyserver:
        async with RecordingProxy({"keys.example": keyserver.port}) as proxy:
            network = ("--tor-port", str(proxy.port), "--keyserver", "http://keys.example")

            async def run(name: str, *arguments: str, **more: object) -> bytes:
                code = int(more.pop("code", 0))  # type: ignore[call-overload]
                result = await asyncio.to_thread(cli, name, *network, *arguments, **more)
                return done(result, code)

            assert b"pending" in await run("publish", fingerprint)
            assert await run("find", "alice@example.org", code=4)
            assert keyserver.confirm_all() == ["alice@example.org"]
            assert fingerprint.encode() in await run("find", "alice@example.org")
            imported = await run("find", "--import", "alice@example.org", at=other_home)
            assert imported.decode().strip() == fingerprint


def test_without_tor_the_code_says_network(cli: Run, home: Path) -> None:
    (port,) = free_ports(1)
    result = cli("find", "--tor-port", str(port), "alice@example.org")

    assert done(result, 6) == b""
    assert b"start Tor" in result.stderr


def test_the_program_runs_as_a_module_and_says_its_version() -> None:
    command = [sys.executable, "-m", "tiny_gnupg", "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, check=True)

    assert shown.stdout == f"tiny_gnupg {__version__}\n"


def test_what_is_no_text_is_written_in_base64_into_json(cli: Run, fingerprint: str) -> None:
    message = done(cli("encrypt", "-r", fingerprint, stdin=b"\xff\x00"))

    assert json.loads(done(cli("decrypt", "--json", stdin=message)))["base64"] == "/wA="


def test_a_notation_that_is_no_text_is_written_in_base64_into_json() -> None:
    status = SignatureStatus.GOODSIG
    notations = (("salt@example.org", b"\xff\x00"), ("note@example.org", "é"))
    found = Signature(status, "", "", "", "", None, None, None, None, None, notations)
    assert json.loads(json.dumps(_plain(found)))["notations"] == [
        ["salt@example.org", {"base64": "/wA="}],
        ["note@example.org", "é"],
    ]


def test_of_several_keys_the_signer_has_to_be_named(cli: Run, fingerprint: str) -> None:
    other = done(cli("gen-key", "--email", "work@example.org")).decode().strip()

    unnamed = cli("sign", stdin=b"x")
    named = done(cli("sign", "--as", "work@example.org", "--inline", stdin=b"x"))

    assert done(unnamed, 4) == b""
    assert b"--as" in unnamed.stderr
    assert other.encode() in done(cli("verify", "-", stdin=named))


def test_a_detached_signature_covers_what_comes_by_a_pipe(
    cli: Run, fingerprint: str, tmp_path: Path
) -> None:
    signature = tmp_path / "signature"
    done(cli("sign", "-o", str(signature), stdin=b"data"))

    assert fingerprint.encode() in done(cli("verify", "-", str(signature), stdin=b"data"))
    assert done(cli("verify", "-", str(signature), stdin=b"dat"), 3) == b""


def test_a_home_without_a_key_says_how_to_make_one(cli: Run) -> None:
    assert b"gen-key" in cli("sign", stdin=b"x").stderr
    assert done(cli("gen-key"), 2) == b""


def test_a_variable_or_descriptor_that_is_not_there_is_told(home: Path) -> None:
    where = ["sign", "--home", str(home)]
    for how in (["--passphrase-env", "NOT_THERE"], ["--passphrase-fd", "987"]):
        result = run_here(partial(main, [*where, *how]))
        assert done(result, 2) == b""
        assert how[1].encode() in result.stderr


def test_more_than_memory_is_meant_for_flows_between_pipes(
    cli: Run, fingerprint: str, tmp_path: Path
) -> None:
    data = os.urandom(2**22)
    for options in ((), ("--armor",), ("--no-sign",)):
        message = done(cli("encrypt", "-r", fingerprint, *options, stdin=data))
        assert done(cli("decrypt", stdin=message)) == data
        assert done(cli("decrypt", stdin=message[:-100]), 5) == b""
    written = tmp_path / "plain"
    done(cli("decrypt", "-o", str(written), stdin=message[: len(message) // 2]), 5)
    assert not written.exists()
    done(cli("decrypt", "-o", str(written), stdin=message))
    assert written.read_bytes() == data
    assert written.stat().st_mode & 0o777 == 0o600
    assert done(cli("decrypt", "--signer", fingerprint, stdin=message), 3) == b""  # not signed


def test_standard_input_is_one_of_two_and_each_can_be_it(
    cli: Run, fingerprint: str, home: Path, tmp_path: Path
) -> None:
    """That the data was changed would be no true word of data that was not there."""
    data, signature = tmp_path / "data", tmp_path / "signature"
    data.write_bytes(b"text")
    signature.write_bytes(done(cli("sign", stdin=b"text")))
    assert b"not both" in cli("verify", "-", "-", stdin=signature.read_bytes()).stderr
    done(cli("verify", "-", "-", stdin=signature.read_bytes()), 2)
    done(cli("verify", "-", str(signature), stdin=b"text"))
    command = [*PROGRAM, "verify", "--home", str(home), str(data), "-"]
    done(
        subprocess.run(
            command, input=signature.read_bytes(), capture_output=True, cwd=CHECKOUT, check=False
        )
    )


def test_errors_speak_of_what_can_be_typed(cli: Run, fingerprint: str, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_bytes(b"text")
    said = [
        cli("decrypt", str(tmp_path / "letter.txt")).stderr,
        cli("keys", "--gpg", "/nonexistent/gpg").stderr,
        cli("decrypt", stdin=done(cli("sign", stdin=b"text"))).stderr,
        cli("verify", "-", stdin=done(cli("encrypt", "-r", fingerprint, stdin=b"text"))).stderr,
        cli("export", "").stderr,
        cli("import", stdin=b"text").stderr,
        cli("verify", "-", "--json", stdin=b"text").stdout,
        cli("keys", "--gpg", "/nonexistent/gpg", "--json").stdout,
    ]
    for words in said:
        for ours in (b"=", b"await ", b"text_import", b"decrypt_verify", b"as bytes"):
            assert ours not in words, words


def test_no_keyserver_lacks_what_it_was_not_asked_for(cli: Run, home: Path) -> None:
    for nothing in ("x", "", "12345678", "bob@example.org,"):
        for more in ((), ("--import",)):
            ended = cli("find", nothing, *more)
            assert b"no keyserver is asked" in ended.stderr
            done(ended, 4)


def test_signed_text_flows_between_pipes(cli: Run, fingerprint: str) -> None:
    text = b"a line of text\n" * 100_000
    for how in ("--clear", "--inline"):
        signed = done(cli("sign", how, stdin=text))
        assert fingerprint.encode() in done(cli("verify", "-", stdin=signed))
        for wrong in (signed[: len(signed) // 2], b"more\n" + signed):
            refused = cli("verify", "-", stdin=wrong)
            assert refused.returncode in (1, 3)
            assert refused.stdout == b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_was_written_before_an_end_is_no_message(
    cli: Run, fingerprint: str, home: Path, number: signal.Signals
) -> None:
    command = ["encrypt", "--home", str(home), "-r", fingerprint, "--no-sign"]
    process = subprocess.Popen(
        [*PROGRAM, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=CHECKOUT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        process.stdin.write(os.urandom(2**16))
        process.stdin.flush()
        written = process.stdout.read(100)
        process.send_signal(number)
        process.stdin.close()
        written += process.stdout.read()
    assert process.wait(20) != 0
    assert written.startswith(b"-----BEGIN PGP MESSAGE-----")
    assert done(cli("decrypt", stdin=written), 5) == b""
