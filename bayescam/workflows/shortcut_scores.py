"""How far a classifier leans on an artefact: scores of each draw and image, and their comparison.

Every score is a share between 0 and 1, an array (S, N) over draws and test images, NaN for images
it does not concern. What a table shows of it is the mean over both, with two intervals: that over
the draws (credible, of the posterior; without width where a model has one draw) and that over the
images (a bootstrap over lesions or patients). Differences are taken image by image on the same test
images; the draws of two models are independent, so pairing them by number gives draws of the
difference.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bayescam.report import format_interval, to_text
from bayescam.uncertainty import bootstrap_means, credible_interval

__all__ = [
    "DECISIVE",
    "MODELS",
    "compare_models",
    "decision_scores",
    "describe_outcome",
    "is_found",
    "map_scores",
    "shown_table",
]

MODELS = ("planted", "control", "difference")
_ENERGY = "map energy on the artefact"
_ADDED = "decision changes when it is added"
_REMOVED = "decision changes when it is removed"
DECISIVE = (_ENERGY, _ADDED, _REMOVED)
_BOUNDS = ("draws_lower", "draws_upper", "groups_lower", "groups_upper")

Floats = NDArray[np.float64]


def map_scores(energy: ArrayLike) -> dict[str, Floats]:
    """Return the energy on the artefact of each draw and image (S, N), and whether there is any.

    Args:
        energy: (S, N), NaN for maps without positive evidence.
    """
    values = np.asarray(energy, dtype=np.float64)
    return {_ENERGY: values, "maps with positive evidence": np.isfinite(values) * 1.0}


def decision_scores(
    plain: ArrayLike,
    planted: ArrayLike,
    labels: ArrayLike,
    chosen: ArrayLike,
    planted_class: int,
) -> dict[str, Floats]:
    """Return accuracies and changed decisions of each draw and image, (S, N) each.

    Args:
        plain: logits (S, N, K) of the images without the artefact.
        planted: logits (S, N, K) of the same images with it.
        labels: classes (N,).
        chosen: which images have the artefact where it is planted as in training, (N,).
        planted_class: the class it was planted in. Images of this class count as those it is
            removed from, all others as those it is added to.

    Example:
        >>> plain, planted = [[[0.0, 1.0], [0.0, 1.0]]], [[[1.0, 0.0], [1.0, 0.0]]]
        >>> scores = decision_scores(plain, planted, [0, 1], [True, False], planted_class=0)
        >>> scores["accuracy, artefact as in training"].tolist()
        [[1.0, 1.0]]
        >>> scores["decision changes when it is added"].tolist()
        [[nan, 1.0]]
    """
    without, with_it = (np.argmax(logits, axis=-1) for logits in (plain, planted))
    truth = np.asarray(labels)
    changed = (without != with_it).astype(np.float64)
    of_class = truth == planted_class
    as_trained = np.where(np.asarray(chosen), with_it, without)
    return {
        "accuracy, artefact as in training": (as_trained == truth).astype(np.float64),
        "accuracy, no artefact": (without == truth).astype(np.float64),
        "accuracy, artefact in all images": (with_it == truth).astype(np.float64),
        _ADDED: np.where(of_class, np.nan, changed),
        _REMOVED: np.where(of_class, changed, np.nan),
    }


def compare_models(
    planted: Mapping[str, ArrayLike],
    control: Mapping[str, ArrayLike],
    groups: ArrayLike,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Return scores of both models and their differences, one row per score and model.

    Args:
        planted: scores (S, N) by name, of the model that was trained with the artefact.
        control: those of the model that was trained without it, on the same test images.
        groups: lesion or patient of each test image, (N,).
        level: of all intervals.
        seed: of the bootstrap.

    Returns:
        Columns `score`, `model` ("planted", "control", "difference"), `estimate`, `draws_lower`,
        `draws_upper`, `groups_lower`, `groups_upper`.
    """
    rows: list[dict[str, object]] = []
    for name in planted:
        first, second = (np.asarray(scores[name], np.float64) for scores in (planted, control))
        for model, values in zip(MODELS, (first, second, first - second), strict=True):
            found = _summarize(values, groups, level, seed)
            rows.append({"score": name, "model": model, **found})
    return pd.DataFrame(rows)


def is_found(table: pd.DataFrame) -> bool:
    """Return whether energy and one of the decision changes are above the control.

    "Above" is by both intervals. Adding the artefact turns any image; taking it away turns only
    those that have nothing else to be told by, so one of the two is enough.
    """
    differences = table[table["model"] == "difference"].set_index("score")
    above = (differences[["draws_lower", "groups_lower"]] > 0).all(axis=1)
    return bool(above[_ENERGY] and (above[_ADDED] or above[_REMOVED]))


def shown_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per score and a column per model, intervals over draws and over groups."""
    cells = [
        f"{format_interval(estimate, *draws)} [{lower:.3f}, {upper:.3f}]"
        for estimate, *draws, lower, upper in table[["estimate", *_BOUNDS]].to_numpy(np.float64)
    ]
    wide = table.assign(cell=cells).pivot(index="score", columns="model", values="cell")
    return wide.loc[table["score"].unique(), list(MODELS)].rename_axis(columns=None)


def describe_outcome(table: pd.DataFrame) -> str:
    """Return the table as text, how to read it, and the verdict."""
    verdict = "is found" if is_found(table) else "is NOT found"
    return (
        f"{to_text(shown_table(table))}\n"
        "mean over draws and test images [95 % of the draws] [95 %, groups resampled]\n"
        f"the shortcut {verdict}: that takes energy on the artefact above the control by both "
        "intervals, and decision changes when it is added or removed too"
    )


def _summarize(values: Floats, groups: ArrayLike, level: float, seed: int) -> dict[str, float]:
    """Mean over draws and images; images and draws without the score are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a mean of nothing is NaN
        by_image, by_draw = np.nanmean(values, axis=0), np.nanmean(values, axis=1)
    over_groups = bootstrap_means(by_image, groups, level=level, seed=seed)
    known = by_draw[np.isfinite(by_draw)]
    ends = [float(known[0]) if known.size else np.nan] * 2  # of one draw: no width
    if known.size > 1:
        interval = credible_interval(known, level=level)
        ends = [float(interval.lower), float(interval.upper)]
    bounds = (*ends, float(over_groups.lower), float(over_groups.upper))
    found = {"estimate": float(over_groups.estimate)}
    return found | dict(zip(_BOUNDS, bounds, strict=True))
