"""Does a map lie on the lesion? Maps against masks, one value for each map.

Maps are given raw and signed; what is judged is `relu(map)`, resized bilinearly to the mask. Give
the mean map of the predicted class of test images for the main table, `(N, h, w)`, and draws
`(S, N, h, w)` for its distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayescam.explain.mask_levels import NUM_LEVELS, count_levels, iou_by_level, otsu_level
from bayescam.explain.masks import check_masks
from bayescam.explain.resizing import cell_weights
from bayescam.explain.validation import check_image_maps
from bayescam.types import Array, InputError

__all__ = ["Localization", "energy_in_masks", "judge_localization", "tune_threshold"]


@dataclass(frozen=True)
class Localization:
    """How well each map agrees with its mask: arrays (..., N).

    A map with no positive evidence marks no pixel: its IoU and its hit rate are 0, and what would
    be 0 / 0 is NaN.

    Attributes:
        iou_otsu: Intersection over union with the pixels above the map's own Otsu threshold.
        iou_tuned: The same from a share of the peak on that was tuned on other images.
        hit_rate: The pointing game (Zhang et al. 2018) without a margin: 1 where the peak lies in
            the mask; a share where several pixels are the peak.
        energy: Share of the map's sum inside the mask (Wang et al. 2020).
        enrichment: `energy` over the mask's share of the image: 1 for a constant map.
        background_ratio: Mean outside over mean inside the mask (Tschandl et al. 2020), small where
            the map is on the lesion; infinite where nothing is inside, NaN for a mask of the
            whole image.
        has_evidence: Whether the map is positive anywhere.
    """

    iou_otsu: Array
    iou_tuned: Array
    hit_rate: Array
    energy: Array
    enrichment: Array
    background_ratio: Array
    has_evidence: Array

    def as_dict(self) -> dict[str, Array]:
        """The scores by name, without the flag."""
        return {name: value for name, value in vars(self).items() if name != "has_evidence"}


def judge_localization(
    maps: Array,
    masks: Sequence[Array],
    *,
    threshold: float,
    image_sizes: Sequence[tuple[int, int]] | None = None,
) -> Localization:
    """Returns every score of each map.

    Args:
        maps: (..., N, h, w), signed and unnormalised, of one target an image (`class_maps`).
        masks: N masks (H, W), nonzero inside; they may be of different sizes.
        threshold: For `iou_tuned`, as a share of the map's peak, to the nearest 1 / 256 inside
            (0, 1): `tune_threshold` of other images.
        image_sizes: (H, W) of the images, to refuse a mask of another size.

    Raises:
        InputError: If maps or masks do not fit (`check_image_maps`, `check_masks`), or `threshold`
            is no share.

    Example:
        >>> lesion = np.array([[[0, 0, 0], [0, 1, 1], [0, 0, 0]]])
        >>> scores = judge_localization(2.0 * lesion - 1.0, lesion, threshold=0.5)
        >>> scores.iou_tuned, scores.energy, scores.enrichment
        (array([1.]), array([1.]), array([4.5]))
    """
    array = check_image_maps(maps)
    regions = check_masks(masks, array.shape[-3], image_sizes=image_sizes)
    if not 0.0 < threshold < 1.0:
        raise InputError(
            f"`threshold` must be a share of the peak between 0 and 1; got {threshold}"
        )
    counts, hit_rate = count_levels(array, regions)
    has_evidence = np.asarray((array > 0).any(axis=(-2, -1)))
    iou = iou_by_level(counts)
    tuned = np.full(iou.shape[:-1], np.clip(round(threshold * NUM_LEVELS), 1, NUM_LEVELS - 1))
    return Localization(
        _at(iou, otsu_level(counts)),
        _at(iou, tuned),
        hit_rate * has_evidence,
        *_energy(array, regions),
        has_evidence,
    )


def energy_in_masks(maps: Array, masks: Sequence[Array]) -> Array:
    """Returns the `energy` of `judge_localization` alone, (..., N), without looking at pixels.

    So it suits draws, of which there are many. NaN where a map has no positive evidence.

    Args:
        maps: (..., N, h, w), signed and unnormalised.
        masks: N masks (H, W), nonzero inside.

    Raises:
        InputError: If maps or masks do not fit.

    Example:
        >>> lesion = np.array([[[0, 0, 0], [0, 1, 1], [0, 0, 0]]])
        >>> energy_in_masks(np.ones((1, 3, 3)), lesion).round(3)
        array([0.222])
    """
    array = check_image_maps(maps)
    inside, outside = _sums(array, check_masks(masks, array.shape[-3]))
    with np.errstate(invalid="ignore"):
        return np.asarray(inside / (inside + outside))


def tune_threshold(maps: Array, masks: Sequence[Array]) -> float:
    """Returns the share of the peak with the largest mean IoU, a multiple of 1 / 256.

    Use images that are not judged afterwards: validation images.

    Args:
        maps: (N, h, w), signed and unnormalised.
        masks: N masks (H, W), nonzero inside.

    Raises:
        InputError: If maps or masks do not fit.
    """
    array = check_image_maps(maps)
    counts, _ = count_levels(array, check_masks(masks, array.shape[-3]))
    mean = iou_by_level(counts).reshape(-1, NUM_LEVELS).mean(axis=0)
    return float(1 + mean[1:].argmax()) / NUM_LEVELS


def _at(iou: Array, level: Array) -> Array:
    return np.take_along_axis(iou, level[..., np.newaxis], axis=-1)[..., 0]


def _energy(maps: Array, masks: Sequence[Array]) -> tuple[Array, Array, Array]:
    """Share of the energy inside, its enrichment, and the background ratio, (..., N) each."""
    inside, outside = _sums(maps, masks)
    area = np.array([mask.mean() for mask in masks])
    with np.errstate(divide="ignore", invalid="ignore"):
        energy = inside / (inside + outside)
        return energy, energy / area, (outside / (1.0 - area)) / (inside / area)


def _sums(maps: Array, masks: Sequence[Array]) -> tuple[Array, Array]:
    """Sums of the positive parts of resized maps inside and outside the masks, (..., N) each."""
    shape = maps.shape[-2:]
    positive = np.maximum(maps, 0).astype(np.float64)
    inside, outside = (
        np.einsum("...nij,nij->...n", positive, [cell_weights(part, shape) for part in parts])
        for parts in ([mask * 1.0 for mask in masks], [1.0 - mask for mask in masks])
    )
    return inside, outside
