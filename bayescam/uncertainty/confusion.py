"""The confusion table with how far each cell would move: with other draws, or with other patients.

Draws say what the posterior leaves open about the calls of these images; resamples of whole groups
say what other images of the same kind would have given. Neither contains the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.types import InputError, check_share
from bayescam.uncertainty.resample_interval import resample_interval
from bayescam.uncertainty.resampling import resample_groups
from bayescam.uncertainty.validation import (
    check_labels,
    check_mean_probs,
    check_probs,
    check_several_groups,
)

__all__ = ["ConfusionIntervals", "ConfusionUnit", "confusion_over_draws", "confusion_over_groups"]

ConfusionUnit = Literal["share", "images"]


@dataclass(frozen=True)
class ConfusionIntervals:
    """A confusion table, rows true classes, columns predicted, with intervals.

    Attributes:
        estimate: (K, K), images or shares of the true class; rows without images are NaN as shares.
        lower: (K, K).
        upper: (K, K).
        sd: (K, K), standard deviation over draws or resamples.
        level: share of the draws or resamples between the bounds.
        unit: "share" of the images of the true class, or "images".
        over: "draws" or "resampled groups".
    """

    estimate: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    sd: NDArray[np.float64]
    level: float
    unit: ConfusionUnit
    over: str


def confusion_over_draws(
    probs: ArrayLike, labels: ArrayLike, *, level: float = 0.95, unit: ConfusionUnit = "share"
) -> ConfusionIntervals:
    """The confusion table of each draw as a classifier of its own: mean and equal-tailed interval.

    Args:
        probs: draws of class probabilities, (S, N, K).
        labels: (N,), class indices.
        level: share of the draws inside the interval.
        unit: "share" of the true class, or "images".

    Raises:
        InputError: bad probabilities, labels, level or unit.

    Example:
        >>> probs = [[[0.9, 0.1]], [[0.8, 0.2]], [[0.7, 0.3]], [[0.4, 0.6]]]
        >>> confusion_over_draws(probs, [0], unit="images").estimate.tolist()
        [[0.75, 0.25], [0.0, 0.0]]
    """
    draws = check_probs(probs)
    truth = check_labels(labels, *draws.shape[1:])
    _check_options(level, unit)
    num_samples, _, num_classes = draws.shape
    cells = truth * num_classes + draws.argmax(axis=2)
    cells = cells + num_classes**2 * np.arange(num_samples)[:, np.newaxis]
    counts = np.bincount(cells.ravel(), minlength=num_samples * num_classes**2)
    tables = _in_unit(counts.reshape(-1, num_classes, num_classes).astype(np.float64), unit)
    return _summary(tables.mean(axis=0), tables, level, unit, "draws")


def confusion_over_groups(
    mean_probs: ArrayLike,
    labels: ArrayLike,
    groups: Sequence[object] | ArrayLike,
    *,
    num_resamples: int = 1000,
    level: float = 0.95,
    unit: ConfusionUnit = "share",
    seed: int = 0,
) -> ConfusionIntervals:
    """The confusion table of the most probable classes, with a bootstrap over groups.

    Args:
        mean_probs: (N, K), rows sum to one.
        labels: (N,), class indices.
        groups: (N,), the lesion or patient of each image.
        num_resamples: how many times G groups are drawn from G with replacement.
        level: share of the resamples inside the interval, a percentile one.
        unit: "share" of the true class, or "images".
        seed: of NumPy's default generator.

    Returns:
        The table of the sample itself; a share is of the images of its class in each resample, and
        resamples without any are left out.

    Raises:
        InputError: bad probabilities, labels, groups, level or unit, fewer than two groups.
    """
    probs = check_mean_probs(mean_probs)
    truth = check_labels(labels, *probs.shape)
    codes = check_several_groups(groups, len(probs))
    _check_options(level, unit)
    num_classes, num_groups = probs.shape[1], int(codes.max()) + 1
    cells = (codes * num_classes + truth) * num_classes + probs.argmax(axis=1)
    by_group = np.bincount(cells, minlength=num_groups * num_classes**2)
    by_group = by_group.reshape(num_groups, num_classes**2).astype(np.float64)
    resamples = np.concatenate(
        [counts @ by_group for counts in resample_groups(num_groups, num_resamples, seed=seed)]
    ).reshape(-1, num_classes, num_classes)
    sample = by_group.sum(axis=0).reshape(1, num_classes, num_classes)
    estimate = _in_unit(sample, unit)[0]
    return _summary(estimate, _in_unit(resamples, unit), level, unit, "resampled groups")


def _in_unit(tables: NDArray[np.float64], unit: ConfusionUnit) -> NDArray[np.float64]:
    """Counts (R, K, K), or their shares of the rows, NaN where a row is empty."""
    if unit == "images":
        return tables
    totals = tables.sum(axis=2, keepdims=True)
    return tables / np.where(totals > 0, totals, np.nan)


def _summary(
    estimate: NDArray[np.float64],
    tables: NDArray[np.float64],
    level: float,
    unit: ConfusionUnit,
    over: str,
) -> ConfusionIntervals:
    size = estimate.shape
    rows = tables.reshape(len(tables), -1)
    lower, upper = resample_interval(estimate.ravel(), rows, level=level)
    seen = ~np.isnan(rows).all(axis=0)
    sd = np.full(rows.shape[1], np.nan)
    sd[seen] = np.nanstd(rows[:, seen], axis=0)
    return ConfusionIntervals(
        estimate, lower.reshape(size), upper.reshape(size), sd.reshape(size), level, unit, over
    )


def _check_options(level: float, unit: ConfusionUnit) -> None:
    check_share("level", level)
    if unit not in get_args(ConfusionUnit):
        raise InputError(f"`unit` must be one of {get_args(ConfusionUnit)}; got {unit!r}.")
