"""Random views of images, each a function of (seed, view, image) and of nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bayescam.types import InputError

__all__ = ["AUGMENTATIONS", "Augmentation", "augment_batch"]

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
        """Dermatoscopy has no upright side: both flips, strong crops, small colour changes."""
        return cls(
            horizontal_flip=True,
            vertical_flip=True,
            crop_scale=(0.65, 1.0),
            aspect=0.15,
            brightness=0.1,
            contrast=0.1,
            saturation=0.1,
        )

    @classmethod
    def chest(cls) -> Augmentation:
        """Chest X-rays as in SEEDS' third article: rotation by 20 degrees and mirror images."""
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
    image comes in. Flip, rotation and crop are one affine map with one bilinear interpolation.

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
    height, width = image.shape[:2]
    matrix = _crop(options, height, width, scale, ratio, place_x, place_y)
    matrix = matrix @ _rotate(np.deg2rad(options.rotation_degrees) * turn)
    mirror = (
        -1.0 if options.horizontal_flip and flips[0] < 0.5 else 1.0,
        -1.0 if options.vertical_flip and flips[1] < 0.5 else 1.0,
    )
    matrix = matrix @ np.diag([*mirror, 1.0])
    pad = _needed_padding(options, height, width)
    if pad:
        image = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
    moved = _warp(image, matrix, (height, width))
    return np.asarray(_recolour(moved, options, colour))


def _crop(
    options: Augmentation,
    height: int,
    width: int,
    scale: float,
    ratio: float,
    place_x: float,
    place_y: float,
) -> NDArray[np.float64]:
    """Map from view to image, both in pixels from the centre: a smaller rectangle inside."""
    low, high = options.crop_scale
    area = low + (high - low) * (scale + 1) / 2
    stretch = np.sqrt((1 + options.aspect) ** ratio)
    part_x, part_y = min(1.0, np.sqrt(area) * stretch), min(1.0, np.sqrt(area) / stretch)
    shift_x, shift_y = place_x * (1 - part_x) * width / 2, place_y * (1 - part_y) * height / 2
    return np.array([[part_x, 0, shift_x], [0, part_y, shift_y], [0, 0, 1]])


def _rotate(angle: float) -> NDArray[np.float64]:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def _needed_padding(options: Augmentation, height: int, width: int) -> int:
    """Pixels by which a rotated frame can reach beyond the image."""
    angle = np.deg2rad(min(options.rotation_degrees, 90.0))
    if angle == 0:
        return 0
    reach = (
        np.hypot(height, width) / 2
        if angle > np.pi / 4
        else (max(height, width) * np.cos(angle) + max(height, width) * np.sin(angle)) / 2
    )
    return min(int(np.ceil(reach - min(height, width) / 2)) + 1, min(height, width) - 1)


def _warp(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], size: tuple[int, int]
) -> Image.Image:
    """Sample `image` at `matrix` @ (x, y, 1), coordinates from the centres of both."""
    height, width = size
    centre_in = np.array([image.shape[1] / 2, image.shape[0] / 2])
    offset = matrix[:2, 2] + centre_in - matrix[:2, :2] @ [width / 2, height / 2]
    (a, b), (d, e) = matrix[:2, :2]
    return Image.fromarray(image).transform(
        (width, height),
        Image.Transform.AFFINE,
        (a, b, offset[0], d, e, offset[1]),
        resample=Image.Resampling.BILINEAR,
    )


def _recolour(image: Image.Image, options: Augmentation, amounts: Sequence[float]) -> Image.Image:
    """Brightness, contrast and saturation as one affine map of RGB."""
    ranges = (options.brightness, options.contrast, options.saturation)
    if not any(ranges):
        return image
    bright, contrast, saturation = (
        1 + limit * amount for limit, amount in zip(ranges, amounts, strict=True)
    )
    mean = np.asarray(image).mean(axis=(0, 1))
    mix = saturation * np.eye(3) + (1 - saturation) * np.tile(_LUMA, (3, 1))
    linear = bright * contrast * mix
    constant = bright * (1 - contrast) * (mix @ mean)
    return image.convert("RGB", tuple(np.column_stack([linear, constant]).ravel()))
