"""Where a network becomes random: deterministic prefix, stochastic suffix.

The split is found, not configured. The prefix runs once per image and ends at the pooled features;
the suffix is short, and all posterior draws of it run at once. Where a stochastic layer stands
before the pooling, the suffix begins there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from bayescam.models.ensemble import EnsembleDense
from bayescam.models.graph import LayerGraph, Step, flatten_model
from bayescam.models.laplace import LaplaceDense
from bayescam.models.layers import BinaryLogits, ClassLogits, SampledDropout, Standardization
from bayescam.types import InputError

__all__ = ["NetworkSplit", "is_stochastic", "split_network"]

_VARIATIONAL = (
    tfp.layers.DenseFlipout,
    tfp.layers.DenseReparameterization,
    tfp.layers.DenseLocalReparameterization,
)
_SAMPLED = (SampledDropout, LaplaceDense, EnsembleDense)
_POOLING = (
    tf_keras.layers.GlobalAveragePooling2D,
    tf_keras.layers.GlobalMaxPooling2D,
    tf_keras.layers.MaxPooling2D,
    tf_keras.layers.AveragePooling2D,
    tf_keras.layers.Flatten,
    tf_keras.layers.Reshape,
)
_PASSIVE = (
    tf_keras.layers.Dropout,
    tf_keras.layers.SpatialDropout2D,
    tf_keras.layers.GaussianDropout,
    tf_keras.layers.GaussianNoise,
    tf_keras.layers.AlphaDropout,
)
_SPLITS: WeakKeyDictionary[tf_keras.Model, NetworkSplit] = WeakKeyDictionary()
_AFFINE = (*_PASSIVE, tf_keras.layers.Flatten, Standardization, ClassLogits, BinaryLogits)


@dataclass(frozen=True, eq=False)
class NetworkSplit:
    """A network cut where the randomness begins.

    Attributes:
        graph: The layer calls of the whole network.
        features: The value where the suffix begins, usually the pooled features (N, F).
        target: The value explained by default: the last maps before the pooling, (N, h, w, C).
        suffix: The steps from `features` to the logits.
    """

    graph: LayerGraph
    features: int
    target: int
    suffix: tuple[Step, ...]
    _compiled: dict[Hashable, Callable[..., Any]] = field(default_factory=dict, repr=False)

    def prefix(self, *keys: int) -> Callable[[tf.Tensor], list[tf.Tensor]]:
        """Returns the compiled function from images to these values, float32, in one pass."""

        def make() -> Callable[..., Any]:
            network = self.graph.submodel(self.graph.input, keys)
            return lambda images: [
                tf.cast(value, tf.float32) for value in tf.nest.flatten(network(images))
            ]

        return self.compiled(("prefix", keys), make)

    def compiled(self, key: Hashable, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        """Returns the `tf.function` kept under this key, made once per network."""
        if key not in self._compiled:
            self._compiled[key] = tf.function(make())
        return self._compiled[key]

    def cut(self, target: int) -> tuple[int, ...]:
        """Returns the maps `target` and what else decides the features: the branches beside it."""
        return (target, *(self.graph.beside(target, self.features) or ()))

    def above(self, target: int) -> tf_keras.Model:
        """Returns the network from the values of `cut(target)` to the features."""
        return self.graph.submodel(self.cut(target), self.features)

    @property
    def num_classes(self) -> int:
        """Number of logits K."""
        return self.graph.item_shape(self.graph.output)[-1]

    @property
    def stochastic(self) -> tuple[Step, ...]:
        """The stochastic steps of the suffix, in the order of the graph."""
        return tuple(step for step in self.suffix if is_stochastic(step.layer))

    @property
    def is_affine(self) -> bool:
        """Whether the logits of each draw are affine in the features."""
        return all(_is_affine(step.layer) for step in self.suffix)

    def target_key(self, layer_name: str | None) -> int:
        """Returns the value to explain: the default one, or that of a named layer.

        Raises:
            InputError: If the layer has no maps or does not come before the random part.
        """
        if layer_name is None:
            if len(self.graph.shapes[self.target]) != 4:
                raise InputError(
                    f"no maps stand right before the head of this model (found layer "
                    f"{self.graph.name_of(self.target)!r}); name a `target_layer` with maps"
                )
            return self.target
        key = self.graph.key_of(layer_name)
        shape = self.graph.shapes[key]
        if len(shape) != 4:
            raise InputError(
                f"`target_layer` must make maps (N, h, w, C); {layer_name!r} makes {shape}"
            )
        if any(key in step.outputs for step in self.suffix):
            raise InputError(
                f"`target_layer` must come before the first stochastic layer; {layer_name!r} comes "
                "after it"
            )
        if self.graph.beside(key, self.features) is None:
            raise InputError(
                f"`target_layer` must lead to the logits; nothing of {layer_name!r} reaches them"
            )
        return key


def split_network(model: tf_keras.Model) -> NetworkSplit:
    """Returns where the random part of any functional or `Sequential` model begins.

    Raises:
        InputError: If the model cannot be listed layer by layer, or holds a stochastic layer whose
            posterior cannot be drawn as a whole function.
    """
    if model not in _SPLITS:
        graph = flatten_model(model)
        steps = graph.between(graph.input, graph.output)
        for step in steps:
            _check_drawable(step)
        _check_called_once([step.layer for step in steps if has_random_weights(step.layer)])
        features = _first_random_bottleneck(graph, steps)
        _SPLITS[model] = NetworkSplit(
            graph, features, _walk_back(graph, features), graph.between(features, graph.output)
        )
    return _SPLITS[model]


def is_stochastic(layer: tf_keras.layers.Layer) -> bool:
    """Tells whether posterior draws sample this layer."""
    return is_variational(layer) or isinstance(layer, _SAMPLED)


def has_random_weights(layer: tf_keras.layers.Layer) -> bool:
    """Tells whether a draw gives the layer other weights."""
    return is_stochastic(layer) and not isinstance(layer, SampledDropout)


def is_variational(layer: tf_keras.layers.Layer) -> bool:
    """Tells whether the layer has a posterior over its weights."""
    return isinstance(layer, _VARIATIONAL)


def is_pooling(layer: tf_keras.layers.Layer) -> bool:
    """Tells whether the layer only gathers cells, channel by channel, or passes them on."""
    return isinstance(layer, (*_POOLING, *_PASSIVE))


def _first_random_bottleneck(graph: LayerGraph, steps: tuple[Step, ...]) -> int:
    """The pooled features, or an earlier value where a stochastic layer comes before them.

    The features of a model without maps, a head alone, are its input.
    """
    made_by = {key: place for place, step in enumerate(steps) for key in step.outputs}
    random = [place for place, step in enumerate(steps) if is_stochastic(step.layer)]
    first_random = random[0] if random else len(steps)
    spatial = [p for p, step in enumerate(steps) if len(graph.shapes[step.outputs[0]]) == 4]
    of_input = -1 if len(graph.shapes[graph.input]) == 4 else -2
    last_spatial = spatial[-1] if spatial else of_input
    before = [
        key for key in graph.bottlenecks() if made_by.get(key, -1) < min(first_random, len(steps))
    ]
    pooled = [key for key in before if made_by.get(key, -1) > last_spatial]
    return pooled[0] if pooled else before[-1]


def _walk_back(graph: LayerGraph, key: int) -> int:
    """Goes back past pooling, padding and dropout to the last maps."""
    step = graph.step_of(key)
    while step is not None and (
        is_pooling(step.layer) or isinstance(step.layer, tf_keras.layers.ZeroPadding2D)
    ):
        key = step.inputs[0]
        step = graph.step_of(key)
    return key


def _is_affine(layer: tf_keras.layers.Layer) -> bool:
    if isinstance(layer, (*_VARIATIONAL, tf_keras.layers.Dense, tf_keras.layers.Activation)):
        return layer.activation in (None, tf_keras.activations.linear)
    return isinstance(layer, _AFFINE)


def _check_called_once(layers: list[tf_keras.layers.Layer]) -> None:
    names = [layer.name for layer in layers]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(
            f"layer {twice[0]!r} is called {names.count(twice[0])} times; a layer whose weights "
            "are drawn must be called once in a model"
        )


def _check_drawable(step: Step) -> None:
    layer = step.layer
    from_tfp = type(layer).__module__.startswith("tensorflow_probability")
    if from_tfp and not isinstance(layer, _VARIATIONAL):
        raise InputError(
            f"layer {layer.name!r} is a {type(layer).__name__}: whole-function draws are known for "
            "DenseFlipout, DenseReparameterization and DenseLocalReparameterization"
        )
