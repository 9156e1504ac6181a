"""The Stateless OpenPGP interface (``pip install 'tiny_gnupg[sop]'``)."""

from __future__ import annotations

try:
    import sop  # noqa: F401  both modules beside this one need it
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "tiny-gnupg-sop needs its framework: pip install 'tiny_gnupg[sop]'", name="sop"
    ) from None
