"""What a model says of images that are changed step by step in the order of a map.

A batch holds all steps of a few maps, so memory does not grow with the images, the draws or the
steps together. `predict` may answer for all draws of a model at once, from one pass of the
backbone: then a curve of the mean map has one value for each draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bayescam.explain.resizing import resize_maps
from bayescam.explain.validation import check_image_maps
from bayescam.types import Array, InputError

__all__ = [
    "Perturb",
    "PerturbationCurve",
    "Predict",
    "check_classes",
    "check_images",
    "class_probs",
    "perturbation_curve",
]

Predict = Callable[[Array], Array]
"""From images (B, H, W, C) to probabilities (B, K), or (S, B, K) of draws."""

Perturb = Callable[[Array, Array], Array]
"""From places of images (B,) and the pixels to change (B, H, W) to images (B, H, W, C)."""


@dataclass(frozen=True)
class PerturbationCurve:
    """Probability of the explained class as more and more pixels are changed.

    Attributes:
        fractions: (P,), share of the pixels, from 0 to 1.
        probs: (N, P), or (S, N, P) of draws.
    """

    fractions: Array
    probs: Array

    @property
    def area(self) -> Array:
        """Area under the curve over its width, (N,) or (S, N): the mean probability."""
        width = self.fractions[-1] - self.fractions[0]
        return np.asarray(np.trapezoid(self.probs, self.fractions, axis=-1) / width)


def perturbation_curve(
    predict: Predict,
    images: Array,
    maps: Array,
    class_indices: Array,
    perturb: Perturb,
    *,
    fractions: Sequence[float] | Array,
    batch_size: int = 32,
    seed: int = 0,
) -> PerturbationCurve:
    """Returns the curve of each map: the pixels of the highest values are changed first.

    Args:
        predict: The model.
        images: (N, H, W, C).
        maps: (N, h, w), signed; or (S, N, h, w), one for each draw, each judged by the
            probabilities of its own draw. These share no pass: they cost S times as much.
        class_indices: (N,), the explained classes.
        perturb: How pixels of these images are changed.
        fractions: Shares of the pixels that are changed, rising, at least two.
        batch_size: Images in one call of `predict`, at most.
        seed: Of the order of pixels that have the same value.

    Raises:
        InputError: If shapes do not fit, a class does not exist, or `fractions` do not rise in
            [0, 1].
    """
    pixels, array = _check_pair(images, maps)
    shares = _check_fractions(fractions)
    classes = check_classes(class_indices, len(pixels))
    rows = array.reshape(-1, *array.shape[-2:])
    per_draw = array.ndim == 4
    tie_order = np.random.default_rng(seed).permutation(pixels[0, ..., 0].size)
    parts, step = [], max(1, batch_size // len(shares))
    for start in range(0, len(rows), step):
        block = np.arange(start, min(start + step, len(rows)))
        image = np.repeat(block % len(pixels), len(shares))
        rank = _ranks(resize_maps(rows[block], pixels.shape[1:3]), tie_order)
        changed = rank[:, np.newaxis] < np.round(shares * tie_order.size)[:, np.newaxis, np.newaxis]
        changed = changed.reshape(-1, *pixels.shape[1:3])
        probs = np.concatenate(
            [
                class_probs(predict, perturb(image[i], changed[i]), classes[image[i]])
                for i in _slices(len(image), batch_size)
            ],
            axis=-1,
        )
        if per_draw:
            probs = _own_draw(probs, np.repeat(block // len(pixels), len(shares)), len(array))
        parts.append(probs.reshape(*probs.shape[:-1], len(block), len(shares)))
    joined = np.concatenate(parts, axis=-2)
    return PerturbationCurve(shares, joined.reshape(*array.shape[:2], -1) if per_draw else joined)


def check_images(images: Array) -> Array:
    """Returns images as floats (N, H, W, C).

    Raises:
        InputError: If axes are missing or values are not finite.
    """
    pixels = np.asarray(images)
    if pixels.ndim != 4 or pixels.size == 0:
        raise InputError(f"`images` must have shape (N, H, W, C); got {pixels.shape}")
    if not np.issubdtype(pixels.dtype, np.floating):
        pixels = pixels.astype(np.float32)
    if not np.isfinite(pixels).all():
        raise InputError("`images` must be finite; got NaN or infinity")
    return pixels


def check_classes(class_indices: Array, num_images: int) -> Array:
    """Returns one class index an image, (N,).

    Raises:
        InputError: If there are more or fewer, or they are not whole numbers from 0 on.
    """
    classes = np.asarray(class_indices)
    if classes.shape != (num_images,) or not np.issubdtype(classes.dtype, np.integer):
        raise InputError(
            f"`class_indices` must be {num_images} whole numbers, one an image; got "
            f"{classes.dtype} of shape {classes.shape}"
        )
    if classes.min() < 0:
        raise InputError(f"`class_indices` must be 0 or more; got {int(classes.min())}")
    return classes


def class_probs(predict: Predict, images: Array, classes: Array) -> Array:
    """Returns the probability of one class an image, (B,) or (S, B).

    Raises:
        InputError: If `predict` does not answer with (B, K) or (S, B, K), not with finite numbers,
            or there is no such class.
    """
    probs = np.asarray(predict(images), dtype=np.float64)
    if probs.ndim not in (2, 3) or probs.shape[-2] != len(images):
        raise InputError(
            f"`predict` must return (B, K) or (S, B, K) for {len(images)} images; got {probs.shape}"
        )
    if not np.isfinite(probs).all():
        raise InputError("`predict` must return finite numbers; got NaN or infinity")
    if classes.max() >= probs.shape[-1]:
        raise InputError(
            f"`class_indices` must be 0 to {probs.shape[-1] - 1}; got {int(classes.max())}"
        )
    return np.asarray(probs[..., np.arange(len(images)), classes])


def _slices(number: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, number, size)]


def _ranks(maps: Array, tie_order: Array) -> Array:
    """Rank of each pixel (B, H, W), 0 for the highest; ties in the order given."""
    flat = maps.reshape(len(maps), -1)
    order = tie_order[np.argsort(-flat[:, tie_order], axis=1, kind="stable")]
    ranks = np.empty(order.shape, np.int64)
    np.put_along_axis(ranks, order, np.arange(order.shape[1])[np.newaxis], axis=1)
    return ranks.reshape(maps.shape)


def _own_draw(probs: Array, draws: Array, num_draws: int) -> Array:
    """Of probabilities (S, B), those (B,) of the draw that each row belongs to."""
    if probs.ndim != 2 or len(probs) != num_draws:
        raise InputError(
            f"`maps` of {num_draws} draws need a `predict` that returns ({num_draws}, B, K), the "
            "same draws in the same order"
        )
    return probs[draws, np.arange(len(draws))]


def _check_pair(images: Array, maps: Array) -> tuple[Array, Array]:
    pixels, array = check_images(images), check_image_maps(maps)
    if array.ndim > 4 or array.shape[-3] != len(pixels):
        raise InputError(
            f"`maps` must have shape (N, h, w) or (S, N, h, w) with N = {len(pixels)}; got "
            f"{array.shape}"
        )
    return pixels, array


def _check_fractions(fractions: Sequence[float] | Array) -> Array:
    shares = np.asarray(fractions, dtype=np.float64)
    rising = shares.ndim == 1 and len(shares) > 1 and (np.diff(shares) > 0).all()
    if not rising or shares[0] < 0 or shares[-1] > 1:
        raise InputError(f"`fractions` must rise from 0 to at most 1, two or more; got {fractions}")
    return shares
