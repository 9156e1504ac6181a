"""Several signatures of different kinds in one block, of which gpg checks the first alone."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.instances import PlainGpg
from tests.openpgp import literal
from tests.signed import DATA
from tiny_gnupg import GnuPG, SignatureError, SignatureStatus
from tiny_gnupg._openpgp.packets import frame

#: No attack succeeds where a gpg waited for the message, or the message flows.
pytestmark = pytest.mark.usefixtures("every_way")

KINDS = ("binary", "text", "bad text", "other hash")


@pytest.fixture
def made(plain_gpg: Callable[..., PlainGpg]) -> tuple[bytes, dict[str, bytes]]:
    """Two keys, and their detached signatures of each kind."""
    plain = plain_gpg()
    for name in ("good", "mallory"):
        who = f"{name} <{name}@example.org>"
        plain.run("--yes", "--quick-generate-key", who, "ed25519", "sign", "never")

    def sign(name: str, *how: str, data: bytes = DATA) -> bytes:
        return plain.run("-u", f"<{name}@example.org>", *how, "--detach-sign", stdin=data).stdout

    return plain.run("--export").stdout, {
        "binary": sign("good", "--digest-algo", "SHA256"),
        "text": sign("mallory", "--textmode", "--digest-algo", "SHA256"),
        "bad text": sign("mallory", "--textmode", "--digest-algo", "SHA256", data=b"other"),
        "other hash": sign("mallory", "--digest-algo", "SHA512"),
    }


def prefixed(*signatures: bytes) -> bytes:
    """Put signatures before a message, as PGP 2 did (RFC 9580, 10.3)."""
    return b"".join(signatures) + literal(DATA)


async def refused(read: Awaitable[object]) -> list[SignatureStatus]:
    with pytest.raises(SignatureError) as caught:
        await read
    found = [one.status for one in caught.value.signatures]
    assert len(found) == 2
    return found


@pytest.mark.parametrize(
    "kinds", [pair for pair in itertools.permutations(KINDS[:3], 2) if "binary" in pair]
)
async def test_detached(
    alice: GnuPG, made: tuple[bytes, dict[str, bytes]], kinds: tuple[str, str], tmp_path: Path
) -> None:
    keys, signatures = made
    await alice.text_import(keys)
    block = b"".join(signatures[kind] for kind in kinds)
    found = await refused(alice.verify(DATA, block))
    assert found[1] is SignatureStatus.ERRSIG
    (tmp_path / "data").write_bytes(DATA)
    (tmp_path / "data.sig").write_bytes(block)
    assert await refused(alice.verify_file(tmp_path / "data", tmp_path / "data.sig")) == found


@pytest.mark.parametrize("kinds", [("binary", "bad text"), ("binary", "other hash")])
async def test_before_a_message_in_the_clear_and_inside_of_an_encrypted_one(
    alice: GnuPG,
    made: tuple[bytes, dict[str, bytes]],
    kinds: tuple[str, str],
    plain_gpg: Callable[..., PlainGpg],
    tmp_path: Path,
) -> None:
    keys, signatures = made
    await alice.text_import(keys)
    message = prefixed(*(signatures[kind] for kind in kinds))
    plain = plain_gpg(home=Path(alice.home))
    raw = ("--no-literal", "--trust-model", "always", "-r", alice.fingerprint, "--encrypt")
    sealed = plain.run(*raw, stdin=message).stdout
    path = tmp_path / "sealed.gpg"
    path.write_bytes(sealed)
    for read in (
        alice.verify(message),
        alice.decrypt(message),
        alice.decrypt(sealed),
        alice.decrypt_file(path),
    ):
        assert SignatureStatus.ERRSIG in await refused(read)
    assert not (tmp_path / "sealed").exists()
    for one in (message, sealed):
        found = await alice.decrypt_verify(one)
        assert [signature.good for signature in found.signatures][1:] == [False]
        many = alice.decrypt_many([one], return_exceptions=True)
        assert [type(each) async for each in many] == [SignatureError]
    verified = alice.verify_many([message], return_exceptions=True)
    assert [type(each) async for each in verified] == [SignatureError]


async def test_those_of_one_kind_are_all_checked(
    alice: GnuPG, made: tuple[bytes, dict[str, bytes]]
) -> None:
    keys, signatures = made
    await alice.text_import(keys)
    both = signatures["binary"] + signatures["other hash"]
    found = await alice.verify(DATA, both)
    assert len(found.signatures) == len(frame(both)) == 2
