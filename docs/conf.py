"""How Sphinx builds the reference."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tiny_gnupg import __version__  # noqa: E402  the path to it is set above
from tiny_gnupg.cli.main import EXAMPLES, parser  # noqa: E402

project = "tiny_gnupg"
author = "the authors of tiny_gnupg"
version = release = __version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# sphinx-build -b man docs build/man
man_pages = [("command_line", "tiny-gnupg", "OpenPGP from the command line", [author], 1)]
# Quotes stay as they were written: what is shown is to be typed.
smartquotes_action = "D"
html_show_copyright = False
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
    """Describe the commands, and mend docstrings on their way into the reference."""
    app.add_directive("commands", Commands)
    app.add_directive("part", Part)
    app.connect("autodoc-process-docstring", _without_types, priority=100)


def _without_types(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    # Napoleon takes words before a colon for a type; the types are in the signatures already.
    for number, line in enumerate(lines[:-1], 1):
        if line.strip() in ("Returns:", "Yields:"):
            lines[number] = re.sub(r": |:$", " – ", lines[number], count=1)  # noqa: RUF001


class Commands(SphinxDirective):
    """Writes a section for each command of the command line, as its parser has it."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        return self.parse_text_to_nodes("\n".join(_commands()), allow_section_headings=True)


class Part(SphinxDirective):
    """Describes what parts of ``GnuPG`` bring: ``.. part:: MODULE.CLASS ...``."""

    optional_arguments, final_argument_whitespace = 1, True

    def run(self) -> list[nodes.Node]:
        """Return the members, in the order of their source."""
        names = [one.rpartition(".") for one in self.arguments[0].split()]
        parts = [
            getattr(import_module(f"tiny_gnupg.gnupg.{name}"), part) for name, _, part in names
        ]
        lines = [
            f".. auto{'property' if isinstance(member, property) else 'method'}:: "
            f"tiny_gnupg.GnuPG.{name}"
            for part in parts
            for name, member in vars(part).items()
            if not name.startswith("_")
        ]
        return self.parse_text_to_nodes("\n".join(lines))


def _commands() -> Iterator[str]:
    [commands] = [
        action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)
    ]
    options = {name: _options(made) for name, made in commands.choices.items()}
    common = set.intersection(*map(set, options.values()))
    yield from ("Every command", "-" * 13, "", "", ".. program:: tiny-gnupg", "")
    yield from sorted(common)
    for name, made in commands.choices.items():
        yield from (
            name,
            "-" * len(name),
            "",
            f"{made.description}",
            "",
            ".. code-block:: console",
            "",
        )
        yield from (f"   $ tiny-gnupg {example}" for example in EXAMPLES[name])
        yield from ("", f".. program:: tiny-gnupg {name}", "")
        yield from (option for option in options[name] if option not in common)


def _options(made: argparse.ArgumentParser) -> list[str]:
    """Return what a command takes, each as a directive of Sphinx's."""
    found = []
    for action in made._actions:
        value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
        names = [f"{name}{value}" for name in action.option_strings] or [value.strip()]
        found.append(f".. option:: {', '.join(names)}\n\n   {action.help}\n")
    return found
