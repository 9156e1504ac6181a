"""Signatures that gpg takes for good: by a broken hash, or dated ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.instances import PlainGpg
from tests.leftovers import clean_home
from tests.signed import DATA
from tiny_gnupg import GnuPG, SignatureError, SignatureStatus

#: No attack succeeds where a gpg waited for the message, or the message flows.
pytestmark = pytest.mark.usefixtures("every_way")

WEAK = ("MD5", "SHA1", "RIPEMD160")
FUTURE = ("--faked-system-time", "20990101T000000!")
WAYS = {
    **{name: (("--digest-algo", name), SignatureStatus.WEAK_DIGEST) for name in WEAK},
    "future": (FUTURE, SignatureStatus.FUTURE),
    "future and weak": ((*FUTURE, "--digest-algo", "SHA1"), SignatureStatus.WEAK_DIGEST),
}


@pytest.fixture(scope="module")
def signer() -> Iterator[PlainGpg]:
    """A key that signs with any hash: RSA, because those on curves refuse a short one."""
    with clean_home() as home:
        plain = PlainGpg(home)
        who = "Mallory <m@example.net>"
        plain.run("--yes", "--quick-generate-key", who, "rsa2048", "sign", "never")
        yield plain
        plain.end_agent()


@pytest.mark.parametrize("way", WAYS)
async def test_no_such_signature_is_good(
    alice: GnuPG,
    signer: PlainGpg,
    plain_gpg: Callable[..., PlainGpg],
    way: str,
    tmp_path: Path,
) -> None:
    how, status = WAYS[way]
    await alice.text_import(signer.run("--export").stdout)
    loose = ("--allow-weak-digest-algos", *how)
    detached = signer.run(*loose, "--detach-sign", stdin=DATA).stdout
    signed = signer.run(*loose, "--sign", stdin=DATA).stdout
    clear = signer.run(*loose, "--clear-sign", stdin=DATA).stdout
    raw = ("--no-literal", "--trust-model", "always", "-r", alice.fingerprint, "--encrypt")
    sealed = plain_gpg(home=Path(alice.home)).run(*raw, stdin=signed).stdout
    for name, content in {"data": DATA, "data.sig": detached, "sealed.gpg": sealed}.items():
        (tmp_path / name).write_bytes(content)
    for read in (
        alice.verify(DATA, detached),
        alice.verify(signed),
        alice.verify(clear),
        alice.decrypt(signed),
        alice.decrypt(sealed),
        alice.verify_file(tmp_path / "data", tmp_path / "data.sig"),
        alice.decrypt_file(tmp_path / "sealed.gpg"),
        anext(alice.decrypt_many([sealed])),
        anext(alice.verify_many([signed])),
    ):
        with pytest.raises(SignatureError) as caught:
            await read
        assert [one.status for one in caught.value.signatures] == [status]
        assert "changed" not in caught.value.diagnostics()
    found = await alice.decrypt_verify(sealed)
    assert [(one.status, one.good) for one in found.signatures] == [(status, False)]
    assert not found.signed_by(found.signatures[0].fingerprint)


async def test_of_today_and_with_a_long_hash_it_is(alice: GnuPG, signer: PlainGpg) -> None:
    await alice.text_import(signer.run("--export").stdout)
    for digest in ("SHA224", "SHA256", "SHA512"):
        signed = signer.run("--digest-algo", digest, "--sign", stdin=DATA).stdout
        assert (await alice.verify(signed)).data == DATA
