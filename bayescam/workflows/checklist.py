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
from bayescam.workflows.finished import Analysis, load_analysis
from bayescam.workflows.folders import write_text
from bayescam.workflows.spreadsheet import inert_table

__all__ = ["checklist_files", "checklist_folder", "checklist_table", "fill_checklist"]


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
    target = analysis.folder / "report"
    target.mkdir(exist_ok=True)
    for name, text in checklist_files(analysis).items():
        write_text(target / name, text)
    return target / "checklist.html"


def checklist_files(analysis: Analysis) -> dict[str, str]:
    """The text of `checklist.csv` and `checklist.html`, by name."""
    facts = gather_facts(analysis)
    rows = fill_checklist(facts)
    return {
        "checklist.csv": checklist_table(rows).to_csv(index=False),
        "checklist.html": render_checklist(rows, facts=_run_facts(facts)),
    }


def fill_checklist(facts: AnalysisFacts) -> list[ChecklistRow]:
    """The 44 items with what is known of each."""
    return [
        ChecklistRow(item.number, item.section, item.topic, *item.answer(facts))
        for item in CLAIM_ITEMS
    ]


def checklist_table(rows: Sequence[ChecklistRow]) -> pd.DataFrame:
    """One row an item; no cell is a formula to a spreadsheet."""
    columns = ("number", "section", "topic", "status", "answer", "source")
    values = [[getattr(row, name) for name in columns] for row in rows]
    return inert_table(pd.DataFrame(values, columns=list(columns)))


def _run_facts(facts: AnalysisFacts) -> dict[str, str]:
    return {
        "model": facts.settings["model"],
        "data": facts.manifest["data_fingerprint"],
        "seed": str(facts.manifest["seed"]),
        "bayescam": facts.manifest["versions"]["bayescam"],
    }
