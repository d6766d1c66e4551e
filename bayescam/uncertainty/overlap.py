"""How far the draws of the two leading classes overlap: their Bhattacharyya coefficient."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from bayescam.uncertainty.validation import check_several_draws

__all__ = ["class_overlap"]

_DECIMALS = 12  # probabilities closer than this are one value: rounding is no disagreement


def class_overlap(probs: ArrayLike) -> NDArray[np.float64]:
    """The overlap of the densities of the two most probable classes, shape (N,), in [0, 1].

    The Bhattacharyya coefficient `integral sqrt(f * g)` of the densities of the probability of
    the first and of the second class over the draws (Van Molle et al. 2021, "Leveraging the
    Bhattacharyya coefficient for uncertainty quantification in deep neural networks"). 0: one
    class leads in every draw by far; 1: the draws cannot tell the two apart. The classes are the
    two with the largest mean probability, the first ones of equals.

    Deviation: the histogram has bins of equal pooled mass instead of equal width. The coefficient
    is the same on every monotone scale of the axis, so the 2S pooled draws are replaced by their
    ranks and `B = 2 * ceil(S^(1/3) / 2)` bins hold equally many; no bandwidth, and densities that
    pile up at 0 or 1 are resolved as well as others. Ties are never split and B is even, so equal
    point masses give exactly 1, and different ones, or draws on different sides of a gap, exactly
    0. The bias, `-(B - 1) / (4 * S)` for identical densities, stays below 0.06 for two normal
    densities from 30 draws on; ten draws are too few.

    Args:
        probs: draws of class probabilities, shape (S, N, K); rows sum to one.

    Raises:
        InputError: as `decompose`, or when there is only one draw.

    Example:
        >>> class_overlap([[[0.7, 0.3]], [[0.6, 0.4]], [[0.7, 0.3]]]).round(6)
        array([0.])
        >>> class_overlap([[[0.5, 0.5]], [[0.5, 0.5]]])
        array([1.])
    """
    draws = check_several_draws(probs, "class_overlap")
    _, counts = _histograms(draws)
    return np.sqrt(counts[0] * counts[1]).sum(axis=1) / len(draws)


def overlap_without_each_draw(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """The overlap (S, N) of all draws but one, for draws (S, N, K), the bins held fixed.

    A draw sits in one bin of either histogram, so only these two terms of the sum change.
    """
    (first, second), (n, m) = _histograms(draws)

    def at(counts: NDArray[np.float64], bins: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.take_along_axis(counts, bins.T, axis=1).T

    n1, m1, n2, m2 = at(n, first), at(m, first), at(n, second), at(m, second)
    before = np.sqrt(n1 * m1) + np.where(first == second, 0.0, np.sqrt(n2 * m2))
    together = np.sqrt((n1 - 1.0) * np.maximum(m1 - 1.0, 0.0))
    apart = np.sqrt((n1 - 1.0) * m1) + np.sqrt(n2 * (m2 - 1.0))
    after = np.where(first == second, together, apart)
    return (np.sqrt(n * m).sum(axis=1) - before + after) / (len(draws) - 1)


def _histograms(
    draws: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The bin of every draw, (2, S, N), and the counts in the bins, (2, N, B), of two classes."""
    num_samples, num_images = draws.shape[:2]
    num_bins = 2 * math.ceil(num_samples ** (1.0 / 3.0) / 2.0)
    leading = np.argsort(-draws.mean(axis=0), axis=1, kind="stable")[np.newaxis, :, :2]
    values = np.take_along_axis(draws, leading, axis=2).round(_DECIMALS).transpose(2, 0, 1)
    rank = rankdata(values.reshape(2 * num_samples, num_images), method="max", axis=0)
    bins = np.ceil(num_bins * rank / (2 * num_samples)).astype(np.int64) - 1
    bins = bins.reshape(2, num_samples, num_images)
    cells = bins + num_bins * np.arange(num_images)
    counts = [np.bincount(part.ravel(), minlength=num_images * num_bins) for part in cells]
    return bins, np.array(counts, dtype=np.float64).reshape(2, num_images, num_bins)
