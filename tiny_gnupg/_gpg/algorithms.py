"""The algorithms of new keys: what a caller names, what gpg names, and which gpg has them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tiny_gnupg.errors import UnsupportedByGnuPG
from tiny_gnupg.results import Key, PublicKeyAlgorithm, Subkey

#: What a new key or subkey of gpg's may be used for, in gpg's words.
USAGES = {"sign": "sign", "auth": "auth", "encrypt": "encr"}


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What a key and its subkeys are made with.

    Args:
        signing: gpg's name for what certifies, signs and authenticates.
        encrypting: gpg's name for what encrypts.
        since: the first GnuPG that has it.
    """

    signing: str
    encrypting: str
    since: tuple[int, int, int] = (2, 2, 0)

    def named(self, usage: str) -> str:
        """Return gpg's name for what has a usage."""
        return self.encrypting if usage == "encrypt" else self.signing

    @property
    def librepgp(self) -> bool:
        """Whether its keys are version 5, which other programs than GnuPG do not read."""
        return self.since > (2, 2, 0)

    @property
    def curves(self) -> set[str]:
        """The curves that it needs, as far as gpg tells of them."""
        return {self.signing.removesuffix(_ECDSA), self.encrypting} & _CURVES


#: Behind the name of a curve that is there for two algorithms: gpg 2.2 takes ECDH for meant.
_ECDSA = "/ecdsa"


_PLAIN = ("nistp256", "nistp384", "nistp521")
_BRAINPOOL = ("brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1")


_CURVES = {"ed25519", "cv25519", "ed448", "cv448", *_PLAIN, *_BRAINPOOL}


#: Hybrids of Kyber (ML-KEM) and a curve, which encrypt; what signs is the curve's own.
_HYBRIDS = {
    "ky768_cv25519": "ed25519",
    "ky1024_cv448": "ed448",
    "ky768_bp256": _BRAINPOOL[0] + _ECDSA,
    "ky1024_bp384": _BRAINPOOL[1] + _ECDSA,
    "ky1024_bp512": _BRAINPOOL[2] + _ECDSA,
}


_ALGORITHMS = {
    "ed25519": Algorithm("ed25519", "cv25519"),
    "ed448": Algorithm("ed448", "cv448", since=(2, 3, 0)),
    **{curve: Algorithm(curve + _ECDSA, curve) for curve in (*_PLAIN, *_BRAINPOOL)},
    **{name: Algorithm(curve, name, since=(2, 5, 0)) for name, curve in _HYBRIDS.items()},
}


#: The bits of an RSA key: fewer are weak, and of more gpg makes none.
_LEAST, _MOST = 2048, 4096


def checked_algorithm(name: str) -> Algorithm:
    """Return an algorithm by its name.

    Raises:
        ValueError: there is none of that name.
    """
    if isinstance(name, str):
        bits = re.fullmatch(r"rsa([0-9]{4})", name)
        if bits and _LEAST <= int(bits[1]) <= _MOST:
            return Algorithm(name, name)
        if name in _ALGORITHMS:
            return _ALGORITHMS[name]
    known = ", ".join(_ALGORITHMS)
    raise ValueError(f"an algorithm is rsa{_LEAST} to rsa{_MOST} or one of {known}; not {name!r}")


def checked_usages(usages: object) -> tuple[str, ...]:
    """Return back what subkeys shall be used for.

    Raises:
        ValueError: they are not some of ``USAGES``.
    """
    found = tuple(usages) if isinstance(usages, list | tuple) else (usages,)
    if any(not isinstance(usage, str) or usage not in USAGES for usage in found):
        raise ValueError(f"a subkey is for some of {', '.join(USAGES)}, not {usages!r}")
    return found


def algorithm_like(part: Key | Subkey) -> str:
    """Return the name of the algorithm that a key or subkey is made with, or ``ed25519``."""
    if part.algorithm in (PublicKeyAlgorithm.RSA, PublicKeyAlgorithm.RSA_SIGN):
        return f"rsa{min(max(part.bits, _LEAST), _MOST)}"
    made = (
        name for name, one in _ALGORITHMS.items() if part.curve in (one.signing, one.encrypting)
    )
    return next(made, "ed25519")


def require_supported(name: str, version: tuple[int, int, int], listed: bytes) -> None:
    """Let an algorithm pass that a gpg has.

    Args:
        name: its name.
        version: the gpg's.
        listed: the curves that it says it has (``--list-config curve``).

    Raises:
        UnsupportedByGnuPG: it has it not.
    """
    algorithm = checked_algorithm(name)
    used = ".".join(map(str, version))
    if version < algorithm.since:
        first = ".".join(map(str, algorithm.since))
        message, hint = f"gpg {used} has no {name}", f"GnuPG {first} and newer have it"
        raise UnsupportedByGnuPG(message, hint=hint)
    missing = algorithm.curves - set(re.split(r"[:;\s]", listed.decode(errors="replace")))
    if missing:
        message = f"this gpg {used} was built without {', '.join(sorted(missing))}"
        raise UnsupportedByGnuPG(message, hint="use another algorithm, or the bundled gpg")
