"""Credible intervals of draws, equal-tailed or highest-density, and how sure their ends are."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc

from bayescam.types import (
    CredibleInterval,
    InputError,
    IntervalKind,
    check_share,
    check_whole_number,
)
from bayescam.uncertainty.validation import warn_of_one_draw

__all__ = ["credible_interval", "interval_error"]


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
            1999).

    Returns:
        `lower` and `upper` of shape `draws.shape[1:]`, float64. A single draw gives an interval
        without width, and a warning.

    Raises:
        InputError: there are no draws, one is not finite, or `level` or `kind` is not allowed.

    Example:
        >>> interval = credible_interval(np.arange(101.0), level=0.5)
        >>> float(interval.lower), float(interval.upper)
        (25.0, 75.0)
    """
    array = np.asarray(draws, dtype=np.float64)
    _check(array, level, kind)
    warn_of_one_draw(len(array), "credible_interval", "the interval has no width")
    return interval_of(array, level, kind)


def interval_error(
    draws: ArrayLike,
    *,
    level: float = 0.95,
    kind: IntervalKind = "equal-tailed",
    num_resamples: int = 100,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The Monte Carlo standard errors of both ends of `credible_interval`, element by element.

    Ends of equal-tailed intervals are quantiles: the closed form of their bootstrap sd (Maritz and
    Jarrett 1978). Ends of highest-density intervals have none, and converge slowly, as `S^(-1/3)`;
    their error is the sd over resamples of the draws. For 30 to 400 draws, at levels 0.5 and 0.95,
    it was within 15 % of the true one for two humped beta laws. For one piled up at zero,
    Beta(0.3, 6), that of the upper end was 0.9 to 1.4 times the true one; that of the lower end,
    which sits on the smallest draw and hardly moves, many times too large. A resample is the same
    for all elements.

    Args:
        draws: shape (S, ...), at least two, taken as independent.
        level: as in `credible_interval`.
        kind: as in `credible_interval`.
        num_resamples: of the draws, "highest-density" only; the errors themselves have a relative
            error of `1 / sqrt(2 * num_resamples)`.
        seed: of the resamples.

    Returns:
        Errors of `lower` and of `upper`, both of shape `draws.shape[1:]`.

    Raises:
        InputError: as `credible_interval`, when there is only one draw, or fewer than two
            resamples.
    """
    array = np.asarray(draws, dtype=np.float64)
    _check(array, level, kind)
    if len(array) == 1:
        raise InputError(
            "`interval_error` compares draws, and `draws` has only one (S = 1). Take at least two."
        )
    check_whole_number("num_resamples", num_resamples, least=2)
    check_whole_number("seed", seed)
    ordered = np.sort(array, axis=0)
    if kind == "equal-tailed":
        tail = (1.0 - level) / 2.0
        return error_of_quantile(ordered, tail), error_of_quantile(ordered, 1.0 - tail)
    return _bootstrap_error(ordered, level, num_resamples, seed)


def interval_of(
    array: NDArray[np.float64], level: float, kind: IntervalKind = "equal-tailed"
) -> CredibleInterval:
    """`credible_interval` of checked draws, of one draw too: see `entropies`."""
    if kind == "equal-tailed":
        tail = (1.0 - level) / 2.0
        lower, upper = np.quantile(array, [tail, 1.0 - tail], axis=0)
    else:
        lower, upper = _shortest(np.sort(array, axis=0), level)
    return CredibleInterval(lower, upper, level, kind)


def error_of_quantile(ordered: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """The standard error of a quantile of sorted draws (S, ...): its bootstrap sd in closed form.

    Maritz and Jarrett 1978: the order statistic r is the draw i with the probability that a
    Beta(r, S - r + 1) variable lies in `((i - 1) / S, i / S]`. Linear interpolation puts the
    quantile at `r = (S - 1) * share + 1`, here taken as it is, a fraction too.
    """
    num_samples = len(ordered)
    rank = (num_samples - 1) * share + 1.0
    weight = np.diff(betainc(rank, num_samples - rank + 1.0, np.linspace(0, 1, num_samples + 1)))
    centred = ordered - np.tensordot(weight, ordered, axes=1)
    return np.sqrt(np.tensordot(weight, centred**2, axes=1))


def _bootstrap_error(
    ordered: NDArray[np.float64], level: float, num_resamples: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sd of the ends over resamples, by running sums about the ends themselves."""
    rng, ends = np.random.default_rng(seed), np.stack(_shortest(ordered, level))
    total, squares = np.zeros_like(ends), np.zeros_like(ends)
    for _ in range(num_resamples):
        again = np.sort(rng.integers(len(ordered), size=len(ordered)))
        moved = np.stack(_shortest(ordered, level, again)) - ends
        total += moved
        squares += moved**2
    variance = (squares - total**2 / num_resamples) / (num_resamples - 1)
    lower, upper = np.sqrt(np.maximum(variance, 0.0))
    return lower, upper


def _shortest(
    ordered: NDArray[np.float64], level: float, chosen: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The shortest window of sorted draws (S, ...), or of S chosen ones in rising order.

    Only the draws that can be an end are looked up.
    """
    inside = math.ceil(level * len(ordered) - 1e-9)
    rows = np.arange(len(ordered)) if chosen is None else chosen
    lowers, uppers = ordered[rows[: len(rows) - inside + 1]], ordered[rows[inside - 1 :]]
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
    check_share("level", level)
    if kind not in get_args(IntervalKind):
        raise InputError(f"`kind` must be one of {get_args(IntervalKind)}; got {kind!r}.")
