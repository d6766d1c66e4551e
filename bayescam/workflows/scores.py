"""Scores of mean probabilities with intervals from a bootstrap over groups, as plain numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bayescam.uncertainty import group_bootstrap, resample_interval, score_predictions
from bayescam.workflows.judging import JudgedImages

__all__ = ["plain", "plain_interval", "resampled_interval", "scores_with_intervals"]


def scores_with_intervals(
    judged: JudgedImages, names: tuple[str, ...], *, seed: int
) -> dict[str, dict[str, float | None]]:
    """`estimate, lower, upper` of every score of `score_predictions`; one group has no interval."""
    if len(set(judged.groups)) == 1:
        alone = score_predictions(judged.mean_probs, judged.labels, names).as_dict()
        return {name: plain_interval(value, np.nan, np.nan) for name, value in alone.items()}
    found = group_bootstrap(judged.mean_probs, judged.labels, judged.groups, names, seed=seed)
    return {name: plain_interval(*found.interval(name)) for name in found.names}


def plain_interval(estimate: float, lower: float, upper: float) -> dict[str, float | None]:
    """The three numbers by name, None for NaN."""
    return {"estimate": plain(estimate), "lower": plain(lower), "upper": plain(upper)}


def resampled_interval(estimate: float, resamples: ArrayLike | None) -> dict[str, float | None]:
    """The same with 95 % of the resamples (R,) between the bounds; without resamples, no bounds."""
    if resamples is None:
        return plain_interval(estimate, np.nan, np.nan)
    lower, upper = resample_interval(estimate, resamples)
    return plain_interval(estimate, float(lower), float(upper))


def plain(value: Any) -> Any:  # noqa: ANN401
    """The same value for JSON: NumPy's types become Python's, NaN and infinity None."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
