"""What users of tiny_gnupg 0.5.2 know: the ways that its tests held, as they work here."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
from pathlib import Path

import pytest

from tests.instances import ALICE, BOB, MakeGnuPG, PlainGpg, alice_at
from tests.tor.processes import keyserver_server
from tests.tor.socks import RecordingProxy
from tiny_gnupg import BadPassphrase, CommandFailed, GnuPG, KeyNotFound, NotOpenPGP, NotSigned, run
from tiny_gnupg._network.keyserver import DEFAULT_KEYSERVER

#: The text of 0.5.2's own tests: blanks and line ends where programs like to lose them.
CHECKOUT = Path(__file__).parents[1]
MIGRATION = (CHECKOUT / "docs" / "migration.rst").read_text()
#: What 0.5.2 itself says: its methods, and the lines of its gpg2.conf.
METHODS, LINES = (
    (CHECKOUT / "tests" / "vectors" / "tiny_gnupg-0.5.2.txt").read_text().split("# gpg2.conf\n")
)
TEXT = "\n  twenty\ntwo\narmed\ndogs\nrush\nthe\nkibble  \n\n"


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
async def test_the_text_comes_back_at_each_level_of_trust(alice: GnuPG, level: int) -> None:
    await alice.trust(alice.fingerprint, level)
    for sign in (True, False):
        for local_user in ("", alice.fingerprint, ALICE):
            message = await alice.encrypt(TEXT, alice.fingerprint, sign, local_user)
            assert await alice.decrypt(message) == TEXT


@pytest.mark.parametrize("level", [0, 6, -1, True, "5", None])
async def test_other_levels_of_trust_are_refused(alice: GnuPG, level: object) -> None:
    with pytest.raises(ValueError, match="1, 2, 3, 4 or 5"):
        await alice.trust(ALICE, level)  # type: ignore[arg-type]


async def test_a_signed_message_can_be_signed_again(alice: GnuPG) -> None:
    signed = TEXT
    layers = []
    for _ in range(5):
        signed = await alice.sign(signed)
        layers.append(signed)
        assert len((await alice.verify(signed)).signatures) == 1
    for outer, inner in zip(layers[::-1], [*layers[-2::-1], TEXT], strict=True):
        assert (await alice.verify(outer)).data.decode() == inner
        assert await alice.decrypt(outer) == inner


async def test_a_secret_key_leaves_and_comes_back(alice: GnuPG) -> None:
    own = alice.fingerprint
    message = await alice.encrypt(TEXT)
    secret = await alice.text_export(own, secret=True)
    await alice.delete(own)
    with pytest.raises(KeyNotFound):
        await alice.sign("x", own)
    result = await alice.text_import(key=secret)
    assert (result.fingerprints, result.secret_imported) == ((own,), 1)
    assert await alice.decrypt(message) == TEXT


async def test_after_revoke_the_key_says_revoked(alice: GnuPG) -> None:
    block = await alice.revoke(alice.fingerprint)
    assert block == await alice.text_export(alice.fingerprint)
    assert re.search(r"\[ *revoked *\]", await alice.raw_list_keys(alice.fingerprint))
    assert await alice.key_trust(alice.fingerprint) == "revoked"


async def test_delete_removes_one_key_and_needs_no_secret_part(alice: GnuPG) -> None:
    await alice.delete(uid=BOB)
    assert list(await alice.list_keys()) == [alice.fingerprint]
    while found := await alice.list_keys(ALICE):
        await alice.delete(next(iter(found)))
    assert await alice.list_keys() == {}
    with pytest.raises(KeyNotFound):
        await alice.delete(uid=BOB)


async def test_a_second_instance_of_the_address_has_the_fingerprint(
    alice: GnuPG, make_gnupg: MakeGnuPG
) -> None:
    second = make_gnupg()
    assert second.fingerprint == alice.fingerprint
    assert await second.decrypt(await second.encrypt(TEXT)) == TEXT
    assert second.fingerprint == alice.fingerprint
    await second.set_fingerprint(BOB)
    assert second.fingerprint == await alice.key_fingerprint(BOB)


def test_the_defaults_are_where_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TINY_GNUPG_HOME", "TINY_GNUPG_GPG"):
        monkeypatch.delenv(name, raising=False)
    gpg = GnuPG("username", "username@user.net", "passphrase")
    assert gpg.home.endswith("gpghome")
    assert Path(gpg.executable).name in ("gpg2", "gpg")
    assert gpg.options.endswith("gpg2.conf")
    assert (gpg.username, gpg.email) == ("username", "username@user.net")


async def test_encode_inputs_and_command(alice: GnuPG) -> None:
    assert alice.encode_inputs("1", "y", "q") == b"1\ny\nq\n"
    assert alice.encode_inputs("é") == "é\n".encode()
    command = alice.command("--armor", "--encrypt", "-r", alice.fingerprint)
    assert command[-4:] == ["--armor", "--encrypt", "-r", alice.fingerprint]
    assert command[:-4] == alice.command()
    assert "--batch" in command
    assert "--batch" not in alice.command(manual=True)
    inputs = alice.encode_inputs("Message to myself")
    encrypted = await alice.read_output(command, inputs)
    assert await alice.decrypt(encrypted) == "Message to myself\n"


async def test_a_command_with_a_passphrase_reads_it_first(alice: GnuPG) -> None:
    command = alice.command("--armor", "--sign", with_passphrase=True)
    inputs = alice.encode_inputs(await alice.unlock(), "signed text")
    signed = await alice.read_output(command, inputs)
    assert (await alice.verify(signed)).data == b"signed text\n"
    assert "passphrase" not in alice.shell_command(command).replace("--passphrase-fd 0", "")


async def test_a_shell_takes_a_shell_command_as_it_is_meant(alice: GnuPG) -> None:
    import subprocess

    command = alice.command("--list-keys", "--", 'it\'s $HOME; `id` "x"', "", "*", "é\\n &>| #!")
    line = alice.shell_command(command)
    printed = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True
    )
    assert printed.stdout.splitlines() == command


async def test_a_custom_command_that_fails_is_both_errors(alice: GnuPG) -> None:
    from subprocess import CalledProcessError

    command = alice.command("--decrypt")
    with pytest.raises(CalledProcessError) as caught:
        await alice.read_output(command, b"nonsense")
    assert isinstance(caught.value, CommandFailed)
    assert caught.value.returncode == 2
    assert any("NODATA" in line for line in caught.value.status)
    assert "no valid OpenPGP data" in caught.value.stderr


async def test_a_manual_command_asks_and_is_answered(alice: GnuPG) -> None:
    command = alice.command("--command-fd", "0", "--edit-key", BOB, manual=True)
    await alice.read_output(command, alice.encode_inputs("trust", "4", "save"))
    [key] = await alice.keys(BOB)
    assert key.ownertrust == "full"


def test_set_home_permissions_reports_what_is_not_there(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gpg = alice_at(home)
    gpg.set_home_permissions(home / "nowhere")
    assert "nowhere" in caplog.text
    home.chmod(0o755)
    gpg.set_home_permissions(home)
    assert home.stat().st_mode & 0o777 == 0o700


def test_the_urls_follow_the_port_and_the_keyserver(home: Path) -> None:
    gpg = alice_at(home)
    base = DEFAULT_KEYSERVER
    for port in (80, 81):
        gpg.port = port
        assert gpg.keyserver == f"{base}:{port}/"
        assert gpg.keyserver_export_api == f"{base}:{port}/vks/v1/upload"
        assert gpg.keyserver_verify_api == f"{base}:{port}/vks/v1/request-verify"
        assert gpg.searchserver == f"{base}:{port}/search?q="
    gpg.set_network_variables(keyserver="https://keys.example.org", search="find/")
    assert (gpg.port, gpg.searchserver) == (443, "https://keys.example.org:443/find/")


def test_a_homedir_is_formatted_as_an_absolute_path(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    gpg = alice_at(home)
    assert gpg.format_homedir("~/a/../b") == "/home/somebody/b"
    assert gpg.format_homedir("relative") == os.path.join(os.getcwd(), "relative")


async def test_the_two_steps_of_a_publication_apart(alice: GnuPG) -> None:
    host = DEFAULT_KEYSERVER.removeprefix("http://")
    with keyserver_server() as keyserver:
        async with RecordingProxy({host: keyserver.port}) as proxy:
            alice.set_network_variables(tor_port=proxy.port)
            uploaded = json.loads(await alice.raw_api_export())
            assert uploaded["key_fpr"] == alice.fingerprint
            assert uploaded["status"] == {ALICE: "unpublished"}
            asking = {"token": uploaded["token"], "addresses": [ALICE]}
            for payload in (asking, json.dumps(asking)):
                asked = json.loads(await alice.raw_api_verify(payload))
                assert asked["status"] == {ALICE: "pending"}
            assert await alice.search(ALICE) == ""
            assert set(keyserver.confirm_all()) == {ALICE}
            assert (await alice.search(ALICE)).endswith(alice.fingerprint)


async def test_every_packet_leads_to_the_key_that_is_signer_and_recipient(alice: GnuPG) -> None:
    targets = [
        await alice.sign(TEXT),
        await alice.sign(TEXT, detach=True),
        await alice.encrypt(TEXT),
        await alice.encrypt(TEXT, sign=False),
        await alice.text_export(),
    ]
    for target in targets:
        found = await alice.packet_fingerprint(target)
        assert list(await alice.list_keys(found)) == [alice.fingerprint]
        for form in (target, target.encode()):
            packets = await alice.list_packets(form)
            assert all(packet and all(packet) for packet in packets)
            printed = (await alice.raw_packets(form)).splitlines()
            lines = [line for packet in packets for line in packet]
            assert lines == [line.strip() for line in printed if line.strip()]
    with pytest.raises(TypeError):
        await alice.packet_fingerprint("no packet")
    with pytest.raises(NotOpenPGP):
        await alice.list_packets("no packet")


async def test_a_certification_shows_good(alice: GnuPG) -> None:
    await alice.sign(BOB, key=True)
    checked = await alice.read_output(alice.command("--with-colons", "--check-sigs", BOB))
    ours = [line.split(":") for line in checked.splitlines() if alice.fingerprint[-16:] in line]
    assert [fields[:2] for fields in ours if fields[0] == "sig"] == [["sig", "!"]]


async def test_key_and_secret_are_bools_and_nothing_else(alice: GnuPG) -> None:
    for value in (1, "True", None):
        with pytest.raises(TypeError):
            await alice.sign(BOB, key=value)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await alice.text_export(secret=value)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="True or False"):
            await alice.text_export(secret=value)  # type: ignore[arg-type]


async def test_an_encrypted_message_cannot_be_verified(alice: GnuPG) -> None:
    with pytest.raises(NotSigned) as caught:
        await alice.verify(await alice.encrypt(TEXT))
    [recipient] = await alice.list_keys(caught.value.value)
    assert recipient == alice.fingerprint


async def test_each_error_has_a_class_of_its_own(alice: GnuPG, make_gnupg: MakeGnuPG) -> None:
    message = await alice.encrypt(TEXT)
    stranger = make_gnupg(passphrase="wrong")
    with pytest.raises(BadPassphrase):
        await stranger.decrypt(message)
    with pytest.raises(BadPassphrase):
        await stranger.sign(TEXT)
    with pytest.raises(LookupError):
        await alice.encrypt(TEXT, "nobody@example.org")


async def test_another_gpg_reads_what_is_exported(alice: GnuPG, plain_gpg: object) -> None:
    other = plain_gpg()  # type: ignore[operator]
    assert isinstance(other, PlainGpg)
    other.run("--import", stdin=await alice.text_export())
    said = other.run("--verify", stdin=await alice.sign(TEXT)).stderr.decode()
    assert "Good signature" in said
    message = other.run(
        "--armor", "--trust-model", "always", "-r", ALICE, "--encrypt", stdin=TEXT
    ).stdout.decode()
    assert await alice.decrypt(message) == TEXT


def test_all_of_it_works_from_code_that_is_not_asynchronous(alices_home: Path) -> None:
    gpg = alice_at(alices_home)
    try:
        message = run(gpg.encrypt(TEXT, ALICE))
        assert run(gpg.decrypt(message)) == TEXT
    finally:
        run(gpg.aclose())


def test_the_migration_page_names_each_argument_whose_default_is_another() -> None:
    table = section("Arguments whose default is another")
    told = set(re.findall(r"^``(\w+)\((?:\*\*)?(\w+)\)``", table, re.MULTILINE))
    assert told == changed_defaults()


def changed_defaults() -> set[tuple[str, str]]:
    """Return which arguments of 0.5.2's methods had another default, or another name."""
    found = set()
    for old in ast.parse(METHODS).body:
        assert isinstance(old, ast.FunctionDef)
        now = inspect.signature(getattr(GnuPG, old.name)).parameters
        names = [each.arg for each in old.args.args + old.args.kwonlyargs]
        found |= {(old.name, name) for name in names[1:] if name not in now}
        assert [name for name in names if name in now] == [name for name in now if name in names]
        defaults = [*old.args.defaults, *(each for each in old.args.kw_defaults if each)]
        for name, default in zip(names[len(names) - len(defaults) :], defaults, strict=True):
            was = (
                ast.literal_eval(default) if isinstance(default, ast.Constant | ast.Tuple) else ...
            )
            if (type(was), was) != (type(now[name].default), now[name].default):
                found.add((old.name, name))
        takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in now.values())
        if old.args.kwarg and not takes_any:
            found.add((old.name, old.args.kwarg.arg))
    return found


def test_the_migration_page_says_what_each_call_gives_back() -> None:
    table = section("What is given back instead")
    rows = [row for row in table.splitlines() if row.startswith("``")]
    for row in rows:
        calls, _, now = re.split(r"  +", row)
        result = re.match(r"``(\w+)``", now)
        for call in re.findall(r"``(\w+)``", calls):
            said = inspect.signature(getattr(GnuPG, call)).return_annotation
            assert result is not None
            assert result[1] == said, call
    assert len(rows) > 5


def test_the_migration_page_names_each_line_of_the_configuration_that_changed() -> None:
    ours = (CHECKOUT / "gpghome" / "gpg2.conf").read_text().splitlines()
    before = set(LINES.splitlines())
    after = {line for line in ours if line and not line.startswith("#")}
    told = set(re.findall(r"``([a-z][\w -]+)``", section("gpg's own options")))
    changed = {line.partition("=")[0] for line in before ^ after}
    assert told == {line if line in told else line.split()[0] for line in changed}


def section(title: str) -> str:
    """Return a section of the migration page."""
    _, _, rest = MIGRATION.partition(f"\n{title}\n")
    assert rest
    return re.split(r"\n[~-]{8,}\n", rest.split("\n", 1)[1])[0]
