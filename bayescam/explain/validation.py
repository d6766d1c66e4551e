"""What every statistic of maps asks of its input: axes, finite numbers, enough draws."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.types import Array, InputError

__all__ = ["check_image_maps", "check_maps", "check_predicted", "check_share", "map_blocks"]

_BLOCK_VALUES = 4_000_000  # of float64, 32 MB


def check_maps(cams: ArrayLike, *, measure: str | None = None) -> Array:
    """Draws of maps (S, N, T, h, w) as they are, float32 or float64.

    Args:
        cams: signed, unnormalised maps.
        measure: what is computed, where it needs at least two draws.

    Raises:
        InputError: other axes, an empty axis, no numbers, not finite, or a single draw.
    """
    array = np.asarray(cams)
    if array.ndim != 5 or 0 in array.shape:
        hint = " Is the draw axis missing?" if array.ndim == 4 else ""
        raise InputError(
            f"`cams` must have shape (S, N, T, h, w), no axis empty; got {array.shape}.{hint}"
        )
    if array.dtype.kind not in "fiub":
        raise InputError(f"`cams` must be an array of numbers; got {array.dtype}.")
    if array.dtype.kind != "f" or array.dtype.itemsize < 4:
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.float64)
    if not np.isfinite(array).all():
        raise InputError("`cams` must be finite; got NaN or infinity.")
    if measure is not None and len(array) == 1:
        raise InputError(
            f"`{measure}` compares draws, and `cams` has only one (S = 1). Take at least two."
        )
    return array


def check_image_maps(maps: ArrayLike, name: str = "maps") -> Array:
    """Maps of one target an image as an array (..., N, h, w).

    Raises:
        InputError: If axes are missing or empty, or values are not finite.
    """
    array = np.asarray(maps)
    if array.ndim < 3 or array.size == 0:
        raise InputError(f"`{name}` must have shape (..., N, h, w); got {array.shape}")
    broken = ~np.isfinite(array).all(axis=(-2, -1)).reshape(-1, array.shape[-3]).all(axis=0)
    if broken.any():
        raise InputError(
            f"`{name}` must be finite; {int(broken.sum())} of {len(broken)} images have maps that "
            f"are not, the first of them number {int(broken.argmax())}"
        )
    return array


def check_predicted(predicted: ArrayLike, cams: Array) -> NDArray[np.int64]:
    """Class indices (S, N), one a draw and image, int64.

    Raises:
        InputError: another shape, or not integers from 0.
    """
    array = np.asarray(predicted)
    if array.shape != cams.shape[:2]:
        raise InputError(
            f"`predicted` must have shape (S, N) = {cams.shape[:2]}, the class that each draw "
            f"predicts; got {array.shape}."
        )
    if array.dtype.kind not in "iu" or array.min() < 0:
        raise InputError(
            f"`predicted` must be class indices from 0; got {array.dtype}, "
            f"the first {array.flat[0]!r}."
        )
    return array.astype(np.int64)


def check_share(value: float, name: str) -> float:
    """A number strictly between 0 and 1.

    Raises:
        InputError: anything else.
    """
    if not 0.0 < value < 1.0:
        hint = " Is it a percentage?" if value > 1 else ""
        raise InputError(f"`{name}` must lie strictly between 0 and 1; got {value}.{hint}")
    return float(value)


def map_blocks(cams: Array, values_per_map: int) -> Iterator[NDArray[np.float64]]:
    """Images and targets in blocks (S, n, cells) of float64, so that memory stays bounded.

    Args:
        cams: (S, N, T, h, w).
        values_per_map: how many numbers the work on one image and target keeps at a time.
    """
    flat = cams.reshape(len(cams), -1, cams.shape[-2] * cams.shape[-1])
    size = max(1, _BLOCK_VALUES // max(1, values_per_map))
    for start in range(0, flat.shape[1], size):
        yield flat[:, start : start + size].astype(np.float64)
