"""Maps at another size: bilinear, cell centres where the cells are, as one matrix for each side.

A resized map is `R map C'` with a matrix `R` for the rows and `C` for the columns. So what is
linear in the pixels of a resized map, such as its energy in a mask, is linear in its cells: the
sum of `mask * (R map C')` is the sum of `(R' mask C) * map`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from bayescam.types import Array

__all__ = ["cell_weights", "resize_maps"]


def resize_maps(maps: Array, size: Sequence[int]) -> Array:
    """Returns maps (..., h, w) at `size` (H, W), float32.

    Half-pixel centres, held constant beyond the outermost ones; where a side shrinks, pixels are
    averaged with a triangle of the width of the new ones (as `tf.image.resize` with
    `antialias`, and without TensorFlow).
    """
    rows, columns = (
        _bilinear(n, m).astype(np.float32) for n, m in zip(maps.shape[-2:], size, strict=True)
    )
    return rows @ (maps.astype(np.float32) @ columns.T)


def cell_weights(mask: Array, shape: Sequence[int]) -> Array:
    """Returns weights (h, w) of cells: their sum with any map is that of the resized map in a mask.

    Args:
        mask: (H, W), the weight of each pixel.
        shape: (h, w) of the maps.
    """
    rows, columns = (_bilinear(n, m) for n, m in zip(shape, mask.shape, strict=True))
    return rows.T @ mask @ columns


@lru_cache(maxsize=64)
def _bilinear(source: int, target: int) -> Array:
    """The matrix (target, source) that resizes a column: triangles around the new centres."""
    scale = source / target
    centres = (np.arange(target) + 0.5) * scale - 0.5
    apart = np.abs(np.arange(source) - centres[:, np.newaxis])
    weights = np.maximum(1.0 - apart / max(scale, 1.0), 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
