"""Total, expected and mutual information: how unsure the model is, and of what kind.

Depeweg et al. 2018, "Decomposition of uncertainty in Bayesian deep learning", section 3; the
mutual information is BALD of Houlsby et al. 2011, equation 2. All entropies are in nats.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

from bayescam.types import UncertaintyDecomposition
from bayescam.uncertainty.validation import check_probs, check_several_draws, warn_of_one_draw

__all__ = ["decompose", "expected_entropy", "mutual_information", "predictive_entropy"]


def decompose(probs: ArrayLike) -> UncertaintyDecomposition:
    """The three entropies of every image, each of shape (N,), in nats.

    Args:
        probs: draws of class probabilities, shape (S, N, K); rows sum to one.

    Returns:
        `predictive_entropy`: `H(mean_s p_s)`, total, between 0 and `log K`.
        `expected_entropy`: `mean_s H(p_s)`, what remains however well the weights are known
        (aleatoric).
        `mutual_information`: their difference, what better known weights would remove
        (epistemic); never negative, so rounding below zero is cut off. Of a single draw it is 0,
        whatever the weights are worth, and a warning says so.

    Raises:
        InputError: `probs` has another shape, or its rows are not probabilities.

    Example:
        >>> sure_but_divided = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
        >>> decompose(sure_but_divided).mutual_information.round(4)
        array([0.6931])
    """
    draws = check_probs(probs)
    warn_of_one_draw(len(draws), "decompose", "its mutual information is 0 by construction")
    return entropies(draws)


def predictive_entropy(probs: ArrayLike) -> NDArray[np.float64]:
    """The entropy of the mean probabilities, `H(mean_s p_s)`, shape (N,), in nats.

    Example:
        >>> predictive_entropy([[[1.0, 0.0]], [[0.0, 1.0]]]).round(4)  # two draws of one image
        array([0.6931])
    """
    return entropy(check_probs(probs).mean(axis=0))


def expected_entropy(probs: ArrayLike) -> NDArray[np.float64]:
    """The mean over draws of the entropy, `mean_s H(p_s)`, shape (N,), in nats.

    Example:
        >>> expected_entropy([[[1.0, 0.0]], [[0.5, 0.5]]]).round(4)  # half of log 2
        array([0.3466])
    """
    return entropies(check_probs(probs)).expected_entropy


def mutual_information(probs: ArrayLike) -> NDArray[np.float64]:
    """What the draws disagree about, `H(mean_s p_s) - mean_s H(p_s)`, shape (N,), in nats.

    Raises:
        InputError: as `decompose`, or when there is only one draw.

    Example:
        >>> mutual_information([[[1.0, 0.0]], [[0.0, 1.0]]]).round(4)  # each is sure, of another
        array([0.6931])
    """
    return entropies(check_several_draws(probs, "mutual_information")).mutual_information


def entropies(draws: NDArray[np.float64]) -> UncertaintyDecomposition:
    """`decompose` of checked draws, of one draw too: for whoever says elsewhere that it is one."""
    total = entropy(draws.mean(axis=0))
    expected = np.minimum(entropy(draws).mean(axis=0), total)
    return UncertaintyDecomposition(total, expected, total - expected)


def entropy(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """`-sum_k p_k log p_k` over the last axis, with `0 log 0 = 0`."""
    clipped = np.maximum(probs, 0.0)
    return np.maximum(-xlogy(clipped, clipped).sum(axis=-1), 0.0)
