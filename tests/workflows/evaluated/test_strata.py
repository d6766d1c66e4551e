"""Scores by stratum."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, log_loss

from bayescam.types import InputError
from bayescam.workflows.evaluate import evaluate_folder
from bayescam.workflows.finished import load_analysis
from bayescam.workflows.strata import find_strata

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # notes of small evaluations


def test_strata_have_their_own_scores(
    folders: dict[str, Path], probs: dict[str, np.ndarray], evaluation: dict
) -> None:
    records = pd.read_parquet(folders["test"] / "records.parquet")
    mean, labels = probs["test"].mean(0), load_analysis(folders["test"]).labels
    found = evaluation["strata"]["strata"]
    assert evaluation["strata"]["column"] == "localization"
    assert list(found)[0] == "back"  # the largest first
    for name, part in found.items():
        rows = (records["localization"] == name).to_numpy()
        accuracy = accuracy_score(labels[rows], mean[rows].argmax(1))
        assert part["num_images"] == rows.sum()
        assert part["num_groups"] == records["group"][rows].nunique()
        assert part["scores"]["accuracy"]["estimate"] == pytest.approx(accuracy)
        assert part["scores"]["negative_log_likelihood"]["estimate"] == pytest.approx(
            log_loss(labels[rows], mean[rows], labels=range(7))
        )
        assert part["few"] == (rows.sum() < 50)
    assert any("say little" in note and "scalp (" in note for note in evaluation["notes"])


def test_numbers_are_cut_into_quarters_and_missing_values_are_a_stratum(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["test"], tmp_path / "copy")
    records = pd.read_parquet(folder / "records.parquet")
    records.loc[:9, "age"] = np.nan
    records.to_parquet(folder / "records.parquet")
    found = evaluate_folder(folder, strata="age")["strata"]["strata"]
    assert found["missing"]["num_images"] == 10
    assert len(found) == 5
    first = np.nanquantile(records["age"], 0.25)
    low = found[f"{records['age'].min():g} <= x <= {first:g}"]
    assert low["num_images"] == (records["age"] <= first).sum()


def test_a_few_numbers_are_strata_of_their_own_without_idle_decimals(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["test"], tmp_path / "copy")
    records = pd.read_parquet(folder / "records.parquet")
    records["age"] = np.resize([55.0, 60.0, 62.5, np.nan], len(records))
    records.to_parquet(folder / "records.parquet")
    names = find_strata(load_analysis(folder), "age", np.arange(400))
    assert names.tolist() == ["55", "60", "62.5", "missing"] * 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strata": "colour"}, r"column of the records .*sex, localization, age; got 'colour'"),
        ({"strata": "path"}, r"column of the records .*; got 'path'"),
        ({"class_of_concern": "cat"}, r"class of concern must be one of akiec, .*; got 'cat'"),
        ({"coverage": 90}, r"`coverage` must lie strictly .* got 90\. Is it a percentage\?"),
        ({"target_risk": 0}, "`target_risk` must lie strictly between 0 and 1; got 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    folders: dict[str, Path], options: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        evaluate_folder(folders["test"], **options)
