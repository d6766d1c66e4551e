"""Variance of every class's label, split into an aleatoric and an epistemic part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.uncertainty.validation import check_several_draws

__all__ = ["VarianceSplit", "labelwise_variance"]


@dataclass(frozen=True)
class VarianceSplit:
    """Variances, no unit: arrays of shape (N, K), class by class, or (N,), summed over classes.

    Attributes:
        total: `aleatoric + epistemic`.
        aleatoric: what remains however well the weights are known.
        epistemic: what better known weights would remove.
    """

    total: NDArray[np.float64]
    aleatoric: NDArray[np.float64]
    epistemic: NDArray[np.float64]

    def sum(self) -> VarianceSplit:
        """The same summed over the last axis: one number an image from one a class."""
        return VarianceSplit(
            self.total.sum(axis=-1), self.aleatoric.sum(axis=-1), self.epistemic.sum(axis=-1)
        )


def labelwise_variance(probs: ArrayLike) -> VarianceSplit:
    """The variance of "the label is k" for every class, split; arrays of shape (N, K).

    With `m = mean_s p_s`, class by class: total `m * (1 - m)`, aleatoric `mean_s p_s * (1 - p_s)`,
    epistemic `mean_s (p_s - m)^2` (divided by S, so the parts add up exactly). Sale et al. 2024,
    "Label-wise aleatoric and epistemic uncertainty quantification", variance-based measures. Each
    total is at most 1/4; `labelwise_variance(probs).sum()` gives their global measures, which are
    the traces of `covariance_split`.

    Args:
        probs: draws of class probabilities, shape (S, N, K); rows sum to one.

    Raises:
        InputError: as `decompose`, or when there is only one draw.

    Example:
        >>> labelwise_variance([[[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]]).epistemic
        array([[0.25, 0.25, 0.  ]])
    """
    draws = check_several_draws(probs, "labelwise_variance")
    aleatoric, epistemic = (draws * (1.0 - draws)).mean(axis=0), draws.var(axis=0)
    return VarianceSplit(aleatoric + epistemic, aleatoric, epistemic)
