"""Channel weights of Grad-CAM: from gradients at the features to one weight per channel.

`alpha_k = mean_ij dy / dA_ijk` (Selvaraju et al. 2017, equation 1) is linear in the gradient `g` of
the score at the features. Where only pooling lies between the maps `A` and the features, each
gradient is handed on whole to some cell of its channel, so `alpha_k = sum_cells g / (h w)` for
every image alike. Otherwise the network between them is differentiated, once per vector and batch;
for maps inside a branch, the other branches are held as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from bayescam.inference.draws import DrawnWeights, run_suffix
from bayescam.inference.split import NetworkSplit, is_pooling

__all__ = ["channel_weights", "is_pooled", "score_gradients"]


def score_gradients(
    split: NetworkSplit, features: tf.Tensor, weights: DrawnWeights, targets: tf.Tensor
) -> tf.Tensor:
    """Returns the gradients of target logits at the features, (S, N, T, ...).

    The image axis has length 1 where the logits are affine in the features: then the gradient is
    the same for every image.
    """
    where = tf.zeros_like(features[:1]) if split.is_affine else features
    num_samples = weights[0][0].shape[0] if weights else 1
    shape = split.graph.shapes[split.features][1:]
    rows = tf.reshape(tf.repeat(where[None], num_samples, axis=0), (-1, *shape))
    with tf.GradientTape() as tape:
        tape.watch(rows)
        logits = run_suffix(split, tf.reshape(rows, (num_samples, -1, *shape)), weights)
        scores = tf.gather(tf.reshape(logits, (-1, logits.shape[-1])), targets, axis=1)
    jacobian = tape.batch_jacobian(scores, rows)
    return tf.reshape(jacobian, (num_samples, -1, targets.shape[0], *shape))


def channel_weights(
    split: NetworkSplit, target: int, values: Sequence[tf.Tensor], gradients: tf.Tensor
) -> tf.Tensor:
    """Returns channel weights (S, N, T, C) for gradients (S, N or 1, T, ...) at the features.

    Args:
        split: The network.
        target: The value whose maps are weighted.
        values: Those of `split.cut(target)`, its maps (N, h, w, C) first.
        gradients: Gradients of the scores at the features.
    """
    num_samples, _, num_targets = gradients.shape[:3]
    _, height, width, channels = values[0].shape
    if is_pooled(split, target):
        cells = tf.reshape(
            gradients,
            (
                num_samples,
                -1,
                num_targets,
                gradients.shape[3:].num_elements() // channels,
                channels,
            ),
        )
        return tf.reduce_sum(cells, axis=3) / (height * width)
    size = gradients.shape[3:].num_elements()
    flat = tf.reshape(gradients, (num_samples, -1, num_targets, size))
    if num_samples * num_targets <= size:
        rows = tf.reshape(tf.transpose(flat, (0, 2, 1, 3)), (num_samples * num_targets, -1, size))
        weights = _pull_back(split, target, values, rows)
        return tf.transpose(
            tf.reshape(weights, (num_samples, num_targets, -1, channels)), (0, 2, 1, 3)
        )
    operator = _pull_back(split, target, values, tf.eye(size)[:, None])
    if split.is_affine:
        return tf.einsum("stf,fnc->sntc", flat[:, 0], operator)
    return tf.einsum("sntf,fnc->sntc", flat, operator)


def is_pooled(split: NetworkSplit, target: int) -> bool:
    """Tells whether nothing but pooling, flattening and passive layers follows the maps."""
    steps = split.graph.between(split.cut(target), split.features)
    return all(is_pooling(step.layer) for step in steps)


def _pull_back(
    split: NetworkSplit, target: int, values: Sequence[tf.Tensor], rows: tf.Tensor
) -> tf.Tensor:
    """Mean over the cells of vector-Jacobian products: rows (R, N or 1, F) to (R, N, C)."""
    network, maps = split.above(target), values[0]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(maps)
        features = tf.cast(network(list(values)), tf.float32)

    def one(row: tf.Tensor) -> tf.Tensor:
        outer = tf.broadcast_to(row, (tf.shape(maps)[0], row.shape[-1]))
        gradient = tape.gradient(
            features, maps, output_gradients=tf.reshape(outer, tf.shape(features))
        )
        return tf.reduce_mean(gradient, axis=(1, 2))

    signature = tf.TensorSpec((maps.shape[0], maps.shape[-1]), tf.float32)
    return tf.map_fn(one, rows, parallel_iterations=1, fn_output_signature=signature)
