"""Class activation maps as formulas: maps `A` of a layer, the gradient `G` of a score, one map.

`A` and `G` are (h, w, C) for one image; sums go over cells `ij` or channels `k`, `Z = h w`:

- `gradcam`: `sum_k a_k A_k`, `a_k = sum_ij G_ijk / Z` (Selvaraju et al. 2017, equations 1 and 2);
- `cam`: the same with `a_k = sum_ij G_ijk`, which after average pooling and a linear head is the
  weight of channel `k` (Zhou et al. 2016, equation 2);
- `hirescam`: `sum_k G_k A_k`, cell by cell (Draelos and Carin 2020);
- `layercam`: `sum_k relu(G_k) A_k`, cell by cell (Jiang et al. 2021);
- `xgradcam`: `a_k = sum_ij G_ijk A_ijk / sum_ij A_ijk` (Fu et al. 2020);
- `gradcam++`: `a_k = sum_ij g / (2 + g sum_ab A_abk)`, `g = relu(G_ijk)`: the weights of
  Chattopadhay et al. 2018 with their denominator, without the factor `exp(y)`, which scales the map
  of a class as a whole;
- `guided_gradcam_tutorial`: `a_k = sum_ij relu(G_ijk) [A_ijk > 0] / Z`: widely copied under the
  name of guided Grad-CAM, though nothing is guided through the network;
- `eigencam`: `A v` for the first right singular vector `v` of `A` (Muhammad and Yeasin 2020), of
  the sign with the larger sum. It knows no class and no draw: all its maps of an image are one.

All maps are signed and unnormalised; where a paper ends with a relu, that is left to the drawing.
`scorecam` (`bayescam.explain.score_cam`) uses no gradient; `smoothgrad` and `integrated_gradients`
(`bayescam.explain.input_gradients`) have no layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import tensorflow as tf

__all__ = [
    "CAM_METHODS",
    "INPUT_METHODS",
    "MAP_METHODS",
    "CamMethod",
    "InputMethod",
    "MapMethod",
    "cell_map",
    "combine",
    "eigen_map",
    "pooled_maps",
]

CamMethod = Literal[
    "gradcam",
    "cam",
    "hirescam",
    "layercam",
    "xgradcam",
    "gradcam++",
    "guided_gradcam_tutorial",
    "eigencam",
]
CAM_METHODS: tuple[CamMethod, ...] = get_args(CamMethod)
InputMethod = Literal["smoothgrad", "integrated_gradients"]
INPUT_METHODS: tuple[InputMethod, ...] = get_args(InputMethod)
MapMethod = CamMethod | Literal["scorecam"] | InputMethod
MAP_METHODS: tuple[MapMethod, ...] = (*CAM_METHODS, "scorecam", *INPUT_METHODS)


def cell_map(method: CamMethod, maps: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    """Returns the map (N, h, w) of one score for maps and its gradient, both (N, h, w, C)."""
    if method == "hirescam":
        return tf.reduce_sum(gradient * maps, axis=-1)
    if method == "layercam":
        return tf.reduce_sum(tf.nn.relu(gradient) * maps, axis=-1)
    weights = _CHANNEL_WEIGHTS[method](maps, gradient)
    return tf.einsum("nc,nhwc->nhw", weights, maps)


def pooled_maps(
    method: CamMethod, maps: tf.Tensor, slopes: tf.Tensor, spread: tf.Tensor
) -> tf.Tensor:
    """Returns the maps (S, N, T, h, w) of all draws and scores where only pooling follows.

    The gradient is then `slopes` times `spread`, and is never made.

    Args:
        method: One that uses gradients.
        maps: (N, h, w, C).
        slopes: Of the scores in the pooled features, (S, N or 1, T, C).
        spread: Of each pooled feature over the cells of its channel, (N, h, w, C), not negative.
    """
    if method == "hirescam":
        return combine(slopes, spread * maps)
    if method == "layercam":
        return combine(tf.nn.relu(slopes), spread * maps)
    return combine(_POOLED_WEIGHTS[method](maps, slopes, spread), maps)


def eigen_map(maps: tf.Tensor) -> tf.Tensor:
    """Returns the projection (N, h, w) of the maps (N, h, w, C) on their first singular vector.

    Maps are scaled to a peak of one on the way, as squares of large ones are no floats. Of maps
    that are not finite nothing is decomposed, and the projection is NaN.
    """
    shape = tf.shape(maps)
    finite = tf.reduce_all(tf.math.is_finite(maps), axis=(1, 2, 3), keepdims=True)
    peak = tf.reduce_max(tf.abs(maps), axis=(1, 2, 3), keepdims=True)
    scaled = tf.where(finite, tf.math.divide_no_nan(maps, peak), 0.0)
    cells = tf.reshape(scaled, (shape[0], shape[1] * shape[2], shape[3]))
    if maps.shape[1] * maps.shape[2] < maps.shape[3]:
        values, vectors = tf.linalg.eigh(tf.matmul(cells, cells, transpose_b=True))
        projected = vectors[..., -1] * tf.sqrt(tf.nn.relu(values[..., -1:]))
    else:
        _, vectors = tf.linalg.eigh(tf.matmul(cells, cells, transpose_a=True))
        projected = tf.linalg.matvec(cells, vectors[..., -1])
    sign = tf.where(tf.reduce_sum(projected, axis=1, keepdims=True) < 0, -1.0, 1.0)
    projection = tf.reshape(sign * projected, shape[:3])
    return tf.where(finite[..., 0], projection * peak[..., 0], np.nan)


def combine(weights: tf.Tensor, maps: tf.Tensor) -> tf.Tensor:
    """Returns the maps (S, N, T, h, w) for channel weights (S, N or 1, T, C) on (N, h, w, C)."""
    if weights.shape[1] == 1:
        return tf.einsum("stc,nhwc->snthw", weights[:, 0], maps)
    return tf.einsum("sntc,nhwc->snthw", weights, maps)


def _sum(values: tf.Tensor) -> tf.Tensor:
    """Over the cells: (N, h, w, C) to (N, C)."""
    return tf.reduce_sum(values, axis=(1, 2))


def _mean(values: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(values, axis=(1, 2))


def _positive(maps: tf.Tensor) -> tf.Tensor:
    return tf.cast(maps > 0, maps.dtype)


def _plus_plus(maps: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    rising = tf.nn.relu(gradient)
    return _sum(tf.math.divide_no_nan(rising, 2 + rising * _sum(maps)[:, None, None]))


_CHANNEL_WEIGHTS: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "gradcam": lambda maps, gradient: _mean(gradient),
    "cam": lambda maps, gradient: _sum(gradient),
    "xgradcam": lambda maps, gradient: tf.math.divide_no_nan(_sum(gradient * maps), _sum(maps)),
    "gradcam++": _plus_plus,
    "guided_gradcam_tutorial": lambda maps, gradient: _mean(tf.nn.relu(gradient) * _positive(maps)),
}


def _pooled_plus_plus(maps: tf.Tensor, slopes: tf.Tensor, spread: tf.Tensor) -> tf.Tensor:
    """Cells of a channel with the same spread have the same weight: one term for each level."""
    rising, total = tf.nn.relu(slopes), _sum(maps)[None, :, None]
    levels, _ = tf.unique(tf.reshape(spread, (-1,)))

    def add(weights: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
        number = _sum(tf.cast(spread == level, maps.dtype))[None, :, None]
        gradient = level * rising
        return weights + number * tf.math.divide_no_nan(gradient, 2 + gradient * total)

    return tf.foldl(add, levels, initializer=tf.zeros_like(rising * total))


_POOLED_WEIGHTS: dict[str, Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "gradcam": lambda maps, slopes, spread: slopes * _mean(spread)[None, :, None],
    "cam": lambda maps, slopes, spread: slopes * _sum(spread)[None, :, None],
    "xgradcam": lambda maps, slopes, spread: (
        slopes * tf.math.divide_no_nan(_sum(spread * maps), _sum(maps))[None, :, None]
    ),
    "gradcam++": _pooled_plus_plus,
    "guided_gradcam_tutorial": lambda maps, slopes, spread: (
        tf.nn.relu(slopes) * _mean(spread * _positive(maps))[None, :, None]
    ),
}
