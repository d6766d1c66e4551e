"""Which images fit, which give guarantees and which are scored: never one of them twice.

All validation images fit the temperature and class bias of what is scored. Thresholds of conformal
sets and of the referral rule hold only for images that fitted nothing and can be listed in any
order: for them the validation groups are cut in two, one half calibrates, and one image of each
group of the other gives the thresholds. Test images are scored.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescam.data.records import group_names
from bayescam.types import InputError
from bayescam.uncertainty import one_per_group
from bayescam.uncertainty.exchangeability import keyed_uniform
from bayescam.workflows.finished import Analysis, load_analysis

__all__ = ["EvaluationParts", "choose_parts", "describe_parts", "load_same_model"]

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class EvaluationParts:
    """Rows of the predictions of two analyses, often one and the same.

    Attributes:
        analysis: whose images are scored.
        split: what is scored: "test", "all" or "val".
        scored: rows of `analysis`.
        fitting: whose images fit.
        calibrating: rows of `fitting` for temperature and class bias.
        first_half: those of them that calibrate what thresholds are made of.
        guaranteeing: rows of `fitting` for thresholds, one of each group; no group of
            `first_half`.
        notes: what the reader should know, in whole sentences.
    """

    analysis: Analysis
    split: str
    scored: Rows
    fitting: Analysis
    calibrating: Rows
    first_half: Rows
    guaranteeing: Rows
    notes: tuple[str, ...]


def choose_parts(
    analysis: Analysis, calibration: str | os.PathLike[str] | None, *, seed: int
) -> EvaluationParts:
    """Choose the images that fit, give guarantees and are scored.

    Args:
        analysis: whose images are scored: test images, else those not used for fitting, else,
            without any fit, the validation images. Never training images.
        calibration: another analysis folder to fit with; its validation images, or all labelled
            ones if it has no splits.
        seed: of the halves and of the image that stands for its group.

    Raises:
        InputError: a folder does not fit, or no image can be scored.
    """
    fitting, rows = _validation_part(analysis, calibration)
    used = fitting.predictions["path"].iloc[rows]
    split, scored = _scored_part(analysis, analysis.predictions["path"].isin(used).to_numpy())
    notes = list(_unknown_labels(analysis))
    if split == "val":
        rows = rows[:0]
        notes.append(
            "Validation images are scored, since there are no others: nothing is fitted, so there "
            "is no calibration, no conformal set and no referral rule."
        )
    rows, shared = _without_groups_of(fitting, rows, analysis, scored)
    notes += shared
    halves = _halves(fitting, rows, seed)
    return EvaluationParts(analysis, split, scored, fitting, rows, *halves, tuple(notes))


def describe_parts(parts: EvaluationParts) -> dict[str, Any]:
    """How the images were divided: `rule` in words, images and groups of each part."""
    numbers = {}
    for name, source, rows in (
        ("calibrating", parts.fitting, parts.calibrating),
        ("first_half", parts.fitting, parts.first_half),
        ("guaranteeing", parts.fitting, parts.guaranteeing),
        ("scored", parts.analysis, parts.scored),
    ):
        groups = _group_names(source.predictions).iloc[rows]
        numbers[name] = {"num_images": len(rows), "num_groups": int(groups.nunique())}
    return {
        "rule": (
            "All validation images fit temperature and class bias (calibrating). For conformal "
            "sets and the referral rule they are fitted on half of the validation groups, chosen "
            "by a hash of seed and name (first_half), and the thresholds on one image of each "
            "group of the other half (guaranteeing). No group that is scored fits anything."
        ),
        **numbers,
    }


def load_same_model(analysis: Analysis, folder: str | os.PathLike[str]) -> Analysis:
    """Return another analysis of the same model.

    Raises:
        InputError: not a finished analysis folder, or of another model.
    """
    other = load_analysis(folder)
    if other.manifest["settings"]["model"] != analysis.manifest["settings"]["model"]:
        raise InputError(f"{other.folder} and {analysis.folder} are analyses of different models")
    return other


def _validation_part(
    analysis: Analysis, calibration: str | os.PathLike[str] | None
) -> tuple[Analysis, Rows]:
    """The analysis whose images fit, and which of them."""
    if calibration is None:
        return analysis, analysis.part(("val",))
    other = load_same_model(analysis, calibration)
    rows = other.part(("val",))
    if not len(rows) and other.predictions["split"].isna().all():
        rows = other.part(None)
    if not len(rows):
        raise InputError(f"{other.folder} has no labelled validation images to calibrate with")
    return other, rows


def _scored_part(analysis: Analysis, used: NDArray[np.bool_]) -> tuple[str, Rows]:
    """The images to score, never of training: test, else unused by fitting, else used."""
    labelled = np.setdiff1d(analysis.part(None), analysis.part(("train",)))
    test = analysis.part(("test",))
    choices = {"test": test[~used[test]], "all": labelled[~used[labelled]], "val": labelled}
    for name, rows in choices.items():
        if len(rows):
            return name, rows
    raise InputError(
        f"{analysis.folder} has no image outside training whose label is a class of the model "
        f"({', '.join(analysis.class_names)}), so nothing can be scored"
    )


def _without_groups_of(
    fitting: Analysis, rows: Rows, analysis: Analysis, scored: Rows
) -> tuple[Rows, list[str]]:
    """The rows of groups that are not scored, and a note on the others."""
    names = _group_names(fitting.predictions).iloc[rows]
    shared = names.isin(_group_names(analysis.predictions).iloc[scored]).to_numpy()
    if not shared.any():
        return rows, []
    return rows[~shared], [
        f"{names[shared].nunique()} groups (lesions or patients) of validation images are among "
        f"the scored ones too. Their {shared.sum()} validation images fit nothing; cut the data by "
        "group."
    ]


def _group_names(predictions: pd.DataFrame) -> pd.Series:
    """The group of each image, or its path: ids of single images recur between data sets."""
    return group_names(predictions).fillna(predictions["path"])


def _halves(fitting: Analysis, rows: Rows, seed: int) -> tuple[Rows, Rows]:
    """Rows that calibrate, and one of each group of the other half of the groups."""
    names = _group_names(fitting.predictions).iloc[rows].to_numpy(dtype=object)
    groups = np.array(sorted(set(names)), dtype=object)
    draws = keyed_uniform(len(groups), seed=seed, purpose="halves", keys=groups)
    chosen = groups[np.argsort(draws, kind="stable")[: len(groups) // 2]]
    second = np.isin(names.astype(str), chosen.astype(str))
    if not second.any():
        return rows, rows[:0]
    ids = fitting.predictions["image_id"].to_numpy(dtype=object)[rows[second]]
    return rows[~second], rows[second][one_per_group(names[second], seed=seed, keys=ids)]


def _unknown_labels(analysis: Analysis) -> list[str]:
    labels = analysis.predictions["label"][analysis.labels < 0].dropna()
    if labels.empty:
        return []
    return [
        f"{len(labels)} images have a label that is no class of the model "
        f"({', '.join(sorted(set(labels))[:5])}) and are not scored; the classes are "
        f"{', '.join(analysis.class_names)}."
    ]
