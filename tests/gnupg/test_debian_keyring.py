"""The keys of Debian's developers: 905 real keys, in the whole way from gpg to the caller.

What the library says is held against two readings that share nothing with it: gpg's own colon
output, taken apart here, and the packets of the keyring, as another implementation reads them.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.homes import DEBIAN_KEYRING
from tests.instances import gpg_behind
from tests.leftovers import clean_home
from tiny_gnupg import Capability, GnuPG, Key, Subkey
from tiny_gnupg._process.find_gpg import find_executable

pytestmark = pytest.mark.skipif(
    not DEBIAN_KEYRING.exists(), reason="Debian's keyring is not here (apt install debian-keyring)"
)

#: What the keyring holds at least, in any release of it: else it is not the one that is meant.
MANY = 500


@dataclass(frozen=True)
class Reading:
    """What gpg's colon output says, one dict a record, as it stands there."""

    records: list[dict[str, Any]]

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["kind"] in kinds]


@dataclass(frozen=True)
class World:
    """The keyring in a home, what the library says of it, and how many gpgs that took."""

    gpg: GnuPG
    keys: tuple[Key, ...]
    reading: Reading
    runs: Path

    def counted(self, call: Callable[[], Any]) -> tuple[Any, int]:
        """Await what a call gives; tell how many gpgs were started for it."""
        before = len(self.runs.read_text().splitlines())
        result = asyncio.run(call())
        return result, len(self.runs.read_text().splitlines()) - before


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("counting")
    runs, real = folder / "runs", find_executable()
    wrapper = gpg_behind(folder / "gpg", f"echo >>{shlex.quote(str(runs))}")
    with clean_home() as home:
        home.mkdir(mode=0o700, exist_ok=True)
        # As gpg 2.0 kept its keys, and every later gpg still reads them: no import of a minute.
        shutil.copy(DEBIAN_KEYRING, home / "pubring.gpg")
        listing = subprocess.run(
            [real, "--homedir", home, "--with-colons", "--with-keygrip", "--list-keys"],
            capture_output=True,
            check=True,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        gpg = GnuPG(homedir=home, executable=wrapper)
        try:
            keys = asyncio.run(gpg.keys())
            yield World(gpg, keys, read(listing.stdout), runs)
        finally:
            asyncio.run(gpg.aclose())


NAMES = [
    *("kind", "validity", "bits", "algorithm", "key_id", "created", "expires", "hash"),
    *("ownertrust", "text", "_", "letters"),
]


def read(output: bytes) -> Reading:
    """Take the output apart: field 17 is the curve, the others stand under their names."""
    records = []
    for line in output.decode("utf-8", "surrogateescape").splitlines():
        fields = line.split(":") + [""] * 20
        record = dict(zip(NAMES, fields, strict=False)) | {"curve": fields[16]}
        record["text"] = re.sub(r"\\x(..)", lambda match: chr(int(match[1], 16)), record["text"])
        records.append(record)
    return Reading(records)


def seconds(moment: datetime | None) -> str:
    return (
        ""
        if moment is None
        else str(round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()))
    )


def parts_of(keys: tuple[Key, ...]) -> list[Key | Subkey]:
    parts: list[Key | Subkey] = []
    for key in keys:
        parts += [key, *key.subkeys]
    return parts


def test_every_fingerprint_and_keygrip_is_that_of_gpg(world: World) -> None:
    parts = parts_of(world.keys)
    assert len(world.keys) == len(world.reading.of("pub")) > MANY
    assert [part.fingerprint for part in parts] == [one["text"] for one in world.reading.of("fpr")]
    assert [part.keygrip for part in parts] == [one["text"] for one in world.reading.of("grp")]
    assert all(part.fingerprint.endswith(part.key_id) for part in parts)


def test_every_field_of_a_key_is_that_of_gpg(world: World) -> None:
    now = datetime.now(UTC).timestamp()
    for part, said in zip(parts_of(world.keys), world.reading.of("pub", "sub"), strict=True):
        letters = {letter for letter in said["letters"] if letter.islower() or letter == "?"}
        date = said["expires"]
        assert {
            "key_id": part.key_id,
            "algorithm": str(int(part.algorithm)),
            "bits": str(part.bits),
            "curve": part.curve,
            "created": seconds(part.created),
            "expires": seconds(part.expires),
        }.items() <= said.items()
        assert {capability.value for capability in part.capabilities} == letters
        assert part.revoked == (said["validity"] == "r")
        # gpg says of a key that is revoked no more than that; the date is told all the same.
        assert part.expired == (said["validity"] == "e" or (bool(date) and int(date) <= now))
        assert not part.secret


def test_every_flag_of_a_whole_key_is_that_of_gpg(world: World) -> None:
    for key, said in zip(world.keys, world.reading.of("pub"), strict=True):
        assert key.disabled == ("D" in said["letters"])
        # gpg's capital letters are those that the whole key can still be used for.
        for capability in (Capability.ENCRYPT, Capability.SIGN):
            usable = capability.value.upper() in said["letters"]
            assert key.usable_for(capability) == usable, (key.fingerprint, said["letters"])
    assert sum(key.expired for key in world.keys) > 100


def test_every_user_id_is_that_of_gpg(world: World) -> None:
    user_ids = [user_id for key in world.keys for user_id in key.user_ids]
    for user_id, said in zip(user_ids, world.reading.of("uid", "uat"), strict=True):
        assert user_id.text == said["text"]
        assert user_id.attribute == (said["kind"] == "uat")
        assert (user_id.hash, seconds(user_id.created)) == (said["hash"], said["created"])
        assert user_id.revoked == (said["validity"] == "r")
        if not user_id.attribute:
            assert user_id.email == address(user_id.text)
    assert sum(not user_id.text.isascii() for user_id in user_ids) > 100
    assert sum("@" not in user_id.text for user_id in user_ids) > 10


def address(text: str) -> str:
    """Find the address as a person would: in the brackets, or the whole text."""
    bracketed = re.search(r"<([^<>\s]+@[^<>\s]+)>", text)
    if bracketed:
        return bracketed[1]
    return text if re.fullmatch(r"[^\s<>()\"]+@[^\s<>()\"]+", text) else ""


def test_list_keys_gives_the_same_with_one_gpg(world: World) -> None:
    found, runs = world.counted(world.gpg.list_keys)
    assert runs == 1
    assert found == {key.fingerprint: key.email for key in world.keys}
    addresses: dict[str, str] = {}
    fingerprint = ""
    for record in world.reading.records:
        if record["kind"] == "pub":
            fingerprint = ""
        elif record["kind"] == "fpr" and not fingerprint:
            fingerprint = record["text"]
            addresses[fingerprint] = ""
        elif record["kind"] == "uid" and record["validity"] != "r":
            addresses[fingerprint] = addresses[fingerprint] or address(record["text"])
    assert found == addresses


def test_keys_takes_one_gpg_whatever_their_number(world: World) -> None:
    found, runs = world.counted(world.gpg.keys)
    assert (len(found), runs) == (len(world.keys), 1)


def test_the_human_and_the_colon_listing_give_one_dict(world: World) -> None:
    human, runs = world.counted(world.gpg.raw_list_keys)
    assert runs == 1
    colons, _ = world.counted(
        lambda: world.gpg.read_output(world.gpg.command("--with-colons", "--list-keys"))
    )
    from_human, none = world.counted(lambda: asyncio.to_thread(world.gpg.format_list_keys, human))
    assert none == 0
    assert len(from_human) == len(world.keys)
    assert from_human == world.gpg.format_list_keys(colons)
    assert from_human == {key.fingerprint: key.email for key in world.keys}


def test_another_implementation_reads_the_same_keys(world: World) -> None:
    pysequoia = pytest.importorskip("pysequoia", reason="PySequoia is not here")
    certificates = pysequoia.Cert.split_file(str(DEBIAN_KEYRING))
    ours = {key.fingerprint: key for key in world.keys}
    assert {cert.fingerprint.upper() for cert in certificates} == set(ours)
    read = 0
    for cert in certificates:
        try:
            theirs = {str(user_id) for user_id in cert.user_ids}
        except RuntimeError:
            continue  # it gives no user ids of a key that it holds to be invalid (SHA-1, expired)
        # It leaves out what is revoked or not validly bound; it never has one more.
        assert theirs <= {user_id.text for user_id in ours[cert.fingerprint.upper()].user_ids}
        read += 1
    assert read > len(certificates) / 2


def test_one_of_many_is_found_by_each_of_its_names(world: World) -> None:
    key = next(key for key in world.keys if not key.revoked and key.email.isascii() and key.email)
    for uid in (key.fingerprint, key.key_id, key.email):
        found, runs = world.counted(lambda uid=uid: world.gpg.keys(uid))  # type: ignore[misc]
        assert key.fingerprint in {one.fingerprint for one in found}
        assert runs == 1
        if uid == key.email:
            assert all(uid in {user_id.email for user_id in one.user_ids} for one in found)
