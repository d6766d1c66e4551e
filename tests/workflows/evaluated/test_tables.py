"""The tables of images and classes, against direct computations."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import zarr
from sklearn.metrics import recall_score, roc_auc_score

from bayescam.types import InputError
from bayescam.uncertainty import (
    check_draws,
    class_overlap,
    covariance_split,
    credible_interval,
    decompose,
    interval_error,
    monte_carlo_error,
    variation_ratio,
)
from bayescam.workflows.evaluate import evaluate_folder
from bayescam.workflows.finished import load_analysis
from bayescam.workflows.mlflow_log import folder_metrics

NAMES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # notes of small evaluations


def test_every_measure_of_every_image_is_in_the_table(
    folders: dict[str, Path], probs: dict[str, np.ndarray], evaluation: dict
) -> None:
    table, draws = pd.read_csv(folders["test"] / "tables" / "images.csv"), probs["test"]
    traces, errors = covariance_split(draws).traces, monte_carlo_error(draws)
    parts, densest = decompose(draws), credible_interval(draws, kind="highest-density")
    ends = interval_error(draws, kind="highest-density")
    of_leading = draws[:, np.arange(400), draws.mean(0).argmax(1)]
    expected = {
        "1 - confidence": 1 - draws.mean(0).max(1),
        "mutual_information": parts.mutual_information,
        "variation_ratio": variation_ratio(draws),
        "class_overlap": class_overlap(draws),
        "epistemic_variance": traces.epistemic,
        "aleatoric_variance": traces.aleatoric,
        "total_variance": traces.total,
        "mutual_information_error": errors.mutual_information,
        "epistemic_variance_error": errors.epistemic_variance,
        "p_mel_mean": draws[:, :, 4].mean(0),
        "p_mel_upper": np.quantile(draws[:, :, 4], 0.975, axis=0),
        "p_mel_hd_lower": densest.lower[:, 4],
        "p_mel_epistemic": draws[:, :, 4].var(0),
        "p_mel_epistemic_error": errors.labelwise_epistemic[:, 4],
        "p_mel_mean_error": draws[:, :, 4].std(0, ddof=1) / np.sqrt(12),
        "confidence": draws.mean(0).max(1),
        "1 - confidence_error": of_leading.std(0, ddof=1) / np.sqrt(12),
        "p_mel_hd_lower_error": ends[0][:, 4],
        "p_mel_hd_upper_error": ends[1][:, 4],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(table[name], values, rtol=2e-5, atol=1e-9, err_msg=name)
    labels = load_analysis(folders["test"]).labels
    right = draws.mean(0).argmax(1) == labels
    summary = evaluation["measures"]["scores"]["mutual_information"]
    assert summary["mean_wrong"] == pytest.approx(parts.mutual_information[~right].mean())
    assert summary["q95"] == pytest.approx(np.quantile(parts.mutual_information, 0.95))
    assert evaluation["measures"]["draws"] == check_draws(draws)
    assert evaluation["measures"]["draws"] in evaluation["notes"]


def test_class_scores_are_those_of_scikit_learn(
    folders: dict[str, Path], probs: dict[str, np.ndarray], evaluation: dict
) -> None:
    mean, labels = probs["test"].mean(0), load_analysis(folders["test"]).labels
    table = pd.read_csv(folders["test"] / "tables" / "classes.csv", index_col="class")
    for k, name in enumerate(NAMES):
        sensitivity = recall_score(labels == k, mean.argmax(1) == k)
        specificity = recall_score(labels != k, mean.argmax(1) != k)
        assert table.loc[name, "sensitivity"] == pytest.approx(sensitivity)
        assert table.loc[name, "specificity"] == pytest.approx(specificity)
        assert table.loc[name, "auc"] == pytest.approx(roc_auc_score(labels == k, mean[:, k]))
        assert table.loc[name, "images"] == (labels == k).sum()
    assert (table["specificity_lower"] <= table["specificity"]).all()
    assert (table["specificity"] <= table["specificity_upper"]).all()
    assert evaluation["scored"]["classes"] == dict(zip(NAMES, np.bincount(labels), strict=True))


def test_one_draw_leaves_out_what_compares_draws(writer: ModuleType, tmp_path: Path) -> None:
    options = {"num_draws": 1, "num_features": 8}
    folder = writer.write_analysis(tmp_path / "one", 120, seed=1, **options)
    val = writer.write_analysis(tmp_path / "val", 120, split="val", seed=2, **options)
    foreign = writer.write_analysis(tmp_path / "ood", 60, split=None, seed=3, **options)
    with pytest.warns(UserWarning, match="S = 1: the analysis has one draw.*mutual information"):
        found = evaluate_folder(folder, calibration=val, ood=foreign)
    assert [note for note in found["notes"] if "S = 1" in note] == found["notes"][:1]
    expected = {"1 - confidence", "predictive_entropy", "total_variance"}
    assert set(found["referral"]["calibrated"]) == set(found["measures"]["scores"]) == expected
    assert found["measures"]["scores"]["predictive_entropy"]["monte_carlo_error"] is None
    assert found["measures"]["draws"] is None
    assert found["conformal"]["methods"]["lac"]["marginal"]["coverage"] > 0.7
    assert found["num_samples"] == 1


def test_broken_logits_and_unknown_labels_are_named(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["test"], tmp_path / "copy")
    table = pd.read_parquet(folder / "predictions.parquet")
    table.loc[[3, 4], "label"] = "wart"
    table.to_parquet(folder / "predictions.parquet")
    found = evaluate_folder(folder)
    assert found["scored"]["num_images"] == 398
    assert any("2 images have a label that is no class" in note for note in found["notes"])
    assert any("(wart)" in note for note in found["notes"])
    store = zarr.open_array(folder / "analysis.zarr" / "logits", mode="r+", zarr_format=2)
    store[2, 17, 1] = np.nan
    with pytest.raises(InputError, match="those of image 'test_00017' are not"):
        evaluate_folder(folder)


def test_logged_scores_are_those_of_the_evaluation(folders: dict[str, Path], evaluation: dict):
    metrics = {metric.name: metric.value for metric in folder_metrics(folders["test"])}
    assert metrics["num_scored"] == evaluation["scored"]["num_images"]
    for state in ("raw", "calibrated"):
        found = evaluation["scores"][state]["negative_log_likelihood"]
        for bound, name in (("estimate", ""), ("lower", "_lower"), ("upper", "_upper")):
            assert metrics[f"{state}/negative_log_likelihood{name}"] == found[bound]
