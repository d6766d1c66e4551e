"""Intervals of all scores, from a bootstrap over groups (lesions, patients).

A resample is never materialised: it is a count per group. Most scores are functions of sums over
groups, and a matrix product gives those sums for all resamples; the areas under the curves, and the
bins of equal mass, come from running sums over scores sorted once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from bayescam.types import InputError
from bayescam.uncertainty.auroc_bootstrap import Ranking, rank_images, resampled_auroc
from bayescam.uncertainty.brier import reliability_term
from bayescam.uncertainty.group_sums import NUM_BINS, GroupSums, sum_by_group
from bayescam.uncertainty.reliability import mass_bins
from bayescam.uncertainty.resample_interval import BIASED_SCORES, resample_interval
from bayescam.uncertainty.resampling import resample_groups, sum_in_cells
from bayescam.uncertainty.scoring import score_names, score_predictions
from bayescam.uncertainty.validation import check_labels, check_mean_probs, check_several_groups

__all__ = ["BootstrapScores", "group_bootstrap"]


@dataclass(frozen=True)
class BootstrapScores:
    """Scores with intervals from a bootstrap over groups.

    Attributes:
        names: M names, those of `PredictionScores.as_dict`.
        estimate: (M,), on the sample itself.
        lower: (M,), a percentile, without its bias for `BIASED_SCORES`: see `resample_interval`.
        upper: (M,), likewise.
        level: share of the resamples inside the interval.
        resamples: (R, M), the score of each resample. The same groups and seed give the same
            resamples, so two models of the same images are compared by subtracting these arrays.
    """

    names: tuple[str, ...]
    estimate: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    level: float
    resamples: NDArray[np.float64]

    def interval(self, name: str) -> tuple[float, float, float]:
        """`(estimate, lower, upper)` of one score."""
        if name not in self.names:
            raise InputError(f"There is no score {name!r}; the scores are {', '.join(self.names)}.")
        i = self.names.index(name)
        return float(self.estimate[i]), float(self.lower[i]), float(self.upper[i])


def group_bootstrap(
    mean_probs: ArrayLike,
    labels: ArrayLike,
    groups: Sequence[object] | ArrayLike,
    class_names: Sequence[str],
    *,
    num_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> BootstrapScores:
    """All scores of `score_predictions` with intervals from a bootstrap over groups.

    Args:
        mean_probs: (N, K), rows sum to one.
        labels: (N,), class indices.
        groups: (N,), the name of the group (lesion, patient) of each image.
        class_names: K names.
        num_resamples: how many times G groups are drawn from G with replacement.
        level: share of the resamples inside the interval.
        seed: of NumPy's default generator.

    Returns:
        Estimates and intervals. In a resample without a class, scores of that class are left out
        of the macro means and of that class's own interval.

    Raises:
        InputError: bad probabilities, labels, names or groups, fewer than two groups.
    """
    probs = check_mean_probs(mean_probs)
    truth = check_labels(labels, *probs.shape)
    codes = check_several_groups(groups, len(probs))
    estimate = score_predictions(probs, truth, class_names).as_dict()
    sums = sum_by_group(probs, truth, codes)
    ranking = [rank_images(probs[:, k], truth == k, codes) for k in range(probs.shape[1])]
    ladder = _climb(probs, truth, codes)
    resamples = np.concatenate(
        [
            _scores_of(counts, sums.times(counts), ranking, ladder)
            for counts in resample_groups(int(codes.max()) + 1, num_resamples, seed=seed)
        ]
    )
    names, point = score_names(class_names), np.array(list(estimate.values()))
    lower, upper = resample_interval(
        point,
        resamples,
        level=level,
        biased=np.isin(names, BIASED_SCORES),
        least=np.where(np.array(names) == "brier_resolution", -np.inf, 0.0),
    )
    return BootstrapScores(names, point, lower, upper, level, resamples)


def _scores_of(
    counts: NDArray[np.float64], sums: GroupSums, ranking: list[Ranking], ladder: _Ladder
) -> NDArray[np.float64]:
    """The scores (r, M) of a chunk of r resamples, in the order of `score_names`."""
    table = sums.table
    images = table.sum(axis=(1, 2))
    by_group = np.ascontiguousarray(counts.T)
    auc = np.stack([resampled_auroc(by_group, rank) for rank in ranking], axis=1)
    called = np.diagonal(table, axis1=1, axis2=2)
    of_class, as_class = table.sum(axis=2), table.sum(axis=1)
    with np.errstate(invalid="ignore"):
        sensitivity = called / of_class
        specificity = 1.0 - (as_class - called) / (images[:, np.newaxis] - of_class)
    losses, brier = sums.loss.T / images
    overall = (
        called.sum(axis=1) / images,
        _mean_of_present(sensitivity),
        _mean_of_present(auc),
        losses,
        np.abs(sums.gap).sum(axis=1) / images,
        brier,
    )
    calibration = (
        _equal_mass_error(by_group, ladder) / images,
        *_class_calibration(sums.classwise, images, brier),
    )
    return np.column_stack([*overall, *calibration, auc, sensitivity, specificity])


def _class_calibration(
    classwise: NDArray[np.float64], images: NDArray[np.float64], brier: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """Class-wise calibration error, then reliability, resolution and uncertainty: (r,) each."""
    count, forecast, events = classwise.transpose(1, 0, 2, 3)
    num_classes = count.shape[1]
    error = np.abs(forecast - events).sum(axis=(1, 2)) / (num_classes * images)
    reliability = reliability_term(count, forecast, events).sum(axis=1) / images
    share = events.sum(axis=2) / images[:, np.newaxis]
    uncertainty = (share * (1.0 - share)).sum(axis=1)
    return error, reliability, reliability + uncertainty - brier, uncertainty


@dataclass(frozen=True)
class _Ladder:
    """The U distinct confidences in rising order, for bins of equal mass.

    Attributes:
        images: (U, G), images of that confidence, by group.
        gap: (U, G), right calls minus confidence, by group.
    """

    images: csr_array
    gap: csr_array


def _climb(
    probs: NDArray[np.float64], truth: NDArray[np.int64], codes: NDArray[np.int64]
) -> _Ladder:
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == truth
    values, step = np.unique(confidence, return_inverse=True)
    size = (len(values), int(codes.max()) + 1)
    return _Ladder(
        sum_in_cells(np.ones(len(probs)), step, codes, size),
        sum_in_cells(right - confidence, step, codes, size),
    )


def _equal_mass_error(counts: NDArray[np.float64], ladder: _Ladder) -> NDArray[np.float64]:
    """The top-label calibration error times the images, for counts (G, r): (r,)."""
    not_above = np.cumsum(ladder.images @ counts, axis=0).astype(np.int64)
    num_resamples = counts.shape[1]
    cells = mass_bins(not_above, NUM_BINS) + NUM_BINS * np.arange(num_resamples)
    gaps = np.bincount(
        cells.ravel(),
        weights=(ladder.gap @ counts).ravel(),
        minlength=NUM_BINS * num_resamples,
    )
    return np.abs(gaps.reshape(num_resamples, NUM_BINS)).sum(axis=1)


def _mean_of_present(values: NDArray[np.float64]) -> NDArray[np.float64]:
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(present, values, 0.0).sum(axis=1) / present.sum(axis=1)
