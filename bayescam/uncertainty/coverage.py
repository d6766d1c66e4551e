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

__all__ = ["SetScores", "SetSummary", "coverage_band", "score_sets"]


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
    num_validation: int, num_images: int, *, alpha: float, level: float = 0.99
) -> tuple[float, float]:
    """Between which shares the coverage of an honest conformal predictor lies.

    Of `num_images` new images, the number whose score does not exceed the threshold is
    beta-binomial with parameters `k` and `n + 1 - k`, `k` the rank of the threshold among n
    validation scores (Angelopoulos and Bates 2023, appendix C). Exact for LAC, randomised APS and
    RAPS if scores are not tied and no two images are of one lesion; other coverage only exceeds
    it. With `class_conditional=True` it holds class by class, with the images of the class.

    Args:
        num_validation: n, images behind the threshold.
        num_images: images whose coverage is measured.
        alpha: as in `fit_conformal`.
        level: at least this share of repetitions lies within; each tail has at most
            `(1 - level) / 2`.

    Returns:
        Lower and upper bound, both included: the tail quantiles divided by `num_images`.

    Raises:
        InputError: numbers too small, `alpha` or `level` outside (0, 1).

    Example:
        >>> coverage_band(1, 1, alpha=0.5, level=0.4)
        (0.0, 1.0)
    """
    check_alpha(alpha)
    if num_validation < 0 or num_images < 1:
        raise InputError(
            f"`num_validation` must not be negative and `num_images` at least 1; got "
            f"{num_validation} and {num_images}."
        )
    if not 0.0 < level < 1.0:
        raise InputError(f"`level` must lie strictly between 0 and 1; got {level}.")
    rank = conformal_rank(num_validation, alpha)
    if rank > num_validation:
        return 1.0, 1.0
    tails = np.array([(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    lower, upper = betabinom.ppf(tails, num_images, rank, num_validation + 1 - rank) / num_images
    return float(lower), float(upper)


def _summary(
    covered: NDArray[np.bool_], size: NDArray[np.int64], among: NDArray[np.bool_]
) -> SetSummary:
    if not among.any():
        return SetSummary(float("nan"), float("nan"), float("nan"), 0)
    coverage, mean_size = float(covered[among].mean()), float(size[among].mean())
    return SetSummary(coverage, mean_size, float((size[among] == 0).mean()), int(among.sum()))
