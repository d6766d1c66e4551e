"""Credible intervals of draws, equal-tailed or highest-density."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.types import CredibleInterval, InputError, IntervalKind

__all__ = ["credible_interval"]


def credible_interval(
    draws: ArrayLike, *, level: float = 0.95, kind: IntervalKind = "equal-tailed"
) -> CredibleInterval:
    """The interval that holds the share `level` of the draws, element by element.

    Args:
        draws: shape (S, ...); the draw axis comes first.
        level: share of the draws inside, strictly between 0 and 1.
        kind: "equal-tailed" leaves `(1 - level) / 2` on either side (linear interpolation between
            order statistics); "highest-density" is the shortest interval that contains at least
            `ceil(level * S)` draws, the lowest one when several are equally short (Chen and Shao
            1999, equation 3).

    Returns:
        `lower` and `upper` of shape `draws.shape[1:]`, float64. A single draw gives an interval
        without width.

    Raises:
        InputError: there are no draws, one is not finite, or `level` or `kind` is not allowed.

    Example:
        >>> interval = credible_interval(np.arange(101.0), level=0.5)
        >>> float(interval.lower), float(interval.upper)
        (25.0, 75.0)
    """
    array = np.asarray(draws, dtype=np.float64)
    _check(array, level, kind)
    if kind == "equal-tailed":
        tail = (1.0 - level) / 2.0
        lower, upper = np.quantile(array, [tail, 1.0 - tail], axis=0)
    else:
        lower, upper = _shortest(array, level)
    return CredibleInterval(lower, upper, level, kind)


def _shortest(
    array: NDArray[np.float64], level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    ordered = np.sort(array, axis=0)
    inside = math.ceil(level * len(ordered) - 1e-9)
    lowers = ordered[: len(ordered) - inside + 1]
    uppers = ordered[inside - 1 :]
    start = (uppers - lowers).argmin(axis=0)[np.newaxis]
    return (
        np.take_along_axis(lowers, start, axis=0)[0],
        np.take_along_axis(uppers, start, axis=0)[0],
    )


def _check(array: NDArray[np.float64], level: float, kind: IntervalKind) -> None:
    if array.ndim == 0 or len(array) == 0:
        raise InputError(f"`draws` must have a first axis of draws; got shape {array.shape}.")
    if not np.isfinite(array).all():
        raise InputError("`draws` must be finite; got NaN or infinity.")
    if not 0.0 < level < 1.0:
        hint = " Is it a percentage?" if level > 1 else ""
        raise InputError(f"`level` must lie strictly between 0 and 1; got {level}.{hint}")
    if kind not in get_args(IntervalKind):
        raise InputError(f"`kind` must be one of {get_args(IntervalKind)}; got {kind!r}.")
