"""Scores by stratum: sex, place, scanner, kind of diagnosis, age in quarters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayescam.types import Array, InputError
from bayescam.uncertainty import group_bootstrap, score_predictions
from bayescam.workflows.finished import Analysis
from bayescam.workflows.judging import JudgedImages
from bayescam.workflows.scores import plain_interval

__all__ = ["STRATUM_SCORES", "find_strata", "scores_by_stratum"]

STRATUM_SCORES = (
    "accuracy",
    "balanced_accuracy",
    "negative_log_likelihood",
    "expected_calibration_error",
    "brier_score",
)
FEW_IMAGES = 50
_MOST_STRATA = 30
_NUMBERS = 8
_PRIVATE = ("image_id", "path", "mask_path", "group")


def find_strata(analysis: Analysis, column: str, rows: Array) -> Array:
    """The name of the stratum of each of these images.

    Numbers with more than 8 different values are cut at their quartiles, others are written without
    decimals that say nothing (55, not 55.0); missing values are the stratum "missing".

    Raises:
        InputError: no such column, or more than 30 strata.
    """
    records = pd.read_parquet(analysis.folder / "records.parquet")
    if column not in records or column in _PRIVATE:
        usable = [name for name in records if name not in _PRIVATE and _is_usable(records[name])]
        raise InputError(
            f"--strata must be a column of the records with at most {_MOST_STRATA} values: "
            f"{', '.join(map(str, usable))}; got {column!r}"
        )
    images = analysis.predictions["image"].to_numpy()[rows]
    values = records[column].iloc[images].reset_index(drop=True)
    if _is_number(values):
        values = _quarters(values)
    elif pd.api.types.is_float_dtype(values):
        values = values.map("{:g}".format, na_action="ignore").astype("object")
    names = values.astype("str").where(values.notna(), "missing").to_numpy(dtype=object)
    if len(set(names)) > _MOST_STRATA:
        raise InputError(
            f"--strata {column} has {len(set(names))} different values; at most {_MOST_STRATA} "
            "strata can be told apart. Is it an identifier?"
        )
    return names


def scores_by_stratum(
    judged: JudgedImages, strata: Array, names: tuple[str, ...], *, seed: int
) -> tuple[dict[str, Any], list[str]]:
    """Of each stratum: images, groups, whether these are few, and scores with intervals.

    Intervals are of the bootstrap over groups; a stratum of one group has none.

    Returns:
        By name of the stratum, the largest first, and notes.
    """
    found, few = {}, []
    order, counts = np.unique(strata.astype(str), return_counts=True)
    for name in order[np.argsort(-counts, kind="stable")]:
        part = judged.take(strata.astype(str) == name)
        is_few = len(part.labels) < FEW_IMAGES
        few += [f"{name} ({len(part.labels)})"] if is_few else []
        found[str(name)] = {
            "num_images": len(part.labels),
            "num_groups": len(set(part.groups)),
            "few": is_few,
            "scores": _scores(part, names, seed),
        }
    note = f"Strata with fewer than {FEW_IMAGES} images, whose scores say little: {', '.join(few)}."
    return found, [note] if few else []


def _scores(
    part: JudgedImages, names: tuple[str, ...], seed: int
) -> dict[str, dict[str, float | None]]:
    if len(set(part.groups)) > 1:
        found = group_bootstrap(part.mean_probs, part.labels, part.groups, names, seed=seed)
        return {name: plain_interval(*found.interval(name)) for name in STRATUM_SCORES}
    alone = score_predictions(part.mean_probs, part.labels, names).as_dict()
    return {name: plain_interval(alone[name], np.nan, np.nan) for name in STRATUM_SCORES}


def _quarters(values: pd.Series) -> pd.Series:
    cuts = pd.qcut(values, 4, duplicates="drop")
    first, *others = cuts.cat.categories
    edges = {cut: f"{cut.left:g} < x <= {cut.right:g}" for cut in others}
    edges[first] = f"{values.min():g} <= x <= {first.right:g}"
    return cuts.astype("object").map(edges)


def _is_number(values: pd.Series) -> bool:
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    return numeric and values.nunique() > _NUMBERS


def _is_usable(values: pd.Series) -> bool:
    return 2 <= values.nunique() <= _MOST_STRATA or _is_number(values)
