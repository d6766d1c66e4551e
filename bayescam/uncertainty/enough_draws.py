"""Whether the draws are enough for what is printed, by a tolerance for each measure."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.types import DrawUnit, InputError, check_share
from bayescam.uncertainty.decomposition import entropies
from bayescam.uncertainty.labelwise import labelwise_variance
from bayescam.uncertainty.montecarlo import MEASURES, monte_carlo_error
from bayescam.uncertainty.validation import check_probs

__all__ = ["TOLERANCES", "Tolerance", "check_draws", "draws_needed", "measure_values"]

_LEAST_VALUE = 1e-3  # smaller values are printed as nothing


@dataclass(frozen=True)
class Tolerance:
    """The largest Monte Carlo standard error of a measure.

    Attributes:
        error: in the unit of the measure, or a share of its value.
        of_value: whether it is a share: of the value of the image, or of the mean value of all
            images where that is larger, and of 0.001 at least.
    """

    error: float
    of_value: bool = False


_MEAN, _SHARE = Tolerance(0.02), Tolerance(0.05)
_LEVEL, _SPREAD = Tolerance(0.1, of_value=True), Tolerance(0.2, of_value=True)

TOLERANCES: Mapping[str, Tolerance] = MappingProxyType(
    {
        "1 - confidence": _MEAN,
        "mean_probs": _MEAN,
        "interval_lower": _SHARE,
        "interval_upper": _SHARE,
        "variation_ratio": _SHARE,
        "class_overlap": _SHARE,
        "predictive_entropy": _LEVEL,
        "expected_entropy": _LEVEL,
        "sd_probs": _SPREAD,
        "labelwise_aleatoric": _LEVEL,
        "total_variance": _LEVEL,
        "aleatoric_variance": _LEVEL,
        "mutual_information": _SPREAD,
        "labelwise_epistemic": _SPREAD,
        "epistemic_variance": _SPREAD,
    }
)
"""What is tolerated by default. A probability is printed on the scale of 0 to 1: two hundredths of
a mean, five of an end of an interval or of a share of draws. The other measures may lie anywhere
below their bounds, mutual information often at a hundredth of a nat, so their error is a share of
them. Of Gaussian draws, S = 100 have an error of 14 % of their variance and 7 % of their sd."""


def check_draws(
    probs: ArrayLike,
    *,
    tolerances: Mapping[str, float] | None = None,
    image_share: float = 0.95,
    measures: Sequence[str] = MEASURES,
    level: float = 0.95,
    unit: DrawUnit = "draws",
) -> str | None:
    """One line that says the draws are too few for what is printed, or None if they suffice.

    The measure that asks for most draws is named, with S, its error, its tolerance and the S that
    would be enough for it and so for all: errors fall as `1 / sqrt(S)`.

    Args:
        probs: draws of class probabilities, shape (S, N, K); rows sum to one.
        tolerances: largest standard error allowed, by measure, each in the unit of `TOLERANCES`,
            which holds for the measures that are not named.
        image_share: the share of images (and classes) whose error must be within tolerance.
        measures: what is printed, names of attributes of `MonteCarloError`.
        level: of the equal-tailed credible interval.
        unit: "draws", or "members" where each draw is a member of an ensemble.

    Raises:
        InputError: bad probabilities, or an argument outside its range.

    Example:
        >>> probs = np.array([[[1.0, 0.0]], [[0.0, 1.0]]] * 8)
        >>> check_draws(probs, measures=["variation_ratio"])
        'S = 16 draws are too few for variation_ratio: its Monte Carlo standard error is 0.125,
        and above 0.05 in 100 % of the images; S = 100 would be enough.'
    """
    draws = check_probs(probs)
    _check_demands(image_share, measures, unit)
    allowed = _with_defaults(tolerances or {})
    if len(draws) == 1:
        symbol, one = ("S", "draw") if unit == "draws" else ("M", "member")
        return (
            f"{symbol} = 1 {one} is too few for {', '.join(measures)}: one {one} has no Monte Carlo"
            f" standard error and says nothing of epistemic uncertainty; take at least {symbol} = "
            "2."
        )
    if not draws.size:
        return None
    errors = monte_carlo_error(draws, level=level).as_dict()
    return draws_needed(
        {name: errors[name] for name in measures},
        measure_values(draws),
        len(draws),
        tolerances=allowed,
        image_share=image_share,
        unit=unit,
    )


def draws_needed(
    errors: Mapping[str, NDArray[np.float64]],
    values: Mapping[str, NDArray[np.float64]],
    num_samples: int,
    *,
    tolerances: Mapping[str, Tolerance] = TOLERANCES,
    image_share: float = 0.95,
    unit: DrawUnit = "draws",
) -> str | None:
    """The line of `check_draws` from errors that are already known, or None if S suffices.

    Args:
        errors: Monte Carlo standard errors by the name of their measure, (N,) or (N, K) each.
        values: the measures themselves, of the same shapes; those whose tolerance is a share.
        num_samples: S.
        tolerances: of every measure of `errors`.
        image_share: as in `check_draws`.
        unit: as in `check_draws`.
    """
    relative = {
        name: error / _scale(tolerances[name], values.get(name))
        for name, error in errors.items()
        if error.size
    }
    excess = {
        name: float(np.quantile(error, image_share)) / tolerances[name].error
        for name, error in relative.items()
    }
    worst = max(excess, key=excess.__getitem__, default=None)
    if worst is None or excess[worst] <= 1.0:
        return None
    limit, error = tolerances[worst], relative[worst]
    above = error.reshape(len(error), -1).max(axis=1) > limit.error
    enough = math.ceil(num_samples * excess[worst] ** 2 * (1.0 - 1e-12))
    symbol = "S" if unit == "draws" else "M"
    return (
        f"{symbol} = {num_samples} {unit} are too few for {worst}: its Monte Carlo standard error "
        f"is {_text(excess[worst] * limit.error, limit)}, and above {_text(limit.error, limit)} in "
        f"{100 * above.mean():.0f} % of the images; {symbol} = {enough} would be enough."
    )


def measure_values(draws: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The measures of draws (S, N, K) whose tolerance is a share of them, by name."""
    parts, variance = entropies(draws), labelwise_variance(draws)
    total = variance.sum()
    return {
        "predictive_entropy": parts.predictive_entropy,
        "expected_entropy": parts.expected_entropy,
        "mutual_information": parts.mutual_information,
        "sd_probs": np.sqrt(variance.epistemic),
        "labelwise_aleatoric": variance.aleatoric,
        "labelwise_epistemic": variance.epistemic,
        "total_variance": total.total,
        "aleatoric_variance": total.aleatoric,
        "epistemic_variance": total.epistemic,
    }


def _scale(tolerance: Tolerance, values: NDArray[np.float64] | None) -> NDArray[np.float64] | float:
    if values is None or not tolerance.of_value:
        return 1.0
    return np.maximum(values, max(float(values.mean()), _LEAST_VALUE))


def _text(error: float, tolerance: Tolerance) -> str:
    return f"{100 * error:.3g} % of its value" if tolerance.of_value else f"{error:.3g}"


def _with_defaults(tolerances: Mapping[str, float]) -> dict[str, Tolerance]:
    _check_names("tolerances", tolerances)
    for name, error in tolerances.items():
        if not (isinstance(error, int | float) and error > 0.0 and math.isfinite(error)):
            raise InputError(f"`tolerances` must be positive numbers; got {error!r} for {name!r}.")
    changed = {name: Tolerance(e, TOLERANCES[name].of_value) for name, e in tolerances.items()}
    return {**TOLERANCES, **changed}


def _check_demands(image_share: float, measures: Sequence[str], unit: DrawUnit) -> None:
    check_share("image_share", image_share, bounds="(]")
    if isinstance(measures, str) or not measures:
        raise InputError(f"`measures` must be a list of measures, not empty; got {measures!r}.")
    _check_names("measures", measures)
    if unit not in get_args(DrawUnit):
        raise InputError(f"`unit` must be one of {get_args(DrawUnit)}; got {unit!r}.")


def _check_names(argument: str, names: Iterable[str]) -> None:
    for name in names:
        if name not in MEASURES:
            close = difflib.get_close_matches(str(name), MEASURES, 1)
            slip = f" Did you mean {close[0]!r}?" if close else ""
            raise InputError(
                f"`{argument}` must be some of {', '.join(MEASURES)}; got {name!r}.{slip}"
            )
