"""Show that each test of an attack fails against code that has the defect.

``python -m tests.attacks.weaken [ROW ...]`` copies the project to a temporary directory, makes one
small weakening there (text that is replaced, and must be found), runs that row's tests against the
copy, and expects them to fail; the copy without a weakening has to pass before. It prints a table,
and ends with 1 where a test did not notice. It takes some minutes and is no part of a test run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: What a copy consists of; the programs of a staged gpg are linked to.
COPIED = ("tiny_gnupg", "tests", "pyproject.toml", "setup.py")


@dataclass(frozen=True)
class Weakening:
    """One defect: the row of the list of attacks, its test, and what makes the defect."""

    row: int
    name: str
    test: str
    edits: tuple[tuple[str, str], ...]


def weakening(row: int, name: str, test: str, *edits: tuple[str, str]) -> Weakening:
    return Weakening(row, name, f"tests/attacks/test_{test}.py", edits)


WEAKENINGS = (
    weakening(
        1,
        "status lines read from stderr",
        "status_lines_forged_by_a_sender",
        (
            "        self._tell(self.stderr, piece)",
            "        self._tell(self.status, piece)",
        ),
    ),
    weakening(
        1,
        "gpg left verbose",
        "status_lines_forged_by_a_sender",
        ('    "--no-verbose",\n', ""),
    ),
    weakening(
        2,
        "issuer searched in the text of list-packets",
        "issuer_forged_in_a_file_name",
        (
            "        found = await self._engine.work(issuer, _octets(data[:NAMED]))\n",
            "        import re\n        text = await self.raw_packets(target)\n"
            '        fits = re.findall(r"v4 ([0-9A-F]{40})|keyid:? ([0-9A-F]{16})", text)\n'
            '        found = next(("".join(fit) for fit in fits), "")\n',
        ),
    ),
    weakening(
        3,
        "line ends allowed in a passphrase",
        "passphrase_with_a_second_line",
        (r'if any(char in "\0\r\n" for char in text)', "if False"),
    ),
    weakening(
        4,
        "names and addresses unchecked",
        "user_id_with_a_parameter_line",
        ("if not all(char.isprintable()", "if False and not all(char.isprintable()"),
        ('if text.startswith("%")', "if False"),
        ('if any(char in "<>" for char in text)', "if False"),
        (r'if any(char in "\t', r'if False and any(char in "\t'),
    ),
    weakening(
        5,
        "no -- before a uid",
        "uid_taken_for_an_option",
        ('"--", ', ""),
        ('NameForm.TEXT: "*{}"', 'NameForm.TEXT: "{}"'),
    ),
    weakening(
        6,
        "commands run by a shell",
        "uid_read_by_a_shell",
        (
            "                words,\n                stdin=stdin,",
            '                ["/bin/sh", "-c", " ".join(argv)],\n                stdin=stdin,',
        ),
    ),
    weakening(
        7,
        "plaintext given out before its integrity is known",
        "plaintext_of_a_damaged_message",
        (
            "    if not _whole(reply, encrypted",
            "    if False and not _whole(reply, encrypted",
        ),
    ),
    weakening(
        7,
        "what a killed gpg wrote kept in its error",
        "plaintext_of_a_damaged_message",
        (
            "            hint=KILLED_HINT,",
            "            output=reply.stdout,\n            hint=KILLED_HINT,",
        ),
    ),
    weakening(
        8,
        "DECRYPTION_OKAY taken for success",
        "wrong_passphrase_said_to_be_okay",
        (
            "    if not _whole(reply, encrypted, any(not one.good for one in found)):",
            '    if not reply.has("DECRYPTION_OKAY"):',
        ),
    ),
    weakening(
        9,
        "what gpg printed first taken for all",
        "several_plaintexts_in_one_message",
        (
            "    if not _whole(reply, encrypted, any(not one.good for one in found)):",
            '    if not reply.has("PLAINTEXT"):',
        ),
    ),
    weakening(
        10,
        "any signature taken for a detached one",
        "inline_signature_taken_for_a_detached_one",
        ("        if not kind.is_detached_signature:", "        if False:"),
        ('"--verify", "--", signature, data]', '"--verify", "--", signature]'),
    ),
    weakening(
        11,
        "no bad signature taken for a good one",
        "no_signature_taken_for_a_good_one",
        ("    if not found:\n        raise not_signed(reply)\n", ""),
    ),
    weakening(
        12,
        "only the last signature judged",
        "bad_signature_beside_a_good_one",
        ("(one for one in judged if", "(one for one in judged[-1:] if"),
    ),
    weakening(
        12,
        "only the first signature judged",
        "bad_signature_beside_a_good_one",
        ("(one for one in judged if", "(one for one in judged[:1] if"),
    ),
    weakening(
        12,
        "an expired key passed",
        "bad_signature_beside_a_good_one",
        ("    (SignatureStatus.EXPKEYSIG, ", "    (SignatureStatus.NO_PUBKEY, "),
    ),
    weakening(
        12,
        "a stream's signatures not judged",
        "bad_signature_beside_a_good_one",
        ("size, self.signers, True, bound)", "size, self.signers, False, bound)"),
    ),
    weakening(
        13,
        "a part of an address taken for it",
        "another_key_under_the_name",
        (
            "same_address(user_id.email, value)",
            "lower(value) in lower(user_id.text)",
        ),
        ('NameForm.EMAIL: "<{}>"', 'NameForm.EMAIL: "{}"'),
    ),
    weakening(
        13,
        "an address that nobody signed taken for its key's",
        "another_key_under_the_name",
        ("if user_id.signed or user_id.placeholder", "if True"),
    ),
    weakening(
        13,
        "the newest of several keys taken",
        "another_key_under_the_name",
        ("    if len(found) > 1:", "    if False:"),
    ),
    weakening(
        13,
        "what is almost an address looked for in names",
        "another_key_under_the_name",
        ('if "@" in text and classify(text)', "if False and classify(text)"),
    ),
    weakening(
        13,
        "a key trusted for all its user ids",
        "another_key_under_the_name",
        ("            if found not in TRUSTED:", "            if False:"),
    ),
    weakening(
        13,
        "a stream that goes on to a former owner",
        "another_key_under_the_name",
        ("if self._prepared is None or self._prepared_at != stamp:", "if self._prepared is None:"),
        ("if ready.keyring == self._engine.home.stamp():", "if True:"),
    ),
    weakening(
        14,
        "whatever a keyserver sends imported",
        "keyserver_gives_another_key",
        ("    for key in keys:\n        _require(key)\n", ""),
        (
            '    if others:\n        raise KeyserverMismatch(f"{1',
            '    if False:\n        raise KeyserverMismatch(f"{1',
        ),
        ("            one.confirm(await keys_of(reply))\n", ""),
        (
            'raise KeyserverMismatch(f"a {tag_name(first.tag)}',
            'str(f"a {tag_name(first.tag)}',
        ),
    ),
    weakening(
        15,
        "answers of any size read",
        "keyserver_floods",
        ("if self._stream.total_bytes > self._bound:", "if False:"),
    ),
    weakening(
        15,
        "a stalled handshake waited for",
        "keyserver_floods",
        (
            "            while not attempt.done():\n                attempt.cancel()\n",
            "            attempt.cancel()\n            while not attempt.done():\n",
        ),
    ),
    weakening(
        16,
        "names asked of the system's DNS",
        "dns_and_addresses_leak",
        ("rdns=True", "rdns=False"),
        (
            "        attempt = ",
            "        import socket\n"
            '        socket.getaddrinfo(options["host"], options["port"])\n'
            "        attempt = ",
        ),
    ),
    weakening(
        16,
        "redirects followed anywhere",
        "dns_and_addresses_leak",
        ("(SameHost(), *(theirs or ()))", "(*(theirs or ()),)"),
    ),
    weakening(
        16,
        "cookies kept",
        "dns_and_addresses_leak",
        ('"cookie_jar": GivenCookies()', '"cookie_jar": __import__("aiohttp").CookieJar()'),
    ),
    weakening(
        17,
        "the same SOCKS credentials for all",
        "streams_are_linkable",
        ("= self._credentials if self", '= ("tiny_gnupg", "tiny_gnupg-password") if self'),
    ),
    weakening(
        17,
        "credentials sent where none are wanted",
        "streams_are_linkable",
        ("if self.settings.isolate else (None, None)", "if True else (None, None)"),
    ),
    weakening(
        18,
        "gpg asks the network for missing keys",
        "gpg_opens_connections",
        ('    "--disable-dirmngr",\n    "--no-auto-key-locate",\n', ""),
        ('"--no-auto-key-retrieve"', '"--auto-key-retrieve"'),
        ("\ndisable-dirmngr\n", "\n"),
        ("\nno-auto-key-retrieve\n", "\n"),
    ),
    weakening(
        19,
        "files written where their name leads",
        "export_through_a_link",
        ("    if target.is_symlink():", "    if False:"),
        (
            '        async with whole_file(target, mode=permissions, replace="w" in mode) as fd:\n'
            "            await uninterrupted(in_thread(write_all, fd, block))\n",
            "        target.write_bytes(block)\n",
        ),
    ),
    weakening(
        19,
        "secret keys readable for all",
        "export_through_a_link",
        ("permissions = 0o600 if secret else 0o666", "permissions = 0o666"),
    ),
    weakening(
        20,
        "passphrase among the arguments",
        "secrets_are_left_about",
        (
            '        options += ["--passphrase-fd", ',
            '        options += ["--passphrase", passphrase.decode(), "--passphrase-fd", ',
        ),
    ),
    weakening(
        20,
        "whole environment handed on",
        "secrets_are_left_about",
        (
            "return {name: value for name, value in here if value is not None} | {",
            "return dict(os.environ) | {",
        ),
    ),
    weakening(
        21,
        "agent keeps passphrases",
        "agent_remembers_a_passphrase",
        ("default-cache-ttl 0\n", ""),
    ),
    weakening(
        22,
        "control characters passed on",
        "terminal_escapes_are_shown",
        ("    return _UNSURE.sub(_escaped, text)", "    return text"),
    ),
    weakening(
        23,
        "output without a bound",
        "decompression_bomb",
        ("self.stdout.tell() > self._max_output", "self.stdout.tell() > 2**31"),
    ),
    weakening(
        23,
        "status lines without a bound",
        "decompression_bomb",
        ("if channel.tell() > MOST_TOLD:", "if channel.tell() > 2**34:"),
    ),
    weakening(
        24,
        "child of a cancelled run left alone",
        "killed_or_cancelled_run_is_left_behind",
        ("            await uninterrupted(self._child.end())\n", "            pass\n"),
    ),
    weakening(
        25,
        "all that gpg prints taken for the plaintext",
        "key_listing_appended_to_a_plaintext",
        (
            'alone = [] if output is None else ["--yes", "--output", output]',
            "alone: list[str] = []",
        ),
    ),
    weakening(
        31,
        "all names of a found key taken",
        "found_key_brings_other_names",
        ("    if term.kind is not NameForm.EMAIL or", "    if True or"),
    ),
    weakening(
        31,
        "new names taken by an update",
        "found_key_brings_other_names",
        (
            "        if not is_placeholder_key(key):\n            found =",
            "        if False:\n            found =",
        ),
    ),
    weakening(
        33,
        "names of hosts by IDNA 2003",
        "domain_of_somebody_else",
        ("return idna.encode(mapped).decode()", 'return mapped.encode("idna").decode()'),
    ),
    weakening(
        34,
        "adopted subkeys let in",
        "subkey_of_another_key",
        ("    return bool(signing) and not any(", "    return False and not any("),
    ),
    weakening(
        34,
        "back signatures over other keys believed",
        "subkey_of_another_key",
        ("return digest.digest()[:2] == back[", "return True or back == back["),
    ),
    weakening(
        26,
        "packets looked at without end",
        "small_message_that_is_much_work",
        ("_MOST = 1 << 14", "_MOST = 1 << 40"),
    ),
    weakening(
        28,
        "what gpg did not check passed over",
        "signatures_of_different_kinds",
        ("if found and _FIRST_ALONE in reply.stderr:", "if False:"),
    ),
    weakening(
        28,
        "what a kept-alive gpg did not check passed over",
        "signatures_of_different_kinds",
        ("written, self._what_it_told(), status", 'written, "", status'),
    ),
    weakening(
        29,
        "broken hashes taken for good",
        "weak_and_future_signatures",
        ("    if digest in WEAK_DIGESTS and", "    if False and"),
    ),
    weakening(
        29,
        "any date taken for good",
        "weak_and_future_signatures",
        ("created > now + AHEAD", "False"),
    ),
    weakening(
        37,
        "the own passphrase tried on a message",
        "own_passphrase_guessed_by_senders",
        ("optional_passphrase(given).encode()", "(given or self.passphrase).encode()"),
    ),
    weakening(
        38,
        "Python's own error left in the context",
        "plaintext_in_errors",
        (
            "            place = start + error.start\n        raise cls(",
            "            place = start + error.start\n            raise cls(",
        ),
    ),
    weakening(
        38,
        "a repr that shows the plaintext",
        "plaintext_in_errors",
        (
            "    data: bytes = field(repr=False)\n    encrypted: bool",
            "    data: bytes\n    encrypted: bool",
        ),
    ),
    weakening(
        35,
        "any secret key of the address taken for the own one",
        "secret_key_of_a_stranger",
        ("opened = await self._opened(found)", "opened = found"),
    ),
    weakening(
        35,
        "secret keys let in where only public ones are asked for",
        "secret_key_of_a_stranger",
        ("            if packet.tag in SECRET_KEYS and not secret:", "            if False:"),
    ),
    weakening(
        36,
        "no reader let in beside a writer that waits",
        "slow_message_holds_up_everybody",
        ("SHUT = (0.25, 4.0)", "SHUT = (600.0, 600.0)"),
    ),
    weakening(
        40,
        "homes of other users taken",
        "home_in_a_place_of_others",
        ("if found.st_uid != os.geteuid():", "if False:"),
    ),
    weakening(
        40,
        "any directory closed",
        "home_in_a_place_of_others",
        ("        _require_home(path, os.listdir(fd))\n", ""),
    ),
    weakening(
        41,
        "any cost of scrypt taken",
        "marker_that_guards_nothing",
        ("if n < LEAST_N or r < LEAST_R or p < 1:", "if False:"),
    ),
    weakening(
        42,
        "links followed by a restore",
        "restore_through_a_link",
        ("os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK", "os.O_RDONLY | os.O_NONBLOCK"),
    ),
    weakening(
        27,
        "text given out without its carriage returns",
        "text_mode_is_not_signed",
        ("    return signed and text and not whole\n", "    return False\n"),
    ),
    weakening(
        27,
        "the same where one of several signatures is not good",
        "text_mode_is_not_signed",
        (
            "any(one.status not in _OF_NOTHING for one in found)",
            "bool(found) and all(one.good for one in found)",
        ),
    ),
    weakening(
        39,
        "nobody waits for the end of this process",
        "keys_left_by_a_killed_process",
        ('["/bin/sh", "-c", _WAIT, "sh", str(path)]', '["/bin/sh", "-c", "read -r end"]'),
    ),
    weakening(
        43,
        "line ends of a report shown as they are",
        "lines_forged_by_a_user_id",
        ("    octets = one_line(line).encode(", "    octets = line.encode("),
    ),
    weakening(
        43,
        "a name that the terminal cannot show",
        "lines_forged_by_a_user_id",
        ('.encode(file.encoding, "backslashreplace")', ".encode(file.encoding)"),
    ),
    weakening(
        43,
        "JSON with characters as they are",
        "lines_forged_by_a_user_id",
        (
            "json.dumps(_plain(facts), indent=2)",
            "json.dumps(facts, default=str, ensure_ascii=False)",
        ),
    ),
    weakening(
        44,
        "a file taken whole where a part is signed",
        "unsigned_text_around",
        (
            "        if not await in_thread(_stands_alone, file):",
            "        if False:",
        ),
    ),
    weakening(
        44,
        "lines of armor taken for such that go on behind it",
        "unsigned_text_around",
        ("elif (end := _END_LINE.fullmatch(piece))", "elif (end := _END_LINE.match(piece))"),
    ),
    weakening(
        45,
        "a sender read however long the header is",
        "mail_that_holds_up_its_reader",
        ('return addresses(mail, "from") if short else []', 'return addresses(mail, "from")'),
    ),
    weakening(
        45,
        "headers read that the parser breaks off at",
        "mail_that_holds_up_its_reader",
        ("with suppress(IndexError, AttributeError, RecursionError):", "with suppress(KeyError):"),
    ),
)


@contextmanager
def copy() -> Iterator[Path]:
    """Copy the project, for the block."""
    top = Path(tempfile.mkdtemp(prefix="tgw", dir="/tmp"))
    try:
        skipped = shutil.ignore_patterns("__pycache__", ".hypothesis")
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, top / name, ignore=skipped)
            else:
                shutil.copy(ROOT / name, top / name)
        (top / "gpghome").mkdir()
        for path in (ROOT / "gpghome").iterdir():
            if path.suffix == ".conf":
                shutil.copy(path, top / "gpghome")
            elif path.name in ("lib", "licenses", "STAGED.json"):
                (top / "gpghome" / path.name).symlink_to(path)
            elif path.is_file() and os.access(path, os.X_OK):
                shutil.copy(path, top / "gpghome")
        yield top
    finally:
        shutil.rmtree(top, ignore_errors=True)


def weaken(top: Path, one: Weakening) -> None:
    """Make a weakening in a copy.

    Raises:
        LookupError: the code is another one than the weakening was written for.
    """
    for old, new in one.edits:
        path = place(top, old)
        path.write_text(path.read_text().replace(old, new))


def place(top: Path, old: str) -> Path:
    """Return the one file of the project that holds a text.

    Raises:
        LookupError: none does, or several do.
    """
    files = [*(top / "tiny_gnupg").rglob("*.py"), *(top / "gpghome").glob("*.conf")]
    found = [path for path in files if old in path.read_text()]
    if len(found) != 1:
        raise LookupError(f"not in one file, but in {len(found)}: {old!r}")
    return found[0]


def run_test(top: Path, test: str) -> tuple[int, str]:
    """Run one file of tests in a copy; give pytest's exit code and its last line."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", test]
    environment = {**os.environ, "PYTHONPATH": str(top), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=top,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
    except subprocess.TimeoutExpired:
        return 1, "did not end"
    lines = done.stdout.strip().splitlines()
    failed = next((line for line in lines if line.startswith(("FAILED", "ERROR"))), "")
    return done.returncode, failed.partition("::")[2] or (lines or [""])[-1]


def judged(one: Weakening, sound: dict[str, str]) -> tuple[str, str]:
    """Try one weakening: whether its test noticed, and what pytest said."""
    if one.test not in sound:
        with copy() as top:
            code, said = run_test(top, one.test)
            sound[one.test] = "" if code == 0 else said
    if sound[one.test]:
        return "FAILS WITHOUT IT", sound[one.test]
    with copy() as top:
        weaken(top, one)
        code, said = run_test(top, one.test)
    # 1: tests failed. Anything else (nothing collected, wrong usage) shows nothing.
    return ("noticed" if code == 1 else "NOT NOTICED"), said


def main(rows: list[int]) -> int:
    """Try the weakenings of some rows, or all, and print a table."""
    sound: dict[str, str] = {}
    missed = 0
    for one in WEAKENINGS:
        if rows and one.row not in rows:
            continue
        begun = time.monotonic()
        verdict, said = judged(one, sound)
        missed += verdict != "noticed"
        seconds = time.monotonic() - begun
        print(f"{one.row:2} {one.name:52} {verdict:16} {seconds:4.0f} s  {said[:70]}", flush=True)
    print(f"{missed} not noticed" if missed else "each weakening was noticed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main([int(row) for row in sys.argv[1:]]))
