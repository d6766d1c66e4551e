"""How far the summaries of a map would move with other draws, and how many draws are enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc

from bayescam.explain.validation import check_maps, check_share
from bayescam.types import Array

__all__ = ["DrawsEnough", "MapErrors", "draws_enough", "map_errors"]


@dataclass(frozen=True)
class MapErrors:
    """Monte Carlo standard errors per pixel, float64, in the units of the map.

    Attributes:
        mean: (N, T, h, w), `sd / sqrt(S)`.
        sd: (N, T, h, w), `sqrt((m4 - m2^2) / S) / (2 sqrt(m2))` with central moments of the draws:
            the delta method on the variance, for any distribution.
        quantiles: (Q, N, T, h, w), the bootstrap sd in closed form (Maritz and Jarrett 1978).
    """

    mean: Array
    sd: Array
    quantiles: Array


@dataclass(frozen=True)
class DrawsEnough:
    """Numbers of draws, (N, T), int64, as estimated from the draws at hand.

    Attributes:
        mean: for a standard error of the mean map within tolerance at every pixel.
        sd: likewise for the map of standard deviations.
    """

    mean: NDArray[np.int64]
    sd: NDArray[np.int64]


def map_errors(cams: ArrayLike, *, shares: Sequence[float] = (0.05, 0.95)) -> MapErrors:
    """Return the Monte Carlo standard errors of mean, sd and quantiles of maps.

    Args:
        cams: (S, N, T, h, w), draws taken as independent. The errors are estimates themselves, and
            those of quantiles crude where `share * S` or `(1 - share) * S` is below some five.
        shares: of the Q quantiles, each strictly between 0 and 1.

    Raises:
        InputError: other axes, maps that are not finite, one draw alone, or a share out of range.
    """
    draws = check_maps(cams, measure="map_errors")
    asked = [check_share(share, "shares") for share in shares]
    second, fourth = _central_moments(draws)
    ordered = np.sort(draws, axis=0)
    quantiles = [_error_of_quantile(ordered, share) for share in asked]
    return MapErrors(
        mean=np.sqrt(second / (len(draws) - 1)),
        sd=_error_of_sd(second, fourth, len(draws)),
        quantiles=np.stack(quantiles) if quantiles else np.empty((0, *second.shape)),
    )


def draws_enough(cams: ArrayLike, *, tolerance: float = 0.02) -> DrawsEnough:
    """Return how many draws make the mean map and the map of sds precise enough.

    Errors fall as `1 / sqrt(S)`, so the number is `S * (error / allowed)^2` at the worst pixel of
    each map. For the mean, `tolerance` times the range of the mean map is allowed (what a colour
    scale spans), for the sd `tolerance` times the largest sd of the map. A mean relative to the sd
    of its pixel needs no data: `1 / tolerance^2` draws.

    Args:
        cams: (S, N, T, h, w), a first set of draws.
        tolerance: share of the range, strictly between 0 and 1.

    Returns:
        At least 2 where there is an error, 1 where there is none. Where the mean map is flat and
        the draws are not, no number of draws is enough: the largest int64.

    Raises:
        InputError: other axes, maps that are not finite, one draw alone, or a tolerance out of
            range.
    """
    draws = check_maps(cams, measure="draws_enough")
    allowed = check_share(tolerance, "tolerance")
    second, fourth = _central_moments(draws)
    mean = draws.mean(axis=0, dtype=np.float64)
    span = mean.max(axis=(-2, -1)) - mean.min(axis=(-2, -1))
    worst = np.sqrt(second.max(axis=(-2, -1)) * len(draws) / (len(draws) - 1))
    of_sd = _error_of_sd(second, fourth, len(draws)).max(axis=(-2, -1)) * np.sqrt(len(draws))
    return DrawsEnough(_enough(worst, allowed * span), _enough(of_sd, allowed * worst))


def _enough(error_of_one: Array, allowed: Array) -> NDArray[np.int64]:
    """The S with `error_of_one / sqrt(S) <= allowed`."""
    largest = np.iinfo(np.int64).max
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.ceil((error_of_one / allowed) ** 2 * (1.0 - 1e-12))
    countable = np.isfinite(needed) & (needed < largest)
    number = np.where(countable, np.maximum(needed, 2.0), 2.0).astype(np.int64)
    return np.where(error_of_one > 0, np.where(countable, number, largest), 1)


def _central_moments(draws: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Second and fourth central moment over the draws."""
    squares = np.square(draws - draws.mean(axis=0, dtype=np.float64))
    return squares.mean(axis=0), np.square(squares).mean(axis=0)


def _error_of_sd(second: Array, fourth: Array, num_samples: int) -> NDArray[np.float64]:
    of_variance = np.sqrt(np.maximum(fourth - second**2, 0.0) / num_samples)
    return np.divide(
        of_variance, 2.0 * np.sqrt(second), out=np.zeros_like(second), where=second > 0
    )


def _error_of_quantile(ordered: Array, share: float) -> NDArray[np.float64]:
    """Of draws (S, ...) in rising order.

    Maritz and Jarrett 1978: the order statistic r is the draw i with the probability that a
    Beta(r, S - r + 1) variable lies in `((i - 1) / S, i / S]`. Linear interpolation puts the
    quantile at `r = (S - 1) * share + 1`, here taken as it is, a fraction too.
    """
    num_samples = len(ordered)
    rank = (num_samples - 1) * share + 1.0
    weight = np.diff(betainc(rank, num_samples - rank + 1.0, np.linspace(0, 1, num_samples + 1)))
    centred = ordered - np.tensordot(weight, ordered, axes=1)
    return np.sqrt(np.tensordot(weight, np.square(centred), axes=1))
