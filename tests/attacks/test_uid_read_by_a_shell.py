"""A uid with a shell's special characters is taken as it is, and names a key that has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.instances import PlainGpg
from tiny_gnupg import GnuPG, KeyNotFound

COMMANDS = (
    "`touch pwned`",
    "$(touch pwned)",
    "x; touch pwned",
    "x & touch pwned",
    "x | touch pwned",
    "x > pwned",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "x\ntouch pwned\n",
    "$HOME ${IFS} * ? [a-z] ~ \\ !",
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("text", COMMANDS)
async def test_it_is_no_command(alice: GnuPG, here: Path, text: str) -> None:
    with pytest.raises(KeyNotFound) as caught:
        await alice.encrypt("text", text)
    assert caught.value.value == text
    with pytest.raises(KeyNotFound):
        await alice.text_export(text)
    assert await alice.list_keys(text) == {}
    assert list(here.iterdir()) == []


async def test_it_names_the_key_that_has_it(
    alice: GnuPG, plain_gpg: Callable[..., PlainGpg], here: Path
) -> None:
    """Nothing is dropped or escaped on the way: the whole text finds its key."""
    name = "`touch pwned` $(touch pwned); 'touch' \"pwned\" | $HOME * \\ & x"
    plain = plain_gpg()
    fingerprint = plain.new_key(name, algorithm="ed25519", usage="sign")
    await alice.text_import(plain.run("--export").stdout)
    assert await alice.key_fingerprint(name) == fingerprint
    assert list(here.iterdir()) == []


async def test_the_line_for_a_shell_is_quoted(alice: GnuPG) -> None:
    """What is shown may be pasted: a shell reads the same words back."""
    import shlex

    command = alice.command("--list-keys", "--", *COMMANDS)
    assert shlex.split(alice.shell_command(command)) == command
