"""Do maps depend on the model, and on little else? One answer for each kind of map.

An explainer returns maps (N, h, w) by kind, usually the "mean map", "sd map" and "P(map > c)" of
`summary_maps`, of the same class of each image every time. Randomised weights must change them
(`differs`); noise on the image and another seed must not (`agrees`). For a model that was trained
on permuted labels, give its maps and the model's own to `compare_maps`.

All images share one random head, which can be like the trained one by chance: hence repeats.

The sd map of a one-layer Gaussian head is `sqrt(sum_k sigma_k^2 A_k^2 / d_k^2) / Z`. Where training
has left the sds `sigma_k` much alike, it depends on the head in scale only, and does not differ
under a random head. That is a finding about such a map, not a fault of the test. How sure a model
is of a place is told by P(map > c), which depends on the mean too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tf_keras

from bayescam.explain.comparison import MapAgreement, compare_maps
from bayescam.explain.perturbation import check_images
from bayescam.explain.randomization import cascade, head_layers, randomized
from bayescam.types import Array, InputError

__all__ = [
    "MapsByKind",
    "cascading_randomization",
    "head_randomization",
    "noise_stability",
    "seed_repeatability",
]

MapsByKind = Mapping[str, Array]
"""Maps (N, h, w) by kind."""


def head_randomization(
    model: tf_keras.Model, explain: Callable[[], MapsByKind], *, num_repeats: int = 5, seed: int = 0
) -> dict[str, MapAgreement]:
    """Returns, by kind of map, how alike maps are with a random head: (R, N).

    Args:
        model: The explained model; changed in place and given back as it was.
        explain: Makes the maps of the same images from new draws of the model.
        num_repeats: R, each with other random weights.
        seed: Of the first of them.

    Raises:
        InputError: If maps do not fit.
    """
    _check_repeats(num_repeats)
    trained, head, made = explain(), head_layers(model), []
    for repeat in range(num_repeats):
        with randomized(model, head, seed=seed + repeat):
            made.append(explain())
    return _compare(trained, _stack(made))


def cascading_randomization(
    model: tf_keras.Model,
    explain: Callable[[], MapsByKind],
    *,
    layers: Sequence[str] | None = None,
    num_repeats: int = 1,
    seed: int = 0,
) -> dict[str, dict[str, MapAgreement]]:
    """Returns the same as layers are randomised from the output on: by layer, then by kind of map.

    Args:
        model: As for `head_randomization`.
        explain: As for `head_randomization`.
        layers: Where to stop and explain; see `cascade`.
        num_repeats: R, each with other random weights: as many explanations of every stage.
        seed: Of the first of them.

    Raises:
        InputError: If maps do not fit or there is no such layer with weights.
    """
    _check_repeats(num_repeats)
    trained = explain()
    repeats = [
        cascade(model, explain, layers=layers, seed=seed + repeat) for repeat in range(num_repeats)
    ]
    return {
        name: _compare(trained, _stack([stages[name] for stages in repeats])) for name in repeats[0]
    }


def noise_stability(
    explain: Callable[[Array], MapsByKind],
    images: Array,
    *,
    noise_sd: float,
    num_repeats: int = 5,
    seed: int = 0,
) -> dict[str, MapAgreement]:
    """Returns, by kind of map, how alike maps of clean and of noisy images are: (R, N).

    Args:
        explain: Makes maps of the images that it is given, with the same draws every time.
        images: (N, H, W, C).
        noise_sd: Standard deviation of Gaussian noise on every pixel, in the unit of the images.
        num_repeats: R.
        seed: Of the noise.

    Raises:
        InputError: If maps do not fit, or the noise is none.
    """
    _check_repeats(num_repeats)
    if not noise_sd > 0:
        raise InputError(f"`noise_sd` must be positive; got {noise_sd}")
    pixels, rng = check_images(images), np.random.default_rng(seed)
    clean = explain(pixels)
    noisy = [
        explain((pixels + noise_sd * rng.standard_normal(pixels.shape)).astype(pixels.dtype))
        for _ in range(num_repeats)
    ]
    return _compare(clean, _stack(noisy))


def seed_repeatability(
    explain: Callable[[int], MapsByKind], seeds: Sequence[int]
) -> dict[str, MapAgreement]:
    """Returns, by kind of map, how alike the maps of the first seed and of the others are: (R, N).

    Args:
        explain: Makes maps of the same images from a seed: of the draws, or of the training.
        seeds: Two or more different ones.

    Raises:
        InputError: If maps do not fit, or fewer than two different seeds are given.
    """
    if len(set(seeds)) < max(2, len(seeds)):
        raise InputError(f"`seeds` must be at least two different ones; got {list(seeds)}")
    first, *others = [explain(seed) for seed in seeds]
    return _compare(first, _stack(others))


def _check_repeats(num_repeats: int) -> None:
    if num_repeats < 1:
        raise InputError(f"`num_repeats` must be at least 1; got {num_repeats}")


def _compare(first: MapsByKind, second: MapsByKind) -> dict[str, MapAgreement]:
    if set(first) != set(second):
        raise InputError(
            f"`explain` must return the same kinds of maps each time; got {', '.join(first)} and "
            f"then {', '.join(second)}"
        )
    return {kind: compare_maps(maps, second[kind]) for kind, maps in first.items()}


def _stack(several: Sequence[MapsByKind]) -> dict[str, Array]:
    return {kind: np.stack([maps[kind] for maps in several]) for kind in several[0]}
