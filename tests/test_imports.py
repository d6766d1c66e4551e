from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bayescam

ROOT = Path(bayescam.__file__).parent

# DESIGN, section 4: who may import whom. Everyone may use the vocabulary and the lazy names.
COMMON = {"types", "lazy"}
CORE = COMMON | {"data", "models", "inference", "explain", "uncertainty", "report"}
ALLOWED = {
    "types": set(),
    "lazy": set(),
    "data": COMMON,
    "models": COMMON,
    "uncertainty": COMMON,
    "report": COMMON,
    "inference": COMMON | {"models"},
    "explain": COMMON | {"models", "inference"},
    "workflows": CORE,
    "cli": CORE | {"workflows"},
    "__main__": {"cli"},
    "__init__": CORE | {"workflows"},
}


def imported_rooms(source: str) -> set[str]:
    """The parts of bayescam that a module imports, anywhere in it."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide edges"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return {name.split(".")[1] for name in names if name.startswith("bayescam.")} - {"__version__"}


@pytest.mark.parametrize(
    "path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_only_the_allowed_edges(path: Path) -> None:
    room = path.relative_to(ROOT).with_suffix("").parts[0]
    assert imported_rooms(path.read_text()) - {room} <= ALLOWED[room]


@pytest.mark.parametrize(
    "line",
    [
        "from bayescam.report import x",
        "import bayescam.report.maps as m",
        "from bayescam import report",
    ],
)
def test_every_form_of_import_is_seen(line: str) -> None:
    assert imported_rooms(f"def f():\n    {line}\n") == {"report"}


def loaded_after(statement: str) -> set[str]:
    """The top-level modules that are loaded after a statement in a fresh interpreter."""
    code = f"import sys\n{statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import bayescam; dir(bayescam)", {"tensorflow", "matplotlib", "pandas", "numpy"}),
        ("import bayescam.uncertainty", {"tensorflow", "tf_keras", "matplotlib"}),
        ("import bayescam.report; bayescam.report.case_content", {"tensorflow", "tf_keras"}),
        ("import bayescam.data", {"tensorflow", "tf_keras", "matplotlib"}),
        (
            "from bayescam.explain import compare_maps, explanation_modes, summarize_maps",
            {"tensorflow", "tf_keras", "matplotlib"},
        ),
        ("import bayescam.workflows.report", {"tensorflow", "tf_keras"}),
        ("import bayescam.workflows.evaluate", {"tensorflow", "tf_keras"}),
        ("import bayescam.cli", {"tensorflow", "tf_keras", "matplotlib", "pandas", "numpy"}),
    ],
)
def test_what_an_import_does_not_load(statement: str, absent: set[str]) -> None:
    loaded = loaded_after(statement)
    assert "bayescam" in loaded
    assert not loaded & absent
