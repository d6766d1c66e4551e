"""What every notebook keeps to; `make notebooks` runs them."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
CHANGE = "## The one cell to change"
DATA = {"write_phantoms", "ShortcutConfig", "ROOT", "WEIGHTS", "INPUT_SHAPE", "CONFIG"}


def test_the_five_stories_are_numbered() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == ["1_", "2_", "3_", "4_", "5_"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_defines_nothing_and_has_no_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            kinds = {type(node) for node in ast.walk(ast.parse(cell.source))}
            assert not kinds & {ast.FunctionDef, ast.ClassDef, ast.Lambda}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_data_and_network_are_chosen_in_one_cell(path: Path) -> None:
    """Nothing that changes with the data is called or set in any other cell."""
    cells = nbformat.read(path, as_version=4).cells
    (place,) = (i for i, cell in enumerate(cells) if cell.source.startswith(CHANGE))
    assert cells[place + 1].cell_type == "code"
    assert "ham10000" in cells[place + 1].source
    for cell in cells[:place] + cells[place + 2 :]:
        if cell.cell_type == "code":
            nodes = list(ast.walk(ast.parse(cell.source)))
            made = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            calls = {ast.unparse(n.func).split(".")[-1] for n in nodes if isinstance(n, ast.Call)}
            assert not (made | calls) & DATA


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_what_a_notebook_imports_is_there(path: Path) -> None:
    """So that a new name in the library is not first missed when all notebooks run."""
    cells = nbformat.read(path, as_version=4).cells
    trees = [ast.parse(cell.source) for cell in cells if cell.cell_type == "code"]
    imports = [n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    for statement in imports:
        module = importlib.import_module(str(statement.module))
        for name in statement.names:
            assert hasattr(module, name.name), f"{statement.module} has no {name.name}"
