"""An ensemble of heads: each from another start, trained on another bootstrap of the images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import tf_keras

from bayescam.inference.checkpoint import Checkpoint
from bayescam.inference.features import FeatureCache, ProgressReport
from bayescam.inference.split import split_network
from bayescam.inference.stages import plan_stages
from bayescam.inference.tensorboard import EpochReport
from bayescam.inference.trainer import StageTrainer, TrainingSettings
from bayescam.models.ensemble import EnsembleDense
from bayescam.models.graph import Step
from bayescam.types import Array

__all__ = ["plain_twin", "train_members"]


def train_members(
    model: tf_keras.Model,
    features: tuple[FeatureCache, FeatureCache],
    labels: tuple[Array, Array],
    settings: TrainingSettings,
    report: ProgressReport | None,
    on_epoch: EpochReport | None = None,
) -> list[dict[str, Any]]:
    """Trains all members of the head of a model and returns the history, stage "member m".

    Args:
        model: A classifier; nothing is done unless its head has `EnsembleDense` layers.
        features: Training (V, N, F) and validation (1, N, F).
        labels: Training and validation classes.
        settings: How to train each; member m is trained with another seed.
        report: Told how far it is.
        on_epoch: Called with each row of the history.
    """
    layers = _ensemble_layers(model)
    if not layers:
        return []
    twin = plain_twin(model)
    plain = {layer.name: twin.get_layer(layer.name) for layer in layers}
    (stage,) = plan_stages(split_network(twin), 0)
    history, members = [], []
    for member in range(layers[0].num_members):
        rng = np.random.default_rng([settings.seed, member])
        for dense in plain.values():
            _start_anew(dense, int(rng.integers(2**31)))
        rows = rng.integers(len(labels[0]), size=len(labels[0]))
        trainer = StageTrainer(
            twin,
            replace(stage, name=f"member {member + 1}"),
            (FeatureCache(features[0].values[:, rows]), features[1]),
            (labels[0][rows], labels[1]),
            replace(settings, seed=int(rng.integers(2**31))),
        )
        history += trainer.run(Checkpoint(None, "", ""), report, on_epoch)
        members.append([dense.get_weights() for dense in plain.values()])
    for layer, weights in zip(layers, zip(*members, strict=True), strict=True):
        kernels, biases = (np.stack(part) for part in zip(*weights, strict=True))
        layer.set_members(kernels, biases)
    return history


def plain_twin(model: tf_keras.Model) -> tf_keras.Model:
    """Returns the model with a plain head in place of an ensemble; the model itself without one."""
    if not _ensemble_layers(model):
        return model
    graph = split_network(model).graph

    def substitute(step: Step) -> tf_keras.layers.Layer:
        layer = step.layer
        if not isinstance(layer, EnsembleDense):
            return layer
        return tf_keras.layers.Dense(
            layer.units,
            activation=layer.activation,
            kernel_initializer=layer.kernel_initializer,
            kernel_regularizer=layer.kernel_regularizer,
            name=layer.name,
            dtype="float32",
        )

    return graph.submodel(graph.input, graph.output, substitute=substitute)


def _ensemble_layers(model: tf_keras.Model) -> list[EnsembleDense]:
    steps = split_network(model).suffix
    return [step.layer for step in steps if isinstance(step.layer, EnsembleDense)]


def _start_anew(dense: tf_keras.layers.Dense, seed: int) -> None:
    kernel = tf_keras.initializers.GlorotUniform(seed=seed)(dense.kernel.shape)
    dense.set_weights([kernel, np.zeros(dense.units, np.float32)])
