"""What additive scores sum over the images of a group, and so, by matrix products, of resamples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayescam.uncertainty.reliability import confidence_bins

__all__ = ["NUM_BINS", "GroupSums", "sum_by_group"]

NUM_BINS = 15


@dataclass(frozen=True)
class GroupSums:
    """What the additive scores sum over the images of a group, or of a resample: first axis G or r.

    Attributes:
        table: (G, K, K), images by label and predicted class.
        gap: (G, B), right calls minus confidence, by bin of the confidence.
        classwise: (G, 3, K, B), images, probability and images of the class, by bin of the
            probability of the class.
        loss: (G, 2), `-log p` and Brier score.
    """

    table: NDArray[np.float64]
    gap: NDArray[np.float64]
    classwise: NDArray[np.float64]
    loss: NDArray[np.float64]

    def times(self, counts: NDArray[np.float64]) -> GroupSums:
        """The sums over r resamples in which the groups occur `counts` (r, G) times."""
        parts = (self.table, self.gap, self.classwise, self.loss)
        products = (counts @ part.reshape(len(part), -1) for part in parts)
        return GroupSums(
            *(
                product.reshape(-1, *part.shape[1:])
                for product, part in zip(products, parts, strict=True)
            )
        )


def sum_by_group(
    probs: NDArray[np.float64], truth: NDArray[np.int64], codes: NDArray[np.int64]
) -> GroupSums:
    """The sums of images with mean probabilities (N, K), labels (N,) and groups (N,), by group."""
    (n, k), predicted, is_class = probs.shape, probs.argmax(axis=1), np.eye(probs.shape[1])[truth]
    epsilon = np.finfo(np.float64).eps
    losses = -np.log(np.clip(probs[np.arange(n), truth], epsilon, 1.0 - epsilon))
    brier = ((probs - is_class) ** 2).sum(axis=1)
    confidence = probs.max(axis=1)
    cells = confidence_bins(probs, NUM_BINS) + NUM_BINS * np.arange(k)
    by_class = (np.ones((n, k)), probs, is_class)
    return GroupSums(
        _add(codes, truth * k + predicted, np.ones(n), k * k).reshape(-1, k, k),
        _add(
            codes,
            confidence_bins(confidence, NUM_BINS),
            (predicted == truth) - confidence,
            NUM_BINS,
        ),
        np.stack(
            [_add(codes, cells, part, k * NUM_BINS).reshape(-1, k, NUM_BINS) for part in by_class],
            axis=1,
        ),
        np.stack([np.bincount(codes, weights=part) for part in (losses, brier)], axis=1),
    )


def _add(
    codes: NDArray[np.int64],
    cells: NDArray[np.int64],
    weights: NDArray[np.float64],
    num_cells: int,
) -> NDArray[np.float64]:
    """The weights of images (N,) or (N, K) added up by group and cell: (G, num_cells)."""
    group = codes.reshape(-1, *[1] * (cells.ndim - 1)) * num_cells
    size = (int(codes.max()) + 1) * num_cells
    added = np.bincount((group + cells).ravel(), weights=weights.ravel(), minlength=size)
    return added.astype(np.float64, copy=False).reshape(-1, num_cells)
