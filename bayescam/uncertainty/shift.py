"""How well a score finds images unlike the training images.

Throughout, a larger score means more unlike the training images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import roc_auc_score

from bayescam.types import InputError, check_share
from bayescam.uncertainty.validation import check_scores

__all__ = [
    "ShiftDetection",
    "detect_shift",
    "detect_shift_by_score",
]


@dataclass(frozen=True)
class ShiftDetection:
    """How well one score tells images from elsewhere (outside) from ordinary ones (inside).

    Attributes:
        auroc: probability that an outside image scores higher than an inside one, ties half;
            0.5 says nothing, below 0.5 the direction is reversed.
        false_positive_rate: share of outside images taken for inside ones, that is with a score at
            most `threshold` (Liang et al. 2018, "FPR at 95 % TPR").
        true_positive_rate: share of inside images taken for inside ones; with ties above the rate
            asked for.
        threshold: the smallest score at which that rate is reached.
    """

    auroc: float
    false_positive_rate: float
    true_positive_rate: float
    threshold: float


def detect_shift(
    inside: ArrayLike, outside: ArrayLike, *, true_positive_rate: float = 0.95
) -> ShiftDetection:
    """How well a score tells outside images from inside ones.

    The direction: larger scores mean outside. For the area, outside images are the positives; for
    the false-positive rate, as Liang et al. 2018 have it, inside images are the
    positives, accepted up to a threshold, and outside images that are accepted are the false ones.
    Images tied at the threshold are all accepted, as a threshold must do: a constant score has a
    rate of 1.

    Args:
        inside: (N,), scores of ordinary images.
        outside: (M,), scores of images from elsewhere.
        true_positive_rate: least share of inside images to accept, in (0, 1].

    Raises:
        InputError: scores that are empty or not finite, a rate outside (0, 1].

    Example:
        >>> detect_shift([1, 2, 3, 4], [3, 5, 6, 7], true_positive_rate=0.75)
        ShiftDetection(auroc=0.90625, false_positive_rate=0.25, true_positive_rate=0.75,
        threshold=3.0)
    """
    ordinary, foreign = check_scores(inside, name="inside"), check_scores(outside, name="outside")
    check_share("true_positive_rate", true_positive_rate, bounds="(]")
    is_outside = np.repeat([False, True], [len(ordinary), len(foreign)])
    accepted = max(1, int(np.ceil(true_positive_rate * len(ordinary) - 1e-9)))
    threshold = np.partition(ordinary, accepted - 1)[accepted - 1]
    return ShiftDetection(
        auroc=float(roc_auc_score(is_outside, np.concatenate([ordinary, foreign]))),
        false_positive_rate=float((foreign <= threshold).mean()),
        true_positive_rate=float((ordinary <= threshold).mean()),
        threshold=float(threshold),
    )


def detect_shift_by_score(
    inside: Mapping[str, ArrayLike],
    outside: Mapping[str, ArrayLike],
    *,
    true_positive_rate: float = 0.95,
) -> dict[str, ShiftDetection]:
    """`detect_shift` of each score, by name.

    Args:
        inside: name -> (N,), scores of ordinary images.
        outside: the same names -> (M,), scores of images from elsewhere.
        true_positive_rate: as in `detect_shift`.

    Raises:
        InputError: other names outside than inside, or as `detect_shift`.
    """
    if not inside or set(inside) != set(outside):
        raise InputError(
            f"`inside` and `outside` must hold the same scores, at least one; got "
            f"{sorted(inside)} and {sorted(outside)}."
        )
    return {
        name: detect_shift(values, outside[name], true_positive_rate=true_positive_rate)
        for name, values in inside.items()
    }
