"""Artefacts to plant in images: things a camera sees beside the patient, with their masks.

Rulers and colour patches lie on the skin in dermatoscopy (the patches of Rieger et al., ICML 2020,
are on benign lesions only); laterality marks stand in X-rays (Zech et al., PLOS Medicine 2018: a
network told hospitals apart by them). An artefact is opaque; where it lies and its colour are drawn
from the name of the image, so the same image always has the same one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bayescam.types import InputError

__all__ = ["ARTEFACTS", "Artefact", "PlantedImage", "plant_artefact"]

Artefact = Literal["ruler", "colour_patch", "laterality_mark"]
Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_LEAST_SIDE = 16  # pixels, below which nothing of an artefact can be told
_RULER, _INK = (236, 234, 226), (35, 35, 40)
_PATCHES = ((226, 137, 35), (238, 205, 60), (64, 140, 90), (60, 110, 175))
_PLATE, _LEAD = (28, 28, 28), (245, 245, 245)


@dataclass(frozen=True, eq=False)
class PlantedImage:
    """An image with an artefact.

    Attributes:
        image: uint8 RGB (H, W, 3).
        mask: Where the artefact is, (H, W); no other pixel differs from the original.
        covered: The pixels below it, (P, 3).
    """

    image: Pixels
    mask: Mask
    covered: Pixels

    def remove(self) -> Pixels:
        """Returns the original image."""
        original = self.image.copy()
        original[self.mask] = self.covered
        return original


def plant_artefact(image: Pixels, artefact: Artefact, *, key: str) -> PlantedImage:
    """Returns an image with an artefact on it.

    Args:
        image: uint8 RGB (H, W, 3).
        artefact: "ruler" (a graduated strip along an edge), "colour_patch" (a disc that an edge
            may cut) or "laterality_mark" (a lead L on a plate, above on the patient's left).
        key: Decides place and colour: the name of the image.

    Raises:
        InputError: If the artefact is unknown, or the image is not uint8 RGB or below 16 pixels.

    Example:
        >>> grey = np.full((64, 64, 3), 128, np.uint8)
        >>> planted = plant_artefact(grey, "ruler", key="ISIC_0024306")
        >>> bool((planted.remove() == grey).all()), bool((planted.image == grey).all())
        (True, False)
    """
    if artefact not in _DRAW:
        raise InputError(f"`artefact` must be one of {', '.join(ARTEFACTS)}; got {artefact!r}")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(f"`image` must be uint8 (H, W, 3); got {image.dtype} {image.shape}")
    if min(image.shape[:2]) < _LEAST_SIDE:
        raise InputError(f"`image` must be {_LEAST_SIDE} pixels or more; got {image.shape[:2]}")
    rng = np.random.default_rng([zlib.crc32(key.encode()), zlib.crc32(artefact.encode())])
    drawn, mask = _DRAW[artefact]((image.shape[0], image.shape[1]), rng)
    return PlantedImage(np.where(mask[..., np.newaxis], drawn, image), mask, image[mask])


def _ruler(size: tuple[int, int], rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """Along any edge, 70 % of it long and a tenth of the short side wide."""
    turns = int(rng.integers(4))
    height, width = size if turns % 2 == 0 else size[::-1]
    breadth, length = max(3, round(0.1 * min(size))), round(0.7 * width)
    start = int(rng.integers(width - length + 1))
    drawn, canvas = _blank((height, width))
    canvas.rectangle((start, 0, start + length - 1, breadth - 1), fill=_RULER)
    spacing = max(2, breadth // 3)
    for number, place in enumerate(range(start + spacing, start + length - 1, spacing)):
        deep = 0.7 if number % 5 == 4 else 0.4
        canvas.line((place, 0, place, round(deep * breadth) - 1), fill=_INK)
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[:breadth, start : start + length] = True
    return np.rot90(np.asarray(drawn), turns), np.rot90(mask, turns)


def _colour_patch(size: tuple[int, int], rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """A disc of a third of the short side, its centre in a frame near the edge."""
    radius = round(0.17 * min(size))
    turns = int(rng.integers(4))
    height, width = size if turns % 2 == 0 else size[::-1]
    row = rng.uniform(0.3, 1.2) * radius
    column = rng.uniform(0.5 * radius, width - 0.5 * radius)
    rows, columns = np.ogrid[:height, :width]
    mask = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    drawn = np.broadcast_to(np.array(_PATCHES[rng.integers(len(_PATCHES))], np.uint8), (*size, 3))
    return drawn, np.rot90(mask, turns)


def _laterality_mark(size: tuple[int, int], rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """A plate of a sixth of the short side, above on the right as one sees it."""
    side = max(8, round(0.16 * min(size)))
    top = int(rng.integers(1, 2 + side // 2))
    left = size[1] - side - int(rng.integers(1, 2 + side // 2))
    drawn, canvas = _blank(size)
    canvas.rectangle((left, top, left + side - 1, top + side - 1), fill=_PLATE, outline=_LEAD)
    stroke, edge = max(1, side // 7), round(0.25 * side)
    foot = (left + edge, top + side - edge - stroke, left + side - edge - 1, top + side - edge - 1)
    stem = (left + edge, top + edge, left + edge + stroke - 1, top + side - edge - 1)
    for bar in (foot, stem):
        canvas.rectangle(bar, fill=_LEAD)
    mask = np.zeros(size, dtype=np.bool_)
    mask[top : top + side, left : left + side] = True
    return np.asarray(drawn), mask


def _blank(size: tuple[int, int]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    drawn = Image.new("RGB", size[::-1])
    return drawn, ImageDraw.Draw(drawn)


_DRAW: dict[str, Callable[[tuple[int, int], np.random.Generator], tuple[Pixels, Mask]]] = {
    "ruler": _ruler,
    "colour_patch": _colour_patch,
    "laterality_mark": _laterality_mark,
}
ARTEFACTS = tuple(_DRAW)
