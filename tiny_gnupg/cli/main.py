"""The command line: which commands there are, what they take, and how they end.

Exit codes, for scripts:

====  ==========================================================================
0     done
1     an error without a number of its own
2     the arguments do not fit
3     a signature is not good, or is missing
4     no such key, several, or one that cannot be used
5     a passphrase is wrong, or a message cannot be opened
6     Tor or the keyserver
7     no gpg, or a homedir that cannot be used
130   interrupted
====  ==========================================================================
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence

from tiny_gnupg.cli import commands, life
from tiny_gnupg.cli.terminal import (
    STDOUT,
    Report,
    UsageError,
    end_progress,
    show,
    show_error,
)
from tiny_gnupg.errors import (
    AmbiguousKey,
    BadPassphrase,
    BinaryNotFound,
    DecryptionFailed,
    GnuPGError,
    HomeUnusable,
    KeyNotFound,
    KeyserverMismatch,
    NetworkError,
    NotOnKeyserver,
    SignatureError,
    UnusableKey,
)
from tiny_gnupg.version import __version__

Run = Callable[[argparse.Namespace], Awaitable[Report]]


EXIT_CODES: tuple[tuple[tuple[type[Exception], ...], int], ...] = (
    ((UsageError,), 2),
    ((SignatureError,), 3),
    ((KeyNotFound, AmbiguousKey, UnusableKey, NotOnKeyserver), 4),
    ((BadPassphrase, DecryptionFailed), 5),
    ((NetworkError, KeyserverMismatch), 6),
    ((BinaryNotFound, HomeUnusable), 7),
)


INTERRUPTED = 130


EPILOG = """\
a first message to yourself:
  tiny-gnupg gen-key --name Alice --email alice@example.org
  echo hello | tiny-gnupg encrypt -r alice@example.org > hello.asc
  tiny-gnupg decrypt < hello.asc

exit codes: 0 done, 1 error, 2 arguments, 3 signature, 4 key, 5 passphrase or decryption,
6 network, 7 gpg or homedir. Each command explains itself: tiny-gnupg COMMAND --help
"""


_ABOUT_PASSPHRASES = """

The passphrase is asked for on the terminal, or read from a file descriptor or
an environment variable that you name. It is never an argument: others could
read it there."""


#: What a person types first; a test sees to it that each can be parsed.
EXAMPLES = {
    "doctor": ("doctor --offline",),
    "completion": ("completion",),
    "keys": ("keys", "keys alice@example.org --json", "keys --secret --expiring 30d"),
    "gen-key": ("gen-key --name Alice --email alice@example.org --expires 1y",),
    "import": ("import bob.asc", "import < bob.asc"),
    "export": ("export alice@example.org", "export --secret alice@example.org -o alice.asc"),
    "certify": ("certify bob@example.org", "certify bob@example.org --local --as alice"),
    "trust": ("trust bob@example.org full",),
    "renew": ("renew alice@example.org 1y",),
    "rotate": ("rotate alice@example.org --overlap 30d", "rotate alice@example.org --usage sign"),
    "passphrase": ("passphrase alice@example.org",),
    "revoke": (
        "revoke alice@example.org --reason superseded --yes",
        "revoke alice@example.org --user-id alice@old.example --yes",
    ),
    "delete": ("delete bob@example.org --yes", "delete alice@example.org --secret-only --yes"),
    "backup": ("backup /media/stick/keys",),
    "restore": ("restore /media/stick/keys", "restore ~/.gnupg"),
    "encrypt": ("encrypt -r bob@example.org letter.txt", "encrypt -r bob@example.org < letter.txt"),
    "symmetric": ("symmetric letter.txt", "symmetric < letter.txt > letter.asc"),
    "decrypt": ("decrypt letter.txt.gpg", "decrypt --signer bob@example.org < letter.asc"),
    "sign": ("sign letter.txt", "sign --clear < letter.txt"),
    "verify": ("verify letter.txt letter.txt.asc --signer bob@example.org", "verify signed.asc"),
    "publish": ("publish alice@example.org",),
    "wkd": ("wkd bob@example.org",),
    "refresh": ("refresh", "refresh bob@example.org"),
    "find": ("find bob@example.org", "find --import bob@example.org --tor-port 9150"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; default: those of the process.

    Returns:
        The exit code.
    """
    whole = parser()
    arguments = whole.parse_args(argv)
    if sys.stdout is None:
        whole.error("standard output is closed")
    as_json: bool = arguments.json
    if as_json and getattr(arguments, "output", None) == STDOUT:
        whole.error("--json writes to standard output: leave out one of the two, or name a file")
    run: Run = arguments.run
    try:
        report = asyncio.run(_awaited(run, arguments))
        show(report, as_json=as_json)
    except KeyboardInterrupt:
        end_progress()
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone; what Python would flush at its exit has nowhere to go.
        sys.stdout = None
        return 1
    except (GnuPGError, UsageError, OSError, ValueError) as error:
        show_error(error, as_json=as_json)
        return _exit_code(error)
    return report.code


def _exit_code(error: Exception) -> int:
    if isinstance(error, ValueError) and not isinstance(error, GnuPGError):
        return 2  # of an argument, or of a text that cannot be signed that way
    return next((code for kinds, code in EXIT_CODES if isinstance(error, kinds)), 1)


async def _awaited(run: Run, arguments: argparse.Namespace) -> Report:
    return await run(arguments)


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    whole = argparse.ArgumentParser(
        prog="tiny-gnupg",
        description="GnuPG in a home of its own, with its network traffic over Tor.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"tiny_gnupg {__version__}")
    add = _Commands(whole.add_subparsers(title="commands", metavar="COMMAND", required=True))
    _add_first_steps(add)
    _add_keys(add)
    _add_life(add)
    _add_messages(add)
    _add_network(add)
    return whole


class _Commands:
    """Adds commands; each has the options that all have."""

    def __init__(self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        self._subparsers = subparsers

    def __call__(
        self, name: str, run: Run, about: str, *, secret: bool = False, network: bool = False
    ) -> argparse.ArgumentParser:
        """Add a command.

        Args:
            name: its name.
            run: what it does.
            about: a sentence on it.
            secret: it may need a passphrase.
            network: it uses Tor.
        """
        made = self._subparsers.add_parser(
            name,
            help=about,
            description=f"{about[0].upper()}{about[1:]}.",
            epilog=_examples(name) + _ABOUT_PASSPHRASES * secret,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.set_defaults(run=run)
        common = made.add_argument_group("where")
        common.add_argument("--home", metavar="DIR", help="the homedir (or TINY_GNUPG_HOME)")
        common.add_argument("--gpg", metavar="FILE", help="the gpg to run (or TINY_GNUPG_GPG)")
        common.add_argument("--json", action="store_true", help="write the result as JSON")
        if secret:
            _add_passphrase(made)
        if network:
            common.add_argument(
                "--tor-port", type=int, default=9050, metavar="N", help="its SOCKS port (9050)"
            )
            common.add_argument("--keyserver", metavar="URL", help="whom to ask (keys.openpgp.org)")
        return made


def _examples(name: str) -> str:
    return "\n".join(["examples:", *(f"  tiny-gnupg {each}" for each in EXAMPLES[name])])


def _add_passphrase(made: argparse.ArgumentParser, which: str = "") -> None:
    name = f"{which}passphrase"
    one = made.add_argument_group(name.replace("-", " ")).add_mutually_exclusive_group()
    one.add_argument(f"--{name}-fd", type=int, metavar="N", help="read a line from descriptor N")
    one.add_argument(f"--{name}-env", metavar="NAME", help="take it from the variable NAME")
    one.add_argument(f"--no-{name}", action="store_true", help="there is none; do not ask")


def _add_output(made: argparse.ArgumentParser, default: str) -> None:
    made.add_argument(
        *("-o", "--output"),
        type=lambda name: STDOUT if name == "-" else name,
        metavar="FILE",
        help=f"where to write, - is standard output ({default})",
    )
    made.add_argument("--force", action="store_true", help="replace a file that is there")


def _add_size(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--size",
        type=int,
        metavar="BYTES",
        help="how many come on standard input: else there is no whole message, and an error",
    )


def _add_signer(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--as",
        dest="signers_as",
        action="append",
        metavar="UID",
        help="who signs; may be given several times",
    )


def _add_subkey(made: argparse._ActionsContainer, what: str) -> None:
    made.add_argument("--subkey", metavar="FINGERPRINT", help=f"{what} this subkey alone")


def _add_signers(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--signer",
        dest="signers",
        action="append",
        metavar="UID",
        help="who must have signed: fingerprint or whole address; of several, one is enough",
    )


def _add_first_steps(add: _Commands) -> None:
    made = add("doctor", _doctor, "check gpg, home, agent, Tor and keyserver", network=True)
    made.add_argument("--offline", action="store_true", help="leave out Tor and the keyserver")
    add("completion", _completion, 'print what bash completes by: eval "$(tiny-gnupg completion)"')


def _add_keys(add: _Commands) -> None:
    made = add("keys", commands.keys, "list keys")
    made.add_argument(
        "uid", nargs="?", default="", metavar="UID", help="which: fingerprint, address or text"
    )
    made.add_argument("--secret", action="store_true", help="only those whose secret part is here")
    made.add_argument(
        "--expiring", metavar="SPAN", help="only those of which something ends by then"
    )
    made.add_argument("--certifications", action="store_true", help="who certified them, too")
    made = add("gen-key", commands.generate, "make an identity's key", secret=True)
    made.add_argument("--name", default="", help="a person's or service's name")
    made.add_argument("--email", default="", help="the address")
    made.add_argument("--expires", default="3y", help="3y, 6m, 90d, 2030-12-31 or 0 (never)")
    made = add("import", commands.import_keys, "import keys", secret=True)
    made.add_argument("files", nargs="*", metavar="FILE", help="key files (standard input)")
    made = add("export", commands.export, "export a key, armored", secret=True)
    made.add_argument("uids", nargs="+", metavar="UID", help="which: fingerprint or address")
    made.add_argument("--secret", action="store_true", help="the secret key too")
    made.add_argument("--minimal", action="store_true", help="without what others certified")
    _add_output(made, "standard output")


def _add_life(add: _Commands) -> None:
    def of_a_key(
        name: str, run: Run, about: str, *, secret: bool = True, last: bool = False
    ) -> argparse.ArgumentParser:
        made = add(name, run, about, secret=secret)
        made.add_argument("uid", metavar="UID", help="which key: fingerprint or address")
        if last:
            made.add_argument("--yes", action="store_true", help="do what cannot be undone")
        return made

    made = of_a_key("certify", life.certify, "certify that a key is whose it says")
    made.add_argument("--as", dest="signer", default="", metavar="UID", help="who certifies")
    made.add_argument("--local", action="store_true", help="it never leaves this home")
    made = of_a_key("trust", life.trust, "say how far its owner certifies with care", secret=False)
    made.add_argument("level", choices=life.LEVELS, help="the ownertrust; ultimate is for own keys")
    made = of_a_key("renew", life.renew, "set when a key and its subkeys expire")
    made.add_argument("expires", metavar="EXPIRES", help="3y, 6m, 90d, 2030-12-31 or 0 (never)")
    made.add_argument(
        "--subkey",
        dest="subkeys",
        action="append",
        metavar="FINGERPRINT",
        help="of this subkey alone; may be given several times",
    )
    made = of_a_key("rotate", life.rotate, "replace subkeys by new ones")
    made.add_argument(
        "--usage",
        dest="usages",
        action="append",
        choices=("sign", "auth", "encrypt"),
        help="of which kind (sign and encrypt)",
    )
    made.add_argument("--expires", default="1y", help="when the new ones expire (1y)")
    made.add_argument(
        "--overlap", default="0", help="how long the old ones live on (0: revoked now)"
    )
    made = of_a_key("passphrase", life.change_passphrase, "change the passphrase of a key")
    _add_passphrase(made, "new-")
    made = of_a_key("revoke", life.revoke, "revoke a key, a subkey or a user id", last=True)
    only = made.add_mutually_exclusive_group()
    _add_subkey(only, "revoke")
    only.add_argument("--user-id", metavar="ADDRESS", help="revoke this user id alone")
    made.add_argument("--reason", choices=life.REASONS, default="none", help="why (none)")
    made.add_argument("--text", default="", help="more on it, for others to read")
    made = of_a_key(
        "delete", life.delete, "delete a key, secret and public part", secret=False, last=True
    )
    only = made.add_mutually_exclusive_group()
    only.add_argument("--secret-only", action="store_true", help="delete the secret part alone")
    _add_subkey(only, "delete")
    made = add("backup", life.backup, "write all keys into a new directory", secret=True)
    made.add_argument("directory", metavar="DIR", help="which is not there yet")
    made = add(
        "restore", life.restore, "bring the keys of a backup or home into this one", secret=True
    )
    made.add_argument("directory", metavar="DIR", help="the backup, or a homedir; it is only read")


def _add_messages(add: _Commands) -> None:
    made = add("encrypt", commands.encrypt, "encrypt and sign a file", secret=True)
    made.add_argument("file", nargs="?", metavar="FILE", help="what (standard input)")
    made.add_argument(
        *("-r", "--recipient"),
        dest="recipients",
        action="append",
        required=True,
        metavar="UID",
        help="to whom: fingerprint or address; may be given several times",
    )
    made.add_argument(
        "--hide",
        dest="hidden",
        action="append",
        metavar="UID",
        help="of the recipients one that the message does not name",
    )
    made.add_argument("--no-sign", action="store_true", help="do not sign it")
    made.add_argument("--armor", action="store_true", help="write text, also into a file")
    _add_signer(made)
    _add_size(made)
    _add_output(made, "FILE.gpg, or standard output")
    made = add("symmetric", commands.symmetric, "encrypt a file to a passphrase", secret=True)
    made.add_argument("file", nargs="?", metavar="FILE", help="what (standard input)")
    made.add_argument("--armor", action="store_true", help="write text, also into a file")
    _add_output(made, "FILE.gpg, or standard output")
    made = add("decrypt", commands.decrypt, "decrypt a file and verify its signatures", secret=True)
    made.add_argument("file", nargs="?", metavar="FILE", help="what (standard input)")
    _add_signers(made)
    _add_output(made, "FILE without .gpg, or standard output")
    made = add("sign", commands.sign, "sign a file, detached", secret=True)
    made.add_argument("file", nargs="?", metavar="FILE", help="what (standard input)")
    form = made.add_mutually_exclusive_group()
    form.add_argument("--inline", action="store_true", help="the data and the signature together")
    form.add_argument("--clear", action="store_true", help="the same, and the text stays readable")
    _add_signer(made)
    _add_size(made)
    _add_output(made, "FILE.asc, or standard output")
    made = add("verify", commands.verify, "verify a signed file, or a file and its signature")
    made.add_argument("file", metavar="FILE", help="the signed file, or the data; - is stdin")
    made.add_argument("signature", nargs="?", metavar="SIGNATURE", help="a detached signature")
    _add_signers(made)


def _add_network(add: _Commands) -> None:
    made = add("publish", commands.publish, "upload a key to the keyserver", network=True)
    made.add_argument("uid", metavar="UID", help="which: fingerprint or address")
    made = add("wkd", life.wkd, "import a key from its domain's Web Key Directory", network=True)
    made.add_argument("email", metavar="ADDRESS", help="whose")
    made = add("refresh", life.refresh, "fetch updates of keys", network=True)
    made.add_argument("uid", nargs="?", default="", metavar="UID", help="which (all)")
    made = add("find", commands.find, "look a key up on the keyserver", network=True)
    made.add_argument(
        "query", metavar="QUERY", help="a whole fingerprint, 16-digit key id or address"
    )
    made.add_argument("--import", dest="take", action="store_true", help="import it")


async def _completion(_: argparse.Namespace) -> Report:
    from tiny_gnupg.cli.completion import completion

    return Report(data=completion(parser()))


async def _doctor(arguments: argparse.Namespace) -> Report:
    from tiny_gnupg.cli.doctor import examine

    return await examine(arguments)
