"""A head of one Gaussian layer: mean and covariance of its weights, along chosen scores.

A linear score has slopes `s_k` in the logits (a logit, or a contrast of two), and its weights are
`w = sum_k s_k W_k`, bias last. Their covariance is diagonal where all weights are independent; the
Laplace posterior `W + A (sd * Z) B^T` (`LaplaceDense`) has `A diag(sd^2 (B^T s)^2) A^T`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from bayescam.inference.split import NetworkSplit, is_variational
from bayescam.models.laplace import LaplaceDense
from bayescam.models.layers import ClassLogits, Standardization
from bayescam.types import InputError

__all__ = ["GaussianHead", "gaussian_head", "quadratic_form"]


@dataclass(frozen=True)
class GaussianHead:
    """`logits = ((x - shift) / scale, 1) @ W` with Gaussian `W` (F + 1, K), the bias its last row.

    Attributes:
        loc: (F + 1, K), mean of the weights.
        covariance: from slopes (T, K) to the variances (T, F + 1) of independent weights, or to
            their covariances (T, F + 1, F + 1).
        shift: (F,), of the standardisation.
        scale: (F,).
    """

    loc: tf.Tensor
    covariance: Callable[[tf.Tensor], tf.Tensor]
    shift: tf.Tensor
    scale: tf.Tensor


def gaussian_head(split: NetworkSplit) -> GaussianHead:
    """Returns the head, from a suffix of standardisation, one Gaussian layer and class names.

    Raises:
        InputError: If it is anything else.
    """
    layers = [step.layer for step in split.suffix if not isinstance(step.layer, ClassLogits)]
    fixed = [layer for layer in layers if isinstance(layer, Standardization)]
    gaussian = [x for x in layers if is_variational(x) or isinstance(x, LaplaceDense)]
    if len(gaussian) != 1 or len(layers) != len(fixed) + 1 or len(fixed) > 1 or not split.is_affine:
        names = ", ".join(f"{layer.name} ({type(layer).__name__})" for layer in layers)
        raise InputError(
            "closed forms exist for a head of one linear layer with a Gaussian posterior; this "
            f"model's head is {names}. Use Monte Carlo draws"
        )
    made = _of_laplace if isinstance(gaussian[0], LaplaceDense) else _of_mean_field
    loc, covariance = made(gaussian[0])
    shift = fixed[0].mean if fixed else tf.zeros(loc.shape[0] - 1)
    return GaussianHead(loc, covariance, shift, fixed[0].sd if fixed else tf.ones_like(shift))


def quadratic_form(values: tf.Tensor, covariance: tf.Tensor) -> tf.Tensor:
    """Returns `v^T C v` (..., T) for `v` (..., U) and `C` (T, U, U), or its diagonals (T, U)."""
    if len(covariance.shape) == 2:
        return tf.einsum("...u,tu->...t", tf.square(values), covariance)
    return tf.einsum("...u,tuv,...v->...t", values, covariance, values)


def _of_mean_field(
    layer: tf_keras.layers.Layer,
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    kernel = layer.kernel_posterior.distribution
    if not isinstance(kernel, tfp.distributions.Normal):
        raise InputError(f"the kernel of layer {layer.name!r} is not mean-field Gaussian")
    loc, sd = tf.convert_to_tensor(kernel.loc), tf.convert_to_tensor(kernel.scale)
    bias = layer.bias_posterior
    last = tf.zeros(loc.shape[1]) if bias is None else tf.convert_to_tensor(bias.mean())
    variance = tf.pad(tf.square(sd), [[0, 1], [0, 0]])  # the bias is a point
    return tf.concat(
        [loc, last[None]], axis=0
    ), lambda slopes: tf.square(slopes) @ tf.transpose(variance)


def _of_laplace(layer: LaplaceDense) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    loc = tf.concat([layer.kernel, layer.bias[None]], axis=0)
    variance = tf.square(layer.posterior_sd)

    def covariance(slopes: tf.Tensor) -> tf.Tensor:
        if layer.covariance == "diagonal":
            return tf.square(slopes) @ tf.transpose(variance)
        if layer.covariance == "full":
            basis = tf.reshape(layer.bases[0], (*loc.shape, -1))
            along = tf.einsum("fkg,tk->tfg", basis, slopes)
            return tf.einsum("tfg,g,thg->tfh", along, variance[:, 0], along)
        left, right = layer.bases
        spread = tf.square(slopes @ right) @ tf.transpose(variance)
        return tf.einsum("fg,tg,hg->tfh", left, spread, left)

    return loc, covariance
