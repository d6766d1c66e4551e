"""Referral by every score with its intervals, and the rule fitted on validation images."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayescam.report import format_interval
from bayescam.uncertainty import (
    accuracy_at_referral,
    class_at_referral,
    decompose,
    fit_referral_rule,
    risk_coverage,
    variation_ratio,
)
from bayescam.uncertainty.resampling import resample_groups
from bayescam.workflows.evaluate import evaluate_folder
from bayescam.workflows.finished import load_analysis

SILENT = "missed_silently"

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # notes of small evaluations


def bounds(column: str) -> list[str]:
    return [f"{column}_{bound}" for bound in ("lower", "upper")]


def test_referral_by_every_score_and_the_silent_misses(
    folders: dict[str, Path], probs: dict[str, np.ndarray], evaluation: dict
) -> None:
    draws, labels = probs["test"], load_analysis(folders["test"]).labels
    predicted = draws.mean(0).argmax(1)
    score = decompose(draws).mutual_information
    curve = risk_coverage(score, predicted == labels)
    found = evaluation["referral"]["calibrated"]
    assert set(found) == {
        "1 - confidence",
        "predictive_entropy",
        "expected_entropy",
        "mutual_information",
        "variation_ratio",
        "class_overlap",
        "total_variance",
        "aleatoric_variance",
        "epistemic_variance",
    }
    area = found["mutual_information"]["aurc"]
    assert area["estimate"] == pytest.approx(curve.aurc)
    assert area["lower"] < curve.aurc < area["upper"]
    assert found["mutual_information"]["excess_aurc"]["estimate"] == pytest.approx(
        curve.excess_aurc
    )
    kept = np.argsort(score)[:320]
    silent = ((labels == 4) & (predicted != 4))[kept].sum() / (labels == 4).sum()
    accuracy = (predicted == labels)[kept].mean()
    sensitivity = (predicted[kept] == 4)[labels[kept] == 4].mean()
    concern = found["mutual_information"]["concern"]
    assert concern["missed_silently"]["0.2"]["estimate"] == pytest.approx(silent)
    of_all = found["mutual_information"]["accuracy_at_referral"]["0.2"]
    assert of_all["estimate"] == pytest.approx(accuracy)
    expected = {
        ("referral", "accuracy, 20 % referred"): accuracy,
        ("referral", "excess_aurc"): curve.excess_aurc,
        ("concern", "mel missed silently, 20 % referred"): silent,
        ("concern_sensitivity", "sensitivity for kept mel, 20 % referred"): sensitivity,
    }
    for (name, column), value in expected.items():
        table = pd.read_csv(folders["test"] / "tables" / f"{name}.csv", index_col="score")
        row = table.loc["mutual_information"]
        assert row[column] == pytest.approx(value)
        text = (folders["test"] / "tables" / f"{name}.md").read_text()
        assert f"| {format_interval(*row[[column, *bounds(column)]])} " in text
        estimates = [name for name in table if not str(name).endswith(("_lower", "_upper"))]
        for name in estimates:
            lower, upper = (table[bound] for bound in bounds(name))
            assert ((lower <= table[name]) & (table[name] <= upper)).all()


def test_rates_have_the_intervals_of_images_listed_again_and_again(
    folders: dict[str, Path], probs: dict[str, np.ndarray], evaluation: dict
) -> None:
    draws, test = probs["test"], load_analysis(folders["test"])
    predicted, score = draws.mean(0).argmax(1), variation_ratio(draws)
    codes = np.unique(test.predictions["group"], return_inverse=True)[1]
    slow = []
    for counts in np.concatenate(list(resample_groups(codes.max() + 1, 1000, seed=5))):
        rows = np.repeat(np.arange(400), counts[codes].astype(int))
        part, labels = (predicted[rows], test.labels[rows])
        of_class = class_at_referral(score[rows], part, labels, class_index=4, rates=[0.1])
        accuracy = accuracy_at_referral(score[rows], part == labels, 0.1)
        slow.append([accuracy, of_class.sensitivity[0], of_class.missed_silently[0]])
    found = evaluation["referral"]["calibrated"]["variation_ratio"]
    parts = [found["accuracy_at_referral"], *map(found["concern"].get, ("sensitivity", SILENT))]
    for part, resamples in zip(parts, np.transpose(slow), strict=True):
        assert [part["0.1"]["lower"], part["0.1"]["upper"]] == pytest.approx(
            np.nanquantile(resamples, [0.025, 0.975])
        )


def test_the_referral_rule_is_fitted_on_its_half_and_judged_on_test(
    folders: dict[str, Path],
    half_probs: dict[str, np.ndarray],
    halves: dict[str, np.ndarray],
    evaluation: dict,
) -> None:
    val, rows = load_analysis(folders["val"]), halves["guaranteeing"]
    mean = half_probs["val"][:, rows].mean(0)
    right = mean.argmax(1) == val.labels[rows]
    rule = fit_referral_rule(1 - mean.max(1), right, target_risk=0.15)
    found = evaluation["referral_rule"]
    assert found["keeps"] == "below threshold"
    assert found["threshold"] == pytest.approx(rule.threshold)
    assert found["validation"]["coverage"] == pytest.approx(rule.coverage)
    test, labels = half_probs["test"].mean(0), load_analysis(folders["test"]).labels
    kept, wrong = 1 - test.max(1) < rule.threshold, test.argmax(1) != labels
    assert found["test"]["risk"] == pytest.approx(wrong[kept].mean())
    silent = (kept & wrong & (labels == 4)).sum() / (labels == 4).sum()
    assert found["test"]["missed_silently"] == pytest.approx(silent)
    assert "at least 95%" in found["guarantee"]
    assert "at most 15.0%" in found["guarantee"]


def test_a_risk_that_cannot_be_promised_is_said_once(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["test"], tmp_path / "copy")
    with pytest.warns(UserWarning, match="No threshold keeps the error rate") as caught:
        found = evaluate_folder(folder, calibration=folders["val"], target_risk=0.001)
    assert sum("threshold keeps" in str(warning.message) for warning in caught) == 1
    rule = found["referral_rule"]
    assert (rule["keeps"], rule["threshold"], rule["test"]["coverage"]) == ("none", None, 0.0)
    assert rule["guarantee"] in found["notes"]


def test_a_class_of_concern_without_images_is_one_note(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["test"], tmp_path / "copy")
    table = pd.read_parquet(folder / "predictions.parquet")
    table.loc[table["label"] == "mel", "label"] = None
    table.to_parquet(folder / "predictions.parquet")
    with pytest.warns(UserWarning, match="mel") as caught:
        found = evaluate_folder(folder, class_of_concern="mel")
    said = [str(warning.message) for warning in caught if "mel" in str(warning.message)]
    assert said == ["No scored image is of mel: its silent misses are not known."]
    assert said[0] in found["notes"]
    assert found["class_of_concern"] is None
    assert not list((folder / "tables").glob("concern*"))
