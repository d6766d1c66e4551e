"""Modes of explanation: groups of draws that look at different places of one image.

Each draw is a direction, its signed map scaled to length one: a faint and a strong map of one shape
are one explanation. Directions are clustered by k-means for 2, 3, ... clusters, and the number with
the largest mean silhouette (Rousseeuw 1987) is taken if the draws are more clustered than one
Gaussian is. For that the same is done with sets of maps drawn from the Gaussian of the draws' own
mean and covariance, as in SigClust (Liu et al. 2008): if the silhouette of the draws does not
exceed that of every reference set, there is one mode. Maps of a one-layer Gaussian head are exactly
Gaussian, and so have one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from bayescam.explain.validation import check_maps
from bayescam.types import Array, InputError

__all__ = ["ExplanationModes", "explanation_modes"]

_STARTS = 3
_ROUNDING = 1e-5  # of directions and silhouettes: what differs by less is the same


@dataclass(frozen=True)
class ExplanationModes:
    """M modes, the one with most draws first.

    Attributes:
        maps: (M, h, w), mean of the signed maps of the draws of each mode, in their units.
        shares: (M,), share of the draws.
        labels: (S,), the mode of each draw.
        silhouette: of the best clustering into at least two, in [-1, 1]; NaN where there is none.
        reference: the largest silhouette of the Gaussian reference sets, NaN likewise. There is
            more than one mode where `silhouette` exceeds it.
    """

    maps: Array
    shares: Array
    labels: NDArray[np.int64]
    silhouette: float
    reference: float


def explanation_modes(
    maps: ArrayLike,
    *,
    max_modes: int = 4,
    min_share: float = 0.05,
    num_references: int = 19,
    seed: int = 0,
) -> ExplanationModes:
    """Return the modes among the maps of the draws of one image and target.

    Args:
        maps: (S, h, w), signed.
        max_modes: the largest number tried.
        min_share: a clustering with a cluster below this share of the draws is not considered, so
            that a stray draw is no mode.
        num_references: R Gaussian sets; one Gaussian is taken for several modes with a
            probability of about `1 / (R + 1)`.
        seed: of k-means and of the reference sets.

    Raises:
        InputError: other axes, maps that are not finite, or an option out of range.
    """
    drawn = _check(maps, max_modes, min_share, num_references)
    draws = drawn.reshape(len(drawn), -1)
    rng = np.random.default_rng(seed)
    options = (max_modes, min_share, int(rng.integers(2**31)))
    best, labels = _best_clustering(_directions(draws), *options)
    if not np.isfinite(best):
        return _modes(drawn, labels, best, np.nan)
    others = (
        _best_clustering(_directions(_gaussian_like(draws, rng)), *options)[0]
        for _ in range(num_references)
    )
    reference = max((value for value in others if np.isfinite(value)), default=-1.0)
    several = best > reference + _ROUNDING
    return _modes(drawn, labels if several else np.zeros_like(labels), best, reference)


def _directions(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(draws, axis=1, keepdims=True)
    return np.divide(draws, length, out=np.zeros_like(draws), where=length > 0)


def _gaussian_like(draws: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """As many Gaussian maps of their mean and covariance: mean and mixtures of deviations."""
    mean = draws.mean(axis=0)
    weights = rng.normal(size=(len(draws), len(draws))) / np.sqrt(len(draws) - 1)
    return mean + weights @ (draws - mean)


def _best_clustering(
    points: NDArray[np.float64], max_modes: int, min_share: float, seed: int
) -> tuple[float, NDArray[np.int64]]:
    """The largest mean silhouette over numbers of clusters, NaN if none counts, and the labels."""
    best, chosen = np.nan, np.zeros(len(points), np.int64)
    if np.ptp(points, axis=0).max() <= _ROUNDING:
        return best, chosen
    distinct = len(np.unique(np.rint(points / _ROUNDING), axis=0))
    for number in range(2, min(max_modes, distinct, len(points) - 1) + 1):
        labels = KMeans(number, n_init=_STARTS, random_state=seed).fit(points).labels_
        if np.bincount(labels, minlength=number).min() < max(1.0, min_share * len(points)):
            continue
        value = float(silhouette_score(points, labels))
        if not best >= value:
            best, chosen = value, labels.astype(np.int64)
    return best, chosen


def _modes(
    draws: NDArray[np.float64], labels: NDArray[np.int64], silhouette: float, reference: float
) -> ExplanationModes:
    counts = np.bincount(labels)
    order = np.argsort(-counts, kind="stable")
    renamed = np.argsort(order)[labels]
    member = (renamed == np.arange(len(order))[:, None]) / counts[order][:, None]
    means = np.tensordot(member, draws, axes=1)
    return ExplanationModes(means, counts[order] / len(draws), renamed, silhouette, reference)


def _check(
    maps: ArrayLike, max_modes: int, min_share: float, num_references: int
) -> NDArray[np.float64]:
    array = np.asarray(maps)
    if array.ndim != 3:
        raise InputError(
            f"`maps` must have shape (S, h, w), the draws of one image and target; got "
            f"{array.shape}."
        )
    if max_modes < 2 or num_references < 1 or not 0.0 <= min_share < 0.5:
        raise InputError(
            "`max_modes` must be at least 2, `num_references` at least 1 and `min_share` in "
            f"[0, 0.5); got {max_modes}, {num_references} and {min_share}."
        )
    return check_maps(array[:, None, None], measure="explanation_modes")[:, 0, 0].astype(np.float64)
