"""The one place that starts programs, with real programs at the other end."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proc import children
from tiny_gnupg import BinaryNotFound, CommandFailed, GnuPGTimeout, NotText, OutputTooLarge
from tiny_gnupg._process.pipes import Descriptor
from tiny_gnupg._process.program import OUTPUT, SECOND, Channels, run_program

SH = "/bin/sh"
MIB = 2**20


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No child and no descriptor is left of any run."""
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert children() == set()
    assert len(os.listdir("/proc/self/fd")) <= len(before)


def python(program: str) -> list[str]:
    """Return the command of a Python program."""
    return [sys.executable, "-I", "-S", "-c", program]


# -- what goes in and comes out ------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [None, b"", "", b"x", "é𝄞", bytes(range(256)), bytearray(b"ab"), memoryview(b"ab")]
)
async def test_what_goes_in_comes_out(data: str | bytes | None) -> None:
    done = await run_program(["cat"], Channels(stdin=data))
    expected = data.encode() if isinstance(data, str) else bytes(data or b"")
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")


async def test_much_goes_in_while_much_comes_out() -> None:
    data = os.urandom(MIB) * 16
    assert (await run_program(["cat"], Channels(stdin=data))).stdout == data


async def test_a_child_that_reads_nothing_does_not_stop_us() -> None:
    done = await run_program(["true"], Channels(stdin=b"x" * MIB))
    assert done.returncode == 0


async def test_output_and_errors_are_drained_at_once() -> None:
    noise = "head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero; exit 3"
    done = await run_program([SH, "-c", noise])
    assert (done.returncode, len(done.stdout)) == (3, 1_000_000)
    assert set(done.stderr) <= {0}


async def test_files_are_handed_over_as_they_are(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"from a file")
    with source.open("rb") as reading, target.open("wb") as writing:
        done = await run_program(
            ["cat"], Channels(stdin=Descriptor(reading.fileno()), stdout=writing.fileno())
        )
    assert (done.stdout, target.read_bytes()) == (b"", b"from a file")


async def test_a_second_input_has_a_name_of_its_own() -> None:
    program = [SH, "-c", 'cat "/dev/fd/${1#-&}"; cat', "sh", SECOND]
    done = await run_program(program, Channels(stdin=b" the first", second=b"the second,"))
    assert done.stdout == b"the second, the first"


async def test_an_output_of_its_own_holds_nothing_else() -> None:
    program = [SH, "-c", 'echo told; echo data >"$1"', "sh", OUTPUT]
    done = await run_program(program)
    assert (done.stdout, done.stderr) == (b"data\n", b"told\n")


async def test_passphrase_and_status_have_pipes_of_their_own() -> None:
    program = python(
        "import os, sys\n"
        "at = dict(zip(sys.argv[1::2], map(int, sys.argv[2::2])))\n"
        "os.write(at['--status-fd'], b'[GNUPG:] ' + os.read(at['--passphrase-fd'], 99))\n"
        "assert not {0, 1, 2} & set(at.values())\n"
        "sys.stdout.write(sys.stdin.read())\n"
    )
    words = b"words\xff with anything"
    done = await run_program(program, Channels(stdin=b"data", passphrase=words), slot=len(program))
    assert (done.stdout, done.status) == (b"data", b"[GNUPG:] " + words + b"\n")
    assert b"words" not in " ".join(done.argv).encode()


async def test_a_question_without_an_answer_is_an_error_instead_of_a_wait() -> None:
    program = python(
        "import os, sys\n"
        "at = dict(zip(sys.argv[1::2], map(int, sys.argv[2::2])))\n"
        "os.write(at['--status-fd'], b'[GNUPG:] GET_LINE a.question\\n')\n"
        "os.read(at['--command-fd'], 99)\n"
    )
    with pytest.raises(CommandFailed, match=r"GET_LINE a\.question"):
        await run_program(program, Channels(answer=lambda line: None), slot=len(program))
    assert children() == set()


async def test_a_dialogue_is_answered_line_by_line() -> None:
    program = python(
        "import os, sys\n"
        "at = dict(zip(sys.argv[1::2], map(int, sys.argv[2::2])))\n"
        "for number in range(100):\n"
        "    os.write(at['--status-fd'], b'[GNUPG:] GET_LINE %d' % number)\n"
        "    os.write(at['--status-fd'], b'\\n')\n"
        "    assert os.read(at['--command-fd'], 99) == b'answer %d\\n' % number\n"
    )
    heard = []

    def answer(line: str) -> bytes:
        heard.append(line)
        return b"answer %d\n" % (len(heard) - 1)

    done = await run_program(program, Channels(answer=answer), slot=len(program))
    assert (done.returncode, done.stderr) == (0, b"")
    assert heard == [f"GET_LINE {number}" for number in range(100)]


async def test_arguments_are_taken_literally() -> None:
    odd = ["$HOME", "`id`", "a b", "", "*", "é", "a\nb", "; exit 1"]
    done = await run_program(["printf", "%s\\0", *odd])
    assert done.stdout.decode().split("\0")[:-1] == odd


async def test_a_child_knows_little_of_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "x")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("GNUPGHOME", "/elsewhere")
    shown = (await run_program(["env"])).stdout.decode().splitlines()
    names = {line.partition("=")[0] for line in shown}
    assert "LC_ALL=C.UTF-8" in shown
    assert not names & {"MY_SECRET", "GNUPGHOME", "GPG_TTY", "DISPLAY", "LANG"}
    listed = await run_program([SH, "-c", "ls /proc/self/fd"])
    assert len(listed.stdout.split()) <= 4, "no descriptor but its own three, and that of ls"


async def test_a_child_has_no_terminal() -> None:
    assert (await run_program([SH, "-c", "exec 3</dev/tty"])).returncode != 0


# -- how it ends ---------------------------------------------------------------------------


async def test_a_program_that_is_missing_or_none(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no program")
    for program in ("/nowhere/gpg", str(tmp_path), str(text)):
        with pytest.raises(BinaryNotFound, match=program):
            await run_program([program])


async def test_an_exit_code_is_told_and_not_judged() -> None:
    assert (await run_program([SH, "-c", "exit 7"])).returncode == 7
    assert (await run_program([SH, "-c", "kill -9 $$"])).returncode == -signal.SIGKILL


async def test_a_timeout_ends_even_who_does_not_listen() -> None:
    with pytest.raises(GnuPGTimeout, match=r"0\.1 s"):
        await run_program([SH, "-c", "trap '' TERM; while :; do sleep 0.05; done"], timeout=0.1)
    assert children() == set()


async def test_a_cancellation_ends_the_child_first() -> None:
    for program in ("cat /dev/zero", "sleep 100", "cat; sleep 100"):
        task = asyncio.ensure_future(run_program([SH, "-c", program], Channels(stdin=b"x" * MIB)))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert children() == set()


async def test_a_flood_is_stopped_at_its_bound() -> None:
    with pytest.raises(OutputTooLarge, match="1000 bytes"):
        await run_program(["cat", "/dev/zero"], Channels(max_output=1000))
    assert (
        len(
            (
                await run_program(["head", "-c", "1000", "/dev/zero"], Channels(max_output=1000))
            ).stdout
        )
        == 1000
    )


async def test_a_flood_on_the_other_pipes_is_stopped_too() -> None:
    with pytest.raises(OutputTooLarge):
        await run_program(
            [SH, "-c", "exec cat /dev/zero >&2"], Channels(max_output=1000), timeout=20
        )
    assert children() == set()


async def test_a_descendant_that_keeps_the_pipe_does_not_keep_us() -> None:
    done = await run_program([SH, "-c", "sleep 1000 & echo started $!"])
    started, descendant = done.stdout.split()
    assert (started, done.returncode) == (b"started", 0)
    os.kill(int(descendant), signal.SIGKILL)  # it is there still: nobody waited for it


async def test_output_is_heard_as_it_comes() -> None:
    heard: list[bytes] = []
    # Each line waits until the one before it was heard.
    script = "for n in 1 2 3; do echo $n; read _; done"
    reader, writer = os.pipe()

    def hear(piece: bytes) -> None:
        heard.append(piece)
        os.write(writer, b"\n")

    try:
        done = await run_program(
            [SH, "-c", script], Channels(stdin=Descriptor(reader), hear=hear), timeout=20
        )
    finally:
        os.close(reader)
        os.close(writer)
    assert heard == [b"1\n", b"2\n", b"3\n"]
    assert done.stdout == b"1\n2\n3\n"


async def test_text_without_utf8_is_refused() -> None:
    with pytest.raises(NotText, match="character 1000000 ") as caught:
        await run_program(["cat"], Channels(stdin="x" * 1_000_000 + "\ud800"))
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


async def test_no_room_for_one_more_program_is_said() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(CommandFailed, match="no room") as caught:
            await run_program(["true"])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "ulimit -n" in caught.value.hint
