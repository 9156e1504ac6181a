"""Give each parser what nobody thought of, for some minutes: see scripts/fuzz.

Whatever comes in ends in a value or in an error of ours, within SECONDS and MEMORY. What does not
is printed, and makes the exit code 1.
"""

from __future__ import annotations

import ast
import asyncio
import json
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from types import FrameType

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests import openpgp
from tests.vectors.oddities import GROUPS, Material
from tiny_gnupg import GnuPG, GnuPGError
from tiny_gnupg._gpg import imports, outcome, packet_dump, plaintexts, signatures
from tiny_gnupg._gpg.damaged_keys import readings
from tiny_gnupg._gpg.key_names import classify, search_term
from tiny_gnupg._gpg.listings import format_list_keys, parse_colons, unescape_c
from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg._gpg.status import describe, parse_status, read_time
from tiny_gnupg._network.answers import retry_after
from tiny_gnupg._network.domains import ascii_domain
from tiny_gnupg._network.found_keys import found_keys
from tiny_gnupg._openpgp import (
    armor,
    back_signatures,
    faults,
    fingerprints,
    kinds,
    packets,
    placeholders,
    text_mode,
    user_ids,
)
from tiny_gnupg.cli.commands import _key_lines
from tiny_gnupg.cli.main import parser
from tiny_gnupg.cli.terminal import _plain
from tiny_gnupg.errors import printable
from tiny_gnupg.mail import _autocrypt, _mime, autocrypt_key

#: What of the processor one input may take, and how much memory more than the process had before.
SECONDS, MEMORY = 2.0, 1 << 28
ROOT = Path(__file__).parents[1]
ADDRESS, LINE = classify("a@example.org"), parser()


def text(data: bytes) -> str:
    """Return octets as text that holds all of them."""
    return data.decode(errors="surrogateescape")


def answer(data: bytes) -> Reply:
    """Return what a gpg says that writes some octets as its status."""
    code = data[-1] % 3 if data else 0
    return Reply(code, data[:64], data[:64].decode(errors="replace"), parse_status(data), "gpg")


def arguments(data: bytes) -> None:
    """Parse a command line."""
    with suppress(SystemExit), redirect_stderr(StringIO()), redirect_stdout(StringIO()):
        LINE.parse_args(text(data).split("\n"))


def listing(data: bytes) -> None:
    """Read a listing, and show its keys as the command line does."""
    for key in parse_colons(data):
        list(map(printable, _key_lines(key)))
        json.dumps(_plain(key)).encode("utf-8")


def mail(data: bytes) -> None:
    """Take a mail apart."""
    _mime.find(data)
    _mime.content(data)
    autocrypt_key(data)


PARSERS: dict[str, Callable[[bytes], object]] = {
    "armor.dearmor": lambda data: armor.dearmor(data, checksum=True),
    "armor.dearmor(limit)": lambda data: armor.dearmor(data, limit=64),
    "armor.is_clear_signed": armor.is_clear_signed,
    "armor.stands_alone": lambda data: armor.stands_alone(data.splitlines(keepends=True)),
    "text_mode": lambda data: text_mode.in_octets(data, 1 << 20),
    "packets.frame": lambda data: list(packets.cut_keys(packets.frame(data))),
    "packets.inflate": lambda data: packets.inflate(data, 1 << 20),
    "kinds.message_kind": kinds.message_kind,
    "kinds.issuer": kinds.issuer,
    "kinds.may_hold_secret_key": kinds.may_hold_secret_key,
    "kinds.signature_type": kinds.signature_type,
    "faults.damage": faults.damage,
    "faults.foreign": faults.foreign,
    "faults.no_message": faults.no_message,
    "faults.refusals": faults.refusals,
    "fingerprints.key_fingerprint": fingerprints.key_fingerprint,
    "fingerprints.public_part": fingerprints.public_part,
    "fingerprints.recipient": fingerprints.recipient,
    "fingerprints.one_pass_signer": fingerprints.one_pass_signer,
    "fingerprints.signature_issuer": fingerprints.signature_issuer,
    "fingerprints.subpackets": lambda data: list(fingerprints.subpackets(data)),
    "back_signatures.let_in": lambda data: back_signatures.let_in(data, secret=False),
    "placeholders.normalise": placeholders.normalise,
    "placeholders.insert": placeholders.insert_placeholder,
    "placeholders.with": placeholders.with_placeholders,
    "user_ids.address": lambda data: user_ids.address(text(data)),
    "user_ids.split": lambda data: user_ids.split_user_id(text(data)),
    "status": lambda data: list(map(describe, parse_status(data))),
    "status.read_time": lambda data: read_time(text(data)),
    "signatures": lambda data: signatures.verification(answer(data)),
    "plaintexts": lambda data: plaintexts.decryption(answer(data)),
    "imports": lambda data: imports.imported(answer(data)),
    "outcome": lambda data: outcome.failure(answer(data), "do it"),
    "listings": listing,
    "listings.format": lambda data: format_list_keys(text(data)),
    "listings.unescape": lambda data: unescape_c(text(data)),
    "packet_dump": lambda data: packet_dump.parse_list_packets(text(data)),
    "packet_dump.describe": lambda data: packet_dump.describe(data, text(data)),
    "damaged_keys": readings,
    "key_names": lambda data: (classify(text(data)), search_term(text(data))),
    "answers.retry_after": lambda data: retry_after({"Retry-After": text(data)}),
    "domains": lambda data: ascii_domain(text(data)),
    "found_keys": lambda data: found_keys(ADDRESS, data),
    "mail": mail,
    # A mail of one's own: long headers take Python long.
    "mail.canonical": lambda data: _mime.canonical(_mime.parsed(data[:2000])),
    "autocrypt": lambda data: _autocrypt.key_in(text(data), "a@example.org"),
    "autocrypt.small_key": lambda data: _autocrypt.small_key(data, "a@example.org", "F" * 40),
    "command line": arguments,
}


async def made(home: str) -> Material:
    """Make a key and messages."""
    async with GnuPG("A", "a@example.org", homedir=home) as gpg:
        await gpg.gen_key()
        words = {
            "public key": await gpg.text_export(),
            "secret key": await gpg.text_export(secret=True),
            "encrypted": await gpg.encrypt("text", "a@example.org"),
            "to a passphrase": await gpg.encrypt_symmetric("text", "word"),
            "signed": await gpg.sign("text"),
            "detached signature": await gpg.sign("text", detach=True),
        }
        armored = {name: each.encode() for name, each in words.items()}
        binary = {name: armor.dearmor(each) for name, each in armored.items()}
        armored["clear-signed"] = (await gpg.sign("text", clear=True)).encode()
        armored["a listing"] = (await gpg.read_output(gpg.command("--with-colons", "-k"))).encode()
        return Material(armored, binary)


def corpus(material: Material) -> list[bytes]:
    """Return what the mutations begin with: real data, odd data, and what the tests hold."""
    found = {b"", *material.armored.values(), *material.binary.values(), openpgp.SIGNED}
    for group in GROUPS.values():
        with suppress(KeyError):
            found.update(data for _, data in group(material) if len(data) < 1 << 14)
    for path in ROOT.glob("tests/*/test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            value = node.value if isinstance(node, ast.Constant) else None
            if isinstance(value, str):
                found.add(value.encode(errors="surrogatepass"))
            elif isinstance(value, bytes):
                found.add(value)
    return sorted(found)


@st.composite
def octets(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """Draw a seed, and change it here and there; now and then begin with chance alone."""
    data = bytearray(draw(st.one_of(st.sampled_from(seeds), st.binary(max_size=300))))
    chance = draw(st.randoms(use_true_random=True))
    for _ in range(chance.randrange(6)):
        at = chance.randrange(len(data) + 1)
        length = chance.choice((1, 1, 2, 4, 16, 256, 4096))
        change = chance.randrange(7)
        if change == 0:
            data[at : at + length] = chance.randbytes(length)
        elif change == 1:
            del data[at : at + length]
        elif change == 2:
            data[at:at] = data[at : at + length] * chance.choice((1, 2, 64))
        elif change == 3 and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        elif change == 4:
            other = chance.choice(seeds)
            begin = chance.randrange(len(other) + 1)
            data[at:at] = other[begin : begin + chance.choice((8, 256, 1 << 14))]
        elif change == 5:
            data = bytearray(chance.choice((openpgp.compressed, armored))(bytes(data)))
        else:
            data[at : at + 1] = chance.choice(
                (b"\xff", b"\0", b"\n", b"\r", b":", b"%", b"\xff" * 5)
            )
    return bytes(data[: 1 << 18])


def armored(data: bytes) -> bytes:
    """Put armor on."""
    return armor.enarmor(data, "MESSAGE").encode()


class TooSlow(Exception):
    """An input took longer than it may."""


def too_slow(*_: int | FrameType | None) -> None:
    """End what takes too long."""
    raise TooSlow


class Fuzzing:
    """The figures of a run."""

    def __init__(self) -> None:
        self.inputs = self.calls = 0
        self.slowest = (0.0, "", b"")
        self.foreign: Counter[str] = Counter()

    def give(self, name: str, data: bytes) -> None:
        """Give an input to one parser."""
        self.calls += 1
        begun = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            PARSERS[name](data)
        except (GnuPGError, ValueError) as error:
            if isinstance(error, UnicodeError):
                self.found(name, data, error)
        except Exception as error:
            self.found(name, data, error)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        took = time.process_time() - begun
        if took > self.slowest[0]:
            self.slowest = (took, name, data)

    def found(self, name: str, data: bytes, error: Exception) -> None:
        """Print what is no error of ours, once for each parser and error."""
        what = f"{name}: {type(error).__name__}: {error}"
        self.foreign[f"{name}: {type(error).__name__}"] += 1
        if self.foreign[f"{name}: {type(error).__name__}"] == 1:
            print(f"FOREIGN {what}\n  {data[:2000]!r}", flush=True)


def main(minutes: float) -> int:
    """Give inputs for some minutes."""
    with tempfile.TemporaryDirectory(prefix="fz") as folder:
        material = asyncio.run(made(folder))
        for path in Path(folder).glob("private-keys-v1.d/*.key"):
            material.binary[path.name] = path.read_bytes()
    seeds = corpus(material)
    had = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    signal.signal(signal.SIGPROF, too_slow)
    run, end = Fuzzing(), time.monotonic() + 60 * minutes

    @settings(
        max_examples=1000,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(octets(seeds))
    def once(data: bytes) -> None:
        if time.monotonic() < end:
            run.inputs += 1
            for name in PARSERS:
                run.give(name, data)

    while time.monotonic() < end:
        once()
    took, name, data = run.slowest
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    print(
        f"{len(seeds)} seeds, {run.inputs} inputs, {run.calls} calls of {len(PARSERS)} parsers; "
        f"{run.foreign.total()} foreign exceptions; slowest {1000 * took:.0f} ms ({name}, "
        f"{len(data)} octets); most memory {peak >> 20} MiB, {had >> 20} before"
    )
    print(*(f"{count} times {what}" for what, count in run.foreign.items()), sep="\n")
    return 1 if run.foreign else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60))
