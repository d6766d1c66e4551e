"""Channel weights of Grad-CAM: from gradients at the features to one weight per channel.

`alpha_k = mean_ij dy / dA_ijk` (Selvaraju et al. 2017, equation 1) is linear in the gradient `g` of
the score at the features. Where only pooling lies between the maps `A` and the features, each
gradient is handed on whole to some cell of its channel, so `alpha_k = sum_cells g / (h w)` for
every image alike. Otherwise the network between them is differentiated, once per vector and batch;
for maps inside a branch, the other branches are held as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from bayescam.inference.split import NetworkSplit, is_pooling

__all__ = [
    "channel_weights",
    "is_pooled",
    "pull_back",
    "pull_back_each",
    "pull_back_linear",
]


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
    if not is_pooled(split, target):
        return pull_back_linear(split, target, values, gradients, _mean_over_cells)
    size = gradients.shape[3:].num_elements() // channels
    cells = tf.reshape(gradients, (num_samples, -1, num_targets, size, channels))
    return tf.reduce_sum(cells, axis=3) / (height * width)


def is_pooled(split: NetworkSplit, target: int) -> bool:
    """Tells whether nothing but pooling, flattening and passive layers follows the maps."""
    steps = split.graph.between(split.cut(target), split.features)
    return all(is_pooling(step.layer) for step in steps)


def pull_back_linear(
    split: NetworkSplit,
    target: int,
    values: Sequence[tf.Tensor],
    gradients: tf.Tensor,
    reduce: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """As `pull_back_each`, for a `reduce` that is linear.

    Where draws and scores are more than the features, each feature is pulled back instead, and what
    comes is combined.
    """
    num_samples, _, num_targets = gradients.shape[:3]
    size = gradients.shape[3:].num_elements()
    if num_samples * num_targets <= size:
        return pull_back_each(split, target, values, gradients, reduce)
    flat = tf.reshape(gradients, (num_samples, -1, num_targets, size))
    operator = pull_back(split, target, values, tf.eye(size)[:, None], reduce)
    if flat.shape[1] == 1:
        return tf.einsum("stf,fn...->snt...", flat[:, 0], operator)
    return tf.einsum("sntf,fn...->snt...", flat, operator)


def pull_back_each(
    split: NetworkSplit,
    target: int,
    values: Sequence[tf.Tensor],
    gradients: tf.Tensor,
    reduce: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """Returns what `reduce` makes of the gradient of each draw and score, (S, N, T, ...).

    Args:
        split: The network.
        target: The value whose maps the gradients are at.
        values: Those of `split.cut(target)`, its maps (N, h, w, C) first.
        gradients: Of the scores at the features, (S, N or 1, T, ...).
        reduce: From the gradient (N, h, w, C) of one score to a smaller array (N, ...).
    """
    num_samples, _, num_targets = gradients.shape[:3]
    size = gradients.shape[3:].num_elements()
    flat = tf.reshape(gradients, (num_samples, -1, num_targets, size))
    rows = tf.reshape(tf.transpose(flat, (0, 2, 1, 3)), (num_samples * num_targets, -1, size))
    made = pull_back(split, target, values, rows, reduce)
    made = tf.reshape(made, (num_samples, num_targets, *made.shape[1:]))
    return tf.transpose(made, (0, 2, 1, *range(3, made.shape.rank)))


def pull_back(
    split: NetworkSplit,
    target: int,
    values: Sequence[tf.Tensor],
    rows: tf.Tensor,
    reduce: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """Returns, for each row (R, N or 1, F) at the features, what `reduce` makes of its gradient.

    Args:
        split: The network.
        target: The value whose maps the gradients are at.
        values: Those of `split.cut(target)`, its maps (N, h, w, C) first.
        rows: Gradients of scores at the features.
        reduce: From the gradient (N, h, w, C) of one row to a smaller array; one gradient is in
            memory at a time.
    """
    network, maps = split.above(target), values[0]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(maps)
        features = tf.cast(network(list(values)), tf.float32)

    def one(row: tf.Tensor) -> tf.Tensor:
        outer = tf.broadcast_to(row, (tf.shape(maps)[0], row.shape[-1]))
        gradient = tape.gradient(
            features, maps, output_gradients=tf.reshape(outer, tf.shape(features))
        )
        return reduce(gradient)

    example = reduce(tf.zeros_like(maps))
    signature = tf.TensorSpec(example.shape, tf.float32)
    return tf.map_fn(one, rows, parallel_iterations=1, fn_output_signature=signature)


def _mean_over_cells(gradient: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(gradient, axis=(1, 2))
