"""Where a map exceeds a threshold: pixel by pixel, and on a whole set of pixels at once.

A pixel with `P(map > c) >= 0.95` may be wrong once in twenty, so among many such pixels some are.
The simultaneous set is the one on *all* of whose pixels the map exceeds the threshold with that
probability (Bolin and Lindgren 2015, definition of the positive excursion set and section 3 for the
family of sets).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.explain.validation import check_maps, check_share
from bayescam.types import Array, InputError

__all__ = ["ExcursionProbability", "ExcursionSet", "excursion_probability", "excursion_set"]


@dataclass(frozen=True)
class ExcursionProbability:
    """Per pixel, (N, T, h, w), float64.

    Attributes:
        probability: P(map > threshold), the share of draws.
        standard_error: `sqrt(v (1 - v) / S)` with `v = (above + 1) / (S + 2)`, so that draws which
            happen to agree do not claim an error of zero.
    """

    probability: Array
    standard_error: Array


@dataclass(frozen=True)
class ExcursionSet:
    """A set of pixels that all exceed a threshold at once.

    Attributes:
        inside: (N, T, h, w), boolean, which pixels are in the set.
        joint_probability: (N, T, h, w), the largest level at which the pixel would still be in the
            set: the excursion function of Bolin and Lindgren 2015. Never above `P(map > c)`.
        level: of the set.
    """

    inside: NDArray[np.bool_]
    joint_probability: Array
    level: float


def excursion_probability(cams: ArrayLike, threshold: ArrayLike = 0.0) -> ExcursionProbability:
    """Return P(map > threshold) of each pixel and its Monte Carlo standard error.

    Args:
        cams: (S, N, T, h, w), signed.
        threshold: a number, or an array that fits (N, T, h, w), in the units of the maps.

    Raises:
        InputError: other axes, maps that are not finite, or a threshold that does not fit.

    Example:
        >>> draws = np.array([[1.0, 2.0], [-1.0, 3.0]]).reshape(2, 1, 1, 1, 2)
        >>> excursion_probability(draws).probability.ravel()
        array([0.5, 1. ])
    """
    above = _above(check_maps(cams), threshold)
    smooth = (above.sum(axis=0) + 1.0) / (len(above) + 2.0)
    return ExcursionProbability(above.mean(axis=0), np.sqrt(smooth * (1.0 - smooth) / len(above)))


def excursion_set(
    cams: ArrayLike, threshold: ArrayLike = 0.0, *, level: float = 0.95
) -> ExcursionSet:
    """Return the largest set on all of whose pixels the map exceeds the threshold, at a level.

    Pixels are taken in falling order of `P(map > threshold)`, equal ones by their mean excess, and
    `P(all of the first k > threshold)` is the share of draws that exceed it on all of them. The set
    is the longest such beginning whose probability is at least `level`: the largest one among sets
    of this family, as in Bolin and Lindgren 2015, section 3, not among all sets. Order and
    probability come from the same draws, so the level is slightly optimistic, by less than its
    standard error `sqrt(level (1 - level) / S)` where S is a hundred or more.

    Args:
        cams: (S, N, T, h, w), signed.
        threshold: a number, or an array that fits (N, T, h, w), in the units of the maps.
        level: `1 - alpha`, strictly between 0 and 1. With fewer than `1 / (1 - level)` draws, all
            of them must exceed the threshold.

    Raises:
        InputError: other axes, maps that are not finite, a threshold that does not fit, or a level
            out of range.
    """
    draws = check_maps(cams)
    above = _above(draws, threshold)
    excess = draws.mean(axis=0, dtype=np.float64) - np.asarray(threshold, np.float64)
    cells = above.reshape(*above.shape[:3], -1)
    share = cells.mean(axis=0)
    order = np.lexsort((-excess.reshape(share.shape), -share), axis=-1)
    rising = np.take_along_axis(cells, order[None], axis=-1)
    joint = np.logical_and.accumulate(rising, axis=-1).mean(axis=0)
    placed = np.empty_like(joint)
    np.put_along_axis(placed, order, joint, axis=-1)
    placed = placed.reshape(above.shape[1:])
    return ExcursionSet(placed >= check_share(level, "level") - 1e-12, placed, level)


def _above(draws: Array, threshold: ArrayLike) -> NDArray[np.bool_]:
    limit = np.asarray(threshold, np.float64)
    try:
        fits = np.broadcast_shapes(limit.shape, draws.shape[1:]) == draws.shape[1:]
    except ValueError:
        fits = False
    if not fits or not np.isfinite(limit).all():
        raise InputError(
            f"`threshold` must be a finite number or fit (N, T, h, w) = {draws.shape[1:]}; got "
            f"{limit if limit.ndim == 0 else limit.shape}."
        )
    return draws > limit
