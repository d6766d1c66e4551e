"""An ensemble of heads: each from another start, trained on another bootstrap of the images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import tf_keras

from bayescam.inference.checkpoint import Checkpoint
from bayescam.inference.features import FeatureCache, ProgressReport
from bayescam.inference.split import split_network
from bayescam.inference.stages import plan_stages
from bayescam.inference.trainer import StageTrainer, TrainingSettings
from bayescam.models.ensemble import EnsembleDense
from bayescam.models.graph import Step
from bayescam.types import Array

__all__ = ["train_members"]


def train_members(
    model: tf_keras.Model,
    features: tuple[FeatureCache, FeatureCache],
    labels: tuple[Array, Array],
    settings: TrainingSettings,
    report: ProgressReport | None,
) -> list[dict[str, Any]]:
    """Trains all members of the head of a model and returns the history, stage "member m".

    Args:
        model: A classifier; nothing is done unless its head has `EnsembleDense` layers.
        features: Training (V, N, F) and validation (1, N, F).
        labels: Training and validation classes.
        settings: How to train each; member m is trained with another seed.
        report: Told how far it is.
    """
    graph = split_network(model).graph
    layers = [step.layer for step in graph.steps if isinstance(step.layer, EnsembleDense)]
    if not layers:
        return []
    plain = {layer.name: _plain_copy(layer) for layer in layers}
    twin = graph.submodel(graph.input, graph.output, substitute=_substitute(plain))
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
        history += trainer.run(Checkpoint(None, "", ""), report)
        members.append([dense.get_weights() for dense in plain.values()])
    for layer, weights in zip(layers, zip(*members, strict=True), strict=True):
        kernels, biases = (np.stack(part) for part in zip(*weights, strict=True))
        layer.set_members(kernels, biases)
    return history


def _plain_copy(layer: EnsembleDense) -> tf_keras.layers.Dense:
    return tf_keras.layers.Dense(
        layer.units, activation=layer.activation, name=layer.name, dtype="float32"
    )


def _substitute(plain: dict[str, tf_keras.layers.Dense]) -> Callable[[Step], Any]:
    return lambda step: plain.get(step.layer.name, step.layer)


def _start_anew(dense: tf_keras.layers.Dense, seed: int) -> None:
    kernel = tf_keras.initializers.GlorotUniform(seed=seed)(dense.kernel.shape)
    dense.set_weights([kernel, np.zeros(dense.units, np.float32)])
