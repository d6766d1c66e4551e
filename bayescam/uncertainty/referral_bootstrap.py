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

from bayescam.types import InputError
from bayescam.uncertainty.exchangeability import Names
from bayescam.uncertainty.referral import (
    accuracy_at_referral,
    check_referral,
    class_at_referral,
    risk_coverage,
)
from bayescam.uncertainty.running_counts import SortedImages, few_resamples, sort_images
from bayescam.uncertainty.validation import check_several_groups

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

    Attributes:
        rates: (T,), share of all images referred.
        accuracy: (T,), share of right images among those kept, on the sample itself.
        missed_silently: (T,), share of the images of the class of concern that are kept and called
            something else, on the sample itself; NaN where the class has no image.
        accuracy_resamples: (R, T), of each resample.
        missed_silently_resamples: (R, T), NaN in a resample without the class.
    """

    rates: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    missed_silently: NDArray[np.float64]
    accuracy_resamples: NDArray[np.float64]
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
    so a resample costs as much as there are different scores.

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
    if not scores:
        raise InputError("`scores` must hold at least one score by name; it is empty.")
    checked = {name: check_referral(values, correct) for name, values in scores.items()}
    right = next(iter(checked.values()))[1]
    codes = check_several_groups(groups, len(right))
    images = {name: sort_images(values, codes, ~right) for name, (values, _) in checked.items()}
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in scores}
    for counts in few_resamples(int(codes.max()) + 1, num_resamples, seed=seed):
        for name, ordered in images.items():
            found[name].append(np.stack(_areas(counts, ordered)))
    curves = {name: risk_coverage(*pair) for name, pair in checked.items()}
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
    class_index: int,
    rates: Sequence[float],
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, ReferralResamples]:
    """Accuracy of what is kept, and silent misses of a class, on resamples of whole groups.

    A resample of n images refers `floor(rate * n)` of them.

    Args:
        scores: name -> (N,), larger is less sure and referred first.
        predicted: (N,), the class that the image is called, an index.
        labels: (N,), the right class, an index.
        groups: (N,), the group (lesion, patient) of each image.
        class_index: the class of concern, such as melanoma.
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
    if not scores:
        raise InputError("`scores` must hold at least one score by name; it is empty.")
    missed = {
        name: class_at_referral(values, predicted, labels, class_index=class_index, rates=rates)
        for name, values in scores.items()
    }
    truth, called = np.asarray(labels), np.asarray(predicted)
    wrong, of_class = truth != called, truth == class_index
    codes = check_several_groups(groups, len(truth))
    images = {
        name: sort_images(np.asarray(values, np.float64), codes, wrong, wrong & of_class)
        for name, values in scores.items()
    }
    num_groups, shares = int(codes.max()) + 1, np.asarray(rates, np.float64)
    in_class = np.bincount(codes[of_class], minlength=num_groups)
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in scores}
    for counts in few_resamples(num_groups, num_resamples, seed=seed):
        for name, ordered in images.items():
            found[name].append(_at_rates(counts, ordered, shares, counts @ in_class))
    return {
        name: ReferralResamples(
            shares,
            np.array([accuracy_at_referral(values, ~wrong, rate) for rate in rates]),
            missed[name].missed_silently,
            *np.concatenate(found[name], axis=1),
        )
        for name, values in scores.items()
    }


def _areas(
    counts: NDArray[np.int64], images: SortedImages
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """AURC and E-AURC (r,) of r resamples in which the groups occur `counts` (r, G) times."""
    upto, (wrong,) = images.count(counts)
    total, total_wrong = upto[:, -1], wrong[:, -1]
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, int(total.max()) + 1))])
    slope = np.diff(wrong) / np.maximum(np.diff(upto), 1)
    height = wrong[:, :-1] - slope * upto[:, :-1]
    area = total_wrong + np.einsum("ru,ru->r", height, np.diff(harmonic[upto]))
    right = total - total_wrong
    best = total_wrong - right * (harmonic[total] - harmonic[right])
    return area / total, (area - best) / total


def _at_rates(
    counts: NDArray[np.int64],
    images: SortedImages,
    rates: NDArray[np.float64],
    in_class: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Accuracy and silent misses (2, r, T) of r resamples with `in_class` (r,) of the class."""
    upto, (wrong, missed) = images.count(counts)
    total = upto[:, -1:]
    kept = total - np.floor(rates * total + 1e-9).astype(np.int64)
    row = np.arange(len(upto))[:, np.newaxis]
    apart = row * (total.max() + 1)  # rows one behind another, so that one search serves all
    end = np.searchsorted((upto + apart).ravel(), kept + apart) - row * upto.shape[1]
    share = (kept - upto[row, end - 1]) / (upto[row, end] - upto[row, end - 1])
    wrong_kept, missed_kept = (
        flag[row, end - 1] + share * (flag[row, end] - flag[row, end - 1])
        for flag in (wrong, missed)
    )
    with np.errstate(invalid="ignore"):
        return np.stack([1.0 - wrong_kept / kept, missed_kept / in_class[:, np.newaxis]])
