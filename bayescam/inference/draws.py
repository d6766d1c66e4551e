"""Posterior draws: one draw is one whole function.

Draw `s` has the same weights for every image, batch, worker and map. Its random numbers are keyed
by `(seed, layer, s)`, where `layer` is the place of the layer among the stochastic ones, so S=200
begins with the draws of S=100 and any block of draws can be made alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from bayescam.inference.split import NetworkSplit, is_stochastic
from bayescam.models.ensemble import EnsembleDense
from bayescam.models.graph import Step
from bayescam.models.laplace import LaplaceDense
from bayescam.models.layers import SampledDropout
from bayescam.types import Array, InputError

tfd = tfp.distributions

__all__ = ["DrawnWeights", "PosteriorDraws", "run_suffix"]

DrawnWeights = tuple[tuple[tf.Tensor, ...], ...]
"""For each stochastic step of the suffix (kernel (S, F, K), bias (S, K)) or (mask (S, F),)."""

_BLOCK_BYTES = 1 << 30


@dataclass(frozen=True, eq=False)
class PosteriorDraws:
    """Draws from the posterior of one model, made when they are asked for.

    Attributes:
        model: The model as it was given.
        split: Where its random part begins.
        num_samples: How many draws there are; 1 where nothing is random.
        seed: The key of the random numbers.
    """

    model: tf_keras.Model
    split: NetworkSplit
    num_samples: int
    seed: int

    def __len__(self) -> int:
        return self.num_samples

    @property
    def members(self) -> tuple[PosteriorDraws, ...]:
        """The draws of each model: here those of the one, as `EnsembleDraws` has several."""
        return (self,)

    def weights(self, start: int = 0, stop: int | None = None) -> DrawnWeights:
        """Returns the weights of draws `start` to `stop`, draw axis first."""
        stop = self.num_samples if stop is None else stop
        return tuple(
            _draw_layer(step, self._input_shape(step), (self.seed, layer_index), (start, stop))
            for layer_index, step in enumerate(self.split.stochastic)
        )

    def blocks(self, bytes_per_draw: int = 0) -> list[tuple[int, int]]:
        """Returns ranges of draws whose weights, and results if given, fit into about 1 GB."""
        own = sum(
            4 * int(np.prod(self._input_shape(step))) * getattr(step.layer, "units", 1)
            for step in self.split.stochastic
        )
        size = int(np.clip(_BLOCK_BYTES // max(1, own + bytes_per_draw), 1, self.num_samples))
        return [(s, min(s + size, self.num_samples)) for s in range(0, self.num_samples, size)]

    def logits(self, images: Array) -> Array:
        """Returns the logits (S, N, K) of images (N, H, W, 3), RGB 0..255."""
        (features,) = self.split.prefix(self.split.features)(tf.cast(images, tf.float32))
        parts = [
            run_suffix(self.split, features, self.weights(start, stop)).numpy()
            for start, stop in self.blocks()
        ]
        return np.concatenate(parts)

    def as_model(self, index: int) -> tf_keras.Model:
        """Returns draw `index` as a plain deterministic model; only the backbone is shared.

        Raises:
            InputError: If there is no such draw.
        """
        if not 0 <= index < self.num_samples:
            raise InputError(f"`index` must be 0 to {self.num_samples - 1}; got {index}")
        drawn = iter(self.weights(index, index + 1))
        frozen = {
            step: _freeze(step, self._input_shape(step), next(drawn))
            for step in self.split.stochastic
        }
        graph = self.split.graph
        return graph.submodel(
            graph.input, graph.output, substitute=lambda step: frozen.get(step, step.layer)
        )

    def _input_shape(self, step: Step) -> tuple[int, ...]:
        return self.split.graph.item_shape(step.inputs[0])


@tf_keras.utils.register_keras_serializable("bayescam")
class FixedMask(tf_keras.layers.Layer):
    """Multiplies features by the dropout mask of one draw."""

    def build(self, input_shape: tf.TensorShape) -> None:
        """Creates the mask, of the shape of one image's features."""
        self.mask = self.add_weight("mask", input_shape[1:], initializer="ones", trainable=False)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the masked features."""
        return inputs * self.mask


def run_suffix(split: NetworkSplit, features: tf.Tensor, weights: DrawnWeights) -> tf.Tensor:
    """Returns the logits (S, N, K) of features (N, ...) or, one set a draw, (S, N, ...).

    Layers before the first stochastic one run once; fixed layers after it run on draws and images
    as one batch, always in inference mode.
    """
    features = tf.convert_to_tensor(features)
    num_samples = tf.shape(weights[0][0])[0] if weights else 1
    drawn = iter(weights)
    values = {split.features: features}
    per_draw = features.shape.rank > len(split.graph.shapes[split.features])
    has_draws = {split.features: per_draw}
    for step in split.suffix:
        inputs = [values[key] for key in step.inputs]
        flags = [has_draws[key] for key in step.inputs]
        if is_stochastic(step.layer):
            made = [_run_drawn(step.layer, inputs[0], next(drawn), has_draws=flags[0])]
            drawn_now = True
        else:
            shapes = [split.graph.shapes[key][1:] for key in step.inputs]
            made, drawn_now = _run_fixed(step, inputs, flags, shapes, num_samples)
        values.update(zip(step.outputs, made, strict=True))
        has_draws.update((key, drawn_now) for key in step.outputs)
    logits = values[split.graph.output]
    return logits if has_draws[split.graph.output] else logits[None]


def _draw_layer(
    step: Step, shape: tuple[int, ...], key: tuple[int, int], draws: tuple[int, int]
) -> tuple[tf.Tensor, ...]:
    """Weights of one stochastic step, draw axis first; `key` is the seed and the layer's place."""
    seed, place = key
    words = tf.constant([seed & 0x7FFFFFFF, (seed >> 31) & 0x7FFFFFFF], tf.int32)
    layer_key = tf.random.experimental.stateless_fold_in(words, place)
    numbers = tf.range(*draws)
    if isinstance(step.layer, SampledDropout):
        mask_shape = _mask_shape(step.layer, shape)
        return (_draw_masks(layer_key, numbers, tf.constant(step.layer.rate), mask_shape),)
    if isinstance(step.layer, LaplaceDense):
        return step.layer.perturbed(_draw_normal(layer_key, numbers, step.layer.noise_shape))
    if isinstance(step.layer, EnsembleDense):
        return tuple(tf.gather(member, numbers) for member in step.layer.members)
    posteriors = (step.layer.kernel_posterior, step.layer.bias_posterior)
    return tuple(
        _draw_distribution(
            posterior, tf.random.experimental.stateless_fold_in(layer_key, part), numbers
        )
        for part, posterior in enumerate(posteriors)
        if posterior is not None
    )


def _draw_distribution(
    posterior: Any,  # noqa: ANN401 - any distribution of TFP
    key: tf.Tensor,
    draws: tf.Tensor,
) -> tf.Tensor:
    base = getattr(posterior, "distribution", posterior)
    if isinstance(base, tfd.Normal):
        loc, scale = tf.convert_to_tensor(base.loc), tf.convert_to_tensor(base.scale)
        return loc + scale * _draw_normal(key, draws, tuple(loc.shape))
    if isinstance(base, tfd.Deterministic):
        return tf.repeat(tf.convert_to_tensor(base.loc)[None], tf.size(draws), axis=0)

    @tf.function
    def sample() -> tf.Tensor:
        return tf.map_fn(
            lambda draw: posterior.sample(seed=tf.random.experimental.stateless_fold_in(key, draw)),
            draws,
            fn_output_signature=tf.float32,
        )

    return sample()


@tf.function
def _draw_normal(key: tf.Tensor, draws: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    def one(draw: tf.Tensor) -> tf.Tensor:
        seed = tf.random.experimental.stateless_fold_in(key, draw)
        return tf.random.stateless_normal(shape, seed, alg="philox")

    return tf.map_fn(one, draws, fn_output_signature=tf.TensorSpec(shape, tf.float32))


@tf.function
def _draw_masks(
    key: tf.Tensor, draws: tf.Tensor, rate: tf.Tensor, shape: tuple[int, ...]
) -> tf.Tensor:
    def one(draw: tf.Tensor) -> tf.Tensor:
        seed = tf.random.experimental.stateless_fold_in(key, draw)
        keep = tf.random.stateless_uniform(shape, seed, alg="philox") >= rate
        return tf.cast(keep, tf.float32) / (1.0 - rate)

    return tf.map_fn(one, draws, fn_output_signature=tf.TensorSpec(shape, tf.float32))


def _mask_shape(layer: SampledDropout, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of one draw's mask: that of one image's features, 1 where `noise_shape` shares it."""
    noise = layer.noise_shape
    if noise is None:
        return shape
    return tuple(
        size if given is None else int(given) for size, given in zip(shape, noise[1:], strict=True)
    )


def _freeze(
    step: Step, shape: tuple[int, ...], weights: tuple[tf.Tensor, ...]
) -> tf_keras.layers.Layer:
    """A plain layer that carries the weights of one draw (draw axis of length one)."""
    name = step.layer.name
    if isinstance(step.layer, SampledDropout):
        frozen = FixedMask(name=name)
        shape = tuple(weights[0].shape[1:])
    else:
        frozen = tf_keras.layers.Dense(
            step.layer.units,
            activation=step.layer.activation,
            use_bias=len(weights) > 1,
            dtype="float32",
            name=name,
        )
    frozen.build((None, *shape))
    frozen.set_weights([weight[0].numpy() for weight in weights])
    return frozen


def _run_drawn(
    layer: tf_keras.layers.Layer,
    inputs: tf.Tensor,
    weights: tuple[tf.Tensor, ...],
    *,
    has_draws: bool,
) -> tf.Tensor:
    if isinstance(layer, SampledDropout):
        return (inputs if has_draws else inputs[None]) * weights[0][:, None]
    equation = "snf,sfk->snk" if has_draws else "nf,sfk->snk"
    outputs = tf.einsum(equation, tf.cast(inputs, tf.float32), weights[0])
    if len(weights) > 1:
        outputs += weights[1][:, None]
    return outputs if layer.activation is None else layer.activation(outputs)


def _run_fixed(
    step: Step,
    inputs: list[tf.Tensor],
    flags: list[bool],
    shapes: list[tuple[int | None, ...]],
    num_samples: tf.Tensor,
) -> tuple[list[tf.Tensor], bool]:
    """Calls a deterministic layer; draws and images are one batch where any input has draws."""
    drawn = any(flags)
    if drawn:
        inputs = [
            value if flag else tf.repeat(value[None], num_samples, axis=0)
            for value, flag in zip(inputs, flags, strict=True)
        ]
        outer = tf.shape(inputs[0])[:2]
        inputs = [
            tf.reshape(value, (-1, *shape)) for value, shape in zip(inputs, shapes, strict=True)
        ]
    values = dict(zip(step.inputs, inputs, strict=True))
    made = tf.nest.flatten(step.call(values))
    if drawn:
        made = [tf.reshape(v, tf.concat([outer, tf.shape(v)[1:]], 0)) for v in made]
    return made, drawn
