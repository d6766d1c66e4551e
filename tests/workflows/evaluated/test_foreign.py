"""Images from elsewhere, against distances and areas computed directly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import roc_auc_score

from bayescam.uncertainty import bootstrap_shift, variation_ratio
from bayescam.workflows.finished import load_analysis
from bayescam.workflows.parts import choose_parts

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # notes of small evaluations


def test_distance_in_feature_space_finds_images_from_elsewhere(
    folders: dict[str, Path], probs: dict[str, np.ndarray], evaluation: dict
) -> None:
    analyses = {name: load_analysis(folder) for name, folder in folders.items()}
    features = {
        name: analysis.features(np.arange(len(analysis.predictions))).astype(float)
        for name, analysis in analyses.items()
    }
    parts = choose_parts(analyses["test"], folders["val"], seed=5)
    rows = parts.calibrating
    known, labels = features["val"][rows], analyses["val"].labels[rows]
    means = np.stack([known[labels == k].mean(0) for k in np.unique(labels)])
    residuals = known - means[np.searchsorted(np.unique(labels), labels)]
    inverse = np.linalg.inv(ledoit_wolf(residuals, assume_centered=True)[0])

    def distance(part: np.ndarray) -> np.ndarray:
        away = part[:, np.newaxis] - means
        return np.sqrt(np.einsum("nkf,fg,nkg->nk", away, inverse, away).min(1))

    near, far = distance(features["test"]), distance(features["ood"])
    found = evaluation["ood"]["detection"]["calibrated"]
    truth = np.repeat([0, 1], [len(near), len(far)])
    expected = roc_auc_score(truth, np.concatenate([near, far]))
    assert found["feature_distance"]["auroc"]["estimate"] == pytest.approx(expected)
    accepted = far <= np.sort(near)[int(0.95 * len(near)) - 1]
    rate = found["feature_distance"]["false_positive_rate"]
    assert rate["estimate"] == pytest.approx(accepted.mean())
    described = {"kind": "mahalanobis", "fitted_on": "val", "num_images": len(rows)}
    assert evaluation["ood"]["feature_distance"] == described
    scores = np.concatenate([variation_ratio(probs[name]) for name in ("test", "ood")])
    area = found["variation_ratio"]["auroc"]
    assert area["estimate"] == pytest.approx(roc_auc_score(truth, scores))
    groups = (analyses[name].predictions["group"] for name in ("test", "ood"))
    inside, outside = scores[:400], scores[400:]
    drawn = bootstrap_shift({"ratio": inside}, {"ratio": outside}, *groups, seed=5)["ratio"]
    expected = np.quantile(drawn.auroc_resamples, [0.025, 0.975])
    assert [area["lower"], area["upper"]] == pytest.approx(expected)
    table = pd.read_csv(folders["test"] / "tables" / "ood.csv", index_col="score")
    columns = [f"FPR at 95 % TPR{end}" for end in ("", "_lower", "_upper")]
    row = table.loc["feature_distance", columns]
    assert row.tolist() == pytest.approx(list(rate.values()))
    assert set(found) == {*evaluation["referral"]["calibrated"], "feature_distance"}
