"""Gradients of the explained scores at the features, for all draws at once.

The logits of draw `s` have one Jacobian at the features; a score adds its slopes in the logits
(`bayescam.explain.targets`). Where the logits are affine in the features the Jacobian is the same
for every image, and so is the gradient of a score that is linear in the logits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from bayescam.explain.targets import Target, linear_slopes, score_slopes
from bayescam.inference.draws import DrawnWeights, run_suffix
from bayescam.inference.split import NetworkSplit

__all__ = ["score_gradients"]


def score_gradients(
    split: NetworkSplit,
    features: tf.Tensor,
    weights: DrawnWeights,
    targets: Sequence[Target],
    log_mean_probs: tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns the gradients of the targets at the features, (S, N or 1, T, ...).

    The image axis has length 1 where the gradient is the same for every image.

    Args:
        split: The network.
        features: Of N images.
        weights: Of S draws.
        targets: The scores.
        log_mean_probs: (N, K), over all draws; for the targets that belong to all of them.
    """
    shape = split.graph.item_shape(split.features)
    if all(target.is_linear for target in targets):
        slopes = linear_slopes(targets, split.num_classes)
        return _jacobian(split, features, weights, slopes)
    jacobian = _jacobian(split, features, weights, tf.eye(split.num_classes))
    num_samples, _, num_classes = jacobian.shape[:3]
    flat = tf.reshape(jacobian, (num_samples, -1, num_classes, int(np.prod(shape))))
    slopes = score_slopes(targets, run_suffix(split, features, weights), log_mean_probs)
    if split.is_affine:
        gradients = tf.einsum("sntk,skf->sntf", slopes, flat[:, 0])
    else:
        gradients = tf.einsum("sntk,snkf->sntf", slopes, flat)
    return tf.reshape(gradients, (num_samples, -1, len(targets), *shape))


def _jacobian(
    split: NetworkSplit, features: tf.Tensor, weights: DrawnWeights, slopes: tf.Tensor
) -> tf.Tensor:
    """Of linear scores with slopes (T, K): (S, N or 1, T, ...)."""
    where = tf.zeros_like(features[:1]) if split.is_affine else features
    num_samples = weights[0][0].shape[0] if weights else 1
    shape = split.graph.item_shape(split.features)
    rows = tf.reshape(tf.repeat(where[None], num_samples, axis=0), (-1, *shape))
    with tf.GradientTape() as tape:
        tape.watch(rows)
        logits = run_suffix(split, tf.reshape(rows, (num_samples, -1, *shape)), weights)
        scores = tf.reshape(logits, (-1, logits.shape[-1])) @ tf.transpose(slopes)
    jacobian = tape.batch_jacobian(scores, rows)
    return tf.reshape(jacobian, (num_samples, -1, slopes.shape[0], *shape))
