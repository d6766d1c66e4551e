"""How often sets of classes hold the right one, how large they are, and what chance allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import betabinom

from bayescam.types import InputError
from bayescam.uncertainty.conformal import check_alpha, conformal_rank
from bayescam.uncertainty.exchangeability import Names
from bayescam.uncertainty.validation import check_groups, check_labels

__all__ = ["SetScores", "SetSummary", "coverage_band", "expected_coverage", "score_sets"]


@dataclass(frozen=True)
class SetSummary:
    """The sets of some images; NaN where there are none.

    Attributes:
        coverage: share of sets that hold the right class.
        mean_size: mean number of classes in a set.
        empty: share of sets without a class.
        count: number of images.
    """

    coverage: float
    mean_size: float
    empty: float
    count: int


@dataclass(frozen=True)
class SetScores:
    """The sets of N images, of all, by right class and by stratum.

    Attributes:
        overall: of all images.
        by_class: K summaries, of the images of each class.
        by_stratum: name of each stratum and the summary of its images, in alphabetical order.
    """

    overall: SetSummary
    by_class: tuple[SetSummary, ...]
    by_stratum: dict[str, SetSummary]


def score_sets(sets: ArrayLike, labels: ArrayLike, *, strata: Names | None = None) -> SetScores:
    """Coverage and size of sets against the labels.

    Args:
        sets: (N, K), booleans, whether the class is in the set of the image.
        labels: (N,), class indices.
        strata: (N,), what to split by: hospital, skin type, size of the set.

    Raises:
        InputError: `sets` not boolean, bad labels or strata.

    Example:
        >>> scores = score_sets([[True, False], [True, True], [True, False]], [0, 1, 1])
        >>> [round(s.coverage, 2) for s in (scores.overall, *scores.by_class)]
        [0.67, 1.0, 0.5]
    """
    members = np.asarray(sets)
    if members.ndim != 2 or len(members) == 0 or members.dtype != np.bool_:
        raise InputError(
            f"`sets` must be booleans of shape (N, K); got {members.dtype} of shape "
            f"{members.shape}. Are these probabilities?"
        )
    truth = check_labels(labels, *members.shape)
    covered, size = members[np.arange(len(truth)), truth], members.sum(axis=1)
    by_class = (_summary(covered, size, truth == k) for k in range(members.shape[1]))
    by_stratum: dict[str, SetSummary] = {}
    if strata is not None:
        codes = check_groups(strata, len(truth), name="strata")
        names = np.unique(np.asarray(strata, dtype=object).astype(str))
        by_stratum = {
            str(name): _summary(covered, size, codes == i) for i, name in enumerate(names)
        }
    everyone = np.ones(len(truth), dtype=bool)
    return SetScores(_summary(covered, size, everyone), tuple(by_class), by_stratum)


def coverage_band(
    num_validation: ArrayLike, num_images: ArrayLike, *, alpha: float, level: float = 0.99
) -> tuple[float, float]:
    """Between which shares the coverage of an honest conformal predictor lies.

    Of `num_images` new images, the number whose score does not exceed the threshold is
    beta-binomial with parameters `k` and `n + 1 - k`, `k` the rank of the threshold among n
    validation scores (Angelopoulos and Bates 2023, appendix C). Exact for LAC, randomised APS and
    RAPS if scores are not tied and no two images are of one lesion; other coverage only exceeds
    it.

    Several thresholds, given as arrays, make the band of the coverage of all their images taken
    together. Repeated random splits of one set of images count as independent: a random split of
    distinct scores has this distribution whatever the scores are, so one split says nothing about
    the next. (Several seeds with *one* split do not.) With `class_conditional=True` every class of
    every split is such a part.

    Args:
        num_validation: n, images behind the threshold; one number, or one a threshold.
        num_images: images whose coverage is measured, likewise.
        alpha: as in `fit_conformal`.
        level: at least this share of repetitions lies within; each tail has at most
            `(1 - level) / 2`.

    Returns:
        Lower and upper bound, both included: the tail quantiles divided by the number of images.

    Raises:
        InputError: numbers too small, `alpha` or `level` outside (0, 1).

    Example:
        >>> coverage_band(1, 1, alpha=0.5, level=0.4)
        (0.0, 1.0)
        >>> low, high = coverage_band([250] * 200, [350] * 200, alpha=0.1)  # mean of 200 splits
        >>> round(low, 3), round(high, 3)
        (0.896, 0.905)
    """
    if not 0.0 < level < 1.0:
        raise InputError(f"`level` must lie strictly between 0 and 1; got {level}.")
    parts = _parts(num_validation, num_images, alpha)
    total = int(parts[:, 1].sum())
    below = np.cumsum(_covered_probabilities(parts, alpha, total))
    tails = np.array([(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    lower, upper = np.searchsorted(below, tails - 1e-12) / total
    return float(lower), float(upper)


def expected_coverage(num_validation: ArrayLike, num_images: ArrayLike, *, alpha: float) -> float:
    """The mean of the distribution of `coverage_band`: `ceil((n + 1) * (1 - alpha)) / (n + 1)`.

    Never below `1 - alpha`, which rounding up exceeds, and 1 where there are too few validation
    images for a threshold. Several thresholds are weighted by their images.

    Args:
        num_validation: as in `coverage_band`.
        num_images: as in `coverage_band`.
        alpha: as in `fit_conformal`.

    Raises:
        InputError: as `coverage_band`.

    Example:
        >>> expected_coverage(9, 100, alpha=0.25)
        0.8
    """
    parts = _parts(num_validation, num_images, alpha)
    share = [conformal_rank(int(n), alpha) / (n + 1) for n in parts[:, 0]]
    return float(np.average(share, weights=parts[:, 1]))


def _parts(num_validation: ArrayLike, num_images: ArrayLike, alpha: float) -> NDArray[np.int64]:
    """Validation images and images of each threshold, (P, 2)."""
    check_alpha(alpha)
    pair = np.broadcast_arrays(num_validation, num_images)
    parts = np.stack([np.asarray(part, np.int64).ravel() for part in pair], axis=1)
    if not parts.size or (parts < 0).any() or parts[:, 1].sum() < 1:
        raise InputError(
            f"`num_validation` must not be negative and `num_images` at least 1; got "
            f"{num_validation!r} and {num_images!r}."
        )
    return parts


def _covered_probabilities(
    parts: NDArray[np.int64], alpha: float, total: int
) -> NDArray[np.float64]:
    """Of 0 to `total` covered images: a product of Fourier transforms, one a threshold."""
    if len(parts) == 1:
        return _beta_binomial(parts[0, 0], parts[0, 1], alpha)
    transform = np.ones((total + 1) // 2 + 1, dtype=complex)
    for (n, m), repeats in zip(*np.unique(parts, axis=0, return_counts=True), strict=True):
        transform *= np.fft.rfft(_beta_binomial(n, m, alpha), total + 1) ** repeats
    return np.clip(np.fft.irfft(transform, total + 1), 0.0, 1.0)


def _beta_binomial(num_validation: int, num_images: int, alpha: float) -> NDArray[np.float64]:
    rank = conformal_rank(int(num_validation), alpha)
    if rank > num_validation:
        return np.eye(1, num_images + 1, num_images)[0]
    return betabinom.pmf(np.arange(num_images + 1), num_images, rank, num_validation + 1 - rank)


def _summary(
    covered: NDArray[np.bool_], size: NDArray[np.int64], among: NDArray[np.bool_]
) -> SetSummary:
    if not among.any():
        return SetSummary(float("nan"), float("nan"), float("nan"), 0)
    coverage, mean_size = float(covered[among].mean()), float(size[among].mean())
    return SetSummary(coverage, mean_size, float((size[among] == 0).mean()), int(among.sum()))
