"""Referral on resamples of whole groups, for several scores at once: areas, and chosen rates.

The resamples are those of `group_bootstrap` for the same groups and seed, so scores of one set of
images can be compared by subtracting their resamples. Ties are treated as in `risk_coverage`, and
an image that is drawn twice is tied with itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.uncertainty.exchangeability import Names
from bayescam.uncertainty.referral import (
    check_calls,
    check_class_index,
    check_rates,
    risk_coverage,
)
from bayescam.uncertainty.running_counts import (
    SortedImages,
    few_resamples,
    running_sum,
    sort_images,
)
from bayescam.uncertainty.validation import check_flags, check_named_scores, check_several_groups

__all__ = ["AurcResamples", "ReferralResamples", "bootstrap_at_referral", "bootstrap_aurc"]


@dataclass(frozen=True)
class AurcResamples:
    """The area under the risk-coverage curve of one score, and what chance does to it.

    Attributes:
        aurc: on the sample itself.
        excess_aurc: likewise, see `RiskCoverage`.
        aurc_resamples: (R,), of each resample.
        excess_aurc_resamples: (R,).
    """

    aurc: float
    excess_aurc: float
    aurc_resamples: NDArray[np.float64]
    excess_aurc_resamples: NDArray[np.float64]


@dataclass(frozen=True)
class ReferralResamples:
    """What is kept at T referral rates by one score, and what chance does to it.

    `kept`, `sensitivity` and `missed_silently` are those of `class_at_referral` for the class of
    concern: NaN in a sample or a resample without an image of it.

    Attributes:
        rates: (T,), share of all images referred.
        accuracy: (T,), share of right images among those kept, on the sample itself.
        kept: (T,), share of the images of the class that are kept, likewise.
        sensitivity: (T,), share of those kept that are called so; NaN where none is kept.
        missed_silently: (T,), share of all images of the class that are kept and called otherwise.
        accuracy_resamples: (R, T), of each resample, like the following.
        kept_resamples: (R, T).
        sensitivity_resamples: (R, T).
        missed_silently_resamples: (R, T).
    """

    rates: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    kept: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    missed_silently: NDArray[np.float64]
    accuracy_resamples: NDArray[np.float64]
    kept_resamples: NDArray[np.float64]
    sensitivity_resamples: NDArray[np.float64]
    missed_silently_resamples: NDArray[np.float64]


def bootstrap_aurc(
    scores: Mapping[str, ArrayLike],
    correct: ArrayLike,
    groups: Names,
    *,
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, AurcResamples]:
    """AURC and E-AURC of each score, on the sample and on resamples of whole groups.

    A run of w tied images with e errors, after w0 images with e0 errors, adds
    `e + (e0 - e / w * w0) * (H[w0 + w] - H[w0])` to the sum of the risks, H the harmonic numbers:
    so a resample costs a running sum over images.

    Args:
        scores: name -> (N,), larger is less sure and referred first.
        correct: (N,), whether the prediction is right.
        groups: (N,), the group (lesion, patient) of each image.
        num_resamples: R.
        seed: of NumPy's default generator.

    Raises:
        InputError: as `risk_coverage_curves`, bad groups or fewer than two of them.

    Example:
        >>> found = bootstrap_aurc({"entropy": [0.1, 0.2, 0.9]}, [True, True, False], [0, 1, 2])
        >>> round(found["entropy"].aurc, 4), found["entropy"].excess_aurc
        (0.1111, 0.0)
    """
    checked = check_named_scores(scores)
    right = check_flags(correct, len(next(iter(checked.values()))), name="correct")
    codes = check_several_groups(groups, len(right))
    images = {name: sort_images(values, codes, ~right) for name, values in checked.items()}
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in scores}
    for counts in few_resamples(int(codes.max()) + 1, num_resamples, seed=seed):
        for name, ordered in images.items():
            found[name].append(np.stack(_areas(counts, ordered)))
    curves = {name: risk_coverage(values, right) for name, values in checked.items()}
    return {
        name: AurcResamples(curve.aurc, curve.excess_aurc, *np.concatenate(found[name], axis=1))
        for name, curve in curves.items()
    }


def bootstrap_at_referral(
    scores: Mapping[str, ArrayLike],
    predicted: ArrayLike,
    labels: ArrayLike,
    groups: Names,
    *,
    class_index: int | None,
    rates: Sequence[float],
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, ReferralResamples]:
    """Accuracy of what is kept, and what becomes of one class, on resamples of whole groups.

    A resample of n images refers `floor(rate * n)` of them. Where a sample shows no error (no
    silent miss, say), no resample does: the spread is 0, though other images could show one.

    Args:
        scores: name -> (N,), larger is less sure and referred first.
        predicted: (N,), the class that the image is called, an index.
        labels: (N,), the right class, an index.
        groups: (N,), the group (lesion, patient) of each image.
        class_index: the class of concern, such as melanoma; with None, all that is said of a class
            is NaN.
        rates: T shares referred, each in [0, 1).
        num_resamples: R.
        seed: of NumPy's default generator.

    Raises:
        InputError: as `class_at_referral`, no scores, bad groups or fewer than two of them.

    Example:
        >>> found = bootstrap_at_referral(
        ...     {"entropy": [0.1, 0.2, 0.9]},
        ...     [0, 1, 0],
        ...     [0, 1, 1],
        ...     ["a", "b", "c"],
        ...     class_index=1,
        ...     rates=[0.4],
        ... )
        >>> found["entropy"].accuracy, found["entropy"].missed_silently
        (array([1.]), array([0.]))
    """
    checked = check_named_scores(scores)
    called, truth = check_calls(predicted, labels, len(next(iter(checked.values()))))
    codes, shares = check_several_groups(groups, len(truth)), check_rates(rates)
    of_class = np.zeros(len(truth), dtype=bool)
    if class_index is not None:
        check_class_index(class_index)
        of_class = truth == class_index
    in_class = np.bincount(codes[of_class], minlength=int(codes.max()) + 1)
    wrong = called != truth
    images = {
        name: sort_images(values, codes, wrong, of_class, of_class & wrong)
        for name, values in checked.items()
    }
    once = np.ones((1, len(in_class)), dtype=np.int64)
    found = {name: [_at_rates(once, ordered, shares, in_class)] for name, ordered in images.items()}
    for counts in few_resamples(len(in_class), num_resamples, seed=seed):
        for name, ordered in images.items():
            found[name].append(_at_rates(counts, ordered, shares, in_class))
    joined = {name: np.concatenate(parts, axis=1) for name, parts in found.items()}
    return {
        name: ReferralResamples(shares, *values[:, 0], *values[:, 1:])
        for name, values in joined.items()
    }


def _areas(
    counts: NDArray[np.int64], images: SortedImages
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """AURC and E-AURC (r,) of r resamples in which the groups occur `counts` (r, G) times.

    Between two runs with errors the number of errors stands still, so runs without any need no
    term of their own.
    """
    ((groups, ends),) = images.flagged
    runs = np.flatnonzero(np.diff(ends))
    upto, wrong = running_sum(counts, images.groups), running_sum(counts, groups)
    total, total_wrong = upto[:, -1], wrong[:, -1]
    before, after = upto[:, images.ends[runs]], upto[:, images.ends[runs + 1]]
    wrong_before, wrong_after = wrong[:, ends[runs]], wrong[:, ends[runs + 1]]
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, int(total.max()) + 1))])
    first, last = harmonic[before], harmonic[after]
    following = np.column_stack([first, harmonic[total]])[:, 1:]
    slope = (wrong_after - wrong_before) / np.maximum(after - before, 1)
    within = (wrong_before - slope * before) * (last - first)
    area = total_wrong + (within + wrong_after * (following - last)).sum(axis=1)
    right = total - total_wrong
    best = total_wrong - right * (harmonic[total] - harmonic[right])
    return area / total, (area - best) / total


def _at_rates(
    counts: NDArray[np.int64],
    images: SortedImages,
    rates: NDArray[np.float64],
    in_class: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Accuracy, and of the class kept, sensitivity and silent misses (4, r, T), of r resamples.

    Args:
        counts: (r, G), how often each group occurs.
        images: with flags of the wrong ones, those of the class, and the wrong ones of the class.
        rates: (T,).
        in_class: (G,), images of the class in each group.
    """
    kept, (wrong, of_class, missed) = images.among_kept(counts, rates)
    count = (counts @ in_class)[:, np.newaxis]
    with np.errstate(invalid="ignore"):
        return np.stack(
            [1.0 - wrong / kept, of_class / count, 1.0 - missed / of_class, missed / count]
        )
