"""What `bayescam evaluate` prints: the tables that matter most, and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from bayescam.report import merge_intervals, to_text
from bayescam.workflows.tables import evaluation_tables

__all__ = ["describe_evaluation"]


def describe_evaluation(evaluation: Mapping[str, Any]) -> str:
    """The text for a terminal, from the content of `evaluation.json`."""
    return "\n".join(_paragraphs(evaluation))


def _paragraphs(evaluation: Mapping[str, Any]) -> Iterator[str]:
    tables = {name: merge_intervals(part) for name, part in evaluation_tables(evaluation).items()}
    scored, best = evaluation["scored"], evaluation["best"]
    yield f"{scored['split']}: {scored['num_images']} images of {scored['num_groups']} groups"
    yield to_text(tables["scores"])
    yield f"\nby class ({best})\n" + to_text(tables["classes"])
    accuracy = tables["referral"].filter(regex="accuracy, (?!0 %)")
    yield f"\naccuracy of what is kept when the least sure are referred ({best})\n" + _short(
        accuracy
    )
    if "concern" in tables:
        concern = evaluation["class_of_concern"]
        yield f"\n{concern} kept and called something else ({best})\n" + _short(tables["concern"])
    if evaluation["referral_rule"] is not None:
        yield "\n" + _rule(evaluation["referral_rule"])
    if "conformal" in tables:
        promised = evaluation["conformal"]["coverage_promised"]
        yield f"\nconformal sets, {promised:.0%} promised\n" + to_text(tables["conformal"])
    if "strata" in tables:
        yield f"\nby {evaluation['strata']['column']} ({best})\n" + to_text(tables["strata"])
    if "ood" in tables:
        yield f"\nimages from elsewhere told apart ({best})\n" + to_text(tables["ood"])


def _short(table: pd.DataFrame) -> str:
    """The table with the rates alone above its columns: what they are of is said before."""
    return to_text(table.rename(columns=lambda name: str(name).rpartition(", ")[2]))


def _rule(rule: Mapping[str, Any]) -> str:
    if rule["keeps"] == "none":
        return f"referral rule: {rule['guarantee']}"
    test = rule["test"]
    which = "all" if rule["keeps"] == "all" else f"{rule['score']} below {rule['threshold']:.3f}"
    return (
        f"referral rule: keep {which}. On the scored images {test['coverage']:.1%} are kept, and "
        f"{test['risk'] or 0.0:.1%} of these are wrong. {rule['guarantee']}"
    )
