"""z-base-32: how GnuPG names its socket directories, and a Web Key Directory its keys. Pure."""

from __future__ import annotations

_Z_BASE_32 = "ybndrfg8ejkmcpqxot1uwisza345h769"


def z_base_32(data: bytes) -> str:
    """Write bytes in z-base-32 (RFC 6189, section 5.1.6): five bits a character."""
    bits = "".join(f"{byte:08b}" for byte in data)
    groups = (bits[start : start + 5].ljust(5, "0") for start in range(0, len(bits), 5))
    return "".join(_Z_BASE_32[int(group, 2)] for group in groups)
