"""Which cases a report holds, and the four lists of those that a reader should see first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescam.report import CaseList

__all__ = ["LOW_AGREEMENT", "JudgedMap", "choose_cases", "choose_lists", "map_remarks"]

LOW_AGREEMENT = 0.5
_REASONS = {
    "enrichment": "the map lies on the masked region less than evenly spread evidence would",
    "agreement": "the draws do not agree where to look: mean rank correlation below "
    f"{LOW_AGREEMENT}",
}
_LENGTH = 12


@dataclass(frozen=True)
class JudgedMap:
    """What is known of the map of the predicted class.

    Attributes:
        enrichment: energy in the mask over the mask's share of the image; None without mask.
        agreement: mean rank correlation of the draws; None where it is not known.
        has_evidence: whether the mean map is positive anywhere beyond chance.
    """

    enrichment: float | None = None
    agreement: float | None = None
    has_evidence: bool = True


def choose_cases(
    predictions: pd.DataFrame, num_cases: int, class_names: Sequence[str], *, seed: int
) -> NDArray[np.int64]:
    """Return the rows of the predictions that the report holds, the most uncertain first.

    Of more images than `num_cases`, half of the cases are the most uncertain, a quarter the most
    confident wrong ones, and the others are drawn at random.
    """
    entropy = predictions["predictive_entropy"].to_numpy()
    order = np.argsort(-entropy, kind="stable")
    if len(order) <= num_cases:
        return order
    confident = np.argsort(-predictions["confidence"].to_numpy(), kind="stable")
    wrong = (
        predictions["label"].isin(class_names) & (predictions["label"] != predictions["predicted"])
    ).to_numpy()
    anyone = np.random.default_rng(seed).permutation(len(order))
    parts = (
        order[: -(-num_cases // 2)],
        confident[wrong[confident]][: num_cases // 4],
        anyone,
    )
    chosen = pd.unique(np.concatenate(parts))[:num_cases]
    return chosen[np.argsort(-entropy[chosen], kind="stable")].astype(np.int64)


def choose_lists(facts: pd.DataFrame, *, seed: int, length: int = _LENGTH) -> list[CaseList]:
    """Return the lists of the front page.

    Args:
        facts: one row per case: `total` (nats), `wrong` (True, False or None), `confidence`,
            `enrichment` and `agreement` of `JudgedMap`, `listed` (whether lists may name it: not
            images that calibration was fitted on).
        seed: of the random sample.
        length: of each list, at most.
    """
    listed = facts["listed"].to_numpy(dtype=bool)
    wrong = np.array([value is True for value in facts["wrong"]])
    right = np.array([value is False for value in facts["wrong"]])
    suspicion = _suspicion(facts)
    anyone = np.random.default_rng(seed).permutation(len(facts))

    def first(score: NDArray[np.float64], among: NDArray[np.bool_]) -> tuple[int, ...]:
        order = np.argsort(-score, kind="stable")
        return tuple(int(row) for row in order[among[order]][:length])

    judged = {name: facts[name].notna().to_numpy() & listed & right for name in _REASONS}
    found = [
        CaseList(
            "Most uncertain",
            "Largest predictive entropy.",
            first(facts["total"].to_numpy(float), listed),
        )
    ]
    if wrong.any() or right.any():
        found += [
            CaseList(
                "Confidently wrong",
                "Called wrong, the most confident first.",
                first(facts["confidence"].to_numpy(float), listed & wrong),
            ),
            CaseList(
                "Right for the wrong reason?",
                _explain_suspicion(
                    {name: int(rows.sum()) for name, rows in judged.items()},
                    int((listed & right).sum()),
                ),
                first(suspicion, listed & right & (suspicion > 0)),
            ),
        ]
    sample = tuple(int(row) for row in anyone if listed[row])[:length]
    return [*found, CaseList("Random sample", "Drawn at random, for comparison.", sample)]


def map_remarks(judged: JudgedMap) -> tuple[str, ...]:
    """Return the flags of a case that speak of its map.

    Example:
        >>> map_remarks(JudgedMap(enrichment=0.4, agreement=0.9))
        ('map outside the mask',)
    """
    off, agreement = judged.enrichment, judged.agreement
    flags = {
        "no positive evidence": not judged.has_evidence,
        "map outside the mask": off is not None and off < 1.0,
        "unstable map": agreement is not None and agreement < LOW_AGREEMENT,
    }
    return tuple(name for name, holds in flags.items() if holds)


def _explain_suspicion(judged: Mapping[str, int], right: int) -> str:
    reasons = [f"{_REASONS[name]} ({n:,} of {right:,} judged)" for name, n in judged.items() if n]
    if not reasons:
        return (
            "Not assessed: that takes maps of the called class, and masks or the maps of single "
            "draws."
        )
    return f"Called right, but {', or '.join(reasons)}."


def _suspicion(facts: pd.DataFrame) -> NDArray[np.float64]:
    """Above 0 where the map is off the mask or unstable, and the larger the more it is so."""
    outside = (1.0 - facts["enrichment"].to_numpy(float)).clip(0.0)
    unstable = (1.0 - facts["agreement"].to_numpy(float) / LOW_AGREEMENT).clip(0.0)
    worst: NDArray[np.float64] = np.fmax(np.nan_to_num(outside), np.nan_to_num(unstable))
    return worst
