"""What is tried of a tiny_gnupg that was installed: a home, a key, a message there and back.

    python -I -W error trial.py HOME

Run by the Python of the environment that it was installed into; a warning is an error. It prints
what was used and what came back, as JSON, for environments.py to judge.
"""

from __future__ import annotations

import asyncio
import json
import sys

import tiny_gnupg

TEXT = "Meet me at the mill. \N{BLACK CHESS KNIGHT}"


async def try_it(home: str) -> dict[str, object]:
    """Live the life of a key and a message in a new home."""
    async with tiny_gnupg.GnuPG("Ada", "ada@example.org", "open sesame", homedir=home) as gpg:
        fingerprint = await gpg.gen_key()
        message = await gpg.encrypt(TEXT, "ada@example.org")
        found = (await gpg.decrypt_verify(message)).require_good()
        return {
            "package": tiny_gnupg.__file__,
            "gpg": gpg.executable,
            "encrypted": found.encrypted and TEXT not in str(message),
            "signed": [signature.primary_fingerprint for signature in found.signatures]
            == [fingerprint],
            "read": found.text == TEXT,
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(try_it(sys.argv[1]))))
