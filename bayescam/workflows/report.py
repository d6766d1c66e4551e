"""`bayescam report`: the analysis folder as pages that open from disk, what matters first.

`DIR/report/` holds `index.html`, its style, script and data, and for each case a script, a picture
and a thumbnail. Needs no TensorFlow.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from bayescam import __version__
from bayescam.report import (
    CaseList,
    ReportFigure,
    ReportPage,
    is_path,
    merge_intervals,
    page_files,
    single_file,
)
from bayescam.types import InputError
from bayescam.uncertainty import check_draws
from bayescam.workflows.acting import read_decisions, read_scored
from bayescam.workflows.analysis import PRINTED_MEASURES
from bayescam.workflows.case_lists import choose_cases, choose_lists
from bayescam.workflows.cases import LINEAR_METHODS, StoredMaps, data_uri
from bayescam.workflows.checklist import checklist_files
from bayescam.workflows.finished import Analysis, load_analysis
from bayescam.workflows.folders import file_fingerprint, write_json, write_text
from bayescam.workflows.model_card import audit_lines, glance, model_card
from bayescam.workflows.progress import progress_bars
from bayescam.workflows.report_cases import CaseMaker, make_cases
from bayescam.workflows.strata import find_strata
from bayescam.workflows.tables import EVALUATION_SCHEMA, evaluation_tables
from bayescam.workflows.training_record import read_training_record

__all__ = ["report_folder"]

_WORK = "work.json"
_TITLE = "What the model sees, and how sure it is"
_STRATA = ("sex", "age", "localization", "view")
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
    "confusion": (
        "Confusion table",
        "Rows are true classes, columns the predicted ones; 95 % intervals from resampled groups.",
    ),
}


def report_folder(
    folder: str | os.PathLike[str],
    *,
    num_cases: int = 2000,
    in_one_file: bool = False,
    seed: int | None = None,
    progress: bool = True,
) -> Path:
    """Write `report/` into an analysis folder and return the path of its `index.html`.

    An earlier report is replaced, with all that is in its folder, when the new one is complete; a
    call that was interrupted carries on. The checklist of `bayescam checklist` is written too.

    Args:
        folder: of `bayescam analyze`; if it was evaluated, scores and figures are shown too.
        num_cases: how many images to show; see `choose_cases` for which, if there are more.
        in_one_file: also write `report/report.html`, one file with the cases of the front page.
        seed: that the analysis must have, for scripts that want to be sure; `None` for any.
        progress: show a bar on standard error.

    Raises:
        InputError: not a finished analysis folder, no image is to be shown, another report of it is
            being written, or `report/` holds something else.
    """
    if num_cases < 1:
        raise InputError(f"`num_cases` must be at least 1; got {num_cases}")
    analysis = load_analysis(folder)
    if seed not in (None, analysis.manifest["seed"]):
        raise InputError(f"{folder} has seed {analysis.manifest['seed']}; expected {seed}")
    with _alone(analysis.folder):
        return _write_report(analysis, num_cases, in_one_file=in_one_file, progress=progress)


def _write_report(analysis: Analysis, num_cases: int, *, in_one_file: bool, progress: bool) -> Path:
    evaluation = _load_evaluation(analysis.folder)
    runs, checklist = read_training_record(analysis.folder), checklist_files(analysis)
    chosen = choose_cases(
        analysis.predictions, num_cases, analysis.class_names, seed=analysis.manifest["seed"]
    )
    target = analysis.folder / "report"
    partial = _begin(target, analysis, num_cases)
    maker = _case_maker(analysis, evaluation, partial)
    with progress_bars(shown=progress) as report:
        rows, facts = make_cases(maker, chosen, report)
    lists = choose_lists(facts, seed=analysis.manifest["seed"]) if len(facts) else []
    page = _page(analysis, evaluation, runs, maker.details, rows, lists, chosen)
    shutil.rmtree(partial / "rows")
    files = {**page_files(_with_figures(page, analysis.folder, partial)), **checklist}
    for name, text in files.items():
        (partial / name).parent.mkdir(exist_ok=True)
        write_text(partial / name, text)
    if in_one_file:
        write_text(partial / "report.html", _in_one_file(page, analysis.folder, partial))
    (partial / _WORK).unlink()
    _replace(target, partial)
    return target / "index.html"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the analysis for one report at a time; a killed call lets go of it."""
    with (folder / "manifest.json").open("rb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"another report of {folder} is being written; wait for it") from error
        yield


def _begin(target: Path, analysis: Analysis, num_cases: int) -> Path:
    """The folder to work in; what another analysis, evaluation or number of cases left is gone."""
    ours = ("index.html", "checklist.html")
    if target.exists() and any(target.iterdir()) and not any((target / n).exists() for n in ours):
        raise InputError(f"{target} holds no report: move it away")
    partial = target.with_name(f"{target.name}.partial")
    evaluation = analysis.folder / "evaluation.json"
    work = {
        "num_cases": num_cases,
        "analysis": file_fingerprint(analysis.folder / "manifest.json"),
        "evaluation": file_fingerprint(evaluation) if evaluation.exists() else None,
        "bayescam": __version__,
    }
    kept = partial / _WORK
    if not kept.exists() or json.loads(kept.read_text()) != work:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        write_json(kept, work)
    return partial


def _replace(target: Path, partial: Path) -> None:
    """Put the finished folder in the place of an earlier one."""
    old = target.with_name(f"{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _case_maker(analysis: Analysis, evaluation: dict[str, Any] | None, folder: Path) -> CaseMaker:
    predictions = analysis.predictions
    everyone = np.arange(len(predictions))
    scored = everyone
    if evaluation is not None and evaluation["scored"]["split"] in set(predictions["split"]):
        scored = everyone[(predictions["split"] == evaluation["scored"]["split"]).to_numpy()]
    return CaseMaker(
        analysis=analysis,
        maps=StoredMaps(analysis.folder / "analysis.zarr"),
        records=pd.read_parquet(analysis.folder / "records.parquet"),
        decisions={} if evaluation is None else read_decisions(analysis.folder, evaluation),
        details=_details(analysis, evaluation),
        scored=frozenset(int(row) for row in scored),
        folder=folder,
    )


def _details(analysis: Analysis, evaluation: dict[str, Any] | None) -> pd.DataFrame:
    """Split and strata of each row of the predictions, as text; a column of one value is left out.

    Strata are those of the evaluation and a few that name no one; other columns of the records may
    hold free text or identifiers. A value that looks like a path is not shown.
    """
    strata = None if evaluation is None else evaluation["strata"]
    everyone = np.arange(len(analysis.predictions))
    found: dict[str, Any] = {"split": analysis.predictions["split"].fillna("").astype("str")}
    for column in _STRATA:
        try:
            found[column] = find_strata(analysis, column, everyone)
        except InputError:
            continue  # not a column of these records, or an identifier
    if strata is not None:
        ids = read_scored(analysis.folder)["image_id"]
        scored = everyone[analysis.predictions["image_id"].isin(ids).to_numpy()]
        values = np.full(len(everyone), "", dtype=object)
        values[scored] = find_strata(analysis, strata["column"], scored)  # cut as in the table
        found[strata["column"]] = values
    table = pd.DataFrame(found).map(lambda value: "a path" if is_path(str(value)) else value)
    return table.loc[:, [name for name in table if table[name].nunique() > 1]]


def _page(
    analysis: Analysis,
    evaluation: dict[str, Any] | None,
    runs: Sequence[Mapping[str, Any]],
    details: pd.DataFrame,
    rows: Sequence[Mapping[str, Any]],
    lists: Sequence[CaseList],
    chosen: NDArray[np.int64],
) -> ReportPage:
    skipped = pd.read_csv(analysis.folder / "skipped.csv", dtype="str").fillna("")
    manifest = analysis.manifest
    card, audit = model_card(manifest, runs, evaluation), audit_lines(runs)
    tables = {} if evaluation is None else _tables(evaluation)
    headline = dict(list(tables.items())[:1])
    return ReportPage(
        title=_TITLE,
        rows=rows,
        class_names=analysis.class_names,
        num_images=len(analysis.predictions),
        num_samples=len(analysis.logits),
        unit=analysis.draws_are,
        lists=lists,
        detail_names=[str(name) for name in details],
        headline=headline,
        tables={name: table for name, table in tables.items() if name not in headline},
        card=card,
        audit=audit,
        glance=glance(card, audit),
        facts={
            "seed": str(manifest["seed"]),
            "model": manifest["settings"]["model"],
            "data": manifest["data_fingerprint"],
            **{name: manifest["versions"][name] for name in ("bayescam", "tensorflow")},
        },
        notes=_notes(analysis, evaluation, chosen, len(chosen) - len(rows)),
        skipped=list(skipped.itertuples(index=False, name=None)),
    )


def _notes(
    analysis: Analysis,
    evaluation: dict[str, Any] | None,
    chosen: NDArray[np.int64],
    num_unread: int,
) -> list[str]:
    settings = analysis.manifest["settings"]
    notes = [
        "Probabilities of single cases are those of the posterior draws before calibration. Maps "
        f"are made by {settings['method']} at {settings['layer']}; one that is named after a class "
        "alone is of its logit."
    ]
    if settings["method"] not in LINEAR_METHODS:
        notes.append(
            "The contrast of the two likeliest classes is not shown: by this method it is not the "
            'difference of their maps. Ask for it by bayescam analyze --target "A - B".'
        )
    shown = softmax(analysis.logits[:, chosen].astype(np.float64), axis=-1)
    line = check_draws(shown, measures=PRINTED_MEASURES, unit=analysis.draws_are)
    notes += [] if line is None else [f"Of the cases shown here: {line}"]
    notes += (
        ["The analysis was not evaluated: see bayescam evaluate."]
        if evaluation is None
        else _evaluation_notes(evaluation)
    )
    if num_unread:
        notes.append(f"{num_unread} images could no longer be read and are not shown.")
    return notes


def _with_figures(page: ReportPage, folder: Path, target: Path) -> ReportPage:
    """The page with the figures of the evaluation, copied beside it."""
    figures = _figures(folder)
    for figure in figures:
        (target / "figures").mkdir(exist_ok=True)
        shutil.copyfile(folder / figure.source, target / figure.source)
    return replace(page, figures=figures)


def _in_one_file(page: ReportPage, folder: Path, written: Path) -> str:
    """The front page with all that it needs, and the cases of its lists."""
    numbers = sorted({number for part in page.lists for number in part.cases})
    place = {number: i for i, number in enumerate(numbers)}
    rows, contents = [], []
    for number in numbers:
        row = dict(page.rows[number])
        script = (written / "cases" / f"{row['file']}.js").read_text()
        content = json.loads(script[script.index("{") : script.rindex("}") + 1])
        content["picture"] = data_uri((written / content["picture"]).read_bytes())
        rows.append({**row, "thumbnail": data_uri((written / str(row["thumbnail"])).read_bytes())})
        contents.append(content)
    figures = [
        replace(figure, source=data_uri((folder / figure.source).read_bytes()))
        for figure in _figures(folder)
    ]
    lists = [replace(part, cases=tuple(place[n] for n in part.cases)) for part in page.lists]
    return single_file(replace(page, rows=rows, figures=figures, lists=lists), contents)


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
    """The figures of the evaluation, with their place in the analysis folder."""
    return [
        ReportFigure(title, caption, f"figures/{name}.png")
        for name, (title, caption) in _FIGURES.items()
        if (folder / "figures" / f"{name}.png").exists()
    ]
