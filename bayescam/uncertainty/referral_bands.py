"""Bands of referral curves from a bootstrap over groups, share by share of the images kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.types import InputError
from bayescam.uncertainty.exchangeability import Names
from bayescam.uncertainty.referral import check_calls, check_referral
from bayescam.uncertainty.resample_interval import resample_interval
from bayescam.uncertainty.running_counts import few_resamples, sort_images
from bayescam.uncertainty.validation import check_scores, check_several_groups

__all__ = ["ReferralBand", "missed_silently_band", "risk_band"]


@dataclass(frozen=True)
class ReferralBand:
    """Between which values chance leaves a referral curve, each share kept for itself.

    Attributes:
        coverage: (C,), share of images kept.
        lower: (C,), percentile over resamples of groups.
        upper: (C,).
        level: share of the resamples inside, at each coverage.
    """

    coverage: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    level: float


def risk_band(
    uncertainty: ArrayLike,
    correct: ArrayLike,
    groups: Names,
    *,
    coverage: ArrayLike,
    level: float = 0.95,
    num_resamples: int = 1000,
    seed: int = 0,
) -> ReferralBand:
    """The band of `risk_coverage`: share of wrong images among those kept.

    Whole groups are drawn with replacement, as in `group_bootstrap`. Of n images in a resample
    `ceil(coverage * n)` are kept, and ties are treated as in `risk_coverage`.

    Args:
        uncertainty: (N,), larger is less sure and referred first.
        correct: (N,), whether the prediction is right.
        groups: (N,), the group (lesion, patient) of each image; at least two.
        coverage: (C,), shares of images kept, above 0 and at most 1.
        level: of the band.
        num_resamples: of the groups.
        seed: of NumPy's default generator.

    Raises:
        InputError: as `risk_coverage`, bad groups, or shares outside their range.

    Example:
        >>> band = risk_band([0.1, 0.9], [True, False], ["a", "b"], coverage=[0.5, 1.0])
        >>> band.lower, band.upper
        (array([0., 0.]), array([1., 1.]))
    """
    score, right = check_referral(uncertainty, correct)
    shares, codes = _check(coverage, level, groups, len(score))
    images, parts = sort_images(score, codes, ~right), []
    for counts in few_resamples(int(codes.max()) + 1, num_resamples, seed=seed):
        kept, (wrong,) = images.among_kept(counts, 1.0 - shares)
        parts.append(wrong / kept)
    return _band(shares, np.concatenate(parts), level)


def missed_silently_band(
    uncertainty: ArrayLike,
    predicted: ArrayLike,
    labels: ArrayLike,
    groups: Names,
    *,
    class_index: int,
    coverage: ArrayLike,
    level: float = 0.95,
    num_resamples: int = 1000,
    seed: int = 0,
) -> ReferralBand:
    """The band of `missed_silently` of `class_at_referral`, over resamples that hold the class.

    Args:
        uncertainty: (N,), larger is less sure and referred first.
        predicted: (N,), the class that the image is called, an index.
        labels: (N,), the right class, an index.
        groups: (N,), as in `risk_band`.
        class_index: the class of concern; at least one image must be of it.
        coverage: (C,), shares of all images kept, above 0 and at most 1.
        level: of the band.
        num_resamples: of the groups.
        seed: of NumPy's default generator.

    Raises:
        InputError: as `risk_band`, no class indices, or no image of the class.
    """
    score = check_scores(uncertainty, name="uncertainty")
    shares, codes = _check(coverage, level, groups, len(score))
    called, truth = check_calls(predicted, labels, len(score))
    of_class = truth == class_index
    if not of_class.any():
        raise InputError(f"`labels` must hold an image of class {class_index}; there is none.")
    in_group = np.bincount(codes, weights=of_class)
    images, parts = sort_images(score, codes, of_class & (called != truth)), []
    for counts in few_resamples(len(in_group), num_resamples, seed=seed):
        _, (missed,) = images.among_kept(counts, 1.0 - shares)
        with np.errstate(invalid="ignore"):
            parts.append(missed / (counts @ in_group)[:, np.newaxis])
    return _band(shares, np.concatenate(parts), level)


def _band(
    shares: NDArray[np.float64], resamples: NDArray[np.float64], level: float
) -> ReferralBand:
    lower, upper = resample_interval(np.zeros(len(shares)), resamples, level=level)
    return ReferralBand(shares, lower, upper, level)


def _check(
    coverage: ArrayLike, level: float, groups: Names, num_images: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    shares = np.asarray(coverage, dtype=np.float64)
    if shares.ndim != 1 or not len(shares) or not ((shares > 0) & (shares <= 1)).all():
        raise InputError(
            f"`coverage` must be shares of images kept, above 0 and at most 1; got "
            f"{shares.tolist()}."
        )
    if not 0.0 < level < 1.0:
        raise InputError(f"`level` must lie strictly between 0 and 1; got {level}.")
    return shares, check_several_groups(groups, num_images)
