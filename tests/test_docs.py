"""The reference builds without a warning, and the picture of the house shows all of it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import tiny_gnupg

CHECKOUT = Path(__file__).parents[1]
SVG = "{http://www.w3.org/2000/svg}"


def test_the_reference_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-E"),
            *("-d", tmp_path / "doctrees", CHECKOUT / "docs", tmp_path / "html"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "html" / "reference.html").read_text()
    assert 'id="tiny_gnupg.GnuPG.decrypt_verify"' in page
    assert (tmp_path / "html" / "_images" / "house.svg").exists()
    assert 'href="_images/house.svg"' in (tmp_path / "html" / "house.html").read_text()
    pages = [(tmp_path / "html" / f"{name}.html").read_text() for name in ("errors", "results")]
    described = re.findall(r'id="tiny_gnupg\.(?:errors|results)\.(\w+)"', "".join(pages))
    assert sorted(described) == sorted(set(tiny_gnupg.__all__) - {"GnuPG", "run", "__version__"})


def test_the_rules_of_every_room_are_in_the_reference() -> None:
    pages = "".join(path.read_text() for path in (CHECKOUT / "docs").glob("*.rst"))
    shown = set(re.findall(r"^\.\. automodule:: tiny_gnupg\.(\w+)$", pages, re.MULTILINE))
    rules = {
        path.stem
        for path in (CHECKOUT / "tiny_gnupg").glob("*.py")
        if re.search(r"^1\. ", ast.get_docstring(ast.parse(path.read_text())) or "", re.MULTILINE)
    }
    assert len(rules) > 20
    assert rules <= shown


def test_the_picture_shows_every_room_and_which_are_pure(tmp_path: Path) -> None:
    picture = tmp_path / "house.svg"
    subprocess.run([sys.executable, CHECKOUT / "scripts" / "draw-house", picture], check=True)
    kept = CHECKOUT / "docs" / "house.svg"
    assert kept.read_text() == picture.read_text(), "scripts/docs draws it anew"

    # Our own script's output, and no parser of Python's fetches what it names.
    drawn = ElementTree.parse(picture).getroot()  # noqa: S314
    rooms = {group.get("id"): group.find(f"{SVG}rect") for group in drawn.findall(f"{SVG}g")}
    modules = {path.stem: path for path in (CHECKOUT / "tiny_gnupg").glob("*.py")}
    assert set(rooms) == set(modules)
    fills = {name: room.get("fill") for name, room in rooms.items() if room is not None}
    assert fills["outcome"] == fills["status"] != fills["process"]
    assert len(drawn.findall(f"{SVG}path")) > len(rooms)


def test_every_public_method_has_a_docstring_that_is_a_sentence() -> None:
    tree = ast.parse((CHECKOUT / "tiny_gnupg" / "gnupg.py").read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    public = [
        node
        for body in ast.walk(tree)
        if isinstance(body, ast.ClassDef) and body.name == "GnuPG"
        for node in body.body
        if isinstance(node, functions) and not node.name.startswith("_")
    ]

    assert len(public) > 50
    for node in public:
        decorators = "".join(map(ast.dump, node.decorator_list))
        if "setter" in decorators or "overload" in decorators:
            continue
        first = (ast.get_docstring(node) or "").split("\n\n")[0]
        assert first, node.name
        assert first.endswith((".", "``", '"')), (node.name, first)
