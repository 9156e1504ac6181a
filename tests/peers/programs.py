"""Seven other OpenPGP programs behind one small interface.

Each is the real program, from Debian's packages or from PyPI. Where one does not answer as it
should, it has refused; what a program does not offer at all is said by ``lacks``.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

DETACHED, INLINE, CLEAR = "detached", "inline", "clear"
#: What a program may lack beside those.
PASSPHRASE, KEY_PASSPHRASE = "to a passphrase", "with its passphrase"
#: Every byte there is; text in several scripts, with lines that a clear signature must escape.
OCTETS = bytes(range(256)) * 40
TEXT = "Grüße, κόσμε, 世界!\n- a dash\nFrom a mailbox\n--- a rule\n\nthe end\n".encode()
#: Seconds that one run of a program may take on a busy machine.
PATIENCE = 120


class Refused(Exception):
    """The program did not do it; the text is what it said."""


@dataclass(frozen=True)
class KeyPair:
    """A key as its owner has it, and as others have it."""

    secret: bytes
    public: bytes


class Peer(ABC):
    """One other program."""

    name: ClassVar[str]
    #: What has to be installed, for people.
    install: ClassVar[str]
    #: What the program has no way to do, in the words of the table.
    lacks: ClassVar[frozenset[str]] = frozenset()
    #: What it is given to work on; one that cannot carry every byte gets what it can carry.
    octets: ClassVar[bytes] = OCTETS
    text: ClassVar[bytes] = TEXT
    #: Whether it takes a signed message that was compressed before it was encrypted.
    compress: ClassVar[bool] = True
    #: Why it is given less than others, for the foot of the table.
    note: ClassVar[str] = ""

    @classmethod
    @abstractmethod
    def present(cls) -> bool:
        """Return whether it is installed."""

    @abstractmethod
    def new_key(self, user_id: str) -> KeyPair:
        """Make a key without a passphrase."""

    @abstractmethod
    def encrypt(self, data: bytes, public: bytes, signer: bytes | None = None) -> bytes:
        """Encrypt to a key, and sign with another one's secret key."""

    @abstractmethod
    def decrypt(
        self, message: bytes, secret: bytes, signer: bytes | None = None, passphrase: str = ""
    ) -> bytes:
        """Decrypt; with ``signer``, refuse what is not signed by that key."""

    @abstractmethod
    def lock(self, data: bytes, passphrase: str) -> bytes:
        """Encrypt to a passphrase."""

    @abstractmethod
    def unlock(self, message: bytes, passphrase: str) -> bytes:
        """Decrypt what is encrypted to a passphrase."""

    @abstractmethod
    def sign(self, data: bytes, secret: bytes, form: str) -> bytes:
        """Sign in one of the three forms."""

    @abstractmethod
    def verify(self, message: bytes, public: bytes, form: str, data: bytes) -> bytes:
        """Return what a good signature covers; ``data`` is what a detached one is about."""


class Program(Peer):
    """A program with a command line; its inputs are files in a folder that goes with the call."""

    @classmethod
    def present(cls) -> bool:
        return shutil.which(cls.name) is not None

    @contextmanager
    def _folder(self, **contents: bytes) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="tgp", dir="/tmp") as folder:
            for name, content in contents.items():
                (Path(folder) / name).write_bytes(content)
            yield Path(folder)

    def _run(self, *arguments: str | Path, stdin: bytes = b"", folder: Path | None = None) -> bytes:
        done = subprocess.run(
            [self.name, *arguments],
            input=stdin,
            capture_output=True,
            cwd=folder,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise Refused(f"{self.name}: exit code {done.returncode}: {said}")
        return done.stdout


class Sop(Program):
    """A program with the Stateless OpenPGP command line."""

    #: Where a decryption writes down which signatures were good.
    verifications: ClassVar[str] = "--verifications-out"

    def new_key(self, user_id: str) -> KeyPair:
        secret = self._run("generate-key", user_id)
        return KeyPair(secret, self._run("extract-cert", stdin=secret))

    def encrypt(self, data: bytes, public: bytes, signer: bytes | None = None) -> bytes:
        with self._folder(public=public, signer=signer or b"") as folder:
            signing = ["--sign-with=signer"] if signer else []
            return self._run("encrypt", *signing, "public", stdin=data, folder=folder)

    def decrypt(
        self, message: bytes, secret: bytes, signer: bytes | None = None, passphrase: str = ""
    ) -> bytes:
        phrase = passphrase.encode()
        with self._folder(secret=secret, signer=signer or b"", phrase=phrase) as folder:
            opening = ["--with-key-password=phrase"] if passphrase else []
            opening += ["--verify-with=signer", f"{self.verifications}=good"] if signer else []
            plain = self._run("decrypt", *opening, "secret", stdin=message, folder=folder)
            if signer and not (folder / "good").read_bytes().strip():
                raise Refused("it is not signed by this key")
            return plain

    def lock(self, data: bytes, passphrase: str) -> bytes:
        with self._folder(passphrase=passphrase.encode()) as folder:
            return self._run("encrypt", "--with-password=passphrase", stdin=data, folder=folder)

    def unlock(self, message: bytes, passphrase: str) -> bytes:
        with self._folder(passphrase=passphrase.encode()) as folder:
            return self._run("decrypt", "--with-password=passphrase", stdin=message, folder=folder)

    def sign(self, data: bytes, secret: bytes, form: str) -> bytes:
        how = {
            DETACHED: ["sign"],
            INLINE: ["inline-sign", "--as=binary"],
            CLEAR: ["inline-sign", "--as=clearsigned"],
        }[form]
        with self._folder(secret=secret) as folder:
            return self._run(*how, "secret", stdin=data, folder=folder)

    def verify(self, message: bytes, public: bytes, form: str, data: bytes) -> bytes:
        with self._folder(public=public, signature=message) as folder:
            if form == DETACHED:
                self._run("verify", "signature", "public", stdin=data, folder=folder)
                return data
            return self._run("inline-verify", "public", stdin=message, folder=folder)


class Sqop(Sop):
    """Sequoia's SOP."""

    name, install = "sqop", "apt-get install sqop"


class Gosop(Sop):
    """GopenPGP's SOP, of a time before inline signatures and keys with passphrases."""

    name, install = "gosop", "apt-get install gosop"
    lacks = frozenset({INLINE, CLEAR, KEY_PASSPHRASE})
    verifications = "--verify-out"
    octets = TEXT.rstrip()
    note = "gosop takes messages for text: other bytes, and line ends, do not come out as they were"


class Pgpainless(Sop):
    """PGPainless' SOP, on Bouncy Castle."""

    name, install = "pgpainless-cli", "apt-get install pgpainless-cli"
    verifications = "--verify-out"


class Sq(Program):
    """Sequoia's own command line; it takes passphrases from a terminal alone."""

    name, install = "sq", "apt-get install sq"
    lacks = frozenset({PASSPHRASE, KEY_PASSPHRASE})

    #: What a call is told by, of the first release with another command line and of those before.
    words: ClassVar[dict[str, tuple[list[str], list[str]]]] = {
        "make": (
            ["--own-key", "--without-password", "--output", "key", "--rev-cert", "revocation"],
            ["--export", "key"],
        ),
        "public": (["key", "delete", "--output", "-", "--cert-file"], ["key", "extract-cert"]),
        "recipient": (["--for-file"], ["--recipient-cert"]),
        "decryptor": (["--recipient-file"], ["--recipient-key"]),
        "signer": (["--signer-file"], ["--signer-key"]),
        "nobody": (["--without-signature"], []),
        "certificate": (["--signer-file"], ["--signer-cert"]),
        DETACHED: (["--signature-file", "-"], ["--detached"]),
        INLINE: (["--message"], []),
        CLEAR: (["--cleartext"], ["--cleartext-signature"]),
        "verify detached": (["--signature-file"], ["--detached"]),
        "verify inline": (["--message"], []),
        "verify clear": (["--cleartext"], []),
    }

    def _say(self, what: str) -> list[str]:
        new = b"--own-key" in self._run("key", "generate", "--help")
        return self.words[what][0 if new else 1]

    def new_key(self, user_id: str) -> KeyPair:
        with self._folder() as folder:
            making = self._say("make")
            self._run("key", "generate", "--userid", user_id, *making, folder=folder)
            public = self._run(*self._say("public"), "key", folder=folder)
            return KeyPair((folder / "key").read_bytes(), public)

    def encrypt(self, data: bytes, public: bytes, signer: bytes | None = None) -> bytes:
        with self._folder(public=public, signer=signer or b"") as folder:
            signing = [*self._say("signer"), "signer"] if signer else self._say("nobody")
            recipient = [*self._say("recipient"), "public"]
            return self._run("encrypt", *recipient, *signing, stdin=data, folder=folder)

    def decrypt(
        self, message: bytes, secret: bytes, signer: bytes | None = None, passphrase: str = ""
    ) -> bytes:
        with self._folder(secret=secret, signer=signer or b"") as folder:
            verifying = [*self._say("certificate"), "signer", "--signatures", "1"] if signer else []
            opening = [*self._say("decryptor"), "secret"]
            return self._run("decrypt", *opening, *verifying, stdin=message, folder=folder)

    def lock(self, data: bytes, passphrase: str) -> bytes:
        raise NotImplementedError

    def unlock(self, message: bytes, passphrase: str) -> bytes:
        raise NotImplementedError

    def sign(self, data: bytes, secret: bytes, form: str) -> bytes:
        signing = [*self._say(form), *self._say("signer"), "secret"]
        with self._folder(secret=secret) as folder:
            return self._run("sign", *signing, stdin=data, folder=folder)

    def verify(self, message: bytes, public: bytes, form: str, data: bytes) -> bytes:
        signer = ["verify", *self._say("certificate"), "public", *self._say(f"verify {form}")]
        with self._folder(public=public, message=message, data=data) as folder:
            if form == DETACHED:
                self._run(*signer, "message", "data", folder=folder)
                return data
            return self._run(*signer, "message", folder=folder)


class Library(Peer):
    """A library for Python; whatever it raises is its way to refuse."""

    module: ClassVar[str]

    @classmethod
    def present(cls) -> bool:
        return importlib.util.find_spec(cls.module) is not None

    def __init__(self) -> None:
        # Its warnings are about itself, and are not ours to turn into errors.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._lib: Any = importlib.import_module(self.module)

    @contextmanager
    def _asked(self) -> Iterator[Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                yield self._lib
            except Refused:
                raise
            except Exception as error:
                raise Refused(f"{self.name}: {type(error).__name__}: {error}") from error


class PySequoia(Library):
    """Sequoia as a library, in its newest release."""

    name, install, module = "PySequoia", "pip install pysequoia", "pysequoia"
    compress = False
    note = "PySequoia 0.1 verifies no signature inside an encrypted message that is compressed"

    def new_key(self, user_id: str) -> KeyPair:
        with self._asked() as lib:
            made = lib.Tsk.generate(user_id, profile=lib.Profile.RFC4880)
            return KeyPair(str(made).encode(), str(made.extract_certificate()).encode())

    def encrypt(self, data: bytes, public: bytes, signer: bytes | None = None) -> bytes:
        with self._asked() as lib:
            signing = lib.Tsk.from_bytes(signer).signer() if signer else None
            return bytes(lib.encrypt(data, [lib.Cert.from_bytes(public)], signer=signing))

    def decrypt(
        self, message: bytes, secret: bytes, signer: bytes | None = None, passphrase: str = ""
    ) -> bytes:
        with self._asked() as lib:
            key = lib.Tsk.from_bytes(secret).decryptor(passphrase or None)
            store = self._store(signer) if signer else None
            return self._plain(lib.decrypt(message, key, store=store), signed=bool(signer))

    def lock(self, data: bytes, passphrase: str) -> bytes:
        with self._asked() as lib:
            return bytes(lib.encrypt(data, passwords=[passphrase]))

    def unlock(self, message: bytes, passphrase: str) -> bytes:
        with self._asked() as lib:
            return self._plain(lib.decrypt(message, passwords=[passphrase]), signed=False)

    def sign(self, data: bytes, secret: bytes, form: str) -> bytes:
        with self._asked() as lib:
            mode = {DETACHED: "DETACHED", INLINE: "INLINE", CLEAR: "CLEAR"}[form]
            signer = lib.Tsk.from_bytes(secret).signer()
            return bytes(lib.sign(signer, data, mode=getattr(lib.SignatureMode, mode)))

    def verify(self, message: bytes, public: bytes, form: str, data: bytes) -> bytes:
        with self._asked() as lib:
            if form == DETACHED:
                signature = lib.Sig.from_bytes(message)
                found = lib.verify(bytes=data, store=self._store(public), signature=signature)
                self._plain(found, signed=True)
                return data
            return self._plain(lib.verify(message, self._store(public)), signed=True)

    def _store(self, public: bytes) -> Any:
        return lambda key_ids: [self._lib.Cert.from_bytes(public)]

    def _plain(self, found: Any, *, signed: bool) -> bytes:
        if signed and not found.valid_sigs:
            raise Refused("there is no valid signature")
        return bytes(found.bytes or b"")


class PGPy(Library):
    """OpenPGP in pure Python."""

    name, install, module = "PGPy", "pip install PGPy13", "pgpy"
    text = b"plain\n- a dash\nFrom a mailbox\n--- a rule\n\nthe end\n"
    note = "PGPy reads a clear signature in ASCII alone; it writes them in UTF-8"

    def new_key(self, user_id: str) -> KeyPair:
        with self._asked() as lib:
            c = lib.constants
            key = lib.PGPKey.new(c.PubKeyAlgorithm.EdDSA, c.EllipticCurveOID.Ed25519)
            key.add_uid(
                lib.PGPUID.new(user_id),
                usage={c.KeyFlags.Sign, c.KeyFlags.Certify},
                hashes=[c.HashAlgorithm.SHA512],
                ciphers=[c.SymmetricKeyAlgorithm.AES256],
                compression=[c.CompressionAlgorithm.ZLIB],
            )
            sub = lib.PGPKey.new(c.PubKeyAlgorithm.ECDH, c.EllipticCurveOID.Curve25519)
            usage = {c.KeyFlags.EncryptCommunications, c.KeyFlags.EncryptStorage}
            key.add_subkey(sub, usage=usage)
            return KeyPair(str(key).encode(), str(key.pubkey).encode())

    def encrypt(self, data: bytes, public: bytes, signer: bytes | None = None) -> bytes:
        with self._asked() as lib:
            message = lib.PGPMessage.new(data)
            if signer:
                message |= self._key(signer).sign(message)
            return str(self._key(public).encrypt(message)).encode()

    def decrypt(
        self, message: bytes, secret: bytes, signer: bytes | None = None, passphrase: str = ""
    ) -> bytes:
        with self._asked() as lib:
            key = self._key(secret)
            with key.unlock(passphrase) if passphrase else nullcontext():
                plain = key.decrypt(lib.PGPMessage.from_blob(message))
            if signer and not self._good(self._key(signer), plain):
                raise Refused("it is not signed by this key")
            return self._octets(plain.message)

    def lock(self, data: bytes, passphrase: str) -> bytes:
        with self._asked() as lib:
            return str(lib.PGPMessage.new(data).encrypt(passphrase)).encode()

    def unlock(self, message: bytes, passphrase: str) -> bytes:
        with self._asked() as lib:
            return self._octets(lib.PGPMessage.from_blob(message).decrypt(passphrase).message)

    def sign(self, data: bytes, secret: bytes, form: str) -> bytes:
        with self._asked() as lib:
            if form == DETACHED:
                return str(self._key(secret).sign(data)).encode()
            clear = form == CLEAR
            message = lib.PGPMessage.new(data.decode() if clear else data, cleartext=clear)
            message |= self._key(secret).sign(message)
            return str(message).encode()

    def verify(self, message: bytes, public: bytes, form: str, data: bytes) -> bytes:
        with self._asked() as lib:
            key = self._key(public)
            if form == DETACHED:
                if not key.verify(data, lib.PGPSignature.from_blob(message)):
                    raise Refused("the signature is not good")
                return data
            signed = lib.PGPMessage.from_blob(message.decode())
            if not self._good(key, signed):
                raise Refused("there is no good signature")
            return self._octets(signed.message)

    def _key(self, blob: bytes) -> Any:
        return self._lib.PGPKey.from_blob(blob)[0]

    def _good(self, key: Any, message: Any) -> bool:
        found = key.verify(message)
        return bool(found) and bool(list(found.good_signatures))

    def _octets(self, message: str | bytes | bytearray) -> bytes:
        return message.encode() if isinstance(message, str) else bytes(message)


class PythonGnuPG(Library):
    """The other wrapper of GnuPG for Python, each call in a home of its own."""

    name, install, module = "python-gnupg", "pip install python-gnupg and a gpg", "gnupg"

    @classmethod
    def present(cls) -> bool:
        return super().present() and shutil.which("gpg") is not None

    def new_key(self, user_id: str) -> KeyPair:
        with self._gpg() as gpg:
            name, _, email = user_id.rstrip(">").rpartition(" <")
            asked = gpg.gen_key_input(
                key_type="EDDSA",
                key_curve="ed25519",
                subkey_type="ECDH",
                subkey_curve="cv25519",
                name_real=name,
                name_email=email,
                no_protection=True,
            )
            made = gpg.gen_key(asked).fingerprint
            secret = gpg.export_keys(made, secret=True, expect_passphrase=False)
            return KeyPair(secret.encode(), gpg.export_keys(made).encode())

    def encrypt(self, data: bytes, public: bytes, signer: bytes | None = None) -> bytes:
        with self._gpg(public, signer) as gpg:
            (fingerprint, *signing) = [key["fingerprint"] for key in gpg.imported]
            return self._result(
                gpg.encrypt(data, fingerprint, sign=(signing or [None])[0], always_trust=True)
            )

    def decrypt(
        self, message: bytes, secret: bytes, signer: bytes | None = None, passphrase: str = ""
    ) -> bytes:
        with self._gpg(secret, signer) as gpg:
            found = gpg.decrypt(message, passphrase=passphrase or None)
            if signer and not found.valid:
                raise Refused("it is not signed by this key")
            return self._result(found)

    def lock(self, data: bytes, passphrase: str) -> bytes:
        with self._gpg() as gpg:
            return self._result(gpg.encrypt(data, None, symmetric=True, passphrase=passphrase))

    def unlock(self, message: bytes, passphrase: str) -> bytes:
        with self._gpg() as gpg:
            return self._result(gpg.decrypt(message, passphrase=passphrase))

    def sign(self, data: bytes, secret: bytes, form: str) -> bytes:
        with self._gpg(secret) as gpg:
            return self._result(gpg.sign(data, detach=form == DETACHED, clearsign=form == CLEAR))

    def verify(self, message: bytes, public: bytes, form: str, data: bytes) -> bytes:
        with self._gpg(public) as gpg, self._file(message) as file:
            if form != DETACHED:
                found = gpg.decrypt(message)
                if not found.valid:
                    raise Refused("the signature is not good")
                return bytes(found.data)
            if not gpg.verify_data(file, data).valid:
                raise Refused("the signature is not good")
            return data

    @contextmanager
    def _file(self, content: bytes) -> Iterator[str]:
        with tempfile.NamedTemporaryFile(prefix="tgp", dir="/tmp") as file:
            file.write(content)
            file.flush()
            yield file.name

    @contextmanager
    def _gpg(self, *keys: bytes | None) -> Iterator[Any]:
        home = tempfile.mkdtemp(prefix="tgp", dir="/tmp")
        try:
            with self._asked() as lib:
                gpg = lib.GPG(gnupghome=home)
                gpg.encoding = "utf-8"
                gpg.imported = []
                for key in keys:
                    if key is not None:
                        found = gpg.import_keys(key).results
                        gpg.imported.append(next(one for one in found if one["fingerprint"]))
                yield gpg
        finally:
            end = ("gpg-connect-agent", "--homedir", home, "--no-autostart", "KILLAGENT", "/bye")
            subprocess.run(end, capture_output=True, check=False)
            shutil.rmtree(home, ignore_errors=True)

    def _result(self, found: Any) -> bytes:
        if not found.data:
            raise Refused(f"{self.name}: {found.stderr}")
        return bytes(found.data)


#: Operation -> program -> "yes", "NO", or "-" for what a program does not offer.
TABLE: dict[str, dict[str, str]] = {}

PEERS: tuple[type[Peer], ...] = (Sqop, Gosop, Pgpainless, Sq, PySequoia, PGPy, PythonGnuPG)
