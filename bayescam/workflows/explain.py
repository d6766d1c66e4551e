"""`bayescam explain`: a few image files, each with its densities and maps in one figure."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import softmax

from bayescam.data import ImageLoader
from bayescam.data.places import find_place
from bayescam.data.sealing import is_sealed
from bayescam.explain import CamExplainer, MapMethod, Target, summarize_maps
from bayescam.models import class_names
from bayescam.report import (
    MapSummary,
    draw_class_densities,
    draw_map_panels,
    figure_style,
    format_number,
    to_text,
)
from bayescam.types import Array, CamDraws, InputError
from bayescam.workflows.analysis import explain_padded, make_explainer, summarize_logits
from bayescam.workflows.cases import load_picture, map_summary
from bayescam.workflows.dicom_maps import write_dicom_maps
from bayescam.workflows.folders import (
    file_fingerprint,
    new_manifest,
    work_folder,
    write_atomically,
    write_skipped,
    write_table,
)
from bayescam.workflows.naming import name_images, shown_name
from bayescam.workflows.progress import progress_bars
from bayescam.workflows.runs import RunFolders, load_runs

__all__ = ["describe_explanations", "explain_images"]

_BATCH = 8


def explain_images(
    run_folders: RunFolders,
    images: Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str],
    num_samples: int = 100,
    seed: int = 0,
    targets: Sequence[str | int] | None = None,
    method: MapMethod = "gradcam",
    target_layer: str | None = None,
    dicom: bool = False,
    keep_identifiers: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Write `explanations.csv`, `skipped.csv` and a figure per image, and return the table.

    DICOM images are named by keyed hashes, and their paths are sealed; see `read_dicom`.

    Args:
        run_folders: a finished run folder, or several for an ensemble of their models.
        images: image files; a frame of a DICOM file is `file.dcm#3`.
        out: the folder to make.
        num_samples: how many posterior draws.
        seed: key of the draws.
        targets: what the maps of every image explain; see `analyze`. By default, the logit of its
            predicted class.
        method: how the maps are made; see `analyze`.
        target_layer: layer whose maps are weighted; see `analyze`.
        dicom: write the maps of DICOM images as DICOM objects too; see `write_dicom_maps`.
        keep_identifiers: name DICOM images by their files, and file the objects under the patient.
        progress: show a bar on standard error.

    Returns:
        Columns `path`, `figure` and those of `summarize`.

    Raises:
        InputError: no image can be decoded, or an argument does not fit.
    """
    if not len(images):
        raise InputError("`images` must name at least one file; got none")
    paths, stems = name_images(images, keep_identifiers)
    runs = load_runs(run_folders)
    explainer = make_explainer(
        runs.model,
        num_samples=num_samples,
        seed=seed,
        targets="all" if targets is None else targets,
        method=method,
        target_layer=target_layer,
    )
    manifest = new_manifest(
        "explanation",
        seed=seed,
        fingerprint=" ".join(map(_fingerprint, paths)),
        settings={
            "model": runs.fingerprint,
            "num_samples": explainer.draws.num_samples,
            "targets": None if targets is None else [target.name for target in explainer.targets],
            "method": explainer.method,
            "layer": explainer.target_layer,
            "images": paths,
            "dicom": dicom,
        },
    )
    names = class_names(runs.model)
    loader = ImageLoader(paths, runs.model.input_shape[1:], batch_size=_BATCH)
    figures, tables = [f"{stem}.png" for stem in stems], []
    unwritten: list[str] = []
    with work_folder(out, manifest) as folder, progress_bars(shown=progress) as report:
        for indices, batch in loader:
            draws = explain_padded(explainer, batch, _BATCH, report)
            table = summarize_logits(draws.logits, names)
            table.insert(0, "path", [paths[index] for index in indices])
            table.insert(1, "figure", [figures[index] for index in indices])
            shown = _shown_targets(table, explainer, targets)
            summaries = _summarize_batch(draws, shown)
            with figure_style():
                for name, figure in _draw_batch(table, draws, summaries, shown, names):
                    write_atomically(folder / name, partial(figure.savefig, format="png", dpi=130))
            if dicom:
                key = f"{runs.fingerprint} {seed} {len(draws.cams)} {explainer.target_layer}"
                unwritten += _write_objects(
                    folder, table, summaries, explainer.method, key, keep_identifiers
                )
            tables.append(table)
            report("explain", int(indices[-1]) + 1, len(paths), "")
        if not tables:
            first = loader.skipped[0]
            name = stems[first.index] if is_sealed(first.path) else first.path
            raise InputError(f"no image could be decoded; {name}: {first.reason}")
        if unwritten:
            warnings.warn(
                f"no DICOM objects were written of {len(unwritten)} images, the first of them "
                f"{unwritten[0]}",
                stacklevel=2,
            )
        write_skipped(
            folder,
            [
                item._replace(path=stems[item.index]) if is_sealed(item.path) else item
                for item in loader.skipped
            ],
        )
        whole = pd.concat(tables, ignore_index=True)
        write_table(folder / "explanations.csv", whole)
    return whole


def describe_explanations(table: pd.DataFrame) -> str:
    """Return the text for a terminal: the class probabilities of each image, the likeliest first.

    Args:
        table: of `explain_images`.
    """
    return "\n\n".join(_describe_image(row) for _, row in table.iterrows())


def _describe_image(row: pd.Series) -> str:
    columns = row.index[row.index.str.startswith("p_") & row.index.str.endswith("_mean")]
    names = [column.removeprefix("p_").removesuffix("_mean") for column in columns]
    names.sort(key=lambda name: row[f"p_{name}_mean"], reverse=True)
    lines = pd.DataFrame(
        {
            "mean": [format_number(row[f"p_{name}_mean"]) for name in names],
            "95 % interval": [
                f"[{row[f'p_{name}_lower']:.3f}, {row[f'p_{name}_upper']:.3f}]" for name in names
            ],
        },
        index=pd.Index(names, name="class"),
    )
    return (
        f"{shown_name(row)}: {row['predicted']}, predictive entropy "
        f"{row['predictive_entropy']:.3f} nats, mutual information "
        f"{format_number(row['mutual_information'])} ({row['figure']})\n{to_text(lines)}"
    )


def _fingerprint(path: str) -> str:
    file = find_place(path).file
    return file_fingerprint(file) if file.is_file() else ""


def _write_objects(
    folder: Path,
    table: pd.DataFrame,
    summaries: Sequence[Sequence[MapSummary]],
    method: str,
    key: str,
    keep_identifiers: bool,
) -> list[str]:
    """Write the objects of a batch; the names of images that have none, and why."""
    failed = []
    for (_, row), maps in zip(table.iterrows(), summaries, strict=True):
        try:
            write_dicom_maps(
                folder,
                row["path"],
                maps,
                stem=Path(row["figure"]).stem,
                method=method,
                key=key,
                keep_identifiers=keep_identifiers,
            )
        except InputError as error:
            failed.append(f"{shown_name(row)}: {error}")
    return failed


def _shown_targets(
    table: pd.DataFrame, explainer: CamExplainer, targets: Sequence[str | int] | None
) -> list[dict[int, Target]]:
    """For each image, the targets that its figure shows, by place."""
    if targets is not None:
        return [dict(enumerate(explainer.targets))] * len(table)
    places = {target.name: place for place, target in enumerate(explainer.targets)}
    return [{places[name]: explainer.targets[places[name]]} for name in table["predicted"]]


def _summarize_batch(draws: CamDraws, shown: Sequence[dict[int, Target]]) -> list[list[MapSummary]]:
    """For each image, what is shown of the maps of its targets."""
    statistics = summarize_maps(draws.cams)
    return [
        [
            map_summary(statistics, target.name, row, place, num_samples=len(draws.cams))
            for place, target in targets.items()
        ]
        for row, targets in enumerate(shown)
    ]


def _draw_batch(
    table: pd.DataFrame,
    draws: CamDraws,
    summaries: Sequence[Sequence[MapSummary]],
    shown: Sequence[dict[int, Target]],
    names: Sequence[str],
) -> Iterator[tuple[str, Figure]]:
    """The name of each image's figure, and the figure."""
    probs = softmax(draws.logits.astype(np.float64), axis=-1)
    for place, (_, row) in enumerate(table.iterrows()):
        yield (
            row["figure"],
            _draw_image(
                load_picture(row["path"]),
                shown_name(row),
                probs[:, place],
                names,
                summaries[place],
                [*shown[place].values()],
            ),
        )


def _draw_image(
    picture: Array,
    name: str,
    probs: Array,
    names: Sequence[str],
    summaries: Sequence[MapSummary],
    targets: Sequence[Target],
) -> Figure:
    """Densities above; for each target original, mean map, its uncertainty and P(relevant).

    An uncertainty belongs to all draws together, so its map has no distribution over them: there,
    the last two panels are of what each draw adds, and say so.
    """
    height = 2.9 * float(np.clip(picture.shape[0] / picture.shape[1], 0.5, 1.6)) + 0.9
    heights = [3.0, *[height] * len(summaries)]
    figure = Figure(figsize=(12.0, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(heights), 1, height_ratios=heights)
    above, *below = np.asarray(parts).ravel()
    draw_class_densities(probs, names, ax=above.subplots(), title=name)
    for part, summary, target in zip(below, summaries, targets, strict=True):
        *_, third, fourth = draw_map_panels(
            picture,
            summary.mean,
            summary.sd,
            summary.p_relevant,
            axes=list(part.subplots(1, 4)),
            threshold=summary.threshold,
            target=summary.target,
            has_evidence=summary.has_evidence,
        )
        if target.is_of_all_draws:
            third.set_title("what each draw adds (sd)")
            fourth.set_title(f"share of draws that add > {summary.threshold:.3g}")
    return figure
