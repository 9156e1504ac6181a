"""The programs of examples/, each as a process of its own on real parts."""

from __future__ import annotations

import asyncio
import email
import email.policy
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web

from tests.leftovers import clean_home
from tiny_gnupg import GnuPG, HashAlgorithm

CHECKOUT = Path(__file__).parents[1]
EXAMPLES = CHECKOUT / "examples"
pytestmark = pytest.mark.usefixtures("shipped")
MAIL = (
    "From: Alice <alice@example.org>\nTo: Bob <bob@example.org>\nSubject: Grüße\n"
    "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
    "Content-Transfer-Encoding: 8bit\n\n"
    "Sincerely, κόσμε \nFrom here on\ntrailing blanks   \n"
).encode()


def environment(**more: str) -> dict[str, str]:
    """Let a process find the package of this checkout."""
    return os.environ | {"PYTHONPATH": str(CHECKOUT)} | more


def run(name: str, *arguments: str | Path, stdin: bytes = b"", **more: str) -> bytes:
    """Run an example to its end; return its output."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        input=stdin,
        capture_output=True,
        env=environment(**more),
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture
async def person(home: Path) -> AsyncIterator[GnuPG]:
    """Somebody with a key."""
    async with GnuPG("Pat", "pat@example.org", "open sesame", homedir=home) as gpg:
        await gpg.gen_key()
        yield gpg


# -- uploads -------------------------------------------------------------------------------


@contextmanager
def service(home: Path, store: Path, *more: str, name: str = "upload_service.py") -> Iterator[str]:
    """Run a web service; gives its URL."""
    command: list[str | Path] = [sys.executable, EXAMPLES / name, "--port", "0"]
    process = subprocess.Popen(
        [*command, "--home", home, "--store", store, *more],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert process.stdout is not None
        found = re.fullmatch(r"listening on (\d+)\n", process.stdout.readline())
        assert found
        yield f"http://127.0.0.1:{found[1]}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def request(url: str, data: bytes | None = None) -> tuple[int, bytes]:
    """Ask the service; return the status and the body."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, data, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


async def test_the_service_takes_what_a_known_person_signed_and_nothing_else(
    person: GnuPG, other_home: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    data = os.urandom(200_000)
    with service(other_home, store) as url:
        _, key = request(f"{url}/key")
        (fingerprint,) = (await person.text_import(key)).fingerprints
        signed = await person.encrypt(data, fingerprint)
        stranger = request(f"{url}/upload", signed)
        async with GnuPG(homedir=other_home) as admin:
            await admin.text_import(await person.text_export())
        accepted = request(f"{url}/upload", signed)
        unsigned = request(f"{url}/upload", await person.encrypt(data, fingerprint, sign=False))
        readable = request(f"{url}/upload", (await person.sign("not encrypted")).encode())
        damaged = request(f"{url}/upload", signed[:-300] + b"A" + signed[-299:])
        nonsense = request(f"{url}/upload", b"nonsense")

    codes = [answer[0] for answer in (stranger, accepted, unsigned, readable, nonsense)]
    assert codes == [403, 201, 403, 403, 400]
    assert damaged[0] == 400
    assert [file.read_bytes() for file in store.iterdir()] == [data]
    assert person.fingerprint.encode() in accepted[1]


async def test_uploads_are_encrypted_while_they_come(person: GnuPG, tmp_path: Path) -> None:
    store = tmp_path / "store"
    data = os.urandom(3 * 2**20)
    more = ("--to", person.email)
    with service(Path(person.home), store, *more, name="sealed_uploads.py") as url:
        code, answer = request(f"{url}/upload", data)
        (name,) = [path.name for path in store.iterdir()]
        broken_off(url, data)
        until_empty(store)

    assert code == 201
    assert json.loads(answer) == {"name": name}
    assert [path.name for path in store.iterdir()] == [name]
    assert await person.decrypt((store / name).read_bytes()) == data


def until_empty(store: Path) -> None:
    """Wait until the service has heard that somebody has gone, and has no drafts any more."""
    while any(path.name.startswith(".") for path in store.iterdir()):
        time.sleep(0.05)


def broken_off(url: str, data: bytes) -> None:
    """Send a part of an upload, and go."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), 20) as connection:
        head = f"POST /upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data[: len(data) // 2])


# -- an object store -----------------------------------------------------------------------


class Store:
    """An object store as S3 is one for who uploads in parts; it fails as often as it is told."""

    def __init__(self, failures: int) -> None:
        self._left = failures
        self.open: dict[str, dict[int, bytes]] = {}
        self.objects: list[bytes] = []
        self.begun = 0

    async def begin_or_complete(self, request: web.Request) -> web.Response:
        if "uploads" in request.query:
            self.begun += 1
            self.open[str(self.begun)] = {}
            return web.Response(text=f"<UploadId>{self.begun}</UploadId>")
        listed = re.findall(r"<PartNumber>(\d+)</PartNumber>", await request.text())
        parts = self.open.pop(request.query["uploadId"])
        self.objects.append(b"".join(parts[int(number)] for number in listed))
        return web.Response()

    async def part(self, request: web.Request) -> web.Response:
        number = int(request.query["partNumber"])
        if number == 2 and self._left:
            self._left -= 1
            raise web.HTTPServiceUnavailable
        self.open[request.query["uploadId"]][number] = await request.read()
        return web.Response(headers={"ETag": f'"{number}"'})

    async def abort(self, request: web.Request) -> web.Response:
        del self.open[request.query["uploadId"]]
        return web.Response(status=204)


@asynccontextmanager
async def listening(store: Store) -> AsyncIterator[str]:
    app = web.Application(client_max_size=2**23)
    app.router.add_post("/backups/dump", store.begin_or_complete)
    app.router.add_put("/backups/dump", store.part)
    app.router.add_delete("/backups/dump", store.abort)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/backups/dump"
    finally:
        await runner.cleanup()


async def test_a_folder_is_stored_in_parts_and_once_more_where_the_store_fails(
    person: GnuPG, tmp_path: Path
) -> None:
    store = Store(failures=1)
    (tmp_path / "file").write_bytes(os.urandom(6 * 2**20))
    command = ["tar", "-cf", "-", "-C", str(tmp_path), "file"]
    async with listening(store) as url:
        common = ("store_dump.py", "--home", person.home, "--to", person.email, url)
        said = await asyncio.to_thread(run, *common, *command)

    assert said == b"2 parts\n"
    assert store.begun == 2
    assert store.open == {}
    (stored,) = store.objects
    async with person.decrypt_stream([stored]) as plain:
        with tarfile.open(fileobj=io.BytesIO(await plain.read())) as archive:
            member = archive.extractfile("file")
            assert member is not None
            assert member.read() == (tmp_path / "file").read_bytes()


@pytest.mark.parametrize(("failures", "command"), [(9, "yes"), (0, "no")])
async def test_nothing_is_stored_of_what_fails(person: GnuPG, failures: int, command: str) -> None:
    store = Store(failures)
    writes = "head -c 12000000 /dev/urandom; exit $0"
    async with listening(store) as url:
        common = ("store_dump.py", "--home", person.home, "--to", person.email, url)
        code = "0" if command == "yes" else "3"
        with pytest.raises(AssertionError, match="Unavailable" if failures else "sh ended with 3"):
            await asyncio.to_thread(run, *common, "sh", "-c", writes, code)

    assert store.begun == (3 if failures else 1)
    assert store.objects == []
    assert store.open == {}


# -- backup --------------------------------------------------------------------------------


async def test_a_folder_comes_back_from_its_backup(
    person: GnuPG, other_home: Path, tmp_path: Path
) -> None:
    folder, backup, again = tmp_path / "folder", tmp_path / "backup.gpg", tmp_path / "again"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "ünïcode").write_bytes(os.urandom(300_000))
    (folder / "link").symlink_to("deep")
    async with GnuPG(homedir=other_home) as server:
        await server.text_import(await person.text_export())

    run("backup_folder.py", "backup", "--home", other_home, "--to", person.email, folder, backup)
    run(
        *("backup_folder.py", "restore", "--home", person.home, backup, again),
        BACKUP_PASSPHRASE=person.passphrase,
    )

    assert (again / "deep/er/ünïcode").read_bytes() == (folder / "deep/er/ünïcode").read_bytes()
    assert (again / "link").readlink() == Path("deep")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "backup.gpg", "folder"]


async def test_a_backup_that_fails_ends_and_leaves_no_file(home: Path, tmp_path: Path) -> None:
    backups = module("backup_folder")
    (tmp_path / "big").write_bytes(os.urandom(2**20))
    async with GnuPG(homedir=home) as gpg:
        with pytest.raises(LookupError):
            await backups.backup(gpg, tmp_path, "nobody@example.org", home / "backup.gpg")

    assert not (home / "backup.gpg").exists()


# -- mail ----------------------------------------------------------------------------------


async def test_a_signed_mail_verifies_as_rfc_3156_says(person: GnuPG) -> None:
    arguments = ("--home", person.home, "--as", person.email)
    mail = run("mail_signer.py", *arguments, stdin=MAIL, MAIL_PASSPHRASE=person.passphrase)
    parsed: Any = email.message_from_bytes(mail, policy=email.policy.default)
    text, signature = parsed.iter_parts()

    assert parsed.get_content_type() == "multipart/signed"
    assert parsed["Content-Type"].params["micalg"] == "pgp-sha512"
    assert parsed["Content-Type"].params["protocol"] == "application/pgp-signature"
    assert signature.get_content_type() == "application/pgp-signature"
    assert parsed["Subject"] == "Grüße"
    assert text.get_content().replace("\r\n", "\n") == MAIL.decode().partition("\n\n")[2]
    assert mail.isascii()
    assert all(line.endswith(b"\r\n") for line in mail.splitlines(keepends=True))
    # The bytes between the boundaries, cut out by hand, are what the signature covers.
    boundary = b"--" + parsed.get_boundary().encode() + b"\r\n"
    signed = mail.split(boundary)[1].removesuffix(b"\r\n")
    assert not re.search(rb"[ \t]\r\n|^From ", signed, re.MULTILINE)
    (found,) = (await person.verify(signed, signature.get_content())).signatures
    assert found.primary_fingerprint == person.fingerprint
    assert found.hash is HashAlgorithm.SHA512


# -- bulk ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [["--workers", "2"], ["--workers", "2", "--dask", "local"]])
async def test_a_folder_is_encrypted_by_several_workers(
    person: GnuPG, tmp_path: Path, how: list[str]
) -> None:
    source, target, key = tmp_path / "source", tmp_path / "target", tmp_path / "key.asc"
    source.mkdir()
    for number in range(70):
        (source / f"{number:02}").write_text(f"file {number}")
    key.write_text(await person.text_export())
    with clean_home() as temporary:
        temporary.mkdir(exist_ok=True)
        said = run("bulk_encrypt.py", "--key", key, *how, source, target, TMPDIR=str(temporary))
        assert [path.name for path in temporary.iterdir() if path.name.startswith("tgbulk")] == []

    assert said.decode().splitlines()[-1] == "70 files"
    written = sorted(target.iterdir())
    assert len(written) == 70
    plain = [one async for one in person.decrypt_many(path.read_bytes() for path in written)]
    assert plain == [f"file {number}".encode() for number in range(70)]


def module(name: str) -> ModuleType:
    """Load an example as a module."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made
