"""A referral threshold with a guarantee: what is kept is wrong at most as often as promised."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

from bayescam.types import check_share, check_whole_number
from bayescam.uncertainty.exchangeability import Names, refuse_repeated_groups
from bayescam.uncertainty.referral import check_referral
from bayescam.uncertainty.validation import check_scores

__all__ = ["ReferralRule", "fit_referral_rule"]


@dataclass(frozen=True)
class ReferralRule:
    """Keep an image if its uncertainty is below the threshold; refer it otherwise.

    Attributes:
        threshold: infinite where everything is kept, minus infinity where everything is referred.
        target_risk: what the risk among kept images must not exceed.
        delta: the probability with which it may exceed it all the same.
        risk_bound: upper bound of the risk at this threshold, at most `target_risk`; NaN where
            everything is referred.
        risk: share of wrong images among the kept validation images, NaN where there is none.
        coverage: share of the validation images that are kept.
    """

    threshold: float
    target_risk: float
    delta: float
    risk_bound: float
    risk: float
    coverage: float

    def keeps(self, uncertainty: ArrayLike) -> NDArray[np.bool_]:
        """Whether each image is kept: (N,), for the same score as in the fit."""
        return check_scores(uncertainty, name="uncertainty") < self.threshold


def fit_referral_rule(
    uncertainty: ArrayLike,
    correct: ArrayLike,
    *,
    target_risk: float,
    delta: float = 0.05,
    num_candidates: int = 20,
    groups: Names | None = None,
) -> ReferralRule:
    """The threshold that keeps most images while the risk among them is at most `target_risk`.

    Guarantee: with probability at least `1 - delta` over the validation images, a new image that
    is kept is wrong with probability at most `target_risk`. It needs independent images of one
    distribution, the same for validation and use: one image a lesion, not used in training. It
    says nothing about single classes, and nothing where everything is referred.

    Selection with guaranteed risk (Geifman and El-Yaniv 2017, algorithm 1) with the exact binomial
    bound of their lemma 3.1 (Clopper and Pearson 1934). In place of their binary search, whose
    steps depend on the errors seen, M coverages fixed beforehand are all tried, each with
    `delta / M` (Bonferroni): thresholds are the order statistics at `m / M` of the validation
    scores, and the whole. Given the number of images strictly below an order statistic, their
    errors are binomial, whatever the ties; so only images strictly below are kept and counted.

    Args:
        uncertainty: (N,), larger is less sure and referred first.
        correct: (N,), whether the prediction is right. Any yes-or-no loss will do, such as
            "not a melanoma called something else".
        target_risk: largest tolerated share of wrong images among those kept, in (0, 1).
        delta: probability of failure, in (0, 1).
        num_candidates: M, fixed before looking at the data.
        groups: (N,), lesions or patients; refused unless each has one image.

    Returns:
        The rule. Where no threshold is good enough everything is referred, with a warning.

    Raises:
        InputError: bad scores or booleans, numbers outside their range, repeated groups.

    Example:
        >>> score = np.arange(1000) / 1000
        >>> rule = fit_referral_rule(score, score < 0.6, target_risk=0.05)
        >>> rule.threshold, rule.coverage, round(rule.risk_bound, 4)
        (0.6, 0.6, 0.0099)
    """
    score, right = check_referral(uncertainty, correct)
    _check_numbers(target_risk, delta, num_candidates)
    if groups is not None:
        refuse_repeated_groups(groups, len(score))
    thresholds, kept, errors = _candidates(score, right, num_candidates)
    bounds = _upper_bound(errors, kept, delta / num_candidates)
    good = np.flatnonzero(bounds <= target_risk)
    if not good.size:
        warnings.warn(
            f"no threshold keeps the risk below {target_risk:g} with probability {1 - delta:g} "
            f"on {len(score)} images, so everything is referred",
            stacklevel=2,
        )
        return ReferralRule(-np.inf, target_risk, delta, np.nan, np.nan, 0.0)
    best = good[-1]
    return ReferralRule(
        threshold=float(thresholds[best]),
        target_risk=target_risk,
        delta=delta,
        risk_bound=float(bounds[best]),
        risk=float(errors[best] / kept[best]),
        coverage=float(kept[best] / len(score)),
    )


def _candidates(
    score: NDArray[np.float64], right: NDArray[np.bool_], num_candidates: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Thresholds (M,) from strict to keeping all, images strictly below, errors among these."""
    order = np.argsort(score, kind="stable")
    ordered, errors = score[order], np.concatenate([[0], np.cumsum(~right[order])])
    place = (np.arange(1, num_candidates) * len(score)) // num_candidates
    thresholds = np.append(ordered[place], np.inf)
    kept = np.searchsorted(ordered, thresholds, side="left")
    return thresholds, kept, errors[kept]


def _upper_bound(
    errors: NDArray[np.int64], trials: NDArray[np.int64], delta: float
) -> NDArray[np.float64]:
    """Clopper-Pearson: the largest risk with `P(Binomial(trials, risk) <= errors) >= delta`."""
    certain = errors < trials
    bound = np.ones(len(errors))
    bound[certain] = beta.ppf(1.0 - delta, errors[certain] + 1, (trials - errors)[certain])
    return bound


def _check_numbers(target_risk: float, delta: float, num_candidates: int) -> None:
    for name, value in (("target_risk", target_risk), ("delta", delta)):
        check_share(name, value)
    check_whole_number("num_candidates", num_candidates, least=1)
