"""Where the peak of a map lies, draw by draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr

from bayescam.explain.validation import check_maps
from bayescam.types import Array

__all__ = ["PeakDistribution", "peak_distribution"]


@dataclass(frozen=True)
class PeakDistribution:
    """The location of the largest cell over the draws.

    Attributes:
        probability: (N, T, h, w), share of the draws whose peak is this cell; sums to 1.
        spread: (N, T), root mean square distance of the peaks from their mean location, in cells.
        entropy: (N, T), of `probability`, in nats: 0 where all draws agree, at most `log(h w)`.
    """

    probability: Array
    spread: Array
    entropy: Array


def peak_distribution(cams: ArrayLike) -> PeakDistribution:
    """Return the distribution of the peak's location over the draws of maps (S, N, T, h, w).

    The peak is the largest value of the signed map, the first in reading order of equals. It is
    there for a map without positive evidence too: see `positive_evidence`.

    Raises:
        InputError: other axes, or maps that are not finite.

    Example:
        >>> draws = np.array([[0.0, 1.0], [2.0, 1.0]]).reshape(2, 1, 1, 1, 2)
        >>> peaks = peak_distribution(draws)
        >>> peaks.probability.ravel().tolist(), peaks.spread.item()
        ([0.5, 0.5], 0.5)
    """
    draws = check_maps(cams)
    *maps, height, width = draws.shape[1:]
    num_maps, num_cells = int(np.prod(maps)), height * width
    peak = draws.reshape(len(draws), num_maps, num_cells).argmax(axis=-1)
    cells = (peak + num_cells * np.arange(num_maps)).ravel()
    counts = np.bincount(cells, minlength=num_maps * num_cells)
    probability = counts.reshape(*maps, num_cells) / len(draws)
    places = np.stack(np.divmod(peak, width), axis=-1).astype(np.float64)
    spread = np.sqrt(places.var(axis=0).sum(axis=-1)).reshape(maps)
    return PeakDistribution(
        probability.reshape(draws.shape[1:]), spread, entr(probability).sum(axis=-1)
    )
