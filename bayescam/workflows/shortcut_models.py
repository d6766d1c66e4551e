"""Heads on features of images without and with an artefact, and what their draws make of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tf_keras
from numpy.typing import NDArray

from bayescam.data import Artefact, planted_batches
from bayescam.explain import CamExplainer, energy_in_masks
from bayescam.inference import draw_posterior, fit_head
from bayescam.inference.draws import PosteriorDraws, run_suffix
from bayescam.inference.features import (
    FeatureCache,
    TrainingImages,
    cache_features,
    weights_fingerprint,
)
from bayescam.inference.split import split_network
from bayescam.inference.training import TrainingSettings, fit_classifier
from bayescam.models import class_names
from bayescam.types import Array
from bayescam.workflows.analysis import explain_padded
from bayescam.workflows.folders import data_fingerprint
from bayescam.workflows.progress import ProgressReport

__all__ = [
    "ShownImages",
    "both_features",
    "class_codes",
    "fine_tune",
    "head_draws",
    "show_images",
    "train_head",
]

_BATCH = 32


@dataclass(frozen=True, eq=False)
class ShownImages:
    """What the draws of one model make of the test images.

    Attributes:
        plain: Logits (S, N, K) without the artefact.
        planted: Logits (S, N, K) with it.
        energy: Share of `relu(map)` of each draw on the artefact, (S, N), of images with it; NaN
            where the map has no positive evidence.
        mean_maps: Mean over the draws of the signed maps, (N, h, w).
    """

    plain: Array
    planted: Array
    energy: Array
    mean_maps: Array


def both_features(
    model: tf_keras.Model,
    records: pd.DataFrame,
    artefact: Artefact,
    folder: Path | None,
    report: ProgressReport,
) -> Array:
    """Return what the backbone makes of images without and with the artefact, (2, N, F).

    With a `folder` they are kept there, for any split of the same images; a call that was
    interrupted carries on.
    """
    split = split_network(model)
    below = split.graph.between(split.graph.input, split.features)
    weights = weights_fingerprint([weight for step in below for weight in step.layer.weights])
    return cache_features(
        split.prefix(split.features),
        _images(model, records, artefact, None),
        shape=split.graph.item_shape(split.features),
        num_views=2,
        path=None if folder is None else folder / "features.npy",
        key=f"{model.name} {model.input_shape} {weights} {artefact}",
        report=report,
    ).values


def train_head(
    model: tf_keras.Model,
    features: Array,
    records: pd.DataFrame,
    chosen: NDArray[np.bool_],
    settings: TrainingSettings,
    report: ProgressReport,
) -> None:
    """Train the head of a model in place; images that are `chosen` (N,) have the artefact."""
    labels = class_codes(model, records)
    rows = [np.flatnonzero(records["split"] == name) for name in ("train", "val")]
    train, val = (FeatureCache(features[chosen[r].astype(int), r][np.newaxis]) for r in rows)
    codes = (labels[rows[0]], labels[rows[1]])
    fit_head(model, (train, val), codes, settings=settings, report=report)


def fine_tune(
    model: tf_keras.Model,
    records: pd.DataFrame,
    chosen: NDArray[np.bool_],
    artefact: Artefact,
    settings: TrainingSettings,
    work_dir: Path,
    report: ProgressReport,
) -> None:
    """Train head and last layers in place; images that are `chosen` (N,) have the artefact."""
    train, val = (
        _images(model, records[inside].reset_index(drop=True), artefact, chosen[inside])
        for inside in ((records["split"] == name).to_numpy() for name in ("train", "val"))
    )
    fit_classifier(model, train, val, settings=settings, work_dir=work_dir, report=report)


def head_draws(model: tf_keras.Model, num_samples: int, seed: int) -> PosteriorDraws:
    """Return the draws of a model: one where nothing is random."""
    stochastic = bool(split_network(model).stochastic)
    return draw_posterior(model, num_samples if stochastic else 1, seed=seed)


def show_images(
    draws: PosteriorDraws,
    features: Array,
    records: pd.DataFrame,
    artefact: Artefact,
    class_index: int,
    report: ProgressReport,
) -> ShownImages:
    """Return what the draws make of images without and with the artefact.

    Args:
        draws: of a trained model.
        features: of both versions, (2, N, F).
        records: of the N images.
        artefact: what is planted.
        class_index: the class whose logit the maps explain.
        report: told how far it is.
    """
    weights = draws.weights()
    plain, planted = (run_suffix(draws.split, version, weights).numpy() for version in features)
    explainer = CamExplainer(draws, targets=[class_index])
    shape = draws.model.input_shape[1:]
    energies, means = [], []
    for batch in planted_batches(records, artefact, shape, batch_size=_BATCH):
        cams = explain_padded(explainer, batch.planted, _BATCH, report).cams[:, :, 0]
        energies.append(energy_in_masks(cams, list(batch.masks)))
        means.append(cams.mean(axis=0))
        report("maps", int(batch.indices[-1]) + 1, len(records), "")
    return ShownImages(plain, planted, np.concatenate(energies, axis=1), np.concatenate(means))


def class_codes(model: tf_keras.Model, records: pd.DataFrame) -> NDArray[np.int64]:
    """Return the class numbers (N,)."""
    codes = pd.Index(class_names(model)).get_indexer(pd.Index(records["label"]))
    return codes.astype(np.int64)


def _images(
    model: tf_keras.Model,
    records: pd.DataFrame,
    artefact: Artefact,
    chosen: NDArray[np.bool_] | None,
) -> TrainingImages:
    """Images with the artefact where `chosen`; without a choice, a view without and one with it."""

    def batches(view: int, indices: Array) -> Iterator[tuple[Array, Array]]:
        for batch in planted_batches(records, artefact, model.input_shape[1:], indices=indices):
            with_it = np.full(len(batch.indices), view == 1)
            if chosen is not None:
                with_it = chosen[batch.indices]
            mixed = np.where(with_it[:, None, None, None], batch.planted, batch.plain)
            yield batch.indices, mixed

    choice = "both" if chosen is None else np.packbits(chosen).tobytes().hex()
    identity = f"{data_fingerprint(records.assign(split=None))} {artefact} {choice}"
    return TrainingImages(batches, class_codes(model, records), identity)
