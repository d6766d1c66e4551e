"""Handing unsure cases to a reader: what remains, and how often the rest is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.types import InputError

__all__ = ["RiskCoverage", "accuracy_at_referral", "risk_coverage"]


@dataclass(frozen=True)
class RiskCoverage:
    """The risk-coverage curve of one score over N images.

    Attributes:
        coverage: (N,), share of images kept: 1/N, 2/N, ..., 1.
        risk: (N,), share of wrong images among those kept.
        aurc: area under the curve, the mean of `risk` (Geifman et al. 2019, equation 2).
    """

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    aurc: float


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
    score, right = _check(uncertainty, correct)
    kept = np.arange(1, len(score) + 1)
    risk = _expected_errors(score, right) / kept
    return RiskCoverage(kept / len(score), risk, float(risk.mean()))


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
    if not 0.0 <= rate < 1.0:
        hint = " Is it a percentage?" if rate > 1 else ""
        raise InputError(f"`rate` must be at least 0 and below 1; got {rate}.{hint}")
    curve = risk_coverage(uncertainty, correct)
    num_images = len(curve.risk)
    referred = int(np.floor(rate * num_images + 1e-9))
    return float(1.0 - curve.risk[num_images - referred - 1])


def _expected_errors(score: NDArray[np.float64], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Expected errors among the 1, 2, ..., N surest images: straight lines across ties."""
    order = np.argsort(score, kind="stable")
    errors = np.concatenate([[0.0], np.cumsum(~right[order])])
    last_of_run = np.append(np.flatnonzero(np.diff(score[order])) + 1, len(score))
    knots = np.concatenate([[0], last_of_run])
    return np.interp(np.arange(1, len(score) + 1), knots, errors[knots])


def _check(
    uncertainty: ArrayLike, correct: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    score, right = np.asarray(uncertainty, dtype=np.float64), np.asarray(correct)
    if score.ndim != 1 or len(score) == 0 or not np.isfinite(score).all():
        raise InputError(
            f"`uncertainty` must be one finite number an image; got shape {score.shape}."
        )
    if right.shape != score.shape or right.dtype != np.bool_:
        raise InputError(
            f"`correct` must be {len(score)} booleans, one an image; got {right.dtype} of shape "
            f"{right.shape}. Are these labels?"
        )
    return score, right
