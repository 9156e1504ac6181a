"""The programs that these tests talk to, each started on loopback and ended by its process id."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .network import free_ports

CHECKOUT = Path(__file__).parents[2]
START = 20.0


class DidNotStart(RuntimeError):
    """A program did not come up in time."""


@contextlib.contextmanager
def server(module: str, *arguments: str) -> Iterator[int]:
    """Run one of this package's servers as a process of its own; gives its port.

    It ends when its standard input does, so it cannot outlive the test run, however that ends.

    Raises:
        DidNotStart: where it says nothing within ``START`` seconds.
    """
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(
        command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    # A timer ends a server that says nothing, and with it the wait for its first line.
    watch = threading.Timer(START, process.kill)
    watch.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        watch.cancel()
        found = re.fullmatch(r"listening on (\d+)\n", line)
        if found is None:
            raise DidNotStart(f"{module} said {line!r}")
        yield int(found[1])
    finally:
        watch.cancel()
        end(process)


@dataclass(frozen=True)
class KeyserverProcess:
    """The test keyserver as a process, with the levers that only tests have."""

    port: int

    def lever(self, path: str, body: object = None) -> Any:
        """Use one of its ``/-test/`` paths."""
        return self._json(f"-test/{path}", body)

    def post(self, path: str, body: object) -> Any:
        """Send JSON to one of its paths, on loopback and by none of the library's code."""
        return self._json(path, body)

    def _json(self, path: str, body: object) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", data)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            return json.loads(answer.read())

    def confirm_all(self) -> list[str]:
        """Follow the link in every mail so far; gives the addresses."""
        return [self.lever(f"confirm/{mail['id']}", {})["to"] for mail in self.lever("outbox")]


@contextlib.contextmanager
def keyserver_server() -> Iterator[KeyserverProcess]:
    """Run the test keyserver."""
    with server("tests.tor.keyserver") as port:
        yield KeyserverProcess(port)


@contextlib.contextmanager
def sks() -> Iterator[int]:
    """Run Debian's ``sks`` with an empty database; gives the port of its HKP.

    Raises:
        DidNotStart: where it does not answer within ``START`` seconds.
    """
    folder = Path(tempfile.mkdtemp(prefix="tgsks", dir="/tmp"))
    port, recon = free_ports(2)
    settings = {
        "hostname": "localhost",
        "hkp_address": "127.0.0.1",
        "hkp_port": port,
        "recon_address": "127.0.0.1",
        "recon_port": recon,
        "disable_mailsync": "",
        "debuglevel": 0,
    }
    # Debian's sks keeps to the system's layout below its base directory.
    for part in ("etc/sks", "var/lib/sks/DB", "var/run/sks", "var/spool/sks"):
        (folder / part).mkdir(parents=True)
    lines = (f"{name}: {value}\n" for name, value in settings.items())
    (folder / "etc/sks/sksconf").write_text("".join(lines))
    (folder / "etc/sks/membership").write_text("")
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [find("sks") or "sks", "db", "-basedir", str(folder), "-stdoutlog"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _await_http(f"http://127.0.0.1:{port}/pks/lookup?op=stats", process, folder / "output")
        yield port
    finally:
        end(process)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class TlsDirectory:
    """A folder served over TLS on loopback, and what trusts its certificate."""

    port: int
    trust: ssl.SSLContext


class _Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing on the terminal."""


@contextlib.contextmanager
def tls_server(folder: Path, names: Sequence[str]) -> Iterator[TlsDirectory]:
    """Serve a folder over TLS, with a certificate made for these names alone."""
    with tempfile.TemporaryDirectory(prefix="tgtls", dir="/tmp") as secrets:
        key, certificate = Path(secrets) / "key", Path(secrets) / "certificate"
        subject = ["-subj", "/CN=test", "-addext"]
        subject.append("subjectAltName=" + ",".join(f"DNS:{name}" for name in names))
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
        files = ["-keyout", str(key), "-out", str(certificate)]
        command = ["openssl", "req", "-x509", *kind, *subject, *files]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own.load_cert_chain(certificate, key)
        trust = ssl.create_default_context(cafile=str(certificate))
    handler = functools.partial(_Files, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        web.socket = own.wrap_socket(web.socket, server_side=True)
        thread = threading.Thread(target=web.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield TlsDirectory(web.server_port, trust)
        finally:
            web.shutdown()
            thread.join()


def find(program: str) -> str | None:
    """Find a program, also where Debian puts those of system services."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")


def end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """End a process that we started, and wait until it is gone."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _await_http(url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            opener.open(url, timeout=2).close()
        except urllib.error.HTTPError as answer:
            answer.close()
        except OSError:
            time.sleep(0.02)
            continue
        return
    raise DidNotStart(output.read_text(errors="replace")[-2000:])
