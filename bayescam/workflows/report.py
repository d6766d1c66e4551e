"""`bayescam report`: the analysis folder as one self-contained page, most uncertain first.

Needs no TensorFlow.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from bayescam.data import ImageError, load_mask
from bayescam.report import (
    CaseReport,
    ReportFigure,
    build_case,
    merge_intervals,
    render_report,
)
from bayescam.types import Array, InputError, UncertaintyDecomposition
from bayescam.uncertainty import check_draws
from bayescam.workflows.acting import CaseDecision, read_decisions
from bayescam.workflows.analysis import PRINTED_MEASURES
from bayescam.workflows.cases import StoredMaps, load_picture, shown_id
from bayescam.workflows.finished import Analysis, load_analysis
from bayescam.workflows.folders import write_atomically
from bayescam.workflows.progress import progress_bars
from bayescam.workflows.tables import EVALUATION_SCHEMA, evaluation_tables

__all__ = ["report_folder"]

_FIGURES = {
    "reliability": (
        "Reliability",
        "Accuracy against confidence, on the diagonal when calibrated; below, how many images "
        "each bin has.",
    ),
    "risk_coverage": (
        "Referral",
        "Error rate among the images that are kept when the least sure ones go to a reader. Grey: "
        "referred at random, and all errors first. Band: where resamples of the groups lie.",
    ),
    "missed_silently": (
        "Silent misses",
        "Share of the images of the class of concern that are kept and called something else; grey "
        "lines and band as in the figure of referral.",
    ),
    "densities": (
        "Densities by class",
        "How all draws of the probability of a class are distributed over its own images (filled) "
        "and over the others (dotted), each scaled to its peak.",
    ),
    "entropy": ("Predictive entropy", "Of images that are called right and wrong."),
    "conformal": (
        "Conformal sets",
        "How many classes the sets hold, and how often they hold the right one, class by class.",
    ),
    "confusion": ("Confusion table", "Rows are true classes, columns the predicted ones."),
}


def report_folder(
    folder: str | os.PathLike[str],
    *,
    num_cases: int = 40,
    seed: int | None = None,
    progress: bool = True,
) -> Path:
    """Write `report/index.html` into an analysis folder and return its path.

    Args:
        folder: of `bayescam analyze`; if it was evaluated, scores and figures are shown too.
        num_cases: how many images to show, those of the largest predictive entropy.
        seed: that the analysis must have, for scripts that want to be sure; `None` for any.
        progress: show a bar on standard error.

    Raises:
        InputError: not a finished analysis folder, or no image is to be shown.
    """
    if num_cases < 1:
        raise InputError(f"`num_cases` must be at least 1; got {num_cases}")
    analysis = load_analysis(folder)
    if seed not in (None, analysis.manifest["seed"]):
        raise InputError(f"{folder} has seed {analysis.manifest['seed']}; expected {seed}")
    maps = StoredMaps(analysis.folder / "analysis.zarr")
    order = np.argsort(-analysis.predictions["predictive_entropy"].to_numpy(), kind="stable")
    records = pd.read_parquet(analysis.folder / "records.parquet")
    evaluation = _load_evaluation(analysis.folder)
    decided = {} if evaluation is None else read_decisions(analysis.folder, evaluation)
    cases, unread = [], 0
    with progress_bars(shown=progress) as report:
        for number, row in enumerate(order[:num_cases], start=1):
            case = _case(analysis, maps, records, int(row), decided)
            cases += [] if case is None else [case]
            unread += case is None
            report("report", number, min(num_cases, len(order)), "")
    page = _page(analysis, evaluation, cases, order[:num_cases], unread)
    target = analysis.folder / "report" / "index.html"
    target.parent.mkdir(exist_ok=True)
    write_atomically(target, lambda file: file.write_text(page, encoding="utf-8"))
    return target


def _case(
    analysis: Analysis,
    maps: StoredMaps,
    records: pd.DataFrame,
    row: int,
    decided: Mapping[str, CaseDecision],
) -> CaseReport | None:
    """The case of one row of the predictions; `None` where its image can no longer be read."""
    facts = analysis.predictions.iloc[row]
    record = records.iloc[int(facts["image"])]
    try:
        picture = load_picture(record["path"])
    except ImageError:
        return None
    label = None if pd.isna(facts["label"]) else str(facts["label"])
    shown = dict.fromkeys([str(facts["predicted"]), *([label] if label else [])])
    found = (maps.summary(int(facts["image"]), target) for target in shown)
    decision = decided.get(str(facts["image_id"]), CaseDecision())
    return build_case(
        shown_id(str(facts["image_id"])),
        picture,
        softmax(analysis.logits[:, row].astype(np.float64), axis=-1),
        analysis.class_names,
        entropies=UncertaintyDecomposition(
            *(
                np.asarray(facts[name])
                for name in ("predictive_entropy", "expected_entropy", "mutual_information")
            )
        ),
        maps=[summary for summary in found if summary is not None],
        label=label,
        mask=_mask(record, picture.shape[:2]),
        flags=("referred",) if decision.referred else (),
        decisions=decision.lines,
        details={} if pd.isna(facts["split"]) else {"split": str(facts["split"])},
    )


def _mask(record: pd.Series, size: tuple[int, ...]) -> Array | None:
    path = record.get("mask_path")
    if path is None or pd.isna(path):
        return None
    try:
        return load_mask(path, size)
    except ImageError:
        return None


def _page(
    analysis: Analysis,
    evaluation: dict[str, Any] | None,
    cases: list[CaseReport],
    rows: Array,
    unread: int,
) -> str:
    skipped = pd.read_csv(analysis.folder / "skipped.csv", dtype="str").fillna("")
    settings, versions = analysis.manifest["settings"], analysis.manifest["versions"]
    notes = [
        "Probabilities are those of the posterior draws before calibration; maps are of the logit."
    ]
    shown = softmax(analysis.logits[:, rows].astype(np.float64), axis=-1)
    line = check_draws(shown, measures=PRINTED_MEASURES, unit=analysis.draws_are)
    notes += [] if line is None else [f"Of the cases shown here: {line}"]
    notes += [] if evaluation is None else _evaluation_notes(evaluation)
    if unread:
        notes.append(f"{unread} images could no longer be read and are not shown.")
    return render_report(
        cases,
        title="What the model sees, and how sure it is",
        num_images=len(analysis.predictions),
        skipped=list(skipped.itertuples(index=False, name=None)),
        summary_tables={} if evaluation is None else _tables(evaluation),
        figures=[] if evaluation is None else _figures(analysis.folder / "figures"),
        facts={
            "draws": str(len(analysis.logits)),
            "seed": str(analysis.manifest["seed"]),
            "maps of layer": settings["layer"],
            "model": settings["model"],
            "data": analysis.manifest["data_fingerprint"],
            **{name: versions[name] for name in ("bayescam", "tensorflow")},
        },
        notes=notes,
    )


def _tables(evaluation: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """The tables of the evaluation under the headings of the page, in the order of a reader."""
    scored, best = evaluation["scored"], evaluation["best"]
    concern = evaluation["class_of_concern"]
    tables = evaluation_tables(evaluation)
    headings = {
        "scores": f"Scores ({scored['split']}, {scored['num_images']} images, 95 % bootstrap "
        "intervals)",
        "classes": f"By class ({best})",
        "strata": f"By stratum ({best})",
        "referral": f"Referral: area under the risk-coverage curve, accuracy of the kept ({best})",
        "concern": f"Silent misses of {concern}: kept and called something else ({best})",
        "concern_sensitivity": f"Sensitivity for {concern} among the images kept ({best})",
        "conformal": "Conformal sets",
        "conformal_classes": "Conformal sets: coverage by class",
        "conformal_strata": "Conformal sets: coverage by stratum",
        "ood": f"Images from elsewhere told apart ({best})",
    }
    return {
        heading: merge_intervals(tables[name])
        for name, heading in headings.items()
        if name in tables
    }


def _evaluation_notes(evaluation: dict[str, Any]) -> list[str]:
    """What was noted at the evaluation, and what its rules promise, in words."""
    notes = list(evaluation["notes"])
    rule, conformal = evaluation["referral_rule"], evaluation["conformal"]
    if rule is not None and rule["keeps"] != "none":
        where = (
            "" if rule["threshold"] is None else f" if {rule['score']} < {rule['threshold']:.3f}"
        )
        notes.append(f"Referral rule: keep an image{where}. {rule['guarantee']}")
    if conformal is not None:
        notes.append(f"Conformal sets: {conformal['promise']}")
    return notes


def _load_evaluation(folder: Path) -> dict[str, Any] | None:
    path = folder / "evaluation.json"
    if not path.exists():
        return None
    evaluation: dict[str, Any] = json.loads(path.read_text())
    if evaluation.get("schema") != EVALUATION_SCHEMA:
        raise InputError(f"{path} is of another bayescam: run bayescam evaluate {folder} again")
    return evaluation


def _figures(folder: Path) -> list[ReportFigure]:
    return [
        ReportFigure(title, (folder / f"{name}.png").read_bytes(), caption)
        for name, (title, caption) in _FIGURES.items()
        if (folder / f"{name}.png").exists()
    ]
