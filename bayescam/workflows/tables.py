"""`evaluation.json` as tables: numbers for CSV, with intervals side by side; text for Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bayescam.report import merge_intervals, to_markdown
from bayescam.uncertainty import CALIBRATION_SCORES, OVERALL_SCORES
from bayescam.workflows.folders import write_atomically, write_table, write_text

__all__ = ["evaluation_tables", "scores_table", "write_tables"]

_CLASS_SCORES = ("auc", "sensitivity", "specificity")
_BOUNDS = {"estimate": "", "lower": "_lower", "upper": "_upper"}


def scores_table(evaluation: Mapping[str, Any]) -> pd.DataFrame:
    """The overall scores with intervals as text, one column for raw and one for calibrated."""
    return merge_intervals(_scores(evaluation))


def evaluation_tables(evaluation: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Every table by name, numbers only; tables of what was not computed are left out.

    `scores`, `classes`, `referral`, `measures` and `class_measures` are always there; `concern`,
    `conformal`, `conformal_classes`, `conformal_strata`, `strata` and `ood` where asked for.
    """
    best = evaluation["best"]
    tables = {
        "scores": _scores(evaluation),
        "classes": _classes(evaluation["scores"][best], evaluation["scored"]["classes"]),
        "referral": _referral(evaluation["referral"][best]),
        "measures": _indexed(evaluation["measures"]["scores"], "score"),
        "class_measures": _indexed(evaluation["measures"]["classes"], "class"),
        "concern": _concern(evaluation["referral"][best], evaluation["class_of_concern"]),
        "strata": _strata(evaluation["strata"]),
        **_conformal(evaluation["conformal"], evaluation["strata"]),
        "ood": _ood(evaluation["ood"], best),
    }
    return {name: table for name, table in tables.items() if table is not None}


def write_tables(evaluation: Mapping[str, Any], images: pd.DataFrame, folder: Path) -> None:
    """Write every table as CSV and Markdown, and `images.csv`, one row per scored image."""
    folder.mkdir(exist_ok=True)
    for old in (*folder.glob("*.csv"), *folder.glob("*.md")):
        old.unlink()
    for name, table in evaluation_tables(evaluation).items():
        write_table(folder / f"{name}.csv", table.reset_index())
        text = to_markdown(merge_intervals(table)) + "\n"
        write_text(folder / f"{name}.md", text)
    write_atomically(
        folder / "images.csv",
        lambda file: images.to_csv(file, index=False, float_format="%.6g"),
    )


def _scores(evaluation: Mapping[str, Any]) -> pd.DataFrame:
    rows = {
        score: {
            state + suffix: found[score][bound]
            for state, found in evaluation["scores"].items()
            for bound, suffix in _BOUNDS.items()
        }
        for score in (*OVERALL_SCORES, *CALIBRATION_SCORES)
    }
    return _indexed(rows, "score")


def _classes(scores: Mapping[str, Any], counts: Mapping[str, int]) -> pd.DataFrame:
    rows = {
        name: {
            score + suffix: scores[f"{score}_{name}"][bound]
            for score in _CLASS_SCORES
            for bound, suffix in _BOUNDS.items()
        }
        for name in counts
    }
    table = _indexed(rows, "class")
    table.insert(0, "images", list(counts.values()))
    return table


def _referral(scores: Mapping[str, Any]) -> pd.DataFrame:
    rows = {
        name: {
            **{f"aurc{suffix}": found["aurc"][bound] for bound, suffix in _BOUNDS.items()},
            **{
                f"excess_aurc{suffix}": found["excess_aurc"][bound]
                for bound, suffix in _BOUNDS.items()
            },
            **{
                f"accuracy at {_percent(rate)}": accuracy
                for rate, accuracy in found["accuracy_at_referral"].items()
            },
        }
        for name, found in scores.items()
    }
    return _indexed(rows, "score")


def _concern(scores: Mapping[str, Any], concern: str | None) -> pd.DataFrame | None:
    if concern is None:
        return None
    rows = {
        name: {
            f"missed at {_percent(rate)}": share
            for rate, share in found["concern"]["missed_silently"].items()
        }
        | {
            f"sensitivity at {_percent(rate)}": share
            for rate, share in found["concern"]["sensitivity"].items()
        }
        for name, found in scores.items()
    }
    return _indexed(rows, "score")


def _strata(strata: Mapping[str, Any] | None) -> pd.DataFrame | None:
    if strata is None:
        return None
    rows = {
        name: {
            "images": found["num_images"],
            "groups": found["num_groups"],
            **{
                score + suffix: values[bound]
                for score, values in found["scores"].items()
                for bound, suffix in _BOUNDS.items()
            },
            "note": "few images" if found["few"] else "",
        }
        for name, found in strata["strata"].items()
    }
    return _indexed(rows, strata["column"])


def _conformal(
    conformal: Mapping[str, Any] | None, strata: Mapping[str, Any] | None
) -> dict[str, pd.DataFrame | None]:
    if conformal is None:
        return {}
    sets = {
        f"{method} {kind}": found
        for method, kinds in conformal["methods"].items()
        for kind, found in kinds.items()
    }
    rows = {
        name: {
            "coverage": found["coverage"],
            "band_low": (found["band"] or (None, None))[0],
            "band_high": (found["band"] or (None, None))[1],
            "mean_size": found["mean_size"],
            "empty": found["empty"],
            "images": found["num_images"],
            "coverage_all_images": found["all_images"]["coverage"],
        }
        for name, found in sets.items()
    }
    tables = {
        "conformal": _indexed(rows, "sets"),
        "conformal_classes": _coverage(sets, "by_class", "class"),
    }
    if strata is not None:
        tables["conformal_strata"] = _coverage(sets, "by_stratum", strata["column"])
    return dict(tables)


def _coverage(sets: Mapping[str, Any], by: str, index: str) -> pd.DataFrame:
    """Coverage by class or stratum, a column for each kind of sets."""
    parts = next(iter(sets.values()))[by]
    rows = {
        part: {
            "images": parts[part]["num_images"],
            **{name: found[by][part]["coverage"] for name, found in sets.items()},
        }
        for part in parts
    }
    return _indexed(rows, index)


def _ood(ood: Mapping[str, Any] | None, best: str) -> pd.DataFrame | None:
    if ood is None:
        return None
    rows = {
        name: {
            "auroc": found["auroc"],
            "false positives at 95 % kept": found["false_positive_rate"],
        }
        for name, found in ood["detection"][best].items()
    }
    return _indexed(rows, "score")


def _indexed(rows: Mapping[str, Mapping[str, Any]], name: str) -> pd.DataFrame:
    table = pd.DataFrame.from_dict(dict(rows), orient="index")
    for column in table:
        if table[column].dtype == object and table[column].isna().any():
            table[column] = pd.to_numeric(table[column])
    table.index.name = name
    return table


def _percent(rate: str) -> str:
    return f"{float(rate):.0%}"
