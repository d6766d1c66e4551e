"""Intervals of means of scores that each image has by itself, from a bootstrap over groups.

Such are the scores of maps: localisation, areas of faithfulness curves, infidelity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.types import InputError
from bayescam.uncertainty.resample_interval import resample_interval
from bayescam.uncertainty.resampling import resample_groups
from bayescam.uncertainty.validation import check_several_groups

__all__ = ["BootstrapMeans", "bootstrap_means"]


@dataclass(frozen=True)
class BootstrapMeans:
    """Means over images with percentile intervals.

    Attributes:
        estimate: (...), on the sample itself.
        lower: (...), a percentile of the resamples.
        upper: (...), likewise.
        resamples: (R, ...). The same groups and seed give the same resamples, so two kinds of map
            on the same images are compared by subtracting these arrays.
    """

    estimate: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    resamples: NDArray[np.float64]


def bootstrap_means(
    scores: ArrayLike,
    groups: Sequence[object] | ArrayLike,
    *,
    num_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> BootstrapMeans:
    """Means of scores over the images, with intervals from resamples of whole groups.

    Args:
        scores: (N,), or (..., N) for several scores or draws of the same images. NaN, an image
            without the score, is left out of the mean.
        groups: (N,), the name of the group (lesion, patient) of each image.
        num_resamples: how many times G groups are drawn from G with replacement.
        level: share of the resamples inside the interval.
        seed: of NumPy's default generator.

    Raises:
        InputError: infinite scores, bad groups, fewer than two groups, or a level outside (0, 1).

    Example:
        >>> found = bootstrap_means([0.0, 0.0, 1.0, 1.0], ["a", "a", "b", "b"])
        >>> found.estimate.tolist(), found.lower.tolist(), found.upper.tolist()
        (0.5, 0.0, 1.0)
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim == 0 or values.size == 0 or np.isinf(values).any():
        raise InputError(
            f"`scores` must be (..., N), finite or NaN; got shape {values.shape}"
            + (" with infinite values." if np.isinf(values).any() else ".")
        )
    codes = check_several_groups(groups, values.shape[-1])
    rows = values.reshape(-1, values.shape[-1])
    known = ~np.isnan(rows)
    sums, numbers = (_sum_by_group(part, codes) for part in (np.where(known, rows, 0.0), known))
    everything = np.ones((1, sums.shape[1]))
    estimate = _mean(everything, sums, numbers)[0]
    resamples = np.concatenate(
        [
            _mean(counts, sums, numbers)
            for counts in resample_groups(sums.shape[1], num_resamples, seed=seed)
        ]
    )
    lower, upper = resample_interval(estimate, resamples, level=level)
    shape = values.shape[:-1]
    return BootstrapMeans(
        estimate.reshape(shape),
        lower.reshape(shape),
        upper.reshape(shape),
        resamples.reshape(-1, *shape),
    )


def _sum_by_group(rows: NDArray[np.float64], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Rows (M, N) added up by group, (M, G)."""
    member = np.zeros((len(codes), int(codes.max()) + 1))
    member[np.arange(len(codes)), codes] = 1.0
    return rows @ member


def _mean(
    counts: NDArray[np.float64], sums: NDArray[np.float64], numbers: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Means (r, M) of resamples in which the groups occur `counts` (r, G) times."""
    total = counts @ numbers.T
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, counts @ sums.T / total, np.nan)
