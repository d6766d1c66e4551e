"""Localisation beside what knows nothing of the image: a blob, the usual mask, random weights.

A map that says less than these three says nothing about the model. Each is judged as the maps are,
with a threshold of its own, tuned on the same validation images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayescam.explain.localization import Localization, judge_localization, tune_threshold
from bayescam.explain.masks import mean_mask
from bayescam.types import Array, InputError

__all__ = ["MaskedMaps", "centred_gaussian", "judge_beside_baselines"]


@dataclass(frozen=True, eq=False)
class MaskedMaps:
    """Maps of one target an image, with the masks of the images.

    Attributes:
        maps: (N, h, w), signed and unnormalised: the mean maps of the predicted classes.
        masks: N masks (H, W), nonzero inside.
        random_maps: (N, h, w), the same of the model with random weights.
    """

    maps: Array
    masks: Sequence[Array]
    random_maps: Array


def judge_beside_baselines(
    test: MaskedMaps, validation: MaskedMaps, *, training_masks: Sequence[Array]
) -> dict[str, Localization]:
    """Returns the scores (N,) of the maps and of each baseline, by name.

    The names are "maps", "centred Gaussian", "mean training mask" and "random weights".

    Args:
        test: What is judged.
        validation: Other images, on which the thresholds are tuned.
        training_masks: (H, W) each, for the mean mask.

    Raises:
        InputError: If maps or masks do not fit.
    """
    shape = tuple(np.shape(test.maps)[-2:])
    fixed = {
        "centred Gaussian": centred_gaussian(shape),
        "mean training mask": mean_mask(training_masks, shape),
    }
    pairs = {
        "maps": (test.maps, validation.maps),
        **{name: _for_all(one, test, validation) for name, one in fixed.items()},
        "random weights": (test.random_maps, validation.random_maps),
    }
    return {
        name: judge_localization(
            judged, test.masks, threshold=tune_threshold(others, validation.masks)
        )
        for name, (judged, others) in pairs.items()
    }


def centred_gaussian(shape: Sequence[int]) -> Array:
    """Returns a Gaussian blob (h, w) in the middle, its peak 1, its sd a quarter of each side.

    Raises:
        InputError: If a side is not positive.

    Example:
        >>> centred_gaussian((1, 3)).round(3)
        array([[0.411, 1.   , 0.411]])
    """
    if len(shape) != 2 or min(shape) < 1:
        raise InputError(f"`shape` must be (h, w), both at least 1; got {tuple(shape)}")
    height, width = (
        np.exp(-0.5 * ((np.arange(side) + 0.5 - side / 2) / (side / 4)) ** 2) for side in shape
    )
    return np.outer(height, width)


def _for_all(one: Array, test: MaskedMaps, validation: MaskedMaps) -> tuple[Array, Array]:
    """One map for every image."""
    return (
        np.broadcast_to(one, (len(test.masks), *one.shape)),
        np.broadcast_to(one, (len(validation.masks), *one.shape)),
    )
