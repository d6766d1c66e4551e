"""Exact mean, variance and covariance of logits and maps, where the head is one Gaussian layer.

Between the features and the logits there is then at most a fixed affine `(x_f - m_f) / d_f` and one
layer with kernel `N(mu, sigma^2)`, all weights independent. The gradient of logit `t` at the
features is `g_f = W_ft / d_f`, a map is linear in it, and so

- after average pooling: mean `sum_k mu_kt A_k / (Z d_k)`, covariance of cells `p, q`
  `sum_k sigma_kt^2 A_kp A_kq / (Z d_k)^2`, with `Z = h w` of the maps `A`;
- after flattening: the same with `mu_kt / d_k` summed over the cells of channel `k`, and
  `sigma_kt^2 / d_k^2` likewise;
- for maps deeper in the network: the mean needs one vector-Jacobian product per target, the
  variance one per feature.

The logits have mean `x . mu + b` and variance `x^2 . sigma^2` at the standardised features `x`.
They are a product of their own and the oracle of the Monte Carlo draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from scipy.stats import norm

from bayescam.explain.channel_weights import channel_weights, is_pooled
from bayescam.inference.split import NetworkSplit, is_variational, split_network
from bayescam.models.layers import ClassLogits, Standardization
from bayescam.types import Array, InputError, MapMoments

__all__ = ["LogitMoments", "cam_covariance", "cam_moments", "logit_moments", "prob_above"]


@dataclass(frozen=True)
class LogitMoments:
    """Mean and variance of the logits over the posterior, (N, K); classes are independent."""

    mean: Array
    variance: Array


@dataclass(frozen=True)
class _GaussianHead:
    """`logits = ((x - shift) / scale) @ W + bias`, `W ~ N(loc, sd^2)`: (F, K), (F,) and (K,)."""

    loc: tf.Tensor
    sd: tf.Tensor
    bias: tf.Tensor
    shift: tf.Tensor
    scale: tf.Tensor


def logit_moments(model: tf_keras.Model, images: Array) -> LogitMoments:
    """Returns exact mean and variance of the logits of images (N, H, W, 3), RGB 0..255.

    Raises:
        InputError: If the head is not one Gaussian layer.
    """
    split = split_network(model)
    head = _gaussian_head(split)
    (features,) = split.prefix(split.features)(tf.cast(images, tf.float32))
    x = (features - head.shift) / head.scale
    mean, variance = x @ head.loc + head.bias, tf.square(x) @ tf.square(head.sd)
    return LogitMoments(mean.numpy(), variance.numpy())


def cam_moments(
    model: tf_keras.Model,
    images: Array,
    *,
    targets: Sequence[int] | None = None,
    target_layer: str | None = None,
) -> MapMoments:
    """Returns exact mean and variance (N, T, h, w) of the signed maps over the posterior.

    Args:
        model: A model whose head is one Gaussian layer.
        images: (N, H, W, 3), RGB 0..255.
        targets: Class indices; all by default.
        target_layer: As in `CamExplainer`.

    Raises:
        InputError: If the head is not one Gaussian layer or an argument does not fit.
    """
    split = split_network(model)
    maps, mean_weights, unit_maps, variances = _ingredients(split, images, targets, target_layer)
    mean = tf.einsum("ntc,nhwc->nthw", _per_image(mean_weights, maps), maps)
    variance = tf.einsum("ut,nhwu->nthw", variances, tf.square(unit_maps))
    return MapMoments(mean.numpy(), variance.numpy())


def cam_covariance(
    model: tf_keras.Model,
    images: Array,
    *,
    target: int,
    target_layer: str | None = None,
) -> Array:
    """Returns the covariance (N, h w, h w) of the cells of the map of one target, row by row.

    Raises:
        InputError: If the head is not one Gaussian layer or an argument does not fit.
    """
    split = split_network(model)
    _, _, unit_maps, variances = _ingredients(split, images, (target,), target_layer)
    cells = tf.reshape(unit_maps, (unit_maps.shape[0], -1, unit_maps.shape[-1]))
    return tf.einsum("npu,nqu->npq", cells * variances[:, 0], cells).numpy()


def prob_above(moments: MapMoments, threshold: Array | float) -> Array:
    """Returns P(map > threshold) per cell, (N, T, h, w): a cell's map is exactly Gaussian.

    Args:
        moments: Exact moments of the maps.
        threshold: One number, or an array that fits (N, T, h, w).
    """
    sd = np.sqrt(moments.variance.astype(np.float64))
    excess = moments.mean - np.asarray(threshold, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sd > 0, norm.cdf(excess / sd), (excess > 0).astype(np.float64))


def _ingredients(
    split: NetworkSplit,
    images: Array,
    targets: Sequence[int] | None,
    target_layer: str | None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Maps (N, h, w, C), mean channel weights, and independent units with their variances.

    A unit is a direction of the gradient with one independent Gaussian weight: its map (N, h, w, U)
    for weight 1, and the variance (U, T) of its weight. After pooling a unit is a channel, else it
    is a feature.
    """
    head = _gaussian_head(split)
    chosen = np.arange(head.loc.shape[1]) if targets is None else np.asarray(targets)
    if chosen.size == 0 or chosen.min() < 0 or chosen.max() >= head.loc.shape[1]:
        raise InputError(
            f"`targets` must be class indices 0 to {head.loc.shape[1] - 1}; got {chosen.tolist()}"
        )
    target = split.target_key(target_layer)
    values = split.prefix(*split.cut(target))(tf.cast(images, tf.float32))
    maps = values[0]
    slopes = tf.transpose(tf.gather(head.loc / head.scale[:, None], chosen, axis=1))
    mean_weights = channel_weights(split, target, values, slopes[None, None])[0]
    feature_variances = tf.gather(tf.square(head.sd / head.scale[:, None]), chosen, axis=1)
    if is_pooled(split, target):
        channels, cells = maps.shape[-1], maps.shape[1] * maps.shape[2]
        by_channel = tf.reshape(feature_variances, (-1, channels, len(chosen)))
        return maps, mean_weights, maps / cells, tf.reduce_sum(by_channel, axis=0)
    basis = channel_weights(split, target, values, tf.eye(head.loc.shape[0])[:, None, None])
    unit_maps = tf.einsum("unc,nhwc->nhwu", basis[:, :, 0], maps)
    return maps, mean_weights, unit_maps, feature_variances


def _per_image(weights: tf.Tensor, maps: tf.Tensor) -> tf.Tensor:
    """Channel weights (N or 1, T, C) as (N, T, C)."""
    return tf.broadcast_to(weights, (maps.shape[0], *weights.shape[1:]))


def _gaussian_head(split: NetworkSplit) -> _GaussianHead:
    """The head's moments, from a suffix of standardisation, one Gaussian layer and class names."""
    layers = [step.layer for step in split.suffix if not isinstance(step.layer, ClassLogits)]
    fixed = [layer for layer in layers if isinstance(layer, Standardization)]
    gaussian = [layer for layer in layers if is_variational(layer)]
    if len(gaussian) != 1 or len(layers) != len(fixed) + 1 or len(fixed) > 1 or not split.is_affine:
        names = ", ".join(f"{layer.name} ({type(layer).__name__})" for layer in layers)
        raise InputError(
            "closed forms exist for a head of one linear layer with a Gaussian posterior; this "
            f"model's head is {names}. Use Monte Carlo draws"
        )
    kernel = gaussian[0].kernel_posterior.distribution
    if not isinstance(kernel, tfp.distributions.Normal):
        raise InputError(f"the kernel of layer {gaussian[0].name!r} is not mean-field Gaussian")
    loc, sd = tf.convert_to_tensor(kernel.loc), tf.convert_to_tensor(kernel.scale)
    bias = gaussian[0].bias_posterior
    return _GaussianHead(
        loc,
        sd,
        tf.zeros(loc.shape[1]) if bias is None else tf.convert_to_tensor(bias.mean()),
        fixed[0].mean if fixed else tf.zeros(loc.shape[0]),
        fixed[0].sd if fixed else tf.ones(loc.shape[0]),
    )
