"""Whether there is anything positive to show: a map of pure noise looks as busy as any other."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from bayescam.explain.validation import check_share
from bayescam.types import InputError

__all__ = ["positive_evidence"]


def positive_evidence(
    mean: ArrayLike, sd: ArrayLike, num_samples: int | None, *, level: float = 0.95
) -> NDArray[np.bool_]:
    """Tell which mean maps are positive anywhere, beyond their Monte Carlo error, shape (...).

    The picture of a map is `relu(mean map)` on a colour scale of its own, so one whose positive
    cells are chance is noise in full colours, and should be said instead of drawn. A map counts as
    positive when `mean > z * sd / sqrt(S - 1)` in some cell; `z` is the normal quantile of
    `1 - (1 - level) / (h w)`, since the largest of all cells is looked at (Bonferroni). Of fewer
    than some fifty draws, an ensemble of five say, noise passes more often than `1 - level`.

    Args:
        mean: (..., h, w), mean of the signed maps over the draws.
        sd: (..., h, w), their standard deviation (divided by S).
        num_samples: S; `None` where the mean is exact. Of a single draw nothing is known but its
            sign, and that counts.
        level: how sure the sign of the largest cell must be, strictly between 0 and 1.

    Raises:
        InputError: shapes that differ, a level out of range, or no draws.

    Example:
        >>> positive_evidence([[0.1, -2.0]], [[1.0, 1.0]], 100)
        array(False)
        >>> positive_evidence([[0.1, -2.0]], [[1.0, 1.0]], None)
        array(True)
    """
    centre, spread = np.asarray(mean, np.float64), np.asarray(sd, np.float64)
    if centre.ndim < 2 or centre.shape != spread.shape or 0 in centre.shape[-2:]:
        raise InputError(
            f"`mean` and `sd` must have one shape (..., h, w); got {centre.shape} and "
            f"{spread.shape}."
        )
    if num_samples is not None and num_samples < 1:
        raise InputError(f"`num_samples` must be at least 1, or None; got {num_samples}.")
    tail = (1.0 - check_share(level, "level")) / (centre.shape[-2] * centre.shape[-1])
    freedom = np.inf if num_samples is None or num_samples == 1 else num_samples - 1.0
    return np.asarray((centre > -ndtri(tail) * spread / np.sqrt(freedom)).any(axis=(-2, -1)))
