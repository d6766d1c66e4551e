"""Does the model use what a map points at? Pixels are taken away, or given, in the map's order.

`deletion` and `insertion` are those of RISE (Petsiuk et al. 2018, section 4.3), `road` is that of
Rong et al. (2022), whose imputed pixels do not give the shape of the removed region away. A map is
faithful where deletion is fast (small area), insertion is fast (large area), and removing the most
relevant pixels first hurts more than removing the least relevant ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from bayescam.explain.imputation import impute_noisy_linear
from bayescam.explain.perturbation import (
    PerturbationCurve,
    Predict,
    check_images,
    perturbation_curve,
)
from bayescam.types import Array, InputError

__all__ = ["Road", "deletion", "insertion", "road"]

NUM_STEPS = 20


@dataclass(frozen=True)
class Road:
    """Curves of removal with noisy linear imputation.

    Attributes:
        most_relevant_first: The pixels of the highest values of the map go first.
        least_relevant_first: Those of the lowest.
    """

    most_relevant_first: PerturbationCurve
    least_relevant_first: PerturbationCurve

    @property
    def difference(self) -> Array:
        """Mean probability, least minus most relevant first, (N,) or (S, N): large is faithful."""
        return self.least_relevant_first.area - self.most_relevant_first.area


def deletion(
    predict: Predict,
    images: Array,
    maps: Array,
    class_indices: Array,
    *,
    fill: float | None = None,
    num_steps: int = NUM_STEPS,
    batch_size: int = 32,
    seed: int = 0,
) -> PerturbationCurve:
    """Returns the curves as pixels are replaced by one value, the highest of the map first.

    Args:
        predict: From images (B, H, W, C) to probabilities (B, K), or (S, B, K) of draws.
        images: (N, H, W, C).
        maps: (N, h, w), signed; or (S, N, h, w), see `perturbation_curve`.
        class_indices: (N,), the explained classes.
        fill: The value; by default each image's mean colour.
        num_steps: Steps from no pixel to all.
        batch_size: Images in one call of `predict`, at most.
        seed: Of the order of pixels that have the same value.

    Raises:
        InputError: If shapes do not fit or a class does not exist.
    """
    pixels = check_images(images)
    if fill is None:
        colour = pixels.mean(axis=(1, 2), keepdims=True)
    else:
        colour = np.full((len(pixels), 1, 1, 1), fill)

    def remove(places: Array, removed: Array) -> Array:
        kept = ~removed[..., np.newaxis]
        return np.where(kept, pixels[places], colour[places]).astype(pixels.dtype)

    return perturbation_curve(
        predict,
        images,
        maps,
        class_indices,
        remove,
        fractions=_steps(num_steps),
        batch_size=batch_size,
        seed=seed,
    )


def insertion(
    predict: Predict,
    images: Array,
    maps: Array,
    class_indices: Array,
    *,
    blur: float | None = None,
    num_steps: int = NUM_STEPS,
    batch_size: int = 32,
    seed: int = 0,
) -> PerturbationCurve:
    """Returns the curves as the pixels of a blurred image become sharp, the highest first.

    Args:
        predict: As for `deletion`.
        images: As for `deletion`.
        maps: As for `deletion`.
        class_indices: As for `deletion`.
        blur: Standard deviation of the blur in pixels; by default a twentieth of the shorter side.
        num_steps: Steps from no pixel to all.
        batch_size: Images in one call of `predict`, at most.
        seed: Of the order of pixels that have the same value.

    Raises:
        InputError: If shapes do not fit or a class does not exist.
    """
    pixels = check_images(images)
    sd = min(pixels.shape[1:3]) / 20 if blur is None else blur
    blurred = gaussian_filter(pixels, (0, sd, sd, 0))

    def reveal(places: Array, shown: Array) -> Array:
        return np.where(shown[..., np.newaxis], pixels[places], blurred[places])

    return perturbation_curve(
        predict,
        images,
        maps,
        class_indices,
        reveal,
        fractions=_steps(num_steps),
        batch_size=batch_size,
        seed=seed,
    )


def road(
    predict: Predict,
    images: Array,
    maps: Array,
    class_indices: Array,
    *,
    fractions: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
    noise_sd: float = 2.55,
    batch_size: int = 32,
    seed: int = 0,
) -> Road:
    """Returns the curves of removal in either order, with removed pixels imputed from the others.

    The paper compares accuracies; here each image has the probability of its class, so that
    intervals can be bootstrapped. (With a `predict` that answers in ones and zeros, the mean over
    the images is the accuracy.)

    Args:
        predict: As for `deletion`.
        images: As for `deletion`.
        maps: As for `deletion`.
        class_indices: As for `deletion`.
        fractions: Shares of the pixels that are removed, rising, below 1.
        noise_sd: Standard deviation of the noise on imputed pixels, in the unit of the images; by
            default a hundredth of the range 0..255.
        batch_size: Images in one call of `predict`, at most.
        seed: Of the noise, which is the same for all images, and of the order of pixels that have
            the same value.

    Raises:
        InputError: If shapes do not fit, a class does not exist, or `fractions` reach 1.
    """
    if len(fractions) and max(fractions) >= 1:
        raise InputError(
            f"`fractions` must stay below 1, as nothing is left to impute from; got {fractions}"
        )
    pixels = check_images(images)
    noise = noise_sd * np.random.default_rng(seed).standard_normal(pixels.shape[1:])

    def impute(places: Array, removed: Array) -> Array:
        return impute_noisy_linear(pixels[places], removed, noise).astype(pixels.dtype)

    curves = (
        perturbation_curve(
            predict,
            pixels,
            sign * np.asarray(maps),
            class_indices,
            impute,
            fractions=fractions,
            batch_size=batch_size,
            seed=seed,
        )
        for sign in (1, -1)
    )
    return Road(*curves)


def _steps(num_steps: int) -> Array:
    if num_steps < 1:
        raise InputError(f"`num_steps` must be at least 1; got {num_steps}")
    return np.linspace(0.0, 1.0, num_steps + 1)
