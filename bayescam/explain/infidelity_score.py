"""Infidelity: how far a map is from telling what removing a region does (Yeh et al. 2019).

A perturbation takes a set of pixels `z` from an image, and the map says that the probability falls
by `sum_ij z_ij map_ij`. The infidelity is the mean of the squared error over perturbations
(equation 1, in the form for maps that already hold the input: `z` in place of `I`, so the exact
gradient times `x - fill` of a linear model has infidelity 0). The squares that are removed are
drawn once for all images, maps and draws (their "square removal").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayescam.explain.perturbation import (
    Predict,
    check_classes,
    check_images,
    class_probs,
)
from bayescam.explain.resizing import cell_weights
from bayescam.explain.validation import check_image_maps
from bayescam.types import Array, InputError

__all__ = ["Infidelity", "infidelity"]


@dataclass(frozen=True)
class Infidelity:
    """Mean squared errors over the perturbations, (N,) or (S, N).

    Attributes:
        raw: Of the map as it is: only for maps in units of probability.
        scaled: Of the multiple of the map that fits best (Yeh et al. 2019, section 3.2): the scale
            of a CAM means nothing.
        effect: Mean square of the fall itself, what a map of zeros has.
    """

    raw: Array
    scaled: Array
    effect: Array

    @property
    def unexplained(self) -> Array:
        """`scaled / effect`, 0 to 1; NaN where the model reacts to no perturbation."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.effect > 0, self.scaled / self.effect, np.nan)


def infidelity(
    predict: Predict,
    images: Array,
    maps: Array,
    class_indices: Array,
    *,
    fill: float | None = None,
    num_perturbations: int = 50,
    batch_size: int = 32,
    seed: int = 0,
) -> Infidelity:
    """Returns the infidelity of each map.

    Args:
        predict: From images (B, H, W, C) to probabilities (B, K), or (S, B, K) of draws: one pass
            serves all draws.
        images: (N, H, W, C).
        maps: (N, h, w), signed; or (S, N, h, w), one for each draw that `predict` answers for. The
            value of a pixel is that of the resized map.
        class_indices: (N,), the explained classes.
        fill: The value of removed pixels; by default each image's mean colour.
        num_perturbations: Squares, with sides from an eighth to a half of the shorter side.
        batch_size: Images in one call of `predict`, at most.
        seed: Of the squares.

    Raises:
        InputError: If shapes do not fit or a class does not exist.
    """
    pixels, array = check_images(images), check_image_maps(maps)
    classes = check_classes(class_indices, len(pixels))
    if array.ndim > 4 or array.shape[-3] != len(pixels):
        raise InputError(
            f"`maps` must have shape (N, h, w) or (S, N, h, w) with N = {len(pixels)}; got "
            f"{array.shape}"
        )
    squares = _draw_squares(num_perturbations, pixels.shape[1:3], seed)
    weights = np.stack([cell_weights(square * 1.0, array.shape[-2:]) for square in squares])
    told = np.einsum("...nij,pij->...np", array.astype(np.float64), weights)
    fall = _falls(predict, pixels, classes, squares, fill, batch_size)
    if told.ndim == 3 and fall.shape != told.shape:
        raise InputError(
            f"`maps` of {len(array)} draws need a `predict` that returns ({len(array)}, B, K)"
        )
    told = np.broadcast_to(told, fall.shape)
    product, norm = (told * fall).mean(axis=-1), (told**2).mean(axis=-1)
    effect = (fall**2).mean(axis=-1)
    best = np.divide(product, norm, out=np.zeros_like(norm), where=norm > 0)
    return Infidelity(
        ((told - fall) ** 2).mean(axis=-1),
        ((best[..., np.newaxis] * told - fall) ** 2).mean(axis=-1),
        effect,
    )


def _falls(
    predict: Predict,
    images: Array,
    classes: Array,
    squares: Array,
    fill: float | None,
    batch_size: int,
) -> Array:
    """How much probability each square takes from each image, (N, P) or (S, N, P)."""
    whole, without = [], []
    for image, index in zip(images, classes, strict=True):
        blank = image.mean(axis=(0, 1)) if fill is None else fill
        chosen = np.full(len(squares), index)
        whole.append(class_probs(predict, image[np.newaxis], chosen[:1]))
        parts = [
            class_probs(
                predict,
                np.where(squares[i : i + batch_size, ..., np.newaxis], blank, image).astype(
                    image.dtype
                ),
                chosen[i : i + batch_size],
            )
            for i in range(0, len(squares), batch_size)
        ]
        without.append(np.concatenate(parts, axis=-1))
    return np.stack(whole, axis=-2) - np.stack(without, axis=-2)


def _draw_squares(number: int, size: tuple[int, int], seed: int) -> Array:
    """Squares (P, H, W) that lie inside the image."""
    if number < 2:
        raise InputError(f"`num_perturbations` must be at least 2; got {number}")
    rng = np.random.default_rng(seed)
    height, width = size
    shorter = min(size)
    side = rng.integers(max(1, shorter // 8), max(1, shorter // 2), number, endpoint=True)
    top, left = (rng.integers(0, limit - side, endpoint=True) for limit in (height, width))
    y, x = (np.arange(limit) for limit in (height, width))
    rows = (y >= top[:, np.newaxis]) & (y < (top + side)[:, np.newaxis])
    columns = (x >= left[:, np.newaxis]) & (x < (left + side)[:, np.newaxis])
    return rows[:, :, np.newaxis] & columns[:, np.newaxis, :]
