"""Summaries over the draws of a map, per pixel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bayescam.types import Array

__all__ = ["MapStatistics", "relevance_threshold", "summarize_maps"]


class MapStatistics(NamedTuple):
    """Per pixel of each map, shape (N, T, h, w), float32.

    Attributes:
        mean: mean of the signed maps over the draws.
        sd: their standard deviation (divided by S).
        p_relevant: share of the draws whose map lies above half the peak of `relu(mean)`; where
            the mean is nowhere positive, that is the share of draws above zero.
    """

    mean: Array
    sd: Array
    p_relevant: Array


def summarize_maps(cams: Array) -> MapStatistics:
    """Return mean, spread and P(relevant) of maps (S, N, T, h, w).

    Example:
        >>> draws = np.array([[1.0, 0.0], [3.0, 1.5]]).reshape(2, 1, 1, 1, 2)
        >>> summary = summarize_maps(draws)
        >>> summary.mean.ravel().tolist(), summary.p_relevant.ravel().tolist()
        ([2.0, 0.75], [0.5, 0.5])
    """
    mean = cams.mean(axis=0)
    return MapStatistics(
        mean=mean.astype(np.float32),
        sd=cams.std(axis=0).astype(np.float32),
        p_relevant=(cams > relevance_threshold(mean)[..., None, None])
        .mean(axis=0)
        .astype(np.float32),
    )


def relevance_threshold(mean: Array) -> Array:
    """Return half the peak of `relu(mean)` of maps (..., h, w), shape (...)."""
    return np.asarray(0.5 * np.maximum(mean, 0).max(axis=(-2, -1)))
