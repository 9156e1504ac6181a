"""What other projects keep for their own tests: keys and messages that are no part of this one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

VECTORS = Path(
    os.environ.get("TINY_GNUPG_VECTORS", Path(__file__).parents[1] / ".." / "shared" / "vectors")
)
needs_vectors = pytest.mark.skipif(
    not VECTORS.is_dir(), reason="NOT TESTED: TINY_GNUPG_VECTORS names no folder of others' vectors"
)
