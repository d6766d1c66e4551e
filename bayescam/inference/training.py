"""Training a classifier: the head on cached features, then the last layers of the backbone.

Both stages are one procedure from a value of the graph to the logits: everything below the value is
frozen and runs once per image and view; everything above it is trained on the ELBO, and the epoch
with the best validation log-likelihood is kept. After every epoch the whole state is on disk, so a
killed run carries on where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from bayescam.inference.checkpoint import Checkpoint
from bayescam.inference.ensemble import plain_twin, train_members
from bayescam.inference.features import (
    FeatureCache,
    ProgressReport,
    TrainingImages,
    cache_features,
    weights_fingerprint,
)
from bayescam.inference.laplace import fit_laplace
from bayescam.inference.split import NetworkSplit, split_network
from bayescam.inference.stages import Stage, plan_stages
from bayescam.inference.trainer import BATCH, StageTrainer, TrainingSettings
from bayescam.models.ensemble import EnsembleDense
from bayescam.models.laplace import LaplaceDense
from bayescam.models.layers import Standardization
from bayescam.models.mean_field import MeanFieldDense, variational_layers
from bayescam.models.prior import layers_with_prior
from bayescam.types import Array, InputError

__all__ = ["FitResult", "TrainingSettings", "fit_classifier", "fit_head"]


@dataclass(frozen=True)
class FitResult:
    """What training leaves beside the trained model.

    Attributes:
        history: One row per epoch: stage, epoch, loss, kl_divergence (nats),
            validation_log_likelihood (nats per image), validation_accuracy, seconds.
        split: The trained network.
    """

    history: list[dict[str, Any]]
    split: NetworkSplit = field(repr=False)
    _source: int = field(repr=False)
    _caches: tuple[FeatureCache, FeatureCache] = field(repr=False)

    def head_features(self, num_views: int | None = None) -> tuple[FeatureCache, FeatureCache]:
        """Returns what the trained backbone hands to the head: training (V, N, F), validation.

        Only the layers above the cached part run. Other heads can be trained on these by
        `fit_head`, so that they differ in nothing else.
        """
        train, val = self._caches
        return _at_features(self.split, self._source, (FeatureCache(train.values[:num_views]), val))

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
    report: ProgressReport | None = None,
) -> FitResult:
    """Trains a model in place and returns how it went.

    Args:
        model: A classifier; its head is trained, and the last layers of its backbone if asked.
        train: Training images and labels.
        val: Validation images and labels, for stopping early.
        settings: How to train.
        work_dir: Folder for caches and checkpoints; a run that was killed carries on from it.
            Needed for a cache on disk.
        report: Told how far it is.

    Raises:
        InputError: If there are no images, a label is no class, or a setting does not fit.
    """
    settings = settings or TrainingSettings()
    trained = plain_twin(model)
    split = split_network(trained)
    _check_labels(split, train=train.labels, val=val.labels)
    if settings.cache == "disk" and work_dir is None:
        raise InputError('`cache` "disk" needs a work folder; give one or use cache="memory"')
    _set_num_train(model, len(train))
    stages = plan_stages(split, settings.fine_tune_layers)
    source = stages[-1].source
    start = f"{_structure(split)} {weights_fingerprint(trained.weights)}"
    history: list[dict[str, Any]] = []
    with _as_it_was_if_interrupted(model):
        caches = _cache_both(split, source, train, val, settings, work_dir, report)
        for stage in stages:
            arrays = caches
            if stage.source != source:  # the head's weights are only a start for fine-tuning
                some = FeatureCache(caches[0].values[:2]), caches[1]
                arrays = _at_features(split, source, some)
            checkpoint = Checkpoint(work_dir, stage.name, f"{start} {settings} {train.fingerprint}")
            history += _train_stage(
                trained, stage, arrays, (train.labels, val.labels), settings, checkpoint, report
            )
        result = FitResult(history, split, source, caches)
        history += _complete_posterior(
            model, result.head_features, (train.labels, val.labels), settings, report
        )
    return result


def fit_head(
    model: tf_keras.Model,
    features: tuple[FeatureCache, FeatureCache],
    labels: tuple[Array, Array],
    *,
    settings: TrainingSettings | None = None,
    report: ProgressReport | None = None,
) -> list[dict[str, Any]]:
    """Trains the head of a model in place on features and returns the history.

    Args:
        model: A classifier; its backbone is neither run nor changed.
        features: Training (V, N, F) and validation (1, N, F), as `FitResult.head_features` gives.
        labels: Training and validation classes.
        settings: How to train; what concerns fine-tuning is not used.
        report: Told how far it is.

    Raises:
        InputError: If there are no images or a label is no class.
    """
    settings = settings or TrainingSettings()
    split = split_network(model)
    _check_labels(split, train=labels[0], val=labels[1])
    _set_num_train(model, len(labels[0]))
    history = []
    if plain_twin(model) is model:
        (stage,) = plan_stages(split, 0)
        checkpoint = Checkpoint(None, stage.name, "")
        history = _train_stage(model, stage, features, labels, settings, checkpoint, report)
    else:
        _standardize(split, features[0])
    return history + _complete_posterior(model, lambda: features, labels, settings, report)


def _complete_posterior(
    model: tf_keras.Model,
    head_features: Callable[[], tuple[FeatureCache, FeatureCache]],
    labels: tuple[Array, Array],
    settings: TrainingSettings,
    report: ProgressReport | None,
) -> list[dict[str, Any]]:
    """What some heads need once the weights are trained: members, or a covariance."""
    layers = [step.layer for step in split_network(model).suffix]
    if not any(isinstance(layer, (EnsembleDense, LaplaceDense)) for layer in layers):
        return []
    train, val = head_features()
    fit_laplace(model, train, labels[0], settings.class_weight_power)
    return train_members(model, (train, val), labels, settings, report)


def _set_num_train(model: tf_keras.Model, number: int) -> None:
    for layer in variational_layers(model):
        if isinstance(layer, MeanFieldDense):
            layer.num_train = number
    for layer in layers_with_prior(step.layer for step in split_network(model).suffix):
        layer.kernel_regularizer.num_train = number


@contextmanager
def _as_it_was_if_interrupted(model: tf_keras.Model) -> Iterator[None]:
    """Gives the model its weights back, so that the same call again carries on where it was."""
    before = model.get_weights()
    try:
        yield
    except BaseException:
        model.set_weights(before)
        raise


def _train_stage(
    model: tf_keras.Model,
    stage: Stage,
    features: tuple[FeatureCache, FeatureCache],
    labels: tuple[Array, Array],
    settings: TrainingSettings,
    checkpoint: Checkpoint,
    report: ProgressReport | None,
) -> list[dict[str, Any]]:
    if stage.name == "head":
        _standardize(split_network(model), features[0])
    return StageTrainer(model, stage, features, labels, settings).run(checkpoint, report)


def _cache_both(
    split: NetworkSplit,
    source: int,
    train: TrainingImages,
    val: TrainingImages,
    settings: TrainingSettings,
    work_dir: Path | None,
    report: ProgressReport | None,
) -> tuple[FeatureCache, FeatureCache]:
    """Features of the training views and of the plain validation images at `source`."""
    graph = split.graph
    extract = None if source == graph.input else split.prefix(source)
    below = () if extract is None else graph.between(graph.input, source)
    weights = [weight for step in below for weight in step.layer.weights]
    key = f"{_structure(split)} {weights_fingerprint(weights)}"
    folder = work_dir if settings.cache == "disk" else None
    train_cache, val_cache = (
        cache_features(
            extract,
            images,
            shape=graph.item_shape(source),
            num_views=num_views,
            path=None if folder is None else folder / "features" / f"{name}.npy",
            key=key,
            report=report,
        )
        for name, images, num_views in (("train", train, settings.num_views), ("val", val, 1))
    )
    return train_cache, val_cache


def _at_features(
    split: NetworkSplit, source: int, caches: tuple[FeatureCache, FeatureCache]
) -> tuple[FeatureCache, FeatureCache]:
    """The caches at `source` carried on to the features; the part between runs once."""
    if source == split.features:
        return caches
    network = tf.function(split.graph.submodel(source, split.features))
    train, val = caches
    return _transform(network, train), _transform(network, val)


def _transform(network: Any, cache: FeatureCache) -> FeatureCache:  # noqa: ANN401
    views = []
    for view in cache.values:
        blocks = [
            network(tf.cast(view[i : i + BATCH], tf.float32)).numpy()
            for i in range(0, len(view), BATCH)
        ]
        views.append(np.concatenate(blocks).astype(np.float32))
    return FeatureCache(np.stack(views))


def _standardize(split: NetworkSplit, cache: FeatureCache) -> None:
    """Sets the statistics of the standardisation at the head's entrance, if there is one."""
    for step in split.suffix:
        if isinstance(step.layer, Standardization) and step.inputs == (split.features,):
            flat = cache.values.reshape(-1, cache.values.shape[-1]).astype(np.float64)
            step.layer.set_statistics(flat.mean(axis=0), flat.std(axis=0))


def _structure(split: NetworkSplit) -> str:
    """A hash of the layers' settings and shapes, which weights alone do not tell."""
    graph = split.graph
    layers = [(_settings(step.layer), graph.shapes[step.outputs[0]]) for step in graph.steps]
    return hashlib.sha256(repr((graph.shapes[graph.input], layers)).encode()).hexdigest()[:16]


def _settings(layer: tf_keras.layers.Layer) -> object:
    try:
        return layer.get_config()
    except NotImplementedError:  # a user's layer that cannot tell them
        return type(layer).__name__


def _check_labels(split: NetworkSplit, **labels: Array) -> None:
    num_classes = split.num_classes
    for name, values in labels.items():
        if len(values) == 0:
            raise InputError(f"`{name}` has no images; is the split empty?")
        if min(values) < 0 or max(values) >= num_classes:
            raise InputError(
                f"`{name}` labels must be classes 0 to {num_classes - 1}; got {min(values)} to "
                f"{max(values)}"
            )
