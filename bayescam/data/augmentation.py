"""Random views of images, each a function of (seed, view, image) and of nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bayescam.types import InputError

__all__ = ["AUGMENTATIONS", "Augmentation", "augment_batch"]

_Box = tuple[float, float, float, float]
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Augmentation:
    """How far a random view may depart from its image; the default departs nowhere.

    Attributes:
        horizontal_flip: mirror left and right in half of the views.
        vertical_flip: mirror up and down in half of the views.
        crop_scale: least and largest share of the area that is kept; the rest is cut away at
            random and the remainder enlarged.
        aspect: largest relative change of the ratio of width to height of the crop.
        rotation_degrees: largest rotation either way; corners are filled by reflection.
        brightness: largest relative change of all values.
        contrast: largest relative change of the distance to the mean colour of the image.
        saturation: largest relative change of the distance to grey.
    """

    horizontal_flip: bool = False
    vertical_flip: bool = False
    crop_scale: tuple[float, float] = (1.0, 1.0)
    aspect: float = 0.0
    rotation_degrees: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def __post_init__(self) -> None:
        """Refuse ranges that make no sense."""
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise InputError(f"`crop_scale` must hold 0 < least <= largest <= 1; got {(low, high)}")
        for name in ("aspect", "rotation_degrees", "brightness", "contrast", "saturation"):
            limit = 180 if name == "rotation_degrees" else 0.99
            if not 0 <= getattr(self, name) <= limit:
                raise InputError(f"`{name}` must be in [0, {limit}]; got {getattr(self, name)}")

    @classmethod
    def skin(cls) -> Augmentation:
        """Dermatoscopy has no upright side: flips, any rotation, strong crops, other colours."""
        return cls(
            horizontal_flip=True,
            vertical_flip=True,
            crop_scale=(0.65, 1.0),
            rotation_degrees=180.0,
            aspect=0.15,
            brightness=0.1,
            contrast=0.1,
            saturation=0.1,
        )

    @classmethod
    def chest(cls) -> Augmentation:
        """Chest X-rays: rotation by up to 20 degrees and mirror images."""
        return cls(horizontal_flip=True, rotation_degrees=20.0)


AUGMENTATIONS: dict[str, Augmentation | None] = {
    "none": None,
    "skin": Augmentation.skin(),
    "chest": Augmentation.chest(),
}


def augment_batch(
    images: NDArray[np.uint8],
    augmentation: Augmentation | None,
    *,
    seed: int,
    view: int,
    indices: Sequence[int] | NDArray[np.int64],
) -> NDArray[np.uint8]:
    """Return view number `view` of each image.

    Random numbers are keyed by (seed, view, index), so a view is the same whatever batch the
    image comes in. Rotation and crop are one map with one bilinear interpolation.

    Args:
        images: uint8 RGB, shape (B, H, W, 3).
        augmentation: the ranges; `None` changes nothing.
        seed: of all views.
        view: 0 is the image as it is.
        indices: number of each image in its data set, shape (B,).

    Returns:
        uint8, of the shape of `images`.

    Raises:
        InputError: if the shapes do not fit or `view` is negative.
    """
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise InputError(
            f"`images` must be uint8 of shape (B, H, W, 3); got {images.dtype} {images.shape}"
        )
    if len(indices) != len(images):
        raise InputError(f"`indices` must hold one number per image; got {len(indices)}")
    if view < 0:
        raise InputError(f"`view` must be 0 or more; got {view}")
    if augmentation is None or view == 0:
        return images
    return np.stack(
        [
            _augment(image, augmentation, np.random.default_rng([seed, view, int(index)]))
            for image, index in zip(images, indices, strict=True)
        ]
    )


def _augment(
    image: NDArray[np.uint8], options: Augmentation, rng: np.random.Generator
) -> NDArray[np.uint8]:
    # All numbers are drawn whatever the options, so one option does not change another's.
    flips = rng.random(2)
    scale, ratio, place_x, place_y, turn, *colour = rng.uniform(-1, 1, 8)
    if options.horizontal_flip and flips[0] < 0.5:
        image = image[:, ::-1]
    if options.vertical_flip and flips[1] < 0.5:
        image = image[::-1]
    box = _crop_box(options, image.shape, scale, ratio, place_x, place_y)
    turned = _turn_and_crop(image, box, options.rotation_degrees * turn)
    return _recolour(turned, options, colour)


def _crop_box(
    options: Augmentation,
    shape: tuple[int, ...],
    scale: float,
    ratio: float,
    place_x: float,
    place_y: float,
) -> _Box:
    """Left, top, right, bottom in pixels; the four numbers in [-1, 1] choose it."""
    height, width = shape[:2]
    low, high = options.crop_scale
    area = low + (high - low) * (scale + 1) / 2
    stretch = (1 + options.aspect) ** (ratio / 2)
    box_width = min(1.0, np.sqrt(area) * stretch) * width
    box_height = min(1.0, np.sqrt(area) / stretch) * height
    left = (width - box_width) * (place_x + 1) / 2
    top = (height - box_height) * (place_y + 1) / 2
    return left, top, left + box_width, top + box_height


def _turn_and_crop(image: NDArray[np.uint8], box: _Box, degrees: float) -> NDArray[np.uint8]:
    """Enlarge the box, turned about its centre, to the size of the image."""
    height, width = image.shape[:2]
    left, top, right, bottom = box
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix = np.array([[cos, -sin], [sin, cos]])
    matrix *= [(right - left) / width, (bottom - top) / height]
    centre = np.array([left + right, top + bottom]) / 2
    offset = centre - matrix @ [width / 2, height / 2]
    offset += matrix @ [0.5, 0.5] - 0.5  # the corner of a pixel is half a pixel from its centre
    turned = cv2.warpAffine(
        np.ascontiguousarray(image),
        np.column_stack([matrix, offset]),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(turned, np.uint8)


def _recolour(
    image: NDArray[np.uint8], options: Augmentation, amounts: Sequence[float]
) -> NDArray[np.uint8]:
    """Brightness, contrast and saturation as one affine map of RGB."""
    ranges = (options.brightness, options.contrast, options.saturation)
    if not any(ranges):
        return image
    bright, contrast, saturation = (
        1 + limit * amount for limit, amount in zip(ranges, amounts, strict=True)
    )
    mix = saturation * np.eye(3) + (1 - saturation) * np.tile(_LUMA, (3, 1))
    linear = bright * contrast * mix
    constant = bright * (1 - contrast) * (mix @ cv2.mean(image)[:3])
    return np.asarray(cv2.transform(image, np.column_stack([linear, constant])), np.uint8)
