"""Why the maps of an image differ: other evidence for one class, or another class altogether.

The map that goes with draw `s` is that of the class which this draw predicts. By the law of total
variance its variance splits into the mean variance among draws that predict the same class, and the
variance of the class means (Casella and Berger 2002, theorem 4.4.7).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.explain.validation import check_maps, check_predicted
from bayescam.types import Array, InputError

__all__ = ["MapVarianceSplit", "split_map_variance"]


@dataclass(frozen=True)
class MapVarianceSplit:
    """Variances over the draws, (N, h, w), float64, in squared units of the map (divided by S).

    Attributes:
        within_class: mean over the draws of the squared distance to the mean of its class.
        class_flips: variance of these means, each class weighted by its share of the draws; zero
            where all draws predict one class.
    """

    within_class: Array
    class_flips: Array

    @property
    def total(self) -> Array:
        """Variance of the map of each draw's own class: the sum of both."""
        return self.within_class + self.class_flips

    @property
    def flip_share(self) -> Array:
        """Share of the variance, summed over the cells, that class flips make, (N,).

        Zero where there is no variance.
        """
        flips, total = self.class_flips.sum(axis=(1, 2)), self.total.sum(axis=(1, 2))
        return np.divide(flips, total, out=np.zeros_like(total), where=total > 0)


def split_map_variance(cams: ArrayLike, predicted: ArrayLike) -> MapVarianceSplit:
    """Return the variance of the map of each draw's own predicted class, in its two parts.

    Args:
        cams: (S, N, K, h, w), signed, of all K classes in their order.
        predicted: (S, N), index of the class that each draw predicts, `logits.argmax(axis=-1)`.

    Raises:
        InputError: other axes, maps that are not finite, or a class without a map.

    Example:
        >>> cams = np.array([[1.0, 9.0], [1.0, 5.0]]).reshape(2, 1, 2, 1, 1)
        >>> split = split_map_variance(cams, [[0], [1]])
        >>> split.within_class.item(), split.class_flips.item()
        (0.0, 4.0)
    """
    draws = check_maps(cams)
    called = check_predicted(predicted, draws)
    num_classes = draws.shape[2]
    if called.max() >= num_classes:
        raise InputError(
            f"`predicted` has class {called.max()}, but `cams` has maps of {num_classes} classes; "
            "the maps of all classes are needed, in their order."
        )
    own = np.take_along_axis(draws, called[:, :, None, None, None], axis=2)[:, :, 0]
    own = own.astype(np.float64)
    shares, means = _class_means(own, called, num_classes)
    distance = own - np.take_along_axis(means, called[:, :, None, None], axis=0)
    flips = means - own.mean(axis=0)
    return MapVarianceSplit(
        within_class=np.square(distance).mean(axis=0),
        class_flips=np.einsum("kn,knhw->nhw", shares, np.square(flips)),
    )


def _class_means(
    maps: NDArray[np.float64], called: NDArray[np.int64], num_classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares (K, N) of the draws of each class, and the mean (K, N, h, w) of their maps.

    The mean of a class that no draw predicts is zero, and weighs nothing.
    """
    member = (called == np.arange(num_classes)[:, None, None]).astype(np.float64)
    counts = member.sum(axis=1)
    sums = np.einsum("ksn,snhw->knhw", member, maps)
    return counts / len(maps), sums / np.maximum(counts, 1.0)[:, :, None, None]
