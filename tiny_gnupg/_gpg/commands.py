"""What to say to gpg: the argument lists.

Pure: text in, lists of text out. No argument is ever altered by quoting, because no shell reads
it. Whatever a caller passes in (a uid, a path, a name) stands behind ``--`` or as an option's own
argument, so that it can never be taken for an option.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile

from tiny_gnupg._gpg.algorithms import USAGES, Algorithm, checked_algorithm

#: What holds for every command, whatever the options file says. ``no-verbose``: with ``verbose``
#: gpg repeats what a sender wrote (CVE-2018-12020). The next three: gpg itself never opens a
#: network connection. Then: processes would wait for each other's lock on the seed file. The next
#: undo what the machine's options may say: more recipients, and hidden ones. The last undoes what
#: GnuPG 2.4 as Debian builds it does by default: to take user ids that nobody signed.
ALWAYS = (
    "--no-verbose",
    "--disable-dirmngr",
    "--no-auto-key-locate",
    "--no-auto-key-retrieve",
    "--no-random-seed-file",
    "--no-encrypt-to",
    "--no-default-recipient",
    "--no-throw-keyids",
    "--no-allow-non-selfsigned-uid",
)


#: No question on the terminal, and none at all.
UNATTENDED = ("--batch", "--no-tty")


#: The passphrase comes from us, not from a window.
LOOPBACK = ("--pinentry-mode", "loopback")


#: gpg >= 2.5 drops later signatures in batch mode without it; 2.2 does not know it.
ALL_SIGNATURES = ("--proc-all-sigs",)


#: For commands that handle keys published without user ids, and for no other: such user ids are
#: trivial to forge.
UNSIGNED_USER_IDS = ("--allow-non-selfsigned-uid",)


#: For what only reads, where a home cannot be written, or its trust is locked by another machine:
#: without lock files, and the trust as it was.
WITHOUT_WRITING = ("--lock-never", "--no-auto-check-trustdb")


#: The placeholder for user ids that were not published never leaves the keyring.
_NO_STAND_IN = ("--export-filter", "keep-uid=uid !~ [no user id published] ")


#: OpenPGP's highest count (RFC 9580, section 3.7.1.3), for messages encrypted to a passphrase.
#: Without it gpg asks the agent, whose count is low where this library stretches passphrases.
HIGHEST_COUNT = ("--s2k-count", "65011712")


#: Without it gpg 2.2 signs by SHA-1 what it also encrypts to a key that says no preferences, as one
#: without user ids, and whatever a DSA key of 1024 bits signs. Every key can sign by this one.
_DIGEST = ("--digest-algo", "SHA512")


#: In batch mode gpg says nothing of the signatures behind one that is bad.
EVERY_SIGNATURE = ("--no-batch",)


#: Commands and options of a listing that ``listing.parse_colons`` reads.
COLONS = ("--with-colons", "--fixed-list-mode", "--with-fingerprint", "--with-keygrip")


#: Commands that only read the keyring: they may run side by side.
READING = frozenset(
    {
        *("--encrypt", "-e", "--hidden-encrypt", "--symmetric", "-c", "--store", "--sign", "-s"),
        *("--decrypt", "-d", "--decrypt-files", "--encrypt-files", "--verify", "--verify-files"),
        *("--clear-sign", "--clearsign", "--detach-sign", "-b", "--list-packets", "--version"),
        *("--list-keys", "-k", "--list-public-keys", "--list-secret-keys", "-K", "--list-sigs"),
        *("--check-sigs", "--check-signatures", "--list-signatures", "--fingerprint", "--export"),
        *("--export-secret-keys", "--export-secret-subkeys", "--export-ownertrust", "--dearmor"),
        *("--enarmor", "--print-md", "--print-mds", "--show-keys", "--export-ssh-key"),
    }
)


#: Ownertrust levels 1 to 5, as ``--edit-key`` numbers them, in ``--import-ownertrust``'s numbers.
OWNERTRUST = {1: 2, 2: 3, 3: 4, 4: 5, 5: 6}


#: What the subkeys are for that ``add_subkeys`` makes.
TRIO = ("sign", "auth", "encrypt")


#: Commands that tell of secret keys, as far as gpg can ask the agent for them, or say of those
#: that the agent does not find that all is done.
OF_SECRET_KEYS = frozenset(
    {
        *("--with-secret", "--list-secret-keys", "-K"),
        *("--change-passphrase", "--passwd"),
        *("--export-secret-keys", "--export-secret-subkeys", "--export-secret-ssh-key"),
    }
)


#: Commands that need no agent, unless they do one of the things below.
PUBLIC = frozenset(
    {
        *("--encrypt", "-e", "--hidden-encrypt", "--encrypt-files", "--symmetric", "-c", "--store"),
        *("--verify", "--verify-files", "--list-packets", "--list-config", "--version"),
        *("--list-keys", "-k", "--list-public-keys", "--list-sigs", "--list-signatures"),
        *("--check-sigs", "--check-signatures", "--fingerprint", "--show-keys", "show-only"),
        *("--export", "--export-ownertrust", "--import-ownertrust", "--export-ssh-key"),
        *("--dearmor", "--enarmor", "--print-md", "--print-mds"),
    }
)
SIGNING = frozenset({"--sign", "-s", "--clear-sign", "--clearsign", "--detach-sign", "-b"})


@dataclass(frozen=True, slots=True)
class Base:
    """What every command of one instance begins with."""

    executable: str
    homedir: str
    options: str
    agent: str = ""
    torify: str = ""
    features: tuple[str, ...] = ()

    @property
    def slot(self) -> int:
        """Where more options of our own may go: right behind the executable."""
        return 2 if self.torify else 1

    def command(self, options: Iterable[str] = (), *, attended: bool = False) -> list[str]:
        """Return the argument list: the executable, the library's own options, then ``options``."""
        prefix = [self.torify] if self.torify else []
        agent = ["--agent-program", self.agent] if self.agent else []
        ours = ["--homedir", self.homedir, "--options", self.options, *agent, *ALWAYS]
        unattended = () if attended else UNATTENDED
        return [*prefix, self.executable, *ours, *self.features, *unattended, *options]


def asks_agent(command: Sequence[str]) -> bool:
    """Return whether a command may need the agent, which serves the secret keys."""
    options = frozenset(_options(command))
    return options.isdisjoint(PUBLIC) or not options.isdisjoint(SIGNING | OF_SECRET_KEYS)


def without_start(command: Sequence[str], slot: int) -> list[str]:
    """Return a command that starts no agent: whoever runs it has done so, with options of its own.

    Args:
        command: gpg's.
        slot: where its options begin.
    """
    return [*command[:slot], "--no-autostart", *command[slot:]]


def tells_of_secret_keys(command: Sequence[str]) -> bool:
    """Return whether what a command gives depends on which secret keys the agent has."""
    return not OF_SECRET_KEYS.isdisjoint(_options(command))


#: Options that name keys which gpg looks up before it reads a message.
_NAMING = frozenset({"--recipient", "--hidden-recipient", "--local-user"})


def named_keys(command: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the keys that gpg looks up before it reads a message."""
    pairs = pairwise(command)
    return tuple(name.rstrip("!") for option, name in pairs if option in _NAMING)


def is_timeless(command: Sequence[str]) -> bool:
    """Return whether what gpg finds out before it reads a message is right until a key expires.

    Whether a key is trusted depends on others' keys and certifications, too.
    """
    trusting = "--recipient" not in command and "--hidden-recipient" not in command
    return trusting or ("--trust-model", "always") in pairwise(command)


def by_keyring(options: Iterable[str], keyring: str) -> list[str]:
    """Have a command that only reads take its keys from a file other than the home's."""
    return ["--no-default-keyring", "--keyring", keyring, *options]


def _options(command: Sequence[str]) -> Iterable[str]:
    return takewhile(lambda argument: argument != "--", command)


def reads_only(command: Sequence[str]) -> bool:
    """Return whether a command leaves the keyring as it is."""
    return any(option in READING for option in _options(command))


def list_keys(
    terms: Sequence[str] = (),
    *,
    secret: bool = False,
    colons: bool = True,
    placeholders: bool = False,
    mark: bool = True,
    certifications: bool = False,
) -> list[str]:
    """List keys; ``placeholders``: those that have none for a user id as they are.

    Those whose secret part is here are marked, for which gpg asks the agent, unless ``mark`` is
    false. With ``certifications`` come the signatures on their user ids, each checked.
    """
    shown = [*COLONS, *(["--with-secret"] if mark else [])] if colons else []
    shown += UNSIGNED_USER_IDS if placeholders else ()
    shown += ["--with-sig-check"] if certifications else []
    return [*shown, "--list-secret-keys" if secret else "--list-keys", "--", *terms]


def list_addresses(*, secret: bool = False) -> list[str]:
    """List keys with no more than ``listing.format_list_keys`` reads."""
    return ["--with-colons", "--fixed-list-mode", "--list-secret-keys" if secret else "--list-keys"]


def exports_secret_keys(command: Sequence[str]) -> bool:
    """Return whether a command exports secret keys; gpg takes the beginning of an option, too."""
    options = takewhile(lambda argument: argument != "--", command)
    return any(option.startswith("--export-secret-") for option in options)


def list_curves() -> list[str]:
    """List the curves that this gpg has."""
    return ["--with-colons", "--list-config", "curve"]


def generate(user_id: str, algorithm: str, expires: str) -> list[str]:
    """Make a certifying primary key; ``--yes``: also where the user id has one already."""
    made = checked_algorithm(algorithm)
    how = ["--yes", *LOOPBACK, *_compliance(made), "--quick-generate-key"]
    return [*how, "--", user_id, made.signing, "cert", expires]


def add_subkey(fingerprint: str, algorithm: str, usage: str, expires: str) -> list[str]:
    """Add one subkey."""
    made = checked_algorithm(algorithm)
    how = [*LOOPBACK, *_compliance(made), "--quick-add-key"]
    return [*how, "--", fingerprint, made.named(usage), USAGES[usage], expires]


def add_adsk(fingerprint: str, subkey: str) -> list[str]:
    """Add a subkey of another key, named with a ``!``, as an additional decryption subkey."""
    return [*LOOPBACK, "--quick-add-adsk", "--", fingerprint, subkey]


def _compliance(algorithm: Algorithm) -> list[str]:
    # Debian's gpg makes keys that only LibrePGP knows where it is told to.
    return ["--compliance", "gnupg"] if algorithm.librepgp else []


def delete(fingerprint: str) -> list[str]:
    """Delete the public key, also one whose secret key is there."""
    return ["--yes", "--expert", "--delete-keys", "--", fingerprint]


def edit(fingerprint: str, *steps: str) -> list[str]:
    """Change a key in gpg's dialogue, and save it; a subkey is chosen by ``key FINGERPRINT``."""
    return ["--no-tty", *LOOPBACK, "--edit-key", "--", fingerprint, *steps, "save"]


def generate_revocation(fingerprint: str) -> list[str]:
    """Make a revocation certificate; gpg asks for its reason, in a dialogue."""
    return ["--no-tty", *LOOPBACK, "--armor", "--generate-revocation", "--", fingerprint]


def certify(
    fingerprint: str, local_user: str, *, local: bool, names: Sequence[str] = ()
) -> list[str]:
    """Certify user ids of a key; ``local`` certifications never leave this keyring.

    Without ``names`` all of them; ``=`` before a name asks for the whole user id.
    """
    how = "--quick-lsign-key" if local else "--quick-sign-key"
    return [*LOOPBACK, "--yes", "--local-user", local_user, how, "--", fingerprint, *names]


def change_passphrase(fingerprint: str) -> list[str]:
    """Change the passphrase of a secret key and its subkeys; gpg asks for both, in a dialogue."""
    return ["--no-tty", *LOOPBACK, "--change-passphrase", "--", fingerprint]


def try_passphrase(fingerprint: str) -> list[str]:
    """See whether the passphrase opens a secret key (gpg's manual, ``--passwd``)."""
    return ["--dry-run", *LOOPBACK, "--change-passphrase", "--", fingerprint]


def set_expire(fingerprint: str, expires: str, subkeys: Sequence[str] = ()) -> list[str]:
    """Set the expiry of the primary key, or that of ``subkeys``."""
    return [*LOOPBACK, "--quick-set-expire", "--", fingerprint, expires, *subkeys]


def add_user_id(fingerprint: str, user_id: str) -> list[str]:
    """Add a user id."""
    return [*LOOPBACK, "--quick-add-uid", "--", fingerprint, user_id]


def revoke_user_id(fingerprint: str, user_id: str) -> list[str]:
    """Revoke a user id."""
    return [*LOOPBACK, "--quick-revoke-uid", "--", fingerprint, user_id]


def ownertrust(fingerprint: str, level: int) -> tuple[list[str], str]:
    """Set the ownertrust; the second part is the command's input."""
    return import_ownertrust(), f"{fingerprint}:{OWNERTRUST[level]}:\n"


def encrypt(
    recipients: Sequence[str],
    placeholders: bool = False,
    *,
    hidden: Collection[str] = (),
    signers: Sequence[str] = (),
    symmetric: bool = False,
    armor: bool = True,
    trust: str = "always",
    compress: bool = True,
    ocb: bool = False,
) -> list[str]:
    """Encrypt to recipients, to a passphrase, or so that either opens it; and sign it.

    The message does not name those recipients that are ``hidden``. With ``placeholders`` some have
    no user id, and so no preferences: gpg 2.2 would take 3DES, and 2.4 AES128. Those are named by
    their subkeys, with a ``!``.
    """
    how = {True: "--hidden-recipient", False: "--recipient"}
    named = [part for one in recipients for part in (how[one in hidden], one)]
    return [
        *(["--armor"] if armor else []),
        *([] if compress else ["--compress-level", "0"]),
        *(["--force-ocb"] if ocb else []),
        *(LOOPBACK if signers or symmetric else ()),
        *("--trust-model", trust),
        *((*UNSIGNED_USER_IDS, "--cipher-algo", "AES256") if placeholders else ()),
        *([*_signing(signers), "--sign"] if signers else []),
        *([*HIGHEST_COUNT, "--symmetric"] if symmetric else []),
        *([*named, "--encrypt"] if named else []),
    ]


def _signing(signers: Iterable[str]) -> list[str]:
    return [*_DIGEST, *(part for one in signers for part in ("--local-user", one))]


def decrypt(output: str | None = None, max_output: int | None = None) -> list[str]:
    """Decrypt, and verify what is signed; gpg itself stops at ``max_output`` bytes.

    With ``output``, a file that is there, nothing but the plaintext goes there: gpg lists a key
    that stands behind an encrypted message on its standard output, which whoever put it there
    would so append to the plaintext (measured on 2.2.40 and 2.4.7; exit code 0, no status line).
    """
    alone = [] if output is None else ["--yes", "--output", output]
    bound = [] if max_output is None else ["--max-output", str(max_output)]
    return [*EVERY_SIGNATURE, *LOOPBACK, *alone, *bound, "--decrypt"]


def of_session_key(show: bool, given: str = "") -> list[str]:
    """Tell a message's session key while decrypting it, or use one read from a descriptor."""
    override = ["--override-session-key-fd", given] if given else []
    return [*(["--show-session-key"] if show else []), *override]


def unwrap(output: str) -> list[str]:
    """Decrypt, and give the message inside instead of its plaintext."""
    return [*LOOPBACK, "--yes", "--output", output, "--unwrap", "--decrypt"]


def sign(
    signers: Iterable[str], *, detach: bool = False, clear: bool = False, armor: bool = True
) -> list[str]:
    """Sign data, by each of the signers."""
    how = "--detach-sign" if detach else "--clear-sign" if clear else "--sign"
    return [*LOOPBACK, *_signing(signers), *(["--armor"] if armor else []), how]


def verify() -> list[str]:
    """Verify signed data, and give what the signatures cover."""
    return [*EVERY_SIGNATURE, "--output", "-", "--verify"]


def verify_only() -> list[str]:
    """Verify signed data, and give nothing of it."""
    return [*EVERY_SIGNATURE, "--verify"]


def verify_detached(signature: str, data: str = "-") -> list[str]:
    """Verify a detached signature: always of two inputs, the second is the data."""
    special = "--enable-special-filenames"
    return [*EVERY_SIGNATURE, special, "--verify", "--", signature, data]


def list_packets() -> list[str]:
    """Show packets; ``--list-only`` keeps gpg from trying the secret keys on hidden recipients."""
    return ["--list-only", "--list-packets"]


def import_keys(*, found: bool = False, placeholders: bool = False) -> list[str]:
    """Import keys; secret ones come in as they are protected, without a question.

    Of a key that was ``found`` on a server, only what its owner signed is taken: others may have
    flooded it with signatures (CVE-2019-13050). A key without user ids has a placeholder for one.
    """
    own = ["--import-options", "self-sigs-only"] if found else []
    return [*own, *(UNSIGNED_USER_IDS if placeholders else ()), "--import"]


def drop_user_id(fingerprint: str, name_hash: str) -> list[str]:
    """Drop a user id from the keyring, by the hash of its name; gpg asks whether to."""
    edit = ["--edit-key", "--", fingerprint, f"uid {name_hash}", "deluid", "save"]
    return ["--no-tty", *UNSIGNED_USER_IDS, *edit]


def show_keys(*, placeholders: bool = False) -> list[str]:
    """List the keys of a block, without importing it; one without user ids has a placeholder."""
    return [
        *COLONS,
        *(UNSIGNED_USER_IDS if placeholders else ()),
        "--import-options",
        "show-only",
        "--dry-run",
        "--import",
    ]


#: Of all signatures on user ids, the newest of the owner's own.
_MINIMAL = ("--export-options", "export-minimal")


def export(terms: Iterable[str], *, armor: bool = True, minimal: bool = False) -> list[str]:
    """Export public keys."""
    form = [*(["--armor"] if armor else []), *_NO_STAND_IN, *(_MINIMAL if minimal else ())]
    return [*form, "--export", "--", *terms]


def export_secret(
    terms: Iterable[str], *, subkeys: bool = False, minimal: bool = False
) -> list[str]:
    """Export secret keys; of ``subkeys``, without the secret part of the primary key."""
    what = "--export-secret-subkeys" if subkeys else "--export-secret-keys"
    return [*LOOPBACK, "--armor", *(_MINIMAL if minimal else ()), what, "--", *terms]


def export_backup() -> list[str]:
    """Export all public keys with all that the keyring knows of them."""
    return ["--export-options", "backup", *_NO_STAND_IN, "--export"]


def import_backup() -> list[str]:
    """Import what ``export_backup`` gave."""
    return ["--import-options", "restore", "--import"]


def export_ownertrust() -> list[str]:
    """Return the ownertrust of all keys as text."""
    return ["--export-ownertrust"]


def import_ownertrust() -> list[str]:
    """Set the ownertrust of keys from such text."""
    return ["--import-ownertrust"]
