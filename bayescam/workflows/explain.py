"""`bayescam explain`: a few image files, each with its densities and maps in one figure."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import softmax

from bayescam.data import ImageLoader
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
from bayescam.workflows.folders import (
    file_fingerprint,
    new_manifest,
    work_folder,
    write_atomically,
    write_skipped,
    write_table,
)
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
    progress: bool = True,
) -> pd.DataFrame:
    """Write `explanations.csv`, `skipped.csv` and a figure per image, and return the table.

    Args:
        run_folders: a finished run folder, or several for an ensemble of their models.
        images: image files.
        out: the folder to make.
        num_samples: how many posterior draws.
        seed: key of the draws.
        targets: what the maps of every image explain; see `analyze`. By default, the logit of its
            predicted class.
        method: how the maps are made; see `analyze`.
        target_layer: layer whose maps are weighted; see `analyze`.
        progress: show a bar on standard error.

    Returns:
        Columns `path`, `figure` and those of `summarize`.

    Raises:
        InputError: no image can be decoded, or an argument does not fit.
    """
    if not len(images):
        raise InputError("`images` must name at least one file; got none")
    paths = [str(Path(path).expanduser().absolute()) for path in images]
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
        fingerprint=" ".join(
            file_fingerprint(Path(path)) for path in paths if os.path.isfile(path)
        ),
        settings={
            "model": runs.fingerprint,
            "num_samples": explainer.draws.num_samples,
            "targets": None if targets is None else [target.name for target in explainer.targets],
            "method": explainer.method,
            "layer": explainer.target_layer,
            "images": paths,
        },
    )
    names = class_names(runs.model)
    loader = ImageLoader(paths, runs.model.input_shape[1:], batch_size=_BATCH)
    figures, tables = _figure_names(paths), []
    with work_folder(out, manifest) as folder, progress_bars(shown=progress) as report:
        for indices, batch in loader:
            draws = explain_padded(explainer, batch, _BATCH, report)
            table = summarize_logits(draws.logits, names)
            table.insert(0, "path", [paths[index] for index in indices])
            table.insert(1, "figure", [figures[index] for index in indices])
            shown = _shown_targets(table, explainer, targets)
            with figure_style():
                for name, figure in _draw_batch(table, draws, shown, names):
                    write_atomically(folder / name, partial(figure.savefig, format="png", dpi=130))
            tables.append(table)
            report("explain", int(indices[-1]) + 1, len(paths), "")
        if not tables:
            first = loader.skipped[0]
            raise InputError(f"no image could be decoded; {first.path}: {first.reason}")
        write_skipped(folder, loader.skipped)
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
        f"{Path(row['path']).name}: {row['predicted']}, predictive entropy "
        f"{row['predictive_entropy']:.3f} nats, mutual information "
        f"{format_number(row['mutual_information'])} ({row['figure']})\n{to_text(lines)}"
    )


def _figure_names(paths: Sequence[str]) -> list[str]:
    """The stems of the images; all with their place before them where two have the same."""
    stems = [Path(path).stem for path in paths]
    if len({stem.casefold() for stem in stems}) == len(stems):
        return [f"{stem}.png" for stem in stems]
    width = len(str(len(stems)))
    return [f"{place:0{width}}-{stem}.png" for place, stem in enumerate(stems, start=1)]


def _shown_targets(
    table: pd.DataFrame, explainer: CamExplainer, targets: Sequence[str | int] | None
) -> list[dict[int, Target]]:
    """For each image, the targets that its figure shows, by place."""
    if targets is not None:
        return [dict(enumerate(explainer.targets))] * len(table)
    places = {target.name: place for place, target in enumerate(explainer.targets)}
    return [{places[name]: explainer.targets[places[name]]} for name in table["predicted"]]


def _draw_batch(
    table: pd.DataFrame,
    draws: CamDraws,
    shown: Sequence[dict[int, Target]],
    names: Sequence[str],
) -> Iterator[tuple[str, Figure]]:
    """The name of each image's figure, and the figure."""
    statistics = summarize_maps(draws.cams)
    probs = softmax(draws.logits.astype(np.float64), axis=-1)
    for row, (path, figure) in enumerate(zip(table["path"], table["figure"], strict=True)):
        summaries = [
            map_summary(statistics, target.name, row, place, num_samples=len(draws.cams))
            for place, target in shown[row].items()
        ]
        yield figure, _draw_image(path, probs[:, row], names, summaries, [*shown[row].values()])


def _draw_image(
    path: str,
    probs: Array,
    names: Sequence[str],
    summaries: Sequence[MapSummary],
    targets: Sequence[Target],
) -> Figure:
    """Densities above; for each target original, mean map, its uncertainty and P(relevant).

    An uncertainty belongs to all draws together, so its map has no distribution over them: there,
    the last two panels are of what each draw adds, and say so.
    """
    picture = load_picture(path)
    height = 2.9 * float(np.clip(picture.shape[0] / picture.shape[1], 0.5, 1.6)) + 0.9
    heights = [3.0, *[height] * len(summaries)]
    figure = Figure(figsize=(12.0, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(heights), 1, height_ratios=heights)
    above, *below = np.asarray(parts).ravel()
    draw_class_densities(probs, names, ax=above.subplots(), title=Path(path).name)
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
