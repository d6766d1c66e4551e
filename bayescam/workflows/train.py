"""`fit` and `bayescam train`: from records to a run folder that the other commands read.

A run folder holds `config.yaml`, `manifest.json`, `records.parquet` (with the split),
`skipped.csv`, `feature_statistics.npz`, `model/model.keras` and `history.csv`, and if asked for
`tensorboard/`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import tf_keras

from bayescam.data import (
    AUGMENTATIONS,
    ImageLoader,
    SkippedImage,
    augment_batch,
    check_records,
    complete_split,
    parse_source,
    read_records,
    seal_path,
)
from bayescam.data.records import group_keys
from bayescam.data.sealing import is_sealed
from bayescam.inference.features import TrainingImages
from bayescam.inference.tensorboard import EpochReport, TensorBoardLog
from bayescam.inference.training import FitResult, TrainingSettings, fit_classifier
from bayescam.models import build_classifier, class_names, load_model, save_model
from bayescam.models.saving import check_saveable
from bayescam.types import Array, InputError
from bayescam.workflows.config import AugmentationName, DataConfig, TrainConfig
from bayescam.workflows.feature_distance import write_statistics
from bayescam.workflows.folders import (
    data_fingerprint,
    file_fingerprint,
    new_manifest,
    read_manifest,
    work_folder,
    write_skipped,
    write_table,
)
from bayescam.workflows.progress import ProgressReport, progress_bars
from bayescam.workflows.training_audit import write_audit

__all__ = ["Run", "fit", "load_run", "train_run", "training_images"]

_WORK, _LOG = "work", "tensorboard"


class Run(NamedTuple):
    """A finished run folder: its model, its records with their split, and its fingerprint."""

    model: tf_keras.Model
    records: pd.DataFrame
    fingerprint: str


def fit(
    model: tf_keras.Model,
    train_records: pd.DataFrame,
    val_records: pd.DataFrame,
    *,
    out: str | os.PathLike[str] | None = None,
    settings: TrainingSettings | None = None,
    augmentation: AugmentationName = "none",
    tensorboard: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Train a classifier in place on records and return its history, one row per epoch.

    The prefix of the network is run once per image and view and cached; the KL divergence is
    divided by the number of training images; the epoch with the best validation log-likelihood is
    kept.

    Args:
        model: a classifier with class names; its head is trained, and the last layers of its
            backbone if `settings.fine_tune_layers` says so.
        train_records: images to train on; every label must be a class of the model.
        val_records: images to stop early with; no group may be in both.
        out: run folder to write, for `bayescam analyze`; a call that was killed carries on from
            `out.partial`. Without it everything stays in memory.
        settings: how to train; `TrainingSettings()` has the defaults.
        augmentation: random views of the training images: "none", "skin" or "chest".
        tensorboard: write `out/tensorboard` too, epoch by epoch (in `out.partial` until the end);
            see `bayescam.inference.tensorboard.TensorBoardLog`.
        progress: show bars on standard error.

    Returns:
        Columns `stage, epoch, loss, kl_divergence, validation_log_likelihood,
        validation_accuracy, seconds`.

    Raises:
        InputError: records or settings do not fit, or `out` exists.
    """
    settings = settings or TrainingSettings()
    records = pd.concat(
        [train_records.assign(split="train"), val_records.assign(split="val")], ignore_index=True
    )
    check_records(records)
    if tensorboard and out is None:
        raise InputError("`tensorboard` needs `out`, the run folder it is written into")
    shared = set(group_keys(train_records)) & set(group_keys(val_records))
    if shared:
        raise InputError(
            f"`train_records` and `val_records` must share no group; {len(shared)} are in both, "
            "for example that of image "
            f"{val_records['image_id'][group_keys(val_records).isin(shared)].iloc[0]!r}. Cut them "
            "with bayescam.split_records"
        )
    with progress_bars(shown=progress) as report:
        if out is None:
            records, _ = _drop_undecodable(records, model.input_shape[1:], report)
            memory = replace(settings, cache="memory")
            return pd.DataFrame(_train(model, records, memory, augmentation, report).history)
        config = TrainConfig(
            seed=settings.seed,
            data=DataConfig(augmentation=augmentation),
            model=None,
            training=settings,
        )
        return _fit_folder(model, records, config, Path(out), report, tensorboard=tensorboard)


def train_run(
    config: TrainConfig,
    out: str | os.PathLike[str],
    *,
    tensorboard: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Do what `bayescam train` does: read, split, build, train, and write the run folder.

    Args:
        config: of the whole run; needs `data.source` and `model`.
        out: the run folder to make.
        tensorboard: write `out/tensorboard` too, as `fit`.
        progress: show bars on standard error.

    Returns:
        The history, as `fit`.
    """
    if config.data.source is None or config.model is None:
        raise InputError("`config` must name data.source and model to train from the command line")
    config = config.model_copy(update={"data": _without_identifiers(config.data)})
    split_seed = config.seed if config.data.split_seed is None else config.data.split_seed
    records = read_records(
        str(config.data.source),
        published_split=config.data.published_split,
        seed=split_seed,
        keep_identifiers=config.data.keep_identifiers,
    )
    records = complete_split(records, seed=split_seed)
    records = records[records["label"].notna()].reset_index(drop=True)
    names = sorted(records.loc[records["split"] == "train", "label"].unique())
    assert config.model is not None
    settings = {**dict(config.model), "weights": _expand(config.model.weights)}
    model = build_classifier(**settings, class_names=names, seed=config.seed)
    with progress_bars(shown=progress) as report:
        return _fit_folder(model, records, config, Path(out), report, tensorboard=tensorboard)


def _without_identifiers(data: DataConfig) -> DataConfig:
    """The configuration as it is written: folders of DICOM images are often named after patients.

    Its source is still that of the data, for who has the key.
    """
    kind, path = parse_source(str(data.source))
    if kind != "dicom" or data.keep_identifiers or is_sealed(path):
        return data
    return data.model_copy(update={"source": f"{kind}:{seal_path(path.absolute())}"})


def load_run(folder: str | os.PathLike[str]) -> Run:
    """Return what a finished run folder holds.

    Raises:
        InputError: not a finished run folder.
    """
    path = Path(folder).expanduser()
    read_manifest(path, "run")
    model_file = path / "model" / "model.keras"
    return Run(
        load_model(model_file),
        pd.read_parquet(path / "records.parquet"),
        file_fingerprint(model_file),
    )


def _fit_folder(
    model: tf_keras.Model,
    records: pd.DataFrame,
    config: TrainConfig,
    out: Path,
    report: ProgressReport,
    *,
    tensorboard: bool,
) -> pd.DataFrame:
    check_saveable(model)
    settings = {**config.model_dump(mode="json"), "class_names": list(class_names(model))}
    manifest = new_manifest(
        "run",
        seed=config.seed,
        fingerprint=data_fingerprint(records),
        settings={name: value for name, value in settings.items() if name != "seed"},
    )
    with work_folder(out, manifest) as folder, ExitStack() as opened:
        kept = _kept_records(records, model.input_shape[1:], folder, report)
        work = folder / _WORK
        log = opened.enter_context(TensorBoardLog(folder / _LOG)) if tensorboard else None
        result = _train(
            model,
            kept,
            config.settings,
            config.data.augmentation,
            report,
            work=work,
            on_epoch=log,
        )
        config.write(folder / "config.yaml")
        _write_result(model, kept, result, folder)
        write_audit(kept, folder)
        shutil.rmtree(work, ignore_errors=True)
    return pd.DataFrame(result.history)


def _kept_records(
    records: pd.DataFrame, input_shape: tuple[int, ...], folder: Path, report: ProgressReport
) -> pd.DataFrame:
    """The records whose images can be decoded; what a killed run found out is not done again."""
    table = folder / "records.parquet"
    if table.exists():
        return pd.read_parquet(table)
    kept, skipped = _drop_undecodable(records, input_shape, report)
    write_skipped(folder, skipped)
    write_table(table, kept)
    return kept


def _drop_undecodable(
    records: pd.DataFrame, input_shape: tuple[int, ...], report: ProgressReport
) -> tuple[pd.DataFrame, list[SkippedImage]]:
    used = records["split"].isin(["train", "val"]).to_numpy()
    loader = ImageLoader(
        records["path"].tolist(), input_shape, batch_size=32, indices=np.flatnonzero(used)
    )
    done = 0
    for indices, _ in loader:
        done += len(indices)
        report("check", done + len(loader.skipped), int(used.sum()), "")
    bad = {item.index for item in loader.skipped}
    keep = [index not in bad for index in range(len(records))]
    return records[keep].reset_index(drop=True), loader.skipped


def _train(
    model: tf_keras.Model,
    records: pd.DataFrame,
    settings: TrainingSettings,
    augmentation: AugmentationName,
    report: ProgressReport,
    *,
    work: Path | None = None,
    on_epoch: EpochReport | None = None,
) -> FitResult:
    if augmentation == "none":
        settings = replace(settings, num_views=1)  # more would be copies
    train, val = (
        training_images(model, records[records["split"] == split], views, settings.seed)
        for split, views in (("train", augmentation), ("val", "none"))
    )
    return fit_classifier(
        model, train, val, settings=settings, work_dir=work, report=report, on_epoch=on_epoch
    )


def training_images(
    model: tf_keras.Model, records: pd.DataFrame, augmentation: str, seed: int
) -> TrainingImages:
    """Return the images of records for a model, each in views: itself, then augmentations of it.

    Raises:
        InputError: the augmentation is unknown, or a label is no class of the model.
    """
    if augmentation not in AUGMENTATIONS:
        known = ", ".join(AUGMENTATIONS)
        raise InputError(f"`augmentation` must be one of {known}; got {augmentation!r}")
    paths, shape = records["path"].tolist(), model.input_shape[1:]

    def batches(view: int, indices: Array) -> Iterator[tuple[Array, Array]]:
        loader = ImageLoader(paths, shape, batch_size=32, indices=indices)
        for numbers, images in loader:
            yield (
                numbers,
                augment_batch(
                    images, AUGMENTATIONS[augmentation], seed=seed, view=view, indices=numbers
                ),
            )
        if loader.skipped:
            raise InputError(f"{loader.skipped[0].path} became unreadable during training")

    return TrainingImages(
        batches,
        _class_indices(records, class_names(model)),
        f"{data_fingerprint(records)} {augmentation} {seed}",
    )


def _class_indices(records: pd.DataFrame, names: tuple[str, ...]) -> Array:
    codes = pd.Index(names).get_indexer(pd.Index(records["label"]))
    if (codes < 0).any():
        row = records.iloc[int((codes < 0).argmax())]
        raise InputError(
            f"label {row['label']!r} of image {row['image_id']!r} is no class of the model: "
            f"{', '.join(names)}. Does the training split hold every class?"
        )
    return codes.astype(np.int64)


def _write_result(
    model: tf_keras.Model, records: pd.DataFrame, result: FitResult, folder: Path
) -> None:
    labels = _class_indices(records[records["split"] == "train"], class_names(model))
    write_statistics(folder, result.training_features(), labels)
    (folder / "model").mkdir(exist_ok=True)
    save_model(model, folder / "model" / "model.keras")
    write_table(folder / "history.csv", pd.DataFrame(result.history))


def _expand(weights: str | None) -> str | None:
    return None if weights is None else os.path.expanduser(weights)
