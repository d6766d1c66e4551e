"""What the Brier score is made of: reliability, resolution and uncertainty, class by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.uncertainty.reliability import Binning, assign_bins, check_binned, class_bin_sums

__all__ = ["BrierDecomposition", "brier_decomposition"]


@dataclass(frozen=True)
class BrierDecomposition:
    """The parts of the Brier score, class by class: arrays of shape (K,).

    Summed over classes they are the parts of the multiclass score
    `mean_n sum_k (p_nk - [k == label_n])^2`, between 0 and 2.

    Attributes:
        reliability: `sum_b n_b / N * (f_b - y_b)^2`, small is good; `f_b` is the mean probability
            and `y_b` the share of the class in bin b of the probability of the class.
        resolution: `sum_b n_b / N * (y_b - y)^2`, large is good; `y` is the share of the class.
        uncertainty: `y * (1 - y)`, of the labels alone.
        within_bin_variance: `1/N sum_n (p_n - f_b)^2`.
        within_bin_covariance: `2/N sum_n (p_n - f_b) * (y_n - y_b)`.
    """

    reliability: NDArray[np.float64]
    resolution: NDArray[np.float64]
    uncertainty: NDArray[np.float64]
    within_bin_variance: NDArray[np.float64]
    within_bin_covariance: NDArray[np.float64]

    @property
    def generalized_resolution(self) -> NDArray[np.float64]:
        """`resolution - within_bin_variance + within_bin_covariance`, shape (K,)."""
        return self.resolution - self.within_bin_variance + self.within_bin_covariance

    @property
    def brier_score(self) -> NDArray[np.float64]:
        """`reliability - generalized_resolution + uncertainty`, exact, shape (K,)."""
        return self.reliability - self.generalized_resolution + self.uncertainty


def brier_decomposition(
    mean_probs: ArrayLike,
    labels: ArrayLike,
    *,
    num_bins: int = 15,
    binning: Binning = "equal-width",
) -> BrierDecomposition:
    """The Brier score of every class, one against the rest, in five parts.

    Murphy 1973, "A new vector partition of the probability score", is exact when all forecasts of
    a bin are equal. Murphy bins whole forecast vectors, of which hardly two agree; here each class
    is binned by its own probability and the K decompositions are summed. Forecasts within a bin
    differ, so the two within-bin terms of Stephenson et al. 2008, "Two extra components in the
    Brier score decomposition", are kept: with them the parts add up to the score exactly,
    whatever the bins.

    Args:
        mean_probs: (N, K), rows sum to one.
        labels: (N,), class indices.
        num_bins: bins of each class, by the rules of `reliability_curve`.
        binning: as in `reliability_curve`, here of the probabilities of each class.

    Raises:
        InputError: as `reliability_curve`.

    Example:
        >>> parts = brier_decomposition([[0.8, 0.2], [0.8, 0.2], [0.3, 0.7]], [0, 1, 1])
        >>> round(float(parts.brier_score.sum()), 3)
        0.513
    """
    probs, truth = check_binned(mean_probs, labels, num_bins, binning)
    num_images, num_classes = probs.shape
    count, forecast, events = class_bin_sums(probs, truth, num_bins, binning)
    share = events.sum(axis=1, keepdims=True) / num_images
    bins = np.stack([assign_bins(column, num_bins, binning) for column in probs.T])
    off_forecast, off_events = (
        (values - np.take_along_axis(_over(sums, count), bins, axis=1)) / np.sqrt(num_images)
        for values, sums in ((probs.T, forecast), (np.eye(num_classes)[truth].T, events))
    )
    return BrierDecomposition(
        reliability=reliability_term(count, forecast, events) / num_images,
        resolution=(count * (_over(events, count) - share) ** 2).sum(axis=1) / num_images,
        uncertainty=(share * (1.0 - share))[:, 0],
        within_bin_variance=(off_forecast**2).sum(axis=1),
        within_bin_covariance=2.0 * (off_forecast * off_events).sum(axis=1),
    )


def reliability_term(
    count: NDArray[np.float64], forecast: NDArray[np.float64], events: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`sum_b n_b * (f_b - y_b)^2` from sums over images in bins (..., B), empty bins left out."""
    return ((forecast - events) * _over(forecast - events, count)).sum(axis=-1)


def _over(sums: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means in bins, zero in an empty one."""
    return sums / np.maximum(count, 1.0)
