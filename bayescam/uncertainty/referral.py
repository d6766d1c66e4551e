"""Handing unsure cases to a reader: what remains, and how often the rest is right."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.types import InputError, check_share, check_whole_number
from bayescam.uncertainty.validation import check_flags, check_labels, check_scores

__all__ = [
    "ClassReferral",
    "RiskCoverage",
    "accuracy_at_referral",
    "class_at_referral",
    "risk_coverage",
    "risk_coverage_curves",
]


@dataclass(frozen=True)
class RiskCoverage:
    """The risk-coverage curve of one score over N images.

    Attributes:
        coverage: (N,), share of images kept: 1/N, 2/N, ..., 1.
        risk: (N,), share of wrong images among those kept.
        aurc: area under the curve, the mean of `risk` (Geifman et al. 2019).
    """

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    aurc: float

    @property
    def excess_aurc(self) -> float:
        """E-AURC: `aurc` minus that of a score that refers all wrong images first.

        Geifman et al. 2019, with the finite sum in place of their approximation
        `r + (1 - r) * log(1 - r)`: the best of N images with E errors has risk
        `max(0, i - (N - E)) / i` at the i-th image. Between 0 and 1.
        """
        num_images = len(self.risk)
        kept = np.arange(1, num_images + 1)
        errors = round(float(self.risk[-1]) * num_images)
        return self.aurc - float((np.maximum(0, kept - (num_images - errors)) / kept).mean())


@dataclass(frozen=True)
class ClassReferral:
    """What happens to the M images of one class as ever more images are referred.

    Numbers are expectations over a random choice among images tied at the border. `sensitivity`
    is a ratio of two expectations.

    Attributes:
        rates: (R,), share of all images referred.
        kept: (R,), share of the images of the class that are kept.
        sensitivity: (R,), share of those kept that are called so; NaN where none is kept.
        missed_silently: (R,), share of all M that are kept and called something else: no reader
            sees them. `kept * (1 - sensitivity)`.
        count: M. Where it is 0, everything is NaN.
    """

    rates: NDArray[np.float64]
    kept: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    missed_silently: NDArray[np.float64]
    count: int


def risk_coverage(uncertainty: ArrayLike, correct: ArrayLike) -> RiskCoverage:
    """Risk as ever less certain images are kept.

    Images of equal score are in no order: within such a run the errors are spread evenly, which
    is the mean over all orders of the run. So the curve does not depend on how images are listed,
    and a constant score gives the overall error rate everywhere.

    Args:
        uncertainty: (N,), larger is less sure and referred first (entropy, `1 - confidence`).
        correct: (N,), whether the prediction is right.

    Raises:
        InputError: wrong shapes, a score that is not finite, `correct` not boolean.

    Example:
        >>> curve = risk_coverage([0.1, 0.2, 0.3, 0.4], [True, True, True, False])
        >>> curve.risk
        array([0.  , 0.  , 0.  , 0.25])
    """
    score, right = check_referral(uncertainty, correct)
    kept = np.arange(1, len(score) + 1)
    risk = _expected_count(score, ~right)[1:] / kept
    return RiskCoverage(kept / len(score), risk, float(risk.mean()))


def risk_coverage_curves(
    scores: Mapping[str, ArrayLike], correct: ArrayLike
) -> dict[str, RiskCoverage]:
    """The risk-coverage curve of each score, by name, over the same images.

    Args:
        scores: name -> (N,), larger is less sure and referred first.
        correct: (N,), whether the prediction is right.

    Raises:
        InputError: no scores, or as `risk_coverage`, with the name of the score.
    """
    if not scores:
        raise InputError("`scores` must hold at least one score by name; it is empty.")
    curves = {}
    for name, values in scores.items():
        try:
            curves[name] = risk_coverage(values, correct)
        except InputError as error:
            raise InputError(f"Score {name!r}: {error}") from error
    return curves


def accuracy_at_referral(uncertainty: ArrayLike, correct: ArrayLike, rate: float) -> float:
    """Accuracy of what is kept when the share `rate` of least sure images is referred.

    Refers `floor(rate * N)` images, so never more than promised. Images tied at the border are
    treated as in `risk_coverage`: the expectation over a random choice among them.

    Args:
        uncertainty: (N,), larger is less sure and referred first.
        correct: (N,), whether the prediction is right.
        rate: share referred, in [0, 1).

    Raises:
        InputError: as `risk_coverage`, or `rate` outside [0, 1).
    """
    check_rates([rate])
    curve = risk_coverage(uncertainty, correct)
    return float(1.0 - curve.risk[_num_kept(rate, len(curve.risk)) - 1])


def class_at_referral(
    uncertainty: ArrayLike,
    predicted: ArrayLike,
    labels: ArrayLike,
    *,
    class_index: int,
    rates: Sequence[float],
) -> ClassReferral:
    """Sensitivity for one class, and how much of it is missed silently, at each referral rate.

    Refers `floor(rate * N)` images, the least sure first, with ties as in `accuracy_at_referral`.

    Args:
        uncertainty: (N,), larger is less sure and referred first.
        predicted: (N,), the class that the image is called, an index.
        labels: (N,), the right class, an index.
        class_index: the class of concern, such as melanoma; a warning says when no image is of it.
        rates: shares referred, each in [0, 1).

    Raises:
        InputError: wrong shapes, scores that are not finite, no class indices, rates outside
            [0, 1).

    Example:
        >>> result = class_at_referral(
        ...     [0.1, 0.2, 0.8, 0.9], [0, 1, 0, 1], [1, 1, 1, 0], class_index=1, rates=[0.0, 0.5]
        ... )
        >>> result.missed_silently.round(2), result.sensitivity.round(2)
        (array([0.67, 0.33]), array([0.33, 0.5 ]))
    """
    shares = check_rates(rates)
    check_class_index(class_index)
    score = check_scores(uncertainty, name="uncertainty")
    called, truth = check_calls(predicted, labels, len(score))
    of_class = truth == class_index
    found = of_class & (called == class_index)
    kept_images = np.array([_num_kept(rate, len(score)) for rate in rates], dtype=np.int64)
    kept = _expected_count(score, of_class)[kept_images]
    right = _expected_count(score, found)[kept_images]
    count = int(of_class.sum())
    if not count:
        warnings.warn(
            f"no image is of class {class_index} (`class_index`; `labels` go up to "
            f"{_highest(labels)}), so its referral is NaN",
            stacklevel=2,
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        missed = np.maximum(kept - right, 0.0) / count
        return ClassReferral(shares, kept / count, right / kept, missed, count)


def _expected_count(score: NDArray[np.float64], flag: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Expected flags among the 0, 1, ..., N surest images: straight lines across ties."""
    order = np.argsort(score, kind="stable")
    flags = np.concatenate([[0.0], np.cumsum(flag[order])])
    last_of_run = np.append(np.flatnonzero(np.diff(score[order])) + 1, len(score))
    knots = np.concatenate([[0], last_of_run])
    return np.interp(np.arange(len(score) + 1), knots, flags[knots])


def _num_kept(rate: float, num_images: int) -> int:
    return num_images - int(np.floor(rate * num_images + 1e-9))


def check_rates(rates: Sequence[float]) -> NDArray[np.float64]:
    """Referral rates as float64 (T,), each at least 0 and below 1."""
    for rate in rates:
        check_share("rate", rate, bounds="[)")
    return np.asarray(rates, dtype=np.float64)


def check_class_index(class_index: int) -> None:
    """Refuses the index of no class."""
    check_whole_number("class_index", class_index)


def check_calls(
    predicted: ArrayLike, labels: ArrayLike, num_images: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The class that each image is called, and the right one: indices, both (N,)."""
    truth = check_labels(labels, num_images, _highest(labels) + 1)
    return check_labels(predicted, num_images, _highest(predicted) + 1, name="predicted"), truth


def _highest(indices: ArrayLike) -> int:
    """The largest index; 0 where there is none, so that the check of indices can speak."""
    array = np.asarray(indices)
    return max(0, int(array.max())) if array.size and array.dtype.kind in "iu" else 0


def check_referral(
    uncertainty: ArrayLike, correct: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores as float64 and right calls as booleans, both (N,).

    Raises:
        InputError: wrong shapes, no images, a score that is not finite, `correct` not boolean.
    """
    score = check_scores(uncertainty, name="uncertainty")
    return score, check_flags(correct, len(score), name="correct")
