from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayescam.workflows.folders import write_table
from bayescam.workflows.spreadsheet import inert_cell


@pytest.mark.parametrize(
    "text",
    ["=cmd()", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\n=1", "＝cmd()", "-", "--1"],
)
def test_no_cell_heading_or_category_begins_a_formula(tmp_path: Path, text: str) -> None:
    table = pd.DataFrame({text: [text, "plain"], "kind": pd.Categorical([text, "a"])})
    write_table(tmp_path / "t.csv", table)
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert len(cells) == 6
    assert sum(cell == "'" + text for cell in cells) == 3
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in cells)


def test_numbers_stay_numbers_and_missing_values_missing(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "float": [-1.5, np.nan, 2e-9],
            "int": [-1, 2, 3],
            "text": ["-1.5", "+2e3", None],
            "bool": [True, False, True],
        }
    )
    write_table(tmp_path / "t.csv", table)
    assert (tmp_path / "t.csv").read_text() == table.to_csv(index=False)
    write_table(tmp_path / "u.csv", table, float_format="%.2g")
    assert (tmp_path / "u.csv").read_text() == table.to_csv(index=False, float_format="%.2g")


def test_marks_that_hide_are_spelled_out() -> None:
    assert inert_cell("a\u202eb\u200f\x1b[31m") == "a\\u202eb\\u200f\\u001b[31m"
    assert inert_cell("a\r=cmd()") == "a\\u000d=cmd()"
    assert inert_cell("\u202e=cmd()") == "\\u202e=cmd()"
    assert inert_cell("<script>, \"x\"\nüé") == "<script>, \"x\"\nüé"  # fmt: skip
    assert inert_cell("x" * 10_000) == "x" * 10_000
