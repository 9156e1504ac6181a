"""One peer, run by the Python that has it: requests on stdin, seconds on stdout, as JSON lines.

This program imports nothing of tiny_gnupg or the benchmarks, because the peer's Python may have
neither. The time is taken here, around the peer's own call, so that talking to us costs nothing.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Calls = dict[str, Callable[[], Any]]


class Setting:
    """What every peer works with."""

    def __init__(self, setting: dict[str, str]) -> None:
        self.home = setting["home"]
        self.gpg = setting["gpg"]
        self.passphrase = setting["passphrase"]
        self.fingerprint = setting["fingerprint"]
        self.email = setting["email"]
        self.message = Path(setting["message"]).read_bytes()
        self.encrypted = Path(setting["encrypted"]).read_bytes()
        self.signed = Path(setting["signed"]).read_bytes()
        self.public_key = Path(setting["public_key"]).read_bytes()
        self.secret_key = Path(setting["secret_key"]).read_bytes()


def python_gnupg(at: Setting) -> tuple[str, Calls]:
    import gnupg

    gpg = gnupg.GPG(gnupghome=at.home, gpgbinary=at.gpg, options=["--no-random-seed-file"])
    trust = {"always_trust": True}
    secret = {"passphrase": at.passphrase}
    me = at.fingerprint
    return gnupg.__version__, {
        "encrypt": lambda: sure(gpg.encrypt(at.message, me, **trust)),
        "encrypt, sign": lambda: sure(gpg.encrypt(at.message, me, sign=me, **secret, **trust)),
        "decrypt": lambda: expect(gpg.decrypt(at.encrypted, **secret).data, at.message),
        "sign": lambda: sure(gpg.sign(at.message, keyid=me, clearsign=False, **secret), "data"),
        "verify": lambda: sure(gpg.verify(at.signed), "valid"),
        "list_keys": lambda: sure(gpg.list_keys(), ""),
    }


def gpgme(at: Setting) -> tuple[str, Calls]:
    import gpg

    def context() -> Any:
        engine = gpg.constants.protocol.OpenPGP
        made = gpg.Context(armor=True, pinentry_mode=gpg.constants.PINENTRY_MODE_LOOPBACK)
        made.set_engine_info(engine, file_name=at.gpg, home_dir=at.home)
        made.set_passphrase_cb(lambda *_: at.passphrase)
        return made

    context_ = context()
    key = context_.get_key(at.fingerprint, secret=True)
    context_.signers = [key]
    c: Any = context_
    return gpg.version.versionstr, {
        "encrypt": lambda: c.encrypt(at.message, [key], sign=False, always_trust=True),
        "encrypt, sign": lambda: c.encrypt(at.message, [key], sign=True, always_trust=True),
        "decrypt": lambda: expect(c.decrypt(at.encrypted)[0], at.message),
        "sign": lambda: c.sign(at.message),
        "verify": lambda: expect(c.verify(at.signed)[0], at.message),
        "list_keys": lambda: sure(list(c.keylist()), ""),
    }


def sequoia(at: Setting) -> tuple[str, Calls]:
    from importlib.metadata import version

    import pysequoia

    cert = pysequoia.Cert.from_bytes(at.public_key)
    secrets: Any = pysequoia.Cert.from_bytes(at.secret_key).secrets

    def signer() -> Any:
        return secrets.signer(at.passphrase)

    def opened() -> bytes:
        decryptor = secrets.decryptor(at.passphrase)
        found: Any = pysequoia.decrypt(at.encrypted, decryptor=decryptor)
        return bytes(found.bytes)

    return version("pysequoia"), {
        "encrypt": lambda: pysequoia.encrypt(at.message, [cert]),
        "encrypt, sign": lambda: pysequoia.encrypt(at.message, [cert], signer=signer()),
        "decrypt": lambda: expect(opened(), at.message),
        "sign": lambda: pysequoia.sign(signer(), at.message),
        "verify": lambda: sure(pysequoia.verify(at.signed, store=lambda _: [cert]).bytes, ""),
    }


def rpgp(at: Setting) -> tuple[str, Calls]:
    from importlib.metadata import version

    from openpgp.composed import Message, MessageBuilder, SignedPublicKey, SignedSecretKey

    cert = SignedPublicKey.from_armor(at.public_key.decode())[0]
    secret = SignedSecretKey.from_armor(at.secret_key.decode())[0]
    encrypted, signed = at.encrypted.decode(), at.signed.decode()

    def message() -> Any:
        return MessageBuilder.from_bytes("", at.message)

    def sealed(made: Any) -> str:
        return str(made.seipd_v1("aes256").encrypt_to_key(cert).to_armored_string())

    def by_me(made: Any) -> Any:
        return made.sign(secret, at.passphrase, "sha512")

    def opened() -> bytes:
        found: Any = Message.from_armor(encrypted)[0].decrypt(at.passphrase, secret)
        return bytes(found.as_data_vec())

    return version("rpgp-py"), {
        "encrypt": lambda: sealed(message()),
        "encrypt, sign": lambda: sealed(by_me(message())),
        "decrypt": lambda: expect(opened(), at.message),
        "sign": lambda: by_me(message()).to_armored_string(),
        "verify": lambda: Message.from_armor(signed)[0].verify(cert),
    }


def tiny_gnupg_052(at: Setting) -> tuple[str, Calls]:
    from importlib.metadata import version

    from tiny_gnupg import GnuPG

    gpg: Any = GnuPG("Bench", at.email, at.passphrase)
    gpg.home, gpg.executable = at.home, at.gpg
    gpg.set_base_command()
    gpg.set_fingerprint(at.email)
    message, me = at.message.decode(), at.fingerprint
    encrypted, signed = at.encrypted.decode(), at.signed.decode()
    return version("tiny_gnupg"), {
        "encrypt": lambda: sure(gpg.encrypt(message, me, sign=False), ""),
        "encrypt, sign": lambda: sure(gpg.encrypt(message, me), ""),
        "decrypt": lambda: expect(gpg.decrypt(encrypted), message),
        "sign": lambda: sure(gpg.sign(message), ""),
        "verify": lambda: gpg.verify(signed),
        "list_keys": lambda: sure(gpg.list_keys(), ""),
    }


PEERS = {
    "python-gnupg": python_gnupg,
    "gpgme": gpgme,
    "gpgme, PyPI's gpg": gpgme,
    "PySequoia": sequoia,
    "rpgp-py": rpgp,
    "tiny_gnupg 0.5.2": tiny_gnupg_052,
}


def sure(answer: Any, attribute: str = "ok") -> Any:
    """Return the answer, where it says that all went well."""
    good = getattr(answer, attribute) if attribute else answer
    if not good:
        raise RuntimeError(str(getattr(answer, "stderr", answer))[-300:])
    return answer


def expect(found: Any, wanted: Any) -> None:
    """Let nothing but the right answer count."""
    if found != wanted:
        raise RuntimeError("another answer came than was expected")


def main() -> None:
    """Make the peer ready, say so, and answer requests until there are no more."""
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever the peer prints is no answer

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    request = json.loads(sys.stdin.readline())
    try:
        version, calls = PEERS[request["peer"]](Setting(request["setting"]))
    except Exception as error:
        say({"missing": f"{type(error).__name__}: {error}"[:300]})
        return
    say({"version": version, "calls": list(calls)})
    for line in sys.stdin:
        call = calls[json.loads(line)["call"]]
        try:
            start = time.perf_counter()
            call()
            say({"seconds": time.perf_counter() - start})
        except Exception as error:
            say({"failed": f"{type(error).__name__}: {error}"[:300]})


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
