"""Training a classifier: the head on cached features, then the last layers of the backbone.

Both stages are one procedure from a value of the graph to the logits: everything below the value is
frozen and runs once per image and view; everything above it is trained on the ELBO, and the epoch
with the best validation log-likelihood is kept. After every epoch the whole state is on disk, so a
killed run carries on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from bayescam.inference.checkpoint import Checkpoint
from bayescam.inference.ensemble import plain_twin
from bayescam.inference.features import (
    FeatureCache,
    ProgressReport,
    TrainingImages,
    weights_fingerprint,
)
from bayescam.inference.frozen import FrozenPart, structure_fingerprint
from bayescam.inference.head_training import (
    check_labels,
    complete_posterior,
    set_num_train,
    train_stage,
)
from bayescam.inference.split import NetworkSplit, split_network
from bayescam.inference.stages import plan_stages
from bayescam.inference.tensorboard import EpochReport
from bayescam.inference.trainer import TrainingSettings
from bayescam.types import Array, InputError

__all__ = ["FitResult", "TrainingSettings", "fit_classifier"]


@dataclass(frozen=True)
class FitResult:
    """What training leaves beside the trained model.

    Attributes:
        history: One row per epoch: stage, epoch, loss, kl_divergence (nats),
            validation_log_likelihood (nats per image), validation_accuracy, seconds.
        split: The trained network.
        frozen: The part of it that was left alone.
    """

    history: list[dict[str, Any]]
    split: NetworkSplit = field(repr=False)
    frozen: FrozenPart = field(repr=False)
    _caches: tuple[FeatureCache, FeatureCache] = field(repr=False)

    def head_features(self, num_views: int | None = None) -> tuple[FeatureCache, FeatureCache]:
        """Returns what the trained backbone hands to the head: training (V, N, F), validation.

        Only the layers above the cached part run. Other heads can be trained on these by
        `fit_head`, so that they differ in nothing else.
        """
        train, val = self._caches
        some = FeatureCache(train.values[:num_views])
        return self.frozen.to_features(some), self.frozen.to_features(val)

    def training_features(self) -> Array:
        """Returns the features (N, F), float64, of the plain training images."""
        train, _ = self.head_features(num_views=1)
        return train.values[0].reshape(train.values.shape[1], -1).astype(np.float64)


def fit_classifier(
    model: tf_keras.Model,
    train: TrainingImages,
    val: TrainingImages,
    *,
    settings: TrainingSettings | None = None,
    work_dir: Path | None = None,
    features_dir: Path | None = None,
    report: ProgressReport | None = None,
    on_epoch: EpochReport | None = None,
) -> FitResult:
    """Trains a model in place and returns how it went.

    Args:
        model: A classifier; its head is trained, and the last layers of its backbone if asked.
        train: Training images and labels.
        val: Validation images and labels, for stopping early.
        settings: How to train.
        work_dir: Folder for caches and checkpoints; a run that was killed carries on from it.
            Needed for a cache on disk.
        features_dir: Folder of the cache on disk, `work_dir / "features"` by default. Trainings
            on the same images may share it: where their frozen layers are the same, these run once.
        report: Told how far it is.
        on_epoch: Called with each row of the history when it is done, such as a `TensorBoardLog`;
            a training that carries on tells it the earlier ones first.

    Raises:
        InputError: If there are no images, a label is no class, or a setting does not fit.
    """
    settings = settings or TrainingSettings()
    trained = plain_twin(model)
    split = split_network(trained)
    for name, images in (("train", train), ("val", val)):
        check_labels(images.labels, split.num_classes, name=name)
    paths = _cache_paths(settings, work_dir, features_dir)
    set_num_train(model, len(train))
    stages = plan_stages(split, settings.fine_tune_layers)
    frozen = FrozenPart(split, stages[-1].source)
    structure = structure_fingerprint(split, split.graph.output)
    start = f"{structure} {weights_fingerprint(trained.weights)}"
    history: list[dict[str, Any]] = []
    with _as_it_was_if_interrupted(model):
        caches = (
            frozen.cache(train, settings.num_views, path=paths["train"], report=report),
            frozen.cache(val, 1, path=paths["val"], report=report),
        )
        for stage in stages:
            arrays = caches
            if stage.source != frozen.source:  # the head's weights are but a start for fine-tuning
                some = FeatureCache(caches[0].values[:2])
                arrays = frozen.to_features(some), frozen.to_features(caches[1])
            checkpoint = Checkpoint(work_dir, stage.name, f"{start} {settings} {train.fingerprint}")
            history += train_stage(
                trained,
                stage,
                arrays,
                (train.labels, val.labels),
                settings,
                checkpoint,
                report,
                on_epoch,
            )
        result = FitResult(history, split, frozen, caches)
        history += complete_posterior(
            model, result.head_features, (train.labels, val.labels), settings, report, on_epoch
        )
    return result


def _cache_paths(
    settings: TrainingSettings, work_dir: Path | None, features_dir: Path | None
) -> dict[str, Path | None]:
    """Where the cached values of training and validation images are; None is in memory."""
    if settings.cache == "memory":
        return {"train": None, "val": None}
    if work_dir is None:
        raise InputError('`cache` "disk" needs a work folder; give one or use cache="memory"')
    folder = features_dir or work_dir / "features"
    return {name: folder / f"{name}.npy" for name in ("train", "val")}


@contextmanager
def _as_it_was_if_interrupted(model: tf_keras.Model) -> Iterator[None]:
    """Gives the model its weights back, so that the same call again carries on where it was."""
    before = model.get_weights()
    try:
        yield
    except BaseException:
        model.set_weights(before)
        raise
