"""How alike the maps of different draws are: means over all pairs of draws."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import pdist

from bayescam.explain.comparison import standard_ranks
from bayescam.explain.validation import check_maps, map_blocks
from bayescam.types import Array

__all__ = ["overlap_agreement", "rank_agreement"]


def rank_agreement(cams: ArrayLike) -> Array:
    """Return the mean Spearman rank correlation over all pairs of draws, (N, T), float64.

    With the ranks of the cells of draw `s`, centred and scaled to length one, `z_s`, the mean over
    pairs is `(|sum_s z_s|^2 - S) / (S (S - 1))`, one pass instead of `S (S - 1) / 2` correlations.
    Between `-1 / (S - 1)` and 1; strength and sign of the maps do not matter, only the order of
    their cells.

    Args:
        cams: (S, N, T, h, w), signed, at least two draws.

    Returns:
        NaN where fewer than two draws have a map that is not constant: pairs with a constant map
        have no correlation and are left out.

    Raises:
        InputError: other axes, maps that are not finite, or one draw alone.
    """
    draws = check_maps(cams, measure="rank_agreement")
    cells = draws.shape[-2] * draws.shape[-1]
    parts = [_mean_rank_correlation(block) for block in map_blocks(draws, 3 * len(draws) * cells)]
    return np.concatenate(parts).reshape(draws.shape[1:3])


def overlap_agreement(cams: ArrayLike) -> Array:
    """Return the mean soft IoU of `relu(map)` over all pairs of draws, (N, T), float64.

    `sum_cells min(a, b) / sum_cells max(a, b)` of two maps (Ruzicka 1958; the IoU of regions with
    soft edges): 1 for equal maps, 0 where their positive parts do not meet. Maps are compared in
    their own units, so a faint map overlaps little with a strong one of the same shape.

    Args:
        cams: (S, N, T, h, w), signed, at least two draws.

    Returns:
        NaN where no pair has any positive value; such pairs are left out.

    Raises:
        InputError: other axes, maps that are not finite, or one draw alone.
    """
    draws = check_maps(cams, measure="overlap_agreement")
    cells = draws.shape[-2] * draws.shape[-1]
    parts = [
        _mean_overlap(np.maximum(block[:, place], 0.0))
        for block in map_blocks(draws, len(draws) * cells)
        for place in range(block.shape[1])
    ]
    return np.array(parts).reshape(draws.shape[1:3])


def _mean_rank_correlation(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of maps (S, n, cells): (n,)."""
    ranks = standard_ranks(maps)
    varied = (~np.isnan(ranks[..., 0])).sum(axis=0).astype(np.float64)
    together = np.square(np.nansum(ranks, axis=0)).sum(axis=-1)
    pairs = varied * (varied - 1.0)
    return np.divide(together - varied, pairs, out=np.full_like(pairs, np.nan), where=pairs > 0)


def _mean_overlap(maps: NDArray[np.float64]) -> float:
    """Of maps (S, cells), not negative: `min = (a + b - |a - b|) / 2`, `max` likewise with plus."""
    apart, total = pdist(maps, "cityblock"), maps.sum(axis=1)
    first, second = np.triu_indices(len(maps), 1)
    both = total[first] + total[second]
    seen = both > 0
    if not seen.any():
        return float("nan")
    return float(((both - apart)[seen] / (both + apart)[seen]).mean())
