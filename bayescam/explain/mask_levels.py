"""Maps as sets of pixels: counts at 256 levels of the map, and the thresholds taken from them.

A map is `relu`ed, resized to its mask and divided by its peak. Level `b` of 256 holds the pixels
from `b / 256` to `(b + 1) / 256` of the peak (the peak itself in the last), so the pixels inside
and outside the mask at each level give the intersection over union at every threshold `b / 256`
without another look at the pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bayescam.explain.resizing import resize_maps
from bayescam.types import Array

__all__ = ["NUM_LEVELS", "LevelCounts", "count_levels", "iou_by_level", "otsu_level"]

NUM_LEVELS = 256
_ROUNDING = np.float32(1e-6)  # of resized values, so that a plateau has one height
_BLOCK_PIXELS = 1 << 22  # of resized maps at a time, some 100 MB with what is counted

LevelCounts = Array
"""Pixels outside and inside the mask by level of the map, (..., N, 2, 256)."""


def count_levels(maps: Array, masks: Sequence[Array]) -> tuple[LevelCounts, Array]:
    """Returns the counts and the share of the peak that lies inside, (..., N).

    Several pixels can share the peak, as bilinear maps are constant beyond the outermost cell
    centres: the share of them inside the mask is the chance that one of them, taken blindly, is.

    Args:
        maps: (..., N, h, w); only positive values count.
        masks: N, true inside, (H, W) each.
    """
    flat = maps.reshape(-1, *maps.shape[-3:])
    counts = np.zeros((*flat.shape[:2], 2, NUM_LEVELS))
    peaks = np.zeros(flat.shape[:2])
    for image, mask in enumerate(masks):
        for rows in _blocks(len(flat), mask.size):
            resized = resize_maps(np.maximum(flat[rows, image], 0), mask.shape)
            pixels = resized.reshape(len(resized), -1)
            counts[rows, image], peaks[rows, image] = _count(pixels, mask.ravel())
    shape = maps.shape[:-2]
    return counts.reshape(*shape, 2, NUM_LEVELS), peaks.reshape(shape)


def otsu_level(counts: LevelCounts) -> Array:
    """Returns the level (..., N) from which on Otsu's method takes the pixels.

    It maximises the variance between the pixels below and the others (Otsu 1979, equation 18);
    the lowest such level where there are several. A constant map is taken as a whole.
    """
    pixels = counts.sum(axis=-2)
    weight = np.cumsum(pixels, axis=-1)[..., :-1]
    moment = np.cumsum(pixels * np.arange(NUM_LEVELS), axis=-1)
    total, mean = pixels.sum(axis=-1, keepdims=True), moment[..., -1:]
    rest = total - weight
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = moment[..., :-1] / weight - (mean - moment[..., :-1]) / rest
    between = np.where((weight > 0) & (rest > 0), weight * rest * gap**2, 0.0)
    return np.asarray(1 + between.argmax(axis=-1))


def iou_by_level(counts: LevelCounts) -> Array:
    """Returns the intersection over union (..., N, 256) of the mask and the pixels from a level on.

    Entry `b` is for the threshold `b / 256`; entry 0 takes every pixel.
    """
    above = np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]
    outside, inside = above[..., 0, :], above[..., 1, :]
    return inside / (counts[..., 1, :].sum(axis=-1, keepdims=True) + outside)


def _count(pixels: Array, mask: Array) -> tuple[Array, Array]:
    """Counts (B, 2, 256) and shares of the peak (B,) of maps (B, P) and one mask (P,)."""
    peak = pixels.max(axis=1, keepdims=True)
    scale = np.divide(NUM_LEVELS, peak, out=np.zeros_like(peak), where=peak > 0)
    level = np.minimum((pixels * scale).astype(np.int64), NUM_LEVELS - 1)
    level += NUM_LEVELS * mask
    level += 2 * NUM_LEVELS * np.arange(len(pixels))[:, np.newaxis]
    counts = np.bincount(level.ravel(), minlength=2 * NUM_LEVELS * len(pixels))
    highest = pixels >= peak * (1 - _ROUNDING)
    return counts.reshape(-1, 2, NUM_LEVELS), (highest & mask).sum(axis=1) / highest.sum(axis=1)


def _blocks(number: int, num_pixels: int) -> Iterator[slice]:
    size = max(1, _BLOCK_PIXELS // num_pixels)
    return (slice(start, start + size) for start in range(0, number, size))
