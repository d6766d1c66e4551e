"""Distance of features from those of the training images: what a score of shift has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.spatial.distance import cdist
from sklearn.covariance import empirical_covariance, ledoit_wolf, shrunk_covariance

from bayescam.types import InputError
from bayescam.uncertainty.validation import check_labels

__all__ = ["DiagonalDistance", "MahalanobisDistance", "fit_mahalanobis"]


@dataclass(frozen=True)
class MahalanobisDistance:
    """Distance from the nearest class of the training images, in pooled standard deviations.

    Attributes:
        classes: (C,), indices of the classes that had training images.
        class_means: (C, F).
        covariance: (F, F), of the features about their class means, shrunk.
        shrinkage: weight of the multiple of the identity, from 0 to 1.
    """

    classes: NDArray[np.int64]
    class_means: NDArray[np.float64]
    covariance: NDArray[np.float64]
    shrinkage: float

    def distance(self, features: ArrayLike) -> NDArray[np.float64]:
        """The distance (N,) of features (N, F) from the nearest class mean.

        `min_c sqrt((f - mean_c)' covariance^-1 (f - mean_c))`: the square root of the negative
        score of Lee et al. 2018, equation 2.
        """
        array = _check_features(features, self.class_means.shape[1])
        root = cholesky(self.covariance, lower=True)
        origin = self.class_means.mean(axis=0)
        white = solve_triangular(root, (array - origin).T, lower=True).T
        means = solve_triangular(root, (self.class_means - origin).T, lower=True).T
        return cdist(white, means).min(axis=1)


@dataclass(frozen=True)
class DiagonalDistance:
    """Distance from the mean of the training images where features are taken as uncorrelated.

    Knows neither classes nor correlations; `feature_statistics.npz` of a run holds what it needs.

    Attributes:
        mean: (F,).
        sd: (F,), standard deviations, not negative. Features of no spread are left out, since no
            distance from them has a unit.
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]

    def distance(self, features: ArrayLike) -> NDArray[np.float64]:
        """`sqrt(sum_f ((feature_f - mean_f) / sd_f)^2)`, (N,), for features (N, F)."""
        mean, sd = _check_features([self.mean], name="mean")[0], np.asarray(self.sd, np.float64)
        if sd.shape != mean.shape or not np.isfinite(sd).all() or (sd < 0).any():
            raise InputError(
                f"`sd` must be {len(mean)} finite numbers, none negative; got shape {sd.shape}."
            )
        array, spread = _check_features(features, len(mean)), sd > 0
        return np.linalg.norm((array - mean)[:, spread] / sd[spread], axis=1)


def fit_mahalanobis(
    features: ArrayLike, labels: ArrayLike, *, shrinkage: float | None = None
) -> MahalanobisDistance:
    """Class means and one covariance for all classes, from training features.

    Lee et al. 2018, equation 1: `covariance = sum_n (f_n - mean_label) (f_n - mean_label)' / N`.
    Unlike theirs it is shrunk, `(1 - s) * covariance + s * trace(covariance) / F * identity`, with
    `s` of Ledoit and Wolf 2004 (scikit-learn), so that it can be inverted with few images. Without
    shrinkage the distance is the same for any invertible affine change of the features; with it,
    features should be of comparable scale.

    Args:
        features: (N, F), what the backbone hands to the head; of training images.
        labels: (N,), class indices.
        shrinkage: `s`, from 0 to 1; None chooses it as Ledoit and Wolf do.

    Raises:
        InputError: features that are not finite, bad labels, a shrinkage outside [0, 1], or a
            covariance that cannot be inverted.

    Example:
        >>> fitted = fit_mahalanobis([[0.0], [2.0], [9.0], [11.0]], [0, 0, 1, 1], shrinkage=0)
        >>> fitted.distance([[3.0], [10.0]])
        array([2., 0.])
    """
    array = _check_features(features)
    truth = np.asarray(labels)
    highest = max(0, int(truth.max())) if truth.size and truth.dtype.kind in "iu" else 0
    truth = check_labels(truth, len(array), highest + 1)
    if shrinkage is not None and not 0.0 <= shrinkage <= 1.0:
        raise InputError(f"`shrinkage` must lie between 0 and 1; got {shrinkage}.")
    classes, codes = np.unique(truth, return_inverse=True)
    means = np.stack([array[codes == c].mean(axis=0) for c in range(len(classes))])
    covariance, weight = _shrunk_covariance(array - means[codes], shrinkage)
    return MahalanobisDistance(classes, means, covariance, weight)


def _shrunk_covariance(
    residuals: NDArray[np.float64], shrinkage: float | None
) -> tuple[NDArray[np.float64], float]:
    if shrinkage is None:
        covariance, weight = ledoit_wolf(residuals, assume_centered=True)
    else:
        plain, weight = empirical_covariance(residuals, assume_centered=True), shrinkage
        covariance = shrunk_covariance(plain, shrinkage)
    if np.linalg.matrix_rank(covariance, hermitian=True) < len(covariance):
        num_images, num_features = residuals.shape
        raise InputError(
            f"`features` of {num_images} images give a covariance of {num_features} features that "
            f"cannot be inverted with shrinkage {weight:.3g}. Are features constant, or is "
            "`shrinkage` too small?"
        )
    return covariance, float(weight)


def _check_features(
    features: ArrayLike, num_features: int | None = None, *, name: str = "features"
) -> NDArray[np.float64]:
    array = np.asarray(features, dtype=np.float64)
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"`{name}` must have shape (N, F); got {array.shape}.")
    if not np.isfinite(array).all():
        raise InputError(f"`{name}` must be finite; got NaN or infinity.")
    if num_features is not None and array.shape[1] != num_features:
        raise InputError(
            f"`{name}` must have {num_features} columns, as the training features had; got "
            f"{array.shape[1]}."
        )
    return array
