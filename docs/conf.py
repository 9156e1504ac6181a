"""How Sphinx builds the reference."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tiny_gnupg import __version__  # noqa: E402  the path to it is set above

project = "tiny_gnupg"
author = "the authors of tiny_gnupg"
version = release = __version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "alabaster"
html_theme_options = {
    "description": "GnuPG for asynchronous Python",
    # As wide as the code, which has up to 100 columns.
    "page_width": "1240px",
    "body_max_width": "none",
    "code_font_size": "0.85em",
}
html_static_path = ["_static"]
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False


def setup(app: Sphinx) -> None:
    """Mend docstrings on their way into the reference."""
    app.connect("autodoc-process-docstring", _without_types, priority=100)


def _without_types(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    # Napoleon takes words before a colon for a type; the types are in the signatures already.
    for number, line in enumerate(lines[:-1], 1):
        if line.strip() in ("Returns:", "Yields:"):
            lines[number] = re.sub(r": |:$", " – ", lines[number], count=1)  # noqa: RUF001
