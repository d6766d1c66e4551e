"""The checklist of an evaluated folder: its answers are the numbers of `evaluation.json`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayescam.workflows.checklist import checklist_folder, fill_checklist
from bayescam.workflows.claim_facts import gather_facts
from bayescam.workflows.finished import load_analysis


@pytest.fixture(scope="module")
def answers(folders: dict[str, Path], evaluation: dict) -> dict[int, tuple[str, str]]:
    rows = fill_checklist(gather_facts(load_analysis(folders["test"])))
    return {row.number: (row.status, row.answer) for row in rows}


def text(found: dict[str, float]) -> str:
    return f"{found['estimate']:.3f} [{found['lower']:.3f}, {found['upper']:.3f}]"


def test_scores_and_intervals_are_those_of_the_evaluation(
    answers: dict[int, tuple[str, str]], evaluation: dict
) -> None:
    scores = evaluation["scores"]["calibrated"]
    groups = evaluation["scored"]["num_groups"]
    assert f"400 images of {groups} groups (test)" in answers[37][1]
    assert f"accuracy {text(scores['accuracy'])}" in answers[37][1]
    assert f"macro AUC {text(scores['macro_auc'])}" in answers[37][1]
    assert f"mel: sensitivity {text(scores['sensitivity_mel'])}" in answers[38][1]
    assert f"AUC {text(scores['auc_nv'])}" in answers[38][1]
    assert f"accuracy {text(scores['accuracy'])}" in answers[32][1]
    temperature = evaluation["calibration"]["temperature"]
    assert f"temperature {temperature:.3f} and class bias fitted on 500" in answers[29][1]
    assert f"resamples of {groups} groups" in answers[29][1]
    assert {answers[n][0] for n in (28, 29, 32, 37, 38)} == {"answered"}


def test_failures_strata_and_images_from_elsewhere_are_counted(
    answers: dict[int, tuple[str, str]], evaluation: dict
) -> None:
    table = np.array(evaluation["confusion"])
    wrong = table.sum() - np.trace(table)
    off = table - np.diag(np.diag(table))
    row, column = np.unravel_index(off.argmax(), off.shape)
    names = evaluation["class_names"]
    assert answers[39][1].startswith(f"{wrong} images of 400 called wrong, most often {names[row]}")
    assert f"as {names[column]} ({off.max()} of {table[row].sum()})" in answers[39][1]
    strata = evaluation["strata"]["strata"].values()
    least = min(part["scores"]["accuracy"]["estimate"] for part in strata)
    assert f"By localization, {len(strata)} strata: accuracy from {least:.3f}" in answers[30][1]
    auroc = evaluation["ood"]["detection"]["calibrated"]["predictive_entropy"]["auroc"]
    said = f"90 images from elsewhere told apart by the predictive entropy with AUROC {text(auroc)}"
    assert said in answers[30][1]
    assert evaluation["measures"]["draws"] in answers[40][1]
    assert answers[33] == ("not assessed", "")
    assert {answers[n][0] for n in (30, 39, 40)} == {"partly"}


def test_notes_of_the_evaluation_are_not_quoted(folders: dict[str, Path], evaluation: dict) -> None:
    """They may name lesions and patients."""
    page = checklist_folder(folders["test"])
    groups = set(pd.read_parquet(folders["test"] / "predictions.parquet")["group"])
    assert not [group for group in groups if group in page.read_text()]
