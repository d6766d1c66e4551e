"""Summaries of the draws of a map, pixel by pixel: moments, quantiles, relative spread.

Maps arrive signed and unnormalised, and every summary is in their units: `relu(mean_s map_s)` and
`mean_s relu(map_s)` differ, and so do statistics of maps that were scaled one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bayescam.explain.validation import check_maps, check_share
from bayescam.types import Array, InputError

__all__ = [
    "MapStatistics",
    "coefficient_of_variation",
    "intersection_map",
    "map_quantiles",
    "relevance_threshold",
    "summarize_maps",
    "union_map",
]


class MapStatistics(NamedTuple):
    """Per pixel of each map, shape (N, T, h, w), float32.

    Attributes:
        mean: mean of the signed maps over the draws.
        sd: their standard deviation (divided by S).
        p_relevant: share of the draws whose map lies above half the peak of `relu(mean)`; where
            the mean is nowhere positive, that is the share of draws above zero.
        p_positive: share of the draws whose map lies above zero.
    """

    mean: Array
    sd: Array
    p_relevant: Array
    p_positive: Array


def summarize_maps(cams: ArrayLike) -> MapStatistics:
    """Return mean, spread, P(relevant) and P(positive) of maps (S, N, T, h, w).

    Raises:
        InputError: other axes, or maps that are not finite.

    Example:
        >>> draws = np.array([[1.0, 0.0], [3.0, 1.5]]).reshape(2, 1, 1, 1, 2)
        >>> summary = summarize_maps(draws)
        >>> summary.mean.ravel().tolist(), summary.p_relevant.ravel().tolist()
        ([2.0, 0.75], [0.5, 0.5])
    """
    draws = check_maps(cams)
    mean = draws.mean(axis=0, dtype=np.float64)
    threshold = relevance_threshold(mean)[..., None, None]
    return MapStatistics(
        mean=mean.astype(np.float32),
        sd=draws.std(axis=0, dtype=np.float64).astype(np.float32),
        p_relevant=(draws > threshold).mean(axis=0, dtype=np.float32),
        p_positive=(draws > 0).mean(axis=0, dtype=np.float32),
    )


def relevance_threshold(mean: Array) -> Array:
    """Return half the peak of `relu(mean)` of maps (..., h, w), shape (...)."""
    return np.asarray(0.5 * np.maximum(mean, 0).max(axis=(-2, -1)))


def coefficient_of_variation(mean: ArrayLike, sd: ArrayLike, *, floor: float = 0.1) -> Array:
    """Return the spread of each pixel relative to its mean, `sd / max(|mean|, floor * peak)`.

    The peak is the largest `|mean|` of the map. Without a floor, pixels that carry no evidence
    would have the largest coefficients of all; with it, none exceeds `sd / (floor * peak)`.

    Args:
        mean: (..., h, w), over the draws.
        sd: (..., h, w), over the draws.
        floor: share of the peak, above 0 and at most 1.

    Returns:
        float64 of the shape of `mean`, no unit; infinite where a map has spread and its mean is
        zero everywhere, zero where it has neither.

    Raises:
        InputError: shapes that differ, a negative `sd` or a floor out of range.

    Example:
        >>> coefficient_of_variation([[4.0, 0.0]], [[1.0, 1.0]])
        array([[0.25, 2.5 ]])
    """
    centre, spread = np.asarray(mean, np.float64), np.asarray(sd, np.float64)
    if centre.ndim < 2 or centre.shape != spread.shape:
        raise InputError(
            f"`mean` and `sd` must have one shape (..., h, w); got {centre.shape} and "
            f"{spread.shape}."
        )
    if (spread < 0).any():
        raise InputError(f"`sd` must not be negative; got {spread.min():.3g}.")
    if not 0.0 < floor <= 1.0:
        raise InputError(f"`floor` must be above 0 and at most 1; got {floor}.")
    size = np.abs(centre)
    least = np.maximum(size, floor * size.max(axis=(-2, -1), keepdims=True))
    flat = np.where(spread > 0, np.inf, 0.0)
    return np.divide(spread, least, out=flat, where=least > 0)


def map_quantiles(cams: ArrayLike, shares: Sequence[float]) -> Array:
    """Return quantiles of each pixel over the draws, (Q, N, T, h, w), float32.

    Args:
        cams: (S, N, T, h, w), signed.
        shares: Q shares of the draws, each in [0, 1]; linear between order statistics.

    Raises:
        InputError: other axes, maps that are not finite, or a share out of range.
    """
    draws = check_maps(cams)
    asked = np.asarray(shares, np.float64)
    if asked.ndim != 1 or not asked.size or asked.min() < 0 or asked.max() > 1:
        raise InputError(f"`shares` must be a list of numbers in [0, 1]; got {shares}.")
    return np.quantile(draws, asked, axis=0).astype(np.float32)


def union_map(cams: ArrayLike, *, share: float = 0.95) -> Array:
    """Return what at least some draws see: a high quantile of each pixel, (N, T, h, w).

    Bykov et al. 2021, "Explaining Bayesian Neural Networks" (and 2020, "How Much Can I Trust
    You?"), who scale the map of each draw first; here it stays in the units of the maps.

    Args:
        cams: (S, N, T, h, w), signed.
        share: of the draws below, strictly between 0 and 1.

    Raises:
        InputError: other axes, maps that are not finite, or a share out of range.
    """
    return map_quantiles(cams, [check_share(share, "share")])[0]


def intersection_map(cams: ArrayLike, *, share: float = 0.05) -> Array:
    """Return what nearly all draws see: a low quantile of each pixel, (N, T, h, w).

    Where it is positive, at least about `1 - share` of the draws are. See `union_map`.

    Raises:
        InputError: as `union_map`.
    """
    return map_quantiles(cams, [check_share(share, "share")])[0]
