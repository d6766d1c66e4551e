"""How often the draws disagree about the class: the variation ratio."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.uncertainty.validation import check_several_draws

__all__ = ["variation_ratio"]


def variation_ratio(probs: ArrayLike) -> NDArray[np.float64]:
    """The share of draws that call another class than most draws do, shape (N,).

    `1 - max_k f_k`, where `f_k` is the share of draws whose most probable class is `k` (the first
    one of equals). Freeman 1965; for draws of networks Gal 2016, section 3.3.1. Between 0 and
    `1 - 1/K`, no unit; epistemic and aleatoric uncertainty are not told apart.

    Args:
        probs: draws of class probabilities, shape (S, N, K); rows sum to one.

    Raises:
        InputError: as `decompose`, or when there is only one draw.

    Example:
        >>> variation_ratio([[[0.9, 0.1]], [[0.8, 0.2]], [[0.6, 0.4]], [[0.3, 0.7]]])
        array([0.25])
    """
    return 1.0 - modal_share(check_several_draws(probs, "variation_ratio"))


def modal_share(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest share of draws (S, N, K) that call the same class, shape (N,)."""
    num_samples, num_images, num_classes = draws.shape
    cells = draws.argmax(axis=2) + num_classes * np.arange(num_images)
    votes = np.bincount(cells.ravel(), minlength=num_images * num_classes)
    return votes.reshape(num_images, num_classes).max(axis=1) / num_samples
