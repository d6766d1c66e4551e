"""The axis vocabulary and the small frozen results that cross subpackages.

Axes, always in this order: `S` posterior draws, `N` images, `K` classes, `T` explained targets,
`H W` pixels, `h w` map cells, `C` channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Array",
    "CamDraws",
    "CredibleInterval",
    "InputError",
    "IntervalKind",
    "MapMoments",
    "UncertaintyDecomposition",
]

Array = NDArray[Any]
IntervalKind = Literal["equal-tailed", "highest-density"]


class InputError(ValueError):
    """Bad use or bad input: one clear line that names the argument or file, the rule and what came.

    The command line prints it as it is and ends with exit code 2.
    """


@dataclass(frozen=True)
class UncertaintyDecomposition:
    """Entropies in nats, one per image: arrays of shape (N,)."""

    predictive_entropy: NDArray[np.float64]
    expected_entropy: NDArray[np.float64]
    mutual_information: NDArray[np.float64]


@dataclass(frozen=True)
class CredibleInterval:
    """A posterior interval: arrays of the shape of the quantity, and its kind."""

    lower: Array
    upper: Array
    level: float
    kind: IntervalKind


@dataclass(frozen=True)
class MapMoments:
    """Mean and variance of a signed, unnormalised map: arrays of shape (N, T, h, w)."""

    mean: Array
    variance: Array


@dataclass(frozen=True)
class CamDraws:
    """Draws of one batch of images; entry `s` of every array comes from the same weights.

    Attributes:
        logits: (S, N, K).
        layers: By name of the layer, maps (S, N, T, h, w), signed and unnormalised, float32.
        features: (N, F), the input of the head, before any standardisation.
    """

    logits: Array
    layers: dict[str, Array]
    features: Array

    @property
    def cams(self) -> Array:
        """The maps of the first layer, (S, N, T, h, w)."""
        return next(iter(self.layers.values()))
