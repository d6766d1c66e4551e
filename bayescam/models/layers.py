"""Small layers that make a classifier self-contained: pixels in, named logits out.

All are registered, so files of every format restore them; all compute in float32 whatever the
mixed-precision policy, since the backbone alone profits from short floats.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import ArrayLike

from bayescam.types import InputError

__all__ = [
    "BinaryLogits",
    "ClassLogits",
    "PixelNormalization",
    "SampledDropout",
    "Standardization",
    "check_class_names",
]

_register = tf_keras.utils.register_keras_serializable("bayescam")


@_register
class PixelNormalization(tf_keras.layers.Layer):
    """Affine map of RGB values in 0..255 to what a backbone expects, `matrix @ rgb + offset`.

    Args:
        matrix: (C, 3), one row per output channel: it scales, swaps channels for BGR networks, or
            weighs them into one grey channel.
        offset: (C,).
        **kwargs: Name and the like, of every Keras layer.
    """

    def __init__(self, matrix: ArrayLike, offset: ArrayLike, **kwargs: Any) -> None:  # noqa: ANN401
        """Keeps the map."""
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.matrix, self.offset = np.asarray(matrix, "float32"), np.asarray(offset, "float32")
        if self.matrix.shape[1:] != (3,) or self.offset.shape != self.matrix.shape[:1]:
            raise InputError(
                "`matrix` must have shape (C, 3) and `offset` (C,); got "
                f"{self.matrix.shape} and {self.offset.shape}"
            )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the normalised images, float32 (N, H, W, C), from `inputs`, (N, H, W, 3)."""
        if (np.count_nonzero(self.matrix, axis=1) == 1).all():
            order = np.argmax(self.matrix != 0, axis=1)
            scale = self.matrix[np.arange(len(order)), order]
            return _reorder(inputs, order.tolist()) * scale + self.offset
        return tf.tensordot(inputs, self.matrix.T, axes=1) + self.offset

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs."""
        values = {"matrix": self.matrix.tolist(), "offset": self.offset.tolist()}
        return {**super().get_config(), **values}


@_register
class Standardization(tf_keras.layers.Layer):
    """Fixed affine map of features, `(x - mean) / sd`, one mean and sd per feature.

    The statistics are weights that no optimiser moves. They start at 0 and 1 (the identity) and are
    kept as a layer of their own, not folded into the head, so that the prior of a Bayesian head
    speaks about features of comparable size.
    """

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401
        """Fixes the type to float32."""
        super().__init__(**{**kwargs, "dtype": "float32"})

    def build(self, input_shape: tf.TensorShape) -> None:
        """Creates `mean` and `sd`, both of shape (F,)."""
        size = (input_shape[-1],)
        self.mean = self.add_weight("mean", size, initializer="zeros", trainable=False)
        self.sd = self.add_weight("sd", size, initializer="ones", trainable=False)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the standardised features, float32 of the shape of `inputs`, (N, F)."""
        return (inputs - self.mean) / self.sd

    def set_statistics(self, mean: ArrayLike, sd: ArrayLike) -> None:
        """Sets the statistics, each of shape (F,).

        A feature that never varies has an sd of rounding noise; it is only centred (sd 1), so that
        it cannot explode on images that do make it vary.

        Raises:
            InputError: If a shape is wrong or a value is not finite, or an sd is negative.
        """
        mean, sd = np.asarray(mean, np.float64), np.asarray(sd, np.float64)
        if mean.shape != self.mean.shape or sd.shape != self.sd.shape:
            raise InputError(
                f"`mean` and `sd` must have shape {tuple(self.mean.shape)}; got {mean.shape} and "
                f"{sd.shape}. Are they of another backbone?"
            )
        if not (np.isfinite(mean).all() and np.isfinite(sd).all() and (sd >= 0).all()):
            raise InputError("`mean` and `sd` must be finite, and `sd` must not be negative")
        noise = 1e-6 * np.maximum(np.abs(mean), sd.max(initial=0.0))
        self.mean.assign(mean)
        self.sd.assign(np.where(sd > noise, sd, 1.0))


@_register
class BinaryLogits(tf_keras.layers.Layer):
    """Two logits `[0, z]` from the one logit `z` of a sigmoid unit: the softmax is the sigmoid."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401
        """Fixes the type to float32."""
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns logits of shape (N, 2) from `inputs` of shape (N, 1)."""
        return tf.concat([tf.zeros_like(inputs), inputs], axis=-1)


@_register
class ClassLogits(tf_keras.layers.Layer):
    """The last layer of every classifier: the logits in float32, and the names of their classes.

    The names are in the layer's configuration and so travel with the model in every file format.
    """

    def __init__(self, class_names: Sequence[str], **kwargs: Any) -> None:  # noqa: ANN401
        """Keeps the names."""
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.class_names = check_class_names(class_names)

    def build(self, input_shape: tf.TensorShape) -> None:
        """Checks that there is one logit per class.

        Raises:
            InputError: If the number of logits is not the number of class names.
        """
        if len(input_shape) != 2 or input_shape[-1] != len(self.class_names):
            raise InputError(
                f"`class_names` must name every output; got {len(self.class_names)} names "
                f"({', '.join(self.class_names)}) for outputs of shape {tuple(input_shape)}"
            )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns `inputs`, logits of shape (N, K), in float32."""
        return tf.identity(inputs)

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs."""
        return {**super().get_config(), "class_names": list(self.class_names)}


@_register
class SampledDropout(tf_keras.layers.Dropout):
    """A dropout whose mask is part of a posterior draw (MC dropout); otherwise a plain dropout.

    Gal and Ghahramani, *Dropout as a Bayesian approximation*, ICML 2016. In training the mask is
    keyed by the seed and by how many masks there were, so a training that carries on repeats it.
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:  # noqa: ANN401
        """Keeps the rate.

        Raises:
            InputError: If it is not at least 0 and below 1.
        """
        if not 0 <= rate < 1:
            raise InputError(f"`dropout_rate` must be at least 0 and below 1; got {rate!r}")
        seed = kwargs.pop("seed", None)
        seed = random.randrange(2**31) if seed is None else seed
        super().__init__(rate, seed=seed, **kwargs)
        self._count = CallCount()

    @property
    def calls(self) -> tf.Variable:
        """How many masks were drawn in training; with the seed it decides the next one."""
        return self._count.calls

    @tf.autograph.experimental.do_not_convert
    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns masked features while training, the features themselves otherwise."""
        if not training:
            return tf.identity(inputs)
        key = tf.stack([tf.cast(self.seed, tf.int64), self.calls.assign_add(1)])
        shape = self._get_noise_shape(inputs)
        shape = tf.shape(inputs) if shape is None else shape
        keep = tf.random.stateless_uniform(shape, key) >= self.rate
        return inputs * tf.cast(keep, inputs.dtype) / (1.0 - self.rate)


class CallCount(tf.__internal__.tracking.AutoTrackable):
    """How often a layer drew random numbers: read afresh at each call, but no weight of it."""

    def __init__(self) -> None:
        with tf.init_scope():
            self.calls = tf.Variable(0, trainable=False, dtype=tf.int64, name="calls")


def check_class_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names as a tuple.

    Raises:
        InputError: If there are fewer than two, or one is empty or comes twice.
        TypeError: If it is not a sequence of strings.
    """
    if isinstance(class_names, str) or not all(isinstance(name, str) for name in class_names):
        raise TypeError(f"`class_names` must be a sequence of strings; got {class_names!r}")
    names = tuple(class_names)
    if len(names) < 2:
        raise InputError(f"`class_names` must name at least two classes; got {list(names)}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not all(name.strip() for name in names):
        raise InputError(
            f"`class_names` must be different and not empty; got {list(names)}"
            + (f" with {twice[0]!r} more than once" if twice else "")
        )
    return names


def _reorder(inputs: tf.Tensor, order: list[int]) -> tf.Tensor:
    if order == [0, 1, 2]:
        return inputs
    return (
        tf.reverse(inputs, axis=[-1]) if order == [2, 1, 0] else tf.gather(inputs, order, axis=-1)
    )
