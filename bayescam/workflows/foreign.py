"""Images from elsewhere: how well each score, and the distance in feature space, tells them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayescam.types import Array, InputError
from bayescam.uncertainty import (
    DiagonalDistance,
    MahalanobisDistance,
    detect_shift_by_score,
    fit_mahalanobis,
)
from bayescam.workflows.finished import Analysis
from bayescam.workflows.judging import JudgedImages
from bayescam.workflows.parts import EvaluationParts

__all__ = ["compare_with_foreign"]

_MOST_FEATURES = 4096  # above, a covariance has too many numbers
_BLOCK = 1024

Rows = NDArray[np.int64]


def compare_with_foreign(
    parts: EvaluationParts,
    inside: dict[str, JudgedImages],
    outside: dict[str, JudgedImages],
    foreign: Analysis,
) -> dict[str, Any]:
    """AUROC and false-positive rate at 95 % of each score, before and after calibration.

    Beside the scores of the draws there is `feature_distance`: the Mahalanobis distance of the
    cached features from the nearest class (Lee et al. 2018), or, with more than 4096 features, the
    distance from their mean where features are taken as uncorrelated. It is fitted on the training
    images that the analysis holds; by default it holds none, and then on validation images.

    Args:
        parts: the scored images, and those for fitting.
        inside: scored images, by state of calibration.
        outside: images from elsewhere, likewise.
        foreign: analysis of all images from elsewhere.
    """
    described, fitted = _fit_distance(parts)
    near, far = {}, {}
    if fitted is not None:
        near["feature_distance"] = _distances(fitted, parts.analysis, parts.scored)
        far["feature_distance"] = _distances(fitted, foreign, np.arange(len(foreign.predictions)))
    return {
        "num_images": len(foreign.predictions),
        "data_fingerprint": foreign.manifest["data_fingerprint"],
        "feature_distance": described,
        "detection": {
            state: {
                name: dataclasses.asdict(found)
                for name, found in detect_shift_by_score(
                    inside[state].scores | near, outside[state].scores | far
                ).items()
            }
            for state in inside
        },
    }


def _fit_distance(
    parts: EvaluationParts,
) -> tuple[dict[str, Any] | None, MahalanobisDistance | DiagonalDistance | None]:
    source, rows, split = parts.analysis, parts.analysis.part(("train",)), "train"
    if not len(rows):
        source, split = parts.fitting, "val"
        rows = parts.calibrating
    if len(rows) < 2:
        return None, None
    kind, fitted = "diagonal", None
    if source.num_features <= _MOST_FEATURES:
        fitted = _fit_mahalanobis(source, rows)
        kind = "diagonal" if fitted is None else "mahalanobis"
    described = {"kind": kind, "fitted_on": split, "num_images": len(rows)}
    return described, fitted or _fit_diagonal(source, rows)


def _fit_mahalanobis(source: Analysis, rows: Rows) -> MahalanobisDistance | None:
    """None where the features have no covariance that could be inverted."""
    try:
        return fit_mahalanobis(source.features(rows), source.labels[rows])
    except InputError:
        return None


def _fit_diagonal(source: Analysis, rows: Rows) -> DiagonalDistance:
    mean = sum(block.sum(axis=0) for block in _features(source, rows)) / len(rows)
    squares = sum(((block - mean) ** 2).sum(axis=0) for block in _features(source, rows))
    return DiagonalDistance(mean, np.sqrt(squares / len(rows)))


def _distances(
    fitted: MahalanobisDistance | DiagonalDistance, analysis: Analysis, rows: Rows
) -> Array:
    return np.concatenate([fitted.distance(block) for block in _features(analysis, rows)])


def _features(analysis: Analysis, rows: Rows) -> Iterator[Array]:
    """Features of ever 1024 images, float64."""
    for start in range(0, len(rows), _BLOCK):
        yield analysis.features(rows[start : start + _BLOCK]).astype(np.float64)
