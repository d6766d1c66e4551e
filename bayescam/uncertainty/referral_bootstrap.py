"""Intervals of AURC and E-AURC from a bootstrap over groups, for several scores at once.

The resamples are those of `group_bootstrap` for the same groups and seed, so scores of one set of
images can be compared by subtracting their resamples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.types import InputError
from bayescam.uncertainty.bootstrap import resample_groups
from bayescam.uncertainty.exchangeability import Names
from bayescam.uncertainty.referral import check_referral, risk_coverage
from bayescam.uncertainty.validation import check_groups

__all__ = ["AurcResamples", "bootstrap_aurc"]

_ROWS = 16  # resamples at a time, so that they stay in the cache


@dataclass(frozen=True)
class AurcResamples:
    """The area under the risk-coverage curve of one score, and what chance does to it.

    Attributes:
        aurc: on the sample itself.
        excess_aurc: likewise, see `RiskCoverage`.
        aurc_resamples: (R,), of each resample.
        excess_aurc_resamples: (R,).
    """

    aurc: float
    excess_aurc: float
    aurc_resamples: NDArray[np.float64]
    excess_aurc_resamples: NDArray[np.float64]


def bootstrap_aurc(
    scores: Mapping[str, ArrayLike],
    correct: ArrayLike,
    groups: Names,
    *,
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, AurcResamples]:
    """AURC and E-AURC of each score, on the sample and on resamples of whole groups.

    Ties are treated as in `risk_coverage`, and an image that is drawn twice is tied with itself. A
    run of w tied images with e errors, after w0 images with e0 errors, adds
    `e + (e0 - e / w * w0) * (H[w0 + w] - H[w0])` to the sum of the risks, H the harmonic numbers:
    so a resample costs as much as there are different scores.

    Args:
        scores: name -> (N,), larger is less sure and referred first.
        correct: (N,), whether the prediction is right.
        groups: (N,), the group (lesion, patient) of each image.
        num_resamples: R.
        seed: of NumPy's default generator.

    Raises:
        InputError: as `risk_coverage_curves`, bad groups or fewer than two of them.

    Example:
        >>> found = bootstrap_aurc({"entropy": [0.1, 0.2, 0.9]}, [True, True, False], [0, 1, 2])
        >>> round(found["entropy"].aurc, 4), found["entropy"].excess_aurc
        (0.1111, 0.0)
    """
    if not scores:
        raise InputError("`scores` must hold at least one score by name; it is empty.")
    checked = {name: check_referral(values, correct) for name, values in scores.items()}
    right = next(iter(checked.values()))[1]
    codes = check_groups(groups, len(right))
    num_groups = int(codes.max()) + 1
    if num_groups < 2:
        raise InputError("`groups` must name at least two groups; all images are of one.")
    runs = {name: _sort(values, ~right, codes) for name, (values, _) in checked.items()}
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in scores}
    for counts in resample_groups(num_groups, num_resamples, seed=seed):
        for start in range(0, len(counts), _ROWS):
            times = counts[start : start + _ROWS].astype(np.int64)
            for name, run in runs.items():
                found[name].append(np.stack(_areas(times, run)))
    return {name: _result(*checked[name], np.concatenate(found[name], axis=1)) for name in scores}


def _result(
    values: NDArray[np.float64], right: NDArray[np.bool_], resamples: NDArray[np.float64]
) -> AurcResamples:
    curve = risk_coverage(values, right)
    return AurcResamples(curve.aurc, curve.excess_aurc, resamples[0], resamples[1])


@dataclass(frozen=True)
class _Runs:
    """Images in rising order of one score, with the U runs of equal scores.

    Attributes:
        groups: (N,), the group of each image.
        wrong: (E,), the groups of the wrong ones.
        images_upto: (U,), images up to the end of each run.
        wrong_upto: (U,), wrong ones among these.
    """

    groups: NDArray[np.int64]
    wrong: NDArray[np.int64]
    images_upto: NDArray[np.int64]
    wrong_upto: NDArray[np.int64]


def _sort(values: NDArray[np.float64], wrong: NDArray[np.bool_], codes: NDArray[np.int64]) -> _Runs:
    order = np.argsort(values, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(values[order])) + 1, len(values))
    flags, groups = wrong[order], codes[order]
    return _Runs(groups, groups[flags], ends, np.cumsum(flags)[ends - 1])


def _areas(
    counts: NDArray[np.int64], runs: _Runs
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """AURC and E-AURC (r,) of r resamples in which the groups occur `counts` (r, G) times."""
    upto = _running_sum(counts, runs.groups)[:, np.append(0, runs.images_upto)]
    wrong = _running_sum(counts, runs.wrong)[:, np.append(0, runs.wrong_upto)]
    total, total_wrong = upto[:, -1], wrong[:, -1]
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, int(total.max()) + 1))])
    slope = np.diff(wrong) / np.maximum(np.diff(upto), 1)
    height = wrong[:, :-1] - slope * upto[:, :-1]
    area = total_wrong + np.einsum("ru,ru->r", height, np.diff(harmonic[upto]))
    right = total - total_wrong
    best = total_wrong - right * (harmonic[total] - harmonic[right])
    return area / total, (area - best) / total


def _running_sum(counts: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often the first 0, 1, ..., n images occur, (r, n + 1)."""
    sums = np.zeros((len(counts), len(groups) + 1), dtype=np.int64)
    np.cumsum(counts[:, groups], axis=1, out=sums[:, 1:])
    return sums
