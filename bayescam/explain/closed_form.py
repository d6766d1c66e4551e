"""Exact mean, variance and covariance of logits and maps, where the head is one Gaussian layer.

Between the features and the logits there is then at most a fixed affine `(x_f - m_f) / d_f` and one
layer with a Gaussian kernel, of independent weights `N(mu, sigma^2)` or with the covariance of a
Laplace approximation. The gradient of logit `t` at the features is `g_f = W_ft / d_f`, a map is
linear in it, and so, for independent weights,

- after average pooling: mean `sum_k mu_kt A_k / (Z d_k)`, covariance of cells `p, q`
  `sum_k sigma_kt^2 A_kp A_kq / (Z d_k)^2`, with `Z = h w` of the maps `A`;
- after flattening: the same with `mu_kt / d_k` summed over the cells of channel `k`, and
  `sigma_kt^2 / d_k^2` likewise;
- for maps deeper in the network: the mean needs one vector-Jacobian product per target, the
  variance one per feature.

The logits have mean `x . mu + b` and variance `x^2 . sigma^2` at the standardised features `x`. For
a contrast of two logits, `mu` and `W` are the differences of both. These moments are a product of
their own and the oracle of the Monte Carlo draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras

from bayescam.explain.channel_weights import channel_weights, is_pooled
from bayescam.explain.gaussian_head import gaussian_head, quadratic_form
from bayescam.explain.targets import Target, as_targets, linear_slopes
from bayescam.inference.split import split_network
from bayescam.types import Array, InputError, MapMoments

__all__ = ["LogitMoments", "cam_covariance", "cam_moments", "logit_moments"]


@dataclass(frozen=True)
class LogitMoments:
    """Mean and variance of each logit over the posterior, (N, K)."""

    mean: Array
    variance: Array


def logit_moments(model: tf_keras.Model, images: Array) -> LogitMoments:
    """Returns exact mean and variance of the logits of images (N, H, W, 3), RGB 0..255.

    Raises:
        InputError: If the head is not one Gaussian layer.
    """
    split = split_network(model)
    head = gaussian_head(split)
    (features,) = split.prefix(split.features)(tf.cast(images, tf.float32))
    x = tf.pad((features - head.shift) / head.scale, [[0, 0], [0, 1]], constant_values=1.0)
    variance = quadratic_form(x, head.covariance(tf.eye(split.num_classes)))
    return LogitMoments((x @ head.loc).numpy(), variance.numpy())


def cam_moments(
    model: tf_keras.Model,
    images: Array,
    *,
    targets: Sequence[int | Target] | None = None,
    target_layer: str | None = None,
) -> MapMoments:
    """Returns exact mean and variance (N, T, h, w) of the signed Grad-CAM over the posterior.

    No draw is made. `gaussian_statistics` and `gaussian_quantiles` make of them what is made of
    draws, `prob_above` the probability of exceeding a threshold.

    Args:
        model: A model whose head is one Gaussian layer.
        images: (N, H, W, 3), RGB 0..255.
        targets: Class indices (their logits), or logits and contrasts as `Target`s; all classes by
            default.
        target_layer: As in `CamExplainer`.

    Raises:
        InputError: If the head is not one Gaussian layer or an argument does not fit.
    """
    maps, mean_weights, unit_maps, covariance = _ingredients(model, images, targets, target_layer)
    mean = tf.einsum("ntc,nhwc->nthw", _per_image(mean_weights, maps), maps)
    variance = tf.transpose(quadratic_form(unit_maps, covariance), (0, 3, 1, 2))
    return MapMoments(mean.numpy(), np.maximum(variance.numpy(), 0.0))


def cam_covariance(
    model: tf_keras.Model,
    images: Array,
    *,
    target: int | Target,
    target_layer: str | None = None,
) -> Array:
    """Returns the covariance (N, h w, h w) of the cells of the map of one target, row by row.

    Raises:
        InputError: If the head is not one Gaussian layer or an argument does not fit.
    """
    _, _, unit_maps, covariance = _ingredients(model, images, (target,), target_layer)
    cells = tf.reshape(unit_maps, (unit_maps.shape[0], -1, unit_maps.shape[-1]))
    full = len(covariance.shape) == 3
    weighted = cells @ covariance[0] if full else cells * covariance[0]
    return tf.einsum("npu,nqu->npq", weighted, cells).numpy()


def _ingredients(
    model: tf_keras.Model,
    images: Array,
    targets: Sequence[int | Target] | None,
    target_layer: str | None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Maps (N, h, w, C), mean channel weights, and units with the covariance of their weights.

    A unit is a direction of the gradient: its map (N, h, w, U) for weight 1, and the variances
    (T, U) or covariances (T, U, U) of the weights. After pooling a unit is a channel, else it is a
    feature.
    """
    split = split_network(model)
    head = gaussian_head(split)
    slopes = _slopes(targets, split.num_classes)
    target = split.target_key(target_layer)
    values = split.prefix(*split.cut(target))(tf.cast(images, tf.float32))
    maps = values[0]
    loc = slopes @ tf.transpose(head.loc[:-1]) / head.scale
    mean_weights = channel_weights(split, target, values, loc[None, None])[0]
    covariance = _of_gradient(head.covariance(slopes), head.scale)
    if is_pooled(split, target):
        channels, cells = maps.shape[-1], maps.shape[1] * maps.shape[2]
        return maps, mean_weights, maps / cells, _by_channel(covariance, channels)
    basis = channel_weights(split, target, values, tf.eye(head.scale.shape[0])[:, None, None])
    unit_maps = tf.einsum("unc,nhwc->nhwu", basis[:, :, 0], maps)
    return maps, mean_weights, unit_maps, covariance


def _slopes(targets: Sequence[int | Target] | None, num_classes: int) -> tf.Tensor:
    """Slopes (T, K) of logits and contrasts."""
    made = as_targets(targets, num_classes)
    curved = [target.name for target in made if not target.is_linear]
    if curved:
        raise InputError(
            "closed forms exist for logits and their contrasts; `targets` has "
            f"{curved[0]!r}. Use Monte Carlo draws"
        )
    return linear_slopes(made, num_classes)


def _of_gradient(covariance: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Of the gradient at the features: without the bias, divided by the standardisation."""
    if len(covariance.shape) == 2:
        return covariance[:, :-1] / tf.square(scale)
    return covariance[:, :-1, :-1] / (scale[:, None] * scale)


def _by_channel(covariance: tf.Tensor, channels: int) -> tf.Tensor:
    """Summed over the cells of each channel: (T, F) to (T, C), or (T, F, F) to (T, C, C)."""
    if len(covariance.shape) == 2:
        return tf.reduce_sum(tf.reshape(covariance, (len(covariance), -1, channels)), axis=1)
    shape = (len(covariance), -1, channels, covariance.shape[1] // channels, channels)
    return tf.reduce_sum(tf.reshape(covariance, shape), axis=(1, 3))


def _per_image(weights: tf.Tensor, maps: tf.Tensor) -> tf.Tensor:
    """Channel weights (N or 1, T, C) as (N, T, C)."""
    return tf.broadcast_to(weights, (maps.shape[0], *weights.shape[1:]))
