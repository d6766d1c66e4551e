"""Percentile intervals of all scores, from a bootstrap over groups (lesions, patients).

Images of one lesion are not independent, so whole groups are drawn with replacement (Efron and
Tibshirani 1993, chapter 8 and equation 13.5). A resample is never materialised: it is a count per
group. Most scores are functions of sums over groups, and a matrix product gives those sums for all
resamples; the areas under the curves, and the bins of equal mass, come from running sums over
scores sorted once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array, csr_array

from bayescam.types import InputError, check_whole_number
from bayescam.uncertainty.brier import reliability_term
from bayescam.uncertainty.reliability import confidence_bins, mass_bins
from bayescam.uncertainty.scoring import score_names, score_predictions
from bayescam.uncertainty.validation import check_groups, check_labels, check_mean_probs

__all__ = ["BootstrapScores", "group_bootstrap", "resample_groups"]

_NUM_BINS = 15
_CHUNK = 64  # resamples at a time; bounds the memory at a few times N * 64 numbers


@dataclass(frozen=True)
class BootstrapScores:
    """Scores with intervals from a bootstrap over groups.

    Attributes:
        names: M names, those of `PredictionScores.as_dict`.
        estimate: (M,), on the sample itself.
        lower: (M,), percentile bound.
        upper: (M,), percentile bound.
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
    """All scores of `score_predictions` with percentile intervals from a bootstrap over groups.

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
    codes = check_groups(groups, len(probs))
    if codes.max() == 0:
        raise InputError("`groups` must name at least two groups; all images are of one.")
    if not 0.0 < level < 1.0:
        raise InputError(f"`level` must lie strictly between 0 and 1; got {level}.")
    estimate = score_predictions(probs, truth, class_names).as_dict()
    sums = _sum_by_group(probs, truth, codes)
    ranking = [_rank(probs[:, k], truth == k, codes) for k in range(probs.shape[1])]
    ladder = _climb(probs, truth, codes)
    resamples = np.concatenate(
        [
            _scores_of(counts, sums.times(counts), ranking, ladder)
            for counts in resample_groups(int(codes.max()) + 1, num_resamples, seed=seed)
        ]
    )
    lower, upper = _percentiles(resamples, level)
    return BootstrapScores(
        score_names(class_names), np.array(list(estimate.values())), lower, upper, level, resamples
    )


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


@dataclass(frozen=True)
class _Sums:
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

    def times(self, counts: NDArray[np.float64]) -> _Sums:
        """The sums over r resamples in which the groups occur `counts` (r, G) times."""
        parts = (self.table, self.gap, self.classwise, self.loss)
        products = (counts @ part.reshape(len(part), -1) for part in parts)
        return _Sums(
            *(
                product.reshape(-1, *part.shape[1:])
                for product, part in zip(products, parts, strict=True)
            )
        )


def _sum_by_group(
    probs: NDArray[np.float64], truth: NDArray[np.int64], codes: NDArray[np.int64]
) -> _Sums:
    (n, k), predicted, is_class = probs.shape, probs.argmax(axis=1), np.eye(probs.shape[1])[truth]
    epsilon = np.finfo(np.float64).eps
    losses = -np.log(np.clip(probs[np.arange(n), truth], epsilon, 1.0 - epsilon))
    brier = ((probs - is_class) ** 2).sum(axis=1)
    confidence = probs.max(axis=1)
    cells = confidence_bins(probs, _NUM_BINS) + _NUM_BINS * np.arange(k)
    by_class = (np.ones((n, k)), probs, is_class)
    return _Sums(
        _add(codes, truth * k + predicted, np.ones(n), k * k).reshape(-1, k, k),
        _add(
            codes,
            confidence_bins(confidence, _NUM_BINS),
            (predicted == truth) - confidence,
            _NUM_BINS,
        ),
        np.stack(
            [
                _add(codes, cells, part, k * _NUM_BINS).reshape(-1, k, _NUM_BINS)
                for part in by_class
            ],
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


def _scores_of(
    counts: NDArray[np.float64], sums: _Sums, ranking: list[_Ranking], ladder: _Ladder
) -> NDArray[np.float64]:
    """The scores (r, M) of a chunk of r resamples, in the order of `score_names`."""
    table = sums.table
    images = table.sum(axis=(1, 2))
    by_group = np.ascontiguousarray(counts.T)
    auc = np.stack([_weighted_auc(by_group, rank) for rank in ranking], axis=1)
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
        _sum_in_cells(np.ones(len(probs)), step, codes, size),
        _sum_in_cells(right - confidence, step, codes, size),
    )


def _equal_mass_error(counts: NDArray[np.float64], ladder: _Ladder) -> NDArray[np.float64]:
    """The top-label calibration error times the images, for counts (G, r): (r,)."""
    not_above = np.cumsum(ladder.images @ counts, axis=0).astype(np.int64)
    num_resamples = counts.shape[1]
    cells = mass_bins(not_above, _NUM_BINS) + _NUM_BINS * np.arange(num_resamples)
    gaps = np.bincount(
        cells.ravel(),
        weights=(ladder.gap @ counts).ravel(),
        minlength=_NUM_BINS * num_resamples,
    )
    return np.abs(gaps.reshape(num_resamples, _NUM_BINS)).sum(axis=1)


@dataclass(frozen=True)
class _Ranking:
    """One class against the rest, sorted once: all that a weighted area needs of the scores.

    The smaller side (images of the class, or the others) has A distinct scores, the anchors.

    Attributes:
        anchors: (A, G), images of the smaller side at each anchor, by group.
        passed: (2 * A + 1, G), images of the larger side below, at, between and above the
            anchors, by group.
    """

    anchors: csr_array
    passed: csr_array


def _rank(
    score: NDArray[np.float64], positive: NDArray[np.bool_], codes: NDArray[np.int64]
) -> _Ranking:
    """Sort one class; where the others are fewer, the scores are negated and the sides swapped."""
    small = positive if 2 * positive.sum() <= len(positive) else ~positive
    score = score if small is positive else -score
    anchors, at = np.unique(score[small], return_inverse=True)
    others = score[~small]
    place = np.searchsorted(anchors, others, "left") + np.searchsorted(anchors, others, "right")
    num_groups = int(codes.max()) + 1
    return _Ranking(
        _sum_in_cells(np.ones(len(at)), at, codes[small], (len(anchors), num_groups)),
        _sum_in_cells(
            np.ones(len(place)), place, codes[~small], (2 * len(anchors) + 1, num_groups)
        ),
    )


def _sum_in_cells(
    weights: NDArray[np.float64],
    row: NDArray[np.int64],
    group: NDArray[np.int64],
    size: tuple[int, int],
) -> csr_array:
    return coo_array((weights, (row, group)), shape=size).tocsr()


def _weighted_auc(counts: NDArray[np.float64], rank: _Ranking) -> NDArray[np.float64]:
    """Mann-Whitney, ties counted half, for counts (G, r): (r,), NaN without a pair."""
    weight = rank.anchors @ counts
    passed = np.cumsum(rank.passed @ counts, axis=0)
    wins = (weight * (passed[:-1:2] + passed[1::2])).sum(axis=0) / 2.0
    with np.errstate(invalid="ignore"):
        return wins / (weight.sum(axis=0) * passed[-1])


def _mean_of_present(values: NDArray[np.float64]) -> NDArray[np.float64]:
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(present, values, 0.0).sum(axis=1) / present.sum(axis=1)


def _percentiles(
    resamples: NDArray[np.float64], level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    tails = ((1.0 - level) / 2.0, (1.0 + level) / 2.0)
    bounds = np.full((2, resamples.shape[1]), np.nan)
    seen = ~np.isnan(resamples).all(axis=0)
    bounds[:, seen] = np.nanquantile(resamples[:, seen], tails, axis=0)
    return bounds[0], bounds[1]
