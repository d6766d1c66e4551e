"""Training a head on features, such as those that `FitResult.head_features` or a file gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tf_keras
from numpy.typing import ArrayLike, NDArray

from bayescam.inference.checkpoint import Checkpoint
from bayescam.inference.ensemble import plain_twin, train_members
from bayescam.inference.features import FeatureCache, ProgressReport
from bayescam.inference.laplace import fit_laplace
from bayescam.inference.split import NetworkSplit, split_network
from bayescam.inference.stages import Stage, plan_stages
from bayescam.inference.tensorboard import EpochReport
from bayescam.inference.trainer import StageTrainer, TrainingSettings
from bayescam.models.ensemble import EnsembleDense
from bayescam.models.laplace import LaplaceDense
from bayescam.models.layers import Standardization
from bayescam.models.mean_field import MeanFieldDense
from bayescam.models.prior import layers_with_prior
from bayescam.models.variational import variational_layers
from bayescam.types import Array, InputError

__all__ = [
    "check_labels",
    "complete_posterior",
    "fit_head",
    "set_num_train",
    "train_stage",
]


def fit_head(
    model: tf_keras.Model,
    features: tuple[FeatureCache | ArrayLike, FeatureCache | ArrayLike],
    labels: tuple[ArrayLike, ArrayLike],
    *,
    settings: TrainingSettings | None = None,
    report: ProgressReport | None = None,
    on_epoch: EpochReport | None = None,
) -> list[dict[str, Any]]:
    """Trains the head of a model in place on features and returns the history.

    Args:
        model: A classifier; its backbone is neither run nor changed. `build_head` gives one that
            is nothing but a head.
        features: Training and validation: arrays (N, F), or (V, N, F) of V views of the training
            images and one of the validation images; what `FitResult.head_features` gives too.
        labels: Training and validation classes, integers (N,).
        settings: How to train; what concerns fine-tuning is not used.
        report: Told how far it is.
        on_epoch: Called with each row of the history when it is done, such as a `TensorBoardLog`.

    Returns:
        One row per epoch: stage, epoch, loss, kl_divergence (nats), validation_log_likelihood
        (nats per image), validation_accuracy, seconds.

    Raises:
        InputError: If there are no images, features are not finite or do not fit the head or the
            labels, or a label is no class.

    Example:
        >>> import bayescam as bc
        >>> rng = np.random.default_rng(0)
        >>> labels = rng.integers(2, size=60)
        >>> features = rng.normal(size=(60, 4)) + labels[:, np.newaxis]
        >>> model = bc.build_head(4, class_names=["benign", "malignant"], head="dense")
        >>> history = bc.fit_head(model, (features[:40], features[40:]), (labels[:40], labels[40:]))
        >>> history[-1]["validation_log_likelihood"] > history[0]["validation_log_likelihood"]
        True
    """
    settings = settings or TrainingSettings()
    split = split_network(model)
    train_labels, val_labels = (
        check_labels(values, split.num_classes, name=name)
        for name, values in zip(_PARTS, _pair("labels", labels), strict=True)
    )
    train, val = (
        _check_features(values, len(classes), split.graph.item_shape(split.features), name)
        for name, values, classes in zip(
            _PARTS, _pair("features", features), (train_labels, val_labels), strict=True
        )
    )
    if val.num_views > 1:
        raise InputError(f"`features` of val must be of one view; got {val.num_views}.")
    set_num_train(model, len(train_labels))
    checked, both = (train, val), (train_labels, val_labels)
    history = []
    if plain_twin(model) is model:
        (stage,) = plan_stages(split, 0)
        checkpoint = Checkpoint(None, stage.name, "")
        history = train_stage(model, stage, checked, both, settings, checkpoint, report, on_epoch)
    else:
        _standardize(split, train)
    return history + complete_posterior(model, lambda: checked, both, settings, report, on_epoch)


def complete_posterior(
    model: tf_keras.Model,
    head_features: Callable[[], tuple[FeatureCache, FeatureCache]],
    labels: tuple[Array, Array],
    settings: TrainingSettings,
    report: ProgressReport | None,
    on_epoch: EpochReport | None = None,
) -> list[dict[str, Any]]:
    """What some heads need once the weights are trained: members, or a covariance."""
    layers = [step.layer for step in split_network(model).suffix]
    if not any(isinstance(layer, (EnsembleDense, LaplaceDense)) for layer in layers):
        return []
    train, val = head_features()
    fit_laplace(model, train, labels[0], settings.class_weight_power)
    return train_members(model, (train, val), labels, settings, report, on_epoch)


def set_num_train(model: tf_keras.Model, number: int) -> None:
    """Sets the number of images by which KL divergences and priors are divided."""
    for layer in variational_layers(model):
        if isinstance(layer, MeanFieldDense):
            layer.num_train = number
    for layer in layers_with_prior(step.layer for step in split_network(model).suffix):
        layer.kernel_regularizer.num_train = number


def train_stage(
    model: tf_keras.Model,
    stage: Stage,
    features: tuple[FeatureCache, FeatureCache],
    labels: tuple[Array, Array],
    settings: TrainingSettings,
    checkpoint: Checkpoint,
    report: ProgressReport | None,
    on_epoch: EpochReport | None = None,
) -> list[dict[str, Any]]:
    """Trains a stage, the head on standardised features, and returns the history."""
    if stage.name == "head":
        _standardize(split_network(model), features[0])
    return StageTrainer(model, stage, features, labels, settings).run(checkpoint, report, on_epoch)


def _standardize(split: NetworkSplit, cache: FeatureCache) -> None:
    """Sets the statistics of the standardisation at the head's entrance, if there is one."""
    for step in split.suffix:
        if isinstance(step.layer, Standardization) and step.inputs == (split.features,):
            flat = cache.values.reshape(-1, cache.values.shape[-1]).astype(np.float64)
            step.layer.set_statistics(flat.mean(axis=0), flat.std(axis=0))


def check_labels(labels: ArrayLike, num_classes: int, *, name: str) -> NDArray[np.int64]:
    """Classes as int64 (N,).

    Raises:
        InputError: If there are none, or one is no class.
    """
    array = np.asarray(labels)
    if len(array.shape) != 1:
        raise InputError(f"`{name}` labels must have shape (N,); got {array.shape}.")
    if len(array) == 0:
        raise InputError(f"`{name}` has no images; is the split empty?")
    if array.dtype.kind not in "iu":
        slip = " Are these class names?" if array.dtype.kind in "UO" else ""
        raise InputError(
            f"`{name}` labels must be integers, classes 0 to {num_classes - 1}; got values of "
            f"type {array.dtype}.{slip}"
        )
    if array.min() < 0 or array.max() >= num_classes:
        raise InputError(
            f"`{name}` labels must be classes 0 to {num_classes - 1}; got {array.min()} to "
            f"{array.max()}."
        )
    return array.astype(np.int64)


_PARTS = ("train", "val")


def _pair(argument: str, values: Any) -> Sequence[Any]:  # noqa: ANN401
    if not isinstance(values, tuple | list) or len(values) != 2:
        got = f"{len(values)} values" if isinstance(values, tuple | list) else type(values).__name__
        raise InputError(f"`{argument}` must be a pair, of training and validation; got {got}.")
    return values


def _check_features(
    values: FeatureCache | ArrayLike, num_images: int, shape: tuple[int, ...], name: str
) -> FeatureCache:
    """Features as (V, N, F), float32 unless they are kept in another type already."""
    if isinstance(values, FeatureCache):
        cache = values
    else:
        try:
            array = np.asarray(values, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise InputError(f"`features` of {name} must be numbers: {error}.") from error
        if not np.isfinite(array).all():
            raise InputError(f"`features` of {name} must be finite; got NaN or infinity.")
        cache = FeatureCache(array[np.newaxis] if array.ndim == 1 + len(shape) else array)
    want, got = (num_images, *shape), np.shape(cache.values)
    if got[1:] != want or not got[0]:
        wanted = f"({', '.join(map(str, want))}) or (V, {', '.join(map(str, want))})"
        came = np.shape(values.values if isinstance(values, FeatureCache) else values)
        raise InputError(
            f"`features` of {name} must have shape {wanted}, as its labels and the head; got "
            f"{came}."
        )
    return cache
