"""Bands of referral curves from a bootstrap over groups, share by share of the images kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.types import InputError
from bayescam.uncertainty.bootstrap import resample_groups
from bayescam.uncertainty.exchangeability import Names
from bayescam.uncertainty.referral import check_referral
from bayescam.uncertainty.validation import check_groups, check_labels, check_scores

__all__ = ["ReferralBand", "missed_silently_band", "risk_band"]

_ROWS = 16  # resamples at a time, so that they stay in the cache


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
    parts = [
        flagged / kept
        for _, kept, flagged in _keep(score, ~right, codes, shares, num_resamples, seed)
    ]
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
    highest = int(max(np.max(labels), np.max(predicted))) + 1
    of_class = check_labels(labels, len(score), highest) == class_index
    called = check_labels(predicted, len(score), highest, name="predicted") == class_index
    if not of_class.any():
        raise InputError(f"`labels` must hold an image of class {class_index}; there is none.")
    in_group = np.bincount(codes, weights=of_class)
    parts = []
    for times, _, flagged in _keep(score, of_class & ~called, codes, shares, num_resamples, seed):
        total = times @ in_group
        parts.append(flagged[total > 0] / total[total > 0, np.newaxis])
    return _band(shares, np.concatenate(parts), level)


def _keep(
    score: NDArray[np.float64],
    flag: NDArray[np.bool_],
    codes: NDArray[np.int64],
    shares: NDArray[np.float64],
    num_resamples: int,
    seed: int,
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]:
    """Of ever r resamples: times of each group (r, G), images kept and flags among them (r, C)."""
    order = np.argsort(score, kind="stable")
    last_of_run = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    groups, flags = codes[order], flag[order]
    for counts in resample_groups(int(codes.max()) + 1, num_resamples, seed=seed):
        for start in range(0, len(counts), _ROWS):
            times = counts[start : start + _ROWS]
            images = times[:, groups]
            upto, flagged = (
                np.pad(np.cumsum(part, axis=1)[:, last_of_run], ((0, 0), (1, 0)))
                for part in (images, images * flags)
            )
            kept = np.maximum(np.ceil(shares * upto[:, -1:] - 1e-9), 1.0)
            yield times, kept, _interpolate(kept, upto, flagged)


def _interpolate(
    at: NDArray[np.float64], knots: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Row by row the values (r, C) at `at`, on straight lines between the knots (r, U + 1).

    The rows, each rising from 0, are set one after the other, so that one search serves all. Where
    knots are equal the first is hit, and the one before is smaller.
    """
    shift = (knots[:, -1:].max() + 1.0) * np.arange(len(knots))[:, np.newaxis]
    after = np.searchsorted((knots + shift).ravel(), (at + shift).ravel()).reshape(at.shape)
    x, y = knots.ravel(), values.ravel()
    slope = (y[after] - y[after - 1]) / (x[after] - x[after - 1])
    return y[after - 1] + slope * (at - x[after - 1])


def _band(
    shares: NDArray[np.float64], resamples: NDArray[np.float64], level: float
) -> ReferralBand:
    tails = ((1.0 - level) / 2.0, (1.0 + level) / 2.0)
    lower, upper = np.quantile(resamples, tails, axis=0)
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
    codes = check_groups(groups, num_images)
    if codes.max() == 0:
        raise InputError("`groups` must name at least two groups; all images are of one.")
    return shares, codes
