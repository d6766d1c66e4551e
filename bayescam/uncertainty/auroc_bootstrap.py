"""The area under the ROC curve on resamples of whole groups, for several scores at once.

The resamples are those of `group_bootstrap` for the same groups and seed, so scores of one set of
images can be compared by subtracting their resamples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from bayescam.uncertainty.exchangeability import Names
from bayescam.uncertainty.resampling import resample_groups, sum_in_cells
from bayescam.uncertainty.validation import check_flags, check_named_scores, check_several_groups

__all__ = ["AurocResamples", "Ranking", "bootstrap_auroc", "rank_images", "resampled_auroc"]


@dataclass(frozen=True)
class AurocResamples:
    """How well one score puts the positive images above the others, and what chance does to it.

    Attributes:
        auroc: probability that a positive image scores higher than another one, ties half, on the
            sample itself; NaN without a pair.
        resamples: (R,), of each resample; NaN where it has no pair.
    """

    auroc: float
    resamples: NDArray[np.float64]


def bootstrap_auroc(
    scores: Mapping[str, ArrayLike],
    positive: ArrayLike,
    groups: Names,
    *,
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, AurocResamples]:
    """The area under the ROC curve of each score, on the sample and on resamples of whole groups.

    Args:
        scores: name -> (N,), larger means positive.
        positive: (N,), whether the image is a positive one (called wrong, say).
        groups: (N,), the group (lesion, patient) of each image.
        num_resamples: R.
        seed: of NumPy's default generator.

    Raises:
        InputError: no scores, scores that are not finite, `positive` not boolean, bad groups or
            fewer than two of them.

    Example:
        >>> found = bootstrap_auroc({"entropy": [0.1, 0.5, 0.4]}, [False, False, True], [0, 1, 2])
        >>> found["entropy"].auroc
        0.5
    """
    checked = check_named_scores(scores)
    flags = check_flags(positive, len(next(iter(checked.values()))), name="positive")
    codes = check_several_groups(groups, len(flags))
    ranks = {name: rank_images(values, flags, codes) for name, values in checked.items()}
    once = np.ones((int(codes.max()) + 1, 1))
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in scores}
    for counts in resample_groups(len(once), num_resamples, seed=seed):
        by_group = np.ascontiguousarray(counts.T)
        for name, rank in ranks.items():
            found[name].append(resampled_auroc(by_group, rank))
    return {
        name: AurocResamples(float(resampled_auroc(once, rank)[0]), np.concatenate(found[name]))
        for name, rank in ranks.items()
    }


@dataclass(frozen=True)
class Ranking:
    """One class against the rest, sorted once: all that a weighted area needs of the scores.

    The smaller side (images of the class, or the others) has A distinct scores, the anchors.

    Attributes:
        anchors: (A, G), images of the smaller side at each anchor, by group.
        passed: (2 * A + 1, G), images of the larger side below, at, between and above the
            anchors, by group.
    """

    anchors: csr_array
    passed: csr_array


def rank_images(
    score: NDArray[np.float64], positive: NDArray[np.bool_], codes: NDArray[np.int64]
) -> Ranking:
    """Sort one class; where the others are fewer, the scores are negated and the sides swapped."""
    small = positive if 2 * positive.sum() <= len(positive) else ~positive
    score = score if small is positive else -score
    anchors, at = np.unique(score[small], return_inverse=True)
    others = score[~small]
    place = np.searchsorted(anchors, others, "left") + np.searchsorted(anchors, others, "right")
    num_groups = int(codes.max()) + 1
    return Ranking(
        sum_in_cells(np.ones(len(at)), at, codes[small], (len(anchors), num_groups)),
        sum_in_cells(np.ones(len(place)), place, codes[~small], (2 * len(anchors) + 1, num_groups)),
    )


def resampled_auroc(counts: NDArray[np.float64], rank: Ranking) -> NDArray[np.float64]:
    """Mann-Whitney, ties counted half, for counts (G, r): (r,), NaN without a pair."""
    weight = rank.anchors @ counts
    passed = np.cumsum(rank.passed @ counts, axis=0)
    wins = (weight * (passed[:-1:2] + passed[1::2])).sum(axis=0) / 2.0
    with np.errstate(invalid="ignore"):
        return wins / (weight.sum(axis=0) * passed[-1])
