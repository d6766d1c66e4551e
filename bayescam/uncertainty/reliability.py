"""Reliability of the top label: is what is called with confidence 0.8 right eight times of ten?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.types import InputError
from bayescam.uncertainty.validation import check_labels, check_mean_probs

__all__ = ["ReliabilityCurve", "expected_calibration_error", "reliability_curve"]


@dataclass(frozen=True)
class ReliabilityCurve:
    """Top-label confidence against accuracy in B bins of equal width.

    Attributes:
        edges: (B + 1,), from 0 to 1. Bins hold `edges[b] <= confidence < edges[b + 1]`; the last
            one holds 1.0 as well.
        count: (B,), images in each bin.
        confidence: (B,), mean confidence, NaN in an empty bin.
        accuracy: (B,), share of right images, NaN in an empty bin.
    """

    edges: NDArray[np.float64]
    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def expected_calibration_error(self) -> float:
        """`sum_b count_b / N * |accuracy_b - confidence_b|`."""
        gaps = np.nan_to_num(np.abs(self.accuracy - self.confidence))
        return float(gaps @ self.count / self.count.sum())


def reliability_curve(
    mean_probs: ArrayLike, labels: ArrayLike, *, num_bins: int = 15
) -> ReliabilityCurve:
    """The reliability curve of the most probable class (Guo et al. 2017, equations of section 2).

    Args:
        mean_probs: (N, K), rows sum to one.
        labels: (N,), class indices.
        num_bins: bins of equal width on [0, 1]; see `ReliabilityCurve` for the edges.

    Raises:
        InputError: bad probabilities or labels, or fewer than one bin.
    """
    probs = check_mean_probs(mean_probs)
    truth = check_labels(labels, *probs.shape)
    if num_bins < 1:
        raise InputError(f"`num_bins` must be at least 1; got {num_bins}.")
    confidence, correct = probs.max(axis=1), probs.argmax(axis=1) == truth
    bins = confidence_bins(confidence, num_bins)
    count = np.bincount(bins, minlength=num_bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(bins, weights=confidence, minlength=num_bins) / count
        accuracy = np.bincount(bins, weights=correct, minlength=num_bins) / count
    return ReliabilityCurve(
        np.linspace(0.0, 1.0, num_bins + 1), count.astype(np.int64), mean_confidence, accuracy
    )


def expected_calibration_error(
    mean_probs: ArrayLike, labels: ArrayLike, *, num_bins: int = 15
) -> float:
    """The top-label expected calibration error: `sum_b count_b / N * |accuracy_b - confidence_b|`.

    Guo et al. 2017, equation 3, with 15 bins of equal width; the edges are those of
    `ReliabilityCurve`, so a confidence of exactly 1.0 falls in the last bin.
    """
    return reliability_curve(mean_probs, labels, num_bins=num_bins).expected_calibration_error


def confidence_bins(confidence: NDArray[np.float64], num_bins: int) -> NDArray[np.int64]:
    """The bin of each confidence, `floor(confidence * num_bins)`, 1.0 in the last bin."""
    return np.minimum((confidence * num_bins).astype(np.int64), num_bins - 1)
