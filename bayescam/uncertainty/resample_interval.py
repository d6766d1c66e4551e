"""The interval that resamples give, for scores that resampling leaves alone and for biased ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.types import InputError

__all__ = ["BIASED_SCORES", "resample_interval"]

BIASED_SCORES = (
    "expected_calibration_error",
    "equal_mass_calibration_error",
    "classwise_calibration_error",
    "brier_reliability",
    "brier_resolution",
)


def resample_interval(
    estimate: ArrayLike,
    resamples: ArrayLike,
    *,
    level: float = 0.95,
    biased: ArrayLike = False,
    least: ArrayLike = -np.inf,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The bounds of M estimates by R resamples of each: percentiles, moved where these are biased.

    Distances from bins (ECE, the reliability of the Brier score) are larger on every resample than
    on the sample, as noise adds to them once more, so percentiles can lie above the estimate. For
    them, the bootstrap estimate of the bias, here of the median, is taken off the resamples (Efron
    and Tibshirani 1993, sections 10.2 and 14.3), and the estimate always lies inside. Such an
    interval is for what as many other images would score on average, which is itself above the
    error of infinitely many: see `calibration_error_by_chance`. The basic interval, `2 * estimate -
    percentiles` (Davison and Hinkley 1997, section 5.2), takes the bias off twice and can leave the
    estimate out.

    Args:
        estimate: (M,) or a number, on the sample itself.
        resamples: (R, M) or (R,), likewise on resamples. NaN, a resample without the class say,
            is left out; of nothing but NaN the bounds are NaN.
        level: share of the resamples inside the interval.
        biased: (M,) or one for all, whether resampling moves the score: `BIASED_SCORES`.
        least: (M,) or one for all, what a biased score can never be below.

    Returns:
        Lower and upper bounds, of the shape of `estimate`.

    Raises:
        InputError: shapes that do not fit, or a level outside (0, 1).

    Example:
        >>> resamples = [0.021, 0.024, 0.028, 0.031, 0.04]
        >>> lower, upper = resample_interval(0.02, resamples, level=0.5, biased=True, least=0)
        >>> print(f"{lower:.3f} {upper:.3f}")
        0.016 0.023
    """
    point, values = np.asarray(estimate, np.float64), np.asarray(resamples, np.float64)
    if values.ndim == 0 or len(values) == 0 or values.shape[1:] != point.shape:
        wanted = "".join(f", {size}" for size in point.shape)
        raise InputError(
            f"`resamples` must have shape (R{wanted}), one row a resample; got {values.shape}."
        )
    if not 0.0 < level < 1.0:
        raise InputError(f"`level` must lie strictly between 0 and 1; got {level}.")
    bounds = np.full((3, *point.shape), np.nan)
    seen = ~np.isnan(values).all(axis=0)
    tails = ((1.0 - level) / 2.0, 0.5, (1.0 + level) / 2.0)
    bounds[:, seen] = np.nanquantile(values[:, seen], tails, axis=0)
    lower, middle, upper = bounds
    return (
        np.where(biased, np.maximum(point + (lower - middle), least), lower)[()],
        np.where(biased, point + (upper - middle), upper)[()],
    )
