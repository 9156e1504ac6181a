"""A program that uses every public name, for the type checker: it is read by mypy, and not run.

``assert_type`` pins what comes back; a line with ``type: ignore`` is one that has to be refused,
because mypy reports an ignore that it did not need. What is used here is what callers may rely on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, assert_type

import tiny_gnupg
from tiny_gnupg import (
    AgentUnavailable,
    AmbiguousKey,
    BadPassphrase,
    BadSignature,
    BinaryNotFound,
    Capability,
    Certification,
    CommandFailed,
    CommandResult,
    Decryption,
    DecryptionFailed,
    ExpiredKeySignature,
    ExpiredSignature,
    GnuPG,
    GnuPGError,
    GnuPGTimeout,
    HashAlgorithm,
    HomeUnusable,
    ImportFailed,
    ImportResult,
    Key,
    KeyNotFound,
    KeyserverError,
    KeyserverMismatch,
    MemoryExhausted,
    NetworkError,
    NoSecretKey,
    NotOnKeyserver,
    NotOpenPGP,
    NotSigned,
    NotText,
    OutputTooLarge,
    OwnerTrust,
    Packet,
    Plaintext,
    PublicKeyAlgorithm,
    RevokedKeySignature,
    Signature,
    SignatureError,
    SignatureStatus,
    Subkey,
    SymmetricAlgorithm,
    TorUnavailable,
    UnsupportedByGnuPG,
    UnusableKey,
    UserID,
    Validity,
    Verification,
    WrongSigner,
    run,
)


async def identity(home: Path) -> None:
    gpg = GnuPG(
        "Alice",
        "alice@example.org",
        "a passphrase",
        False,
        homedir=home,
        executable="/usr/bin/gpg",
        options=home / "gpg2.conf",
        protection="scrypt",
        tor_host="127.0.0.1",
        tor_port=9050,
        isolate=True,
        keyserver="http://example.onion/",
        timeout=60.0,
        limit=4,
        max_output=2**20,
        warm=False,
    )
    GnuPG(protection="none")  # type: ignore[arg-type]
    GnuPG(max_output=None, timeout=None, homedir=None)
    async with gpg as same:
        assert_type(same, GnuPG)
    assert_type(gpg.home, str)
    assert_type(gpg.executable, str)
    gpg.executable = "gpg"  # type: ignore[misc]
    assert_type(gpg.gpg_version, tuple[int, int, int])
    assert_type(gpg.features, frozenset[str])
    assert_type(gpg.options, str)
    assert_type(gpg.username, str)
    assert_type(gpg.email, str)
    assert_type(gpg.passphrase, str)
    assert_type(gpg.fingerprint, str)
    assert_type(gpg.port, int)
    assert_type(gpg.tor_port, int)
    assert_type(gpg.keyserver, str)
    assert_type(gpg.keyserver_export_api, str)
    assert_type(gpg.keyserver_verify_api, str)
    assert_type(gpg.searchserver, str)
    gpg.set_homedir(home)
    gpg.set_homedir()
    assert_type(gpg.format_homedir("~/.gnupg"), str)
    gpg.set_home_permissions(home)
    gpg.set_base_command(torify=False)
    await gpg.set_fingerprint("alice@example.org")
    gpg.set_network_variables(port=80, tor_port=9050)
    await gpg.reset_daemon()
    await gpg.aclose()


async def custom_commands(gpg: GnuPG) -> None:
    command = gpg.command("--list-keys", with_passphrase=True, manual=False)
    assert_type(command, list[str])
    assert_type(gpg.shell_command(command), str)
    assert_type(await gpg.agent_passphrase(), str)
    inputs = gpg.encode_inputs(await gpg.unlock(), "y")
    assert_type(inputs, bytes)
    assert_type(await gpg.read_output(command, inputs), str)
    done = await gpg.run_command(command, inputs)
    assert_type(done, CommandResult)
    assert_type(done.returncode, int)
    assert_type(done.stdout, bytes)
    assert_type(done.stderr, str)
    assert_type(done.status, tuple[str, ...])


async def life_of_a_key(gpg: GnuPG) -> None:
    fingerprint = await gpg.gen_key(expires="2y")
    assert_type(fingerprint, str)
    assert_type(await gpg.own(), Key)
    assert_type(await gpg.ensure_key(expires="2y", algorithm="ed448"), Key)
    await gpg.add_subkeys(fingerprint)
    await gpg.trust(fingerprint, level=5)
    assert_type(await gpg.certify("bob@example.org", fingerprint, local=True), str)
    assert_type(await gpg.key_trust(fingerprint), str)
    await gpg.set_expire(fingerprint, "1y", subkeys=False)
    await gpg.set_expire("", timedelta(days=365))
    await gpg.set_expire("", datetime.now(UTC))
    await gpg.change_passphrase(fingerprint, "another")
    await gpg.add_uid(fingerprint, "Alice", "alice@example.net")
    await gpg.revoke_uid(fingerprint, "alice@example.net")
    assert_type(await gpg.revoke(fingerprint, reason=3, text="no longer used"), str)
    await gpg.delete(fingerprint)


async def life_of_a_subkey(gpg: GnuPG, key: Key) -> None:
    assert_type(await gpg.gen_key(algorithm="rsa4096", subkeys=["sign", "encrypt"]), str)
    assert_type(await gpg.add_adsk("", "archive@example.org"), str)
    made = await gpg.add_subkey(key, "encrypt", algorithm="nistp256", expires="1y")
    assert_type(made, str)
    await gpg.revoke_subkey("", made, reason=2, text="there is a newer one")
    await gpg.delete_subkey(key, key.subkeys[0])
    rotated = await gpg.rotate(usages=["sign"], expires="1y", overlap=timedelta(days=30))
    assert_type(rotated, tuple[str, ...])
    assert_type(await gpg.export_subkeys(), str)
    await gpg.set_expire("", "1y", subkeys=[made, key.subkeys[0]])
    await gpg.delete("", secret_only=True)


async def key_listings(gpg: GnuPG) -> None:
    assert_type(await gpg.keys(secret=True), tuple[Key, ...])
    assert_type(await gpg.keys(expiring="30d", certifications=True), tuple[Key, ...])
    assert_type(await gpg.list_keys("alice", True), dict[str, str])
    text = await gpg.raw_list_keys()
    assert_type(gpg.format_list_keys(text, secret=False), dict[str, str])
    assert_type(await gpg.key_fingerprint("alice"), str)
    assert_type(await gpg.key_email("alice"), str)
    [key] = await gpg.keys("alice")
    assert_type(await gpg.keys(key), tuple[Key, ...])
    assert_type(await gpg.encrypt("text", [key, "bob"], local_user=key), str)
    assert_type(await gpg.text_export(key), str)


def one_key(key: Key, subkey: Subkey, user_id: UserID) -> None:
    for part in (key, subkey):
        assert_type(part.fingerprint, str)
        assert_type(part.key_id, str)
        assert_type(part.algorithm, PublicKeyAlgorithm)
        assert_type(part.curve, str)
        assert_type(part.bits, int)
        assert_type(part.created, datetime | None)
        assert_type(part.expires, datetime | None)
        assert_type(part.validity, Validity)
        assert_type(part.capabilities, frozenset[Capability])
        assert_type([part.revoked, part.expired, part.secret], list[bool])
        assert_type([part.keygrip, part.card], list[str])
    assert_type(key.ownertrust, OwnerTrust)
    assert_type(key.disabled, bool)
    assert_type(key.email, str)
    assert_type(key.user_ids, tuple[UserID, ...])
    assert_type(key.subkeys, tuple[Subkey, ...])
    assert_type(key.usable_for(Capability.SIGN), bool)
    assert_type(key.encryption_subkeys, tuple[Subkey, ...])
    assert_type(key.expires_soon(timedelta(days=30)), bool)
    assert_type(key.certifications, tuple[Certification, ...])
    assert_type(user_id.certifications, tuple[Certification, ...])
    assert_type(user_id.certified_by(key, local=False), bool)
    assert_type(key.usable_for("e"), bool)
    assert_type([user_id.text, user_id.name, user_id.email, user_id.comment], list[str])
    assert_type(user_id.validity, Validity)
    assert_type(user_id.created, datetime | None)
    assert_type(user_id.hash, str)
    assert_type([user_id.revoked, user_id.placeholder, user_id.attribute], list[bool])
    assert_type(user_id.signed, bool)
    key.email = "mallory@example.org"  # type: ignore[misc]
    subkey.revoked = False  # type: ignore[misc]


async def messages(gpg: GnuPG, either: bool, text: str | bytes) -> None:
    assert_type(await gpg.encrypt("text", "bob", True, "alice", hidden=True, trust="web"), str)
    assert_type(await gpg.encrypt(b"octets", ["bob", "carol"], sign=False, compress=False), bytes)
    assert_type(await gpg.encrypt("text", "bob", ocb=True), str)
    assert_type(await gpg.encrypt_symmetric(b"octets", "pass", ocb=True), bytes)
    assert_type(await gpg.encrypt(uid="bob"), str)
    assert_type(await gpg.encrypt("text", "bob", armor=True), str)
    await gpg.encrypt("text", "bob", armor=False)  # type: ignore[call-overload]
    assert_type(await gpg.encrypt(b"octets", armor=False, hidden=True), bytes)
    assert_type(await gpg.encrypt(text, "bob"), str | bytes)
    assert_type(await gpg.encrypt(b"octets", armor=either), bytes)
    assert_type(await gpg.encrypt_symmetric("text", "passphrase"), str)
    assert_type(await gpg.encrypt_symmetric(b"octets", "words"), bytes)
    assert_type(await gpg.encrypt_symmetric(b"octets", "words", armor=False), bytes)
    assert_type(await gpg.encrypt_symmetric(text, "words"), str | bytes)
    assert_type(await gpg.encrypt_symmetric("text", "words", sign=True, local_user=["a"]), str)
    assert_type(await gpg.encrypt("text", ["bob", "carol"], True, ["a", "b"], hidden="bob"), str)
    assert_type(await gpg.encrypt(b"octets", "bob", passphrase="words"), bytes)
    assert_type(await gpg.sign("text", ["alice", "bob"]), str)
    assert_type(await gpg.decrypt("text", passphrase="passphrase"), str)
    assert_type(await gpg.decrypt(b"octets"), bytes)
    assert_type(await gpg.decrypt(text), str | bytes)
    assert_type(await gpg.sign("text", "alice", detach=True), str)
    assert_type(await gpg.sign(b"text", clear=True), bytes)
    assert_type(await gpg.sign(text), str | bytes)
    assert_type(await gpg.sign("bob@example.org", key=True, local=True), str)
    assert_type(await gpg.verify("text"), Verification)
    assert_type(await gpg.verify(b"octets", "signature"), Verification)
    assert_type(await gpg.auto_encrypt("text", "bob", hidden=True), str)
    assert_type(await gpg.auto_encrypt(b"octets", "bob", armor=either), bytes)
    assert_type(await gpg.auto_encrypt(text, "bob"), str | bytes)
    assert_type(await gpg.auto_decrypt(b"octets"), bytes)
    assert_type(await gpg.auto_verify("text"), Verification)
    await gpg.decrypt(None)  # type: ignore[type-var]
    await gpg.sign("text", key="bob")  # type: ignore[arg-type]


def one_signature(found: Signature) -> None:
    assert_type(found.status, SignatureStatus)
    assert_type([found.fingerprint, found.primary_fingerprint, found.key_id], list[str])
    assert_type(found.user_id, str)
    assert_type(found.created, datetime | None)
    assert_type(found.expires, datetime | None)
    assert_type(found.hash, HashAlgorithm | None)
    assert_type(found.algorithm, PublicKeyAlgorithm | None)
    assert_type(found.trust, Validity | None)
    assert_type(found.notations, tuple[tuple[str, str | bytes], ...])
    assert_type(found.good, bool)


async def judgements(gpg: GnuPG) -> None:
    found = await gpg.decrypt_verify("text", passphrase="passphrase")
    assert_type(found, Decryption)
    assert_type(found.data, bytes)
    assert_type(found.text, str)
    assert_type([found.encrypted, found.symmetric, found.passphrase_used], list[bool])
    shown = await gpg.decrypt_verify("text", show_session_key=True)
    assert_type(shown.session_key, str)
    await gpg.decrypt_verify(b"octets", override_session_key=shown.session_key)
    assert_type(found.signatures, tuple[Signature, ...])
    assert_type(found.recipients, tuple[str, ...])
    assert_type(found.filename, str)
    assert_type(found.cipher, SymmetricAlgorithm | None)
    assert_type(found.failure, GnuPGError | None)
    assert_type(found.require_good(), Decryption)
    assert_type(found.require_signed(), Decryption)
    verified = await gpg.verify("text")
    assert_type(verified.data, bytes)
    assert_type(verified.signatures, tuple[Signature, ...])
    assert_type(verified.failure, GnuPGError | None)
    assert_type(verified.signed_by("A" * 40), bool)
    assert_type(verified.require_good().require_signed(), Verification)


def progress(done: int, total: int) -> None:
    print(f"{done} of {total}")


async def files(gpg: GnuPG, path: Path) -> None:
    assert_type(await gpg.encrypt_file(path, "bob", progress=progress), Path)
    assert_type(await gpg.encrypt_symmetric_file(path, "words", sign=True), Path)
    assert_type(await gpg.decrypt_file(str(path), path, overwrite=True, max_output=1), Path)
    found = await gpg.decrypt_verify_file(path, overwrite=True, require_good=True)
    assert_type(found, Decryption)
    assert_type(found.path, Path | None)
    assert_type(await gpg.sign_file(path, detach=True), Path)
    assert_type(await gpg.verify_file(path, path), Verification)


async def streams(gpg: GnuPG, dump: AsyncIterator[bytes], reader: asyncio.StreamReader) -> None:
    with open("dump", "rb") as file:
        async for piece in gpg.encrypt_stream(file, ["bob"], hidden=True, progress=progress):
            assert_type(piece, bytes)
    async with contextlib.aclosing(gpg.sign_stream([b"octets"], detach=True)) as signed:
        assert_type([piece async for piece in signed], list[bytes])
    assert_type(await gpg.verify_stream(reader, "signature", signer="bob"), Verification)
    assert_type(await gpg.verify_stream(reader), Verification)
    gpg.sign_stream(reader, clear=True, armor=True)
    async with gpg.decrypt_stream(
        dump, signer=["bob"], spool=Path("/var/tmp"), early=True
    ) as plain:
        assert_type(plain, Plaintext)
        assert_type(await plain.read(10), bytes)
        async for piece in plain:
            assert_type(piece, bytes)
        assert_type(plain.size, int)
        assert_type(plain.encrypted, bool)
        assert_type(plain.signatures, tuple[Signature, ...])
    gpg.encrypt_stream("text", "bob")  # type: ignore[arg-type]
    gpg.encrypt_stream(["text"], "bob")  # type: ignore[list-item]


async def some_messages() -> AsyncIterator[bytes]:
    yield b"octets"


async def many(gpg: GnuPG, either: bool) -> None:
    async for encrypted in gpg.encrypt_many(["text"], "bob", sign=True):
        assert_type(encrypted, str)
    async with contextlib.aclosing(gpg.decrypt_many(some_messages())) as decrypted:
        async for octets in decrypted:
            assert_type(octets, bytes)
    async for verified in gpg.verify_many([b"octets"], return_exceptions=False):
        assert_type(verified, Verification)
    async for sealed in gpg.encrypt_many([b"octets"], return_exceptions=True):
        assert_type(sealed, bytes | Exception)
    async for opened in gpg.decrypt_many(["text"], return_exceptions=either):
        assert_type(opened, str | Exception)
    async for found in gpg.verify_many(["text"], return_exceptions=True):
        assert_type(found, Verification | Exception)
        if not isinstance(found, Exception):
            assert_type(found.signatures, tuple[Signature, ...])


async def packets(gpg: GnuPG, packet: Packet) -> None:
    assert_type(await gpg.raw_packets("text"), str)
    assert_type(await gpg.list_packets(b"octets"), list[list[str]])
    assert_type(await gpg.packets(b"octets"), tuple[Packet, ...])
    assert_type(await gpg.packet_fingerprint("text"), str)
    assert_type([packet.tag, packet.offset, packet.length], list[int])
    assert_type(packet.name, str)
    assert_type(packet.fields, Mapping[str, str])
    assert_type(packet.lines, tuple[str, ...])


async def import_and_export(gpg: GnuPG, path: Path) -> None:
    result = await gpg.text_import("key")
    result = await gpg.text_import(b"key", secret=False)
    assert_type(result, ImportResult)
    assert_type(result.fingerprints, tuple[str, ...])
    assert_type([result.imported, result.updated, result.unchanged], list[int])
    assert_type([result.secret_imported, result.no_user_id], list[int])
    assert_type(result.counts, Mapping[str, int])
    assert_type(await gpg.file_import(path, mode="r"), ImportResult)
    assert_type(await gpg.text_export("alice", secret=True), str)
    assert_type(await gpg.text_export(["alice", "bob"], minimal=True), str)
    assert_type(await gpg.export("alice", secret=True), bytes)
    assert_type(await gpg.file_export(path, "alice"), Path)
    assert_type(await gpg.scan(b"key"), tuple[Key, ...])
    assert_type(await gpg.backup(path), Path)
    assert_type(await gpg.restore(path), ImportResult)
    await gpg.text_export("alice", True)  # type: ignore[call-arg]


async def network(gpg: GnuPG) -> None:
    _ = gpg.Connector, gpg.Session
    async with gpg.network_get("http://example.onion/") as response:
        assert_type(await response.text(), str)
    async with gpg.network_post("http://example.onion/", json={}) as response:
        assert_type(response.status, int)
    assert_type(await gpg.get("http://example.onion/"), str)
    assert_type(await gpg.post("http://example.onion/", data=b""), str)
    assert_type(await gpg.search("bob@example.org"), str)
    assert_type(await gpg.raw_search("bob@example.org"), str)
    assert_type(await gpg.network_import("bob@example.org"), ImportResult)
    assert_type(await gpg.network_export("alice"), dict[str, Any])
    assert_type(await gpg.raw_api_verify(await gpg.raw_api_export("alice")), str)
    assert_type(await gpg.wkd_import("bob@example.org"), ImportResult)
    assert_type(await gpg.refresh(), tuple[str, ...])


async def errors(gpg: GnuPG) -> None:
    try:
        await gpg.decrypt("text")
    except KeyNotFound as error:
        assert_type(error.value, str)
    except AmbiguousKey as error:
        assert_type(error.candidates, tuple[str, ...])
    except (NotSigned, BadSignature, ExpiredSignature, ExpiredKeySignature) as error:
        assert_type(error.diagnostics(), str)
    except WrongSigner as error:
        assert_type(error.value, str)
    except (RevokedKeySignature, SignatureError) as error:
        print(error.signatures)
    except NoSecretKey as error:
        not_here: LookupError = error
        print(not_here)
    except (DecryptionFailed, BadPassphrase, UnusableKey, UnsupportedByGnuPG) as error:
        print(error.signatures)
    except (NotOpenPGP, NotText, ImportFailed, OutputTooLarge, KeyserverMismatch) as error:
        value: ValueError = error
        print(value)
    except (BinaryNotFound, NotOnKeyserver) as error:
        missing: FileNotFoundError = error
        print(missing)
    except KeyserverError as error:
        assert_type(error.http_status, int | None)
        assert_type(error.retry_after, float | None)
    except (TorUnavailable, NetworkError) as error:
        connection: ConnectionError = error
        print(connection)
    except (GnuPGTimeout, HomeUnusable, AgentUnavailable, MemoryExhausted) as error:
        assert_type(error.hint, str)
    except CommandFailed as error:
        assert_type(error.command, str)
    except GnuPGError as error:
        assert_type([error.message, error.hint], list[str])
        assert_type(error.status, tuple[str, ...])
        print(error.returncode, error.stderr)


def script() -> str:
    print(tiny_gnupg.__version__)
    run(asyncio.sleep(0))
    return run(GnuPG().gen_key())
