"""Masks as the judges of maps need them: one region an image, of the image's size, not empty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayescam.explain.resizing import cell_weights
from bayescam.types import Array, InputError

__all__ = ["check_masks", "mean_mask"]


def check_masks(
    masks: Sequence[Array],
    num_images: int | None = None,
    *,
    image_sizes: Sequence[tuple[int, int]] | None = None,
) -> list[Array]:
    """Returns the masks as booleans, true inside; they may be of different sizes.

    Args:
        masks: (H, W) each, nonzero inside.
        num_images: How many there must be.
        image_sizes: (H, W) of the images, where they are known.

    Raises:
        InputError: If a mask is missing, empty, or of another size than its image.
    """
    made = [np.asarray(mask) != 0 for mask in masks]
    if not made or num_images not in (None, len(made)):
        wanted = "at least one" if num_images is None else f"{num_images}, one an image"
        raise InputError(f"`masks` must be {wanted}; got {len(made)}")
    if image_sizes is not None and len(image_sizes) != len(made):
        raise InputError(f"`image_sizes` must be {len(made)}, one a mask; got {len(image_sizes)}")
    for place, mask in enumerate(made):
        if mask.ndim != 2:
            raise InputError(f"a mask must have shape (H, W); number {place} has {mask.shape}")
        if image_sizes is not None and mask.shape != tuple(image_sizes[place]):
            raise InputError(
                f"a mask must have the size of its image; number {place} has {mask.shape}, its "
                f"image {tuple(image_sizes[place])}"
            )
    empty = [place for place, mask in enumerate(made) if not mask.any()]
    if empty:
        raise InputError(
            f"a mask must have pixels inside; {len(empty)} of {len(made)} are all empty, the first "
            f"of them number {empty[0]}. Leave such images out"
        )
    return made


def mean_mask(masks: Sequence[Array], shape: tuple[int, int]) -> Array:
    """Returns the share of each cell's weight that lies inside, averaged over masks, (h, w).

    Args:
        masks: Those of the training images, (H, W) each.
        shape: (h, w), not larger than any mask.
    """
    return np.mean([_shares(mask, shape) for mask in check_masks(masks)], axis=0)


def _shares(mask: Array, shape: tuple[int, int]) -> Array:
    return cell_weights(mask, shape) / cell_weights(np.ones(mask.shape), shape)
