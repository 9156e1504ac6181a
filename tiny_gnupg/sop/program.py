"""The Stateless OpenPGP interface (draft-dkg-openpgp-stateless-cli), on PyPI's ``sop`` framework.

It lets OpenPGP test suites and scripts drive this library: ``tiny-gnupg-sop`` is the program, and
``pip install 'tiny_gnupg[sop]'`` brings the framework.

1. Each call has a throw-away home, with gpg's own protection; nothing stays.
2. A signature counts where it is good, its key is among the certificates that were given, and it
   was made within the times that were given. Others beside it are passed over, as the draft says.
3. What gpg cannot do by this library is refused with the draft's own exit code: several
   passwords; signers of an encryption whose passwords differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sop

from tiny_gnupg._openpgp import clear_text
from tiny_gnupg._openpgp.armor import dearmor, enarmor, is_armored
from tiny_gnupg._openpgp.packets import SIGNATURE, frame
from tiny_gnupg.sop import calls
from tiny_gnupg.sop.calls import Blocks
from tiny_gnupg.version import __version__

_LABELS = {
    sop.SOPArmorLabel.sig: "SIGNATURE",
    sop.SOPArmorLabel.cert: "PUBLIC KEY BLOCK",
    sop.SOPArmorLabel.key: "PRIVATE KEY BLOCK",
    sop.SOPArmorLabel.message: "MESSAGE",
}


_SIGNING = {
    sop.SOPInlineSigType.binary: ("--sign",),
    sop.SOPInlineSigType.text: ("--textmode", "--sign"),
    sop.SOPInlineSigType.clearsigned: ("--clear-sign",),
    sop.SOPSigType.binary: ("--detach-sign",),
    sop.SOPSigType.text: ("--textmode", "--detach-sign"),
}


class TinySop(sop.StatelessOpenPGP):
    """tiny_gnupg behind the framework's command line."""

    def __init__(self) -> None:
        super().__init__(name="tiny-gnupg-sop", version=__version__, backend="GnuPG")

    def generate_key(
        self,
        armor: bool = True,
        uids: list[str] = [],  # noqa: B006  the framework's own signature
        keypassword: bytes | None = None,
        profile: sop.SOPProfile | None = None,
        **kwargs: Any,
    ) -> bytes:
        """Make a key that does not expire."""
        self.raise_on_unknown_options(**kwargs)
        password = calls.password_of(keypassword) if keypassword is not None else ""
        return calls.run(calls.generate(uids, password, armor))

    def extract_cert(self, key: bytes, armor: bool = True, **kwargs: Any) -> bytes:
        """Return the certificates of secret keys."""
        self.raise_on_unknown_options(**kwargs)
        return calls.run(calls.extract(key, armor))

    def sign(
        self,
        data: bytes,
        armor: bool = True,
        sigtype: sop.SOPSigType = sop.SOPSigType.binary,
        signers: Blocks = {},  # noqa: B006
        wantmicalg: bool = False,
        keypasswords: Blocks = {},  # noqa: B006
        **kwargs: Any,
    ) -> tuple[bytes, str | None]:
        """Sign data, detached."""
        self.raise_on_unknown_options(**kwargs)
        if sigtype is sop.SOPSigType.text:
            calls.require_text(data)
        signed = calls.run(calls.sign(data, _SIGNING[sigtype], signers, keypasswords)).encode()
        return calls.dressed(signed, armor), calls.micalg_of(signed) if wantmicalg else None

    def verify(
        self,
        data: bytes,
        start: datetime | None = None,
        end: datetime | None = None,
        sig: bytes = b"",
        signers: Blocks = {},  # noqa: B006
        **kwargs: Any,
    ) -> list[sop.SOPSigResult]:
        """Verify detached signatures."""
        self.raise_on_unknown_options(**kwargs)
        return calls.run(calls.verify(data, sig, signers, calls.Window(start, end)))

    def encrypt(
        self,
        data: bytes,
        literaltype: sop.SOPLiteralDataType = sop.SOPLiteralDataType.binary,
        armor: bool = True,
        passwords: Blocks = {},  # noqa: B006
        signers: Blocks = {},  # noqa: B006
        keypasswords: Blocks = {},  # noqa: B006
        recipients: Blocks = {},  # noqa: B006
        profile: sop.SOPProfile | None = None,
        **kwargs: Any,
    ) -> bytes:
        """Encrypt to certificates, to one password, or to both."""
        self.raise_on_unknown_options(**kwargs)
        if literaltype is sop.SOPLiteralDataType.text:
            calls.require_text(data)
        if not passwords and not recipients:
            raise sop.SOPMissingRequiredArgument("neither a recipient nor a password")
        if len(passwords) > 1:
            raise sop.SOPUnsupportedOption("more than one password")
        password = next(map(calls.password_of, passwords.values()), None)
        return calls.run(calls.encrypt(data, recipients, signers, keypasswords, password, armor))

    def decrypt(
        self,
        data: bytes,
        wantsessionkey: bool = False,
        sessionkeys: Mapping[str, sop.SOPSessionKey] = {},
        passwords: Blocks = {},  # noqa: B006
        signers: Blocks = {},  # noqa: B006
        start: datetime | None = None,
        end: datetime | None = None,
        keypasswords: Blocks = {},  # noqa: B006
        secretkeys: Blocks = {},  # noqa: B006
        **kwargs: Any,
    ) -> tuple[bytes, list[sop.SOPSigResult], sop.SOPSessionKey | None]:
        """Decrypt a message, and tell whose signatures are good."""
        self.raise_on_unknown_options(**kwargs)
        if not secretkeys and not passwords and not sessionkeys:
            raise sop.SOPMissingRequiredArgument("no key, no password and no session key")
        keys = (secretkeys, [calls.password_of(one) for one in keypasswords.values()])
        words = [calls.password_of(one) for one in passwords.values()]
        window, opened = calls.Window(start, end), [str(one) for one in sessionkeys.values()]
        plain, results, key = calls.run(
            calls.decrypt(data, keys, words, opened, signers, window, wantsessionkey)
        )
        return plain, results, key

    def armor(self, data: bytes, label: sop.SOPArmorLabel, **kwargs: Any) -> bytes:
        """Put armor on; data that has it is given back."""
        self.raise_on_unknown_options(**kwargs)
        if is_armored(data):
            return data
        return calls.checked(
            lambda: enarmor(data, _LABELS.get(label) or calls.label_of(data)).encode()
        )

    def dearmor(self, data: bytes, **kwargs: Any) -> bytes:
        """Take armor off."""
        self.raise_on_unknown_options(**kwargs)
        return calls.checked(lambda: dearmor(data))

    def inline_detach(
        self, clearsigned: bytes, armor: bool = True, **kwargs: Any
    ) -> tuple[bytes, bytes]:
        """Take a signed message apart: what is signed, and the signatures."""
        self.raise_on_unknown_options(**kwargs)
        packets = calls.checked(lambda: frame(dearmor(clearsigned)))
        found = [packet for packet in packets if packet.tag == SIGNATURE]
        if not found:
            raise sop.SOPUnsupportedOption("the signatures are inside a compressed packet")
        octets = dearmor(clearsigned)
        signatures = b"".join(octets[one.offset : one.offset + one.length] for one in found)
        message, _ = calls.run(calls.inline_verify(clearsigned, {}, calls.Window(None, None)))
        return message, enarmor(signatures, "SIGNATURE").encode() if armor else signatures

    def inline_sign(
        self,
        data: bytes,
        armor: bool = True,
        sigtype: sop.SOPInlineSigType = sop.SOPInlineSigType.binary,
        signers: Blocks = {},  # noqa: B006
        keypasswords: Blocks = {},  # noqa: B006
        **kwargs: Any,
    ) -> bytes:
        """Sign data and keep the two together."""
        self.raise_on_unknown_options(**kwargs)
        if sigtype is not sop.SOPInlineSigType.binary:
            calls.require_text(data)
        if sigtype is sop.SOPInlineSigType.clearsigned and (why := clear_text.fault([data])):
            raise sop.SOPInvalidDataType(f"the text cannot be clear-signed: {why}")
        signed = calls.run(calls.sign(data, _SIGNING[sigtype], signers, keypasswords)).encode()
        return calls.dressed(signed, armor)

    def inline_verify(
        self,
        data: bytes,
        start: datetime | None = None,
        end: datetime | None = None,
        signers: Blocks = {},  # noqa: B006
        **kwargs: Any,
    ) -> tuple[bytes, list[sop.SOPSigResult]]:
        """Verify a signed message."""
        self.raise_on_unknown_options(**kwargs)
        message, results = calls.run(calls.inline_verify(data, signers, calls.Window(start, end)))
        return message, calls.required(results)


def main() -> None:
    """Run ``tiny-gnupg-sop``."""
    TinySop().dispatch()


if __name__ == "__main__":
    main()
