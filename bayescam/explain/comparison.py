"""How alike two maps of one image are, against how alike maps of different images are.

Maps of one layer share much whatever they explain: a blurred blob near the middle. So a rank
correlation says little alone; it is held against the 95th percentile of that between maps of
different images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from bayescam.explain.validation import check_image_maps
from bayescam.types import Array, InputError

__all__ = ["MapAgreement", "compare_maps", "rank_correlation", "standard_ranks"]


@dataclass(frozen=True)
class MapAgreement:
    """Spearman correlations over the cells of maps.

    Attributes:
        correlations: (..., N), of two maps of the same image; NaN where one of them is constant.
        between_images: (N (N - 1) / 2,), of the first maps of different images, likewise.
    """

    correlations: Array
    between_images: Array

    @property
    def mean(self) -> float:
        """Mean of the correlations that are defined."""
        return float(np.nanmean(self.correlations))

    @property
    def limit(self) -> float:
        """95th percentile of the correlations between different images."""
        return float(np.nanpercentile(self.between_images, 95))

    @property
    def differs(self) -> bool:
        """Whether the two maps are less alike than 5 % of different images: the mean is below.

        A randomised model should have such maps (Adebayo et al. 2018).
        """
        return self.mean < self.limit

    @property
    def agrees(self) -> bool:
        """Whether the two maps are more alike than 95 % of different images: the mean is above.

        A noisy image or another seed should give such maps.
        """
        return self.mean > self.limit


def compare_maps(first: Array, second: Array) -> MapAgreement:
    """Returns how alike two models' maps of the same images are.

    Args:
        first: (N, h, w), of the trained model, of at least two images.
        second: (N, h, w), or several (..., N, h, w): of a randomised one, one trained on permuted
            labels, of noisy images, of other seeds.

    Raises:
        InputError: If shapes do not fit, or nothing is left to compare as maps are constant.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> maps = rng.normal(size=(4, 7, 7))
        >>> compare_maps(maps, rng.normal(size=(4, 7, 7))).differs, compare_maps(maps, maps).differs
        (True, False)
    """
    one, other = check_image_maps(first, "first"), check_image_maps(second, "second")
    if one.ndim != 3 or len(one) < 2 or other.shape[-3:] != one.shape:
        raise InputError(
            "`first` must be maps (N, h, w) of at least two images and `second` (..., N, h, w) of "
            f"the same ones; got {one.shape} and {other.shape}"
        )
    ranks = standard_ranks(one.reshape(len(one), -1))
    pairs = np.triu_indices(len(one), 1)
    made = MapAgreement(rank_correlation(one, other), (ranks @ ranks.T)[pairs])
    if np.isnan(made.correlations).all() or np.isnan(made.between_images).all():
        raise InputError("maps must vary over their cells to be compared; these are constant")
    return made


def rank_correlation(first: Array, second: Array) -> Array:
    """Returns Spearman's correlation over the cells of maps (..., h, w), NaN where one is constant.

    Ties have the mean of their ranks.
    """
    ranks = (standard_ranks(maps.reshape(*maps.shape[:-2], -1)) for maps in (first, second))
    return np.asarray(np.multiply(*ranks).sum(axis=-1))


def standard_ranks(maps: Array) -> Array:
    """Returns ranks with mean 0 and sum of squares 1 of maps (..., h w); NaN where one is constant.

    The sum of the products of two maps is their Spearman correlation.
    """
    ranks = rankdata(maps, axis=-1)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    norm = np.sqrt((ranks**2).sum(axis=-1, keepdims=True))
    return np.divide(ranks, norm, out=np.full_like(ranks, np.nan), where=norm > 0)
