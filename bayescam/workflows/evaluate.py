"""`bayescam evaluate`: calibrate on validation images, score test images, measure out-of-domain.

Writes `evaluation.json` and `figures/` into the analysis folder. Needs no TensorFlow.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from bayescam.data.records import group_keys
from bayescam.report import interval_table
from bayescam.types import InputError
from bayescam.uncertainty import (
    OVERALL_SCORES,
    Calibration,
    accuracy_at_referral,
    fit_calibration,
    group_bootstrap,
    risk_coverage,
)
from bayescam.workflows.figures import JudgedDraws, confusion_table, draw_figures
from bayescam.workflows.finished import Analysis, load_analysis
from bayescam.workflows.folders import SCHEMA, write_json

__all__ = ["evaluate_folder", "scores_table"]

REFERRAL_RATES = (0.1, 0.2, 0.35, 0.5)


def evaluate_folder(
    folder: str | os.PathLike[str],
    *,
    calibration: str | os.PathLike[str] | None = None,
    ood: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Score an analysis folder, write `evaluation.json` and `figures/`, and return the former.

    Temperature and class bias are fitted on the validation images (of this folder or of
    `calibration`) and reported on the test images. Without test images, all labelled images are
    scored, or if all have been used for fitting, the validation images without calibration.

    Args:
        folder: of `bayescam analyze`.
        calibration: another analysis folder of the same model, whose validation images (or all
            labelled ones, if it has no splits) are used for fitting.
        ood: another analysis folder of the same model with images from elsewhere: AUROC of the
            entropy and the mutual information between the two folders' images.
        seed: of the bootstrap over groups.

    Raises:
        InputError: a folder does not fit, or no image has a label.
    """
    analysis = load_analysis(folder)
    fitting, rows_to_fit = _calibration_part(analysis, calibration)
    used = fitting.predictions["path"].iloc[rows_to_fit]
    split, rows = _scored_part(analysis, analysis.predictions["path"].isin(used).to_numpy())
    judged = {"raw": _judge(analysis, rows, None)}
    fitted = None
    if len(rows_to_fit) and split != "val":
        fitted = fit_calibration(fitting.logits[:, rows_to_fit], fitting.labels[rows_to_fit])
        judged["calibrated"] = _judge(analysis, rows, fitted)
    names = analysis.class_names
    evaluation = {
        "schema": SCHEMA,
        "seed": seed,
        "num_samples": len(analysis.logits),
        "class_names": list(names),
        "scored": {
            "split": split,
            "num_images": len(rows),
            "num_groups": len(set(judged["raw"].groups)),
        },
        "calibration": None if fitted is None else _describe(fitted, fitting, len(rows_to_fit)),
        "scores": {name: _scores(part, names, seed) for name, part in judged.items()},
        "referral": {name: _referral(part) for name, part in judged.items()},
        "confusion": confusion_table(list(judged.values())[-1], len(names)).tolist(),
        "ood": None if ood is None else _compare(analysis, rows, ood),
    }
    (analysis.folder / "figures").mkdir(exist_ok=True)
    draw_figures(judged, names, analysis.folder / "figures", split)
    write_json(analysis.folder / "evaluation.json", evaluation)
    return evaluation


def scores_table(evaluation: dict[str, Any]) -> pd.DataFrame:
    """Return the overall scores with intervals, one column for raw and one for calibrated."""

    def triple(score: dict[str, float | None]) -> tuple[float, float, float]:
        low, middle, high = (
            np.nan if score[key] is None else float(score[key] or 0.0)
            for key in ("lower", "estimate", "upper")
        )
        return middle, low, high

    return interval_table(
        {
            name: {score: triple(scores[score]) for score in OVERALL_SCORES}
            for name, scores in evaluation["scores"].items()
        }
    )


def _calibration_part(
    analysis: Analysis, calibration: str | os.PathLike[str] | None
) -> tuple[Analysis, NDArray[np.int64]]:
    """The analysis whose images calibrate, and which of them."""
    if calibration is None:
        return analysis, analysis.part(("val",))
    other = _same_model(analysis, calibration)
    rows = other.part(("val",))
    if not len(rows) and other.predictions["split"].isna().all():
        rows = other.part(None)
    if not len(rows):
        raise InputError(f"{other.folder} has no labelled validation images to calibrate with")
    return other, rows


def _scored_part(analysis: Analysis, used: NDArray[np.bool_]) -> tuple[str, NDArray[np.int64]]:
    """The images to score, never of training: test, else unused by calibration, else used."""
    labelled = np.setdiff1d(analysis.part(None), analysis.part(("train",)))
    test = analysis.part(("test",))
    choices = {"test": test[~used[test]], "all": labelled[~used[labelled]], "val": labelled}
    for name, rows in choices.items():
        if len(rows):
            return name, rows
    raise InputError(
        f"{analysis.folder} has no image outside training whose label is a class of the model "
        f"({', '.join(analysis.class_names)}), so nothing can be scored"
    )


def _same_model(analysis: Analysis, folder: str | os.PathLike[str]) -> Analysis:
    other = load_analysis(folder)
    if other.manifest["settings"]["model"] != analysis.manifest["settings"]["model"]:
        raise InputError(f"{other.folder} and {analysis.folder} are analyses of different models")
    return other


def _judge(
    analysis: Analysis, rows: NDArray[np.int64], calibration: Calibration | None
) -> JudgedDraws:
    logits = analysis.logits[:, rows].astype(np.float64)
    if calibration is not None:
        logits = calibration.apply(logits)
    keys = group_keys(analysis.predictions).iloc[rows]
    return JudgedDraws(softmax(logits, axis=-1), analysis.labels[rows], keys.tolist())


def _scores(
    part: JudgedDraws, names: tuple[str, ...], seed: int
) -> dict[str, dict[str, float | None]]:
    found = group_bootstrap(part.mean_probs, part.labels, part.groups, names, seed=seed)
    keys = ("estimate", "lower", "upper")
    return {
        name: dict(zip(keys, map(_plain, found.interval(name)), strict=True))
        for name in found.names
    }


def _referral(part: JudgedDraws) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "aurc": risk_coverage(values, part.correct).aurc,
            "accuracy_at_referral": {
                str(rate): accuracy_at_referral(values, part.correct, rate)
                for rate in REFERRAL_RATES
            },
        }
        for name, values in part.uncertainties().items()
    }


def _describe(fitted: Calibration, source: Analysis, num_images: int) -> dict[str, Any]:
    return {
        "num_images": num_images,
        "data_fingerprint": source.manifest["data_fingerprint"],
        "temperature": fitted.temperature,
        "class_bias": dict(zip(source.class_names, map(float, fitted.class_bias), strict=True)),
    }


def _compare(
    analysis: Analysis, rows: NDArray[np.int64], ood: str | os.PathLike[str]
) -> dict[str, Any]:
    other = _same_model(analysis, ood)
    inside, outside = analysis.predictions.iloc[rows], other.predictions
    is_outside = np.repeat([0, 1], [len(inside), len(outside)])
    return {
        "num_images": len(outside),
        "data_fingerprint": other.manifest["data_fingerprint"],
        "auroc": {
            name: float(roc_auc_score(is_outside, pd.concat([inside[name], outside[name]])))
            for name in ("predictive_entropy", "mutual_information")
        },
    }


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
