"""The options that a machine's administrator wrote for all users: gpg reads them beside ours.

No option of gpg's keeps it from ``/etc/gnupg/gpg.conf``. That file comes first, so ours win over
most of what it says, and ``ALWAYS`` undoes what adds recipients. What nothing undoes (``output``,
``recipient``, ``local-user``, ``keyring``, a block that has our options ignored) would make gpg do
something else than it is told: with such a line nothing is run.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tiny_gnupg._process.find_gpg import manifest_of

#: What changes nothing of what this library promises: it is overridden, undone, or for people.
_HARMLESS = """
agent-program allow-non-selfsigned-uid ask-cert-expire ask-cert-level auto-key-locate
auto-key-retrieve bzip2-compress-level cert-digest-algo charset comment compress-level
default-cert-expire default-cert-level default-key default-keyserver-url default-new-key-algo
default-preference-list default-recipient default-recipient-self digest-algo dirmngr-program
disable-dirmngr display-charset emit-version encrypt-to encrypt-to-default-key expert
fixed-list-mode hidden-encrypt-to include-key-block keyid-format keyserver keyserver-options
list-options min-cert-level no-allow-non-selfsigned-uid no-auto-key-import no-auto-key-locate
no-auto-key-retrieve no-comments no-emit-version no-encrypt-to no-greeting no-random-seed-file
no-secmem-warning no-symkey-cache no-throw-keyids no-tty no-utf8-strings no-verbose
personal-aead-preferences personal-cipher-preferences personal-compress-preferences
personal-digest-preferences photo-viewer quiet require-cross-certification s2k-cipher-algo
s2k-count s2k-digest-algo s2k-mode throw-keyids use-agent utf8-strings verbose verify-options
weak-digest with-fingerprint with-key-data with-keygrip with-subkey-fingerprint
"""
HARMLESS = frozenset(_HARMLESS.split())


def directories(executable: Path) -> list[Path]:
    """Return where a gpg may look for such files: a distribution's, and one of its own prefix.

    One that was built for a bundle has a directory of its own, which its manifest names.
    """
    with suppress(KeyError, TypeError):
        return [Path(manifest_of(executable.resolve().parent)["sysconfdir"])]
    own = executable.resolve().parent.parent / "etc/gnupg"
    return list(dict.fromkeys((Path("/etc/gnupg"), own)))


def refused_option(executable: Path) -> str:
    """Return the line of a machine's options that nothing undoes, in words, or ``""``."""
    for directory in directories(executable):
        for line in _lines(directory / "gpg.conf"):
            if line.split()[0].removeprefix("--") not in HARMLESS:
                return f"{directory / 'gpg.conf'} says {line!r}"
    return ""


def asks_for_keyboxd(executable: Path) -> bool:
    """Return whether a machine's options have all public keys kept by keyboxd (GnuPG 2.4)."""
    return any(
        "use-keyboxd" in _lines(directory / "common.conf") for directory in directories(executable)
    )


def _lines(path: Path) -> list[str]:
    try:
        lines = map(str.strip, path.read_text(errors="replace").splitlines())
    except OSError:  # not there; where it cannot be read, gpg cannot either
        return []
    return [line for line in lines if line and not line.startswith("#")]
