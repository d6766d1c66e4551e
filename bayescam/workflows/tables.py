"""`evaluation.json` as tables: numbers for CSV, with intervals side by side; text for Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bayescam.report import merge_intervals, to_markdown
from bayescam.uncertainty import CALIBRATION_SCORES, OVERALL_SCORES
from bayescam.workflows.folders import write_table, write_text

__all__ = ["EVALUATION_SCHEMA", "evaluation_tables", "scores_table", "write_tables"]

EVALUATION_SCHEMA = (
    2  # of `evaluation.json`, which the tables read; 1 had numbers without intervals
)
_CLASS_SCORES = ("auc", "sensitivity", "specificity")


def scores_table(evaluation: Mapping[str, Any]) -> pd.DataFrame:
    """The overall scores with intervals as text, one column for raw and one for calibrated."""
    return merge_intervals(_scores(evaluation))


def evaluation_tables(evaluation: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Every table by name, numbers only; tables of what was not computed are left out.

    `scores`, `classes`, `referral`, `measures` and `class_measures` are always there; `concern`
    (silent misses), `concern_sensitivity`, `conformal`, `conformal_classes`, `conformal_strata`,
    `strata` and `ood` where asked for.
    """
    best = evaluation["best"]
    tables = {
        "scores": _scores(evaluation),
        "classes": _classes(evaluation["scores"][best], evaluation["scored"]["classes"]),
        "referral": _referral(evaluation["referral"][best]),
        "measures": _indexed(evaluation["measures"]["scores"], "score"),
        "class_measures": _indexed(evaluation["measures"]["classes"], "class"),
        **_concern(evaluation["referral"][best], evaluation["class_of_concern"]),
        "strata": _strata(evaluation["strata"]),
        **_conformal(evaluation["conformal"], evaluation["strata"]),
        "ood": _ood(evaluation["ood"], best),
    }
    return {name: table for name, table in tables.items() if table is not None}


def write_tables(evaluation: Mapping[str, Any], images: pd.DataFrame, folder: Path) -> None:
    """Write every table as CSV and Markdown, and `images`, one row per scored image.

    `images.csv` is for the eye, with cells that no spreadsheet takes for a formula;
    `images.parquet` has the values as they are.
    """
    folder.mkdir(exist_ok=True)
    for old in (path for kind in ("csv", "md", "parquet") for path in folder.glob(f"*.{kind}")):
        old.unlink()
    for name, table in evaluation_tables(evaluation).items():
        write_table(folder / f"{name}.csv", table.reset_index())
        text = to_markdown(merge_intervals(table)) + "\n"
        write_text(folder / f"{name}.md", text)
    write_table(folder / "images.csv", images, float_format="%.6g")
    write_table(folder / "images.parquet", images)


def _scores(evaluation: Mapping[str, Any]) -> pd.DataFrame:
    rows = {
        score: {
            column: value
            for state, found in evaluation["scores"].items()
            for column, value in _bounds(state, found[score]).items()
        }
        for score in (*OVERALL_SCORES, *CALIBRATION_SCORES)
    }
    return _indexed(rows, "score")


def _classes(scores: Mapping[str, Any], counts: Mapping[str, int]) -> pd.DataFrame:
    rows = {
        name: {
            column: value
            for score in _CLASS_SCORES
            for column, value in _bounds(score, scores[f"{score}_{name}"]).items()
        }
        for name in counts
    }
    table = _indexed(rows, "class")
    table.insert(0, "images", list(counts.values()))
    return table


def _referral(scores: Mapping[str, Any]) -> pd.DataFrame:
    rows = {
        name: {
            **_bounds("aurc", found["aurc"]),
            **_bounds("excess_aurc", found["excess_aurc"]),
            **_at_rates("accuracy", found["accuracy_at_referral"]),
        }
        for name, found in scores.items()
    }
    return _indexed(rows, "score")


def _concern(scores: Mapping[str, Any], concern: str | None) -> dict[str, pd.DataFrame]:
    if concern is None:
        return {}
    named = {
        "concern": ("missed_silently", f"{concern} missed silently"),
        "concern_sensitivity": ("sensitivity", f"sensitivity for kept {concern}"),
    }
    return {
        table: _indexed(
            {name: _at_rates(what, found["concern"][key]) for name, found in scores.items()},
            "score",
        )
        for table, (key, what) in named.items()
    }


def _strata(strata: Mapping[str, Any] | None) -> pd.DataFrame | None:
    if strata is None:
        return None
    rows = {
        name: {
            "images": found["num_images"],
            "groups": found["num_groups"],
            **{
                column: value
                for score, values in found["scores"].items()
                for column, value in _bounds(score, values).items()
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
            **_bounds("auroc", found["auroc"]),
            **_bounds("FPR at 95 % TPR", found["false_positive_rate"]),
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


def _at_rates(what: str, by_rate: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The columns of numbers that stand at referral rates."""
    return {
        column: value
        for rate, found in by_rate.items()
        for column, value in _bounds(f"{what}, {100 * float(rate):g} % referred", found).items()
    }


def _bounds(column: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """An estimate and its bounds as columns that `merge_intervals` knows."""
    bounds = {f"{column}_{bound}": found[bound] for bound in ("lower", "upper")}
    return {column: found["estimate"]} | bounds
