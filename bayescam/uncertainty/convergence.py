"""A measure of one image with the first 2, 4, 8, ... of its draws: how many are enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from bayescam.types import InputError, check_share, check_whole_number
from bayescam.uncertainty.enough_draws import TOLERANCES, measure_values
from bayescam.uncertainty.montecarlo import monte_carlo_error
from bayescam.uncertainty.validation import check_several_draws

__all__ = ["DrawsConvergence", "draws_convergence"]

_CURVES = ("mean_probs", "sd_probs", "predictive_entropy", "expected_entropy", "mutual_information")
_BY_CLASS = ("mean_probs", "sd_probs")
_LEAST = 1e-3  # smaller values are printed as nothing, see `enough_draws`


@dataclass(frozen=True)
class DrawsConvergence:
    """An estimate and its Monte Carlo band by the number of draws, for one image.

    Attributes:
        measure: its name.
        num_draws: (P,), rising.
        estimate: (P,), with the first so many draws.
        lower: (P,), `estimate - z * error`, where the error is that of `monte_carlo_error`.
        upper: (P,), likewise.
        level: of the band.
        tolerance: the error that is tolerated, see `TOLERANCES`, in the unit of the measure.
        enough: the draws at which the error of all draws, falling as `1 / sqrt(S)`, is tolerated.
    """

    measure: str
    num_draws: NDArray[np.int64]
    estimate: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    level: float
    tolerance: float
    enough: int


def draws_convergence(
    probs: ArrayLike,
    measure: str = "mutual_information",
    *,
    class_index: int | None = None,
    num_draws: Sequence[int] | None = None,
    level: float = 0.95,
) -> DrawsConvergence:
    """How a measure of one image settles as draws are added.

    Args:
        probs: (S, K), draws of the class probabilities of one image.
        measure: "mean_probs" or "sd_probs" of a class, "predictive_entropy", "expected_entropy" or
            "mutual_information" (nats).
        class_index: the class of the first two; by default the most probable one.
        num_draws: where to look, rising, each from 2 to S; by default some 40 numbers, evenly
            spaced on a logarithmic scale.
        level: of the band, by the normal law.

    Returns:
        The first draws are those that a smaller S would have had: draws are extended, not replaced.

    Raises:
        InputError: another shape, a single draw, or an argument outside its range.

    Example:
        >>> probs = np.array([[1.0, 0.0], [0.0, 1.0]] * 50)
        >>> curve = draws_convergence(probs, "mean_probs", num_draws=[50, 100])
        >>> curve.estimate.tolist(), curve.enough
        ([0.5, 0.5], 632)
    """
    draws = np.asarray(probs, dtype=np.float64)
    if draws.ndim != 2:
        raise InputError(f"`probs` must have shape (S, K), one image; got {draws.shape}.")
    draws = check_several_draws(draws[:, np.newaxis], "draws_convergence")
    if measure not in _CURVES:
        raise InputError(f"`measure` must be one of {', '.join(_CURVES)}; got {measure!r}.")
    check_share("level", level)
    places = _places(num_draws, len(draws))
    column = _column(draws, measure, class_index)
    found = [_value_and_error(draws[:s], measure, column) for s in places]
    estimate, error = np.array(found).T
    half = ndtri((1.0 + level) / 2.0) * error
    allowed = TOLERANCES[measure]
    value, at_end = _value_and_error(draws, measure, column)
    tolerance = allowed.error * (max(value, _LEAST) if allowed.of_value else 1.0)
    enough = max(2, math.ceil(len(draws) * (at_end / tolerance) ** 2))
    return DrawsConvergence(
        measure, places, estimate, estimate - half, estimate + half, level, tolerance, enough
    )


def _value_and_error(
    draws: NDArray[np.float64], measure: str, column: int | None
) -> tuple[float, float]:
    errors = monte_carlo_error(draws).as_dict()[measure]
    values = draws.mean(axis=0) if measure == "mean_probs" else measure_values(draws)[measure]
    if column is None:
        return float(values[0]), float(errors[0])
    return float(values[0, column]), float(errors[0, column])


def _column(draws: NDArray[np.float64], measure: str, class_index: int | None) -> int | None:
    if measure not in _BY_CLASS:
        return None
    if class_index is None:
        return int(draws.mean(axis=0).argmax())
    num_classes = draws.shape[2]
    if check_whole_number("class_index", class_index) >= num_classes:
        raise InputError(f"`class_index` must be below {num_classes}; got {class_index}.")
    return class_index


def _places(num_draws: Sequence[int] | None, most: int) -> NDArray[np.int64]:
    if num_draws is None:
        return np.unique(np.geomspace(2, most, 40).round().astype(np.int64))
    places = np.array([check_whole_number("num_draws", s, least=2) for s in num_draws], np.int64)
    if not len(places) or places.max() > most or (np.diff(places) <= 0).any():
        raise InputError(f"`num_draws` must rise within 2..{most}; got {list(num_draws)}.")
    return places
