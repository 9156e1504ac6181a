"""What an administrator wrote into /etc/gnupg: it cannot change what this library promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.namespaces import mount_namespace
from tests.features import has, skip
from tests.namespaces import run_program
from tests.peers import gpg24 as peer
from tiny_gnupg._process.find_gpg import find_executable
from tiny_gnupg._process.system_options import directories

#: A copy of /etc of its own.
COPY = (
    'cp -a /etc "$1" 2>/dev/null; mkdir -p "$1/gnupg"; mount --bind "$1" /etc && shift; exec "$@"'
)


def said(home: Path, copy: Path, options: str, common: str = "", gpg: str = "") -> str:
    namespace = mount_namespace()
    if not namespace:
        pytest.skip("NOT TESTED: this kernel gives us no mount namespace (run as root)")
    prefix = [*namespace, "sh", "-c", COPY, "sh", str(copy)]
    told = run_program("options_of_the_machine", home, gpg, options, common, prefix=prefix)
    return told.strip()


@pytest.mark.parametrize(
    "options",
    [
        "encrypt-to bob@example.org",
        "hidden-encrypt-to bob@example.org",
        "encrypt-to bob@example.org\ndefault-recipient-self\n# output /tmp/x\n",
        "throw-keyids",
        "comment evil\nemit-version",
        "digest-algo SHA1\ncert-digest-algo SHA1\npersonal-digest-preferences SHA1",
        "default-recipient bob@example.org\ndefault-key bob@example.org",
        "allow-non-selfsigned-uid",
    ],
)
def test_what_can_be_undone_is_undone(alices_home: Path, tmp_path: Path, options: str) -> None:
    assert said(alices_home, tmp_path / "etc", f"{options}\n") == "served"


@pytest.mark.parametrize(
    "options",
    [
        "output /tmp/evil",
        "--output /tmp/evil",
        "recipient bob@example.org",
        "local-user bob@example.org",
        "keyring /tmp/evil.kbx",
        "no-default-keyring",
        "[+ignore]\nno-encrypt-to\n[-ignore]",
        "cipher-algo 3DES",
        "dry-run",
    ],
)
def test_what_nothing_undoes_is_refused(alices_home: Path, tmp_path: Path, options: str) -> None:
    assert said(alices_home, tmp_path / "etc", f"{options}\n") == "refused"


def test_keyboxd_for_all_is_served_by_a_gpg_that_has_it(alices_home: Path, tmp_path: Path) -> None:
    gpg = peer.gpg24()
    keyboxd = gpg.parents[1] / "lib/gnupg/keyboxd"
    common = f"use-keyboxd\nkeyboxd-program {keyboxd}\n"
    assert said(alices_home, tmp_path / "etc", "", common, str(gpg)) == "served"


def test_keyboxd_for_all_is_nothing_to_a_gpg_without(alices_home: Path, tmp_path: Path) -> None:
    if has("keyboxd") and Path("/etc/gnupg") in directories(find_executable()):
        skip("has keyboxd, and reads /etc/gnupg/common.conf")
    assert said(alices_home, tmp_path / "etc", "", "use-keyboxd\n") == "served"
