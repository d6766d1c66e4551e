"""Images in order of one score, counted up to each distinct value, on resamples of whole groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayescam.uncertainty.resampling import resample_groups

__all__ = ["SortedImages", "few_resamples", "sort_images"]

_ROWS = 16  # resamples at a time, so that they stay in the cache


@dataclass(frozen=True)
class SortedImages:
    """N images in rising order of one score, with the U runs of equal scores, and flags of them.

    Attributes:
        groups: (N,), the group of each image.
        ends: (U + 1,), 0, then the images up to the end of each run.
        flagged: of each flag, the groups (E,) of the images that have it, in the same order, and
            how many of these there are up to each of `ends`, (U + 1,).
    """

    groups: NDArray[np.int64]
    ends: NDArray[np.int64]
    flagged: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]

    def count(self, counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
        """Images up to the end of each run, and flagged ones among them by flag: (r, U + 1) each.

        Args:
            counts: (r, G), how often each group occurs.
        """
        flagged = [_running_sum(counts, groups)[:, ends] for groups, ends in self.flagged]
        return _running_sum(counts, self.groups)[:, self.ends], flagged


def sort_images(
    values: NDArray[np.float64], codes: NDArray[np.int64], *flags: NDArray[np.bool_]
) -> SortedImages:
    """Sorts images (N,) of groups `codes` by a score, with flags (N,) of them."""
    order = np.argsort(values, kind="stable")
    last = np.flatnonzero(np.diff(values[order])) + 1
    ends = np.concatenate([[0], last, [len(values)]]).astype(np.int64)
    flagged = tuple(
        (codes[order][flag[order]], np.append(0, np.cumsum(flag[order]))[ends]) for flag in flags
    )
    return SortedImages(codes[order], ends, flagged)


def few_resamples(num_groups: int, num_resamples: int, *, seed: int) -> Iterator[NDArray[np.int64]]:
    """The resamples of `resample_groups`, 16 at a time: (<= 16, G)."""
    for counts in resample_groups(num_groups, num_resamples, seed=seed):
        for start in range(0, len(counts), _ROWS):
            yield counts[start : start + _ROWS].astype(np.int64)


def _running_sum(counts: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often the first 0, 1, ..., n images occur, (r, n + 1)."""
    sums = np.zeros((len(counts), len(groups) + 1), dtype=np.int64)
    np.cumsum(counts[:, groups], axis=1, out=sums[:, 1:])
    return sums
