"""Reliability: is what is called with probability 0.8 right eight times of ten?

Of the most probable class (top label), or of every class on its own (class-wise).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.types import InputError, check_whole_number
from bayescam.uncertainty.validation import check_labels, check_mean_probs

__all__ = [
    "Binning",
    "ReliabilityCurve",
    "calibration_error_by_chance",
    "classwise_calibration_error",
    "expected_calibration_error",
    "reliability_curve",
]

Binning = Literal["equal-width", "equal-mass"]


@dataclass(frozen=True)
class ReliabilityCurve:
    """Top-label confidence against accuracy in B bins.

    Attributes:
        edges: (B + 1,), from 0 to 1. Bins hold `edges[b] <= confidence < edges[b + 1]`; the last
            one holds 1.0 as well. With equal mass, ties may make edges equal and bins empty.
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
    mean_probs: ArrayLike,
    labels: ArrayLike,
    *,
    num_bins: int = 15,
    binning: Binning = "equal-width",
) -> ReliabilityCurve:
    """The reliability curve of the most probable class (Guo et al. 2017, equations of section 2).

    Args:
        mean_probs: (N, K), rows sum to one.
        labels: (N,), class indices.
        num_bins: bins on [0, 1], B; see `ReliabilityCurve` for which bin holds an edge.
        binning: "equal-width", or "equal-mass": the lower edge of bin b is the confidence of rank
            `floor(b * N / B)` from below (counted from 0), so N images fill B bins evenly, except
            that equal confidences are never parted. The order of the images does not matter.

    Raises:
        InputError: bad probabilities or labels, fewer than one bin, or an unknown binning.

    Example:
        >>> curve = reliability_curve([[0.9, 0.1], [0.4, 0.6]], [0, 0], num_bins=2)
        >>> curve.count.tolist(), curve.accuracy[1:].tolist(), curve.confidence[1:].tolist()
        ([0, 2], [0.5], [0.75])
    """
    probs, truth = check_binned(mean_probs, labels, num_bins, binning)
    confidence, correct = probs.max(axis=1), probs.argmax(axis=1) == truth
    bins = assign_bins(confidence, num_bins, binning)
    count = np.bincount(bins, minlength=num_bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(bins, weights=confidence, minlength=num_bins) / count
        accuracy = np.bincount(bins, weights=correct, minlength=num_bins) / count
    return ReliabilityCurve(
        _edges(confidence, num_bins, binning), count.astype(np.int64), mean_confidence, accuracy
    )


def expected_calibration_error(
    mean_probs: ArrayLike,
    labels: ArrayLike,
    *,
    num_bins: int = 15,
    binning: Binning = "equal-width",
) -> float:
    """The top-label expected calibration error: `sum_b count_b / N * |accuracy_b - confidence_b|`.

    Guo et al. 2017, equation 3, with 15 bins of equal width; the edges are those of
    `ReliabilityCurve`, so a confidence of exactly 1.0 falls in the last bin. Bins of equal mass
    are the variant of Roelofs et al. 2022, "Mitigating bias in calibration error estimation".

    Example:
        >>> round(expected_calibration_error([[0.8, 0.2]] * 4, [0, 0, 1, 1]), 4)  # half are right
        0.3
    """
    curve = reliability_curve(mean_probs, labels, num_bins=num_bins, binning=binning)
    return curve.expected_calibration_error


def calibration_error_by_chance(
    mean_probs: ArrayLike, *, num_bins: int = 15, binning: Binning = "equal-width"
) -> float:
    """The calibration error to be expected of these probabilities by chance, were they right.

    The mean of `expected_calibration_error` over labels drawn from the probabilities themselves
    (Broecker and Smith 2007, "consistency resampling"), exact: in a bin, the number of right
    images is a sum of independent coins, of which the mean absolute deviation is taken.

    Args:
        mean_probs: (N, K), rows sum to one.
        num_bins: as `reliability_curve`.
        binning: as `reliability_curve`.

    Example:
        >>> round(calibration_error_by_chance([[0.5, 0.5]] * 4), 4)  # E|X - 2| / 4 of four coins
        0.1875
    """
    probs = check_mean_probs(mean_probs)
    _check_bins(num_bins, binning)
    confidence = probs.max(axis=1)
    bins = assign_bins(confidence, num_bins, binning)
    gaps = [_mean_deviation(confidence[bins == b]) for b in np.unique(bins)]
    return float(sum(gaps) / len(probs))


def classwise_calibration_error(
    mean_probs: ArrayLike,
    labels: ArrayLike,
    *,
    num_bins: int = 15,
    binning: Binning = "equal-width",
) -> float:
    """The calibration error of the probability of every class, averaged over the K classes.

    `1/K sum_k sum_b count_kb / N * |share of class k in bin b - mean p_k in bin b|`; Kull et al.
    2019, "Beyond temperature scaling", class-wise ECE. Every image counts in every class, so rare
    classes are mostly images with a probability near 0; a probability of exactly 0.0 falls in the
    first bin, one of exactly 1.0 in the last. A class without images counts as well.

    Args:
        mean_probs: (N, K), rows sum to one.
        labels: (N,), class indices.
        num_bins: bins on [0, 1] of each class, by the rules of `reliability_curve`.
        binning: as in `reliability_curve`, here of the probabilities of each class.

    Raises:
        InputError: as `reliability_curve`.

    Example:
        >>> round(classwise_calibration_error([[0.9, 0.1], [0.9, 0.1]], [0, 1]), 3)
        0.4
    """
    probs, truth = check_binned(mean_probs, labels, num_bins, binning)
    _, forecast, events = class_bin_sums(probs, truth, num_bins, binning)
    return float(np.abs(forecast - events).sum() / probs.size)


def class_bin_sums(
    probs: NDArray[np.float64], truth: NDArray[np.int64], num_bins: int, binning: Binning
) -> NDArray[np.float64]:
    """By class and bin of its probability: images, sum of it, images of the class: (3, K, B)."""
    num_classes = probs.shape[1]
    bins = np.stack([assign_bins(column, num_bins, binning) for column in probs.T], axis=1)
    cells = (bins + num_bins * np.arange(num_classes)).ravel()
    weights = (np.ones_like(probs), probs, np.eye(num_classes)[truth])
    size = num_classes * num_bins
    sums = [np.bincount(cells, weights=part.ravel(), minlength=size) for part in weights]
    return np.array(sums, dtype=np.float64).reshape(3, num_classes, num_bins)


def assign_bins(values: NDArray[np.float64], num_bins: int, binning: Binning) -> NDArray[np.int64]:
    """The bin of each of N values in [0, 1], by the rules of `reliability_curve`."""
    if binning == "equal-width":
        return confidence_bins(values, num_bins)
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return mass_bins(np.cumsum(count), num_bins)[place]


def confidence_bins(confidence: NDArray[np.float64], num_bins: int) -> NDArray[np.int64]:
    """The bin of each confidence, an edge in the bin above it and 1.0 in the last bin.

    Compared with the edges themselves: `floor(confidence * num_bins)` puts some edges, such as
    1/49 of 49 bins, into the bin below.
    """
    inner = np.linspace(0.0, 1.0, num_bins + 1)[1:-1]
    return np.searchsorted(inner, confidence, side="right")


def mass_bins(not_above: NDArray[np.int64], num_bins: int) -> NDArray[np.int64]:
    """The bin of equal mass of each distinct value, from how many images are not above it.

    First axis: distinct values in rising order, so the last entries count all images. In bin b are
    `b * N / B < not_above <= (b + 1) * N / B`.
    """
    return np.maximum(-(-num_bins * not_above // not_above[-1]) - 1, 0)


def check_binned(
    mean_probs: ArrayLike, labels: ArrayLike, num_bins: int, binning: Binning
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The checked `(mean_probs, labels)` of a score over bins."""
    probs = check_mean_probs(mean_probs)
    truth = check_labels(labels, *probs.shape)
    _check_bins(num_bins, binning)
    return probs, truth


def _check_bins(num_bins: int, binning: Binning) -> None:
    check_whole_number("num_bins", num_bins, least=1)
    if binning not in get_args(Binning):
        raise InputError(f"`binning` must be one of {get_args(Binning)}; got {binning!r}.")


def _edges(confidence: NDArray[np.float64], num_bins: int, binning: Binning) -> NDArray[np.float64]:
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    if binning == "equal-mass":
        lowest = np.arange(1, num_bins) * len(confidence) // num_bins
        edges[1:-1] = np.sort(confidence)[lowest]
    return edges


def _mean_deviation(chances: NDArray[np.float64]) -> float:
    """`E|X - E X|` of the number X of heads of n coins with these chances (n,)."""
    masses = np.stack([1.0 - chances, chances], axis=1)
    while len(masses) > 1:  # each pair of distributions becomes that of the sum
        if len(masses) % 2:
            masses = np.vstack([masses, np.eye(1, masses.shape[1])])
        size = 2 * masses.shape[1] - 1
        left, right = np.fft.rfft(masses[::2], size), np.fft.rfft(masses[1::2], size)
        masses = np.fft.irfft(left * right, size)
    heads = np.arange(masses.shape[1])
    return float(np.abs(heads - chances.sum()) @ masses[0])
