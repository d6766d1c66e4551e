"""The map of one target for each image, and what the draws say of it."""

from __future__ import annotations

import numpy as np

from bayescam.explain.summary import relevance_threshold
from bayescam.types import Array, InputError

__all__ = ["class_maps", "summary_maps"]


def class_maps(cams: Array, target_indices: Array) -> Array:
    """Returns each image's map of one target, (..., N, h, w).

    Args:
        cams: (..., N, T, h, w).
        target_indices: (N,), the place of a target on the axis T: the predicted class, say.

    Raises:
        InputError: If there is no such target, or not one index an image.

    Example:
        >>> cams = np.arange(4.0).reshape(2, 2, 1, 1)
        >>> class_maps(cams, [1, 0]).ravel()
        array([1., 2.])
    """
    array, indices = np.asarray(cams), np.asarray(target_indices)
    if array.ndim < 4:
        raise InputError(f"`cams` must have shape (..., N, T, h, w); got {array.shape}")
    num_images, num_targets = array.shape[-4:-2]
    if indices.shape != (num_images,) or not np.issubdtype(indices.dtype, np.integer):
        raise InputError(
            f"`target_indices` must be {num_images} whole numbers, one an image; got "
            f"{indices.dtype} of shape {indices.shape}"
        )
    wrong = indices[(indices < 0) | (indices >= num_targets)]
    if wrong.size:
        raise InputError(
            f"`target_indices` must be 0 to {num_targets - 1}, as there are {num_targets} targets; "
            f"got {int(wrong[0])}"
        )
    return array[..., np.arange(num_images), indices, :, :]


def summary_maps(cams: Array, target_indices: Array) -> dict[str, Array]:
    """Returns the maps (N, h, w) of a target that figures show, by kind.

    "mean map" is the signed mean over the draws. Two say how sure it is: "sd map" is the sd over
    the draws, "P(map > c)" the share of the draws above half the peak of `relu(mean)`.

    Args:
        cams: (S, N, T, h, w).
        target_indices: (N,), as in `class_maps`.

    Raises:
        InputError: As `class_maps`, or if there is only one draw, which has no spread.
    """
    if np.ndim(cams) != 5 or len(cams) < 2:
        raise InputError(
            "`cams` must have shape (S, N, T, h, w) with at least two draws, since one has no "
            f"spread; got {np.shape(cams)}"
        )
    maps = class_maps(cams, target_indices)
    mean = maps.mean(axis=0, dtype=np.float64)
    above = maps > relevance_threshold(mean)[:, np.newaxis, np.newaxis]
    return {
        "mean map": mean,
        "sd map": maps.std(axis=0, dtype=np.float64),  # 0 where all draws are equal
        "P(map > c)": above.mean(axis=0),
    }
