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
    height, width = shape
    longer = max(shape)
    rows, columns = (max(2, round(cells * side / longer) + 1) for side in shape)
    coarse = rng.standard_normal((rows, columns)).astype(np.float32)
    grown = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(grown) * np.float32(1.4)


def fractal_noise(
    rng: np.random.Generator, shape: tuple[int, int], cells: float, octaves: int = 4
) -> Field:
    """Return a sum of `smooth_noise`, each octave twice as fine and half as strong."""
    total = smooth_noise(rng, shape, cells)
    for k in range(1, octaves):
        total = total + smooth_noise(rng, shape, cells * 2**k) * 0.5**k
    return total * float(1 / np.sqrt(sum(0.25**k for k in range(octaves))))


def smooth_step(values: Field, low: float, high: float) -> Field:
    """Return 0 below `low`, 1 above `high` (or the reverse), a cubic between."""
    t = np.clip((values - float(low)) * float(1 / (high - low)), 0, 1)
    return t * t * (3 - 2 * t)
