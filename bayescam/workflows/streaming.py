"""`bayescam analyze`: any number of images, batch by batch, in bounded memory, to a folder.

An analysis folder holds `analysis.zarr` (see `store`), `predictions.parquet` (one row per analysed
image; its column `image` is the index in the zarr arrays), `records.parquet` (one row per index),
`skipped.csv`, `feature_statistics.npz` (that of the run; none of an ensemble of runs),
`training.json` (see `training_record`) and `manifest.json`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescam.data import ImageLoader, SkippedImage
from bayescam.explain import CamExplainer, MapMethod
from bayescam.models import class_names
from bayescam.types import InputError, check_whole_number
from bayescam.workflows.analysis import (
    draw_members,
    explain_padded,
    make_explainer,
    summarize_logits,
    unit_of_draws,
)
from bayescam.workflows.feature_distance import copy_statistics
from bayescam.workflows.folders import (
    data_fingerprint,
    new_manifest,
    work_folder,
    write_skipped,
    write_table,
)
from bayescam.workflows.progress import progress_bars
from bayescam.workflows.runs import LoadedRuns, RunFolders, load_runs
from bayescam.workflows.selection import SplitChoice, select_records
from bayescam.workflows.store import AnalysisStore, MapsKind, StoreLayout
from bayescam.workflows.training_record import write_training_record

__all__ = ["AnalysisOptions", "AnalysisOutcome", "analyze_records"]

_RECORD_COLUMNS = ("image_id", "path", "label", "group", "split")
_IMAGES_PER_BLOCK = 1024


@dataclass(frozen=True)
class AnalysisOptions:
    """How to analyze.

    Attributes:
        split: which images: of one split, or all; by default val and test as split at training,
            or all images of data that the run does not know.
        maps: keep the maps of every "draw", or their "summary": mean, sd,
            P(relevant) and P(positive) per pixel, see `bayescam.explain.MapStatistics`.
        num_samples: how many posterior draws.
        seed: key of the draws.
        targets: what the maps explain; see `analyze`.
        method: how the maps are made; see `analyze`.
        target_layer: layer whose maps are weighted; see `analyze`.
        batch_size: images at a time, and in one chunk on disk.
    """

    split: SplitChoice | None = None
    maps: MapsKind = "draws"
    num_samples: int = 100
    seed: int = 0
    targets: Literal["all"] | Sequence[str | int] = "all"
    method: MapMethod = "gradcam"
    target_layer: str | None = None
    batch_size: int = 32

    def __post_init__(self) -> None:
        """Refuse what is not a choice."""
        if self.maps not in get_args(MapsKind):
            raise InputError(f'`maps` must be "draws" or "summary"; got {self.maps!r}')
        if self.split not in (None, *get_args(SplitChoice)):
            raise InputError(f"`split` must be train, val, test or all; got {self.split!r}")
        check_whole_number("batch_size", self.batch_size, least=1)


@dataclass(frozen=True)
class AnalysisOutcome:
    """What `analyze_records` did: where, how many images, and which could not be decoded."""

    folder: Path
    num_analysed: int
    skipped: tuple[SkippedImage, ...]


def analyze_records(
    run_folders: RunFolders,
    records: pd.DataFrame | None = None,
    *,
    out: str | os.PathLike[str],
    options: AnalysisOptions | None = None,
    progress: bool = True,
    announce: Callable[[str], object] | None = None,
) -> AnalysisOutcome:
    """Analyze the images of records with the model of a run, and write an analysis folder.

    Several runs are analyzed as one ensemble of their models: draw `s` is of run `s % M`, and of
    deterministic models there are exactly M draws. No member may have trained on an image that is
    analyzed as val or test.

    A call that was killed carries on from `out.partial` at the first batch that is not done.
    Images that cannot be decoded are left out and listed in `skipped.csv`.

    Args:
        run_folders: a finished run folder, or several.
        records: what to analyze; by default the records of the run, or of the first.
        out: the folder to make.
        options: how to analyze.
        progress: show a bar on standard error.
        announce: told, before the work, what is about to be done and how large it will be.

    Returns:
        What was done.

    Raises:
        InputError: a folder, the records or an option does not fit, or images would leak.
    """
    options = options or AnalysisOptions()
    runs = load_runs(run_folders)
    data = runs.records if records is None else records
    chosen = select_records(data, runs.known, options.split)
    explainer = make_explainer(
        runs.model,
        num_samples=options.num_samples,
        seed=options.seed,
        targets=options.targets,
        method=options.method,
        target_layer=options.target_layer,
    )
    names = class_names(runs.model)
    layout = _layout(explainer, len(names), len(chosen), options)
    if announce is not None:
        announce(_announcement(layout))
    manifest = new_manifest(
        "analysis",
        seed=options.seed,
        fingerprint=data_fingerprint(chosen),
        settings=_settings(runs, explainer, options),
    )
    with work_folder(out, manifest) as folder:
        store = _open_store(folder, layout, names, explainer, manifest["versions"])
        skipped = _analyze_pending(
            store, explainer, chosen, runs.model.input_shape[1:], progress=progress
        )
        write_table(folder / "records.parquet", chosen)
        predictions = _predictions(store, chosen, names)
        write_table(folder / "predictions.parquet", predictions)
        write_skipped(folder, skipped)
        write_training_record(folder, list(runs.known))
        if len(runs.known) == 1:
            copy_statistics(Path(next(iter(runs.known))).expanduser(), folder)
    return AnalysisOutcome(Path(out).expanduser(), len(predictions), tuple(skipped))


def _layout(
    explainer: CamExplainer, num_classes: int, num_images: int, options: AnalysisOptions
) -> StoreLayout:
    height, width = explainer.map_shape
    sizes = {
        "draw": explainer.draws.num_samples,
        "image": num_images,
        "class": num_classes,
        "target": len(explainer.targets),
        "row": height,
        "column": width,
        "feature": explainer.num_features,
    }
    return StoreLayout(sizes, options.maps, min(options.batch_size, num_images))


def _announcement(layout: StoreLayout) -> str:
    size = layout.sizes
    unit, scale = ("GB", 1e9) if layout.num_bytes >= 1e9 else ("MB", 1e6)
    return (
        f"{size['image']} images x {size['draw']} draws x {size['target']} maps of "
        f"{size['row']}x{size['column']} ({layout.maps}): {layout.num_bytes / scale:.1f} {unit}"
    )


def _settings(
    runs: LoadedRuns, explainer: CamExplainer, options: AnalysisOptions
) -> dict[str, str | int | list[str]]:
    return {
        "model": runs.fingerprint,
        "class_names": list(class_names(runs.model)),
        "num_samples": explainer.draws.num_samples,
        "draws_are": unit_of_draws(explainer),
        "maps": options.maps,
        "targets": [target.name for target in explainer.targets],
        "method": explainer.method,
        "layer": explainer.target_layer,
        "batch_size": options.batch_size,
    }


def _open_store(
    folder: Path,
    layout: StoreLayout,
    names: Sequence[str],
    explainer: CamExplainer,
    versions: dict[str, str],
) -> AnalysisStore:
    path = folder / "analysis.zarr"
    if (path / ".zmetadata").exists():
        return AnalysisStore(path, layout)
    return AnalysisStore.create(
        path,
        layout,
        class_names=names,
        target_names=[target.name for target in explainer.targets],
        members=draw_members(explainer),
        attributes={
            "seed": explainer.draws.seed,
            "num_samples": explainer.draws.num_samples,
            "draws_are": unit_of_draws(explainer),
            "layer": explainer.target_layer,
            "method": explainer.method,
            **{f"version_{name}": number for name, number in versions.items()},
        },
    )


def _analyze_pending(
    store: AnalysisStore,
    explainer: CamExplainer,
    records: pd.DataFrame,
    input_shape: tuple[int, ...],
    *,
    progress: bool,
) -> list[SkippedImage]:
    """Analyze what is not done; return what could not be decoded."""
    size = store.layout.batch_size
    pending = np.flatnonzero(~store.analysed)
    loader = ImageLoader(records["path"].tolist(), input_shape, batch_size=size, indices=pending)
    done = len(records) - len(pending)
    with progress_bars(shown=progress) as report:
        report("analyze", done, len(records), "")
        for indices, images in _aligned_batches(loader, size):
            store.write(indices, explain_padded(explainer, images, size, report))
            done += len(indices)
            report("analyze", done + len(loader.skipped), len(records), "")
    return loader.skipped


def _aligned_batches(
    loader: ImageLoader, size: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Cut what the loader yields where a chunk ends, so that no write touches two chunks."""
    indices = np.empty(0, dtype=np.int64)
    images: NDArray[np.uint8] = np.empty((0, *loader.size, 3), dtype=np.uint8)
    for new_indices, new_images in loader:
        indices = np.concatenate([indices, new_indices])
        images = np.concatenate([images, new_images])
        while indices[-1] // size > indices[0] // size:
            cut = int(np.searchsorted(indices, (indices[0] // size + 1) * size))
            yield indices[:cut], images[:cut]
            indices, images = indices[cut:], images[cut:]
    if len(indices):
        yield indices, images


def _predictions(
    store: AnalysisStore, records: pd.DataFrame, names: tuple[str, ...]
) -> pd.DataFrame:
    """One row per analysed image: what it is, and the summary of its draws."""
    analysed = np.flatnonzero(store.analysed)
    if not len(analysed):
        raise InputError("none of the images could be decoded; nothing was analyzed")
    parts = [
        summarize_logits(store.logits(analysed[start : start + _IMAGES_PER_BLOCK]), names)
        for start in range(0, len(analysed), _IMAGES_PER_BLOCK)
    ]
    known = records.loc[analysed, list(_RECORD_COLUMNS)].reset_index(drop=True)
    known.insert(0, "image", analysed)
    return pd.concat([known, pd.concat(parts, ignore_index=True)], axis=1)
