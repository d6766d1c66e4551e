"""Resamples of whole groups (lesions, patients), as counts: no resample is ever materialised.

Images of one lesion are not independent, so whole groups are drawn with replacement (Efron and
Tibshirani 1993, chapter 8 and equation 13.5).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from bayescam.types import check_whole_number

__all__ = ["resample_groups", "sum_in_cells"]

_CHUNK = 64  # resamples at a time; bounds the memory at a few times N * 64 numbers


def resample_groups(
    num_groups: int, num_resamples: int, *, seed: int
) -> Iterator[NDArray[np.float64]]:
    """How often each group is drawn, in chunks of shape (<= 64, G); each row sums to G."""
    check_whole_number("num_resamples", num_resamples, least=1)
    check_whole_number("seed", seed)
    rng = np.random.default_rng(seed)
    for start in range(0, num_resamples, _CHUNK):
        rows = min(_CHUNK, num_resamples - start)
        drawn = rng.integers(num_groups, size=(rows, num_groups))
        cells = drawn + num_groups * np.arange(rows)[:, np.newaxis]
        counts = np.bincount(cells.ravel(), minlength=rows * num_groups)
        yield counts.reshape(rows, num_groups).astype(np.float64)


def sum_in_cells(
    weights: NDArray[np.float64],
    row: NDArray[np.int64],
    group: NDArray[np.int64],
    size: tuple[int, int],
) -> csr_array:
    """Weights of images (N,) added up by row and group: a sparse matrix of that size."""
    return coo_array((weights, (row, group)), shape=size).tocsr()
