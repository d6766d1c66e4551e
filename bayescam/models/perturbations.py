"""Three ways in which a training step perturbs a layer with a mean-field posterior.

One posterior, three estimators of its gradient: they differ in the variance of the gradient and in
nothing else. Draws of a trained layer never use the perturbation.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from bayescam.models.mean_field import MeanFieldDense

__all__ = [
    "FlipoutDense",
    "LocalReparameterizationDense",
    "ReparameterizationDense",
    "flipout_noise",
    "rademacher",
]

_register = tf_keras.utils.register_keras_serializable("bayescam")


@_register
class FlipoutDense(MeanFieldDense, tfp.layers.DenseFlipout):
    """`MeanFieldDense` with one perturbation a call, its signs flipped anew for every row.

    Equations 3 and 4 of Wen et al., *Flipout: efficient pseudo-independent weight perturbations on
    mini-batches*, ICLR 2018.
    """

    @staticmethod
    def _noise(inputs: tf.Tensor, scale: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return flipout_noise(inputs, scale, seed=seed)


@_register
class ReparameterizationDense(MeanFieldDense, tfp.layers.DenseReparameterization):
    """`MeanFieldDense` with one perturbation a call, the same for all rows.

    Section 3.2 of Blundell et al., *Weight uncertainty in neural networks*, ICML 2015.
    """

    @staticmethod
    def _noise(inputs: tf.Tensor, scale: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        epsilon = tf.random.stateless_normal(tf.shape(scale), seed, dtype=scale.dtype)
        return tf.matmul(inputs, scale * epsilon)


@_register
class LocalReparameterizationDense(MeanFieldDense, tfp.layers.DenseLocalReparameterization):
    """`MeanFieldDense` that perturbs the outputs, every row and unit on its own.

    Equation 6 of Kingma et al., *Variational dropout and the local reparameterization trick*, 2015.
    """

    @staticmethod
    def _noise(inputs: tf.Tensor, scale: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        variance = tf.matmul(tf.square(inputs), tf.square(scale))
        sd = tf.sqrt(tf.maximum(variance, 1e-20))  # the slope of a root at zero is infinite
        return sd * tf.random.stateless_normal(tf.shape(sd), seed, dtype=sd.dtype)


def flipout_noise(inputs: tf.Tensor, scale: tf.Tensor, *, seed: tf.Tensor) -> tf.Tensor:
    """Returns `((inputs * r) @ (scale * eps)) * s`, of shape (N, units).

    `eps` is one standard normal matrix shared by the batch, `r` and `s` are random signs of each
    row (Wen et al. 2018, equation 4), so each row alone has variance `inputs^2 @ scale^2`.

    Args:
        inputs: (N, F).
        scale: (F, units), standard deviations of the weights.
        seed: A stateless seed, two integers.
    """
    seeds = tf.unstack(tf.random.split(seed, 3))
    epsilon = tf.random.stateless_normal(scale.shape, seeds[0], dtype=scale.dtype)
    rows = tf.shape(inputs)[:-1]
    signs_in = rademacher(tf.shape(inputs), seed=seeds[1], dtype=inputs.dtype)
    signs_out = rademacher(
        tf.concat([rows, tf.shape(scale)[-1:]], 0), seed=seeds[2], dtype=inputs.dtype
    )
    return tf.matmul(inputs * signs_in, scale * epsilon) * signs_out


def rademacher(
    shape: Any,  # noqa: ANN401 - a tuple or a tensor
    *,
    seed: Any,  # noqa: ANN401 - two integers or a tensor
    dtype: tf.DType = tf.float32,
) -> tf.Tensor:
    """Returns independent random signs, -1 or 1 with equal probability (variance 1)."""
    bits = tf.random.stateless_uniform(shape, seed, 0, 2, dtype=tf.int32)
    return tf.cast(2 * bits - 1, dtype)
