"""The cases of a report, made in parallel a batch at a time and kept where a killed call left off.

Of each case a folder gets `cases/i.js`, `images/i.jpg` and `thumbnails/i.jpg`; of each batch
`rows/b.json`, written last, so that a batch with rows is complete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from bayescam.data import ImageError, load_mask
from bayescam.explain import energy_in_masks
from bayescam.report import CaseReport, case_content, case_row, case_script, mask_outline
from bayescam.types import Array
from bayescam.workflows.acting import CaseDecision
from bayescam.workflows.case_lists import JudgedMap, map_remarks
from bayescam.workflows.cases import ImageMaps, StoredMaps, encode_jpeg, load_picture, shown_id
from bayescam.workflows.finished import Analysis
from bayescam.workflows.folders import write_json
from bayescam.workflows.progress import ProgressReport

__all__ = ["CaseMaker", "make_cases"]

_THUMBNAIL = 200


@dataclass(frozen=True, eq=False)
class CaseMaker:
    """What the cases of one report are made of.

    Attributes:
        analysis: with the draws of the probabilities.
        maps: its maps.
        records: of the images, with the index of the analysis.
        decisions: what the rules make of images, by their id.
        details: columns of text, one row per row of the predictions.
        scored: rows of the predictions that lists may name.
        folder: where the files go.
    """

    analysis: Analysis
    maps: StoredMaps
    records: pd.DataFrame
    decisions: Mapping[str, CaseDecision]
    details: pd.DataFrame
    scored: frozenset[int]
    folder: Path


def make_cases(
    maker: CaseMaker, chosen: NDArray[np.int64], report: ProgressReport
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Write the files of the chosen rows of the predictions, in their order.

    Returns:
        One row of the page per case, with `file`, the number of its files, and what
        `choose_lists` needs of each. Cases whose image can no longer be read are left out.
    """
    for name in ("cases", "images", "thumbnails", "rows"):
        (maker.folder / name).mkdir(exist_ok=True)
    images = maker.analysis.predictions["image"].to_numpy()[chosen]
    batches = images // maker.maps.batch_size
    found: list[dict[str, Any]] = []
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:  # not threads of threads
        tasks = [
            pool.submit(_make_batch, maker, int(batch), chosen, np.flatnonzero(batches == batch))
            for batch in np.unique(batches)
        ]
        try:
            for task in as_completed(tasks):
                found += task.result()
                report("report", len(found), len(chosen), "")
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    found = sorted((one for one in found if one["row"] is not None), key=lambda one: one["number"])
    return [one["row"] for one in found], pd.DataFrame([one["facts"] for one in found])


def _make_batch(
    maker: CaseMaker, batch: int, chosen: NDArray[np.int64], numbers: NDArray[np.int64]
) -> list[dict[str, Any]]:
    """Write the cases of one batch of the store, or read what an earlier call says of them."""
    kept = maker.folder / "rows" / f"{batch}.json"
    if kept.exists():
        done: list[dict[str, Any]] = json.loads(kept.read_text())
        return done
    arrays = maker.maps.read(batch)
    found = [_make_case(maker, arrays, int(chosen[number]), int(number)) for number in numbers]
    write_json(kept, found)
    return found


def _make_case(maker: CaseMaker, arrays: dict[str, Array], row: int, number: int) -> dict[str, Any]:
    facts = maker.analysis.predictions.iloc[row]
    image = int(facts["image"])
    record = maker.records.iloc[image]
    try:
        picture = load_picture(record["path"])
    except ImageError:
        return {"number": number, "row": None, "facts": None}
    maps = maker.maps.of_image(arrays, image % maker.maps.batch_size)
    mask = _mask(record, picture.shape[:2])
    judged = _judge(maps, str(facts["predicted"]), mask)
    case = replace(
        _case(maker, maps, row, picture, mask),
        remarks=map_remarks(judged),
        picture=f"images/{number}.jpg",
        thumbnail=f"thumbnails/{number}.jpg",
    )
    for name, longest in ((case.picture, None), (case.thumbnail, _THUMBNAIL)):
        (maker.folder / name).write_bytes(encode_jpeg(picture, longest=longest))
    (maker.folder / "cases" / f"{number}.js").write_text(case_script(number, case_content(case)))
    return {
        "number": number,
        "row": {**case_row(case), "file": number},
        "facts": {
            "total": case.predictive_entropy,
            "wrong": case.wrong,
            "confidence": float(case.mean_probs.max()),
            "enrichment": judged.enrichment,
            "agreement": judged.agreement,
            "listed": row in maker.scored,
        },
    }


def _case(
    maker: CaseMaker, maps: ImageMaps, row: int, picture: Array, mask: Array | None
) -> CaseReport:
    analysis, facts = maker.analysis, maker.analysis.predictions.iloc[row]
    probs = softmax(analysis.logits[:, row].astype(np.float64), axis=-1)
    label = None if pd.isna(facts["label"]) else str(facts["label"])
    shown, best = _shown_targets(probs, analysis.class_names, label, maps.targets)
    decision = maker.decisions.get(str(facts["image_id"]))
    return CaseReport(
        image_id=shown_id(str(facts["image_id"])),
        probs=probs,
        class_names=analysis.class_names,
        size=(picture.shape[0], picture.shape[1]),
        predictive_entropy=float(facts["predictive_entropy"]),
        expected_entropy=float(facts["expected_entropy"]),
        mutual_information=float(facts["mutual_information"]),
        label=label,
        maps=tuple(maps.summary(target) for target in shown),
        contrast=maps.contrast(*best) if len(best) == 2 else None,
        outline=() if mask is None else mask_outline(mask),
        called=None if decision is None else decision.called,
        referred=None if decision is None else decision.referred,
        decisions=() if decision is None else decision.lines,
        details={str(name): str(value) for name, value in maker.details.iloc[row].items()},
        unit=analysis.draws_are,
    )


def _shown_targets(
    probs: Array, names: tuple[str, ...], label: str | None, targets: tuple[str, ...]
) -> tuple[list[str], list[str]]:
    """The targets whose maps are shown, and the two most probable classes.

    Of classes these are the two most probable and the label; contrasts and uncertainties are all
    shown, and where no such class was explained, what was.
    """
    best = [names[k] for k in np.argsort(-probs.mean(axis=0), kind="stable")[:2]]
    asked = dict.fromkeys([*best, *([label] if label in names else [])])
    classes = [name for name in asked if name in targets]
    return [*classes, *(name for name in targets if name not in names)] or list(targets[:2]), best


def _judge(maps: ImageMaps, predicted: str, mask: Array | None) -> JudgedMap:
    """How the map of the predicted class lies to the mask, and how far the draws agree on it."""
    if predicted not in maps.targets:
        return JudgedMap()
    mean = maps.statistics.mean[0, maps.targets.index(predicted)]
    enrichment = None
    if mask is not None and mask.any() and not mask.all() and (mean > 0).any():
        enrichment = float(energy_in_masks(mean[None], [mask])[0] / mask.mean())
    return JudgedMap(
        enrichment, maps.agreement(predicted), has_evidence=maps.has_evidence(predicted)
    )


def _mask(record: pd.Series, size: tuple[int, ...]) -> Array | None:
    path = record.get("mask_path")
    if path is None or pd.isna(path):
        return None
    try:
        return load_mask(path, size)
    except ImageError:
        return None
