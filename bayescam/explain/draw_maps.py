"""Maps of all draws and scores of one layer, by any method, from gradients at the features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from bayescam.explain.channel_weights import (
    channel_weights,
    is_pooled,
    pull_back,
    pull_back_each,
)
from bayescam.explain.methods import CamMethod, cell_map, combine, eigen_map, pooled_maps
from bayescam.inference.split import NetworkSplit
from bayescam.types import InputError

__all__ = ["check_method", "draw_maps"]


def draw_maps(
    split: NetworkSplit,
    target: int,
    method: CamMethod,
    values: Sequence[tf.Tensor],
    gradients: tf.Tensor,
) -> tf.Tensor:
    """Returns maps (S, N, T, h, w), signed and unnormalised.

    Args:
        split: The network.
        target: The value whose maps are weighted.
        method: How.
        values: Those of `split.cut(target)`, its maps (N, h, w, C) first.
        gradients: Of the scores at the features, (S, N or 1, T, ...).
    """
    maps = values[0]
    num_samples, _, num_targets = gradients.shape[:3]
    if method == "eigencam":
        shape = (num_samples, maps.shape[0], num_targets, *maps.shape[1:3])
        return tf.broadcast_to(eigen_map(maps)[None, :, None], shape)
    if method == "gradcam":
        return combine(channel_weights(split, target, values, gradients), maps)
    if _is_channelwise(split, target):
        size = gradients.shape[3:].num_elements()
        ones = tf.ones((1, 1, size))
        spread = pull_back(split, target, values, ones, lambda gradient: gradient)[0]
        flat = tf.reshape(gradients, (num_samples, -1, num_targets, size))
        return pooled_maps(method, maps, flat, spread)
    return pull_back_each(
        split, target, values, gradients, lambda gradient: cell_map(method, maps, gradient)
    )


def check_method(split: NetworkSplit, target: int, method: CamMethod) -> None:
    """Refuses CAM where there is no weight of a channel in a logit.

    Raises:
        InputError: If the head is not linear or anything but pooling follows the maps.
    """
    if method == "cam" and not (split.is_affine and _is_channelwise(split, target)):
        raise InputError(
            '`method` "cam" needs maps that are pooled over all cells and a head of one linear '
            f"layer; after {split.graph.name_of(target)!r} this network has more. "
            '"gradcam" is its generalisation'
        )


def _is_channelwise(split: NetworkSplit, target: int) -> bool:
    """Tells whether each feature is one channel, pooled over all cells."""
    features = int(np.prod(split.graph.item_shape(split.features)))
    return is_pooled(split, target) and features == split.graph.item_shape(target)[-1]
