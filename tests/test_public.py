from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

import bayescam
import bayescam.explain
import bayescam.report
import bayescam.workflows

CONTRACT = {
    "adapt_model",
    "analyze",
    "audit_records",
    "build_classifier",
    "draw_posterior",
    "fit",
    "load_model",
    "read_chest_xray",
    "read_chexpert",
    "read_covid_chestxray",
    "read_ham10000",
    "read_image_folder",
    "read_mura",
    "read_table",
    "save_model",
    "split_records",
    "summarize",
    "write_phantoms",
}
LAZY = [bayescam, bayescam.workflows, bayescam.report, bayescam.explain]


def names_for_type_checkers(package: object) -> dict[str, str]:
    """Public name -> module, as the `if TYPE_CHECKING` block of a package says."""
    tree = ast.parse(Path(package.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_the_contract_is_public() -> None:
    assert set(bayescam.__all__) >= CONTRACT


@pytest.mark.parametrize("package", LAZY, ids=lambda package: package.__name__)
def test_lazy_names_are_what_their_homes_define(package) -> None:
    homes = names_for_type_checkers(package)
    assert sorted(homes) == sorted(package.__all__) == sorted(dir(package))
    for name, home in homes.items():
        assert getattr(package, name) is getattr(import_module(home), name)


@pytest.mark.parametrize("package", LAZY, ids=lambda package: package.__name__)
def test_unknown_names_are_attribute_errors(package) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'analyse_all'"):
        package.analyse_all  # noqa: B018


@pytest.mark.parametrize(
    "room", ["data", "models", "inference", "explain", "uncertainty", "report", "workflows"]
)
def test_every_name_in_all_exists(room: str) -> None:
    package = import_module(f"bayescam.{room}")
    for name in package.__all__:
        assert getattr(package, name) is not None
