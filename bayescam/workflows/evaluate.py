"""`bayescam evaluate`: calibrate on validation images, score test images, say what to do with them.

Writes `evaluation.json`, `tables/` and `figures/` into the analysis folder. Needs no TensorFlow.

Keys of `evaluation.json`; what was not asked for or cannot be had is null:

- `schema`, `seed`, `num_samples` (draws), `class_names`, `notes` (what a reader should know),
  `reported_state` ("calibrated", or "raw" where nothing was fitted: no choice by any score; `best`
  is an earlier name of it), `class_of_concern` (null also where no scored image is of it).
- `parts`: how validation groups are divided, in words, with numbers of images and groups.
- `scored`: `split`, `num_images`, `num_groups`, `classes` (images of each).
- `calibration`: `num_images`, `data_fingerprint`, `temperature`, `class_bias`;
  `threshold_calibration`: the same of the half of the validation groups on which the thresholds of
  `referral_rule` and `conformal` stand: apply it before them.
- `scores`: raw and calibrated, each score of `score_predictions` with `estimate, lower, upper`
  (95 %, 1000 resamples of groups, as in `referral`, `strata` and `ood`); `bins`: how calibration
  errors are binned; `reliability`: the curve, raw and calibrated.
- `measures`: see `summarize_measures`; of the reported state.
- `referral`: raw and calibrated, score by score, see `referral_by_score`.
- `referral_rule`: see `referral_rule`; after `threshold_calibration`.
- `conformal`: see `conformal_sets`; after `threshold_calibration`.
- `acting`: what the columns of `tables/images.csv` mean by which single images are acted on.
- `strata`: `column` and `strata`, see `scores_by_stratum`; of the reported state.
- `confusion`: counts, rows are true classes; of the reported state.
- `ood`: see `compare_with_foreign`.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import numpy as np
import pandas as pd

from bayescam.report import FigureFormat
from bayescam.types import check_share
from bayescam.uncertainty import Calibration, reliability_curve
from bayescam.workflows.calibrating import describe_fit, fit_rows
from bayescam.workflows.deciding import decide
from bayescam.workflows.figures import draw_figures, draw_missed_figure, draw_sets_figure
from bayescam.workflows.finished import load_analysis
from bayescam.workflows.folders import write_json
from bayescam.workflows.foreign import compare_with_foreign, refuse_shared_images
from bayescam.workflows.judging import JudgedImages, class_histograms, judge_images
from bayescam.workflows.measures import draw_notes, measure_images, summarize_measures
from bayescam.workflows.parts import (
    EvaluationParts,
    choose_parts,
    describe_parts,
    load_same_model,
)
from bayescam.workflows.referral import find_class, referral_by_score
from bayescam.workflows.scores import plain, scores_with_intervals
from bayescam.workflows.strata import find_strata, scores_by_stratum
from bayescam.workflows.tables import EVALUATION_SCHEMA, scores_table, write_tables

__all__ = ["evaluate_folder", "scores_table"]

_BINS = {
    "num_bins": 15,
    "edges": "a bin holds its lower edge, not its upper; the last one holds 1.0 too",
    "expected_calibration_error": "top label, bins of equal width",
    "equal_mass_calibration_error": "top label, bins of equal mass, ties together",
    "classwise_calibration_error": "every class, bins of equal width, mean over classes",
}


def evaluate_folder(
    folder: str | os.PathLike[str],
    *,
    calibration: str | os.PathLike[str] | None = None,
    ood: str | os.PathLike[str] | None = None,
    strata: str | None = None,
    class_of_concern: str | None = None,
    coverage: float = 0.9,
    target_risk: float = 0.1,
    seed: int = 0,
) -> dict[str, Any]:
    """Score an analysis folder, write what is found there, and return `evaluation.json`.

    The validation images (of this folder or of `calibration`) fit temperature and class bias; cut
    in two halves, also the thresholds of conformal sets and of the referral rule; all of it is
    reported on the test images. Without test images, all labelled images are scored, or if all
    have been used for fitting, the validation images without calibration.

    Args:
        folder: of `bayescam analyze`.
        calibration: another analysis folder of the same model, whose validation images (or all
            labelled ones, if it has no splits) are used for fitting.
        ood: another analysis folder of the same model with images from elsewhere.
        strata: a column of the records, by which scores and coverage are split.
        class_of_concern: a class whose silent misses are counted, such as melanoma.
        coverage: promised share of conformal sets that hold the right class.
        target_risk: error rate among kept images that the referral rule must not exceed.
        seed: of the bootstrap, the halves of the validation groups, the image that stands for its
            group, and the randomised sets.

    Returns:
        The content of `evaluation.json`; `notes` come as warnings too.

    Raises:
        InputError: a folder or an option does not fit, or no image can be scored.
    """
    for name, share in (("coverage", coverage), ("target_risk", target_risk)):
        check_share(name, share)
    analysis = load_analysis(folder)
    names = analysis.class_names
    concern = find_class(class_of_concern, names)
    foreign = None if ood is None else load_same_model(analysis, ood)
    parts = choose_parts(analysis, calibration, seed=seed)
    if foreign is not None:
        refuse_shared_images(foreign, analysis, parts.fitting)
    stratum_of = None if strata is None else find_strata(analysis, strata, parts.scored)

    fitted, fit_notes = fit_rows(parts, parts.calibrating)
    states = {"raw": None} if fitted is None else {"raw": None, "calibrated": fitted}
    judged = {state: judge_images(analysis, parts.scored, fit) for state, fit in states.items()}
    state, reported = list(judged.items())[-1]
    images = measure_images(analysis, parts.scored, fitted, reported)
    measures = summarize_measures(images, reported, analysis)
    notes = [*parts.notes, *fit_notes, *draw_notes(len(analysis.logits), measures["draws"])]
    if concern is not None and concern not in reported.labels:
        notes.append(f"No scored image is of {class_of_concern}: its silent misses are not known.")
        concern = None

    decided = decide(
        parts, stratum_of, concern, coverage=coverage, target_risk=target_risk, seed=seed
    )
    notes += decided.notes
    images = pd.concat([images, decided.columns], axis=1)
    by_stratum = None
    if stratum_of is not None:
        found, said = scores_by_stratum(reported, stratum_of, names, seed=seed)
        by_stratum = {"column": strata, "strata": found}
        notes += said
    compared = None
    if foreign is not None:
        everyone = np.arange(len(foreign.predictions))
        outside = {state: judge_images(foreign, everyone, fit) for state, fit in states.items()}
        compared, said = compare_with_foreign(parts, judged, outside, foreign, seed=seed)
        notes += said

    evaluation: dict[str, Any] = plain(
        {
            "schema": EVALUATION_SCHEMA,
            "seed": seed,
            "num_samples": len(analysis.logits),
            "class_names": names,
            "notes": notes,
            "reported_state": state,
            "best": state,
            "class_of_concern": None if concern is None else names[concern],
            "parts": describe_parts(parts),
            "scored": {
                "split": parts.split,
                "num_images": len(parts.scored),
                "num_groups": len(set(reported.groups)),
                "classes": dict(
                    zip(names, np.bincount(reported.labels, minlength=len(names)), strict=True)
                ),
            },
            "calibration": describe_fit(fitted, parts, parts.calibrating),
            "threshold_calibration": describe_fit(decided.fit, parts, parts.first_half),
            "bins": _BINS,
            "scores": _by_state(lambda part: scores_with_intervals(part, names, seed=seed), judged),
            "reliability": {
                state: dataclasses.asdict(reliability_curve(part.mean_probs, part.labels))
                for state, part in judged.items()
            },
            "measures": measures,
            "referral": _by_state(lambda part: referral_by_score(part, concern, seed=seed), judged),
            "referral_rule": decided.rule,
            "conformal": decided.conformal,
            "acting": decided.acting,
            "strata": by_stratum,
            "confusion": reported.confusion(),
            "ood": compared,
        }
    )
    _draw(evaluation, parts, judged, fitted, concern)
    write_tables(evaluation, images, analysis.folder / "tables")
    write_json(analysis.folder / "evaluation.json", evaluation)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return evaluation


def _by_state(
    function: Callable[[JudgedImages], dict[str, Any]], judged: dict[str, JudgedImages]
) -> dict[str, dict[str, Any]]:
    """What `function` says of the images, by state; NumPy lets both run at once."""
    with ThreadPoolExecutor(len(judged)) as pool:
        return dict(zip(judged, pool.map(function, judged.values()), strict=True))


def _draw(
    evaluation: dict[str, Any],
    parts: EvaluationParts,
    judged: dict[str, JudgedImages],
    fitted: Calibration | None,
    concern: int | None,
) -> None:
    """Write the figures anew, those of earlier calls removed."""
    folder, names = parts.analysis.folder / "figures", parts.analysis.class_names
    folder.mkdir(exist_ok=True)
    for kind in get_args(FigureFormat):
        for old in folder.glob(f"*.{kind}"):
            old.unlink()
    ridges = class_histograms(parts.analysis, parts.scored, fitted)
    seed = evaluation["seed"]
    draw_figures(judged, ridges, names, folder, parts.split, seed=seed)
    if concern is not None:
        reported = judged[evaluation["reported_state"]]
        draw_missed_figure(reported, concern, names, folder, seed=seed)
    if evaluation["conformal"] is not None:
        draw_sets_figure(evaluation["conformal"], names, folder)
