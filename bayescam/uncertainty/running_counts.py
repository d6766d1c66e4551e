"""Images in order of one score, counted up to each distinct value, on resamples of whole groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayescam.uncertainty.resampling import resample_groups

__all__ = ["SortedImages", "few_resamples", "running_sum", "sort_images"]

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

    def among_kept(
        self, counts: NDArray[np.int64], rates: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], list[NDArray[np.float64]]]:
        """Images kept when shares of them are referred, and flagged ones among them: (r, T) each.

        Of a run that the border cuts, flagged images are kept in proportion: the expectation over
        a random choice.

        Args:
            counts: (r, G), how often each group occurs.
            rates: (T,), shares referred; of n images `floor(rate * n)` are, and one is kept.
        """
        size, row = len(self.groups), np.arange(len(counts))[:, np.newaxis]
        through = _sum_through(counts, self.groups)  # one rising array: one search serves all rows
        before = through[row * size]
        total = through[(row + 1) * size] - before
        kept = np.maximum(total - np.floor(rates * total + 1e-9).astype(np.int64), 1)
        border = np.searchsorted(through, before + kept) - 1 - row * size
        run = np.searchsorted(self.ends, border, side="right") - 1
        below, upto = (through[row * size + self.ends[run + i]] - before for i in (0, 1))
        share = (kept - below) / (upto - below)
        flagged = []
        for groups, ends in self.flagged:
            sums, start = _sum_through(counts, groups), row * len(groups)
            low, high = (sums[start + ends[run + i]] - sums[start] for i in (0, 1))
            flagged.append(low + share * (high - low))
        return kept, flagged


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


def running_sum(counts: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often the first 0, 1, ..., n images occur, (r, n + 1)."""
    sums = np.zeros((len(counts), len(groups) + 1), dtype=np.int64)
    np.cumsum(counts.take(groups, axis=1), axis=1, out=sums[:, 1:])
    return sums


def _sum_through(counts: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same with the rows one behind another in one sum, (r * n + 1,)."""
    return np.append(0, np.cumsum(counts.take(groups, axis=1)))
