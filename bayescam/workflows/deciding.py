"""Referral rule and conformal sets: thresholds on some validation groups, reported on the test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bayescam.types import Array
from bayescam.uncertainty import Calibration
from bayescam.workflows.acting import act_on_images, describe_acting
from bayescam.workflows.calibrating import fit_rows
from bayescam.workflows.judging import judge_images
from bayescam.workflows.parts import EvaluationParts
from bayescam.workflows.referral import referral_rule
from bayescam.workflows.sets import conformal_sets

__all__ = ["Decisions", "decide"]


@dataclass(frozen=True, eq=False)
class Decisions:
    """What is decided on the scored images; all None where no validation groups are left for it.

    Attributes:
        fit: the calibration of one half of the validation groups.
        rule: see `referral_rule`; its threshold and those of the sets are of the other half.
        conformal: see `conformal_sets`.
        acting: what the columns mean.
        columns: one row per scored image, see `act_on_images`.
        notes: what a reader should know.
    """

    fit: Calibration | None = None
    rule: dict[str, Any] | None = None
    conformal: dict[str, Any] | None = None
    acting: dict[str, str] | None = None
    columns: pd.DataFrame = field(default_factory=pd.DataFrame)
    notes: tuple[str, ...] = ()


def decide(
    parts: EvaluationParts,
    stratum_of: Array | None,
    concern: int | None,
    *,
    coverage: float,
    target_risk: float,
    seed: int,
) -> Decisions:
    """Return the decisions on the scored images.

    Args:
        parts: which images fit, give thresholds and are scored.
        stratum_of: stratum of each scored image, by which coverage is split, or None.
        concern: class whose silent misses are counted, or None.
        coverage: promised share of conformal sets that hold the right class.
        target_risk: error rate among kept images that the rule must not exceed.
        seed: of the images that stand for their groups, and of the randomised sets.
    """
    if not len(parts.guaranteeing):
        return Decisions()
    names = parts.analysis.class_names
    fit, said = fit_rows(parts, parts.first_half)
    notes = [f"Half of the validation groups: {line}" for line in said]
    held_out = judge_images(parts.fitting, parts.guaranteeing, fit)
    scored = judge_images(parts.analysis, parts.scored, fit)
    conformal, said = conformal_sets(
        held_out, scored, names, coverage=coverage, strata=stratum_of, seed=seed
    )
    rule = referral_rule(held_out, scored, target_risk=target_risk, concern=concern, seed=seed)
    notes += said + ([rule["guarantee"]] if rule["keeps"] == "none" else [])
    columns = act_on_images(scored, rule, conformal, names)
    acting = describe_acting(rule, conformal)
    return Decisions(fit, rule, conformal, acting, columns, tuple(notes))
