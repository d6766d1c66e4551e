"""Smooth random textures, the common material of all phantoms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["Field", "fractal_noise", "smooth_noise", "smooth_step"]

Field = NDArray[np.floating[Any]]


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: float) -> Field:
    """Return noise of mean about 0 and standard deviation about 1, shape (H, W).

    Args:
        rng: source of the numbers.
        shape: (H, W).
        cells: number of independent blobs along the longer side.
    """
    return fractal_noise(rng, shape, cells, octaves=1)


def fractal_noise(
    rng: np.random.Generator, shape: tuple[int, int], cells: float, octaves: int = 4
) -> Field:
    """Return a sum of smooth noises, each octave twice as fine and half as strong.

    Octaves are added on a pyramid, so that only one enlargement has the full size.
    """
    total = _white_noise(rng, shape, cells)
    for octave in range(1, octaves):
        finer = _white_noise(rng, shape, cells * 2**octave)
        total = _enlarge(total, finer.shape) + finer * np.float32(0.5**octave)
    scale = 1.4 / np.sqrt(sum(0.25**octave for octave in range(octaves)))  # 1.4: what bicubic loses
    return _enlarge(total, shape) * np.float32(scale)


def _white_noise(rng: np.random.Generator, shape: tuple[int, int], cells: float) -> Field:
    size = [max(2, round(cells * side / max(shape)) + 1) for side in shape]
    return rng.standard_normal(size, dtype=np.float32)


def _enlarge(field: Field, shape: tuple[int, ...]) -> Field:
    return np.asarray(Image.fromarray(field).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def smooth_step(values: Field, low: float, high: float) -> Field:
    """Return 0 below `low`, 1 above `high` (or the reverse), a cubic between."""
    t = np.clip((values - float(low)) * float(1 / (high - low)), 0, 1)
    return t * t * (3 - 2 * t)
