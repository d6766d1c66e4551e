"""Conformal sets: thresholds, coverage and bands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bayescam.uncertainty import coverage_band
from bayescam.workflows.finished import load_analysis

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # notes of small evaluations


def test_conformal_thresholds_coverage_and_bands(
    folders: dict[str, Path],
    half_probs: dict[str, np.ndarray],
    halves: dict[str, np.ndarray],
    evaluation: dict,
) -> None:
    val, rows = load_analysis(folders["val"]), halves["guaranteeing"]
    mean, labels = half_probs["val"][:, rows].mean(0), val.labels[rows]
    scores = np.sort(1 - mean[np.arange(len(rows)), labels])
    threshold = scores[int(np.ceil((len(rows) + 1) * 0.9)) - 1]
    found = evaluation["conformal"]
    lac = found["methods"]["lac"]["marginal"]
    assert lac["by_class"]["nv"]["threshold"] == pytest.approx(threshold)
    test, truth = half_probs["test"].mean(0), load_analysis(folders["test"]).labels
    covered = 1 - test[np.arange(len(truth)), truth] <= threshold
    assert lac["all_images"]["coverage"] == pytest.approx(covered.mean())
    groups = load_analysis(folders["test"]).predictions["group"]
    assert found["num_images"] == groups.nunique() == lac["num_images"]
    assert lac["band"] == list(coverage_band(len(rows), groups.nunique(), alpha=0.1))
    assert lac["band"][0] <= lac["coverage"] <= lac["band"][1]
    assert sum(lac["share_of_sizes"]) == pytest.approx(1)
    sizes = np.arange(8) @ lac["share_of_sizes"]
    assert sizes == pytest.approx(lac["mean_size"])
    by_class = found["methods"]["aps"]["class_conditional"]["by_class"]
    assert by_class["nv"]["num_validation"] == (labels == 5).sum()
    assert by_class["df"]["threshold"] is None  # too few validation images: in every set
    assert by_class["df"]["coverage"] in (None, 1.0)
    assert any("class_conditional" in note and "df (" in note for note in evaluation["notes"])
    strata = lac["by_stratum"]
    assert sum(part["num_images"] for part in strata.values()) == groups.nunique()
    whole = sum(part["num_images"] * part["coverage"] for part in strata.values())
    assert whole / groups.nunique() == pytest.approx(lac["coverage"])
