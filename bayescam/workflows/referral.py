"""Referral: what remains when the least sure images go to a reader, score by score."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayescam.types import InputError
from bayescam.uncertainty import (
    AurcResamples,
    ReferralResamples,
    accuracy_at_referral,
    bootstrap_at_referral,
    bootstrap_aurc,
    class_at_referral,
    fit_referral_rule,
    risk_coverage,
)
from bayescam.workflows.judging import JudgedImages
from bayescam.workflows.scores import resampled_interval

__all__ = ["REFERRAL_RATES", "RULE_SCORE", "find_class", "referral_by_score", "referral_rule"]

REFERRAL_RATES = (0.05, 0.1, 0.2, 0.35, 0.5)
RULE_SCORE = "1 - confidence"
_RATES = (0.0, *REFERRAL_RATES)


def find_class(name: str | None, class_names: Sequence[str]) -> int | None:
    """The index of the class of concern; None where none is named.

    Raises:
        InputError: no class of the model.
    """
    if name is None:
        return None
    if name not in class_names:
        raise InputError(
            f"the class of concern must be one of {', '.join(class_names)}; got {name!r}"
        )
    return list(class_names).index(name)


def referral_by_score(
    judged: JudgedImages, concern: int | None, *, seed: int
) -> dict[str, dict[str, Any]]:
    """Of each score: `aurc`, `excess_aurc`, `accuracy_at_referral` by rate, and `concern`.

    `concern` is None without a class of concern; else by rate the share of its images that is
    `kept`, `sensitivity` among those kept, and `missed_silently`, the share of all its images that
    are kept and called something else. Rates are 0 and `REFERRAL_RATES`.

    Each number is `estimate, lower, upper`, of the bootstrap over groups; one group has no bounds.
    Where no error is seen no resample has one, so the bounds of a share of 0 are 0 as well.
    """
    areas: dict[str, AurcResamples] = {}
    kept: dict[str, ReferralResamples] = {}
    if len(set(judged.groups)) > 1:
        areas = bootstrap_aurc(judged.scores, judged.correct, judged.groups, seed=seed)
        kept = bootstrap_at_referral(
            judged.scores,
            judged.predicted,
            judged.labels,
            judged.groups,
            class_index=concern,
            rates=_RATES,
            seed=seed,
        )
    return {
        name: _areas(judged, name, areas.get(name)) | _rates(judged, name, concern, kept.get(name))
        for name in judged.scores
    }


def _areas(judged: JudgedImages, score: str, resampled: AurcResamples | None) -> dict[str, Any]:
    curve = risk_coverage(judged.scores[score], judged.correct)
    return {
        name: resampled_interval(
            getattr(curve, name), getattr(resampled, f"{name}_resamples", None)
        )
        for name in ("aurc", "excess_aurc")
    }


def _rates(
    judged: JudgedImages, score: str, concern: int | None, resampled: ReferralResamples | None
) -> dict[str, Any]:
    values, of_class = judged.scores[score], None
    accuracy = [accuracy_at_referral(values, judged.correct, rate) for rate in _RATES]
    if concern is not None:
        found = class_at_referral(
            values, judged.predicted, judged.labels, class_index=concern, rates=_RATES
        )
        of_class = {
            name: _by_rate(getattr(found, name), getattr(resampled, f"{name}_resamples", None))
            for name in ("kept", "sensitivity", "missed_silently")
        }
    of_all = _by_rate(accuracy, getattr(resampled, "accuracy_resamples", None))
    return {"accuracy_at_referral": of_all, "concern": of_class}


def _by_rate(
    estimates: Sequence[float], resamples: NDArray[np.float64] | None
) -> dict[str, dict[str, float | None]]:
    """The intervals of T estimates with resamples (R, T), by rate."""
    columns = [None] * len(_RATES) if resamples is None else resamples.T
    return {
        str(rate): resampled_interval(estimate, column)
        for rate, estimate, column in zip(_RATES, estimates, columns, strict=True)
    }


def referral_rule(
    validation: JudgedImages,
    test: JudgedImages,
    *,
    target_risk: float,
    concern: int | None,
    seed: int,
    delta: float = 0.05,
) -> dict[str, Any]:
    """A threshold fitted on validation images, its guarantee in words, and what it does on test.

    Args:
        validation: one image of each group, none used for fitting anything else.
        test: the scored images.
        target_risk: tolerated share of wrong images among those kept.
        concern: class index whose silent misses are counted, or None.
        seed: of the image that stands for its group on test.
        delta: the share of repetitions in which the guarantee may fail.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what it says is the guarantee in words
        rule = fit_referral_rule(
            validation.scores[RULE_SCORE],
            validation.correct,
            target_risk=target_risk,
            delta=delta,
            groups=validation.groups,
        )
    alone = test.take(test.one_per_group(seed))
    keeps = {np.inf: "all", -np.inf: "none"}.get(rule.threshold, "below threshold")
    return {
        "score": RULE_SCORE,
        "target_risk": target_risk,
        "delta": delta,
        "threshold": rule.threshold,
        "keeps": keeps,
        "risk_bound": rule.risk_bound,
        "guarantee": _guarantee(keeps, target_risk, delta),
        "validation": {
            "num_images": len(validation.labels),
            "coverage": rule.coverage,
            "risk": rule.risk,
        },
        "test_one_per_group": _apply(alone, rule.keeps(alone.scores[RULE_SCORE]), None),
        "test": _apply(test, rule.keeps(test.scores[RULE_SCORE]), concern),
    }


def _guarantee(keeps: str, target_risk: float, delta: float) -> str:
    if keeps == "none":
        return (
            f"No threshold keeps the error rate at or below {target_risk:.1%} with probability "
            f"{1 - delta:.0%} on these validation images: everything is referred, nothing promised."
        )
    return (
        f"With probability at least {1 - delta:.0%} over the choice of the validation images, a "
        f"new image that is kept is wrong with probability at most {target_risk:.1%}. This holds "
        "for one image of each group (lesion, patient), drawn as the validation images were, not "
        "for single classes, nor for another clinic. Validation images also served to stop "
        "training, which the promise takes no account of."
    )


def _apply(images: JudgedImages, kept: NDArray[np.bool_], concern: int | None) -> dict[str, Any]:
    """What happens to some images when only those of `kept` are not referred."""
    wrong = ~images.correct
    found: dict[str, Any] = {
        "num_images": len(kept),
        "coverage": kept.mean(),
        "risk": wrong[kept].mean() if kept.any() else float("nan"),
    }
    if concern is not None:
        of_class = images.labels == concern
        share = (kept & wrong)[of_class].mean() if of_class.any() else float("nan")
        found |= {"concern_images": of_class.sum(), "missed_silently": share}
    return found
