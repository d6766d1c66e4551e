"""What the rules say of single images: kept or referred, and which classes a set holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayescam.types import Array, InputError
from bayescam.workflows.judging import JudgedImages

__all__ = ["CaseDecision", "act_on_images", "describe_acting", "read_decisions", "read_scored"]

_SET_KINDS = ("marginal", "class_conditional")
_BETWEEN = ";"


@dataclass(frozen=True)
class CaseDecision:
    """What the rules make of one image.

    Attributes:
        called: the most probable class after the calibration of the rule.
        referred: whether a person must look.
        held: the classes of the marginal conformal set.
        lines: all of it in words, for its reader.
    """

    called: str
    referred: bool
    held: tuple[str, ...]
    lines: tuple[str, ...]


def act_on_images(
    images: JudgedImages,
    rule: dict[str, Any],
    conformal: dict[str, Any],
    names: tuple[str, ...],
) -> pd.DataFrame:
    """One row per image: what `referral_rule` and the LAC sets make of it.

    Args:
        images: judged after the calibration on which the thresholds stand.
        rule: of `referral_rule`.
        conformal: of `conformal_sets`.
        names: K names of classes.

    Returns:
        The columns that `describe_acting` explains.
    """
    score = images.scores[rule["score"]]
    sets = {kind: conformal["methods"]["lac"][kind]["by_class"] for kind in _SET_KINDS}
    return pd.DataFrame(
        {
            "rule_predicted": np.array(names, dtype=object)[images.predicted],
            "rule_score": score,
            "referred": ~(score < rule["threshold"]),
            **{
                f"set_lac_{kind}": _name_sets(
                    1.0 - images.mean_probs <= [by_class[name]["threshold"] for name in names],
                    names,
                )
                for kind, by_class in sets.items()
            },
        }
    )


def describe_acting(rule: dict[str, Any], conformal: dict[str, Any]) -> dict[str, str]:
    """What the columns of `act_on_images` mean, with the numbers that were asked for."""
    promised, risk = f"{conformal['coverage_promised']:.4g}", f"{rule['target_risk']:.4g}"
    return {
        "confidence": "probability of `predicted`, after `calibration`",
        "rule_predicted": "the most probable class after `threshold_calibration`; what the rule "
        "and the sets speak of",
        "rule_score": f"{rule['score']} after `threshold_calibration`",
        "referred": "whether the image goes to a reader: `rule_score` is not below the threshold "
        f"of `referral_rule`, of target risk {risk}",
        "set_lac_marginal": "classes of the LAC set with one threshold, after "
        f"`threshold_calibration`, names joined by '{_BETWEEN}'; coverage {promised} over all "
        "images; empty where no class is probable enough",
        "set_lac_class_conditional": "the same with a threshold per class; coverage "
        f"{promised} within each class",
    }


def read_decisions(folder: Path, evaluation: dict[str, Any]) -> dict[str, CaseDecision]:
    """What the evaluation of an analysis folder says of each scored image, by its id."""
    if evaluation.get("acting") is None:
        return {}
    table = read_scored(folder)
    rule, coverage = evaluation["referral_rule"], evaluation["conformal"]["coverage_promised"]
    return {
        row["image_id"]: _decide(row, rule, coverage, evaluation["class_names"])
        for _, row in table.iterrows()
    }


def read_scored(folder: Path) -> pd.DataFrame:
    """The rows of all scored images, with values as they are.

    Raises:
        InputError: the folder was evaluated by an older bayescam.
    """
    path = folder / "tables" / "images.parquet"
    if not path.exists():
        raise InputError(f"{path} is missing: run bayescam evaluate {folder} again")
    return pd.read_parquet(path)


def _decide(
    row: pd.Series, rule: dict[str, Any], coverage: float, names: Sequence[str]
) -> CaseDecision:
    within = f"{_BETWEEN}{row['set_lac_marginal']}{_BETWEEN}"
    held = tuple(name for name in names if f"{_BETWEEN}{name}{_BETWEEN}" in within)
    lines = (
        f"Calibrated: {row['predicted']} at {row['confidence']:.3f}",
        _describe_referral(row["rule_predicted"], row["rule_score"], rule),
        f"Set at {100 * coverage:.4g} %: {', '.join(held) or 'no class is probable enough'}",
    )
    return CaseDecision(row["rule_predicted"], bool(row["referred"]), held, lines)


def _describe_referral(called: str, score: float, rule: dict[str, Any]) -> str:
    target = f"target risk {100 * rule['target_risk']:.4g} %"
    if rule["keeps"] == "none":
        return f"Referred, as every image: no threshold is good enough ({target})"
    if rule["keeps"] == "all":
        return f"Kept as {called}, as every image is kept ({target})"
    threshold, name = rule["threshold"], rule["score"].replace("confidence", "p")
    what = f"Kept as {called}" if score < threshold else "Referred"
    side = "below" if score < threshold else "above" if score > threshold else "at"
    return f"{what}: {name} = {score:.4f} {side} the threshold {threshold:.4f} ({target})"


def _name_sets(sets: Array, names: tuple[str, ...]) -> list[str]:
    return [
        _BETWEEN.join(name for name, held in zip(names, row, strict=True) if held) for row in sets
    ]
