"""The distance of features from the training images: kept at training, used at evaluation.

`feature_statistics.npz` of a run holds `mean` and `sd` (F,) of the features of the plain training
images and, up to 4096 features, `classes` (C,), `class_means` (C, F), `covariance` (F, F) and
`shrinkage` of `fit_mahalanobis`. `bayescam analyze` copies it into the analysis folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayescam.types import Array, InputError
from bayescam.uncertainty import DiagonalDistance, MahalanobisDistance, fit_mahalanobis
from bayescam.workflows.finished import Analysis
from bayescam.workflows.folders import write_atomically
from bayescam.workflows.parts import EvaluationParts

__all__ = [
    "FeatureDistance",
    "copy_statistics",
    "fit_distance",
    "measure_distance",
    "write_statistics",
]

FeatureDistance = MahalanobisDistance | DiagonalDistance
Rows = NDArray[np.int64]

_FILE = "feature_statistics.npz"
_MOST_FEATURES = 4096  # above, a covariance has too many numbers
_BLOCK = 1024


def write_statistics(folder: Path, features: Array, labels: Array) -> None:
    """Write `feature_statistics.npz` of the training images: features (N, F), labels (N,)."""
    known = {"mean": features.mean(axis=0), "sd": features.std(axis=0)}
    fitted = _fit_mahalanobis(features, labels)
    if fitted is not None:
        known |= {
            "classes": fitted.classes,
            "class_means": fitted.class_means,
            "covariance": fitted.covariance,
            "shrinkage": np.asarray(fitted.shrinkage),
        }

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, **known)

    write_atomically(folder / _FILE, write)


def copy_statistics(run: Path, analysis: Path) -> None:
    """Copy the statistics of the training features, so that an analysis can be moved alone."""
    if (run / _FILE).exists():
        write_atomically(analysis / _FILE, lambda path: shutil.copyfile(run / _FILE, path))


def fit_distance(
    parts: EvaluationParts,
) -> tuple[dict[str, Any] | None, FeatureDistance | None, list[str]]:
    """The distance from the training images, how it came to be, and notes of what it lacks.

    It stands on the statistics kept at training; where these are missing or without a covariance,
    on the training images that the analysis holds, and else on validation images.

    Returns:
        `kind` ("mahalanobis" or "diagonal"), `fitted_on` ("train" or "val") and `num_images`
        (None where the statistics of training were used), the distance, and notes. None, None
        where fewer than two images could be used.
    """
    stored = _read_statistics(parts.analysis.folder / _FILE)
    source, rows, split = parts.analysis, parts.analysis.part(("train",)), "train"
    if len(rows) < 2 and stored is None:
        source, rows, split = parts.fitting, parts.calibrating, "val"
    if isinstance(stored, MahalanobisDistance) or (stored is not None and len(rows) < 2):
        return _describe(stored, "train", None)
    if len(rows) < 2:
        return None, None, []
    fitted: FeatureDistance | None = None
    if source.num_features <= _MOST_FEATURES:
        fitted = _fit_mahalanobis(source.features(rows), source.labels[rows])
    return _describe(fitted or stored or _fit_diagonal(source, rows), split, len(rows))


def measure_distance(fitted: FeatureDistance, analysis: Analysis, rows: Rows) -> Array:
    """The distances (n,) of some images of an analysis."""
    return np.concatenate([fitted.distance(block) for block in _features(analysis, rows)])


def _describe(
    fitted: FeatureDistance, split: str, num_images: int | None
) -> tuple[dict[str, Any], FeatureDistance, list[str]]:
    notes = []
    if split == "val":
        notes.append(
            "feature_distance is the distance from the validation images, not from the training "
            "images: the analysis holds none of these, and its run kept no statistics of them."
        )
    kind = "diagonal" if isinstance(fitted, DiagonalDistance) else "mahalanobis"
    if kind == "diagonal":
        notes.append(
            "feature_distance takes features as uncorrelated and knows no classes (diagonal "
            f"covariance): there are more than {_MOST_FEATURES} features, or their covariance is "
            "not known or cannot be inverted."
        )
    return {"kind": kind, "fitted_on": split, "num_images": num_images}, fitted, notes


def _read_statistics(path: Path) -> FeatureDistance | None:
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as stored:
        if "covariance" not in stored:
            return DiagonalDistance(stored["mean"], stored["sd"])
        return MahalanobisDistance(
            stored["classes"],
            stored["class_means"],
            stored["covariance"],
            float(stored["shrinkage"]),
        )


def _fit_mahalanobis(features: Array, labels: Array) -> MahalanobisDistance | None:
    """None where there are too many features, or no covariance that could be inverted."""
    if features.shape[1] > _MOST_FEATURES:
        return None
    try:
        return fit_mahalanobis(features, labels)
    except InputError:
        return None


def _fit_diagonal(source: Analysis, rows: Rows) -> DiagonalDistance:
    mean = sum(block.sum(axis=0) for block in _features(source, rows)) / len(rows)
    squares = sum(((block - mean) ** 2).sum(axis=0) for block in _features(source, rows))
    return DiagonalDistance(mean, np.sqrt(squares / len(rows)))


def _features(analysis: Analysis, rows: Rows) -> Iterator[Array]:
    """Features of ever 1024 images, float64."""
    for start in range(0, len(rows), _BLOCK):
        yield analysis.features(rows[start : start + _BLOCK]).astype(np.float64)
