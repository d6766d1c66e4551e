"""The evidence lower bound, per image: weighted log-likelihood minus the scaled KL divergence.

`loss = mean_n(w_n * -log p(label_n | logits_n)) + kl_scale * KL(q || p) / num_train`
(Blundell et al. 2015, equation 8, with one weight per training image instead of per batch).
Point weights with a prior add `-log p(weights) / num_train` in its place.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from bayescam.models.mean_field import MeanFieldDense
from bayescam.types import Array

__all__ = ["class_weights", "kl_divergence", "kl_warmup", "weighted_cross_entropy"]


def kl_divergence(layers: Iterable[tf_keras.layers.Layer]) -> tf.Tensor:
    """Returns the sum of KL(posterior || prior) over variational layers, in nats."""
    total = tf.constant(0.0)
    for layer in layers:
        if isinstance(layer, MeanFieldDense):
            total += layer.kl_divergence()
        else:
            for posterior, prior in (
                (layer.kernel_posterior, layer.kernel_prior),
                (layer.bias_posterior, layer.bias_prior),
            ):
                if prior is not None:  # as in the layer itself: without a prior, no divergence
                    total += tfp.distributions.kl_divergence(posterior, prior)
    return total


def weighted_cross_entropy(logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Returns `mean_n(weights[label_n] * -log softmax(logits_n)[label_n])`, in nats.

    Args:
        logits: (N, K).
        labels: (N,), integer classes.
        weights: (K,), one weight per class.
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.cast(logits, tf.float32))
    return tf.reduce_mean(losses * tf.gather(weights, labels))


def class_weights(labels: Array, num_classes: int, power: float) -> Array:
    """Returns weights (K,) proportional to `frequency ** -power`, with mean 1 over the images.

    A class without images gets the weight 0.
    """
    counts = np.bincount(labels, minlength=num_classes).astype(np.float64)
    raw = np.where(counts > 0, np.maximum(counts, 1) ** -power, 0.0)
    return (raw * len(labels) / (raw * counts).sum()).astype(np.float32)


def kl_warmup(epoch: int, epochs: int) -> float:
    """Returns the factor of the KL divergence in an epoch: linear from 1 / (epochs + 1) up to 1."""
    return min(1.0, (epoch + 1) / (epochs + 1))
