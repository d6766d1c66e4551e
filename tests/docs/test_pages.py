"""The pages say what the program does: every name, argument, command and option in them exists.

`make docs` builds them, with warnings as errors; here nothing is built.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import typer
import yaml

import bayescam
from bayescam.cli.program import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "howto").glob("*.md")])
COMMANDS = typer.main.get_command(app).commands


def blocks(page: Path, language: str) -> list[str]:
    found = re.findall(r"^```(\S*)\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [code for kind, code in found if kind == language]


def load(name: str) -> ModuleType:
    path = ROOT / "docs" / "extensions" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def called_names(tree: ast.AST) -> dict[str, object]:
    """What each name in a script stands for, of those that it imports from bayescam."""
    found: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.asname: bayescam for a in node.names if a.name == "bayescam"}
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("bayescam"):
            room = import_module(node.module)
            found |= {alias.name: getattr(room, alias.name) for alias in node.names}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_in_pages_calls_what_there_is(page: Path) -> None:
    for code in blocks(page, "python"):
        tree = ast.parse(code)
        known = called_names(tree)
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            written = ast.unparse(call.func)
            name, _, attribute = written.partition(".")
            if name not in known or not re.fullmatch(r"\w+(\.\w+)?", written):
                continue
            function = getattr(known[name], attribute) if attribute else known[name]
            signature = inspect.signature(function)
            signature.bind(*call.args, **{word.arg: word.value for word in call.keywords})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_in_pages_have_their_options(page: Path) -> None:
    lines = "\n".join(blocks(page, "")).replace("\\\n", " ")
    for line in re.findall(r"^bayescam (\w.*)$", lines, flags=re.MULTILINE):
        command, *words = line.split()
        options = {option for given in COMMANDS[command].params for option in given.opts}
        assert {word for word in words if word.startswith("--")} <= options | {"--help"}, line


def test_the_numpy_example_runs() -> None:
    (code,) = blocks(ROOT / "docs" / "howto" / "evaluate.md", "python")
    space: dict = {}
    exec(compile(code, "evaluate.md", "exec"), space)
    assert space["mutual_information"].shape == (50,)


def test_the_command_line_page_has_every_command_and_option() -> None:
    page = load("generated_pages").command_line_page()
    for name, command in COMMANDS.items():
        (section,) = re.findall(rf"^## bayescam {name}$(.*?)(?=^## |\Z)", page, re.DOTALL | re.M)
        for option in (option for given in command.params for option in given.opts):
            assert option in section or not option.startswith("--"), (name, option)


def test_the_reference_has_every_public_name_of_every_room() -> None:
    pages = load("generated_pages")
    rooms = {path.parent.name for path in (ROOT / "bayescam").glob("*/__init__.py")} - {"cli"}
    assert set(pages.ROOMS) == {"bayescam", "bayescam.types"} | {f"bayescam.{r}" for r in rooms}
    for room, text in pages.ROOMS.items():
        page = pages.reference_page(room, text)
        for name in import_module(room).__all__:
            assert len(re.findall(rf"^\.\. auto\w+:: [\w.]+\.{name}$", page, re.M)) == 1, (
                room,
                name,
            )


@pytest.mark.parametrize(
    ("text", "loads"),
    [
        ('<script src="https://cdn.example/x.js"></script>', 1),
        ('<img src="//example.org/x.png">', 1),
        ('<link rel="stylesheet" href="http://example.org/x.css">', 1),
        ("<p style=\"background: url('https://example.org/x.png')\">", 1),
        ('<a href="https://example.org">to read</a><img src="x.png"><link href="x.css">', 0),
    ],
)
def test_what_a_page_loads_from_elsewhere_is_found(tmp_path: Path, text: str, loads: int) -> None:
    (tmp_path / "index.html").write_text(text)
    assert len(load("offline").remote_loads(tmp_path)) == loads


def test_a_style_that_loads_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "x.css").write_text("@import 'https://fonts.example/css'; a { color: red }")
    assert len(load("offline").remote_loads(tmp_path)) == 1


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == bayescam.__version__
    assert {"message", "title", "authors"} <= set(citation)
    readme = (ROOT / "README.md").read_text()
    year = str(citation["date-released"])[:4]
    assert f"bayescam, version {bayescam.__version__}, {year}." in readme
