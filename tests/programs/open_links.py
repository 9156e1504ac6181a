"""Use a long homedir where others could write to the directory of short links."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.instances import alice_at
from tiny_gnupg import HomeUnusable


async def main(homedir: Path) -> None:
    with pytest.raises(HomeUnusable, match="not a directory of yours alone"):
        await alice_at(homedir).list_keys()
    print("refused")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
