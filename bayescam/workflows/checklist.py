"""`bayescam checklist`: CLAIM 2024 filled in with what an analysis folder knows, as CSV and page.

Needs no TensorFlow. What the folder cannot answer is "not assessed".
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bayescam.report import ChecklistRow, render_checklist
from bayescam.types import InputError
from bayescam.workflows.claim import CLAIM_ITEMS
from bayescam.workflows.claim_facts import AnalysisFacts, gather_facts
from bayescam.workflows.finished import load_analysis
from bayescam.workflows.folders import write_table, write_text

__all__ = ["checklist_folder", "checklist_table", "fill_checklist"]

_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def checklist_folder(folder: str | os.PathLike[str], *, seed: int | None = None) -> Path:
    """Write `report/checklist.csv` and `report/checklist.html`, and return the page's path.

    Args:
        folder: of `bayescam analyze`; of one that was not evaluated, what an evaluation would
            answer is "not assessed", and so is what only `training.json` knows where it is absent.
        seed: that the analysis must have, for scripts that want to be sure; `None` for any.

    Raises:
        InputError: not a finished analysis folder, or of another version of bayescam.
    """
    analysis = load_analysis(folder)
    if seed not in (None, analysis.manifest["seed"]):
        raise InputError(f"{folder} has seed {analysis.manifest['seed']}; expected {seed}")
    facts = gather_facts(analysis)
    rows = fill_checklist(facts)
    target = analysis.folder / "report"
    target.mkdir(exist_ok=True)
    write_table(target / "checklist.csv", checklist_table(rows))
    page = render_checklist(rows, facts=_run_facts(facts))
    write_text(target / "checklist.html", page)
    return target / "checklist.html"


def fill_checklist(facts: AnalysisFacts) -> list[ChecklistRow]:
    """The 44 items with what is known of each."""
    return [
        ChecklistRow(item.number, item.section, item.topic, *item.answer(facts))
        for item in CLAIM_ITEMS
    ]


def checklist_table(rows: Sequence[ChecklistRow]) -> pd.DataFrame:
    """One row an item; no cell is a formula to a spreadsheet."""
    columns = ("number", "section", "topic", "status", "answer", "source")
    return pd.DataFrame(
        [[_inert(getattr(row, name)) for name in columns] for row in rows], columns=list(columns)
    )


def _inert(cell: object) -> object:
    if isinstance(cell, str) and cell.lstrip().startswith(_FORMULA_SIGNS):
        return f"'{cell}"
    return cell


def _run_facts(facts: AnalysisFacts) -> dict[str, str]:
    return {
        "model": facts.settings["model"],
        "data": facts.manifest["data_fingerprint"],
        "seed": str(facts.manifest["seed"]),
        "bayescam": facts.manifest["versions"]["bayescam"],
    }
