"""The stages of training: which part of the network each trains, and from which value it starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import tensorflow as tf
import tf_keras

from bayescam.inference.split import NetworkSplit
from bayescam.models.graph import Step
from bayescam.types import InputError

__all__ = ["Stage", "frozen_batch_norm", "plan_stages"]


@dataclass(frozen=True, eq=False)
class Stage:
    """One stage of training.

    Attributes:
        name: "head" or "fine-tune".
        source: The value at which the cached features are; everything below is frozen.
        layers: The layers that are trained.
        network: The model from `source` to the logits.
    """

    name: str
    source: int
    layers: tuple[tf_keras.layers.Layer, ...]
    network: tf_keras.Model

    @property
    def variables(self) -> list[tf.Variable]:
        """The weights that are trained, each once."""
        found = {id(v): v for layer in self.layers for v in layer.trainable_variables}
        return list(found.values())


def plan_stages(split: NetworkSplit, fine_tune_layers: int) -> tuple[Stage, ...]:
    """Returns the head's stage and, if asked, that of the last layers of the backbone with it.

    Args:
        split: The network.
        fine_tune_layers: How many layers to train at the end of the backbone, counted as Keras
            does in `backbone.layers[-n:]` (pooling and activations count too).

    Raises:
        InputError: If the backbone has fewer layers.
    """
    graph = split.graph
    head = tuple(step.layer for step in split.suffix)
    stages = (Stage("head", split.features, head, graph.submodel(split.features, graph.output)),)
    if fine_tune_layers == 0:
        return stages
    backbone = backbone_steps(split)
    if not 0 < fine_tune_layers <= len(backbone):
        raise InputError(
            f"`fine_tune_layers` must be 0 to {len(backbone)}, the layers of the backbone; "
            f"got {fine_tune_layers}"
        )
    tuned = backbone[-fine_tune_layers:]
    source = _cut_below(split, tuned[0])
    layers = (*(step.layer for step in tuned), *head)
    return (*stages, Stage("fine-tune", source, layers, graph.submodel(source, graph.output)))


def backbone_steps(split: NetworkSplit) -> tuple[Step, ...]:
    """Returns the steps of the backbone: all that make maps, up to the pooling."""
    graph = split.graph
    steps = graph.between(graph.input, split.features)
    return tuple(step for step in steps if len(graph.shapes[step.outputs[0]]) == 4)


@contextmanager
def frozen_batch_norm(network: tf_keras.Model) -> Iterator[None]:
    """Keeps batch normalisation in inference mode while a network is trained."""
    norms = [
        layer
        for layer in network.layers
        if isinstance(layer, tf_keras.layers.BatchNormalization) and layer.trainable
    ]
    try:
        for layer in norms:
            layer.trainable = False
        yield
    finally:
        for layer in norms:
            layer.trainable = True


def _cut_below(split: NetworkSplit, first: Step) -> int:
    """The last value before `first` through which everything passes: what lies below is cached."""
    graph = split.graph
    made = {graph.input: -1}
    made.update((key, place) for place, step in enumerate(graph.steps) for key in step.outputs)
    start = graph.steps.index(first)
    return max((key for key in graph.bottlenecks() if made[key] < start), key=made.__getitem__)
