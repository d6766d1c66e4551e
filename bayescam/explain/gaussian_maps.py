"""Statistics of maps whose every pixel is exactly Gaussian: no draws, no Monte Carlo error.

So are the maps of logits and contrasts where the head is one layer with a Gaussian posterior;
`bayescam.explain.cam_moments` gives their means and variances.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from bayescam.explain.summary import MapStatistics, relevance_threshold
from bayescam.types import Array, InputError, MapMoments

__all__ = ["gaussian_quantiles", "gaussian_statistics", "prob_above"]


def prob_above(moments: MapMoments, threshold: ArrayLike) -> Array:
    """Return P(map > threshold) per pixel, (N, T, h, w).

    Args:
        moments: exact moments of the maps.
        threshold: one number, or an array that fits (N, T, h, w).
    """
    sd = np.sqrt(moments.variance.astype(np.float64))
    excess = moments.mean - np.asarray(threshold, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sd > 0, ndtr(excess / sd), (excess > 0).astype(np.float64))


def gaussian_quantiles(moments: MapMoments, shares: Sequence[float]) -> Array:
    """Return quantiles per pixel, (Q, N, T, h, w), what `map_quantiles` is for draws.

    Args:
        moments: exact moments of the maps.
        shares: Q probabilities, each strictly between 0 and 1.

    Raises:
        InputError: if a share is out of range.
    """
    asked = np.asarray(shares, np.float64)
    if asked.ndim != 1 or not asked.size or asked.min() <= 0 or asked.max() >= 1:
        raise InputError(f"`shares` must be a list of numbers in (0, 1); got {shares}.")
    sd = np.sqrt(moments.variance.astype(np.float64))
    return moments.mean + np.multiply.outer(ndtri(asked), sd)


def gaussian_statistics(moments: MapMoments) -> MapStatistics:
    """Return what `summarize_maps` gives of draws, exactly.

    Example:
        >>> moments = MapMoments(np.array([[[[2.0, 1.0]]]]), np.array([[[[1.0, 4.0]]]]))
        >>> gaussian_statistics(moments).p_relevant.astype(float).round(3).ravel().tolist()
        [0.841, 0.5]
    """
    threshold = relevance_threshold(moments.mean)[..., None, None]
    return MapStatistics(
        mean=np.asarray(moments.mean, np.float32),
        sd=np.sqrt(moments.variance, dtype=np.float32),
        p_relevant=prob_above(moments, threshold).astype(np.float32),
        p_positive=prob_above(moments, 0.0).astype(np.float32),
    )
