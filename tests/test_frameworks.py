"""docs/threads.rst: each of its programs on the real server or worker, and 24 calls at once."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.tor.network import free_ports
from tiny_gnupg import GnuPG

CHECKOUT = Path(__file__).parents[1]
PAGE = (CHECKOUT / "docs" / "threads.rst").read_text()
CALLS = 24
pytestmark = pytest.mark.usefixtures("shipped")
LETTERS = [f"letter {number}, é" for number in range(CALLS)]


def needs(package: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"NOT TESTED: {package} is not installed")


def program(title: str) -> str:
    """Return the program of a section of the page."""
    _, _, section = PAGE.partition(f"\n{title}\n{'-' * len(title)}\n")
    found = re.search(r"code-block:: python\n\n((?:   .*\n|\n)+)", section)
    assert found
    return textwrap.dedent(found[1])


@pytest.fixture
async def letters(home: Path) -> AsyncIterator[list[str]]:
    """Messages to the service, every second one signed."""
    async with GnuPG("Service", "service@example.org", "correct horse", homedir=home) as gpg:
        await gpg.gen_key()
        yield [str(await gpg.encrypt(text, sign=bool(n % 2))) for n, text in enumerate(LETTERS)]


@contextmanager
def running(home: Path, folder: Path, *command: str, **more: str) -> Iterator[Path]:
    """Run Python with some arguments in a folder, and end it as Ctrl-C does; gives its output."""
    path = os.pathsep.join([str(CHECKOUT), str(folder)])
    environment = {"PYTHONPATH": path, "SERVICE_HOME": str(home)} | more
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=os.environ | environment | {"SERVICE_PASSPHRASE": "correct horse"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield log
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()


def wait_for(pattern: str, log: Path) -> re.Match[str]:
    """Wait until a program has written something."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if found := re.search(pattern, log.read_text()):
            return found
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def post(url: str, data: str) -> tuple[int, str]:
    """Ask a service; return the status and the body."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, data.encode(), timeout=120) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def require_all(url: str, letters: list[str]) -> None:
    """Send all messages at once, and what is none."""
    with ThreadPoolExecutor(CALLS) as pool:
        answers = list(pool.map(post, [url] * CALLS, letters))
    assert answers == [(200, text) for text in LETTERS]
    status, said = post(url, letters[0][:-200])
    assert (status, "letter" in said) == (400, False)


@needs("flask")
def test_flask(home: Path, letters: list[str], tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(program("Flask"))

    with running(home, tmp_path, "-m", "flask", "--app", "service", "run", "--port", "0") as log:
        url = wait_for(r"Running on (http://127\.0\.0\.1:\d+)", log)[1]
        require_all(f"{url}/open", letters)


@needs("django")
def test_django(home: Path, letters: list[str], tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(program("Django"))
    (tmp_path / "settings.py").write_text(
        "SECRET_KEY = 'x'\nALLOWED_HOSTS = ['127.0.0.1']\nROOT_URLCONF = 'service'\n"
    )
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"

    command = ("-u", "-m", "django", "runserver", "--noreload", "--skip-checks", url[7:])
    with running(home, tmp_path, *command, DJANGO_SETTINGS_MODULE="settings") as log:
        wait_for(re.escape(url), log)
        require_all(f"{url}/open", letters)
        require_all(f"{url}/open-awaited", letters)


#: Celery with its queue in a folder; ``send`` as its program does what a caller does.
BROKER = """
import sys, json
from pathlib import Path
from letters import app, gpg, open_letter, run
app.conf.update(
    broker_url="filesystem://",
    broker_transport_options=dict.fromkeys(["data_folder_in", "data_folder_out"], "queue"),
    result_backend=f"file://{Path('results').absolute()}",
)
run(gpg.list_keys())
if __name__ == "__main__":
    sent = [open_letter.delay(letter) for letter in json.loads(Path("sent").read_text())]
    print(json.dumps([one.get(timeout=120) for one in sent]))
    run(gpg.aclose())
"""


@needs("celery")
def test_celery(home: Path, letters: list[str], tmp_path: Path) -> None:
    (tmp_path / "letters.py").write_text(program("Celery"))
    (tmp_path / "queued.py").write_text(BROKER)
    (tmp_path / "sent").write_text(json.dumps(letters))
    for folder in ("queue", "results"):
        (tmp_path / folder).mkdir()

    worker = ("-m", "celery", "-A", "queued", "worker", "--concurrency", "4", "--loglevel", "INFO")
    with running(home, tmp_path, *worker) as log:
        wait_for(r"ready\.", log)
        done = subprocess.run(
            [sys.executable, "queued.py"],
            cwd=tmp_path,
            env=os.environ
            | {"PYTHONPATH": str(CHECKOUT)}
            | {"SERVICE_HOME": str(home), "SERVICE_PASSPHRASE": "correct horse"},
            capture_output=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, (done.stderr.decode(), log.read_text())
    assert json.loads(done.stdout) == LETTERS
