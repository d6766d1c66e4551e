"""Images from elsewhere told apart, on resamples of whole groups, for several scores at once.

Inside, the resamples are those of `group_bootstrap` for the same groups and seed, so scores can be
compared by subtracting their resamples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.uncertainty.exchangeability import Names
from bayescam.uncertainty.running_counts import few_resamples, running_sum
from bayescam.uncertainty.shift import detect_shift_by_score
from bayescam.uncertainty.validation import check_named_scores, check_several_groups

__all__ = ["ShiftResamples", "bootstrap_shift"]


@dataclass(frozen=True)
class ShiftResamples:
    """How well one score tells images from elsewhere, and what chance does to it.

    Attributes:
        auroc: on the samples themselves, see `ShiftDetection`.
        false_positive_rate: likewise.
        auroc_resamples: (R,), of each resample.
        false_positive_rate_resamples: (R,), each with the threshold of its own inside images.
    """

    auroc: float
    false_positive_rate: float
    auroc_resamples: NDArray[np.float64]
    false_positive_rate_resamples: NDArray[np.float64]


def bootstrap_shift(
    inside: Mapping[str, ArrayLike],
    outside: Mapping[str, ArrayLike],
    inside_groups: Names,
    outside_groups: Names,
    *,
    true_positive_rate: float = 0.95,
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, ShiftResamples]:
    """`detect_shift` of each score, on the samples and on resamples of whole groups of both.

    Two samples: of G groups inside G are drawn, of H outside H, independently of each other (Efron
    and Tibshirani 1993, section 8.3). Ties are treated as in `detect_shift`, and an image that is
    drawn twice is tied with itself.

    Args:
        inside: name -> (N,), scores of ordinary images, larger means outside.
        outside: the same names -> (M,), scores of images from elsewhere.
        inside_groups: (N,), the group (lesion, patient) of each image.
        outside_groups: (M,), likewise.
        true_positive_rate: least share of inside images to accept, in (0, 1].
        num_resamples: R.
        seed: of NumPy's default generator, inside; outside a seed that follows from it.

    Raises:
        InputError: as `detect_shift_by_score`, scores of other numbers of images, bad groups or
            fewer than two of them on either side.

    Example:
        >>> found = bootstrap_shift(
        ...     {"entropy": [0.1, 0.2, 0.3, 0.4]}, {"entropy": [0.3, 0.6]}, [0, 1, 2, 3], [0, 1]
        ... )
        >>> found["entropy"].auroc, found["entropy"].false_positive_rate
        (0.8125, 0.5)
    """
    whole = detect_shift_by_score(inside, outside, true_positive_rate=true_positive_rate)
    near = check_named_scores(inside, name="inside")
    far = check_named_scores(outside, name="outside")
    num_inside, num_outside = (len(next(iter(part.values()))) for part in (near, far))
    codes = check_several_groups(inside_groups, num_inside, name="inside_groups")
    others = check_several_groups(outside_groups, num_outside, name="outside_groups")
    sides = {name: _sort_sides(near[name], far[name], codes, others) for name in near}
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in near}
    drawn = zip(
        few_resamples(int(codes.max()) + 1, num_resamples, seed=seed),
        few_resamples(int(others.max()) + 1, num_resamples, seed=_following(seed)),
        strict=True,
    )
    for counts, other_counts in drawn:
        for name, sorted_sides in sides.items():
            found[name].append(_detect(counts, other_counts, sorted_sides, true_positive_rate))
    return {
        name: ShiftResamples(
            whole[name].auroc, whole[name].false_positive_rate, *np.concatenate(parts, axis=1)
        )
        for name, parts in found.items()
    }


@dataclass(frozen=True)
class _SortedSides:
    """N images inside and M outside, each in rising order of one score.

    Attributes:
        inside: (N,), the group of each image inside.
        outside: (M,), of each image outside.
        below: (M,), how many inside images score less than each outside one.
        not_above: (M,), how many score no more.
        accepted: (N,), how many outside images score no more than each inside one.
    """

    inside: NDArray[np.int64]
    outside: NDArray[np.int64]
    below: NDArray[np.intp]
    not_above: NDArray[np.intp]
    accepted: NDArray[np.intp]


def _sort_sides(
    near: NDArray[np.float64],
    far: NDArray[np.float64],
    codes: NDArray[np.int64],
    others: NDArray[np.int64],
) -> _SortedSides:
    order, other_order = np.argsort(near, kind="stable"), np.argsort(far, kind="stable")
    near, far = near[order], far[other_order]
    return _SortedSides(
        codes[order],
        others[other_order],
        np.searchsorted(near, far, side="left"),
        np.searchsorted(near, far, side="right"),
        np.searchsorted(far, near, side="right"),
    )


def _detect(
    counts: NDArray[np.int64],
    other_counts: NDArray[np.int64],
    sides: _SortedSides,
    true_positive_rate: float,
) -> NDArray[np.float64]:
    """AUROC and false-positive rate (2, r) of groups that occur (r, G) and (r, H) times."""
    near, far = running_sum(counts, sides.inside), running_sum(other_counts, sides.outside)
    num_inside, num_outside = near[:, -1], far[:, -1]
    # per image outside: inside images below it, plus those not above it, is twice its wins
    wins = near[:, sides.below] + near[:, sides.not_above]
    auroc = (np.diff(far, axis=1) * wins).sum(axis=1) / (2.0 * num_inside * num_outside)
    wanted = np.maximum(1, np.ceil(true_positive_rate * num_inside - 1e-9))
    at_threshold = (near < wanted[:, np.newaxis]).sum(axis=1) - 1
    accepted = far[np.arange(len(far)), sides.accepted[at_threshold]]
    return np.stack([auroc, accepted / num_outside])


def _following(seed: int) -> int:
    """A seed of draws that are independent of those of `seed`."""
    return int(np.random.SeedSequence(seed).spawn(1)[0].generate_state(1)[0])
