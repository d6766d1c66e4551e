"""Covariance of the one-hot label, split into an aleatoric and an epistemic matrix."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.uncertainty.labelwise import VarianceSplit, labelwise_variance
from bayescam.uncertainty.validation import check_several_draws

__all__ = ["CovarianceSplit", "covariance_error", "covariance_split", "covariance_traces"]


@dataclass(frozen=True)
class CovarianceSplit:
    """Covariance matrices of the one-hot label, no unit: arrays of shape (N, K, K).

    Attributes:
        aleatoric: mean over draws of `diag(p_s) - p_s p_s'`.
        epistemic: mean over draws of `(p_s - m) (p_s - m)'`, with `m` the mean of `p_s`.
    """

    aleatoric: NDArray[np.float64]
    epistemic: NDArray[np.float64]

    @property
    def total(self) -> NDArray[np.float64]:
        """`diag(m) - m m'`, the sum of both parts, shape (N, K, K)."""
        return self.aleatoric + self.epistemic

    @property
    def traces(self) -> VarianceSplit:
        """The traces of the three matrices, each of shape (N,)."""
        aleatoric, epistemic = (
            np.trace(part, axis1=1, axis2=2) for part in (self.aleatoric, self.epistemic)
        )
        return VarianceSplit(aleatoric + epistemic, aleatoric, epistemic)


def covariance_split(probs: ArrayLike) -> CovarianceSplit:
    """The aleatoric and epistemic covariance of the label of every image, shape (N, K, K).

    Kwon et al. 2020, "Uncertainty quantification using Bayesian neural networks in
    classification", their estimator: `1/S sum_s diag(p_s) - p_s p_s'` and
    `1/S sum_s (p_s - m) (p_s - m)'`. Off the diagonal, a strongly negative epistemic entry says
    between which two classes the draws waver. For many classes take `covariance_traces`.

    Args:
        probs: draws of class probabilities, shape (S, N, K); rows sum to one.

    Raises:
        InputError: as `decompose`, or when there is only one draw.

    Example:
        >>> covariance_split([[[1.0, 0.0]], [[0.0, 1.0]]]).epistemic
        array([[[ 0.25, -0.25],
                [-0.25,  0.25]]])
    """
    draws = check_several_draws(probs, "covariance_split")
    mean = draws.mean(axis=0)
    diagonal = mean[:, :, np.newaxis] * np.eye(draws.shape[2])
    return CovarianceSplit(diagonal - _mean_outer(draws), _mean_outer(draws - mean))


def covariance_error(
    probs: ArrayLike,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The Monte Carlo standard errors of the two matrices of `covariance_split`, (N, K, K) each.

    Aleatoric: that of a mean over draws, `sd_s / sqrt(S)`. Epistemic: the jackknife, which for a
    covariance has the closed form `S / (S - 1)^(3/2) * sd_s(d_si * d_sj)` with `d_s = p_s - m`.

    Args:
        probs: draws of class probabilities, shape (S, N, K); rows sum to one.

    Returns:
        Errors of `aleatoric` and of `epistemic`.

    Raises:
        InputError: as `decompose`, or when there is only one draw.
    """
    draws = check_several_draws(probs, "covariance_error")
    num_samples, num_images, num_classes = draws.shape
    centred = draws - draws.mean(axis=0)
    aleatoric, epistemic = np.empty((2, num_images, num_classes, num_classes))
    for i, j in combinations_with_replacement(range(num_classes), 2):
        within = draws[..., i] * ((i == j) - draws[..., j])
        between = centred[..., i] * centred[..., j]
        aleatoric[:, i, j] = aleatoric[:, j, i] = within.std(axis=0)
        epistemic[:, i, j] = epistemic[:, j, i] = between.std(axis=0)
    left = num_samples - 1
    return aleatoric / np.sqrt(left), epistemic * num_samples / left**1.5


def covariance_traces(probs: ArrayLike) -> VarianceSplit:
    """The traces of the matrices of `covariance_split`, each of shape (N,), without the matrices.

    Args:
        probs: draws of class probabilities, shape (S, N, K); rows sum to one.

    Raises:
        InputError: as `decompose`, or when there is only one draw.
    """
    check_several_draws(probs, "covariance_traces")
    return labelwise_variance(probs).sum()


def _mean_outer(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """`mean_s v_s v_s'` of vectors (S, N, K): (N, K, K)."""
    by_image = vectors.transpose(1, 0, 2)
    return by_image.transpose(0, 2, 1) @ by_image / len(vectors)
